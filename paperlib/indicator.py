"""The robustness indicator of Sec. 4: slopes and curvatures of S at a point, without any attack.

On a network of ReLUs, max-pooling and frozen BatchNorm, S is piecewise affine in x: its exact Hessian is zero almost
everywhere, and ``hessian`` returns exactly that. Curvature is then measured at a finite scale
(``curvature_at_scale``), on a softened copy of the network (``paperlib.model.softened``), or of the cross-entropy.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import tangents
from paperlib.objective import cross_entropy, decision, margins
from paperlib.refusal import check_count, check_number, check_positive, check_share, check_size, reject
from paperlib.state import check_batch, check_finite, check_image, check_images, check_like, evaluating, input_gradient

# points of a slice to either side in which a kink is looked for
WINDOW = 5
# images at a time
BATCH = 500
# Hessian-vector products at a time
ROWS = 64
# l2 length at which a report takes its curvature
SCALE = 0.1


def jacobian(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, objective: Callable = decision
) -> Float[Tensor, "n c h w"]:
    """J = gradient of S with respect to the image (Eq. 4), one per example; or of another function of the logits."""
    check_batch(x, y)
    return _gradients(model, x, y, objective)


def _gradients(model: Callable, x: Tensor, y: Tensor, objective: Callable) -> Tensor:
    if len(x) == 0:
        return torch.zeros_like(x)
    parts = []
    with evaluating(model):
        for images, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
            parts.append(input_gradient(lambda z, t=labels: objective(model(z), t), images)[1])
    return torch.cat(parts)


def hessian(model: Callable, x: Float[Tensor, "c h w"], y: int) -> Float[Tensor, "d d"]:
    """H = Hessian of S at one image (Eq. 4), exact and symmetric: in matrix products where ``paperlib.tangents`` knows the
    network's operations, else ``ROWS`` Hessian-vector products at a time.

    Zero (not an error) where S has no second derivative to automatic differentiation, as on a ReLU or linear network.
    """
    check_image(x, y)
    H = tangents.hessian(model, x, y)
    return hessian_by_rows(model, x, y) if H is None else H


def hessian_by_rows(model: Callable, x: Float[Tensor, "c h w"], y: int) -> Float[Tensor, "d d"]:
    """``hessian`` of any network that can be differentiated twice."""
    check_image(x, y)
    d, parts = x.numel(), []
    with evaluating(model), torch.enable_grad():
        for index in torch.arange(d, device=x.device).split(ROWS):
            z = x.detach().expand(len(index), *x.shape).clone().requires_grad_(True)
            values = decision(model(z), torch.full((len(index),), y, device=x.device))
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
    check_image(x)
    p, A = (part[0] for part in _logit_gradients(model, x[None]))
    return (A.T @ (torch.diag(p) - torch.outer(p, p)) @ A).to(x.dtype)


def _logit_gradients(model: Callable, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k d"]]:
    """p = softmax Z, and A = dZ/dx, zero where Z does not depend on x; in double precision, for in single precision
    p - p^2 of a confident network is rounding error."""
    with evaluating(model), torch.enable_grad():
        z = x.detach().requires_grad_(True)
        Z = model(z)
        A = Z.new_zeros(*Z.shape, x.shape[1:].numel())
        if Z.requires_grad:
            options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
            A = torch.stack([torch.autograd.grad(logit, z, **options)[0].flatten(1) for logit in Z.sum(0)], dim=1)
    return Z.detach().double().softmax(1), A.double()


def cross_entropy_hessian_norm(model: Callable, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """Frobenius norm of ``cross_entropy_hessian`` for many images: ``tr(M G M G)^(1/2)`` with ``M = diag p - p p^T`` and the
    small matrix ``G = A A^T``, so that no d x d matrix is made."""
    check_images(x)
    if len(x) == 0:
        return x.new_zeros(0)
    found = []
    for images in x.split(BATCH):
        p, A = _logit_gradients(model, images)
        M = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        MG = M @ (A @ A.transpose(1, 2))
        found.append((MG @ MG).diagonal(dim1=1, dim2=2).sum(1).clamp_min(0).sqrt())
    return torch.cat(found).to(x.dtype)


def norms(values: Float[Tensor, "n ..."]) -> dict[str, Float[Tensor, "n"]]:
    """l1, l2 and l-infinity norm and mean magnitude of each example's entries."""
    flat = values.flatten(1)
    magnitude = flat.abs()
    return {"l1": magnitude.sum(1), "l2": flat.norm(dim=1), "linf": magnitude.amax(1), "mean": magnitude.mean(1)}


