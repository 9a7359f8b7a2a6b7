"""Whole runs of a tiny project: nothing is done twice, nothing stale is kept, and nothing is lost to a kill."""

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import DRAW, HERE, Project, epochs, notebook, until
from toys import toy_recipe, write_archive

from paperlib import files, fingerprint, sealed
from paperlib.data import DataError, load
from paperlib.files import data_dir
from press.__main__ import main
from press.plan import experiments
from press.run import notebooks, places, training

# --- what reruns ---------------------------------------------------------------------------------------------------


def test_a_run_does_everything_once_and_a_second_run_nothing(project):
    said = project.make()
    assert "[ 6/6] book html" in said
    assert said.rstrip().endswith("index.html")
    before = project.products()
    assert epochs(project) == {f"{name} {epoch}": 1 for name in ("one", "two") for epoch in range(3)}
    began = time.monotonic()
    assert "[" not in project.make()
    assert time.monotonic() - began < 15
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02"]
    assert project.lines("books.txt") == ["built"]
    assert project.products() == before


def test_one_changed_parameter_reruns_only_its_figure_and_the_book(project):
    project.make()
    project.edit("experiments.yml", "image: 2", "image: 7")
    project.make()
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02", "fig02"]
    assert set(epochs(project).values()) == {1}
    assert len(project.lines("books.txt")) == 2
    assert json.loads((project.build / "results" / "fig02.json").read_text())["values"]["image"] == 7


def test_one_changed_recipe_retrains_its_model_and_redraws_its_figures(project):
    project.make()
    project.edit("experiments.yml", "c: 0.5", "c: 0.6")
    project.make()
    assert epochs(project)["one 0"] == 1
    assert epochs(project)["two 0"] == 2
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02", "fig02"]


def test_a_run_that_ends_behind_a_retrained_model_leaves_no_figure_of_the_former_one(project):
    project.make()
    project.edit("experiments.yml", "c: 0.5", "c: 0.6")
    # what a run does until it is killed: it looks what is left to do, and trains
    program = "from press.run import workflow; workflow.forget('quick')"
    env = os.environ | {"PYTHONPATH": str(project.root)}
    subprocess.run([sys.executable, "-c", program], cwd=project.root, env=env, check=True)
    assert project.run("train", "two", "--profile", "quick", "--step")[0] == 0
    project.make()
    assert epochs(project)["two 0"] == 2
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02", "fig02"]


def test_a_model_whose_examples_come_from_another_follows_it(project):
    project.edit("experiments.yml", "c: 0.5", "c: 0.5, source: one")
    project.make()
    assert [line.split()[0] for line in project.lines("epochs.txt")] == ["one"] * 3 + ["two"] * 3
    # half a training against the former source does not count
    (project.build / "models" / "two.safetensors").unlink()
    (project.build / "models" / "two.state").write_text("2")
    project.edit("experiments.yml", "one: {data: toy, epochs: 3", "one: {data: toy, epochs: 4")
    project.make()
    assert epochs(project)["one 0"] == 2 and epochs(project)["two 0"] == 2


def test_other_data_retrain_and_redraw_and_the_same_data_elsewhere_do_not(project):
    archive = project.root / "build" / "data" / "toy.npz"
    archive.parent.mkdir(parents=True)
    archive.write_text("first")
    project.make()
    # as large as before, and older
    archive.write_text("other")
    os.utime(archive, (1e9, 1e9))
    project.make()
    assert set(epochs(project).values()) == {2}
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig01", "fig02", "fig02"]
    archive.touch()
    project.make()
    archive.rename(project.root / "toy.npz")
    project.make(PAPERLIB_DATA=".")
    assert set(epochs(project).values()) == {2}
    assert len(project.lines("executed.txt")) == 4
    # without its archive the toy is embedded
    project.make()
    assert set(epochs(project).values()) == {3}


def test_a_comment_in_the_training_code_retrains_nothing_but_a_change_does(project):
    project.make()
    project.edit("paperlib/recipe.py", '"""A toy Recipe."""', '"""A toy Recipe, reworded."""  # and a comment')
    project.make()
    assert set(epochs(project).values()) == {1}
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02"]
    project.edit("paperlib/recipe.py", "c: float = 0.0", "c: float = 0.25")
    project.make()
    assert set(epochs(project).values()) == {2}


def test_a_change_in_the_snakefile_is_seen(project):
    project.make()
    project.edit("Snakefile", " site --profile", " site --step --profile")
    project.make()
    assert project.lines("books.txt") == ["built", "built"]
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02"]


