"""What a number was made of, as a hash: code by what it does, not by how it is laid out or explained."""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from threading import Lock

PACKAGE = Path(__file__).resolve().parent
# what may lie beside a module and be part of it
BESIDE = (".html", ".css", ".json")
_PARSING = Lock()


def digest(*parts: object) -> str:
    """SHA-256 of any JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def tensors_digest(words: object, *tensors) -> str:
    """SHA-256 of JSON values and of tensors' bytes."""
    found = hashlib.sha256(json.dumps(words).encode())
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def parsed(source: str) -> ast.Module:
    """The syntax tree of Python source, one at a time: Python 3.11 counts depths wrongly when several threads parse."""
    with _PARSING:
        return ast.parse(source)


def modules(source: str) -> list[str]:
    """The modules of paperlib that Python source uses, directly or through another, in alphabetical order."""
    found, ahead = set(), set(_imported(source))
    while ahead:
        name = ahead.pop()
        if name not in found and _path(name).is_file():
            found.add(name)
            ahead |= _imported(_path(name).read_text(encoding="utf-8"))
    return sorted(found)


def _path(module: str) -> Path:
    """The file of a module, which may be a package."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


# each text is read once a process: many figures use the same modules
@lru_cache(maxsize=256)
def _imported(source: str) -> frozenset[str]:
    names = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "paperlib." * (node.level > 0) + (node.module or "")
            names |= {module} | {f"{module.rstrip('.')}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.startswith("paperlib."))


def module_paths(source: str) -> list[Path]:
    """The files of ``modules(source)``, each before the templates, styles and numbers beside it that its code names."""
    return [path for name in modules(source) for path in _with_named(_path(name))]


def _with_named(path: Path) -> list[Path]:
    words = _words(path.read_text(encoding="utf-8"))
    return [path, *(each for each in sorted(path.parent.iterdir()) if each.suffix in BESIDE and each.name in words)]


@lru_cache(maxsize=256)
def _words(source: str) -> frozenset[str]:
    nodes = ast.walk(parsed(source))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def code_digest(paths: list[Path]) -> str:
    """SHA-256 of what files do: in Python comments, docstrings and layout do not count, elsewhere every character does."""
    return digest([[path.stem, _code(path)] for path in paths])


def _code(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text if path.suffix in BESIDE else _bare(text)


@lru_cache(maxsize=256)
def _bare(source: str) -> str:
    """Python without comments, docstrings and layout."""
    tree = parsed(source)
    for node in ast.walk(tree):
        first = node.body[0] if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
    return ast.unparse(tree)


def code_of(module: str) -> str:
    """The digest of a module and all that it uses."""
    return code_digest(module_paths(f"import {module}"))


def keywords(module: str, function: str) -> list[str]:
    """The keyword-only parameters of a module's function, read without importing it."""
    for node in parsed(_path(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in node.args.kwonlyargs]
    return []


def exists(module: str) -> bool:
    """Whether there is such a module."""
    return _path(module).is_file()
