"""``experiments.yml`` read and checked: which artifact of the paper needs which notebook, parameters and models.

An *artifact* is a figure or table of the paper. A *profile* is a column of ``experiments.yml``. A *recipe* says how a
model is trained. Everything wrong is refused here, before anything runs, by an ``ExperimentError`` of one sentence.
"""

import ast
import dataclasses
import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from paperlib.files import HERE
from paperlib.refusal import Refusal

ROOT = HERE
PIPELINE_PARAMETERS = ("artifact", "profile", "models", "out")
DERIVED = "--"
_PLAIN = "a finite number, a word or a [list]"


class ExperimentError(Refusal):
    """A profile, artifact, parameter, recipe or model that does not exist or does not fit; one sentence."""


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


def build_dir(profile: str) -> Path:
    """The folder of a profile's outputs; ``PAPERLIB_BUILD`` replaces ``build``."""
    return Path(os.environ.get("PAPERLIB_BUILD") or ROOT / "build") / profile


def load() -> dict[str, dict]:
    """The whole of ``experiments.yml``: ``recipes`` and ``artifacts``."""
    path = ROOT / "experiments.yml"
    if not path.is_file():
        raise ExperimentError(f"experiments.yml is missing from {ROOT}")
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
    columns = list(content["recipes"])
    for profile, column in _mapping(content.get("columns"), "the section columns of experiments.yml").items():
        if not {profile, column} <= set(columns):
            raise ExperimentError(f"columns of experiments.yml has {profile}: {column}; allowed are {', '.join(columns)}")
    for key, entry in content["artifacts"].items():
        where = f"artifact {key} of experiments.yml"
        _fields(entry, required=("notebook", "place", "title"), allowed=columns, where=where)
    return content


def profiles() -> list[str]:
    """The profiles that have recipes, in the order of ``experiments.yml``."""
    return list(load()["recipes"])


def check_profile(profile: str) -> None:
    """Raises ExperimentError for a profile without recipes."""
    _choice("profile", profile, profiles())


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
    _choice("artifact", key, list(artifacts))
    entry = artifacts[key]
    if column(profile) not in entry:
        has = [name for name in profiles() if name in entry]
        raise ExperimentError(f"artifact {key} is not part of profile {profile}; it has {_listed(has)}")
    return _artifact(profile, key, entry)


