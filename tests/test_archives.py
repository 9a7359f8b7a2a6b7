"""Archives are not believed: what a header promises is held against the archive's list and this machine's memory before
anything is read, in a process that is given little of it."""

import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from house import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import write_archive

from paperlib import archives, data
from paperlib.data import DataError

PLAIN = "is not a readable .npz archive of plain arrays"


def member(shape: tuple, dtype: str = "|u1", content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An array's file with a header of one's own."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + content


def with_member(path: Path, content: bytes, *, name: str = "x_train", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A good archive of which one array is another."""
    write_archive(path)
    with zipfile.ZipFile(path) as good:
        others = {each: good.read(each) for each in good.namelist() if each != f"{name}.npy"}
    with zipfile.ZipFile(path, "w", compression) as written:
        written.writestr(f"{name}.npy", content)
        for each, bytes_of in others.items():
            written.writestr(each, bytes_of)
    return path


def marked(path: Path, at: int, value: int) -> Path:
    """An archive both of whose lists have another 16-bit number for the first member: its flags (6) or its packing (8)."""
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    for place in (at, central + at + 2):
        content[place : place + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    return path


def many_images(path: Path) -> Path:
    return with_member(path, member((4_000_000_000, 28, 28), content=bytes(100)))


def bomb(path: Path) -> Path:
    """Half a megabyte that unpacks to six hundred: written in pieces, for nobody should need that memory."""
    write_archive(path)
    with zipfile.ZipFile(path) as good:
        others = {each: good.read(each) for each in good.namelist() if each != "x_train.npy"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
        with written.open("x_train.npy", "w", force_zip64=True) as stream:
            stream.write(member((6000, 1000, 100)))
            for _ in range(600):
                stream.write(bytes(1_000_000))
        for each, bytes_of in others.items():
            written.writestr(each, bytes_of)
    return path


def labels(*values: int, dtype: str = "<u8"):
    """Training labels of which the first are these."""

    def make(path: Path) -> Path:
        y = (np.arange(40) % 4).astype(dtype)
        y[: len(values)] = values
        write_archive(path, y_train=y)
        return path

    return make


HOSTILE = {
    "a header of 4e9 images": (many_images, f"{PLAIN} (x_train says that it is (4000000000, 28, 28)"),
    "a bomb": (bomb, "that unpack to 0.6 GB; allowed is 100 times as much"),
    "labels beyond 2^63": (labels(2**63 + 5), "holds the label 9223372036854775813; allowed are labels 0..K-1 of at most"),
    "labels of 1e9": (labels(10**9), "holds the label 1000000000; allowed are labels 0..K-1 of at most 100000 classes"),
    "an encrypted array": (lambda path: marked(with_member(path, member((1,))), 6, 1), "is encrypted; allowed are archives"),
    "an unknown packing": (lambda path: marked(with_member(path, member((1,))), 8, 99), PLAIN),
    "a wrong packing": (lambda path: marked(with_member(path, member((1,))), 8, 14), PLAIN),
    "a negative shape": (lambda path: with_member(path, member((-3, 8, 8))), PLAIN),
    "a header that is code": (lambda path: with_member(path, member("__import__('os')")), PLAIN),
    "a header without an end": (lambda path: with_member(path, member("(((((")), PLAIN),
    "a header of another kind": (lambda path: with_member(path, member((1,), "|O")), PLAIN),
    "a future version": (lambda path: with_member(path, member((1,), version=b"\x09\x00")), PLAIN),
    "names of no type": (lambda path: with_member(path, member((1,), "nonsense")), PLAIN),
}
LOAD = """
import resource, sys
from paperlib import data
sys.path.insert(0, sys.argv[2])
# what torch has taken already, and half a gigabyte
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**29, taken + 2**29))
try:
    data.load(sys.argv[1])
except data.DataError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_one_sentence(tmp_path, kind):
    make, sentence = HOSTILE[kind]
    path = make(tmp_path / "hostile.npz")
    for read in (data.load, data.measured):
        with pytest.raises(DataError) as caught:
            read(str(path))
        assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say how much memory a process has")
@pytest.mark.parametrize("kind", ["a header of 4e9 images", "a bomb", "labels of 1e9"])
def test_no_memory_is_taken_for_what_is_refused(tmp_path, kind):
    path = HOSTILE[kind][0](tmp_path / "hostile.npz")
    command = [sys.executable, "-c", LOAD, str(path), str(ROOT)]
    before = resource.getrlimit(resource.RLIMIT_AS)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("refused: ") and HOSTILE[kind][1] in done.stdout, done.stderr
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_archive(tmp_path / "a.npz")
    monkeypatch.setattr(archives, "free_memory", lambda: 1000)
    with pytest.raises(DataError, match="needs .* GB of memory, and 1e-06 GB are free; allowed is what fits$"):
        archives.read_archive(tmp_path / "a.npz")


def test_what_is_small_may_be_packed_as_it_likes(tmp_path):
    x = np.zeros((40, 100, 100), np.uint8)
    y = (np.arange(40) % 4).astype(np.uint8)
    np.savez_compressed(tmp_path / "black.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert np.array_equal(archives.read_archive(tmp_path / "black.npz")["x_train"][..., 0], x)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_whatever_bytes_change_it_is_an_archive_or_a_sentence(tmp_path, changes):
    path = tmp_path / "changed.npz"
    write_archive(path)
    content = bytearray(path.read_bytes())
    for place, new in changes:
        content[place : place + len(new)] = new
    path.write_bytes(content)
    try:
        arrays = archives.read_archive(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert {len(arrays["x_train"]), len(arrays["y_train"])} == {40}
