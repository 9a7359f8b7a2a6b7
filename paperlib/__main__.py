"""The command line: ``python -m paperlib COMMAND``. Each command is one function that adds itself to the parser."""

import argparse
import sys
import time
from pathlib import Path

from paperlib import experiments, pipeline


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status. A fault of the input is one sentence on standard error."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except ValueError as error:
        if not type(error).__module__.startswith("paperlib."):
            raise
        print(f"paperlib: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """All commands."""
    whole = argparse.ArgumentParser(prog="python -m paperlib", description="Decision surfaces in input space.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return whole


def add_command(commands, run, name: str, purpose: str) -> argparse.ArgumentParser:
    """A subparser whose ``options.run`` is ``run``, with the option ``--profile``."""
    command = commands.add_parser(name, help=purpose, description=purpose)
    command.add_argument("--profile", default="quick", help="column of experiments.yml (default: quick)")
    command.set_defaults(run=run)
    return command


def add_check(commands) -> None:
    """``check``: experiments.yml against recipes and notebooks."""

    def run(options) -> None:
        experiments.check(options.profile)
        counts = len(experiments.models(options.profile)), len(experiments.keys(options.profile))
        print(f"profile {options.profile} is in order: {counts[0]} models, {counts[1]} artifacts")

    add_command(commands, run, "check", "check experiments.yml before anything runs")


def add_data(commands) -> None:
    """``data``: is a data set at hand?"""

    def run(options) -> None:
        began = time.time()
        for name in options.name:
            found = pipeline.data(name, options.profile)
            if options.step:
                path = pipeline.stamp(options.profile, "data", Path(name).name)
                pipeline.announce("data", path.name, options.profile, began)
            else:
                print(f"{found['name']}: sha256 {found['sha256'][:12]}, images {found['n']}")

    command = add_command(commands, run, "data", "load a data set, downloading it if need be")
    command.add_argument("name", nargs="+")
    _add_step(command)


def add_train(commands) -> None:
    """``train``: one or more models."""

    def run(options) -> int:
        from paperlib.train import OutOfTime

        ends = None if options.budget is None else time.monotonic() + options.budget
        for name in options.name:
            began = time.time()
            left = None if ends is None else max(ends - time.monotonic(), 0.0)
            try:
                path = pipeline.train(
                    name, options.profile, budget=left, rebuild=options.rebuild, device=options.device
                )
            except (OutOfTime, FloatingPointError) as error:
                print(f"paperlib: {error}", file=sys.stderr)
                return 3 if isinstance(error, OutOfTime) else 2
            if options.step:
                pipeline.finish("train", name, options.profile, path, began)
            else:
                print(f"{name}: {path}")
        return 0

    command = add_command(commands, run, "train", "train models, go on with interrupted ones, or find them")
    command.add_argument("name", nargs="+", help="models of experiments.yml")
    command.add_argument("--budget", type=float, help="seconds after which to stop cleanly; run again to go on")
    command.add_argument("--rebuild", action="store_true", help="train anew even if there is a checkpoint")
    command.add_argument("--device", default="", help="cpu, cuda, ... (default: cuda when there is one)")
    _add_step(command)


def add_execute(commands) -> None:
    """``execute``: one notebook."""

    def run(options) -> None:
        began = time.time()
        spec = experiments.artifact(options.profile, options.artifact)
        changes = experiments.parse_overrides(" ".join(options.changes))
        if changes and not options.out:
            raise experiments.ExperimentError("new parameters would overwrite the artifact; add --out DIR, or use figure")
        spec = experiments.override(spec, changes)
        notebook = pipeline.execute(spec, folder=Path(options.out).resolve() if options.out else None)
        if options.step:
            pipeline.finish("execute", spec.key, options.profile, notebook, began)
        else:
            print(notebook)

    command = add_command(commands, run, "execute", "execute an artifact's notebook with papermill")
    command.add_argument("artifact")
    command.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    command.add_argument("--out", help="folder for notebook and results (default: the profile's own)")
    _add_step(command)


def add_figure(commands) -> None:
    """``figure``: one artifact with new parameters, in a folder of its own."""

    def run(options) -> None:
        changes = experiments.parse_overrides(" ".join([*options.changes, options.set]))
        folder = pipeline.figure(options.artifact, options.profile, changes)
        for path in sorted(folder.glob(f"{options.artifact}*")):
            print(path)

    command = add_command(commands, run, "figure", "make one figure again with new parameters, overwriting nothing")
    command.add_argument("artifact")
    command.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="notebook parameters or recipe fields")
    command.add_argument("--set", default="", help="the same in one word: 'image=3 eps=[0.1, 0.3]'")


def add_book(commands) -> None:
    """``book``: everything that is missing or changed, then the book."""

    def run(options) -> None:
        print(f"The book is at {pipeline.make_book(options.profile, cores=options.cores)}")

    command = add_command(commands, run, "book", "train, execute and build whatever is missing or changed")
    command.add_argument("--cores", type=int, help="processor cores to use (default: all)")


def add_site(commands) -> None:
    """``site``: the last step alone."""

    def run(options) -> None:
        from paperlib import book

        began = time.time()
        page = book.build(options.profile)
        if options.step:
            pipeline.finish("book", "html", options.profile, page, began)
        else:
            print(page)

    _add_step(add_command(commands, run, "site", "build the book's pages from what has been executed"))


def _add_step(command: argparse.ArgumentParser) -> None:
    command.add_argument("--step", action="store_true", help="stamp the step as done (used by the Snakefile)")


COMMANDS = (add_check, add_data, add_train, add_execute, add_figure, add_book, add_site)

if __name__ == "__main__":
    sys.exit(main())
