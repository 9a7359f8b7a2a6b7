"""A recipe and its checkpoint: load it, or train it and keep it.

Training runs under a file lock, so that two processes never train the same network at once.
"""

from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from paperlib import data, provenance, sealed
from paperlib.files import file_hash, write_atomic
from paperlib.recipe import Recipe
from paperlib.train import Trained, fit, load_state, untrained
from press.plan import experiments
from press.run import checkpoints
from press.run.checkpoints import CheckpointError
from press.run.places import say


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
    path = checkpoints.path_of(name, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(path.with_suffix(".lock"))):
        finished = checkpoints.is_finished(path, recipe, dataset.sha256, source and source.sha256)
        if rebuild or not (finished or checkpoints.is_begun(path)):
            _say_damage(path)
            checkpoints.retire(path)
        if not path.with_suffix(".json").exists():
            train(recipe, path, budget=budget, device=device, progress=progress, source=source)
    return load(path)


def _say_damage(path: Path) -> None:
    if path.exists() or path.with_suffix(".json").exists():
        fault = checkpoints.fault_of(path)
        if fault:
            say(f"{fault}; {path.stem} is trained anew")


def train(recipe: Recipe, path: Path, *, budget=None, device="cpu", progress=True, source: Trained | None = None) -> None:
    """Fit the recipe, resuming from the state beside ``path``, and write checkpoint and card, each in one piece."""
    dataset = data.load(recipe.data)
    state = checkpoints.state_file(path)
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
    """A finished checkpoint with its card. Raises CheckpointError, naming the file, if one is damaged or they disagree."""
    path = Path(path)
    fault = checkpoints.fault_of(path)
    if fault:
        raise CheckpointError(f"{fault}; fetch it again or train it anew with --rebuild")
    card = checkpoints.card_of(path)
    try:
        recipe = Recipe.of(card["recipe"])
    except ValueError as error:
        raise CheckpointError(f"{path.with_suffix('.json')} holds no recipe of this version: {error}") from error
    dataset = data.load(recipe.data)
    model = untrained(recipe, dataset)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        sentence = f"{path} is not a checkpoint of its recipe ({reason}); train it anew with --rebuild"
        raise CheckpointError(sentence) from error
    return Trained(path.stem, model.eval(), recipe, dataset, card)


def state_fits(state: Path, recipe: Recipe, dataset: data.Dataset) -> bool:
    """Whether an interrupted training was of this recipe on these data; a damaged state fits nothing, and a line says so."""
    try:
        saved = load_state(state)
    except sealed.DamagedError as error:
        say(f"{error}; the training begins anew")
        return False
    return checkpoints.same_recipe(saved["recipe"], recipe) and saved["data"] == dataset.sha256
