"""Ways to the boundary, from above and as curves."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from paperlib import names
from paperlib.drawings import maps, style
from paperlib.record import Record

WAYS = {way: names.DIRECTIONS[way] for way in ("random", "crossentropy", "leastlikely", "cw")}
SIDE, GAP = 3.1, 0.3  # inches


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    sizes = ", ".join(f"{size:g}/255" for size in record.parameters["noise"])
    return {"far": f"{record.parameters['reach']:g}", "sizes": sizes}


def projections(record: Record) -> list[Figure]:
    """Fig. 4, a figure a direction: the loss above S on one plane, arrows to the boundary with their lengths.

    Below stand the image, the step along alpha and the image beyond the boundary. All figures have one scale.
    """
    rows = {"loss": SIDE + GAP + 2.05, "decision": 2.05}
    scales = {row: maps.levels_of(row, [record.arrays[f"{row}/{way}"] for way in WAYS]) for row in rows}
    return [_column(record, way, rows, scales) for way in WAYS]


def _column(record: Record, way: str, rows: dict[str, float], scales: dict[str, maps.Scale]) -> Figure:
    left = 1.0
    with style.book():
        figure = plt.figure(figsize=(left + SIDE + 1.6, 2 * SIDE + GAP + 2.55))
        for row, bottom in rows.items():
            ax = maps.axes_at(figure, left, bottom, SIDE, SIDE)
            _plane(ax, record, way, row, scales[row])
            ax.tick_params(labelbottom=row == "decision")
            ax.set_ylabel("β (steps of 1/255)")
            maps.bar(figure, maps.axes_at(figure, left + SIDE + GAP, bottom, 0.22, SIDE), row, scales[row])
        _landing(figure, left, record, way)
        return style.finished(figure)


def _plane(ax: Axes, record: Record, way: str, row: str, scale: maps.Scale) -> None:
    """One plane as a map with its arrows; its name stands above the upper row."""
    axis, S = record.arrays["axis"], record.arrays[f"decision/{way}"]
    maps.level_map(ax, axis, record.arrays[f"{row}/{way}"], S, scale)
    _ways(ax, axis[-1], record.arrays[f"distance/{way}"], record.parameters["reach"], WAYS[way].colour)
    if row == "loss":
        ax.set_title(WAYS[way].label)
    else:
        ax.set_xlabel("α (steps of 1/255)")


def _ways(ax: Axes, extent: float, distance: np.ndarray, reach: float, colour: str) -> None:
    """Arrows along alpha and beta as long as the distance to the boundary, cut at the border, with that distance."""
    ends = ((1, 0), (0, 1))
    for length, (a, b), shade in zip(distance, ends, (colour, WAYS["random"].colour), strict=True):
        tip = min(length, extent)
        ax.annotate(
            "", (a * tip, b * tip), (0, 0), zorder=4,
            arrowprops={"facecolor": shade, "edgecolor": "white", "width": 3, "headwidth": 10, "headlength": 9,
                        "shrink": 0},
        )  # fmt: skip
        text = f"{length:.1f}" if np.isfinite(length) else f"> {reach:g}"
        place = (0.6 * extent, -0.18 * extent) if a else (-0.3 * extent, 0.75 * extent)
        ax.text(*place, text, ha="center", va="center", color="black", fontsize=14, zorder=6,
                bbox={"facecolor": "white", "edgecolor": shade, "pad": 2, "alpha": 0.9})  # fmt: skip
    ax.plot(0, 0, "o", color="white", markeredgecolor="black", markersize=8, zorder=5)


def _landing(figure: Figure, left: float, record: Record, way: str) -> None:
    """Below a column: the image, the step along alpha (only its pattern), and the image just across the boundary."""
    arrays, classes, thumb = record.arrays, names.data(record.data["name"]).classes, 0.86
    before, after = (classes[int(i)] if classes else int(i) for i in (arrays["label"][0], arrays[f"label/{way}"][0]))
    u, landed = arrays[f"u/{way}"], arrays[f"landed/{way}"]
    pictures = ((arrays["image"], f"{before}"), (0.5 + 0.5 * u, "u"), (landed, f"{after}"))
    for place, (pixels, title) in enumerate(pictures):
        ax = maps.axes_at(figure, left + place * (SIDE - thumb) / 2, 0.2, thumb, thumb)
        style.picture(ax, pixels)
        ax.set_title(title, fontsize=15, pad=4)


def distance_curves(record: Record) -> Figure:
    """The share of images whose boundary lies within a number of steps, one line a direction."""
    reach = record.parameters["reach"]
    with style.book():
        figure, ax = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
        for way, name in WAYS.items():
            of = record.arrays[f"distances/{way}"]
            found = np.sort(of[np.isfinite(of)])
            share = 100 * np.arange(1, len(found) + 1) / len(of)
            ends = ([0, *found, reach], [0, *share, share[-1] if len(share) else 0])
            ax.step(*ends, where="post", color=name.colour, label=name.label)
        ax.set(xscale="symlog", xlim=(0, reach), ylim=(0, 102), xlabel="distance to the boundary (steps of 1/255)")
        ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylabel("images (%)")
        ax.legend(frameon=False)
        return style.finished(figure)
