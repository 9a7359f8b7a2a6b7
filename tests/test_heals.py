"""Nothing damaged is taken for good and everything lost is made again; contents decide, wherever the folder lies and
whatever dates its files have."""

import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Project, epochs, until

from paperlib import files, sealed
from press.__main__ import main
from press.page import manifest, site, verify
from press.plan import experiments, settings
from press.run import inventory, places, sheet, training, workflow


def flip(path: Path) -> None:
    """Changes one bit in the middle."""
    content = path.read_bytes()
    place = len(content) // 2
    path.write_bytes(content[:place] + bytes(byte ^ 1 for byte in content[place : place + 1]) + content[place + 1 :])


def halve(path: Path) -> None:
    """Cuts a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Leaves nothing of the content."""
    path.write_bytes(b"")


def change(old: str, new: str):
    """Replaces text that must be there."""

    def edit(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


DAMAGES = [
    # what is done to which file, what is said of it, how many figures are measured and how many notebooks executed again
    ("results/fig01.json", Path.unlink, "", 1, 1),
    ("results/fig01.json", change("98.4", "99.4"), "fig01.json is damaged: its content", 1, 1),
    ("results/fig01.json", halve, "fig01.json is damaged or older than seals", 1, 1),
    ("results/fig02.npz", Path.unlink, "fig02.npz is lost, damaged or of another measurement than fig02.json", 1, 1),
    ("results/fig02.npz", flip, "fig02.npz is lost, damaged or of another measurement than fig02.json", 1, 1),
    ("notebooks/fig01.ipynb", Path.unlink, "", 0, 1),
    ("notebooks/fig01.ipynb", change("image 1 in red", "image 7 in red"), "fig01.ipynb is damaged: its content", 0, 1),
    ("notebooks/fig01.ipynb", halve, "fig01.ipynb is damaged or older than seals", 0, 1),
    ("models/one.safetensors", halve, "", 0, 0),
    ("models/one.made_of", flip, "", 0, 0),
    ("data/toy.json", change('"train": 5', '"train": 6'), "toy.json is damaged: its content", 0, 0),
    ("data/toy.json", empty, "toy.json is damaged or older than seals", 0, 0),
    ("done/data/toy", empty, "", 0, 0),
    ("done/train/one", flip, "", 0, 0),
    ("done/execute/fig02", halve, "", 0, 0),
    ("done/book/html", Path.unlink, "", 0, 0),
    ("html/index.html", flip, "", 0, 0),
    ("html/index.html", Path.unlink, "", 0, 0),
    (".snakemake", shutil.rmtree, "", 0, 0),
    (".snakemake/metadata/ZG9uZS9ib29rL2h0bWw=", lambda path: path.write_bytes(b'{"\xba'), "", 0, 0),
]


@pytest.mark.parametrize(("name", "damage", "said", "measured", "executed"), DAMAGES)
def test_what_is_lost_or_damaged_is_made_again_and_nothing_else(done, finished, name, damage, said, measured, executed):
    before = {kind: len(done.lines(f"{kind}.txt")) for kind in ("measured", "executed")}
    damage(done.build / name)
    heard = done.make()
    assert said in heard and ("it is made again" in heard) == bool(said)
    assert done.products() == finished
    made = {kind: len(done.lines(f"{kind}.txt")) - before[kind] for kind in before}
    assert made == {"measured": measured, "executed": executed}


@pytest.mark.parametrize("seed", range(3))
def test_a_build_with_damage_everywhere_heals_in_one_run(done, finished, seed):
    chance = random.Random(seed)
    for path in sorted(done.build.rglob("*")):
        if path.is_file() and path.suffix != ".lock":
            chance.choice([flip, halve, empty, Path.unlink, lambda path: None])(path)
    done.make()
    assert done.products() == finished
    assert "[" not in done.make()


def test_a_lost_record_does_not_stop_a_changed_chapter(done, finished):
    (done.build / "results" / "fig01.json").unlink()
    done.edit("book/intro.md", "# Toy", "# Toys")
    done.make()
    assert done.products() == finished


# --- contents decide, not dates ------------------------------------------------------------------------------------


def dated(root: Path, seconds: float) -> None:
    """Sets the date of every source to so many seconds from now."""
    date = (root / "experiments.yml").stat().st_mtime + seconds
    for path in root.rglob("*"):
        if path.is_file() and "build" not in path.relative_to(root).parts:
            os.utime(path, (date, date))


@pytest.mark.parametrize("seconds", [3600, -1e9])
def test_sources_dated_ahead_or_back_change_nothing(done, finished, seconds):
    dated(done.root, seconds)
    assert "[" not in done.make()
    done.edit("book/intro.md", "# Toy", "# Toys")
    dated(done.root, seconds)
    assert "book html" in done.make() and len(done.lines("books.txt")) == 2
    assert done.products() == finished and set(epochs(done).values()) == {1}


def test_a_first_run_with_sources_dated_ahead_finishes(project, finished):
    dated(project.root, 3600)
    project.make()
    assert "[" not in project.make() and project.products() == finished


def test_a_change_that_keeps_date_and_size_is_seen(done):
    path = done.root / "book" / "intro.md"
    date = path.stat().st_mtime_ns
    done.edit("book/intro.md", "# Toy", "# Tox")
    os.utime(path, ns=(date, date))
    assert "book html" in done.make() and len(done.lines("books.txt")) == 2


def test_products_dated_ahead_or_in_any_order_are_kept(done):
    for number, path in enumerate(sorted((done.build / "done").rglob("*"), reverse=True)):
        os.utime(path, (4e9 + number, 4e9 + number))
    assert "[" not in done.make()


def test_what_changes_while_a_step_runs_is_not_stamped(project):
    project.edit("notebooks/draw.ipynb", "pause = 0.0", "pause = 2.0")
    process = project.start("book")
    until(lambda: project.lines("measured.txt"))
    project.edit("paperlib/drawings/draw.py", "red", "blue")
    process.communicate(timeout=60)
    project.make()
    assert all("in blue" in (project.build / "notebooks" / f"{key}.ipynb").read_text() for key in ("fig01", "fig02"))


# --- wherever the folder lies --------------------------------------------------------------------------------------


ODD = ["it's here", 'a "quoted" one', "dollars $HOME & more; #", "brackets [1] {x}", "ünï çödé %s"]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_will_do(whole_project, finished, tmp_path, name):
    project = whole_project.copied(tmp_path / name)
    (project.build / "models" / "one.safetensors").unlink()
    (project.build / "notebooks" / "fig01.ipynb").unlink()
    project.make()
    assert project.products() == finished
    assert len(project.make().splitlines()) == 1


def test_the_real_book_is_built_in_any_folder_and_its_pages_heal(tmp_path):
    project = Project(tmp_path / "it's {x} [1] é", real_book=True)
    project.make()
    page = project.build / "html" / "figures" / "fig01.html"
    change("98.4", "99.9")(page)
    project.make()
    assert "98.4" in page.read_text() and "99.9" not in page.read_text()
    assert len(project.make().splitlines()) == 1


def test_a_build_behind_a_link_will_do(done, finished, tmp_path):
    elsewhere = tmp_path / "far" / "away" / "disk"
    elsewhere.parent.mkdir(parents=True)
    (done.root / "build").rename(elsewhere)
    (done.root / "build").symlink_to(elsewhere)
    done.build = elsewhere / "quick"
    assert "[" not in done.make()
    (done.build / "notebooks" / "fig01.ipynb").unlink()
    done.make()
    assert done.products() == finished
    (tmp_path / "link").symlink_to(elsewhere)
    assert "[" not in done.make(PAPERLIB_BUILD=str(tmp_path / "link"))


def test_a_repository_behind_a_link_will_do(done, finished, tmp_path):
    (tmp_path / "link").symlink_to(done.root)
    done.root = tmp_path / "link"
    (done.build / "notebooks" / "fig01.ipynb").unlink()
    done.make()
    assert done.products() == finished and "[" not in done.make()


def test_a_build_copied_into_a_fresh_clone_is_taken_as_it_is(whole_project, tmp_path, finished):
    clone = Project(tmp_path / "a clone")
    # plain copies: every file has a new date
    shutil.copytree(whole_project.root / "build", clone.root / "build", copy_function=shutil.copyfile)
    assert "[" not in clone.make()
    assert clone.products() == finished and clone.lines("epochs.txt") == []


# --- make clean, make verify, and what failed ----------------------------------------------------------------------


def test_nobody_cleans_below_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    assert main(["idle"]) == 0
    with places.lock("quick", "book"):
        assert main(["idle"]) == 2
        sentence = "paperlib: a run is at work in build (quick: book); wait for its end or stop it\n"
        assert capsys.readouterr().err == sentence
    assert main(["idle"]) == 0


def test_verify_names_what_is_not_whole(done, finished):
    status, said = done.run("verify")
    assert status == 0 and [line.split()[-1] for line in said.splitlines()[1:]] == ["0"] * 5
    assert "quick execute              6       0" in said
    flip(done.build / "results" / "fig01.npz")
    (done.build / "models" / "one.safetensors").unlink()
    empty(done.build / "done" / "book" / "html")
    status, said = done.run("verify")
    assert status == 1
    for line in ("  damaged: results/fig01.npz", "  lost: models/one.safetensors", "  damaged: done/book/html"):
        assert line in said.splitlines()
    assert said.splitlines()[-1] == "paperlib: make book makes again what a run has lost"
    done.make()
    assert done.run("verify")[0] == 0


def test_verify_names_what_is_not_whole_of_the_edition(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(workflow, "all_steps", lambda profile: [])
    assert verify.checked("quick") == [verify.Checked("published", 0, {})]
    for name in ("a.json", "b.npz", "c.npy"):
        files.write_atomic(manifest.edition_dir() / "results" / name, name)
    manifest.write()
    assert verify.checked("quick") == [verify.Checked("published", 3, {})]
    flip(manifest.edition_dir() / "results" / "a.json")
    (manifest.edition_dir() / "results" / "b.npz").unlink()
    files.write_atomic(manifest.edition_dir() / "d", "")
    (row,) = verify.checked("quick")
    assert row.faults == {"results/a.json": "damaged", "results/b.npz": "lost", "d": "not listed"}
    halve(manifest.path_of())
    assert verify.checked("quick") == [verify.Checked("published", 0, {"MANIFEST.json": "damaged"})]


LOG = "quick/logs/train-one.log"


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("noise\npaperlib: data set toy is not at hand\n", f"data set toy is not at hand; read {LOG}"),
        ("paperlib: fig01 failed; read logs/fig01.ipynb\n", "fig01 failed; read logs/fig01.ipynb"),
        ("Traceback (most recent call last):\n  x\nRuntimeError: no\n", f"RuntimeError: no; read {LOG}"),
        ("noise\n", f"stopped before it was done; read {LOG}"),
        ("", f"stopped before it was done; read {LOG}"),
    ],
)
def test_a_step_that_failed_names_its_reason_and_the_log(tmp_path, monkeypatch, log, why):
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path))
    monkeypatch.setattr(workflow, "all_steps", lambda profile: [("train", "one"), ("train", "two")])
    files.write_atomic(workflow.log_of("quick", "train", "one"), log)
    files.write_atomic(workflow.log_of("quick", "train", "two"), "Traceback: of a step that is done")
    files.write_atomic(places.stamp("quick", "train", "two"), "")
    (line,) = workflow._failures("quick").splitlines()[1:]
    assert line == f"  train one: {why}".replace(LOG, f"{tmp_path}/{LOG}")


