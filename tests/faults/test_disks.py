"""A full disk in every kind of write: one sentence says so, nothing half is left, and with room the same command goes on."""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import test_stores
import torch
from test_zoo import weights

from faults.trials import outcome, strangers
from paperlib import files

# the first attempt to write such a file finds no room
WRITES = ["toy.json", "one.made_of", "fig01.json", "fig02.npz", "fig01.ipynb", "data/toy", "train/one", "execute/fig02",
          "book/html", "index.html"]  # fmt: skip
SIZES = range(10)
FULL = '''
"""No room for one file: the first time it is to be put in its place."""
import errno, os
replace, name, marker = os.replace, os.environ["FULL_AT"], os.environ["FULL_ONCE"]

def full(source, target, **options):
    if str(target).endswith(name) and not os.path.exists(marker):
        open(marker, "w").close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
    return replace(source, target, **options)

os.replace = full
'''


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_finds_no_room(begun, toy, tmp_path, tell, name):
    (begun.root / "sitecustomize.py").write_text(FULL)
    limits = {"FULL_AT": name, "FULL_ONCE": str(tmp_path / "was full")}
    first = begun.run("book", **limits)
    second = begun.run("book", **limits)
    found, why = outcome(begun, toy.products, first, second)
    if first[0] == 0 or "the disk is full" not in first[1]:
        found, why = "tracebacks", first[1]
    if strangers(begun.build):
        found, why = "lost", f"left lying: {strangers(begun.build)}"
    tell("no room: a file of a run", found, because=why)


@contextmanager
def disk(path: Path, kilobytes: int):
    """A disk of so many kilobytes at ``path``; skips where this user may mount none."""
    path.mkdir()
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size={kilobytes}k,mode=777"
    mounted = shutil.which("mount") and subprocess.run(
        [*root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("this user may mount no disk")
    try:
        yield lambda size: subprocess.run([*root, "mount", "-o", f"remount,size={size}k", str(path)], check=True)
    finally:
        subprocess.run([*root, "umount", "-l", str(path)], check=True)


def used(folder: Path) -> int:
    """How many kilobytes the files in a folder take on a disk of pages."""
    return sum(4 * -(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("number", SIZES)
def test_a_disk_that_is_too_small(begun, toy, tmp_path, chance, tell, number):
    # the whole build takes more on the way than in the end
    room = chance.randrange(4, used(toy.whole.build) + 40)
    with disk(tmp_path / "disk", room) as enlarge:
        begun.build = tmp_path / "disk" / "quick"
        place = {"PAPERLIB_BUILD": str(tmp_path / "disk")}
        first = begun.run("book", **place)
        enlarge(100_000)
        second = begun.run("book", **place)
        found, why = outcome(begun, toy.products, first, second)
        if first[0] and not re.search("the disk is full|No space left", first[1]):
            found, why = "tracebacks", f"{room} kB: {first[1]}"
        tell("no room: a small disk", found, because=why)


# --- the real writers ----------------------------------------------------------------------------------------------


def full_at(monkeypatch, turn: int) -> list[Path]:
    """The ``turn``-th file that is put in its place finds no room; the list of all that are."""
    replace, calls = os.replace, []

    def full(source, target, **options):
        calls.append(Path(target))
        if len(calls) == turn:
            raise OSError(28, "No space left on device", str(source))
        return replace(source, target, **options)

    monkeypatch.setattr(files.os, "replace", full)
    return calls


def test_a_real_training_s_files(house, monkeypatch, tell):
    whole = weights(house.get().model)
    for turn in range(1, 6):
        for path in house.models.iterdir():
            path.unlink()
        with monkeypatch.context() as patch:
            calls = full_at(patch, turn)
            try:
                house.get()
            except OSError as error:
                assert error.errno == 28
        assert len(calls) >= min(turn, 4)
        found = "healed" if torch.equal(weights(house.get().model), whole) and not strangers(house.models) else "lost"
        tell("no room: a real training's files", found, because=str(calls))


@pytest.mark.parametrize("name", ["robustness", "worst", "plane", "piece", "autoattack"])
def test_a_measurement_s_parts(tmp_path, monkeypatch, tell, name):
    from faults.test_damages import same

    test_stores.stand_in(monkeypatch)
    measure = getattr(test_stores, name)
    whole = measure(tmp_path / "whole")
    with monkeypatch.context() as patch:
        full_at(patch, 2 if name != "plane" else 1)
        with pytest.raises(OSError, match="No space left"):
            measure(tmp_path / "full")
    found = "healed" if same(measure(tmp_path / "full"), whole) and not strangers(tmp_path / "full") else "wrong"
    tell("no room: parts of measurements", found)
