"""The one place that asks for what other modules of this library bring: the cascade, the checks of a network, the reader of
sizes. What is there is used as it is; what is not yet there has a thin stand-in of the same signature.
"""

from dataclasses import dataclass, field

import torch

from paperlib.cascade import LEVELS, WorstCase, worst_case
from paperlib.state import evaluating, reject

try:
    from paperlib.checks import FIRST, examine
except ImportError:
    FIRST = ("headless", "chance", "scale", "range")

    @dataclass(frozen=True)
    class _Note:
        kind: str
        sentence: str
        images: list = field(default_factory=list)

    @dataclass(frozen=True)
    class _Findings:
        model: object
        notes: list

    def examine(model, x, y, *, classes, index=None):
        """The fit of the network's output to images and labels; nothing else yet."""
        from paperlib.own import NetworkError

        with torch.no_grad(), evaluating(model):
            Z = model(x[:8].clone())
        if not isinstance(Z, torch.Tensor) or Z.ndim != 2 or Z.shape[1] < classes:
            found = tuple(Z.shape) if isinstance(Z, torch.Tensor) else type(Z).__name__
            raise NetworkError(
                f"the network returns {found} for {len(x[:8])} images; allowed are logits (n, K), K >= {classes}"
            )
        return _Findings(model, [])


try:
    from paperlib.own import size
except ImportError:

    def size(text: str, pixel_scale: int) -> float:
        """A perturbation's size on the [0, 1] scale: a fraction such as 8/255 as it stands, a number in the data's unit."""
        whole, _, under = str(text).partition("/")
        try:
            value = float(whole) / (float(under) if under else pixel_scale)
        except (ValueError, ZeroDivisionError):
            value = 0.0
        reject(not value > 0, f"size is {text!r}; allowed is a number such as 0.1 or a fraction such as 8/255")
        return value


def kind(model) -> str:
    """The name of a network's class, whatever it was wrapped in to be measured."""
    try:
        from paperlib.wrap import Wrapped
    except ImportError:
        return type(model).__name__
    return type(model.network if isinstance(model, Wrapped) else model).__name__


__all__ = ["FIRST", "LEVELS", "WorstCase", "examine", "kind", "size", "worst_case"]
