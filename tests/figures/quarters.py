"""Small networks that tell which quarter of an image is bright, and the records of what is measured of them."""

import matplotlib.pyplot as plt
import torch
from torch import nn
from toys import toy_dataset, toy_recipe

from paperlib.provenance import plain
from paperlib.record import Measured, Record
from paperlib.train import Trained


def trained(
    seed: int = 0, *, channels: int = 1, gain: float = 0.3, method: str = "natural", curve: list | None = None
) -> Trained:
    """A network with a layer of ReLUs that is right on every image, with what made it; ``gain`` is how steep it is."""
    quarters = torch.zeros(4, channels, 8, 8)
    for k in range(4):
        quarters[k, :, 4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] = 1 / channels
    rough = torch.randn(4, 64 * channels, generator=torch.Generator().manual_seed(seed)) / channels
    model = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    with torch.no_grad():
        model[1].weight.copy_(quarters.flatten(1) + 0.1 * rough)
        model[3].weight.copy_(gain * torch.eye(4))
        for layer in (model[1], model[3]):
            layer.bias.zero_()
    data = toy_dataset((channels, 8, 8), 1 if channels == 1 else 255)
    card = {"sha256": f"{seed:064}", "curve": curve or []}
    return Trained(f"toy-{seed}", model, toy_recipe(method=method, c=0.1), data, card)


def written(found: Measured, parameters: dict, networks: dict[str, Trained], *, stated: dict | None = None) -> Record:
    """The record that a measurement leaves."""
    first, *others = [{"name": of.name, "n": n, "pixel_scale": of.pixel_scale} for of, n in found.data]
    models = {role: {"name": each.name, "recipe": each.recipe.to_dict()} for role, each in networks.items()}
    data = first | ({"others": others} if others else {})
    assert all(array.dtype != object for array in found.arrays.values())
    return Record("toy", "smoke", parameters, data, models, plain(found.values), {}, found.arrays, stated or {})


def texts(figure) -> str:
    """All words of a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(plt.Text) if text.get_visible())
