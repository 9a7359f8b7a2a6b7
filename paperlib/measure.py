"""Numbers instead of eyes: how flat, how steep, how rough, how blank a surface is.

The measures are pure functions of values on a grid ``(..., beta, alpha)`` (rows beta, columns alpha) and return one
number for each leading index, an image or a pair of directions; the rest averages over those, with 95 % intervals.
Distances are in steps of the axes, and *the square* of size eps is where both coordinates are at most eps.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from paperlib import indicator, surface
from paperlib.evaluate import Interval, accuracy, mcnemar, mean_interval, median_interval, survivors
from paperlib.objective import ATTACKED, SURFACES, decision
from paperlib.state import evaluating, reject

Grids = Float[np.ndarray, "... beta alpha"]
Alpha, Beta, Axis = Float[np.ndarray, "alpha"], Float[np.ndarray, "beta"], Float[np.ndarray, "k"]
PerImage = Float[np.ndarray, "..."] | float

# One surface.


def inside(alpha: Alpha, beta: Beta, eps: float, *, ball: bool = False) -> Bool[np.ndarray, "beta alpha"]:
    """The grid points of the square of size ``eps``; with ``ball`` those whose coordinates add up to at most ``eps``.

    That is the section of the l-infinity ball by a plane of two sign vectors, a diamond: where both move a pixel the
    same way the steps add up, so that a corner of the square moves some pixels by 2 eps. ValueError for a negative
    ``eps``.
    """
    reject(eps < 0, f"eps is {eps}; allowed is a number of at least 0")
    a, b = np.abs(alpha)[None, :], np.abs(beta)[:, None]
    # nodes such as 0.1 + 0.2 lie a rounding error outside
    return (a + b if ball else np.maximum(a, b)) <= eps * (1 + 1e-9) + 1e-12


def plateau(S: Grids, alpha: Alpha, beta: Beta, eps: float = math.inf, *, ball: bool = False) -> PerImage:
    """Share (percent) of the square of size ``eps``, or of the ball's section, on which S > 0."""
    return 100 * (S[..., inside(alpha, beta, eps, ball=ball)] > 0).mean(-1)


def intact(S: Grids, alpha: Alpha, beta: Beta, eps: float) -> PerImage:
    """100 where S > 0 on the whole section of the ball of size ``eps``, else 0: the mean is a share of images (percent)."""
    return 100.0 * (S[..., inside(alpha, beta, eps, ball=True)] > 0).all(-1)


def steepness(values: Grids, alpha: Alpha, beta: Beta) -> Grids:
    """Length of the gradient at every grid point by central differences, per step of the axes."""
    return np.hypot(np.gradient(values, alpha, axis=-1), np.gradient(values, beta, axis=-2))


def slope(values: Grids, alpha: Alpha, beta: Beta, eps: float = math.inf) -> PerImage:
    """Mean steepness over the square of size ``eps``."""
    return steepness(values, alpha, beta)[..., inside(alpha, beta, eps)].mean(-1)


def origin(values: Grids, alpha: Alpha, beta: Beta) -> PerImage:
    """The value at (0, 0). Raises ValueError if the grid has no such point."""
    row, column = (int(np.argmin(np.abs(axis))) for axis in (beta, alpha))
    nearest = max(abs(float(beta[row])), abs(float(alpha[column])))
    reject(nearest > 1e-9, f"the grid's nearest point to (0, 0) is {nearest:g} away; allowed are grids that hold it")
    return values[..., row, column]


def along_alpha(values: Grids, alpha: Alpha, beta: Beta, t: float) -> PerImage:
    """The value at (t, 0), interpolated linearly along alpha. ValueError if ``t`` lies outside the grid."""
    outside = not float(alpha[0]) - 1e-9 <= t <= float(alpha[-1]) + 1e-9
    reject(outside, f"t is {t}; allowed are {alpha[0]:g} to {alpha[-1]:g}")
    line = values[..., int(np.argmin(np.abs(beta))), :]
    right = int(np.clip(np.searchsorted(alpha, t), 1, len(alpha) - 1))
    share = (t - alpha[right - 1]) / (alpha[right] - alpha[right - 1])
    return (1 - share) * line[..., right - 1] + share * line[..., right]


def relative_drop(S: Grids, alpha: Alpha, beta: Beta, eps: float) -> PerImage:
    """(S(0) - S(eps u)) / S(0): 1 where the step of size ``eps`` along alpha just reaches the boundary."""
    S0 = origin(S, alpha, beta)
    return (S0 - along_alpha(S, alpha, beta, eps)) / S0


