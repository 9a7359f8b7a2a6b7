"""Maps of S and of the loss: their scales, levels and bars."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float, **options) -> Axes:
    """Axes at a place in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h), **options)


@dataclass(frozen=True)
class Scale:
    """One objective's colours and levels, the same in every panel: S up to 1.5 times the largest S of a drawn image."""

    levels: Float[np.ndarray, "k"]
    cmap: str
    extend: str
    label: str

    @property
    def colours(self) -> dict:
        """Matplotlib's keywords, which give the same colour to the same value in maps, landscapes and bars."""
        steps = plt.get_cmap(self.cmap).N
        return {"cmap": self.cmap, "norm": BoundaryNorm(self.levels, steps, extend=self.extend)}


def scale_of(objective: str, arrays: Mapping, shown_panels: list) -> Scale:
    values = [arrays[f"values_{k}"] for k, panel in enumerate(shown_panels) if panel.objective == objective]
    if objective == "decision":
        top = rounded(1.5 * max(abs(float(grid[len(grid) // 2, len(grid) // 2])) for grid in values))
        return Scale(np.linspace(-top, top, 21), "RdBu", "both", "S: correct above 0")
    top = rounded(max(float(np.quantile(grid, 0.98)) for grid in values))
    return Scale(np.linspace(0, top, 21), "viridis", "max", "cross-entropy (nats)")


def rounded(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-6)))
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * step >= value * (1 - 1e-9))


def tick(value: float, _: int) -> str:
    return f"{value:g}".replace("-", "−")


def bar(figure: Figure, ax: Axes, objective: str, scale: Scale) -> None:
    bar = figure.colorbar(plt.cm.ScalarMappable(**scale.colours), cax=ax, ticks=scale.levels[::5], format=tick)
    bar.set_label(scale.label)
    if objective == "decision":
        bar.ax.axhline(0, color="black", linewidth=3.5)


def levels_of(objective: str, grids: list[np.ndarray]) -> Scale:
    """One scale for several grids of the same objective."""
    values = np.concatenate([grid.ravel() for grid in grids])
    if objective == "decision":
        top = rounded(float(np.quantile(np.abs(values), 0.98)))
        return Scale(np.linspace(-top, top, 21), "RdBu", "both", "S, right above 0")
    return Scale(np.linspace(0, rounded(float(np.quantile(values, 0.98))), 21), "viridis", "max", "loss (nats)")


def level_map(ax: Axes, axis: np.ndarray, values: np.ndarray, S: np.ndarray, scale: Scale) -> None:
    """One surface as level lines, and the boundary S = 0 as a thick line."""
    ax.contourf(axis, axis, values, scale.levels, cmap=scale.cmap, extend=scale.extend)
    ax.contour(axis, axis, values, scale.levels, colors="#333333", linewidths=0.5, linestyles="solid", alpha=0.6)
    if S.min() < 0 < S.max():
        ax.contour(axis, axis, S, [0], colors="white", linewidths=5)
        ax.contour(axis, axis, S, [0], colors="black", linewidths=3)
    ticks = [axis[0], 0, axis[-1]]
    ax.set(aspect="equal", xlim=axis[[0, -1]], ylim=axis[[0, -1]], xticks=ticks, yticks=ticks)
    for label, side in zip(ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
