"""What a run wrote down comes back as it was, or is refused before anything is overwritten."""

import errno
import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import linear, toy_dataset, toy_recipe

from paperlib import files, provenance, sealed
from paperlib import record as records
from paperlib.sealed import DamagedError
from press.plan import experiments
from press.run import record, steps


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(experiments, "paper_place", lambda artifact: "Fig. 6")


def run(**changes) -> record.Run:
    settings = {"profile": "quick", "parameters": {"image": 3, "eps": [0.1, 0.2]}, "seeds": {"plane": 7}}
    made = record.Run("fig06", **settings | changes)
    made.dataset(toy_dataset(), 20)
    trained = SimpleNamespace(name="toy", sha256="a" * 64, recipe=toy_recipe(), model=linear(torch.eye(2)))
    assert made.model("natural", trained) is trained.model
    return made


VALUES = {"natural": {"clean": {"mean": 98.5, "low": 97.0, "high": 99.0, "n": 20}}, "bends": True, "word": "flat"}


def test_a_record_comes_back_as_it_was_written(tmp_path):
    written = run().write(VALUES, S=np.arange(6.0).reshape(2, 3), alpha=torch.ones(3))
    folder = tmp_path / "build" / "quick" / "results"
    read = records.content_of(folder / "fig06.json")
    assert read == written
    assert list(read) == [
        "artifact", "paper", "profile", "parameters", "data", "models", "seeds", "environment", "git_commit", "started",
        "seconds", "made_of", "values", "arrays_sha256",
    ]  # fmt: skip
    assert (read["artifact"], read["paper"], read["profile"]) == ("fig06", "Fig. 6", "quick")
    assert read["parameters"] == {"image": 3, "eps": [0.1, 0.2]} and read["seeds"] == {"plane": 7}
    assert read["data"] == {"name": "stripes", "sha256": "0" * 64, "n": 20, "pixel_scale": 1}
    assert read["models"] == {"natural": {"name": "toy", "sha256": "a" * 64, "recipe": toy_recipe().to_dict()}}
    assert read["values"] == VALUES and read["seconds"] >= 0 and read["started"].endswith("+00:00")
    with np.load(folder / "fig06.npz") as arrays:
        assert np.array_equal(arrays["S"], np.arange(6.0).reshape(2, 3))
        assert np.array_equal(arrays["alpha"], np.ones(3))
    assert sorted(path.name for path in folder.iterdir()) == ["fig06.json", "fig06.npz"]


