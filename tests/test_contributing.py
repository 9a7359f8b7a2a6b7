"""CONTRIBUTING.md is followed to the letter on a copy of the repository, and what it adds works."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("paperlib", "press", "notebooks", "tests", "book", "experiments.yml", "pyproject.toml", "README.md", "Makefile",
          "requirements.txt", "_config.yml")  # fmt: skip


# a section's heading, or a paragraph that begins with a path and the block below it
PATTERN = re.compile(r"^## ([^\n]+)$|^`([\w./-]+)`(?:(?!\n\n).)*:\n\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of the page: the section it stands in, the file that the line above it names, its language and text."""

    section: str
    path: str
    language: str
    text: str

    @property
    def new(self) -> list[str]:
        """The lines that a contributor writes."""
        lines = self.text.splitlines()
        lines = [line[1:] for line in lines if line.startswith("+")] if self.language == "diff" else lines
        return [line for line in lines if line.strip()]


def blocks() -> list[Block]:
    """The page's blocks in their order."""
    found, section = [], ""
    for heading, *parts in PATTERN.findall(TEXT):
        section = heading or section
        found += [] if heading else [Block(section, *parts)]
    return found


def applied(block: Block, root: Path) -> None:
    """What a contributor does with a block."""
    path = root / block.path
    if block.language == "diff":
        path.write_text(edited(path.read_text(encoding="utf-8"), block.text), encoding="utf-8")
    elif path.suffix == ".ipynb":
        path.write_text(json.dumps(notebook(root, block.text)), encoding="utf-8")
    else:
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        path.write_text(before + block.text, encoding="utf-8")


def edited(text: str, changes: str) -> str:
    """``text`` with the lines marked ``+`` where the other lines of ``changes`` say, which must be one place."""
    lines = [(line[:1], line[1:]) for line in changes.splitlines()]
    old = "".join(f"{line}\n" for mark, line in lines if mark != "+")
    assert text.count(old) == 1, f"found {text.count(old)} times:\n{old}"
    return text.replace(old, "".join(f"{line}\n" for _, line in lines))


