"""Notebooks under pytest --nbval-lax: their kernels find this repository; a broken cell is one failure, its cause first."""

import os
import re
from functools import partial
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LINES = 12  # of a traceback, its last
BROKEN = pytest.StashKey()


def pytest_configure(config) -> None:
    """The kernels of notebooks: this interpreter's, without the reader's settings, started again where one died at once."""
    if not (getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False)):
        return
    import nbval.kernel

    from press.run import kernel, notebooks

    kernel.settle(HERE / "build" / "ipython")
    config.option.nbval_current_env = not config.option.nbval_kernel_name
    start = nbval.kernel.start_new_kernel
    quiet = partial(start, extra_arguments=[kernel.QUIET])
    nbval.kernel.start_new_kernel = lambda *args, **kwargs: notebooks.started(partial(quiet, *args, **kwargs))


def is_cell(item) -> bool:
    """Whether it is a cell of a notebook."""
    return type(item).__name__ == "IPyNbCell"


def pytest_runtest_setup(item) -> None:
    """What stands below a broken cell lacks what it should have made."""
    if is_cell(item) and item.parent.stash.get(BROKEN, None):
        pytest.skip(f"{item.parent.stash[BROKEN]} failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A cell's failure: the cause, the cell, the last lines of the traceback."""
    report = yield
    if is_cell(item) and call.when == "call" and report.failed:
        error, name = call.excinfo.value, f"{os.path.relpath(item.path, HERE)}, {item.name.lower()}"
        traceback = _plain(getattr(error, "inner_traceback", "") or "").rstrip().splitlines()
        differs = "differ" in str(error)
        if not differs:
            item.parent.stash[BROKEN] = name
        cause = str(error) if differs or not traceback else traceback[-1]
        source = getattr(error, "source", "").replace("\n", "\n    ")
        report.longrepr = "\n".join([f"{cause}", f"in {name}:", f"    {source}", "", *traceback[-LINES:]])
    return report


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)
