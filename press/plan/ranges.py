"""What a notebook's parameters may be, beyond their type: one table, which every way to run a notebook asks before any work.

A parameter of a kind of figure that the table lacks may be anything of its type.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from press.plan.settings import ExperimentError, choice

# the unit of sizes by the number of its steps in the range of an image
UNITS = {1: "the range of grey images", 255: "the range of colour images in 1/255"}
# the value that leaves the choice of a test image to the figure
CHOSEN = ", or -1 for the one that the figure's rule chooses"


@dataclass(frozen=True)
class Range:
    """Numbers from ``least`` to ``most``, ``above`` the first where it is no allowed value itself; ``odd`` ones; one
    ``or_none``; one ``or_chosen``, -1. A ``size`` is at most the range of the images: 1 on grey ones, 255 on colour."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    odd: bool = False
    size: bool = False
    or_none: bool = False
    or_chosen: bool = False

    def holds(self, value: object, scale: int) -> bool:
        """Whether a number is allowed on images of so many steps."""
        if value is None or isinstance(value, bool | str):
            return value is None and self.or_none
        if self.or_chosen and value == -1:
            return True
        low = value > self.least if self.above else value >= self.least
        return low and value <= min(self.most, scale if self.size else math.inf) and not (self.odd and value % 2 == 0)

    def told(self, scale: int) -> str:
        """The same in words."""
        kind, most = "odd numbers" if self.odd else "numbers", scale if self.size else self.most
        low = f"above {self.least:g}" if self.above else f"from {self.least:g}"
        high = f" up to {most:g}" if most < math.inf else ""
        size, none = f", {UNITS[scale]}" if self.size else "", ", or null" if self.or_none else ""
        return f"{kind} {low}{high}{size}{none}" + (CHOSEN if self.or_chosen else "")


@dataclass(frozen=True)
class Words:
    """Some words and no others."""

    allowed: tuple[str, ...]

    def holds(self, value: object, scale: int) -> bool:
        """Whether a word is one of them."""
        return value in self.allowed

    def told(self, scale: int) -> str:
        """The words."""
        return ", ".join(self.allowed)


COUNT, NONE_OR_MORE, POSITIVE = Range(1), Range(0), Range(0, above=True)
SIZE, GRID = Range(0, above=True, size=True), Range(3, odd=True)
LEVEL = Words(("quick", "standard", "strong"))
DRAWN = Range(0, or_chosen=True)

# what a name means in every notebook that has it
COMMON = {
    **dict.fromkeys(("images", "noise_images", "hessian_images", "masking_images", "sample", "strong", "held_out"), COUNT),
    **dict.fromkeys(("pgd_steps", "long_steps", "attack_steps", "masking_steps", "pairs", "draws", "restarts"), COUNT),
    **dict.fromkeys(("rounds", "batches", "columns"), COUNT),
    **dict.fromkeys(("seed", "attacked", "hours", "measured_extent", "oracle", "slack"), NONE_OR_MORE),
    **dict.fromkeys(("extent", "parameter_extent", "reach", "beta", "h", "vanishing"), POSITIVE),
    **dict.fromkeys(("eps", "step_size", "unit"), SIZE),
    **dict.fromkeys(("measured_steps", "parameter_steps"), GRID),
    "level": LEVEL, "view": Words(("2d", "both")), "image": NONE_OR_MORE, "steps": COUNT,
}  # fmt: skip
# and where it means something else
OWN = {
    "surfaces": {"image": DRAWN, "steps": GRID},
    "projections": {"image": DRAWN, "steps": GRID, "noise": Range(0, 255, above=True)},
    "curvature": {"steps": Range(3), "extent": Range(0, 1, above=True), "point": Range(-1, 1, or_none=True)},
    "indicator": {
        "digit": Range(0, 9), "noise": Range(0, 1, above=True), "share_J": Range(0, 100), "share_H": Range(0, 100),
        "draws": Range(2),
    },
    "hessian": {
        "h": SIZE, "scale": SIZE, "beside": Range(0, 1, above=True), "share_natural": Range(0, 100),
        "share_minmax": Range(0, 100), "points": Range(0, 100), "norm_ratio": POSITIVE, "factor": Range(1),
    },
    "population": {
        **dict.fromkeys(("clever_images", "samples", "targets", "weights_images", "directions", "points"), COUNT),
        **dict.fromkeys(("clever_points", "rungs"), COUNT), "radius": POSITIVE, "reach": SIZE,
        "level": Words(("short", *LEVEL.allowed)),
    },
    "jacobians": {"classes": Range(0, 9), "ink": Range(0, 1), "edges": Range(0, 1, above=True)},
}  # fmt: skip
# where a parameter has a value for grey and one for colour images
PAIRS = {"strong": ("eps", "step_size", "images", "strong", "oracle", "restarts")}
# of the first, no more than of the second
WITHIN = {
    "strong": "images",
    "hessian_images": "images",
    "masking_images": "images",
    "oracle": "strong",
    "clever_images": "images",
    "weights_images": "images",
    "clever_points": "points",
}


