"""The library alone, as ``pip install .`` gives it: a network is judged without the packages of the book, in any folder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from toys import write_archive

HERE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
# refuses what a plain installation lacks, with the error of a package that is not there
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from paperlib.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
ABSENT = ("yaml", "papermill", "snakemake", "nbformat", "nbval", "jupyter_book", "plotly", "sklearn", "jinja2", "IPython",
          "ipykernel", "pytest", "hypothesis", "beartype", "selenium")  # fmt: skip
NETWORK = """
from torch import nn, manual_seed
def network():
    manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
"""


def packages(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_-]+", each)[0].lower() for each in requirements}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as pip copies it, without its dependencies, which are those of the tests."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(folder), str(HERE)]
    # the build's own leavings must not lie in the repository
    source = tmp_path_factory.mktemp("source") / "tree"
    subprocess.run(["cp", "-r", str(HERE / "paperlib"), str(source)], check=False)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        pytest.skip(f"pip cannot build here: {done.stderr.splitlines()[-1:]}")
    return folder
