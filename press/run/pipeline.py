"""The steps of the pipeline: train a model, execute a notebook, make the book; each can be killed at any moment.

A finished step is recognised by a *fingerprint* of what it was made of (code, parameters, data, weights), so that
nothing finished is done again and nothing stale is kept. Steps hold a file lock that the operating system releases
when the process dies, and publish by renaming, so that no half-written file is ever taken for a result.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from filelock import FileLock, Timeout

from paperlib import fingerprint
from paperlib.files import archive_path, file_hash, made, scratch, write_atomic
from paperlib.fingerprint import code_digest, digest, module_paths
from paperlib.refusal import Refusal
from press.plan import experiments
from press.plan.experiments import ROOT, Artifact, build_dir


class StepError(Refusal):
    """A step that failed; one sentence that names the step and where to read on."""


# --- places, locks, atomic files ---------------------------------------------------------------------------------


def stamp(profile: str, step: str, name: str) -> Path:
    """The file that says that a step is done; what it holds changes when the step's product does."""
    return build_dir(profile) / "done" / step / name


@contextlib.contextmanager
def lock(profile: str, name: str) -> Iterator[None]:
    """Holds the lock ``name`` of a profile; waits for another process that holds it, and says so."""
    folder = build_dir(profile) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / f"{name}.lock")
    try:
        held.acquire(timeout=1)
    except Timeout:
        say(f"waiting for another process that works on {name} ({profile})")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def settle_environment() -> None:
    """What the steps find in their environment: absolute folders, because they run in another one, and huge pages."""
    for name in ("PAPERLIB_DATA", "PAPERLIB_BUILD"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())
    # glibc reads this when a process starts; training on a processor is a tenth to a quarter quicker, others ignore it
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")


def say(message: str) -> None:
    """One line of progress."""
    print(message, flush=True)


@lru_cache(maxsize=64)
def notebook_cells(notebook: str) -> list[dict]:
    """Type, tags and source of each cell of a template: what its execution depends on."""
    content = json.loads(experiments.notebook_path(notebook).read_text(encoding="utf-8"))
    return [
        {"type": c["cell_type"], "tags": c["metadata"].get("tags", []), "source": "".join(c["source"])}
        for c in content["cells"]
    ]


def notebook_source(notebook: str) -> str:
    """The Python of a template, without IPython's magics."""
    code = "\n".join(cell["source"] for cell in notebook_cells(notebook) if cell["type"] == "code")
    return re.sub(r"(?m)^\s*[%!].*$", "", code)


# --- steps -------------------------------------------------------------------------------------------------------


