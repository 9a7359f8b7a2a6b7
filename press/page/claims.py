"""The claims ledger: every claim of the paper, and every question of the book's own, judged by a rule that was fixed before
the run it judges.

``book/claims.yml`` documents the rules. A check compares numbers of a record with each other, with a threshold, or with
the paper's number; the verdict says how many checks of a claim hold.
"""

import math
import re
from dataclasses import dataclass

from paperlib.numbers import formatted, leaf_at
from paperlib.refusal import Refusal
from press.page.values import Numbers
from press.plan import experiments, settings

VERDICTS = ("reproduced", "partly", "not reproduced", "undecided", "not testable", "not run")
# profiles whose networks are small and trained anew on every machine, which rounds otherwise and so finds other weights
REMADE = ("quick",)
# of the width of a 95 % interval: about one standard error
CLOSE = 0.25
# kind of check -> the fields it needs, and those it may have
CHECKS = {
    "greater": ({"left", "right"}, {"margin"}), "between": ({"path", "low", "high"}, set()),
    "near": ({"path", "tolerance"}, {"paper"}), "reaches": ({"path", "tolerance"}, {"paper"}),
    "equivalent": ({"path", "low", "high"}, set()),
    "paired": ({"path"}, {"margin"}), "not-testable": ({"why"}, set()),
}  # fmt: skip
FIELDS = (
    {"id", "section", "claim", "artifact", "quantity", "show", "rule", "paper"},
    {"note", "corrected", "amended", "recorded", "of"},
)
# what the paper does not say
OWN = "book"
PROFILES = {"quick", "paper"}
COMMIT = r"[0-9a-f]{7,40} \d{4}-\d\d-\d\d \d\d:\d\d"


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)))


# what a field holds: whether a value fits, and the words for it
WORD, NUMBER = (_is_word, "a word"), (_is_number, "a finite number")
EITHER = (lambda value: _is_word(value) or _is_number(value), "a word or a finite number")
MAPPING = (lambda value: isinstance(value, dict), "a mapping")
OF_CLAIM = {
    **dict.fromkeys(("id", "section", "claim", "artifact", "quantity", "note", "corrected"), WORD),
    **dict.fromkeys(("show", "rule", "amended", "recorded"), MAPPING), "paper": EITHER,
    "of": (lambda value: value == OWN, OWN),
}  # fmt: skip
OF_CHECK = {
    **dict.fromkeys(("kind", "path", "paper", "why"), WORD), **dict.fromkeys(("left", "right"), EITHER),
    **dict.fromkeys(("low", "high", "margin", "tolerance"), NUMBER),
}  # fmt: skip


class ClaimError(Refusal):
    """An entry of ``book/claims.yml`` that does not fit its own rules; one sentence."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim in one edition, and the numbers it rests on, as text."""

    verdict: str
    ours: str
    # all that it might be, where checks are close to their thresholds
    possible: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Values:
    """The ``values`` of all records of one edition, and the paper's numbers."""

    records: dict
    stated: dict

    def leaf(self, artifact: str, path: str):
        """The number or interval at ``path``; None where this edition lacks it. ``fig15:a/b`` names another artifact."""
        other, found, rest = path.partition(":")
        return leaf_at(self.records.get(other if found else artifact, {}), (rest if found else path).split("/"))

    def paper(self, artifact: str, path: str):
        """The paper's number at ``artifact/path``, or at ``path`` of ``artifact``."""
        head, _, rest = path.partition("/")
        keys = (head, rest) if head in self.stated else (artifact, path)
        return leaf_at(self.stated.get(keys[0], {}), keys[1].split("/"))


def load() -> list[dict]:
    """The claims in order. Raises ClaimError, naming claim and field, for an unknown check, field, artifact or profile, and
    for a value of another kind than the field holds."""
    claims = settings.read_yaml(settings.ROOT / "book" / "claims.yml")
    if not isinstance(claims, list):
        raise ClaimError(f"book/claims.yml holds {claims!r}; allowed is a list of claims")
    known = experiments.load()["artifacts"]
    for number, claim in enumerate(claims, start=1):
        if not isinstance(claim, dict):
            raise ClaimError(f"claim number {number} is {claim!r}; allowed is a mapping")
        _check_claim(claim, known)
    names = [claim["id"] for claim in claims]
    for claim in claims:
        _refuse(names.count(claim["id"]) > 1, claim, "is there twice; give each an id of its own")
    return claims


