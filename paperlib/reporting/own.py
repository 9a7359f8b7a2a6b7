"""The reader's own network, measured as the paper's networks are, from the command line or by these functions.

Networks and weights are read by ``readers``, images by ``sources``, and every network is examined first (``checks``). Sizes
are in the data's unit, 1/255 for colour images and the image range for grey ones, or written as a share of the image range,
such as "8/255".
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import paperlib
from paperlib import data, evaluate, indicator, intervals, surface
from paperlib.cascade import LEVELS
from paperlib.evaluation import evaluation
from paperlib.objective import SURFACES
from paperlib.refusal import is_number
from paperlib.reporting.checks import TRIED, Findings, Note, examine
from paperlib.reporting.readers import load_weights as load_weights
from paperlib.reporting.readers import network as network
from paperlib.reporting.readers import weights_hash
from paperlib.reporting.sizes import Relative as Relative
from paperlib.reporting.sizes import size as size
from paperlib.reporting.sizes import written as written
from paperlib.reporting.sources import images as images
from paperlib.reporting.wrap import NetworkError
from paperlib.state import modules_of, reject

PICTURES = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
# what each median of the indicator is counted in; R is the image range
UNITS = {
    "S": "logits", "mean_J": "logits/R", "l1_J": "logits/R", "l2_J": "logits/R", "curvature": "logits/R²",
    "loss_slope": "nats/R",
}  # fmt: skip


# Sizes.


def in_unit(value: float, dataset: data.Dataset) -> float:
    """A size in the data's unit."""
    return round(float(value) * dataset.pixel_scale, 12) if isinstance(value, Relative) else float(value)


def unit(dataset: data.Dataset) -> str:
    """The data's unit in words."""
    return f"1/{dataset.pixel_scale}" if dataset.pixel_scale > 1 else "of the image range"


# Options.


