"""Numbers instead of eyes: how flat, how steep, how rough, how blank a surface is.

Pure functions of values on a grid ``(..., beta, alpha)`` (rows beta, columns alpha) that return one number for each leading
index, an image or a pair of directions. Distances are in steps of the axes, and *the square* of size eps is where both
coordinates are at most eps.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from paperlib.refusal import reject

Grids = Float[np.ndarray, "... beta alpha"]


Alpha, Beta, Axis = Float[np.ndarray, "alpha"], Float[np.ndarray, "beta"], Float[np.ndarray, "k"]


PerImage = Float[np.ndarray, "..."] | float


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


def contours(S: Float[np.ndarray, "... k"], t: Axis) -> PerImage:
    """Level lines of spacing S(0) / 10 per step that a walk along the slice S(t) from t[0] = 0 crosses on its way to
    the boundary S = 0, or to the slice's end where it is not met; S(0) > 0, linear between the points.

    Averaged over all positions of the first level, so that it is the way's total variation over the spacing.
    """
    behind = np.logical_or.accumulate(S <= 0, axis=-1)
    way = np.where(behind, 0.0, S)
    drop = S[..., :-1] - S[..., 1:]
    # of the segment that meets the boundary only the part before it
    part = np.where(behind[..., 1:], S[..., :-1] / np.where(drop > 0, drop, 1.0), 1.0)
    length = np.where(behind[..., :-1], 0.0, part * np.diff(t)).sum(-1)
    return np.abs(np.diff(way, axis=-1)).sum(-1) / (S[..., 0] / 10) / length


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


def blank(values: Grids, alpha: Alpha, beta: Beta) -> PerImage:
    """Share (percent) of grid points less than a hundredth as steep as the steepest; 100 for a constant."""
    steep = steepness(values, alpha, beta)
    largest = steep.max(axis=(-2, -1), keepdims=True)
    return 100 * np.where(largest > 0, steep < 0.01 * largest, True).mean(axis=(-2, -1))


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