def _check_claim(claim: dict, known: dict) -> None:
    _fields(claim, claim, *FIELDS)
    _values(claim, claim, OF_CLAIM)
    for path, name in claim["show"].items():
        _refuse(not _is_word(path) or not _is_word(name), claim, f"shows {path!r} as {name!r}; allowed are words")
    # the numbers of a picture are known by their words
    twice = sorted({name for name in claim["show"].values() if list(claim["show"].values()).count(name) > 1})
    _refuse(bool(twice), claim, f"shows two numbers as {', '.join(twice)}; each has words of its own")
    _fields(claim, claim["rule"], set(), PROFILES | {"both"}, " in rule")
    _fields(claim, claim.get("recorded", {}), set(), PROFILES, " in recorded")
    if "amended" in claim:
        _check_amended(claim, claim["amended"])
    for artifact in [claim["artifact"], *(path.partition(":")[0] for path in claim["show"] if ":" in path)]:
        _refuse(artifact not in known, claim, f"names the artifact {artifact!r}, which does not exist")
    for profile, checks in claim["rule"].items():
        _refuse(not isinstance(checks, list), claim, f"has {checks!r} in rule {profile}; allowed is a list of checks")
        for check in checks:
            _check_check(claim, check)
    for verdict in claim.get("recorded", {}).values():
        _refuse(verdict not in VERDICTS, claim, f"records {verdict!r}; allowed are {', '.join(VERDICTS)}")


def _check_amended(claim: dict, amended: dict) -> None:
    _fields(claim, amended, {"rule", "record"}, {"was"}, " in amended")
    for name in ("rule", "record"):
        fits = isinstance(amended[name], str) and re.fullmatch(COMMIT, amended[name])
        _refuse(not fits, claim, f"has {name} {amended[name]!r} in amended; allowed is a commit with its date and hour")
    was = amended.get("was", VERDICTS[0])
    _refuse(was not in VERDICTS[:4], claim, f"was {was!r} in amended; allowed are {', '.join(VERDICTS[:4])}")
    _refuse("corrected" not in claim, claim, "has amended without corrected, which says what was amended")


def _check_check(claim: dict, check: object) -> None:
    _refuse(not isinstance(check, dict), claim, f"has the check {check!r}; allowed is a mapping")
    kind = check.get("kind")
    known = isinstance(kind, str) and kind in CHECKS
    _refuse(not known, claim, f"has a check of kind {kind!r}; allowed are {', '.join(CHECKS)}")
    rest = {name: value for name, value in check.items() if name != "kind"}
    _fields(claim, rest, *CHECKS[kind], f" in a check {kind}")
    _values(claim, check, OF_CHECK, f" in a check {kind}")
    unnamed = sorted(set(paths(check)) - set(claim["show"]))
    _refuse(bool(unnamed), claim, f"judges by {', '.join(unnamed)}, which show does not name")
    low, high = check.get("low", 0), check.get("high", 0)
    _refuse(low > high, claim, f"has low {low} above high {high} in a check {kind}; allowed is a low of at most high")
    least = check.get("tolerance", 0)
    _refuse(least < 0, claim, f"has tolerance {least} in a check {kind}; allowed is a number of at least 0")


def _fields(claim: dict, given: dict, needed: set, optional: set, where: str = "") -> None:
    missing, unknown = sorted(needed - given.keys()), sorted(map(str, given.keys() - needed - optional))
    _refuse(bool(missing), claim, f"lacks {', '.join(missing)}{where}")
    _refuse(bool(unknown), claim, f"has {', '.join(unknown)}{where}; allowed are {', '.join(sorted(needed | optional))}")


