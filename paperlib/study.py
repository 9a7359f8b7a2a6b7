"""From networks and images to the ``values`` of a record: what several cells of a notebook would otherwise spell out.

Leaves are as a record has them: numbers, words, or intervals over images (``paperlib.measure``).
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import indicator, measure, surface
from paperlib.attack import attack as attacked
from paperlib.evaluate import Interval, accuracy, correct, pgd_step
from paperlib.objective import cross_entropy, decision
from paperlib.state import evaluating, reject
from paperlib.tracker import Success

# The Hessian and its eigenvalues (Fig. 8).

HESSIANS = {"hessian_relu": "H of S, ReLU", "hessian": "H of S, softplus", "hessian_ce": "H of the loss"}
THRESHOLDS = {f"1e-{k}": 10.0**-k for k in range(6, 0, -1)}


def hessians(
    network: Callable, smooth: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"]
) -> tuple[dict[str, Float[Tensor, "d d"]], dict[str, Float[Tensor, "n d"]]]:
    """The first image's Hessian of each kind of ``HESSIANS``, and all images' eigenvalues, ascending.

    Of S on the network as it is, of S on its copy ``smooth`` with softplus, and of the network's cross-entropy.
    """
    first, spectra = {}, {kind: [] for kind in HESSIANS}
    for image, label in zip(x, y.tolist(), strict=True):
        of_image = {
            "hessian_relu": indicator.hessian(network, image, label),
            "hessian": indicator.hessian(smooth, image, label),
            "hessian_ce": indicator.cross_entropy_hessian(network, image),
        }
        first = first or of_image
        for kind, H in of_image.items():
            spectra[kind].append(indicator.spectrum(H) if H.any() else H.new_zeros(len(H), dtype=torch.float64))
    return first, {kind: torch.stack(found) for kind, found in spectra.items()}


def sizes(entries: Float[Tensor, "n ..."]) -> dict[str, Interval]:
    """Intervals over images of the l2 norm, the mean and the largest magnitude of each image's entries.

    Of a spectrum, the l2 norm is the matrix's Frobenius norm.
    """
    of = indicator.norms(entries)
    return {name: over_images(of[key], "") for name, key in (("norm", "l2"), ("mean", "mean"), ("max", "linf"))}


def over_images(values: Float[Tensor, "n"], unit: str | None = None) -> Interval:
    """Mean with its interval, in percent unless a unit is named."""
    return measure.interval(values.detach().cpu().numpy(), unit)


def near_zero(entries: Float[Tensor, "n ..."]) -> dict[str, Interval]:
    """The share of entries (percent) with magnitude at most each of ``THRESHOLDS``."""
    return {
        name: over_images(100 * indicator.near_zero_ratio(entries, threshold=threshold))
        for name, threshold in THRESHOLDS.items()
    }


def rank(spectra: Float[Tensor, "n d"], *, tolerance: float = 1e-5) -> int:
    """The largest numerical rank: eigenvalues above ``tolerance`` times the image's largest."""
    magnitude = spectra.abs()
    return int((magnitude > tolerance * magnitude.amax(1, keepdim=True)).sum(1).max())


def matched(natural: Float[Tensor, "n ..."], robust: Float[Tensor, "n ..."], share: float) -> dict[str, float]:
    """The threshold at which ``share`` percent of the natural entries are near zero, and both networks' shares."""
    threshold = indicator.matching_threshold(natural, share / 100)
    shares = {
        role: 100 * float(indicator.near_zero_ratio(entries, threshold=threshold).mean())
        for role, entries in (("natural", natural), ("robust", robust))
    }
    return {"threshold": threshold, **shares}


def ratio(of: dict[str, Float[Tensor, "n ..."]]) -> Interval | None:
    """The natural network's mean l2 norm (of vectors, or plain numbers) over the robust one's, on the same images."""
    natural, robust = (of[role].reshape(len(of[role]), -1).norm(dim=1) for role in ("natural", "robust"))
    return measure.ratio(natural.cpu().numpy(), robust.cpu().numpy())


