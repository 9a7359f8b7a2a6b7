"""The paper's networks (A.3): images in [0, 1] go in, logits come out; normalisation is the first layer."""

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from paperlib.refusal import InputError, check_choice, check_count, check_positive

Shape = tuple[int, int, int]


class Normalize(nn.Module):
    """(x - mean) / std per channel, with constants that travel with the weights.

    Raises ValueError for images with another number of channels.
    """

    def __init__(self, mean: Float[Tensor, "c"], std: Float[Tensor, "c"]):
        super().__init__()
        self.register_buffer("mean", mean.view(-1, 1, 1))
        self.register_buffer("std", std.view(-1, 1, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        if x.ndim != 4 or x.shape[1] != len(self.mean):
            raise InputError(f"x has shape {tuple(x.shape)}; allowed is (n, {len(self.mean)}, h, w), as in training")
        return (x - self.mean) / self.std


def activation_layer(activation: str, beta: float) -> nn.Module:
    """ReLU, a smooth function in its place (SiLU, GELU), or softplus(beta), which tends to ReLU as beta grows.

    Raises ValueError for another name, or for a beta of softplus that is not positive.
    """
    check_choice("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation](beta)


def _softplus(beta: float) -> nn.Module:
    check_positive("beta", beta)
    return nn.Softplus(beta=beta, threshold=50)


# each from beta
ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda beta: nn.ReLU(),
    "softplus": _softplus,
    "silu": lambda beta: nn.SiLU(),
    "gelu": lambda beta: nn.GELU(),
}


def build(
    network: str,
    *,
    width: int,
    fc: int = 256,
    activation: str = "relu",
    beta: float = 10.0,
    shape: Shape = (1, 28, 28),
    classes: int = 10,
    mean: Float[Tensor, "c"] | None = None,
    std: Float[Tensor, "c"] | None = None,
) -> nn.Sequential:
    """An untrained network for images of ``shape`` (channels, height, width), its weights drawn from torch's global
    generator.

    ``network`` is one of ``NETWORKS``. Raises ValueError for another, a width below 1, or images too small to be pooled.
    """
    channels, height, image_width = shape
    check_choice("network", network, NETWORKS)
    for name, count, least in (("width", width, 1), ("fc", fc, 1), ("classes", classes, 2)):
        check_count(name, count, least)
    if min(height, image_width) < 4:
        raise InputError(f"images are {height} x {image_width} pixels; allowed are at least 4 x 4")

    def act() -> nn.Module:
        return activation_layer(activation, beta)

    mean = torch.zeros(channels) if mean is None else mean
    std = torch.ones(channels) if std is None else std
    layers = NETWORKS[network](shape, classes, width=width, fc=fc, act=act)
    return nn.Sequential(Normalize(mean, std), *layers)


# The layers of each network: ``width`` counts channels, ``fc`` the units of a hidden layer, ``act()`` makes an activation.


def two_convolutions(
    shape: Shape, classes: int, *, width: int, fc: int, act: Callable,
    kernel: int = 5, stride: int = 1, padding: int = 2, pool: Callable = nn.MaxPool2d,
) -> list[nn.Module]:  # fmt: skip
    """Two convolutions of ``width`` and twice as many channels, each pooled where it has no stride, and two fully connected
    layers: all that the paper says of its MNIST network (A.3)."""
    channels, *sides = shape

    def halved(side: int) -> int:
        side = (side + 2 * padding - kernel) // stride + 1
        return side // 2 if stride == 1 else side

    left = [halved(halved(side)) for side in sides]
    if min(left) < 1:
        raise InputError(f"images are {sides[0]} x {sides[1]} pixels; allowed are larger ones, for two convolutions of "
                         f"{kernel} x {kernel} leave nothing of these")  # fmt: skip
    pooling = [[pool(2)] if stride == 1 else [] for _ in range(2)]
    return [
        nn.Conv2d(channels, width, kernel, stride, padding), act(), *pooling[0],
        nn.Conv2d(width, 2 * width, kernel, stride, padding), act(), *pooling[1],
        nn.Flatten(), nn.Linear(2 * width * math.prod(left), fc), act(), nn.Linear(fc, classes),
    ]  # fmt: skip


class ConvBN(nn.Module):
    """A 3x3 convolution (or ``kernel``) whose bias is BatchNorm's shift.

    With frozen statistics BatchNorm is affine, and is folded into the convolution's weights (Jacob et al. 2018, Sec. 3.2):
    the same function of images and weights, but its gradients, and theirs again, are those of one convolution.
    """

    def __init__(self, channels: int, width: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d e f"]:
        if self.training:
            return self.bn(self.conv(x))
        scale = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
        shift = self.bn.bias - self.bn.running_mean * scale
        weight = self.conv.weight * scale.view(-1, 1, 1, 1)
        return F.conv2d(x, weight, shift, stride=self.conv.stride, padding=self.conv.padding)


def cifar_layers(
    shape: Shape, classes: int, *, width: int, fc: int, act: Callable, conv: Callable = ConvBN, pool: Callable = nn.MaxPool2d
) -> list[nn.Module]:
    """Five 3x3 convolutions with BatchNorm, pooling after the second and the fourth, global average pooling (A.3)."""
    w = width
    return [
        conv(shape[0], w), act(), conv(w, 2 * w), act(), pool(2),
        conv(2 * w, 2 * w), act(), conv(2 * w, 4 * w), act(), pool(2),
        conv(4 * w, 4 * w), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, classes),
    ]  # fmt: skip


# a convolution that keeps the size of the image, without BatchNorm
PLAIN = partial(nn.Conv2d, kernel_size=3, padding=1)


class Residual(nn.Module):
    """A basic block of two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, channels: int, width: int, stride: int, act):
        super().__init__()
        self.body = nn.Sequential(ConvBN(channels, width, stride=stride), act(), ConvBN(width, width))
        same = channels == width and stride == 1
        self.shortcut = nn.Identity() if same else ConvBN(channels, width, 1, stride)
        self.act = act()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d e f"]:
        return self.act(self.body(x) + self.shortcut(x))


def resnet_layers(shape: Shape, classes: int, *, width: int, fc: int, act: Callable) -> list[nn.Module]:
    """A CIFAR ResNet-20 (He et al. 2016; width 16): a stem and three stages of three basic blocks, where each later stage
    halves the image and doubles the width."""
    widths = [width] * 3 + [2 * width] * 3 + [4 * width] * 3
    strides = [1, 1, 1, 2, 1, 1, 2, 1, 1]
    blocks = [Residual(a, b, s, act) for a, b, s in zip([width, *widths], widths, strides, strict=False)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)]
    return [ConvBN(shape[0], width), act(), *blocks, *head]


def linear_layers(shape: Shape, classes: int, *, width: int, fc: int, act: Callable) -> list[nn.Module]:
    """One affine map, the baseline of Sec. 3.2."""
    return [nn.Flatten(), nn.Linear(math.prod(shape), classes)]


NETWORKS = {
    # with width 32 and fc 1024 the MNIST challenge's (Madry et al. 2018)
    "mnist": two_convolutions,
    # what the paper's words allow as well: Wong and Kolter's (2018) is strided, LeNet-5 (LeCun et al. 1998) has no padding
    "average": partial(two_convolutions, pool=nn.AvgPool2d),
    "strided": partial(two_convolutions, kernel=4, stride=2, padding=1),
    "small": partial(two_convolutions, kernel=3, padding=1),
    "valid": partial(two_convolutions, padding=0),
    "cifar": cifar_layers,
    "cifar-average": partial(cifar_layers, pool=nn.AvgPool2d),
    "cifar-plain": partial(cifar_layers, conv=PLAIN),
    "resnet": resnet_layers,
    "linear": linear_layers,
}


def softened(model: nn.Module, beta: float) -> nn.Module:
    """A copy of ``model`` with softplus(beta) in place of every ReLU; the weights are reused, pooling is unchanged.

    Gives a ReLU network the second derivatives that it lacks (Dombrowski et al. 2019). Raises ValueError if there is
    no ReLU module to replace, or for beta <= 0.
    """
    smooth = activation_layer("softplus", beta)
    copied = copy.deepcopy(model)
    replaced = 0
    for module in copied.modules():
        # named_children() would skip a ReLU that the network uses twice
        for name, child in list(module._modules.items()):
            if isinstance(child, nn.ReLU):
                setattr(module, name, copy.deepcopy(smooth))
                replaced += 1
    if not replaced:
        raise InputError("model has no nn.ReLU module; softened() allows networks whose ReLUs are modules")
    return copied
