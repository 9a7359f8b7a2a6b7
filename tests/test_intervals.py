"""Means, medians, ratios and differences with their intervals, against numbers known by hand."""

import math

import numpy as np
import pytest
import torch

from paperlib import intervals
from paperlib.intervals import accuracy


def test_rank_correlation():
    x = np.array([3.0, 1.0, 2.0, 5.0])
    assert intervals.spearman(x, np.exp(x)) == pytest.approx(1)
    assert intervals.spearman(x, -(x**3)) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert intervals.spearman(np.array([0.0, 1, 1, 2]), np.arange(4.0)) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(intervals.spearman(np.ones(4), x)) and math.isnan(intervals.spearman(x, np.ones(4)))
    # grids count cell by cell, and two points suffice
    assert intervals.spearman(x.reshape(2, 2), -x.reshape(2, 2)) == pytest.approx(-1)
    assert intervals.spearman(np.array([0.0, 1.0]), np.array([5.0, 3.0])) == pytest.approx(-1)


def test_no_rounding_error_decides_a_rank_correlation():
    order = np.arange(5.0)
    # squared differences of the ranks sum up to 4, and 1 - 6 * 4 / (5 * 24) is 0.8
    for swapped in ([1, 0, 3, 2, 4], [1, 0, 2, 4, 3], [0, 2, 1, 4, 3]):
        assert intervals.spearman(order, np.array(swapped, dtype=float)) == 0.8
    assert intervals.spearman(order, order) == 1.0


def test_an_interval_is_in_percent_unless_a_unit_is_named():
    values = [10.0, 20.0, 60.0]
    found = intervals.interval(values)
    assert found["mean"] == pytest.approx(30) and found["n"] == 3 and "unit" not in found
    assert found["low"] <= 30 <= found["high"]
    assert intervals.interval(values, "nats", how="median") | {"low": 0, "high": 0} == {
        "mean": 20.0, "low": 0, "high": 0, "n": 3, "unit": "nats"
    }  # fmt: skip
    with pytest.raises(ValueError, match="how is 'mode'; allowed are mean, median"):
        intervals.interval(values, how="mode")


def test_a_share_of_flags_has_wilsons_interval():
    flags = np.array([100.0] * 50)
    assert intervals.interval(flags) == accuracy(torch.ones(50, dtype=torch.bool))
    assert intervals.interval(100 - flags) == accuracy(torch.zeros(50, dtype=torch.bool))
    # shares of each image's pixels are no flags
    assert intervals.interval(flags / 2)["high"] == 50.0


def test_a_ratio_of_paired_samples_is_exact_where_every_image_has_it():
    a = np.array([1.0, 5.0, 9.0, 2.0])
    for how in ("mean", "median", "geometric"):
        found = intervals.ratio(2 * a, a, how=how)
        assert (found["mean"], found["low"], found["high"]) == pytest.approx((2, 2, 2))
        assert found["n"] == 4 and found["unit"] == "×"


def test_ratios_of_means_medians_and_geometric_means():
    a, b = np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 2.0])
    assert intervals.ratio(a, b)["mean"] == pytest.approx(4 / (8 / 3))
    assert intervals.ratio(a, b, how="median")["mean"] == pytest.approx(1)
    assert intervals.ratio(a, b, how="geometric")["mean"] == pytest.approx((0.5 * 0.5 * 4.5) ** (1 / 3))
    unpaired = intervals.ratio(np.ones(5), np.array([1.0, 3.0]))
    assert unpaired["mean"] == 0.5 and unpaired["n"] == 2
    assert (unpaired["low"], unpaired["high"]) == pytest.approx((1 / 3, 1))


def test_a_ratio_without_a_positive_divisor_is_no_number():
    assert intervals.ratio(np.ones(3), np.array([1.0, -1.0, 0.0])) is None
    assert intervals.ratio(np.ones(3), np.zeros(3), how="median") is None
    assert intervals.ratio(np.array([1.0, -1.0]), np.ones(2), how="geometric") is None
    with pytest.raises(ValueError, match="how is 'sum'; allowed are mean, median, geometric"):
        intervals.ratio(np.ones(2), np.ones(2), how="sum")
    with pytest.raises(ValueError, match="ratio has an empty sample; allowed is at least one value each"):
        intervals.ratio(np.ones(0), np.ones(2))


def test_the_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 400)
    rng = np.random.default_rng(0)
    draws = [(rng.lognormal(0.7, 0.4, 60), rng.lognormal(0, 0.4, 60)) for _ in range(200)]
    found = [intervals.ratio(a, b) for a, b in draws]
    covered = np.mean([one["low"] <= math.exp(0.7) <= one["high"] for one in found])
    assert 0.88 <= covered <= 0.99


def test_flags_are_compared_image_by_image():
    first, second = torch.tensor([True, True, True, False]), torch.tensor([True, False, False, False])
    found = intervals.paired_flags(first, second)
    assert found["mean"] == 50 and found["unit"] == "points" and found["n"] == 4
    assert found["low"] < 50 < found["high"]


def test_distances_beyond_the_reach_are_words():
    t = np.array([1.0, 2.0, 3.0, 4.0, np.inf, np.inf, np.inf, np.inf])
    found = intervals.distances(t, reach=16, unit="px")
    assert found["reached"]["mean"] == 50
    assert found["q25"] == 2.0
    assert found["median"]["mean"] == 4.0 and found["median"]["high"] == 16 and found["median"]["unit"] == "px"
    assert found["q75"] == "> 16 px"
    assert intervals.distances(np.full(3, np.inf), reach=16, unit="px")["median"] == "> 16 px"


@pytest.mark.parametrize(("score", "positive", "expected"), [
    ([1.0, 2.0, 3.0], [False, False, True], 1.0), ([1.0, 2.0, 3.0], [True, False, False], 0.0),
    ([1.0, 1.0], [True, False], 0.5), ([1.0, 2.0, 2.0, 3.0], [False, True, False, True], 0.875),
    ([1.0, 2.0], [True, True], None),
])  # fmt: skip
def test_auc_is_the_chance_of_the_right_order(score, positive, expected):
    assert intervals.auc(torch.tensor(score), torch.tensor(positive)) == expected


def test_quantities_that_do_not_exist_are_left_out():
    assert intervals.without_gaps({"a": None, "b": {"c": None, "d": 0}, "e": [None]}) == {"b": {"d": 0}, "e": [None]}
