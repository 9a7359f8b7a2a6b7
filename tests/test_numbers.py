"""Numbers in words, and where they lie among nested values."""

import pytest

from paperlib import numbers

VALUES = {
    "natural": {"rise": {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 9, "unit": "nats"}, "clean": {
        "mean": 98.44, "low": 97.0, "high": 99.0, "n": 450}},
    "ratio": {"rise": {"mean": 1.2, "low": 0.9, "high": 1.4, "n": 9, "unit": "×"}},
    "bim": {"0.3": 1.0, "0.05": 9.0, "0.1": 5.0}, "curve": [1, 2], "none": None,
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "expected"), [
    (VALUES["natural"]["rise"], "2 nats [1.5, 2.5]"), (VALUES["natural"]["clean"], "98.4 % [97.0, 99.0]"),
    (VALUES["natural"]["rise"] | {"unit": ""}, "2 [1.5, 2.5]"), (0.012345, "0.0123"), (12345.6, "12346"), (7, "7"),
    (0.0, "0"), (0.00012, "1.2e-04"), ("> 16 px", "> 16 px"), ([1, 0.5, "none"], "1, 0.5, none"), (True, "True"),
])  # fmt: skip
def test_a_number_has_three_digits_and_an_interval_its_ends(leaf, expected):
    assert numbers.formatted(leaf) == expected


def test_a_group_of_numbers_is_refused():
    with pytest.raises(ValueError, match="a group of numbers was asked for as one; it has the keys rise, clean"):
        numbers.formatted(VALUES["natural"])


@pytest.mark.parametrize(("low", "high", "expected"), [
    (1.1, 1.4, "above 1"), (0.2, 0.9, "below 1"), (0.9, 1.1, "not to be told from 1"), (1, 1.5, "not to be told from 1"),
])  # fmt: skip
def test_an_interval_lies_above_below_or_around(low, high, expected):
    assert numbers.lies({"mean": 1.0, "low": low, "high": high}, 1) == expected


def test_a_path_leads_to_a_leaf_or_nowhere():
    assert numbers.leaf_at(VALUES, ["natural", "clean", "mean"]) == 98.44
    assert numbers.leaf_at(VALUES, ("robust", "rise")) is None
    assert numbers.leaf_at(VALUES, ("natural", "rise", "mean", "more")) is None


def test_numbers_are_counted_in_increasing_order():
    assert [numbers.leaf_at(VALUES, ("bim", f"@{k}")) for k in range(4)] == [9.0, 5.0, 1.0, None]
    with pytest.raises(ValueError, match="@0 counts numbers in increasing order, but the keys there are rise, clean"):
        numbers.leaf_at(VALUES, ("natural", "@0"))


def test_leaves_are_numbers_words_and_intervals():
    found = numbers.leaves(VALUES)
    paths = {"natural/rise", "natural/clean", "ratio/rise", "bim/0.3", "bim/0.05", "bim/0.1"}
    assert {"/".join(path) for path in found} == paths
    for path, leaf in found.items():
        assert numbers.leaf_at(VALUES, path) == leaf
        assert numbers.formatted(leaf)
