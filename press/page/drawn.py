"""The published edition's notebooks, drawn from its records by today's code: nothing is measured, no data are needed."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paperlib import sealed
from paperlib.files import file_hash, scratch
from paperlib.fingerprint import digest
from press.page import manifest
from press.page.findings import edition_dir
from press.page.values import record_of
from press.plan import experiments, templates
from press.plan.experiments import Artifact
from press.run import notebooks, places, steps
from press.run.sheet import DRAW_ONLY

PLACE = "edition"


def path_of(key: str) -> Path:
    """Where a figure of the edition is drawn."""
    return experiments.build_dir(PLACE) / "notebooks" / f"{key}.ipynb"


def draw(*, cores: int = 1, only: tuple[str, ...] = ()) -> None:
    """Draws every record of the edition, or ``only`` some, that was not drawn by the same code already.

    Raises EditionError, before anything is drawn, where the edition is damaged.
    """
    manifest.check()
    with places.lock(PLACE, "draw"), _drawing_only(), ThreadPoolExecutor(cores) as pool:
        left = [(spec_of(path.stem), made_of) for path, made_of in _fingerprints(only) if not _is_drawn(path.stem, made_of)]
        list(pool.map(lambda each: _draw(*each), left))


def _fingerprints(only: tuple[str, ...] = ()) -> Iterator[tuple[Path, str]]:
    """Each record of the edition (of ``only`` some artifacts), and what its notebook is made of."""
    records = sorted((edition_dir() / "results").glob("*.json"))
    for record in [path for path in records if not only or path.stem in only]:
        yield record, steps.drawing(spec_of(record.stem), digest(*map(file_hash, _files(record))))


def _files(record: Path) -> list[Path]:
    return [path for path in (record, record.with_suffix(".npz")) if path.is_file()]


def _is_drawn(key: str, made_of: str) -> bool:
    return notebooks.notebook_made_of(path_of(key)) == made_of


def _draw(spec: Artifact, made_of: str) -> None:
    place = experiments.build_dir(PLACE)
    with scratch(place / "tmp", spec.key) as out:
        for path in _files(edition_dir() / "results" / f"{spec.key}.json"):
            shutil.copy(path, out)
        log = place / "logs" / f"{spec.key}.ipynb"
        notebooks.run_notebook(spec, out, log)
        content = notebooks.cleaned(json.loads(log.read_text(encoding="utf-8")), made_of)
        sealed.write_json(path_of(spec.key), content)
        log.unlink()


def spec_of(key: str) -> Artifact:
    """A figure of the edition as it was measured: its own networks and parameters."""
    record = record_of(edition_dir() / "results" / f"{key}.json")
    entry = experiments.load()["artifacts"][key]
    there = templates.notebook_parameters(entry["notebook"])
    return Artifact(
        key=key, profile=record["profile"], notebook=entry["notebook"], place=entry["place"],
        title=experiments.title(record["profile"], key),
        models={role: model["name"] for role, model in record["models"].items()},
        parameters={name: value for name, value in record["parameters"].items() if name in there},
    )  # fmt: skip


@contextlib.contextmanager
def _drawing_only() -> Iterator[None]:
    os.environ[DRAW_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[DRAW_ONLY]
