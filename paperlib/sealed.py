"""Files that tell whether they still are what was written: each carries the hash of its content, and is refused without.

JSON has it as a field; anything else as a last line, behind which readers of ``.npz`` and ``.npy`` do not look.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from paperlib.files import write_atomic
from paperlib.refusal import Refusal

FIELD = "seal"
# which file an archive is, beside its arrays
OWN = "sealed as"
LINE = b"\nsha256 %s\n"


class DamagedError(Refusal):
    """A file that is lost, cut, changed or without a seal; one sentence that names it."""


def write(path: Path, content: bytes) -> None:
    """Writes ``content`` and its hash in one piece."""
    write_atomic(path, content + _line(content))


def read(path: Path) -> bytes:
    """The content without its hash. Raises DamagedError, naming the file, where they do not fit."""
    whole = _bytes(path)
    content = whole[: -len(_line(b""))]
    if whole != content + _line(content):
        raise DamagedError(f"{path} is damaged or older than seals: it does not end with the hash of its content")
    return content


def is_whole(path: Path) -> bool:
    """Whether ``read`` finds its content."""
    try:
        return bool(read(path))
    except DamagedError:
        return False


def write_json(path: Path, content: dict) -> None:
    """Writes a JSON object with its hash in one piece. Raises ValueError for NaN, TypeError for what JSON cannot hold."""
    # as it will be read: keys are text, tuples are lists
    plain = json.loads(json.dumps(content, allow_nan=False))
    seat = _seat(plain)
    seat.pop(FIELD, None)
    seat[FIELD] = _digest(plain)
    write_atomic(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, *fields: str) -> dict:
    """The JSON object without its hash. Raises DamagedError, naming the file, where they do not fit, and where it lacks one
    of ``fields``, for then another file lies in its place."""
    text = _bytes(path)
    try:
        content = json.loads(text)
        seal = _seat(content).pop(FIELD)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged or older than seals: it is no JSON with the hash of its content") from error
    if seal != _digest(content):
        raise DamagedError(f"{path} is damaged: its content does not have the hash that it names")
    missing = [name for name in fields if name not in content]
    if missing:
        raise DamagedError(f"{path} is not what belongs there: it lacks {', '.join(missing)}")
    return content


def write_arrays(path: Path, own: str = "", /, **arrays: object) -> None:
    """Writes an ``.npz`` and its hash in one piece. ``own`` says which file it is, by default its name."""
    stream = io.BytesIO()
    np.savez(stream, **arrays, **{OWN: np.array(own or Path(path).name)})
    write(path, stream.getvalue())


def read_arrays(path: Path, own: str = "", /) -> dict[str, np.ndarray]:
    """The arrays by name. Raises DamagedError, naming the file, where they and their hash do not fit, and where another file
    lies in its place: such files are called after a hash of what they were made of."""
    with np.load(io.BytesIO(read(path)), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    written = str(arrays.pop(OWN, ""))
    if written != (own or Path(path).name):
        raise DamagedError(f"{path} is not what belongs there: it was written as {written or 'a file without a name'}")
    return arrays


def _line(content: bytes) -> bytes:
    return LINE % hashlib.sha256(content).hexdigest().encode()


def _seat(content: dict) -> dict:
    """Where the seal stands: in a notebook's metadata, for its top level takes no field that Jupyter does not know."""
    return content["metadata"] if "nbformat" in content else content


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from error