def test_moving_the_folder_makes_nothing_stale(project):
    project.make()
    moved = project.root.rename(project.root.with_name("moved here"))
    project.root, project.build = moved, moved / "build" / "quick"
    project.make()
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02"]
    assert project.lines("books.txt") == ["built"]


def test_a_lost_model_is_trained_again_and_its_unchanged_figures_are_kept(project):
    project.make()
    (project.build / "models" / "one.safetensors").unlink()
    project.make()
    assert epochs(project)["one 0"] == 2
    assert epochs(project)["two 0"] == 1
    assert sorted(project.lines("executed.txt")) == ["fig01", "fig02"]


def test_a_model_trained_elsewhere_is_taken_as_it_is(project, finished):
    models = project.build / "models"
    models.mkdir(parents=True)
    for name in ("one", "two"):
        (models / f"{name}.safetensors").write_text(finished[f"models/{name}.safetensors"])
    project.make()
    assert project.lines("epochs.txt") == []


def test_the_build_folder_may_be_elsewhere(project):
    project.make(PAPERLIB_BUILD="other place")
    assert (project.root / "other place" / "quick" / "html" / "index.html").is_file()
    assert not (project.root / "build").exists()


def test_executed_notebooks_do_not_tell_where_they_ran(finished):
    text = finished["notebooks/fig01.ipynb"]
    assert "/tmp/" not in text and "papermill" not in text
    assert json.loads(text)["cells"][2]["source"].count('out = ""') == 1


# --- what steps find in their environment --------------------------------------------------------------------------


