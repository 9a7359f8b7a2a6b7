"""The robustness indicator of Sec. 4: slopes and curvatures of S at a point, without any attack.

On a network of ReLUs, max-pooling and frozen BatchNorm, S is piecewise affine in x: its exact Hessian is zero almost
everywhere, and ``hessian`` returns exactly that. Curvature is then measured at a finite scale
(``curvature_at_scale``), on a softened copy of the network (``paperlib.model.softened``), or of the cross-entropy.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.objective import cross_entropy, decision
from paperlib.state import check_batch, evaluating, input_gradient, reject


def jacobian(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, objective: Callable = decision,
    batch: int = 500,
) -> Float[Tensor, "n c h w"]:  # fmt: skip
    """J = gradient of S with respect to the image (Eq. 4), one per example; or of another function of the logits."""
    check_batch(x, y)
    parts = []
    with evaluating(model):
        for images, labels in zip(x.split(batch), y.split(batch), strict=True):
            parts.append(input_gradient(lambda z, t=labels: objective(model(z), t), images)[1])
    return torch.cat(parts) if parts else torch.zeros_like(x)


def hessian(
    model: Callable, x: Float[Tensor, "c h w"], y: int, *, objective: Callable = decision, rows: int = 64
) -> Float[Tensor, "d d"]:
    """H = Hessian of S at one image (Eq. 4), exact and symmetrised, ``rows`` Hessian-vector products at a time.

    Zero (not an error) where S has no second derivative to automatic differentiation, as on a ReLU or linear network.
    """
    reject(rows < 1, f"rows is {rows}; allowed is at least 1")
    check_batch(x[None], torch.tensor([y]))
    d, parts = x.numel(), []
    with evaluating(model), torch.enable_grad():
        for index in torch.arange(d, device=x.device).split(rows):
            z = x.detach().expand(len(index), *x.shape).clone().requires_grad_(True)
            values = objective(model(z), torch.full((len(index),), y, device=x.device))
            if not values.requires_grad:
                return x.new_zeros(d, d)
            (J,) = torch.autograd.grad(values.sum(), z, create_graph=True, allow_unused=True, materialize_grads=True)
            picked = J.flatten(1).gather(1, index[:, None]).sum()
            if not picked.requires_grad:
                return x.new_zeros(d, d)
            (row,) = torch.autograd.grad(picked, z, allow_unused=True, materialize_grads=True)
            parts.append(row.detach().flatten(1))
    H = torch.cat(parts)
    return (H + H.T) / 2


def spectrum(H: Float[Tensor, "d d"]) -> Float[Tensor, "d"]:
    """Eigenvalues of a symmetric matrix, ascending, in double precision (Eq. 8)."""
    return torch.linalg.eigvalsh(H.double())


def cross_entropy_hessian(model: Callable, x: Float[Tensor, "c h w"]) -> Float[Tensor, "d d"]:
    """A^T (diag p - p p^T) A with A = dZ/dx (K x d), p = softmax Z: the Hessian of the cross-entropy of a network that
    is piecewise affine in x. Positive semi-definite, of rank at most K - 1, and the same for every label.
    """
    with evaluating(model), torch.enable_grad():
        z = x.detach()[None].requires_grad_(True)
        Z = model(z)[0]
        A = torch.stack([torch.autograd.grad(logit, z, retain_graph=True)[0].flatten() for logit in Z])
        p = Z.detach().softmax(0)
    return A.T @ (torch.diag(p) - torch.outer(p, p)) @ A


def norms(values: Float[Tensor, "n ..."]) -> dict[str, Float[Tensor, "n"]]:
    """l1, l2 and l-infinity norm and mean magnitude of each example's entries."""
    flat = values.flatten(1)
    magnitude = flat.abs()
    return {"l1": magnitude.sum(1), "l2": flat.norm(dim=1), "linf": magnitude.amax(1), "mean": magnitude.mean(1)}


