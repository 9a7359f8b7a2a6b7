"""Choosing a penalty by one rule, with one budget for every method, on images held out of the training set.

The rule: among the candidates whose clean accuracy is within ``slack`` points of the natural network's, the one with the
best worst case over PGD on cross-entropy and on the margin, at the table's middle eps. The test set is never used.
"""

from pathlib import Path

import torch

from paperlib import sealed
from paperlib.evaluate import correct, survivors
from paperlib.intervals import accuracy
from paperlib.state import reject
from press.plan import experiments
from press.plan.searches import described
from press.run import steps, zoo


def search(name: str, profile: str, *, progress: bool = True) -> dict:
    """Train every candidate shortened, judge it on held-out images, choose; a killed search goes on where it stopped.

    Returns ``{name, profile, settings, data, reference, candidates, chosen}``; each row has ``clean`` and ``worst``
    intervals, ``allowed`` and the checkpoint's sha256. Nothing is left to choice: ties go to the earlier candidate.
    """
    found = described(name, profile)
    reference = judged(found["reference"], profile, found, {}, progress)
    rows = [judged(name, profile, found, candidate, progress) for candidate in found["candidates"]]
    floor = reference["clean"]["mean"] - found["slack"]
    for row in rows:
        row["allowed"] = row["clean"]["mean"] >= floor
    chosen = choose(rows)
    data = zoo.get(_trial(name, found, found["candidates"][0]), profile, progress=progress).card["data"]
    return {
        "name": name, "profile": profile, "settings": found, "data": data, "reference": reference,
        "candidates": rows, "chosen": chosen,
    }  # fmt: skip


def choose(rows: list[dict]) -> dict:
    """The changes of the allowed row with the best worst case; of the cleanest row where none is allowed."""
    reject(not rows, "candidates is empty; allowed is at least one")
    allowed = [row for row in rows if row["allowed"]]
    if allowed:
        return max(allowed, key=lambda row: row["worst"]["mean"])["changes"]
    return max(rows, key=lambda row: row["clean"]["mean"])["changes"]


def judged(name: str, profile: str, found: dict, candidate: dict, progress: bool = True) -> dict:
    """One candidate trained shortened (or found), its clean and worst-case accuracy on held-out images."""
    # by the pipeline, which knows of changed training code and of accelerators
    steps.train(_trial(name, found, candidate), profile)
    trained = zoo.get(_trial(name, found, candidate), profile, progress=progress)
    held_out = trained.dataset.validation.first(min(found["n"], len(trained.dataset.validation)))
    right = correct(trained.model, held_out.x, held_out.y)
    left = survivors(
        trained.model, held_out.x, held_out.y, right, eps=trained.dataset.to_input(found["eps"]), steps=20, restarts=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return {"changes": candidate, "clean": accuracy(right), "worst": accuracy(left), "sha256": trained.sha256}


def _trial(name: str, found: dict, candidate: dict) -> str:
    changes = found["shortened"] | candidate
    if not candidate:
        # the natural network has no penalty whose growth could be shortened
        changes = {key: value for key, value in changes.items() if key != "warmup"}
    return experiments.derived_name(name, changes)


def write(result: dict, path: Path) -> Path:
    """The search as JSON, in one piece; returns ``path``."""
    sealed.write_json(path, result)
    return path


def path_of(name: str, profile: str) -> Path:
    """Where a search is kept: ``build/<profile>/search/<name>.json``."""
    return experiments.build_dir(profile) / "search" / f"{name}.json"
