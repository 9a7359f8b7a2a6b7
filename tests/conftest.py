"""A tiny project with the real pipeline and toy science, so that whole runs take seconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jaxtyping import config, install_import_hook

# annotated types and shapes are checked while the tests run; an int may stand for a float, as in Python itself
install_import_hook(["paperlib", "press"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

HERE = Path(__file__).resolve().parents[1]

# programs that tests start import paperlib from here
os.environ["PYTHONPATH"] = str(HERE)

# the real modules of the tiny project, and those that make its pages
KEPT = (
    "Snakefile", "press/__init__.py", "press/__main__.py", "press/commands.py",
    *(f"press/page/{name}.py" for name in ("__init__", "changes", "compare", "drawn", "findings")),
    *(f"press/page/{name}" for name in ("compare.html", "manifest.py", "values.py", "verify.py")),
    *(f"press/plan/{name}.py" for name in ("__init__", "check", "experiments", "ranges", "searches", "settings")),
    "press/plan/templates.py",
    *(f"press/run/{name}.py" for name in ("__init__", "devices", "inventory", "kernel", "notebooks", "places", "record")),
    *(f"press/run/{name}.py" for name in ("reruns", "sheet", "steps", "training", "workflow")),
    *(f"paperlib/{name}.py" for name in ("__init__", "__main__", "files", "fingerprint", "names", "numbers")),
    *(f"paperlib/{name}.py" for name in ("provenance", "record", "refusal", "sealed")),
    *(f"paperlib/reporting/{name}.py" for name in ("__init__", "judge", "sizes")),
)  # fmt: skip
PAGES = tuple(
    f"press/page/{name}.py"
    for name in (
        "amended",
        "answers",
        "benchmark",
        "cells",
        "columns",
        "dots",
        "faults",
        "figures",
        "labels",
        "library",
        "pictures",
        "site",
        "turning",
        "template",
        "vocabulary",
        "words",
        "claims",
    )
)
EXPERIMENTS = """
recipes:
  smoke:
    one: {data: toy, epochs: 1}
  quick:
    one: {data: toy, epochs: 3, pause: 0.2}
    two: {data: toy, epochs: 3, pause: 0.2, c: 0.5}
artifacts:
  fig01:
    notebook: draw
    place: Fig. 1
    title: A surface
    quick: {models: {natural: one}, parameters: {image: 1}}
  fig02:
    notebook: draw
    place: Fig. 2
    title: Two surfaces
    quick: {models: {natural: one, ours: two}, parameters: {image: 2, eps: [0.1, 0.2]}}
"""

CONFIG = """
title: Toy
only_build_toc_files: true
exclude_patterns: [figures/downloads]
execute: {execute_notebooks: "off"}
parse: {myst_enable_extensions: [colon_fence, dollarmath]}
"""

RECIPE = '''
"""A toy Recipe."""
from dataclasses import dataclass, fields

@dataclass(frozen=True)
class Recipe:
    data: str
    epochs: int
    pause: float = 0.0
    c: float = 0.0
    source: str = ""

    @classmethod
    def of(cls, settings):
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown {unknown}")
        if settings["epochs"] < 1:
            raise ValueError(f"epochs is {settings['epochs']}; allowed is at least 1")
        return cls(**settings)

    def to_dict(self):
        return dict(vars(self))
'''

TRAIN = '''
"""A toy training, which the toy zoo does."""
from paperlib.recipe import Recipe
from press.run import notebooks

class OutOfTime(Exception):
    pass
'''

# its weights are the recipe as JSON
CHECKPOINTS = '''
"""A toy checkpoint's files."""
import json
from dataclasses import asdict
from press.plan import experiments

def path_of(name, profile):
    return experiments.build_dir(profile) / "models" / f"{name}.safetensors"

def retire(path):
    path.unlink(missing_ok=True)
    path.with_suffix(".state").unlink(missing_ok=True)

def is_finished(path, recipe, data_sha256, source_sha256):
    return path.exists() and path.read_text() == json.dumps(asdict(recipe))
'''

# counts epochs in a file, so that a test can see what was done twice
ZOO = '''
"""A toy zoo: trains by counting epochs, and goes on where it stopped."""
import hashlib, json, os, time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from filelock import FileLock
from press.plan import experiments, settings
from press.run.checkpoints import path_of, retire

@dataclass(frozen=True)
class Trained:
    name: str
    model: object
    recipe: object
    dataset: object
    sha256: str

class Network(str):
    def to(self, device):
        return self

def file_hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()

