"""The steps of a book: make sure of data, train a model, execute a notebook; each can be killed at any moment.

A finished step is recognised by a *fingerprint* of what it was made of (code, parameters, data, weights), so that
nothing finished is done again and nothing stale is kept. Steps hold a file lock that the operating system releases
when the process dies, and publish by renaming, so that no half-written file is ever taken for a result.
"""

import shutil
import time
from functools import lru_cache
from pathlib import Path

from paperlib import fingerprint, sealed
from paperlib import record as records
from paperlib.files import archive_path, file_hash, scratch, write_atomic
from paperlib.fingerprint import code_digest, digest, module_paths
from press.plan import experiments, settings, templates
from press.plan.experiments import Artifact, build_dir
from press.run.notebooks import notebook_cells, notebook_made_of, notebook_source, publish_notebook, run_notebook
from press.run.places import StepError, lock, say, whole


def data(name: str, profile: str) -> dict[str, object]:
    """Makes sure that a data set is at hand; returns its name, sha256, number of images in each split, and ``archive``.

    It is loaded when it never was, or when its archive is another one than then. Raises what ``paperlib.data.load`` raises.
    """
    path = data_file(name, profile)
    with lock(profile, f"data-{path.stem}"):
        found = whole(sealed.read_json, path)
        if found is None or found["archive"] != archive(name):
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
    return path.is_file() and sealed.read_json(path)["archive"] == archive(name)


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
    device = _device(device)
    from press.run import zoo

    if stored and _unpacked(name, profile):
        return zoo.path_of(name, profile)
    path, began, against = zoo.path_of(name, profile), time.monotonic(), []
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
            zoo.retire(path)
        write_atomic(marker, made_of)
        zoo.get(name, profile, budget=budget, rebuild=rebuild, device=device)
    return path


def _unpacked(name: str, profile: str) -> bool:
    """Whether a model of the published edition lies, or is now laid, where a run would have put it.

    The marker says so, and no run takes it for a training of its own: ``make book`` trains that model anew.
    """
    from press.run import zoo

    path, held = weights(name, profile), settings.ROOT / "book" / "published" / "models" / f"{name}.safetensors"
    if not held.is_file() or not held.with_suffix(".json").is_file() or sources(name, profile):
        return False
    marker, mark = path.with_name(f"{name}.made_of"), "published"
    if path.is_file() and (not marker.is_file() or marker.read_bytes() != mark.encode()):
        return False
    sha256 = data(data_of(name, profile), profile)["sha256"]
    if not zoo.is_finished(held, experiments.recipe(profile, name), sha256, None):
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
    from press.run import zoo

    against = sources(name, profile)
    if not all(is_trained(source, profile) for source in against):
        return False
    sha256 = data(data_of(name, profile), profile)["sha256"]
    source_sha256 = file_hash(zoo.path_of(against[0], profile)) if against else None
    return zoo.is_finished(zoo.path_of(name, profile), experiments.recipe(profile, name), sha256, source_sha256)


def data_of(name: str, profile: str) -> str:
    """The data set that a model is trained on."""
    return str(experiments.recipe_settings(profile, name).get("data"))


def sources(name: str, profile: str) -> list[str]:
    """The model against which this one's training makes its examples, if there is one."""
    source = experiments.recipe_settings(profile, name).get("source")
    return [str(source)] if source else []


def weights(name: str, profile: str) -> Path:
    """The file of a model's weights."""
    return build_dir(profile) / "models" / f"{name}.safetensors"


def execute(spec: Artifact, *, folder: Path | None = None) -> Path:
    """Executes an artifact's notebook and publishes notebook and results; returns the notebook.

    Without ``folder`` they go to the profile's ``notebooks`` and ``results``. A failed notebook stays readable under
    ``logs``. Nothing runs when they were made of the same code, parameters, data and weights already, and nothing is
    measured when the record was; models that are not there, or are of another recipe or other data, are trained first.
    """
    place = build_dir(spec.profile)
    results, notebooks = (folder, folder) if folder else (place / "results", place / "notebooks")
    if folder and folder.exists() and not folder.is_dir():
        raise StepError(f"out is {folder}, which is a file; allowed is a folder")
    name = folder.name if folder else spec.key
    target = notebooks / f"{spec.key}.ipynb"
    for model in dict.fromkeys(spec.models.values()):
        if not is_trained(model, spec.profile):
            train(model, spec.profile)
    with lock(spec.profile, f"execute-{name}"):
        record, measured_of = results / f"{spec.key}.json", measurement(spec)
        made_of = drawing(spec, measured_of)
        drawn, measured = notebook_made_of(target) == made_of, is_measured(record, measured_of)
        if not (drawn and measured):
            log = place / "logs" / f"{name}.ipynb"
            with scratch(place / "tmp", name) as out:
                if measured:
                    _copy_record(record, out)
                run_notebook(spec, out, log)
                publish_notebook(spec, out, log, results, target, made_of)
    return target


