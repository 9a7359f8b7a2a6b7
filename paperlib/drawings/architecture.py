"""A table's rows on several architectures beside the paper's."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import style, tables
from paperlib.names import BLACK, BLUE, GREEN, ORANGE, VERMILION
from paperlib.record import Record

# of the sizes, smallest first
SIZES = (BLUE, ORANGE, VERMILION)
PAPER = ("fgsm", "bim", "cw")


def facts(record: Record) -> dict[str, object]:
    """What the words of such a page may name besides the parameters."""
    seeds = next(iter(next(iter(record.values["spread"].values())).values()))["clean"]["n"]
    return tables.facts(record) | {"n_seeds": seeds}


def labels(record: Record) -> dict[str, str]:
    """Each architecture in words: those of the parameter ``labels``, or its key."""
    return {family: record.parameters["labels"].get(family) or family for family in record.values["spread"]}


def rows(record: Record) -> str:
    """Mean accuracies over seeds as an HTML table: an architecture and a method a row, attacks and eps across, the lowest
    and the highest seed as the interval, the paper's number below where it has one."""
    sizes = [f"{eps:g}" for eps in record.parameters["eps"]]
    places = [("clean", "")] + [(attack, eps) for attack in ("worst", *PAPER) for eps in sizes]
    head = "".join(f"<th>{names.label(names.ATTACKS, attack)}{f'<br>ε = {eps}{record.unit}' if eps else ''}</th>"
                   for attack, eps in places)  # fmt: skip
    body = ""
    for family, words in labels(record).items():
        for method, of in record.values["spread"][family].items():
            row = record.stated.get(method, {})
            cells = [(of[attack][eps], row.get(attack, {}).get(eps)) if eps else (of[attack], row.get(attack))
                     for attack, eps in places]  # fmt: skip
            shown = "".join(f"<td>{style.cell(leaf, number, tables.official(record))}</td>" for leaf, number in cells)
            body += f"<tr><th>{words}<br><small>{names.network(method).label}</small></th>{shown}</tr>"
    return style.table(head, body)


def by_method(record: Record) -> Figure:
    """BIM at each eps, a panel a method, a line an architecture, the mean over seeds with its ends; dashed the paper's."""
    named, spread = labels(record), record.values["spread"]
    methods = list(next(iter(spread.values())))
    across = min(2, len(methods))
    down = -(-len(methods) // across)
    with style.book():
        size = (11, down * (1.7 + 0.45 * len(named)))
        figure, axes = plt.subplots(down, across, figsize=size, sharey=True, layout="constrained", squeeze=False)
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        for ax, method in zip(axes.flat, methods, strict=False):
            _method(ax, record, method)
        for ax in axes[:, 0]:
            ax.set(yticks=range(len(named)), yticklabels=named.values(), ylim=(len(named) - 0.4, -0.6))
        handles = [plt.Line2D([], [], marker="o", linestyle="", color=colour, label=f"ε = {record.size(eps)}")
                   for colour, eps in zip(SIZES, record.parameters["eps"], strict=False)]  # fmt: skip
        if tables.official(record):
            handles.append(plt.Line2D([], [], linestyle="--", color=BLACK, label="the paper's"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        return style.finished(figure)


def _method(ax: Axes, record: Record, method: str) -> None:
    for colour, eps in zip(SIZES, record.parameters["eps"], strict=False):
        key = f"{eps:g}"
        number = record.stated.get(method, {}).get("bim", {}).get(key)
        if number is not None and tables.official(record):
            ax.axvline(number, color=colour, linestyle="--", linewidth=1.5)
        for line, of in enumerate(record.values["spread"].values()):
            if method in of:
                _dot(ax, of[method]["bim"][key], line, colour)
    ax.set(title=names.network(method).label, xlim=(-3, 103), xlabel="accuracy under BIM (%)")
    ax.grid(axis="x", color="#dddddd", linewidth=0.8)


def _dot(ax: Axes, leaf: dict, line: float, colour: str, marker: str = "o") -> None:
    ends = np.array([[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]])
    ax.errorbar(leaf["mean"], line, xerr=ends, marker=marker, markersize=8, color=colour, linestyle="", capsize=4)


def distances(record: Record) -> Figure:
    """How far each architecture is from the paper's numbers, over all rows and over the natural network's alone."""
    named = labels(record)
    kinds = {"distance": ("all rows", GREEN, "D"), "natural": ("Natural's row", VERMILION, "o")}
    with style.book():
        figure, ax = plt.subplots(figsize=(9, 1.8 + 0.5 * len(named)), layout="constrained")
        for shift, (kind, (words, colour, marker)) in zip((-0.14, 0.14), kinds.items(), strict=True):
            for line, family in enumerate(named):
                _dot(ax, record.values[kind][family], line + shift, colour, marker)
            ax.plot([], [], marker=marker, linestyle="", color=colour, label=words)
        ax.set(yticks=range(len(named)), yticklabels=named.values(), ylim=(len(named) - 0.4, -0.6),
               xlabel="mean distance from the paper's numbers (points)")  # fmt: skip
        ax.set_xlim(left=0)
        ax.grid(axis="x", color="#dddddd", linewidth=0.8)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return style.finished(figure)
