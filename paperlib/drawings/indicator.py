"""Jacobians, Hessians and spectra."""

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from paperlib.drawings import style
from paperlib.names import COLOURS


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
    with style.book():
        figure = plt.figure(figsize=(2.5 * (2 + len(kinds)), 2.9 * len(titles) + 0.9))
        grid = figure.add_gridspec(
            len(titles) + 1, 2 + len(kinds), height_ratios=[*[1] * len(titles), 0.07], wspace=0.06, hspace=0.2
        )
        for k, (role, title) in enumerate(titles.items()):
            style.picture(figure.add_subplot(grid[k, 0]), image, title)
            ax = figure.add_subplot(grid[k, 1])
            slopes = ax.imshow(jacobians[role].sum(0), cmap="RdBu_r", vmin=-limit, vmax=limit)
            style.bare(ax, "" if k else "J")
            for column, kind in enumerate(kinds, start=2):
                ax = figure.add_subplot(grid[k, column])
                _magnitudes(ax, hessians[role][kind], scale)
                style.bare(ax, "" if k else kind)
        bar = figure.colorbar(slopes, cax=figure.add_subplot(grid[-1, 1]), orientation="horizontal")
        bar.set_label("∂S / ∂pixel")
        bends = plt.cm.ScalarMappable(scale, "magma_r")
        bar = figure.colorbar(bends, cax=figure.add_subplot(grid[-1, 2:]), orientation="horizontal")
        bar.set_label("|second derivative|, logarithmic")
        return style.finished(figure)


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
    with style.book():
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
        return style.finished(figure)


def near_zero_curves(
    panels: dict[str, dict[str, Float[np.ndarray, "..."]]], stated: dict[str, dict[str, float]],
    matched: dict[str, float],
) -> Figure:  # fmt: skip
    """Share of entries whose magnitude is at most a threshold, for every threshold at once.

    ``panels``: heading -> role -> entries; ``stated``: heading -> role -> the paper's share in percent (dotted);
    ``matched``: heading -> the threshold at which the natural network has it (grey).
    """
    with style.book():
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
        return style.finished(figure)
