"""One plane as a picture file."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from paperlib.drawings import maps, style
from paperlib.files import replacing


def save_plane(plane, path: Path, *, objective: str, pixel_scale: int = 1, blind: bool = False) -> None:
    """One ``surface.Surface`` around an image as a picture file (axes in 1/``pixel_scale``), of the kind that its name ends
    in and in one piece.

    ``blind``: the gradient at the image is zero, and alpha runs along random signs.
    """
    with style.book():
        figure, (ax, bar) = plt.subplots(1, 2, figsize=(7.6, 6), width_ratios=[30, 1.2], layout="constrained")
        top = maps.rounded(float(np.quantile(np.abs(plane.values), 0.98)))
        scale = maps.Scale(np.linspace(-top, top, 21), "RdBu", "both", "S: correct above 0")
        if objective != "decision":
            scale = maps.Scale(np.linspace(0, top, 21), "viridis", "max", "cross-entropy (nats)")
        alpha, beta = plane.alpha * pixel_scale, plane.beta * pixel_scale
        ax.contourf(alpha, beta, plane.values, scale.levels, cmap=scale.cmap, extend=scale.extend)
        if objective == "decision" and plane.values.min() < 0 < plane.values.max():
            ax.contour(alpha, beta, plane.values, [0], colors="black", linewidths=3.5)
        ax.plot(0, 0, "o", color="white", markeredgecolor="black", markersize=9)
        unit = f"1/{pixel_scale}" if pixel_scale > 1 else "image range"
        along = "random signs, for ∇S = 0 here" if blind else "−sign ∇S"
        ax.set(xlabel=f"α, along {along} ({unit})", ylabel=f"β, along random signs ({unit})", aspect="equal")
        maps.bar(figure, bar, objective, scale)
        kind = path.suffix[1:].lower()
        with replacing(path) as stream:
            figure.savefig(stream, format=kind, metadata={"Software": None} if kind == "png" else None)
        plt.close(figure)