def near_zero_ratio(values: Float[Tensor, "n ..."], *, threshold: float) -> Float[Tensor, "n"]:
    """The share of each example's entries with magnitude at most ``threshold``, in the entries' own unit.

    The paper's two thresholds (footnote 3) are lost. Raises ValueError for a negative threshold.
    """
    reject(threshold < 0, f"threshold is {threshold}; allowed is a number of at least 0")
    return (values.flatten(1).abs() <= threshold).double().mean(1)


def bound(J: Float[Tensor, "..."], H: Float[Tensor, "d d"], *, eps: float) -> dict[str, float]:
    """Eq. 9 as numbers for every perturbation with l-infinity norm at most ``eps`` ([0, 1] scale).

    ``first`` = eps |J|_1, ``second`` = eps^2/2 min(d max|lambda|, sum |H_ij|), ``total`` their sum, which bounds the
    Taylor polynomial of S (no certificate without its remainder); ``random_second`` = eps^2/2 sum lambda, the mean of
    the second-order term under random signs. Raises ValueError for a negative ``eps``.
    """
    reject(eps < 0, f"eps is {eps}; allowed is a number of at least 0")
    eigenvalues = spectrum(H)
    first = eps * float(J.abs().sum())
    largest = len(eigenvalues) * float(eigenvalues.abs().max())
    second = eps**2 / 2 * min(largest, float(H.abs().sum()))
    return {
        "first": first, "second": second, "total": first + second,
        "random_second": eps**2 / 2 * float(eigenvalues.sum()),
    }  # fmt: skip


def curvature_at_scale(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, h: float,
    v: Float[Tensor, "n c h w"] | None = None, objective: Callable = decision,
) -> Float[Tensor, "n"]:  # fmt: skip
    """|grad S(x + h v) - grad S(x)|_2 / h, the curvature that a ReLU network does have (CURE, Moosavi-Dezfooli et al.
    2019); ``v`` is the l2-normalised sign of J unless given, ``h`` an l2 length on the [0, 1] scale.

    Raises ValueError for ``h`` <= 0.
    """
    reject(h <= 0, f"h is {h}; allowed is a positive number")
    J = jacobian(model, x, y, objective=objective)
    v = J.sign() if v is None else v
    unit = v / v.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    with evaluating(model):
        _, moved = input_gradient(lambda z: objective(model(z), y), x + h * unit)
    return (moved - J).flatten(1).norm(dim=1) / h


def slice_curvature(slope: float, second: float) -> float:
    """kappa = |S''| / (1 + S'^2)^(3/2): the reciprocal radius of the circle that osculates the graph of a
    one-dimensional slice; |S''| where the slope is zero (Eq. 10)."""
    return abs(second) / (1 + slope**2) ** 1.5


def report(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, h: float = 0.1
) -> dict[str, Float[Tensor, "n"]]:
    """The indicator for many images at once, one value per example.

    ``S``: the margin; ``mean_J``: mean |J_i|; ``l1_J``, ``l2_J``; ``curvature``: at scale ``h``; ``loss_slope``: l2 norm of
    the cross-entropy's gradient; ``linear_distance``: S / |J|_1, the l-infinity distance to the boundary if S were
    affine; ``linear_robust``: whether that exceeds ``eps``.
    """
    with torch.no_grad(), evaluating(model):
        S = torch.cat([decision(model(a), b) for a, b in zip(x.split(500), y.split(500), strict=True)])
    J = norms(jacobian(model, x, y))
    distance = S / J["l1"].clamp_min(1e-30)
    return {
        "S": S, "mean_J": J["mean"], "l1_J": J["l1"], "l2_J": J["l2"],
        "curvature": curvature_at_scale(model, x, y, h=h),
        "loss_slope": norms(jacobian(model, x, y, objective=cross_entropy))["l2"],
        "linear_distance": distance, "linear_robust": (distance > eps).double(),
    }  # fmt: skip
