"""Surfaces around images and weights, and the numbers taken from them (Figs. 1 to 3, 6, 7, 9, 11 to 15)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from paperlib import indicator, surface
from paperlib.evaluate import survivors
from paperlib.intervals import accuracy, distances, interval, paired_flags, ratio
from paperlib.measures.shapes import MEASURES, MEDIANS, UNITS, Axis, Grids
from paperlib.objective import SURFACES, decision
from paperlib.panels import Panel
from paperlib.state import evaluating, reject


@dataclass(frozen=True)
class Planes:
    """Values on one grid around many images (or along many direction pairs), and the images' directions u."""

    values: Float[np.ndarray, "n k k"]
    u: Float[Tensor, "n c h w"] | None


def planes(
    panel: Panel, model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, axis: Axis, unit: float,
    seed: int, pairs: int = 1,
) -> Planes:  # fmt: skip
    """The panel's surface on the grid ``axis`` x ``axis``.

    In input space one around each image, a step of the axes being ``unit`` on the [0, 1] scale; in parameter space one
    for each of ``pairs`` pairs of directions, of the objective's mean over the images, a step being the filters' norm.
    """
    objective = SURFACES[panel.objective]
    if panel.space == "parameter":
        drawn = [parameter_surface(model, x, y, objective, axis, seed=seed + panel.seed + k) for k in range(pairs)]
        return Planes(np.stack(drawn), None)
    generator = torch.Generator().manual_seed(seed + panel.seed)
    u, v = surface.input_plane(model, x, y, direction=panel.direction, climbs=panel.climbs, generator=generator)
    values = surface.surfaces(model, x, y, u, v, objective=objective, alpha=unit * axis, beta=unit * axis)
    return Planes(values, u)


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
    with torch.no_grad(), evaluating(model):
        S = torch.cat([decision(model(a), b) for a, b in zip(x[index].split(500), y[index].split(500), strict=True)])
    return index[(S - S.median()).abs().argsort(stable=True)]


def grid_axis(extent: float, steps: int) -> Axis:
    """``steps`` points from -``extent`` to ``extent``, 0 among them. ValueError for an even number, an empty extent."""
    reject(steps < 3 or steps % 2 == 0, f"steps is {steps}; allowed are odd numbers from 3, so that 0 is on the grid")
    reject(extent <= 0, f"extent is {extent}; allowed is a positive number")
    return extent * np.linspace(-1, 1, steps)


def picture(
    model: Callable, x: Float[Tensor, "1 c h w"], y: Int[Tensor, "1"], found: Planes, axis: Axis, *, eps: float
) -> dict[str, np.ndarray]:
    """What drawing one panel takes: ``values``, ``axis``, and in input space the ``image``, its direction ``u`` and
    ``label``: the true class, the network's, and the network's after a step of ``eps`` ([0, 1] scale) along u.
    """
    arrays = {"values": found.values[0], "axis": axis}
    if found.u is None:
        return arrays
    with torch.no_grad(), evaluating(model):
        seen = model(torch.cat([x, (x + eps * found.u).clamp(0, 1)])).argmax(1)
    label = torch.cat([y, seen])
    tensors = {"image": x[0], "u": found.u[0], "label": label}
    return arrays | {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def parameter_surface(model, x, y, objective: Callable, axis: Axis, *, seed: int) -> Float[np.ndarray, "k k"]:
    """The objective's mean over the images on a plane of two filter-normalised directions (Li et al. 2017)."""
    generator = torch.Generator().manual_seed(seed)
    u, v = (surface.filter_normalised(model, generator=generator) for _ in range(2))
    f = surface.parameter_function(model, x, y, objective)
    return surface.surface(f, surface.parameters_of(model), u, v, alpha=axis, beta=axis).values


def samples(names: list[str], values: Grids, axis: Axis, eps: float) -> dict[str, Float[np.ndarray, "n"]]:
    """The named measures, one number for each image or direction pair. ValueError for an unknown name."""
    unknown = ", ".join(name for name in names if name not in MEASURES)
    reject(bool(unknown), f"measures holds {unknown}; allowed are distance, {', '.join(MEASURES)}")
    return {name: MEASURES[name](values, axis, axis, eps) for name in names}


def boundary(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], u: Float[Tensor, "n c h w"], *, unit: float,
    reach: float,
) -> Float[np.ndarray, "n"]:  # fmt: skip
    """Distance to the boundary S = 0 along u in steps of ``unit``; inf where it is not within ``reach`` steps."""
    S, coarse = surface.decision_function(model, y), min(64, math.ceil(reach))
    return surface.boundary_distance(S, x, unit * u, reach=reach, coarse=coarse, bisections=10).cpu().numpy()


def summary(per_image: Mapping[str, np.ndarray], *, reach: float, unit: str) -> dict:
    """Each measure's interval over the images; ``distance`` as ``distances`` has it."""
    found = {}
    for name, values in per_image.items():
        if name == "distance":
            found[name] = distances(values, reach=reach, unit=unit)
        else:
            found[name] = interval(values, UNITS.get(name), how="median" if name in MEDIANS else "mean")
    return found


