"""Two runs of one profile, record by record: which numbers have changed, as a summary in Markdown."""

from pathlib import Path

from paperlib import sealed
from paperlib.numbers import formatted
from paperlib.refusal import reject
from press.page import changes
from press.page.cells import table

HEAD = ["Figure", "Quantity", "Before", "Now", "Change"]
ROWS = 60  # that a summary shows


def report(before: Path, now: Path) -> str:
    """What differs between the records in two folders: numbers beyond their intervals in a table, all others counted.

    Raises InputError for a folder without records.
    """
    old, new = records(before), records(now)
    beyond, moved, same = [], 0, 0
    for key in [key for key in new if key in old]:
        for path, leaf, (former,) in changes.rows(new[key], old[key]):
            difference = changes.change(leaf, former)
            same += difference == changes.SAME
            if changes.is_told(difference) or (leaf is None) != (former is None) or _other_word(leaf, former):
                beyond.append([key, " › ".join(path), _told(former), _told(leaf), changes.words(difference)])
            elif difference != changes.SAME:
                moved += 1
    lines = [f"{same} numbers are the same, {moved} have changed within their intervals or have none, "
             f"{len(beyond)} beyond them."]  # fmt: skip
    lines += [f"Only before: {', '.join(gone)}." for gone in [[key for key in old if key not in new]] if gone]
    lines += [f"Only now: {', '.join(come)}." for come in [[key for key in new if key not in old]] if come]
    lines += [table(HEAD, beyond[:ROWS])] if beyond else []
    lines += [f"and {len(beyond) - ROWS} more"] if len(beyond) > ROWS else []
    return "\n\n".join(lines)


def records(folder: Path) -> dict[str, dict]:
    """The values of every record in a folder by artifact. InputError where there is none; DamagedError, naming the file, for
    a damaged one."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    reject(not paths, f"{folder} holds no record; allowed is a folder such as build/quick/results")
    return {path.stem: sealed.read_json(path)["values"] for path in paths}


def _other_word(leaf: object, former: object) -> bool:
    return isinstance(leaf, str) and isinstance(former, str) and leaf != former


def _told(leaf: object) -> str:
    return "–" if leaf is None else formatted(leaf)
