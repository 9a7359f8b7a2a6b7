"""What the settings of an attack change."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.attack import attack as attacked
from paperlib.evaluate import correct, pgd_step
from paperlib.intervals import Interval, accuracy
from paperlib.measures import tables
from paperlib.record import Measured
from paperlib.tracker import Success
from paperlib.train import Trained


def measure(
    networks: dict[str, Trained], *, images: int, eps: list[float], step_size: float, steps: int, long_steps: int,
    seed: int, device: str,
) -> Measured:  # fmt: skip
    """Each network under each way of attacking, on the same images: network -> way -> eps -> interval."""
    data = next(iter(networks.values())).dataset
    x, y = tables.inputs(data, images, device)
    values = {}
    for role, model in tables.ready(networks).items():
        found = protocols(
            model,
            x,
            y,
            eps=[data.to_input(size) for size in eps],
            step_size=data.to_input(step_size),
            steps=steps,
            long_steps=long_steps,
            seed=seed,
            batch=tables.batch(device),
        )
        sizes = [f"{size:g}" for size in eps]
        values[role] = {way: dict(zip(sizes, row, strict=True)) for way, row in found.items()}
    return Measured(values, data=((data, images),), seeds={"attack": seed})


OBJECTIVES = {"bim": "cross_entropy", "cw": "cw"}


def protocols(
    network: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float], step_size: float,
    steps: int, long_steps: int, seed: int = 0, batch: int = 500,
) -> dict[str, list[Interval]]:  # fmt: skip
    """Accuracy under ways of attacking with either objective, one interval for each of ``eps`` ([0, 1] scale).

    ``last``: the paper's protocol, ``steps`` steps of ``step_size``, last iterate. ``any``: the same, an image is lost if
    any iterate breaks it. ``small``: as many steps of eps/4, last iterate. ``long``: ``long_steps`` steps of
    ``evaluate.pgd_step``, any iterate; ``start``: the same from a random point.
    """
    found: dict[str, list[Interval]] = {}
    right = correct(network, x, y, batch=batch)
    for name, objective in OBJECTIVES.items():
        for e in eps:
            common = {"eps": e, "objective": objective, "batch": batch}
            steps_to = Success(len(x))
            paper = attacked(network, x, y, step_size=step_size, steps=steps, tracker=steps_to, **common)
            small = attacked(network, x, y, step_size=e / 4, steps=steps, **common)
            long = {"step_size": pgd_step(e, long_steps), "steps": long_steps, "stop_at_success": True} | common
            generator = torch.Generator().manual_seed(seed)
            flags = {
                "last": ~paper.success, "any": torch.isinf(steps_to.first).to(x.device), "small": ~small.success,
                "long": ~attacked(network, x, y, **long).success,
                # a random start may leave an image that is misclassified as it is
                "start": right & ~attacked(network, x, y, random_start=True, generator=generator, **long).success,
            }  # fmt: skip
            for way, flag in flags.items():
                found.setdefault(f"{way}_{name}", []).append(accuracy(flag))
    return found
