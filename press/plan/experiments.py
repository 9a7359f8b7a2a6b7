"""``experiments.yml`` read and checked: which artifact of the paper needs which notebook, parameters and models.

An *artifact* is a figure or table of the paper. A *profile* is a column of ``experiments.yml``. A *recipe* says how a
model is trained. Everything wrong is refused here, before anything runs, by an ``ExperimentError`` of one sentence.
"""

import dataclasses
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from paperlib import names
from paperlib.fingerprint import digest
from paperlib.recipe import Recipe
from paperlib.refusal import Refusal
from press.plan import ranges, settings
from press.plan.settings import (
    ExperimentError,
    choice,
    fields_of,
    listed,
    mapping,
    parse_overrides,
    read_mapping,
    read_yaml,
    text_keys,
)
from press.plan.templates import PIPELINE_PARAMETERS, check_parameters, notebook_parameters

DERIVED = "--"
# in the name of a recipe whose networks are trained in minutes, many of them for one question
BRIEF = "short-"
# of a derived name, in bytes: file systems take 255, with endings
LONGEST = 180


@dataclass(frozen=True)
class Artifact:
    """One figure or table in one profile: a notebook, the models by role, and the parameters that papermill injects."""

    key: str
    profile: str
    notebook: str
    place: str
    title: str
    models: dict[str, str]
    parameters: dict[str, object]

    @property
    def injected(self) -> dict[str, object]:
        """The parameters as the notebook gets them, without the place of its results."""
        return {"artifact": self.key, "profile": self.profile, "models": self.models, **self.parameters}

    def check(self, where: str = "") -> None:
        """Raises a Refusal, before any work, for a parameter that the notebook lacks or that it could not use."""
        check_parameters(self.notebook, self.parameters, where)
        defaults = notebook_parameters(self.notebook)
        own = {name: value for name, value in defaults.items() if name not in PIPELINE_PARAMETERS}
        ranges.check(self.notebook, own | self.parameters, list(self.models), lambda: pixel_scale(self), where)


def build_dir(profile: str) -> Path:
    """The folder of a profile's outputs; ``PAPERLIB_BUILD`` replaces ``build``."""
    return Path(os.environ.get("PAPERLIB_BUILD") or settings.ROOT / "build") / profile


def load() -> dict[str, dict]:
    """The whole of ``experiments.yml``: ``recipes`` and ``artifacts``."""
    path = settings.ROOT / "experiments.yml"
    if not path.is_file():
        raise ExperimentError(f"experiments.yml is missing from {settings.ROOT}")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, _modified: int) -> dict[str, dict]:
    content = read_yaml(path)
    for section in ("recipes", "artifacts"):
        if not isinstance(content, dict) or not isinstance(content.get(section), dict):
            raise ExperimentError(f"experiments.yml lacks the section {section!r}")
    for section in content:
        if section not in ("recipes", "columns", "searches", "artifacts") and not str(section).startswith("x-"):
            allowed = "recipes, columns, searches, artifacts, x-..."
            raise ExperimentError(f"experiments.yml has a section {section!r}; allowed are {allowed}")
    for profile, recipes in content["recipes"].items():
        if not isinstance(profile, str):
            raise ExperimentError(f"profile {profile!r} of experiments.yml is no word; allowed are words such as quick")
        mapping(recipes, f"profile {profile} of experiments.yml")
    mapping(content.get("searches"), "the section searches of experiments.yml")
    columns = list(content["recipes"])
    for profile, column in mapping(content.get("columns"), "the section columns of experiments.yml").items():
        if profile not in columns or column not in columns:
            allowed = ", ".join(columns)
            raise ExperimentError(f"columns of experiments.yml has {profile!r}: {column!r}; allowed are {allowed}")
    for key, entry in content["artifacts"].items():
        where = f"artifact {key} of experiments.yml"
        fields_of(entry, required=("notebook", "place", "title"), allowed=columns, where=where)
    for what, given in (("artifact", content["artifacts"]), *(("model", each) for each in content["recipes"].values())):
        _check_names(what, given)
    return content


def _check_names(what: str, given: object) -> None:
    """Names of files and of pages: ExperimentError for what could be a path or markup, or is too long."""
    for name in given if isinstance(given, dict) else ():
        plain = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+.-]*", name) and DERIVED not in name
        if not plain or ".." in name or len(name) > 60:
            allowed = "use up to 60 letters, digits, '_', '.', '+', and single '-'"
            raise ExperimentError(f"{what} name {name!r} is not allowed; {allowed}")


