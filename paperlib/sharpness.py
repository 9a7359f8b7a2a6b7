"""How sharp the minimum is at which a network's weights lie: numbers in parameter space.

The rise of the loss along random filter-normalised directions (Li et al. 2017), the same of the robust loss with examples
found anew at every place (Stutz et al. 2021), and the largest eigenvalue of the loss's Hessian.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from paperlib.attack import attack
from paperlib.objective import cross_entropy
from paperlib.refusal import check_count, check_positive, check_size, reject
from paperlib.state import check_batch, evaluating, frozen_copy
from paperlib.surface import filter_normalised, parameter_function, parameters_of

# the eigenvalue is good to about so much of itself, in a space of so many vectors
TOLERANCE, VECTORS = 0.01, 12


def rise(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, radius: float, directions: int,
    generator: torch.Generator,
) -> float:  # fmt: skip
    """Mean rise of the mean cross-entropy (nats) over random directions, ``radius`` of each filter's norm away.

    Raises ValueError with one sentence for a wrong argument, and for what is no module.
    """
    check_batch(x, y)
    check_positive("radius", radius)
    check_count("directions", directions)
    loss, origin = parameter_function(model, x, y, cross_entropy), parameters_of(model)
    steps = [radius * filter_normalised(model, generator=generator) for _ in range(directions)]
    here, *there = loss(torch.stack([origin, *(origin + step for step in steps)])).tolist()
    return float(np.mean(there)) - here


def robust_rise(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, steps: int, radius: float,
    directions: int, generator: torch.Generator,
) -> float:  # fmt: skip
    """``rise`` of the robust loss, the cross-entropy of examples that PGD of ``steps`` steps finds anew at every place
    within ``eps`` (average-case flatness of Stutz et al. 2021, with filter-normalised directions)."""
    check_batch(x, y)
    check_size("eps", eps)
    check_positive("radius", radius)
    check_count("steps", steps)
    check_count("directions", directions)
    here = _robust_loss(_copied(model), x, y, eps, steps, generator)
    there = []
    for _ in range(directions):
        moved, step = _copied(model), radius * filter_normalised(model, generator=generator)
        torch.nn.utils.vector_to_parameters(parameters_of(model) + step, moved.parameters())
        there.append(_robust_loss(moved, x, y, eps, steps, generator))
    return float(np.mean(there)) - here


def _robust_loss(model, x, y, eps, steps, generator) -> float:
    size = max(2.5 * eps / steps, 1e-12)
    found = attack(model, x, y, eps=eps, steps=steps, step_size=size, random_start=True, generator=generator)
    with torch.no_grad(), evaluating(model):
        return float(cross_entropy(model(found.x), y).mean())


def top_eigenvalue(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, generator: torch.Generator
) -> float:
    """The largest eigenvalue of the Hessian of the mean cross-entropy in the weights, by Lanczos' method on products with it
    that automatic differentiation makes; good to about one percent. BatchNorm keeps its running statistics."""
    check_batch(x, y)
    copied = _copied(model).requires_grad_(True)
    weights = list(copied.parameters())
    with torch.enable_grad():
        loss = cross_entropy(copied(x), y).mean()
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
    flat = torch.cat([part.flatten() for part in gradients])
    p = len(flat)
    if not flat.requires_grad:
        return 0.0

    def product(v: np.ndarray) -> np.ndarray:
        along = torch.as_tensor(v.ravel(), dtype=flat.dtype, device=flat.device)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        parts = torch.autograd.grad(flat, weights, along, **options)
        return torch.cat([part.flatten() for part in parts]).double().cpu().numpy()

    start = torch.randn(p, generator=generator, dtype=torch.float64).numpy()
    operator = LinearOperator((p, p), matvec=product, dtype=np.float64)
    (top,) = eigsh(operator, k=1, which="LA", v0=start, tol=TOLERANCE, ncv=min(VECTORS, p), return_eigenvectors=False)
    return float(top)


def _copied(model: Callable) -> nn.Module:
    copied = frozen_copy(model)
    reject(
        copied is None,
        f"model is a {type(model).__name__} that cannot be copied; allowed is a module of weights and buffers",
    )
    return copied
