"""Jacobians beside their images."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.drawings import maps, style
from paperlib.names import METHODS


def jacobian_gallery(
    images: dict[str, Float[np.ndarray, "k c h w"]], jacobians: dict[str, dict[str, Float[np.ndarray, "k c h w"]]]
) -> Figure:
    """One row a test image, a block of columns a kind of images: the image, then J of each network.

    ``jacobians``: kind -> method -> J. Every J is divided by its own largest magnitude; grey ones keep their sign, of
    colour ones the magnitudes are added over the channels.
    """
    rows, widths = max(map(len, images.values())), [1 + len(of) for of in jacobians.values()]
    with style.book():
        figure = plt.figure(figsize=(1.75 * sum(widths) + 0.4, 1.78 * rows + 0.25))
        blocks = figure.add_gridspec(1, len(images), width_ratios=widths, wspace=0.08, left=0, right=1, bottom=0, top=1)
        for block, (kind, pictures) in zip(blocks, images.items(), strict=True):
            grid = block.subgridspec(rows + 1, 1 + len(jacobians[kind]), height_ratios=[*[1] * rows, 0.09],
                                     wspace=0.05, hspace=0.05)  # fmt: skip
            for k, image in enumerate(pictures):
                style.picture(figure.add_subplot(grid[k, 0]), image, "" if k else "image")
                for column, (method, J) in enumerate(jacobians[kind].items(), start=1):
                    title = "" if k else f"J, {METHODS.get(method, method)}"
                    drawn = _slopes(figure.add_subplot(grid[k, column]), J[k], title)
            bar = figure.colorbar(drawn, cax=figure.add_subplot(grid[-1, 1:]), orientation="horizontal", format=maps.tick)
            bar.set_label("J" if pictures.shape[1] == 1 else "|J|, added over channels")
            bar.locator = matplotlib.ticker.MaxNLocator(2)
        return style.finished(figure)


def _slopes(ax: Axes, J: Float[np.ndarray, "c h w"], title: str) -> "AxesImage":
    """J over its own largest magnitude: signed if grey (red raises S), magnitudes if in colour."""
    size = J[0] if len(J) == 1 else np.abs(J).sum(0)
    look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if len(J) == 1 else {"cmap": "magma", "vmin": 0, "vmax": 1}
    style.bare(ax, title)
    return ax.imshow(size / (np.abs(size).max() or 1.0), **look)


def alignment_intervals(values: dict, methods: dict[str, dict[str, str]]) -> Figure:
    """Alignment of J with the image's own pattern (filled) and with another image's (hollow), one panel a kind.

    ``values``: kind -> role -> intervals; ``methods``: kind -> role -> the network's method.
    """
    looks = {"alignment": (None, 0.13, "the image's own pattern"), "other": ("white", -0.13, "another image's pattern")}
    with style.book():
        figure, axes = plt.subplots(1, len(methods), figsize=(11, 3.6), layout="constrained", sharex=True)
        for ax, (kind, pair) in zip(axes, methods.items(), strict=True):
            for k, (role, method) in enumerate(pair.items()):
                for which, (face, shift, _) in looks.items():
                    leaf = values[kind][role][which]
                    spread = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
                    ax.errorbar(leaf["mean"], shift - k, xerr=spread, fmt="o", markersize=11, color=style.colour(method),
                                markerfacecolor=face, capsize=5)  # fmt: skip
            ax.axvline(1, color="black", linewidth=1)
            ax.set(title=f"{kind} images", yticks=[-k for k in range(len(pair))], ylim=(0.6 - len(pair), 0.4),
                   yticklabels=[METHODS.get(name, name) for name in pair.values()], xlabel="alignment (×)")  # fmt: skip
        grey = {"marker": "o", "linestyle": "", "markersize": 11, "color": "#555555"}
        dots = [plt.Line2D([], [], **grey, markerfacecolor=face, label=label) for face, _, label in looks.values()]
        figure.legend(handles=dots, loc="outside lower center", ncols=2, frameon=False)
        return style.finished(figure)
