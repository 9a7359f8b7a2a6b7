"""The commands about pages: the book built, published, printed, checked and judged; each adds itself to the parser."""

import argparse
import sys
from pathlib import Path

from press.plan import experiments
from press.run import workflow


def add_command(commands, run, name: str, purpose: str) -> argparse.ArgumentParser:
    """A subparser whose ``options.run`` is ``run``, with the option ``--profile``."""
    command = commands.add_parser(name, help=purpose, description=purpose)
    command.add_argument("--profile", default="quick", help="column of experiments.yml (default: quick)")
    command.set_defaults(run=run)
    return command


def add_step(command: argparse.ArgumentParser) -> None:
    command.add_argument("--step", action="store_true", help="stamp the step as done (used by the Snakefile)")


def add_site(commands) -> None:
    """``site``: the last step alone."""

    def run(options) -> None:
        from press.page import site

        with workflow.stamped("book", "html", options.profile, wanted=options.step):
            page = site.build(options.profile)
        if not options.step:
            print(page)

    add_step(add_command(commands, run, "site", "build the book's pages from what has been executed"))


def add_publish(commands) -> None:
    """``publish``: put a run's finished artifacts into the repository."""

    def run(options) -> None:
        from press.page import edition

        keys = edition.publish(options.profile)
        print(f"published in {edition.edition_dir()}: {', '.join(keys) or 'nothing is finished'}")

    purpose = "add the finished artifacts of the paper profile, with their checkpoints, to book/published"
    add_command(commands, run, "publish", purpose).set_defaults(profile="paper")


def add_published(commands) -> None:
    """``published``: the book of the published edition."""

    def run(options) -> None:
        from press.page import edition, site

        print(f"The published edition is at {site.build(edition.PROFILE, alone=True)}")

    add_command(commands, run, "published", "build the book of the published edition, without data or training")


def add_pdf(commands) -> None:
    """``pdf``: the built book on paper."""

    def run(options) -> None:
        from press.page import pdf

        print(pdf.build(options.book))

    purpose = "print the book of a profile, or of the published edition, as one PDF (needs Chromium)"
    command = commands.add_parser("pdf", help=purpose, description=purpose)
    command.add_argument("book", nargs="?", default="published", help="published, or a profile whose book is built")
    command.set_defaults(run=run)


def add_verify(commands) -> None:
    """``verify``: is every file still what was written?"""

    def run(options) -> int:
        from press.page import verify

        rows = verify.checked(options.profile)
        print(verify.table(rows))
        broken = {row.place == "published" for row in rows if row.faults}
        if False in broken:
            print("paperlib: make book makes again what a run has lost", file=sys.stderr)
        if True in broken:
            print("paperlib: git checkout book/published fetches again what was published", file=sys.stderr)
        return 1 if broken else 0

    purpose = "check every file that a run has made or that was published against its hash; fails when one is not whole"
    add_command(commands, run, "verify", purpose)


def add_claims(commands) -> None:
    """``claims``: the verdicts of this run."""

    def run(options) -> int:
        from press.page import claims
        from press.page.values import Numbers

        numbers = Numbers(options.profile)
        for claim in claims.judged(numbers):
            found = claim["verdicts"].get("run", {"verdict": "not run", "ours": ""})
            print(f"{found['verdict']:<15} {claim['id']}: {claim['claim']}")
            print(f"{'':<15} paper: {claim['paper']}; ours: {found['ours'] or '-'}")
        differing = claims.unexpected(numbers)
        for line in differing:
            print(f"paperlib: {line}", file=sys.stderr)
        return 1 if differing else 0

    purpose = "every claim of the paper with its verdict; fails when one differs from the verdict on record"
    add_command(commands, run, "claims", purpose)


def add_drift(commands) -> None:
    """``drift``: this run's numbers beside another's."""

    def run(options) -> None:
        from press.page import drift

        experiments.check_profile(options.profile)
        print(drift.report(Path(options.before), experiments.build_dir(options.profile) / "results"))

    command = add_command(commands, run, "drift", "which numbers differ from those of another run, in Markdown")
    command.add_argument("before", help="folder with the other run's records")


def add_references(commands) -> None:
    """``references``: the published networks' numbers into the package."""

    def run(options) -> None:
        from press.page import references

        print(references.write())

    purpose = "write the published networks' numbers anew, beside which a report sets the reader's own"
    add_command(commands, run, "references", purpose)


def add_bench(commands) -> None:
    """``bench``: our work beside other libraries'."""

    def run(options) -> None:
        from press.bench import run as bench

        bench.bench(wanted=options.row)
        print(bench.publish() if options.publish else bench.place() / "bench.json")

    purpose = "time our work beside other libraries', which make oracles gets; goes on where it was stopped"
    command = commands.add_parser("bench", help=purpose, description=purpose)
    command.add_argument("row", nargs="*", help="rows to time (default: all)")
    command.add_argument("--publish", action="store_true", help="put the record of all rows where the book shows it")
    command.set_defaults(run=run)


OF_PAGES = (add_site, add_publish, add_published, add_pdf, add_verify, add_claims, add_drift, add_references, add_bench)
