"""Ways to the boundary, from above and as curves."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from paperlib.drawings import maps, style

WAYS = {
    "random": "random signs", "crossentropy": "cross-entropy", "leastlikely": "least likely class", "cw": "C&W",
}  # fmt: skip
WAY_COLOURS = {"random": "#666666", "crossentropy": "#CC79A7", "leastlikely": "#E69F00", "cw": "#D55E00"}


def projections(arrays: Mapping[str, np.ndarray], *, reach: float, names: tuple[str, ...] | None = None) -> Figure:
    """Fig. 4: the loss (upper row) and S (lower row) on one plane a column, arrows to the boundary with their lengths.

    ``arrays``: ``axis``, ``image``, ``label``; ``loss/<way>`` and ``decision/<way>`` grids; ``distance/<way>`` along
    alpha and beta in steps; ``u/<way>``, ``landed/<way>``, ``label/<way>``: the step, the image beyond the boundary.
    """
    side, gap, thumb = 2.75, 0.3, 0.86
    scales = {row: maps.levels_of(row, [arrays[f"{row}/{way}"] for way in WAYS]) for row in ("loss", "decision")}
    with style.book():
        figure = plt.figure(figsize=(1.0 + 4 * (side + gap) + 1.1, 2 * side + gap + 2.55))
        for column, way in enumerate(WAYS):
            left = 1.0 + column * (side + gap)
            for row, bottom in (("loss", side + gap + 2.05), ("decision", 2.05)):
                ax = maps.axes_at(figure, left, bottom, side, side)
                maps.level_map(ax, arrays["axis"], arrays[f"{row}/{way}"], arrays[f"decision/{way}"], scales[row])
                _ways(ax, arrays["axis"][-1], arrays[f"distance/{way}"], reach, WAY_COLOURS[way])
                ax.tick_params(labelleft=column == 0, labelbottom=row == "decision")
                if row == "loss":
                    ax.set_title(WAYS[way])
                else:
                    ax.set_xlabel("α (steps of 1/255)")
                if column == 0:
                    ax.set_ylabel("β (steps of 1/255)")
            _landing(figure, left, arrays, way, side, thumb, names)
        for row, bottom in (("loss", side + gap + 2.05), ("decision", 2.05)):
            maps.bar(figure, maps.axes_at(figure, 1.0 + 4 * (side + gap), bottom, 0.22, side), row, scales[row])
        return style.finished(figure)


def _ways(ax: Axes, extent: float, distance: np.ndarray, reach: float, colour: str) -> None:
    """Arrows along alpha and beta as long as the distance to the boundary, cut at the border, with that distance."""
    ends = ((1, 0), (0, 1))
    for length, (a, b), shade in zip(distance, ends, (colour, WAY_COLOURS["random"]), strict=True):
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


def _landing(figure: Figure, left: float, arrays: Mapping, way: str, side: float, thumb: float, names) -> None:
    """Below a column: the image, the step along alpha (only its pattern), and the image just across the boundary."""
    before, after = (names[int(i)] if names else int(i) for i in (arrays["label"][0], arrays[f"label/{way}"][0]))
    u, landed = arrays[f"u/{way}"], arrays[f"landed/{way}"]
    pictures = ((arrays["image"], f"{before}"), (0.5 + 0.5 * u, "u"), (landed, f"{after}"))
    for place, (pixels, title) in enumerate(pictures):
        ax = maps.axes_at(figure, left + place * (side - thumb) / 2, 0.2, thumb, thumb)
        style.picture(ax, pixels)
        ax.set_title(title, fontsize=15, pad=4)


def distance_curves(distance: dict[str, Float[np.ndarray, "n"]], *, reach: float) -> Figure:
    """The share of images whose boundary lies within a number of steps, one line a direction."""
    with style.book():
        figure, ax = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
        for way, of in distance.items():
            found = np.sort(of[np.isfinite(of)])
            share = 100 * np.arange(1, len(found) + 1) / len(of)
            ends = ([0, *found, reach], [0, *share, share[-1] if len(share) else 0])
            ax.step(*ends, where="post", color=WAY_COLOURS[way], label=WAYS[way])
        ax.set(xscale="symlog", xlim=(0, reach), ylim=(0, 102), xlabel="distance to the boundary (steps of 1/255)")
        ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylabel("images (%)")
        ax.legend(frameon=False)
        return style.finished(figure)
