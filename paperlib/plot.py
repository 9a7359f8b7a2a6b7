"""Drawing: takes arrays and numbers, computes nothing. One style for the whole book."""

import io
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from paperlib import experiments
from paperlib.measure import panels
from paperlib.state import reject

STYLE = {
    "figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "savefig.facecolor": "white",
    "font.size": 16, "axes.titlesize": 17, "axes.labelsize": 16, "xtick.labelsize": 14, "ytick.labelsize": 14,
    "legend.fontsize": 14, "lines.linewidth": 2.0, "axes.spines.top": False, "axes.spines.right": False,
    "image.interpolation": "nearest", "axes.grid": False, "svg.hashsalt": "paperlib",
}  # fmt: skip
# Okabe and Ito's palette, readable by colour-blind people; one colour a role all through the book
COLOURS = {
    "natural": "#D55E00", "robust": "#0072B2", "ours": "#009E73", "minmax": "#0072B2", "advtrain": "#E69F00",
    "crossentropy": "#CC79A7", "ours+advtrain": "#56B4E9", "random": "#666666", "adversarial": "#D55E00",
}  # fmt: skip


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

    In the text ``{name}`` is a fact, ``{a/b}`` a number of ``values`` with its interval, ``{a/b ~ 1}`` how that interval lies to
    1, in words. A sentence whose number this run does not have is left out, and so is a part that the file lacks.
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


DATA = {
    "digits": "scikit-learn's digits", "digits-rgb": "scikit-learn's digits over photographs", "mnist": "MNIST",
    "cifar10": "CIFAR-10",
}  # fmt: skip
ROLES = {"natural": "natural", "robust": "robust", "ours": "Ours"}
CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def step_words(unit: float, pixel_scale: int) -> str:
    """A step of the axes: ``0.05`` on grey images, ``1/255`` on colour."""
    return f"{unit:g}" if pixel_scale == 1 else f"{unit:g}/{pixel_scale}"


def facts(record: dict, arrays: Mapping[str, np.ndarray]) -> dict[str, object]:
    """What the words of a page may name: the record's parameters, and ``eps``, ``step``, ``data``, ``n`` as the reader has them."""
    parameters, scale = record["parameters"], int(arrays["pixel_scale"])
    plain = {name: value for name, value in parameters.items() if isinstance(value, (int, float, str))}
    return plain | {
        "eps": step_words(parameters["eps"], scale), "step": step_words(parameters["unit"], scale),
        "data": DATA.get(record["data"]["name"], record["data"]["name"]), "n": record["data"]["n"],
    }  # fmt: skip


# Surfaces.

SIDE, GAP, THUMB = 3.5, 1.15, 1.0  # inches: a map, the space left of it, a thumbnail


