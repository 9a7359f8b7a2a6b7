"""Jacobians beside their images."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import maps, style
from paperlib.record import Record

LOOKS = {"alignment": (None, 0.13, "the image's own pattern"), "other": ("white", -0.13, "another image's pattern")}


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    found = {
        "share": f"{100 * record.parameters['edges']:g} %", "robust": names.network(methods(record)["grey"]["robust"]).label,
    }  # fmt: skip
    data = [record.data, *record.data.get("others", [])]
    for kind, of in zip(methods(record), data, strict=True):
        found |= {kind: names.data(of["name"]).label, f"n_{kind}": record.values["paired"][kind]["n"]}
    return found


def methods(record: Record) -> dict[str, dict[str, str]]:
    """Kind of images -> role -> the method of the network ``kind-role``."""
    found: dict[str, dict[str, str]] = {}
    for name, model in record.models.items():
        kind, role = name.split("-", 1)
        found.setdefault(kind, {})[role] = model["recipe"]["method"]
    return found


def gallery(record: Record) -> Figure:
    """One row a test image, a block of columns a kind of images: the image, then J of each network.

    Every J is divided by its own largest magnitude; grey ones keep their sign, of colour ones the magnitudes are added over
    the channels.
    """
    pairs = methods(record)
    rows, widths = max(len(record.arrays[f"images_{kind}"]) for kind in pairs), [1 + len(pair) for pair in pairs.values()]
    with style.book():
        figure = plt.figure(figsize=(1.75 * sum(widths) + 0.4, 1.78 * rows + 0.25))
        blocks = figure.add_gridspec(1, len(pairs), width_ratios=widths, wspace=0.08, left=0, right=1, bottom=0, top=1)
        for block, (kind, pair) in zip(blocks, pairs.items(), strict=True):
            grid = block.subgridspec(rows + 1, 1 + len(pair), height_ratios=[*[1] * rows, 0.09], wspace=0.05, hspace=0.05)
            _block(figure, grid, record, kind, pair)
        return style.finished(figure)


def _block(figure: Figure, grid, record: Record, kind: str, pair: dict[str, str]) -> None:
    """The images of one kind, each with its J, and what J's colours mean below."""
    pictures = record.arrays[f"images_{kind}"]
    for k, image in enumerate(pictures):
        style.picture(figure.add_subplot(grid[k, 0]), image, "" if k else "image")
        for column, (role, method) in enumerate(pair.items(), start=1):
            title = "" if k else f"J, {names.network(method).label}"
            drawn = _slopes(figure.add_subplot(grid[k, column]), record.arrays[f"J_{kind}_{role}"][k], title)
    bar = figure.colorbar(drawn, cax=figure.add_subplot(grid[-1, 1:]), orientation="horizontal", format=maps.tick)
    bar.set_label("J" if pictures.shape[1] == 1 else "|J|, added over channels")
    bar.locator = matplotlib.ticker.MaxNLocator(2)


def _slopes(ax: Axes, J: Float[np.ndarray, "c h w"], title: str) -> "AxesImage":
    """J over its own largest magnitude: signed if grey (red raises S), magnitudes if in colour."""
    size = J[0] if len(J) == 1 else np.abs(J).sum(0)
    look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if len(J) == 1 else {"cmap": "magma", "vmin": 0, "vmax": 1}
    style.bare(ax, title)
    return ax.imshow(size / (np.abs(size).max() or 1.0), **look)


def alignment(record: Record) -> Figure:
    """Alignment of J with the image's own pattern (filled) and with another image's (hollow), one panel a kind."""
    pairs = methods(record)
    with style.book():
        figure, axes = plt.subplots(1, len(pairs), figsize=(11, 3.6), layout="constrained", sharex=True)
        for ax, (kind, pair) in zip(axes, pairs.items(), strict=True):
            for k, (role, method) in enumerate(pair.items()):
                _dots(ax, -k, record.values[kind][role], names.network(method).colour)
            ax.axvline(1, color="black", linewidth=1)
            ax.set(title=f"{kind} images", yticks=[-k for k in range(len(pair))], ylim=(0.6 - len(pair), 0.4),
                   xlabel="alignment (×)", yticklabels=[names.network(each).label for each in pair.values()])  # fmt: skip
        grey = {"marker": "o", "linestyle": "", "markersize": 11, "color": "#555555"}
        dots = [plt.Line2D([], [], **grey, markerfacecolor=face, label=label) for face, _, label in LOOKS.values()]
        figure.legend(handles=dots, loc="outside lower center", ncols=2, frameon=False)
        return style.finished(figure)


def _dots(ax: Axes, place: float, values: dict, colour: str) -> None:
    """The two intervals of one network."""
    for which, (face, shift, _) in LOOKS.items():
        leaf = values[which]
        spread = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
        ax.errorbar(leaf["mean"], place + shift, xerr=spread, fmt="o", markersize=11, color=colour, markerfacecolor=face,
                    capsize=5)  # fmt: skip
