"""What came of the faults that were done to runs on purpose: the record that ``make faults`` has written."""

from pathlib import Path

from paperlib import sealed
from press.plan import settings

COUNTS = ("tried", "healed", "refused", "lost", "wrong", "tracebacks")


def path_of() -> Path:
    """Where the record is: ``book/faults.json``."""
    return settings.ROOT / "book" / "faults.json"


def faults() -> dict:
    """The record with the sums of its counts as ``all``; empty without one. Raises DamagedError for one that is damaged."""
    if not path_of().exists():
        return {}
    content = sealed.read_json(path_of(), "rows", "seed", "started", "seconds", "unsaid")
    return content | {"all": {count: sum(row[count] for row in content["rows"]) for count in COUNTS}}
