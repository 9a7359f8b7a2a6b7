"""Numbers as a picture: dots with intervals on one axis, a line each, as HTML that follows the page's width and colours."""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from paperlib.numbers import formatted, is_interval, short

# the columns of the book in the order in which they stand in a line, and how each is marked
SERIES = {"paper": "Paper", "published": "Published edition", "worst": "worst case, published edition", "run": "This run"}
# a dot's place below the middle of its line, in pixels, by the number of series in the picture
SHIFTS = {1: (0,), 2: (-5, 5), 3: (-7, 0, 7), 4: (-9, -3, 3, 9)}
# characters that stand beside each other below an axis on a wide page
AXIS = 38
MARKS = {
    "paper": '<path class="dots-hollow" d="M0-6L6 0L0 6L-6 0Z"/>',
    "published": '<circle r="5"/>',
    "worst": '<path d="M-5-5H5V5H-5Z"/>',
    "run": '<path d="M0-6L6 5H-6Z"/>',
}


@dataclass(frozen=True)
class Line:
    """One line of a picture: what is counted, in words, and its number or interval in each series that has one."""

    name: str
    leaves: Mapping[str, object]


def picture(lines: list[Line], *, title: str = "", at: float | None = None, names: Mapping[str, str] = SERIES) -> str:
    """Lines as HTML without an empty line, one axis for each unit; empty without any number. ``at``: a rule at a number.

    Markdown takes it for one block. A bound in words, such as ``> 10``, has no dot and stands beside the others.
    """
    kept = [Line(line.name, {key: leaf for key, leaf in line.leaves.items() if _fits(leaf)}) for line in lines]
    kept = [line for line in kept if any(map(_ends, line.leaves.values()))]
    if not kept:
        return ""
    series = [key for key in SERIES if any(key in line.leaves for line in kept)]
    shifts = dict(zip(series, SHIFTS[len(series)], strict=True))
    groups: dict[str, list[Line]] = {}
    for line in kept:
        groups.setdefault(_unit(line), []).append(line)
    keys = "".join(_key(key, names[key]) for key in series) if len(series) > 1 else ""
    caption = f"<figcaption>{html.escape(title)}{keys}</figcaption>\n" if title or keys else ""
    body = "\n".join(_axis(group, unit, shifts, at) for unit, group in groups.items())
    return f'<figure class="dots">\n{caption}{body}\n</figure>'


def _key(series: str, name: str) -> str:
    mark = f'<svg class="dots-key dots-{series}" viewBox="-8 -8 16 16" aria-hidden="true">{MARKS[series]}</svg>'
    return f' <span class="dots-legend">{mark} {html.escape(name)}</span>'


def _fits(leaf: object) -> bool:
    return isinstance(leaf, str) or _ends(leaf) is not None


def _ends(leaf: object) -> tuple[float, float, float] | None:
    """Low, mean and high of a number or interval; None for words, groups and what is not finite."""
    ends = (leaf["low"], leaf["mean"], leaf["high"]) if is_interval(leaf) else (leaf, leaf, leaf)
    fits = all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in ends)
    return ends if fits else None


def _unit(line: Line) -> str:
    """The unit of a line's intervals; ``%`` where they name none, nothing for numbers without an interval."""
    for leaf in line.leaves.values():
        if is_interval(leaf):
            return leaf.get("unit", "%")
    return ""


def _axis(lines: list[Line], unit: str, shifts: Mapping[str, int], at: float | None) -> str:
    ends = [end for line in lines for leaf in line.leaves.values() for end in _ends(leaf) or ()]
    low, high, logarithmic = extent([*ends, *([] if at is None else [at])], unit)
    ticks = marks_of(low, high, logarithmic)

    def place(value: float) -> str:
        return f"{100 * share(value, low, high, logarithmic):.2f}%"

    grid = "".join(f'<line class="dots-grid" x1="{place(tick)}" x2="{place(tick)}" y1="0" y2="100%"/>' for tick in ticks)
    if at is not None:
        grid += f'<line class="dots-at" x1="{place(at)}" x2="{place(at)}" y1="0" y2="100%"/>'
    rows = [_row(line, shifts, grid, place) for line in lines]
    numbers = "".join(
        f'<text x="{place(ticks[k])}" y="14" text-anchor="{_anchor(k, len(ticks))}">{html.escape(_tick(ticks[k]))}</text>'
        for k in told_apart([_tick(tick) for tick in ticks], [share(tick, low, high, logarithmic) for tick in ticks])
    )
    foot = (
        '<div class="dots-row dots-axis" aria-hidden="true"><span></span>'
        f'<svg class="dots-line" width="100%" height="18">{numbers}</svg><span>{html.escape(unit)}</span></div>'
    )
    return "\n".join([*rows, foot])