def test_steps_find_absolute_folders_and_huge_pages_unless_the_user_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAPERLIB_DATA", "data")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    places.settle_environment()
    assert os.environ["PAPERLIB_DATA"] == str(tmp_path / "data")
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=0"
    monkeypatch.delenv("GLIBC_TUNABLES")
    places.settle_environment()
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("2", 2), ("2,1", 2), ("0", 1), ("many", 1)])
def test_steps_have_a_fixed_number_of_threads_and_the_card_says_it(real, monkeypatch, said, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    # as in a notebook, where torch was loaded before
    torch.set_num_threads(2)
    try:
        training.train("net", "quick")
        assert torch.get_num_threads() == threads
        assert sealed.read_json(real.with_suffix(".json"))["machine"]["threads"] == threads
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        places.settle_environment()
        assert os.environ["OMP_NUM_THREADS"] == "1"
    finally:
        torch.set_num_threads(1)


def test_a_home_that_cannot_be_written_in_is_replaced_and_another_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    for home, kept in ((tmp_path, True), (tmp_path / "none", False), ("/dev/null", False), ("", False)):
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
        places.settle_environment()
        there = tmp_path / "build" / "home"
        assert os.environ["HOME"] == (str(home) if kept else str(there)) and there.is_dir() != kept
        assert ("XDG_CACHE_HOME" in os.environ) == kept


# --- kernels -------------------------------------------------------------------------------------------------------


def test_a_kernel_that_died_at_its_start_is_started_again_and_no_other():
    def run():
        calls.append(len(calls))
        if len(calls) <= deaths:
            raise RuntimeError(sentence)
        return "done"

    sentence, deaths, calls = "Kernel died before replying to kernel_info", 2, []
    assert notebooks.started(run) == "done" and len(calls) == 3
    deaths, calls = 9, []
    with pytest.raises(RuntimeError, match="before replying"):
        notebooks.started(run)
    assert len(calls) == 3
    sentence, calls = "Kernel died", []
    with pytest.raises(RuntimeError, match="Kernel died"):
        notebooks.started(run)
    assert len(calls) == 1


def test_nothing_of_the_reader_s_own_acts_inside_a_notebook(project, tmp_path):
    home, marks = tmp_path / "home", tmp_path / "marks"
    startup = home / ".ipython" / "profile_default" / "startup"
    foreign = home / "jupyter" / "kernels" / "python3"
    for folder in (startup, foreign, marks):
        folder.mkdir(parents=True)
    for name in (startup / "00.py", home / "startup.py"):
        name.write_text(f"open({str(marks)!r} + '/' + __name__, 'w')\nclean = 0")
    (home / "matplotlibrc").write_text("font.size: 99\n")
    (foreign / "kernel.json").write_text('{"argv": ["false"], "display_name": "Foreign", "language": "python"}')
    asks = "import matplotlib\nprint(matplotlib.rcParams['font.size'], matplotlib.matplotlib_fname())"
    (project.root / "notebooks" / "draw.ipynb").write_text(notebook([*DRAW, ("code", ["hide-input"], asks)]))
    status, said = project.run(
        "figure", "fig01", HOME=str(home), JUPYTER_PATH=str(foreign.parents[1]), JUPYTER_DATA_DIR=str(foreign.parents[1]),
        JUPYTER_PREFER_ENV_PATH="0", MATPLOTLIBRC=str(home), PYTHONSTARTUP=str(home / "startup.py"), MPLBACKEND="nonsense",
    )  # fmt: skip
    assert status == 0, said
    assert list(marks.iterdir()) == []
    (path,) = (project.build / "reruns").glob("*/fig01.ipynb")
    assert "10.0" in path.read_text() and "99.0" not in path.read_text()


def test_a_kernel_that_dies_is_one_sentence(project):
    project.edit("paperlib/measures/draw.py", 'assert not fail, "asked to fail"', "import os; os.kill(os.getpid(), 9)")
    status, said = project.run("figure", "fig01")
    assert status == 2
    assert "paperlib: fig01 failed in notebooks/draw.ipynb: its kernel died" in said.splitlines()[-1]
    assert len(said.splitlines()) <= 3 and "Traceback" not in said


def test_a_log_that_is_no_terminal_gets_no_refreshes(project):
    status, said = project.run("figure", "fig01")
    assert status == 0 and "\r" not in said and "\033" not in said and "IPKernelApp" not in said


def test_a_terminal_shows_how_much_time_is_left(done):
    done.edit("paperlib/drawings/draw.py", 'COLOUR = "red"', 'COLOUR = "blue"; import time; time.sleep(2)')
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "press", "figure", "fig01", "image=2"]
    process = subprocess.Popen(command, cwd=done.root, env=os.environ | {"PYTHONPATH": str(done.root)}, stderr=follower,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(leader, 4096):
            shown += part
    assert process.wait() == 0
    assert re.search(rb"\r\x1b\[Kfig01: \d+ s, about \d+ s left", shown)
    # the line goes away
    assert shown.endswith(b"\r\x1b[K")


# --- what fails ----------------------------------------------------------------------------------------------------


def test_a_failed_notebook_stays_readable_and_the_rest_goes_on(project):
    project.edit("experiments.yml", "{image: 2,", "{fail: true, image: 2,")
    status, said = project.run("book")
    assert status == 2
    assert "execute fig02: fig02 failed in notebooks/draw.ipynb: AssertionError: asked to fail" in said
    assert "Traceback" not in said and len(said.splitlines()) < 15
    failed = json.loads((project.build / "logs" / "fig02.ipynb").read_text())
    assert any(output["output_type"] == "error" for cell in failed["cells"] for output in cell.get("outputs", []))
    assert "build/quick/logs/fig02.ipynb" in said
    project.edit("experiments.yml", "fail: true, ", "")
    project.make()
    assert project.lines("executed.txt").count("fig01") == 1


def test_a_folder_for_results_that_is_a_file_is_refused_before_anything_runs(project):
    (project.root / "there").write_text("")
    status, said = project.run("execute", "fig01", "--out", "there")
    assert status == 2 and "there, which is a file; allowed is a folder" in said
    assert not (project.build / "logs" / "there.ipynb").exists()


def test_a_notebook_without_a_result_is_refused(project):
    (project.root / "notebooks" / "draw.ipynb").write_text(notebook(DRAW[:2]))
    status, said = project.run("book")
    assert status == 2
    assert "fig01 failed: notebooks/draw.ipynb wrote no fig01.json" in said
    assert not (project.build / "notebooks").exists()


def test_missing_data_are_one_sentence(project):
    status, said = project.run("book", NO_DATA="1")
    assert status == 2
    assert said.count("data set toy is not at hand") == 1
    assert project.lines("epochs.txt") == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("image: 1", "imgae: 1", "'imgae'; did you mean image?"),
        ("image: 1", "image: one", "parameter image of artifact fig01 (quick) is 'one'; allowed is a whole number"),
        ("image: 1", "out: here", "parameter out of artifact fig01 (quick) is set by the pipeline"),
        ("notebook: draw", "notebook: drow", "notebook 'drow' is not in notebooks/, which has draw"),
        ("ours: two}", "ours: tow}", "there is no model of profile quick called 'tow'; did you mean two?"),
        ("c: 0.5}", "k: 0.5}", "there is no field of model two (quick) called 'k'"),
        ("epochs: 3, pause: 0.2, c", "epochs: 0, c", "model two (quick): epochs is 0; allowed is at least 1"),
        ("image: 1", "image: 1, image: 2", "experiments.yml, line 13: the key 'image' is given twice"),
        ("place: Fig. 1", "", "artifact fig01 of experiments.yml lacks 'place'"),
    ],
)
def test_a_wrong_experiment_is_refused_before_anything_runs(project, old, new, sentence):
    project.edit("experiments.yml", old, new)
    status, said = project.run("book")
    assert status == 2
    assert said.count("\n") == 1 and sentence in said
    assert not project.build.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("book", "--profile", "quik"), "there is no profile called 'quik'; did you mean quick?"),
        (("figure", "fig77"), "there is no artifact called 'fig77'"),
        (("figure", "fig01", "--set", "imag=3"), "there is no parameter of fig01 called 'imag'; did you mean image?"),
        (("figure", "fig01", "--set", "image=x"), "parameter image is 'x'; allowed is a whole number such as 0"),
        (("figure", "fig01", "--set", "image=-1"), "parameter image is -1; allowed are numbers from 0"),
        (("figure", "fig01", "--set", "c=0.1"), "no model of fig01 sets c"),
        (("figure", "fig01", "--profile", "smoke"), "artifact fig01 is not part of profile smoke; it has quick"),
        (("figure", "fig02", "--set", "epochs=0"), "epochs is 0; allowed is at least 1"),
        (("execute", "fig01", "image=3"), "add --out DIR or use figure"),
        (("train", "three"), "there is no model of profile quick called 'three'"),
        (("train", "one", "three"), "there is no model of profile quick called 'three'"),
        (("train", "one", "--budget", "nan"), "budget is nan; allowed is a number of at least 0"),
        (("train", "one", "--budget", "-1"), "budget is -1.0; allowed is a number of at least 0"),
        (("book", "--cores", "-1"), "cores is -1; allowed is an integer of at least 1"),
        (("book", "--cores", "0"), "cores is 0; allowed is an integer of at least 1"),
        (("train", "one", "--device", "foo"), "device is 'foo'; allowed are cpu"),
        (("train", "one", "--device", "cuda"), "device is 'cuda'; allowed are cpu"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_runs(project, arguments, sentence):
    status, said = project.run(*arguments)
    assert status == 2
    assert said.startswith("paperlib: ") and said.count("\n") == 1 and sentence in said
    assert not project.build.exists()


def test_an_image_that_is_not_there_is_refused_before_a_training(project):
    for command in (("figure", "fig01", "image=9"), ("execute", "fig01", "image=9", "--out", "x")):
        status, said = project.run(*command)
        assert (status, said.strip()) == (2, "paperlib: parameter image is 9; allowed are 0 to 8, the test images")
    assert project.lines("epochs.txt") == [] and project.lines("executed.txt") == []


@pytest.mark.parametrize("command", [
    ("figure", "fig02", "--set", "c=1e6"), ("train", "two--c=1000000.0"), ("execute", "fig02"),
])  # fmt: skip
def test_a_training_that_diverges_is_one_sentence_whichever_command_asked_for_it(project, command):
    if command[0] == "execute":
        project.edit("experiments.yml", "c: 0.5", "c: 1e6")
    status, said = project.run(*command)
    assert status == 2
    assert re.match(r"paperlib: two\S*: the loss is nan in epoch 1; lower lr or c$", said.splitlines()[-1])
    assert "Traceback" not in said


# --- one figure again ----------------------------------------------------------------------------------------------


def test_a_figure_with_new_parameters_overwrites_nothing(project):
    project.make()
    before = project.products()
    status, said = project.run("figure", "fig01", "--set", "image=3 eps=[0.1, 0.3]")
    assert status == 0, said
    folder = next((project.build / "reruns").iterdir())
    assert folder.name.startswith("fig01-")
    assert str(folder / "fig01.ipynb") in said
    values = json.loads((folder / "fig01.json").read_text())["values"]
    assert (values["image"], values["eps"]) == (3, [0.1, 0.3])
    assert project.products() == before
    assert project.run("figure", "fig01", "--set", "image=3 eps=[0.1, 0.3]")[0] == 0
    assert project.lines("executed.txt").count("fig01") == 2


def test_one_artifact_can_be_executed_alone(project):
    status, said = project.run("execute", "fig01")
    assert status == 0, said
    assert said.rstrip().endswith("build/quick/notebooks/fig01.ipynb")
    assert set(epochs(project)) == {"one 0", "one 1", "one 2"}


def test_an_artifact_executed_alone_follows_its_recipes_and_data_but_not_the_training_code(project):
    assert project.run("execute", "fig02")[0] == 0
    assert project.run("execute", "fig02")[0] == 0
    assert project.lines("executed.txt") == ["fig02"]
    project.edit("paperlib/recipe.py", "pause: float = 0.0", "pause: float = 0.1")
    project.edit("experiments.yml", "c: 0.5", "c: 0.6")
    assert project.run("execute", "fig02")[0] == 0
    assert epochs(project)["two 0"] == 2 and epochs(project)["one 0"] == 1
    assert project.lines("executed.txt") == ["fig02", "fig02"]
    assert '"c": 0.6' in json.loads((project.build / "results" / "fig02.json").read_text())["values"]["weights"]["ours"]


def test_an_artifact_executed_alone_follows_a_model_s_source(project):
    project.edit("experiments.yml", "c: 0.5", "c: 0.5, source: one")
    assert project.run("execute", "fig02")[0] == 0
    project.edit("experiments.yml", "one: {data: toy, epochs: 3", "one: {data: toy, epochs: 4")
    project.edit("experiments.yml", "natural: one, ours: two", "ours: two")
    assert project.run("execute", "fig02")[0] == 0
    assert epochs(project)["one 0"] == 2 and epochs(project)["two 0"] == 2


@pytest.mark.parametrize(
    ("path", "old", "new", "measured", "executed"),
    [
        ("paperlib/drawings/draw.py", "red", "blue", 0, 2),
        ("paperlib/names.py", 'Name("Natural", VERMILION', 'Name("Natural", BLACK', 0, 0),
        ("notebooks/draw.ipynb", "print(draw.line(record))", "print(draw.line(record), 1)", 0, 2),
        ("book/paper_numbers.yml", "clean: 99.1", "clean: 99.2", 0, 1),
        ("book/intro.md", "# Toy", "# Toys", 0, 0),
        ("experiments.yml", "title: A surface", "title: The surface", 0, 0),
        ("press/page/cells.py", "LINES = 24", "LINES = 30", 0, 0),
        ("paperlib/measures/draw.py", "0.0123456", "0.5", 2, 2),
        ("paperlib/record.py", "data: tuple = ()", "data: tuple = tuple()", 2, 2),
    ],
)
def test_only_what_a_measurement_uses_makes_it_anew(book_project, path, old, new, measured, executed):
    book_project.make()
    before = {name: len(book_project.lines(f"{name}.txt")) for name in ("measured", "executed")}
    assert before == {"measured": 2, "executed": 2}
    book_project.edit(path, old, new)
    book_project.make()
    after = {name: len(book_project.lines(f"{name}.txt")) - before[name] for name in before}
    assert after == {"measured": measured, "executed": executed}


def test_a_changed_drawing_a_changed_number_of_the_paper_and_a_changed_sentence_are_on_the_page(book_project):
    words = book_project.root / "book" / "figures"
    words.mkdir()
    for key in ("fig01", "fig02"):
        text = 'Why?\n\nThe slope is {{ number("natural/slope") }}.\n\nIt is {{ number("no/such") }}.\n'
        (words / f"{key}.md").write_text(text)
    book_project.make()
    page = book_project.build / "html" / "figures" / "fig01.html"
    assert "The slope is 0.0123" in page.read_text() and "It is" not in page.read_text()
    book_project.edit("paperlib/drawings/draw.py", "red", "blue")
    book_project.edit("book/paper_numbers.yml", "clean: 99.1", "clean: 99.3")
    book_project.edit("book/figures/fig01.md", "Why?", "What for?")
    book_project.make()
    assert all(text in page.read_text() for text in ("image 1 in blue", "99.3", "What for?"))
    assert len(book_project.lines("measured.txt")) == 2


def test_what_is_measured_is_drawn_without_a_process_for_each(project):
    project.make()
    logs = sorted((project.build / "logs").glob("execute-*.log"))
    assert [log.stem for log in logs] == ["execute-fig01", "execute-fig02"]
    for log in logs:
        log.unlink()
    project.edit("paperlib/drawings/draw.py", "red", "blue")
    said = project.make()
    assert len(project.lines("executed.txt")) == 4 and len(project.lines("measured.txt")) == 2
    assert not any(log.exists() for log in logs) and "execute fig01" in said


def test_a_recipe_field_retrains_only_the_models_that_set_it(project):
    status, said = project.run("figure", "fig02", "--set", "c=0.7 image=4")
    assert status == 0, said
    trained = {path.stem for path in (project.build / "models").glob("*.safetensors")}
    assert trained == {"one", "two--c=0.7"}
    assert json.loads((project.build / "models" / "two--c=0.7.safetensors").read_text())["c"] == 0.7
    assert not (project.build / "results").exists()


def test_a_figure_again_takes_the_weights_that_the_repository_holds_and_the_book_trains_its_own(project):
    held = project.root / "book" / "published" / "models"
    held.mkdir(parents=True)
    recipe = {"data": "toy", "epochs": 3, "pause": 0.2, "c": 0.0, "source": ""}
    (held / "one.safetensors").write_text(json.dumps(recipe))
    (held / "one.json").write_text("{}")
    for image in (3, 4):
        status, said = project.run("figure", "fig01", f"image={image}")
        assert status == 0, said
    assert project.lines("epochs.txt") == [] and (project.build / "models" / "one.json").is_file()
    project.make()
    assert [line for line in project.lines("epochs.txt") if line.startswith("one")] == ["one 0", "one 1", "one 2"]
    # what a run of the reader's has trained is not replaced
    status, said = project.run("figure", "fig01", "image=5")
    assert status == 0 and len(project.lines("epochs.txt")) == 6


def test_a_held_model_of_another_recipe_is_not_taken(project):
    held = project.root / "book" / "published" / "models"
    held.mkdir(parents=True)
    (held / "one.safetensors").write_text(json.dumps({"data": "toy", "epochs": 9}))
    (held / "one.json").write_text("{}")
    status, said = project.run("figure", "fig01", "image=3")
    assert status == 0 and len(project.lines("epochs.txt")) == 3


# --- make ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_make(project) -> Project:
    """The tiny project with the real Makefile and an environment that needs no installing."""
    shutil.copy(HERE / "Makefile", project.root)
    (project.root / "requirements.txt").write_text("")
    return project


def make(project: Project, *arguments: str, **environment: str) -> tuple[int, str]:
    """Runs make in the project."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PAPERLIB_", "MAKE", "MFLAGS"))} | environment
    done = subprocess.run(["make", *arguments], cwd=project.root, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def script(path, text: str) -> str:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_make_runs_in_a_path_with_spaces(with_make):
    script(with_make.root / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    (with_make.root / ".venv" / "installed").touch()
    status, said = make(with_make, "book")
    assert status == 0, said
    assert (with_make.build / "html" / "index.html").is_file()
    status, said = make(with_make, "figure", "FIG=fig01", "P=image=3 eps=[0.1, 0.3]")
    assert status == 0, said
    assert list((with_make.build / "reruns").iterdir())
    status, said = make(with_make, "figure")
    assert status == 2 and "FIG is missing" in said
    (with_make.root / "build" / "data").mkdir()
    assert make(with_make, "clean")[0] == 0
    assert [path.name for path in (with_make.root / "build").iterdir()] == ["data"]


def test_make_installs_again_when_the_list_has_changed_and_not_when_its_date_has(with_make):
    calls = with_make.root / "calls.txt"
    script(
        with_make.root / "python",
        f"""
case "$*" in *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; *"-m pip"*) echo pip >> "{calls}";; esac""",
    )
    list_of = with_make.root / "requirements.txt"
    for date, content, installed in ((1e9, "a", 1), (4e9, "a", 1), (4e9, "a", 1), (1e9, "b", 2), (1e9, "b", 2)):
        list_of.write_text(content)
        os.utime(list_of, (date, date))
        status, said = make(with_make, "check", f"PYTHON={with_make.root / 'python'}")
        assert status == 0, said
        assert len(with_make.lines("calls.txt")) == installed


def test_make_cleans_nothing_below_a_run(with_make):
    script(with_make.root / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    (with_make.root / ".venv" / "installed").touch()
    process = with_make.start("book")
    until(lambda: with_make.lines("epochs.txt"))
    status, said = make(with_make, "clean")
    assert status == 2 and "paperlib: a run is at work in build (quick: book" in said
    assert process.communicate(timeout=60) and process.returncode == 0
    assert make(with_make, "clean")[0] == 0 and not with_make.build.exists()


def test_make_without_a_recent_python_says_what_to_install(with_make, tmp_path):
    old = script(tmp_path / "old python", "exit 1")
    status, said = make(with_make, "book", f"PYTHON={old}")
    assert status == 2
    assert f"Python 3.11 or newer is needed and {old} is not: install it" in said
    assert not (with_make.root / ".venv").exists()


def test_make_without_venv_says_what_to_install(with_make, tmp_path):
    bare = script(tmp_path / "bare python", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    status, said = make(with_make, "book", f"PYTHON={bare}")
    assert status == 2
    assert f"{bare} lacks the venv module: install it (apt install python3-venv)" in said
    assert not (with_make.root / ".venv").exists()


def test_make_without_a_registry_says_so_and_can_be_repeated(with_make, tmp_path):
    pip_fails = 'case "$*" in *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; *"-m pip"*) exit 1;; esac'
    broken = script(tmp_path / "offline python", pip_fails)
    for _ in range(2):
        status, said = make(with_make, "book", f"PYTHON={broken}")
        assert status == 2
        assert "The installation failed (see above): a package registry must be reachable" in said
    assert not (with_make.root / ".venv" / "installed").exists()


# --- data and checkpoints of the library itself --------------------------------------------------------------------


@pytest.fixture
def real(tmp_path, monkeypatch):
    """A profile with one tiny network on an archive; the network's checkpoint, which is not there yet."""
    write_archive(tmp_path / "tiny.npz")
    recipe = toy_recipe(data=str(tmp_path / "tiny.npz"), network="linear", epochs=1).to_dict()
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(experiments, "load", lambda: {"recipes": {"quick": {"net": recipe}}, "artifacts": {}})
    load.cache_clear()
    yield tmp_path / "build" / "quick" / "models" / "net.safetensors"
    load.cache_clear()


