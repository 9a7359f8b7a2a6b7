"""The one place that asks for what other modules of this library bring: the cascade of attacks, the checks of a network
and the reader of sizes. What is there is used as it is; what is not yet there has a thin stand-in of the same signature.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from paperlib.attack import attack
from paperlib.evaluate import correct, pgd_step
from paperlib.state import evaluating, reject

try:
    from paperlib.cascade import LEVELS, WorstCase, worst_case
except ImportError:

    @dataclass(frozen=True)
    class WorstCase:
        """Which images each size of the perturbation leaves unbroken, and which stage broke the others."""

        eps: list
        unbroken: torch.Tensor
        broken_by: torch.Tensor
        names: tuple
        rounds: list
        last: list

    # steps of the two attacks that stand in for the cascade
    LEVELS = {"quick": (20,), "standard": (40,), "strong": (100,)}

    def worst_case(model, x, y, *, eps, norm="linf", cascade=LEVELS["strong"], tolerance=0.2, seed=0, batch=500, store=None,
                   of="", progress=False):  # fmt: skip
        """PGD on the cross-entropy, then on the margin, at rising sizes."""
        names = ("clean", "pgd", "margin")
        part = _part(store, json.dumps([list(eps), norm, list(cascade), seed, of]), x, y)
        if part is not None and part.exists():
            with np.load(part) as held:
                return WorstCase(list(eps), *map(torch.from_numpy, (held["unbroken"], held["broken_by"])), names, [], [])
        right = correct(model, x, y, batch=batch)
        by = torch.where(right, -1, 0)
        unbroken, broken_by = [], []
        generator = torch.Generator().manual_seed(seed)
        for size in eps:
            for stage, objective in enumerate(("cross_entropy", "cw"), start=1):
                index = (by == -1).nonzero()[:, 0]
                if len(index):
                    found = attack(model, x[index], y[index], eps=size, steps=cascade[0], random_start=True,
                                   step_size=pgd_step(size, cascade[0]), objective=objective, norm=norm,
                                   stop_at_success=True, generator=generator, batch=batch)  # fmt: skip
                    by[index[found.success]] = stage
            unbroken.append(by == -1)
            broken_by.append(by.clone())
        whole = WorstCase(list(eps), torch.stack(unbroken), torch.stack(broken_by), names, [], [])
        if part is not None:
            part.parent.mkdir(parents=True, exist_ok=True)
            partial = part.with_name(f".{part.name}.{os.getpid()}.partial.npz")
            np.savez(partial, unbroken=whole.unbroken.numpy(), broken_by=whole.broken_by.numpy())
            partial.replace(part)
        return whole

    def _part(store, settings, x, y):
        if store is None:
            return None
        digest = hashlib.sha256(settings.encode())
        for tensor in (x, y):
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return Path(store) / f"worst-{digest.hexdigest()[:16]}.npz"


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
