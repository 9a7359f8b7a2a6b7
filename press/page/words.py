"""The words of a figure's page: ``book/figures/<key>.md`` in the chapters' own Jinja, filled from the figure's record.

A template may use ``number("a/b")``, a number of the record with its interval; ``lies("a/b", 1)``, how that interval lies
to 1 in words; the record's facts by name (its parameters, and what ``facts`` of ``paperlib.drawings.<kind>`` adds); and whatever
a chapter may use. A paragraph that names a number which the record lacks is left out. ``shared.md`` holds what several pages
say, as macros.
"""

import importlib
import re
from dataclasses import dataclass

import jinja2

from paperlib.numbers import formatted, leaf_at
from paperlib.numbers import lies as relation
from paperlib.record import Record
from paperlib.refusal import Refusal
from press.plan import experiments

LACKING = "\0"


class WordsError(Refusal):
    """Words that name something unknown; one sentence with the file."""


@dataclass(frozen=True)
class Words:
    """A page's words: before the first picture, after the notebook's first section, and at its end."""

    question: str
    reading: str
    rest: str


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
    common = {"data": record.data_name, "n": record.data.get("n"), "sizes": "", "unit": record.unit}
    return common | record.parameters | getattr(module, "facts", lambda record: {})(record)


def filled(text: str, record: Record, names: dict[str, object], where: str) -> str:
    """``text`` without the paragraphs that name a number which the record lacks; WordsError says ``where`` a name is unknown.
    """

    def number(path: str) -> str:
        leaf = leaf_at(record.values, path.split("/"))
        return LACKING if leaf is None or leaf == {} else formatted(leaf)

    def lies(path: str, reference: float) -> str:
        leaf = leaf_at(record.values, path.split("/"))
        return LACKING if leaf is None else relation(leaf, reference)

    loader = jinja2.FileSystemLoader(experiments.ROOT / "book" / "figures")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, loader=loader, keep_trailing_newline=True)
    environment.globals |= names | {"number": number, "lies": lies}
    try:
        whole = environment.from_string(text).render()
    except jinja2.TemplateSyntaxError as error:
        raise WordsError(f"{where}, line {error.lineno}: {error.message}") from error
    except (jinja2.UndefinedError, jinja2.TemplateNotFound, Refusal) as error:
        raise WordsError(f"{where}: {error}") from error
    paragraphs = re.split(r"\n\s*\n", whole.strip())
    return "\n\n".join(paragraph for paragraph in paragraphs if LACKING not in paragraph)
