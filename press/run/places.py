"""Where a profile's products lie, who works on them, and what the steps find in their environment."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from paperlib.refusal import Refusal
from press.plan import settings
from press.plan.experiments import build_dir


class StepError(Refusal):
    """A step that failed; one sentence that names the step and where to read on."""


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


def short_path(path: Path) -> str:
    """A path as the reader would type it from the top folder."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(settings.ROOT))
    return str(path)


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
