"""Networks with and without kinks under the same penalty."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from paperlib import names
from paperlib.drawings import style, tables
from paperlib.names import BLACK, Name
from paperlib.record import Record

facts = tables.facts
ATTACKS = ("worst", "fgsm", "bim", "cw")


def words(record: Record) -> dict[str, Name]:
    """The activations that the record has, as they are called and drawn."""
    used = dict.fromkeys(name for of in record.values["rows"].values() for name in of)
    return {name: names.ACTIVATIONS.get(name) or Name(names.harmless(name)) for name in used}


def rows(record: Record) -> str:
    """The chosen networks under every attack as an HTML table, one a row."""
    sizes = [f"{eps:g}" for eps in record.parameters["eps"]]
    places = [("clean", "")] + [(attack, eps) for attack in ATTACKS for eps in sizes]
    head = "".join(f"<th>{names.label(names.ATTACKS, attack)}{f'<br>ε = {eps}{record.unit}' if eps else ''}</th>"
                   for attack, eps in places)  # fmt: skip
    body = ""
    for method, of in record.values["rows"].items():
        for activation, row in of.items():
            strength = record.values["chosen"][method][activation]
            cells = "".join(f"<td>{style.cell(row[attack][eps] if eps else row[attack], None, False)}</td>"
                            for attack, eps in places)  # fmt: skip
            label = f"{names.network(method).label}, {words(record)[activation].label}"
            body += f"<tr><th>{label}{f'<br><small>c = {strength}</small>' if method != 'natural' else ''}</th>{cells}</tr>"
    return style.table(head, body)


def methods(record: Record) -> list[str]:
    """Those with a penalty."""
    return [method for method in record.values["rows"] if method != "natural"]


def candidates(record: Record) -> Figure:
    """Clean accuracy against the worst case of every candidate on held-out images, a panel a method, a line an activation;
    the chosen ones are ringed."""
    shown = methods(record)
    with style.book():
        figure, axes = plt.subplots(
            1, len(shown), figsize=(6 * len(shown), 5.2), sharey=True, layout="constrained", squeeze=False
        )
        for ax, method in zip(axes[0], shown, strict=True):
            _candidates(ax, record, method)
        axes[0, 0].set_ylabel(f"worst case (%), ε = {record.size(tables.middle(record))}")
        handles = [plt.Line2D([], [], color=of.colour, marker=of.marker, label=of.label) for of in words(record).values()]
        handles.append(
            plt.Line2D([], [], color=BLACK, marker="o", markersize=13, fillstyle="none", linestyle="", label="chosen")
        )
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
        return style.finished(figure)


def _candidates(ax: Axes, record: Record, method: str) -> None:
    for activation, of in record.values["candidates"][method].items():
        look = words(record)[activation]
        points = np.array([[each["clean"]["mean"], each["worst"]["mean"]] for each in of.values()])
        ax.plot(*points.T, marker=look.marker, markersize=8, color=look.colour)
        chosen = of[record.values["chosen"][method][activation]]
        ax.plot(chosen["clean"]["mean"], chosen["worst"]["mean"], marker="o", markersize=15, fillstyle="none", color=BLACK)
    ax.set(title=names.network(method).label, xlabel="clean accuracy (%)")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(color="#dddddd", linewidth=0.8)


def chosen(record: Record) -> Figure:
    """The worst case of the chosen networks on test images against eps, a panel a method and a line an activation."""
    shown = methods(record)
    with style.book():
        figure, axes = plt.subplots(
            1, len(shown), figsize=(6 * len(shown), 5.2), sharey=True, layout="constrained", squeeze=False
        )
        for ax, method in zip(axes[0], shown, strict=True):
            for place, (activation, row) in enumerate(record.values["rows"][method].items()):
                _line(ax, record, row["worst"], words(record)[activation], place)
            ax.set(title=names.network(method).label, xlabel=f"ε{' (1/255)' if record.unit else ''}", ylim=(-3, 103))
            ax.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes[0, 0].set_ylabel("worst case (%)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
        return style.finished(figure)


def _line(ax: Axes, record: Record, worst: dict, look: Name, place: int) -> None:
    sizes = np.array(record.parameters["eps"], dtype=float)
    means, lows, highs = (
        np.array([worst[f"{eps:g}"][end] for eps in record.parameters["eps"]]) for end in ("mean", "low", "high")
    )
    # beside each other, so that none lies under another
    sizes = sizes + (place - 1.5) * 0.012 * sizes.max()
    ax.errorbar(sizes, means, yerr=[means - lows, highs - means], marker=look.marker, markersize=8, color=look.colour,
                capsize=3, label=look.label)  # fmt: skip
