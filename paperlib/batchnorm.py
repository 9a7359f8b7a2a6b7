"""BatchNorm in train mode (Ioffe and Szegedy 2015) as a penalty of input gradients wants it: one pass for all derivatives.

The batch's statistics are functions of the weights, but to an image's own gradient they are constants: no image's gradient
sees its neighbours. So the first of two backward passes, the one by the images, goes past them, and the second, by the
weights, goes through them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from paperlib.refusal import InputError

__all__ = ["ConstantStatistics"]


class ConstantStatistics(TorchFunctionMode):
    """Within it every ``batch_norm`` of torch in train mode can be differentiated twice. Inside ``by_images`` its
    statistics are constants to a backward pass, elsewhere they are functions of what they were taken of."""

    def __init__(self):
        super().__init__()
        self.constant = False

    @contextmanager
    def by_images(self) -> Iterator[None]:
        """Backward passes in the block are by the images."""
        self.constant = True
        try:
            yield
        finally:
            self.constant = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        own = {F.batch_norm: self._batch_norm, torch.batch_norm: self._of_torch}
        return own.get(func, func)(*args, **(kwargs or {}))

    def _batch_norm(self, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        if input.numel() == input.shape[1]:
            raise InputError(
                f"BatchNorm met a batch of shape {tuple(input.shape)}; allowed is more than one value a channel"
            )
        # torch knows no gradient of one without the other
        scale = torch.ones_like(bias) if weight is None and bias is not None else weight
        shift = torch.zeros_like(weight) if bias is None and weight is not None else bias
        return Normalised.apply(input, scale, shift, running_mean, running_var, momentum, eps, self)[0]

    def _of_torch(self, input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
        """``torch.batch_norm``, which has its arguments in another order."""
        return self._batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


class Normalised(torch.autograd.Function):
    """BatchNorm of ``h`` (n, c, ...) by its batch's statistics, which the running ones follow, and the reciprocal standard
    deviation (c,) of every channel; differentiable twice in the way of ``ConstantStatistics``."""

    @staticmethod
    def forward(ctx, h, weight, bias, running_mean, running_var, momentum, eps, way):
        out, mean, reciprocal = torch.native_batch_norm(h, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(h, weight, mean, reciprocal)
        ctx.eps, ctx.way = eps, way
        return out, reciprocal

    @staticmethod
    def backward(ctx, grad, of_reciprocal):
        h, weight, mean, reciprocal = ctx.saved_tensors
        if ctx.way.constant:
            return Scaled.apply(grad, weight, reciprocal), *[None] * 7
        wanted = [True, weight is not None, weight is not None]
        by_h, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            grad, h, weight, None, None, mean, reciprocal, True, ctx.eps, wanted
        )
        # the reciprocal of a standard deviation has the derivative -reciprocal^3 (h - mean) / n
        slope = -of_reciprocal * reciprocal**3 * (len(mean) / h.numel())
        by_h = by_h.addcmul_(h, _channels(slope, h)).sub_(_channels(slope * mean, h))
        return by_h, by_weight, by_bias, *[None] * 5


class Scaled(torch.autograd.Function):
    """``grad`` times weight over standard deviation, channel by channel: the gradient past constant statistics."""

    @staticmethod
    def forward(ctx, grad, weight, reciprocal):
        ctx.save_for_backward(grad, weight, reciprocal)
        return grad * _channels(reciprocal if weight is None else reciprocal * weight, grad)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        grad, weight, reciprocal = ctx.saved_tensors
        scale = reciprocal if weight is None else reciprocal * weight
        sides = [side for side in range(grad.ndim) if side != 1]
        along = (cotangent * grad).sum(sides).to(reciprocal.dtype)
        by_weight = None if weight is None else along * reciprocal
        return cotangent * _channels(scale, cotangent), by_weight, along if weight is None else along * weight


def _channels(part: Float[Tensor, "c"], like: Float[Tensor, "n c ..."]) -> Float[Tensor, "1 c ..."]:
    return part.view(1, -1, *[1] * (like.ndim - 2)).to(like.dtype)
