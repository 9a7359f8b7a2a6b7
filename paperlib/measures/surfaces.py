"""Surfaces around images and weights, and the numbers taken from them (Figs. 1 to 3, 6, 7, 9, 11 to 14)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from paperlib import indicator as slopes
from paperlib.evaluate import correct, survivors
from paperlib.intervals import Interval, interval, spearman
from paperlib.measures.comparisons import accuracies, averages, nested
from paperlib.measures.planes import Grid, Planes, boundary, grid_axis, images_drawn, picture, planes
from paperlib.measures.shapes import MEASURES, Axis, Grids
from paperlib.objective import SURFACES
from paperlib.panels import Panel, measured
from paperlib.panels import panels as panels_of
from paperlib.record import Measured
from paperlib.refusal import reject
from paperlib.train import Trained

PerImage = dict[str, Float[np.ndarray, "samples"]]


@dataclass(frozen=True)
class Scene:
    """The networks by role, the test images, which of them each network classifies rightly, and the indices of those that
    every one does, in the order of the test set."""

    networks: dict[str, nn.Module]
    x: Float[Tensor, "n c h w"]
    y: Int[Tensor, "n"]
    right: dict[str, Bool[Tensor, "n"]]
    chosen: Int[Tensor, "m"]

    def of(self, role: str, index: Int[Tensor, "k"]) -> tuple[nn.Module, Tensor, Tensor]:
        """A network, and images with their labels."""
        return self.networks[role], self.x[index], self.y[index]


def measure(
    networks: dict[str, Trained], *, panels: list[dict], levels: list[str], unit: float, extent: float, steps: int,
    eps: float, image: int, seed: int, images: int, measures: list[str], measured_extent: float, measured_steps: int,
    compare: dict[str, list[str]], reach: float, parameter_extent: float, parameter_steps: int, pairs: int, sample: int,
    attacked: int, attack_steps: int, indicator: bool, h: float, toy: bool, device: str, store: Path,
) -> Measured:  # fmt: skip
    """Each panel's surface at the drawn image; the measures of each group of panels, ``levels``, over many images or along
    several pairs of directions; what ``compare`` asks for; and accuracies, under attack as well. Surfaces are kept below
    ``store``, and go on where they were interrupted."""
    data, scene = next(iter(networks.values())).dataset, scene_of(networks, device)
    step, ball = data.to_input(unit), data.to_input(eps)
    axes = {"input": grid_axis(extent, steps), "parameter": grid_axis(parameter_extent, parameter_steps)}
    coarse = axes | {"input": grid_axis(measured_extent or eps / unit, measured_steps)}
    shown, index = panels_of(panels, list(networks)), scene.chosen[:images]
    grid = Grid(axes, step, seed, pairs, store / "parts")
    drawn, arrays = pictures(scene, shown, grid, image=image, sample=sample, eps=ball)
    groups = measured(shown, levels)
    found = measured_planes(scene, groups, drawn, replace(grid, axes=coarse), index)
    taken = {
        key: group_samples(measures, found[key], *scene.of(panel.role, index), eps=eps / unit, unit=step, reach=reach)
        for key, panel in groups.items()
    }
    if indicator:
        add_indicators(taken, scene, index, h=h)
    held = unbroken(scene, attacked, eps=ball, steps=attack_steps, seed=seed)
    numbers = {"reach": reach, "unit": "px" if step == 1 / 255 else "steps"}
    numbers["geometric"] = all(panel.space == "parameter" for panel in shown)
    values = nested(averages(taken, compare, **numbers), accuracies(scene.right, held), correlation(found))
    arrays |= {f"{key}/{name}": sample for key, names in taken.items() for name, sample in names.items()}
    arrays["pixel_scale"] = np.array(data.pixel_scale)
    values |= {"toy": toy_logits()} if toy else {}
    return Measured(values, arrays, ((data, len(index)),), {"directions": seed})


def scene_of(networks: Mapping[str, Trained], device: str) -> Scene:
    """The test images of the first network's data set, seen by all networks."""
    test, models = next(iter(networks.values())).dataset.test, {role: each.model for role, each in networks.items()}
    x, y = test.x.to(device), test.y.to(device)
    right = {role: correct(model, x, y) for role, model in models.items()}
    return Scene(models, x, y, right, torch.stack(list(right.values())).all(0).nonzero()[:, 0])


def pictures(
    scene: Scene, shown: list[Panel], grid: Grid, *, image: int, sample: int, eps: float
) -> tuple[dict[Panel, Planes], dict[str, np.ndarray]]:
    """The panels' planes, at the drawn image or over ``sample`` images in parameter space, and what drawing them takes;
    ``eps`` on the [0, 1] scale."""
    order = images_drawn(next(iter(scene.networks.values())), scene.x, scene.y, scene.chosen, image=image)
    drawn, arrays = {}, {}
    for k, panel in enumerate(shown):
        reject(panel.image >= len(order), f"panel field image is {panel.image}; allowed are 0 to {len(order) - 1}")
        at = scene.of(panel.role, scene.chosen[:sample] if panel.space == "parameter" else order[panel.image, None])
        drawn[panel] = planes(panel, *at, grid)
        arrays |= {f"{name}_{k}": part for name, part in picture(*at, drawn[panel], eps=eps).items()}
    return drawn, arrays