def _values(claim: dict, given: dict, holds: dict, where: str = "") -> None:
    for name, value in given.items():
        fits, allowed = holds[name]
        _refuse(not fits(value), claim, f"has {name} {value!r}{where}; allowed is {allowed}")


def paths(check: dict) -> list[str]:
    """The numbers of a record that a check looks at."""
    sides = (check.get(key) for key in ("path", "left", "right"))
    return [side for side in sides if isinstance(side, str)]


def _refuse(condition: bool, claim: dict, what: str) -> None:
    if condition:
        raise ClaimError(f"claim {claim.get('id')} {what}")


def own(claims: list[dict]) -> list[dict]:
    """Those that answer a question of the book and are no claims of the paper."""
    return [claim for claim in claims if claim.get("of") == OWN]


def papers(claims: list[dict]) -> list[dict]:
    """The claims of the paper."""
    return [claim for claim in claims if claim.get("of") != OWN]


def checks_of(claim: dict, profile: str) -> list[dict]:
    """The checks that hold for a profile; none if the claim has no rule for it."""
    return claim["rule"].get(experiments.column(profile)) or claim["rule"].get("both") or []


def judge(claim: dict, values: Values, profile: str) -> Verdict:
    """The verdict of one claim on the records of one edition; ``undecided`` where checks that are ``close`` would make
    another of it, in a profile whose networks every machine trains anew."""
    shown = [(name, values.leaf(claim["artifact"], path)) for path, name in claim["show"].items()]
    ours = "; ".join(f"{name}: {formatted(leaf)}" for name, leaf in shown if leaf is not None)
    checks = checks_of(claim, profile)
    outcomes = [outcome(check, claim["artifact"], values) for check in checks]
    if any(check["kind"] == "not-testable" for check in checks):
        return Verdict("not testable", ours)
    if not outcomes or None in outcomes:
        return Verdict("not run", ours)
    near = [profile in REMADE and close(check, claim["artifact"], values) for check in checks]
    least = sum(holds and not open_ for holds, open_ in zip(outcomes, near, strict=True))
    possible = {_verdict(held, len(checks)) for held in range(least, least + sum(near) + 1)}
    return Verdict("undecided" if len(possible) > 1 else _verdict(sum(outcomes), len(checks)), ours, frozenset(possible))


def _verdict(held: int, checks: int) -> str:
    return "reproduced" if held == checks else "partly" if held else "not reproduced"


def outcome(check: dict, artifact: str, values: Values) -> bool | None:
    """Whether a check holds; None where a number it needs is missing."""
    found = _distance(check, artifact, values)
    if found is None:
        return None
    # a difference must be there, a limit may be met
    return found[0] > 0 if check["kind"] in ("greater", "paired") else found[0] >= 0


def close(check: dict, artifact: str, values: Values) -> bool:
    """Whether a check's number lies so near to its threshold that other weights of the same recipe may decide it the other
    way: within ``CLOSE`` of the width of its interval. A number without one is never close."""
    distance, width = _distance(check, artifact, values) or (math.inf, 0.0)
    return abs(distance) < CLOSE * width


def _distance(check: dict, artifact: str, values: Values) -> tuple[float, float] | None:
    """How far the number that decides a check lies on the good side of its threshold, and the width of the intervals that it
    comes from; None where a number is missing."""
    kind = check["kind"]
    if kind == "not-testable":
        return None
    leaves = [_operand(check[side], artifact, values) for side in ("left", "right", "path") if side in check]
    if None in leaves:
        return None
    leaf, width = leaves[0], sum(_end(each, "high") - _end(each, "low") for each in leaves)
    if kind == "greater":
        return _end(leaf, "low") - _end(leaves[1], "high") - check.get("margin", 0), width
    if kind == "between":
        return min(_end(leaf, "mean") - check["low"], check["high"] - _end(leaf, "mean")), width
    if kind == "equivalent":
        return min(_end(leaf, "low") - check["low"], check["high"] - _end(leaf, "high")), width
    if kind == "paired":
        return _end(leaf, "low") - check.get("margin", 0), width
    stated = values.paper(artifact, check.get("paper", check["path"]))
    if stated is None:
        return None
    above = _end(leaf, "mean") - _end(stated, "mean")
    return check["tolerance"] + (above if kind == "reaches" else -abs(above)), width


