"""Where a profile's products lie, who works on them, and what the steps find in their environment."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from paperlib.refusal import Refusal
from paperlib.sealed import DamagedError
from press.plan import settings
from press.plan.experiments import build_dir

# of every step: small networks are no faster with more, and the same weights come out wherever they are trained
THREADS = 1


class StepError(Refusal):
    """A step that failed; one sentence that names the step and where to read on."""


def stamp(profile: str, step: str, name: str) -> Path:
    """The file that says that a step is done: what it was asked for, and the hashes of its products."""
    return build_dir(profile) / "done" / step / name


def benchmark() -> Path:
    """The record of ``make bench`` that the book shows."""
    return settings.ROOT / "book" / "bench.json"


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


def whole(read: Callable[[Path], dict], path: Path) -> dict | None:
    """What ``read`` finds in a file that was made here; None where it is lost, or damaged, which a line says."""
    try:
        return read(path)
    except DamagedError as error:
        if path.exists():
            say(f"{error}; it is made again")
        return None


def check_idle() -> None:
    """Raises StepError where a living process works in the folder ``build``."""
    held = [path for path in sorted((settings.ROOT / "build").glob("*/*/*.lock")) if _is_held(path)]
    if held:
        names = ", ".join(f"{path.parents[1].name}: {path.stem}" for path in held)
        raise StepError(f"a run is at work in {short_path(settings.ROOT / 'build')} ({names}); wait for its end or stop it")


def _is_held(path: Path) -> bool:
    attempt = FileLock(path)
    try:
        attempt.acquire(timeout=0)
    except Timeout:
        return True
    attempt.release()
    return False


def settle_environment() -> None:
    """What the steps find in their environment: absolute folders, because they run in another one, a home that can be
    written in, and huge pages."""
    for name in ("PAPERLIB_DATA", "PAPERLIB_BUILD"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())
    _settle_home()
    # before torch is loaded, which takes as many threads as there are cores: another number of them is another rounding, and
    # other weights from the first epoch on
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    # glibc reads this when a process starts; training on a processor is a tenth to a quarter quicker, others ignore it
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")


def settle_threads() -> None:
    """As many threads as ``OMP_NUM_THREADS`` says, one without it, also where torch was loaded before, as in a notebook."""
    import torch

    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    torch.set_num_threads(int(said) if said.isdecimal() and int(said) else THREADS)


def _settle_home() -> None:
    """Where nothing can be written at home, what libraries keep there (fonts, kernels, caches) goes to ``build/home``; they
    would fail, or warn on the book's pages."""
    home = os.environ.get("HOME", os.path.expanduser("~"))
    if not (os.path.isdir(home) and os.access(home, os.W_OK)):
        os.environ["HOME"] = str(build_dir("home"))
        for name in [each for each in os.environ if each.startswith("XDG_")]:
            del os.environ[name]
        # in a tree that cannot be written either, what needs to be written says so
        with contextlib.suppress(OSError):
            build_dir("home").mkdir(parents=True, exist_ok=True)


def speak_utf8() -> None:
    """Starts this process anew where its locale knows less than UTF-8: a folder's name must not be what stops a run."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


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
