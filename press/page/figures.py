"""A figure's page: its words, what its notebook shows, the published edition's pictures, its numbers and its provenance."""

import json
import re
import shutil
from itertools import takewhile
from pathlib import Path

from paperlib import names
from paperlib import record as records
from press.page import answers, drawn, findings, turning, vocabulary
from press.page.cells import OWN, appended_cells, as_csv, code_cell, table
from press.page.pictures import Pictures
from press.page.template import filled
from press.page.values import Numbers, record_of
from press.page.words import Words, words
from press.plan import experiments, settings
from press.plan.experiments import Artifact, build_dir


def stage_figure(spec: Artifact, numbers: Numbers, folder: Path) -> None:
    """The figure's page as Markdown, its pictures, and the files that it offers for download.

    The published edition's pictures stand below those of another profile; what that profile lacks is the edition's alone.
    """
    borrowed, place = numbers.alone or spec.profile != numbers.profile, build_dir(spec.profile)
    results = (numbers.folder if borrowed else place) / "results"
    executed = record_of(drawn.path_of(spec.key) if borrowed else place / "notebooks" / f"{spec.key}.ipynb")
    notebook = titled(executed, f"{spec.place}: {spec.title}")
    record = record_of(results / f"{spec.key}.json")
    offer(spec.key, folder / "downloads", notebook, results, record)
    said = said_of(spec, results, numbers)
    cells = page_cells(notebook["cells"])
    seen = shown(cells, Pictures(folder / "pictures", spec.key))
    parts = worded(turning.behind(seen, spec, results), said)
    parts[1:1] = [said.question, said.answer, glance(spec.key, numbers), noted(spec.notebook, numbers)]
    if experiments.column(spec.profile) != "paper":
        parts += published_parts(spec, numbers, folder / "pictures")
    parts += [*appended_cells(spec, numbers, record), code_cell(cells)]
    (folder / f"{spec.key}.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def offer(key: str, folder: Path, notebook: dict, results: Path, record: dict) -> None:
    """A figure's notebook, record and numbers as files to download."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / f"{key}.ipynb", notebook)
    shutil.copy(results / f"{key}.json", folder)
    (folder / f"{key}.csv").write_text(as_csv(record["values"]), encoding="utf-8")


def said_of(spec: Artifact, results: Path, numbers: Numbers) -> Words:
    """The words of a page, from the record in the folder ``results``; none where the repository has no words at all."""
    if not experiments.words_path(spec.key).is_file():
        return Words("", "", "")
    record = records.read(results / f"{spec.key}.json", stated=experiments.stated(spec.key))
    edition = "published" if results.parent == numbers.folder else "run"
    return words(spec.key, spec.notebook, record, vocabulary.names(numbers), edition=edition)


def glance(key: str, numbers: Numbers) -> str:
    """The claims that a figure decides or has a part in, with verdicts and links to their rules; empty without any."""
    known = vocabulary.names(numbers)
    claims = [claim for claim in (*known["claims"], *known["own"]) if key in _artifacts(claim)]
    editions = {"published": "Published edition"} | ({} if numbers.alone else {"run": OWN})
    rows = [
        [f"[{claim['claim']}](claim-{claim['id']})"]
        + [answers.badge(answers.verdict_of(claim, edition=edition)) for edition in editions]
        for claim in claims
    ]
    return table(["What it decides", *editions.values()], rows) if rows else ""


def _artifacts(claim: dict) -> set[str]:
    """The artifacts whose numbers a claim shows."""
    return {claim["artifact"], *(path.partition(":")[0] for path in claim["show"] if ":" in path)}


def shown(cells: list[dict], pictures: Pictures) -> list[str]:
    """What each cell of a notebook has for readers, as Markdown: its words or its outputs, without code."""
    return [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else pictures.markdown(cell)
        for cell in cells
    ]  # fmt: skip


def worded(parts: list[str], said: Words) -> list[str]:
    """A page's parts with its words: the reading below the first section, the rest last."""
    first = [*parts[:1], *takewhile(lambda part: not part.startswith("#"), parts[1:])]
    found = [*first, said.reading, *parts[len(first) :], said.rest]
    return [part for part in found if part]


def page_cells(cells: list[dict]) -> list[dict]:
    """A notebook's cells without the summary for tests."""
    return [cell for cell in cells if "nbval-check-output" not in cell["metadata"].get("tags", [])]


def published_parts(spec: Artifact, numbers: Numbers, folder: Path) -> list[str]:
    """The published edition's answer, pictures, tables and findings; empty if it has none of this figure."""
    results = numbers.folder / "results"
    if not (results / f"{spec.key}.json").is_file():
        return []
    name = record_of(results / f"{spec.key}.json").get("data", {}).get("name", "")
    images = findings.test_images(numbers.folder).get(name)
    text = f"## On {names.data(name).label}: the published edition\n\nMade as [its page](../edition.md) says"
    said = said_of(spec, results, numbers)
    pictures = Pictures(folder, f"{spec.key}-published")
    cells = [cell for cell in page_cells(record_of(drawn.path_of(spec.key))["cells"]) if cell["cell_type"] == "code"]
    seen = turning.behind(shown(cells, pictures), spec, results)
    return [text + (f", with {images} at hand." if images else "."), said.answer, *seen, said.shows]


def noted(notebook: str, numbers: Numbers) -> str:
    """The note of ``book/notes.yml`` on the pages of a notebook; empty where there is none."""
    path = settings.ROOT / "book" / "notes.yml"
    text = settings.read_mapping(path).get(notebook) if path.is_file() else None
    if text is None:
        return ""
    # links as seen from the folder of the figures
    return filled(text, vocabulary.names(numbers), f"book/{path.name}").replace("](figures/", "](").strip()


def titled(notebook: dict, title: str) -> dict:
    """The notebook with the figure's own title in place of its template's."""
    first = notebook["cells"][0]
    first["source"] = re.sub(r"\A# .*", lambda _: f"# {title}", "".join(first["source"]))
    return notebook


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
