"""A measurement and its record: what a drawing reads, and all that it reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from paperlib.refusal import Refusal


class RecordError(Refusal):
    """A record or its arrays that cannot be read; one sentence that names the file."""


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

    Raises RecordError, naming the file, if it is none.
    """
    content = content_of(path)
    beside = Path(path).with_suffix(".npz")
    return Record(
        artifact=content["artifact"], profile=content["profile"], parameters=content["parameters"] | (parameters or {}),
        data=content["data"] or {}, models=content["models"], values=content["values"], environment=content["environment"],
        arrays=arrays_of(beside) if beside.is_file() else {}, stated=stated or {},
    )  # fmt: skip


def content_of(path: Path) -> dict:
    """The record as it is written. Raises RecordError, naming the file, if it is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not a readable record ({error})") from error
    if not isinstance(content, dict) or not {"artifact", "values", "models"} <= set(content):
        raise RecordError(f"{path} is not a record: it lacks artifact, models or values")
    return content


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an archive. Raises RecordError, naming the file, if it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise RecordError(f"{path} does not hold readable arrays ({error})") from error
