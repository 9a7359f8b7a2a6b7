"""Variants of one recipe under attack: other seeds, other strengths."""

from pathlib import Path

import torch

from paperlib.evaluate import robustness
from paperlib.intervals import over_images
from paperlib.measures import tables
from paperlib.measures.tables import Flags, by_eps
from paperlib.record import Measured
from paperlib.train import Trained


def measure(
    networks: dict[str, Trained], *, images: int, eps: list[float], step_size: float, steps: int, pgd_steps: int,
    restarts: int, seed: int, device: str, store: Path,
) -> Measured:  # fmt: skip
    """Every network under every attack, on the same images."""
    data = next(iter(networks.values())).dataset
    x, y = tables.inputs(data, images, device)
    found = {
        role: robustness(
            model, x, y, eps=eps, step_size=step_size, pixel_scale=data.pixel_scale, steps=steps, pgd_steps=pgd_steps,
            pgd_restarts=restarts, generator=torch.Generator().manual_seed(seed), batch=tables.batch(device),
            store=store / "parts", of=tables.made_of(networks[role])[0],
        )
        for role, model in tables.ready(networks).items()
    }  # fmt: skip
    rows, flags = ({role: each[part] for role, each in found.items()} for part in (0, 1))
    values = rows | {
        "spread": spread(rows), "ours_minus_crossentropy": seed_differences(flags, "ours", "crossentropy"),
    }  # fmt: skip
    return Measured(values, tables.arrays(flags), ((data, images),), {"attack": seed})


def spread(rows: dict[str, dict]) -> dict:
    """For each method with several seeds: mean over them, with the lowest and the highest as its ends, by attack and eps.

    ``rows``: role -> values of ``evaluate.robustness``. ``n`` is the number of seeds: a range, no confidence interval.
    """
    seeded = [(*role.partition("-")[::2], row) for role, row in rows.items()]
    of = {method: [row for other, seed, row in seeded if other == method and seed.isdigit()] for method, _, _ in seeded}
    return {method: ranges(found) for method, found in of.items() if len(found) > 1}


def ranges(rows: list[dict]) -> dict:
    """The same nested keys, with the range of the rows' means at each interval."""
    if "mean" in rows[0]:
        means = [row["mean"] for row in rows]
        return {"mean": sum(means) / len(means), "low": min(means), "high": max(means), "n": len(means)}
    return {key: ranges([row[key] for row in rows]) for key in rows[0]}


def seed_differences(flags: dict[str, Flags], first: str, second: str) -> dict:
    """Accuracy of ``first`` minus ``second`` in points on the same images, each seed against the same seed, averaged.

    The interval is over images (bootstrap), for these seeds. Empty unless both methods have the same seeds, two or more.
    """
    seeds = [role.removeprefix(f"{first}-") for role in flags if role.startswith(f"{first}-")]
    if len(seeds) < 2 or any(f"{second}-{seed}" not in flags for seed in seeds):
        return {}
    differences = {
        key: sum(flags[f"{first}-{seed}"][key].double() - flags[f"{second}-{seed}"][key].double() for seed in seeds)
        for key in flags[f"{first}-{seeds[0]}"]
    }
    return by_eps({key: over_images(100 * of / len(seeds), "points") for key, of in differences.items()})
