"""An estimate with its 95 % interval: shares, means, medians, ratios, and differences on the same images."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import binomtest, mannwhitneyu, spearmanr
from torch import Tensor

from paperlib.refusal import check_choice, check_positive, is_integer, reject

Interval = dict[str, float]
# of the bootstrap
RESAMPLES, SEED = 2000, 0


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a proportion (95 %), in percent: ``{mean, low, high, n}``.

    Raises ValueError unless 0 <= successes <= n and n >= 1.
    """
    fits = is_integer(n) and is_integer(successes) and n >= 1 and 0 <= successes <= n
    reject(not fits, f"successes is {successes} of n = {n}; allowed are 0..n with n >= 1")
    ends = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return {"mean": 100 * (successes / n), "low": 100 * float(ends.low), "high": 100 * float(ends.high), "n": n}


def mean_interval(values: Float[Tensor, "n"]) -> Interval:
    """Mean over images with a 95 % bootstrap interval (percentile, Efron 1979), in the values' unit."""
    return _bootstrap(values, lambda sample: sample.mean(1))


def median_interval(values: Float[Tensor, "n"]) -> Interval:
    """Median over images with a 95 % bootstrap interval; infinite values (nothing found) may take part."""
    return _bootstrap(values, lambda sample: sample.quantile(0.5, dim=1, interpolation="lower"))


def _bootstrap(values: Tensor, statistic: Callable) -> Interval:
    values = torch.as_tensor(values).double().flatten()
    reject(len(values) == 0, "values is empty; allowed is at least one")
    reject(bool(values.isnan().any()), "values holds NaN; allowed are numbers")
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.cat([
        statistic(values[torch.randint(len(values), (min(100, RESAMPLES - k), len(values)), generator=generator)])
        for k in range(0, RESAMPLES, 100)
    ])  # fmt: skip
    low, high = (float(drawn.quantile(q, interpolation="lower")) for q in (0.025, 0.975))
    return {"mean": float(statistic(values[None])), "low": low, "high": high, "n": len(values)}


def paired_flags(first: Bool[Tensor, "n"], second: Bool[Tensor, "n"]) -> Interval:
    """Accuracy of first minus second on the same images, in points, with its paired 95 % interval: Wald's with Bonett and
    Price's adjustment (2012), for which scipy has no function. Raises ValueError unless both have flags of the same images.
    """
    reject(len(first) != len(second) or len(first) == 0, f"first has {len(first)} images and second {len(second)}; "
           "allowed is the same number, at least one")  # fmt: skip
    first, second = first.bool(), second.bool()
    n, b, c = len(first), int((first & ~second).sum()), int((~first & second).sum())
    p1, p2 = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = 1.959964 * math.sqrt((p1 + p2 - (p1 - p2) ** 2) / (n + 2))
    centre = p1 - p2
    low, high = 100 * max(-1.0, centre - half), 100 * min(1.0, centre + half)
    return {"mean": 100 * (b - c) / n, "low": low, "high": high, "n": n, "unit": "points"}


def accuracy(flags: Bool[Tensor, "n"]) -> Interval:
    """Share of true flags as a Wilson interval."""
    return wilson(int(flags.sum()), len(flags))


def spearman(first: Float[np.ndarray, "*k"], second: Float[np.ndarray, "*k"]) -> float:
    """Spearman's rank correlation, ties at their mean rank, to twelve digits; NaN if one of the two is constant."""
    constant = np.ptp(first) == 0 or np.ptp(second) == 0
    # five networks can have exactly 0.8, which a claim asks for: no rounding error may decide it
    return math.nan if constant else round(float(spearmanr(first.ravel(), second.ravel()).statistic), 12)


def interval(values: Sequence[float] | Float[np.ndarray, "n"], unit: str | None = None, *, how: str = "mean") -> Interval:
    """Mean or median with its 95 % bootstrap interval; percent unless a ``unit`` is named.

    A mean of flags, 0 or 100 each, has Wilson's interval: the bootstrap's is a point where all of them agree.
    """
    check_choice("how", how, ("mean", "median"))
    if unit is None and how == "mean" and len(values) and np.isin(values, (0.0, 100.0)).all():
        return accuracy(torch.as_tensor(np.asarray(values)) > 0)
    found = (mean_interval if how == "mean" else median_interval)(torch.as_tensor(np.asarray(values, dtype=float)))
    return found if unit is None else found | {"unit": unit}


def ratio(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "m"], *, how: str = "mean") -> Interval | None:
    """First over second with a 95 % bootstrap interval, unit ×: of their means, of their medians, or the ``geometric``
    mean of the ratios one by one. Samples of equal length belong to the same images and are drawn together.

    None where a divisor is not positive: there is no such number. ValueError for another ``how`` or an empty sample.
    """
    statistics = {"mean": np.mean, "median": np.median, "geometric": lambda t, axis: np.exp(np.log(t).mean(axis))}
    check_choice("how", how, statistics)
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    reject(len(a) == 0 or len(b) == 0, "ratio has an empty sample; allowed is at least one value each")
    if how == "geometric" and min(a.min(), b.min()) <= 0:
        return None
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(a), size=(RESAMPLES, len(a)))
    drawn_b = drawn if len(a) == len(b) else rng.integers(len(b), size=(RESAMPLES, len(b)))
    above, below = statistics[how](a[drawn], axis=1), statistics[how](b[drawn_b], axis=1)
    whole = float(statistics[how](b, axis=0))
    if whole <= 0 or below.min() <= 0:
        return None
    low, high = np.quantile(above / below, [0.025, 0.975])
    mean = float(statistics[how](a, axis=0)) / whole
    return {"mean": mean, "low": float(low), "high": float(high), "n": min(len(a), len(b)), "unit": "×"}


def distances(t: Float[np.ndarray, "n"], *, reach: float, unit: str) -> dict:
    """Quartiles of distances to the boundary and the percentage of images that reach it; inf = not within ``reach``.

    A quartile that lies beyond ``reach`` is the word ``> reach unit``, since nothing more is known.
    """
    check_positive("reach", reach)
    reached = np.isfinite(t)
    capped = np.where(reached, t, reach)
    found = {"reached": interval(100.0 * reached)}
    for name, q in (("median", 0.5), ("q25", 0.25), ("q75", 0.75)):
        value = float(np.quantile(capped, q, method="lower"))
        known = interval(capped, unit, how="median") if name == "median" else value
        found[name] = known if value < reach else f"> {reach:g} {unit}"
    return found


def over_images(values: Float[Tensor, "n"], unit: str | None = None) -> Interval:
    """Mean with its interval, in percent unless a unit is named."""
    return interval(values.detach().cpu().numpy(), unit)


def without_gaps(values: dict) -> dict:
    """The nested values without leaves that are None: a quantity that does not exist is left out of a record."""
    kept = {key: without_gaps(leaf) if isinstance(leaf, dict) else leaf for key, leaf in values.items()}
    return {key: leaf for key, leaf in kept.items() if leaf is not None}


def auc(score: Float[Tensor, "n"], positive: Bool[Tensor, "n"]) -> float | None:
    """The chance that a positive example scores higher than a negative one, ties counting half: the area under the ROC
    curve, Mann and Whitney's U over the number of pairs. None where one of the two kinds is missing."""
    if positive.all() or not positive.any():
        return None
    higher, lower = (score[which].cpu().numpy() for which in (positive, ~positive))
    return float(mannwhitneyu(higher, lower, method="asymptotic").statistic) / (len(higher) * len(lower))
