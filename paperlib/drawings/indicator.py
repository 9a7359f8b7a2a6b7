"""Jacobians, Hessians and spectra."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from paperlib.drawings import style
from paperlib.names import network
from paperlib.record import Record

HESSIANS = {"hessian_relu": "H of S, ReLU", "hessian": "H of S, softplus", "hessian_ce": "H of the loss"}
# of a matrix's entries, the share that a reader would notice
SEEN = 1e-3
SPECTRA = {"softplus": "hessian", "loss": "hessian_ce"}


def derivatives(record: Record) -> Figure:
    """One row a network: the image, J on one diverging scale, and ``|H|`` of every kind on one logarithmic scale.

    A matrix of zeros stays blank and says so.
    """
    columns, rows = 2 + len(HESSIANS), len(record.roles)
    limit = max(float(np.abs(_slopes(record, role)).max()) for role in record.roles)
    logarithms = [record.arrays[f"drawn_{kind}_{role}"] for role in record.roles for kind in HESSIANS]
    top = 10.0 ** max(float(of.max()) for of in logarithms) or 1.0
    scale = LogNorm(top * 1e-6, top)
    with style.book():
        figure = plt.figure(figsize=(2.5 * columns, 2.9 * rows + 0.9))
        grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[1] * rows, 0.07], wspace=0.06, hspace=0.2)
        for k, role in enumerate(record.roles):
            slopes = _row(figure, grid, k, record, role, limit, scale)
        bar = figure.colorbar(slopes, cax=figure.add_subplot(grid[-1, 1]), orientation="horizontal")
        bar.set_label("∂S / ∂pixel")
        bends = plt.cm.ScalarMappable(scale, "magma_r")
        bar = figure.colorbar(bends, cax=figure.add_subplot(grid[-1, 2:]), orientation="horizontal")
        bar.set_label("|second derivative|, logarithmic")
        return style.finished(figure)


def _slopes(record: Record, role: str) -> Float[np.ndarray, "c h w"]:
    """J of the drawn image."""
    return record.arrays[f"J_{role}"][int(record.arrays["drawn"])].astype(float)


def _row(figure: Figure, grid, k: int, record: Record, role: str, limit: float, scale: LogNorm) -> "AxesImage":
    title = f"{role}: reads {int(record.arrays[f'reads_{role}'])}"
    style.picture(figure.add_subplot(grid[k, 0]), record.arrays["image"], title)
    ax = figure.add_subplot(grid[k, 1])
    slopes = ax.imshow(_slopes(record, role).sum(0), cmap="RdBu_r", vmin=-limit, vmax=limit)
    style.bare(ax, "" if k else "J")
    for column, (kind, heading) in enumerate(HESSIANS.items(), start=2):
        ax = figure.add_subplot(grid[k, column])
        _magnitudes(ax, _unfolded(record.arrays[f"drawn_{kind}_{role}"]), scale)
        style.bare(ax, "" if k else heading)
    return slopes


def _unfolded(logarithms: Float[np.ndarray, "k"]) -> Float[np.ndarray, "d d"]:
    """``|H|`` of a symmetric matrix from log10 of its upper triangle."""
    d = int(np.sqrt(2 * len(logarithms)))
    H, above = np.zeros((d, d)), np.triu_indices(d)
    H[above] = H.T[above] = 10.0 ** logarithms.astype(float)
    return H


def _magnitudes(ax: Axes, size: Float[np.ndarray, "d d"], scale: LogNorm) -> None:
    """``|H|`` on a logarithmic scale; values below its lower end stay white."""
    magnitude = np.ma.masked_less(size, scale.vmin)
    # on a dark page as well, where a gap would look like a large value
    ax.imshow(magnitude, cmap=plt.get_cmap("magma_r").with_extremes(bad="white"), norm=scale)
    if magnitude.count() < SEEN * size.size:
        most = "nearly all " if magnitude.count() else ""
        said = f"{most}below\n{scale.vmin:.0e}" if size.any() else "0\neverywhere"
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center")


def distributions(record: Record) -> Figure:
    """Left: how the entries of J are distributed. Right: eigenvalue magnitudes by rank, the mean over images.

    Colours are roles, line styles are kinds.
    """
    with style.book():
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
        _histogram(left, record)
        for (kind, name), line in zip(SPECTRA.items(), ("-", ":"), strict=True):
            for role in record.roles:
                falling = np.sort(np.abs(record.arrays[f"{name}_{role}"]), axis=1)[:, ::-1].mean(0)
                ranks = np.arange(1, len(falling) + 1)
                right.loglog(ranks, falling, line, color=network(role).colour, label=f"{role}, {kind}")
        right.set(xlabel="rank of the eigenvalue", ylabel="|λ|, mean over images", ylim=(1e-8, None))
        right.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.36, 0))
        return style.finished(figure)


def _histogram(ax: Axes, record: Record) -> None:
    entries = {role: record.arrays[f"J_{role}"].ravel().astype(float) for role in record.roles}
    limit = max(float(np.abs(values).max()) for values in entries.values())
    bins = np.linspace(-limit, limit, 102)
    for role, values in entries.items():
        ax.hist(values, bins=bins, density=True, histtype="step", linewidth=2, color=network(role).colour, label=role)
    ax.set(yscale="log", xlabel="entry of J (∂S / ∂pixel)", ylabel="density")
    ax.legend(frameon=False, loc="upper right")


def near_zero_curves(record: Record) -> Figure:
    """Share of entries whose magnitude is at most a threshold, for every threshold at once, of J and of two Hessians'
    eigenvalues; dotted the paper's shares, grey the threshold at which the natural network has its own."""
    panels = [("J", "J", "jacobian"), ("λ, softplus", "hessian", "hessian"), ("λ, loss", "hessian_ce", "")]
    with style.book():
        figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 4.6), sharey=True, layout="constrained")
        for ax, (heading, name, quantity) in zip(axes, panels, strict=True):
            for role in record.roles:
                _share(ax, record.arrays[f"{name}_{role}"].astype(float), role)
            if quantity:
                _stated(ax, record.stated.get("match", {}).get(quantity, {}), record.values["match"][quantity])
            ax.set(title=heading, xlabel="threshold", xlim=(1e-6, None), ylim=(0, 105))
            ax.xaxis.set_major_locator(LogLocator(base=100))
        axes[-1].legend(frameon=False, loc="center")
        axes[0].set_ylabel("entries at most the threshold (%)")
        return style.finished(figure)


def _share(ax: Axes, entries: Float[np.ndarray, "..."], role: str) -> None:
    magnitude = np.sort(np.abs(entries).ravel())
    share = 100 * np.arange(1, len(magnitude) + 1) / len(magnitude)
    # some hundred points draw the same curve as some hundred thousand
    kept = np.unique(np.linspace(0, len(magnitude) - 1, 800).astype(int))
    ax.semilogx(magnitude[kept].clip(1e-12), share[kept], color=network(role).colour, label=role)


def _stated(ax: Axes, shares: Mapping[str, float], match: Mapping[str, float]) -> None:
    for role, share in shares.items():
        ax.axhline(share, color=network(role).colour, linestyle=":")
        ax.text(1.3e-6, share + 1, f"paper: {share} %", color=network(role).colour, fontsize=13)
    ax.axvline(match["threshold"], color="#888888", linewidth=1.5)