def compared(
    compare: Mapping[str, list[str]], per_group: Mapping[str, Mapping[str, np.ndarray]], *, reach: float, unit: str,
    geometric: bool = False,
) -> dict:  # fmt: skip
    """The comparisons asked for: ``ratio/<measure>: [first, second]`` (``geometric``, or as ``MEDIANS`` says), and
    ``paired/<measure>: [first, second]``, first minus second image by image. A ratio without a positive divisor is left
    out. ValueError for another kind, or for groups and measures that were not taken.
    """
    found: dict = {}
    taken = "; ".join(f"{group}: {', '.join(names)}" for group, names in per_group.items())
    for key, (first, second) in compare.items():
        kind, _, name = key.partition("/")
        reject(kind not in ("ratio", "paired") or not name, f"compare holds {key!r}; allowed are ratio/..., paired/...")
        for group in (first, second):
            missing = name not in per_group.get(group, {})
            reject(missing, f"compare asks for {name} of {group!r}; taken are {taken}")
        # a boundary that was not reached lies at least as far as it was searched
        limit = reach if name == "distance" else np.inf
        a, b = (np.minimum(per_group[group][name], limit) for group in (first, second))
        if kind == "paired":
            # a difference of percentages is in points
            own = unit if name == "distance" else UNITS.get(name, "points")
            found.setdefault(kind, {})[name] = interval(a - b, own)
        else:
            how = "geometric" if geometric else "median" if name in MEDIANS else "mean"
            value = ratio(a, b, how=how)
            found.setdefault(kind, {}).update({name: value} if value else {})
    return found


def unbroken(
    networks: Mapping[str, Callable], x: Float[Tensor, "m c h w"], y: Int[Tensor, "m"],
    clean: Mapping[str, Bool[Tensor, "n"]], *, eps: float, steps: int, seed: int,
) -> dict[str, Bool[Tensor, "m"]]:  # fmt: skip
    """Which images, right to begin with, stay right for each network under PGD on the cross-entropy and on the margin,
    from random starts of one seed; ``eps`` on the [0, 1] scale."""
    found = {}
    for role, network in networks.items():
        generator = torch.Generator().manual_seed(seed)
        right = clean[role][: len(x)]
        found[role] = survivors(network, x, y, right, eps=eps, steps=steps, restarts=1, generator=generator)
    return found


def accuracies(clean: Mapping[str, Bool[Tensor, "n"]], attacked: Mapping[str, Bool[Tensor, "m"]]) -> dict:
    """``<role>/clean`` and ``<role>/attacked`` in percent, and ``paired``, the last role minus the first, in points;
    without the role's name where there is only one.
    """
    found: dict = {role: {} for role in clean}
    for name, flags in (("clean", clean), ("attacked", attacked)):
        for role, flag in flags.items():
            found[role][name] = accuracy(flag)
        if len(flags) > 1:
            first, *_, last = flags.values()
            found.setdefault("paired", {})[name] = paired_flags(last, first)
    return found if len(clean) > 1 else next(iter(found.values()))


def indicators(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, h: float
) -> dict[str, Float[np.ndarray, "n"]]:
    """Each image's l2 norm of J, curvature at the finite scale ``h`` and norm of the cross-entropy Hessian."""
    J = indicator.jacobian(model, x, y)
    H = [indicator.cross_entropy_hessian(model, image).norm() for image in x]
    found = {
        "jacobian_norm": J.flatten(1).norm(dim=1), "hessian_ce_norm": torch.stack(H),
        "curvature": indicator.curvature_at_scale(model, x, y, h=h),
    }  # fmt: skip
    return {name: values.double().cpu().numpy() for name, values in found.items()}


def nested(*parts: Mapping[str, object]) -> dict:
    """Mappings joined into one of mappings, a key ``a/b`` as ``b`` inside ``a``.

    >>> nested({"a/b": {"c": 1}}, {"a": {"d": 2}})
    {'a': {'b': {'c': 1}, 'd': 2}}
    """
    found: dict = {}
    for part in parts:
        for path, leaf in part.items():
            place = found
            *above, last = path.split("/")
            for key in above:
                place = place.setdefault(key, {})
            both = isinstance(leaf, Mapping) and isinstance(place.get(last), dict)
            place[last] = nested(place[last], leaf) if both else leaf
    return found


def toy(classes: int = 10, *, largest: float = 9.0, count: int = 10) -> dict[str, list[float] | float]:
    """Logits (m, 0, ..., 0) of class 0: ``margin`` m = S in equal steps, and their cross-entropy ``loss``.

    ``blank_from`` is the smallest margin after which the next step changes the loss by less than 1 % of its range.
    """
    margin = np.linspace(-largest, largest, count)
    Z = torch.zeros(count, classes, dtype=torch.float64)
    Z[:, 0] = torch.as_tensor(margin)
    y = torch.zeros(count, dtype=torch.long)
    loss = SURFACES["loss"](Z, y).numpy()
    still = np.abs(np.diff(loss)) < 0.01 * (loss.max() - loss.min())
    first = {"blank_from": float(margin[int(np.argmax(still))])} if still.any() else {}
    return {"margin": SURFACES["decision"](Z, y).tolist(), "loss": loss.tolist()} | first
