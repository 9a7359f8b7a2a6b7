"""Drawing: takes arrays and numbers, computes nothing. One style for the whole book."""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from paperlib import names
from paperlib.measure import panels
from paperlib.names import CLASSES, COLOURS, DATA, MARKERS, METHODS
from paperlib.state import reject
from press.plan import experiments

STYLE = {
    "figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "savefig.facecolor": "white",
    "font.size": 16, "axes.titlesize": 17, "axes.labelsize": 16, "xtick.labelsize": 14, "ytick.labelsize": 14,
    "legend.fontsize": 14, "lines.linewidth": 2.0, "axes.spines.top": False, "axes.spines.right": False,
    "image.interpolation": "nearest", "axes.grid": False, "svg.hashsalt": "paperlib",
}  # fmt: skip
def _colour(role: str) -> str:
    """The role's colour; grey for a role of the reader's own."""
    return COLOURS.get(role, "#666666")


def _marker(role: str) -> str:
    return MARKERS.get(role, "o")


@contextmanager
def style() -> Iterator[None]:
    """The book's matplotlib settings inside the block."""
    with matplotlib.rc_context(STYLE):
        yield


def shown(figure: Figure, alt: str = "") -> "Image":
    """The figure as a notebook's output: a PNG without date or version, so that the same run gives the same bytes."""
    from IPython.display import Image

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
    plt.close(figure)
    return Image(stream.getvalue(), alt=alt)


# The words of a figure's page.


def words(artifact: str, part: str, values: dict | None = None, **facts: object) -> "Markdown":
    """A part of ``book/figures.yml`` as a notebook's output: ``question``, ``reading``, ``shows`` or ``differs``.

    In the text ``{name}`` is a fact, ``{a/b}`` a number of ``values`` with its interval, ``{a/b ~ 1}`` how that
    interval lies to 1, in words. Sentences with a number that this run does not have, and missing parts, are left out.
    Raises ValueError for an artifact that the file lacks.
    """
    from IPython.display import Markdown

    pages = experiments.read_yaml(experiments.ROOT / "book" / "figures.yml")
    reject(artifact not in pages, f"artifact {artifact!r} is not in book/figures.yml; allowed are {', '.join(pages)}")
    text = pages[artifact].get(part) or ""
    sentences = text if isinstance(text, list) else [text]
    said = [sentence for sentence in (filled(each, values or {}, facts) for each in sentences) if sentence]
    # sentences that are items of a list stand in lines of their own
    return Markdown(("\n" if all(sentence.startswith("- ") for sentence in said) else " ").join(said))


def filled(text: str, values: dict, facts: dict) -> str:
    """``text`` with its ``{...}`` replaced as ``words`` says; empty if one of them is not at hand."""
    found = {place: _found(place, values, facts) for place in re.findall(r"{([^{}]+)}", text)}
    if None in found.values():
        return ""
    return re.sub(r"{([^{}]+)}", lambda match: found[match[1]], text).strip()


def _found(place: str, values: dict, facts: dict) -> str | None:
    if place in facts:
        return str(facts[place])
    path, _, reference = place.partition("~")
    leaf: object = values
    for key in path.strip().split("/"):
        leaf = leaf.get(key) if isinstance(leaf, dict) else None
    if leaf is None:
        return None
    return lies(leaf, float(reference)) if reference else told(leaf)


def lies(interval: dict, reference: float) -> str:
    """How an interval lies to a number: ``above 1``, ``below 1``, ``not to be told from 1``."""
    if interval["low"] > reference:
        return f"above {reference:g}"
    return f"below {reference:g}" if interval["high"] < reference else f"not to be told from {reference:g}"


ROLES = {"natural": "natural network", "robust": "robust network", "ours": "network “Ours”"}
def step_words(unit: float, pixel_scale: int) -> str:
    """A step of the axes: ``0.05`` on grey images, ``1/255`` on colour."""
    return f"{unit:g}" if pixel_scale == 1 else f"{unit:g}/{pixel_scale}"


def facts(record: dict, arrays: Mapping[str, np.ndarray]) -> dict[str, object]:
    """What the words of a page may name: the parameters, ``eps`` and ``step`` with their unit, ``data`` and ``n``."""
    parameters, scale = record["parameters"], int(arrays["pixel_scale"])
    plain = {name: value for name, value in parameters.items() if isinstance(value, (int, float, str))}
    return plain | {
        "eps": step_words(parameters["eps"], scale), "step": step_words(parameters["unit"], scale),
        "data": DATA.get(record["data"]["name"], record["data"]["name"]), "n": record["data"]["n"],
    }  # fmt: skip


# Surfaces.

SIDE, GAP, THUMB = 3.5, 1.15, 1.0  # inches: a map, the space left of it, a thumbnail


