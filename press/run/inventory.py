"""Lists of files with their hashes: what a step has made, and what of it is lost or damaged since."""

from collections.abc import Iterable
from pathlib import Path

from paperlib.files import file_hash


def hashes(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The sha256 of each file that is there, by its path in ``folder``."""
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(paths) if path.is_file()}


def faults(folder: Path, listed: dict[str, str]) -> dict[str, str]:
    """``lost`` or ``damaged`` by path, for each file that no longer is what the list says."""
    states = {name: _state(folder / name, sha256) for name, sha256 in listed.items()}
    return {name: state for name, state in states.items() if state}


def _state(path: Path, sha256: str) -> str:
    if not path.is_file():
        return "lost"
    return "" if file_hash(path) == sha256 else "damaged"
