"""CLEVER: how near the boundary is, from the slopes that a network has around an image (Weng et al. 2018).

If no slope of ``g_j = Z_t - Z_j`` inside a ball exceeds ``L_j``, no perturbation there smaller than ``g_j / L_j`` makes the
network prefer class ``j``. ``L_j`` is not known; CLEVER draws points of the ball in batches, and estimates it from the
largest slope of each batch by extreme value theory. It is an estimate, no certificate.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import weibull_max
from torch import Tensor

from paperlib.refusal import check_count, check_positive, reject
from paperlib.state import check_batch, check_classes, evaluating, input_gradient

# points at a time
BATCH = 500


def clever(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, radius: float, batches: int = 20,
    samples: int = 20, targets: int = 3, generator: torch.Generator | None = None,
) -> Float[Tensor, "n"]:  # fmt: skip
    """Each image's distance to the boundary in the l-infinity norm, estimated, at most ``radius`` ([0, 1] scale); 0 for one
    that is misclassified.

    The smallest of ``g_j / L_j`` over the ``targets`` likeliest other classes. ``batches`` times ``samples`` points are
    uniform in the ball of ``radius``, brought into [0, 1], where attacks stay; slopes are measured in the l1 norm, the
    dual of the attack's. Raises ValueError with one sentence for a wrong argument, and for gradients that are not
    finite.
    """
    check_batch(x, y)
    check_positive("radius", radius)
    for name, count in (("batches", batches), ("samples", samples), ("targets", targets)):
        check_count(name, count)
    found = x.new_zeros(len(x))
    with evaluating(model):
        for k in range(len(x)):
            with torch.no_grad():
                Z = model(x[k : k + 1])
            check_classes(Z, y[k : k + 1])
            margin = Z[0, y[k]] - Z[0]
            others = [j for j in margin.argsort().tolist() if j != int(y[k])][:targets]
            # true for good values alone: logits that are no numbers are no distance
            if not bool((margin[others] > 0).all()):
                continue
            noise = torch.rand((batches * samples, *x.shape[1:]), generator=generator, dtype=x.dtype) * 2 - 1
            points = (x[k] + radius * noise.to(x.device)).clamp(0, 1)
            bounds = [largest_slope(_slopes(model, points, int(y[k]), j).view(batches, samples)) for j in others]
            finite = bool(np.isfinite(bounds).all())
            reject(not finite, f"model has a slope at image {k} that is no finite number; allowed are finite gradients")
            ratios = [float(margin[j]) / L if L > 0 else radius for j, L in zip(others, bounds, strict=True)]
            found[k] = min(radius, *ratios)
    return found


def _slopes(model: Callable, points: Float[Tensor, "m c h w"], true: int, other: int) -> Float[Tensor, "m"]:
    """The l1 norm of the gradient of ``Z_true - Z_other`` at every point."""

    def g(z: Tensor) -> Tensor:
        Z = model(z)
        return Z[:, true] - Z[:, other]

    return torch.cat([input_gradient(g, part)[1].flatten(1).abs().sum(1) for part in points.split(BATCH)])


def largest_slope(slopes: Float[Tensor, "batches samples"]) -> float:
    """The end of the reverse Weibull distribution that fits the largest slope of each batch best (maximum likelihood): what
    slopes tend to but do not pass. The largest slope seen, where all maxima agree or no fit ends beyond them."""
    maxima = slopes.amax(1).double().cpu().numpy()
    top, spread = float(maxima.max()), float(np.ptp(maxima))
    if len(maxima) < 3 or spread <= 1e-6 * top:
        return top
    # in units of the spread, where the search for the maximum begins well
    units = (maxima - top) / spread
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, end, scale = weibull_max.fit(units, 2.0, loc=0.1, scale=0.5)
    # likelihood grows without bound as a shape below 1 puts the end at the largest: such a fit says nothing
    sane = np.isfinite([shape, end, scale]).all() and 0 <= end < 1
    return top + spread * float(end) if sane else top