@pytest.mark.parametrize("options", [(), ("--rebuild",)])
def test_a_device_that_is_not_there_is_refused_and_the_checkpoint_stays(real, options, capsys):
    training.train("net", "quick")
    before = {path: path.read_bytes() for path in real.parent.iterdir()}
    capsys.readouterr()
    assert main(["train", "net", *options, "--device", "foo"]) == 2
    assert re.fullmatch(r"paperlib: device is 'foo'; allowed are (cuda, )?cpu.*\n", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in real.parent.iterdir()} == before


@pytest.mark.parametrize("options", [(), ("--rebuild",)])
@pytest.mark.parametrize("name", ["net.json", "net.safetensors", "net.made_of"])
def test_a_checkpoint_with_a_damaged_file_is_made_again(real, name, options, capsys):
    weights = training.train("net", "quick").read_bytes()
    path = real.with_name(name)
    path.write_bytes(path.read_bytes()[:-3])
    assert main(["train", "net", *options]) == 0
    assert re.search(rf"{name} is damaged.*; (net|it) is trained anew\n", capsys.readouterr().out)
    assert real.read_bytes() == weights and training.is_trained("net", "quick")


@pytest.mark.parametrize("options", [(), ("--rebuild",)])
def test_a_state_of_any_length_begins_anew(real, options, capsys):
    weights = training.train("net", "quick").read_bytes()
    real.unlink(), real.with_suffix(".json").unlink()
    for length in (0, 100, 5_000, 66_000):
        real.with_suffix(".state.pt").write_bytes(bytes(length))
        assert main(["train", "net", *options]) == 0
        assert real.read_bytes() == weights
        real.unlink(), real.with_suffix(".json").unlink()


