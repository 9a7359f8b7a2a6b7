"""Networks, records and rows of accuracies for the tables' tests."""

import torch
from toys import linear, toy_dataset, toy_recipe

from paperlib import names
from paperlib.provenance import plain
from paperlib.record import Measured, Record
from paperlib.train import Trained

# those of a table; AutoAttack has a figure of its own
ATTACKS = [name for name in names.ATTACKS if name != "autoattack"]
GREY = {"name": "digits", "n": 9, "pixel_scale": 1}


def trained(seed: int, *, pixel_scale: int = 1) -> Trained:
    """A network that tells the bright quarter of an image, with what made it; ``seed`` roughens its slopes."""
    quarters = torch.zeros(4, 8, 8)
    for k in range(4):
        quarters[k, 4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] = 1
    rough = 0.2 * torch.randn(4, 64, generator=torch.Generator().manual_seed(seed))
    model = linear(quarters.view(4, 64) + rough)
    return Trained(f"toy-{seed}", model, toy_recipe(), toy_dataset(pixel_scale=pixel_scale), {"sha256": f"{seed:064}"})


def record(values: dict, parameters: dict, *, roles: list[str], data: dict = GREY, stated: dict | None = None) -> Record:
    """A record of these values."""
    models = {role: {"name": role} for role in roles}
    return Record("toy", "smoke", parameters, data, models, values, {}, stated=stated or {})


def written(found: Measured, parameters: dict, roles: list[str]) -> Record:
    """The record that a measurement leaves."""
    (first, n), *_ = found.data
    data = {"name": first.name, "n": n, "pixel_scale": first.pixel_scale}
    models = {role: {"name": role} for role in roles}
    return Record("toy", "smoke", parameters, data, models, plain(found.values), {}, plain_arrays(found))


def plain_arrays(found: Measured) -> dict:
    """Its arrays, none of which needs pickling."""
    assert all(array.dtype != object for array in found.arrays.values())
    return found.arrays


def interval(mean: float) -> dict:
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 9}


def table_values(*sizes: str) -> dict:
    """Two networks under every attack."""
    of = {attack: {eps: interval(50.0) for eps in sizes} for attack in ATTACKS}
    return {"natural": {"clean": interval(98.0)} | of, "ours": {"clean": interval(97.0)} | of}


def texts(figure) -> str:
    """All words of a figure."""
    import matplotlib.pyplot as plt

    return " | ".join(text.get_text() for text in figure.findobj(plt.Text) if text.get_visible())