def profiles() -> list[str]:
    """The profiles that have recipes, in the order of ``experiments.yml``."""
    return list(load()["recipes"])


def check_profile(profile: str) -> None:
    """Raises ExperimentError for a profile without recipes."""
    choice("profile", profile, profiles())


def column(profile: str) -> str:
    """The column of artifacts, searches and claims that ``profile`` uses: its own, unless ``columns`` names another."""
    check_profile(profile)
    return (load().get("columns") or {}).get(profile, profile)


def keys(profile: str) -> list[str]:
    """The artifacts that ``profile`` has, in the order of ``experiments.yml``."""
    return [key for key, entry in load()["artifacts"].items() if column(profile) in entry]


def artifact(profile: str, key: str) -> Artifact:
    """One artifact in one profile."""
    check_profile(profile)
    artifacts = load()["artifacts"]
    choice("artifact", key, list(artifacts))
    entry = artifacts[key]
    if column(profile) not in entry:
        has = [name for name in profiles() if name in entry]
        raise ExperimentError(f"artifact {key} is not part of profile {profile}; it has {listed(has)}")
    return _artifact(profile, key, entry)


def title(profile: str, key: str) -> str:
    """What an artifact is called in a profile: the title of its column, where that has one, or its own."""
    entry = load()["artifacts"][key]
    return (entry.get(column(profile)) or {}).get("title", entry["title"])


def _artifact(profile: str, key: str, entry: dict) -> Artifact:
    settings = entry[column(profile)] or {}
    fields_of(settings, required=(), allowed=("title", "models", "parameters"), where=f"artifact {key}, profile {profile}")
    return Artifact(
        key=key,
        profile=profile,
        notebook=entry["notebook"],
        place=entry["place"],
        title=title(profile, key),
        models=mapping(settings.get("models"), f"models of artifact {key} ({profile})"),
        parameters=mapping(settings.get("parameters"), f"parameters of artifact {key} ({profile})"),
    )


def models(profile: str) -> list[str]:
    """The names of all models that the profile's artifacts need, each once."""
    used = (name for key in keys(profile) for name in artifact(profile, key).models.values())
    return list(dict.fromkeys(used))


def paper_place(key: str) -> str:
    """Where in the paper an artifact is, such as "Fig. 6"; empty for a name that is not in ``experiments.yml``."""
    return load()["artifacts"].get(key, {}).get("place", "")


def stated(key: str) -> dict:
    """The paper's numbers for an artifact, from ``book/paper_numbers.yml``; empty where it gives none."""
    path = settings.ROOT / "book" / "paper_numbers.yml"
    return text_keys(read_mapping(path).get(key) or {}) if path.is_file() else {}


def words_path(key: str) -> Path:
    """The words of an artifact's page: ``book/figures/<key>.md``."""
    return settings.ROOT / "book" / "figures" / f"{key}.md"


def recipe(profile: str, name: str) -> Recipe:
    """The recipe of a model; ExperimentError for an unknown model, field or value."""
    settings = recipe_settings(profile, name)
    for field in settings:
        choice(f"field of model {name} ({profile})", field, recipe_fields())
    try:
        found = Recipe.of(settings)
    except ValueError as error:
        raise ExperimentError(f"model {name} ({profile}): {error}") from error
    if settings.get("source"):
        source = recipe_settings(profile, settings["source"])
        if source.get("source") or source["data"] != settings["data"]:
            raise ExperimentError(f"model {name} ({profile}): source is {settings['source']!r}; allowed is a network of the "
                                  "same data that has no source itself")  # fmt: skip
    return found


def pixel_scale(spec: Artifact) -> int:
    """How many steps of a size the range of an artifact's images has: 1 for grey images, 255 for colour."""
    try:
        data = str(recipe_settings(spec.profile, next(iter(spec.models.values()))).get("data"))
        if names.data(data).pixel_scale:
            return names.data(data).pixel_scale
        # late, for it needs torch
        from paperlib.data import load

        return load(data).pixel_scale
    except Refusal:
        # whoever needs a model or data that are not there says so, and nothing else is refused because of them
        return 255


def recipe_settings(profile: str, name: str) -> dict[str, object]:
    """The fields that a model's recipe sets.

    A derived name such as ``digits-ours--c=0.1,p=2`` is the recipe of ``digits-ours`` with those fields replaced.
    """
    check_profile(profile)
    if not isinstance(name, str):
        raise ExperimentError(f"model {name!r} is no word; allowed are names of models")
    base, derived, suffix = name.partition(DERIVED)
    recipes = load()["recipes"][profile] or {}
    choice(f"model of profile {profile}", base, list(recipes))
    fields = mapping(recipes[base], f"model {base} ({profile})")
    changes = _worded(_changes(suffix), fields)
    if derived:
        _check_derived(name, derived_name(base, changes))
    return fields | changes


