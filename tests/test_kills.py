"""Kills at any moment of a run: the next run finishes, does nothing finished again, and gives the same results."""

import json
import os
import signal
import sys

import psutil
import pytest
from conftest import Project, epochs, kill_group, until


def workers(project: Project, word: str) -> list[psutil.Process]:
    """Running steps of the project whose command has ``word``."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        here = str(process.info["cwd"] or "").startswith(str(project.root))
        if here and word in command and command[0].endswith(("python", "python3", os.path.basename(sys.executable))):
            found.append(process)
    return found


MOMENTS = {
    "first epoch": lambda project: project.lines("epochs.txt"),
    "later epoch": lambda project: any(line.endswith("2") for line in project.lines("epochs.txt")),
    "model published": lambda project: (project.build / "models" / "one.safetensors").exists(),
    "model stamped": lambda project: (project.build / "done" / "train" / "one").exists(),
    "notebook running": lambda project: project.lines("executed.txt"),
    "notebook published": lambda project: (project.build / "notebooks" / "fig01.ipynb").exists(),
    "book built": lambda project: project.lines("books.txt"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_of_the_whole_group_loses_at_most_an_epoch(project, finished, moment):
    process = project.start("book")
    until(lambda: MOMENTS[moment](project))
    kill_group(process)
    published = {path for path in project.products() if path.endswith((".safetensors", ".ipynb"))}
    executed = project.lines("executed.txt")
    project.make()
    assert project.products() == finished
    # what was being worked on may be started again; what was finished may not
    assert sum(count - 1 for count in epochs(project).values()) <= 2
    for name in ("one", "two"):
        if f"models/{name}.safetensors" in published:
            assert all(epochs(project)[f"{name} {epoch}"] == 1 for epoch in range(3))
    for key in ("fig01", "fig02"):
        if f"notebooks/{key}.ipynb" in published:
            assert project.lines("executed.txt").count(key) == executed.count(key)


@pytest.mark.parametrize("step", ["train", "execute"])
def test_kill_of_one_worker_fails_that_run_and_the_next_one_finishes(project, finished, step):
    project.edit("notebooks/draw.ipynb", "pause = 0.0", "pause = 1.0")
    process = project.start("book")
    until(lambda: project.lines("epochs.txt" if step == "train" else "executed.txt"))
    victim = workers(project, step)[0]
    name = victim.cmdline()[victim.cmdline().index(step) + 1]
    victim.kill()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{step} {name}: stopped before it was done; read build/quick/logs/{step}-{name}.log" in said
    # a kernel whose worker is gone ends by itself
    until(lambda: not workers(project, "ipykernel_launcher"))
    project.make()
    # what was executed names its longer pause
    kept = [
        {path: text for path, text in products.items() if not path.endswith((".ipynb", ".json"))}
        for products in (project.products(), finished)
    ]
    assert kept[0] == kept[1] and len(kept[0]) == 7
    for key in ("fig01", "fig02"):
        values = json.loads((project.build / "results" / f"{key}.json").read_text())["values"]
        assert values == json.loads(finished[f"results/{key}.json"])["values"]


def test_an_interrupted_run_says_so_in_a_sentence_and_goes_on(project, finished):
    process = project.start("book")
    until(lambda: project.lines("epochs.txt"))
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "train one: interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    project.make()
    assert project.products() == finished


def test_a_killed_driver_leaves_workers_whose_results_the_next_run_takes(project, finished):
    process = project.start("book")
    until(lambda: len(project.lines("epochs.txt")) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers(project, "train")
    project.make()
    assert project.products() == finished
    assert set(epochs(project).values()) == {1}


def test_two_runs_at_once_share_the_work(project, finished):
    first, second = project.start("book"), project.start("book")
    said = [process.communicate(timeout=90)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("waiting for another process that works on book" in text for text in said) == 1
    assert project.products() == finished
    assert set(epochs(project).values()) == {1}
