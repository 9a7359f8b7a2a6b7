"""Accuracy under attack as tables and curves."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from paperlib import names
from paperlib.drawings import style, tables
from paperlib.record import Record


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    return tables.facts(record) | {"vanished": f"{record.parameters['vanishing']:g}"}


def accuracies(record: Record) -> str:
    """Accuracies under attack as an HTML table: attacks and eps down, networks across, an interval in every cell.

    The paper's number stands in the same place of its own table; a difference (ours minus the paper's, in points) is
    given only where the images are the paper's and where eps is the same.
    """
    values, stated, roles = record.values, record.stated, record.roles
    rows = [("clean", "", "", "")]
    for attack in [name for name in names.ATTACKS if name in values[roles[0]]]:
        theirs = list(stated.get("natural", {}).get(attack, {}))
        sizes = style.places(list(values[roles[0]][attack]), theirs)
        rows += [(attack, eps, paper, f"{names.ATTACKS[attack].label}, ε = {eps}{record.unit}") for eps, paper in sizes]
    head = "".join(f"<th>{names.network(role).label}</th>" for role in roles)
    return style.table(head, "".join(_table_row(record, *row) for row in rows))


def _table_row(record: Record, attack: str, eps: str, paper_eps: str, title: str) -> str:
    values, cells = record.values, []
    for role in record.roles:
        leaf, number = values[role]["clean"], record.stated.get(role, {}).get("clean")
        if attack != "clean":
            leaf, number = values[role][attack][eps], record.stated.get(role, {}).get(attack, {}).get(paper_eps)
        cells.append(style.cell(leaf, number, tables.official(record) and eps == paper_eps))
    title = title or "clean"
    if paper_eps and paper_eps != eps:
        title += f"<br><small>paper: ε = {paper_eps}{record.unit}</small>"
    if leaf["n"] != values[role]["clean"]["n"]:
        title += f"<br><small>{leaf['n']:,} images</small>"
    body = "".join(f'<td style="white-space: nowrap">{cell}</td>' for cell in cells)
    return f"<tr><th>{title}</th>{body}</tr>"


def curves(record: Record) -> Figure:
    """Accuracy against eps with intervals, one panel an attack; the paper's, where images and sizes are its own, dashed and
    hollow."""
    first, stated = record.values[record.roles[0]], _same_sizes(record)
    attacks = [attack for attack in names.ATTACKS if attack in first and attack != "several"]
    rows = -(-len(attacks) // 2)
    with style.book():
        figure, axes = plt.subplots(
            rows, 2, figsize=(11, 4.1 * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        for ax, attack in zip(axes.flat, attacks, strict=False):
            for role in record.roles:
                _accuracy_line(ax, record.values[role], attack, role, fmt="-", label=names.network(role).label)
                if attack in stated.get(role, {}):
                    _accuracy_line(ax, stated[role], attack, role, fmt="--", markerfacecolor="white", alpha=0.6)
            ax.set(title=names.ATTACKS[attack].label, xticks=[0, *map(float, first[attack])])
        for ax in axes[-1]:
            ax.set_xlabel(f"ε (steps of 1{record.unit})" if record.unit else "ε")
        for ax in axes[:, 0]:
            ax.set(ylabel="accuracy (%)", ylim=(-3, 103))
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)


def _same_sizes(record: Record) -> dict:
    """The paper's numbers if they are of these images and sizes, else nothing."""
    theirs = record.stated.get("natural", {}).get("bim", {})
    same = tables.official(record) and all(f"{size:g}" in theirs for size in record.parameters["eps"])
    return record.stated if same else {}


def _accuracy_line(ax: Axes, of_model: dict, attack: str, model: str, **options) -> None:
    leaves = {0.0: of_model.get("clean"), **{float(eps): leaf for eps, leaf in of_model[attack].items()}}
    leaves = {eps: leaf if isinstance(leaf, dict) else {"mean": leaf, "low": leaf, "high": leaf}
              for eps, leaf in leaves.items() if leaf is not None}  # fmt: skip
    low, means, high = (np.array([leaf[key] for leaf in leaves.values()]) for key in ("low", "mean", "high"))
    look = {"color": names.network(model).colour, "marker": names.network(model).marker, "markersize": 7}
    ax.errorbar(list(leaves), means, (means - low, high - means), **look, **options)


def ranks(record: Record) -> Figure:
    """Worst-case accuracy of each network at the middle eps against its indicator: mean slope, and margin over slope."""
    middle = f"{tables.middle(record):g}"
    labels = {"mean": "mean |∂S/∂pixel|", "distance": "S / ‖J‖₁, mean"}
    with style.book():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
        for ax, (name, label) in zip(axes, labels.items(), strict=True):
            for model, leaf in record.values["indicator"][name].items():
                y, look = record.values[model]["worst"][middle], names.network(model)
                ax.errorbar(
                    leaf["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                    [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]], color=look.colour,
                    marker=look.marker, markersize=10, linestyle="", label=look.label,
                )  # fmt: skip
            ax.set(xscale="log", xlabel=label)
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("worst-case accuracy (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)


def masking(record: Record) -> str:
    """The signs of masked gradients (``evaluate.masking``) as an HTML table, one column a network."""
    masking = record.values["masking"]
    heads = {
        "zero_gradient": "images with a zero gradient (%)", "fgsm_minus_bim": "harm of FGSM minus BIM (points)",
        "noise": "accuracy under noise (%)", "unbounded": "accuracy, unbounded attack (%)",
        "cw_minus_ce": "accuracy, C&amp;W minus BIM (points)", "square_alone": "broken by Square alone (%)",
        "targeted_minus_untargeted": "accuracy, with targets minus without (points)",
        "adaptive_minus_fixed": "accuracy, adaptive minus fixed step (points)",
        "still_rising": "margin still falling at the end (%)",
    }  # fmt: skip
    head = "".join(f"<th>{names.network(model).label}</th>" for model in masking)
    rows = "".join(
        f"<tr><th>{title}</th>{''.join(f'<td>{of[name]:.1f}</td>' for of in masking.values())}</tr>"
        for name, title in heads.items()
    )
    return style.table(head, rows)


def cascade(record: Record) -> str:
    """Which stage of the cascade first broke what share of the images (%) at the middle eps, as an HTML table."""
    eps = f"{tables.middle(record):g}"
    broken = {model: of["broken"][eps] for model, of in record.values["cascade"].items()}
    head = "".join(f"<th>{names.network(model).label}</th>" for model in broken)
    rows = "".join(
        f"<tr><th>{names.label(names.STAGES, name)}</th>{''.join(f'<td>{of[name]:.1f}</td>' for of in broken.values())}</tr>"
        for name in next(iter(broken.values()))
    )
    return style.table(head, rows)
