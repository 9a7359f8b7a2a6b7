"""Half precision and a memory layout where a processor is good at them, found out by a short measurement.

The library's results are those of single precision unless ``precision`` is said to be ``half``.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from paperlib.state import check_images, evaluating, frozen_copy, input_gradient

PRECISIONS = ("single", "half")
HALF = torch.bfloat16
# how long the choice may take: images of one turn, and turns that count
IMAGES, TURNS = 16, 3
# half precision must be so much faster, or it is not worth its rounding
WORTH = 1.2


@contextmanager
def half_precision(device: torch.device, half: bool) -> Iterator[Callable]:
    """Products and convolutions in bfloat16 inside the block, where ``half``; what it yields makes blocks inside it in which
    the caller's own precision holds. The weights are converted once for the whole block."""
    if not half:
        yield nullcontext
        return
    own = torch.is_autocast_enabled(device.type)
    with torch.autocast(device.type, HALF):
        yield lambda: torch.autocast(device.type, HALF, enabled=own)


def laid_out(network: Callable) -> Callable:
    """A copy of a network in eval mode, with frozen weights in the memory layout in which convolutions are fastest on a
    processor, for values without gradients; any other callable, and a network that cannot be copied, as it is."""
    copied = frozen_copy(network)
    if copied is None:
        return network
    for module in copied.modules():
        if type(module) is nn.Sequential:
            module.__class__ = PooledFirst
    return LaidOut(copied)


class LaidOut(nn.Module):
    """A network with channels last in memory, unless its own code takes for granted how a value lies there, as ``view``
    does."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.own = _channels_last(network), False
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of ``x``, of which it gets a copy that it may write into."""
        if not self.own:
            try:
                return self.network(x.clone())
            except Exception:  # torch's RuntimeError, or what a wrapper makes of it; a true fault comes again
                _in_memory(self.network, torch.contiguous_format)
                self.own = True
        return self.network(x.clone())


class PooledFirst(nn.Sequential):
    """Layers of which a ReLU comes behind the max-pooling that follows it, where it has a quarter of the work: the same
    function, bit by bit. The layers keep their places for who looks for one."""

    def forward(self, input: Tensor) -> Tensor:
        """What the layers make of ``input``."""
        layers = list(self)
        for k, (first, second) in enumerate(zip(layers[:-1], layers[1:], strict=True)):
            pooled = type(first) is nn.ReLU and type(second) is nn.MaxPool2d and not second.return_indices
            if pooled and not (_watched(first) or _watched(second)):
                layers[k], layers[k + 1] = second, first
        for layer in layers:
            input = layer(input)
        return input


def _watched(layer: nn.Module) -> bool:
    """Whether a hook of a layer sees, or changes, what goes in or comes out."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _channels_last(network: nn.Module) -> nn.Module:
    """The network with weights of four sides so in memory; torch's own ``to`` refuses a network that has some of five."""
    return _in_memory(network, torch.channels_last)


def _in_memory(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    for part in (*network.parameters(), *network.buffers()):
        if part.ndim == 4:
            part.data = part.data.to(memory_format=layout)
    return network


@dataclass(frozen=True)
class Way:
    """How the gradients of one network are fastest on this machine: ``network``, a copy with frozen weights in the memory
    layout that suits it, and the ``precision`` for its gradients."""

    network: Callable
    precision: str


def fastest(network: Callable, x: Float[Tensor, "n c h w"], *, precisions: tuple[str, ...] = PRECISIONS) -> Way:
    """The fastest ``Way`` in one of ``precisions``, found by timing a gradient of the first ``IMAGES`` images in each.

    The network is left as it was; a callable that is no module is taken as it is. Which way is found may differ between
    machines, and the last digits of a result with it: what must be repeatable names its precision.
    """
    check_images(x)
    some = x[:IMAGES].detach()
    networks = _networks(network, some)
    taken: dict[tuple[str, str], list[float]] = {}
    with evaluating(network):
        for _ in range(TURNS + 1):
            for layout, each in networks.items():
                for precision in precisions:
                    taken.setdefault((layout, precision), []).append(_seconds(each, some, precision))
    # the first turn warms up
    median = {way: statistics.median(seconds[1:]) for way, seconds in taken.items()}
    # rounding has its price
    layout, precision = min(median, key=lambda way: median[way] * (WORTH if way[1] == "half" else 1))
    return Way(networks[layout], precision)


def _networks(network: Callable, x: Float[Tensor, "n c h w"]) -> dict[str, Callable]:
    """Copies of a network by their layout in memory, those that can be made and take images."""
    plain, other = frozen_copy(network), frozen_copy(network)
    if plain is None:
        return {"contiguous": network}
    try:
        with torch.no_grad():
            _channels_last(other)(x.clone())
    except Exception:  # as in ``LaidOut``
        return {"contiguous": plain}
    return {"contiguous": plain, "channels_last": other}


def _seconds(network: Callable, x: Float[Tensor, "n c h w"], precision: str) -> float:
    """One gradient of a batch."""
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    with half_precision(x.device, precision == "half"):
        input_gradient(lambda z: network(z).float().logsumexp(1), x)
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
