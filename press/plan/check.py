"""A whole profile checked before anything runs."""

from press.plan import settings
from press.plan.experiments import artifact, column, keys, load, profiles, recipe, words_path
from press.plan.searches import described
from press.plan.settings import ExperimentError, mapping


def check(profile: str) -> None:
    """Checks everything of a profile before anything runs; raises ExperimentError with the first fault."""
    for name in load()["recipes"][profile] or {} if profile in profiles() else []:
        recipe(profile, name)
    for key in keys(profile):
        spec = artifact(profile, key)
        for name in spec.models.values():
            recipe(profile, name)
        spec.check(where=f" of artifact {key} ({profile})")
        if (settings.ROOT / "book" / "figures").is_dir() and not words_path(key).is_file():
            raise ExperimentError(f"artifact {key} has no words in book/figures/{key}.md, which its page needs")
    for name in mapping((load().get("searches") or {}).get(column(profile)), f"searches of profile {profile}"):
        described(name, profile)
