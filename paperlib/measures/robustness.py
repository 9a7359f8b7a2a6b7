"""Accuracy under attack, and what foretells it (Tables 1 and 2)."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib import evaluate, indicator, intervals
from paperlib.data import Dataset
from paperlib.evaluation import Evaluation
from paperlib.intervals import Interval, auc, over_images, spearman, without_gaps
from paperlib.measures import tables
from paperlib.measures.tables import Flags, by_eps
from paperlib.objective import cross_entropy, margins
from paperlib.record import Measured
from paperlib.train import Trained


def measure(
    networks: dict[str, Trained], *, images: int, strong: int, level: str, eps: list[float], step_size: float, steps: int,
    pgd_steps: int, restarts: int, masking_images: int, masking_steps: int, vanishing: float, seed: int, device: str,
    store: Path,
) -> Measured:  # fmt: skip
    """Every network under every attack, on the same images; what is done is kept, and other pages take it from there."""
    data, models = networks["natural"].dataset, tables.ready(networks)
    x, y = tables.inputs(data, images, device)
    judged = tables.judged(
        networks, x, y, eps=eps, step_size=step_size, strong=strong, level=level, steps=steps, pgd_steps=pgd_steps,
        restarts=restarts, seed=seed, device=device, store=store,
    )  # fmt: skip
    middle, few = eps[len(eps) // 2], slice(masking_images)
    signs = maskings(models, x[few], y[few], data, eps=middle, step_size=step_size, steps=masking_steps, seed=seed)
    flat = vanished(models, x, y, below=vanishing)
    flags = {role: each.flags for role, each in judged.items()}
    arrays = {"worst_images": judged["natural"].chosen.cpu().numpy()} | tables.arrays(flags)
    values = compared(judged, signs, flat, foretold(models, x, y, judged, middle))
    return Measured(values, arrays, ((data, images),), {"attack": seed})


def compared(judged: dict[str, Evaluation], masking: dict, vanishing: dict, indicator: dict) -> dict:
    """The tables' values: a row for each network, differences between them, and what was taken besides."""
    flags = {role: each.flags for role, each in judged.items()}
    return {role: each.row for role, each in judged.items()} | {
        "paired": paired(flags), "gain": gains(flags), "masking": masking, "vanishing": vanishing, "indicator": indicator,
        "cascade": {role: each.summary() for role, each in judged.items()},
    }  # fmt: skip


def maskings(
    networks: dict[str, Callable], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], data: Dataset, *, eps: float,
    step_size: float, steps: int, seed: int,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """The signs of masked gradients of each network; sizes in the data's own unit."""
    return {
        name: evaluate.masking(
            network, x, y, eps=data.to_input(eps), step_size=data.to_input(step_size), steps=steps,
            generator=torch.Generator().manual_seed(seed),
        )
        for name, network in networks.items()
    }  # fmt: skip


PAIRS = (
    ("ours", "natural"), ("ours", "crossentropy"), ("ours", "advtrain"), ("minmax", "ours"), ("minmax", "ours+advtrain"),
    ("ours+curvature", "ours"), ("minmax", "ours-smooth"),
    *((f"ours-{what}", "ours") for what in ("smooth", "started", "ramped", "averaged", "longer", "longest", "together")),
    ("ours-longest", "ours-longer"), ("ours-together", "ours-longer"), ("ours-together", "ours+curvature"),
)  # fmt: skip


# (first, second, name): how much more the first falls than the second between the smallest and the largest eps
FALLS = (("crossentropy", "ours", "decay"), ("ours", "minmax", "exhaust"))


def paired(flags: dict[str, Flags]) -> dict:
    """Differences in points between networks on the same images: each of ``PAIRS`` by attack and eps, and ``FALLS``.

    ``flags``: network -> (attack, eps) -> whether each image was classified rightly, from ``evaluate.robustness``.
    """
    found: dict = {}
    for first, second in PAIRS:
        if first in flags and second in flags:
            both = {key: intervals.paired_flags(flags[first][key], flags[second][key]) for key in flags[first]}
            found[f"{first}_minus_{second}"] = by_eps(both)
    for first, second, name in FALLS:
        if first in flags and second in flags:
            attacks = dict.fromkeys(attack for attack, _ in flags[first] if attack != "clean")
            found[name] = {attack: _falls(flags[first], flags[second], attack) for attack in attacks}
    return found


def _falls(first: Flags, second: Flags, attack: str) -> Interval:
    sizes = sorted(eps for name, eps in first if name == attack)
    fall, other = (of[attack, sizes[0]].double() - of[attack, sizes[-1]].double() for of in (first, second))
    return over_images(100 * (fall - other), "points")


def gains(flags: dict[str, Flags]) -> dict:
    """Each network's worst-case accuracy minus the natural one's, in points, by eps."""
    return {
        name: {
            f"{eps:g}": intervals.paired_flags(flag, flags["natural"][attack, eps])
            for (attack, eps), flag in of.items() if attack == "worst"
        }
        for name, of in flags.items() if name != "natural"
    }  # fmt: skip


def vanished(networks: dict[str, Callable], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, below: float) -> dict:
    """The share of images (percent) where the l1 norm of the loss's gradient is ``below`` a number of nats, and the
    norm's ``median``: to first order, no change of the pixels by at most 1 raises the loss by more than that norm."""
    slope = {
        name: indicator.norms(indicator.jacobian(network, x, y, objective=cross_entropy))["l1"]
        for name, network in networks.items()
    }
    medians = {name: intervals.interval(of.cpu().numpy(), "nats", how="median") for name, of in slope.items()}
    return {name: over_images(100.0 * (of < below)) for name, of in slope.items()} | {"median": medians}


def foretold(
    networks: dict[str, Callable],
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, "n"],
    judged: dict[str, Evaluation],
    eps: float,
) -> dict:
    """``indicators`` on the images of the worst case."""
    chosen = next(iter(judged.values())).chosen
    return indicators(networks, x[chosen], y[chosen], {name: each.on_chosen() for name, each in judged.items()}, eps)


def indicators(
    networks: dict[str, Callable], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], flags: dict[str, Flags], eps: float
) -> dict:
    """The indicator of each network without any attack, and how well it foretells the worst case at ``eps``.

    ``mean``: of ``|J_i|``; ``distance``: S over the l1 norm of J, for rightly classified images; ``spearman``: the rank
    correlation of each with worst-case accuracy over the networks (smaller slopes, longer distances expected);
    ``auc``: the chance that an unbroken image has a longer distance than a broken one.
    """
    found: dict = {"mean": {}, "distance": {}, "auc": {}}
    for name, network in networks.items():
        right, unbroken = flags[name]["clean", 0.0], flags[name]["worst", eps]
        slope = indicator.norms(indicator.jacobian(network, x, y))
        distance = margins(network, x, y) / slope["l1"].clamp_min(1e-30)
        found["mean"][name] = over_images(slope["mean"], "")
        found["distance"][name] = over_images(distance[right], "")
        found["auc"][name] = auc(distance[right], unbroken[right])
    worst = [float(flags[name]["worst", eps].double().mean()) for name in networks]
    flat = {"magnitude": [-of["mean"] for of in found["mean"].values()],
            "distance": [of["mean"] for of in found["distance"].values()]}  # fmt: skip
    ranked = {name: spearman(np.array(of), np.array(worst)) for name, of in flat.items()}
    found["spearman"] = {name: of if math.isfinite(of) else None for name, of in ranked.items()}
    return without_gaps(found)
