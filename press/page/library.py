"""The library's own page: every module of both packages with its docstrings, in an order in which each needs only those
before it."""

import ast
from graphlib import TopologicalSorter

from press.plan import settings

# heading, package, and what it is for
PARTS = (
    ("The science", "paperlib", "A point and a function go in, a geometry comes out."),
    ("What a kind of figure measures", "paperlib.measures", "Networks and images go in, values and arrays come out."),
    ("What a kind of figure draws", "paperlib.drawings", "A record goes in, a picture or a table comes out."),
    ("A network of the reader's own", "paperlib.reporting", "A network goes in, one page comes out."),
    ("What is asked for", "press.plan", "``experiments.yml`` is read and checked."),
    ("What is done", "press.run", "Trainings and measurements, each once."),
    ("What is read", "press.page", "Numbers, words and pictures on pages."),
)


def library() -> str:
    """The Markdown of the page."""
    order = _ordered(_modules())
    parts = []
    for heading, package, purpose in PARTS:
        own = [name for name in order if name.rpartition(".")[0] == package]
        if own:
            parts += [f"## {heading}\n\n{purpose.replace('``', '`')}\n", *map(_entry, own)]
    return "\n".join(parts)


def _entry(module: str) -> str:
    return f"### {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"


def _modules() -> dict[str, set[str]]:
    """Every module with a docstring, and the modules that it imports at its top."""
    paths = [path for package in ("paperlib", "press") for path in sorted((settings.ROOT / package).rglob("*.py"))]
    own = [path for path in paths if not path.stem.startswith("__")]
    names = {".".join(path.relative_to(settings.ROOT).with_suffix("").parts): path for path in own}
    return {name: _imported(path.read_text(encoding="utf-8")) & names.keys() for name, path in names.items()}


def _imported(source: str) -> set[str]:
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _ordered(modules: dict[str, set[str]]) -> list[str]:
    sorter = TopologicalSorter({name: sorted(used) for name, used in sorted(modules.items())})
    return list(sorter.static_order())
