"""The published networks as numbers that travel with the package: what a network of the reader's is set beside.

``published.json`` lies beside this module and is written by one command, ``python -m press references``, from the
published edition's records (clean accuracy and worst case with intervals), cards and weights (hashes, parts of the
indicator).
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import indicator, sealed
from paperlib.reporting.parts import PARTS as PARTS

FILE = Path(__file__).with_name("published.json")
TABLES = {"mnist": "table1", "cifar10": "table2"}
BATCH = 100  # images at a time
IMAGES = 1000  # test images for the parts of the indicator, the classes in turn


@lru_cache(maxsize=1)
def everything() -> dict:
    """All of ``published.json``: data set -> its facts and networks. Raises DamagedError where it is damaged."""
    return sealed.read_json(FILE, *TABLES)


def of(data: str, sha256: str = "") -> dict:
    """The published networks of a data set, by its name or the hash of its pixels; empty if there are none."""
    for name, entry in everything().items():
        if name == data or (sha256 and sha256 == entry["sha256"]):
            return entry | {"name": name}
    return {}


def weights_hash(model: Callable) -> str | None:
    """sha256 of a network's state: types, shapes and values in the order of their names; None for a callable without one.

    The names themselves are left out, so that a network inside another module has its own hash.
    """
    if not isinstance(model, nn.Module):
        return None
    digest = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def parts(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The indicator of every image; which are rightly classified; and for which J says something: finite and not all 0.

    Images without one are left out of any statistics, and counted by the caller.
    """
    rows = [indicator.report(model, a, b, eps=eps) for a, b in zip(x.split(BATCH), y.split(BATCH), strict=True)]
    found = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    finite = torch.stack([column.isfinite() for column in found.values()]).all(0)
    return found, found["S"] > 0, finite & (found["l1_J"] > 0)


def quantiles(values: Float[Tensor, "n"]) -> dict[str, float]:
    """The 5, 25, 50, 75 and 95 % quantiles."""
    levels = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    return {name: float(values.double().quantile(q)) for name, q in levels.items()}
