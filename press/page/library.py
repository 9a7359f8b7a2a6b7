"""The library's own pages: one that leads to the modules, the science first, and one a package with its docstrings."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from press.plan import settings

# heading, package, and what it is for
PARTS = (
    ("The science", "paperlib", "A point and a function go in, a geometry comes out."),
    ("What a kind of figure measures", "paperlib.measures", "Networks and images go in, values and arrays come out."),
    ("What a kind of figure draws", "paperlib.drawings", "A record goes in, a picture or a table comes out."),
    ("A network of the reader's own", "paperlib.reporting", "A network goes in, one page comes out."),
    ("What is asked for", "press.plan", "``experiments.yml`` is read and checked."),
    ("What is done", "press.run", "Trainings and measurements, each once."),
    ("What is timed", "press.bench", "The same work done here and by other libraries, in turns."),
    ("What is read", "press.page", "Numbers, words and pictures on pages."),
    ("What is typed", "press", "The commands of ``python -m press``."),
)


PURPOSES = {package: purpose for _, package, purpose in PARTS}
# what a reader of the paper looks for first
FIRST = tuple(f"paperlib.{name}" for name in ("objective", "attack", "surface", "indicator", "train", "evaluate"))
FOLDER = "library"


def library() -> str:
    """The Markdown of the page that leads to the modules: the science first, each with the first line of its docstring."""
    modules = _modules()
    parts = []
    for heading, package, purpose in PARTS:
        own = [name for name in ordered(modules) if name.rpartition(".")[0] == package]
        lines = [f"- [`{name}`](module-of-{name}): {_about(modules[name])}\n" for name in own]
        if lines:
            parts += [f"## {heading}\n\n{_markdown(purpose)}\n\n", *lines, "\n"]
    return "".join(parts)


def pages() -> dict[str, str]:
    """The Markdown of every package's page by its name, in the order of the page that leads to their modules."""
    found: dict[str, str] = {}
    for name in ordered(_modules()):
        package = name.rpartition(".")[0]
        documented = f"(module-of-{name})=\n## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        found[package] = found.get(package, f"# {package}\n\n{_markdown(PURPOSES[package])}\n\n") + documented
    return found


def ordered(modules: dict[str, Path]) -> list[str]:
    """The modules part by part; in each one the reader's first, then those that need only modules before them."""
    used = {name: _imported(path.read_text(encoding="utf-8")) & modules.keys() for name, path in modules.items()}
    order = list(TopologicalSorter({name: sorted(names) for name, names in sorted(used.items())}).static_order())
    packages = [package for _, package, _ in PARTS]
    first = [*FIRST, *order]
    return sorted(order, key=lambda name: (packages.index(name.rpartition(".")[0]), first.index(name)))


def _about(path: Path) -> str:
    """The first sentence of a module's docstring, as Markdown."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return _markdown(" ".join(text.split("\n\n")[0].split()))


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _modules() -> dict[str, Path]:
    """The file of every module."""
    paths = [path for package in ("paperlib", "press") for path in sorted((settings.ROOT / package).rglob("*.py"))]
    own = [path for path in paths if not path.stem.startswith("__")]
    return {".".join(path.relative_to(settings.ROOT).with_suffix("").parts): path for path in own}


def _imported(source: str) -> set[str]:
    """The modules that a file imports at its top."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
