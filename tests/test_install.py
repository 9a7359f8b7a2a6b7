"""The library alone, as ``pip install .`` gives it: a network is judged without the packages of the book, in any folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from toys import write_archive

from paperlib import oracle

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
from {package}.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
ABSENT = ("yaml", "papermill", "snakemake", "nbformat", "nbval", "jupyter_book", "plotly", "sklearn", "IPython", "ipykernel",
          "pytest", "hypothesis", "beartype", "selenium")  # fmt: skip
NETWORK = """
from torch import nn, manual_seed
def network():
    manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
"""


def test_autoattack_is_the_same_wherever_it_is_named():
    pinned = f"{oracle.PACKAGE}=={oracle.VERSION}"
    assert PROJECT["optional-dependencies"]["oracle"] == [pinned]
    assert pinned in re.search(r"(?m)^ORACLES := (.*)$", (HERE / "Makefile").read_text())[1].split()


def packages(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_-]+", each)[0].lower() for each in requirements}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as pip installs it, without its dependencies, which are those of the tests."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "paperlib", source / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HERE / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", str(target), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of the reader's with nothing but a network and images."""
    (tmp_path / "mine.py").write_text(NETWORK)
    write_archive(tmp_path / "mine.npz")
    return tmp_path


def run(installed: Path, folder: Path, *words: str, package: str = "paperlib") -> subprocess.CompletedProcess:
    """The command in an interpreter that sees the installed package and none of the absent ones."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PAPERLIB_", "PYTHON"))}
    program = WITHOUT.format(absent=ABSENT, package=package)
    return subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, text=True, timeout=300,
        env=environment | {"PYTHONPATH": str(installed), "HOME": str(folder)},
    )  # fmt: skip


COMMANDS = (
    ("indicator", "--eps", "0.1"), ("evaluate", "--eps", "8/255", "--pgd-steps", "2"),
    ("surface", "--eps", "0.1", "--steps", "3", "--out", "s.png"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_a_network_is_judged_without_the_book_in_any_folder(command, installed, folder):
    done = run(installed, folder, *command, "--network", "mine.py:network", "--data", "mine.npz")
    assert done.returncode == 0, done.stderr
    assert "network mine.py:network, weights " in done.stdout
    assert (folder / "s.png").exists() == (command[0] == "surface")


def test_a_report_is_written_without_the_book_in_any_folder(installed, folder):
    words = ("report", "--network", "mine.py:network", "--data", "mine.npz", "--eps", "0.1", "--n", "8", "--out", "r.html")
    done = run(installed, folder, *words)
    assert done.returncode == 0, done.stderr
    assert "r.html; every number is in r.json" in done.stdout
    text = (folder / "r.html").read_text(encoding="utf-8")
    assert "<style>" in text and "http" not in text and (folder / "r.json").is_file()


def test_what_needs_the_book_says_so_in_a_sentence(installed, folder):
    done = run(installed, folder, "indicator", "--network", "mine.py:network", "--data", "digits", "--eps", "0.1")
    assert done.returncode == 2 and "pip install scikit-learn" in done.stderr and "Traceback" not in done.stderr
    done = run(installed, folder, "check")
    assert done.returncode == 2 and "invalid choice: 'check'" in done.stderr


def test_in_the_repository_a_missing_package_of_the_book_is_named(folder):
    done = run(HERE, folder, "check", package="press")
    sentence = "paperlib: yaml is missing, which only the book needs: pip install '.[book]' in the repository\n"
    assert (done.returncode, done.stderr) == (2, sentence)


def test_the_command_is_on_the_path(installed, folder):
    assert PROJECT["scripts"] == {"paperlib": "paperlib.__main__:main"}
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / "paperlib"), "--help"], capture_output=True, text=True, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert done.returncode == 0 and "usage: paperlib" in done.stdout and "indicator" in done.stdout


def test_the_lock_holds_the_library_and_the_book():
    lock = packages([line for line in (HERE / "requirements.txt").read_text().splitlines() if line[:1].isalnum()])
    base, book = packages(PROJECT["dependencies"]), packages(PROJECT["optional-dependencies"]["book"])
    assert base | book <= lock and not base & book
    assert "--extra book" in (HERE / "Makefile").read_text()
