"""The published edition: what is added, what is refused, and whether the one in the repository is up to date."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from paperlib import attack, evaluate, files, intervals, sealed
from paperlib import record as records
from press.__main__ import main
from press.page import drawn, edition, manifest, site
from press.plan import experiments, settings
from press.run import checkpoints, zoo
from press.run.record import Run

REPOSITORY = settings.ROOT


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A project whose paper profile has one finished artifact with one tiny network, and an empty edition."""
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    recipe = {"data": "digits", "network": "linear", "method": "natural", "width": 1, "epochs": 1, "eps": 0.1,
              "step_size": 0.1, "train_n": 100}  # fmt: skip
    column = {"models": {"natural": "net"}, "parameters": {"k": 1}}
    entry = {"notebook": "n", "place": "Fig. 6", "title": "T", "paper": column}
    content = {"recipes": {"paper": {"net": recipe}}, "artifacts": {"fig06": entry}}
    monkeypatch.setattr(experiments, "load", lambda: content)
    notebook = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "k = 1", "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": "print(k)", "outputs": []},
    ]}  # fmt: skip
    files.write_atomic(tmp_path / "notebooks" / "n.ipynb", json.dumps(notebook))
    run = Run("fig06", profile="paper", parameters={"k": 1})
    run.model("natural", zoo.get("net", "paper", progress=False))
    run.write({"slope": 1.0}, grid=np.zeros(3))
    return content


def test_a_finished_artifact_is_published_whole(finished):
    assert edition.publish() == ["fig06"]
    there = {str(path.relative_to(edition.edition_dir())) for path in edition.edition_dir().rglob("*") if path.is_file()}
    assert there == {"results/fig06.json", "results/fig06.npz", "models/net.safetensors", "models/net.json", "MANIFEST.json"}
    assert edition.stale() == [] and manifest.faults() == {}
    assert manifest.listed().keys() == there - {"MANIFEST.json"}


def test_the_published_book_is_made_in_a_folder_of_its_own(finished, tmp_path, monkeypatch, capsys):
    edition.publish()
    mine = tmp_path / "build" / "paper"
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    shutil.copytree(REPOSITORY / "book" / "_static", tmp_path / "book" / "_static")
    for name in ("_config.yml", "experiments.yml", "book/references.bib"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    files.write_atomic(tmp_path / "book" / "paper_numbers.yml", "{}\n")
    files.write_atomic(tmp_path / "book" / "_toc.yml", "format: jb-book\nroot: intro\n")
    files.write_atomic(tmp_path / "book" / "intro.md", "# {{ published('fig06', 'slope') }}\n")
    drawn_notebook = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": []}
    monkeypatch.setattr(site.drawn, "draw", lambda cores: None)
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# T"}
    sealed.write_json(drawn.path_of("fig06"), drawn_notebook | {"cells": [title]})
    assert main(["published"]) == 0
    page = tmp_path / "build" / "published" / "html" / "index.html"
    assert capsys.readouterr().out == f"The published edition is at {page}\n" and page.is_file()
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


def test_the_command_says_where_and_what(finished, capsys):
    assert main(["publish"]) == 0
    assert capsys.readouterr().out == f"published in {edition.edition_dir()}: fig06\n"


def test_other_weights_than_the_record_s_are_refused(finished):
    path = checkpoints.path_of("net", "paper")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(edition.EditionError, match="^fig06 cannot be published: the checkpoint of net is another one; "):
        edition.publish()
    assert not edition.edition_dir().exists()


def test_a_profile_of_other_data_is_refused(finished, capsys):
    finished["recipes"] |= {"quick": {}, "gpu": {}}
    finished["columns"] = {"gpu": "paper"}
    finished["artifacts"]["fig06"]["quick"] = finished["artifacts"]["fig06"]["paper"]
    assert main(["publish", "--profile", "quick"]) == 2
    sentence = "paperlib: profile is 'quick'; allowed in the published edition are paper, gpu\n"
    assert capsys.readouterr().err.endswith(sentence)
    assert not edition.edition_dir().exists()


def test_a_notebook_without_its_record_is_not_finished(finished, tmp_path):
    (tmp_path / "build" / "paper" / "results" / "fig06.json").unlink()
    assert edition.publish() == []


def test_a_large_edition_is_refused_before_anything_is_copied(finished, monkeypatch):
    monkeypatch.setattr(edition, "LIMIT", 1000)
    with pytest.raises(edition.EditionError, match="allowed are"):
        edition.publish()
    assert not edition.edition_dir().exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["artifacts"]["fig06"]["paper"]["parameters"].update(k=2), "parameter k has changed"),
        (lambda c: c["recipes"]["paper"]["net"].update(seed=1), "the recipe of net has changed"),
        (lambda c: c["artifacts"]["fig06"]["paper"]["models"].update(natural="other"), "its models have changed"),
    ],
)
def test_a_stale_edition_is_named_and_a_stale_artifact_is_not_published(finished, change, said):
    edition.publish()
    before = {path: path.stat().st_mtime_ns for path in edition.edition_dir().rglob("*")}
    change(finished)
    assert edition.stale() == [f"fig06: {said}"]
    with pytest.raises(edition.EditionError, match=f"^fig06 cannot be published: {said}; execute it again$"):
        edition.publish()
    assert {path: path.stat().st_mtime_ns for path in edition.edition_dir().rglob("*")} == before