def data(name: str, profile: str) -> dict[str, object]:
    """Makes sure that a data set is at hand; returns its name, sha256, number of images in each split, and ``archive``.

    It is loaded when it never was, or when its archive is another file than then. Raises what ``paperlib.data.load`` raises.
    """
    step = data_key(name)
    path = stamp(profile, "data", step)
    with lock(profile, f"data-{step}"):
        found, source = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None, archive(name)
        if found is None or found.get("archive") != source:
            from paperlib.data import load

            dataset = load(name)
            sizes = {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")}
            found = {"name": name, "sha256": dataset.sha256, "n": sizes, "archive": source}
            write_atomic(path, json.dumps(found, indent=1))
    return found


def data_key(name: str) -> str:
    """A data set's name as a step: that of an archive tells two of one name in different folders apart."""
    return f"{Path(name).stem}-{digest(name)[:8]}.npz" if name.endswith(".npz") else Path(name).name


def archive(name: str) -> dict[str, object] | None:
    """Path, size and time of the archive that a data set is read from; None for one that is embedded or downloaded."""
    path = archive_path(name).resolve()
    if not path.is_file():
        return None
    return {"path": str(path), "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}


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
        if marker.is_file() and marker.read_text() != made_of:
            zoo.retire(path)
        write_atomic(marker, made_of)
        zoo.get(name, profile, budget=budget, rebuild=rebuild, device=device)
    return path


def _unpacked(name: str, profile: str) -> bool:
    """Whether a model of the published edition lies, or is now laid, where a run would have put it.

    The marker says so, and no run takes it for a training of its own: ``make book`` trains that model anew.
    """
    from press.run import zoo

    path, held = weights(name, profile), ROOT / "book" / "published" / "models" / f"{name}.safetensors"
    if not held.is_file() or not held.with_suffix(".json").is_file() or sources(name, profile):
        return False
    marker, mark = path.with_name(f"{name}.made_of"), "published"
    if path.is_file() and (not marker.is_file() or marker.read_text() != mark):
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
        if not (_made_of(target) == made_of and is_measured(record, measured_of)):
            log = place / "logs" / f"{name}.ipynb"
            with scratch(place / "tmp", name) as out:
                if is_measured(record, measured_of):
                    _copy_record(record, out)
                run_notebook(spec, out, log)
                _publish(spec, out, log, results, target, made_of)
    return target


def measurement(spec: Artifact) -> str:
    """What a record is made of: the code that measures, the parameters that it takes, weights and data.

    Empty for a notebook without a module in ``paperlib.measures``, which measures in its own cells.
    """
    module = f"paperlib.measures.{spec.notebook}"
    if not fingerprint.exists(module):
        return ""
    parameters = experiments.notebook_parameters(spec.notebook) | spec.parameters
    taken = {name: parameters[name] for name in fingerprint.keywords(module, "measure") if name in parameters}
    return digest(spec.notebook, taken, _inputs(spec), fingerprint.code_of(module))


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
    return digest(measured_of, spec.injected, cells, stated, inputs, code_digest(code_paths(spec.notebook)))


def code_paths(notebook: str) -> list[Path]:
    """The files of the code that a notebook runs: what its cells import, and what it measures with."""
    return module_paths(f"{notebook_source(notebook)}\nimport paperlib.measures.{notebook}")


def is_measured(record: Path, made_of: str) -> bool:
    """Whether a record of this measurement lies there."""
    try:
        return json.loads(record.read_text(encoding="utf-8")).get("made_of", "") == made_of
    except (OSError, ValueError, AttributeError):
        return False


def _copy_record(record: Path, folder: Path) -> None:
    for path in (record, record.with_suffix(".npz")):
        if path.is_file():
            shutil.copy(path, folder)


def _made_of(notebook: Path) -> str | None:
    if not notebook.is_file():
        return None
    return json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("paperlib", {}).get("made_of")


def run_notebook(spec: Artifact, out: Path, log: Path) -> None:
    """Executes an artifact's notebook with its results in the folder ``out``; ``log`` is the executed notebook."""
    import papermill

    made(log.parent)
    # the kernel imports paperlib from here, and finds the interpreter that runs this process
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.pop("JUPYTER_PATH", None)
    template = experiments.notebook_path(spec.notebook)
    run = partial(
        papermill.execute_notebook,
        str(template),
        str(log),
        parameters={**spec.injected, "out": str(out)},
        kernel_name="python3",
        cwd=str(ROOT),
        progress_bar=False,
    )
    try:
        started(run)
    except papermill.PapermillExecutionError as error:
        fault = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise StepError(f"{spec.key} failed in notebooks/{template.name}: {fault}; read {_short(log)}") from error


def started(run: Callable[[], object], attempts: int = 3) -> object:
    """``run()``, again where its kernel died at its start.

    A kernel's ports are chosen before it takes them; with several kernels at work another process may be quicker.
    """
    for left in reversed(range(attempts)):
        try:
            return run()
        except RuntimeError as error:
            if not left or "before replying" not in str(error):
                raise


def _publish(spec: Artifact, out: Path, log: Path, results: Path, target: Path, made_of: str) -> None:
    if not (out / f"{spec.key}.json").is_file():
        raise StepError(f"{spec.key} failed: notebooks/{spec.notebook}.ipynb wrote no {spec.key}.json into the folder out")
    content = _cleaned(json.loads(log.read_text(encoding="utf-8")), made_of)
    # copied, for the results' folder may be on another disk
    for path in sorted(out.iterdir()):
        write_atomic(results / path.name, path.read_bytes())
    # last: the notebook's fingerprint is what declares the step done
    write_atomic(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    log.unlink()


def _cleaned(notebook: dict, made_of: str) -> dict:
    """The executed notebook without papermill's times and places, so that the same run gives the same file."""
    notebook["metadata"].pop("papermill", None)
    notebook["metadata"]["paperlib"] = {"made_of": made_of}
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
            cell["metadata"]["tags"] = [*tags, "hide-input"]
            source = "".join(cell["source"])
            cell["source"] = re.sub(r"(?m)^out = .*$", 'out = ""', source)
    return notebook


def _short(path: Path) -> str:
    """A path as the reader would type it from the top folder."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(ROOT))
    return str(path)


# --- one figure with new parameters -----------------------------------------------------------------------------


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

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    pictures = [output["image/png"] for output in outputs if "image/png" in output]
    for number, picture in enumerate(pictures, start=1):
        text = picture if isinstance(picture, str) else "".join(picture)
        write_atomic(notebook.with_name(f"{notebook.stem}-{number}.png"), base64.b64decode(text))


# --- the whole book ----------------------------------------------------------------------------------------------


def all_steps(profile: str) -> list[tuple[str, str]]:
    """All steps of a profile, (step, name), the book itself last."""
    names = experiments.models(profile)
    return [
        *(("data", name) for name in data_sets(profile)),
        *(("train", name) for name in names),
        *(("execute", key) for key in experiments.keys(profile)),
        ("book", "html"),
    ]


def data_sets(profile: str) -> dict[str, str]:
    """The data sets that the profile's models are trained on: name of the step -> name or path of the data set."""
    return {data_step(name, profile): data_of(name, profile) for name in experiments.models(profile)}


def data_step(name: str, profile: str) -> str:
    """The step that makes sure of a model's data set."""
    return data_key(data_of(name, profile))


def book_sources() -> list[Path]:
    """The files that the book is made of besides executed notebooks: chapters, settings, and code for its API page."""
    folders = [(ROOT / "book", "*"), (ROOT / "paperlib", "*.py"), (ROOT / "press", "*.py")]
    files = [path for folder, pattern in folders for path in folder.rglob(pattern) if path.is_file()]
    return sorted([*files, ROOT / "_config.yml", ROOT / "experiments.yml"])


def make_book(profile: str, *, cores: int | None = None) -> Path:
    """Trains, executes and builds whatever is missing or changed; returns the book's first page."""
    experiments.check(profile)
    with lock(profile, "book"):
        _forget_lost_products(profile)
        began = time.time()
        if _snakemake(profile, cores or available_cores()):
            raise StepError(_failures(profile, began))
    return build_dir(profile) / "html" / "index.html"


def product(profile: str, step: str, name: str) -> Path:
    """The file without which a step is not done."""
    place = build_dir(profile)
    return {
        "data": stamp(profile, "data", name),
        "train": weights(name, profile),
        "execute": place / "notebooks" / f"{name}.ipynb",
        "book": place / "html" / "index.html",
    }[step]


def _forget_lost_products(profile: str) -> None:
    for step, name in all_steps(profile):
        if not product(profile, step, name).is_file():
            stamp(profile, step, name).unlink(missing_ok=True)


def _snakemake(profile: str, cores: int) -> int:
    """Runs the Snakefile in this process; its own words go to a log."""
    place = made(build_dir(profile))
    arguments = [
        *("--snakefile", str(ROOT / "Snakefile"), "--config", f"profile={profile}", "--cores", str(cores)),
        # a lock file of Snakemake's would outlive a killed run; ours is released by the operating system
        *("--nolock", "--rerun-incomplete", "--keep-going", "--nocolor", "--scheduler", "greedy"),
    ]
    log = made(place / "logs") / "snakemake.log"
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(stack.enter_context(log.open("w", encoding="utf-8"))))
        # Snakemake keeps its notes in the folder where it starts, and never reads a file anew that it has cached
        stack.enter_context(contextlib.chdir(place))
        cache = stack.enter_context(scratch(place / "tmp", "snakemake"))
        from snakemake.cli import main

        try:
            main([*arguments, "--runtime-source-cache-path", str(cache)])
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def _failures(profile: str, began: float) -> str:
    lines = []
    for step, name in all_steps(profile):
        log = build_dir(profile) / "logs" / f"{step}-{name}.log"
        if log.is_file() and log.stat().st_mtime >= began and not stamp(profile, step, name).is_file():
            lines.append(f"  {step} {name}: {_last_words(log)}")
    if not lines:
        return f"the book is not finished; read {_short(build_dir(profile) / 'logs' / 'snakemake.log')}"
    return "the book is not finished; run make book again once this is settled:\n" + "\n".join(lines)


def _last_words(log: Path) -> str:
    """Why a step failed: its own sentence, else the last line of a traceback, else that it was stopped."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    said = re.findall(r"(?ms)^paperlib: (.*)\Z", text)
    if said:
        return said[-1]
    why = text.splitlines()[-1] if "Traceback" in text else "stopped before it was done"
    return f"{why}; read {_short(log)}"


def finish(step: str, name: str, profile: str, path: Path, began: float) -> None:
    """Stamps a step with the hash of its product and says how far the run is."""
    write_atomic(stamp(profile, step, name), hashlib.sha256(path.read_bytes()).hexdigest())
    announce(step, name, profile, began)


def announce(step: str, name: str, profile: str, began: float) -> None:
    """One line that says which step is done, its seconds, and how far the run is."""
    everything = all_steps(profile)
    done = sum(stamp(profile, *each).is_file() for each in everything)
    say(f"[{done:2}/{len(everything)}] {step} {name} ({time.time() - began:.0f} s)")


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
