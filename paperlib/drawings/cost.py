"""What training costs, as bars and curves."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import style
from paperlib.numbers import short
from paperlib.record import Record


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    recipes, machine = {role: model["recipe"] for role, model in record.models.items()}, record.environment["machine"]
    return {
        "batch": recipes["natural"]["batch"], "epochs": recipes["natural"]["epochs"], "steps": recipes["minmax"]["steps"],
        "threads": machine["threads"], "processor": machine["gpu"] or machine["processor"],
    }  # fmt: skip


def bars(record: Record) -> Figure:
    """How many times a natural epoch's seconds an epoch of each method takes, with intervals over rounds."""
    with style.book():
        figure, ax = plt.subplots(figsize=(9, 0.65 * len(record.values) + 1.2), layout="constrained")
        for k, (method, of) in enumerate(record.values.items()):
            leaf = of.get("over_natural", {"mean": 1.0, "low": 1.0, "high": 1.0})
            spread = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
            ax.barh(-k, leaf["mean"], xerr=spread, color=names.network(method).colour, height=0.7, error_kw={"capsize": 5})
            ax.text(leaf["high"], -k, f"   {short(leaf['mean'])} ×", va="center")
        ax.set(yticks=[-k for k in range(len(record.values))], xlabel="seconds an epoch, natural = 1",
               yticklabels=[names.network(method).label for method in record.values])  # fmt: skip
        ax.margins(x=0.12)
        ax.axvline(1, color="black", linewidth=1)
        return style.finished(figure)


def curves(record: Record) -> Figure:
    """Accuracy on held-out images after every epoch, clean and under attack; a marker where it was near its best."""
    panels = {"clean": ("clean", "epochs"), "adversarial": ("under attack (PGD)", "epochs_adversarial")}
    with style.book():
        figure, axes = plt.subplots(1, len(panels), figsize=(11, 4.9), sharey=True, layout="constrained")
        for ax, (accuracy, (title, reached)) in zip(axes, panels.items(), strict=True):
            for method, values in record.values.items():
                curve, at, look = record.arrays[f"{accuracy}_{method}"], values[reached], names.network(method)
                ax.plot(range(1, len(curve) + 1), curve, color=look.colour, alpha=0.85)
                ax.plot(at, curve[at - 1], look.marker, color=look.colour, markersize=11, zorder=5,
                        markeredgecolor="black", label=look.label)  # fmt: skip
            ax.set(title=title, xlabel="epoch", xlim=(0.5, None))
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set(ylabel="held-out accuracy (%)", ylim=(-3, 103))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return style.finished(figure)
