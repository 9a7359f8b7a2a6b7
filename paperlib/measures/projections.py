"""Ways to the decision boundary (Fig. 4)."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib import intervals, surface
from paperlib.evaluate import correct
from paperlib.intervals import Interval, accuracy
from paperlib.measures import shapes, surfaces
from paperlib.objective import decision

DIRECTIONS = {"random": "cw", "crossentropy": "cross_entropy", "leastlikely": "least_likely", "cw": "cw"}


WITHIN = (1, 3, 5, 10)


def plane(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], name: str, *, seed: int
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
    """u and v of one of ``DIRECTIONS``: random signs, or the first step of the attack on an objective of Eq. 3; v the
    same random signs each time, made orthogonal to u. All have the norm of a sign vector."""
    kind = "random" if name == "random" else "adversarial"
    generator = torch.Generator().manual_seed(seed)
    return surface.input_plane(model, x, y, direction=kind, climbs=DIRECTIONS[name], generator=generator)


def towards(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], u: Float[Tensor, "n c h w"], *, unit: float,
    extent: float, reach: float,
) -> dict[str, Float[np.ndarray, "n"]]:  # fmt: skip
    """For every image along its own u: ``distance`` to the boundary in steps of ``unit`` (inf beyond ``reach``), and
    ``contours``, the level lines of S crossed per step on the way there, at most to ``extent`` (``shapes.contours``)."""
    t = np.arange(0, extent + 0.5)
    S = surface.surfaces(model, x, y, u, torch.zeros_like(u), objective=decision, alpha=unit * t, beta=np.zeros(1))
    distance = surfaces.boundary(model, x, y, u, unit=unit, reach=reach)
    return {"distance": distance, "contours": shapes.contours(S[:, 0], t)}


def ways(found: dict[str, dict[str, Float[np.ndarray, "n"]]], *, reach: float) -> dict:
    """The numbers of Fig. 4 from ``towards`` of each direction; ratios to the random one are taken image by image.

    A boundary that is not reached counts as ``reach`` in a ratio of distances, which then is a lower bound.
    """
    values: dict = {"ratio": {"distance": {}, "contours": {}}}
    near = {name: np.minimum(of["distance"], reach) for name, of in found.items()}
    for name, of in found.items():
        values[name] = {
            "distance": intervals.distances(of["distance"], reach=reach, unit="px"),
            "within": {str(k): intervals.interval(100.0 * (of["distance"] <= k)) for k in WITHIN},
            "contours": intervals.interval(of["contours"], "lines/step", how="median"),
        }
        if name != "random":
            distance, lines = near["random"] / near[name], of["contours"] / found["random"]["contours"]
            values["ratio"]["distance"][name] = intervals.interval(distance, "×", how="median")
            values["ratio"]["contours"][name] = intervals.interval(lines, "×", how="median")
    return values


def linear_ratio(J: Float[Tensor, "n c h w"], r: Float[Tensor, "n c h w"]) -> Interval:
    """How much farther the boundary would be along r than along the signs of J if S were affine: ``|J|_1 / |J.r|``, for
    the sign of r that leads down (median over images)."""
    ratio = J.flatten(1).abs().sum(1) / (J * r).flatten(1).sum(1).abs().clamp_min(1e-30)
    return intervals.interval(ratio.cpu().numpy(), "×", how="median")


def noise_accuracy(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, sizes: list[float], unit: float, seed: int
) -> dict:
    """Accuracy as it is, and by size with the same random signs, ``sizes`` of ``unit`` ([0, 1] scale), in every pixel; and
    the paired differences."""
    r = surface.random_direction(x, generator=torch.Generator().manual_seed(seed))
    clean = correct(model, x, y)
    noisy = {f"{size:g}": correct(model, (x + size * unit * r).clamp(0, 1), y) for size in sizes}
    return {
        "noise": {"clean": accuracy(clean), "noisy": {size: accuracy(flags) for size, flags in noisy.items()}},
        "paired": {"noise": {size: intervals.paired_flags(flags, clean) for size, flags in noisy.items()}},
    }
