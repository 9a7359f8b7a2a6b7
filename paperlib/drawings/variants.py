"""Variants of one recipe beside each other."""

import re
from itertools import cycle

import matplotlib.pyplot as plt
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


def clean_against_worst(record: Record) -> Figure:
    """Each network's worst-case accuracy at the middle eps against its clean accuracy, with intervals."""
    eps = tables.middle(record)
    with style.book():
        figure, ax = plt.subplots(figsize=(11, 5.4), layout="constrained")
        for (role, label), marker in zip(labels(record).items(), cycle("oDs^vXP*<>")):
            x, y = record.values[role]["clean"], record.values[role]["worst"][f"{eps:g}"]
            ax.errorbar(
                x["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                [[x["mean"] - x["low"]], [x["high"] - x["mean"]]], marker=marker, markersize=9, linestyle="",
                label=label, color=names.network(re.split("[- ]", role)[0]).colour,
            )  # fmt: skip
        ax.set(xlabel="clean accuracy (%)", ylabel=f"worst-case accuracy (%), ε = {record.size(eps)}")
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        return style.finished(figure)
