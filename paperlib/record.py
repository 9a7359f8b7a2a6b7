"""A measurement and its record: what a drawing reads, and all that it reads."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from paperlib import sealed
from paperlib.files import file_hash, write_atomic

# the field of a record that holds the hash of its arrays' file
ARRAYS = "arrays_sha256"


class RecordError(sealed.DamagedError):
    """A record that lacks something, or its arrays; one sentence that names the file."""


@dataclass(frozen=True)
class Measured:
    """What a measurement hands over: ``values`` (nested numbers, words, lists and intervals), ``arrays`` by name, which data
    sets it looked at and at how many images of each, and the seeds that it used."""

    values: dict
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    data: tuple = ()
    seeds: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What was measured, of what and where; ``stated`` are the paper's numbers for the same figure or table."""

    artifact: str
    profile: str
    parameters: dict
    data: dict
    models: dict[str, dict]
    values: dict
    environment: dict
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    stated: dict = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        """What the networks are called in the figure."""
        return list(self.models)

    @property
    def pixel_scale(self) -> int:
        """How many units the image range has, in which perturbations are counted (1 on grey images, 255 on colour)."""
        return int(self.data["pixel_scale"])

    @property
    def unit(self) -> str:
        """Behind the number of a perturbation, nothing or ``/255``."""
        return "" if self.pixel_scale == 1 else f"/{self.pixel_scale}"

    def size(self, eps: float) -> str:
        """A size as a reader writes it: ``0.05`` on grey images, ``8/255`` on colour."""
        return f"{eps:g}{self.unit}"


def read(path: Path, *, parameters: dict | None = None, stated: dict | None = None) -> Record:
    """The record in the file ``path`` with the arrays beside it; ``parameters``, such as the drawing's, replace its own.

    Raises DamagedError, naming the file, if it is none or if either is lost or damaged.
    """
    content = content_of(path)
    return Record(
        artifact=content["artifact"], profile=content["profile"], parameters=content["parameters"] | (parameters or {}),
        data=content["data"] or {}, models=content["models"], values=content["values"], environment=content["environment"],
        arrays=_arrays(path) if content[ARRAYS] else {}, stated=stated or {},
    )  # fmt: skip


def content_of(path: Path) -> dict:
    """The record as it is written; raises as ``read`` does."""
    content = sealed.read_json(path)
    if not {"artifact", "values", "models", ARRAYS} <= set(content):
        raise RecordError(f"{path} is not a record: it lacks artifact, models, values or {ARRAYS}")
    beside = Path(path).with_suffix(".npz")
    if content[ARRAYS] and not (beside.is_file() and file_hash(beside) == content[ARRAYS]):
        raise RecordError(f"{beside} is lost, damaged or of another measurement than {beside.stem}.json")
    return content


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(Path(path).with_suffix(".npz"), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write(path: Path, content: dict, arrays: Mapping[str, object]) -> dict:
    """Writes a record, and its arrays beside it, each in one piece; returns the record, which names the arrays' hash.

    Raises ValueError or TypeError, before anything is written, for what JSON cannot hold.
    """
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: np.asarray(array) for name, array in arrays.items()})
    content = content | {ARRAYS: hashlib.sha256(stream.getvalue()).hexdigest() if arrays else None}
    json.dumps(content, allow_nan=False)
    beside = path.with_suffix(".npz")
    if arrays:
        write_atomic(beside, stream.getvalue())
    # last: it says that the measurement is whole
    sealed.write_json(path, content)
    if not arrays:
        beside.unlink(missing_ok=True)
    return content
