"""Half precision and a memory layout where a processor is good at them, found out by a short measurement.

The library's results are those of single precision unless ``precision`` is said to be ``half``.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from paperlib.state import evaluating, input_gradient

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
    if not isinstance(network, nn.Module):
        return network
    try:
        copied = copy.deepcopy(network)
    except RuntimeError:  # it holds tensors that are part of a graph
        return network
    for module in [each for each in copied.modules() if type(each) is nn.Sequential]:
        _pool_first(module)
    return copied.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _pool_first(layers: nn.Sequential) -> None:
    """A ReLU behind the max-pooling that follows it, where it has a quarter of the work: the same function, bit by bit."""
    for k, (first, second) in enumerate(zip(list(layers), list(layers)[1:], strict=False)):
        if type(first) is nn.ReLU and type(second) is nn.MaxPool2d and not second.return_indices:
            layers[k], layers[k + 1] = second, first


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
    networks = {"contiguous": network}
    if isinstance(network, nn.Module):
        plain = copy.deepcopy(network).eval()
        networks = {"contiguous": plain, "channels_last": copy.deepcopy(plain).to(memory_format=torch.channels_last)}
    some = x[:IMAGES].detach()
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
