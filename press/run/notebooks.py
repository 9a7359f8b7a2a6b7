"""A template as papermill executes it."""

import errno
import json
import logging
import os
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from paperlib import sealed
from paperlib.files import made, write_atomic
from press.plan import settings, templates
from press.plan.experiments import Artifact
from press.run import kernel
from press.run.places import StepError, short_path, whole

# in what is said of a kernel that died while it started
BEFORE = "before replying"


@lru_cache(maxsize=64)
def notebook_cells(notebook: str) -> list[dict]:
    """Type, tags and source of each cell of a template: what its execution depends on."""
    content = json.loads(templates.notebook_path(notebook).read_text(encoding="utf-8"))
    return [
        {"type": c["cell_type"], "tags": c["metadata"].get("tags", []), "source": "".join(c["source"])}
        for c in content["cells"]
    ]


def notebook_source(notebook: str) -> str:
    """The Python of a template, without IPython's magics."""
    code = "\n".join(cell["source"] for cell in notebook_cells(notebook) if cell["type"] == "code")
    return re.sub(r"(?m)^\s*[%!].*$", "", code)


def notebook_made_of(notebook: Path) -> str | None:
    """What an executed notebook says it was made of; None where it is lost or damaged."""
    content = whole(lambda path: sealed.read_json(path, "cells", "metadata"), notebook)
    return content and content["metadata"].get("paperlib", {}).get("made_of")


def run_notebook(spec: Artifact, out: Path, log: Path, *, expected: float | None = None) -> None:
    """Executes an artifact's notebook with its results in the folder ``out``; ``log`` is the executed notebook.

    ``expected``: how many seconds it should take, for the line on a terminal. Raises StepError, in one sentence, for a
    notebook that fails and for a kernel that dies.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    # what it would say of a notebook that fails is said in the sentence
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    made(log.parent)
    kernel.settle(log.parents[1] / "ipython")
    template = templates.notebook_path(spec.notebook)
    run = partial(
        papermill.execute_notebook,
        *map(_literal, (template, log)),
        parameters={**spec.injected, "out": str(out)},
        kernel_name="python3",
        kernel_manager_class=kernel.manager(),
        extra_arguments=[kernel.QUIET],
        cwd=str(settings.ROOT),
        progress_bar=False,
    )
    try:
        with kernel.progress(spec.key, expected):
            started(run)
    except papermill.PapermillExecutionError as error:
        if os.strerror(errno.ENOSPC) in str(error.evalue):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"what {spec.key} has measured") from error
        fault = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise StepError(f"{spec.key} failed in notebooks/{template.name}: {fault}; read {short_path(log)}") from error
    except RuntimeError as error:
        if not isinstance(error, DeadKernelError) and BEFORE not in str(error):
            raise
        fault = "its kernel died, as where memory runs out or it is killed"
        raise StepError(f"{spec.key} failed in notebooks/{template.name}: {fault}; read {short_path(log)}") from error


def _literal(path: Path) -> str:
    """A path for papermill, which would fill in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def started(run: Callable[[], object], attempts: int = 3) -> object:
    """``run()``, again where its kernel died at its start.

    A kernel's ports are chosen before it takes them; with several kernels at work another process may be quicker.
    """
    for left in reversed(range(attempts)):
        try:
            return run()
        except RuntimeError as error:
            if not left or BEFORE not in str(error):
                raise


def publish_notebook(spec: Artifact, out: Path, log: Path, results: Path, target: Path, made_of: str) -> None:
    if not (out / f"{spec.key}.json").is_file():
        raise StepError(f"{spec.key} failed: notebooks/{spec.notebook}.ipynb wrote no {spec.key}.json into the folder out")
    content = cleaned(json.loads(log.read_text(encoding="utf-8")), made_of)
    # copied, for the results' folder may be on another disk; the record behind its arrays, of which it names the hash
    for path in sorted(out.iterdir(), reverse=True):
        write_atomic(results / path.name, path.read_bytes())
    # last: the notebook's fingerprint is what declares the step done
    sealed.write_json(target, content)
    log.unlink()


def cleaned(notebook: dict, made_of: str) -> dict:
    """The executed notebook without papermill's times and places, so that the same run gives the same file."""
    notebook["metadata"].pop("papermill", None)
    notebook["metadata"]["paperlib"] = {"made_of": made_of}
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
            cell["metadata"]["tags"] = [*tags, "hide-input"]
            source = "".join(cell["source"])
            cell["source"] = re.sub(r"(?m)^out = .*$", 'out = ""', source)
    return notebook
