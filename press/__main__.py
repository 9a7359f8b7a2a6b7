"""The command line of the book: ``python -m press COMMAND``. Each command is one function that adds itself to the parser."""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from paperlib.__main__ import answered, parser_of
from paperlib.refusal import check_count, check_size
from paperlib.reporting import judge
from press.commands import OF_PAGES, add_command, add_step
from press.plan import check, experiments, searches, settings
from press.run import devices, places, reruns, steps, training, workflow


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status. A fault of the input is one sentence on standard error."""
    return answered(parser(), arguments, places.settle_environment)


def parser() -> argparse.ArgumentParser:
    """All commands: those that make the book, and those that judge a network, of the book or of the reader's."""
    adders = (*COMMANDS, *(partial(add, stored=Stored()) for add in judge.COMMANDS))
    return parser_of("press", "Make the book.", adders)


class Stored:
    """The networks of experiments.yml, for the commands that judge a network."""

    def add_options(self, command, which) -> None:
        """``--model`` beside ``--network`` in the group ``which``, and ``--profile``."""
        which.add_argument("--model", help="a model of experiments.yml, trained if need be")
        command.add_argument("--profile", default="quick", help="column of experiments.yml for --model (default: quick)")

    def data(self, options) -> str:
        """The data set that the model was trained on."""
        return experiments.recipe(options.profile, options.model).data

    def network(self, options):
        """The model: of this run, else of the published edition, else trained."""
        from press.run import zoo

        return zoo.load(training.train(options.model, options.profile, stored=True)).model

    def name(self, options) -> str:
        """What the command called it."""
        return f"{options.model} ({options.profile})"


def add_check(commands) -> None:
    """``check``: experiments.yml against recipes and notebooks."""

    def run(options) -> None:
        check.check(options.profile)
        counts = len(experiments.models(options.profile)), len(experiments.keys(options.profile))
        print(f"profile {options.profile} is in order: {counts[0]} models, {counts[1]} artifacts")

    add_command(commands, run, "check", "check experiments.yml before anything runs")


def add_data(commands) -> None:
    """``data``: is a data set at hand?"""

    def run(options) -> None:
        experiments.check_profile(options.profile)
        for name in options.name:
            with workflow.stamped("data", training.data_key(name), options.profile, wanted=options.step):
                found = training.data(name, options.profile)
            if not options.step:
                print(f"{found['name']}: sha256 {found['sha256'][:12]}, images {found['n']}")

    command = add_command(commands, run, "data", "load a data set, downloading it if need be")
    command.add_argument("name", nargs="+")
    add_step(command)


def add_train(commands) -> None:
    """``train``: one or more models."""

    def run(options) -> int:
        from paperlib.train import OutOfTime

        for name in options.name:
            experiments.recipe(options.profile, name)
        if options.budget is not None:
            check_size("budget", options.budget)
        ends = None if options.budget is None else time.monotonic() + options.budget
        for name in options.name:
            left = None if ends is None else max(ends - time.monotonic(), 0.0)
            try:
                with (
                    workflow.stamped("train", name, options.profile, wanted=options.step),
                    devices.own(options.profile, wanted=options.step),
                ):
                    path = training.train(name, options.profile, budget=left, rebuild=options.rebuild, device=options.device)
            except OutOfTime as error:
                print(f"paperlib: {error}", file=sys.stderr)
                return 3
            if not options.step:
                print(f"{name}: {path}")
        return 0

    command = add_command(commands, run, "train", "train models, go on with interrupted ones, or find them")
    command.add_argument("name", nargs="+", help="models of experiments.yml")
    command.add_argument("--budget", type=float, help="seconds after which to stop cleanly; run again to go on")
    purpose = "train anew, whatever lies there; a finished checkpoint is set aside"
    command.add_argument("--rebuild", action="store_true", help=purpose)
    command.add_argument("--device", default="", help="cpu, cuda or cuda:1 (default: cuda when there is one)")
    add_step(command)


