"""Layers whose double backpropagation (Drucker and Le Cun 1991) is fast, for training with a penalised Jacobian.

The gradient of a convolution in its input is linear in the weights, and torch differentiates it by them with a convolution
that has the batch as its channels. The same number is the weight gradient of the convolution itself, with the incoming
cotangent as the image, for which every backend has a kernel: a training step of Ours takes a third less. ReLU and
max-pooling are here because torch carries zeros through the one, and changes the layout in memory in the other.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

# a number a side, or one for both
Pair = tuple[int, ...]


__all__ = ["FastDoubleBackward", "conv2d", "max_pool2d", "relu"]


class FastDoubleBackward(TorchFunctionMode):
    """Within it every ``conv2d`` is computed by ``Convolution``, every ReLU by ``Rectifier`` and every max-pooling by
    ``Pooled``; gradients can be taken twice, and not a third time."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return FASTER.get(func, func)(*args, **(kwargs or {}))


def conv2d(
    input: Float[Tensor, "*n c h w"],
    weight: Float[Tensor, "d e k l"],
    bias: Float[Tensor, "d"] | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Float[Tensor, "*n d p q"]:
    """``torch.conv2d``, its arguments, results, errors and autocast; only the second derivative is computed another way.

    Padding given by name, and an image without a batch, are left to torch.
    """
    if isinstance(padding, str) or input.ndim != 4:
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


class Rectifier(torch.autograd.Function):
    """ReLU; differentiable twice. Torch's own adds a second derivative that is zero everywhere."""

    @staticmethod
    def forward(ctx, x, inplace):
        out = x.clamp_min_(0) if inplace else x.clamp_min(0)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        return Passed.apply(grad, ctx.saved_tensors[0].detach()), None


class Passed(torch.autograd.Function):
    """A gradient where the output ``out`` of a ReLU is positive; RuntimeError when it is differentiated twice."""

    @staticmethod
    def forward(ctx, grad, out):
        ctx.save_for_backward(out)
        return torch.ops.aten.threshold_backward(grad, out, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        return torch.ops.aten.threshold_backward(cotangent, ctx.saved_tensors[0], 0), None


def relu(input: Float[Tensor, "..."], inplace: bool = False) -> Float[Tensor, "..."]:
    """``torch.relu``; in place where that is asked for, since what else reads the input then reads the output."""
    return Rectifier.apply(input, inplace)


def max_pool2d(input: Float[Tensor, "*n c h w"], kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
               return_indices=False):  # fmt: skip
    """``torch.max_pool2d``; with indices it is left to torch."""
    if return_indices or input.ndim != 4:
        return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    kernel = _pair(kernel_size)
    return Pooled.apply(input, kernel, _pair(stride) if stride else kernel, _pair(padding), _pair(dilation), ceil_mode)


class Pooled(torch.autograd.Function):
    """Max-pooling; differentiable twice, and none of its derivatives changes the layout in memory."""

    @staticmethod
    def forward(ctx, x, *geometry):
        out, index = torch.ops.aten.max_pool2d_with_indices(x, *geometry)
        ctx.save_for_backward(x, index)
        ctx.geometry = geometry
        return out

    @staticmethod
    def backward(ctx, grad):
        x, index = ctx.saved_tensors
        return Spread.apply(grad, x.detach(), index, *ctx.geometry), *[None] * len(ctx.geometry)


class Spread(torch.autograd.Function):
    """The gradient ``(n, c, h, w)`` of max-pooling in its input ``x`` from that in its output ``(n, c, p, q)``, which goes
    to each window's largest; RuntimeError when it is differentiated twice."""

    @staticmethod
    def forward(ctx, grad, x, index, *geometry):
        ctx.save_for_backward(index)
        return torch.ops.aten.max_pool2d_with_indices_backward(_laid_out_like(grad, x), x, *geometry, index)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        (index,) = ctx.saved_tensors
        # as channels_last has them: all channels of a pixel side by side
        pixels, where = (part.permute(0, 2, 3, 1).flatten(1, 2) for part in (_laid_out_like(cotangent, index), index))
        picked = pixels.gather(1, where).view(index.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        return picked, *[None] * 7


def _laid_out_like(grad: Tensor, x: Tensor) -> Tensor:
    """``grad`` in the memory layout of ``x``: where two layouts meet, torch is several times slower."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return grad.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


FASTER = {
    torch.conv2d: conv2d, torch.relu: relu, F.relu: relu, torch.max_pool2d: max_pool2d, F.max_pool2d: max_pool2d,
}  # fmt: skip


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
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
