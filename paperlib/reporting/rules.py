"""The sentences of a report: tables of rules, each a condition on the measured values, a sentence and its evidence.

``ANSWER`` and ``STANDING`` give the two sentences at the top, each the first rule that holds; ``CHECKS`` one sentence a
check; ``UNTRIED`` every rule that holds. Evidence is the path of a number in ``report.json``. Intervals are 95 %, and two
networks are told apart only where their intervals do not meet.
"""

from collections.abc import Callable
from dataclasses import dataclass

Interval = dict
# notes that must be said before any number
FIRST = ("headless", "chance", "scale", "range")


def percent(found: Interval) -> str:
    """A share in percent with its interval, with a decimal where there are images enough for it, or the whole one would hide
    that it is not all or nothing.

    >>> percent({"mean": 33.2, "low": 29.3, "high": 37.1, "n": 500})
    '33 % [29, 37]'
    >>> percent({"mean": 99.7, "low": 98.3, "high": 99.9, "n": 300})
    '99.7 % [98.3, 99.9]'
    """
    ends = [found[key] for key in ("mean", "low", "high")]
    near = any(0 < end < 1 or 99 < end < 100 for end in ends)
    digits = 1 if found["n"] >= 2000 or near else 0
    mean, low, high = (f"{end:.{digits}f}" for end in ends)
    return f"{mean} % [{low}, {high}]"


def sized(key: str, unit: str) -> str:
    """A size in the data's own unit: ``8/255``, ``0.1``."""
    return f"{key}{unit}"


def listed(names: list[str], last: str = "and") -> str:
    """``a, b and c``.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


class View:
    """The measured values as the rules' conditions and sentences name them."""

    def __init__(self, values: dict):
        self.values, question = values, values["question"]
        self.key, self.unit = question["key"], question["unit"]
        self.eps = sized(self.key, self.unit)
        self.clean, self.worst, self.chance = values["clean"], values["worst"][self.key], values["chance"]
        self.masking, self.m = values["masking"], values["masking_images"]
        self.ranking = values.get("ranking") or {}
        self.gravest = next((note["sentence"] for note in values.get("notes", []) if note["kind"] in FIRST), "")
        self.severe = next((check for check in values.get("checks", []) if check["verdict"] == "bad"), None)

    @property
    def at_chance(self) -> bool:
        """Clean accuracy does not lie above that of guessing."""
        return self.clean["low"] <= self.chance

    @property
    def untrusted(self) -> bool:
        """Whether the worst case says nothing, for a fault comes first, or the attacks were misled and left something."""
        return self.at_chance or bool(self.gravest) or (self.severe is not None and self.worst["high"] > self.chance)

    @property
    def is_open(self) -> bool:
        """The interval holds nearly nothing as well as a part of the images."""
        return self.worst["low"] < self.clean["mean"] / 20 and self.worst["high"] >= self.clean["mean"] / 4

    @property
    def half(self) -> str:
        """The smallest size tried at which the worst case is below half of clean accuracy; empty if it is at none."""
        fallen = [key for key, found in self.values["worst"].items() if found["mean"] < self.clean["mean"] / 2]
        return sized(min(fallen, key=float), self.unit) if fallen else ""

    def words(self) -> dict[str, str]:
        """What a sentence may hold in braces."""
        data, ranking = self.values["data"], self.ranking
        known = {
            "eps": self.eps, "clean": percent(self.clean), "worst": percent(self.worst), "chance": f"{self.chance:.3g} %",
            "n": f"{data['images']:,}", "given": f"{data['given']:,}", "half": self.half,
            "level": self.values["question"]["level"],
            "outputs": str(self.values["network"]["outputs"]), "largest": sized(self.values["last_size"], self.unit),
            "severe": self.severe["sentence"] if self.severe else "", "gravest": self.gravest,
            "seed": str(self.values["question"]["seed"]),
        }  # fmt: skip
        if self.values.get("autoattack"):
            known["autoattack"] = percent(self.values["autoattack"])
        if ranking:
            known |= {
                "best": ranking["networks"][0]["label"], "best_worst": percent(ranking["networks"][0]["worst"]),
                "size": sized(ranking["size"], self.unit), "standing": standing(ranking), "own": percent(ranking["own"]),
                "same": ranking.get("same", ""), "tables": percent(ranking["tables"]) if ranking.get("tables") else "",
            }  # fmt: skip
        return known


