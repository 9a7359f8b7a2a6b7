"""The notebooks and their parameters."""

import ast
import io
import json
import tokenize
from pathlib import Path

from paperlib.fingerprint import parsed
from press.plan import settings
from press.plan.settings import PLAIN, ExperimentError, choice, fits, is_plain, kind_of, listed

PIPELINE_PARAMETERS = ("artifact", "profile", "models", "out")


def check_parameters(notebook: str, parameters: dict[str, object], where: str = "") -> None:
    """Raises ExperimentError for a parameter that the notebook lacks, that is not finite, or of another type than its
    default."""
    defaults = notebook_parameters(notebook)
    allowed = [name for name in defaults if name not in PIPELINE_PARAMETERS]
    for name, value in parameters.items():
        if name in PIPELINE_PARAMETERS:
            raise ExperimentError(f"parameter {name}{where} is set by the pipeline; allowed are {listed(allowed)}")
        choice(f"parameter{where} for notebooks/{notebook}.ipynb", name, allowed)
        if not is_plain(value):
            raise ExperimentError(f"parameter {name}{where} is {value!r}; allowed is {PLAIN}")
        if not fits(defaults[name], value):
            raise ExperimentError(
                f"parameter {name}{where} is {value!r}; allowed is {kind_of(defaults[name])} such as {defaults[name]!r}"
            )


def notebook_path(notebook: str) -> Path:
    """The template ``notebooks/<notebook>.ipynb``; ExperimentError if there is none."""
    path = settings.ROOT / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        there = sorted(other.stem for other in path.parent.glob("*.ipynb"))
        raise ExperimentError(f"notebook {notebook!r} is not in notebooks/, which has {listed(there)}")
    return path


def notebook_parameters(notebook: str) -> dict[str, object]:
    """A notebook's parameters with their defaults, read from its cell tagged ``parameters``."""
    tree = parsed(parameters_source(notebook))
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


def parameter_comments(source: str) -> dict[str, str]:
    """The comment behind each assignment of a parameters cell, by parameter."""
    comments, name = {}, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.start[1] == 0:
            name = token.string
        elif token.type == tokenize.COMMENT and token.start[1] > 0 and name:
            comments[name] = token.string.lstrip("# ")
        elif token.type == tokenize.COMMENT:
            name = None
    return comments