def add_search(commands) -> None:
    """``search``: choose a penalty on held-out images."""

    def run(options) -> None:
        from press.run import search

        for name in options.name:
            searches.described(name, options.profile)
        for name in options.name:
            if options.strong:
                result = search.rejudged(search.kept(name, options.profile), most=options.strong, images=options.images)
                search.write(result, search.path_of(name, options.profile))
                for row in result["candidates"]:
                    if "strong" in row:
                        print(f"{name} {row['changes']}: {row['worst']['mean']:.1f} %, strong {row['strong']['mean']:.1f} %")
                print(f"{name}: chosen {result['chosen']}, by the cascade {result['strong']['chosen']}")
                continue
            result = search.search(name, options.profile, progress=sys.stderr.isatty())
            for row in result["candidates"]:
                allowed = "" if row["allowed"] else ", clean accuracy too low"
                clean, worst = (row[key]["mean"] for key in ("clean", "worst"))
                print(f"{name} {row['changes']}: clean {clean:.1f} %, worst {worst:.1f} %{allowed}")
            print(f"{name}: chosen {result['chosen']}; {search.write(result, search.path_of(name, options.profile))}")

    command = add_command(commands, run, "search", "choose a penalty's strength by one rule, on held-out images")
    command.add_argument("name", nargs="+", help="searches of experiments.yml")
    command.add_argument(
        "--strong",
        type=int,
        default=0,
        metavar="N",
        help="judge the N best candidates of a finished search again, by the tables' whole cascade",
    )
    command.add_argument("--images", type=int, default=500, help="held-out images of --strong (default: 500)")


def add_execute(commands) -> None:
    """``execute``: one notebook."""

    def run(options) -> None:
        spec = experiments.artifact(options.profile, options.artifact)
        changes = settings.parse_overrides(" ".join(options.changes))
        if changes and not options.out:
            sentence = "new parameters would overwrite the artifact: add --out DIR or use figure"
            raise settings.ExperimentError(sentence)
        spec = experiments.override(spec, changes)
        with (
            workflow.stamped("execute", spec.key, options.profile, wanted=options.step),
            devices.own(options.profile, wanted=options.step),
        ):
            notebook = steps.execute(steps.prepared(spec), folder=Path(options.out).resolve() if options.out else None)
        if not options.step:
            print(notebook)

    command = add_command(commands, run, "execute", "execute an artifact's notebook with papermill")
    command.add_argument("artifact")
    command.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    command.add_argument("--out", help="folder for notebook and results (default: the profile's own)")
    add_step(command)


def add_figure(commands) -> None:
    """``figure``: one artifact with new parameters, in a folder of its own."""

    def run(options) -> None:
        from press.page import compare

        changes = settings.parse_overrides(" ".join([*options.changes, options.set]))
        spec, folder = steps.figure(options.artifact, options.profile, changes)
        page = compare.write(spec, folder, changes)
        for path in sorted(folder.glob(f"{options.artifact}*")):
            print(path)
        print(f"Beside the book's own: {page}")

    command = add_command(commands, run, "figure", "make one figure again with new parameters, overwriting nothing")
    command.add_argument("artifact")
    command.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="notebook parameters or recipe fields")
    command.add_argument("--set", default="", help="the same in one word: 'image=3 eps=[0.1, 0.3]'")


def add_figures(commands) -> None:
    """``figures``: what has been made again with other parameters."""

    def run(options) -> None:
        rows = reruns.listed(options.profile)
        print(reruns.table(rows) if rows else f"no figure of profile {options.profile} was made again yet")

    add_command(commands, run, "figures", "list the figures that were made again with other parameters, by name")


def add_parameters(commands) -> None:
    """``parameters``: what the profile's own figure is made with, as papermill takes it."""

    def run(options) -> None:
        import yaml

        spec = experiments.artifact(options.profile, options.artifact)
        print(yaml.safe_dump(spec.injected, sort_keys=False, allow_unicode=True, width=120), end="")

    purpose = "print a figure's parameters in this profile, for papermill -f"
    add_command(commands, run, "parameters", purpose).add_argument("artifact")


def add_book(commands) -> None:
    """``book``: everything that is missing or changed, then the book."""

    def run(options) -> None:
        if options.cores is not None:
            check_count("cores", options.cores)
        print(f"The book is at {workflow.make_book(options.profile, cores=options.cores)}")

    command = add_command(commands, run, "book", "train, execute and build whatever is missing or changed")
    command.add_argument("--cores", type=int, help="processor cores to use (default: all)")


def add_idle(commands) -> None:
    """``idle``: does nobody work here?"""

    def run(options) -> None:
        places.check_idle()

    purpose = "fail while a run holds a lock in the folder build"
    commands.add_parser("idle", help=purpose, description=purpose).set_defaults(run=run)


COMMANDS = (
    add_check, add_data, add_train, add_search, add_execute, add_figure, add_figures, add_parameters, add_book, add_idle,
    *OF_PAGES,
)  # fmt: skip

if __name__ == "__main__":
    places.speak_utf8()
    sys.exit(main())
