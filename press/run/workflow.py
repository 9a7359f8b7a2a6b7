"""The whole book: which steps there are, what is left of them, and Snakemake, which runs them."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paperlib import fingerprint, sealed
from paperlib.files import made, scratch
from paperlib.refusal import Refusal
from press.plan import check, experiments, settings
from press.plan.experiments import build_dir
from press.run import devices, inventory, steps, training
from press.run.places import StepError, available_cores, lock, say, short_path, stamp
from press.run.training import data_key, data_of

# of every stamp: in 2001, before whatever a run makes
DATE = 1_000_000_000
# bytes without which no step can do its work
LEAST = 2**20


def all_steps(profile: str) -> list[tuple[str, str]]:
    """All steps of a profile, (step, name), the book itself last."""
    names = experiments.models(profile)
    against = [source for name in names for source in training.sources(name, profile)]
    return [
        *(("data", name) for name in data_sets(profile)),
        *(("train", name) for name in dict.fromkeys([*against, *names])),
        *(("execute", key) for key in experiments.keys(profile)),
        ("book", "html"),
    ]


def before(profile: str, step: str, name: str) -> list[tuple[str, str]]:
    """The steps whose products a step takes, as in the Snakefile."""
    if step == "train":
        return [("data", data_step(name, profile)), *(("train", each) for each in training.sources(name, profile))]
    if step == "execute":
        names = dict.fromkeys(experiments.artifact(profile, name).models.values())
        return [*(("train", each) for each in names), *(("data", data_step(each, profile)) for each in names)]
    return [("execute", key) for key in experiments.keys(profile)] if step == "book" else []


def data_sets(profile: str) -> dict[str, str]:
    """The data sets that the profile's models are trained on: name of the step -> name or path of the data set."""
    return {data_step(name, profile): data_of(name, profile) for name in experiments.models(profile)}


def data_step(name: str, profile: str) -> str:
    """The step that makes sure of a model's data set."""
    return data_key(data_of(name, profile))


def book_sources() -> list[Path]:
    """The files that the book is made of besides executed notebooks: chapters, the published edition, settings, and code for
    its API page."""
    folders = [(settings.ROOT / "book", "*"), (settings.ROOT / "paperlib", "*.py"), (settings.ROOT / "press", "*.py")]
    files = [path for folder, pattern in folders for path in folder.rglob(pattern) if path.is_file()]
    return sorted([*files, settings.ROOT / "_config.yml", settings.ROOT / "experiments.yml"])


def make_book(profile: str, *, cores: int | None = None) -> Path:
    """Trains, executes and builds whatever is missing or changed; returns the book's first page."""
    check.check(profile)
    cores = cores or available_cores()
    # where nobody may write, a finished book still is one
    if _can_write(build_dir(profile)) or not all(is_done(profile, *each) for each in all_steps(profile)):
        with lock(profile, "book"):
            _redraw(profile, cores)
            if _snakemake(profile, cores):
                raise StepError(_failures(profile))
    return build_dir(profile) / "html" / "index.html"


def _can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the first one above it that is there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK)


def _redraw(profile: str, cores: int) -> None:
    """Draws here what only has to be drawn anew; a process for each, as Snakemake starts, would take twice as long."""
    with ThreadPoolExecutor(cores) as pool:
        for key in experiments.keys(profile):
            if not is_done(profile, "execute", key) and _is_measured(profile, key):
                pool.submit(_execute, profile, key)


def _is_measured(profile: str, key: str) -> bool:
    """Whether an artifact's networks are done, and its record is of them and of today's parameters and code."""
    spec = experiments.artifact(profile, key)
    if not all(is_done(profile, *each) for each in before(profile, "execute", key)):
        return False
    made_of = steps.measurement(spec)
    return bool(made_of) and steps.is_measured(build_dir(profile) / "results" / f"{key}.json", made_of)


def _execute(profile: str, key: str) -> None:
    # one that fails is left to Snakemake, which tries again and keeps what it says
    with contextlib.suppress(Refusal), stamped("execute", key, profile):
        steps.execute(experiments.artifact(profile, key))


def products(profile: str, step: str, name: str) -> list[Path]:
    """The files that a step makes, as far as they are there."""
    place = build_dir(profile)
    named = {
        "data": (f"data/{name}.json",),
        "train": (f"models/{name}.safetensors", f"models/{name}.json", f"models/{name}.made_of"),
        "execute": (f"notebooks/{name}.ipynb", f"results/{name}.json", f"results/{name}.npz"),
    }
    paths = [place / path for path in named[step]] if step in named else (place / "html").rglob("*")
    return [path for path in paths if path.is_file()]


