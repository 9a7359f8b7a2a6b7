"""A recipe and its checkpoint: load it, or train it and keep it.

A checkpoint is ``<name>.safetensors`` and its card ``<name>.json`` (recipe, data hash, curve, seconds an epoch, machine,
the weights' hash). Training runs under a file lock, so that two processes never train the same network at once.
"""

import json
from pathlib import Path
from pickle import UnpicklingError

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from paperlib import data, provenance
from paperlib.files import file_hash
from paperlib.recipe import Recipe
from paperlib.refusal import Refusal
from paperlib.train import Trained, fit, untrained
from press.plan import experiments


class ZooError(Refusal):
    """A checkpoint that is truncated, foreign or does not fit its card; the message names the file."""


def path_of(name: str, profile: str) -> Path:
    """Where the checkpoint lies: ``build/<profile>/models/<name>.safetensors``."""
    return experiments.build_dir(profile) / "models" / f"{name}.safetensors"


def get(
    name: str, profile: str, *, rebuild: bool = False, budget: float | None = None, device: str = "cpu",
    progress: bool = True,
) -> Trained:  # fmt: skip
    """The network that ``experiments.yml`` calls ``name`` in ``profile``: loaded, resumed or trained.

    A checkpoint of another recipe, source or other data is set aside, not overwritten, and so is any with ``rebuild``, which
    itself goes on where it was interrupted; a broken one raises ZooError without it. A source that is not there, and
    weights that are lost, are trained first, a source outside the budget.
    Raises OutOfTime when ``budget`` seconds are spent first.
    """
    recipe = experiments.recipe(profile, name)
    dataset = data.load(recipe.data)
    source = get(recipe.source, profile, device=device, progress=progress) if recipe.source else None
    path = path_of(name, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(path.with_suffix(".lock"))):
        card, source_sha256 = path.with_suffix(".json"), source and source.sha256
        if rebuild:
            anew = not is_interrupted(path, recipe, dataset)
        else:
            lost = card.exists() and not path.exists()
            anew = lost or (card.exists() and not made_of(card_of(path), recipe, dataset.sha256, source_sha256))
        if anew:
            retire(path)
        if not card.exists():
            # weights without a card are an interrupted write, if a state to go on from lies beside them
            if path.exists() and not state_file(path).exists():
                raise ZooError(f"{path} has no card {path.stem}.json: a foreign file; move it away or use --rebuild")
            train(recipe, path, budget=budget, device=device, progress=progress, source=source)
    return load(path)


def train(
    recipe: Recipe, path: Path, *, budget=None, device="cpu", progress=True, source: Trained | None = None
) -> None:
    """Fit the recipe, resuming from the state beside ``path``, and write checkpoint and card, each in one piece."""
    dataset = data.load(recipe.data)
    state = state_file(path)
    if state.exists() and not state_fits(state, recipe, dataset):
        state.unlink()
    model, curve = fit(
        recipe, dataset, state_file=state, budget=budget, device=device, progress=progress, name=path.stem,
        source=source and source.model,
    )  # fmt: skip
    partial = path.with_name(f".{path.name}.partial")
    save_file({key: tensor.contiguous().cpu() for key, tensor in model.state_dict().items()}, partial)
    partial.replace(path)
    seconds = [row["seconds"] for row in curve]
    card = {
        "name": path.stem, "sha256": file_hash(path), "recipe": recipe.to_dict(), "seed": recipe.seed,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "n": recipe.train_n or len(dataset.train)},
        "seconds_per_epoch": sum(seconds) / len(seconds), "curve": curve, "machine": provenance.machine(),
        "git_commit": provenance.git_commit(),
    } | ({"source": {"name": source.name, "sha256": source.sha256}} if source else {})  # fmt: skip
    card_partial = path.with_name(f".{path.stem}.partial.json")
    card_partial.write_text(json.dumps(card, indent=1) + "\n")
    card_partial.replace(path.with_suffix(".json"))
    state.unlink(missing_ok=True)


def load(path: Path) -> Trained:
    """A finished checkpoint with its card. Raises ZooError, naming the file, if either is broken or they disagree."""
    path = Path(path)
    card = card_of(path)
    try:
        recipe = Recipe.of(card["recipe"])
    except ValueError as error:
        raise ZooError(f"{path.with_suffix('.json')} holds no recipe of this version: {error}") from error
    dataset = data.load(recipe.data)
    model = untrained(recipe, dataset)
    try:
        if file_hash(path) != card["sha256"]:
            raise ZooError(f"{path} does not have the hash that its card names: truncated or foreign; use --rebuild")
        model.load_state_dict(load_file(path))
    except ZooError:
        raise
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(f"{path} is not a checkpoint of its recipe ({reason}); use --rebuild") from error
    return Trained(path.stem, model.eval(), recipe, dataset, card)


def card_of(path: Path) -> dict:
    """The card beside a checkpoint. Raises ZooError, naming the file, if it cannot be read."""
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ZooError(f"{card_path} is not a readable card ({error}); use --rebuild") from error
    if not isinstance(card, dict) or not {"recipe", "sha256", "data"} <= set(card):
        raise ZooError(f"{card_path} is not a card: it lacks recipe, sha256 or data; use --rebuild")
    return card


def is_finished(path: Path, recipe: Recipe, data_sha256: str, source_sha256: str | None) -> bool:
    """Whether a checkpoint with a card lies there that was ``made_of`` this. Raises ZooError for a broken card."""
    there = path.exists() and path.with_suffix(".json").exists()
    return there and made_of(card_of(path), recipe, data_sha256, source_sha256)


def made_of(card: dict, recipe: Recipe, data_sha256: str, source_sha256: str | None) -> bool:
    """Whether a card is of this recipe on these data, its examples made against the source with these weights."""
    same = same_recipe(card["recipe"], recipe) and card["data"]["sha256"] == data_sha256
    return same and card.get("source", {}).get("sha256") == source_sha256


def same_recipe(settings: dict, recipe: Recipe) -> bool:
    """Whether stored fields are those of ``recipe``; a field younger than they are has its default."""
    try:
        return Recipe.of(settings) == recipe
    except ValueError:
        return False


def state_file(path: Path) -> Path:
    """What an unfinished training goes on from."""
    return path.with_suffix(".state.pt")


def is_interrupted(path: Path, recipe: Recipe, dataset: data.Dataset) -> bool:
    """Whether nothing lies there but the state of a training of this recipe on these data."""
    if path.exists() or path.with_suffix(".json").exists() or not state_file(path).exists():
        return False
    try:
        return state_fits(state_file(path), recipe, dataset)
    except ZooError:
        return False


def state_fits(state: Path, recipe: Recipe, dataset: data.Dataset) -> bool:
    """Whether an interrupted training was of this recipe on these data; ZooError for a file that is no such state."""
    try:
        saved = torch.load(state, map_location="cpu", weights_only=True)
        return same_recipe(saved["recipe"], recipe) and saved["data"] == dataset.sha256
    except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise ZooError(f"{state} is not the state of a training; remove it or use --rebuild") from error


def retire(path: Path) -> None:
    """Make room for another training: a checkpoint with a card is kept under its weights' hash, anything else removed."""
    card = path.with_suffix(".json")
    if path.exists() and card.exists():
        # of the weights, for the card may be what is broken
        tag = file_hash(path)[:8]
        for file in (path, card):
            file.replace(file.with_name(f"{path.stem}.{tag}{file.suffix}"))
    for file in (card, path, state_file(path)):
        file.unlink(missing_ok=True)