def told_apart(words: list[str], places: list[float]) -> list[int]:
    """Which of an axis's numbers are written: the first, the last, and those between that touch none of the others.

    >>> told_apart(["1", "10", "100", "1000", "10000"], [0, 0.1, 0.5, 0.9, 1])
    [0, 1, 2, 4]
    """

    def apart(i: int, j: int) -> bool:
        # the numbers at both ends lie wholly inside the axis
        reach = [len(words[k]) * (1 if k in (0, len(words) - 1) else 0.5) for k in (i, j)]
        return (places[j] - places[i]) * AXIS >= sum(reach) + 1

    kept = [0]
    for k in range(1, len(words) - 1):
        if apart(kept[-1], k) and apart(k, len(words) - 1):
            kept.append(k)
    return kept + [len(words) - 1] * (len(words) > 1)


def _anchor(k: int, n: int) -> str:
    return "start" if k == 0 else "end" if k == n - 1 else "middle"


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _row(line: Line, shifts: Mapping[str, int], grid: str, place) -> str:
    height = 18 + 6 * len(shifts)
    marks, told = "", ""
    for series, shift in shifts.items():
        if series not in line.leaves:
            continue
        leaf = line.leaves[series]
        told += f'<span class="dots-told dots-{series}">{_told(leaf)}</span>'
        if isinstance(leaf, str):
            continue
        low, mean, high = _ends(leaf)
        y = height / 2 + shift
        span = f'<line x1="{place(low)}" x2="{place(high)}" y1="{y:g}" y2="{y:g}"/>' if low < high else ""
        dot = f'<svg x="{place(mean)}" y="{y:g}" overflow="visible">{MARKS[series]}</svg>'
        marks += f'<g class="dots-{series}">{span}{dot}</g>'
    strip = f'<svg class="dots-line" width="100%" height="{height}" aria-hidden="true">{grid}{marks}</svg>'
    name = f'<span class="dots-name">{html.escape(line.name)}</span>'
    return f'<div class="dots-row">{name}{strip}<span class="dots-numbers">{told}</span></div>'


def _told(leaf: object) -> str:
    """The number beside its dot, as HTML; its interval in small print, for a narrow page may leave it out."""
    text = html.escape(formatted(leaf) if is_interval(leaf) or isinstance(leaf, str) else short(leaf))
    return re.sub(r" (\[.*\])$", r" <small>\1</small>", text)


def extent(values: list[float], unit: str = "") -> tuple[float, float, bool]:
    """Both ends of an axis that holds all values, and whether it is logarithmic: positive numbers more than 50-fold apart.

    >>> extent([3.0, 97.0], "%"), extent([1e-6, 1.0])
    ((0.0, 100.0, False), (1e-06, 1.0, True))
    """
    low, high = min(values), max(values)
    if unit == "%" and low >= 0 and high <= 100:
        return 0.0, 100.0, False
    if low > 0 and high / low > 50:
        return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)), True
    low, high = min(low, 0.0), max(high, 0.0)
    step = _step((high - low) or 1.0)
    low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return low, high if high > low else low + step, False


def marks_of(low: float, high: float, logarithmic: bool) -> list[float]:
    """Round numbers along an axis.

    >>> marks_of(0, 100, False), marks_of(0.01, 100, True)
    ([0.0, 25.0, 50.0, 75.0, 100.0], [0.01, 0.1, 1.0, 10.0, 100.0])
    """
    if logarithmic:
        first, last = round(math.log10(low)), round(math.log10(high))
        every = max(1, math.ceil((last - first) / 6))
        return [10.0**power for power in range(first, last + 1, every)]
    step = 25.0 if (low, high) == (0, 100) else _step(high - low)
    return [round(low + k * step, 12) + 0.0 for k in range(round((high - low) / step) + 1)]


def _step(width: float) -> float:
    """A round step that divides a width into two to five parts."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * step for step in (0.2, 0.5, 1, 2, 5, 10) if width / (power * step) <= 5 + 1e-9)


def share(value: float, low: float, high: float, logarithmic: bool) -> float:
    """Where a value lies between both ends of an axis, from 0 to 1."""
    if logarithmic:
        value, low, high = (math.log(max(each, 1e-300)) for each in (value, low, high))
    return (value - low) / (high - low)
