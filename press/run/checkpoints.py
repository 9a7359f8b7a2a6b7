"""A checkpoint's files: what they are called, whether they are whole, and what they were made of; torch is not needed.

A checkpoint is ``<name>.safetensors`` and its card ``<name>.json`` (recipe, data hash, curve, seconds an epoch, machine,
the weights' hash).
"""

from pathlib import Path

from paperlib import sealed
from paperlib.files import file_hash
from paperlib.recipe import Recipe
from paperlib.refusal import Refusal
from press.plan import experiments


class CheckpointError(Refusal):
    """A checkpoint that is lost, damaged, foreign or of another recipe than its card; the message names the file."""


def path_of(name: str, profile: str) -> Path:
    """Where the checkpoint lies: ``build/<profile>/models/<name>.safetensors``."""
    return experiments.build_dir(profile) / "models" / f"{name}.safetensors"


def card_of(path: Path) -> dict:
    """The card beside a checkpoint. Raises DamagedError or CheckpointError, naming the file, if it is none."""
    card = sealed.read_json(path.with_suffix(".json"))
    if not {"recipe", "sha256", "data"} <= set(card):
        raise CheckpointError(f"{path.with_suffix('.json')} is not a card: it lacks recipe, sha256 or data")
    return card


def fault_of(path: Path) -> str | None:
    """What is wrong with a checkpoint or its card, in a sentence without a stop; None where both are as written."""
    try:
        sha256 = card_of(path)["sha256"]
    except Refusal as error:
        return str(error)
    if not path.exists():
        return f"{path} is lost"
    return None if file_hash(path) == sha256 else f"{path} is damaged: it does not have the hash that its card names"


def is_finished(path: Path, recipe: Recipe, data_sha256: str, source_sha256: str | None) -> bool:
    """Whether a whole checkpoint lies there, with its card, that was ``made_of`` this."""
    return fault_of(path) is None and made_of(card_of(path), recipe, data_sha256, source_sha256)


def is_begun(path: Path) -> bool:
    """Whether there is no more than the state of a training, and the weights of one that was stopped before its card."""
    return not path.with_suffix(".json").exists() and (state_file(path).exists() or not path.exists())


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


def retire(path: Path) -> None:
    """Make room for another training: weights are kept under their hash, and so is their card; a state is removed."""
    card = path.with_suffix(".json")
    if path.exists():
        # of the weights, for the card may be what is damaged
        tag = file_hash(path)[:8]
        for file in (path, card):
            if file.exists():
                file.replace(file.with_name(f"{path.stem}.{tag}{file.suffix}"))
    for file in (card, state_file(path)):
        file.unlink(missing_ok=True)