def check_options(options: dict, dataset: data.Dataset | None = None, split: data.Split | None = None) -> None:
    """InputError for the first option, by name, that no measurement here can take; others, and None, are left alone.

    ``eps`` and ``step_size`` are in the data's unit, so that their largest value is known only with ``dataset``, as that of
    ``image`` is only with ``split``.
    """
    ranges = {
        "n": (1, math.inf), "seed": (0, 2**63 - 1), "pgd_steps": (0, math.inf), "steps": (2, 1000), "average": (1, 10_000),
        "size": (4, 4096), "image": (0, math.inf if split is None else len(split) - 1),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        value = options.get(name)
        allowed = f"{low} to {high}" if high < math.inf else f"at least {low}"
        reject(value is not None and not low <= value <= high, f"{name} is {value}; allowed is {allowed}")
    objective = options.get("objective", "decision")
    reject(objective not in SURFACES, f"objective is {objective!r}; allowed are {', '.join(SURFACES)}")
    mean, std = (options.get(name) or () for name in ("mean", "std"))
    reject(not all(map(is_number, mean)), f"mean is {list(mean)}; allowed are finite numbers")
    reject(
        not all(is_number(value) and value > 0 for value in std), f"std is {list(std)}; allowed are finite numbers above 0"
    )
    for name in ("eps", "step_size"):
        value = options.get(name)
        sizes = value if isinstance(value, list) else [value]
        allowed = "are rising numbers" if isinstance(value, list) else "is a number"
        allowed += " above 0, at most 1 for grey images and 255 for colour"
        reject(value is not None and not _rising(sizes, dataset), f"{name} is {value}; allowed {allowed}")


def _rising(sizes: list[float], dataset: data.Dataset | None) -> bool:
    """Whether sizes rise from above 0 to at most the image range; as far as that can be told without the data."""
    if dataset is not None:
        kinds = [([in_unit(each, dataset) for each in sizes], dataset.pixel_scale)]
    else:
        shares = [value for value in sizes if isinstance(value, Relative)]
        kinds = [(shares, 1), ([value for value in sizes if not isinstance(value, Relative)], 255)]
    # NaN compares with nothing
    return bool(sizes) and all(
        all(a < b for a, b in pairwise([0, *map(float, kind)])) and all(value <= most for value in kind)
        for kind, most in kinds
    )


def check_channels(name: str, values: list[float] | None, dataset: data.Dataset) -> None:
    """InputError unless ``values`` are one number, or one for each of the images' channels."""
    channels = dataset.test.x.shape[1]
    reject(bool(values) and len(values) not in (1, channels), f"{name} is {values}; allowed are one number or {channels}")


def check_out(path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """InputError unless a file, with one of the suffixes if there are any, can be written at ``path``."""
    reject(path.is_dir(), f"out is {path}, which is a folder; allowed is a file")
    writable = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    reject(not writable, f"out is {path}; allowed is a file in a folder that exists and can be written to")
    wrong = bool(suffixes) and path.suffix.lower() not in suffixes
    reject(wrong, f"out is {path}; allowed is a file name that ends in {', '.join(suffixes)}")


# Examining.


def examined(model: Callable, dataset: data.Dataset, split: data.Split, sizes: list[float]) -> tuple[Findings, list[Note]]:
    """What the checks find on all images, and what is to be noted of the sizes and of the choice of images."""
    found = examine(model, split.x, split.y, classes=dataset.classes, index=getattr(split, "index", None))
    small = [value for value in sizes if not isinstance(value, Relative) and value < 1]
    notes = list(found.notes)
    if dataset.pixel_scale > 1 and small:
        scale, value = dataset.pixel_scale, small[0]
        sentence = (f"the size {value:g} means {value:g}/{scale} of the image range, for sizes on colour images count in "
                    f"1/{scale}; {value:g} of the image range would be {value * scale:.3g}")  # fmt: skip
        notes.append(Note("size", sentence))
    there = len(split.y.unique())
    if there < dataset.classes:
        notes.append(Note("classes", f"the {len(split)} images hold {there} of {dataset.classes} classes"))
    return found, notes


def provenance(found: Findings, dataset: data.Dataset, split: data.Split, *, eps: object, seed: int, of: str = "") -> dict:
    """What a measurement was made of: sizes with their unit, the network, its weights' hash, images, seed and versions."""
    inside = modules_of(found.model.network)
    whole = len(split) == getattr(split, "total", len(split))
    return {
        "eps": eps, "unit": unit(dataset), "network": of or type(found.model.network).__name__,
        "weights": " ".join(weights_hash(module) for module in inside) or None, "average": found.model.average,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "n": len(split),
                 "choice": "all" if whole else "the classes in turn"},
        "seed": seed, "versions": {"paperlib": paperlib.__version__, "torch": torch.__version__},
    }  # fmt: skip


def told(notes: list[Note]) -> list[dict]:
    """Notes as JSON has them."""
    return [{"kind": note.kind, "sentence": note.sentence, "images": note.images} for note in notes]


# Measuring.


def robustness(model: Callable, dataset: data.Dataset, split: data.Split, *, eps: list[float],
               step_size: float | None = None, seed: int = 0, pgd_steps: int = 40, of: str = "") -> dict:  # fmt: skip
    """One row of Table 1 with the worst case, the masking checks, notes and provenance; sizes in the data's unit.

    The worst case is that of ``cascade.LEVELS["standard"]``. ``step_size`` is a quarter of the largest ``eps`` unless given.
    Raises InputError or NetworkError before any attack.
    """
    check_options({"eps": eps, "step_size": step_size, "seed": seed, "pgd_steps": pgd_steps}, dataset)
    found, notes = examined(model, dataset, split, eps)
    sizes = [in_unit(value, dataset) for value in eps]
    step = sizes[-1] / 4 if step_size is None else in_unit(step_size, dataset)
    generator, network = torch.Generator().manual_seed(seed), found.model
    with tqdm(total=_passes(len(sizes), pgd_steps) * len(split), unit="image", desc="at most") as bar:
        network.passed = bar.update
        values = evaluation(
            network, split.x, split.y, eps=sizes, step_size=step, strong=len(split), pixel_scale=dataset.pixel_scale,
            pgd_steps=pgd_steps, cascade=LEVELS["standard"], seed=seed,
        ).row  # fmt: skip
        middle = dataset.to_input(sizes[len(sizes) // 2])
        values["masking"] = evaluate.masking(
            network, split.x, split.y, eps=middle, step_size=dataset.to_input(step), generator=generator
        )
        network.passed = None
    made_of = provenance(found, dataset, split, eps=sizes, seed=seed, of=of)
    settings = {"step_size": step, "pgd_steps": pgd_steps, "masking_eps": sizes[len(sizes) // 2]}
    return values | {"notes": told(notes), "made_of": made_of | settings}


def _passes(sizes: int, pgd_steps: int) -> int:
    """How often an image goes through the network at most: an image that is broken leaves the long attacks early."""
    fgsm, bim, cw, pgd = 3, 12, 12, 2 * (pgd_steps + 2) if pgd_steps else 0
    # four gradient attacks of 20 steps, three targets more, Square's 200 queries, and the clean images
    masking = 1 + fgsm + 1 + 7 * 22 + 202
    worst = sum(max(1, stage.targets) * (stage.steps + 2) + 1 for stage in LEVELS["standard"])
    return 4 + sizes * (fgsm + bim + cw + pgd + worst) + masking


def indicators(model: Callable, dataset: data.Dataset, split: data.Split, *, eps: float, seed: int = 0,
               of: str = "") -> dict:  # fmt: skip
    """Medians of the indicator over the images, without any attack, with notes and provenance; ``eps`` in the data's unit.

    Images whose gradient is zero or not finite are left out and named; those without finite logits count as not robust.
    Raises InputError, or NetworkError if nothing is left.
    """
    check_options({"eps": eps}, dataset)
    found, notes = examined(model, dataset, split, [eps])
    if not found.sloped.any():
        raise NetworkError(next(n.sentence for n in notes if n.kind in ("headless", "zero gradient", "gradient not finite")))
    e, kept = in_unit(eps, dataset), found.sloped
    report = indicator.report(found.model, split.x[kept], split.y[kept], eps=dataset.to_input(e))
    robust = report.pop("linear_robust")
    report["linear_distance"] = report["linear_distance"] * dataset.pixel_scale
    medians = {name: _median(name, column, dataset, notes) for name, column in report.items()}
    n = len(robust) + int((~found.finite).sum())
    share = intervals.wilson(int(robust.sum()), n) | {"eps": e, "unit_of_eps": unit(dataset)}
    return medians | {"linear_robust": share, "notes": told(notes),
                      "made_of": provenance(found, dataset, split, eps=e, seed=seed, of=of)}  # fmt: skip


def _median(name: str, column: Tensor, dataset: data.Dataset, notes: list[Note]) -> dict:
    """A median with its interval and unit; values that are not finite are left out and noted, unless that is all."""
    finite = column.isfinite()
    broken = int((~finite).sum())
    if broken:
        sentence = f"the values of {name} are not finite for {broken} of {len(column)} images"
        if broken == len(column):
            raise NetworkError(f"{sentence}; allowed are finite numbers")
        notes.append(Note("not finite", f"{sentence}: left out of its median"))
    interval = intervals.median_interval(column[finite])
    return {"median": interval.pop("mean"), **interval, "unit": UNITS.get(name, unit(dataset))}


@dataclass(frozen=True)
class Plane(surface.Surface):
    """A surface around an image, with notes and provenance; ``blind`` where the gradient there is zero."""

    notes: list[Note] = field(default_factory=list)
    made_of: dict = field(default_factory=dict)
    blind: bool = False


def plane(model: Callable, dataset: data.Dataset, split: data.Split, *, image: int, eps: float, steps: int,
          objective: str = "decision", seed: int = 0, of: str = "") -> Plane:  # fmt: skip
    """The surface around one test image: alpha along the signs of the C&W gradient, beta along random signs made
    orthogonal to it, ``steps`` points from -eps to eps each; ``eps`` in the data's unit.

    Raises InputError, or NetworkError if the surface is not finite.
    """
    asked = {"image": image, "eps": eps, "steps": steps, "objective": objective, "seed": seed}
    check_options(asked, dataset, split)
    x, y = split.x[image : image + 1], split.y[image : image + 1]
    _, notes = examined(model, dataset, data.Split(split.x[:TRIED], split.y[:TRIED]), [eps])
    place = int(split.index[image]) if hasattr(split, "index") else image
    found = examine(model, x, y, classes=dataset.classes, index=torch.tensor([place]))
    blind, e = not bool(found.sloped), in_unit(eps, dataset)
    notes = [note for note in notes if not note.images and note.kind != "classes"]
    notes += [note for note in found.notes if note.images]
    generator = torch.Generator().manual_seed(seed)
    u, v = surface.input_plane(found.model, x, y, direction="adversarial", generator=generator)
    axis = np.linspace(-1, 1, steps) * dataset.to_input(e)
    f = surface.input_function(found.model, int(y), SURFACES[objective])
    made = surface.surface(f, x[0], u[0], v[0], alpha=axis, beta=axis, clip=(0, 1), progress=True)
    broken = int((~np.isfinite(made.values)).sum())
    if broken:
        raise NetworkError(f"the surface is not finite at {broken} of {made.values.size} points; allowed are finite logits")
    made_of = provenance(found, dataset, split, eps=e, seed=seed, of=of) | {"image": place, "objective": objective}
    return Plane(made.values, made.alpha, made.beta, notes, made_of, blind)
