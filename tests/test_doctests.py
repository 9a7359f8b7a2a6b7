"""The examples in docstrings give what they say."""

import doctest
import importlib

import house
import pytest

TEXTS = {name: path.read_text(encoding="utf-8") for name, path in house.modules().items()}
WITH_EXAMPLES = [name for name, text in TEXTS.items() if ">>> " in text]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name):
    found = doctest.testmod(importlib.import_module(name))
    # none is passed over in silence, such as that of a function behind a decorator
    assert found.attempted == TEXTS[name].count(">>> ") and not found.failed


def test_there_are_examples():
    assert len(WITH_EXAMPLES) > 8
