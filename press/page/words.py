"""The words of a figure's page: ``book/figures/<key>.md`` in the chapters' own Jinja, filled from the figure's record.

A template may use ``number("a/b")``, a number of the record with its interval; ``lies("a/b", 1)``, how that interval lies
to 1 in words; the record's facts by name (its parameters, and what ``facts`` of ``paperlib.drawings.<kind>`` adds); and
whatever a chapter may use. A paragraph that names a number which the record lacks is left out. ``shared.md`` holds what
several pages say, as macros.
"""

import importlib
import re
from dataclasses import dataclass

from paperlib.names import data
from paperlib.numbers import formatted, leaf_at
from paperlib.numbers import lies as relation
from paperlib.record import Record
from press.page import template
from press.plan import experiments

LACKING = "\0"


@dataclass(frozen=True)
class Words:
    """A page's words: before the first picture, after the notebook's first section, and at its end."""

    question: str
    reading: str
    rest: str

    @property
    def shows(self) -> str:
        """What stands below the heading of that name."""
        found = re.search(r"(?s)\A## What it shows\n(.*?)(?=\n## |\Z)", self.rest)
        return found[1].strip() if found else ""


def words(key: str, kind: str, record: Record, names: dict[str, object]) -> Words:
    """The words of the page ``key``, whose notebook is ``kind``; ``names`` are those of the chapters."""
    path = experiments.words_path(key)
    text = filled(path.read_text(encoding="utf-8"), record, names | facts(kind, record), f"book/figures/{path.name}")
    before, heading, after = re.match(r"(?s)(.*?)(?:^(## .*))?\Z", text, re.MULTILINE).group(1, 2, 2)
    question, _, reading = before.strip().partition("\n\n")
    return Words(question, reading.strip(), after.strip() if heading else "")


def facts(kind: str, record: Record) -> dict[str, object]:
    """The record's parameters, and what the kind's drawings know besides."""
    module = importlib.import_module(f"paperlib.drawings.{kind}")
    common = {"data": data(record.data["name"]).label, "n": record.data.get("n"), "sizes": "", "unit": record.unit}
    return common | record.parameters | getattr(module, "facts", lambda record: {})(record)


def filled(text: str, record: Record, names: dict[str, object], where: str) -> str:
    """``text`` without the paragraphs that name a number which the record lacks; BookError says ``where`` names fail."""

    def number(path: str) -> str:
        leaf = leaf_at(record.values, path.split("/"))
        return LACKING if leaf is None or leaf == {} else formatted(leaf)

    def lies(path: str, reference: float) -> str:
        leaf = leaf_at(record.values, path.split("/"))
        return LACKING if leaf is None else relation(leaf, reference)

    whole = template.filled(text, names | {"number": number, "lies": lies}, where)
    paragraphs = re.split(r"\n\s*\n", whole.strip())
    return "\n\n".join(paragraph for paragraph in paragraphs if LACKING not in paragraph)
