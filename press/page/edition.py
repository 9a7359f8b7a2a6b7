"""The published edition: what a finished run of the paper profile leaves in the repository for readers without a GPU.

``publish`` copies whatever a run has measured (records, arrays, searches, one seed's checkpoints) into ``book/published``;
runs on several machines merge, because each adds its own artifacts. Its pages are drawn from the records (``drawn``).
"""

from pathlib import Path

from paperlib import record as records
from paperlib import sealed
from paperlib.files import file_hash, write_atomic
from press.page import manifest
from press.page.findings import edition_dir
from press.page.manifest import EditionError
from press.plan import experiments
from press.plan.searches import described
from press.run import checkpoints, search

PROFILE = "paper"
# of all files; four fifths of them are weights
LIMIT = 42 * 2**20
# how a file is read that tells by itself whether it is whole; of any other a record or card holds the hash
SEALS = {".json": sealed.read_json, ".npy": sealed.read}


def publish(profile: str = PROFILE) -> list[str]:
    """Add every finished artifact of the profile to the edition; returns their keys.

    An artifact goes in whole: record, arrays and the checkpoints it used; the manifest lists them. Raises EditionError,
    before anything is copied, for a profile that is no size of ``PROFILE``, for an artifact that ``reasons`` tells stale,
    for more than ``LIMIT`` bytes, and where other files of the edition are damaged; DamagedError for a damaged file of the
    run.
    """
    if experiments.column(profile) != PROFILE:
        allowed = ", ".join(name for name in experiments.profiles() if experiments.column(name) == PROFILE)
        raise EditionError(f"profile is {profile!r}; allowed in the published edition are {allowed}")
    place = experiments.build_dir(profile)
    keys = [key for key in experiments.keys(profile) if (place / "results" / f"{key}.json").is_file()]
    for key in keys:
        found = reasons(records.content_of(place / "results" / f"{key}.json"), place)
        if found:
            raise EditionError(f"{key} cannot be published: {', '.join(found)}; execute it again")
    files = [file for key in keys for file in artifact_files(key, profile)]
    files += [(path, Path("search") / path.name) for path in sorted((place / "search").glob("*.json"))]
    # hours of AutoAttack in a few bytes: another machine goes on from there
    files += [(path, Path("oracle") / path.name) for path in sorted((place / "oracle").glob("autoattack-*.npy"))]
    new = {target: source for source, target in files}
    kept = [path for path in edition_dir().rglob("*") if path.is_file() and path.relative_to(edition_dir()) not in new]
    size = sum(path.stat().st_size for path in [*new.values(), *kept])
    if size > LIMIT:
        raise EditionError(f"the edition would have {size / 2**20:.0f} MiB; allowed are {LIMIT / 2**20:.0f}")
    for path in new.values():
        SEALS.get(path.suffix, file_hash)(path)
    manifest.check(besides={target.as_posix() for target in new})
    for target, source in new.items():
        write_atomic(edition_dir() / target, source.read_bytes())
    manifest.write()
    return keys


def artifact_files(key: str, profile: str) -> list[tuple[Path, Path]]:
    """The files of one finished artifact: where each is, and its place in the edition."""
    place = experiments.build_dir(profile)
    found = []
    for kind in ("json", "npz"):
        path = place / "results" / f"{key}.{kind}"
        if path.is_file():
            found.append((path, Path("results") / path.name))
    for model in sealed.read_json(place / "results" / f"{key}.json")["models"].values():
        path = checkpoints.path_of(model["name"], profile)
        files = (path, path.with_suffix(".json")) if weighs(model["name"]) else (path.with_suffix(".json"),)
        found += [(file, Path("models") / file.name) for file in files]
    return found


def weighs(name: str) -> bool:
    """Whether the edition holds a model's weights, too; of other seeds and brief trainings the cards alone."""
    return experiments.DERIVED not in name and experiments.BRIEF not in name


def stale() -> list[str]:
    """One sentence for each artifact or search of the edition that ``experiments.yml`` or its template has left behind."""
    found = []
    for path in sorted((edition_dir() / "results").glob("*.json")):
        found += [f"{path.stem}: {reason}" for reason in reasons(sealed.read_json(path))]
    for path in sorted((edition_dir() / "search").glob("*.json")):
        found += [f"search {path.stem}: {reason}" for reason in search_reasons(sealed.read_json(path))]
    return found


def search_reasons(result: dict) -> list[str]:
    """Why a search no longer is the one that ``experiments.yml`` describes, or did not choose what its recipe has."""
    found = []
    if described(result["name"], result["profile"]) != result["settings"]:
        found.append("its settings have changed")
    recipe = experiments.recipe(result["profile"], result["name"])
    for field, chosen in search.choose(result["candidates"]).items():
        if getattr(recipe, field) != chosen:
            found.append(f"it chose {field} = {chosen}, and the recipe has {getattr(recipe, field)}")
    return found


def reasons(record: dict, folder: Path | None = None) -> list[str]:
    """Why a record no longer is what ``experiments.yml`` asks for: its parameters, models or weights.

    The models are those in ``folder``, the edition's by default.
    """
    folder = folder or edition_dir()
    spec = experiments.artifact(record["profile"], record["artifact"])
    found = []
    changed = [name for name, value in spec.parameters.items() if record["parameters"].get(name, value) != value]
    found += [f"parameter {name} has changed" for name in changed]
    if {role: model["name"] for role, model in record["models"].items()} != spec.models:
        found.append("its models have changed")
    for model in record["models"].values():
        found += model_reasons(model, record["profile"], folder)
    return found


def model_reasons(model: dict, profile: str, folder: Path) -> list[str]:
    """Why a model of a record is not the one in ``folder``, or not what its recipe asks for."""
    path = folder / "models" / f"{model['name']}.safetensors"
    if weighs(model["name"]) and not path.is_file():
        return [f"the checkpoint of {model['name']} is missing"]
    if not path.with_suffix(".json").is_file():
        return [f"the card of {model['name']} is missing"]
    sha256 = file_hash(path) if weighs(model["name"]) else checkpoints.card_of(path)["sha256"]
    if sha256 != model["sha256"]:
        return [f"the checkpoint of {model['name']} is another one"]
    if not checkpoints.same_recipe(model["recipe"], experiments.recipe(profile, model["name"])):
        return [f"the recipe of {model['name']} has changed"]
    return []
