"""Whether numbers rank things as a target does: rank correlations with bootstrap intervals.

Things that belong together, such as networks of one recipe with several seeds, are drawn together: they are no independent
evidence.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from paperlib.intervals import SEED, Interval
from paperlib.refusal import reject

RESAMPLES = 1000


def spearman(values: Float[np.ndarray, "n p"], target: Float[np.ndarray, "n"]) -> Float[np.ndarray, "p"]:
    """Spearman's rank correlation of every column with the target, ties at their mean rank; NaN where one is constant."""
    return _correlation(_centred(rankdata(values, axis=0)), _centred(rankdata(target)[:, None]))


def partial(
    values: Float[np.ndarray, "n p"], target: Float[np.ndarray, "n"], given: Float[np.ndarray, "n q"]
) -> Float[np.ndarray, "p"]:
    """The same beside what ``given`` explains: the correlation of what a linear fit to its ranks leaves of both ranks.

    NaN where nothing is left, as of a column that is among the given ones.
    """
    known, rank = np.linalg.qr(np.column_stack([np.ones(len(target)), _centred(rankdata(given, axis=0))]))
    known = known[:, np.abs(np.diag(rank)) > 1e-9 * len(target)]
    whole = _centred(rankdata(values, axis=0)), _centred(rankdata(target)[:, None])
    left = [part - known @ (known.T @ part) for part in whole]
    # what is left of a column that the fit explains is rounding
    nothing = np.linalg.norm(left[0], axis=0) <= 1e-9 * np.maximum(np.linalg.norm(whole[0], axis=0), 1e-300)
    return np.where(nothing, np.nan, _correlation(*left))


def _centred(ranks: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    return ranks - ranks.mean(0)


def _correlation(a: Float[np.ndarray, "n p"], b: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, "p"]:
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        # five things can have exactly 0.8: no rounding error may decide a rule that asks for it
        return np.where(lengths > 0, ((a * b).sum(0) / lengths).round(12), np.nan)


def within(
    values: Float[np.ndarray, "n p"], target: Float[np.ndarray, "n"], group: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "p"]:
    """``spearman`` inside each group, averaged with the groups' sizes as weights; groups in which it is NaN do not count."""
    members = [group == each for each in np.unique(group)]
    found = np.array([spearman(values[of], target[of]) for of in members])
    sizes = np.array([of.sum() for of in members])[:, None] * np.isfinite(found)
    with np.errstate(invalid="ignore"):
        return np.nansum(found * sizes, axis=0) / np.where(sizes.sum(0) > 0, sizes.sum(0), np.nan)


def with_intervals(
    statistic: Callable[[Int[np.ndarray, "m"]], Float[np.ndarray, "p"]], together: Sequence[object],
    strata: Sequence[object] | None = None,
) -> list[Interval | None]:  # fmt: skip
    """``statistic`` of all things (their indices), each number with the ends of its 95 % bootstrap interval (percentile).

    ``together``: one word a thing; things with the same word are drawn together. ``strata``: of each stratum as many such
    sets are drawn as it has. None for a number that does not exist, or that fewer than half of the draws have.
    """
    strata = [0] * len(together) if strata is None else strata
    reject(len(strata) != len(together), f"strata has {len(strata)} words for {len(together)} things; allowed is one each")
    sets: dict[object, dict[object, list[int]]] = {}
    for index, (stratum, word) in enumerate(zip(strata, together, strict=True)):
        sets.setdefault(stratum, {}).setdefault(word, []).append(index)
    rng, of = np.random.default_rng(SEED), [list(each.values()) for each in sets.values()]
    drawn = []
    for _ in range(RESAMPLES):
        picked = [each[k] for each in of for k in rng.integers(len(each), size=len(each))]
        drawn.append(statistic(np.concatenate(picked)))
    drawn = np.array(drawn)
    return [_interval(*pair, len(together)) for pair in zip(statistic(np.arange(len(together))), drawn.T, strict=True)]


def _interval(value: float, drawn: Float[np.ndarray, "k"], n: int) -> Interval | None:
    there = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(there) < len(drawn) / 2:
        return None
    low, high = np.quantile(there, [0.025, 0.975])
    return {"mean": float(value), "low": float(low), "high": float(high), "n": n, "unit": ""}
