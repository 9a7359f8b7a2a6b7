"""A recipe and its checkpoint: load it, or train it and keep it.

A checkpoint is ``<name>.safetensors`` and its card ``<name>.json`` (recipe, data hash, curve, seconds an epoch, machine,
the weights' hash). Training runs under a file lock, so that two processes never train the same network at once.
"""

from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from paperlib import data, provenance, sealed
from paperlib.files import file_hash, write_atomic
from paperlib.recipe import Recipe
from paperlib.refusal import Refusal
from paperlib.train import Trained, fit, load_state, untrained
from press.plan import experiments
from press.run.places import say


class ZooError(Refusal):
    """A checkpoint that is lost, damaged, foreign or of another recipe than its card; the message names the file."""


def path_of(name: str, profile: str) -> Path:
    """Where the checkpoint lies: ``build/<profile>/models/<name>.safetensors``."""
    return experiments.build_dir(profile) / "models" / f"{name}.safetensors"


def get(
    name: str, profile: str, *, rebuild: bool = False, budget: float | None = None, device: str = "cpu",
    progress: bool = True,
) -> Trained:  # fmt: skip
    """The network that ``experiments.yml`` calls ``name`` in ``profile``: loaded, resumed or trained.

    A checkpoint that is damaged or of another recipe, source or other data is set aside, not overwritten, and trained anew;
    so is whatever lies there with ``rebuild``. A source that is not there, and weights that are lost, are trained first, a
    source outside the budget. Raises OutOfTime when ``budget`` seconds are spent first.
    """
    recipe = experiments.recipe(profile, name)
    dataset = data.load(recipe.data)
    source = get(recipe.source, profile, device=device, progress=progress) if recipe.source else None
    path = path_of(name, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(path.with_suffix(".lock"))):
        if rebuild or not (is_finished(path, recipe, dataset.sha256, source and source.sha256) or is_begun(path)):
            _say_damage(path)
            retire(path)
        if not path.with_suffix(".json").exists():
            train(recipe, path, budget=budget, device=device, progress=progress, source=source)
    return load(path)


def _say_damage(path: Path) -> None:
    if path.exists() or path.with_suffix(".json").exists():
        fault = fault_of(path)
        if fault:
            say(f"{fault}; {path.stem} is trained anew")


def train(recipe: Recipe, path: Path, *, budget=None, device="cpu", progress=True, source: Trained | None = None) -> None:
    """Fit the recipe, resuming from the state beside ``path``, and write checkpoint and card, each in one piece."""
    dataset = data.load(recipe.data)
    state = state_file(path)
    if state.exists() and not state_fits(state, recipe, dataset):
        state.unlink()
    model, curve = fit(
        recipe, dataset, state_file=state, budget=budget, device=device, progress=progress, name=path.stem,
        source=source and source.model,
    )  # fmt: skip
    write_atomic(path, save({key: tensor.contiguous().cpu() for key, tensor in model.state_dict().items()}))
    seconds = [row["seconds"] for row in curve]
    card = {
        "name": path.stem, "sha256": file_hash(path), "recipe": recipe.to_dict(), "seed": recipe.seed,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "n": recipe.train_n or len(dataset.train)},
        "seconds_per_epoch": sum(seconds) / len(seconds), "curve": curve, "machine": provenance.machine(),
        "git_commit": provenance.git_commit(),
    } | ({"source": {"name": source.name, "sha256": source.sha256}} if source else {})  # fmt: skip
    sealed.write_json(path.with_suffix(".json"), card)
    state.unlink(missing_ok=True)


def load(path: Path) -> Trained:
    """A finished checkpoint with its card. Raises ZooError, naming the file, if either is damaged or they disagree."""
    path = Path(path)
    fault = fault_of(path)
    if fault:
        raise ZooError(f"{fault}; fetch it again or train it anew with --rebuild")
    card = card_of(path)
    try:
        recipe = Recipe.of(card["recipe"])
    except ValueError as error:
        raise ZooError(f"{path.with_suffix('.json')} holds no recipe of this version: {error}") from error
    dataset = data.load(recipe.data)
    model = untrained(recipe, dataset)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(f"{path} is not a checkpoint of its recipe ({reason}); train it anew with --rebuild") from error
    return Trained(path.stem, model.eval(), recipe, dataset, card)


def card_of(path: Path) -> dict:
    """The card beside a checkpoint. Raises DamagedError or ZooError, naming the file, if it is none."""
    card = sealed.read_json(path.with_suffix(".json"))
    if not {"recipe", "sha256", "data"} <= set(card):
        raise ZooError(f"{path.with_suffix('.json')} is not a card: it lacks recipe, sha256 or data")
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


def state_fits(state: Path, recipe: Recipe, dataset: data.Dataset) -> bool:
    """Whether an interrupted training was of this recipe on these data; a damaged state fits nothing, and a line says so."""
    try:
        saved = load_state(state)
    except sealed.DamagedError as error:
        say(f"{error}; the training begins anew")
        return False
    return same_recipe(saved["recipe"], recipe) and saved["data"] == dataset.sha256


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
