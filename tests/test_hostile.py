"""Names that a reader gives: none becomes a path, and none becomes markup."""

import re

import pytest

from paperlib import names
from paperlib.drawings import style
from paperlib.record import Record
from press.page import cells, words
from press.page.template import plain
from press.plan import experiments
from press.plan.settings import ExperimentError

HOSTILE = [
    "<img src=x onerror=alert(1)>", "</td><script>alert(1)</script>", "[a](javascript:alert(1))", "`x` {download}`y <z>`",
    "$\\undefined$ _x_ **y**", "a | b\n\n# c", "{{ page }} {% raw %}", '"><svg onload=alert(1)>',
]  # fmt: skip


def harmless(text: str) -> bool:
    """Whether a text holds nothing that Markdown or HTML would read."""
    return not re.search(r"<(?!br>)|>|[`\[\]*$|{}\\]|\n", re.sub(r"<br>|&#\d+;|\\\|", "", text))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_data_set_s_name_is_shown_and_not_read(name):
    record = {
        "profile": "quick", "started": "now", "seconds": 1, "seeds": {name: 0}, "git_commit": None,
        "data": {"name": name, "n": 3, "sha256": "ab" * 32, "others": [{"name": name, "n": 3, "sha256": name}]},
        "models": {name: {"name": name, "sha256": "cd" * 32}}, "environment": {"machine": {"processor": name}},
    }  # fmt: skip
    table = cells.provenance_cell("fig01", record).partition("Downloads:")[0].removeprefix("## Provenance\n\n")
    inside = [part for row in table.splitlines() for part in re.findall(r"\| (.*?) (?=\|)", row) if part.strip(" -")]
    assert len(inside) >= 10 and all(map(harmless, inside)), inside
    assert all(char in plain(name) for char in re.findall(r"\w", name))


@pytest.mark.parametrize("name", HOSTILE)
def test_the_words_and_pictures_of_a_page_have_a_harmless_label(name):
    entry = experiments.artifact("quick", "fig06")
    parameters = experiments.notebook_parameters(entry.notebook) | entry.parameters
    record = Record("fig06", "quick", parameters, {"name": name, "n": 3, "pixel_scale": 1}, {"natural": {}}, {}, {})
    text = words.filled("On {{ data }}.", record, words.facts(entry.notebook, record), "a page")
    assert harmless(text) and harmless(names.data(name).label) and harmless(names.network(name).label)
    assert names.network("ours").label == "Ours" and names.data("mnist").label == "MNIST"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_table_of_a_picture_holds_no_markup_of_a_name(name):
    assert "<img" not in style.table(names.network(name).label, "") and "<script" not in names.network(name).label


@pytest.mark.parametrize(
    "name",
    [
        "digits-natural--data=/../../x.npz", "digits-natural--data=..%2Fx.npz,seed=01", "digits-natural--data=../x.npz",
        "digits-natural--data=<img src=x>.npz", "digits-ours--c=0.10",
        f"digits-natural--data={'x' * 200}.npz",
    ],
)  # fmt: skip
def test_a_derived_name_is_no_path_and_the_only_one_of_its_recipe(name):
    with pytest.raises(ExperimentError, match=r"^model '.*' (is written '[^/<> ]*'|has \d+ letters); allowed"):
        experiments.recipe_settings("quick", name)


def test_the_name_that_is_made_is_the_one_that_is_taken():
    for changes in ({"data": "/../../x.npz"}, {"c": 0.1, "p": "2"}, {"data": "a b<c>.npz"}, {"seed": 3}):
        name = experiments.derived_name("digits-ours", changes)
        assert re.fullmatch(r"[\w%.,=-]+", name)
        assert experiments.recipe_settings("quick", name).items() >= changes.items()


@pytest.mark.parametrize("name", ["../x", "a/b", "a--b", "", ".x", "x" * 61, "<b>", "a b", 3])
@pytest.mark.parametrize("what", ["artifact", "model"])
def test_a_name_of_experiments_is_one_of_a_file(tmp_path, monkeypatch, name, what):
    entry = "{notebook: n, place: p, title: t}"
    text = {"artifact": f"recipes: {{}}\nartifacts: {{{name!r}: {entry}}}\n",
            "model": f"recipes: {{quick: {{{name!r}: {{}}}}}}\nartifacts: {{}}\n"}[what]  # fmt: skip
    (tmp_path / "experiments.yml").write_text(text)
    monkeypatch.setattr(experiments.settings, "ROOT", tmp_path)
    with pytest.raises(ExperimentError, match=rf"^{what} name {re.escape(repr(name))} is not allowed; use"):
        experiments.load()
