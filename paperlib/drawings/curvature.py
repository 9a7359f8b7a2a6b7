"""A slice with its tangent and its osculating circle."""

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.drawings import style
from paperlib.names import BLUE, VERMILION
from paperlib.record import Record


def osculating(record: Record) -> Figure:
    """Fig. 5: a slice of S with its tangent and its osculating circle at one point, one scale on both axes."""
    unit, arrays = record.values["unit"], record.arrays
    t, smooth, relu = arrays["t"] / unit["alpha"], arrays["S"] / unit["S"], arrays["S_relu"] / unit["S"]
    with style.book():
        figure, ax = plt.subplots(figsize=(8.5, 8), layout="constrained")
        ax.plot(t, relu, color="#777777", linestyle=":", linewidth=3, label="S as it is (ReLU)")
        ax.plot(t, smooth, color="black", linewidth=3, label="S, softplus copy")
        _touch(ax, record)
        ax.axhline(0, color="black", linewidth=1)
        # both curves lie within the frame, which is at least as high as it is wide
        low, high = min(smooth.min(), relu.min()), max(smooth.max(), relu.max())
        middle, half = (low + high) / 2, max(1.0, (high - low) / 2) + 0.1
        ax.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(middle - half, middle + half), xticks=(-1, -0.5, 0, 0.5, 1))
        ax.set(xlabel=f"α; one unit is {unit['alpha']:g} per pixel along −sign ∇S", ylabel=f"S; one unit is {unit['S']:.3g}")
        ax.legend(frameon=False)
        return style.finished(figure)


def _touch(ax: Axes, record: Record) -> None:
    """Tangent and circle at the point, in the units of the axes."""
    point, unit, slope = record.values["point"], record.values["unit"], record.values["slope"]
    at, value = point["alpha"] / unit["alpha"], point["S"] / unit["S"]
    centre_t, centre_S, radius = map(float, record.arrays["circle"])
    reach = np.array([-0.5, 0.5]) / math.hypot(1, slope)
    ax.plot(at + reach, value + slope * reach, color=BLUE, label="tangent: slope S′")
    ax.add_patch(plt.Circle((centre_t, centre_S), radius, fill=False, color=VERMILION, linewidth=2))
    ax.plot([], [], color=VERMILION, label="osculating circle: 1/R = κ")
    ax.plot([centre_t, at], [centre_S, value], color=VERMILION, linewidth=1.2)
    # the centre of a large circle lies outside the frame
    part = min(1.0, 0.4 / radius)
    ax.text(at + part * (centre_t - at), value + part * (centre_S - value), f" R = {radius:.2f}", ha="left", va="center")
    ax.plot(at, value, "o", color="white", markeredgecolor="black", markersize=10, zorder=5)
