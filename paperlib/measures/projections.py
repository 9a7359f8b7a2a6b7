"""Ways to the decision boundary (Fig. 4)."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import indicator, intervals, surface
from paperlib.evaluate import correct
from paperlib.intervals import Interval, accuracy
from paperlib.measures import planes, shapes
from paperlib.objective import SURFACES, decision
from paperlib.record import Measured
from paperlib.train import Trained

DIRECTIONS = {"random": "cw", "crossentropy": "cross_entropy", "leastlikely": "least_likely", "cw": "cw"}
WITHIN = (1, 3, 5, 10)
STEP = 1 / 255


def measure(
    networks: dict[str, Trained], *, image: int, extent: float, steps: int, images: int, reach: float, noise: list[float],
    noise_images: int, seed: int, device: str,
) -> Measured:  # fmt: skip
    """Loss and S of one image on four planes, and along the same directions the ways to the boundary of many images: the
    first that the network classifies rightly. All lengths are in steps of 1/255."""
    network, data = networks["natural"].model.to(memory_format=torch.channels_last), networks["natural"].dataset
    x, y = data.test.x.to(device), data.test.y.to(device)
    right = correct(network, x, y).nonzero()[:, 0]
    chosen, drawn = right[:images], int(right[0]) if image < 0 else image
    pictures = planes_drawn(network, x[[drawn]], y[[drawn]], extent=extent, steps=steps, reach=reach, seed=seed)
    found, linear = ways_of(network, x[chosen], y[chosen], extent=extent, reach=reach, seed=seed)
    values = ways(found, reach=reach)
    values["ratio"]["linear"] = linear
    values |= noise_accuracy(network, x[:noise_images], y[:noise_images], sizes=noise, unit=STEP, seed=seed)
    per_image = {f"{quantity}s/{name}": of[quantity] for name, of in found.items() for quantity in of}
    return Measured(values, pictures | per_image, ((data, len(chosen)),), {"directions": seed})


def planes_drawn(
    network: nn.Module, at: Float[Tensor, "1 c h w"], label: Int[Tensor, "1"], *, extent: float, steps: int, reach: float,
    seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What the picture takes: the image and its class, and of each direction what ``plane_drawn`` has."""
    axis = planes.grid_axis(extent, steps)
    arrays = {"axis": axis, "image": at[0].cpu().numpy(), "label": label.cpu().numpy()}
    for name in DIRECTIONS:
        u, v = plane(network, at, label, name, seed=seed)
        found = plane_drawn(network, at, label, u, v, axis, reach=reach)
        arrays |= {f"{what}/{name}": array for what, array in found.items()}
    return arrays


def plane_drawn(
    network: nn.Module, at: Float[Tensor, "1 c h w"], label: Int[Tensor, "1"], u: Float[Tensor, "1 c h w"],
    v: Float[Tensor, "1 c h w"], axis: Float[np.ndarray, "k"], *, reach: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """S and loss on one plane, the direction ``u``, the ``distance`` to the boundary along u and v, and the image just
    across it (``landed``) with the class that the network gives it (``label``)."""
    sides = {"alpha": STEP * axis, "beta": STEP * axis}
    found = {row: surface.surfaces(network, at, label, u, v, objective=of, **sides)[0] for row, of in SURFACES.items()}
    reached = [planes.boundary(network, at, label, way, unit=STEP, reach=reach)[0] for way in (u, v)]
    landed = (at + STEP * min(reached[0], reach) * 1.001 * u).clamp(0, 1)
    with torch.no_grad():
        read = network(landed).argmax(1)
    seen = {"landed": landed[0].cpu().numpy(), "label": read.cpu().numpy(), "u": u[0].cpu().numpy()}
    return found | seen | {"distance": np.array(reached)}


def ways_of(
    network: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, extent: float, reach: float, seed: int
) -> tuple[dict[str, dict[str, Float[np.ndarray, "n"]]], Interval]:
    """``towards`` of each direction, and how much farther the random one would be if S were affine."""
    directions = {name: plane(network, x, y, name, seed=seed)[0] for name in DIRECTIONS}
    options = {"unit": STEP, "extent": extent, "reach": reach}
    found = {name: towards(network, x, y, u, **options) for name, u in directions.items()}
    return found, linear_ratio(indicator.jacobian(network, x, y), directions["random"])


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
    distance = planes.boundary(model, x, y, u, unit=unit, reach=reach)
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
