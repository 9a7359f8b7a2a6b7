"""Faults that are done to files, and how it is judged what became of a run."""

import random
import re
from collections.abc import Callable
from pathlib import Path

from conftest import Project
from test_heals import empty, flip, halve

Heard = tuple[int, str]


def flip_anywhere(chance: random.Random) -> Callable[[Path], None]:
    """Changes one bit somewhere."""

    def done(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)

    return done


def cut_anywhere(chance: random.Random) -> Callable[[Path], None]:
    """Cuts a file somewhere."""

    def done(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: chance.randrange(len(content)) if content else 0])

    return done


# what may happen to a file; one that is replaced needs another in its place, which each trial names
DAMAGES: dict[str, Callable[[random.Random], Callable[[Path], None]]] = {
    "a flipped bit": flip_anywhere,
    "a bit flipped in the middle": lambda chance: flip,
    "a file cut": cut_anywhere,
    "a file cut in half": lambda chance: halve,
    "a file emptied": lambda chance: empty,
    "a file lost": lambda chance: Path.unlink,
}


def replaced(other: Path) -> Callable[[Path], None]:
    """Puts another file of the same kind, whole and sealed, in a file's place."""
    content = other.read_bytes()
    return lambda path: path.write_bytes(content)


def sentence(heard: Heard) -> bool:
    """Whether a run that failed said why, in a sentence of its own and without a traceback."""
    status, said = heard
    return status == 0 or bool(re.search(r"(?m)^paperlib: \S", said))


def outcome(project: Project, expected: dict[str, str], *heard: Heard) -> tuple[str, str]:
    """What became of a project whose runs said ``heard``, and why: ``expected`` is what a whole run makes."""
    for status, said in heard:
        if "Traceback" in said or not sentence((status, said)):
            return "tracebacks", said[-2000:]
    products = project.products()
    missing = sorted(expected.keys() - products.keys())
    if missing:
        return "lost", f"{', '.join(missing)} is not there; {heard[-1][1][-500:]}"
    differing = sorted(name for name, content in expected.items() if products[name] != content)
    return ("wrong", f"other than in a whole run: {', '.join(differing)}") if differing else ("healed", "")


def strangers(folder: Path) -> list[str]:
    """What writes that were cut off have left beside finished files."""
    return sorted(str(path) for path in folder.rglob("*.partial"))