def test_a_trained_model_is_of_its_recipe_and_data_and_whole(real, tmp_path):
    assert not training.is_trained("net", "quick")
    training.train("net", "quick")
    real.with_suffix(".made_of").unlink()
    assert training.is_trained("net", "quick")
    recipe = experiments.load()["recipes"]["quick"]["net"]
    recipe["seed"] = 1
    assert not training.is_trained("net", "quick")
    recipe["seed"] = 0
    write_archive(tmp_path / "tiny.npz", n=48)
    load.cache_clear()
    assert not training.is_trained("net", "quick")
    training.train("net", "quick")
    assert training.is_trained("net", "quick")
    real.with_suffix(".json").write_text("{")
    assert not training.is_trained("net", "quick")


def test_archives_of_one_name_are_two_data_sets_and_a_replaced_or_lost_one_is_noticed(real, tmp_path):
    def sha256(folder: str) -> str:
        load.cache_clear()
        return training.data(str(tmp_path / folder / "my.npz"), "quick")["sha256"]

    for folder, n in (("a", 40), ("b", 48)):
        (tmp_path / folder).mkdir()
        write_archive(tmp_path / folder / "my.npz", n=n)
    first, second = sha256("a"), sha256("b")
    assert first == load(str(tmp_path / "a" / "my.npz")).sha256 != second
    (tmp_path / "b" / "my.npz").replace(tmp_path / "a" / "my.npz")
    assert sha256("a") == second
    with pytest.raises(DataError, match="b/my.npz does not exist"):
        sha256("b")


