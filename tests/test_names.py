"""One row a thing: what is called something is called it everywhere, and what is not falls back to its own word."""

import re

import pytest

from paperlib import data, fingerprint, names, recipe
from paperlib.files import HERE


def test_what_is_in_no_table_is_called_by_its_key_and_is_grey_and_round():
    mine = names.network("mine")
    assert (mine.label, mine.colour, mine.marker, mine.title) == ("mine", names.GREY, "o", "")
    assert (names.data("mine").label, names.data("mine").classes, names.data("mine").official) == ("mine", (), 0)
    assert names.label(names.ATTACKS, "mine") == "mine" and names.label(names.ATTACKS, "cw") == "C&W"


def test_every_method_has_a_row_and_no_two_look_the_same():
    assert set(names.METHODS) == set(recipe.METHODS)
    for field in ("label", "colour", "marker"):
        assert len({getattr(row, field) for row in names.METHODS.values()}) == len(names.METHODS), field


# greys and black are also frames and edges
PALETTE = (names.ORANGE, names.SKY, names.GREEN, names.BLUE, names.VERMILION, names.PURPLE)


def test_every_data_set_has_a_row():
    assert set(names.DATA) == set(data.SETS)


@pytest.mark.parametrize("folder", ["drawings", "reporting", "measures"])
def test_no_colour_of_the_table_and_no_marker_of_a_method_is_written_elsewhere(folder):
    for path in (HERE / "paperlib" / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [colour for colour in PALETTE if colour.lower() in text.lower()], path.name
        assert not re.search(r"""marker=["'][sD^vX|]["']""", text), path.name


def test_a_label_or_a_colour_measures_and_trains_nothing_again():
    kinds = [path.stem for path in (HERE / "paperlib" / "measures").glob("*.py") if path.stem not in ("__init__", "report")]
    assert len(kinds) > 10
    for module in ("paperlib.train", *(f"paperlib.measures.{kind}" for kind in kinds)):
        assert "paperlib.names" not in fingerprint.modules(f"import {module}"), module
