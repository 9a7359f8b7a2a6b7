"""The command line for a network of the reader's own: ``paperlib COMMAND``, or ``python -m paperlib COMMAND``."""

import argparse
import errno
import importlib
import sys
from collections.abc import Callable

from paperlib.refusal import Refusal
from paperlib.reporting import judge


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status. A fault of the input is one sentence on standard error."""
    return answered(parser(), arguments)


def answered(commands: argparse.ArgumentParser, arguments: list[str] | None, prepare: Callable = lambda: None) -> int:
    """Runs the command that ``arguments`` name after ``prepare()``: exit status 2 and one sentence for whatever is refused,
    for a training that diverges, for a folder that cannot be written and for a missing package; 130 if interrupted."""
    options = commands.parse_args(arguments)
    # as it was typed: a report quotes it
    options.typed = sys.argv[1:] if arguments is None else arguments
    prepare()
    try:
        return _loaded(options.run)(options) or 0
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in BOOK:
            raise
        where = "pip install '.[book]' in the repository"
        return _said(f"{error.name} is missing, which only the book needs: {where}")
    # OSError: a folder that cannot be written, a name that is too long, a full disk
    except (Refusal, FloatingPointError, OSError) as error:
        return _said(_full(error) or error)
    except KeyboardInterrupt:
        anew = " without --rebuild" if getattr(options, "rebuild", False) else ""
        print(f"paperlib: interrupted; the same command{anew} goes on from here", file=sys.stderr)
        return 130


def _loaded(run: Callable | str) -> Callable:
    """What a command does; ``package.module:function`` is loaded now, for torch takes seconds."""
    if callable(run):
        return run
    module, _, name = run.partition(":")
    return getattr(importlib.import_module(module), name)


def _full(error: Exception) -> str:
    """What to do about a full disk, and which file did not fit; nothing for another error."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    return f"the disk is full: {error.filename or 'a file'} did not fit; make room, and the same command goes on from here"


def _said(sentence: object) -> int:
    print(f"paperlib: {sentence}", file=sys.stderr)
    return 2


class Parser(argparse.ArgumentParser):
    """Refuses a wrong option in one sentence; ``--help`` has the rest."""

    def error(self, message: str):
        """One sentence on standard error, and exit status 2."""
        self.exit(2, f"paperlib: {message}; {self.prog} --help lists what is allowed\n")


def parser() -> argparse.ArgumentParser:
    """All commands."""
    return parser_of("paperlib", "Is this network robust, and why?", judge.COMMANDS)


def parser_of(name: str, purpose: str, adders: tuple[Callable, ...]) -> argparse.ArgumentParser:
    """The command ``name`` with its own commands, each of which one function adds."""
    whole = Parser(prog=name, description=purpose)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for add in adders:
        add(commands)
    return whole


# packages of the extra "book"
BOOK = ("yaml", "papermill", "nbformat", "snakemake", "jupyter_book", "plotly", "sklearn", "IPython")

if __name__ == "__main__":
    sys.exit(main())