def test_a_folder_of_ones_own(tmp_path):
    run(out=str(tmp_path / "mine")).write(VALUES)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["fig06.json"]
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None), (float("inf"), None), (-np.inf, None), (np.float32("nan"), None),
        (np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.str_("a"), "a"),
        (torch.tensor(2.5), 2.5), (torch.tensor([[1, 2]]), [[1, 2]]), (np.array([0.5, np.nan]), [0.5, None]),
        ((1, "a", None), [1, "a", None]), ({0.1: {"a": (1.5,)}}, {"0.1": {"a": [1.5]}}), (True, True),
    ],
)  # fmt: skip
def test_values_become_plain(value, expected):
    found = provenance.plain(value)
    assert found == expected and type(found) is type(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


@pytest.mark.parametrize(("value", "name"), [({1, 2}, "set"), (1 + 2j, "complex"), (object(), "object"), (b"a", "bytes")])
def test_other_values_are_refused(value, name):
    with pytest.raises(ValueError) as caught:
        provenance.plain({"a": [value]})
    assert str(caught.value) == f"a value of type {name} cannot be recorded; allowed are numbers, strings, lists"


@pytest.mark.parametrize("place", ["values", "parameters", "seeds"])
def test_a_refused_record_leaves_the_former_one_alone(tmp_path, place):
    run().write(VALUES, S=np.zeros(2))
    folder = tmp_path / "build" / "quick" / "results"
    former = {path.name: path.read_bytes() for path in folder.iterdir()}
    changes = {} if place == "values" else {place: {"a": object()}}
    with pytest.raises(ValueError, match="^a value of type object cannot be recorded"):
        run(**changes).write({"a": object()} if place == "values" else VALUES, S=np.ones(2))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == former


def test_numbers_of_numpy_may_be_parameters():
    written = run(parameters={"eps": np.float64(0.1), "grid": (1, 2)}, seeds={"plane": np.int64(1)}).write(VALUES)
    assert written["parameters"] == {"eps": 0.1, "grid": [1, 2]} and written["seeds"] == {"plane": 1}


def test_a_failed_write_leaves_the_former_files_whole(tmp_path, monkeypatch):
    run().write(VALUES, S=np.zeros(2))
    folder = tmp_path / "build" / "quick" / "results"
    former = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(stream):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*fig06.npz"):
        run().write(VALUES | {"word": "steep"}, S=np.ones(2))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == former


def test_a_kill_between_arrays_and_record_leaves_nothing_that_is_taken_for_good(tmp_path, monkeypatch):
    run().write(VALUES, S=np.zeros(2))
    monkeypatch.setattr(sealed, "write_atomic", None)
    with pytest.raises(TypeError):
        run().write(VALUES | {"word": "steep"}, S=np.ones(2))
    path = tmp_path / "build" / "quick" / "results" / "fig06.json"
    assert not steps.is_measured(path, "")
    monkeypatch.undo()
    with pytest.raises(DamagedError, match="fig06.npz is lost, damaged or of another measurement than fig06.json$"):
        records.read(path)


def test_a_record_without_arrays_takes_none_that_lie_beside_it(tmp_path):
    run(out=str(tmp_path)).write(VALUES)
    np.savez(tmp_path / "fig06.npz", S=np.zeros(2))
    assert records.read(tmp_path / "fig06.json").arrays == {}


def a_number(content: bytes) -> bytes:
    assert content.count(b"98.5") == 1
    return content.replace(b"98.5", b"99.5")


def a_bit(content: bytes) -> bytes:
    return content[:-30] + bytes([content[-30] ^ 4]) + content[-29:]


@pytest.mark.parametrize(
    ("name", "change"),
    [("fig06.json", a_number), ("fig06.json", a_bit), ("fig06.npz", a_bit), ("fig06.json", lambda content: content[:-9]),
     ("fig06.npz", lambda content: content[:-9]), ("fig06.npz", None), ("fig06.json", None)],
)  # fmt: skip
def test_a_damaged_or_lost_record_is_refused_with_the_file_s_name(tmp_path, capsys, name, change):
    run(out=str(tmp_path)).write(VALUES, made_of="code", S=np.arange(6.0))
    assert steps.is_measured(tmp_path / "fig06.json", "code") and capsys.readouterr().out == ""
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    with pytest.raises(DamagedError, match=f"^{path} "):
        records.read(tmp_path / "fig06.json")
    assert not steps.is_measured(tmp_path / "fig06.json", "code")
    lost = change is None and name == "fig06.json"
    assert capsys.readouterr().out.startswith("" if lost else f"{path} ")


@pytest.mark.parametrize("content", [{}, {"artifact": "a", "values": {}}])
def test_a_file_that_is_no_record_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "result.json"
    sealed.write_json(path, content)
    with pytest.raises(ValueError, match="result.json is not a record: it lacks artifact, models, values or arrays_sha256$"):
        records.read(path)


def git(folder, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()  # fmt: skip


def test_the_commit_is_the_projects_own(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "HERE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_commit() is None  # no repository
    git(tmp_path, "init", "--quiet")
    assert provenance.git_commit() is None  # no commit yet
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.git_commit() == commit
    (tmp_path / "results.json").write_text("untracked")
    assert provenance.git_commit() == commit
    (tmp_path / "code.py").write_text("2")
    assert provenance.git_commit() == commit + "+"
    # an archive unpacked inside somebody's repository does not quote that repository
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(provenance, "HERE", tmp_path / "unpacked")
    assert provenance.git_commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() is None


def test_the_environment_names_what_can_change_a_number():
    found = provenance.environment()
    assert found["packages"]["torch"] == torch.__version__.split("+")[0] or found["packages"]["torch"] == torch.__version__
    assert found["packages"]["numpy"] == np.__version__
    assert set(found["machine"]) == {"system", "processor", "cores", "threads", "gpu"}
    assert found["machine"]["cores"] >= 1 and found["machine"]["processor"]
