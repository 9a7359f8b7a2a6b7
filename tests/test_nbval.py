"""Notebooks under pytest alone, as a reader or a CI runs them."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import DRAW, HERE, notebook

BROKEN = [*DRAW[:2], ("code", [], "reach = 0"), ("code", [], "1 / reach"), *(("code", [], f"a{k} = {k}") for k in range(6))]
PYTEST = "[tool.pytest.ini_options]\npythonpath = ['.']\naddopts = '-ra'\n"


@pytest.fixture
def nbval():
    """A function that runs ``pytest --nbval-lax`` on a notebook without PYTHONPATH; returns status and output."""

    def run(root, name: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", name]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHONPATH", "PYTEST"))}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_notebook_passes_in_the_installed_environment_alone(nbval):
    status, said = nbval(HERE, "notebooks/curvature.ipynb")
    assert status == 0, said
    assert re.search(r"\d+ passed", said) and "failed" not in said


def test_a_broken_cell_is_one_failure_with_its_cause_first(project, nbval):
    shutil.copy(HERE / "conftest.py", project.root)
    (project.root / "pyproject.toml").write_text(PYTEST)
    (project.root / "notebooks" / "draw.ipynb").write_text(notebook(BROKEN))
    status, said = nbval(project.root, "notebooks/draw.ipynb")
    assert status == 1 and "1 failed, 2 passed, 6 skipped" in said
    lines = said.splitlines()
    (start,) = (k for k, line in enumerate(lines) if "= FAILURES =" in line)
    assert lines[start + 2 : start + 5] == [
        "ZeroDivisionError: division by zero", "in notebooks/draw.ipynb, cell 2:", "    1 / reach",
    ]  # fmt: skip
    assert len(lines) < 40 and "IPKernelApp" not in said


def test_the_documented_line_is_this_one():
    text = (HERE / "book" / "reproduce.md").read_text(encoding="utf-8")
    assert ".venv/bin/python -m pytest --nbval-lax notebooks\n" in text
