"""A slice with its tangent and its osculating circle."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from paperlib.drawings import style
from paperlib.names import COLOURS


def osculating(drawn: Mapping[str, object], circle: tuple[float, float, float], *, units: tuple[str, str]) -> Figure:
    """Fig. 5: a slice of S with its tangent and its osculating circle at one point, one scale on both axes.

    ``drawn``: ``t``, ``smooth``, ``relu`` (the slice of the softplus copy and as it is), ``point`` (t, S), ``slope``;
    ``circle``: its centre and radius; ``units``: what one unit of each axis is.
    """
    t, (at, value), (centre_t, centre_S, radius) = drawn["t"], drawn["point"], circle
    with style.book():
        figure, ax = plt.subplots(figsize=(8.5, 8), layout="constrained")
        ax.plot(t, drawn["relu"], color="#777777", linestyle=":", linewidth=3, label="S as it is (ReLU)")
        ax.plot(t, drawn["smooth"], color="black", linewidth=3, label="S, softplus copy")
        reach = np.array([-0.5, 0.5]) / math.hypot(1, drawn["slope"])
        ax.plot(at + reach, value + drawn["slope"] * reach, color=COLOURS["robust"], label="tangent: slope S′")
        ax.add_patch(plt.Circle((centre_t, centre_S), radius, fill=False, color=COLOURS["natural"], linewidth=2))
        ax.plot([], [], color=COLOURS["natural"], label="osculating circle: 1/R = κ")
        ax.plot([centre_t, at], [centre_S, value], color=COLOURS["natural"], linewidth=1.2)
        ax.text(centre_t, centre_S, f" R = {radius:.2f}", ha="left", va="center", clip_on=True)
        ax.plot(at, value, "o", color="white", markeredgecolor="black", markersize=10, zorder=5)
        ax.axhline(0, color="black", linewidth=1)
        low, high = drawn["smooth"].min(), drawn["smooth"].max()
        middle = (low + high) / 2
        ax.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(middle - 1.1, middle + 1.1))
        ax.set(xlabel=f"α; one unit is {units[0]}", ylabel=f"S; one unit is {units[1]}")
        ax.legend(frameon=False)
        return style.finished(figure)
