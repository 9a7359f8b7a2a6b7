"""The searches for a penalty that ``experiments.yml`` describes."""

from press.plan import experiments
from press.plan.settings import ExperimentError

FIELDS = {"reference", "eps", "slack", "n", "shortened", "candidates"}


def described(name: str, profile: str) -> dict:
    """The search called ``name`` in ``experiments.yml``. Raises ExperimentError, naming what is wrong."""
    searches = (experiments.load().get("searches") or {}).get(experiments.column(profile)) or {}
    if name not in searches:
        allowed = ", ".join(searches) or "none in this profile"
        raise ExperimentError(f"search is {name!r}; allowed are {allowed}")
    found = searches[name]
    if set(found) != FIELDS:
        raise ExperimentError(f"search {name} has {sorted(found)}; allowed are exactly {sorted(FIELDS)}")
    for candidate in [{}, *found["candidates"]]:
        experiments.recipe(profile, experiments.derived_name(name, found["shortened"] | candidate))
    return found
