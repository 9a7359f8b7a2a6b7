"""The words of a figure's page: ``book/figures/<key>.md`` in the chapters' own Jinja, filled from the figure's record.

A template may use ``number("a/b")``, a number of the record with its interval; ``lies("a/b", 1)``, how that interval lies
to 1 in words; ``versus("a/b", "c/d")`` and ``above("a/b", "c/d")``, how two intervals lie to each other;
``dots("title", {"a/b": "words"}, at=1)``, numbers as a picture, with the paper's beside them where the images are the
paper's; the record's facts by name (its parameters, and what ``facts`` of ``paperlib.drawings.<kind>`` adds); and whatever a
chapter may use. A paragraph that names a number which the record lacks is left out. ``shared.md`` holds what several pages
say, as macros.
"""

import importlib
import re
from dataclasses import dataclass

from paperlib.names import data
from paperlib.numbers import formatted, is_interval, leaf_at
from paperlib.numbers import lies as relation
from paperlib.record import Record
from press.page import answers, dots, template
from press.plan import experiments

LACKING = "\0"
# a page's second paragraph begins so where it has an answer, and the first that says how to read the pictures so
ANSWER, READING = "**Answer.**", "**How to read it.**"


# how a number lies to another, by the sign of their difference where their intervals do not meet
WORDS = {1: "more than", -1: "less than", 0: "as much, within the intervals, as"}


@dataclass(frozen=True)
class Words:
    """A page's words: question and answer before the first picture, the reading after the notebook's first section, and the
    rest at its end."""

    question: str
    reading: str
    rest: str
    answer: str = ""

    @property
    def shows(self) -> str:
        """What stands below the heading of that name."""
        found = re.search(r"(?s)\A## What it shows\n(.*?)(?=\n## |\Z)", self.rest)
        return found[1].strip() if found else ""


def words(key: str, kind: str, record: Record, names: dict[str, object], *, edition: str = "published") -> Words:
    """The words of the page ``key``, whose notebook is ``kind``; ``names`` are those of the chapters.

    The record is of the ``published`` edition or of this ``run``, and so are the verdicts that the words name.
    """
    own = answers.helpers([*names.get("claims", []), *names.get("own", [])], edition=edition)
    path = experiments.words_path(key)
    known = names | own | facts(kind, record) | {"edition": edition}
    text = filled(path.read_text(encoding="utf-8"), record, known, f"book/figures/{path.name}")
    before, heading, after = re.match(r"(?s)(.*?)(?:^(## .*))?\Z", text, re.MULTILINE).group(1, 2, 2)
    question, *opening = before.strip().split("\n\n")
    begins = next((k for k, part in enumerate(opening) if part.startswith(READING)), len(opening))
    begins = begins if opening and opening[0].startswith(ANSWER) else 0
    answer, reading = ("\n\n".join(part.strip() for part in parts) for parts in (opening[:begins], opening[begins:]))
    return Words(question, reading, after.strip() if heading else "", answer)


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

    def above(path: str, other: str) -> bool:
        return _order(record, path, other) > 0

    def versus(path: str, other: str) -> str:
        return WORDS[_order(record, path, other)]

    def picture(title: str, lines: dict[str, str], at: float | None = None) -> str:
        return dotted(record, title, lines, at, edition=names.get("edition", "published")) or LACKING

    # links as seen from the folder of the figures
    own = {"number": number, "lies": lies, "dots": picture, "above": above, "versus": versus}
    whole = template.filled(text, names | own, where).replace("](figures/", "](")
    paragraphs = re.split(r"\n\s*\n", whole.strip())
    return "\n\n".join(paragraph for paragraph in paragraphs if LACKING not in paragraph)


def _order(record: Record, path: str, other: str) -> int:
    """1 where the interval at ``path`` lies above that at ``other``, -1 below, 0 where they meet or one is missing."""
    one, two = (leaf_at(record.values, each.split("/")) for each in (path, other))
    if not (is_interval(one) and is_interval(two)):
        return 0
    return (one["low"] > two["high"]) - (one["high"] < two["low"])


def dotted(record: Record, title: str, lines: dict[str, str], at: float | None = None, *, edition: str) -> str:
    """Numbers of a record by their paths as a picture, each with its words; empty where the record has none of them."""
    stated = record.stated if data(record.data.get("name", "")).official else {}
    found = {path: leaf_at(record.values, path.split("/")) for path in lines}
    return dots.picture([
        dots.Line(lines[path], {"paper": leaf_at(stated, path.split("/")), edition: leaf})
        for path, leaf in found.items() if leaf is not None
    ], title=title, at=at)  # fmt: skip
