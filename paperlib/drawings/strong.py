"""The worst case beside AutoAttack."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import style
from paperlib.record import Record

UNITS = {"grey": "", "colour": "/255"}


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    return {"oracles": " and ".join(f"{n:,}" for n in record.parameters["oracle"])}


def stages(record: Record) -> str:
    """The settings of the cascade (``paperlib.cascade.Stage``) as an HTML table, one stage a row."""
    head = "".join(f"<th>{title}</th>" for title in ("method", "objective", "steps", "targets", "images", "rounds, at most"))
    objectives = {"cross_entropy": "cross-entropy", "cw": "margin", "dlr": "ratio of logits"}
    rows = "".join(
        f"<tr><th>{names.label(names.STAGES, stage['name'])}</th><td>{stage['method']}</td>"
        f"<td>{objectives[stage['objective']]}</td>"
        f"<td>{stage['steps']}</td><td>{stage['targets'] or 'none'}</td>"
        f"<td>{'nearest first' if stage['nearest'] else 'all left'}</td><td>{stage['rounds']}</td></tr>"
        for stage in record.values["cascade"]
    )
    return style.table(head, rows)


# in the order of their strength; two are called otherwise than in a table, where the paper's attacks stand above them
STRENGTHS = {
    "bim": "BIM, the paper's protocol", "several": "the paper's attacks and PGD",
    "worst": names.ATTACKS["worst"].label, "autoattack": names.ATTACKS["autoattack"].label,
}  # fmt: skip


def dots(record: Record) -> Figure:
    """Every network and size on a line of its own: accuracies under ever stronger attacks as dots with intervals."""
    places: dict[str, list[tuple[str, str]]] = {}
    for role in record.roles:
        places.setdefault(_kind(role), []).extend((role, eps) for eps in record.values[role]["worst"])
    kinds = [kind for kind in UNITS if kind in places]
    height = 1.4 + 0.42 * max(map(len, places.values()))
    with style.book():
        figure, axes = plt.subplots(1, len(kinds), figsize=(5.5 * len(kinds), height), layout="constrained", squeeze=False)
        for ax, kind in zip(axes[0], kinds, strict=True):
            _lines(ax, record, places[kind], UNITS[kind])
            ax.set(xlim=(-3, 103), xlabel="accuracy (%)", title=f"{kind} images")
        handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, frameon=False)
        return style.finished(figure)


def _kind(role: str) -> str:
    return "grey" if role.startswith("grey") else "colour"


def _method(role: str) -> str:
    return names.network(role.partition("-")[2]).label


def _lines(ax: Axes, record: Record, places: list[tuple[str, str]], unit: str) -> None:
    for line, (role, eps) in enumerate(places):
        _strength_line(ax, line, {name: record.values[role].get(name, {}).get(eps) for name in STRENGTHS})
    words = [f"{_method(role)}, {eps}{unit}" for role, eps in places]
    ax.set(yticks=range(len(places)), yticklabels=words, ylim=(len(places) - 0.5, -0.5))
    # a rule between networks
    for line in range(1, len(places)):
        if places[line][0] != places[line - 1][0]:
            ax.axhline(line - 0.5, color="#cccccc", linewidth=0.8)


def _strength_line(ax: Axes, line: int, leaves: dict[str, dict | None]) -> None:
    for shift, (name, leaf) in zip((-0.24, -0.08, 0.08, 0.24), leaves.items(), strict=True):
        if leaf is not None:
            look = names.ATTACKS[name]
            ax.errorbar(
                leaf["mean"], line + shift, xerr=[[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]],
                color=look.colour, marker=look.marker, markersize=5, linestyle="", elinewidth=1,
                label=STRENGTHS[name] if line == 0 else None,
            )  # fmt: skip


def agreement(record: Record) -> str:
    """Old and new worst case beside AutoAttack, and images that one of them alone breaks, as an HTML table."""
    heads = ("images", *(STRENGTHS[name] for name in ("several", "worst", "autoattack")), "AutoAttack alone breaks",
             "the worst case alone breaks")  # fmt: skip
    lines = ""
    for role in record.roles:
        row, both = record.values[role], record.values["agreement"][role]
        for eps, leaf in row["worst"].items():
            told = [row["several"][eps], leaf, row.get("autoattack", {}).get(eps)]
            cells = [leaf["n"], *(style.cell(each, None, False) if each else "–" for each in told),
                     *(both.get(eps, {}).get(name, "–") for name in ("autoattack_alone", "worst_alone"))]  # fmt: skip
            name = f"{_method(role)}, {_kind(role)}, ε = {eps}{UNITS[_kind(role)]}"
            lines += f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return style.table("".join(f"<th>{head}</th>" for head in heads), lines)
