"""The Jacobian as a picture (Figs. 10 and 15)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import indicator
from paperlib.intervals import Interval, over_images
from paperlib.state import reject


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
