"""Archives of images, read without running anything in them and checked; a fault is one sentence that names the file."""

import lzma
import math
import struct
import tokenize
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from paperlib.provenance import free_memory
from paperlib.refusal import Refusal

KEYS = ("x_train", "y_train", "x_test", "y_test")
# more than any set of images has, and what a network can have at its end
MOST_CLASSES = 100_000
# images may be packed to a hundredth; what is small may be packed as it likes
PACKED, SMALL = 100, 2**28
# what a broken, encrypted or strangely packed archive raises
BROKEN = (ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, MemoryError, SyntaxError, BadZipFile,
          zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError)  # fmt: skip


class DataError(Refusal):
    """A data set that is missing or malformed; the message is one sentence that says what is allowed."""


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of a Keras-style archive: images ``(n, h, w, c)``, labels ``(n,)``; checked, pickle refused."""
    if not path.is_file():
        raise DataError(f"data archive {path} does not exist; allowed is a path from here or from the top folder")
    missing = [key for key in KEYS if key not in names_in(path)]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; an archive holds {', '.join(KEYS)}")
    return checked(read_arrays(path, KEYS), str(path))


def names_in(path: Path) -> set[str]:
    """What the arrays of an archive are called. Raises DataError for a file that is none."""
    with reading(path), ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an archive by name. Before any is read, headers tell how large they will be: what is no plain array, is
    encrypted, is packed beyond what images are, or does not fit into this machine's memory is refused. Raises DataError."""
    with reading(path), ZipFile(path) as archive:
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        headers = {name: _checked_header(archive, member, path) for name, member in members.items()}
        size = sum(header.size for header in headers.values())
        packed, free = sum(member.compress_size for member in members.values()), free_memory()
        if size > max(SMALL, PACKED * packed):
            sizes = f"{_gigabytes(packed)} that unpack to {_gigabytes(size)}"
            raise DataError(f"{path} holds {sizes}; allowed is {PACKED} times as much")
        needed = sum(header.as_floats for header in headers.values())
        if needed > free:
            raise DataError(f"{path} needs {_gigabytes(needed)} of memory, and {_gigabytes(free)} are free; allowed is what "
                            "fits")  # fmt: skip
        return {name: _array(archive, member) for name, member in members.items()}


@dataclass(frozen=True)
class _Header:
    """What an array says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype
    begins: int

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def as_floats(self) -> int:
        """Its bytes where images of one byte a value become floats of four."""
        return self.size * (5 if self.dtype.itemsize == 1 and len(self.shape) > 2 else 1)


def _checked_header(archive: ZipFile, member: ZipInfo, path: Path) -> _Header:
    """What an array says of itself, if the archive's list says the same. ValueError for what is no plain array."""
    name = member.filename.removesuffix(".npy")
    if member.flag_bits & 1:
        raise DataError(f"{name} of {path} is encrypted; allowed are archives without a password")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{name} is an array of version {version}")
        shape, _, dtype = read(stream)
        found = _Header(shape, dtype, stream.tell())
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if found.size != member.file_size - found.begins:
        raise ValueError(f"{name} says that it is {shape} of {dtype}, which is not its length")
    return found


def _array(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a broken archive raises is a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(f"{path} is not a readable .npz archive of plain arrays ({error})") from error


def checked(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Images ``(n, h, w, c)`` and labels ``(n,)`` of both halves. Raises DataError for what does not fit together."""
    found = {}
    for part in ("train", "test"):
        pair = checked_pair(arrays[f"x_{part}"], arrays[f"y_{part}"], part, where)
        found |= dict(zip((f"x_{part}", f"y_{part}"), pair, strict=True))
    if found["x_train"].shape[1:] != found["x_test"].shape[1:]:
        raise DataError(
            f"{where} has training images of shape {found['x_train'].shape[1:]} and test images of shape "
            f"{found['x_test'].shape[1:]}; allowed is one shape (height, width, channels)"
        )
    classes = int(found["y_train"].max()) + 1
    if found["y_test"].max() >= classes:
        raise DataError(f"y_test of {where} reaches {found['y_test'].max()}; allowed are labels 0..{classes - 1}")
    return found


def checked_pair(x: np.ndarray, y: np.ndarray, part: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one half. Raises DataError."""
    x, y = _checked_images(x, f"x_{part} of {where}"), _checked_labels(y, f"y_{part} of {where}")
    if len(x) != len(y) or len(x) == 0:
        raise DataError(f"{where} has {len(x)} images and {len(y)} labels in {part}; allowed is one label an image")
    return x, y


def _checked_images(x: np.ndarray, where: str) -> np.ndarray:
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        # channels first, as torch has them
        x = x.transpose(0, 2, 3, 1)
    if x.ndim != 4 or x.shape[3] not in (1, 3):
        raise DataError(f"{where} has shape {x.shape}; allowed is (n, h, w), (n, h, w, 1) or (n, h, w, 3)")
    if x.dtype == np.uint8:
        return x
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{where} has dtype {x.dtype}; allowed are uint8, or floats in [0, 1]")
    if not np.isfinite(x).all():
        raise DataError(f"{where} holds NaN or infinity; allowed are floats in [0, 1]")
    if x.size and (x.min() < 0 or x.max() > 1):
        raise DataError(f"{where} spans [{x.min():.8g}, {x.max():.8g}]; allowed are floats in [0, 1]")
    return x


def _checked_labels(y: np.ndarray, where: str) -> np.ndarray:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{where} has shape {y.shape} and dtype {y.dtype}; allowed are integers of shape (n,)")
    if y.size and y.min() < 0:
        raise DataError(f"{where} holds the label {y.min()}; allowed are labels 0..K-1")
    # as it is, for a cast would make another label of one that is too large
    if y.size and y.max() >= MOST_CLASSES:
        raise DataError(f"{where} holds the label {y.max()}; allowed are labels 0..K-1 of at most {MOST_CLASSES} classes")
    return y.astype(np.int64)
