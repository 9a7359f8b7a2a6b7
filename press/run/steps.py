"""Executing a notebook: its record is measured once, its pictures are drawn at any time; it can be killed at any moment.

A finished step is recognised by a *fingerprint* of what it was made of (code, parameters, data, weights), so that
nothing finished is done again and nothing stale is kept. Steps hold a file lock that the operating system releases
when the process dies, and publish by renaming, so that no half-written file is ever taken for a result.
"""

import shutil
from pathlib import Path

from paperlib import fingerprint, sealed
from paperlib import record as records
from paperlib.files import file_hash, scratch, write_atomic
from paperlib.fingerprint import code_digest, digest, module_paths
from press.plan import experiments, ranges, templates
from press.plan.experiments import Artifact, build_dir
from press.run import kernel
from press.run.notebooks import notebook_cells, notebook_made_of, notebook_source, publish_notebook, run_notebook
from press.run.places import StepError, lock, say, whole
from press.run.training import data, data_hash, data_of, is_trained, sources, train, weights


def execute(spec: Artifact, *, folder: Path | None = None) -> Path:
    """Executes an artifact's notebook and publishes notebook and results; returns the notebook.

    Without ``folder`` they go to the profile's ``notebooks`` and ``results``. A failed notebook stays readable under
    ``logs``. Nothing runs when they were made of the same code, parameters, data and weights already, and nothing is
    measured when the record was. Its models must be ``prepared``.
    """
    place = build_dir(spec.profile)
    results, notebooks = (folder, folder) if folder else (place / "results", place / "notebooks")
    if folder and folder.exists() and not folder.is_dir():
        raise StepError(f"out is {folder}, which is a file; allowed is a folder")
    name = folder.name if folder else spec.key
    target = notebooks / f"{spec.key}.ipynb"
    with lock(spec.profile, f"execute-{name}"):
        record, measured_of = results / f"{spec.key}.json", measurement(spec)
        made_of = drawing(spec, measured_of)
        drawn, measured = notebook_made_of(target) == made_of, is_measured(record, measured_of)
        if not (drawn and measured):
            log = place / "logs" / f"{name}.ipynb"
            with scratch(place / "tmp", name) as out:
                if measured:
                    _copy_record(record, out)
                run_notebook(spec, out, log, expected=_expected(spec, measured))
                publish_notebook(spec, out, log, results, target, made_of)
    return target


def _expected(spec: Artifact, measured: bool) -> float | None:
    """How many seconds the notebook should take, by the profile's last run; None where there was none."""
    record = whole(sealed.read_json, build_dir(spec.profile) / "results" / f"{spec.key}.json")
    if measured or record is None:
        return kernel.STARTS if measured else None
    return kernel.STARTS + record["seconds"]


def prepared(spec: Artifact) -> Artifact:
    """The same artifact once its models are there; those that are not, or are of another recipe or data, are trained.

    Raises ExperimentError, before that, where it asks for test images that the data do not have.
    """
    check_counts(spec)
    for model in dict.fromkeys(spec.models.values()):
        if not is_trained(model, spec.profile):
            train(model, spec.profile)
    return spec


def check_counts(spec: Artifact) -> None:
    """Raises ExperimentError where more test images are asked for than every data set of the artifact has."""
    sets = {data_of(model, spec.profile) for model in spec.models.values()}
    parameters = templates.notebook_parameters(spec.notebook) | spec.parameters
    ranges.check_counts(spec.notebook, parameters, min(data(name, spec.profile)["n"]["test"] for name in sets))


def measurement(spec: Artifact) -> str:
    """What a record is made of: the code that measures, the parameters that it takes, weights and data.

    Empty for a notebook without a module in ``paperlib.measures``, which measures in its own cells.
    """
    module = f"paperlib.measures.{spec.notebook}"
    if not fingerprint.exists(module):
        return ""
    parameters = templates.notebook_parameters(spec.notebook) | spec.parameters
    taken = {name: parameters[name] for name in fingerprint.keywords(module, "measure") if name in parameters}
    # the paper's numbers, of a measurement that compares with them
    stated = [experiments.stated(spec.key)] if "stated" in fingerprint.keywords(module, "measure") else []
    return digest(spec.notebook, taken, _inputs(spec), fingerprint.code_of(module), *stated)


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
        role: [file_hash(weights(model, spec.profile)), data_hash(model, spec.profile)]
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


def figure(key: str, profile: str, overrides: dict[str, object]) -> tuple[Artifact, Path]:
    """Makes one figure with new parameters into a folder of its own, and returns both; nothing else is overwritten."""
    spec = experiments.override(experiments.artifact(profile, key), overrides)
    check_counts(spec)
    folder = experiments.rerun_dir(spec)
    for name in dict.fromkeys(spec.models.values()):
        say(f"model {name}")
        train(name, profile, stored=True)
    say(f"{key}: notebooks/{spec.notebook}.ipynb")
    notebook = execute(spec, folder=folder)
    _save_pictures(notebook)
    return spec, folder


def _save_pictures(notebook: Path) -> None:
    import base64

    cells = sealed.read_json(notebook)["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    pictures = [output["image/png"] for output in outputs if "image/png" in output]
    for number, picture in enumerate(pictures, start=1):
        text = picture if isinstance(picture, str) else "".join(picture)
        write_atomic(notebook.with_name(f"{notebook.stem}-{number}.png"), base64.b64decode(text))
