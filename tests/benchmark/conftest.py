"""Attacks of other libraries, which ours are held against. ``make oracles`` puts them into a folder of their own, for one of
them asks for an older package than the lock holds; these tests alone see it, behind everything that is installed."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "build" / "oracles"


@pytest.fixture(scope="module")
def peer():
    """``peer(name)`` is a module of another library; without it, the test is skipped with the command that gets it."""
    sys.path.append(str(FOLDER))
    yield lambda name: pytest.importorskip(name, reason=f"{name} is not there to be held against: make oracles")
    sys.path.remove(str(FOLDER))