def measured_planes(
    scene: Scene, groups: Mapping[str, Panel], drawn: Mapping[Panel, Planes], grid: Grid, index: Int[Tensor, "k"]
) -> dict[str, Planes]:
    """Each group's planes: in input space anew, around every image of ``index``; in parameter space those drawn."""
    return {
        key: drawn[panel] if panel.space == "parameter" else planes(panel, *scene.of(panel.role, index), grid)
        for key, panel in groups.items()
    }


def group_samples(
    names: list[str], found: Planes, model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float,
    unit: float, reach: float,
) -> PerImage:  # fmt: skip
    """The named measures of a group's planes, within the square of ``eps`` steps or, in parameter space, on all of them;
    ``distance`` goes up to ``reach`` steps of length ``unit`` along u. ValueError for an unknown name."""
    within, plain = math.inf if found.u is None else eps, [name for name in names if name != "distance"]
    taken = samples(plain, found.values, found.axis, within)
    if "distance" in names:
        reject(found.u is None, "measures holds distance in parameter space; allowed is input space")
        taken["distance"] = boundary(model, x, y, found.u, unit=unit, reach=reach)
    return taken


def samples(names: list[str], values: Grids, axis: Axis, eps: float) -> PerImage:
    """The named measures, one number for each image or direction pair. ValueError for an unknown name."""
    unknown = ", ".join(name for name in names if name not in MEASURES)
    reject(bool(unknown), f"measures holds {unknown}; allowed are distance, {', '.join(MEASURES)}")
    return {name: MEASURES[name](values, axis, axis, eps) for name in names}


def add_indicators(taken: dict[str, PerImage], scene: Scene, index: Int[Tensor, "k"], *, h: float) -> None:
    """Adds each network's ``indicators`` under its role."""
    for role in scene.networks:
        taken.setdefault(role, {}).update(indicators(*scene.of(role, index), h=h))


def indicators(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, h: float) -> PerImage:
    """Each image's l2 norm of J, curvature at the finite scale ``h`` and norm of the cross-entropy Hessian."""
    J = slopes.jacobian(model, x, y)
    found = {
        "jacobian_norm": J.flatten(1).norm(dim=1), "hessian_ce_norm": slopes.cross_entropy_hessian_norm(model, x),
        "curvature": slopes.curvature_at_scale(model, x, y, h=h),
    }  # fmt: skip
    return {name: values.double().cpu().numpy() for name, values in found.items()}


def unbroken(scene: Scene, count: int, *, eps: float, steps: int, seed: int) -> dict[str, Bool[Tensor, "m"]]:
    """Which of the first ``count`` images, right to begin with, stay right for each network under PGD on the cross-entropy
    and on the margin, from random starts of one seed; ``eps`` on the [0, 1] scale. Empty where ``count`` is 0."""
    found, x, y = {}, scene.x[:count], scene.y[:count]
    for role, network in scene.networks.items() if count else ():
        generator = torch.Generator().manual_seed(seed)
        right = scene.right[role][: len(x)]
        found[role] = survivors(network, x, y, right, eps=eps, steps=steps, restarts=1, generator=generator)
    return found


def correlation(found: Mapping[str, Planes]) -> dict[str, Interval]:
    """``correlation``: plane by plane, the rank correlation of the loss with S; empty where the groups are no such pair."""
    if not {"loss", "decision"} <= found.keys():
        return {}
    both = zip(found["loss"].values, found["decision"].values, strict=True)
    return {"correlation": interval([spearman(*pair) for pair in both], "")}


def toy_logits() -> dict[str, list[float] | float]:
    """Ten logits (m, 0, ..., 0) of class 0: ``margin`` m = S from -9 to 9 in equal steps, and their cross-entropy ``loss``.

    ``blank_from`` is the smallest margin after which the next step changes the loss by less than 1 % of its range.
    """
    margin = np.linspace(-9, 9, 10)
    Z = torch.zeros(10, 10, dtype=torch.float64)
    Z[:, 0] = torch.as_tensor(margin)
    y = torch.zeros(10, dtype=torch.long)
    loss = SURFACES["loss"](Z, y).numpy()
    still = np.abs(np.diff(loss)) < 0.01 * (loss.max() - loss.min())
    first = float(margin[int(np.argmax(still))])
    return {"margin": SURFACES["decision"](Z, y).tolist(), "loss": loss.tolist(), "blank_from": first}
