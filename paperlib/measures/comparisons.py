"""Measures of many images in one number each: averages, ratios, differences image by image, and accuracies."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from paperlib.intervals import Interval, accuracy, distances, interval, paired_flags, ratio
from paperlib.measures.shapes import MEDIANS, UNITS
from paperlib.refusal import reject

PerGroup = Mapping[str, Mapping[str, np.ndarray]]


def averages(
    per_group: PerGroup, compare: Mapping[str, list[str]], *, reach: float, unit: str, geometric: bool
) -> dict:  # fmt: skip
    """Each group's ``summary`` under its name, and the groups ``compared``."""
    summaries = {key: summary(per_image, reach=reach, unit=unit) for key, per_image in per_group.items()}
    return nested(summaries, compared(compare, per_group, reach=reach, unit=unit, geometric=geometric))


def summary(per_image: Mapping[str, np.ndarray], *, reach: float, unit: str) -> dict:
    """Each measure's interval over the images; ``distance`` as ``distances`` has it."""
    found = {}
    for name, values in per_image.items():
        if name == "distance":
            found[name] = distances(values, reach=reach, unit=unit)
        else:
            found[name] = interval(values, UNITS.get(name), how="median" if name in MEDIANS else "mean")
    return found


def compared(
    compare: Mapping[str, list[str]], per_group: PerGroup, *, reach: float, unit: str, geometric: bool = False
) -> dict[str, dict[str, Interval]]:
    """The comparisons asked for: ``ratio/<measure>: [first, second]`` (``geometric``, or as ``MEDIANS`` says), and
    ``paired/<measure>: [first, second]``, first minus second image by image. A ratio without a positive divisor is left
    out. ValueError for another kind, or for groups and measures that were not taken.
    """
    found: dict = {}
    for key, groups in compare.items():
        kind, name = _asked(key, groups, per_group)
        # a boundary that was not reached lies at least as far as it was searched
        limit = reach if name == "distance" else np.inf
        a, b = (np.minimum(per_group[group][name], limit) for group in groups)
        if kind == "paired":
            # a difference of percentages is in points
            value = interval(a - b, unit if name == "distance" else UNITS.get(name, "points"))
        else:
            value = ratio(a, b, how="geometric" if geometric else "median" if name in MEDIANS else "mean")
        found.setdefault(kind, {}).update({name: value} if value else {})
    return found


def _asked(key: str, groups: list[str], per_group: PerGroup) -> tuple[str, str]:
    """Kind and measure of a comparison that can be made."""
    kind, _, name = key.partition("/")
    reject(kind not in ("ratio", "paired") or not name, f"compare holds {key!r}; allowed are ratio/..., paired/...")
    reject(len(groups) != 2, f"compare has {len(groups)} groups at {key!r}; allowed are two, the first against the second")
    taken = "; ".join(f"{group}: {', '.join(names)}" for group, names in per_group.items())
    for group in groups:
        reject(name not in per_group.get(group, {}), f"compare asks for {name} of {group!r}; taken are {taken}")
    return kind, name


def accuracies(clean: Mapping[str, Bool[Tensor, "n"]], attacked: Mapping[str, Bool[Tensor, "m"]]) -> dict:
    """``<role>/clean`` and ``<role>/attacked`` in percent, and ``paired``, the last role minus the first, in points;
    without the role's name where there is only one.
    """
    found: dict = {role: {} for role in clean}
    for name, flags in (("clean", clean), ("attacked", attacked)):
        for role, flag in flags.items():
            found[role][name] = accuracy(flag)
        if len(flags) > 1:
            first, *_, last = flags.values()
            found.setdefault("paired", {})[name] = paired_flags(last, first)
    return found if len(clean) > 1 else next(iter(found.values()))


def nested(*parts: Mapping[str, object]) -> dict:
    """Mappings joined into one of mappings, a key ``a/b`` as ``b`` inside ``a``.

    >>> nested({"a/b": {"c": 1}}, {"a": {"d": 2}})
    {'a': {'b': {'c': 1}, 'd': 2}}
    """
    found: dict = {}
    for part in parts:
        for path, leaf in part.items():
            place = found
            *above, last = path.split("/")
            for key in above:
                place = place.setdefault(key, {})
            both = isinstance(leaf, Mapping) and isinstance(place.get(last), dict)
            place[last] = nested(place[last], leaf) if both else leaf
    return found