def near_zero_ratio(values: Float[Tensor, "n ..."], *, threshold: float) -> Float[Tensor, "n"]:
    """The share of each example's entries with magnitude at most ``threshold``, in the entries' own unit.

    The paper's two thresholds (footnote 3) are lost. Raises ValueError for a negative threshold.
    """
    check_size("threshold", threshold)
    return (values.flatten(1).abs() <= threshold).double().mean(1)


def bound(J: Float[Tensor, "..."], H: Float[Tensor, "d d"], *, eps: float) -> dict[str, float]:
    """Eq. 9 as numbers for every perturbation with l-infinity norm at most ``eps`` ([0, 1] scale).

    ``first = eps |J|_1``, ``second = eps^2/2 min(d max|lambda|, sum |H_ij|)``, ``total`` their sum, which bounds the
    Taylor polynomial of S (no certificate without its remainder); ``random_second = eps^2/2 sum lambda``, the mean of
    the second-order term under random signs. Raises ValueError for a negative ``eps``.
    """
    check_size("eps", eps)
    eigenvalues = spectrum(H)
    first = eps * float(J.abs().sum())
    largest = len(eigenvalues) * float(eigenvalues.abs().max())
    second = eps**2 / 2 * min(largest, float(H.abs().sum()))
    return {
        "first": first, "second": second, "total": first + second,
        "random_second": eps**2 / 2 * float(eigenvalues.sum()),
    }  # fmt: skip


def curvature_at_scale(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, h: float) -> Float[Tensor, "n"]:
    """``|grad S(x + h v) - grad S(x)|_2 / h``, the curvature that a ReLU network does have (CURE, Moosavi-Dezfooli et al.
    2019); ``v`` is the l2-normalised sign of J, ``h`` an l2 length on the [0, 1] scale.

    Raises ValueError for ``h`` <= 0.
    """
    check_positive("h", h)
    J = jacobian(model, x, y)
    v = J.sign()
    unit = v / v.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    moved = _gradients(model, x + h * unit, y, decision)
    return (moved - J).flatten(1).norm(dim=1) / h


def slice_curvature(slope: float, second: float) -> float:
    """``kappa = |S''| / (1 + S'^2)^(3/2)``: the reciprocal radius of the circle that osculates the graph of a
    one-dimensional slice; ``|S''|`` where the slope is zero (Eq. 10)."""
    check_number("slope", slope)
    check_number("second", second)
    return abs(second) / (1 + slope**2) ** 1.5


def report(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float
) -> dict[str, Float[Tensor, "n"]]:
    """The indicator for many images at once, one value per example.

    ``S``: the margin; ``mean_J``: mean ``|J_i|``; ``l1_J``, ``l2_J``; ``curvature``: at ``SCALE``; ``loss_slope``: l2 norm
    of the cross-entropy's gradient; ``linear_distance``: ``S / |J|_1``, the l-infinity distance to the boundary if S were
    affine; ``linear_robust``: whether that exceeds ``eps``. J = 0 says nothing: both are NaN there.
    """
    check_batch(x, y)
    check_size("eps", eps)
    S, J = margins(model, x, y), norms(jacobian(model, x, y))
    distance = torch.where(J["l1"] == 0, torch.nan, S / J["l1"].clamp_min(1e-30))
    return {
        "S": S, "mean_J": J["mean"], "l1_J": J["l1"], "l2_J": J["l2"],
        "curvature": curvature_at_scale(model, x, y, h=SCALE),
        "loss_slope": norms(jacobian(model, x, y, objective=cross_entropy))["l2"],
        "linear_distance": distance, "linear_robust": torch.where(distance.isnan(), torch.nan, (distance > eps).double()),
    }  # fmt: skip


# Distributions, and what the paper reads from them.


def matching_threshold(values: Float[Tensor, "..."], share: float) -> float:
    """The smallest threshold at which at least ``share`` of all entries count as near zero.

    It answers which threshold the paper may have used, its own being lost. Raises ValueError unless 0 < share <= 1.
    """
    check_share("share", share)
    magnitude = values.abs().flatten()
    return float(magnitude.kthvalue(max(1, math.ceil(share * len(magnitude)))).values)


def noise_spread(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, size: float, draws: int,
    generator: torch.Generator,
) -> Float[Tensor, "n"]:  # fmt: skip
    """Standard deviation of S(x + noise) over ``draws`` of noise that is uniform in [-size, size] in every pixel.

    To first order it is size / sqrt(3) times the l2 norm of J. Pixels are not clipped, which would halve the noise on
    black ones. Raises ValueError for fewer than two draws.
    """
    check_batch(x, y)
    check_size("size", size)
    check_count("draws", draws, least=2)
    values = []
    for _ in range(draws):
        noise = size * (torch.rand(x.shape, generator=generator, dtype=x.dtype) * 2 - 1).to(x.device)
        values.append(margins(model, x + noise, y))
    return torch.stack(values).std(0)


