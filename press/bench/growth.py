"""What work costs as it grows: seconds against images, steps, grid points, pixels and width, and the peak of memory."""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from paperlib import indicator, surface
from paperlib.attack import bim
from paperlib.model import build
from paperlib.objective import decision

REPEATS = 3


def growth() -> dict:
    """``time``: of each work the sizes, median seconds, and the exponent of a straight line through them on log axes;
    ``memory``: the peak in MiB, above that of a process that does nothing, by size."""
    curves = {
        "images": (_attack, (125, 250, 500, 1000), "images, BIM 10 steps"),
        "steps": (_steps, (5, 10, 20, 40), "steps, BIM, 100 images"),
        "points": (_grid, (11, 21, 41, 81), "grid points a side, input surface"),
        "d": (_hessian, (12, 20, 28, 40), "pixels a side, Hessian of S"),
        "width": (_width, (8, 16, 32, 64), "channels, BIM 10 steps, 100 images"),
    }
    times = {key: _curve(prepare, sizes) | {"words": words} for key, (prepare, sizes, words) in curves.items()}
    memory = {"images": {n: _peak("attack", n) for n in (500, 2000)}, "points": {n: _peak("grid", n) for n in (21, 81)}}
    return {"time": times, "memory": memory}


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The slope of the straight line that is nearest to the points on log axes.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _curve(prepare: Callable[[int], Callable[[], object]], sizes: tuple[int, ...]) -> dict:
    works = {size: prepare(size) for size in sizes}
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(REPEATS + 1):
        for size, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                taken[size].append(time.perf_counter() - began)
    seconds = [statistics.median(taken[size]) for size in sizes]
    return {"sizes": list(sizes), "seconds": seconds, "exponent": exponent(list(sizes), seconds)}


# Networks of random weights: what they cost does not depend on what they have learned.


def _network(side: int = 28, width: int = 16, activation: str = "relu") -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("mnist", width=width, shape=(1, side, side), activation=activation).eval()


def _images(n: int, side: int = 28) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, side, side, generator=generator), torch.arange(n) % 10


def _climb(n: int, steps: int = 10, width: int = 16) -> Callable[[], object]:
    model, (x, y) = _network(width=width), _images(n)
    return lambda: bim(model, x, y, eps=0.1, step_size=0.03, steps=steps, batch=100)


def _attack(n: int) -> Callable[[], object]:
    return _climb(n)


def _steps(steps: int) -> Callable[[], object]:
    return _climb(100, steps=steps)


def _width(width: int) -> Callable[[], object]:
    return _climb(100, width=width)


def _grid(side: int) -> Callable[[], object]:
    x, grid = _images(1)[0], np.linspace(-0.3, 0.3, side)
    f = surface.input_function(_network(), 0, decision)
    u, v = (surface.random_direction(x[0], generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    return lambda: surface.surface(f, x[0], u, v, alpha=grid, beta=grid, clip=(0, 1))


def _hessian(side: int) -> Callable[[], object]:
    model, x = _network(side, activation="softplus"), _images(1, side)[0]
    return lambda: indicator.hessian(model, x[0], 0)


# Memory, each size in a process of its own, for a peak never falls.


def _peak(work: str, size: int) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_here, (work, size))


def _peak_here(work: str, size: int) -> float:
    call = {"attack": _attack, "grid": _grid}[work]
    # what the first call brings in is no part of it
    call({"attack": 100, "grid": 11}[work])()
    before = _most()
    call(size)()
    return _most() - before


def _most() -> float:
    """The peak of this process so far, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
