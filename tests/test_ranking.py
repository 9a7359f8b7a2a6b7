"""Rank correlations against scipy's and by hand, and intervals over things that belong together."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from paperlib.ranking import partial, spearman, with_intervals, within

RNG = np.random.default_rng(0)


def test_every_column_has_scipy_s_correlation_with_ties():
    values, target = RNG.integers(0, 5, (40, 3)).astype(float), RNG.integers(0, 6, 40).astype(float)
    found = spearman(values, target)
    assert found == pytest.approx([spearmanr(values[:, k], target).statistic for k in range(3)])


def test_infinite_numbers_are_the_ends_and_a_constant_has_no_order():
    values = np.array([[1.0, 5.0], [-np.inf, 5.0], [3.0, 5.0]])
    found = spearman(values, np.array([2.0, 1.0, 9.0]))
    assert found[0] == 1 and math.isnan(found[1])
    assert np.isnan(spearman(values, np.ones(3))).all()


def test_partial_is_what_the_formula_for_one_given_number_says():
    values, target, given = RNG.random((60, 1)), RNG.random(60), RNG.random((60, 1))
    values, target = values + given, target + given[:, 0]
    xy, xz, yz = spearman(values, target)[0], spearman(values, given[:, 0])[0], spearman(given, target)[0]
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial(values, target, given)[0] == pytest.approx(expected)


def test_nothing_is_left_of_what_is_given():
    values, target = RNG.random((30, 2)), RNG.random(30)
    found = partial(values, target, values[:, [0]])
    assert math.isnan(found[0]) and math.isfinite(found[1])
    # given twice is given once
    assert partial(values, target, values[:, [0, 0]])[1] == pytest.approx(found[1])


def test_what_only_a_common_cause_orders_has_no_partial_correlation():
    cause = RNG.random(4000)
    values, target = cause + RNG.random(4000), cause + RNG.random(4000)
    assert spearman(values[:, None], target)[0] > 0.4
    assert abs(partial(values[:, None], target, cause[:, None])[0]) < 0.05


def test_within_groups_an_order_between_them_does_not_count():
    # two groups, reversed inside, in order between
    values = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0, 14.0])
    target = np.array([3.0, 2.0, 1.0, 14.0, 13.0, 12.0, 11.0])
    group = np.array([0, 0, 0, 1, 1, 1, 1])
    assert spearman(values[:, None], target)[0] > 0.4 and within(values[:, None], target, group)[0] == -1
    # weighted by size; a group without an order does not count
    target[3:] = [11.0, 12.0, 13.0, 14.0]
    assert within(values[:, None], target, group)[0] == pytest.approx((3 * -1 + 4 * 1) / 7)
    target[3:] = 5.0
    assert within(values[:, None], target, group)[0] == -1
    assert math.isnan(within(values[:, None], np.ones(7), group)[0])


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for k in range(60):
        rng = np.random.default_rng(k)
        a = rng.standard_normal((50, 1))
        b = 0.6 * a[:, 0] + 0.8 * rng.standard_normal(50)
        (leaf,) = with_intervals(lambda drawn, a=a, b=b: spearman(a[drawn], b[drawn]), range(50))
        # of a normal pair with correlation 0.6
        held += leaf["low"] <= 6 / math.pi * math.asin(0.3) <= leaf["high"]
    assert 50 <= held <= 60


def test_copies_of_a_thing_are_no_further_evidence():
    a, b = RNG.random((12, 1)), RNG.random(12)
    (alone,) = with_intervals(lambda drawn: spearman(a[drawn], b[drawn]), range(12))
    many, target = np.repeat(a, 5, axis=0), np.repeat(b, 5)
    (together,) = with_intervals(lambda drawn: spearman(many[drawn], target[drawn]), list(np.repeat(np.arange(12), 5)))
    (apart,) = with_intervals(lambda drawn: spearman(many[drawn], target[drawn]), range(60))
    width = {name: leaf["high"] - leaf["low"] for name, leaf in (("alone", alone), ("together", together), ("apart", apart))}
    assert width["together"] == pytest.approx(width["alone"], rel=0.01) and width["apart"] < 0.6 * width["alone"]
    assert (together["n"], together["unit"], together["mean"]) == (60, "", pytest.approx(alone["mean"]))


def test_each_stratum_keeps_its_size():
    seen = []
    strata = ["a"] * 3 + ["b"] * 5

    def sizes(drawn):
        seen.append((int((drawn < 3).sum()), int((drawn >= 3).sum())))
        return np.ones(1)

    with_intervals(sizes, range(8), strata)
    assert set(seen) == {(3, 5)} and len(seen) > 100


def test_a_number_that_does_not_exist_has_no_interval():
    none, whole = with_intervals(lambda drawn: np.array([np.nan, 1.0]), range(4))
    assert none is None and (whole["low"], whole["high"]) == (1, 1)
    rare = iter(range(10**6))
    (leaf,) = with_intervals(lambda drawn: np.array([1.0 if next(rare) % 3 == 0 else np.nan]), range(4))
    assert leaf is None
    with pytest.raises(ValueError, match="strata has 1 words for 2 things"):
        with_intervals(lambda drawn: np.ones(1), range(2), ["a"])