def surfaces(record: dict, arrays: Mapping[str, np.ndarray]) -> Figure:
    """The panels of a figure from a record and its arrays, as maps with the image, its step and the result below.

    S is on a diverging scale centred at 0, S = 0 a thick line; the loss on a sequential one; one scale for all panels.
    """
    parameters = record["parameters"]
    shown_panels = panels(parameters["panels"], list(record["models"]))
    columns, thumbs = parameters["columns"], any(panel.space == "input" for panel in shown_panels)
    rows = -(-len(shown_panels) // columns)
    scales = {name: _scale(name, arrays, shown_panels) for name in dict.fromkeys(p.objective for p in shown_panels)}
    above = 0.25 + 0.27 * max(_title(panel, shown_panels).count("\n") + 1 for panel in shown_panels)
    height = above + SIDE + 1.0 + (THUMB + 0.45) * thumbs
    with style():
        size = (columns * (SIDE + GAP) + 1.35 * len(scales) + 0.1, rows * height)
        figure = plt.figure(figsize=size)
        for k, panel in enumerate(shown_panels):
            left, bottom = GAP + (k % columns) * (SIDE + GAP), (rows - k // columns) * height - SIDE - above
            ax = _axes(figure, left, bottom, SIDE, SIDE)
            _map(ax, panel, k, arrays, scales[panel.objective], record)
            ax.set_title(_title(panel, shown_panels), pad=10)
            if panel.space == "input" and not any(_same_plane(panel, other) for other in shown_panels[:k]):
                _thumbnails(figure, left, bottom - 0.95 - THUMB - 0.3, k, arrays, record)
        for k, (name, scale) in enumerate(scales.items()):
            place = columns * (SIDE + GAP) + 0.35 + 1.35 * k
            _bar(figure, _axes(figure, place, size[1] - SIDE - above, 0.25, SIDE), name, scale)
        return finished(figure)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float, **options) -> Axes:
    """Axes at a place in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h), **options)


@dataclass(frozen=True)
class _Scale:
    """One objective's colours and levels, the same in every panel: S up to 1.5 times the largest S of a drawn image."""

    levels: Float[np.ndarray, "k"]
    cmap: str
    extend: str
    label: str

    @property
    def colours(self) -> dict:
        """What matplotlib takes: the same colour for the same value in maps, landscapes and bars."""
        steps = plt.get_cmap(self.cmap).N
        return {"cmap": self.cmap, "norm": BoundaryNorm(self.levels, steps, extend=self.extend)}


def _scale(objective: str, arrays: Mapping, shown_panels: list) -> _Scale:
    values = [arrays[f"values_{k}"] for k, panel in enumerate(shown_panels) if panel.objective == objective]
    if objective == "decision":
        top = _round(1.5 * max(abs(float(grid[len(grid) // 2, len(grid) // 2])) for grid in values))
        return _Scale(np.linspace(-top, top, 21), "RdBu", "both", "S: correct above 0")
    top = _round(max(float(np.quantile(grid, 0.98)) for grid in values))
    return _Scale(np.linspace(0, top, 21), "viridis", "max", "cross-entropy (nats)")


def _round(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-6)))
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * step >= value * (1 - 1e-9))


def _map(ax: Axes, panel, k: int, arrays: Mapping, scale: _Scale, record: dict) -> None:
    parameters, axis, values = record["parameters"], arrays[f"axis_{k}"], arrays[f"values_{k}"]
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
    eps, step = parameters["eps"] / parameters["unit"], step_words(parameters["unit"], int(arrays["pixel_scale"]))
    if eps < axis[-1]:
        ax.plot([eps, 0, -eps, 0, eps], [0, eps, 0, -eps, 0], "-", color="black", linewidth=2)
        ax.plot([eps, -eps, -eps, eps, eps], [eps, eps, -eps, -eps, eps], "--", color="black", linewidth=1.5)
    if panel.direction == "adversarial":
        ax.annotate("", (min(eps, axis[-1]), 0), (0, 0), zorder=4,
                    arrowprops={"color": COLOURS["adversarial"], "width": 3, "headwidth": 11, "shrink": 0})  # fmt: skip
    ax.set(xlabel=f"α, in steps of {step}\nalong {_direction(panel)}", ylabel="β, along random signs")


def _direction(panel) -> str:
    if panel.direction == "random":
        return "random signs"
    return {"cw": "−sign ∇S", "cross_entropy": "sign ∇L", "least_likely": "−sign ∇L(least likely)"}[panel.climbs]


def _title(panel, shown_panels: list) -> str:
    """What tells the panel from the others, in lines that fit over a map."""
    names = {
        "role": ROLES.get(panel.role, panel.role),
        "objective": {"decision": "decision surface S", "loss": "loss surface"}[panel.objective],
        "space": f"{panel.space} space", "direction": f"{panel.direction} direction",
        "image": f"image {panel.image + 1}", "seed": f"plane {panel.seed + 1}",
    }  # fmt: skip
    telling = [name for field, name in names.items() if len({getattr(p, field) for p in shown_panels}) > 1]
    return "\n".join(telling or [names["role"]])


def _same_plane(panel, other) -> bool:
    return replace(panel, objective=other.objective) == other


def _thumbnails(figure: Figure, left: float, bottom: float, k: int, arrays: Mapping, record: dict) -> None:
    """The image, its step of size eps (magnified) and where it leads, each with the class the network gives it."""
    image, u = arrays[f"image_{k}"], arrays[f"u_{k}"]
    eps = record["parameters"]["eps"] / int(arrays["pixel_scale"])
    names = CLASSES.get(record["data"]["name"])
    true, before, after = (names[i] if names else f"seen as {i}" for i in arrays[f"label_{k}"])
    pictures = (
        (image, before), (0.5 + 0.5 * u, f"{0.5 / eps:.3g} × ε u"), ((image + eps * u).clip(0, 1), after),
    )  # fmt: skip
    for place, (pixels, title) in enumerate(pictures):
        ax = _axes(figure, left + place * (SIDE - THUMB) / 2, bottom, THUMB, THUMB)
        picture(ax, pixels)
        wrong = place != 1 and title != true
        ax.set_title(title, fontsize=14, pad=4, color="#C00000" if wrong else "black")
    for place, sign in enumerate("+="):
        centre = THUMB + ((SIDE - THUMB) / 2 - THUMB) / 2 + place * (SIDE - THUMB) / 2
        w, h = figure.get_size_inches()
        figure.text((left + centre) / w, (bottom + THUMB / 2) / h, sign, ha="center", va="center", fontsize=15)


def _tick(value: float, _: int) -> str:
    return f"{value:g}".replace("-", "−")


def _bar(figure: Figure, ax: Axes, objective: str, scale: _Scale) -> None:
    bar = figure.colorbar(plt.cm.ScalarMappable(**scale.colours), cax=ax, ticks=scale.levels[::5], format=_tick)
    bar.set_label(scale.label)
    if objective == "decision":
        bar.ax.axhline(0, color="black", linewidth=3.5)


def landscapes(record: dict, arrays: Mapping[str, np.ndarray]) -> Figure:
    """The same panels in three dimensions, each with its contours on the floor; one height and colour scale for all."""
    parameters = record["parameters"]
    shown_panels = panels(parameters["panels"], list(record["models"]))
    columns = parameters["columns"]
    rows = -(-len(shown_panels) // columns)
    side = SIDE + GAP - 0.1
    with style():
        figure = plt.figure(figsize=(columns * side + 0.4, rows * (side + 0.2)))
        for k, panel in enumerate(shown_panels):
            scale = _scale(panel.objective, arrays, shown_panels)
            place = (k % columns) * side, (rows - 1 - k // columns) * (side + 0.2)
            ax = _axes(figure, *place, side, side, projection="3d", computed_zorder=False)
            _landscape(ax, panel, arrays[f"axis_{k}"], arrays[f"values_{k}"], scale)
            ax.set_title(_title(panel, shown_panels), y=0.98)
        return finished(figure)


def _landscape(ax: Axes, panel, axis: np.ndarray, values: np.ndarray, scale: _Scale) -> None:
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
    ax.zaxis.set_major_formatter(_tick)
    ax.tick_params(labelsize=14, pad=1)
    ax.tick_params(axis="z", pad=5)
    # short numbers away from the ends, where those of the two axes would meet in the near corner
    tick = float(f"{0.7 * axis[-1]:.0g}")
    ax.set(xticks=[-tick, 0, tick], yticks=[-tick, 0, tick])
    ax.xaxis.set_major_formatter(_tick)
    ax.yaxis.set_major_formatter(_tick)
    ax.view_init(elev=28, azim=-58)
    ax.set_box_aspect((1, 1, 1.05), zoom=0.83)


def alt(record: dict) -> str:
    """A sentence for readers who do not see the figure."""
    shown_panels = panels(record["parameters"]["panels"], list(record["models"]))
    titles = "; ".join(_title(panel, shown_panels).replace("\n", ", ") for panel in shown_panels)
    return f"{record['paper']} made again, {len(shown_panels)} panels: {titles}"


def toy_curve(toy: dict) -> Figure:
    """The toy of A.1: cross-entropy against the margin S of the same ten logits."""
    with style():
        figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
        ax.plot(toy["margin"], toy["loss"], "o-", color=COLOURS["natural"], markersize=8)
        if "blank_from" in toy:
            ax.axvspan(toy["blank_from"], max(toy["margin"]), color="#dddddd", zorder=0)
            middle = (toy["blank_from"] + max(toy["margin"])) / 2
            ax.text(middle, 0.6 * max(toy["loss"]), "blank", ha="center", color="#555555")
        ax.axvline(0, color="black", linewidth=1)
        ax.set(xticks=toy["margin"][::3], xlabel="S of the logits (m, 0, …, 0)", ylabel="cross-entropy (nats)")
        return finished(figure)


def save_plane(plane, path, *, objective: str, pixel_scale: int = 1, blind: bool = False):
    """One ``surface.Surface`` around an image as a picture file (axes in 1/``pixel_scale``); returns ``path``.

    ``blind``: the gradient at the image is zero, and alpha runs along random signs.
    """
    with style():
        figure, (ax, bar) = plt.subplots(1, 2, figsize=(7.6, 6), width_ratios=[30, 1.2], layout="constrained")
        top = _round(float(np.quantile(np.abs(plane.values), 0.98)))
        scale = _Scale(np.linspace(-top, top, 21), "RdBu", "both", "S: correct above 0")
        if objective != "decision":
            scale = _Scale(np.linspace(0, top, 21), "viridis", "max", "cross-entropy (nats)")
        alpha, beta = plane.alpha * pixel_scale, plane.beta * pixel_scale
        ax.contourf(alpha, beta, plane.values, scale.levels, cmap=scale.cmap, extend=scale.extend)
        if objective == "decision" and plane.values.min() < 0 < plane.values.max():
            ax.contour(alpha, beta, plane.values, [0], colors="black", linewidths=3.5)
        ax.plot(0, 0, "o", color="white", markeredgecolor="black", markersize=9)
        unit = f"1/{pixel_scale}" if pixel_scale > 1 else "image range"
        along = "random signs, for ∇S = 0 here" if blind else "−sign ∇S"
        ax.set(xlabel=f"α, along {along} ({unit})", ylabel=f"β, along random signs ({unit})", aspect="equal")
        _bar(figure, bar, objective, scale)
        figure.savefig(path, metadata={"Software": None} if str(path).endswith(".png") else None)
        plt.close(figure)
    return path


# Jacobians, spectra, tables.


def told(leaf: float | str | dict) -> str:
    """A number as a sentence quotes it: ``98.4 % [97.9, 98.8]`` for an interval, three significant digits otherwise."""
    if not isinstance(leaf, dict):
        return leaf if isinstance(leaf, str) else _short(leaf)
    percent = "unit" not in leaf
    mean, low, high = (f"{leaf[key]:.1f}" if percent else _short(leaf[key]) for key in ("mean", "low", "high"))
    return " ".join(part for part in (mean, "%" if percent else leaf["unit"], f"[{low}, {high}]") if part)


def _short(number: float) -> str:
    if isinstance(number, int) or number == 0 or not math.isfinite(number):
        return f"{number:.0f}"
    return f"{number:.1e}" if abs(number) < 1e-3 else f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def finished(figure: Figure) -> Figure:
    """The figure with its ticks made while the book's style still holds."""
    figure.canvas.draw()
    return figure


def picture(ax: Axes, image: Float[np.ndarray, "c h w"], title: str = "") -> None:
    """An image in [0, 1], grey or colour, without axes."""
    grey = len(image) == 1
    ax.imshow(image[0] if grey else image.transpose(1, 2, 0).clip(0, 1), cmap="gray" if grey else None, vmin=0, vmax=1)
    _bare(ax, title)


def _bare(ax: Axes, title: str = "") -> None:
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color("#999999")


def derivatives(
    image: Float[np.ndarray, "c h w"], titles: dict[str, str], jacobians: dict[str, Float[np.ndarray, "c h w"]],
    hessians: dict[str, dict[str, Float[np.ndarray, "d d"]]],
) -> Figure:  # fmt: skip
    """One row a network: the image, J on one diverging scale, and ``|H|`` of every kind on one logarithmic scale.

    ``hessians``: role -> heading -> matrix; a matrix of zeros stays blank and says so.
    """
    kinds = list(next(iter(hessians.values())))
    limit = max(float(np.abs(J).max()) for J in jacobians.values())
    top = max(float(np.abs(H).max()) for of_role in hessians.values() for H in of_role.values()) or 1.0
    scale = LogNorm(top * 1e-6, top)
    with style():
        figure = plt.figure(figsize=(2.5 * (2 + len(kinds)), 2.9 * len(titles) + 0.9))
        grid = figure.add_gridspec(
            len(titles) + 1, 2 + len(kinds), height_ratios=[*[1] * len(titles), 0.07], wspace=0.06, hspace=0.2
        )
        for k, (role, title) in enumerate(titles.items()):
            picture(figure.add_subplot(grid[k, 0]), image, title)
            ax = figure.add_subplot(grid[k, 1])
            slopes = ax.imshow(jacobians[role].sum(0), cmap="RdBu_r", vmin=-limit, vmax=limit)
            _bare(ax, "" if k else "J")
            for column, kind in enumerate(kinds, start=2):
                ax = figure.add_subplot(grid[k, column])
                _magnitudes(ax, hessians[role][kind], scale)
                _bare(ax, "" if k else kind)
        bar = figure.colorbar(slopes, cax=figure.add_subplot(grid[-1, 1]), orientation="horizontal")
        bar.set_label("∂S / ∂pixel")
        bends = plt.cm.ScalarMappable(scale, "magma_r")
        bar = figure.colorbar(bends, cax=figure.add_subplot(grid[-1, 2:]), orientation="horizontal")
        bar.set_label("|second derivative|, logarithmic")
        return finished(figure)


def _magnitudes(ax: Axes, H: Float[np.ndarray, "d d"], scale: LogNorm) -> None:
    """``|H|`` on a logarithmic scale; values below its lower end stay white."""
    magnitude = np.ma.masked_less(np.abs(H), scale.vmin)
    ax.imshow(magnitude, cmap="magma_r", norm=scale)
    if magnitude.count() == 0:
        said = f"below\n{scale.vmin:.0e}" if H.any() else "0\neverywhere"
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center")


def distributions(
    entries: dict[str, Float[np.ndarray, "k"]], spectra: dict[str, dict[str, Float[np.ndarray, "n d"]]]
) -> Figure:
    """Left: how the entries of J are distributed. Right: eigenvalue magnitudes by rank, the mean over images.

    ``spectra``: kind -> role -> eigenvalues. Colours are roles, line styles are kinds.
    """
    limit = max(float(np.abs(values).max()) for values in entries.values())
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
        for role, values in entries.items():
            left.hist(
                values, bins=np.linspace(-limit, limit, 102), density=True, histtype="step", linewidth=2,
                color=COLOURS[role], label=role,
            )  # fmt: skip
        left.set(yscale="log", xlabel="entry of J (∂S / ∂pixel)", ylabel="density")
        left.legend(frameon=False, loc="upper right")
        for (kind, of_role), line in zip(spectra.items(), ("-", ":"), strict=False):
            for role, values in of_role.items():
                falling = np.sort(np.abs(values), axis=1)[:, ::-1].mean(0)
                ranks = np.arange(1, len(falling) + 1)
                right.loglog(ranks, falling, line, color=COLOURS[role], label=f"{role}, {kind}")
        right.set(xlabel="rank of the eigenvalue", ylabel="|λ|, mean over images", ylim=(1e-8, None))
        right.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.36, 0))
        return finished(figure)


def near_zero_curves(
    panels: dict[str, dict[str, Float[np.ndarray, "..."]]], stated: dict[str, dict[str, float]],
    matched: dict[str, float],
) -> Figure:  # fmt: skip
    """Share of entries whose magnitude is at most a threshold, for every threshold at once.

    ``panels``: heading -> role -> entries; ``stated``: heading -> role -> the paper's share in percent (dotted);
    ``matched``: heading -> the threshold at which the natural network has it (grey).
    """
    with style():
        figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 4.6), sharey=True, layout="constrained")
        for ax, (heading, of_role) in zip(axes, panels.items(), strict=True):
            for role, entries in of_role.items():
                magnitude = np.sort(np.abs(entries).ravel())
                share = 100 * np.arange(1, len(magnitude) + 1) / len(magnitude)
                # some hundred points draw the same curve as some hundred thousand
                kept = np.unique(np.linspace(0, len(magnitude) - 1, 800).astype(int))
                ax.semilogx(magnitude[kept].clip(1e-12), share[kept], color=COLOURS[role], label=role)
            for role, share in stated.get(heading, {}).items():
                ax.axhline(share, color=COLOURS[role], linestyle=":")
                ax.text(1.3e-6, share + 1, f"paper: {share} %", color=COLOURS[role], fontsize=13)
            if heading in matched:
                ax.axvline(matched[heading], color="#888888", linewidth=1.5)
            ax.set(title=heading, xlabel="threshold", xlim=(1e-6, None), ylim=(0, 105))
            ax.xaxis.set_major_locator(LogLocator(base=100))
        axes[-1].legend(frameon=False, loc="center")
        axes[0].set_ylabel("entries at most the threshold (%)")
        return finished(figure)


ATTACKS = {"worst": "worst case"} | names.ATTACKS | {"several": "these three and PGD"}


def robustness_table(values: dict, stated: dict, models: list[str], *, comparable: bool, unit: str = "") -> str:
    """Accuracies under attack as an HTML table: attacks and eps down, networks across, an interval in every cell.

    The paper's number stands in the same place of its own table; a difference (ours minus the paper's, in points) is
    given only where ``comparable`` says that the images are the paper's and where eps is the same.
    """
    rows = [("clean", "", "", "")]
    for attack in [name for name in ATTACKS if name in values[models[0]]]:
        theirs = list(stated.get("natural", {}).get(attack, {}))
        sizes = list(values[models[0]].get(attack, {}))
        rows += [(attack, eps, paper, f"{ATTACKS[attack]}, ε = {eps}{unit}") for eps, paper in _places(sizes, theirs)]
    head = "".join(f"<th>{METHODS.get(model, model)}</th>" for model in models)
    body = "".join(_table_row(row, values, stated, models, comparable, unit) for row in rows)
    return _html_table(head, body)


def seed_label(role: str) -> str:
    """``ours-1`` as a reader sees it: Ours, seed 1."""
    method, _, seed = role.partition("-")
    return METHODS.get(method, method) + (f", seed {seed}" if seed else "")


def variants_table(values: dict, labels: dict[str, str], *, unit: str = "") -> str:
    """Accuracies under attack as an HTML table: one network a row, attacks and eps across, an interval in every cell."""
    first = values[next(iter(labels))]
    places = [("clean", "")] + [(attack, eps) for attack in ATTACKS for eps in first.get(attack, {})]
    sizes = [f"<br>ε = {eps}{unit}" if eps else "" for _, eps in places]
    head = "".join(f"<th>{ATTACKS.get(place[0], place[0])}{size}</th>" for place, size in zip(places, sizes, strict=True))
    rows = ""
    for role, label in labels.items():
        leaves = [values[role][attack][eps] if eps else values[role][attack] for attack, eps in places]
        rows += f"<tr><th>{label}</th>{''.join(f'<td>{_table_cell(leaf, None, False)}</td>' for leaf in leaves)}</tr>"
    return _html_table(head, rows)


def protocol_table(values: dict, *, steps: int, long_steps: int, step: str, unit: str = "") -> str:
    """Accuracies of ``study.protocols`` as an HTML table: one way and objective a row, networks and eps across."""
    ways = {
        "last": f"{steps} steps of {step}, last iterate", "any": f"{steps} steps of {step}, any iterate",
        "small": f"{steps} steps of ε/4, last iterate", "long": f"{long_steps} smaller steps, any iterate",
        "start": f"{long_steps} smaller steps, random start",
    }  # fmt: skip
    objectives = {"bim": "cross-entropy", "cw": "margin"}
    sizes = list(next(iter(values.values()))["last_bim"])
    columns = [(of, size) for of in values.values() for size in sizes]
    head = "".join(f"<th>{METHODS.get(role, role)}<br>ε = {size}{unit}</th>" for role in values for size in sizes)
    rows = "".join(
        f"<tr><th>{title}, {objectives[objective]}</th>"
        + "".join(f"<td>{_table_cell(of[f'{way}_{objective}'][size], None, False)}</td>" for of, size in columns)
        + "</tr>"
        for objective in objectives for way, title in ways.items()
    )  # fmt: skip
    return _html_table(head, rows)


def clean_against_worst(values: dict, labels: dict[str, str], *, eps: str, unit: str = "") -> Figure:
    """Each network's worst-case accuracy at ``eps`` against its clean accuracy, with intervals."""
    with style():
        figure, ax = plt.subplots(figsize=(11, 5.4), layout="constrained")
        for (role, label), marker in zip(labels.items(), cycle("oDs^vXP*<>")):
            x, y = values[role]["clean"], values[role]["worst"][eps]
            ax.errorbar(
                x["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                [[x["mean"] - x["low"]], [x["high"] - x["mean"]]], marker=marker, markersize=9, linestyle="",
                label=label, color=_colour(re.split("[- ]", role)[0]),
            )  # fmt: skip
        ax.set(xlabel="clean accuracy (%)", ylabel=f"worst-case accuracy (%), ε = {eps}{unit}")
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        return finished(figure)


def _html_table(head: str, body: str) -> str:
    """A table in a box that scrolls, for it may be wider than a phone."""
    table = f'<table class="table"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x: auto">{table}</div>'


def _places(sizes: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    """Each eps with the paper's in the same place, or with nothing."""
    return [(eps, theirs[k] if k < len(theirs) else "") for k, eps in enumerate(sizes)]


def _table_row(row: tuple, values: dict, stated: dict, models: list[str], comparable: bool, unit: str) -> str:
    attack, eps, paper_eps, title = row
    cells = []
    for model in models:
        leaf, number = values[model]["clean"], stated.get(model, {}).get("clean")
        if attack != "clean":
            leaf, number = values[model][attack][eps], stated.get(model, {}).get(attack, {}).get(paper_eps)
        cells.append(_table_cell(leaf, number, comparable and eps == paper_eps))
    title = title or "clean"
    if paper_eps and paper_eps != eps:
        title += f"<br><small>paper: ε = {paper_eps}{unit}</small>"
    if leaf["n"] != values[models[-1]]["clean"]["n"]:
        title += f"<br><small>{leaf['n']:,} images</small>"
    body = "".join(f'<td style="white-space: nowrap">{cell}</td>' for cell in cells)
    return f'<tr><th style="white-space: nowrap">{title}</th>{body}</tr>'


def _table_cell(leaf: dict, number: float | None, comparable: bool) -> str:
    text = f"<b>{leaf['mean']:.1f}</b><br><small>[{leaf['low']:.1f}, {leaf['high']:.1f}]</small>"
    if number is None:
        return text
    difference = f" ({leaf['mean'] - number:+.1f})" if comparable else ""
    return f"{text}<br><small>paper {number}{difference}</small>"


def accuracy_curves(values: dict, models: list[str], *, unit: str, stated: dict | None = None) -> Figure:
    """Accuracy against eps with intervals, one panel an attack; the paper's, if ``stated``, dashed and hollow."""
    attacks = [attack for attack in ATTACKS if attack in values[models[0]] and attack != "several"]
    with style():
        figure, axes = plt.subplots(
            -(-len(attacks) // 2), 2, figsize=(11, 4.1 * -(-len(attacks) // 2)), sharex=True, sharey=True,
            layout="constrained",
        )  # fmt: skip
        for ax, attack in zip(axes.flat, attacks, strict=False):
            for model in models:
                _accuracy_line(ax, values[model], attack, model, fmt="-", label=METHODS.get(model, model))
                if stated and attack in stated.get(model, {}):
                    _accuracy_line(ax, stated[model], attack, model, fmt="--", markerfacecolor="white", alpha=0.6)
            ax.set(title=ATTACKS[attack], xticks=[0, *map(float, values[models[0]][attack])])
        for ax in axes[-1]:
            ax.set_xlabel(f"ε (steps of 1{unit})" if unit else "ε")
        for ax in axes[:, 0]:
            ax.set(ylabel="accuracy (%)", ylim=(-3, 103))
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        return finished(figure)


def _accuracy_line(ax: Axes, of_model: dict, attack: str, model: str, **options) -> None:
    leaves = {0.0: of_model.get("clean"), **{float(eps): leaf for eps, leaf in of_model[attack].items()}}
    leaves = {eps: leaf if isinstance(leaf, dict) else {"mean": leaf, "low": leaf, "high": leaf}
              for eps, leaf in leaves.items() if leaf is not None}  # fmt: skip
    low, means, high = (np.array([leaf[key] for leaf in leaves.values()]) for key in ("low", "mean", "high"))
    look = {"color": _colour(model), "marker": _marker(model), "markersize": 7}
    ax.errorbar(list(leaves), means, (means - low, high - means), **look, **options)


def indicator_ranks(indicator: dict, worst: dict[str, dict]) -> Figure:
    """Worst-case accuracy of each network against its indicator: mean slope, and margin over slope."""
    labels = {"mean": "mean |∂S/∂pixel|", "distance": "S / ‖J‖₁, mean"}
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
        for ax, (name, label) in zip(axes, labels.items(), strict=True):
            for model, leaf in indicator[name].items():
                y = worst[model]
                ax.errorbar(
                    leaf["mean"], y["mean"], [[y["mean"] - y["low"]], [y["high"] - y["mean"]]],
                    [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]], color=_colour(model),
                    marker=_marker(model), markersize=10, linestyle="", label=METHODS.get(model, model),
                )  # fmt: skip
            ax.set(xscale="log", xlabel=label)
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("worst-case accuracy (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return finished(figure)


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
    return _html_table(head, rows)


STAGES = {
    "pgd": "PGD, cross-entropy", "apgd": "adaptive steps, cross-entropy", "apgd-t": "adaptive steps, margin, with targets",
    "square": "Square, no gradient", "restarts": "more random starts, with targets",
    "several": "left by these, broken by the paper's attacks or PGD",
}  # fmt: skip


def cascade_table(summaries: dict[str, dict], eps: str) -> str:
    """Which stage of the cascade first broke what share of the images (%) at ``eps``, as an HTML table."""
    head = "".join(f"<th>{METHODS.get(model, model)}</th>" for model in summaries)
    broken = {model: of["broken"][eps] for model, of in summaries.items()}
    rows = "".join(
        f"<tr><th>{STAGES.get(name, name)}</th>{''.join(f'<td>{of[name]:.1f}</td>' for of in broken.values())}</tr>"
        for name in next(iter(broken.values()))
    )
    return _html_table(head, rows)


def stages_table(stages: Sequence) -> str:
    """The settings of a cascade (``paperlib.cascade.Stage``) as an HTML table, one stage a row."""
    head = "".join(f"<th>{title}</th>" for title in ("method", "objective", "steps", "targets", "images", "rounds, at most"))
    objectives = {"cross_entropy": "cross-entropy", "cw": "margin", "dlr": "ratio of logits"}
    rows = "".join(
        f"<tr><th>{STAGES.get(stage.name, stage.name)}</th><td>{stage.method}</td><td>{objectives[stage.objective]}</td>"
        f"<td>{stage.steps}</td><td>{stage.targets or 'none'}</td>"
        f"<td>{'nearest first' if stage.nearest else 'all left'}</td><td>{stage.rounds}</td></tr>"
        for stage in stages
    )
    return _html_table(head, rows)


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
    with style():
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
        return finished(figure)


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
            cells = [leaf["n"], *(_table_cell(each, None, False) if each else "–" for each in told),
                     both.get("autoattack_alone", "–"), both.get("worst_alone", "–")]  # fmt: skip
            name = f"{METHODS.get(method, method)}, {kind}, ε = {eps}{units[kinds[role]]}"
            lines += f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return _html_table("".join(f"<th>{head}</th>" for head in heads), lines)


WAYS = {
    "random": "random signs", "crossentropy": "cross-entropy", "leastlikely": "least likely class", "cw": "C&W",
}  # fmt: skip
WAY_COLOURS = {"random": "#666666", "crossentropy": "#CC79A7", "leastlikely": "#E69F00", "cw": "#D55E00"}


def projections(arrays: Mapping[str, np.ndarray], *, reach: float, names: tuple[str, ...] | None = None) -> Figure:
    """Fig. 4: the loss (upper row) and S (lower row) on one plane a column, arrows to the boundary with their lengths.

    ``arrays``: ``axis``, ``image``, ``label``; ``loss/<way>`` and ``decision/<way>`` grids; ``distance/<way>`` along
    alpha and beta in steps; ``u/<way>``, ``landed/<way>``, ``label/<way>``: the step, the image beyond the boundary.
    """
    side, gap, thumb = 2.75, 0.3, 0.86
    scales = {row: _levels(row, [arrays[f"{row}/{way}"] for way in WAYS]) for row in ("loss", "decision")}
    with style():
        figure = plt.figure(figsize=(1.0 + 4 * (side + gap) + 1.1, 2 * side + gap + 2.55))
        for column, way in enumerate(WAYS):
            left = 1.0 + column * (side + gap)
            for row, bottom in (("loss", side + gap + 2.05), ("decision", 2.05)):
                ax = _axes(figure, left, bottom, side, side)
                _level_map(ax, arrays["axis"], arrays[f"{row}/{way}"], arrays[f"decision/{way}"], scales[row])
                _ways(ax, arrays["axis"][-1], arrays[f"distance/{way}"], reach, WAY_COLOURS[way])
                ax.tick_params(labelleft=column == 0, labelbottom=row == "decision")
                if row == "loss":
                    ax.set_title(WAYS[way])
                else:
                    ax.set_xlabel("α (steps of 1/255)")
                if column == 0:
                    ax.set_ylabel("β (steps of 1/255)")
            _landing(figure, left, arrays, way, side, thumb, names)
        for row, bottom in (("loss", side + gap + 2.05), ("decision", 2.05)):
            _bar(figure, _axes(figure, 1.0 + 4 * (side + gap), bottom, 0.22, side), row, scales[row])
        return finished(figure)


def _levels(objective: str, grids: list[np.ndarray]) -> _Scale:
    """One scale for several grids of the same objective."""
    values = np.concatenate([grid.ravel() for grid in grids])
    if objective == "decision":
        top = _round(float(np.quantile(np.abs(values), 0.98)))
        return _Scale(np.linspace(-top, top, 21), "RdBu", "both", "S, right above 0")
    return _Scale(np.linspace(0, _round(float(np.quantile(values, 0.98))), 21), "viridis", "max", "loss (nats)")


def _level_map(ax: Axes, axis: np.ndarray, values: np.ndarray, S: np.ndarray, scale: _Scale) -> None:
    """One surface as level lines, and the boundary S = 0 as a thick line."""
    ax.contourf(axis, axis, values, scale.levels, cmap=scale.cmap, extend=scale.extend)
    ax.contour(axis, axis, values, scale.levels, colors="#333333", linewidths=0.5, linestyles="solid", alpha=0.6)
    if S.min() < 0 < S.max():
        ax.contour(axis, axis, S, [0], colors="white", linewidths=5)
        ax.contour(axis, axis, S, [0], colors="black", linewidths=3)
    ticks = [axis[0], 0, axis[-1]]
    ax.set(aspect="equal", xlim=axis[[0, -1]], ylim=axis[[0, -1]], xticks=ticks, yticks=ticks)
    for label, side in zip(ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)


def _ways(ax: Axes, extent: float, distance: np.ndarray, reach: float, colour: str) -> None:
    """Arrows along alpha and beta as long as the distance to the boundary, cut at the border, with that distance."""
    ends = ((1, 0), (0, 1))
    for length, (a, b), shade in zip(distance, ends, (colour, WAY_COLOURS["random"]), strict=True):
        tip = min(length, extent)
        ax.annotate(
            "", (a * tip, b * tip), (0, 0), zorder=4,
            arrowprops={"facecolor": shade, "edgecolor": "white", "width": 3, "headwidth": 10, "headlength": 9,
                        "shrink": 0},
        )  # fmt: skip
        text = f"{length:.1f}" if np.isfinite(length) else f"> {reach:g}"
        place = (0.6 * extent, -0.18 * extent) if a else (-0.3 * extent, 0.75 * extent)
        ax.text(*place, text, ha="center", va="center", color="black", fontsize=14, zorder=6,
                bbox={"facecolor": "white", "edgecolor": shade, "pad": 2, "alpha": 0.9})  # fmt: skip
    ax.plot(0, 0, "o", color="white", markeredgecolor="black", markersize=8, zorder=5)


def _landing(figure: Figure, left: float, arrays: Mapping, way: str, side: float, thumb: float, names) -> None:
    """Below a column: the image, the step along alpha (only its pattern), and the image just across the boundary."""
    before, after = (names[int(i)] if names else int(i) for i in (arrays["label"][0], arrays[f"label/{way}"][0]))
    u, landed = arrays[f"u/{way}"], arrays[f"landed/{way}"]
    pictures = ((arrays["image"], f"{before}"), (0.5 + 0.5 * u, "u"), (landed, f"{after}"))
    for place, (pixels, title) in enumerate(pictures):
        ax = _axes(figure, left + place * (side - thumb) / 2, 0.2, thumb, thumb)
        picture(ax, pixels)
        ax.set_title(title, fontsize=15, pad=4)


def distance_curves(distance: dict[str, Float[np.ndarray, "n"]], *, reach: float) -> Figure:
    """The share of images whose boundary lies within a number of steps, one line a direction."""
    with style():
        figure, ax = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
        for way, of in distance.items():
            found = np.sort(of[np.isfinite(of)])
            share = 100 * np.arange(1, len(found) + 1) / len(of)
            ends = ([0, *found, reach], [0, *share, share[-1] if len(share) else 0])
            ax.step(*ends, where="post", color=WAY_COLOURS[way], label=WAYS[way])
        ax.set(xscale="symlog", xlim=(0, reach), ylim=(0, 102), xlabel="distance to the boundary (steps of 1/255)")
        ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylabel("images (%)")
        ax.legend(frameon=False)
        return finished(figure)


def osculating(drawn: Mapping[str, object], circle: tuple[float, float, float], *, units: tuple[str, str]) -> Figure:
    """Fig. 5: a slice of S with its tangent and its osculating circle at one point, one scale on both axes.

    ``drawn``: ``t``, ``smooth``, ``relu`` (the slice of the softplus copy and as it is), ``point`` (t, S), ``slope``;
    ``circle``: its centre and radius; ``units``: what one unit of each axis is.
    """
    t, (at, value), (centre_t, centre_S, radius) = drawn["t"], drawn["point"], circle
    with style():
        figure, ax = plt.subplots(figsize=(8.5, 8), layout="constrained")
        ax.plot(t, drawn["relu"], color="#777777", linestyle=":", linewidth=3, label="S as it is (ReLU)")
        ax.plot(t, drawn["smooth"], color="black", linewidth=3, label="S, softplus copy")
        reach = np.array([-0.5, 0.5]) / math.hypot(1, drawn["slope"])
        ax.plot(at + reach, value + drawn["slope"] * reach, color=COLOURS["robust"], label="tangent: slope S′")
        ax.add_patch(plt.Circle((centre_t, centre_S), radius, fill=False, color=COLOURS["natural"], linewidth=2))
        ax.plot([], [], color=COLOURS["natural"], label="osculating circle: 1/R = κ")
        ax.plot([centre_t, at], [centre_S, value], color=COLOURS["natural"], linewidth=1.2)
        ax.text(centre_t, centre_S, f" R = {radius:.2f}", ha="left", va="center", clip_on=True)
        ax.plot(at, value, "o", color="white", markeredgecolor="black", markersize=10, zorder=5)
        ax.axhline(0, color="black", linewidth=1)
        low, high = drawn["smooth"].min(), drawn["smooth"].max()
        middle = (low + high) / 2
        ax.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(middle - 1.1, middle + 1.1))
        ax.set(xlabel=f"α; one unit is {units[0]}", ylabel=f"S; one unit is {units[1]}")
        ax.legend(frameon=False)
        return finished(figure)


# Jacobians as pictures, and what training costs.


def jacobian_gallery(
    images: dict[str, Float[np.ndarray, "k c h w"]], jacobians: dict[str, dict[str, Float[np.ndarray, "k c h w"]]]
) -> Figure:
    """One row a test image, a block of columns a kind of images: the image, then J of each network.

    ``jacobians``: kind -> method -> J. Every J is divided by its own largest magnitude; grey ones keep their sign, of
    colour ones the magnitudes are added over the channels.
    """
    rows, widths = max(map(len, images.values())), [1 + len(of) for of in jacobians.values()]
    with style():
        figure = plt.figure(figsize=(1.75 * sum(widths) + 0.4, 1.78 * rows + 0.25))
        blocks = figure.add_gridspec(1, len(images), width_ratios=widths, wspace=0.08, left=0, right=1, bottom=0, top=1)
        for block, (kind, pictures) in zip(blocks, images.items(), strict=True):
            grid = block.subgridspec(rows + 1, 1 + len(jacobians[kind]), height_ratios=[*[1] * rows, 0.09],
                                     wspace=0.05, hspace=0.05)  # fmt: skip
            for k, image in enumerate(pictures):
                picture(figure.add_subplot(grid[k, 0]), image, "" if k else "image")
                for column, (method, J) in enumerate(jacobians[kind].items(), start=1):
                    title = "" if k else f"J, {METHODS.get(method, method)}"
                    drawn = _slopes(figure.add_subplot(grid[k, column]), J[k], title)
            bar = figure.colorbar(drawn, cax=figure.add_subplot(grid[-1, 1:]), orientation="horizontal", format=_tick)
            bar.set_label("J" if pictures.shape[1] == 1 else "|J|, added over channels")
            bar.locator = matplotlib.ticker.MaxNLocator(2)
        return finished(figure)


def _slopes(ax: Axes, J: Float[np.ndarray, "c h w"], title: str) -> "AxesImage":
    """J over its own largest magnitude: signed if grey (red raises S), magnitudes if in colour."""
    size = J[0] if len(J) == 1 else np.abs(J).sum(0)
    look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if len(J) == 1 else {"cmap": "magma", "vmin": 0, "vmax": 1}
    _bare(ax, title)
    return ax.imshow(size / (np.abs(size).max() or 1.0), **look)


def alignment_intervals(values: dict, methods: dict[str, dict[str, str]]) -> Figure:
    """Alignment of J with the image's own pattern (filled) and with another image's (hollow), one panel a kind.

    ``values``: kind -> role -> intervals; ``methods``: kind -> role -> the network's method.
    """
    looks = {"alignment": (None, 0.13, "the image's own pattern"), "other": ("white", -0.13, "another image's pattern")}
    with style():
        figure, axes = plt.subplots(1, len(methods), figsize=(11, 3.6), layout="constrained", sharex=True)
        for ax, (kind, pair) in zip(axes, methods.items(), strict=True):
            for k, (role, method) in enumerate(pair.items()):
                for which, (face, shift, _) in looks.items():
                    leaf = values[kind][role][which]
                    spread = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
                    ax.errorbar(leaf["mean"], shift - k, xerr=spread, fmt="o", markersize=11, color=_colour(method),
                                markerfacecolor=face, capsize=5)  # fmt: skip
            ax.axvline(1, color="black", linewidth=1)
            ax.set(title=f"{kind} images", yticks=[-k for k in range(len(pair))], ylim=(0.6 - len(pair), 0.4),
                   yticklabels=[METHODS.get(name, name) for name in pair.values()], xlabel="alignment (×)")  # fmt: skip
        grey = {"marker": "o", "linestyle": "", "markersize": 11, "color": "#555555"}
        dots = [plt.Line2D([], [], **grey, markerfacecolor=face, label=label) for face, _, label in looks.values()]
        figure.legend(handles=dots, loc="outside lower center", ncols=2, frameon=False)
        return finished(figure)


def cost_bars(values: dict) -> Figure:
    """How many times a natural epoch's seconds an epoch of each method takes, with intervals over rounds."""
    with style():
        figure, ax = plt.subplots(figsize=(9, 0.65 * len(values) + 1.2), layout="constrained")
        for k, (method, of) in enumerate(values.items()):
            leaf = of.get("over_natural", {"mean": 1.0, "low": 1.0, "high": 1.0})
            spread = [[leaf["mean"] - leaf["low"]], [leaf["high"] - leaf["mean"]]]
            ax.barh(-k, leaf["mean"], xerr=spread, color=_colour(method), height=0.7, error_kw={"capsize": 5})
            ax.text(leaf["high"], -k, f"   {_short(leaf['mean'])} ×", va="center")
        ax.set(yticks=[-k for k in range(len(values))], yticklabels=[METHODS.get(name, name) for name in values],
               xlabel="seconds an epoch, natural = 1")  # fmt: skip
        ax.margins(x=0.12)
        ax.axvline(1, color="black", linewidth=1)
        return finished(figure)


def training_curves(curves: dict[str, list[dict]], reached: dict[str, dict[str, int]]) -> Figure:
    """Accuracy on held-out images after every epoch, clean and under attack; a marker where it was near its best.

    ``reached``: ``clean`` or ``adversarial`` -> method -> that epoch, counted from 1.
    """
    titles = {"clean": "clean", "adversarial": "under attack (PGD)"}
    with style():
        figure, axes = plt.subplots(1, len(titles), figsize=(11, 4.9), sharey=True, layout="constrained")
        for ax, (accuracy, title) in zip(axes, titles.items(), strict=True):
            for method, curve in curves.items():
                values, at = [row[accuracy] for row in curve], reached[accuracy][method]
                ax.plot(range(1, len(values) + 1), values, color=_colour(method), alpha=0.85)
                ax.plot(at, values[at - 1], _marker(method), color=_colour(method), markersize=11, zorder=5,
                        markeredgecolor="black", label=METHODS.get(method, method))  # fmt: skip
            ax.set(title=title, xlabel="epoch", xlim=(0.5, None))
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set(ylabel="held-out accuracy (%)", ylim=(-3, 103))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return finished(figure)
