"""Surfaces as maps and landscapes, with the image, its step and the result."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import style
from paperlib.drawings.maps import Scale, axes_at, bar, scale_of, tick
from paperlib.panels import Panel, panels
from paperlib.record import Record

SIDE, GAP, THUMB = 3.5, 1.15, 1.0  # inches: a map, the space left of it, a thumbnail
CLIMBS = {
    "cw": "−sign ∇S", "cross_entropy": "sign ∇L", "least_likely": "−sign ∇L(least likely)", "dlr": "sign ∇DLR",
}  # fmt: skip


def facts(record: Record) -> dict[str, object]:
    """What the words of a page may name besides the parameters: ``eps`` and ``step`` with their unit."""
    return {"eps": record.size(record.parameters["eps"]), "step": record.size(record.parameters["unit"])}


def drawn(record: Record) -> list[Panel]:
    """The panels of the figure."""
    return panels(record.parameters["panels"], record.roles)


def only(record: Record, numbers: list[int]) -> Record:
    """The same record with some of its panels alone."""
    arrays = {
        f"{name}_{new}": record.arrays[f"{name}_{old}"] for new, old in enumerate(numbers) for name in ("axis", "values")
    }
    panels = [record.parameters["panels"][old] for old in numbers]
    return replace(record, parameters=record.parameters | {"panels": panels}, arrays=arrays)


def alt(record: Record, what: str) -> str:
    """A sentence for readers who do not see the figure; ``what`` it shows, such as maps."""
    shown = drawn(record)
    titles = "; ".join(title_of(panel, shown).replace("\n", ", ") for panel in shown)
    return f"{len(shown)} surfaces as {what}: {titles}"


def maps(record: Record) -> Figure:
    """The panels of a figure as maps with the image, its step and the result below.

    S is on a diverging scale centred at 0, S = 0 a thick line; the loss on a sequential one; one scale for all panels.
    """
    shown, columns = drawn(record), record.parameters["columns"]
    rows, scales = -(-len(shown) // columns), scales_of(record, shown)
    above = 0.25 + 0.27 * max(title_of(panel, shown).count("\n") + 1 for panel in shown)
    height = above + SIDE + 1.0 + (THUMB + 0.45) * any(panel.space == "input" for panel in shown)
    size = columns * (SIDE + GAP) + 1.35 * len(scales) + 0.1, rows * height
    with style.book():
        figure = plt.figure(figsize=size)
        for k, panel in enumerate(shown):
            left, bottom = GAP + (k % columns) * (SIDE + GAP), (rows - k // columns) * height - SIDE - above
            ax = axes_at(figure, left, bottom, SIDE, SIDE)
            _map(ax, panel, k, record, scales[panel.objective])
            ax.set_title(title_of(panel, shown), pad=10)
            if panel.space == "input" and not any(_same_plane(panel, other) for other in shown[:k]):
                _thumbnails(figure, left, bottom - 0.95 - THUMB - 0.3, k, record)
        for k, (name, scale) in enumerate(scales.items()):
            place = columns * (SIDE + GAP) + 0.35 + 1.35 * k
            bar(figure, axes_at(figure, place, size[1] - SIDE - above, 0.25, SIDE), name, scale)
        return style.finished(figure)


def scales_of(record: Record, shown: list[Panel]) -> dict[str, Scale]:
    """One scale for each objective."""
    return {name: scale_of(name, record.arrays, shown) for name in dict.fromkeys(panel.objective for panel in shown)}


def _map(ax: Axes, panel: Panel, k: int, record: Record, scale: Scale) -> None:
    axis, values = record.arrays[f"axis_{k}"], record.arrays[f"values_{k}"]
    ax.contourf(axis, axis, values, scale.levels, extend=scale.extend, **scale.colours)
    ax.contour(axis, axis, values, scale.levels[::2], colors="#333333", linewidths=0.6, linestyles="solid", alpha=0.6)
    if panel.objective == "decision" and values.min() < 0 < values.max():
        ax.contour(axis, axis, values, [0], colors="black", linewidths=3.5)
    ax.plot(0, 0, "o", color="white", markeredgecolor="black", markersize=9, zorder=5)
    ax.set(aspect="equal", xlim=axis[[0, -1]], ylim=axis[[0, -1]])
    ax.locator_params(nbins=4)
    if panel.space == "parameter":
        ax.set(xlabel="α, in norms of the filters\nalong a random direction", ylabel="β, likewise")
        return
    step = record.size(record.parameters["unit"])
    ax.set(xlabel=f"α, in steps of {step}\nalong {_direction(panel)}", ylabel="β, along random signs")
    _ball(ax, panel, record.parameters["eps"] / record.parameters["unit"], axis[-1])


def _ball(ax: Axes, panel: Panel, eps: float, end: float) -> None:
    """The square of ``eps`` steps and the ball's section, where they end on the map, and the step along an attack."""
    if eps < end:
        ax.plot([eps, 0, -eps, 0, eps], [0, eps, 0, -eps, 0], "-", color="black", linewidth=2)
        ax.plot([eps, -eps, -eps, eps, eps], [eps, eps, -eps, -eps, eps], "--", color="black", linewidth=1.5)
    if panel.direction == "adversarial":
        arrow = {"color": names.DIRECTIONS["adversarial"].colour, "width": 3, "headwidth": 11, "shrink": 0}
        ax.annotate("", (min(eps, end), 0), (0, 0), zorder=4, arrowprops=arrow)