def asked(profile: str, step: str, name: str) -> str:
    """What a step is made of besides what the steps before it make, and how, as a hash of contents: no date counts."""
    command = (settings.ROOT / "Snakefile").read_text(encoding="utf-8")
    if step == "book":
        return fingerprint.digest(command, inventory.hashes(settings.ROOT, book_sources()))
    return fingerprint.digest(command, steps.asked(step, name, profile))


def is_done(profile: str, step: str, name: str) -> bool:
    """Whether a step's products are those that were made, of the same as would be used now."""
    try:
        done = sealed.read_json(stamp(profile, step, name), "asked", "files")
    except sealed.DamagedError:
        return False
    if inventory.faults(build_dir(profile), done["files"]) or done["asked"] != asked(profile, step, name):
        return False
    return step != "data" or training.is_loaded(data_sets(profile)[name], profile)


def forget(profile: str) -> None:
    """Removes the stamps of steps that are not done, and of those behind them, before anything runs: a run that is killed
    must not leave the stamp of a figure whose network was trained anew. The others get one date in common, for Snakemake
    compares dates."""
    left = set()
    for each in all_steps(profile):
        if is_done(profile, *each) and left.isdisjoint(before(profile, *each)):
            os.utime(stamp(profile, *each), (DATE, DATE))
        else:
            left.add(each)
            stamp(profile, *each).unlink(missing_ok=True)
            log_of(profile, *each).unlink(missing_ok=True)


def log_of(profile: str, step: str, name: str) -> Path:
    """What a step says on standard error."""
    return build_dir(profile) / "logs" / f"{step}-{name}.log"


def _snakemake(profile: str, cores: int) -> int:
    """Runs the Snakefile in this process; its own words go to a log."""
    place = made(build_dir(profile))
    arguments = [
        *("--snakefile", str(settings.ROOT / "Snakefile"), "--config", f"profile={profile}", "--cores", str(cores)),
        # a lock file of Snakemake's would outlive a killed run; ours is released by the operating system
        *("--nolock", "--keep-going", "--nocolor", "--scheduler", "greedy"),
    ]
    # one step a GPU; without any, they share the cores as ever
    if devices.needed(profile) and (gpus := len(devices.there())):
        arguments += ["--resources", f"gpu={gpus}"]
    # its notes on former runs: what is left to do is decided without them, and damaged ones would stop it
    shutil.rmtree(place / ".snakemake", ignore_errors=True)
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


def _failures(profile: str) -> str:
    """What failed, why, and where to read on: of the steps that began, for the log of any other was forgotten."""
    place = build_dir(profile)
    if shutil.disk_usage(place).free < LEAST:
        # even a log may have found no room for its reason
        return f"the disk is full: nothing more fits into {short_path(place)}; make room, and make book goes on from here"
    logs = {each: log_of(profile, *each) for each in all_steps(profile) if not stamp(profile, *each).is_file()}
    lines = [f"  {step} {name}: {_last_words(log)}" for (step, name), log in logs.items() if log.is_file()]
    if not lines:
        return f"the book is not finished; read {short_path(place / 'logs' / 'snakemake.log')}"
    return "the book is not finished; run make book again once this is settled:\n" + "\n".join(lines)


def _last_words(log: Path) -> str:
    """Why a step failed: its own sentence, else the last line of a traceback, else that it was stopped; and where to read
    on, unless the sentence says so."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    said = re.findall(r"(?ms)^paperlib: (.*)\Z", text)
    why = said[-1] if said else text.splitlines()[-1] if "Traceback" in text else "stopped before it was done"
    return why if "; read " in why else f"{why}; read {short_path(log)}"


@contextlib.contextmanager
def stamped(step: str, name: str, profile: str, *, wanted: bool = True) -> Iterator[None]:
    """Stamps a step as done once the block ends well: what it was asked for when it began, and its products' hashes."""
    if not wanted:
        yield
        return
    began, at_first = time.time(), asked(profile, step, name)
    yield
    files = inventory.hashes(build_dir(profile), products(profile, step, name))
    sealed.write_json(stamp(profile, step, name), {"asked": at_first, "files": files})
    everything = all_steps(profile)
    done = sum(stamp(profile, *each).is_file() for each in everything)
    say(f"[{done:2}/{len(everything)}] {step} {name} ({time.time() - began:.0f} s)")