def test_a_run_on_a_full_disk_says_so_whatever_its_logs_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path))
    monkeypatch.setattr(workflow, "all_steps", lambda profile: [("train", "one")])
    files.write_atomic(workflow.log_of("quick", "train", "one"), "")
    assert "stopped before it was done" in workflow._failures("quick")
    monkeypatch.setattr(workflow.shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    sentence = f"the disk is full: nothing more fits into {tmp_path}/quick; make room, and make book goes on from here"
    assert workflow._failures("quick") == sentence


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("a\nintro.md:3: WARNING: no such page\nintro.md:3: WARNING: no such page\n",
         "the book has 1 warnings, which count as errors: intro.md:3: WARNING: no such page"),
        ("WARNING: Failed to copy a file: OSError(28, 'No space left on device')\n",
         "the disk is full: the book's pages did not fit; make room, and make book goes on from here"),
        ("Traceback:\n  x\nValueError: no\n====\nThere was an error in building your book.\n",
         "Jupyter Book failed: ValueError: no"),
        ("one\nlast words\n", "Jupyter Book failed: last words"),
        ("", "Jupyter Book failed: it said nothing"),
    ],
)  # fmt: skip
def test_a_book_that_failed_says_why(said, why):
    assert site._why(said) == why


def test_pages_that_are_not_whole_are_built_again(tmp_path, capsys):
    for name in ("index.html", "figures/fig01.html"):
        files.write_atomic(tmp_path / name, f"<p>{name}</p>")
    hashes = inventory.hashes(tmp_path, tmp_path.rglob("*"))
    assert hashes.keys() == {"index.html", "figures/fig01.html"}
    sealed.write_json(tmp_path / site.MADE_OF, {"made_of": "a", "files": hashes})
    assert site._is_built(tmp_path, "a") and not site._is_built(tmp_path, "b")
    flip(tmp_path / "figures" / "fig01.html")
    assert not site._is_built(tmp_path, "a")
    (tmp_path / "figures" / "fig01.html").unlink()
    assert not site._is_built(tmp_path, "a")
    files.write_atomic(tmp_path / "figures" / "fig01.html", "<p>figures/fig01.html</p>")
    assert site._is_built(tmp_path, "a")
    halve(tmp_path / site.MADE_OF)
    assert not site._is_built(tmp_path, "a")


def test_flags_of_the_edition_are_laid_again_where_they_are_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    held, laid = manifest.edition_dir() / "oracle" / "autoattack-1.npy", tmp_path / "oracle" / "autoattack-1.npy"
    sealed.write(held, b"flags")
    for damage in (lambda path: None, flip, Path.unlink):
        sheet._lay_flags(laid.parent)
        assert sealed.read(laid) == b"flags"
        damage(laid)
    flip(held)
    with pytest.raises(sealed.DamagedError, match=f"^{held} is damaged"):
        sheet._lay_flags(laid.parent)


def test_a_full_disk_is_one_sentence_with_file_and_way_out(monkeypatch, capsys, tmp_path):
    def full(path, *_, **__):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(training, "data", lambda name, profile: full(tmp_path / "toy.json"))
    monkeypatch.setattr(experiments, "check_profile", lambda profile: None)
    assert main(["data", "digits"]) == 2
    sentence = f"the disk is full: {tmp_path}/toy.json did not fit; make room, and the same command goes on from here"
    assert capsys.readouterr().err == f"paperlib: {sentence}\n"
