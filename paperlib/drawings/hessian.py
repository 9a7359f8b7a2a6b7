"""What can stand for the Hessian of S: curvature by scale, spectra by sharpness, and which has the paper's shares."""

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.drawings import style
from paperlib.names import network
from paperlib.numbers import short
from paperlib.record import Record

# below which a curvature of zero is drawn on a logarithmic axis, as a share of the smallest that is none
FLOOR = 0.1
# the smallest threshold of paperlib.secants, which needs torch
LOWEST = 1e-12
STARTS = {"image": "from the image", "beside": "from a point beside it"}
STEPS = {"sign": "-", "random": ":"}
HOLLOW = {"any": "full", "ten": "none"}
WITHOUT_NUMBER = {
    "hessian_relu": "S, ReLU, exact", "hessian_ce": "cross-entropy", "single precision": "cross-entropy, rounded",
}  # fmt: skip


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    asked, found = record.parameters, record.values["nearest"]
    return {
        "smallest": f"{min(asked['h']):g}", "largest": f"{max(asked['h']):g}",
        "flattest": f"{min(asked['beta']):g}", "sharpest": f"{max(asked['beta']):g}",
        "nearest": _called(found["any"]["best"]), "nearest_ten": _called(found["ten"]["best"]),
        **{f"{name}_{what}": _threshold(record, name, what) for name in ("any", "ten") for what in ("threshold", "shares")},
    }  # fmt: skip


def _threshold(record: Record, where: str, what: str) -> str:
    """Of the definition that comes nearest: its threshold, or both shares there."""
    name, _, kind = record.values["nearest"][where]["best"].partition(", ")
    of = record.values["match"][name][kind][where]
    if what == "threshold":
        return _at(of["threshold"])
    return f"{of['natural']['mean']:.1f} and {of['minmax']['mean']:.1f} %"


def _at(threshold: float) -> str:
    """A threshold; the lowest of all stands for smaller ones as well, where nothing else is left to count."""
    return "any" if threshold <= LOWEST else short(threshold)


def _called(definition: str) -> str:
    """A definition and what was counted of it, in words: ``hessian_ce, entries`` as ``entries, cross-entropy``."""
    name, _, kind = definition.partition(", ")
    return f"{kind}, {label(name)}"


def label(name: str) -> str:
    """A definition as a reader sees it.

    >>> label("softplus 10"), label("differences 0.1"), label("hessian_ce")
    ('softplus β = 10', 'differences over h = 0.1', 'cross-entropy')
    """
    kind, _, number = name.partition(" ")
    return WITHOUT_NUMBER.get(name) or {"softplus": f"softplus β = {number}"}.get(kind, f"differences over h = {number}")


def scales(record: Record) -> Figure:
    """Left and in the middle: the median curvature by the size of the step, and the mean beside the image. Right: images
    without a kink on the way. A line that leaves at the bottom is zero."""
    with style.book():
        figure, axes = plt.subplots(1, 3, figsize=(14, 5.2), layout="constrained")
        for ax, (place, title) in zip(axes, STARTS.items(), strict=False):
            for role in record.roles:
                for step, line in STEPS.items():
                    _by_size(ax, record, role, f"{place}-{step}", "middle", line)
            ax.set(title=f"median {title}", yscale="log")
        for role in record.roles:
            _by_size(axes[1], record, role, "beside-sign", "mean", (0, (1, 4)), marker="x")
            for place, marker in (("image", "o"), ("beside", "s")):
                _by_size(axes[2], record, role, f"{place}-sign", "straight", "-", marker=marker)
        _same_range(list(axes[:2]))
        axes[2].set(title="images without a kink", ylabel="%", ylim=(-3, 103))
        axes[0].set_ylabel("change of J by the step's length")
        for ax in axes:
            ax.set(xlabel="h, size of the step in a pixel", xscale="log")
        _legend(figure, record)
        return style.finished(figure)


def _by_size(ax: Axes, record: Record, role: str, name: str, what: str, line: object, marker: str = "") -> None:
    of = record.values[role][name]
    leaves = [of[size][what] for size in sorted(of, key=float)]
    _curve(ax, sorted(map(float, of)), leaves, role, line, marker)


def _curve(ax: Axes, x: list[float], leaves: list[dict], role: str, line: object = "-", marker: str = "") -> None:
    low, mean, high = (np.array([leaf[end] for leaf in leaves]) for end in ("low", "mean", "high"))
    ax.plot(x, mean, linestyle=line, marker=marker, color=network(role).colour)
    ax.fill_between(x, low, high, color=network(role).colour, alpha=0.2, linewidth=0)


def _same_range(axes: list[Axes]) -> None:
    """One logarithmic range for all that is positive; what is zero is drawn at its lower end."""
    drawn = np.concatenate([line.get_ydata() for ax in axes for line in ax.lines])
    low, high = FLOOR * drawn[drawn > 0].min(), 2 * drawn.max()
    for ax in axes:
        ax.set_ylim(low, high)
        for line in ax.lines:
            line.set_ydata(np.maximum(line.get_ydata(), low))


def _legend(figure: Figure, record: Record) -> None:
    lines = [plt.Line2D([], [], color=network(role).colour, label=network(role).label) for role in record.roles]
    looks = {"along sign J": ("-", ""), "along random signs": (":", ""), "mean, sign J": ((0, (1, 4)), "x"),
             "right: from the image": ("-", "o"), "right: from beside it": ("-", "s")}  # fmt: skip
    lines += [
        plt.Line2D([], [], color="#666666", linestyle=line, marker=marker, label=words)
        for words, (line, marker) in looks.items()
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=4, frameon=False)


