"""The rule that chooses a penalty, on rows made by hand and in a whole run of two tiny candidates."""

import json

import pytest

from paperlib.recipe import Recipe
from press.plan import experiments, searches, settings
from press.run import search, zoo


def row(name, clean, worst, allowed):
    """A judged candidate."""
    return {"changes": {"c": name}, "clean": {"mean": clean}, "worst": {"mean": worst}, "allowed": allowed}


def test_the_most_robust_allowed_candidate_is_chosen():
    rows = [row(1, 99, 20, True), row(2, 98, 40, True), row(3, 90, 60, False)]
    assert search.choose(rows) == {"c": 2}


def test_without_an_allowed_candidate_the_cleanest_is_chosen():
    assert search.choose([row(1, 80, 20, False), row(2, 85, 10, False)]) == {"c": 2}


def test_ties_go_to_the_earlier_candidate():
    assert search.choose([row(1, 99, 20, True), row(2, 99, 20, True)]) == {"c": 1}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """One search over two strengths of a network that trains in a second."""
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path))
    content = dict(experiments.load())
    base = {"data": "digits", "network": "linear", "width": 1, "epochs": 2, "eps": 0.1, "step_size": 0.05, "batch": 100}
    content["recipes"] = {"quick": {
        "plain": base | {"method": "natural"}, "flat": base | {"method": "ours", "c": 0.1, "warmup": 1.0},
    }}  # fmt: skip
    content["searches"] = {"quick": {"flat": {
        "reference": "plain", "eps": 0.05, "slack": 5.0, "n": 50, "shortened": {"epochs": 1, "train_n": 300, "warmup": 0.5},
        "candidates": [{"c": 0.01}, {"c": 0.02, "p": "2"}],
    }}}  # fmt: skip
    monkeypatch.setattr(experiments, "load", lambda: content)
    return content["searches"]["quick"]["flat"]


def test_a_whole_search_uses_held_out_images_and_can_be_repeated(tiny, tmp_path):
    first = search.search("flat", "quick", progress=False)
    assert [entry["changes"] for entry in first["candidates"]] == tiny["candidates"]
    assert all(entry["worst"]["mean"] <= entry["clean"]["mean"] for entry in first["candidates"])
    assert first["reference"]["clean"]["n"] == 50 and first["chosen"] in tiny["candidates"]
    assert search.search("flat", "quick", progress=False) == first  # the checkpoints are found, not trained again
    path = search.write(first, search.path_of("flat", "quick"))
    assert json.loads(path.read_text())["chosen"] == first["chosen"]
    recipe = zoo.get("flat--epochs=1,train_n=300,warmup=0.5,c=0.02,p=2", "quick", progress=False).recipe
    assert isinstance(recipe, Recipe) and (recipe.c, recipe.p, recipe.train_n) == (0.02, "2", 300)


def test_a_wrong_search_is_refused(tiny):
    with pytest.raises(settings.ExperimentError, match="search is 'steep'; allowed are flat"):
        searches.described("steep", "quick")
    tiny["candidates"].append({"c": -1})
    with pytest.raises(settings.ExperimentError, match="c is -1"):
        searches.described("flat", "quick")
    del tiny["eps"]
    with pytest.raises(settings.ExperimentError, match="allowed are exactly"):
        searches.described("flat", "quick")


@pytest.mark.parametrize("data", ["mnist", "cifar"])
def test_the_paper_s_searches_have_one_budget(data):
    one, other = (searches.described(f"{data}-{method}", "paper") for method in ("ours", "crossentropy"))
    assert len(one["candidates"]) == len(other["candidates"])
    assert {key: one[key] for key in one if key != "candidates"} == {key: other[key] for key in other if key != "candidates"}


def test_the_best_candidates_are_judged_again_by_the_cascade(monkeypatch):
    rows = [
        {"changes": {"c": c}, "allowed": allowed, "worst": {"mean": worst}}
        for c, allowed, worst in ((1, True, 5.0), (2, False, 9.0), (3, True, 7.0), (4, True, 6.0))
    ]
    result = {"name": "net", "profile": "paper", "settings": {"shortened": {}}, "candidates": rows, "chosen": {"c": 3}}
    strong = {"net--c=3": {"mean": 2.0}, "net--c=4": {"mean": 4.0}}
    monkeypatch.setattr(search, "_strong", lambda trial, result, images: strong[trial])
    found = search.rejudged(result, most=2, images=10)
    assert found["strong"] == {"chosen": {"c": 4}, "images": 10} and found["chosen"] == {"c": 3}
    assert [row.get("strong") for row in found["candidates"]] == [None, None, {"mean": 2.0}, {"mean": 4.0}]
    with pytest.raises(ValueError, match="most is 0; allowed is at least 1 candidate"):
        search.rejudged(result, most=0, images=10)
