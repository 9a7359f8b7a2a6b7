"""Staging and building the book: numbers come from files, a warning is an error, and a bad build replaces nothing."""

import base64
import re
from types import SimpleNamespace

import pytest

from paperlib import names, numbers, sealed
from paperlib import record as records
from paperlib.files import write_atomic
from press.page import cells as page_cells
from press.page import drawn, figures, labels, manifest, pictures, site, values
from press.page.columns import Columns
from press.page.words import Words
from press.plan import experiments, settings, templates
from press.run import inventory

INTERVAL = {"mean": 98.4, "low": 97.91, "high": 98.8, "n": 450}


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        (INTERVAL, "98.4 % [97.9, 98.8]"),
        (INTERVAL | {"unit": "px"}, "98.4 px [97.9, 98.8]"),
        (INTERVAL | {"unit": ""}, "98.4 [97.9, 98.8]"),
        (0.012345, "0.0123"),
        (12345.6, "12346"),
        (450, "450"),
        ("> 10", "> 10"),
        ([1, 2.5], "1, 2.5"),
    ],
)
def test_formatted(leaf, text):
    assert numbers.formatted(leaf) == text


def test_a_group_is_no_number():
    with pytest.raises(ValueError, match="asked for as one; it has the keys clean, fgsm"):
        numbers.formatted({"clean": 1, "fgsm": 2})


def test_keys_are_text_and_a_position_may_stand_for_a_key():
    found = {"table1": settings.text_keys({"ours": {"bim": {0.05: 1.0, 0.1: 2.0}}})}
    assert numbers.leaf_at({"9": 1, "10": 2}, ["@1"]) == 2
    assert values._found(found, "table1", ("ours", "bim", 0.1), "absent") == "2"
    assert values._found(found, "table1", ("ours", "bim", "@0"), "absent") == "1"
    assert values._found(found, "table1", ("ours", "bim", "@2"), "absent") == "absent"
    assert values._found(found, "table1", ("ours", "cw", "@0"), "absent") == "absent"


def test_csv_has_a_line_for_each_number_and_interval():
    lines = page_cells.as_csv({"a": {"clean": INTERVAL, "eps": [1, 2]}, "b": 2}).splitlines()
    assert lines == ["quantity,value,low,high,n", "a.clean,98.4,97.91,98.8,450", "b,2,,,"]


@pytest.mark.parametrize(("alone", "end"), [(False, ["This run |", "--- |", "run a b |", "3 |"]), (True, ["", "", "", ""])])
def test_a_table_s_last_column_is_this_run_s_and_goes_where_there_is_none(alone, end):
    names = {"paper": "paper", "published": "published", "value": "run"}
    said = {name: lambda *keys, word=word: " ".join([word, *keys]) for name, word in names.items()}
    columns = Columns(SimpleNamespace(alone=alone, **said))
    head = columns.head("Quantity", "Paper", "Published edition").split("\n")
    lines = [*head, columns.row("x", "a", "b"), columns.line("y", 1, 2, run=3)]
    begin = ["| Quantity | Paper | Published edition |", "| --- | --- | --- |", "| x | paper a b | published a b |",
             "| y | 1 | 2 |"]  # fmt: skip
    assert lines == [f"{first} {last}".strip() for first, last in zip(begin, end, strict=True)]


def test_parameter_comments_are_the_ones_behind_an_assignment():
    source = "# above\nimage = 0  # which image\neps = [1,\n  2]  # sizes\nplain = 1\n"
    assert templates.parameter_comments(source) == {"image": "which image", "eps": "sizes"}


def test_the_table_of_contents_loses_missing_figures_and_what_is_left_empty(tmp_path):
    (tmp_path / "in.yml").write_text(
        "root: intro\nparts:\n- caption: A\n  chapters:\n  - file: one\n    sections:\n    - file: figures/fig01\n"
        "- caption: B\n  chapters:\n  - file: figures/fig02\n"
    )
    site.write_toc(tmp_path / "in.yml", [], tmp_path / "out.yml", [])
    assert (tmp_path / "out.yml").read_text() == "root: intro\nparts:\n- caption: A\n  chapters:\n  - file: one\n"


