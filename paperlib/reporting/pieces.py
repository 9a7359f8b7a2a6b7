"""A long measurement in pieces: each is written down once, under a hash of what it depends on, and a line says how long
it takes.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from paperlib import sealed


class Pieces:
    """Named sets of arrays in a folder below ``store``, called after the hash ``of``; without one, nothing is kept."""

    def __init__(self, store: str | Path | None, of: str):
        self.folder = None if store is None else Path(store) / of[:16]

    def kept(self, name: str, make: Callable[[], dict]) -> dict:
        """What ``make`` returns, from the folder if it lies there whole; a damaged one is made anew."""
        path = None if self.folder is None else self.folder / f"{name}.npz"
        # the folder's name says what it was made of
        own = "" if path is None else f"{path.parent.name}/{path.name}"
        if path is not None:
            with contextlib.suppress(sealed.DamagedError):
                return sealed.read_arrays(path, own)
        made = {key: np.asarray(value) for key, value in make().items()}
        if path is not None:
            sealed.write_arrays(path, own, **made)
        return made


class Progress:
    """One line on standard error: what is measured, and about how many seconds are left.

    ``expect`` takes the seconds of every phase, in their order; a phase's own rate replaces its estimate as it runs.
    """

    def __init__(self, *, shown: bool):
        self.shown, self.expected = shown, {}
        self.began, self.phase, self.width = time.monotonic(), "", 0

    def expect(self, **phases: float) -> None:
        """Seconds that each phase is thought to take."""
        self.expected = dict(phases)

    def at(self, phase: str, share: float = 0.0, what: str = "") -> float | None:
        """Says that ``share`` of a phase is done; returns the seconds left, None where nothing is expected yet."""
        now = time.monotonic()
        if phase != self.phase:
            self.phase, self.began = phase, now
        left = None
        if phase in self.expected:
            names = list(self.expected)
            # what lay there from an interrupted call took no time, so that the first estimate is kept until a tenth is done
            own = (now - self.began) / share if share >= 0.1 and now - self.began > 1 else self.expected[phase]
            left = own * (1 - share) + sum(self.expected[name] for name in names[names.index(phase) + 1 :])
        self._line(
            f"report: {phase}{f', {what}' if what else ''}{f', about {lasting(left)} left' if left is not None else ''}"
        )
        return left

    def _line(self, text: str) -> None:
        if not self.shown:
            return
        in_place = sys.stderr.isatty()
        print(f"\r{text:<{self.width}}" if in_place else text, end="" if in_place else "\n", file=sys.stderr, flush=True)
        self.width = len(text)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        if self.shown and self.width and sys.stderr.isatty():
            print(file=sys.stderr)


def lasting(seconds: float) -> str:
    """A duration in words.

    >>> lasting(41), lasting(200), lasting(9000)
    ('40 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5 + 0.25))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
