"""A finished figure in the colours of a dark page: what is drawn on paper turns light, what is drawn on a map stays."""

from collections.abc import Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

# a dark page, and what is written on it
PAPER, INK = "#14181e", "#ced6dd"
# pale grey on paper: bands, and the lines of a grid, which are there to be looked past
PALE = "#39424f"
# the least contrast of words and of lines with the page
OF_WORDS, OF_LINES = 4.5, 3.0


def darken(figure: Figure) -> None:
    """Changes a figure's colours in place, to be saved without a background."""
    for ax in figure.axes:
        _frame(ax)
        if not _is_map(ax):
            ax.patch.set_visible(False)
            _drawn([*ax.lines, *ax.collections, *ax.patches])
            _words(ax.texts)
    for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes)]:
        if legend is not None:
            _legend(legend)
    _words([*figure.texts, *([figure._suptitle] if figure._suptitle else [])])


def contrast(colour: object, other: object = PAPER) -> float:
    """The contrast of two colours as accessible pages count it, from 1 to 21.

    >>> round(contrast("white", "black"))
    21
    """
    light, dark = sorted((_luminance(colour), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable(colour: object, least: float) -> tuple[float, ...]:
    """A colour that stands out from a dark page: a dark grey turns to ink, any other colour lighter as far as needed.

    >>> contrast(readable("black", 4.5)) > 7, contrast(readable("navy", 4.5)) >= 4.5
    (True, True)
    """
    red, green, blue, alpha = to_rgba(colour)
    if max(red, green, blue) - min(red, green, blue) < 0.1 and contrast((red, green, blue)) < 7:
        return (*to_rgba(INK)[:3], alpha)
    parts = np.array([red, green, blue])
    while contrast(tuple(parts)) < least:
        parts = 0.9 * parts + 0.1
    return (*map(float, parts), alpha)


def _luminance(colour: object) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _is_map(ax: Axes) -> bool:
    """Whether colours fill the axes, so that what is drawn on them is not drawn on paper."""
    filled = [each for each in ax.collections if isinstance(each, ScalarMappable) and each.get_array() is not None]
    return bool(ax.images or filled)


def _frame(ax: Axes) -> None:
    """Spines, ticks, titles and names of the axes; of three-dimensional ones the walls as well."""
    for spine in ax.spines.values():
        spine.set_edgecolor(readable(spine.get_edgecolor(), OF_LINES))
    ax.tick_params(colors=INK, which="both")
    for line in (*ax.get_xgridlines(), *ax.get_ygridlines()):
        line.set_color(PALE)
    axes = [ax.xaxis, ax.yaxis, *([ax.zaxis] if hasattr(ax, "zaxis") else [])]
    _words([ax.title, ax._left_title, ax._right_title, *(axis.label for axis in axes)])
    for axis in axes if hasattr(ax, "zaxis") else []:
        axis.set_pane_color((1, 1, 1, 0.05))
        axis.line.set_color(INK)
        axis._axinfo["grid"]["color"] = (1, 1, 1, 0.2)
    if hasattr(ax, "zaxis"):
        ax.patch.set_visible(False)


def _words(texts: Iterable[Text]) -> None:
    for text in texts:
        # a word in a box of its own stays as it is
        if text.get_bbox_patch() is None:
            text.set_color(readable(text.get_color(), OF_WORDS))


def _legend(legend: Legend) -> None:
    _words([*legend.get_texts(), legend.get_title()])
    # a handle may have parts, as a mark with its bars has, and the legend lists the first alone
    parts = legend.findobj(lambda part: isinstance(part, Line2D | Collection))
    _drawn([*parts, *(handle for handle in legend.legend_handles if handle not in parts)])
    legend.get_frame().set_facecolor(PAPER)


def _drawn(artists: Iterable[Artist]) -> None:
    """Lines, markers, patches and collections drawn on paper; a hollow mark is as dark as the page."""
    for artist in artists:
        if isinstance(artist, Line2D):
            hollow = to_rgba(artist.get_markerfacecolor())[:3] == (1.0, 1.0, 1.0)
            face = PAPER if hollow else readable(artist.get_markerfacecolor(), OF_LINES)
            edge = readable(artist.get_markeredgecolor(), OF_LINES)
            artist.set_color(readable(artist.get_color(), OF_LINES))
            artist.set(markerfacecolor=face, markeredgecolor=edge)
        elif hasattr(artist, "get_facecolor"):
            for name in ("facecolor", "edgecolor"):
                old = np.asarray(getattr(artist, f"get_{name}")())
                new = [_filled(tuple(each), name) for each in np.atleast_2d(old)] if old.size else []
                if new:
                    getattr(artist, f"set_{name}")(new if old.ndim == 2 else new[0])


def _filled(colour: tuple[float, ...], name: str) -> tuple[float, ...]:
    """A filled part's colour; a pale grey band is a band a little lighter than the page."""
    if colour[3] == 0:
        return colour
    grey = max(colour[:3]) - min(colour[:3]) < 0.1
    if name == "facecolor" and grey and contrast(colour) > 7:
        return (*to_rgba(PALE)[:3], colour[3])
    return readable(colour, OF_LINES)