def contours(S: Float[np.ndarray, "... k"], t: Axis, *, lines: int = 10) -> PerImage:
    """Level lines of spacing S(0) / ``lines`` per step that a walk along the slice S(t) from t[0] = 0 crosses on its way to
    the boundary S = 0, or to the slice's end where it is not met; S(0) > 0, linear between the points.

    Averaged over all positions of the first level, so that it is the way's total variation over the spacing.
    """
    behind = np.logical_or.accumulate(S <= 0, axis=-1)
    way = np.where(behind, 0.0, S)
    drop = S[..., :-1] - S[..., 1:]
    # of the segment that meets the boundary only the part before it
    part = np.where(behind[..., 1:], S[..., :-1] / np.where(drop > 0, drop, 1.0), 1.0)
    length = np.where(behind[..., :-1], 0.0, part * np.diff(t)).sum(-1)
    return np.abs(np.diff(way, axis=-1)).sum(-1) / (S[..., 0] / lines) / length


def rise(values: Grids, alpha: Alpha, beta: Beta, eps: float = math.inf) -> PerImage:
    """Mean over the square of size ``eps`` minus the value at the origin."""
    return values[..., inside(alpha, beta, eps)].mean(-1) - origin(values, alpha, beta)


def roughness(values: Grids, alpha: Alpha, beta: Beta) -> PerImage:
    """1 - R^2 of the best quadratic in (alpha, beta): 0 for a quadratic bowl, 0 as well for a constant."""
    a, b = (t.ravel() for t in np.meshgrid(alpha / np.abs(alpha).max(), beta / np.abs(beta).max()))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=1))
    flat = values.reshape(*values.shape[:-2], -1)
    rest = flat - (flat @ basis) @ basis.T
    total = np.square(flat - flat.mean(-1, keepdims=True)).sum(-1)
    # below rounding error there is nothing to explain
    constant = total <= 1e-20 * np.square(flat).sum(-1)
    return np.where(constant, 0.0, np.square(rest).sum(-1) / np.where(constant, 1.0, total))


def blank(values: Grids, alpha: Alpha, beta: Beta, *, below: float = 0.01) -> PerImage:
    """Share (percent) of grid points less steep than ``below`` times the steepest; 100 for a constant."""
    steep = steepness(values, alpha, beta)
    largest = steep.max(axis=(-2, -1), keepdims=True)
    return 100 * np.where(largest > 0, steep < below * largest, True).mean(axis=(-2, -1))


def rank_correlation(first: Float[np.ndarray, "*k"], second: Float[np.ndarray, "*k"]) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN if one of the two is constant."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, where, count = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[where.ravel()]

    a, b = (ranks(np.asarray(v).ravel()) for v in (first, second))
    a, b = a - a.mean(), b - b.mean()
    length = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / length if length else math.nan


MEASURES: dict[str, Callable[..., PerImage]] = {
    "plateau": plateau,
    "ball_plateau": lambda S, alpha, beta, eps: plateau(S, alpha, beta, eps, ball=True),
    "intact": intact,
    "slope": slope,
    "relative_drop": relative_drop,
    "rise": rise,
    "roughness": lambda values, alpha, beta, eps: roughness(values, alpha, beta),
    "blank": lambda values, alpha, beta, eps: blank(values, alpha, beta),
}
UNITS = {"slope": "S/step", "relative_drop": "", "rise": "nats", "roughness": "", "contours": "lines/step",
         "jacobian_norm": "S", "hessian_ce_norm": "nats", "curvature": "S"}  # fmt: skip
# a mean would be ruled by the few images with S(0) near zero, or with no boundary in sight
MEDIANS = ("relative_drop", "distance")


# Averages over images or over pairs of directions.


def interval(
    values: Sequence[float] | Float[np.ndarray, "n"], unit: str | None = None, *, how: str = "mean"
) -> Interval:
    """Mean or median with its 95 % bootstrap interval; percent unless a ``unit`` is named.

    A mean of flags, 0 or 100 each, has Wilson's interval: the bootstrap's is a point where all of them agree.
    """
    reject(how not in ("mean", "median"), f"how is {how!r}; allowed are mean, median")
    if unit is None and how == "mean" and len(values) and np.isin(values, (0.0, 100.0)).all():
        return accuracy(torch.as_tensor(np.asarray(values)) > 0)
    found = (mean_interval if how == "mean" else median_interval)(torch.as_tensor(np.asarray(values, dtype=float)))
    return found if unit is None else found | {"unit": unit}


