"""A value inside a network together with its tangents: what its maps make of both.

The maps that are known are affine in one value, a maximum, or an activation applied entry by entry.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class UnknownMapError(Exception):
    """An operation of a network of which it is not known whether it is affine, a maximum or an activation."""


class Carried(Tensor):
    """A value inside a network ``(1, ...)`` with its derivative along r directions, ``tangents`` of shape ``(r, ...)``."""

    @staticmethod
    def of(value: Float[Tensor, "1 ..."], tangents: Float[Tensor, "r ..."], layers: "Layers") -> "Carried":
        """``value`` with its ``tangents``; ``layers`` is told of every activation."""
        carried = value.as_subclass(Carried)
        carried.tangents, carried.layers = tangents, layers
        return carried

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        with torch._C.DisableTorchFunctionSubclass():
            if func in LOOKS or name == "__get__":
                seen = func(*map(_plain, args), **kwargs)
                if isinstance(seen, Tensor):
                    raise UnknownMapError("a tensor among the attributes of a value, such as its transpose")
                return seen
            if any(isinstance(part, Carried) for part in kwargs.values()):
                raise UnknownMapError(f"{name} with a value of the network by keyword")
            for maps, rule in RULES:
                if func in maps:
                    return rule(func, args, kwargs)
        raise UnknownMapError(f"{name} is not known to be affine, a maximum or an activation")


class Layers:
    """What is known of the activations of one network at one image, in their order."""

    def __init__(self):
        self.inputs, self.outputs, self.functions = [], [], []
        # of each activation: s', and where and how much it bends S
        self.slopes, self.units, self.weights = [], [], []
        # called with an activation's place and its tangents, once the weights are known
        self.see: Callable[[int, Float[Tensor, "r ..."]], None] | None = None
        self.place = 0

    def activation(self, function: Callable, z: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """The activation's output and its tangents."""
        out, place = function(z), self.place
        self.place += 1
        if self.see is None:
            self.inputs.append(z)
            self.outputs.append(out)
            self.functions.append(function)
            return out, tangents
        self.see(place, tangents)
        return out, tangents * self.slopes[place]

    def settle(self, S: Float[Tensor, "1"]) -> None:
        """The slopes and weights of all activations, from S of the recorded pass."""
        if not self.outputs:
            return
        gradients = torch.autograd.grad(S.sum(), self.outputs, allow_unused=True, materialize_grads=True)
        for function, z, g in zip(self.functions, self.inputs, gradients, strict=True):
            at = z.detach().requires_grad_(True)
            (first,) = torch.autograd.grad(function(at).sum(), at, create_graph=True)
            second = torch.zeros_like(at)
            if first.requires_grad:
                (second,) = torch.autograd.grad(first.sum(), at, allow_unused=True, materialize_grads=True)
            weight = (g * second).flatten()
            # units that a maximum passes by, or that lie on a straight piece, bend nothing
            unit = weight.nonzero()[:, 0]
            self.slopes.append(first.detach())
            self.units.append(unit)
            self.weights.append(weight[unit])
        self.inputs, self.outputs = [], []


# The maps of a network. Each rule takes torch's function and its arguments, and returns what the function would.


def _plain(part: object) -> object:
    return part.as_subclass(Tensor) if isinstance(part, Carried) else part


def _carried(args: tuple) -> Carried:
    """The first argument; UnknownMapError where it or another makes the map not affine in one value."""
    if not isinstance(args[0], Carried) or any(isinstance(part, Carried) for part in args[1:]):
        raise UnknownMapError("a product or a quotient of two values of the network")
    return args[0]


def _affine(func, args, kwargs):
    """A convolution or matrix product: of the tangents without the bias."""
    h, bias = _carried(args), 2
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    without = [given["weight"], None, *args[bias + 1 :]]
    rest = {name: value for name, value in kwargs.items() if name not in ("weight", "bias")}
    value = func(_plain(h), given["weight"], given.get("bias"), *args[bias + 1 :], **rest)
    return Carried.of(value, func(h.tangents, *without, **rest), h.layers)


def _linear(func, args, kwargs):
    """A map that keeps its batch and has no constant, such as a mean over pixels."""
    h = _carried(args)
    return Carried.of(func(_plain(h), *args[1:], **kwargs), func(h.tangents, *args[1:], **kwargs), h.layers)


