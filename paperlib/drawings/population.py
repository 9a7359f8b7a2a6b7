"""Many networks: how well each predictor ranks them, the networks themselves, and images of a few."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from paperlib import names
from paperlib.drawings import style
from paperlib.record import Record

# of two groups the first is filled, the second hollow
PAIRS = {
    ("across", "within"): ("all networks", "within methods"),
    ("others", "penalised"): ("without a penalty on a slope", "trained with one"),
    ("across", "partial"): ("as it is", "given clean accuracy and the logits' scale"),
}
# predictors of the scatter: the paper's, and the distance that it becomes beside the margin
SCATTERED = ("mean_J", "linear_distance")
LOGARITHMIC = 10  # positive numbers more than so many times apart


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters: how many networks of which methods, and what ranks them
    best and worst at the smallest eps."""
    count, sizes = record.values["count"], list(map(record.size, record.parameters["eps"]))
    methods = [names.network(name).label for name in names.METHODS if name in count]
    first = f"{record.parameters['eps'][0]:g}"
    of = {name: found[first]["mean"] for name, found in record.values.get("across", {}).items() if first in found}
    geometry = [name for name in of if names.PREDICTORS[name].colour != names.PREDICTORS["clean"].colour]
    best = max(geometry, key=of.get) if geometry else ""
    return {
        "networks": count["networks"], "recipes": count["recipes"], "penalised": count["penalised"],
        "methods": ", ".join(methods), "smallest": sizes[0], "largest": sizes[-1],
        "best": names.label(names.PREDICTORS, best), "best_key": best,
    }  # fmt: skip


def orders(record: Record, groups: tuple[str, str]) -> Figure:
    """The rank correlation of every predictor with the worst case, a row each with the best at the smallest eps on top, a
    panel for each eps; the first of the two ``groups`` filled, the second hollow."""
    sizes = [f"{size:g}" for size in record.parameters["eps"]]
    found = [record.values.get(group, {}) for group in groups]
    rows = sorted(
        names.PREDICTORS, key=lambda name: -record.values.get("across", {}).get(name, {}).get(sizes[0], {"mean": -2})["mean"]
    )
    rows = [name for name in rows if any(name in of for of in found)]
    with style.book():
        size = (12, 1.8 + 0.47 * len(rows))
        figure, axes = plt.subplots(1, len(sizes), figsize=size, sharey=True, squeeze=False, layout="constrained")
        for ax, eps in zip(axes[0], sizes, strict=True):
            for line, name in enumerate(rows):
                for hollow, of in enumerate(found):
                    if eps in of.get(name, {}):
                        _dot(ax, line + (0.17 if hollow else -0.17), of[name][eps], names.PREDICTORS[name], bool(hollow))
            ax.axvline(0, color="black", linewidth=1)
            ax.set(
                title=f"ε = {eps}{record.unit}", xlabel="rank correlation", xlim=(-1.05, 1.05), xticks=[-1, -0.5, 0, 0.5, 1]
            )
            ax.grid(axis="x", color="#dddddd", linewidth=0.8)
        labels = [names.PREDICTORS[name].label for name in rows]
        axes[0, 0].set(yticks=range(len(rows)), yticklabels=labels, ylim=(max(len(rows), 1) - 0.5, -0.5))
        _legend(figure, PAIRS[groups])
        return style.finished(figure)


def _dot(ax: Axes, line: float, leaf: dict, look: names.Name, hollow: bool) -> None:
    ends = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
    face = "white" if hollow else look.colour
    options = {"marker": look.marker, "markersize": 8, "capsize": 3, "linewidth": 1.6}
    ax.errorbar(leaf["mean"], line, xerr=np.maximum(ends, 0), color=look.colour, markerfacecolor=face, **options)


def _legend(figure: Figure, groups: tuple[str, str]) -> None:
    dots = [plt.Line2D([], [], marker="o", linestyle="", markersize=9, color="#555555", markerfacecolor=face, label=label)
            for face, label in zip(("#555555", "white"), groups, strict=True)]  # fmt: skip
    kinds = {kind.label: kind for kind in names.KINDS.values()}
    dots += [plt.Line2D([], [], marker=kind.marker, linestyle="", markersize=9, color=kind.colour, label=label)
             for label, kind in kinds.items()]  # fmt: skip
    figure.legend(handles=dots, loc="outside lower center", ncols=3, frameon=False)