def test_a_changed_checkpoint_makes_the_edition_stale(finished):
    edition.publish()
    weights = edition.edition_dir() / "models" / "net.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    assert edition.stale() == ["fig06: the checkpoint of net is another one"]


def test_of_other_seeds_the_cards_alone_are_published(finished, tmp_path):
    finished["artifacts"]["fig06"]["paper"]["models"] = {"natural": "net--seed=1"}
    run = Run("fig06", profile="paper", parameters={"k": 1})
    run.model("natural", zoo.get("net--seed=1", "paper", progress=False))
    run.write({"slope": 1.0})
    edition.publish()
    assert [path.name for path in (edition.edition_dir() / "models").iterdir()] == ["net--seed=1.json"]
    assert edition.stale() == []
    card = edition.edition_dir() / "models" / "net--seed=1.json"
    sealed.write_json(card, sealed.read_json(card) | {"sha256": "0" * 64})
    assert edition.stale() == ["fig06: the checkpoint of net--seed=1 is another one"]
    card.unlink()
    assert edition.stale() == ["fig06: the card of net--seed=1 is missing"]


def test_a_search_that_chose_something_else_makes_the_edition_stale(finished):
    row = {"changes": {"lr": 0.1}, "clean": {"mean": 99.0}, "worst": {"mean": 9.0}, "allowed": True}
    settings = {"reference": "net", "eps": 0.1, "slack": 1.0, "n": 10, "shortened": {}, "candidates": [{"lr": 0.1}]}
    finished["searches"] = {"paper": {"net": settings}}
    result = {"name": "net", "profile": "paper", "settings": settings, "candidates": [row], "chosen": {"lr": 0.1}}
    path = edition.edition_dir() / "search" / "net.json"
    sealed.write_json(path, result)
    assert edition.stale() == ["search net: it chose lr = 0.1, and the recipe has 0.002"]
    finished["recipes"]["paper"]["net"]["lr"] = 0.1
    assert edition.stale() == []
    sealed.write_json(path, result | {"settings": settings | {"n": 20}})
    assert edition.stale() == ["search net: its settings have changed"]


def test_runs_of_the_larger_size_are_held_against_their_own_recipes(finished, tmp_path):
    finished["recipes"]["gpu"] = {"net": finished["recipes"]["paper"]["net"] | {"seed": 3}}
    finished["columns"] = {"gpu": "paper"}
    run = Run("fig06", profile="gpu", parameters={"k": 1})
    run.model("natural", zoo.get("net", "gpu", progress=False))
    run.write({"slope": 1.0})
    assert edition.publish("gpu") == ["fig06"] and edition.stale() == []
    finished["recipes"]["paper"]["net"]["seed"] = 4
    assert edition.stale() == []


PUBLISHED = sorted((edition.edition_dir() / "results").glob("*.json"))


# What happens to a file of the edition, and what is said of it.


def change_a_number(path):
    content = path.read_bytes()
    assert b'"slope": 1.0' in content
    path.write_bytes(content.replace(b'"slope": 1.0', b'"slope": 2.0'))
    return f"{path.name} (damaged)"


def flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    return f"{path.name} (damaged)"


def cut(path):
    # of JSON, more than its last newline
    path.write_bytes(path.read_bytes()[:-3])
    return f"{path.name} (damaged)"


def lose(path):
    path.unlink()
    return f"{path.name} (lost)"


def add(path):
    path.with_name("x.json").write_text("{}")
    return "x.json (not listed)"


FILES = ("results/fig06.json", "results/fig06.npz", "models/net.json", "models/net.safetensors", "MANIFEST.json")


@pytest.mark.parametrize(
    ("name", "damage"),
    [("results/fig06.json", change_a_number), ("models/net.json", add)]
    + [(name, damage) for name in FILES for damage in (flip, cut, lose)],
)
def test_a_damaged_edition_is_named_and_neither_drawn_shown_nor_added_to(finished, name, damage, capsys):
    edition.publish()
    said = damage(edition.edition_dir() / name)
    wanted = rf"^book/published is not what was published: (\w+/)?{re.escape(said)}; nothing is drawn from it before "
    for command in (["published"], ["site", "--profile", "paper"], ["claims", "--profile", "paper"]):
        assert main(command) == 2
        assert re.match(wanted.replace("^", "^paperlib: "), capsys.readouterr().err), command
    finished["artifacts"] = {}
    with pytest.raises(edition.EditionError, match=wanted):
        edition.publish()


