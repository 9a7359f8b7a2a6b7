"""Convolutions whose double backpropagation (Drucker and Le Cun 1991) is fast, for training with a penalised Jacobian.

The gradient of a convolution in its input is linear in the weights, and torch differentiates it by them with a convolution
that has the batch as its channels. The same number is the weight gradient of the convolution itself, with the incoming
cotangent as the image, for which every backend has a kernel: a training step of Ours takes a third less.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


__all__ = ["FastDoubleBackward", "conv2d"]


class FastDoubleBackward(TorchFunctionMode):
    """Within it every ``conv2d`` is computed by ``Convolution``; gradients can be taken twice, and not a third time."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (conv2d if func is torch.conv2d else func)(*args, **(kwargs or {}))


def conv2d(
    input: Float[Tensor, "n c h w"],
    weight: Float[Tensor, "d e k l"],
    bias: Float[Tensor, "d"] | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Float[Tensor, "n d p q"]:
    """``torch.conv2d``, its arguments, results, errors and autocast; only the second derivative is computed another way.

    Padding given by name is left to torch.
    """
    if isinstance(padding, str):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    if torch.is_autocast_enabled(input.device.type):
        dtype = torch.get_autocast_dtype(input.device.type)
        input, weight, bias = (None if part is None else part.to(dtype) for part in (input, weight, bias))
    return Convolution.apply(input, weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups)


class Convolution(torch.autograd.Function):
    """``torch.conv2d`` with ``geometry`` stride, padding, dilation and groups; differentiable twice."""

    @staticmethod
    def forward(ctx, x, weight, bias, *geometry):
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return torch.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        by_x = InputGradient.apply(grad, weight, x.detach(), *ctx.geometry) if ctx.needs_input_grad[0] else None
        by_weight = _backward(grad, x, weight, ctx.geometry, 1) if _asked_for(ctx, 1) else None
        by_bias = grad.sum((0, 2, 3)) if _asked_for(ctx, 2) else None
        return by_x, by_weight, by_bias, *[None] * len(ctx.geometry)


class InputGradient(torch.autograd.Function):
    """The gradient ``(n, c, h, w)`` of a convolution in its input, of which ``x`` gives the shape, from that in its output
    ``(n, d, p, q)``; RuntimeError when it is differentiated twice."""

    @staticmethod
    def forward(ctx, grad, weight, x, *geometry):
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return _backward(grad, x, weight, geometry, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        grad, weight = ctx.saved_tensors
        of_grad, of_weight = ctx.needs_input_grad[:2]
        by_grad = torch.conv2d(cotangent, weight, None, *ctx.geometry) if of_grad else None
        by_weight = _backward(grad, cotangent, weight, ctx.geometry, 1) if of_weight else None
        return by_grad, by_weight, None, *[None] * len(ctx.geometry)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, geometry: tuple, which: int) -> Tensor:
    """torch's gradient of a convolution in its input (0) or its weights (1)."""
    *shape, groups = geometry
    wanted = [which == k for k in range(3)]
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *shape, False, (0, 0), groups, wanted)[which]


def _asked_for(ctx, which: int) -> bool:
    """Whether the running backward pass wants this argument's gradient; the first of two asks for the images' alone."""
    if not ctx.needs_input_grad[which]:
        return False
    try:
        return torch._C._will_engine_execute_node(ctx.next_functions[which][0])
    except (AttributeError, RuntimeError):  # unknown to this version of torch, or not said of a leaf
        return True


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)