def _direction(panel: Panel) -> str:
    if panel.direction == "random":
        return "random signs"
    return CLIMBS[panel.climbs]


def title_of(panel: Panel, shown: list[Panel]) -> str:
    """What tells the panel from the others, in lines that fit over a map."""
    telling = {
        "role": names.network(panel.role).title or panel.role,
        "objective": {"decision": "decision surface S", "loss": "loss surface"}[panel.objective],
        "space": f"{panel.space} space", "direction": f"{panel.direction} direction",
        "image": f"image {panel.image + 1}", "seed": f"plane {panel.seed + 1}",
    }  # fmt: skip
    lines = [words for field, words in telling.items() if len({getattr(p, field) for p in shown}) > 1]
    return "\n".join(lines or [telling["role"]])


def _same_plane(panel: Panel, other: Panel) -> bool:
    return replace(panel, objective=other.objective) == other


def _thumbnails(figure: Figure, left: float, bottom: float, k: int, record: Record) -> None:
    """The image, its step of size eps (magnified) and where it leads, each with the class the network gives it."""
    image, u = record.arrays[f"image_{k}"], record.arrays[f"u_{k}"]
    eps, classes = record.parameters["eps"] / record.pixel_scale, names.data(record.data["name"]).classes
    true, before, after = (classes[i] if classes else f"seen as {i}" for i in record.arrays[f"label_{k}"])
    pictures = (image, before), (0.5 + 0.5 * u, f"{0.5 / eps:.3g} × ε u"), ((image + eps * u).clip(0, 1), after)
    for place, (pixels, title) in enumerate(pictures):
        ax = axes_at(figure, left + place * (SIDE - THUMB) / 2, bottom, THUMB, THUMB)
        style.picture(ax, pixels)
        wrong = place != 1 and title != true
        ax.set_title(title, fontsize=14, pad=4, color="#C00000" if wrong else "black")
    for place, sign in enumerate("+="):
        centre = THUMB + ((SIDE - THUMB) / 2 - THUMB) / 2 + place * (SIDE - THUMB) / 2
        w, h = figure.get_size_inches()
        figure.text((left + centre) / w, (bottom + THUMB / 2) / h, sign, ha="center", va="center", fontsize=15)


def landscapes(record: Record) -> Figure:
    """The same panels in three dimensions, each with its contours on the floor; one height and colour scale for all."""
    shown, columns = drawn(record), record.parameters["columns"]
    rows, scales, side = -(-len(shown) // columns), scales_of(record, shown), SIDE + GAP - 0.1
    with style.book():
        figure = plt.figure(figsize=(columns * side + 0.4, rows * (side + 0.2)))
        for k, panel in enumerate(shown):
            place = (k % columns) * side, (rows - 1 - k // columns) * (side + 0.2)
            ax = axes_at(figure, *place, side, side, projection="3d", computed_zorder=False)
            _landscape(ax, panel, record.arrays[f"axis_{k}"], record.arrays[f"values_{k}"], scales[panel.objective])
            ax.set_title(title_of(panel, shown), y=0.98)
        return style.finished(figure)


def _landscape(ax: Axes, panel: Panel, axis: np.ndarray, values: np.ndarray, scale: Scale) -> None:
    low, high = scale.levels[[0, -1]]
    floor = low - 0.6 * (high - low)
    a, b = np.meshgrid(axis, axis)
    ax.contourf(a, b, values, scale.levels, zdir="z", offset=floor, extend=scale.extend, zorder=0, **scale.colours)
    if panel.objective == "decision" and values.min() < 0 < values.max():
        ax.contour(a, b, values, [0], zdir="z", offset=floor, colors="black", linewidths=3, zorder=1)
    ax.plot_surface(
        a, b, values.clip(low, high), rcount=41, ccount=41, linewidth=0.2, edgecolor="#00000055", zorder=2,
        **scale.colours,
    )  # fmt: skip
    ax.set(zlim=(floor, high), xlabel="α", ylabel="β", zticks=scale.levels[::10])
    ax.set_zlabel({"decision": "S", "loss": "loss (nats)"}[panel.objective], labelpad=13)
    ax.zaxis.set_major_formatter(tick)
    ax.tick_params(labelsize=14, pad=1)
    ax.tick_params(axis="z", pad=5)
    # short numbers away from the ends, where those of the two axes would meet in the near corner
    far = float(f"{0.7 * axis[-1]:.0g}")
    ax.set(xticks=[-far, 0, far], yticks=[-far, 0, far])
    ax.xaxis.set_major_formatter(tick)
    ax.yaxis.set_major_formatter(tick)
    ax.view_init(elev=28, azim=-58)
    ax.set_box_aspect((1, 1, 1.05), zoom=0.83)


def toy_curve(record: Record) -> Figure:
    """The toy of A.1: cross-entropy against the margin S of the same ten logits."""
    toy = record.values["toy"]
    with style.book():
        figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
        ax.plot(toy["margin"], toy["loss"], "o-", color=names.VERMILION, markersize=8)
        if "blank_from" in toy:
            ax.axvspan(toy["blank_from"], max(toy["margin"]), color="#dddddd", zorder=0)
            middle = (toy["blank_from"] + max(toy["margin"])) / 2
            ax.text(middle, 0.6 * max(toy["loss"]), "blank", ha="center", color="#555555")
        ax.axvline(0, color="black", linewidth=1)
        ax.set(xticks=toy["margin"][::3], xlabel="S of the logits (m, 0, …, 0)", ylabel="cross-entropy (nats)")
        return style.finished(figure)
