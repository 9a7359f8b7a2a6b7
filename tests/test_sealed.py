"""A sealed file is read as it was written, or refused with its name: whichever bit of it changes, wherever it is cut."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest

from paperlib import sealed
from paperlib.sealed import DamagedError

RECORD = {"values": {"clean": 98.4, "n": 450, "none": None, "×": [1, 2.5e-7, True]}, "artifact": "fig06"}
NOTEBOOK = {"cells": [], "metadata": {"paperlib": {"made_of": "ab"}}, "nbformat": 4, "nbformat_minor": 5}
ARRAYS = {"S/0.1": np.arange(6.0).reshape(2, 3), "flags": np.array([True, False])}


def same(found: object, expected: object) -> bool:
    """Equality, of arrays by name as well."""
    if isinstance(expected, dict) and isinstance(next(iter(expected.values())), np.ndarray):
        return list(found) == list(expected) and all(np.array_equal(found[name], expected[name]) for name in expected)
    return found == expected


CASES = {
    "bytes": (sealed.write, sealed.read, b"\x00weights\n"),
    "json": (sealed.write_json, sealed.read_json, RECORD),
    "notebook": (sealed.write_json, sealed.read_json, NOTEBOOK),
    "arrays": (lambda path, arrays: sealed.write_arrays(path, **arrays), sealed.read_arrays, ARRAYS),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """How a kind of file is read, what was written, and the file."""
    write, read, content = CASES[request.param]
    write(tmp_path / "file", content)
    return read, content, tmp_path / "file"


def test_it_comes_back_as_it_was_written(case):
    read, content, path = case
    assert same(read(path), content)
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_no_changed_bit_is_taken_for_good(case):
    read, content, path = case
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                # between the words of JSON one blank may stand for another
                assert same(read(path), content)
            except DamagedError as error:
                refused += 1
                assert str(error).startswith(f"{path} is damaged")
    assert refused > 7 * len(whole)


def test_no_cut_is_taken_for_good(case):
    read, content, path = case
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match="is damaged"):
            read(path)


def test_a_lost_file_is_named(case):
    read, _, path = case
    path.unlink()
    with pytest.raises(DamagedError, match=f"^{path} cannot be read"):
        read(path)


STRANGERS = ["[]", "3", "{}", '{"nbformat": 4}', '{"nbformat": 4, "metadata": []}', "\x00", '{"a": 1}']


@pytest.mark.parametrize("content", STRANGERS)
def test_what_something_else_wrote_is_refused(tmp_path, content):
    (tmp_path / "file").write_text(content)
    for read in (sealed.read, sealed.read_json, sealed.read_arrays):
        with pytest.raises(DamagedError, match="damaged or older than seals"):
            read(tmp_path / "file")
    assert not sealed.is_whole(tmp_path / "file")


def test_another_file_in_a_file_s_place_is_refused(tmp_path):
    for name in ("a.npz", "b.npz"):
        sealed.write_arrays(tmp_path / name, **ARRAYS)
    (tmp_path / "a.npz").replace(tmp_path / "b.npz")
    with pytest.raises(DamagedError, match=r"b.npz is not what belongs there: it was written as a.npz$"):
        sealed.read_arrays(tmp_path / "b.npz")
    sealed.write_json(tmp_path / "file", RECORD)
    assert sealed.read_json(tmp_path / "file", "artifact", "values") == RECORD
    with pytest.raises(DamagedError, match="file is not what belongs there: it lacks asked, files$"):
        sealed.read_json(tmp_path / "file", "asked", "artifact", "files")


def test_what_json_cannot_hold_leaves_the_former_file(tmp_path):
    sealed.write_json(tmp_path / "file", RECORD)
    for content in ({"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises((ValueError, TypeError)):
            sealed.write_json(tmp_path / "file", content)
    assert sealed.read_json(tmp_path / "file") == RECORD


def test_a_sealed_file_is_one_that_others_read(tmp_path):
    sealed.write_json(tmp_path / "n.ipynb", NOTEBOOK)
    nbformat.validate(nbformat.read(tmp_path / "n.ipynb", as_version=4))
    sealed.write_json(tmp_path / "r.json", RECORD)
    assert json.loads((tmp_path / "r.json").read_text()).items() >= RECORD.items()
    sealed.write_arrays(tmp_path / "a.npz", **ARRAYS)
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["S/0.1"], ARRAYS["S/0.1"])


def test_a_sealed_content_can_be_sealed_again(tmp_path: Path):
    path = tmp_path / "file"
    sealed.write_json(path, RECORD)
    sealed.write_json(path, json.loads(path.read_text()) | {"artifact": "fig07"})
    assert sealed.read_json(path) == RECORD | {"artifact": "fig07"}