def get(name, profile, *, budget=None, rebuild=False, device="cpu", progress=True):
    recipe, path = experiments.recipe(profile, name), path_of(name, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        text = json.dumps(asdict(recipe))
        if path.exists() and path.read_text() != text:
            retire(path)
        state = path.with_suffix(".state")
        while not path.exists():
            epoch = int(state.read_text()) if state.exists() else 0
            if epoch == recipe.epochs:
                path.write_text(text)
                state.unlink()
                break
            time.sleep(recipe.pause)
            if recipe.c > 1000:
                raise FloatingPointError(f"{name}: the loss is nan in epoch 1; lower lr or c")
            with open(settings.ROOT / "epochs.txt", "a") as stream:
                stream.write(f"{name} {epoch}\\n")
            partial = state.with_suffix(".partial")
            partial.write_text(str(epoch + 1))
            os.replace(partial, state)
    from paperlib.data import load
    return Trained(name, Network(path.read_text()), recipe, load(recipe.data), file_hash(path))
'''

DATA = '''
"""Toy data, from an archive if there is one."""
import hashlib, os
from pathlib import Path
from types import SimpleNamespace
from paperlib.files import HERE as ROOT
from paperlib.refusal import Refusal

class DataError(Refusal):
    pass

def load(name):
    if name != "toy" or os.environ.get("NO_DATA"):
        raise DataError(f"data set {name} is not at hand; put {name}.npz into a folder and name it in PAPERLIB_DATA")
    path = Path(os.environ.get("PAPERLIB_DATA") or ROOT / "build" / "data") / "toy.npz"
    sha256 = hashlib.sha256(path.read_bytes() if path.is_file() else b"embedded").hexdigest()
    return SimpleNamespace(name=name, sha256=sha256, pixel_scale=1, train=[0] * 5, validation=[0], test=[0] * 9)
'''

# stands in for Jupyter Book in runs that are not about pages
BOOK = '''
"""A toy book: one page that lists the executed notebooks."""
from paperlib import files
from press.plan import experiments, settings

def build(profile):
    place = experiments.build_dir(profile)
    names = sorted(path.stem for path in (place / "notebooks").glob("*.ipynb"))
    files.write_atomic(place / "html" / "index.html", " ".join(names))
    with open(settings.ROOT / "books.txt", "a") as stream:
        stream.write("built\\n")
    return place / "html" / "index.html"
'''

MEASURES = '''
"""A toy measurement, which counts itself in a file."""
import time
import numpy as np
from paperlib.files import HERE
from paperlib.record import Measured

CLEAN = {"mean": 98.4, "low": 97.9, "high": 98.8, "n": 450}

def measure(networks, *, image, eps, pause, fail):
    with open(HERE / "measured.txt", "a") as stream:
        stream.write(f"{image} {eps}\\n")
    time.sleep(pause)
    assert not fail, "asked to fail"
    weights = {role: str(network.model) for role, network in networks.items()}
    values = {"natural": {"clean": CLEAN, "slope": 0.0123456}, "image": image, "weights": weights, "eps": eps}
    data = ((next(iter(networks.values())).dataset, 3),)
    return Measured(values, {"grid": np.array([eps, eps])}, data=data, seeds={"start": 0})
'''

DRAWINGS = '''
"""A toy drawing."""
COLOUR = "red"

def line(record):
    return f"image {record.values['image']} in {COLOUR}, {record.arrays['grid'].size} points"
'''

DRAW = [
    ("markdown", [], "# A surface"),
    (
        "code",
        ["parameters", "hide-input"],
        'artifact = "fig01"\nprofile = "smoke"\nmodels = {"natural": "one"}\nout = ""\n'
        "image = 0       # which test image\neps = [0.1]     # sizes of the perturbation\n"
        "pause = 0.0\nfail = False\n",
    ),
    (
        "code",
        ["hide-input"],
        "from paperlib.drawings import draw\nfrom press.plan import settings\nfrom press.run import sheet\n\n"
        'with open(settings.ROOT / "executed.txt", "a") as stream:\n    stream.write(artifact + "\\n")\n'
        'record = sheet.measured("draw", globals())\nprint(draw.line(record))',
    ),
]


def notebook(cells: list[tuple[str, list[str], str]]) -> str:
    """A notebook's JSON from (type, tags, source)."""
    made = []
    for number, (kind, tags, source) in enumerate(cells):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {"tags": tags}, "source": source}
        made.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


class Project:
    """A folder with the tiny project, and how to run it."""

    # what stands before the command: a wrapper that changes what it finds around it
    before: tuple[str, ...] = ()

    def __init__(self, root: Path, *, real_book: bool = False):
        self.root = root
        self.build = root / "build" / "quick"
        for path in (*KEPT, *(PAGES if real_book else ())):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / path, root / path)
        toys = {"paperlib/recipe": RECIPE, "paperlib/train": TRAIN, "press/run/zoo": ZOO, "paperlib/data": DATA}
        toys |= {"press/run/checkpoints": CHECKPOINTS}
        toys |= {"paperlib/measures/draw": MEASURES, "paperlib/drawings/draw": DRAWINGS}
        for name, text in (toys | ({} if real_book else {"press/page/site": BOOK})).items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / f"{name}.py").write_text(text)
        # the pipeline asks torch for an accelerator; importing the real one would cost seconds a step
        (root / "torch.py").write_text(
            "class cuda:\n    @staticmethod\n    def is_available():\n        return False\n\n"
            "    @staticmethod\n    def device_count():\n        return 0\n\n"
            "def get_num_threads():\n    return 1\n\ndef set_num_threads(count):\n    pass\n"
        )
        (root / "experiments.yml").write_text(EXPERIMENTS)
        (root / "_config.yml").write_text(CONFIG)
        (root / "notebooks").mkdir()
        (root / "notebooks" / "draw.ipynb").write_text(notebook(DRAW))
        self.write_book()

    def copied(self, root: Path) -> "Project":
        """The same project, with all that it has made, in another folder."""
        other = object.__new__(Project)
        other.root, other.build = Path(shutil.copytree(self.root, root)), root / "build" / "quick"
        return other

    def write_book(self) -> None:
        """A book of one chapter and one figure page, and one figure page that does not exist."""
        book = self.root / "book"
        (book / "_static").mkdir(parents=True)
        (book / "paper_numbers.yml").write_text("fig01: {natural: {clean: 99.1, attacked: 0.0}}\n")
        (book / "_toc.yml").write_text(
            "format: jb-book\nroot: intro\nparts:\n  - caption: Figures\n    chapters:\n"
            "      - file: figures/fig01\n      - file: figures/fig02\n      - file: figures/fig99\n"
        )
        (book / "intro.md").write_text(
            "# Toy\n\n{{ value('fig01', 'natural', 'clean') }}, {{ paper('fig01', 'natural', 'clean') }}, "
            "{{ published('fig01', 'natural', 'clean') }}, {{ page('fig01') }}\n"
        )

    def edit(self, path: str, old: str, new: str) -> None:
        """Replaces text that must be there."""
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Starts ``python -m press`` in a process group of its own."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PAPERLIB_")}
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", "press", *arguments],
            cwd=self.root,
            env=env | {"PYTHONPATH": str(self.root)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # a job that a script put into the background ignores it, and so would its children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Runs ``python -m press`` and returns exit status and everything it said."""
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def make(self, **environment: str) -> str:
        """``book`` that must succeed."""
        status, said = self.run("book", **environment)
        assert status == 0, said + self.log()
        return said

    def log(self) -> str:
        """Snakemake's own words, for a failing test's message."""
        path = self.build / "logs" / "snakemake.log"
        return path.read_text() if path.exists() else ""

    def lines(self, name: str) -> list[str]:
        """What was done so far: lines of epochs.txt, executed.txt or books.txt."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    def products(self) -> dict[str, str]:
        """Models, notebooks and results by path; of records all but when and how long they were measured."""
        found = {}
        for path in sorted(self.build.rglob("*")):
            if path.is_file() and path.parent.name in ("models", "notebooks", "results", "html"):
                found[str(path.relative_to(self.build))] = timeless(path.read_bytes().decode("latin-1"))
        return {path: text for path, text in found.items() if not path.endswith(".lock") and "/." not in path}


def timeless(text: str) -> str:
    """A record without its time, and without its seal, which holds it; any other text as it is."""
    return re.sub(r'(?m)^ "(started|seconds|seal)": [^,\n]*', r' "\1": 0', text)


@pytest.fixture
def project(tmp_path) -> Project:
    """The tiny project, in a folder whose name has a space."""
    return Project(tmp_path / "a project")


@pytest.fixture
def book_project(tmp_path) -> Project:
    """The tiny project with the real Jupyter Book."""
    return Project(tmp_path / "a project", real_book=True)


@pytest.fixture
def unhooked():
    """No checks of annotations, as for a reader: wrong input must meet a sentence of the library's own."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def until(condition, seconds: float = 60) -> None:
    """Waits until ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def kill_group(process: subprocess.Popen) -> None:
    """kill -9 of the whole process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def epochs(project: Project) -> dict[str, int]:
    """How often each epoch of each model was trained."""
    lines = project.lines("epochs.txt")
    return {line: lines.count(line) for line in lines}


@pytest.fixture(scope="session")
def whole_project(tmp_path_factory) -> Project:
    """The tiny project after an uninterrupted run; not to be changed."""
    project = Project(tmp_path_factory.mktemp("whole") / "a project")
    project.make()
    return project


@pytest.fixture(scope="session")
def finished(whole_project) -> dict[str, str]:
    """The products of an uninterrupted run."""
    return whole_project.products()


@pytest.fixture
def done(whole_project, tmp_path) -> Project:
    """A copy of the tiny project after an uninterrupted run."""
    return whole_project.copied(tmp_path / "a copy")
