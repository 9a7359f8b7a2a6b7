"""What the tables of accuracy under attack have in common: their images, networks and flags."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from paperlib import fingerprint
from paperlib.cascade import LEVELS
from paperlib.data import Dataset
from paperlib.evaluation import Evaluation, evaluation
from paperlib.train import Trained

# (attack, eps) -> whether each image is still classified rightly
Flags = dict[tuple[str, float], Bool[Tensor, "n"]]


def inputs(data: Dataset, n: int, device: str) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, "n"]]:
    """The first ``n`` test images and their labels."""
    test = data.test.first(n)
    return test.x.to(device), test.y.to(device)


def ready(networks: dict[str, Trained]) -> dict[str, nn.Module]:
    """The networks in the memory layout that a processor likes; no result depends on it."""
    return {role: each.model.to(memory_format=torch.channels_last) for role, each in networks.items()}


def batch(device: str) -> int:
    """How many images are attacked at once: few on a processor; no result depends on it."""
    return 100 if device == "cpu" else 2000


def judged(
    networks: dict[str, Trained], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float], step_size: float,
    strong: int, level: str, steps: int, pgd_steps: int, restarts: int, seed: int, device: str, store: Path,
) -> dict[str, Evaluation]:  # fmt: skip
    """Every network under the paper's attacks and in its worst case, on the same images; sizes in the data's own unit. What
    is done is kept in ``store``, and other pages take it from there."""
    return {
        role: evaluation(
            model, x, y, eps=eps, step_size=step_size, strong=strong, pixel_scale=networks[role].dataset.pixel_scale,
            steps=steps, pgd_steps=pgd_steps, pgd_restarts=restarts, cascade=LEVELS[level], seed=seed, batch=batch(device),
            store=store / "parts", of=made_of(networks[role]),
        )
        for role, model in ready(networks).items()
    }  # fmt: skip


def made_of(trained: Trained) -> tuple[str, str]:
    """What the flags of the paper's attacks and those of the worst case are of: weights and code."""
    return tuple(f"{trained.sha256} {fingerprint.code_of(f'paperlib.{module}')}" for module in ("evaluate", "cascade"))


def arrays(flags: dict[str, Flags]) -> dict[str, np.ndarray]:
    """All flags by ``network/attack/eps``."""
    return {
        f"{role}/{attack}/{size:g}": flag.cpu().numpy() for role, of in flags.items() for (attack, size), flag in of.items()
    }


def by_eps(leaves: dict[tuple[str, float], object]) -> dict:
    """(attack, eps) -> leaf as attack -> eps -> leaf, and ``clean`` -> leaf."""
    found: dict = {}
    for (attack, eps), leaf in leaves.items():
        if attack == "clean":
            found[attack] = leaf
        else:
            found.setdefault(attack, {})[f"{eps:g}"] = leaf
    return found
