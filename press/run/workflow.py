"""The whole book: which steps there are, what is left of them, and Snakemake, which runs them."""

import contextlib
import hashlib
import re
import time
from pathlib import Path

from paperlib.files import made, scratch, write_atomic
from press.plan import check, experiments, settings
from press.plan.experiments import build_dir
from press.run.places import StepError, available_cores, lock, say, short_path, stamp
from press.run.steps import data_key, data_of, weights


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
    folders = [(settings.ROOT / "book", "*"), (settings.ROOT / "paperlib", "*.py"), (settings.ROOT / "press", "*.py")]
    files = [path for folder, pattern in folders for path in folder.rglob(pattern) if path.is_file()]
    return sorted([*files, settings.ROOT / "_config.yml", settings.ROOT / "experiments.yml"])


def make_book(profile: str, *, cores: int | None = None) -> Path:
    """Trains, executes and builds whatever is missing or changed; returns the book's first page."""
    check.check(profile)
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
        *("--snakefile", str(settings.ROOT / "Snakefile"), "--config", f"profile={profile}", "--cores", str(cores)),
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
        return f"the book is not finished; read {short_path(build_dir(profile) / 'logs' / 'snakemake.log')}"
    return "the book is not finished; run make book again once this is settled:\n" + "\n".join(lines)


def _last_words(log: Path) -> str:
    """Why a step failed: its own sentence, else the last line of a traceback, else that it was stopped."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    said = re.findall(r"(?ms)^paperlib: (.*)\Z", text)
    if said:
        return said[-1]
    why = text.splitlines()[-1] if "Traceback" in text else "stopped before it was done"
    return f"{why}; read {short_path(log)}"


def finish(step: str, name: str, profile: str, path: Path, began: float) -> None:
    """Stamps a step with the hash of its product and says how far the run is."""
    write_atomic(stamp(profile, step, name), hashlib.sha256(path.read_bytes()).hexdigest())
    announce(step, name, profile, began)


def announce(step: str, name: str, profile: str, began: float) -> None:
    """One line that says which step is done, its seconds, and how far the run is."""
    everything = all_steps(profile)
    done = sum(stamp(profile, *each).is_file() for each in everything)
    say(f"[{done:2}/{len(everything)}] {step} {name} ({time.time() - began:.0f} s)")
