"""What the commands that judge a network of the reader's do. A wrong option is a sentence before any work."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from paperlib.drawings import plane as drawings
from paperlib.names import DATA
from paperlib.reporting import own, readers
from paperlib.reporting.printing import print_values
from paperlib.reporting.report import report as reported
from paperlib.reporting.trial import LEVELS
from paperlib.reporting.wrap import Wrapped


def evaluate(options) -> None:
    """Accuracy under attack."""
    model, dataset, images = read_own(options)
    print_values(options, own.robustness(
        model, dataset, images, eps=options.eps, step_size=options.step_size, seed=options.seed,
        pgd_steps=options.pgd_steps, of=_name(options),
    ))  # fmt: skip


def indicator(options) -> None:
    """The indicator without any attack."""
    model, dataset, images = read_own(options)
    print_values(options, own.indicators(model, dataset, images, eps=options.eps, seed=options.seed, of=_name(options)))


def surface(options) -> None:
    """One surface as a picture."""
    model, dataset, images = read_own(options, suffixes=own.PICTURES)
    plane = own.plane(
        model, dataset, images, image=options.image, eps=options.eps, steps=options.steps,
        objective=options.objective, seed=options.seed, of=_name(options),
    )  # fmt: skip
    path = Path(options.out)
    drawings.save_plane(plane, path, objective=options.objective, pixel_scale=dataset.pixel_scale, blind=plane.blind)
    values = {"picture": str(path), "notes": own.told(plane.notes), "made_of": plane.made_of}
    print_values(argparse.Namespace(**vars(options) | {"out": ""}), values)


def report(options) -> None:
    """The whole answer on one page."""
    eps = own.written(options.eps)
    # no more images than the level attacks at most are read, and n is known to the report alone
    most = LEVELS[options.level].images if options.n is None else options.n
    given = argparse.Namespace(**vars(options) | {"n": most, "eps": eps})
    network, dataset, images = read_own(given, suffixes=(".html", ".htm"))
    path, n = Path(options.out), None if options.n is None else min(options.n, len(images))
    found = reported(
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


def _named(options) -> str:
    weights = Path(options.weights).name if getattr(options, "weights", "") else ""
    return " with ".join(filter(None, [getattr(options, "model", None) or options.network, weights]))


def _unit_note(text: str, pixel_scale: int) -> list[str]:
    """A sentence where a small number for colour images was perhaps meant as a share of the image range."""
    if pixel_scale == 1 or "/" in text or float(text) >= 1:
        return []
    share = float(text) * pixel_scale
    return [f"The size {text} means {text}/{pixel_scale} of the image range; {text} of the whole range would be {share:.3g}"]


def _name(options) -> str:
    """The network as the command named it."""
    return options.network or options.stored.name(options)


def read_own(options, suffixes: tuple[str, ...] = ()):
    """Network, data set and images that the options of ``add_own`` name; every option is checked before any work."""
    asked, stored = vars(options), options.network is None
    own.check_options(asked)
    if stored and options.weights:
        sentence = f"weights is {options.weights}, but model {options.model} has its own; allowed are weights with a network"
        raise own.NetworkError(sentence)
    if options.out:
        own.check_out(Path(options.out), suffixes)
    trained_on = options.stored.data(options) if stored else ""
    if not (options.data or trained_on):
        raise own.NetworkError(f"data is missing; allowed are {', '.join(DATA)}, an .npz archive, a folder, "
                               "or a data set of torchvision")  # fmt: skip
    dataset, images = own.images(options.data or trained_on, options.n, size=options.size)
    own.check_options(asked, dataset, images)
    for name in ("mean", "std"):
        own.check_channels(name, asked[name], dataset)
    network, said = (options.stored.network(options), []) if stored else _read(options)
    for sentence in said:
        print(f"paperlib: {sentence}", file=sys.stderr)
    return Wrapped(
        network, logits=options.logits, mean=tuple(options.mean or ()), std=tuple(options.std or ()),
        average=options.average, seed=options.seed,
    ), dataset, images  # fmt: skip


def _read(options) -> tuple:
    loaded = readers.load(options.network, options.weights, options.weights_key)
    return loaded.model, loaded.said
