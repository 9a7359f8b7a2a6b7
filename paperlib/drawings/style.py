"""One style for the whole book: settings, tables, and figures as a notebook's output."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib import names
from paperlib.drawings import dark

STYLE = {
    "figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "savefig.facecolor": "white",
    "font.size": 16, "axes.titlesize": 17, "axes.labelsize": 16, "xtick.labelsize": 14, "ytick.labelsize": 14,
    "legend.fontsize": 14, "lines.linewidth": 2.0, "axes.spines.top": False, "axes.spines.right": False,
    "image.interpolation": "nearest", "axes.grid": False, "svg.hashsalt": "paperlib",
}  # fmt: skip


@contextmanager
def book() -> Iterator[None]:
    """The book's matplotlib settings inside the block."""
    with matplotlib.rc_context(STYLE):
        yield


@dataclass(frozen=True, repr=False)
class Picture:
    """A notebook's output: a PNG, the same for a dark page, and words that say what it shows."""

    data: bytes
    dark: bytes
    alt: str

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        looks = {"image/png": self.data, names.DARK_PICTURE: self.dark}
        bundle = {kind: base64.b64encode(content).decode("ascii") for kind, content in looks.items()}
        return bundle, {"image/png": {"alt": self.alt}}


def shown(figure: Figure, alt: str = "") -> Picture:
    """The figure as a notebook's output, without date or version, so that the same run gives the same bytes."""
    light = _png(figure)
    dark.darken(figure)
    picture = Picture(light, _png(figure, transparent=True), alt)
    plt.close(figure)
    return picture


def _png(figure: Figure, **options) -> bytes:
    stream = io.BytesIO()
    figure.savefig(
        stream, format="png", dpi=110, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None}, **options
    )
    return stream.getvalue()


def finished(figure: Figure) -> Figure:
    """The figure with its ticks made while the book's style still holds."""
    figure.canvas.draw()
    return figure


def picture(ax: Axes, image: Float[np.ndarray, "c h w"], title: str = "") -> None:
    """An image in [0, 1], grey or colour, without axes."""
    grey = len(image) == 1
    ax.imshow(image[0] if grey else image.transpose(1, 2, 0).clip(0, 1), cmap="gray" if grey else None, vmin=0, vmax=1)
    bare(ax, title)


def bare(ax: Axes, title: str = "") -> None:
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color("#999999")


def seed_label(role: str) -> str:
    """``ours-1`` as a reader sees it: Ours, seed 1."""
    method, _, seed = role.partition("-")
    return names.network(method).label + (f", seed {seed}" if seed else "")


def table(head: str, body: str) -> str:
    """A table in a box that scrolls, for it may be wider than a phone; the book hides intervals until they are asked for."""
    table = f'<table class="table"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    asked = '<label class="ask"><input type="checkbox"> show intervals</label>' if 'class="interval"' in body else ""
    return f'<div class="numbers">{asked}<div style="overflow-x: auto">{table}</div></div>'


def places(sizes: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    """Each eps with the paper's in the same place, or with nothing."""
    return [(eps, theirs[k] if k < len(theirs) else "") for k, eps in enumerate(sizes)]


def cell(leaf: dict, number: float | None, comparable: bool) -> str:
    interval = f'<small class="interval"><br>[{leaf["low"]:.1f}, {leaf["high"]:.1f}]</small>'
    text = f"<b>{leaf['mean']:.1f}</b>{interval}"
    if number is None:
        return text
    difference = f'<span class="interval"> ({leaf["mean"] - number:+.1f})</span>' if comparable else ""
    return f"{text}<br><small>paper {number}{difference}</small>"
