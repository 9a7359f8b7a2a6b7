"""Borrowing a network without leaving a trace: modes, gradients and statistics stay as the caller had them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn


@contextmanager
def evaluating(model: Callable) -> Iterator[None]:
    """Every submodule in eval mode inside the block, each in its own former mode after it.

    In eval mode BatchNorm uses frozen statistics, so that one image's gradient cannot depend on its neighbours.
    Any callable that is no ``nn.Module`` passes through untouched.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def input_gradient(
    f: Callable[[Tensor], Float[Tensor, "n"]], x: Float[Tensor, "n ..."], *, create_graph: bool = False
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n ..."]]:
    """Values ``f(x)`` and their gradient with respect to each example, touching no parameter's ``.grad``.

    ``f`` must treat the examples of a batch independently. Where ``f`` does not depend on ``x`` the gradient is zero.
    With ``create_graph`` both results can be differentiated again with respect to the weights (double backpropagation).
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        values = f(x)
        if not values.requires_grad:
            return values, torch.zeros_like(x)
        (gradient,) = torch.autograd.grad(
            values.sum(), x, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )
    return (values if create_graph else values.detach()), gradient


class InputError(ValueError):
    """An argument that does not fit; one sentence that names it, its value and what is allowed."""


def reject(condition: bool, sentence: str) -> None:
    """Raise InputError with one sentence when ``condition`` holds."""
    if condition:
        raise InputError(sentence)


def check_batch(x: Tensor, y: Tensor) -> None:
    """Images ``(n, c, h, w)`` in [0, 1] and as many integer labels, or ValueError with one sentence."""
    reject(not x.is_floating_point(), f"x has dtype {x.dtype}; allowed are floating-point images in [0, 1]")
    reject(x.ndim != 4, f"x has shape {tuple(x.shape)}; allowed is (n, c, h, w)")
    reject(y.ndim != 1 or len(x) != len(y), f"y has shape {tuple(y.shape)} for {len(x)} images; allowed is ({len(x)},)")
    reject(y.dtype != torch.int64, f"y has dtype {y.dtype}; allowed is torch.int64")
    lowest = int(y.min()) if len(y) else 0
    reject(lowest < 0, f"y holds {lowest}; allowed are labels 0..K-1")
    reject(len(x) > 0 and not bool(torch.isfinite(x).all()), "x holds NaN or infinity; allowed are values in [0, 1]")
    low, high = (float(end) for end in x.detach().aminmax()) if x.numel() else (0.0, 0.0)
    reject(low < 0 or high > 1, f"x spans [{low:.8g}, {high:.8g}]; allowed is [0, 1] (divide 8-bit images by 255)")
