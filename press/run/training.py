"""Data sets at hand and models trained: found, gone on with, or made."""

import sys
import time
from functools import lru_cache
from pathlib import Path

from paperlib import sealed
from paperlib.files import archive_path, file_hash, write_atomic
from paperlib.fingerprint import code_digest, digest, module_paths
from press.plan import experiments, settings
from press.plan.experiments import build_dir
from press.run.checkpoints import is_finished, path_of, retire
from press.run.places import StepError, lock, say, settle_threads, whole


def data(name: str, profile: str) -> dict[str, object]:
    """Makes sure that a data set is at hand; returns its name, sha256, number of images in each split, and ``archive``.

    It is loaded when it never was, or when its archive is another one than then. Raises what ``paperlib.data.load`` raises.
    """
    path = data_file(name, profile)
    with lock(profile, f"data-{path.stem}"):
        found = whole(_known, path)
        if found is None or (found["name"], found["archive"]) != (name, archive(name)):
            from paperlib.data import load

            dataset = load(name)
            sizes = {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")}
            # only now, for it may have been downloaded
            found = {"name": name, "sha256": dataset.sha256, "n": sizes, "archive": archive(name)}
            sealed.write_json(path, found)
    return found


def is_loaded(name: str, profile: str) -> bool:
    """Whether a data set was at hand, and its archive still is the same."""
    path = data_file(name, profile)
    return path.is_file() and _known(path)["archive"] == archive(name)


def _known(path: Path) -> dict:
    """What was written down of a data set. Raises DamagedError."""
    return sealed.read_json(path, "name", "sha256", "n", "archive")


def data_file(name: str, profile: str) -> Path:
    """What is written down of a data set."""
    return build_dir(profile) / "data" / f"{data_key(name)}.json"


def data_key(name: str) -> str:
    """A data set's name as a step: that of an archive tells two of one name in different folders apart."""
    return f"{Path(name).stem}-{digest(name)[:8]}.npz" if name.endswith(".npz") else Path(name).name


def archive(name: str) -> str | None:
    """The hash of the archive that a data set is read from; None for one that is embedded or not downloaded yet."""
    path = archive_path(name).resolve()
    if not path.is_file():
        return None
    found = path.stat()
    return _archive_hash(path, found.st_ino, found.st_size, found.st_ctime_ns)


@lru_cache(maxsize=8)
def _archive_hash(path: Path, *_version: int) -> str:
    # read once a process, unless something touches it: archives are large
    return file_hash(path)


def train(
    name: str, profile: str, *, budget: float | None = None, rebuild: bool = False, device: str = "", stored: bool = False
) -> Path:
    """Trains a model, goes on with one that was interrupted, or finds it; returns the weights' file.

    A model whose data, training code or source has changed since is set aside and trained anew; comments do not count as
    change. Its source is trained first, within the same ``budget``. With ``stored`` the weights that this repository holds
    are taken where they are of the same recipe and data and nothing finished lies there. ``device`` is the accelerator when
    torch sees one, unless it is named. Raises ExperimentError for an unknown model, StepError for a device that is not
    there, and what ``zoo.get`` raises.
    """
    experiments.recipe(profile, name)
    settle_threads()
    device = _device(device)
    from press.run import zoo

    if stored and _unpacked(name, profile):
        return path_of(name, profile)
    path, began, against = path_of(name, profile), time.monotonic(), []
    for source in sources(name, profile):
        against.append(file_hash(train(source, profile, budget=budget, device=device)))
        budget = None if budget is None else budget - (time.monotonic() - began)
    with lock(profile, f"train-{name}"):
        code = code_digest(module_paths("import paperlib.train"))
        made_of = digest(data(data_of(name, profile), profile)["sha256"], code, *against)
        # written before the first of the model's files, so that whatever lies there was made of this
        marker = path.with_name(f"{name}.made_of")
        if marker.is_file() and marker.read_bytes() != made_of.encode():
            say(f"{name} was not made by this code of these data, or {marker.name} is damaged; it is trained anew")
            retire(path)
        write_atomic(marker, made_of)
        # a log that is no terminal gets no refreshes
        zoo.get(name, profile, budget=budget, rebuild=rebuild, device=device, progress=sys.stderr.isatty())
    return path


def _unpacked(name: str, profile: str) -> bool:
    """Whether a model of the published edition lies, or is now laid, where a run would have put it.

    The marker says so, and no run takes it for a training of its own: ``make book`` trains that model anew.
    """
    path, held = weights(name, profile), settings.ROOT / "book" / "published" / "models" / f"{name}.safetensors"
    if not held.is_file() or not held.with_suffix(".json").is_file() or sources(name, profile):
        return False
    marker, mark = path.with_name(f"{name}.made_of"), "published"
    if path.is_file() and (not marker.is_file() or marker.read_bytes() != mark.encode()):
        return False
    sha256 = data(data_of(name, profile), profile)["sha256"]
    if not is_finished(held, experiments.recipe(profile, name), sha256, None):
        return False
    with lock(profile, f"train-{name}"):
        write_atomic(marker, mark)
        for file in (held, held.with_suffix(".json")):
            write_atomic(path.with_name(file.name), file.read_bytes())
    return True


def _device(name: str) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = [*(["cuda"] if count else []), "cpu", *(f"cuda:{k}" for k in range(count))]
    if name and name not in there:
        raise StepError(f"device is {name!r}; allowed are {', '.join(there)}")
    return name or there[0]


def is_trained(name: str, profile: str) -> bool:
    """Whether a model's checkpoint is of its present recipe, data and source; the code that trained it does not count."""
    against = sources(name, profile)
    if not all(is_trained(source, profile) for source in against):
        return False
    sha256 = data(data_of(name, profile), profile)["sha256"]
    source_sha256 = file_hash(path_of(against[0], profile)) if against else None
    return is_finished(path_of(name, profile), experiments.recipe(profile, name), sha256, source_sha256)


def data_of(name: str, profile: str) -> str:
    """The data set that a model is trained on."""
    return str(experiments.recipe_settings(profile, name).get("data"))


def data_hash(name: str, profile: str) -> str:
    """The hash of a trained model's data set, as it was when it last was made sure of."""
    return _known(data_file(data_of(name, profile), profile))["sha256"]


def sources(name: str, profile: str) -> list[str]:
    """The model against which this one's training makes its examples, if there is one."""
    source = experiments.recipe_settings(profile, name).get("source")
    return [str(source)] if source else []


def weights(name: str, profile: str) -> Path:
    """The file of a model's weights."""
    return build_dir(profile) / "models" / f"{name}.safetensors"
