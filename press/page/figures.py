"""A figure's page: its words, its executed notebook, the published edition's pictures, its numbers and its provenance."""

import json
import re
import shutil
from itertools import takewhile
from pathlib import Path

from paperlib import names
from paperlib import record as records
from press.page import drawn, findings, vocabulary
from press.page.cells import OWN, appended_cells, as_csv, table
from press.page.template import filled
from press.page.values import Numbers, record_of
from press.page.words import Words, words
from press.plan import experiments, settings
from press.plan.experiments import Artifact, build_dir

# cells that stand above the first picture
ABOVE = ("glance", "note")


def stage_figure(spec: Artifact, numbers: Numbers, folder: Path) -> None:
    """The figure's page as a notebook, and the files that it offers for download.

    The published edition's pictures stand below those of another profile; what that profile lacks is the edition's alone.
    """
    borrowed, place = numbers.alone or spec.profile != numbers.profile, build_dir(spec.profile)
    results = (numbers.folder if borrowed else place) / "results"
    executed = record_of(drawn.path_of(spec.key) if borrowed else place / "notebooks" / f"{spec.key}.ipynb")
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    notebook = titled(executed, f"{spec.place}: {spec.title}")
    _write_json(downloads / f"{spec.key}.ipynb", notebook)
    shutil.copy(results / f"{spec.key}.json", downloads)
    record = record_of(results / f"{spec.key}.json")
    (downloads / f"{spec.key}.csv").write_text(as_csv(record["values"]), encoding="utf-8")
    said = said_of(spec, results, numbers)
    cells = page_cells(notebook["cells"])
    cells = worded([cells[0], *glance(spec.key, numbers), *noted(spec.notebook, numbers), *cells[1:]], said)
    if experiments.column(spec.profile) != "paper":
        cells += published_cells(spec, numbers)
    cells += [_markdown(f"appended-{k}", text) for k, text in enumerate(appended_cells(spec, numbers, record))]
    _write_json(folder / f"{spec.key}.ipynb", notebook | {"cells": cells})


def said_of(spec: Artifact, results: Path, numbers: Numbers) -> Words:
    """The words of a page, from the record in the folder ``results``; none where the repository has no words at all."""
    if not experiments.words_path(spec.key).is_file():
        return Words("", "", "")
    record = records.read(results / f"{spec.key}.json", stated=experiments.stated(spec.key))
    return words(spec.key, spec.notebook, record, vocabulary.names(numbers))


def glance(key: str, numbers: Numbers) -> list[dict]:
    """The claims that a figure decides, with verdicts and links to their rules, as a cell; none where there is none."""
    claims = [claim for claim in vocabulary.names(numbers)["claims"] if claim["artifact"] == key]
    editions = {"published": "Published edition"} | ({} if numbers.alone else {"run": OWN})
    rows = [
        [f"[{claim['claim']}](claim-{claim['id']})"]
        + [vocabulary.badge(claim["verdicts"].get(edition, {}).get("verdict", "not run")) for edition in editions]
        for claim in claims
    ]
    return [_markdown("glance", table(["What it decides", *editions.values()], rows))] if rows else []


def worded(cells: list[dict], said: Words) -> list[dict]:
    """A page's cells with its words: the question below the title, the reading below the first section, the rest last."""
    first = [cells[0], *takewhile(lambda cell: cell["cell_type"] != "markdown" or cell["id"] in ABOVE, cells[1:])]
    parts = [
        first[:1], [_markdown("question", said.question)], first[1:], [_markdown("reading", said.reading)],
        cells[len(first) :], [_markdown("rest", said.rest)],
    ]  # fmt: skip
    return [cell for part in parts for cell in part if cell["cell_type"] != "markdown" or cell["source"]]


def page_cells(cells: list[dict]) -> list[dict]:
    """A notebook's cells as its page has them: code joined up to the next output, and no summary for tests."""
    page, waiting = [], []
    for cell in cells:
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code":
            waiting.append("".join(cell["source"]))
            if not cell["outputs"]:
                continue
            cell = cell | {"source": "\n\n".join(waiting)}
            waiting = []
        page.append(cell)
    return page


def published_cells(spec: Artifact, numbers: Numbers) -> list[dict]:
    """The published edition's pictures, tables and findings, without code; empty if it has none of this figure."""
    results = numbers.folder / "results"
    if not (results / f"{spec.key}.json").is_file():
        return []
    name = record_of(results / f"{spec.key}.json").get("data", {}).get("name", "")
    images = findings.test_images(numbers.folder).get(name)
    text = f"## On {names.data(name).label}: the published edition\n\nMade as [its page](../edition.md) says"
    cells = [_markdown(f"published-{spec.key}", text + (f", with {images} at hand." if images else "."))]
    for number, cell in enumerate(record_of(drawn.path_of(spec.key))["cells"]):
        seen = [each for each in cell.get("outputs", []) if {"image/png", "text/html"} & each.get("data", {}).keys()]
        if seen:
            # a code cell without source would lose its outputs
            tags = {"metadata": {"tags": ["remove-input"]}, "source": "# executed elsewhere"}
            cells.append(cell | {"id": f"published-{spec.key}-{number}", "outputs": seen} | tags)
    shows = said_of(spec, results, numbers).shows
    return [*cells, *([_markdown(f"published-{spec.key}-shows", shows)] if shows else [])]


def noted(notebook: str, numbers: Numbers) -> list[dict]:
    """The note of ``book/notes.yml`` on the pages of a notebook, as a cell; none where there is none."""
    path = settings.ROOT / "book" / "notes.yml"
    text = (settings.read_yaml(path) or {}).get(notebook) if path.is_file() else None
    if text is None:
        return []
    # links as seen from the folder of the figures
    return [_markdown("note", filled(text, vocabulary.names(numbers), f"book/{path.name}").replace("](figures/", "]("))]


def titled(notebook: dict, title: str) -> dict:
    """The notebook with the figure's own title in place of its template's."""
    first = notebook["cells"][0]
    first["source"] = re.sub(r"\A# .*", lambda _: f"# {title}", "".join(first["source"]))
    return notebook


def _markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
