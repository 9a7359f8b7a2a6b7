"""Variants of one recipe beside each other."""

import re

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import style, tables
from paperlib.record import Record

facts = tables.facts


def labels(record: Record) -> dict[str, str]:
    """Each network in words: those of the parameter ``labels``, else its method and seed."""
    return {role: record.parameters["labels"].get(role) or style.seed_label(role) for role in record.roles}


def accuracies(record: Record) -> str:
    """Accuracies under attack as an HTML table: one network a row, attacks and eps across, an interval in every cell."""
    first = record.values[record.roles[0]]
    places = [("clean", "")] + [(attack, eps) for attack in names.ATTACKS for eps in first.get(attack, {})]
    sizes = [f"<br>ε = {eps}{record.unit}" if eps else "" for _, eps in places]
    titles = [names.label(names.ATTACKS, attack) for attack, _ in places]
    head = "".join(f"<th>{title}{size}</th>" for title, size in zip(titles, sizes, strict=True))
    rows = ""
    for role, label in labels(record).items():
        of = record.values[role]
        leaves = [of[attack][eps] if eps else of[attack] for attack, eps in places]
        rows += f"<tr><th>{label}</th>{''.join(f'<td>{style.cell(leaf, None, False)}</td>' for leaf in leaves)}</tr>"
    return style.table(head, rows)


def clean_and_worst(record: Record) -> Figure:
    """Each network on a line of its own: its clean accuracy, and its worst case at the middle eps, with intervals."""
    eps, named = f"{tables.middle(record):g}", labels(record)
    panels = {"clean": "clean accuracy (%)", "worst": f"worst case (%), ε = {record.size(tables.middle(record))}"}
    with style.book():
        size = (11, 1.3 + 0.42 * len(named))
        figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, layout="constrained")
        for ax, (kind, title) in zip(axes, panels.items(), strict=True):
            for line, role in enumerate(named):
                of = record.values[role]
                _dot(ax, line, of["clean"] if kind == "clean" else of["worst"][eps], role)
            ax.set(xlabel=title, xlim=(-3, 103))
            ax.grid(axis="x", color="#dddddd", linewidth=0.8)
        axes[0].set(yticks=range(len(named)), yticklabels=named.values(), ylim=(len(named) - 0.5, -0.5))
        return style.finished(figure)


def _dot(ax: Axes, line: int, leaf: dict, role: str) -> None:
    look = names.network(re.split("[- ]", role)[0])
    ends = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
    ax.errorbar(leaf["mean"], line, xerr=ends, marker=look.marker, markersize=8, color=look.colour, linestyle="", capsize=4)
