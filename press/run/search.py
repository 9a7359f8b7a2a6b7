"""Choosing a penalty by one rule, with one budget for every method, on images held out of the training set.

The rule: among the candidates whose clean accuracy is within ``slack`` points of the natural network's, the one with the
best worst case over PGD on cross-entropy and on the margin, at the table's middle eps. The test set is never used.
"""

import sys
from pathlib import Path

import torch

from paperlib import sealed
from paperlib.cascade import worst_case
from paperlib.evaluate import correct, survivors
from paperlib.fingerprint import code_of
from paperlib.intervals import Interval, accuracy
from paperlib.state import reject
from press.plan import experiments, settings
from press.plan.searches import described
from press.run import training, zoo


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
    training.train(_trial(name, found, candidate), profile)
    trained = zoo.get(_trial(name, found, candidate), profile, progress=progress)
    held_out = trained.dataset.validation.first(min(found["n"], len(trained.dataset.validation)))
    right = correct(trained.model, held_out.x, held_out.y)
    left = survivors(
        trained.model, held_out.x, held_out.y, right, eps=trained.dataset.to_input(found["eps"]), steps=20, restarts=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return {"changes": candidate, "clean": accuracy(right), "worst": accuracy(left), "sha256": trained.sha256}


def rejudged(result: dict, *, most: int, images: int) -> dict:
    """A finished search with its ``most`` best allowed candidates judged again, by the tables' whole cascade.

    Their rows get ``strong``, accuracy with its interval over the first ``images`` held-out images with the classes in turn,
    and the search gets ``strong``: the changes that the rule would choose by it, and how many images that was over. They are
    trained anew where their weights are not at hand. Raises ValueError for a number that does not fit.
    """
    reject(most < 1, f"most is {most}; allowed is at least 1 candidate")
    rows = [row for row in result["candidates"] if row["allowed"]]
    best = sorted(rows, key=lambda row: -row["worst"]["mean"])[:most]
    for row in best:
        row["strong"] = _strong(_trial(result["name"], result["settings"], row["changes"]), result, images)
    chosen = max(best, key=lambda row: row["strong"]["mean"])["changes"]
    return result | {"strong": {"chosen": chosen, "images": images}}


def _strong(trial: str, result: dict, images: int) -> Interval:
    training.train(trial, result["profile"])
    trained = zoo.get(trial, result["profile"], progress=False)
    held_out, scale = trained.dataset.validation, trained.dataset.to_input
    index = held_out.balanced(images)
    left = worst_case(
        trained.model.to(memory_format=torch.channels_last), held_out.x[index], held_out.y[index],
        eps=[scale(result["settings"]["eps"])], batch=100, progress=sys.stderr.isatty(),
        store=experiments.build_dir(result["profile"]) / "parts", of=f"{trained.sha256} {code_of('paperlib.cascade')}",
    ).unbroken[0]  # fmt: skip
    return accuracy(left)


def kept(name: str, profile: str) -> dict:
    """A search of this run, else of the published edition. Raises ExperimentError where there is neither."""
    published = settings.ROOT / "book" / "published" / "search" / f"{name}.json"
    for path in (path_of(name, profile), published):
        if path.is_file():
            return sealed.read_json(path, "name", "profile", "settings", "candidates")
    raise settings.ExperimentError(f"search {name} ({profile}) has no result yet; allowed is one that was made")


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