def noise_ratios(
    spread: dict[str, Float[Tensor, "n"]], J: dict[str, Float[Tensor, "n c h w"]]
) -> dict[str, Interval | None]:
    """The spread of S under noise, natural over robust; the same of the l2 norms of J, which to first order predict it;
    and the first over the second, image by image (median)."""
    length = {role: indicator.norms(values)["l2"] for role, values in J.items()}
    measured, predicted = (of["natural"] / of["robust"] for of in (spread, length))
    beyond = measure.interval((measured / predicted).cpu().numpy(), "×", how="median")
    return {"ratio": ratio(spread), "ratio_norm": ratio(J), "ratio_of_ratios": beyond}


def without_gaps(values: dict) -> dict:
    """The nested values without leaves that are None: a quantity that does not exist is left out of a record."""
    kept = {key: without_gaps(leaf) if isinstance(leaf, dict) else leaf for key, leaf in values.items()}
    return {key: leaf for key, leaf in kept.items() if leaf is not None}


# Accuracy under attack (Tables 1 and 2).

Flags = dict[tuple[str, float], Bool[Tensor, "n"]]
PAIRS = (
    ("ours", "natural"), ("ours", "crossentropy"), ("ours", "advtrain"), ("minmax", "ours"), ("minmax", "ours+advtrain"),
)  # fmt: skip
# (first, second, name): how much more the first falls than the second between the smallest and the largest eps
FALLS = (("crossentropy", "ours", "decay"), ("ours", "minmax", "exhaust"))


def paired(flags: dict[str, Flags]) -> dict:
    """Differences in points between networks on the same images: each of ``PAIRS`` by attack and eps, and ``FALLS``.

    ``flags``: network -> (attack, eps) -> whether each image was classified rightly, from ``evaluate.robustness``.
    """
    found: dict = {}
    for first, second in PAIRS:
        if first in flags and second in flags:
            both = {key: measure.paired_flags(flags[first][key], flags[second][key]) for key in flags[first]}
            found[f"{first}_minus_{second}"] = by_eps(both)
    for first, second, name in FALLS:
        if first in flags and second in flags:
            attacks = dict.fromkeys(attack for attack, _ in flags[first] if attack != "clean")
            found[name] = {attack: _falls(flags[first], flags[second], attack) for attack in attacks}
    return found


def by_eps(leaves: dict[tuple[str, float], object]) -> dict:
    """(attack, eps) -> leaf as attack -> eps -> leaf, and ``clean`` -> leaf."""
    found: dict = {}
    for (attack, eps), leaf in leaves.items():
        if attack == "clean":
            found[attack] = leaf
        else:
            found.setdefault(attack, {})[f"{eps:g}"] = leaf
    return found


def numbered(values: dict) -> dict:
    """The same values with eps told by its place, ``@0`` the smallest, so that one text fits every profile."""
    if values and all(_is_number(key) for key in values):
        values = {f"@{k}": values[key] for k, key in enumerate(sorted(values, key=float))}
    return {key: numbered(leaf) if isinstance(leaf, dict) else leaf for key, leaf in values.items()}


def _is_number(key: str) -> bool:
    return key.replace(".", "", 1).isdigit()


def _falls(first: Flags, second: Flags, attack: str) -> Interval:
    sizes = sorted(eps for name, eps in first if name == attack)
    fall, other = (of[attack, sizes[0]].double() - of[attack, sizes[-1]].double() for of in (first, second))
    return over_images(100 * (fall - other), "points")


def gains(flags: dict[str, Flags]) -> dict:
    """Each network's worst-case accuracy minus the natural one's, in points, by eps."""
    return {
        name: {
            f"{eps:g}": measure.paired_flags(flag, flags["natural"][attack, eps])
            for (attack, eps), flag in of.items() if attack == "worst"
        }
        for name, of in flags.items() if name != "natural"
    }  # fmt: skip


def vanishing(
    networks: dict[str, Callable], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, below: float
) -> dict:
    """The share of images (percent) where the l1 norm of the loss's gradient is ``below`` a number of nats, and the
    norm's ``median``: to first order, no change of the pixels by at most 1 raises the loss by more than that norm."""
    slope = {
        name: indicator.norms(indicator.jacobian(network, x, y, objective=cross_entropy))["l1"]
        for name, network in networks.items()
    }
    medians = {name: measure.interval(of.cpu().numpy(), "nats", how="median") for name, of in slope.items()}
    return {name: over_images(100.0 * (of < below)) for name, of in slope.items()} | {"median": medians}


