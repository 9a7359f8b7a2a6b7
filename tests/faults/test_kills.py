"""kill -9 at random moments of the tiny project's whole book, and of a real training and a real report."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from conftest import epochs, kill_group, until
from test_kills import workers
from toys import toy_recipe, write_archive

import press
from faults.trials import outcome

GROUPS, WORKERS, KERNELS, DRIVERS, PAGES = range(12), range(5), range(5), range(6), range(3)


def published(project) -> set[str]:
    """Which models and notebooks are finished."""
    return {path for path in project.products() if path.endswith((".safetensors", ".ipynb"))}


def thrown_away(project, before: set[str], executed: list[str]) -> list[str]:
    """What was finished ``before`` and was made a second time."""
    models = [name for name in ("one", "two") if f"models/{name}.safetensors" in before]
    again = [name for name in models if any(epochs(project).get(f"{name} {epoch}") != 1 for epoch in range(3))]
    keys = [key for key in ("fig01", "fig02") if f"notebooks/{key}.ipynb" in before]
    return again + [key for key in keys if project.lines("executed.txt").count(key) > executed.count(key)]


def judged(project, expected: dict, before: set[str], executed: list[str], *heard) -> tuple[str, str]:
    """As ``outcome``; work that was finished and thrown away is lost."""
    found = outcome(project, expected, *heard)
    again = thrown_away(project, before, executed)
    return ("lost", f"made a second time: {again}") if found[0] == "healed" and again else found


@pytest.mark.parametrize("number", GROUPS)
def test_the_process_group(begun, toy, chance, tell, number):
    process = begun.start("book")
    time.sleep(chance.uniform(0, toy.seconds))
    kill_group(process)
    before, executed = published(begun), begun.lines("executed.txt")
    found, why = judged(begun, toy.products, before, executed, begun.run("book"))
    # an epoch a model may have been under way
    if found == "healed" and sum(count - 1 for count in epochs(begun).values()) > 2:
        found, why = "lost", str(epochs(begun))
    tell("kill -9: the process group", found, because=why)


def victim(project, word: str, chance, seconds: float) -> psutil.Process | None:
    """A step or a kernel at a random moment; None where the run was over before there was one."""
    until(lambda: workers(project, word))
    time.sleep(chance.uniform(0, seconds))
    there = workers(project, word)
    return chance.choice(there) if there else None


@pytest.mark.parametrize(("word", "kind", "number"), [
    *(("--step", "a worker", number) for number in WORKERS),
    *(("ipykernel_launcher", "a kernel", number) for number in KERNELS),
])  # fmt: skip
def test_one_process_of_a_run(begun, toy, chance, tell, word, kind, number):
    process = begun.start("book")
    chosen = victim(begun, word, chance, toy.seconds / 3 if word == "--step" else 1)
    if chosen is not None:
        chosen.kill()
    said, _ = process.communicate(timeout=120)
    before, executed = published(begun), begun.lines("executed.txt")
    found, why = judged(begun, toy.products, before, executed, (process.returncode, said), begun.run("book"))
    until(lambda: not workers(begun, "ipykernel_launcher"))
    tell(f"kill -9: {kind}", found, because=why)


@pytest.mark.parametrize("number", DRIVERS)
def test_the_driver_and_a_run_right_after_it(begun, toy, chance, tell, number):
    process = begun.start("book")
    time.sleep(chance.uniform(0, toy.seconds))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before, executed = published(begun), begun.lines("executed.txt")
    found, why = judged(begun, toy.products, before, executed, begun.run("book"))
    tell("kill -9: the driver, its workers go on", found, because=why)


@pytest.mark.parametrize("number", PAGES)
def test_the_real_book_s_pages(book_project, chance, tell, number):
    assert book_project.run("execute", "fig01")[0] == 0 and book_project.run("execute", "fig02")[0] == 0
    process = book_project.start("site")
    until(lambda: workers(book_project, "jupyter_book") or process.poll() is not None)
    time.sleep(chance.uniform(0, 2))
    # the builder alone: its child must not go on writing
    process.kill()
    process.wait()
    until(lambda: not workers(book_project, "jupyter_book"), seconds=5)
    heard = book_project.run("site")
    page = book_project.build / "html" / "figures" / "fig01.html"
    found = "tracebacks" if heard[0] or "Traceback" in heard[1] else "healed" if "98.4" in page.read_text() else "wrong"
    tell("kill -9: the builder of the real pages", found, because=heard[1])


def written(path: Path) -> int:
    """When a file was written, 0 without one."""
    return path.stat().st_mtime_ns if path.exists() else 0


TRAIN = """
import sys
from press.run import zoo
print(zoo.get("toy", "quick", progress=False).sha256)
"""


def test_a_real_training(tmp_path, chance, tell):
    write_archive(tmp_path / "tiny.npz", n=400)
    recipe = toy_recipe(data=str(tmp_path / "tiny.npz"), epochs=30, method="ours", c=0.1).to_dict()
    (tmp_path / "experiments.yml").write_text(json.dumps({"recipes": {"quick": {"toy": recipe}}, "artifacts": {}}))
    environment = {
        "PAPERLIB_ROOT": str(tmp_path), "PYTHONPATH": str(Path(press.__file__).parents[1]), "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def start(build: str) -> subprocess.Popen:
        command = [sys.executable, "-c", TRAIN]
        place = {"PAPERLIB_BUILD": str(tmp_path / build)}
        return subprocess.Popen(
            command, env=environment | place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    whole, _ = start("whole").communicate(timeout=200)
    models = tmp_path / "killed" / "quick" / "models"
    state, kills = models / "toy.state.pt", 0
    while kills < 6 and not (models / "toy.json").exists():
        process, before = start("killed"), written(state)
        until(partial(lambda process, before: process.poll() is not None or written(state) > before, process, before))
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
        kills += 1
    said, _ = start("killed").communicate(timeout=200)
    found = "tracebacks" if "Traceback" in said else "healed" if said == whole and len(whole.strip()) == 64 else "wrong"
    tell("kill -9: a real training, again and again", found, kills, because=said)
