"""Variants of one recipe beside each other."""

import re
from itertools import cycle

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from paperlib.drawings import style


def variants_table(values: dict, labels: dict[str, str], *, unit: str = "") -> str:
    """Accuracies under attack as an HTML table: one network a row, attacks and eps across, an interval in every cell."""
    first = values[next(iter(labels))]
    places = [("clean", "")] + [(attack, eps) for attack in style.ATTACKS for eps in first.get(attack, {})]
    sizes = [f"<br>ε = {eps}{unit}" if eps else "" for _, eps in places]
    titles = [style.ATTACKS.get(attack, attack) for attack, _ in places]
    head = "".join(f"<th>{title}{size}</th>" for title, size in zip(titles, sizes, strict=True))
    rows = ""
    for role, label in labels.items():
        leaves = [values[role][attack][eps] if eps else values[role][attack] for attack, eps in places]
        rows += f"<tr><th>{label}</th>{''.join(f'<td>{style.cell(leaf, None, False)}</td>' for leaf in leaves)}</tr>"
    return style.table(head, rows)


def clean_against_worst(values: dict, labels: dict[str, str], *, eps: str, unit: str = "") -> Figure:
    """Each network's worst-case accuracy at ``eps`` against its clean accuracy, with intervals."""
    with style.book():
        figure, ax = plt.subplots(figsize=(11, 5.4), layout="constrained")
        for (role, label), marker in zip(labels.items(), cycle("oDs^vXP*<>")):
            x, y = values[role]["clean"], values[role]["worst"][eps]
            ax.errorbar(
                x["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                [[x["mean"] - x["low"]], [x["high"] - x["mean"]]], marker=marker, markersize=9, linestyle="",
                label=label, color=style.colour(re.split("[- ]", role)[0]),
            )  # fmt: skip
        ax.set(xlabel="clean accuracy (%)", ylabel=f"worst-case accuracy (%), ε = {eps}{unit}")
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        return style.finished(figure)
