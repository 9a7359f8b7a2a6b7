"""Settings read strictly: YAML without repeated keys, values of the right kind, names that exist; else one sentence."""

import difflib
import json
import re
from functools import lru_cache
from pathlib import Path

from paperlib.files import HERE
from paperlib.refusal import Refusal

# the top folder of the repository
ROOT = HERE
PLAIN = "a finite number, a word or a [list]"


class ExperimentError(Refusal):
    """A profile, artifact, parameter, recipe or model that does not exist or does not fit; one sentence."""


def text_keys(node: object) -> object:
    """Nested mappings with every key as text, as a record has them."""
    if isinstance(node, dict):
        return {str(key): text_keys(item) for key, item in node.items()}
    return node


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
        overrides[name] = parse_value(name, value)
    return overrides


@lru_cache(maxsize=1)
def _loader() -> type:
    """Safe YAML that refuses a key given twice; as in YAML 1.2, 1e-3 is a number, 010 is ten, and 1:30 and 2020-01-01 are
    words."""
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

        def construct_yaml_int(self, node):
            text = self.construct_scalar(node)
            # Python's notation of other bases, and no 8 from 010
            return int(text, 0) if "0x" in text or "0o" in text else int(text)

    # YAML 1.2 has no numbers to the base of 60, nor dates, which neither JSON nor a notebook's parameters could hold
    replaced = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in replaced]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    numbers = {
        "int": r"[-+]?\d+|0x[\da-fA-F]+|0o[0-7]+",
        "float": r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    }
    for kind, pattern in numbers.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"({pattern})$"), list("-+.0123456789"))
    return Loader


def read_yaml(path: Path) -> object:
    """A YAML file, its repeated keys refused; ExperimentError with file and line if it cannot be read."""
    import yaml

    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_loader())
    except ExperimentError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ExperimentError(f"{_place(mark)}: {error.problem or error.context}") from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{path.name} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    # a control character; a list as a key; brackets without an end
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error


def read_mapping(path: Path) -> dict:
    """A YAML file that holds names with their contents, an empty one for nothing; ExperimentError for another."""
    return mapping(read_yaml(path), path.name)


def parse_value(name: str, text: str) -> object:
    """A parameter's value as it is written on a command line, in YAML; ExperimentError, naming it, for what is none."""
    import yaml

    try:
        value = yaml.load(text, Loader=_loader())
    except ExperimentError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ExperimentError(f"parameter {name} is {text!r}; allowed is {PLAIN}") from error
    if not is_plain(value):
        raise ExperimentError(f"parameter {name} is {text!r}; allowed is {PLAIN}")
    return value


def typed(value: object, *, spaced: bool = False) -> str:
    """A value as it is written on a command line, for ``parse_value`` to read; ``spaced`` on a page, where lines break.

    >>> typed([0.1, "é"]), typed([0.1, 0.3], spaced=True), typed("ours"), typed("")
    ('[0.1,"é"]', '[0.1, 0.3]', 'ours', '""')
    """
    if isinstance(value, str) and value:
        return value
    return json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))


def is_plain(value: object) -> bool:
    """Whether JSON has such a value: names of models, fingerprints and records are made of it."""
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def plain(value: object) -> object:
    """A value as JSON has it: a list for a tuple, a whole number for a float that is one, whatever is nested."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _place(mark) -> str:
    return f"{Path(mark.name).name}, line {mark.line + 1}"


def mapping(value: object, where: str) -> dict:
    """A copy of a mapping, an empty one for nothing."""
    if value is not None and not isinstance(value, dict):
        raise ExperimentError(f"{where} is {value!r}; allowed is a mapping")
    return dict(value or {})


def fields_of(entry: object, *, required: tuple, allowed: list[str] | tuple, where: str) -> None:
    if not isinstance(entry, dict):
        raise ExperimentError(f"{where} is {entry!r}; allowed is a mapping")
    for name in required:
        if not isinstance(entry.get(name), str):
            raise ExperimentError(f"{where} lacks {name!r}")
    for name in entry:
        choice(f"key of {where}", name, [*required, *allowed])


def choice(what: str, value: object, allowed: list[str], also: list[str] = (), also_are: str = "") -> None:
    """Raises ExperimentError unless ``value`` is among ``allowed`` (or ``also``); suggests the nearest."""
    if value in allowed or value in also:
        return
    near = difflib.get_close_matches(str(value), [*allowed, *also], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    more = f", and {listed(also)} ({also_are})" if also else ""
    raise ExperimentError(f"there is no {what} called {value!r}{hint or ';'} allowed are {listed(allowed)}{more}")


def listed(names) -> str:
    return ", ".join(map(str, names)) or "none"


def fits(default: object, value: object) -> bool:
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
        return all(fits(example, item) for item in value)
    return isinstance(value, type(default))


def kind_of(default: object) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", dict: "a mapping"}
    if isinstance(default, list | tuple):
        return "a list"
    return words.get(type(default), type(default).__name__)