def alignment(J: Float[Tensor, "n c h w"], pattern: Bool[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    """Share of the sum of ``|J_i|`` that lies on the pattern, over the pattern's share of the area: 1 is no preference.

    NaN for an image without a pattern or with J = 0.
    """
    magnitude = J.abs().sum(1)
    on = (magnitude * pattern).sum((1, 2)) / magnitude.sum((1, 2))
    return on / pattern.to(J.dtype).mean((1, 2))


def ink(x: Float[Tensor, "n 1 h w"], *, threshold: float = 0.1) -> Bool[Tensor, "n h w"]:
    """The strokes of a grey image of bright ink on black paper."""
    check_images(x)
    check_number("threshold", threshold)
    return x.mean(1) > threshold


def edges(x: Float[Tensor, "n c h w"], *, share: float = 0.25) -> Bool[Tensor, "n h w"]:
    """The ``share`` of pixels where the image itself changes most: the l2 norm of its central differences."""
    check_images(x)
    check_share("share", share)
    grey = x.mean(1)
    down, right = torch.gradient(grey, dim=(1, 2))
    size = (down.square() + right.square()).flatten(1)
    count = max(1, round(share * size.shape[1]))
    found = torch.zeros_like(size, dtype=torch.bool).scatter_(1, size.topk(count, dim=1).indices, True)
    return found.view_as(grey)


# A slice of S: slope, curvature and the osculating circle (Fig. 5).


def slice_derivatives(
    model: Callable, x: Float[Tensor, "c h w"], y: int, v: Float[Tensor, "c h w"], t: Float[Tensor, "k"]
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"], Float[Tensor, "k"]]:
    """S, dS/dt and d2S/dt2 of the slice t -> S(x + t v), by automatic differentiation; the last is 0 for ReLU."""
    check_image(x, y)
    check_like("v", v, x)
    check_finite("t", t)
    labels = torch.full((len(t),), y, device=x.device)
    with evaluating(model), torch.enable_grad():
        at = t.detach().to(x).requires_grad_(True)
        values = decision(model(x + at.view(-1, 1, 1, 1) * v), labels)
        slope = _derivative(values, at)
        second = _derivative(slope, at)
    return values.detach(), slope.detach(), second.detach()


def _derivative(values: Tensor, at: Tensor) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(at)
    (gradient,) = torch.autograd.grad(values.sum(), at, create_graph=True, allow_unused=True, materialize_grads=True)
    return gradient


def free_of_kinks(t: Float[Tensor, "k"], slope: Float[Tensor, "k"], second: Float[Tensor, "k"]) -> Bool[Tensor, "k"]:
    """Where a slice has no kink within ``WINDOW`` points: its slope changes there by what its second derivative says, up
    to 5 %. Max-pooling and the maximum in S leave kinks on a softplus network too; curvature means nothing across them.
    """
    step = t[1:] - t[:-1]
    grown = torch.cat([slope.new_zeros(1), ((second[1:] + second[:-1]) / 2 * step).cumsum(0)])
    rest, change = (part[2 * WINDOW :] - part[: -2 * WINDOW] for part in (slope - grown, slope))
    free = torch.zeros_like(slope, dtype=torch.bool)
    free[WINDOW:-WINDOW] = rest.abs() <= 0.05 * change.abs()
    return free


def osculating_circle(t: float, value: float, slope: float, second: float) -> tuple[float, float, float]:
    """Centre (t, value) and radius of the circle that touches a graph to second order.

    Raises ValueError where the graph is straight (``second`` is 0): it has no such circle.
    """
    for name, number in (("t", t), ("value", value), ("slope", slope), ("second", second)):
        check_number(name, number)
    reject(second == 0, "second is 0; allowed is a graph that bends, such as a slice of a softplus network")
    stretch = 1 + slope**2
    return t - slope * stretch / second, value + stretch / second, stretch**1.5 / abs(second)


def three_point_curvature(points: Float[Tensor, "3 2"]) -> float:
    """Reciprocal radius of the circle through three points of a drawn curve (Menger), 0 if they lie on a line."""
    a, b, c = points.double()
    u, v = b - a, c - a
    area = float((u[0] * v[1] - u[1] * v[0]).abs()) / 2
    return 4 * area / float((b - a).norm() * (c - b).norm() * (c - a).norm())
