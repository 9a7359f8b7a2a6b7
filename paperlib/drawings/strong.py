"""The worst case beside AutoAttack."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.drawings import style
from paperlib.names import METHODS


def stages_table(stages: Sequence) -> str:
    """The settings of a cascade (``paperlib.cascade.Stage``) as an HTML table, one stage a row."""
    head = "".join(f"<th>{title}</th>" for title in ("method", "objective", "steps", "targets", "images", "rounds, at most"))
    objectives = {"cross_entropy": "cross-entropy", "cw": "margin", "dlr": "ratio of logits"}
    rows = "".join(
        f"<tr><th>{style.STAGES.get(stage.name, stage.name)}</th><td>{stage.method}</td>"
        f"<td>{objectives[stage.objective]}</td>"
        f"<td>{stage.steps}</td><td>{stage.targets or 'none'}</td>"
        f"<td>{'nearest first' if stage.nearest else 'all left'}</td><td>{stage.rounds}</td></tr>"
        for stage in stages
    )
    return style.table(head, rows)


# attack -> label, colour, marker, in the order of their strength
STRENGTHS = {
    "bim": ("BIM, the paper's protocol", "#999999", "o"), "several": ("the paper's attacks and PGD", "#E69F00", "s"),
    "worst": ("worst case", "#0072B2", "D"), "autoattack": ("AutoAttack", "#000000", "|"),
}  # fmt: skip


def strong_dots(rows: dict[str, dict], units: dict[int, str], kinds: dict[str, int]) -> Figure:
    """Every network and size on a line of its own: accuracies under ever stronger attacks as dots with intervals.

    ``rows``: role -> values of ``evaluation.beside``; ``kinds``: role -> 0 for grey, 1 for colour images, the panels.
    """
    panels = {kind: [role for role in rows if kinds[role] == kind] for kind in sorted(set(kinds.values()))}
    lines = {kind: [(role, eps) for role in roles for eps in rows[role]["worst"]] for kind, roles in panels.items()}
    with style.book():
        figure, axes = plt.subplots(
            1, len(panels), figsize=(5.5 * len(panels), 1.4 + 0.42 * max(map(len, lines.values()))), layout="constrained",
            squeeze=False,
        )  # fmt: skip
        for ax, (kind, places) in zip(axes[0], lines.items(), strict=True):
            for line, (role, eps) in enumerate(places):
                _strength_line(ax, line, {name: rows[role].get(name, {}).get(eps) for name in STRENGTHS})
            names = [f"{METHODS.get(role.split('-', 1)[1], role)}, {eps}{units[kind]}" for role, eps in places]
            ax.set(yticks=range(len(places)), yticklabels=names, ylim=(len(places) - 0.5, -0.5), xlim=(-3, 103),
                   xlabel="accuracy (%)", title=("grey images", "colour images")[kind])  # fmt: skip
            # a rule between networks
            for line in range(1, len(places)):
                if places[line][0] != places[line - 1][0]:
                    ax.axhline(line - 0.5, color="#cccccc", linewidth=0.8)
        handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, frameon=False)
        return style.finished(figure)


def _strength_line(ax: Axes, line: int, leaves: dict[str, dict | None]) -> None:
    for shift, (name, leaf) in zip((-0.24, -0.08, 0.08, 0.24), leaves.items(), strict=True):
        if leaf is not None:
            label, colour, marker = STRENGTHS[name]
            ax.errorbar(
                leaf["mean"], line + shift, xerr=[[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]], color=colour,
                marker=marker, markersize=5, linestyle="", elinewidth=1, label=label if line == 0 else None,
            )  # fmt: skip


def agreement_table(rows: dict[str, dict], agreement: dict[str, dict], units: dict[int, str], kinds: dict[str, int]) -> str:
    """Old and new worst case beside AutoAttack, and images that one of them alone breaks, as an HTML table."""
    heads = ("images", "the paper's attacks and PGD", "worst case", "AutoAttack", "AutoAttack alone breaks",
             "the worst case alone breaks")  # fmt: skip
    lines = ""
    for role, row in rows.items():
        kind, _, method = role.partition("-")
        for eps, leaf in row["worst"].items():
            both = agreement[role].get(eps, {})
            told = [row["several"][eps], leaf, row.get("autoattack", {}).get(eps)]
            cells = [leaf["n"], *(style.cell(each, None, False) if each else "–" for each in told),
                     both.get("autoattack_alone", "–"), both.get("worst_alone", "–")]  # fmt: skip
            name = f"{METHODS.get(method, method)}, {kind}, ε = {eps}{units[kinds[role]]}"
            lines += f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return style.table("".join(f"<th>{head}</th>" for head in heads), lines)