def _artifact(profile: str, key: str, entry: dict) -> Artifact:
    settings = entry[column(profile)] or {}
    _fields(settings, required=(), allowed=("models", "parameters"), where=f"artifact {key}, profile {profile}")
    return Artifact(
        key=key,
        profile=profile,
        notebook=entry["notebook"],
        place=entry["place"],
        title=entry["title"],
        models=_mapping(settings.get("models"), f"models of artifact {key} ({profile})"),
        parameters=_mapping(settings.get("parameters"), f"parameters of artifact {key} ({profile})"),
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
    path = ROOT / "book" / "paper_numbers.yml"
    return text_keys((read_yaml(path) or {}).get(key) or {}) if path.is_file() else {}


def text_keys(node: object) -> object:
    """Nested mappings with every key as text, as a record has them."""
    if isinstance(node, dict):
        return {str(key): text_keys(item) for key, item in node.items()}
    return node


def words_path(key: str) -> Path:
    """The words of an artifact's page: ``book/figures/<key>.md``."""
    return ROOT / "book" / "figures" / f"{key}.md"


def recipe(profile: str, name: str):
    """The ``paperlib.train.Recipe`` of a model; ExperimentError for an unknown model, field or value."""
    settings = recipe_settings(profile, name)
    for field in settings:
        _choice(f"field of model {name} ({profile})", field, recipe_fields())
    try:
        found = _recipe_type().of(settings)
    except ValueError as error:
        raise ExperimentError(f"model {name} ({profile}): {error}") from error
    if settings.get("source"):
        source = recipe_settings(profile, settings["source"])
        if source.get("source") or source["data"] != settings["data"]:
            raise ExperimentError(f"model {name} ({profile}): source is {settings['source']!r}; allowed is a network of the "
                                  "same data that has no source itself")  # fmt: skip
    return found


def recipe_settings(profile: str, name: str) -> dict[str, object]:
    """The fields that a model's recipe sets.

    A derived name such as ``digits-ours--c=0.1,p=2`` is the recipe of ``digits-ours`` with those fields replaced.
    """
    check_profile(profile)
    base, _, suffix = name.partition(DERIVED)
    recipes = load()["recipes"][profile] or {}
    _choice(f"model of profile {profile}", base, list(recipes))
    fields = _mapping(recipes[base], f"model {base} ({profile})")
    return fields | _worded(_changes(suffix), fields)


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
    text = ",".join(f"{key}={_flow(value)}" for key, value in (_changes(suffix) | changes).items())
    return base + DERIVED + quote(text, safe="=,[]")


def parse_overrides(text: str) -> dict[str, object]:
    """``image=3 eps=[0.1, 0.3]`` as a dictionary; each value is YAML.

    >>> parse_overrides("image=3 eps=[0.1, 0.3] method=ours")
    {'image': 3, 'eps': [0.1, 0.3], 'method': 'ours'}
    """
    overrides = {}
    for part in re.split(r"\s+(?=[A-Za-z_]\w*=)", text.strip()) if text.strip() else []:
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier() or not value.strip():
            raise ExperimentError(f"{part!r} is not a parameter; write KEY=VALUE, for example image=3 eps=[0.1,0.3]")
        if name in overrides:
            raise ExperimentError(f"parameter {name} is given twice; give it once")
        overrides[name] = _parse_value(name, value)
    return overrides


def override(spec: Artifact, overrides: dict[str, object]) -> Artifact:
    """The artifact with new parameters; a recipe's field (``c=0.1``) gives models trained anew under derived names.

    A name that is both goes to the notebook. A recipe's field applies to each model whose recipe sets it.
    """
    defaults = notebook_parameters(spec.notebook)
    parameters = {name: value for name, value in overrides.items() if name in defaults}
    check_parameters(spec.notebook, parameters)
    fields = {name: value for name, value in overrides.items() if name not in defaults}
    names = [name for name in defaults if name not in PIPELINE_PARAMETERS]
    for name in fields:
        _choice(f"parameter of {spec.key}", name, names, also=recipe_fields(), also_are="fields of its models' recipes")
    trained = {role: _with_fields(spec, name, fields) for role, name in spec.models.items()}
    return dataclasses.replace(spec, models=trained, parameters=spec.parameters | parameters)


def _with_fields(spec: Artifact, name: str, fields: dict[str, object]) -> str:
    recipes = {model: recipe_settings(spec.profile, model) for model in spec.models.values()}
    for field in fields:
        if not any(field in own for own in recipes.values()):
            raise ExperimentError(f"no model of {spec.key} sets {field}: {_listed(recipes)} leave it at its default")
    own = recipes[name]
    changes = {field: value for field, value in _worded(fields, own).items() if field in own and own[field] != value}
    if not changes:
        return name
    derived = derived_name(name, changes)
    recipe(spec.profile, derived)
    return derived


@lru_cache(maxsize=1)
def _recipe_type() -> type:
    # imported late: it needs torch, which reading experiments.yml does not
    from paperlib.train import Recipe

    return Recipe


def recipe_fields() -> list[str]:
    """The names of a recipe's fields."""
    return [field.name for field in dataclasses.fields(_recipe_type())]


def check(profile: str) -> None:
    """Checks everything of a profile before anything runs; raises ExperimentError with the first fault."""
    for name in load()["recipes"][profile] or {} if profile in profiles() else []:
        if DERIVED in name or not re.fullmatch(r"[\w.+-]+", name):
            raise ExperimentError(f"model name {name!r} is not allowed; use letters, digits, '.', '+', and single '-'")
        recipe(profile, name)
    for key in keys(profile):
        spec = artifact(profile, key)
        check_parameters(spec.notebook, spec.parameters, where=f" of artifact {key} ({profile})")
        for name in spec.models.values():
            recipe(profile, name)
        if (ROOT / "book" / "figures").is_dir() and not words_path(key).is_file():
            raise ExperimentError(f"artifact {key} has no words in book/figures/{key}.md, which its page needs")
    for name in _mapping((load().get("searches") or {}).get(column(profile)), f"searches of profile {profile}"):
        # imported late, as the recipe is
        from press.run import search

        search.settings(name, profile)


def check_parameters(notebook: str, parameters: dict[str, object], where: str = "") -> None:
    """Raises ExperimentError for a parameter that the notebook lacks, that is not finite, or of another type than its
    default."""
    defaults = notebook_parameters(notebook)
    allowed = [name for name in defaults if name not in PIPELINE_PARAMETERS]
    for name, value in parameters.items():
        if name in PIPELINE_PARAMETERS:
            raise ExperimentError(f"parameter {name}{where} is set by the pipeline; allowed are {_listed(allowed)}")
        _choice(f"parameter{where} for notebooks/{notebook}.ipynb", name, allowed)
        if not _is_plain(value):
            raise ExperimentError(f"parameter {name}{where} is {value!r}; allowed is {_PLAIN}")
        if not _fits(defaults[name], value):
            raise ExperimentError(
                f"parameter {name}{where} is {value!r}; allowed is {_kind(defaults[name])} such as {defaults[name]!r}"
            )


def notebook_path(notebook: str) -> Path:
    """The template ``notebooks/<notebook>.ipynb``; ExperimentError if there is none."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        there = sorted(other.stem for other in path.parent.glob("*.ipynb"))
        raise ExperimentError(f"notebook {notebook!r} is not in notebooks/, which has {_listed(there)}")
    return path


def notebook_parameters(notebook: str) -> dict[str, object]:
    """A notebook's parameters with their defaults, read from its cell tagged ``parameters``."""
    tree = ast.parse(parameters_source(notebook))
    try:
        return {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
        }
    except (ValueError, AttributeError) as error:
        raise ExperimentError(f"notebooks/{notebook}.ipynb has a parameter that is not a plain value") from error


def parameters_source(notebook: str) -> str:
    """The source of a notebook's cell tagged ``parameters``."""
    content = json.loads(notebook_path(notebook).read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return "".join(cell["source"])
    raise ExperimentError(f"notebooks/{notebook}.ipynb has no cell tagged parameters")


@lru_cache(maxsize=1)
def _loader() -> type:
    """Safe YAML that refuses a key given twice; as in YAML 1.2, 1e-3 is a number and 2020-01-01 a word."""
    # imported late: who measures a network of their own needs no YAML
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor):
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if key.value in seen and isinstance(key.value, str):
                    raise ExperimentError(f"{_place(key.start_mark)}: the key {key.value!r} is given twice")
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return node

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )
    # nor has YAML 1.2 dates, which neither JSON nor a notebook's parameters could hold
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    return Loader