def _operand(side, artifact: str, values: Values):
    """The number or interval of one side; None where there is none, or only a word such as ``> 64 px``."""
    leaf = side if isinstance(side, (int, float)) else values.leaf(artifact, side)
    number = leaf.get("mean") if isinstance(leaf, dict) else leaf
    return leaf if isinstance(number, (int, float)) else None


def _end(leaf, end: str) -> float:
    """One end of an interval, or the number itself."""
    return leaf[end] if isinstance(leaf, dict) else float(leaf)


def in_words(check: dict, names: dict[str, str]) -> str:
    """A check as a reader sees it on the claims page; ``names`` is the claim's ``show``."""
    quantity = names.get(check.get("path"), "")
    match check["kind"]:
        case "greater":
            left, right = (names.get(check[side], check[side]) for side in ("left", "right"))
            margin = f" by more than {check['margin']}" if check.get("margin") else ""
            return f"{left} above {right}{margin}"
        case "between":
            return f"{quantity} between {check['low']} and {check['high']}"
        case "near":
            return f"{quantity} within {check['tolerance']} of the paper's"
        case "reaches":
            return f"{quantity} at least the paper's less {check['tolerance']}"
        case "equivalent":
            return f"whole interval of {quantity} within {check['low']} to {check['high']}"
        case "paired":
            return f"whole interval of {quantity} above {check.get('margin', 0)}"
    return f"not testable: {check['why']}"


def judged(numbers: Numbers) -> list[dict]:
    """All claims with the rule in words, the paper's number and the verdicts of this run and the published edition."""
    editions = {"run": (numbers.here, numbers.profile), "published": (numbers.edition, "paper")}
    rows = []
    for claim in load():
        verdicts = {}
        for name, (records, profile) in editions.items():
            if records:
                found = judge(claim, Values(records, numbers.stated), profile)
                verdicts[name] = {"verdict": found.verdict, "ours": found.ours, "possible": sorted(found.possible)}
        rule = "; ".join(in_words(check, claim["show"]) for check in checks_of(claim, numbers.profile))
        paper = re.sub(r"\{([^}]+)\}", lambda m: numbers.paper(*m[1].split("/")), str(claim["paper"]))
        rows.append(claim | {"rule": rule, "paper": paper, "verdicts": verdicts, "leaves": _leaves(claim, numbers)})
    return rows


def _leaves(claim: dict, numbers: Numbers) -> dict[str, dict[str, object]]:
    """The numbers that a claim shows by their names: the paper's, the published edition's and this run's, as far as each is
    there."""
    editions = {"published": numbers.edition} | ({} if numbers.alone else {"run": numbers.here})
    of = {name: Values(records, numbers.stated) for name, records in editions.items()}
    paper = Values(numbers.stated, {})
    return {
        name: {each: values.leaf(claim["artifact"], path) for each, values in {"paper": paper, **of}.items()}
        for path, name in claim["show"].items()
    }  # fmt: skip


def unexpected(numbers: Numbers) -> list[str]:
    """One line per claim whose verdict in this run, or in the published edition, differs from the one on record; an
    undecided one differs where it could not become that."""
    editions = {"run": (numbers.profile, ""), "published": ("paper", " (published edition)")}
    lines = []
    for claim in judged(numbers):
        for name, (profile, where) in editions.items():
            recorded = claim.get("recorded", {}).get(profile)
            judged_as = claim["verdicts"].get(name, {"verdict": "not run", "possible": ()})
            agrees = recorded in (None, judged_as["verdict"], *judged_as["possible"])
            if not agrees and (name == "run" or numbers.edition):
                lines.append(f"{claim['id']}{where}: recorded {recorded}, now {judged_as['verdict']}")
    return lines
