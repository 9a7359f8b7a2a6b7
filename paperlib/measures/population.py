"""Whether numbers of a network foretell its robustness: over many networks, and image by image."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import fingerprint, sealed
from paperlib.cascade import LEVELS, worst_case
from paperlib.clever import clever
from paperlib.data import Dataset
from paperlib.intervals import Interval
from paperlib.measures import tables
from paperlib.predictors import POINTWISE, PROMISE, Effort, pointwise, predictors
from paperlib.ranking import partial, spearman, with_intervals, within
from paperlib.recipe import METHODS
from paperlib.record import Measured
from paperlib.refusal import reject
from paperlib.train import Trained

# the paper's indicator, and what it may owe to something else
INDICATOR, BESIDE = "mean_J", ("clean", "logit_scale")
# members that a group of networks needs, or nothing is said of its order
LEAST = 5
# target of the minimal distance: every size of the ladder
LADDER = "short"


def measure(
    networks: dict[str, Trained], *, images: int, level: str, eps: list[float], hessian_images: int, beta: float, h: float,
    clever_images: int, batches: int, samples: int, targets: int, weights_images: int, directions: int, radius: float,
    attack_steps: int, imagewise: list[str], points: int, clever_points: int, reach: float, rungs: int, seed: int,
    device: str, store: Path,
) -> Measured:  # fmt: skip
    """Every network's predictors and worst case on the same images, and how well the first rank the second; of the networks
    ``imagewise`` the same image by image. What is done of each network is kept in ``store``.

    Sizes are in the data's own unit. All correlations are signed so that 1 is the order that the predictor promises.
    """
    effort = Effort(
        hessian_images, beta, h, clever_images, batches, samples, targets, weights_images, directions, radius, attack_steps
    )
    data = _checked(networks, imagewise)
    x, y = tables.inputs(data, images, device)
    sizes, parts = [data.to_input(size) for size in eps], store / "parts"
    settings = {"eps": sizes, "level": level, "effort": asdict(effort), "seed": seed}
    judged = [
        network_part(networks[role], model, x, y, settings, parts, tables.batch(device))
        for role, model in tables.ready(networks).items()
    ]
    worst = np.array([part["worst"] for part in judged]).T
    numbers = np.array([[part["predictors"][name] for name in PROMISE] for part in judged], dtype=float).transpose(2, 0, 1)
    values = orders(numbers, worst, networks, [f"{size:g}" for size in eps])
    x, y = tables.inputs(data, points, device)
    ladder = [data.to_input(reach) * (k + 1) / rungs for k in range(rungs)]
    each = {
        role: image_part(networks[role], x, y, ladder, clever_points, effort, seed, parts, tables.batch(device))
        for role in imagewise
    }
    values["image"] = {role: image_orders(of) for role, of in each.items()}
    arrays = {"worst": worst, "numbers": numbers, "predictors": np.array(list(PROMISE))}
    arrays |= {f"{name}/{role}": array for role, of in each.items() for name, array in of.items()}
    return Measured(values, arrays, ((data, max(images, points)),), {"attack": seed})


def _checked(networks: dict[str, Trained], imagewise: list[str]) -> Dataset:
    """The data set of all networks; InputError where there are several, where two networks have one recipe, which would
    count twice, or where one of ``imagewise`` is no network."""
    sets = {each.dataset.name: each.dataset for each in networks.values()}
    reject(len(sets) > 1, f"models are of the data sets {', '.join(sets)}; allowed is one, for all see the same images")
    recipes: dict[str, str] = {}
    for role, each in networks.items():
        first = recipes.setdefault(str(each.recipe), role)
        reject(first != role, f"models {first} and {role} have the same recipe; allowed are different ones")
    unknown = [role for role in imagewise if role not in networks]
    reject(bool(unknown), f"imagewise holds {', '.join(unknown)}; allowed are {', '.join(networks)}")
    return next(iter(sets.values()))


# One network.


def network_part(
    trained: Trained, model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], settings: dict, parts: Path,
    batch: int,
) -> dict:  # fmt: skip
    """``worst``: the share of the images (percent) that no attack breaks, at each size; ``predictors``: each one's numbers.

    From the folder ``parts``, where it lies under a hash of weights, images, settings and code; else made and put there.
    """
    path = _part("population", trained, settings, x, y, parts)
    try:
        part = sealed.read_json(path, "worst", "predictors")
    except sealed.DamagedError:
        found = worst_case(
            model, x, y, eps=settings["eps"], cascade=LEVELS[settings["level"]], seed=settings["seed"], batch=batch
        )
        numbers = predictors(model, x, y, eps=settings["eps"], effort=Effort(**settings["effort"]), seed=settings["seed"])
        part = {
            "worst": [100 * float(row.double().mean()) for row in found.unbroken],
            # JSON has no NaN
            "predictors": {name: [v if math.isfinite(v) else None for v in row] for name, row in numbers.items()},
        }
        sealed.write_json(path, part)
    return part


def _part(kind: str, trained: Trained, settings: dict, x: Tensor, y: Tensor, parts: Path) -> Path:
    code = [fingerprint.code_of(f"paperlib.{module}") for module in ("predictors", "cascade")]
    return parts / f"{kind}-{fingerprint.tensors_digest([trained.sha256, code, settings], x, y)[:16]}.json"


# The order of many networks.


def orders(
    numbers: Float[np.ndarray, "e n p"], worst: Float[np.ndarray, "e n"], networks: dict[str, Trained], sizes: list[str]
) -> dict:
    """How well each predictor ranks the networks by their worst case, by size: ``across`` all, ``within`` methods
    (averaged), ``partial`` given clean accuracy and the logits' scale, ``beyond`` the indicator; ``lead`` is the indicator's
    correlation minus each one's; ``penalised`` and ``others`` are the networks trained with and without a penalty on a
    slope, ``method`` each method's own. Of groups of fewer than ``LEAST`` nothing is said.
    """
    signed = numbers * np.array(list(PROMISE.values()))
    # of a network that has no such number, such as one that is wrong on every image, the worst
    signed = np.where(np.isfinite(signed), signed, -np.inf)
    method = np.array([role.partition("-")[0] for role in networks])
    recipes = np.array([_recipe(each) for each in networks.values()])
    penalised = np.array([METHODS[each.recipe.method].penalty for each in networks.values()])

    def group(members: Bool[np.ndarray, "n"]) -> dict:
        index = members.nonzero()[0]
        if len(index) < LEAST:
            return {}
        return _by_name(lambda drawn: _all(spearman, signed, worst, index[drawn]), recipes[index], sizes)

    large = [name for name in dict.fromkeys(method) if (method == name).sum() >= LEAST]
    found = _across(signed, worst, recipes, sizes)
    found["within"] = _within(signed, worst, method, recipes, large, sizes)
    found |= {"penalised": group(penalised), "others": group(~penalised)}
    found["method"] = {name: group(method == name) for name in large}
    found["count"] = {
        "networks": len(networks), "recipes": len(set(recipes)), "penalised": int(penalised.sum()),
        "others": int((~penalised).sum()), **{name: int((method == name).sum()) for name in dict.fromkeys(method)},
    }  # fmt: skip
    found["range"] = {
        size: {"lowest": float(of.min()), "highest": float(of.max())} for size, of in zip(sizes, worst, strict=True)
    }
    return {name: of for name, of in found.items() if of}


def _recipe(trained: Trained) -> str:
    """The recipe without its seed: networks that differ in it alone are drawn together."""
    return str({name: value for name, value in trained.recipe.to_dict().items() if name != "seed"})


def _all(
    statistic: Callable, signed: Float[np.ndarray, "e n p"], worst: Float[np.ndarray, "e n"], drawn: Int[np.ndarray, "m"]
) -> Float[np.ndarray, "k"]:
    """A statistic of the drawn networks at every size, in a row."""
    return np.concatenate([statistic(of[drawn], target[drawn]) for of, target in zip(signed, worst, strict=True)])


def _by_name(statistic: Callable, together: np.ndarray, sizes: list[str], strata: object = None) -> dict:
    """predictor -> size -> interval of a statistic that has all predictors at the first size, then at the next."""
    return _named(with_intervals(statistic, list(together), strata), sizes)


def _named(row: list[Interval | None], sizes: list[str]) -> dict:
    names, found = list(PROMISE), {}
    for k, leaf in enumerate(row):
        if leaf is not None:
            found.setdefault(names[k % len(names)], {})[sizes[k // len(names)]] = leaf
    return found


def _across(signed: np.ndarray, worst: np.ndarray, recipes: np.ndarray, sizes: list[str]) -> dict:
    names = list(PROMISE)
    first, beside = names.index(INDICATOR), [names.index(name) for name in BESIDE]

    def statistics(drawn: Int[np.ndarray, "m"]) -> Float[np.ndarray, "k"]:
        plain = _all(spearman, signed, worst, drawn)
        given = _all(lambda P, t: partial(P, t, P[:, beside]), signed, worst, drawn)
        beyond = _all(lambda P, t: partial(P, t, P[:, [first]]), signed, worst, drawn)
        own = plain.reshape(len(sizes), -1)[:, [first]]
        return np.concatenate([plain, given, beyond, (own - plain.reshape(len(sizes), -1)).ravel()])

    row = with_intervals(statistics, list(recipes))
    length = len(row) // 4
    parts = [row[k * length : (k + 1) * length] for k in range(4)]
    found = {name: _named(of, sizes) for name, of in zip(("across", "partial", "beyond", "lead"), parts, strict=True)}
    found["lead"].pop(INDICATOR, None)
    return found


def _within(
    signed: np.ndarray, worst: np.ndarray, method: np.ndarray, recipes: np.ndarray, large: list[str], sizes: list[str]
) -> dict:
    """Averaged over the methods that are ``large`` enough; of each as many recipes are drawn as it has."""
    index = np.isin(method, large).nonzero()[0]
    if len(index) == 0:
        return {}
    group = np.array([large.index(name) for name in method[index]])

    def statistic(drawn: Int[np.ndarray, "m"]) -> Float[np.ndarray, "k"]:
        return _all(lambda P, t: within(P, t, group[drawn]), signed, worst, index[drawn])

    return _by_name(statistic, recipes[index], sizes, list(group))


# Image by image.


def image_part(
    trained: Trained, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], ladder: list[float], clever_points: int,
    effort: Effort, seed: int, parts: Path, batch: int,
) -> dict[str, Float[np.ndarray, "n"]]:  # fmt: skip
    """Of each image: ``distance``, the smallest size of the ``ladder`` at which an attack breaks it (0 for a misclassified
    one, infinite for one that none breaks), and the predictors ``POINTWISE``; CLEVER's for the first ``clever_points``, NaN
    beyond."""
    model = tables.ready({"": trained})[""]
    of = f"{trained.sha256} {fingerprint.code_of('paperlib.cascade')}"
    found = worst_case(model, x, y, eps=ladder, cascade=LEVELS[LADDER], seed=seed, batch=batch, store=parts, of=of)
    settings = {"points": clever_points, "reach": ladder[-1], "effort": asdict(effort), "seed": seed}
    path = _part("pointwise", trained, settings, x, y, parts).with_suffix(".npz")
    try:
        numbers = sealed.read_arrays(path)
    except sealed.DamagedError:
        each = pointwise(model, x, y, h=effort.h)
        each["clever"] = torch.full_like(each["S"], torch.nan)
        each["clever"][:clever_points] = clever(
            model, x[:clever_points], y[:clever_points], radius=ladder[-1], batches=effort.batches, samples=effort.samples,
            targets=effort.targets, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        numbers = {name: each[name].cpu().numpy() for name in POINTWISE}
        sealed.write_arrays(path, **numbers)
    return {"distance": first_broken(found.unbroken, found.broken_by[0] == 0, ladder)} | numbers


def first_broken(unbroken: Bool[Tensor, "e n"], wrong: Bool[Tensor, "n"], ladder: list[float]) -> Float[np.ndarray, "n"]:
    """The smallest size at which each image is broken; 0 where it is ``wrong`` as it is, infinite where it never breaks."""
    steps = unbroken.cpu().numpy().sum(0)
    return np.where(wrong.cpu().numpy(), 0.0, np.array([*ladder, np.inf])[steps])


def image_orders(of: dict[str, Float[np.ndarray, "n"]]) -> dict[str, Interval]:
    """The rank correlation of each predictor with the minimal distance over the rightly classified images, signed as
    ``POINTWISE`` promises."""
    found = {}
    for name, promise in POINTWISE.items():
        there = np.isfinite(of[name]) & (of["distance"] > 0)
        values, target = promise * of[name][there, None], of["distance"][there]
        if len(target) >= LEAST:
            (leaf,) = with_intervals(lambda drawn, v=values, t=target: spearman(v[drawn], t[drawn]), range(len(target)))
            found |= {} if leaf is None else {name: leaf}
    return found