def spectra(record: Record) -> Figure:
    """By the sharpness of softplus: the largest eigenvalue (median, and dotted the mean), the mean of all, and how many
    vanish. Last, the eigenvalues of the cross-entropy's Hessian, largest first."""
    panels = {"top": "largest |λ|", "mean": "mean |λ|", "vanishing": "|λ| below 1e-6 (%)"}
    with style.book():
        figure, axes = plt.subplots(1, len(panels) + 1, figsize=(16, 4.8), layout="constrained")
        for ax, (what, title) in zip(axes, panels.items(), strict=False):
            for role in record.roles:
                of = record.values[role]["softplus"]
                betas = sorted(of, key=float)
                _curve(ax, list(map(float, betas)), [of[beta][what] for beta in betas], role, ":" if what == "top" else "-")
                if what == "top":
                    _curve(ax, list(map(float, betas)), [of[beta]["top_median"] for beta in betas], role)
            ax.set(title=title, xlabel="β of softplus", xscale="log")
            if what != "vanishing":
                ax.set_yscale("symlog", linthresh=1e-3)
                ax.set_ylim(0, None)
        _loss(axes[-1], record)
        handles = [plt.Line2D([], [], color=network(role).colour, label=network(role).label) for role in record.roles]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        return style.finished(figure)


def _loss(ax: Axes, record: Record) -> None:
    for role in record.roles:
        falling: Float[np.ndarray, "n k"] = record.arrays[f"loss_{role}"]
        low, middle, high = np.quantile(falling, [0.25, 0.5, 0.75], axis=0).clip(1e-30)
        ranks = np.arange(1, falling.shape[1] + 1)
        ax.plot(ranks, middle, marker="o", color=network(role).colour)
        ax.fill_between(ranks, low, high, color=network(role).colour, alpha=0.2, linewidth=0)
    ax.set(title="λ of the cross-entropy", xlabel="rank", yscale="log", xticks=[1, 5, ranks[-1]])


def shares(record: Record) -> Figure:
    """Every definition on a line: the natural and the robust network's shares near zero at the one threshold that brings
    both nearest to the paper's (filled), and at the best power of ten (hollow); dotted the paper's shares."""
    rows = list(record.values["match"])
    stated = {"natural": record.parameters["share_natural"], "minmax": record.parameters["share_minmax"]}
    with style.book():
        size = (14, 2.2 + 0.55 * len(rows))
        figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
        for ax, kind in zip(axes, ("eigenvalues", "entries"), strict=True):
            for line, name in enumerate(rows):
                if kind in record.values["match"][name]:
                    _pair(ax, line, record.values["match"][name][kind], record.parameters["points"])
            for role, share in stated.items():
                ax.axvline(share, color=network(role).colour, linestyle=":")
            ax.set(title=kind, xlabel="share that counts as zero (%)", xlim=(-3, 135), xticks=range(0, 101, 25))
        axes[0].set(yticks=range(len(rows)), yticklabels=map(label, rows), ylim=(len(rows) - 0.5, -0.5))
        _shares_legend(figure, stated)
        return style.finished(figure)


def _pair(ax: Axes, line: int, of: dict, points: float) -> None:
    for shift, (where, fill) in zip((-0.17, 0.17), HOLLOW.items(), strict=True):
        ends = of[where]
        at, good = line + shift, ends["miss"] <= points
        ax.plot([ends[role]["mean"] for role in ("natural", "minmax")], [at, at], color="#999999", linewidth=1)
        for role in ("natural", "minmax"):
            leaf, look = ends[role], {"color": network(role).colour, "marker": network(role).marker, "fillstyle": fill}
            error = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
            ax.errorbar(leaf["mean"], at, xerr=error, linestyle="", markersize=8, elinewidth=1, **look)
        words = f"{_at(ends['threshold'])}: {ends['miss']:.1f}"
        ax.text(104, at, words, va="center", fontsize=12, fontweight="bold" if good else "normal")


def _shares_legend(figure: Figure, stated: dict[str, float]) -> None:
    lines = [
        plt.Line2D([], [], color=network(role).colour, marker=network(role).marker, linestyle=":",
                   label=f"{network(role).label} (dotted: the paper's {share} %)")
        for role, share in stated.items()
    ]  # fmt: skip
    words = {"full": "best threshold", "none": "best power of ten"}
    lines += [
        plt.Line2D([], [], color="#666666", marker="o", linestyle="", fillstyle=fill, label=text)
        for fill, text in words.items()
    ]
    lines.append(plt.Line2D([], [], linestyle="", label="at the right: threshold, and points missed"))
    figure.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False)


def definitions(record: Record) -> str:
    """Every definition as a row of an HTML table: best threshold and power of ten with both shares, and the norms' ratio."""
    heads = ("counted", "threshold", "Natural (%)", "MinMax (%)", "missed by (points)", "power of ten", "Natural (%)",
             "MinMax (%)", "missed by (points)", "norm, Natural over MinMax (paper: 2)")  # fmt: skip
    rows = ""
    for name, kinds in record.values["match"].items():
        for kind, of in kinds.items():
            cells = [kind]
            for where in ("any", "ten"):
                ends = of[where]
                cells += [_at(ends["threshold"]), *(f"{ends[role]['mean']:.1f}" for role in ("natural", "minmax")),
                          f"{ends['miss']:.1f}"]  # fmt: skip
            ratio = record.values["ratio"].get(name)
            cells.append(short(ratio["mean"]) if ratio else "–")
            rows += f"<tr><th>{label(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return style.table("".join(f"<th>{head}</th>" for head in heads), rows)
