"""Strange places and surroundings: dates, two runs at once, cleaning below a run, no network, folders that nobody may write
in, long and foreign paths, umask 077."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HERE, Project, epochs, until
from test_heals import dated
from test_pipeline import make, script

from faults.trials import outcome

FOREIGN = ["it's a 'folder'", "ünï çödé — 北京 %s", "-rf", "a\nline", "$HOME; `x` & |", "~", "{{ x }} [1]"]


def mounts(*arguments: str) -> None:
    """A mount that the trial needs; skips where this user may make none."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("mount") or subprocess.run([*root, *arguments], capture_output=True).returncode:
        pytest.skip("this user may mount nothing")


# --- dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600, 1e8, -3600, -1e9])
def test_dates_of_sources(done, toy, tell, seconds):
    dated(done.root, seconds)
    heard = done.run("book")
    found, why = ("lost", heard[1]) if "[" in heard[1] else outcome(done, toy.products, heard)
    tell("dates: sources ahead and back", found, because=why)


@pytest.mark.parametrize("number", range(4))
def test_dates_of_products(done, toy, chance, tell, number):
    paths = [path for path in done.build.rglob("*") if path.is_file()]
    for path in paths:
        date = chance.uniform(0, 4e9)
        os.utime(path, (date, date))
    heard = done.run("book")
    found, why = ("lost", heard[1]) if "[" in heard[1] else outcome(done, toy.products, heard)
    tell("dates: products at random", found, because=why)


@pytest.mark.parametrize("seconds", [3600, -1e9])
def test_dates_before_a_first_run(begun, toy, tell, seconds):
    dated(begun.root, seconds)
    found, why = outcome(begun, toy.products, begun.run("book"))
    tell("dates: sources ahead and back", found, because=why)


# --- two at once, and cleaning -------------------------------------------------------------------------------------

SECONDS = [("book",), ("book",), ("train", "one", "two"), ("execute", "fig02"), ("figure", "fig01", "image=3"), ("site",)]


@pytest.mark.parametrize("number", range(len(SECONDS)))
def test_two_runs_at_once(begun, toy, chance, tell, number):
    first = begun.start("book")
    time.sleep(chance.uniform(0, toy.seconds / 2))
    second = begun.run(*SECONDS[number])
    said, _ = first.communicate(timeout=120)
    found, why = outcome(begun, toy.products, (first.returncode, said), second)
    if found == "healed" and set(epochs(begun).values()) != {1}:
        found, why = "lost", str(epochs(begun))
    tell("two runs at once", found, because=why)


@pytest.mark.parametrize("number", range(3))
def test_clean_below_a_run(begun, toy, chance, tell, number):
    shutil.copy(HERE / "Makefile", begun.root)
    script(begun.root / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    for name in (".venv/installed", "requirements.txt"):
        (begun.root / name).write_text("")
    process = begun.start("book")
    until(lambda: list(begun.build.glob("locks/book.lock")))
    time.sleep(chance.uniform(0, toy.seconds / 2))
    status, said = make(begun, "clean")
    over = process.poll() is not None
    heard, _ = process.communicate(timeout=120)
    if over and status == 0:
        heard, process.returncode = begun.run("book")[1], 0
    found, why = outcome(begun, toy.products, (process.returncode, heard))
    refused = status == 2 and "paperlib: a run is at work in build" in said
    tell("clean during a run", "refused" if found == "healed" and refused else found if over else "lost", because=why + said)


# --- surroundings --------------------------------------------------------------------------------------------------


def test_no_network(begun, toy, tell):
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this user may take no network away")
    # a kernel is spoken to over the loopback device, which a network of one's own has as well, once it is up
    begun.before = ("unshare", "-rn", "sh", "-c", 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$0" "$@"')
    found, why = outcome(begun, toy.products, begun.run("book"))
    tell("no network", found, because=why)


def test_a_tree_that_nobody_may_write_in(done, toy, tmp_path, tell):
    """Where nothing is to be done nothing is refused; where something is, one sentence says what could not be written."""
    link = tmp_path / "read only"
    link.mkdir()
    mounts("mount", "--bind", "-o", "ro", str(done.root), str(link))
    try:
        mounts("mount", "-o", "remount,bind,ro", str(link))
        heard = _at(done, link).run("book")
        found, why = outcome(done, toy.products, heard) if heard[0] == 0 else ("tracebacks", heard[1])
        tell("read-only tree", found, because=why)
        (done.build / "notebooks" / "fig01.ipynb").unlink()
        status, said = _at(done, link).run("book")
        right = status == 2 and said.startswith("paperlib: ") and "Traceback" not in said and "ead-only" in said
        tell("read-only tree", "refused" if right else "tracebacks", because=said)
    finally:
        subprocess.run([*([] if os.geteuid() == 0 else ["sudo", "-n"]), "umount", "-l", str(link)], check=True)
    found, why = outcome(done, toy.products, done.run("book"))
    tell("read-only tree", found, because=why)


def _at(project: Project, root: Path) -> Project:
    """The same project under another path."""
    other = object.__new__(Project)
    other.root, other.build = root, root / "build" / "quick"
    return other


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/none", ""])
def test_a_home_that_nobody_may_write_in(begun, toy, tell, home):
    found, why = outcome(begun, toy.products, begun.run("book", HOME=home, XDG_CACHE_HOME=home, XDG_RUNTIME_DIR=home))
    tell("unwritable HOME", found, because=why)


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_paths(toy, tmp_path, tell, name):
    project = toy.bare.copied(tmp_path / name)
    found, why = outcome(project, toy.products, project.run("book"))
    tell("long and foreign paths", found, because=why)


@pytest.mark.parametrize("length", [500, 1500])
def test_long_paths(toy, tmp_path, tell, length):
    root = tmp_path
    while len(str(root)) < length:
        root /= "a long name of a folder " * 8
    root.parent.mkdir(parents=True)
    project = toy.bare.copied(root)
    found, why = outcome(project, toy.products, project.run("book"))
    tell("long and foreign paths", found, because=why)


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_a_locale_that_knows_no_umlauts(toy, tmp_path, tell, locale):
    project = toy.bare.copied(tmp_path / "ünï çödé")
    heard = project.run("book", LC_ALL=locale, LANG=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    found, why = outcome(project, toy.products, heard)
    tell("other locales", found, because=why)


def test_umask_077(begun, toy, tell):
    begun.before = ("sh", "-c", 'umask 077; exec "$0" "$@"')
    found, why = outcome(begun, toy.products, begun.run("book"))
    # notes of Snakemake's and IPython's own may be read by all
    theirs = {".snakemake", "ipython", "home"}
    ours = [path for path in begun.build.rglob("*") if path.is_file() and not theirs & set(path.parts)]
    open_files = [path for path in ours if path.stat().st_mode & 0o077]
    tell("umask 077", "wrong" if open_files else found, because=why + str(open_files[:3]))
