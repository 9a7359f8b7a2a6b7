"""What all pictures share: units, scales that end at round numbers, and bytes that are the same in every run."""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from paperlib import names
from paperlib.drawings import dark, style
from paperlib.drawings.maps import rounded


@given(value=st.floats(1e-4, 1e6))
def test_scales_end_at_round_numbers_not_far_above(value):
    top = rounded(value)
    assert value <= top * (1 + 1e-6) and top <= 1.51 * value
    assert re.fullmatch(r"[1-8](\.5)?", f"{top / 10 ** np.floor(np.log10(top * (1 + 1e-12))):g}")


def test_a_picture_has_its_alternative_text_and_no_date_or_version():
    made = []
    for _ in range(2):
        with style.book():
            figure, ax = plt.subplots()
            ax.plot([0, 1])
        made.append(style.shown(figure, alt="A line"))
    assert made[0].data == made[1].data and made[0].alt == "A line"
    assert made[0].data.startswith(b"\x89PNG") and b"Software" not in made[0].data
    assert made[0].dark == made[1].dark != made[0].data and made[0].dark.startswith(b"\x89PNG")
    bundle, words = made[0]._repr_mimebundle_()
    assert bundle.keys() == {"image/png", names.DARK_PICTURE} and words == {"image/png": {"alt": "A line"}}
    assert plt.get_fignums() == []


def pixels(png: bytes) -> np.ndarray:
    return plt.imread(io.BytesIO(png))


def test_on_a_dark_page_a_grid_is_there_to_be_looked_past():
    with style.book():
        figure, ax = plt.subplots()
        ax.plot([0, 1], color="black")
        ax.grid(color="#dddddd")
    before = {line.get_color() for line in (*ax.get_xgridlines(), *ax.get_ygridlines())}
    dark.darken(figure)
    after = {line.get_color() for line in (*ax.get_xgridlines(), *ax.get_ygridlines())}
    plt.close(figure)
    assert before == {"#dddddd"} and after == {dark.PALE} and 1 < dark.contrast(dark.PALE) < dark.OF_LINES


def test_on_a_dark_page_words_lines_and_hollow_marks_stand_out_and_maps_stay_as_they_are():
    with style.book():
        figure, (left, right) = plt.subplots(1, 2)
        (line,) = left.plot([0, 1], color="black", marker="o", markerfacecolor="white", label="a line")
        band = left.axvspan(0, 0.5, color="#dddddd")
        left.set_title("title")
        word, boxed = left.text(0, 0, "a", color="#0072B2"), left.text(0, 1, "b", bbox={"facecolor": "white"})
        legend = left.legend()
        right.contourf(np.eye(3))
        (level,) = right.plot([0, 1], color="black")
    dark.darken(figure)
    for artist in (left.title, word, *legend.get_texts(), *left.get_xticklabels()):
        assert dark.contrast(artist.get_color()) >= dark.OF_WORDS
    assert dark.contrast(line.get_color()) >= dark.OF_LINES and line.get_markerfacecolor() == dark.PAPER
    assert dark.contrast(band.get_facecolor()) < dark.OF_LINES
    assert boxed.get_color() == "black" and level.get_color() == "black"
    assert not left.patch.get_visible() and right.patch.get_visible()
    plt.close(figure)


def test_on_a_dark_page_a_legend_s_mark_stands_out_in_every_part():
    with style.book():
        figure, ax = plt.subplots()
        ax.errorbar([0.5], [0.5], [0.1], color="black", marker="p", linestyle="", label="a mark with a bar")
        legend = ax.legend()
    dark.darken(figure)
    marks = [line.get_markerfacecolor() for line in legend.findobj(Line2D)]
    bars = [colour for part in legend.findobj(LineCollection) for colour in part.get_edgecolor()]
    plt.close(figure)
    assert marks and bars and all(dark.contrast(colour) >= dark.OF_LINES for colour in (*marks, *bars))


def test_a_dark_picture_has_no_background():
    with style.book():
        figure, ax = plt.subplots()
        ax.plot([0, 1])
    picture = style.shown(figure, alt="A line")
    assert pixels(picture.data)[0, 0, 3] == 1 and pixels(picture.dark)[0, 0, 3] == 0
