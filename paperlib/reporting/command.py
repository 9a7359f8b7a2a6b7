"""The command ``report``: everything that it needs is loaded when it runs, for torch takes seconds."""

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path

CHOICES = ("quick", "standard", "strong")


def add_command(commands, add_own: Callable, read: Callable) -> None:
    """``report``: a network of the reader's on one page.

    ``add_own(commands, run, name, purpose)`` adds the options that name network, weights and data and returns the parser;
    ``read(options, suffixes=...)`` checks them and returns network, data set and images.
    """

    def run(options) -> None:
        from paperlib.reporting import own
        from paperlib.reporting.report import report
        from paperlib.reporting.trial import LEVELS

        eps = own.written(options.eps)
        # no more images than the level attacks at most are read, and n is known to the report alone
        most = LEVELS[options.level].images if options.n is None else options.n
        given = argparse.Namespace(**vars(options) | {"n": most, "eps": eps})
        network, dataset, images = read(given, suffixes=(".html", ".htm"))
        path, n = Path(options.out), None if options.n is None else min(options.n, len(images))
        found = report(
            network, images.x, images.y, eps=own.size(eps, dataset.pixel_scale), level=options.level,
            data=dataset.name, name=_named(options), pixel_scale=dataset.pixel_scale, n=n, seed=options.seed,
            store=path.with_suffix(".parts"), data_sha256=dataset.sha256, progress=True,
            command=shlex.join(["paperlib", *options.typed]), classes=dataset.classes,
            class_names=images.class_names, index=images.index, given=images.total,
            notes=_unit_note(options.eps, dataset.pixel_scale),
        )  # fmt: skip
        found.save(path)
        if options.json:
            print(json.dumps(found.values, indent=1, allow_nan=False, ensure_ascii=False))
        else:
            print(f"{found!r}\n{path}; every number is in {path.with_suffix('.json')}")

    command = add_own(commands, run, "report", "is a network robust, and how is that known: one page, and every number")
    command.add_argument("--eps", required=True, help="size of the perturbation: 8/255, or a number in the data's unit")
    command.add_argument("--level", default="quick", choices=CHOICES, help="how much is tried (default: quick)")
    command.set_defaults(out="report.html")


def _named(options) -> str:
    weights = Path(options.weights).name if getattr(options, "weights", "") else ""
    return " with ".join(filter(None, [getattr(options, "model", None) or options.network, weights]))


def _unit_note(text: str, pixel_scale: int) -> list[str]:
    """A sentence where a small number for colour images was perhaps meant as a share of the image range."""
    if pixel_scale == 1 or "/" in text or float(text) >= 1:
        return []
    share = float(text) * pixel_scale
    return [f"The size {text} means {text}/{pixel_scale} of the image range; {text} of the whole range would be {share:.3g}"]

