"""Accuracy under attack as tables and curves."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from paperlib.drawings import style
from paperlib.names import METHODS


def robustness_table(values: dict, stated: dict, models: list[str], *, comparable: bool, unit: str = "") -> str:
    """Accuracies under attack as an HTML table: attacks and eps down, networks across, an interval in every cell.

    The paper's number stands in the same place of its own table; a difference (ours minus the paper's, in points) is
    given only where ``comparable`` says that the images are the paper's and where eps is the same.
    """
    rows = [("clean", "", "", "")]
    for attack in [name for name in style.ATTACKS if name in values[models[0]]]:
        theirs = list(stated.get("natural", {}).get(attack, {}))
        sizes = list(values[models[0]].get(attack, {}))
        title = style.ATTACKS[attack]
        rows += [(attack, eps, paper, f"{title}, ε = {eps}{unit}") for eps, paper in style.places(sizes, theirs)]
    head = "".join(f"<th>{METHODS.get(model, model)}</th>" for model in models)
    body = "".join(_table_row(row, values, stated, models, comparable, unit) for row in rows)
    return style.table(head, body)


def _table_row(row: tuple, values: dict, stated: dict, models: list[str], comparable: bool, unit: str) -> str:
    attack, eps, paper_eps, title = row
    cells = []
    for model in models:
        leaf, number = values[model]["clean"], stated.get(model, {}).get("clean")
        if attack != "clean":
            leaf, number = values[model][attack][eps], stated.get(model, {}).get(attack, {}).get(paper_eps)
        cells.append(style.cell(leaf, number, comparable and eps == paper_eps))
    title = title or "clean"
    if paper_eps and paper_eps != eps:
        title += f"<br><small>paper: ε = {paper_eps}{unit}</small>"
    if leaf["n"] != values[models[-1]]["clean"]["n"]:
        title += f"<br><small>{leaf['n']:,} images</small>"
    body = "".join(f'<td style="white-space: nowrap">{cell}</td>' for cell in cells)
    return f'<tr><th style="white-space: nowrap">{title}</th>{body}</tr>'


def accuracy_curves(values: dict, models: list[str], *, unit: str, stated: dict | None = None) -> Figure:
    """Accuracy against eps with intervals, one panel an attack; the paper's, if ``stated``, dashed and hollow."""
    attacks = [attack for attack in style.ATTACKS if attack in values[models[0]] and attack != "several"]
    with style.book():
        figure, axes = plt.subplots(
            -(-len(attacks) // 2), 2, figsize=(11, 4.1 * -(-len(attacks) // 2)), sharex=True, sharey=True,
            layout="constrained",
        )  # fmt: skip
        for ax, attack in zip(axes.flat, attacks, strict=False):
            for model in models:
                _accuracy_line(ax, values[model], attack, model, fmt="-", label=METHODS.get(model, model))
                if stated and attack in stated.get(model, {}):
                    _accuracy_line(ax, stated[model], attack, model, fmt="--", markerfacecolor="white", alpha=0.6)
            ax.set(title=style.ATTACKS[attack], xticks=[0, *map(float, values[models[0]][attack])])
        for ax in axes[-1]:
            ax.set_xlabel(f"ε (steps of 1{unit})" if unit else "ε")
        for ax in axes[:, 0]:
            ax.set(ylabel="accuracy (%)", ylim=(-3, 103))
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)


def _accuracy_line(ax: Axes, of_model: dict, attack: str, model: str, **options) -> None:
    leaves = {0.0: of_model.get("clean"), **{float(eps): leaf for eps, leaf in of_model[attack].items()}}
    leaves = {eps: leaf if isinstance(leaf, dict) else {"mean": leaf, "low": leaf, "high": leaf}
              for eps, leaf in leaves.items() if leaf is not None}  # fmt: skip
    low, means, high = (np.array([leaf[key] for leaf in leaves.values()]) for key in ("low", "mean", "high"))
    look = {"color": style.colour(model), "marker": style.marker(model), "markersize": 7}
    ax.errorbar(list(leaves), means, (means - low, high - means), **look, **options)


def indicator_ranks(indicator: dict, worst: dict[str, dict]) -> Figure:
    """Worst-case accuracy of each network against its indicator: mean slope, and margin over slope."""
    labels = {"mean": "mean |∂S/∂pixel|", "distance": "S / ‖J‖₁, mean"}
    with style.book():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
        for ax, (name, label) in zip(axes, labels.items(), strict=True):
            for model, leaf in indicator[name].items():
                y = worst[model]
                ax.errorbar(
                    leaf["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                    [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]], color=style.colour(model),
                    marker=style.marker(model), markersize=10, linestyle="", label=METHODS.get(model, model),
                )  # fmt: skip
            ax.set(xscale="log", xlabel=label)
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("worst-case accuracy (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)


def masking_table(masking: dict[str, dict[str, float]]) -> str:
    """The checks of ``evaluate.masking`` as an HTML table, one column a network."""
    heads = {
        "zero_gradient": "images with a zero gradient (%)", "fgsm_minus_bim": "harm of FGSM minus BIM (points)",
        "noise": "accuracy under noise (%)", "unbounded": "accuracy, unbounded attack (%)",
        "cw_minus_ce": "accuracy, C&amp;W minus BIM (points)", "square_alone": "broken by Square alone (%)",
        "targeted_minus_untargeted": "accuracy, with targets minus without (points)",
        "adaptive_minus_fixed": "accuracy, adaptive minus fixed step (points)",
        "still_rising": "margin still falling at the end (%)",
    }  # fmt: skip
    head = "".join(f"<th>{METHODS.get(model, model)}</th>" for model in masking)
    rows = "".join(
        f"<tr><th>{title}</th>{''.join(f'<td>{of[name]:.1f}</td>' for of in masking.values())}</tr>"
        for name, title in heads.items()
    )
    return style.table(head, rows)


def cascade_table(summaries: dict[str, dict], eps: str) -> str:
    """Which stage of the cascade first broke what share of the images (%) at ``eps``, as an HTML table."""
    head = "".join(f"<th>{METHODS.get(model, model)}</th>" for model in summaries)
    broken = {model: of["broken"][eps] for model, of in summaries.items()}
    rows = "".join(
        f"<tr><th>{style.STAGES.get(name, name)}</th>{''.join(f'<td>{of[name]:.1f}</td>' for of in broken.values())}</tr>"
        for name in next(iter(broken.values()))
    )
    return style.table(head, rows)
