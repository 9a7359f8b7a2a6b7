"""Numbers of a network that may foretell its robustness: of S around images, of the loss around the weights, and beside.

But for the rise of the robust loss none needs an attack.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import indicator, sharpness
from paperlib.clever import clever
from paperlib.model import softened
from paperlib.objective import cross_entropy
from paperlib.refusal import check_count, check_positive, check_rising, reject
from paperlib.state import check_batch, check_classes, evaluating

# what each promises: 1 that the larger is the more robust, -1 that the smaller is
PROMISE = {
    # first order
    "mean_J": -1, "linear_distance": 1, "loss_slope": -1,
    # second order, and at a distance
    "bend": -1, "top_bend": -1, "loss_bend": -1, "curvature": -1, "curvature_eps": -1, "bound": -1, "bound_distance": 1,
    "clever": 1,
    # parameter space
    "sharpness": -1, "top_eigenvalue": -1, "robust_rise": -1,
    # beside: no geometry
    "clean": 1, "logit_scale": -1,
}  # fmt: skip
# of one image
POINTWISE = {
    "S": 1, "l1_J": -1, "linear_distance": 1, "loss_slope": -1, "curvature": -1, "loss_bend": -1, "clever": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """How much is spent on one network: images, points, directions, steps.

    ``hessian_images``: images whose whole Hessian is taken, of a copy with softplus(``beta``) where the network has ReLUs.
    ``h``: l2 length of the curvature at a scale. ``clever_images``, with ``batches`` times ``samples`` points and
    ``targets`` classes each. ``weights_images`` and ``directions``: of the numbers in parameter space, ``radius`` of each
    filter's norm away, with ``attack_steps`` of PGD for the robust loss.
    """

    hessian_images: int
    beta: float
    h: float
    clever_images: int
    batches: int
    samples: int
    targets: int
    weights_images: int
    directions: int
    radius: float
    attack_steps: int


def pointwise(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, h: float
) -> dict[str, Float[Tensor, "n"]]:
    """Of each image: ``S``, ``mean_J`` and ``l1_J`` (of J), ``linear_distance`` (S over the latter, 0 where J is 0),
    ``loss_slope`` (l1 norm of the cross-entropy's gradient), ``curvature`` at the l2 length ``h``, ``loss_bend`` (Frobenius
    norm of the cross-entropy's Hessian), and ``logit_scale``, the standard deviation of its logits."""
    check_batch(x, y)
    check_positive("h", h)
    with torch.no_grad(), evaluating(model):
        Z = torch.cat([model(part) for part in x.split(indicator.BATCH)])
    check_classes(Z, y)
    S = indicator.decision(Z, y)
    J = indicator.norms(indicator.jacobian(model, x, y))
    return {
        "S": S, "mean_J": J["mean"], "l1_J": J["l1"],
        "linear_distance": torch.where(J["l1"] > 0, S / J["l1"].clamp_min(1e-30), 0.0),
        "loss_slope": indicator.norms(indicator.jacobian(model, x, y, objective=cross_entropy))["l1"],
        "curvature": indicator.curvature_at_scale(model, x, y, h=h),
        "loss_bend": indicator.cross_entropy_hessian_norm(model, x), "logit_scale": Z.std(1),
    }  # fmt: skip


def predictors(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float], effort: Effort, seed: int = 0
) -> dict[str, list[float]]:
    """Every number of ``PROMISE`` for each of ``eps`` (rising, [0, 1] scale), which few of them depend on.

    Means over the images; distances are medians, and CLEVER's a mean, over those classified rightly, NaN without any.
    Random numbers come from ``seed``. Raises ValueError with one sentence for a wrong argument.
    """
    check_batch(x, y)
    check_rising("eps", eps)
    check_count("seed", seed, least=0)
    each = pointwise(model, x, y, h=effort.h)
    right = each["S"] > 0
    found = {name: float(each[name].mean()) for name in ("mean_J", "loss_slope", "loss_bend", "curvature", "logit_scale")}
    found |= {"linear_distance": _median(each["linear_distance"][right]), "clean": 100 * float(right.double().mean())}
    few = slice(effort.clever_images)
    options = {"batches": effort.batches, "samples": effort.samples, "targets": effort.targets}
    near = clever(model, x[few], y[few], radius=eps[-1], generator=_seeded(seed), **options)
    found["clever"] = _mean(near[right[few]])
    found |= _in_weights(model, x[: effort.weights_images], y[: effort.weights_images], eps[0], effort, seed)
    few = slice(effort.hessian_images)
    return {name: [value] * len(eps) for name, value in found.items()} | bends(model, x[few], y[few], eps, effort.beta) | {
        "curvature_eps": [_curvature_across(model, x, y, size) for size in eps]
    }  # fmt: skip