def _reshape(func, args, kwargs):
    """The same entries in another shape, of which the first side stays that of the batch."""
    h = _carried(args)
    value = func(_plain(h), *args[1:], **kwargs)
    if value.ndim == 0 or len(value) != 1:
        raise UnknownMapError("a shape without a batch")
    return Carried.of(value, h.tangents.reshape(len(h.tangents), *value.shape[1:]), h.layers)


def _sum(func, args, kwargs):
    """A sum or difference of a value with a constant or with another value."""
    if kwargs:
        raise UnknownMapError("a weighted sum")
    value = func(*map(_plain, args))
    layers = next(part.layers for part in args if isinstance(part, Carried))
    parts = [part.tangents if isinstance(part, Carried) else None for part in args]
    if parts[1] is None:
        tangents = parts[0]
    elif func in SUBTRACTIONS:
        tangents = -parts[1] if parts[0] is None else parts[0] - parts[1]
    else:
        tangents = parts[1] if parts[0] is None else parts[0] + parts[1]
    return Carried.of(value, tangents.expand(len(tangents), *value.shape[1:]), layers)


def _scaled(func, args, kwargs):
    """A product with a constant, or a quotient by one."""
    if kwargs:
        raise UnknownMapError("a rounded quotient")
    if func in PRODUCTS and isinstance(args[1], Carried):
        args = args[::-1]
    h = _carried(args)
    return Carried.of(func(_plain(h), args[1]), func(h.tangents, args[1]), h.layers)


def _maximum(func, args, kwargs):
    """Max-pooling: the tangents of the largest."""
    h = _carried(args)
    options = dict(zip(("kernel_size", "stride", "padding", "dilation", "ceil_mode"), args[1:], strict=False)) | kwargs
    options.pop("return_indices", None)
    value, index = F.max_pool2d(_plain(h), **options, return_indices=True)
    channels = torch.arange(h.shape[1], device=index.device).view(1, -1, 1, 1) * (h.shape[2] * h.shape[3])
    picked = h.tangents.flatten(1).index_select(1, (channels + index).flatten())
    return Carried.of(value, picked.view(len(h.tangents), *value.shape[1:]), h.layers)


def _normalised(func, args, kwargs):
    """BatchNorm with frozen statistics."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if func is torch.batch_norm:
        names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    given = dict(zip(names, args, strict=False)) | kwargs
    h = _carried(args)
    if given.get("training"):
        raise UnknownMapError("BatchNorm in train mode")
    value = func(_plain(h), *args[1:], **kwargs)
    scale = (given["running_var"] + given.get("eps", 1e-5)).rsqrt()
    scale = scale if given.get("weight") is None else scale * given["weight"]
    return Carried.of(value, h.tangents * scale.view(-1, *[1] * (h.ndim - 2)), h.layers)


def _activation(func, args, kwargs):
    h = _carried(args)
    options = {name: value for name, value in kwargs.items() if name != "inplace"}
    out, tangents = h.layers.activation(lambda z: func(z, *args[1:], **options), _plain(h), h.tangents)
    return Carried.of(out, tangents, h.layers)


def _same(func, args, kwargs):
    """Nothing, as dropout does in eval mode."""
    named = [kwargs[name] for name in ("training", "train") if name in kwargs]
    # torch.nn.functional's drops unless it is told not to
    if (named or [args[2] if len(args) > 2 else True])[0]:
        raise UnknownMapError("dropout in train mode")
    return args[0]


LOOKS = {Tensor.size, Tensor.dim, Tensor.numel, Tensor.__len__, Tensor.is_floating_point, Tensor.ndimension}
SUBTRACTIONS = {torch.sub, Tensor.sub, Tensor.__sub__}
PRODUCTS = {torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__}
RULES = (
    ({torch.conv2d, F.linear}, _affine),
    ({torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape}, _reshape),
    ({torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, torch.sub, Tensor.sub, Tensor.__sub__}, _sum),
    (PRODUCTS | {torch.div, Tensor.div, Tensor.__truediv__}, _scaled),
    ({torch.max_pool2d, F.max_pool2d}, _maximum),
    ({F.avg_pool2d, F.adaptive_avg_pool2d, torch.adaptive_avg_pool1d}, _linear),
    ({F.batch_norm, torch.batch_norm}, _normalised),
    ({F.softplus, F.relu, torch.relu, Tensor.relu, torch.tanh, Tensor.tanh, torch.sigmoid, Tensor.sigmoid, F.gelu, F.silu,
      F.elu, F.celu, F.leaky_relu, F.mish}, _activation),
    ({F.dropout, torch.dropout}, _same),
)  # fmt: skip
