"""The reader's own network: any ``nn.Module`` on images in [0, 1], measured as the paper's networks are.

A network is named ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``; the function takes no argument and returns the
module. Weights come from a ``.safetensors`` file or a state dictionary that ``torch.save`` wrote, alone or as the only
one in a dictionary, as in ``{"model": ..., "epoch": 3}``.
"""

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from types import ModuleType

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from paperlib import data, evaluate, indicator, surface
from paperlib.objective import SURFACES, decision
from paperlib.state import check_batch, evaluating, reject

# images on which a network is tried before it is measured
TRIED = 64
PICTURES = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


class NetworkError(ValueError):
    """A network or its weights that cannot be loaded or measured; one sentence that names it."""


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Whatever the reader's code or file raises inside the block is a NetworkError: ``what``, and the reason."""
    try:
        yield
    except (Exception, SystemExit) as error:
        said = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".: ")
        raise NetworkError(f"{what} ({': '.join(filter(None, [type(error).__name__, said]))})") from error


# Loading.


def network(where: str, weights: str = "") -> nn.Module:
    """The network that ``where`` names, in eval mode, with ``weights`` if given. Raises NetworkError.

    A file's imports are found beside it, as those of a script are.
    """
    source, _, function = where.rpartition(":")
    if not source or not function:
        raise NetworkError(f"network is {where!r}; allowed is FILE.py:FUNCTION or package.module:FUNCTION")
    folder = str(Path(source).resolve().parent)
    sys.path.insert(0, folder)
    try:
        make = getattr(_module(source), function, None)
        if not callable(make):
            raise NetworkError(f"network is {where!r}, but {source} has no function {function!r}")
        with _named(f"network is {where!r}, but calling {function}() failed"):
            model = make()
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    if not isinstance(model, nn.Module):
        raise NetworkError(f"network is {where!r}, which returned {type(model).__name__}; allowed is an nn.Module")
    if weights:
        load_weights(model, Path(weights))
    return model.eval()


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        with _named(f"network module {source!r} cannot be imported"):
            return importlib.import_module(source)
    path = Path(source).resolve()
    if not path.is_file():
        raise NetworkError(f"network file {source} does not exist")
    # dataclasses look their module up under this name; a dot in it would make the file part of a package
    name = str(path).replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    with _named(f"network file {source} cannot be imported"):
        spec.loader.exec_module(module)
    return module


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill ``model`` from a ``.safetensors`` file or a saved state dictionary. Raises NetworkError, naming the file."""
    if not path.is_file():
        raise NetworkError(f"weights file {path} does not exist")
    plain = path.suffix == ".safetensors"
    with _named(f"weights file {path} is not {'a .safetensors file' if plain else 'a state dictionary of torch.save'}"):
        found = load_file(path) if plain else torch.load(path, map_location="cpu", weights_only=True)
    weights = _state_dict(found, path)
    try:
        model.load_state_dict(weights)
    except Exception as error:
        # the first line only names the class; each further one is a kind of misfit with its keys
        misfits = [shorten(line, 160, placeholder=" ...").rstrip(".") for line in str(error).splitlines()]
        reason = "; ".join(misfits[1:4] or misfits or [type(error).__name__])
        raise NetworkError(f"weights file {path} does not fit the network: {reason}") from error


def _state_dict(found: object, path: Path) -> dict[str, Tensor]:
    """What a file held, if it is a state dictionary, or else the only one in it."""

    def fits(value: object) -> bool:
        return isinstance(value, dict) and bool(value) and all(
            isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items()
        )  # fmt: skip

    held = type(found).__name__
    if isinstance(found, dict):
        candidates = [value for value in (found, *found.values()) if fits(value)]
        if len(candidates) == 1:
            return candidates[0]
        held = f"a dictionary with {shorten(', '.join(map(repr, found)), 160, placeholder=' ...') or 'nothing in it'}"
    raise NetworkError(f"weights file {path} holds {held}; allowed is a state dictionary, or a dictionary with one in it")


# What can be measured, and how.


def images(name: str, n: int | None) -> tuple[data.Dataset, data.Split]:
    """A data set and its first ``n`` test images."""
    dataset = data.load(name)
    return dataset, dataset.test.first(None if n is None else min(n, len(dataset.test)))


def check_options(options: dict, dataset: data.Dataset | None = None, split: data.Split | None = None) -> None:
    """InputError for the first option, by name, that no measurement here can take; others, and None, are left alone.

    ``eps`` and ``step_size`` are in the data's unit, so that their largest value is known only with ``dataset``, as that of
    ``image`` is only with ``split``.
    """
    ranges = {
        "n": (1, math.inf), "seed": (0, 2**63 - 1), "pgd_steps": (0, math.inf), "steps": (2, 1000),
        "image": (0, math.inf if split is None else len(split) - 1),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        value = options.get(name)
        allowed = f"{low} to {high}" if high < math.inf else f"at least {low}"
        reject(value is not None and not low <= value <= high, f"{name} is {value}; allowed is {allowed}")
    objective = options.get("objective", "decision")
    reject(objective not in SURFACES, f"objective is {objective!r}; allowed are {', '.join(SURFACES)}")
    for name in ("eps", "step_size"):
        value = options.get(name)
        sizes = value if isinstance(value, list) else [value]
        largest = 255 if dataset is None else dataset.pixel_scale
        # NaN compares with nothing
        fits = value is None or sizes and all(a < b for a, b in pairwise([0, *sizes])) and sizes[-1] <= largest
        allowed = "are rising numbers" if isinstance(value, list) else "is a number"
        reject(not fits, f"{name} is {value}; allowed {allowed} above 0, at most 1 for grey images and 255 for colour")


def check_out(path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """InputError unless a file, with one of the suffixes if there are any, can be written at ``path``."""
    reject(path.is_dir(), f"out is {path}, which is a folder; allowed is a file")
    writable = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    reject(not writable, f"out is {path}; allowed is a file in a folder that exists and can be written to")
    wrong = bool(suffixes) and path.suffix.lower() not in suffixes
    reject(wrong, f"out is {path}; allowed is a file name that ends in {', '.join(suffixes)}")


def check_fit(model: nn.Module, split: data.Split, classes: int) -> None:
    """NetworkError unless the network gives the first images finite logits, one for every class, and the margin has a
    finite gradient with respect to each image."""
    x, y = split.x[:TRIED].detach(), split.y[:TRIED]
    check_batch(x, y)
    x.requires_grad_(True)
    n, least = len(x), max(classes, 2)
    with _named(f"the network does not take images of shape {tuple(x.shape[1:])}"), torch.enable_grad(), evaluating(model):
        Z = model(x)
    if not isinstance(Z, Tensor) or Z.ndim != 2 or len(Z) != n or Z.shape[1] < least:
        found = tuple(Z.shape) if isinstance(Z, Tensor) else type(Z).__name__
        raise NetworkError(f"the network returns {found} for {n} images; allowed are logits ({n}, K) with K >= {least}")
    _check_finite("the network's logits", Z)
    J = None
    if Z.requires_grad:
        with _named("the margin of the network has no gradient"), torch.enable_grad():
            (J,) = torch.autograd.grad(decision(Z, y).sum(), x, allow_unused=True)
    if J is None:
        raise NetworkError("the network's logits do not depend differentiably on the image, as under torch.no_grad() or "
                           "after detach(); allowed is a forward pass that autograd can follow")  # fmt: skip
    _check_finite("the gradients of its margin", J)


def _check_finite(what: str, values: Tensor) -> None:
    """NetworkError if any example's values hold NaN or infinity."""
    broken = int((~values.isfinite()).reshape(len(values), -1).any(1).sum())
    if broken:
        raise NetworkError(f"{what} are not finite for {broken} of {len(values)} images; allowed are finite numbers")


