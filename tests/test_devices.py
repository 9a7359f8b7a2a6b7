"""Trainings and machines: one GPU a training where there are several, and many small trainings as one job of a cluster."""

import os
import re
import subprocess
import sys
import threading

import pytest
from house import ROOT

from press.run import devices

POPULATION = "".join(f"    c{k}: {{data: toy, epochs: 2, pause: 0.4, c: 0.{k}}}\n" for k in range(1, 6))


@pytest.fixture
def many(project):
    """The tiny project with five networks, in a profile that takes a GPU for each."""
    models = ", ".join(f"ours-{k}: c{k}" for k in range(1, 6))
    (project.root / "experiments.yml").write_text(
        f"recipes:\n  gpu:\n    one: {{data: toy, epochs: 1}}\n{POPULATION}artifacts:\n  fig01:\n    notebook: draw\n"
        f"    place: Fig. 1\n    title: Many\n    gpu: {{models: {{natural: one, {models}}}, parameters: {{image: 1}}}}\n"
    )
    # which GPU a training sees, at each of its epochs
    project.edit("press/run/zoo.py", 'f"{name} {epoch}\\n"', "f\"{name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n\"")
    return project


def seen(project) -> list[list[str]]:
    return [line.split() for line in project.lines("epochs.txt")]


def test_trainings_side_by_side_have_a_gpu_each(many):
    status, said = many.run("book", "--profile", "gpu", CUDA_VISIBLE_DEVICES="3,7")
    assert status == 0, said
    of = {name: {gpu for each, gpu in seen(many) if each == name} for name, _ in seen(many)}
    # each keeps its own, and both are used
    assert len(of) == 6 and all(len(gpus) == 1 for gpus in of.values()) and set().union(*of.values()) == {"3", "7"}


def test_no_more_steps_run_at_once_than_there_are_gpus(many):
    status, said = many.run("book", "--profile", "gpu", CUDA_VISIBLE_DEVICES="GPU-a")
    assert status == 0, said
    names = [name for name, _ in seen(many)]
    # one after the other: no network's epochs stand between another's
    assert [name for k, name in enumerate(names) if names[k - 1 : k] != [name]] == list(dict.fromkeys(names))
    assert {gpu for _, gpu in seen(many)} == {"GPU-a"}


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path))
    monkeypatch.setenv(devices.VISIBLE, "0,1")


def test_a_step_waits_for_a_gpu_that_nobody_has(gpus):
    third = []

    def later():
        with devices.own("gpu"):
            third.append(os.environ[devices.VISIBLE])

    with devices.own("gpu"):
        first = os.environ[devices.VISIBLE]
        os.environ[devices.VISIBLE] = "0,1"
        with devices.own("gpu"):
            assert {first, os.environ[devices.VISIBLE]} == {"0", "1"}
            os.environ[devices.VISIBLE] = "0,1"
            waiting = threading.Thread(target=later)
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive() and third == []
        waiting.join(10)
        assert third == [{"0": "1", "1": "0"}[first]]
    assert os.environ[devices.VISIBLE] == "0,1"


@pytest.mark.parametrize(("said", "profile", "wanted"), [
    ("0", "gpu", True), ("", "gpu", True), ("-1", "gpu", True), ("0,1", "paper", True), ("0,1", "gpu", False),
])  # fmt: skip
def test_nothing_is_taken_where_there_is_no_choice_or_no_need(gpus, tmp_path, monkeypatch, said, profile, wanted):
    monkeypatch.setenv(devices.VISIBLE, said)
    with devices.own(profile, wanted=wanted):
        assert os.environ[devices.VISIBLE] == said
    assert list(tmp_path.rglob("*.lock")) == []


def test_many_trainings_are_one_job_of_a_cluster(many):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "2", "--nocolor"]
    command += ["--workflow-profile", str(ROOT / "slurm" / "together"), "--config", "profile=gpu"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAPERLIB_")}
    environment |= {"PYTHONPATH": str(many.root)}

    def jobs(*more: str) -> list[int]:
        """How many trainings each job has."""
        done = subprocess.run([*command, *more], cwd=many.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        # the steps of a group are those set in below its line
        groups = re.findall(r"(?m)^\[.*Group job trainings.*\n((?:\n|    .*\n)*)", done.stdout + done.stderr)
        return sorted(group.count("rule train:") for group in groups)

    assert jobs() == [6]
    assert jobs("--group-components", "trainings=2") == [2, 2, 2]


def test_what_the_docs_say_of_many_trainings_is_there():
    page = (ROOT / "book" / "reproduce.md").read_text(encoding="utf-8")
    (command,) = re.findall(r".*--workflow-profile.*", page)
    assert "--profile slurm --workflow-profile slurm/together" in command
    assert command.strip() in (ROOT / "slurm" / "together" / "config.yaml").read_text(encoding="utf-8")
