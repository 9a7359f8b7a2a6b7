"""The ways to make a figure again: make figure, papermill from the top folder, and a kernel started in notebooks/."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from press.plan import experiments
from press.plan.settings import ROOT


@pytest.fixture
def papermill(done):
    """A function that runs papermill on the tiny project's notebook as a reader would, and returns what it said."""

    def run(*arguments: str, fails: bool = False) -> str:
        command = [sys.executable, "-m", "papermill", "notebooks/draw.ipynb", "mine.ipynb", *arguments]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ended = subprocess.run(command, cwd=done.root, env=environment, capture_output=True, text=True)
        assert bool(ended.returncode) == fails, ended.stderr[-3000:]
        return ended.stdout + ended.stderr

    return run


def rerun(project) -> dict:
    """The record of the only figure that was made again."""
    (path,) = (project.build / "reruns").glob("*/*.json")
    return json.loads(path.read_text())


def test_words_of_a_command_line_mean_what_they_say_and_nothing_of_a_profile_is_overwritten(done, papermill):
    before = done.products()
    papermill("-p", "profile", "quick", "-p", "fail", "false", "-p", "eps", "[0.05, 0.2]", "-p", "image", "1")
    assert rerun(done)["values"]["eps"] == [0.05, 0.2]
    assert done.products() == before
    said = (done.root / "mine.ipynb").read_text()
    assert "not the parameters of profile quick: the record is in build/quick/reruns/fig01-" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-p", "fail", "no thanks"), "parameter fail is 'no thanks'; allowed is true or false"),
        (("-p", "image", "None"), "parameter image is None; allowed is a whole number such as 0"),
        (("-p", "image", "-3"), "parameter image is -3; allowed are numbers from 0"),
        (("-p", "eps", "[0.1, x]"), "parameter eps is [0.1, 'x']; allowed is a list such as [0.1]"),
        (("-p", "imgae", "3"), "no parameter of notebooks/draw.ipynb called 'imgae'; did you mean image?"),
        (("-p", "artifact", "../x"), "artifact is '../x'; allowed are letters"),
        (("-p", "profile", "quik"), "no profile called 'quik'; did you mean quick?"),
    ],
)
def test_the_notebook_itself_refuses_what_does_not_fit(done, papermill, arguments, sentence):
    before, measured = done.products(), done.lines("measured.txt")
    assert sentence in papermill(*arguments, fails=True)
    assert (done.products(), done.lines("measured.txt")) == (before, measured)


def test_the_profile_s_own_parameters_give_its_own_figure_and_one_change_gives_one_beside_it(done, papermill):
    status, said = done.run("parameters", "fig02")
    assert status == 0
    (done.root / "fig02.yml").write_text(said)
    before, measured = done.products(), len(done.lines("measured.txt"))
    papermill("-f", "fig02.yml")
    assert len(done.lines("measured.txt")) == measured and not (done.build / "reruns").exists()
    papermill("-f", "fig02.yml", "-p", "image", "5")
    own, new = json.loads((done.build / "results" / "fig02.json").read_text()), rerun(done)
    assert new["parameters"] == own["parameters"] | {"image": 5} and new["models"] == own["models"]
    assert done.products() == before
    # the same request by the other way finds the same record
    assert done.run("figure", "fig02", "image=5")[0] == 0
    assert len(done.lines("measured.txt")) == measured + 1


def test_a_reader_of_jupyterlab_changes_a_cell_and_overwrites_nothing(done):
    before = done.products()
    content = nbformat.read(done.root / "notebooks" / "draw.ipynb", as_version=4)
    content.cells[1].source = content.cells[1].source.replace('"smoke"', '"quick"').replace("image = 0", "image = 4")
    client = NotebookClient(content, kernel_name="python3", resources={"metadata": {"path": str(done.root / "notebooks")}})
    client.execute(env=os.environ | {"PYTHONPATH": str(done.root)})
    assert rerun(done)["parameters"]["image"] == 4
    assert done.products() == before
    status, said = done.run("figures")
    assert status == 0 and "Fig. 1" in said and "image=4, eps=[0.1]" not in said and "image=4" in said


def published() -> dict:
    """Name and bytes of every file of the published edition."""
    folder = ROOT / "book" / "published"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_papermill_reruns_a_figure_from_the_top_folder(tmp_path):
    before = published()
    command = [sys.executable, "-m", "papermill", "notebooks/surfaces.ipynb", str(tmp_path / "mine.ipynb"), "-k", "python3",
               "-p", "artifact", "fig06", "-p", "out", str(tmp_path / "mine"), "-p", "steps", "7"]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "mine" / "fig06.json").read_text())
    assert record["parameters"]["steps"] == 7 and record["profile"] == "smoke"
    assert published() == before


def test_a_kernel_in_the_notebooks_folder_reruns_a_figure(tmp_path):
    before = published()
    notebook = nbformat.read(ROOT / "notebooks" / "surfaces.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += f"\nsteps = 7\nout = {str(tmp_path)!r}\n"  # what a reader types in JupyterLab
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}})
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
    record = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert record["parameters"]["steps"] == 7
    assert published() == before


def test_the_documented_example_has_the_parameters_of_the_book_s_figure_but_one(tmp_path):
    text = (ROOT / "book" / "reproduce.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (first, second) = re.findall(r"^\.venv/bin/(python -m press parameters .*|python -m papermill .*)$", text, flags=re.M)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in (first, f"{second} --prepare-only"):
        command = command.replace("my-fig06", f"'{tmp_path}'/my-fig06").replace("python", f"'{sys.executable}'", 1)
        done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    (cell,) = (
        cell for cell in nbformat.read(tmp_path / "my-fig06.ipynb", as_version=4).cells
        if "injected-parameters" in cell.metadata.get("tags", [])
    )  # fmt: skip
    given: dict = {}
    exec(cell.source, given)
    spec = experiments.artifact("quick", "fig06")
    assert {name: given[name] for name in spec.injected} == spec.injected | {"steps": 31}
    assert spec.parameters["steps"] != 31