def bends(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], eps: list[float], beta: float
) -> dict[str, list[float]]:
    """From whole Hessians: ``bend``, the mean magnitude of their eigenvalues, and ``top_bend``, the largest; of Eq. 9 at
    each of ``eps`` the ``bound``, and ``bound_distance``, the eps at which it reaches S (median over rightly classified
    images).

    Of S on the network, or on its copy with softplus(``beta``) where it has ReLUs.
    """
    check_batch(x, y)
    check_rising("eps", eps)
    reject(not isinstance(model, nn.Module), f"model is {model!r}; allowed is a module of weights and buffers")
    smooth = softened(model, beta) if any(isinstance(module, nn.ReLU) for module in model.modules()) else model
    S, J = indicator.margins(smooth, x, y), indicator.jacobian(smooth, x, y)
    means, tops, bounds, distances = [], [], [], []
    for k in range(len(x)):
        H = indicator.hessian(smooth, x[k], int(y[k]))
        magnitude = indicator.spectrum(H).abs()
        means.append(float(magnitude.mean()))
        tops.append(float(magnitude.max()))
        most = min(len(H) * tops[-1], float(H.abs().sum()))
        slope = float(J[k].abs().sum())
        bounds.append([size * slope + size**2 / 2 * most for size in eps])
        if S[k] > 0:
            distances.append(reached(float(S[k]), slope, most))
    found = {"bend": sum(means) / len(means), "top_bend": sum(tops) / len(tops)}
    found["bound_distance"] = _median(torch.tensor(distances))
    return {name: [value] * len(eps) for name, value in found.items()} | {
        "bound": [sum(of) / len(of) for of in zip(*bounds, strict=True)]
    }


def reached(margin: float, slope: float, bend: float) -> float:
    """The eps at which ``slope eps + bend eps^2 / 2`` reaches the margin; infinite where both are 0.

    >>> reached(2.0, 4.0, 0.0), reached(2.0, 0.0, 4.0), reached(2.5, 2.0, 1.0)
    (0.5, 1.0, 1.0)
    """
    if slope == 0 and bend == 0:
        return math.inf
    # the root that does not cancel, which holds without bend as well
    return 2 * margin / (slope + math.sqrt(slope**2 + 2 * bend * margin))


def _curvature_across(model: Callable, x: Tensor, y: Tensor, eps: float) -> float:
    """Mean curvature over the step of size eps along the signs of J."""
    return float(indicator.curvature_at_scale(model, x, y, h=eps * math.sqrt(x[0].numel())).mean())


def _in_weights(model: nn.Module, x: Tensor, y: Tensor, eps: float, effort: Effort, seed: int) -> dict[str, float]:
    walk = {"radius": effort.radius, "directions": effort.directions}
    return {
        "sharpness": sharpness.rise(model, x, y, generator=_seeded(seed), **walk),
        "robust_rise": sharpness.robust_rise(
            model, x, y, eps=eps, steps=effort.attack_steps, generator=_seeded(seed), **walk
        ),
        "top_eigenvalue": sharpness.top_eigenvalue(model, x, y, generator=_seeded(seed)),
    }


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if len(values) else math.nan


def _median(values: Tensor) -> float:
    return float(values.double().median()) if len(values) else math.nan