def _check_derived(name: str, own: str) -> None:
    """A derived name is that of a file: ExperimentError unless it is the one way to write it, and no path."""
    if name != own:
        raise ExperimentError(f"model {name!r} is written {own!r}; allowed is one name for one recipe")
    length = len(name.encode())
    if length > LONGEST:
        raise ExperimentError(f"model {name!r} has {length} letters; allowed are {LONGEST}, for files are called so")


def _changes(suffix: str) -> dict[str, object]:
    """The changed fields that a derived name tells behind its two dashes."""
    return parse_overrides(re.sub(r",(?=[a-z_]+=)", " ", unquote(suffix)))


def _worded(changes: dict[str, object], fields: dict[str, object]) -> dict[str, object]:
    """``changes`` with numbers as words where the recipe has a word, such as p = "2"."""
    return {key: str(new) if isinstance(fields.get(key), str) else new for key, new in changes.items()}


def derived_name(name: str, changes: dict[str, object]) -> str:
    """The name of the recipe ``name`` with ``changes``: readable, and fit for a file name.

    >>> derived_name("digits-ours", {"c": 0.1})
    'digits-ours--c=0.1'
    """
    base, _, suffix = name.partition(DERIVED)
    text = ",".join(f"{key}={settings.typed(value)}" for key, value in (_changes(suffix) | changes).items())
    return base + DERIVED + quote(text, safe="=,[]")


def override(spec: Artifact, overrides: dict[str, object]) -> Artifact:
    """The artifact with new parameters; a recipe's field (``c=0.1``) gives models trained anew under derived names.

    A name that is both goes to the notebook. A recipe's field applies to each model whose recipe sets it.
    """
    defaults = notebook_parameters(spec.notebook)
    parameters = {name: value for name, value in overrides.items() if name in defaults}
    fields = {name: value for name, value in overrides.items() if name not in defaults}
    names = [name for name in defaults if name not in PIPELINE_PARAMETERS]
    for name in fields:
        choice(f"parameter of {spec.key}", name, names, also=recipe_fields(), also_are="fields of its models' recipes")
    changed = dataclasses.replace(spec, parameters=spec.parameters | parameters)
    changed.check()
    return dataclasses.replace(
        changed, models={role: _with_fields(spec, name, fields) for role, name in spec.models.items()}
    )


def _with_fields(spec: Artifact, name: str, fields: dict[str, object]) -> str:
    recipes = {model: recipe_settings(spec.profile, model) for model in spec.models.values()}
    for field in fields:
        if not any(field in own for own in recipes.values()):
            raise ExperimentError(f"no model of {spec.key} sets {field}: {listed(recipes)} leave it at its default")
    own = recipes[name]
    changes = {field: value for field, value in _worded(fields, own).items() if field in own and own[field] != value}
    if not changes:
        return name
    derived = derived_name(name, changes)
    recipe(spec.profile, derived)
    return derived


def own(profile: str, key: str, notebook: str) -> Artifact:
    """An artifact as its profile has it; where no column has it, as the notebook's defaults do."""
    if profile in profiles() and key in keys(profile):
        return artifact(profile, key)
    defaults = notebook_parameters(notebook)
    return Artifact(defaults["artifact"], defaults["profile"], notebook, "", "", dict(defaults["models"]), {})


def changes(spec: Artifact) -> dict[str, object]:
    """What an artifact asks for that its profile's own does not: parameters by name, and ``models``; empty for the own."""
    usual, defaults = own(spec.profile, spec.key, spec.notebook), notebook_parameters(spec.notebook)
    asked = settings.plain(defaults | spec.parameters | {"models": spec.models})
    there = settings.plain(defaults | usual.parameters | {"models": usual.models})
    names = [name for name in defaults if name not in PIPELINE_PARAMETERS or name == "models"]
    found = {name: asked[name] for name in names if asked[name] != there[name]}
    return found if (spec.key, spec.profile) == (usual.key, usual.profile) else {"artifact": spec.key} | found


def rerun_dir(spec: Artifact) -> Path:
    """Where an artifact with other parameters than its profile's own is made, so that nothing is overwritten."""
    return build_dir(spec.profile) / "reruns" / f"{spec.key}-{digest(changes(spec))[:8]}"


def recipe_fields() -> list[str]:
    """The names of a recipe's fields."""
    return [field.name for field in dataclasses.fields(Recipe)]
