"""The published edition's list of its files and their hashes: whether what lies there still is what was published."""

from collections.abc import Collection
from pathlib import Path

from paperlib import sealed
from paperlib.refusal import Refusal
from press.page.findings import edition_dir
from press.run import inventory

SHOWN = 5


class EditionError(Refusal):
    """An edition that is damaged, would be too large, belongs to another profile or recipe, or has no place to go."""


def path_of() -> Path:
    """Where the list is: ``book/published/MANIFEST.json``."""
    return edition_dir() / "MANIFEST.json"


def write() -> None:
    """Lists every file of the edition as it is now."""
    sealed.write_json(path_of(), {"files": inventory.hashes(edition_dir(), _there())})


def listed() -> dict[str, str]:
    """The hash of every file by its path in the edition. Raises DamagedError for a list that is lost or damaged."""
    return sealed.read_json(path_of(), "files")["files"]


def faults() -> dict[str, str]:
    """What is wrong with the edition's files, by path: ``lost``, ``damaged`` or ``not listed``; empty without an edition."""
    folder, there = edition_dir(), _there()
    if not there and not path_of().exists():
        return {}
    try:
        known = listed()
    except sealed.DamagedError:
        return {path_of().name: "damaged" if path_of().exists() else "lost"}
    strangers = {path.relative_to(folder).as_posix() for path in there} - known.keys()
    return inventory.faults(folder, known) | dict.fromkeys(sorted(strangers), "not listed")


def check(besides: Collection[str] = ()) -> None:
    """Raises EditionError, naming the files, where anything is wrong with files of the edition ``besides`` some."""
    found = [f"{name} ({state})" for name, state in faults().items() if name not in besides]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        listing = f"{', '.join(found[:SHOWN])}{more}"
        raise EditionError(f"book/published is not what was published: {listing}; nothing is drawn from it before these "
                           "files are the repository's again (git checkout book/published)")  # fmt: skip


def _there() -> list[Path]:
    files = (path for path in edition_dir().rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if path != path_of())
