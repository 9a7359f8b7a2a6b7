"""Staging and building the book: numbers come from files, a warning is an error, and a bad build replaces nothing."""

import json
import re

import pytest

from press.page import book
from press.plan import experiments

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
    assert book.formatted(leaf) == text


def test_a_group_is_no_number():
    with pytest.raises(ValueError, match="asked for as one; it has the keys clean, fgsm"):
        book.formatted({"clean": 1, "fgsm": 2})


def test_keys_are_text_and_a_position_may_stand_for_a_key():
    values = {"table1": book._text_keys({"ours": {"bim": {0.05: 1.0, 0.1: 2.0}}})}
    assert book.leaf_at({"9": 1, "10": 2}, ["@1"]) == 2
    assert book._found(values, "table1", ("ours", "bim", 0.1), "absent") == "2"
    assert book._found(values, "table1", ("ours", "bim", "@0"), "absent") == "1"
    assert book._found(values, "table1", ("ours", "bim", "@2"), "absent") == "absent"
    assert book._found(values, "table1", ("ours", "cw", "@0"), "absent") == "absent"


def test_csv_has_a_line_for_each_number_and_interval():
    lines = book.as_csv({"a": {"clean": INTERVAL, "eps": [1, 2]}, "b": 2}).splitlines()
    assert lines == ["quantity,value,low,high,n", "a.clean,98.4,97.91,98.8,450", "b,2,,,"]


def test_the_last_column_goes_from_the_tables_that_have_it_under_that_heading():
    text = "a | b\n\n| x | This run |\n| --- | ---: |\n| 1 \\| 2 | 3 \\| 4 |\n\n| This run | y |\n| --- | --- |\n| 1 | 2 |\n"
    assert book.without_column(text, "This run") == (
        "a | b\n\n| x |\n| --- |\n| 1 \\| 2 |\n\n| This run | y |\n| --- | --- |\n| 1 | 2 |\n"
    )


def test_parameter_comments_are_the_ones_behind_an_assignment():
    source = "# above\nimage = 0  # which image\neps = [1,\n  2]  # sizes\nplain = 1\n"
    assert book.parameter_comments(source) == {"image": "which image", "eps": "sizes"}


def test_the_table_of_contents_loses_missing_figures_and_what_is_left_empty(tmp_path):
    (tmp_path / "in.yml").write_text(
        "root: intro\nparts:\n- caption: A\n  chapters:\n  - file: one\n    sections:\n    - file: figures/fig01\n"
        "- caption: B\n  chapters:\n  - file: figures/fig02\n"
    )
    book.write_toc(tmp_path / "in.yml", [], tmp_path / "out.yml")
    assert (tmp_path / "out.yml").read_text() == "root: intro\nparts:\n- caption: A\n  chapters:\n  - file: one\n"


def test_the_pages_show_numbers_command_and_provenance(book_project):
    published = book_project.root / "book" / "published" / "results"
    published.mkdir(parents=True)
    (published / "fig01.json").write_text(json.dumps({"values": {"natural": {"clean": INTERVAL | {"mean": 99.0}}}}))
    book_project.make()
    html = book_project.build / "html"
    intro = (html / "intro.html").read_text()
    assert "98.4 % [97.9, 98.8], 99.1, 99.0 % [97.9, 98.8]" in intro
    assert 'href="figures/fig01.html"' in intro
    page = re.sub("<[^>]*>", "", (html / "figures" / "fig01.html").read_text())
    for text in (
        "Published edition",
        "natural › attacked",
        "Other numbers of this run",
        "which test image",
        "abababababab",
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
    outputs = {kind: {"output_type": "display_data", "data": {kind: "x"}, "metadata": {}} for kind in
               ("image/png", "text/html", "text/markdown")}  # fmt: skip
    cells = [
        code("table()", outputs=(outputs["text/html"],)), code("words()", outputs=(outputs["text/markdown"],)),
        {"cell_type": "markdown", "metadata": {}, "source": ["## What it shows"]},
        code("shows()", outputs=(outputs["text/markdown"],)), code("figure()", outputs=(outputs["image/png"],)),
        code("print()", outputs=({"output_type": "stream", "text": "3"},)),
    ]  # fmt: skip
    folder = tmp_path / "book" / "published"
    files = {"notebooks/fig0{}.ipynb": {"cells": cells}, "results/fig0{}.json": {"data": {"name": "mnist"}}}
    for kind, content in files.items():
        (folder / kind).parent.mkdir(parents=True)
        for number in (1, 2):
            (folder / kind.format(number)).write_text(json.dumps(content))
    entries = {"fig01": {"quick": {}, "paper": {}}, "fig02": {"paper": {}}, "fig03": {"paper": {}}, "fig04": {"quick": {}}}
    monkeypatch.setattr(experiments, "ROOT", tmp_path)
    monkeypatch.setattr(experiments, "load", lambda: {"recipes": {"quick": {}, "paper": {}}, "artifacts": entries})
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    return folder


def test_the_editions_pictures_tables_and_findings_stand_on_a_page_without_code(edition):
    cells = book.published_cells("fig01", edition)
    assert cells[0]["source"].startswith("## On MNIST: the published edition")
    assert [list(cell["outputs"][0]["data"])[0] for cell in cells[1:]] == ["text/html", "text/markdown", "image/png"]
    assert all(cell["metadata"]["tags"] == ["remove-input"] for cell in cells[1:])
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert book.published_cells("fig03", edition) == []


def test_what_a_profile_lacks_has_the_editions_page_and_what_it_has_not_executed_has_none(edition, tmp_path):
    assert book.pages("quick") == ["fig02"]
    made = tmp_path / "build" / "quick" / "notebooks" / "fig04.ipynb"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    assert book.pages("quick") == ["fig02", "fig04"] and book.pages("paper") == []


def test_a_page_joins_code_up_to_the_next_output_and_leaves_out_the_summary_for_tests():
    text = {"cell_type": "markdown", "metadata": {}, "source": "# Title"}
    cells = [text, code("a = 1", "parameters"), code("b = 2"), code("a + b", outputs=({"text": "3"},)), code("c = 3")]
    page = book.page_cells([*cells, code("print(c)", "nbval-check-output", outputs=({"text": "3"},))])
    assert [cell["source"] for cell in page] == ["# Title", "a = 1\n\nb = 2\n\na + b"]
