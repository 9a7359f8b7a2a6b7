"""The Jacobian as a picture (Figs. 10 and 15)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import evaluate, indicator
from paperlib.intervals import Interval, over_images
from paperlib.record import Measured
from paperlib.state import reject
from paperlib.train import Trained


@dataclass(frozen=True)
class Pair:
    """Of one kind of images and its networks: the ``images`` that are drawn and their ``J`` by network; by network and
    image how much of J lies on the image's ``own`` pattern and on the ``other``; and how many images count."""

    images: Float[np.ndarray, "k c h w"]
    J: dict[str, Float[np.ndarray, "k c h w"]]
    alignment: dict[str, dict[str, Float[Tensor, "m"]]]
    n: int


def measure(
    networks: dict[str, Trained], *, images: int, classes: list[int], ink: float, edges: float, device: str
) -> Measured:
    """J of every image that all networks of its kind classify rightly; the network ``grey-natural`` is the natural one for
    grey images. The pattern of a grey image is its ``ink``, that of a colour image its ``edges``."""
    kinds: dict[str, dict[str, Trained]] = {}
    for name, each in networks.items():
        kind, role = name.split("-", 1)
        kinds.setdefault(kind, {})[role] = each
    found = {kind: pair_of(kind, pair, images, classes, ink, edges, device) for kind, pair in kinds.items()}
    values = {kind: {role: alignment_values(of) for role, of in pair.alignment.items()} for kind, pair in found.items()}
    values["paired"] = {
        kind: over_images(pair.alignment["robust"]["own"] - pair.alignment["natural"]["own"], "")
        for kind, pair in found.items()
    }
    data = tuple((kinds[kind]["natural"].dataset, pair.n) for kind, pair in found.items())
    return Measured(values, arrays_of(found), data)


def pair_of(
    kind: str, pair: dict[str, Trained], images: int, classes: list[int], ink: float, edges: float, device: str
) -> Pair:
    """All that is measured of the networks of one kind of images."""
    test = pair["natural"].dataset.test.first(images)
    x, y = test.x.to(device), test.y.to(device)
    right = torch.stack([evaluate.correct(each.model, x, y) for each in pair.values()]).all(0)
    x, y = x[right], y[right]
    first = first_of(classes, y)
    slopes = {role: indicator.jacobian(each.model, x, y) for role, each in pair.items()}
    pattern = indicator.ink(x, threshold=ink) if kind == "grey" else indicator.edges(x, share=edges)
    drawn = {role: of[first].cpu().numpy() for role, of in slopes.items()}
    return Pair(x[first].cpu().numpy(), drawn, alignments(slopes, pattern), len(x))


def arrays_of(found: dict[str, Pair]) -> dict[str, np.ndarray]:
    """What the pictures take, and the alignments behind the intervals."""
    arrays = {f"images_{kind}": pair.images for kind, pair in found.items()}
    arrays |= {f"J_{kind}_{role}": of for kind, pair in found.items() for role, of in pair.J.items()}
    return arrays | {
        f"alignment_{kind}_{role}_{which}": of.cpu().numpy()
        for kind, pair in found.items() for role, both in pair.alignment.items() for which, of in both.items()
    }  # fmt: skip


def first_of(classes: list[int], y: Int[Tensor, "n"]) -> list[int]:
    """The first index of each class that occurs. Raises ValueError if none of them does, or if there is no image at all."""
    reject(len(y) == 0, "images is empty: there is no image that every network classifies rightly")
    found = [int((y == label).nonzero()[0]) for label in classes if (y == label).any()]
    reject(not found, f"classes is {classes}; allowed are those of the images: {sorted(set(y.tolist()))}")
    return found


def alignments(
    J: dict[str, Float[Tensor, "n c h w"]], pattern: Bool[Tensor, "n h w"]
) -> dict[str, dict[str, Float[Tensor, "m"]]]:
    """Each network's alignment of J with the image's ``own`` pattern and with the next image's (``other``).

    The second is what a liking for the middle of the picture alone would give. Images without a number (no pattern, or
    J = 0) are left out for all networks.
    """
    found = {
        role: {"own": indicator.alignment(of, pattern), "other": indicator.alignment(of, pattern.roll(1, 0))}
        for role, of in J.items()
    }
    usable = torch.stack([values for of in found.values() for values in of.values()]).isfinite().all(0)
    return {role: {name: values[usable] for name, values in of.items()} for role, of in found.items()}


def alignment_values(of: dict[str, Float[Tensor, "m"]]) -> dict[str, Interval]:
    """One network's ``alignment`` with the image's own pattern, with the ``other``, and their paired difference."""
    return {
        "alignment": over_images(of["own"], "×"), "other": over_images(of["other"], "×"),
        "own_minus_other": over_images(of["own"] - of["other"], ""),
    }  # fmt: skip