def test_the_pages_show_numbers_command_and_provenance(book_project):
    published = book_project.root / "book" / "published" / "results"
    published.mkdir(parents=True)
    record = {
        "artifact": "fig01", "profile": "quick", "parameters": {"image": 7}, "models": {"natural": {"name": "one"}},
        "data": {"name": "toy", "n": 3, "pixel_scale": 1}, "environment": {},
        "values": {"natural": {"clean": INTERVAL | {"mean": 99.0}}, "image": 7},
    }  # fmt: skip
    records.write(published / "fig01.json", record, {"grid": [[0.1], [0.1]]})
    listed = inventory.hashes(published.parent, published.iterdir())
    sealed.write_json(published.parent / "MANIFEST.json", {"files": listed})
    (book_project.root / "book" / "edition.md").write_text("# The edition\n")
    book_project.edit("book/_toc.yml", "    chapters:\n", "    chapters:\n      - file: edition\n")
    book_project.make()
    # the edition was drawn from its record by today's code; nothing was measured for it
    assert "image 7 in red" in (book_project.root / "build" / "edition" / "notebooks" / "fig01.ipynb").read_text()
    assert sorted(book_project.lines("measured.txt")) == ["1 [0.1]", "2 [0.1, 0.2]"]
    html = book_project.build / "html"
    intro = (html / "intro.html").read_text()
    assert "98.4 % [97.9, 98.8], 99.1, 99.0 % [97.9, 98.8]" in intro
    assert 'href="figures/fig01.html"' in intro
    page = re.sub("<[^>]*>", "", (html / "figures" / "fig01.html").read_text())
    for text in (
        "Published edition",
        "Natural, accuracy under attack",
        "Other numbers of this run",
        "which test image",
        "make figure FIG=fig01 P='image=1 eps=[0.1] pause=0.0 fail=false'",
    ):
        assert text in page
    assert "fig99" not in intro
    assert {path.name for path in html.glob("_downloads/*/*")} >= {"fig01.ipynb", "fig01.json", "fig01.csv"}
    before = (html / "intro.html").stat().st_mtime_ns
    (book_project.root / "book" / "intro.md").touch()
    book_project.make()
    assert (html / "intro.html").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[x](nowhere.md)", "the book has 1 warnings, which count as errors: intro.md"),
        ("{{ nothing }}", "book/intro.md: 'nothing' is undefined"),
        ("{{ page('fig77') }}", "book/intro.md: page('fig77'): there is no such artifact"),
        ("{{ value('fig01', 'natural') }}", "book/intro.md: a group of numbers was asked for as one"),
        ("{{ value('fig01', '@0') }}", "book/intro.md: @0 counts numbers in increasing order, but the keys there are"),
        ("x\n\n{% if %}", "book/intro.md, line 5: Expected an expression"),
    ],
)
def test_a_fault_in_a_chapter_is_a_sentence_and_keeps_the_former_pages(built_book, text, sentence):
    project, chapter = built_book
    former = (project.build / "html" / "intro.html").read_text()
    (project.root / "book" / "intro.md").write_text(f"{chapter}\n\n{text}\n")
    status, said = project.run("book")
    assert status == 2
    assert sentence in said
    assert (project.build / "html" / "intro.html").read_text() == former


@pytest.fixture(scope="module")
def built_book(tmp_path_factory):
    """The tiny project with its book built, and the chapter as it was."""
    from conftest import Project

    project = Project(tmp_path_factory.mktemp("built") / "a project", real_book=True)
    project.make()
    return project, "# Toy"


def code(source: str, *tags: str, outputs: tuple = ()) -> dict:
    """A code cell."""
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [source], "outputs": list(outputs)}


@pytest.fixture
def edition(tmp_path, monkeypatch):
    """A repository whose published edition has fig01 and fig02 on MNIST; its quick profile has no fig02."""
    outputs = {kind: output(kind, "<table></table>") for kind in ("text/html", "text/plain")}
    outputs["image/png"] = output("image/png", b"light", metadata={"image/png": {"alt": "What it shows: a line"}})
    outputs["image/png"]["data"] |= output(names.DARK_PICTURE, b"dark")["data"]
    content = [
        code("table()", outputs=(outputs["text/html"],)), code("figure()", outputs=(outputs["image/png"],)),
        code("x", outputs=(outputs["text/plain"],)), code("print()", outputs=({"output_type": "stream", "text": "3"},)),
    ]  # fmt: skip
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    entries = {key: {"notebook": "draw", "place": key, "title": key} for key in ("fig01", "fig02", "fig03", "fig04")}
    for profile, keys in {"quick": ("fig01", "fig04"), "paper": ("fig01", "fig02", "fig03")}.items():
        for key in keys:
            entries[key][profile] = {}
    monkeypatch.setattr(experiments, "load", lambda: {"recipes": {"quick": {}, "paper": {}}, "artifacts": entries})
    write_atomic(tmp_path / "book" / "paper_numbers.yml", "{}")
    for key in ("fig01", "fig02"):
        record = {"artifact": key, "models": {}, "values": {}, "data": {"name": "mnist"}, "profile": "paper"}
        records.write(tmp_path / "book" / "published" / "results" / f"{key}.json", record, {})
        sealed.write_json(drawn.path_of(key), {"cells": content})
    manifest.write()


