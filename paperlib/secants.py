"""What a piecewise affine S bends over a length, the spectrum of the cross-entropy's Hessian without the matrix, and the
threshold at which two networks have two given shares of small numbers.

The Hessian of S is a limit of differences of its slope J. On a network of ReLUs the limit is zero, where it exists, and the
differences are not: they count the kinks that lie between two points.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.objective import decision
from paperlib.refusal import check_positive, reject
from paperlib.state import check_batch, check_image, check_images, check_like, evaluating, input_gradient

# the powers of ten between which thresholds are looked for, and how many thresholds there are to a power
LOWEST, HIGHEST, FINENESS = -12, 4, 100
THRESHOLDS = 10.0 ** (np.arange((HIGHEST - LOWEST) * FINENESS + 1) / FINENESS + LOWEST)
# images at a time
BATCH = 500


def slope_change(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], step: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n"]:
    """``|J(x + step) - J(x)|_2 / |step|_2``, the mean curvature along a step (Moosavi-Dezfooli et al. 2019): of a quadratic
    S ``|H v|`` for the unit vector v whatever the length, of a ReLU network exactly 0 where no kink lies between both ends.

    The length is that of the step as it was taken, for rounding changes a short one. A step of no length has 0.
    """
    check_batch(x, y)
    check_like("step", step, x)
    if len(x) == 0:
        return x.new_zeros(0)
    moved = x + step
    change = (_slopes(model, moved, y) - _slopes(model, x, y)).norm(dim=1)
    return change / (moved - x).flatten(1).norm(dim=1).clamp_min(1e-30)


def hessian_at_scale(model: Callable, x: Float[Tensor, "c h w"], y: int, *, h: float) -> Float[Tensor, "d d"]:
    """The Hessian of S by central differences of J along every pixel, ``h`` to either side, made symmetric: of a quadratic
    S the Hessian itself whatever ``h``. Pixels are not clipped.

    Raises ValueError for ``h`` <= 0.
    """
    check_image(x, y)
    check_positive("h", h)
    steps = h * torch.eye(x.numel(), dtype=x.dtype, device=x.device).view(-1, *x.shape)
    labels = torch.full((len(steps),), y, device=x.device)
    ahead, behind = (_slopes(model, x + sign * steps, labels) for sign in (1, -1))
    H = (ahead - behind) / (2 * h)
    return (H + H.T) / 2


def cross_entropy_spectrum(model: Callable, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    """The K largest eigenvalues of ``indicator.cross_entropy_hessian``, falling, in double precision; all others are zero.

    ``diag p - p p^T`` is ``B B^T`` with ``B = diag(q) (1 - q q^T)`` and ``q = sqrt(p)``, so that they are the squares of
    the singular values of the small matrix ``B^T A`` (K x d): exact to rounding however small, and the last one is zero.
    """
    check_images(x)
    if len(x) == 0:
        return x.new_zeros(0, 0, dtype=torch.float64)
    with torch.no_grad(), evaluating(model):
        q = torch.cat([model(part).double().softmax(1).sqrt() for part in x.split(BATCH)])
    classes = torch.arange(q.shape[1], device=x.device)[:, None].expand(-1, len(x))
    A = [_slopes(model, x, each, lambda Z, k: Z.gather(1, k[:, None])[:, 0]) for each in classes]
    B = torch.diag_embed(q) - q.square()[:, :, None] * q[:, None, :]
    return torch.linalg.svdvals(B.transpose(1, 2) @ torch.stack(A, dim=1).double()).square()


def _slopes(model: Callable, x: Tensor, y: Tensor, objective: Callable = decision) -> Float[Tensor, "n d"]:
    """Gradients in x, one row an image, wherever the images lie."""
    parts = []
    with evaluating(model):
        for images, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
            parts.append(input_gradient(lambda z, t=labels: objective(model(z), t), images)[1])
    return torch.cat(parts).flatten(1)


# Thresholds below which numbers count as zero.


def near_zero_shares(values: Float[Tensor, "..."]) -> Float[np.ndarray, "t"]:
    """The percentage of numbers whose magnitude is at most each of ``THRESHOLDS``. Raises ValueError for none."""
    magnitude = np.sort(values.detach().abs().double().cpu().numpy().ravel())
    reject(len(magnitude) == 0, "values is empty; allowed is at least one number")
    return 100 * np.searchsorted(magnitude, THRESHOLDS, side="right") / len(magnitude)


def common_threshold(
    shares: dict[str, Float[np.ndarray, "t"]], wanted: dict[str, float], *, every: int = 1
) -> tuple[int, float]:
    """Which of ``THRESHOLDS`` brings every network's share nearest to the one ``wanted`` of it, and by how many points the
    worst of them still misses its own; the smallest threshold where several do.

    ``shares`` and ``wanted`` are percentages by network. ``every``: ``FINENESS`` allows powers of ten alone. Raises
    ValueError where their networks differ.
    """
    reject(shares.keys() != wanted.keys(), f"wanted has {', '.join(wanted)}; allowed are {', '.join(shares)}, as in shares")
    miss = np.max([abs(shares[role] - share) for role, share in wanted.items()], axis=0)[::every]
    best = int(miss.argmin())
    return best * every, float(miss[best])