def range_of(notebook: str, name: str) -> Range | Words | None:
    """What a parameter may be, each of its values where it is a list; None where only its type counts."""
    return OWN.get(notebook, {}).get(name) or COMMON.get(name)


def check(
    notebook: str, parameters: dict[str, object], roles: list[str], scale: Callable[[], int], where: str = ""
) -> None:  # fmt: skip
    """Raises a Refusal for a value that no measurement could use, naming parameter, value and what is allowed.

    ``parameters``: all of the notebook; ``roles``: what its networks are called; ``scale()``: how many steps of a size the
    images' range has, asked for only where it decides.
    """
    for name, value in parameters.items():
        allowed = range_of(notebook, name)
        if allowed is None:
            continue
        if value in ([], ()):
            raise ExperimentError(f"parameter {name}{where} is an empty list; allowed is at least one value")
        for part, steps in _parts(notebook, name, value, scale):
            # a size of up to 1 fits images of either kind, and no data need be looked at
            small = isinstance(part, int | float) and part <= 1
            if not allowed.holds(part, 1 if small else steps()):
                kind = "a list of " if isinstance(value, list | tuple) else ""
                told = allowed.told(steps())
                raise ExperimentError(
                    f"parameter {name}{where} is {value!r}; allowed {'is' if kind else 'are'} {kind}{told}"
                )
    _check_within(notebook, parameters, where)
    if notebook == "surfaces":
        check_pictures(parameters, roles)


def check_pictures(parameters: dict[str, object], roles: list[str]) -> None:
    """Raises a Refusal for ``panels``, ``levels``, ``measures`` or comparisons that surfaces of these roles cannot have."""
    # late: of all kinds of figures one alone needs them
    from paperlib import panels
    from paperlib.measures.shapes import MEASURES

    shown = panels.panels(parameters["panels"], roles)
    fields = [field.name for field in dataclasses.fields(panels.Panel)]
    for level in parameters["levels"]:
        choice("panel field (levels)", level, fields)
    for name in parameters["measures"]:
        choice("measure of a surface (measures)", name, ["distance", *MEASURES])
    groups = list(panels.measured(shown, parameters["levels"]))
    for key, pair in parameters["compare"].items():
        kind, _, name = key.partition("/")
        if kind not in ("ratio", "paired") or not name or not isinstance(pair, list | tuple) or len(pair) != 2:
            allowed = "ratio/MEASURE: [first, second] and paired/MEASURE: [first, second]"
            raise ExperimentError(f"compare holds {key}: {pair!r}; allowed are {allowed}")
        for group in pair:
            choice(f"group of panels (compare {key})", group, groups, also=roles if parameters["indicator"] else [])


def _parts(notebook: str, name: str, value: object, scale: Callable[[], int]) -> list[tuple[object, Callable[[], int]]]:
    """Every single value with the scale that it is held against."""
    if notebook in PAIRS and name in PAIRS[notebook]:
        kinds = [(1, value[:1]), (255, value[1:])] if isinstance(value, list | tuple) else [(1, value)]
        return [(part, lambda steps=steps: steps) for steps, each in kinds for part in _flat(each)]
    return [(part, scale) for part in _flat(value)]


def _flat(value: object) -> list:
    return [part for item in value for part in _flat(item)] if isinstance(value, list | tuple) else [value]


def _check_within(notebook: str, parameters: dict[str, object], where: str) -> None:
    for name, most in WITHIN.items():
        if name in parameters and most in parameters:
            pairs = zip(_flat(parameters[name]), _flat(parameters[most]), strict=False)
            if any(few > many for few, many in pairs):
                raise ExperimentError(
                    f"parameter {name}{where} is {parameters[name]!r}; allowed is at most {most}, {parameters[most]!r}"
                )


def check_counts(notebook: str, parameters: dict[str, object], images: int, where: str = "") -> None:
    """Raises ExperimentError where more test ``images`` are asked for than there are, or one that is not there."""
    for name in ("images", "noise_images", "attacked", "sample"):
        found = [part for part in _flat(parameters.get(name, 0)) if part > images]
        if found and notebook not in PAIRS:
            raise ExperimentError(f"parameter {name}{where} is {found[0]!r}; allowed are up to {images}, all test images")
    image = parameters.get("image", 0)
    if isinstance(image, int) and image >= images:
        chosen = CHOSEN if range_of(notebook, "image") == DRAWN else ""
        raise ExperimentError(f"parameter image{where} is {image}; allowed are 0 to {images - 1}, the test images{chosen}")