def test_the_editions_pictures_and_tables_stand_on_a_page_without_code(edition, tmp_path):
    folder = tmp_path / "pictures"
    found = figures.published_parts(experiments.artifact("quick", "fig01"), values.Numbers("quick"), folder)
    assert found[0].startswith("## On MNIST: the published edition")
    text = "\n\n".join(found)
    assert "``````{raw} html\n<table></table>\n``````" in text and "figure()" not in text
    assert ':::{image} pictures/fig01-published-1.png\n:alt: "What it shows: a line"\n:class: picture only-light' in text
    assert (folder / "fig01-published-1.png").read_bytes() == b"light"
    assert (folder / "fig01-published-1-dark.png").read_bytes() == b"dark"
    assert figures.published_parts(experiments.artifact("paper", "fig03"), values.Numbers("paper"), folder) == []


def output(kind: str, content: bytes | str, **more) -> dict:
    text = base64.b64encode(content).decode() if isinstance(content, bytes) else content
    return {"output_type": "display_data", "data": {kind: text}, "metadata": {}, **more}


@pytest.mark.parametrize("alt", ["", "fig01", "A line"])
def test_a_picture_without_words_is_refused(alt, tmp_path):
    cell = code("x", outputs=(output("image/png", b"x", metadata={"image/png": {"alt": alt}}),))
    with pytest.raises(pictures.PictureError, match="^picture 1 of fig01 has the words '"):
        pictures.Pictures(tmp_path, "fig01").markdown(cell)


def test_several_pictures_of_a_cell_stand_in_columns(tmp_path):
    one = output("image/png", b"x", metadata={"image/png": {"alt": "the first of two"}})
    found = pictures.Pictures(tmp_path, "a").markdown(code("x", outputs=(one, one)))
    assert found.startswith("::::{div} pictures\n") and found.endswith("\n::::")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.png", "a-2.png"]
    assert pictures.Pictures(tmp_path, "b").markdown(code("x", outputs=(one,))).startswith("::::{div} scroll\n")
    assert pictures.Pictures(tmp_path, "c").markdown(code("x")) == ""


def test_what_a_profile_lacks_has_the_editions_page_and_what_it_has_not_executed_has_none(edition, tmp_path):
    assert values.Numbers("quick").pages() == ["fig02"]
    write_atomic(tmp_path / "build" / "quick" / "notebooks" / "fig04.ipynb", "{}")
    assert values.Numbers("quick").pages() == ["fig02", "fig04"] and values.Numbers("paper").pages() == []
    assert values.Numbers("paper", alone=True).pages() == ["fig01", "fig02"]


def test_the_words_stand_around_the_pictures():
    said = Words("Why?", "Read so.", "## What it shows\n\nThis.", "**Answer.** So.")
    whole = figures.worded(["# title", "", "picture", "## heading", "second"], said)
    assert whole == ["# title", "picture", "Read so.", "## heading", "second", "## What it shows\n\nThis."]
    assert figures.worded(["# title", "picture"], Words("", "", "")) == ["# title", "picture"]


def test_code_stands_at_the_foot_of_a_page_and_the_summary_for_tests_nowhere(tmp_path):
    text = {"cell_type": "markdown", "metadata": {}, "source": "# Title"}
    cells = [text, code("a = 1", "parameters"), code("a + b", outputs=({"text": "3"},)), code("c = 3")]
    page = figures.page_cells([*cells, code("print(c)", "nbval-check-output", outputs=({"text": "3"},))])
    assert figures.shown(page, pictures.Pictures(tmp_path, "")) == ["# Title", "", "``````text\n3\n``````", ""]
    assert "```python\na = 1\n\na + b\n\nc = 3\n```" in page_cells.code_cell(page)
    assert page_cells.code_cell([text]) == ""


@pytest.mark.parametrize(
    "path", sorted((settings.ROOT / "book" / "published" / "results").glob("*.json")), ids=lambda p: p.stem
)
def test_every_number_of_the_edition_has_words_for_a_name(path):
    record = sealed.read_json(path)
    roles = labels.roles_of(experiments.load()["artifacts"][path.stem]["notebook"], record["parameters"])
    for keys in numbers.leaves(record["values"]):
        words = labels.words_of(keys, roles)
        assert "_" not in words and words[0] == words[0].upper(), words
        parts = {part.lower() for part in words.split(", ")}
        assert not any("_" in key and key in parts for key in keys)