def robustness(model: nn.Module, dataset: data.Dataset, split: data.Split, *, eps: list[float],
               step_size: float | None = None, seed: int = 0, pgd_steps: int = 40) -> dict:  # fmt: skip
    """One row of Table 1 with the worst case and the masking checks, sizes in the data's unit.

    ``step_size`` is a quarter of the largest ``eps`` unless given. Raises InputError or NetworkError before any attack.
    """
    check_options({"eps": eps, "step_size": step_size, "seed": seed, "pgd_steps": pgd_steps}, dataset)
    check_fit(model, split, dataset.classes)
    step_size = eps[-1] / 4 if step_size is None else step_size
    generator = torch.Generator().manual_seed(seed)
    values, _ = evaluate.robustness(
        model, split.x, split.y, eps=eps, step_size=step_size, pixel_scale=dataset.pixel_scale, pgd_steps=pgd_steps,
        generator=generator, progress=True,
    )  # fmt: skip
    middle = dataset.to_input(eps[len(eps) // 2])
    values["masking"] = evaluate.masking(
        model, split.x, split.y, eps=middle, step_size=dataset.to_input(step_size), generator=generator
    )
    return values


def indicators(model: nn.Module, dataset: data.Dataset, split: data.Split, *, eps: float) -> dict:
    """Medians of the indicator over the images, without any attack; ``eps`` in the data's unit.

    Raises InputError, or NetworkError if the indicator of any image is not finite.
    """
    check_options({"eps": eps}, dataset)
    check_fit(model, split, dataset.classes)
    report = indicator.report(model, split.x, split.y, eps=dataset.to_input(eps))
    for name, column in report.items():
        _check_finite(f"the values of {name}", column)
    share = report.pop("linear_robust")
    medians = {name: evaluate.median_interval(column) | {"unit": ""} for name, column in report.items()}
    return medians | {"linear_robust": evaluate.wilson(int(share.sum()), len(share))}


def plane(model: nn.Module, dataset: data.Dataset, split: data.Split, *, image: int, eps: float, steps: int,
          objective: str = "decision", seed: int = 0) -> surface.Surface:  # fmt: skip
    """The surface around one test image: alpha along the signs of the C&W gradient, beta along random signs made
    orthogonal to it, ``steps`` points from -eps to eps each; ``eps`` in the data's unit.

    Raises InputError, or NetworkError if the surface is not finite.
    """
    asked = {"image": image, "eps": eps, "steps": steps, "objective": objective, "seed": seed}
    check_options(asked, dataset, split)
    x, y = split.x[image : image + 1], split.y[image : image + 1]
    for tried in (split, data.Split(x, y)):
        check_fit(model, tried, dataset.classes)
    generator = torch.Generator().manual_seed(seed)
    u, v = surface.input_plane(model, x, y, direction="adversarial", generator=generator)
    axis = np.linspace(-1, 1, steps) * dataset.to_input(eps)
    f = surface.input_function(model, int(y), SURFACES[objective])
    found = surface.surface(f, x[0], u[0], v[0], alpha=axis, beta=axis, clip=(0, 1), progress=True)
    broken = int((~np.isfinite(found.values)).sum())
    if broken:
        raise NetworkError(f"the surface is not finite at {broken} of {found.values.size} points; allowed are finite logits")
    return found