def test_an_archive_with_other_content_of_the_same_size_and_date_is_noticed(real, tmp_path):
    path = tmp_path / "tiny.npz"
    before, date = training.data(str(path), "quick"), path.stat().st_mtime_ns
    content = path.read_bytes()
    x = (255 - np.load(path)["x_train"]).astype(np.uint8)
    write_archive(path, x_train=x)
    assert path.stat().st_size == len(content)
    os.utime(path, ns=(date, date))
    load.cache_clear()
    assert not training.is_loaded(str(path), "quick") and training.data(str(path), "quick")["sha256"] != before["sha256"]


def test_what_is_known_of_embedded_data_holds_and_is_renewed_with_an_archive(real, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path))
    of_others = {"name": "mnist", "sha256": "ab" * 32, "n": {}, "archive": None}
    sealed.write_json(training.data_file("mnist", "quick"), of_others)
    assert training.data("mnist", "quick") == of_others and training.is_loaded("mnist", "quick")
    images = np.zeros((20, 28, 28), np.uint8)
    labels = np.arange(20) % 10
    write_archive(data_dir() / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert not training.is_loaded("mnist", "quick")
    found = training.data("mnist", "quick")
    assert found["sha256"] == load("mnist").sha256 and found["archive"] == files.file_hash(tmp_path / "mnist.npz")


# --- parts ---------------------------------------------------------------------------------------------------------


def test_modules_follow_imports_and_leave_out_what_only_schedules():
    source = "from paperlib import attack\nimport numpy\nfrom press.run.pipeline import train"
    found = fingerprint.modules(source)
    assert {"paperlib.attack", "paperlib.objective"} <= set(found)
    assert not [name for name in found if name.startswith("press") or name == "paperlib.train"]


def test_code_digest_ignores_comments_and_docstrings_only(tmp_path):
    def digest(text: str) -> str:
        (tmp_path / "m.py").write_text(text)
        return fingerprint.code_digest([tmp_path / "m.py"])

    plain = digest('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 1\n')
    assert plain == digest('"""Other."""\n\n\ndef f( x ):  # why\n    """Other."""\n    return (x + 1)\n')
    assert plain != digest('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 2\n')


def test_what_lies_beside_a_module_counts_where_its_code_names_it(tmp_path, monkeypatch):
    package = tmp_path / "paperlib"
    package.mkdir()
    (package / "plain.py").write_text("x = 1\n")
    (package / "page.py").write_text('from paperlib import plain\nTEMPLATE = "page.html"\n')
    (package / "page.html").write_text("<p>one</p>")
    monkeypatch.setattr(fingerprint, "PACKAGE", package)

    def digests() -> list[str]:
        sources = ("import paperlib.plain", "import paperlib.page")
        return [fingerprint.code_digest(fingerprint.module_paths(source)) for source in sources]

    before = digests()
    (package / "page.html").write_text("<p>two</p>")
    after = digests()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    (package / "other.css").write_text("p {}")
    assert digests() == after


def test_the_report_s_page_and_numbers_count_in_what_uses_them_alone():
    def beside(source: str) -> list[str]:
        return [path.name for path in fingerprint.module_paths(source) if path.suffix != ".py"]

    assert beside("from paperlib.reporting import report") == ["page.css", "page.html", "published.json"]
    assert beside("import paperlib.cascade, paperlib.evaluate, paperlib.train, paperlib.plot") == []


def test_write_atomic_leaves_the_old_file_when_it_cannot_write(tmp_path, monkeypatch):
    target = tmp_path / "file"
    files.write_atomic(target, "old")
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write_atomic(target, "new")
    assert target.read_text() == "old"
