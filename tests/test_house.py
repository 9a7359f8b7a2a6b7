"""The plan of the house: which room may look into which."""

from graphlib import TopologicalSorter

import house

PACKAGES = {"paperlib.reporting", "press.plan", "press.run", "press.page"}


def test_no_module_imports_in_a_circle():
    tops = {name: house.imports(path) - PACKAGES for name, path in house.modules().items()}
    # raises CycleError, which names the circle
    order = list(TopologicalSorter(tops).static_order())
    assert set(order) == set(tops)


def test_the_science_knows_nothing_of_the_press():
    for name, path in house.modules().items():
        if name.startswith("paperlib"):
            used = house.imports(path) | house.imports(path, late=True)
            assert not [other for other in used if other.startswith("press")], name


def test_the_science_knows_nothing_of_the_report():
    for name, path in house.modules().items():
        if name.startswith("paperlib.") and not name.startswith("paperlib.reporting"):
            assert not [other for other in house.imports(path) if other.startswith("paperlib.reporting")], name
