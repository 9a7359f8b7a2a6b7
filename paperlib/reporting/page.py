"""A report as one page: HTML without any request, for light and dark, the telephone and two sheets of paper.

The words and their order stand in ``page.html``, the style in ``page.css``; this module draws the pictures and fills it.
Whatever a reader named (networks, data, classes, commands) is escaped by the template.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paperlib import names
from paperlib.reporting import drawing
from paperlib.reporting.parts import PARTS
from paperlib.reporting.rules import percent, sized

FOLDER = Path(__file__).parent
ROLES = {"fragile": "A fragile image", "median": "A median image", "robust": "A robust image"}
VERDICTS = {"fine": "✓ fine", "look": "! look", "bad": "✗ misled", "": "–"}
# the section in which the number behind a sentence is shown; all others stand among the settings
SECTIONS = {
    "worst": "curve", "clean": "curve", "ranking": "curve", "published": "curve", "autoattack": "curve",
    "masking": "checks", "checks": "checks", "last_round": "checks", "indicator": "indicator", "notes": "answer",
}  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["percent"] = percent
    return found


def whole(values: dict, pictures: dict, *, numbers: str = "report.json") -> str:
    """The page as a file of its own; ``numbers`` is the file that holds every number."""
    return _filled(values, pictures, numbers, heading=1, alone=True)


def fragment(values: dict, pictures: dict) -> str:
    """The page's content with its style, to stand in a notebook below the notebook's own title."""
    return _filled(values, pictures, "report.json", heading=2, alone=False)


def _filled(values: dict, pictures: dict, numbers: str, *, heading: int, alone: bool) -> str:
    style = Markup((FOLDER / "page.css").read_text(encoding="utf-8"))
    levels = [f"h{min(heading + k, 6)}" for k in range(3)]
    view = _View(values, pictures)
    return (
        _environment()
        .get_template("page.html")
        .render(
            v=values, view=view, style=style, numbers=numbers, alone=alone, levels=levels, roles=ROLES, verdicts=VERDICTS
        )
    )


class _View:
    """What the template asks for: words, pictures and the places of evidence."""

    def __init__(self, values: dict, pictures: dict):
        self.values, self.pictures = values, pictures
        self.question, self.data = values["question"], values["data"]
        self.unit, self.scale, self.eps = self.question["unit"], self.question["pixel_scale"], self.question["eps"]
        self.networks = values["published"].get("networks", {})
        self.styles = {
            method: {"style": f"n{k % 6}", "mark": drawing.MARKS[k % 6]} for k, method in enumerate(self.networks)
        }
        self.own = {"style": "own", "mark": "circle"}
        held = [np.quantile(np.abs(picture["S"]), 0.95) for picture in pictures.values()]
        self.limit = float(max(held, default=1.0)) or 1.0

    @property
    def id(self) -> str:
        """Several reports may stand on one page."""
        return "r" + (self.data["sha256"] + (self.values["network"]["weights_sha256"] or ""))[-8:]

    @property
    def subject(self) -> str:
        """The data in words."""
        return names.label(names.DATA, self.data["name"] or "") or "the given images"

    def sized(self, size: float) -> str:
        """A size on the [0, 1] scale in the data's own unit."""
        return sized(f"{size * self.scale:.3g}", self.unit)

    def label(self, k: int) -> str:
        """A class by its name, or its number."""
        classes = self.data["class_names"]
        return classes[k] if k < len(classes) else str(k)

    def places(self, paths: list[str]) -> list[tuple[str, str]]:
        """Each path in words with the section that shows its number."""
        return [(path.replace("/", " › "), SECTIONS.get(path.split("/")[0], "settings")) for path in paths]

    def notes(self) -> list[str]:
        """What must be known beside the numbers; of the images that say nothing only where no check has said so."""
        found = [note["sentence"] for note in self.values["notes"]]
        kinds = {note["kind"] for note in self.values["notes"]}
        if self.data["not_finite"] and "not finite" not in kinds:
            found.append(f"The outputs are not finite for {self._named('not_finite')}; these count as wrong everywhere.")
        if self.data["no_gradient"] and "zero gradient" not in kinds:
            found.append(
                f"The gradient says nothing for {self._named('no_gradient')}; these are left out of the indicator and of "
                "the surfaces, and attacks that follow gradients are blind there."
            )
        return found

    def _named(self, key: str) -> str:
        images = [self.data["indices"][k] for k in self.data[key]]
        shown = ", ".join(map(str, images[:8])) + (", …" if len(images) > 8 else "")
        return f"{len(images)} of {self.data['images']} images ({shown})"

    # The curve.

    @property
    def published_images(self) -> str:
        """Of how many images the published worst cases are."""
        counts = {each["n"] for network in self.networks.values() for each in network["worst"].values()}
        return " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)}))

    def legend(self) -> list[dict]:
        """This network and the published ones, each with its mark and its worst case at the size asked for."""
        rows = [(self.own, "this network", self.values)]
        rows += [(self.styles[method], network["label"], network) for method, network in self.networks.items()]
        common = (self.values.get("ranking") or {}).get("size")
        found = []
        for style, label, of in rows:
            size = self.question["key"] if self.question["key"] in of["worst"] else common
            at = f"{percent(of['worst'][size])} at {sized(size, self.unit)}" if size in of["worst"] else ""
            found.append({"swatch": Markup(drawing.swatch(**style)), "label": label, "at": at})
        return found

    def curve(self) -> Markup:
        """Accuracy against the size."""
        lines = [self.styles[method] | {"points": _points(of["clean"], of["worst"])} for method, of in self.networks.items()]
        lines.append(self.own | {"points": _points(self.values["clean"], self.values["worst"])})
        worst = ", ".join(f"{percent(each)} at {sized(key, self.unit)}" for key, each in self.values["worst"].items())
        alt = f"Worst-case accuracy against the size of the perturbation: {percent(self.values['clean'])} at 0, {worst}"
        return Markup(drawing.curve(lines, self.eps * self.scale, self.unit, alt))

    # The indicator.

    def panels(self) -> list[dict]:
        """The parts of the indicator, each with its title, picture and how many values it cannot show."""
        found = []
        for name, part in self.values["indicator"]["parts"].items():
            label, length = PARTS[name]
            scale = self.scale if length else 1
            unit = f", in 1{self.unit}" if length and self.unit else ""
            median = f"{part['mean'] * scale:.3g} [{part['low'] * scale:.3g}, {part['high'] * scale:.3g}]"
            others = [
                self.styles[method] | {"value": of["indicator"][name]["median"]} for method, of in self.networks.items()
            ]
            alt = f"Distribution of {label}{unit}, median {median}"
            picture = Markup(drawing.distribution(part, others, scale, alt)) if part["edges"] else ""
            found.append({"title": f"{label}{unit}: {median}", "picture": picture, "zeros": part["zeros"]})
        return found

    # The images.

    def surface(self, role: str) -> Markup:
        """The decision surface of one image."""
        held, S = self.pictures[role], self.values["examples"][role]["S"]
        alt = f"{ROLES[role]}: decision surface, S = {S:.3g} at the image"
        return Markup(
            drawing.surface(
                np.asarray(held["S"]), np.asarray(held["axis"]), eps=self.eps, limit=self.limit, scale=self.scale,
                unit=self.unit, alt=alt,
            )
        )  # fmt: skip

    def colours(self) -> Markup:
        """The scale of all surfaces."""
        return Markup(drawing.scale_bar(self.limit))

    def shots(self, role: str) -> list[dict]:
        """The image, what was changed in it, and the image after that."""
        held, numbers = self.pictures[role], self.values["examples"][role]
        image, attacked = (np.asarray(held[name], dtype=float) for name in ("image", "attacked"))
        right, seen, after = (self.label(numbers[key]) for key in ("class", "predicted", "attacked"))
        change = f"{numbers['changed']:.0f} % of values, at most {self.sized(numbers['linf'])}"
        times = f"{0.5 / self.eps:.3g}"
        rows = (
            (image, f"{ROLES[role]} of class {right}", f"image: {seen}"),
            (0.5 + (attacked - image) * 0.5 / self.eps, f"The change, times {times} around grey", f"change: {change}"),
            (attacked, f"The same after the attack, classified as {after}", f"attacked: {after}, {self._outcome(numbers)}"),
        )
        return [{"address": drawing.photograph(pixels), "alt": alt, "words": words} for pixels, alt, words in rows]

    def _outcome(self, numbers: dict) -> str:
        if numbers["attacked"] != numbers["class"]:
            return f"not {self.label(numbers['class'])}"
        broken = numbers["broken_at"] is not None and numbers["broken_at"] <= self.eps
        return "still right here, broken in the worst case" if broken else "still right"


def _points(clean: dict, worst: dict) -> list[tuple[float, float, float, float]]:
    rows = [(0.0, clean), *((float(key), found) for key, found in worst.items())]
    return [(size, of["mean"], of["low"], of["high"]) for size, of in sorted(rows, key=lambda row: row[0])]