def test_what_was_lost_of_the_edition_is_published_again(finished):
    edition.publish()
    whole = {path: path.read_bytes() for path in edition.edition_dir().rglob("*.*")}
    for name in FILES[:-1]:
        (edition.edition_dir() / name).unlink()
        edition.publish()
        assert {path: path.read_bytes() for path in edition.edition_dir().rglob("*.*")} == whole


@pytest.mark.parametrize("name", ["results/fig06.json", "results/fig06.npz", "models/net.json", "search/net.json"])
def test_a_damaged_file_of_a_run_is_not_published(finished, tmp_path, name):
    sealed.write_json(tmp_path / "build" / "paper" / "search" / "net.json", {"name": "net"})
    path = tmp_path / "build" / "paper" / name
    cut(path)
    with pytest.raises(sealed.DamagedError, match=f"^{path} is "):
        edition.publish()
    assert not edition.edition_dir().exists()


def test_the_edition_in_the_repository_is_up_to_date():
    assert edition.stale() == []


def test_the_edition_in_the_repository_is_what_was_published():
    assert manifest.faults() == {}
    # each file tells by itself whether it is whole, or another one does
    folder = edition.edition_dir()
    for path in folder.rglob("*.json"):
        sealed.read_json(path)
    for path in (folder / "results").glob("*.json"):
        records.content_of(path)
    for path in (folder / "models").glob("*.safetensors"):
        assert checkpoints.fault_of(path) is None
    assert all(sealed.is_whole(path) for path in (folder / "oracle").glob("*.npy"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_edition_s_checkpoints_load_and_give_its_clean_accuracy(path, monkeypatch):
    record = json.loads(path.read_text())
    for role, model in record["models"].items():
        if not edition.weighs(model["name"]):
            continue
        weights = edition.edition_dir() / "models" / f"{model['name']}.safetensors"
        assert files.file_hash(weights) == model["sha256"]
        assert all(torch.isfinite(tensor).all() for tensor in load_file(weights).values())
        name = model["recipe"]["data"]
        if not (files.data_dir() / f"{name}.npz").is_file():
            pytest.skip(f"no archive of {name} is at hand (PAPERLIB_DATA), so the sample cannot be evaluated again")
        trained = zoo.load(weights)
        sample = trained.dataset.test.first(1000)
        clean = intervals.accuracy(evaluate.correct(trained.model, sample.x, sample.y))
        stated = record["values"].get(role, {}).get("clean")
        # the first images are a sample of those that the record speaks of; a few hundred others would be another one
        if isinstance(stated, dict) and "mean" in stated and stated["n"] >= 1000:
            assert abs(clean["mean"] - stated["mean"]) <= 4


def test_the_published_worst_case_is_as_strong_as_autoattack():
    path = edition.edition_dir() / "results" / "strong.json"
    if path not in PUBLISHED:
        pytest.skip("the edition has no strong yet")
    values = json.loads(path.read_text())["values"]
    held = {
        (role, eps): (row["worst"][eps]["mean"], leaf["mean"])
        for role, row in values.items() if role in values["agreement"] for eps, leaf in row.get("autoattack", {}).items()
    }  # fmt: skip
    assert len({role for role, _ in held}) == 11
    assert [(place, both) for place, both in held.items() if both[0] > both[1] + 1] == []


@pytest.mark.parametrize("key", ["table1", "table2"])
def test_a_sample_of_the_tables_comes_out_again(key):
    if edition.edition_dir() / "results" / f"{key}.json" not in PUBLISHED:
        pytest.skip(f"the edition has no {key} yet")
    record = json.loads((edition.edition_dir() / "results" / f"{key}.json").read_text())
    flags = np.load(edition.edition_dir() / "results" / f"{key}.npz")
    name, parameters = record["data"]["name"], record["parameters"]
    if not (files.data_dir() / f"{name}.npz").is_file():
        pytest.skip(f"no archive of {name} is at hand (PAPERLIB_DATA), so the sample cannot be evaluated again")
    eps = parameters["eps"][1]
    for role, model in record["models"].items():
        trained = zoo.load(edition.edition_dir() / "models" / f"{model['name']}.safetensors")
        sample, of = trained.dataset.test.first(100), trained.dataset.to_input
        right = evaluate.correct(trained.model, sample.x, sample.y)
        step = of(parameters["step_size"])
        found = attack.bim(trained.model, sample.x, sample.y, eps=of(eps), step_size=step, steps=parameters["steps"])
        # an image on the boundary may fall to the other side on another processor
        for again, kept in ((right, f"{role}/clean/0"), (~found.success, f"{role}/bim/{eps:g}")):
            assert (again.numpy() != flags[kept][:100]).sum() <= 2, (role, kept)
