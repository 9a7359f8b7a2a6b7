"""What came of each fault: the suite's table, and the record that a page of the book shows."""

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from paperlib import sealed
from paperlib.provenance import git_commit, machine

# what a fault may end in; the first two are right
OUTCOMES = ("healed", "refused", "lost", "wrong", "tracebacks")
RIGHT = OUTCOMES[:2]


class Ledger:
    """Counts by kind of fault; tests that ended before they could say what came of their fault are counted as well."""

    def __init__(self):
        self.counts: dict[str, Counter] = {}
        self.tests, self.unsaid, self.began = 0, 0, time.monotonic()

    def note(self, properties: list, failed: bool) -> None:
        """Adds what one test has said."""
        told = [entry for name, entry in properties if name == "fault"]
        self.tests += 1
        self.unsaid += failed and all(outcome in RIGHT for _, outcome, _ in told)
        for kind, outcome, times in told:
            self.counts.setdefault(kind, Counter())[outcome] += times

    def rows(self) -> list[dict]:
        """One row a kind, in the order of their names."""
        return [
            {"kind": kind, "tried": sum(counts.values())} | {outcome: counts[outcome] for outcome in OUTCOMES}
            for kind, counts in sorted(self.counts.items())
        ]

    def write(self, path: Path, seed: int) -> None:
        """The record, sealed."""
        content = {
            "seed": seed, "started": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
            "seconds": round(time.monotonic() - self.began), "git_commit": git_commit(), "tests": self.tests,
            "unsaid": self.unsaid, "rows": self.rows(),
        }  # fmt: skip
        sealed.write_json(path, content)

    def table(self) -> str:
        """The rows as text."""
        heads = ("tried", *OUTCOMES)
        lines = ["".join([f"{'':<52}", *(f"{head:>11}" for head in heads)])]
        rows = self.rows()
        rows.append({"kind": "all"} | {head: sum(row[head] for row in rows) for head in heads})
        lines += ["".join([f"{row['kind']:<52}", *(f"{row[head]:>11}" for head in heads)]) for row in rows]
        return "\n".join(lines)