def indicators(
    networks: dict[str, Callable], x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], flags: dict[str, Flags], eps: float
) -> dict:
    """The indicator of each network without any attack, and how well it foretells the worst case at ``eps``.

    ``mean``: of ``|J_i|``; ``distance``: S over the l1 norm of J, for rightly classified images; ``spearman``: the rank
    correlation of each with worst-case accuracy over the networks (smaller slopes, longer distances expected);
    ``auc``: the chance that an unbroken image has a longer distance than a broken one.
    """
    found: dict = {"mean": {}, "distance": {}, "auc": {}}
    for name, network in networks.items():
        right, unbroken = flags[name]["clean", 0.0], flags[name]["worst", eps]
        slope = indicator.norms(indicator.jacobian(network, x, y))
        distance = margins(network, x, y) / slope["l1"].clamp_min(1e-30)
        found["mean"][name] = over_images(slope["mean"], "")
        found["distance"][name] = over_images(distance[right], "")
        found["auc"][name] = auc(distance[right], unbroken[right])
    worst = [float(flags[name]["worst", eps].double().mean()) for name in networks]
    flat = {"magnitude": [-of["mean"] for of in found["mean"].values()],
            "distance": [of["mean"] for of in found["distance"].values()]}  # fmt: skip
    found["spearman"] = {name: _correlation(of, worst) for name, of in flat.items()}
    return without_gaps(found)


def margins(network: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """S of every image."""
    with torch.no_grad(), evaluating(network):
        return torch.cat([decision(network(a), b) for a, b in zip(x.split(500), y.split(500), strict=True)])


def _correlation(first: list[float], second: list[float]) -> float | None:
    correlation = measure.rank_correlation(np.array(first), np.array(second))
    return correlation if np.isfinite(correlation) else None


def auc(score: Float[Tensor, "n"], positive: Bool[Tensor, "n"]) -> float | None:
    """The chance that a positive example scores higher than a negative one, ties counting half: the area under the ROC
    curve. None where one of the two kinds is missing."""
    if positive.all() or not positive.any():
        return None
    difference = score[positive][:, None] - score[~positive][None, :]
    return float((difference > 0).double().mean() + (difference == 0).double().mean() / 2)


# Variants of one recipe: other seeds, other strengths (roles such as ``ours-1``: method, dash, seed).


def spread(rows: dict[str, dict]) -> dict:
    """For each method with several seeds: mean over them, with the lowest and the highest as its ends, by attack and eps.

    ``rows``: role -> values of ``evaluate.robustness``. ``n`` is the number of seeds: a range, no confidence interval.
    """
    seeded = [(*role.partition("-")[::2], row) for role, row in rows.items()]
    of = {method: [row for other, seed, row in seeded if other == method and seed.isdigit()] for method, _, _ in seeded}
    return {method: _ranges(found) for method, found in of.items() if len(found) > 1}


def _ranges(rows: list[dict]) -> dict:
    """The same nested keys, with the range of the rows' means at each interval."""
    if "mean" in rows[0]:
        means = [row["mean"] for row in rows]
        return {"mean": sum(means) / len(means), "low": min(means), "high": max(means), "n": len(means)}
    return {key: _ranges([row[key] for row in rows]) for key in rows[0]}


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


# What the settings of an attack change: keys ``<way>_<objective>``.

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


# Ways to the boundary (Fig. 4).

DIRECTIONS = {"random": "cw", "crossentropy": "cross_entropy", "leastlikely": "least_likely", "cw": "cw"}
WITHIN = (1, 3, 5, 10)


def plane(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], name: str, *, seed: int
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
    """u and v of one of ``DIRECTIONS``: random signs, or the first step of the attack on an objective of Eq. 3; v the
    same random signs each time, made orthogonal to u. All have the norm of a sign vector."""
    kind = "random" if name == "random" else "adversarial"
    generator = torch.Generator().manual_seed(seed)
    return surface.input_plane(model, x, y, direction=kind, climbs=DIRECTIONS[name], generator=generator)


def towards(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], u: Float[Tensor, "n c h w"], *, unit: float,
    extent: float, reach: float,
) -> dict[str, Float[np.ndarray, "n"]]:  # fmt: skip
    """For every image along its own u: ``distance`` to the boundary in steps of ``unit`` (inf beyond ``reach``), and
    ``contours``, the level lines of S crossed per step on the way there, at most to ``extent`` (``measure.contours``)."""
    t = np.arange(0, extent + 0.5)
    S = surface.surfaces(model, x, y, u, torch.zeros_like(u), objective=decision, alpha=unit * t, beta=np.zeros(1))
    distance = measure.boundary(model, x, y, u, unit=unit, reach=reach)
    return {"distance": distance, "contours": measure.contours(S[:, 0], t)}