def read_yaml(path: Path) -> object:
    """A YAML file, its repeated keys refused; ExperimentError with file and line if it cannot be read."""
    import yaml

    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ExperimentError(f"{_place(mark)}: {error.problem or error.context}") from error


def _parse_value(name: str, text: str) -> object:
    import yaml

    try:
        value = yaml.load(text, Loader=_loader())
    except ExperimentError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise ExperimentError(f"parameter {name} is {text!r}; allowed is {_PLAIN}") from error
    if not _is_plain(value):
        raise ExperimentError(f"parameter {name} is {text!r}; allowed is {_PLAIN}")
    return value


def _is_plain(value: object) -> bool:
    """Whether JSON has such a value: names of models, fingerprints and records are made of it."""
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _place(mark) -> str:
    return f"{Path(mark.name).name}, line {mark.line + 1}"


def _flow(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def _mapping(value: object, where: str) -> dict:
    """A copy of a mapping, an empty one for nothing."""
    if value is not None and not isinstance(value, dict):
        raise ExperimentError(f"{where} is {value!r}; allowed is a mapping")
    return dict(value or {})


def _fields(entry: object, *, required: tuple, allowed: list[str] | tuple, where: str) -> None:
    if not isinstance(entry, dict):
        raise ExperimentError(f"{where} is {entry!r}; allowed is a mapping")
    for name in required:
        if not isinstance(entry.get(name), str):
            raise ExperimentError(f"{where} lacks {name!r}")
    for name in entry:
        _choice(f"key of {where}", name, [*required, *allowed])


def _choice(what: str, value: object, allowed: list[str], also: list[str] = (), also_are: str = "") -> None:
    """Raises ExperimentError unless ``value`` is among ``allowed`` (or ``also``); suggests the nearest."""
    if value in allowed or value in also:
        return
    near = difflib.get_close_matches(str(value), [*allowed, *also], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    more = f", and {_listed(also)} ({also_are})" if also else ""
    raise ExperimentError(f"there is no {what} called {value!r}{hint or ';'} allowed are {_listed(allowed)}{more}")


def _listed(names) -> str:
    return ", ".join(map(str, names)) or "none"


def _fits(default: object, value: object) -> bool:
    """Whether ``value`` may stand where ``default`` stands: the same type, an int for a float, None for anything."""
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | tuple):
        if not isinstance(value, list | tuple):
            return False
        example = next((item for item in default if isinstance(item, float)), default[0] if default else None)
        return all(_fits(example, item) for item in value)
    return isinstance(value, type(default))


def _kind(default: object) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", dict: "a mapping"}
    if isinstance(default, list | tuple):
        return "a list"
    return words.get(type(default), type(default).__name__)
