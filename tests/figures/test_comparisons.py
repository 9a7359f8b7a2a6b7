"""Averages of measures and what is compared of them, against numbers known by hand."""

import numpy as np
import pytest
import torch

from paperlib.measures import comparisons


def test_accuracies_of_one_and_of_two_networks():
    right, wrong = torch.ones(10, dtype=torch.bool), torch.zeros(10, dtype=torch.bool)
    one = comparisons.accuracies({"natural": right}, {})
    assert one.keys() == {"clean"} and one["clean"]["mean"] == 100
    two = comparisons.accuracies({"natural": right, "ours": right}, {"natural": wrong, "ours": right})
    assert two["natural"]["attacked"]["mean"] == 0 and two["ours"]["attacked"]["mean"] == 100
    assert two["paired"]["attacked"]["mean"] == 100 and two["paired"]["clean"]["mean"] == 0


def test_comparisons_are_what_their_names_say():
    taken = {
        "natural": {"relative_drop": np.array([2.0, 4.0, 6.0]), "plateau": np.array([50.0, 60.0, 70.0])},
        "ours": {"relative_drop": np.array([1.0, 2.0, 3.0]), "plateau": np.array([60.0, 80.0, 100.0])},
    }
    compare = {"ratio/relative_drop": ["natural", "ours"], "paired/plateau": ["ours", "natural"]}
    found = comparisons.compared(compare, taken, reach=10, unit="px")
    assert found["ratio"]["relative_drop"]["mean"] == 2
    assert found["paired"]["plateau"]["mean"] == 20 and found["paired"]["plateau"]["unit"] == "points"


def test_a_boundary_that_was_not_reached_counts_as_the_reach():
    taken = {"a": {"distance": np.array([2.0, np.inf])}, "b": {"distance": np.array([1.0, 4.0])}}
    found = comparisons.compared({"paired/distance": ["a", "b"]}, taken, reach=10, unit="px")
    assert found["paired"]["distance"]["mean"] == pytest.approx((1 + 6) / 2)
    assert found["paired"]["distance"]["unit"] == "px"


@pytest.mark.parametrize(("compare", "sentence"), [
    ({"sum/rise": ["a", "a"]}, "compare holds 'sum/rise'; allowed are ratio/..., paired/..."),
    ({"ratio/slope": ["a", "a"]}, "compare asks for slope of 'a'; taken are a: rise"),
    ({"ratio/rise": ["a", "b"]}, "compare asks for rise of 'b'; taken are a: rise"),
    ({"paired/rise": ["a"]}, "compare has 1 groups at 'paired/rise'; allowed are two, the first against the second"),
])  # fmt: skip
def test_comparisons_of_what_was_not_taken_are_refused(compare, sentence):
    with pytest.raises(ValueError, match=sentence):
        comparisons.compared(compare, {"a": {"rise": np.ones(3)}}, reach=1, unit="px")


def test_a_ratio_that_does_not_exist_is_left_out():
    taken = {"a": {"rise": np.ones(3)}, "b": {"rise": -np.ones(3)}}
    found = comparisons.compared({"ratio/rise": ["a", "b"]}, taken, reach=1, unit="px")
    assert found == {"ratio": {}}


def test_nested_joins_paths():
    assert comparisons.nested({"a/b": {"c": 1}}, {"a": {"d": 2}, "e": 3}) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}


def test_summaries_say_how_they_average():
    taken = {"relative_drop": np.array([0.1, 0.2, 30.0]), "plateau": np.array([10.0, 20.0, 60.0])}
    found = comparisons.summary(taken | {"distance": np.array([1.0, 2.0, np.inf])}, reach=8, unit="px")
    assert found["relative_drop"]["mean"] == 0.2 and found["relative_drop"]["unit"] == ""
    assert found["plateau"]["mean"] == pytest.approx(30) and "unit" not in found["plateau"]
    assert found["distance"]["median"]["mean"] == 2
