"""The fault suite: ``make faults``. Every trial breaks something of a real run, lets the next run find it, and says what
came of it; the counts go to a record that the book shows."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project
from test_zoo import House

from faults.ledger import RIGHT, Ledger
from paperlib import data


def pytest_addoption(parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="of the moments and places of the faults")
    parser.addoption("--record", default="", help="file that the counts are written to")


def pytest_configure(config) -> None:
    # the workers of one run tell it what they found; it alone adds up
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counting(config), "faults")


class Counting:
    """Adds up what the tests say, and writes it down in the end."""

    def __init__(self, config):
        self.config, self.ledger = config, Ledger()

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" or report.failed:
            self.ledger.note(report.user_properties if report.when == "call" else [], report.failed)

    def pytest_sessionfinish(self) -> None:
        if self.config.getoption("--record") and self.ledger.counts:
            self.ledger.write(Path(self.config.getoption("--record")), self.config.getoption("--seed"))

    def pytest_terminal_summary(self, terminalreporter) -> None:
        terminalreporter.write_line(self.ledger.table())


@pytest.fixture
def chance(request) -> random.Random:
    """Chance of this test's own: of the suite's seed and the test's name."""
    return random.Random(f"{request.config.getoption('--seed')} {request.node.nodeid}")


@pytest.fixture
def tell(request) -> Callable:
    """``tell(kind, outcome, times=1, because="")``: what came of so many faults of a kind; the test fails if it is wrong."""

    def told(kind: str, outcome: str, times: int = 1, because: str = "") -> None:
        request.node.user_properties.append(("fault", [kind, outcome, times]))
        assert outcome in RIGHT, f"{kind}: {outcome}; {because}"

    return told


class Toy:
    """The tiny project before any run and after a whole one, what that made, and how many seconds it took."""

    def __init__(self, root: Path, **options):
        self.bare = Project(root / "bare", **options)
        # long enough for a kernel to be met
        self.bare.edit("notebooks/draw.ipynb", "pause = 0.0", "pause = 0.5")
        self.whole = self.bare.copied(root / "whole")
        began = time.monotonic()
        self.whole.make()
        self.seconds = time.monotonic() - began
        self.products = self.whole.products()


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """The tiny project; not to be changed."""
    return Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def begun(toy, tmp_path) -> Project:
    """A copy of the tiny project before any run."""
    return toy.bare.copied(tmp_path / "a project")


@pytest.fixture
def done(toy, tmp_path) -> Project:
    """A copy of the tiny project after a whole run."""
    return toy.whole.copied(tmp_path / "a copy")


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    """A real network and its training."""
    data.load.cache_clear()
    yield House(tmp_path, monkeypatch)
    data.load.cache_clear()
