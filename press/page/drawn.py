"""The published edition's notebooks, drawn from its records by today's code: nothing is measured, no data are needed."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paperlib.files import file_hash, scratch, write_atomic
from paperlib.fingerprint import digest
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


def draw(*, cores: int = 1) -> list[Path]:
    """Draws every record of the edition that was not drawn by the same code already; returns all the notebooks."""
    keys = sorted(path.stem for path in (edition_dir() / "results").glob("*.json"))
    with places.lock(PLACE, "draw"), _drawing_only(), ThreadPoolExecutor(cores) as pool:
        return list(pool.map(_drawn, keys))


def _drawn(key: str) -> Path:
    spec, record = spec_of(key), edition_dir() / "results" / f"{key}.json"
    held = [path for path in (record, record.with_suffix(".npz")) if path.is_file()]
    made_of, place, target = _fingerprint(spec, held), experiments.build_dir(PLACE), path_of(key)
    if notebooks.notebook_made_of(target) != made_of:
        with scratch(place / "tmp", key) as out:
            for path in held:
                shutil.copy(path, out)
            log = place / "logs" / f"{key}.ipynb"
            notebooks.run_notebook(spec, out, log)
            content = notebooks.cleaned(record_of(log), made_of)
            write_atomic(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            log.unlink()
    return target


def spec_of(key: str) -> Artifact:
    """A figure of the edition as it was measured: its own networks and parameters."""
    record = record_of(edition_dir() / "results" / f"{key}.json")
    entry = experiments.load()["artifacts"][key]
    there = templates.notebook_parameters(entry["notebook"])
    return Artifact(
        key=key, profile=record["profile"], notebook=entry["notebook"], place=entry["place"], title=entry["title"],
        models={role: model["name"] for role, model in record["models"].items()},
        parameters={name: value for name, value in record["parameters"].items() if name in there},
    )  # fmt: skip


def _fingerprint(spec: Artifact, held: list[Path]) -> str:
    return steps.drawing(spec, digest(*map(file_hash, held)))


@contextlib.contextmanager
def _drawing_only() -> Iterator[None]:
    os.environ[DRAW_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[DRAW_ONLY]