def measurement(spec: Artifact) -> str:
    """What a record is made of: the code that measures, the parameters that it takes, weights and data.

    Empty for a notebook without a module in ``paperlib.measures``, which measures in its own cells.
    """
    module = f"paperlib.measures.{spec.notebook}"
    if not fingerprint.exists(module):
        return ""
    parameters = templates.notebook_parameters(spec.notebook) | spec.parameters
    taken = {name: parameters[name] for name in fingerprint.keywords(module, "measure") if name in parameters}
    return digest(spec.notebook, taken, _inputs(spec), fingerprint.code_of(module))


def asked(step: str, name: str, profile: str) -> str:
    """What a step is asked to make and by which code, as a hash; what it makes it of, the steps before it have made."""
    if step == "data":
        return digest(name)
    if step == "train":
        recipes = [experiments.recipe_settings(profile, each) for each in (name, *sources(name, profile))]
        return digest(recipes, code_digest(module_paths("import paperlib.train")))
    spec = experiments.artifact(profile, name)
    cells, stated = notebook_cells(spec.notebook), experiments.stated(name)
    return digest(spec.injected, cells, stated, code_digest(code_paths(spec.notebook)))


def _inputs(spec: Artifact) -> dict[str, list[str]]:
    """The hashes of weights and data of every role."""
    # other test images leave the weights as they are
    return {
        role: [file_hash(weights(model, spec.profile)), data(data_of(model, spec.profile), spec.profile)["sha256"]]
        for role, model in spec.models.items()
    }


def drawing(spec: Artifact, measured_of: str) -> str:
    """What an executed notebook is made of: its record, code that draws, cells, parameters, and the paper's numbers, which
    some of them show."""
    cells, stated = notebook_cells(spec.notebook), experiments.stated(spec.key)
    inputs = {} if measured_of else _inputs(spec)
    code = code_digest(module_paths(notebook_source(spec.notebook)))
    return digest(measured_of, spec.injected, cells, stated, inputs, code)


def code_paths(notebook: str) -> list[Path]:
    """The files of the code that a notebook runs: what its cells import, and what it measures with."""
    return module_paths(f"{notebook_source(notebook)}\nimport paperlib.measures.{notebook}")


def is_measured(record: Path, made_of: str) -> bool:
    """Whether a record of this measurement lies there, whole and with its arrays."""
    content = whole(records.content_of, record)
    return content is not None and content.get("made_of", "") == made_of


def _copy_record(record: Path, folder: Path) -> None:
    for path in (record, record.with_suffix(".npz")):
        if path.is_file():
            shutil.copy(path, folder)


def figure(key: str, profile: str, overrides: dict[str, object]) -> Path:
    """Makes one figure with new parameters into a folder of its own, and returns it; nothing else is overwritten."""
    spec = experiments.override(experiments.artifact(profile, key), overrides)
    folder = build_dir(profile) / "reruns" / f"{key}-{digest(overrides)[:8]}"
    for name in dict.fromkeys(spec.models.values()):
        say(f"model {name}")
        train(name, profile, stored=True)
    say(f"{key}: notebooks/{spec.notebook}.ipynb")
    notebook = execute(spec, folder=folder)
    _save_pictures(notebook)
    return folder


def _save_pictures(notebook: Path) -> None:
    import base64

    cells = sealed.read_json(notebook)["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    pictures = [output["image/png"] for output in outputs if "image/png" in output]
    for number, picture in enumerate(pictures, start=1):
        text = picture if isinstance(picture, str) else "".join(picture)
        write_atomic(notebook.with_name(f"{notebook.stem}-{number}.png"), base64.b64decode(text))