@dataclass(frozen=True)
class Rule:
    """``sentence`` is said where ``when`` holds; ``{eps}`` is a word of ``View``, also in ``evidence``."""

    name: str
    when: Callable[[View], bool]
    sentence: str
    evidence: tuple[str, ...]


ALWAYS = lambda view: True  # noqa: E731
WORST = "worst/{key}"

ANSWER = (
    Rule("a fault first", lambda v: bool(v.gravest),
         "{gravest} Until that is explained, the {worst} of {n} images that stay right at ε = {eps}, of {clean} without "
         "an attack, say "
         "nothing about robustness.",
         ("notes", WORST, "clean")),
    Rule("at chance", lambda v: v.at_chance,
         "This network is right on {clean} of {n} images without any attack, and guessing among its {outputs} outputs is "
         "right on "
         "{chance}: nothing can be said about its robustness before its weights, its normalisation and the labels are put "
         "right.",
         ("clean", "chance")),
    Rule("misled attacks", lambda v: v.untrusted,
         "The attacks leave {worst} of {n} images right at ε = {eps}, and that number must not be trusted, for the "
         "attacks are misled: "
         "{severe}",
         (WORST, "checks")),
    Rule("too few", lambda v: v.worst["high"] - v.worst["low"] > 42 or v.is_open,
         "Too few images were attacked for an answer: at ε = {eps} it keeps {worst} of {n} right, of {clean} without an "
         "attack.",
         (WORST, "clean")),
    Rule("not robust", lambda v: v.worst["high"] < v.clean["mean"] / 4,
         "This network is not robust: at ε = {eps} it keeps {worst} of {n} images right, of {clean} without an attack.",
         (WORST, "clean")),
    Rule("robust", lambda v: v.worst["low"] >= 0.9 * v.clean["mean"],
         "This network is robust against all that was tried: at ε = {eps} it keeps {worst} of {n} images right, of "
         "{clean} without "
         "an attack.",
         (WORST, "clean")),
    Rule("mostly robust", lambda v: v.worst["low"] >= 0.6 * v.clean["mean"],
         "This network is robust on most of its images: at ε = {eps} it keeps {worst} of {n} right, of {clean} without an "
         "attack.",
         (WORST, "clean")),
    Rule("partly robust", ALWAYS,
         "This network is robust on a part of its images: at ε = {eps} it keeps {worst} of {n} right, of {clean} without "
         "an attack.",
         (WORST, "clean")),
)  # fmt: skip

STANDING = (
    Rule("no standing", lambda v: v.untrusted,
         "Where it stands among other networks is not said, for that takes a number that can be trusted.",
         ("notes", "checks", "clean")),
    Rule("a published network", lambda v: bool(v.ranking.get("same")),
         "These are the weights of the published network {same}, whose table says {tables} at ε = {size} where this "
         "report finds "
         "{own}; it {standing}.",
         ("ranking/same", "ranking/tables", "ranking/own")),
    Rule("beside published networks", lambda v: bool(v.ranking),
         "The published network {best} keeps {best_worst} of the same data's images at ε = {size}; this one, with {own}, "
         "{standing}.",
         ("ranking/networks", "ranking/own")),
    Rule("no common size", lambda v: bool(v.values["published"]),
         "The published networks of the same data were measured at other sizes, so that their numbers stand in the curve "
         "alone.",
         ("published",)),
    Rule("half", lambda v: bool(v.half),
         "No published network has these data to compare with; at ε = {half}, the smallest such size tried, less than "
         "half of the "
         "images that are right without an attack are left.",
         ("worst", "published")),
    Rule("no half", ALWAYS,
         "No published network has these data to compare with; up to ε = {largest}, the largest size tried, more than "
         "half of the "
         "images that are right without an attack stay right.",
         ("worst", "published")),
)  # fmt: skip