def notebook(root: Path, text: str) -> dict:
    """A copy of the notebook that the page names with its cells of code replaced."""
    content = json.loads((root / "notebooks" / "protocol.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for cell, source in zip(code, text.split("# %%\n")[1:], strict=True):
        cell["source"] = source.rstrip("\n")
    return content


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The repository after everything on the page was done."""
    root = tmp_path_factory.mktemp("copy") / "repository"
    root.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "published", "_static"))
        else:
            shutil.copy(ROOT / name, root / name)
    for name in ("published", "_static"):
        (root / "book" / name).symlink_to(ROOT / "book" / name)
    for block in blocks():
        applied(block, root)
    return root


def run(copy: Path, *words: str) -> str:
    """What a Python of the copy says; it must succeed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PAPERLIB_")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, (copy, copy / "tests"))), "OMP_NUM_THREADS": "1"}
    environment |= {"PAPERLIB_DATA": str(copy / "data"), "PAPERLIB_BUILD": str(copy / "build")}
    done = subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(copy: Path, program: str) -> object:
    """The value that a program's last line prints as JSON."""
    return json.loads(run(copy, "-c", "import json\n" + program).splitlines()[-1])


# most new lines; a kind has a file to measure, one to draw and a notebook
SECTIONS = ("A figure", "A kind of figure", "A data set", "A training method", "An architecture", "A claim")
LIMITS = dict.fromkeys(SECTIONS, 30) | {"A kind of figure": 50}


def test_every_section_touches_at_most_three_places_with_few_lines():
    found = blocks()
    # no block is left out of the sections that are followed
    assert len(found) == TEXT.count("```") / 2 and {block.section for block in found} == set(LIMITS)
    for section, most in LIMITS.items():
        own = [block for block in found if block.section == section]
        assert 1 <= len({block.path for block in own}) <= 3, section
        assert sum(len(block.new) for block in own) <= most, section


def test_a_change_is_refused_where_its_place_is_not_one():
    assert edited("a\nb\n", " a\n+new\n b\n") == "a\nnew\nb\n"
    for text in ("a\n", "a\nb\na\nb\n"):
        with pytest.raises(AssertionError, match="found [02] times"):
            edited(text, " a\n+new\n b\n")


def test_the_figure_passes_the_check_of_every_profile(copy):
    for profile in ("smoke", "quick", "paper", "gpu"):
        run(copy, "-m", "press", "check", "--profile", profile)
    assert said(copy, "from press.plan import experiments\nprint(json.dumps(experiments.keys('gpu')))")[-1] == "margins"


def test_the_figure_is_measured_drawn_and_worded(copy):
    program = """
import matplotlib, sys
matplotlib.use("agg")
space, cells = {}, json.load(open("notebooks/margins.ipynb"))["cells"]
for cell in cells:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), space)
record = space["record"]
figure = space["margins"].histograms(record)
from press.page.words import words
text = words("margins", "margins", record, {})
edges = {patch.get_label(): patch.get_edgecolor() for patch in figure.axes[0].patches}
print(json.dumps([record.values, {name: sorted(map(float, S)) for name, S in record.arrays.items()}, text.question,
                  text.shows, edges]))
"""
    values, arrays, question, shows, edges = said(copy, program)
    assert (copy / "build" / "smoke" / "results" / "margins.json").is_file()
    for role in ("natural", "ours"):
        S, margin = arrays[f"S_{role}"], values[role]["margin"]
        assert len(S) == margin["n"] == 60 and S[0] < margin["low"] <= margin["mean"] <= margin["high"] < S[-1]
        assert S[29] <= margin["mean"] <= S[30]
    assert question.endswith("?") and f"{values['ours']['margin']['mean']:.3g}" in shows
    assert set(edges) == {"Natural", "Ours"} and edges["Natural"] != edges["Ours"]


def test_the_data_set_is_loaded_and_called_by_its_name(copy):
    (copy / "data").mkdir(exist_ok=True)
    x, y = np.zeros((200, 28, 28), np.uint8), np.arange(200) % 10
    np.savez(copy / "data" / "fashion.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    program = """
from paperlib import data, names
found = data.load("fashion")
print(json.dumps([found.name, found.shape, len(found.train), len(found.test), names.data("fashion").label,
                  names.data("fashion").classes[9]]))
"""
    assert said(copy, program) == ["fashion", [1, 28, 28], 180, 50, "Fashion-MNIST", "boot"]


@pytest.mark.parametrize(("base", "change", "field"), [
    ("digits-ours", "method=pairing,c=0.5", "method"), ("digits-natural", "network=mlp", "network"),
])  # fmt: skip
def test_the_method_and_the_architecture_train_an_epoch(copy, base, change, field):
    assert f"press train {base}--{change}`" in TEXT
    run(copy, "-m", "press", "train", f"{base}--{change},epochs=1,train_n=100", "--profile", "quick")
    (card,) = (copy / "build" / "quick" / "models").glob(f"{base}--{change}*.json")
    recipe = json.loads(card.read_text())["recipe"]
    assert f"{field}={recipe[field]}" in change and len(json.loads(card.read_text())["curve"]) == 1


def test_the_method_s_loss_is_that_of_its_docstring(copy):
    program = """
import torch
from toys import seeded, smooth_network, stripes, toy_recipe
from paperlib import names
from paperlib.attack import pgd
from paperlib.losses import batch_loss
from paperlib.objective import cross_entropy
model, split = smooth_network(), stripes(5)
x, y = split.x, split.y
loss = batch_loss(model, x, y, toy_recipe(method="pairing", c=1.0), c=0.3, eps=0.1, step_size=0.05, generator=seeded())
attacked = pgd(model, x, y, eps=0.1, step_size=0.05, steps=2, generator=seeded()).x
expected = (cross_entropy(model(x), y).mean() + cross_entropy(model(attacked), y).mean()) / 2
expected += 0.3 * (model(x) - model(attacked)).square().sum(1).mean()
print(json.dumps([loss.item(), expected.item(), names.network("pairing").label]))
"""
    loss, expected, label = said(copy, program)
    assert loss == pytest.approx(expected, rel=1e-5) and label == "Pairing"


def test_the_architecture_makes_logits(copy):
    program = """
import torch
from paperlib.model import build
print(json.dumps(list(build("mlp", width=1, fc=8, shape=(3, 8, 8), classes=5)(torch.rand(4, 3, 8, 8)).shape)))
"""
    assert said(copy, program) == [4, 5]


def test_the_claim_is_judged(copy):
    program = """
from press.page import claims
from press.page.values import Numbers
(row,) = [row for row in claims.judged(Numbers("paper", alone=True)) if row["id"] == "minmax-lowers-the-slope"]
print(json.dumps([row["verdicts"]["published"], row["recorded"]["paper"], row["rule"]]))
"""
    found, recorded, rule = said(copy, program)
    assert found["verdict"] == recorded == "reproduced" and rule == "Natural above MinMax"
    assert re.fullmatch(r"Natural: [\d.]+ \[.*\]; MinMax: [\d.]+ \[.*\]", found["ours"])


def test_no_other_place_must_follow(copy):
    """The tests that hold the tables against each other, and the book against its settings, pass as they are."""
    names = ("recipe", "losses", "names", "model", "data", "book")
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in names))
