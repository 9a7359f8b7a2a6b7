"""The published edition as tables: networks, searches, and the paper's cells beside ours."""

import json

import pytest

from press.page import findings


def interval(mean: float) -> dict:
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 100}


VALUES = {
    "natural": {"clean": interval(99.0), "bim": {"0.1": interval(20.0), "0.2": interval(0.0)}, "worst": {}},
    "ours": {"clean": interval(98.0), "bim": {"0.1": interval(80.0), "0.2": interval(50.0)}, "worst": {}},
}  # fmt: skip
STATED = {
    "settings": {"c": 500},
    "natural": {"clean": 99.1, "bim": {"0.1": 22.5, "0.2": 0.0}, "cw": {"0.1": 21.6}},
    "ours": {"clean": 98.4, "bim": {"0.1": 88.1, "0.2": 49.5, "0.3": 26.7}},
    "minmax": {"clean": 98.0},
}


def test_cells_are_those_that_both_tables_have_with_leads_over_each_ones_natural_network():
    rows = findings.cells(VALUES, STATED)
    assert [(row["method"], row["attack"], row["eps"]) for row in rows] == [
        ("natural", "clean", ""), ("natural", "bim", "0.1"), ("natural", "bim", "0.2"),
        ("ours", "clean", ""), ("ours", "bim", "0.1"), ("ours", "bim", "0.2"),
    ]  # fmt: skip
    row = rows[4]
    assert row["here"] == interval(80.0) and row["difference"] == pytest.approx(-8.1)
    assert (row["gain_paper"], row["gain"]) == (pytest.approx(65.6), pytest.approx(60.0))
    assert not row["inside"] and rows[5]["inside"]


def test_agreement_counts_and_names_the_farthest():
    found = findings.agreement(findings.cells(VALUES, STATED))
    assert (found["n"], found["inside"], found["near"]) == (6, 4, 5)
    assert (found["farthest"]["method"], found["farthest"]["eps"]) == ("ours", "0.1")
    assert findings.agreement([]) == {"n": 0, "inside": 0, "near": 0, "farthest": None}


@pytest.fixture
def folder(tmp_path):
    """An edition of two cards, one of them with weights, a search and a record."""
    recipe = {"data": "mnist", "network": "mnist", "width": 32, "method": "ours", "precision": "bf16", "epochs": 10,
              "seed": 1, "c": 0.05, "p": "2"}  # fmt: skip
    for name, method, c in (("mnist-ours", "ours", 0.05), ("mnist-natural--seed=1", "natural", 0.0)):
        card = {"name": name, "sha256": "a" * 64, "recipe": recipe | {"method": method, "c": c}, "data": {"n": 55000},
                "seconds_per_epoch": 360.0, "machine": {"threads": 2, "processor": "x86", "gpu": None}}  # fmt: skip
        path = tmp_path / "models" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(card))
    (tmp_path / "models" / "mnist-ours.safetensors").write_bytes(b"")
    for kind, content in (("search", {"name": "mnist-ours"}), ("results", {"profile": "gpu"})):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "one.json").write_text(json.dumps(content))
    return tmp_path


def test_networks_are_told_by_their_cards(folder):
    natural, ours = findings.networks(folder)
    assert (ours["name"], ours["hours"], ours["penalty"], ours["weights"]) == ("mnist-ours", 1.0, "0.05, p = 2", True)
    assert (natural["penalty"], natural["weights"], natural["network"]) == ("", False, "mnist, width 32")
    assert findings.searches(folder) == [{"name": "mnist-ours"}] and findings.sizes(folder) == ["gpu"]


def test_penalties_are_set_side_by_side_at_equal_norm():
    def search(name: str, *rows: tuple) -> dict:
        return {"name": name, "candidates": [
            {"changes": {"p": p, "c": 1.0}, "worst": interval(worst), "allowed": allowed} for p, worst, allowed in rows
        ]}  # fmt: skip

    ours = search("mnist-ours", ("1", 40.0, True), ("1", 50.0, True), ("1", 60.0, False), ("2", 30.0, True),
                  ("squared", 1.0, False))  # fmt: skip
    other = search("mnist-crossentropy", ("1", 20.0, True), ("squared", 30.0, True))
    elsewhere = search("cifar-ours", ("squared", 5.0, True))
    found = findings.at_equal_norm([ours, other, elsewhere])
    assert found == [{"data": "mnist", "p": "1", "ours": interval(50.0), "crossentropy": interval(20.0)}]
    assert findings.at_equal_norm([]) == []


def test_seeds_are_counted_by_recipe_and_other_changes_are_no_seeds(folder):
    card = json.loads((folder / "models" / "mnist-ours.json").read_text())
    for suffix in ("--seed=1", "--seed=12", "--seed=1,epochs=4", "--epochs=4"):
        (folder / "models" / f"mnist-ours{suffix}.json").write_text(json.dumps(card | {"name": f"mnist-ours{suffix}"}))
    assert findings.seeds(folder) == {"mnist-natural": 1, "mnist-ours": 3}


def test_the_test_images_at_hand_are_the_most_of_any_clean_accuracy(tmp_path):
    (tmp_path / "results").mkdir()
    clean = {"n": 200, "mean": 1.0}
    of = {
        "a": ("cifar10", {"ours": {"clean": clean}, "paired": {"clean": clean | {"n": 9999, "unit": "points"}}}),
        "b": ("cifar10", {"clean": clean | {"n": 1000}}), "c": ("mnist", {"x": {"y": {"clean": clean | {"n": 10000}}}}),
        "d": ("digits", {"clean": clean}), "e": ("mnist", {"ratio": {"mean": 1.0}}),
    }  # fmt: skip
    for key, (name, values) in of.items():
        (tmp_path / "results" / f"{key}.json").write_text(json.dumps({"data": {"name": name}, "values": values}))
    assert findings.test_images(tmp_path) == {
        "cifar10": "the first 1,000 of 10,000 test images", "mnist": "all 10,000 test images",
    }  # fmt: skip


def test_an_empty_edition_has_empty_tables(tmp_path):
    assert findings.networks(tmp_path) == findings.searches(tmp_path) == findings.sizes(tmp_path) == []
