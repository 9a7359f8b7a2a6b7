"""Every name that a chapter or the words of a figure may use."""

from functools import cache, partial

from paperlib.names import ATTACKS, METHODS, labels
from paperlib.numbers import formatted
from press.page import amended, answers, benchmark, claims, findings
from press.page.columns import Columns
from press.page.faults import faults
from press.page.library import library
from press.page.values import Numbers
from press.plan import experiments, settings

NUMBERS = ("value", "published", "paper", "page", "status", "networks", "lacking", "sizes", "searches", "cells",
           "test_images", "seeds", "at_equal_norm")  # fmt: skip


@cache
def names(numbers: Numbers) -> dict[str, object]:
    """Functions and facts by name; ``claims`` are the paper's as this run judges them, ``own`` the questions of the book;
    none where there is no ledger."""
    artifacts = {
        key: {"notebook": entry["notebook"], "paper": entry["place"], "title": experiments.title(numbers.profile, key)}
        for key, entry in experiments.load()["artifacts"].items()
    }
    ledger = claims.judged(numbers) if (settings.ROOT / "book" / "claims.yml").is_file() else []
    columns = Columns(numbers)
    return {name: getattr(numbers, name) for name in NUMBERS} | {
        "benchmark": benchmark.benchmark(),
        "head": columns.head, "line": columns.line, "row": columns.row,
        "agreement": findings.agreement, "badge": answers.badge, "faults": faults, "interval": formatted,
        "library": library,
        "methods": labels(METHODS), "attacks": labels(ATTACKS), "profile": numbers.profile,
        "alone": numbers.alone, "artifacts": artifacts, "claims": claims.papers(ledger), "own": claims.own(ledger),
        "headline": partial(answers.headline, numbers), "compared": partial(answers.compared, numbers),
        "amended": amended.counts(claims.papers(ledger)), "amendments": amended.table(ledger),
    } | answers.helpers(ledger)  # fmt: skip