def ratio(
    first: Float[np.ndarray, "n"], second: Float[np.ndarray, "m"], *, how: str = "mean", resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:  # fmt: skip
    """First over second with a 95 % bootstrap interval, unit ×: of their means, of their medians, or the ``geometric``
    mean of the ratios one by one. Samples of equal length belong to the same images and are drawn together.

    None where a divisor is not positive: there is no such number. ValueError for another ``how`` or an empty sample.
    """
    statistics = {"mean": np.mean, "median": np.median, "geometric": lambda t, axis: np.exp(np.log(t).mean(axis))}
    reject(how not in statistics, f"how is {how!r}; allowed are {', '.join(statistics)}")
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    reject(len(a) == 0 or len(b) == 0, "ratio has an empty sample; allowed is at least one value each")
    if how == "geometric" and min(a.min(), b.min()) <= 0:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(a), size=(resamples, len(a)))
    drawn_b = drawn if len(a) == len(b) else rng.integers(len(b), size=(resamples, len(b)))
    above, below = statistics[how](a[drawn], axis=1), statistics[how](b[drawn_b], axis=1)
    whole = float(statistics[how](b, axis=0))
    if whole <= 0 or below.min() <= 0:
        return None
    low, high = np.quantile(above / below, [0.025, 0.975])
    mean = float(statistics[how](a, axis=0)) / whole
    return {"mean": mean, "low": float(low), "high": float(high), "n": min(len(a), len(b)), "unit": "×"}


def paired_flags(first: Bool[Tensor, "n"], second: Bool[Tensor, "n"]) -> Interval:
    """First minus second accuracy on the same images, in points (see ``evaluate.mcnemar``)."""
    found = mcnemar(first, second)
    return {"mean": found["difference"]} | {key: found[key] for key in ("low", "high", "n")} | {"unit": "points"}


def distances(t: Float[np.ndarray, "n"], *, reach: float, unit: str) -> dict:
    """Quartiles of distances to the boundary and the percentage of images that reach it; inf = not within ``reach``.

    A quartile that lies beyond ``reach`` is the word ``> reach unit``, since nothing more is known.
    """
    reached = np.isfinite(t)
    capped = np.where(reached, t, reach)
    found = {"reached": interval(100.0 * reached)}
    for name, q in (("median", 0.5), ("q25", 0.25), ("q75", 0.75)):
        value = float(np.quantile(capped, q, method="lower"))
        known = interval(capped, unit, how="median") if name == "median" else value
        found[name] = known if value < reach else f"> {reach:g} {unit}"
    return found


# The panels of a figure.


@dataclass(frozen=True)
class Panel:
    """One picture: whose surface, of what, in which space, along which direction.

    ``climbs`` is the objective whose gradient gives an adversarial direction; ``image`` and ``seed`` count on from the
    figure's own. Raises ValueError, naming the field, its value and what is allowed.
    """

    role: str
    space: str = "input"
    objective: str = "decision"
    direction: str = "adversarial"
    climbs: str = "cw"
    image: int = 0
    seed: int = 0

    def __post_init__(self):
        allowed = {
            "space": ("input", "parameter"), "objective": tuple(SURFACES), "direction": surface.DIRECTIONS,
            "climbs": ATTACKED,
        }  # fmt: skip
        for name, values in allowed.items():
            value = getattr(self, name)
            reject(value not in values, f"panel field {name} is {value!r}; allowed are {', '.join(values)}")

    def key(self, levels: list[str]) -> str:
        """Where its numbers stand in the record: the fields named ``levels``, joined by ``/``."""
        return "/".join(str(getattr(self, level)) for level in levels)


def panels(settings: list[dict], roles: list[str]) -> list[Panel]:
    """The panels of a figure from plain settings; the first role is the default.

    Raises ValueError for an unknown field or role.
    """
    known = [field.name for field in fields(Panel)]
    for entry in settings:
        unknown = [name for name in entry if name not in known]
        reject(bool(unknown), f"panel field {', '.join(unknown)} is unknown; allowed are {', '.join(known)}")
        role = entry.get("role", roles[0])
        reject(role not in roles, f"panel field role is {role!r}; allowed are {', '.join(roles)}")
    return [Panel(**{"role": roles[0], **entry}) for entry in settings]


def measured(panels: list[Panel], levels: list[str]) -> dict[str, Panel]:
    """The first panel of each group that ``levels`` make: the one whose numbers are taken."""
    found: dict[str, Panel] = {}
    for panel in panels:
        found.setdefault(panel.key(levels), panel)
    return found


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


# Blank loss surfaces, in one dimension (A.1).


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