def scatter(record: Record) -> Figure:
    """Every network: its worst case at each eps against the paper's indicator and against margin over slope, coloured by
    method."""
    sizes, roles = [f"{size:g}" for size in record.parameters["eps"]], record.roles
    column = {name: k for k, name in enumerate(record.arrays["predictors"].tolist())}
    method = np.array([role.partition("-")[0] for role in roles])
    with style.book():
        shape = {"figsize": (11, 4.0 * len(sizes)), "sharex": "col", "sharey": "row", "layout": "constrained"}
        figure, axes = plt.subplots(len(sizes), len(SCATTERED), squeeze=False, **shape)
        for row, eps in enumerate(sizes):
            for ax, name in zip(axes[row], SCATTERED, strict=True):
                values = record.arrays["numbers"][row, :, column[name]]
                _cloud(ax, values, record.arrays["worst"][row], method)
                if _wide(values):
                    ax.set_xscale("log")
                    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                    ax.xaxis.set_major_formatter("{x:g}")
                    ax.xaxis.set_minor_formatter(NullFormatter())
            axes[row, 0].set(ylabel=f"worst case (%), ε = {eps}{record.unit}", ylim=(-3, 103))
        for ax, name in zip(axes[-1], SCATTERED, strict=True):
            ax.set_xlabel(names.PREDICTORS[name].label)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)


def _cloud(ax: Axes, values: np.ndarray, worst: np.ndarray, method: np.ndarray) -> None:
    for name in dict.fromkeys(method):
        look, of = names.network(str(name)), method == name
        dots = {"color": look.colour, "marker": look.marker, "markersize": 8, "alpha": 0.8, "linestyle": ""}
        ax.plot(values[of], worst[of], label=look.label, **dots)


def _wide(values: np.ndarray) -> bool:
    there = values[np.isfinite(values)]
    return bool(len(there) and there.min() > 0 and there.max() > LOGARITHMIC * there.min())


def images(record: Record) -> Figure:
    """Images of single networks: the smallest size at which an attack breaks each against its margin over slope; the line
    is where the two are equal."""
    roles = list(record.values["image"])
    with style.book():
        shape = {"figsize": (11, 4.6), "sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
        figure, axes = plt.subplots(1, len(roles), **shape)
        reach = record.parameters["reach"]
        for ax, role in zip(axes[0], roles, strict=True):
            distance, linear = (record.arrays[f"{name}/{role}"] for name in ("distance", "linear_distance"))
            right, scale = distance > 0, record.pixel_scale
            look, step = names.network(role.partition("-")[0]), reach / record.parameters["rungs"]
            # an image that nothing breaks stands above the ladder
            height = np.where(np.isfinite(distance), distance * scale, reach + step)
            ax.plot(linear[right] * scale, height[right], ".", color=look.colour, markersize=4, alpha=0.5)
            ax.plot([0, reach], [0, reach], color="black", linewidth=1)
            ax.set(title=look.label, ylim=(0, reach + 1.5 * step), xlabel="S / ‖J‖₁")
        # a few images may lie far beyond
        widest = max(np.quantile(record.arrays[f"linear_distance/{role}"], 0.995) * record.pixel_scale for role in roles)
        axes[0, 0].set_xlim(0, max(widest, reach) * 1.05)
        axes[0, 0].set_ylabel("smallest ε that breaks it")
        return style.finished(figure)


def table(record: Record) -> str:
    """Every network with its worst case and some predictors, as an HTML table in a fold."""
    shown = ("clean", "mean_J", "linear_distance", "bend", "clever", "sharpness")
    column = {name: k for k, name in enumerate(record.arrays["predictors"].tolist())}
    sizes = list(map(record.size, record.parameters["eps"]))
    head = "".join(f"<th>worst case (%), ε = {size}</th>" for size in sizes)
    head += "".join(f"<th>{names.PREDICTORS[name].label}</th>" for name in shown)
    rows = ""
    for k, role in enumerate(record.roles):
        cells = [f"{of[k]:.1f}" for of in record.arrays["worst"]]
        cells += [f"{record.arrays['numbers'][0, k, column[name]]:.3g}" for name in shown]
        rows += f"<tr><th>{network_label(role)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return f"<details><summary>All {len(record.roles)} networks</summary>{style.table(head, rows)}</details>"


def network_label(role: str) -> str:
    """A network in words: its method, then what its recipe changes.

    >>> network_label("ours-silu-0.02")
    'Ours, silu, 0.02'
    """
    method, *rest = role.split("-")
    return ", ".join([names.network(method).label, *map(names.harmless, rest)])
