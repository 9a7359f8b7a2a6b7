"""What an attack does on its way, seen from outside the loop: steps to success, the path, the climbed value."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Tracker(Protocol):
    """Sees every iterate that an attack evaluates; ``step`` is 0 at each start."""

    def see(
        self, step: int, index: Int[Tensor, "m"], x: Float[Tensor, "m c h w"], value: Float[Tensor, "m"],
        wrong: Bool[Tensor, "m"],
    ) -> None:  # fmt: skip
        """``index`` says which examples of the attacked batch these are, ``wrong`` whether they are misclassified."""


class Success:
    """``first`` (n,): the first step at which each example was misclassified, over all starts; inf for never."""

    def __init__(self, n: int):
        self.first = torch.full((n,), torch.inf)

    def see(self, step, index, x, value, wrong) -> None:
        """Note the step of those misclassified."""
        index, wrong = index.cpu(), wrong.cpu()
        self.first[index[wrong]] = self.first[index[wrong]].clamp(max=step)


class Path:
    """``points`` (steps + 1, n, c, h, w): every iterate of the first start; one that stopped stays where it is."""

    def __init__(self, x: Float[Tensor, "n c h w"], steps: int):
        self.points = x.detach().cpu()[None].repeat(steps + 1, *[1] * x.ndim)
        self._next = torch.zeros(len(x), dtype=torch.long)

    def see(self, step, index, x, value, wrong) -> None:
        """Keep the iterate, unless a former start has been here."""
        fresh = self._next[index.cpu()] == step
        index = index.cpu()[fresh]
        self.points[step:, index] = x.detach().cpu()[fresh]
        self._next[index] = step + 1


class Rise:
    """``values`` (steps + 1, n): the climbed value at every step of the last start, NaN behind an early stop."""

    def __init__(self, n: int, steps: int):
        self.values = torch.full((steps + 1, n), torch.nan)

    def see(self, step, index, x, value, wrong) -> None:
        """Keep the value."""
        self.values[step:, index.cpu()] = torch.nan
        self.values[step, index.cpu()] = value.detach().float().cpu()

    def still_rising(self) -> Float[Tensor, "n"]:
        """How much of its whole rise (0 to 1) the best value so far made in the last tenth of the steps; NaN for
        examples that stopped early, or never rose."""
        reached = self.values.nan_to_num(-torch.inf).cummax(0).values
        late = reached[-1] - reached[int(0.9 * (len(reached) - 1))]
        whole = reached[-1] - reached[0]
        return torch.where(self.values[-1].isnan() | (whole <= 0), torch.nan, late / whole)
