"""The modules of the two packages and what each imports, read from their files."""

import ast
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=1)
def modules() -> dict[str, Path]:
    """Every module by its dotted name; a package by that of its folder, unless it is empty."""
    found = {}
    for package in ("paperlib", "press"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if not name.endswith("__main__")}


def imports(path: Path, *, late: bool = False) -> set[str]:
    """The modules of the house that a file imports at its top, or with ``late`` inside its functions alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (node.col_offset > 0) == late:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            else:
                names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name in modules()} - {"paperlib", "press"}
