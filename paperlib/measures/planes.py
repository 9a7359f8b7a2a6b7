"""The planes of a figure: their grids, the images they go through, the values on them, and the way to the boundary."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import fingerprint, surface
from paperlib.measures.shapes import Axis
from paperlib.objective import SURFACES, margins
from paperlib.panels import Panel
from paperlib.refusal import reject
from paperlib.state import evaluating


@dataclass(frozen=True)
class Grid:
    """Where surfaces are taken: the points of both axes by space, the length of a step in input space on the [0, 1] scale
    (in parameter space it is the filters' norm), the ``seed`` of random directions, how many ``pairs`` of them, and the
    folder where surfaces are kept on their way (None: nowhere)."""

    axes: dict[str, Axis]
    unit: float
    seed: int
    pairs: int = 1
    store: Path | None = None


@dataclass(frozen=True)
class Planes:
    """Values on one grid around many images (or along many direction pairs), its axis, and the images' directions u."""

    values: Float[np.ndarray, "n k k"]
    axis: Axis
    u: Float[Tensor, "n c h w"] | None


def grid_axis(extent: float, steps: int) -> Axis:
    """``steps`` points from -``extent`` to ``extent``, 0 among them. ValueError for an even number, an empty extent."""
    reject(steps < 3 or steps % 2 == 0, f"steps is {steps}; allowed are odd numbers from 3, so that 0 is on the grid")
    reject(extent <= 0, f"extent is {extent}; allowed is a positive number")
    return extent * np.linspace(-1, 1, steps)


def planes(panel: Panel, model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], grid: Grid) -> Planes:
    """The panel's surface on the grid: in input space one around each image, in parameter space one for each pair of
    directions, of the objective's mean over the images."""
    axis = grid.axes[panel.space]
    if panel.space == "parameter":
        seeds = (grid.seed + panel.seed + k for k in range(grid.pairs))
        found = [parameter_surface(model, x, y, axis, panel.objective, seed=seed, store=grid.store) for seed in seeds]
        return Planes(np.stack(found), axis, None)
    generator = torch.Generator().manual_seed(grid.seed + panel.seed)
    u, v = surface.input_plane(model, x, y, direction=panel.direction, climbs=panel.climbs, generator=generator)
    options = {"objective": SURFACES[panel.objective], "alpha": grid.unit * axis, "beta": grid.unit * axis}
    of = made_of(model, panel.objective)
    return Planes(surface.surfaces(model, x, y, u, v, **options, store=grid.store, of=of), axis, u)


def parameter_surface(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], axis: Axis, objective: str, *, seed: int,
    store: Path | None,
) -> Float[np.ndarray, "k k"]:  # fmt: skip
    """The objective's mean over the images on a plane of two filter-normalised directions (Li et al. 2017)."""
    generator = torch.Generator().manual_seed(seed)
    u, v = (surface.filter_normalised(model, generator=generator) for _ in range(2))
    f, origin = surface.parameter_function(model, x, y, SURFACES[objective]), surface.parameters_of(model)
    of = made_of(model, objective, x, y)
    return surface.surface(f, origin, u, v, alpha=axis, beta=axis, batch=len(axis), store=store, of=of).values


def made_of(model: nn.Module, objective: str, *images: Tensor) -> str:
    """What a kept surface is of, besides its planes: code, network, objective, and the images of a mean."""
    words = [objective, _code(), repr(model)]
    return fingerprint.tensors_digest(words, *model.state_dict().values(), *images)


@cache
def _code() -> str:
    return fingerprint.code_of(__name__)


def images_drawn(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], index: Int[Tensor, "k"], *, image: int = -1
) -> Int[Tensor, "m"]:
    """Which images a figure draws, in order: from ``image`` on, or for -1 those of ``index`` whose S(x) is nearest to the
    median of them all, a rule without favourites. ValueError for an image that is not there, or an empty ``index``.
    """
    reject(not -1 <= image < len(x), f"image is {image}; allowed are 0 to {len(x) - 1}, or -1 for a typical one")
    reject(len(index) == 0, "index is empty: there is no image that every network classifies rightly")
    if image >= 0:
        return torch.arange(image, len(x), device=x.device)
    S = margins(model, x[index], y[index])
    return index[(S - S.median()).abs().argsort(stable=True)]


def picture(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], found: Planes, *, eps: float
) -> dict[str, np.ndarray]:
    """What drawing the first of the planes takes: ``values``, ``axis``, and in input space the ``image``, its direction
    ``u`` and ``label``: the true class, the network's, and the network's after a step of ``eps`` ([0, 1] scale) along u.
    """
    arrays = {"values": found.values[0], "axis": found.axis}
    if found.u is None:
        return arrays
    with torch.no_grad(), evaluating(model):
        seen = model(torch.cat([x[:1], (x + eps * found.u)[:1].clamp(0, 1)])).argmax(1)
    tensors = {"image": x[0], "u": found.u[0], "label": torch.cat([y[:1], seen])}
    return arrays | {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def boundary(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], u: Float[Tensor, "n c h w"], *, unit: float,
    reach: float,
) -> Float[np.ndarray, "n"]:  # fmt: skip
    """Distance to the boundary S = 0 along u in steps of ``unit``; inf where it is not within ``reach`` steps."""
    S, coarse = surface.decision_function(model, y), min(64, math.ceil(reach))
    return surface.boundary_distance(S, x, unit * u, reach=reach, coarse=coarse, bisections=10).cpu().numpy()
