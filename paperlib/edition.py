"""The published edition: what a finished run of the paper profile leaves in the repository for readers without a GPU.

``publish`` copies whatever a run has finished (results, executed notebooks, searches, one seed's checkpoints) into
``book/published``; runs on several machines merge, because each adds its own artifacts. ``unpack`` lays the edition out
as if it had just been made here, so that its book is built by the same code as any other.
"""

import json
import shutil
from pathlib import Path

from paperlib import experiments, pipeline, search, zoo
from paperlib.findings import edition_dir

PROFILE = "paper"
LIMIT = 40 * 2**20


class EditionError(ValueError):
    """An edition that would be too large, or does not belong to ``experiments.yml``; one sentence."""


def publish(profile: str = PROFILE) -> list[str]:
    """Add every finished artifact of the profile to the edition; returns their keys.

    An artifact goes in whole: record, arrays, executed notebook and the checkpoints it used. Raises EditionError for one
    whose checkpoint is not the one its record names, and before anything is copied for more than ``LIMIT`` bytes.
    """
    place = experiments.build_dir(profile)
    keys = [key for key in experiments.keys(profile) if (place / "notebooks" / f"{key}.ipynb").is_file()]
    files = [file for key in keys for file in artifact_files(key, profile)]
    files += [(path, Path("search") / path.name) for path in sorted((place / "search").glob("*.json"))]
    new = {target: source for source, target in files}
    kept = [path for path in edition_dir().rglob("*") if path.is_file() and path.relative_to(edition_dir()) not in new]
    size = sum(path.stat().st_size for path in [*new.values(), *kept])
    if size > LIMIT:
        raise EditionError(f"the edition would have {size / 2**20:.0f} MiB; allowed are {LIMIT / 2**20:.0f}")
    for target, source in new.items():
        pipeline.write_atomic(edition_dir() / target, source.read_bytes())
    return keys


def artifact_files(key: str, profile: str) -> list[tuple[Path, Path]]:
    """The files of one finished artifact: where each is, and its place in the edition."""
    place = experiments.build_dir(profile)
    found = [(place / "notebooks" / f"{key}.ipynb", Path("notebooks") / f"{key}.ipynb")]
    for kind in ("json", "npz"):
        path = place / "results" / f"{key}.{kind}"
        if path.is_file():
            found.append((path, Path("results") / path.name))
    for model in json.loads((place / "results" / f"{key}.json").read_text())["models"].values():
        path = zoo.path_of(model["name"], profile)
        if zoo.file_hash(path) != model["sha256"]:
            raise EditionError(f"{key} was made with other weights than {path} holds; execute it again")
        files = (path, path.with_suffix(".json")) if weighs(model["name"]) else (path.with_suffix(".json"),)
        found += [(file, Path("models") / file.name) for file in files]
    return found


def weighs(name: str) -> bool:
    """Whether the edition holds a model's weights, too; of other seeds and trials it holds the cards alone."""
    return experiments.DERIVED not in name


def unpack(build: Path) -> None:
    """Lay the edition out under ``build/paper`` as a run leaves it."""
    if not (edition_dir() / "results").is_dir():
        raise EditionError("book/published holds no results; make and publish an edition first")
    shutil.rmtree(build / PROFILE / "results", ignore_errors=True)
    shutil.rmtree(build / PROFILE / "notebooks", ignore_errors=True)
    shutil.copytree(edition_dir(), build / PROFILE, dirs_exist_ok=True)


def stale() -> list[str]:
    """One sentence for each artifact or search of the edition that ``experiments.yml`` or its template has left behind."""
    found = []
    for path in sorted((edition_dir() / "results").glob("*.json")):
        found += [f"{path.stem}: {reason}" for reason in reasons(json.loads(path.read_text()))]
    for path in sorted((edition_dir() / "search").glob("*.json")):
        found += [f"search {path.stem}: {reason}" for reason in search_reasons(json.loads(path.read_text()))]
    return found


def search_reasons(result: dict) -> list[str]:
    """Why a search no longer is the one that ``experiments.yml`` describes, or did not choose what its recipe has."""
    found = []
    if search.settings(result["name"], result["profile"]) != result["settings"]:
        found.append("its settings have changed")
    recipe = experiments.recipe(result["profile"], result["name"])
    for field, chosen in search.choose(result["candidates"]).items():
        if getattr(recipe, field) != chosen:
            found.append(f"it chose {field} = {chosen}, and the recipe has {getattr(recipe, field)}")
    return found


def reasons(record: dict) -> list[str]:
    """Why a record no longer is what ``experiments.yml`` asks for: its template, parameters, models or weights."""
    spec = experiments.artifact(record["profile"], record["artifact"])
    found = []
    executed = json.loads((edition_dir() / "notebooks" / f"{spec.key}.ipynb").read_text())
    if sources(executed) != sources(json.loads(experiments.notebook_path(spec.notebook).read_text())):
        found.append(f"notebooks/{spec.notebook}.ipynb has changed")
    changed = [name for name, value in spec.parameters.items() if record["parameters"].get(name, value) != value]
    found += [f"parameter {name} has changed" for name in changed]
    if {role: model["name"] for role, model in record["models"].items()} != spec.models:
        found.append("its models have changed")
    for model in record["models"].values():
        found += model_reasons(model, record["profile"])
    return found


def model_reasons(model: dict, profile: str = PROFILE) -> list[str]:
    """Why a model of a record is not the edition's, or not what its recipe asks for."""
    path = edition_dir() / "models" / f"{model['name']}.safetensors"
    if weighs(model["name"]) and not path.is_file():
        return [f"the checkpoint of {model['name']} is missing"]
    if not path.with_suffix(".json").is_file():
        return [f"the card of {model['name']} is missing"]
    sha256 = zoo.file_hash(path) if weighs(model["name"]) else zoo.card_of(path)["sha256"]
    if sha256 != model["sha256"]:
        return [f"the checkpoint of {model['name']} is another one"]
    if not zoo.same_recipe(model["recipe"], experiments.recipe(profile, model["name"])):
        return [f"the recipe of {model['name']} has changed"]
    return []


def sources(notebook: dict) -> list[str]:
    """The code of a notebook without the parameters that papermill injected."""
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in cells if "injected-parameters" not in cell["metadata"].get("tags", [])]