UNTRIED = (
    Rule("untried level", lambda v: v.values["question"]["level"] != "strong",
         "Stronger attacks: this is level {level}, and level strong tries more and longer ones, which can only lower the "
         "worst case. "
         "The published networks' numbers come from longer attacks, so that a comparison here favours the network.",
         ("question/level",)),
    Rule("other images", lambda v: v.values["data"]["images"] < v.values["data"]["given"],
         "{given} images were given and {n} attacked, the classes in turn.", ("data/images", "data/given")),
    Rule("no AutoAttack", lambda v: not v.values.get("autoattack"),
         "AutoAttack of its authors: it runs at level strong where the package pyautoattack is installed.", ("autoattack",)),
    Rule("missing classes", lambda v: bool(v.values["data"]["missing_classes"]),
         "Some classes: the attacked images have none of class {missing}.", ("data/missing_classes",)),
    Rule("no signs", lambda v: not v.masking,
         "Signs of masked gradients: the network is too slow for them at level {level}.", ("masking",)),
    Rule("other norms", ALWAYS,
         "Other changes than l∞ up to ε = {largest}: no l2 or sparse ones, no rotations, colours, weather or larger sizes.",
         ("question/norm", "question/sizes")),
    Rule("nothing adaptive", ALWAYS,
         "An attack made for this network by somebody who knows its defence. A worst case by attacks is an upper bound of "
         "robustness, never a proof of it.", ("stages",)),
    Rule("one seed", ALWAYS, "Other random starts than those of seed {seed}.", ("question/seed",)),
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A number with a condition under which it is fine; ``bad`` where another makes the worst case untrustworthy."""

    label: str
    fine: Callable[[float, View], bool]
    good: str
    poor: str
    bad: Callable[[float, View], bool] = lambda value, view: False
    unit: str = "%"


def _noise(view: View) -> float:
    """Points that two shares of so few images may differ by without meaning anything."""
    return 100 / max(view.m, 1) ** 0.5 / 2


CHECKS = {
    "zero_gradient": Check(
        "images whose gradient is exactly 0", lambda value, v: value == 0,
        "Every image has a gradient that an attack can follow.",
        "On {value} of {m} images the gradient is exactly 0, so that attacks by gradients do nothing there.",
        bad=lambda value, v: value >= 5),
    "unbounded": Check(
        "right when any change is allowed (ε = 1)", lambda value, v: value <= v.chance + _noise(v),
        "Where any change is allowed the attack breaks what it should.",
        "{value} of {m} images stay right although any change is allowed: an attack that cannot break these is misled.",
        bad=lambda value, v: value > v.chance + 3 * _noise(v)),
    "fgsm_minus_bim": Check(
        "one step minus many steps", lambda value, v: value <= _noise(v) / 2,
        "Many steps harm at least as much as one.",
        "One step leaves {value} fewer images right than many do, as where gradients mislead.",
        bad=lambda value, v: value > 2 * _noise(v), unit="points"),
    "noise": Check(
        "right under random noise of size ε", lambda value, v: value >= v.worst["low"] - _noise(v),
        "Random noise harms less than the attack does.",
        "Random noise leaves only {value} right, less than the attacks do: they are not even as strong as chance.",
        bad=lambda value, v: value < v.worst["low"] - 3 * _noise(v)),
    "cw_minus_ce": Check(
        "attack on the margin minus on the cross-entropy", lambda value, v: abs(value) <= 10,
        "Both objectives tell about the same.",
        "The two objectives differ by {value}: the weaker alone would overstate robustness; the worst case counts both.",
        unit="points"),
    "square_alone": Check(
        "broken by a search without gradients alone", lambda value, v: value <= _noise(v) / 2,
        "A search without gradients finds no more than gradients do.",
        "A search without gradients breaks {value} of {m} images that attacks by gradients leave right: they are masked.",
        bad=lambda value, v: value > 2 * _noise(v)),
    "targeted_minus_untargeted": Check(
        "targeted minus untargeted attack", lambda value, v: value >= -_noise(v),
        "Aiming at single classes finds no more than running away from the right one.",
        "Aimed at single classes the attack leaves {value} fewer images right; the worst case counts it where its stages "
        "aim.",
        unit="points"),
    "adaptive_minus_fixed": Check(
        "steps that adapt minus fixed steps", lambda value, v: value >= -_noise(v),
        "Steps whose size adapts find no more than fixed ones.",
        "Steps whose size adapts leave {value} fewer images right than fixed ones; the worst case counts them where its "
        "stages "
        "adapt.", unit="points"),
    "still_rising": Check(
        "images whose loss still rises at the end", lambda value, v: value <= 10,
        "The attacks have come to rest.",
        "On {value} of {m} images the loss still rises when the attack ends: longer attacks would find more."),
    "last_round": Check(
        "of all images, broken by the last round of restarts", lambda value, v: value <= 0.2,
        "The last round of restarts found nearly nothing more.",
        "The last round of restarts still broke {value} of the images: more rounds would break more."),
}  # fmt: skip


def checks(view: View) -> list[dict]:
    """One row a check: name, label, number, unit, verdict (``fine``, ``look``, ``bad``, or empty without a rule), sentence
    and evidence."""
    numbers = {name: (value, f"masking/{name}") for name, value in view.masking.items()}
    if view.values.get("last_round") is not None:
        numbers["last_round"] = (view.values["last_round"], "last_round")
    rows = []
    for name, (value, evidence) in sorted(
        numbers.items(), key=lambda item: list(CHECKS).index(item[0]) if item[0] in CHECKS else 99
    ):
        check, plain = CHECKS.get(name), isinstance(value, int | float) and value == value
        if check is None or not plain:
            sentence = "No rule is set for this number." if plain else "This could not be measured."
            rows.append({"name": name, "label": name.replace("_", " "), "value": value if plain else None, "unit": "",
                         "verdict": "", "sentence": sentence, "evidence": [evidence]})  # fmt: skip
            continue
        verdict = "bad" if check.bad(value, view) else "fine" if check.fine(value, view) else "look"
        text = check.good if verdict == "fine" else check.poor
        number = f"{abs(value):.3g} {check.unit}"
        rows.append({"name": name, "label": check.label, "value": value, "unit": check.unit, "verdict": verdict,
                     "sentence": text.format(value=number, m=view.m), "evidence": [evidence]})  # fmt: skip
    return rows


def ranking(values: dict) -> dict | None:
    """How the network lies to each published one of the same data at eps, or at the common size nearest to it."""
    published, eps = values["published"].get("networks", {}), float(values["question"]["key"])
    common = [key for key in values["worst"] if published and all(key in network["worst"] for network in published.values())]
    if not common:
        return None
    size = min(common, key=lambda key: abs(float(key) - eps))
    own, own_weights, rows, found = values["worst"][size], values["network"]["weights_sha256"], [], {"size": size}
    for method, network in published.items():
        theirs = network["worst"][size]
        if own_weights and network["weights_sha256"] == own_weights:
            found |= {"same": network["label"], "tables": theirs}
            continue
        relation = "above" if own["low"] > theirs["high"] else "below" if own["high"] < theirs["low"] else "level"
        rows.append({"method": method, "label": network["label"], "worst": theirs, "relation": relation})
    rows.sort(key=lambda row: -row["worst"]["mean"])
    return found | {"own": {key: own[key] for key in ("mean", "low", "high", "n")}, "networks": rows}


def standing(found: dict) -> str:
    """``lies below MinMax, cannot be told from Ours and lies above Natural``."""
    words = {"below": "lies below {}", "level": "cannot be told from {}", "above": "lies above {}"}
    groups = {relation: [row["label"] for row in found["networks"] if row["relation"] == relation] for relation in words}
    return listed([words[relation].format(listed(names)) for relation, names in groups.items() if names], last="and")


def said(rule: Rule, view: View) -> dict:
    """A rule's sentence, filled, with its evidence."""
    missing = listed([str(label) for label in view.values["data"]["missing_classes"][:10]] or [""], "or")
    sentence = rule.sentence.format_map(view.words() | {"missing": missing})
    return {"rule": rule.name, "sentence": sentence, "evidence": [path.format(key=view.key) for path in rule.evidence]}


def judged(values: dict) -> dict:
    """``values`` with ``ranking``, ``checks``, ``answer`` (two sentences) and ``not_tried``, made by the rules above."""
    values = values | {"ranking": ranking(values)}
    values["checks"] = checks(View(values))
    view = View(values)
    pick = [next(rule for rule in table if rule.when(view)) for table in (ANSWER, STANDING)]
    return values | {
        "answer": [said(rule, view) for rule in pick],
        "not_tried": [said(rule, view) for rule in UNTRIED if rule.when(view)],
    }