def ways(found: dict[str, dict[str, Float[np.ndarray, "n"]]], *, reach: float) -> dict:
    """The numbers of Fig. 4 from ``towards`` of each direction; ratios to the random one are taken image by image.

    A boundary that is not reached counts as ``reach`` in a ratio of distances, which then is a lower bound.
    """
    values: dict = {"ratio": {"distance": {}, "contours": {}}}
    near = {name: np.minimum(of["distance"], reach) for name, of in found.items()}
    for name, of in found.items():
        values[name] = {
            "distance": measure.distances(of["distance"], reach=reach, unit="px"),
            "within": {str(k): measure.interval(100.0 * (of["distance"] <= k)) for k in WITHIN},
            "contours": measure.interval(of["contours"], "lines/step", how="median"),
        }
        if name != "random":
            distance, lines = near["random"] / near[name], of["contours"] / found["random"]["contours"]
            values["ratio"]["distance"][name] = measure.interval(distance, "×", how="median")
            values["ratio"]["contours"][name] = measure.interval(lines, "×", how="median")
    return values


def linear_ratio(J: Float[Tensor, "n c h w"], r: Float[Tensor, "n c h w"]) -> Interval:
    """How much farther the boundary would be along r than along the signs of J if S were affine: ``|J|_1 / |J.r|``, for
    the sign of r that leads down (median over images)."""
    ratio = J.flatten(1).abs().sum(1) / (J * r).flatten(1).sum(1).abs().clamp_min(1e-30)
    return measure.interval(ratio.cpu().numpy(), "×", how="median")


def noise_accuracy(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, sizes: list[float], unit: float, seed: int
) -> dict:
    """Accuracy as it is, and by size with the same random signs, ``sizes`` of ``unit`` ([0, 1] scale), in every pixel; and
    the paired differences."""
    r = surface.random_direction(x, generator=torch.Generator().manual_seed(seed))
    clean = correct(model, x, y)
    noisy = {f"{size:g}": correct(model, (x + size * unit * r).clamp(0, 1), y) for size in sizes}
    return {
        "noise": {"clean": accuracy(clean), "noisy": {size: accuracy(flags) for size, flags in noisy.items()}},
        "paired": {"noise": {size: measure.paired_flags(flags, clean) for size, flags in noisy.items()}},
    }


# The Jacobian as a picture (Figs. 10 and 15).


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


# What training costs (Sec. 5.2).


def cost(seconds: dict[str, list[float]], curves: dict[str, list[dict]]) -> dict[str, dict[str, Interval | int]]:
    """For each method ``seconds`` an epoch and how many times natural's that is (``over_natural``, round by round),
    medians over rounds; and the epochs until clean and adversarial accuracy on held-out images were near their best.

    ``seconds``: from ``train.epoch_seconds``; ``curves``: method -> the card's curve.
    """
    found: dict = {}
    for method, taken in seconds.items():
        found[method] = {"seconds": measure.interval(taken, "s", how="median")}
        if method != "natural":
            times = np.array(taken) / np.array(seconds["natural"])
            found[method]["over_natural"] = measure.interval(times, "×", how="median")
        found[method]["epochs"] = epochs_until(curves[method], "clean")
        found[method]["epochs_adversarial"] = epochs_until(curves[method], "adversarial")
    return found


def epochs_until(curve: list[dict], accuracy: str, *, within: float = 1.0) -> int:
    """The first epoch, counted from 1, whose accuracy lies at most ``within`` points below the best of all epochs."""
    values = [row[accuracy] for row in curve]
    return 1 + next(k for k, value in enumerate(values) if value >= max(values) - within)
