"""Numbers in words, and where they lie among nested values."""

import math
import re

from paperlib.refusal import reject


def formatted(leaf: object) -> str:
    """A number with three significant digits, an interval as ``98.4 % [97.9, 98.8]`` (or in its own ``unit``).

    >>> formatted({"mean": 98.4, "low": 97.91, "high": 98.8, "n": 450}), formatted(0.012345), formatted(12345)
    ('98.4 % [97.9, 98.8]', '0.0123', '12345')
    """
    if is_interval(leaf):
        percent = "unit" not in leaf
        low, mean, high = (f"{leaf[key]:.1f}" if percent else short(leaf[key]) for key in ("low", "mean", "high"))
        return " ".join(part for part in (mean, "%" if percent else leaf["unit"], f"[{low}, {high}]") if part)
    keys = ", ".join(leaf) if isinstance(leaf, dict) else ""
    reject(isinstance(leaf, dict), f"a group of numbers was asked for as one; it has the keys {keys}")
    if isinstance(leaf, list):
        return ", ".join(map(formatted, leaf))
    return short(leaf) if isinstance(leaf, int | float) and not isinstance(leaf, bool) else str(leaf)


def is_interval(leaf: object) -> bool:
    """Whether it is an estimate with its ends."""
    return isinstance(leaf, dict) and {"mean", "low", "high"} <= leaf.keys()


def short(number: float) -> str:
    """Three significant digits; whole where it is large."""
    if isinstance(number, int) or number == 0 or not math.isfinite(number):
        return f"{number:.0f}"
    return f"{number:.1e}" if abs(number) < 1e-3 else f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def lies(interval: dict, reference: float) -> str:
    """How an interval lies to a number: ``above 1``, ``below 1``, ``not to be told from 1``."""
    if interval["low"] > reference:
        return f"above {reference:g}"
    return f"below {reference:g}" if interval["high"] < reference else f"not to be told from {reference:g}"


def leaf_at(node: object, keys: tuple | list) -> object:
    """What lies at the path ``keys`` below ``node``, None where nothing does.

    ``@1`` is the second key of a level of numbers in increasing order: epsilons differ between profiles.
    """
    for key in map(str, keys):
        node = _step(node, key)
    return node


def _step(node: object, key: str) -> object:
    if not isinstance(node, dict):
        return None
    if re.fullmatch(r"@\d+", key):
        numbers = [name for name in node if re.fullmatch(r"[\d.]+", name)]
        sentence = f"{key} counts numbers in increasing order, but the keys there are {', '.join(node)}"
        reject(len(numbers) < len(node), sentence)
        key = dict(enumerate(sorted(numbers, key=float))).get(int(key[1:]))
    return node.get(key)


def leaves(node: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """All numbers, words and intervals below ``node`` by their path; lists and nothings are left out."""
    if isinstance(node, dict) and not is_interval(node):
        return {key: leaf for name, item in node.items() for key, leaf in leaves(item, (*path, name)).items()}
    return {} if node is None or isinstance(node, list) else {path: node}
