"""What has changed between two records: every number with the interval of its change."""

import math
from collections.abc import Mapping

from paperlib.numbers import formatted, is_interval, leaf_at, leaves, short

SAME = "same"


def change(new: object, old: object) -> dict[str, object] | str | None:
    """New minus old with its 95 % interval, from the two intervals as if they were of independent samples (Zou and Donner
    2008: the square root of the sum of the squares of the distances between the estimates and their ends); on the same
    images it is wider than need be. A plain number has no interval, what is equal is the word ``same``; None where there is
    nothing to subtract.
    """
    if new == old and new is not None:
        return SAME
    if _is_number(new) and _is_number(old):
        return {"mean": new - old}
    if not (_is_estimate(new) and _is_estimate(old)) or new.get("unit") != old.get("unit"):
        return None
    difference = new["mean"] - old["mean"]
    down = math.hypot(new["mean"] - new["low"], old["high"] - old["mean"])
    up = math.hypot(new["high"] - new["mean"], old["mean"] - old["low"])
    # a difference of percentages is in points
    unit = new.get("unit", "points")
    return {"mean": difference, "low": difference - down, "high": difference + up, "unit": unit}


def is_told(found: dict[str, object] | str | None) -> bool:
    """Whether a change lies beyond its interval: 0 is not in it."""
    return isinstance(found, dict) and "low" in found and not found["low"] <= 0 <= found["high"]


def words(found: dict[str, object] | str | None) -> str:
    """A change as a reader sees it: ``+1.3 points [-0.4, 2.9]``; nothing where there is none."""
    if found is None or found == SAME:
        return found or ""
    sign = "+" if found["mean"] > 0 else ""
    return sign + (formatted(found) if "low" in found else short(found["mean"]))


def rows(new: Mapping, *others: Mapping) -> list[tuple[tuple[str, ...], object, list[object]]]:
    """Every number of the values ``new``, and those of others that it lacks, in order: path, leaf, the others' leaves."""
    paths = dict.fromkeys(path for values in (new, *others) for path in leaves(values))
    return [(path, _leaf(new, path), [_leaf(values, path) for values in others]) for path in paths]


def _leaf(values: Mapping, path: tuple[str, ...]) -> object:
    found = leaf_at(values, path)
    return found if not isinstance(found, dict) or is_interval(found) else None


def _is_number(leaf: object) -> bool:
    return isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)


def _is_estimate(leaf: object) -> bool:
    return is_interval(leaf) and all(_is_number(leaf[name]) for name in ("mean", "low", "high"))
