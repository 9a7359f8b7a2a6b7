"""The kernel of the book's notebooks: this interpreter's, in which nothing of the reader's own settings acts."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from press.plan import settings

# what IPython and matplotlib would read of the reader's
FOREIGN = ("JUPYTER_PATH", "PYTHONSTARTUP", "MPLBACKEND")
# that the loopback is not encrypted, and that a kernel was asked to end, is of no use to a reader of the book
QUIET = "--IPKernelApp.log_level=50"
STARTS = 8  # seconds until a kernel has loaded what a figure needs
BEAT = 0.5


def settle(folder: Path) -> None:
    """The environment of kernels: they import the packages of this repository, and their IPython keeps to ``folder``,
    without start-up files, and matplotlib to a file of the repository."""
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ["PYTHONPATH"] = str(settings.ROOT)
    os.environ["IPYTHONDIR"] = str(folder)
    os.environ["MATPLOTLIBRC"] = str(Path(__file__).with_name("matplotlibrc"))
    # the environment's own kernel before another of its name
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"


@lru_cache(maxsize=1)
def manager() -> type:
    """A kernel manager of the interpreter that runs this process, whatever kernels are installed under the same name."""
    # late: most steps start no kernel
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Own(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    return Own


@contextmanager
def progress(name: str, expected: float | None) -> Iterator[None]:
    """On a terminal, how long ``name`` has been at work and how much of ``expected`` seconds is left, in one line that goes
    away; nothing where standard error is a file."""
    if not sys.stderr.isatty():
        yield
        return
    ended, began = threading.Event(), time.monotonic()

    def beat() -> None:
        while not ended.wait(BEAT):
            print(f"\r\033[K{told(name, time.monotonic() - began, expected)}", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def told(name: str, spent: float, expected: float | None) -> str:
    """The line: by the last run of the same figure, if there is one.

    >>> told("fig06", 12.4, 40)
    'fig06: 12 s, about 28 s left'
    >>> told("fig06", 60, 40)
    'fig06: 1:00 min, longer than last time (40 s)'
    """
    if expected is None:
        return f"{name}: {clock(spent)}"
    if spent < expected:
        return f"{name}: {clock(spent)}, about {clock(expected - spent)} left"
    return f"{name}: {clock(spent)}, longer than last time ({clock(expected)})"


def clock(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"
