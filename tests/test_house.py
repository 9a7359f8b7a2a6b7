"""The plan of the house: which room may look into which."""

import subprocess
import sys
from graphlib import TopologicalSorter

import house
import pytest

PACKAGES = {
    "paperlib.drawings", "paperlib.measures", "paperlib.reporting", "press.plan", "press.run", "press.page",
    "press.bench",
}  # fmt: skip
LINES = 350
PRESS = ("yaml", "papermill", "nbformat", "snakemake", "jupyter_book", "IPython", "plotly", "sklearn", "jinja2")

WITHOUT = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {names}:
    importlib.import_module(name)
"""


def within(*folders: str) -> list[str]:
    return [name for name in house.modules() if name.rpartition(".")[0] in folders]


def used_by(name: str) -> set[str]:
    path = house.modules()[name]
    return house.imports(path) | house.imports(path, late=True)


def test_no_module_imports_in_a_circle():
    tops = {name: house.imports(path) - PACKAGES for name, path in house.modules().items()}
    # raises CycleError, which names the circle
    order = list(TopologicalSorter(tops).static_order())
    assert set(order) == set(tops)


@pytest.mark.parametrize(("room", "forbidden"), [
    ("paperlib", ("press", "paperlib.reporting", "paperlib.measures", "paperlib.drawings")),
    ("paperlib.measures", ("press", "paperlib.drawings")), ("paperlib.drawings", ("press", "paperlib.measures")),
    ("paperlib.reporting", ("press",)), ("press.plan", ("press.run", "press.page")), ("press.run", ("press.page",)),
    ("press.page", ("paperlib.measures", "press.bench")), ("press.bench", ("press.page",)),
])  # fmt: skip
def test_no_room_looks_up(room, forbidden):
    # the package's own face may offer what lies deeper
    for name in set(within(room)) - {"paperlib"}:
        assert not [other for other in used_by(name) if other.startswith(forbidden)], name


def test_no_module_is_long():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in house.modules().items()}
    assert {name: n for name, n in lines.items() if n > LINES} == {}


@pytest.mark.parametrize(("folders", "absent"), [
    # a record is drawn where torch is not installed
    (("paperlib.drawings",), ("torch", "torchvision", *PRESS)),
    # the science needs nothing of the book, and no pictures
    (("paperlib", "paperlib.measures"), ("matplotlib", *PRESS)),
])  # fmt: skip
def test_a_room_loads_without_what_it_does_not_need(folders, absent):
    program = WITHOUT.format(absent=set(absent), names=within(*folders))
    done = subprocess.run([sys.executable, "-c", program], cwd=house.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