def surfaces(record: dict, arrays: Mapping[str, np.ndarray]) -> Figure:
    """The panels of a figure from a record and its arrays, as contour maps with the image, its step and the result below.

    S is on a diverging scale centred at 0, S = 0 a thick line; the loss is on a sequential one; one scale for all panels.
    """
    parameters = record["parameters"]
    shown_panels = panels(parameters["panels"], list(record["models"]))
    columns, thumbs = parameters["columns"], any(panel.space == "input" for panel in shown_panels)
    rows = -(-len(shown_panels) // columns)
    scales = {name: _scale(name, arrays, shown_panels) for name in dict.fromkeys(p.objective for p in shown_panels)}
    height = SIDE + 1.75 + (THUMB + 0.45) * thumbs
    with style():
        size = (columns * (SIDE + GAP) + 1.35 * len(scales) + 0.1, rows * height)
        figure = plt.figure(figsize=size)
        for k, panel in enumerate(shown_panels):
            left, bottom = GAP + (k % columns) * (SIDE + GAP), (rows - k // columns) * height - SIDE - 0.75
            ax = _axes(figure, left, bottom, SIDE, SIDE)
            _map(ax, panel, k, arrays, scales[panel.objective], record)
            ax.set_title(_title(panel, shown_panels), pad=10)
            if panel.space == "input" and not any(_same_plane(panel, other) for other in shown_panels[:k]):
                _thumbnails(figure, left, bottom - 0.95 - THUMB - 0.3, k, arrays, record)
        for k, (name, scale) in enumerate(scales.items()):
            place = columns * (SIDE + GAP) + 0.35 + 1.35 * k
            _bar(figure, _axes(figure, place, size[1] - SIDE - 0.75, 0.25, SIDE), name, scale)
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


def _scale(objective: str, arrays: Mapping, shown_panels: list) -> _Scale:
    values = [arrays[f"values_{k}"] for k, panel in enumerate(shown_panels) if panel.objective == objective]
    if objective == "decision":
        top = _round(1.5 * max(float(grid[len(grid) // 2, len(grid) // 2]) for grid in values))
        return _Scale(np.linspace(-top, top, 21), "RdBu", "both", "S: correct above 0")
    top = _round(float(np.quantile(np.concatenate([grid.ravel() for grid in values]), 0.98)))
    return _Scale(np.linspace(0, top, 21), "viridis", "max", "cross-entropy (nats)")


def _round(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-6)))
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * step >= value * (1 - 1e-9))


def _map(ax: Axes, panel, k: int, arrays: Mapping, scale: _Scale, record: dict) -> None:
    parameters, axis, values = record["parameters"], arrays[f"axis_{k}"], arrays[f"values_{k}"]
    ax.contourf(axis, axis, values, scale.levels, cmap=scale.cmap, extend=scale.extend)
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
        ax.plot(eps * np.array([1, 0, -1, 0, 1]), eps * np.array([0, 1, 0, -1, 0]), "-", color="black", linewidth=2)
        ax.plot(eps * np.array([1, -1, -1, 1, 1]), eps * np.array([1, 1, -1, -1, 1]), "--", color="black", linewidth=1.5)
    if panel.direction == "adversarial":
        ax.annotate("", (min(eps, axis[-1]), 0), (0, 0), zorder=4,
                    arrowprops={"color": COLOURS["adversarial"], "width": 3, "headwidth": 11, "shrink": 0})  # fmt: skip
    ax.set(xlabel=f"α, in steps of {step}\nalong {_direction(panel)}", ylabel="β, along random signs")


def _direction(panel) -> str:
    if panel.direction == "random":
        return "random signs"
    return {"cw": "−sign ∇S", "cross_entropy": "sign ∇L", "least_likely": "−sign ∇L(least likely)"}[panel.climbs]


def _title(panel, shown_panels: list) -> str:
    """What tells the panel from the others, in at most two lines."""
    names = {
        "role": f"{ROLES[panel.role]} network", "objective": {"decision": "decision surface S", "loss": "loss surface"}[panel.objective],
        "space": f"{panel.space} space", "direction": f"{panel.direction} direction",
        "image": f"image {panel.image + 1}", "seed": f"plane {panel.seed + 1}",
    }  # fmt: skip
    telling = [name for field, name in names.items() if len({getattr(p, field) for p in shown_panels}) > 1]
    telling = telling or [names["role"]]
    return "\n".join([", ".join(telling[:-1])] * (len(telling) > 1) + telling[-1:])


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


def _bar(figure: Figure, ax: Axes, objective: str, scale: _Scale) -> None:
    colours = matplotlib.colors.BoundaryNorm(scale.levels, plt.get_cmap(scale.cmap).N, extend=scale.extend)
    bar = figure.colorbar(plt.cm.ScalarMappable(colours, scale.cmap), cax=ax, ticks=scale.levels[::5], format="%g")
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
    ax.contourf(a, b, values, scale.levels, zdir="z", offset=floor, cmap=scale.cmap, extend=scale.extend, zorder=0)
    if panel.objective == "decision" and values.min() < 0 < values.max():
        ax.contour(a, b, values, [0], zdir="z", offset=floor, colors="black", linewidths=3, zorder=1)
    colours = matplotlib.colors.BoundaryNorm(scale.levels, plt.get_cmap(scale.cmap).N, extend=scale.extend)
    ax.plot_surface(
        a, b, values.clip(low, high), cmap=scale.cmap, norm=colours, rcount=41, ccount=41, linewidth=0.2,
        edgecolor="#00000055", antialiased=True, zorder=2,
    )  # fmt: skip
    ax.set(zlim=(floor, high), xlabel="α", ylabel="β", zticks=scale.levels[::5])
    ax.set_zlabel({"decision": "S", "loss": "loss (nats)"}[panel.objective], labelpad=8)
    ax.tick_params(labelsize=12, pad=1)
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=5)
    ax.view_init(elev=28, azim=-58)
    ax.set_box_aspect((1, 1, 1.05), zoom=0.88)


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


def save_plane(plane, path, *, objective: str, pixel_scale: int = 1):
    """One ``surface.Surface`` around an image as a picture file (axes in 1/``pixel_scale``); returns ``path``."""
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
        ax.set(xlabel="α, along −sign ∇S", ylabel="β, along random signs", aspect="equal")
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
    entries: dict[str, Float[np.ndarray, "n"]], spectra: dict[str, dict[str, Float[np.ndarray, "n d"]]]
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
    panels: dict[str, dict[str, Float[np.ndarray, "n"]]], stated: dict[str, dict[str, float]],
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
