"""The Square attack (Andriushchenko et al. 2020, l-infinity): random search, no gradient, so that nothing can mask one."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.attack import Adversarial
from paperlib.objective import cw, right
from paperlib.refusal import check_count, check_size
from paperlib.state import check_batch, evaluating

# the squares' share of the area at first, and its halvings, at these queries of 10,000 (their Sec. 5)
SHARE = 0.8
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, queries: int = 1000,
    batch: int = 500, generator: torch.Generator | None = None,
) -> Adversarial:  # fmt: skip
    """Climb -S by changing one square of ``eps``-sized pixels a query, kept where it climbs; examples leave when wrong.

    The first squares cover ``SHARE`` of the image's area, halved along the way. Sizes are on the [0, 1] scale.
    ``batch`` bounds the memory and changes no result. Raises ValueError with one sentence for a wrong argument.
    """
    check_batch(x, y)
    check_size("eps", eps)
    check_count("queries", queries)
    check_count("batch", batch)
    x = x.detach()
    if len(x) == 0:
        return Adversarial(x.clone(), torch.zeros_like(y, dtype=torch.bool))
    found, value = x.clone(), torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    active = torch.arange(len(x), device=x.device)
    with torch.no_grad(), evaluating(model):
        for query in range(queries):
            if len(active) == 0:
                break
            # drawn for all examples, so that neither batches nor early leavers change another's luck
            places = torch.rand(len(x), 2, generator=generator)
            columns = x.shape[3] if query == 0 else 1
            signs = torch.randint(0, 2, (len(x), x.shape[1], 1, columns), generator=generator) * 2 - 1
            for index in active.split(batch):
                tried = _tried(x[index], found[index], places[index.cpu()], signs[index.cpu()].to(x), eps,
                               side(query, queries, x.shape[2:]), first=query == 0)  # fmt: skip
                new = cw(model(tried), y[index]).to(x.dtype)
                better = new > value[index]
                found[index[better]], value[index[better]] = tried[better], new[better]
            active = (value <= 0).nonzero()[:, 0]
        success = torch.cat([~right(model(a), b) for a, b in zip(found.split(batch), y.split(batch), strict=True)])
    return Adversarial(found, success)


def _tried(x, current, places, signs, eps: float, edge: int, *, first: bool):
    """Vertical stripes of +-eps at the first query, then a square of one sign a channel at a random place."""
    if first:
        return (x + eps * signs).clamp(0, 1)
    height, width = x.shape[2:]
    corner = (places * torch.tensor([height - edge + 1, width - edge + 1])).long().to(x.device)
    rows = torch.arange(height, device=x.device) - corner[:, :1]
    columns = torch.arange(width, device=x.device) - corner[:, 1:]
    inside = ((rows >= 0) & (rows < edge))[:, None, :, None] & ((columns >= 0) & (columns < edge))[:, None, None, :]
    return torch.where(inside, (x + eps * signs).clamp(0, 1), current)


def side(query: int, queries: int, shape: tuple[int, int]) -> int:
    """The squares' side in pixels at a query: of ``SHARE`` of the area at first, half of that at each of ``HALVINGS``.

    >>> [side(query, 10_000, (28, 28)) for query in (1, 100, 9000)]
    [25, 13, 1]
    """
    halved = sum(query * 10_000 / queries > place for place in HALVINGS)
    height, width = shape
    return min(max(1, round(math.sqrt(SHARE / 2**halved * height * width))), height, width)
