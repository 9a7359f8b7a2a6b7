"""The commands that judge a network of the reader's: ``evaluate``, ``indicator``, ``surface``, ``report``. Anything wrong
with what they are given is one sentence before any work.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from paperlib import files, provenance
from paperlib.reporting import command

EVALUATED = 1000


def add_evaluate(commands, stored: object = None) -> None:
    """``evaluate``: a network of the reader's under attack."""

    def run(options) -> None:
        from paperlib.reporting import own

        model, dataset, images = read_own(options)
        print_values(options, own.robustness(
            model, dataset, images, eps=options.eps, step_size=options.step_size, seed=options.seed,
            pgd_steps=options.pgd_steps, of=_name(options),
        ))  # fmt: skip

    command = add_own(commands, run, "evaluate", "a network under attack: accuracy, worst case, masking", stored)
    command.add_argument("--eps", type=size, nargs="+", required=True, help="rising sizes: 0.1, 8 (1/255 for colour), 8/255")
    command.add_argument("--step-size", type=size, help="of BIM and C&W (default: a quarter of the largest eps)")
    command.add_argument("--pgd-steps", type=int, default=40, help="of the worst case's PGD; 0 leaves it out")
    command.set_defaults(n=EVALUATED)


def add_indicator(commands, stored: object = None) -> None:
    """``indicator``: the same without any attack."""

    def run(options) -> None:
        from paperlib.reporting import own

        model, dataset, images = read_own(options)
        print_values(options, own.indicators(model, dataset, images, eps=options.eps, seed=options.seed, of=_name(options)))

    command = add_own(commands, run, "indicator", "the robustness indicator of a network, without any attack", stored)
    command.add_argument("--eps", type=size, required=True, help="size of the ball: 0.1, 8 (1/255 for colour), 8/255")


def add_surface(commands, stored: object = None) -> None:
    """``surface``: the decision surface around one image, as a picture."""

    def run(options) -> None:
        from paperlib.drawings import plane as drawings
        from paperlib.reporting import own

        model, dataset, images = read_own(options, suffixes=own.PICTURES)
        plane = own.plane(
            model, dataset, images, image=options.image, eps=options.eps, steps=options.steps,
            objective=options.objective, seed=options.seed, of=_name(options),
        )  # fmt: skip
        path = Path(options.out)
        drawings.save_plane(
            plane, path, objective=options.objective, pixel_scale=dataset.pixel_scale, blind=plane.blind
        )
        values = {"picture": str(path), "notes": own.told(plane.notes), "made_of": plane.made_of}
        print_values(argparse.Namespace(**vars(options) | {"out": ""}), values)

    command = add_own(commands, run, "surface", "the decision surface of a network around one image, as a picture", stored)
    command.add_argument("--eps", type=size, required=True, help="half the width: 0.1, 8 (1/255 for colour), 8/255")
    command.add_argument("--image", type=int, default=0, help="which of the test images (default: the first)")
    command.add_argument("--steps", type=int, default=41, help="grid points along each axis")
    command.add_argument("--objective", default="decision", help="decision or loss")
    command.set_defaults(out="surface.png")


def add_report(commands, stored: object = None) -> None:
    """``report``: the whole answer on one page."""
    command.add_command(commands, partial(add_own, stored=stored), read_own)


COMMANDS = (add_evaluate, add_indicator, add_surface, add_report)


def size(text: str) -> float:
    """A size as an option has it."""
    from paperlib.reporting import own

    try:
        return own.written(text)
    except own.InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_own(commands, run: Callable, name: str, purpose: str, stored: object = None) -> argparse.ArgumentParser:
    """A command for a network of the reader's, or one that ``stored`` knows by name; ``read_own`` reads its options.

    ``stored`` has ``add_options``, and of parsed options ``data``, ``network`` and ``name``.
    """
    command = commands.add_parser(name, help=purpose, description=purpose)
    command.set_defaults(run=run, stored=stored, model=None)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", help="FILE.py:FUNCTION or package.module:FUNCTION that returns the network, such as "
                       "torchvision.models:resnet18(num_classes=10)")  # fmt: skip
    if stored is not None:
        stored.add_options(command, which)
    command.add_argument("--weights", default="", help="a .safetensors file, or a saved state dictionary")
    command.add_argument("--weights-key", default="", help="which state dictionary of a file with several, such as ema")
    command.add_argument("--logits", default="", help="key or place of the logits in a dictionary or tuple of outputs")
    command.add_argument("--mean", type=float, nargs="+", help="subtracted from images in [0, 1]; one, or each channel's")
    command.add_argument("--std", type=float, nargs="+", help="what they are divided by then")
    command.add_argument("--average", type=int, default=1, help="passes whose mean logits a random network gives")
    command.add_argument("--data", help="digits, digits-rgb, mnist, cifar10, an .npz archive, a folder with a folder of "
                         "pictures a class, or a data set of torchvision by name (default: the model's)")  # fmt: skip
    command.add_argument("--size", type=int, help="scale and crop pictures to a square of so many pixels")
    command.add_argument("--n", type=int, help="how many test images, the classes in turn (default: all; evaluate: 1000)")
    command.add_argument("--seed", type=int, default=0, help="of random starts and directions")
    command.add_argument("--out", default="", help="file to write (default: print only; surface.png for a picture)")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command


def _name(options) -> str:
    """The network as the command named it."""
    return options.network or options.stored.name(options)


def read_own(options, suffixes: tuple[str, ...] = ()):
    """Network, data set and images that the options of ``add_own`` name; every option is checked before any work."""
    from paperlib.reporting import own
    from paperlib.reporting.wrap import Wrapped

    asked, stored = vars(options), options.network is None
    own.check_options(asked)
    if stored and options.weights:
        sentence = f"weights is {options.weights}, but model {options.model} has its own; allowed are weights with a network"
        raise own.NetworkError(sentence)
    if options.out:
        own.check_out(Path(options.out), suffixes)
    trained_on = options.stored.data(options) if stored else ""
    if not (options.data or trained_on):
        raise own.NetworkError("data is missing; allowed are digits, digits-rgb, mnist, cifar10, an .npz archive, a folder, "
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
    from paperlib.reporting import readers

    loaded = readers.load(options.network, options.weights, options.weights_key)
    return loaded.model, loaded.said


# Printing.


def print_values(options, values: dict) -> None:
    """Notes and numbers as a table, or all of it as JSON; all of it into ``--out`` as well."""

    text = json.dumps(provenance.plain(values), indent=1, ensure_ascii=False)
    print(text if options.json else "\n".join(table(values)))
    if options.out:
        files.write_atomic(Path(options.out), text + "\n")


def table(values: dict) -> Iterator[str]:
    """The lines of a table for people: notes, numbers with their units, and what they were made of."""
    made_of = values["made_of"]
    for note in values["notes"]:
        yield f"note: {note['sentence']}"
    rows = list(_rows({k: v for k, v in values.items() if k not in ("notes", "made_of")}, made_of))
    width = max((len(label) for label, _ in rows), default=0)
    yield from (f"{label:<{width}}  {number}" for label, number in rows)
    about, eps = made_of["data"], made_of["eps"]
    sizes = ", ".join(with_unit(e, made_of["unit"]) for e in (eps if isinstance(eps, list) else [eps]))
    yield f"network {made_of['network']}, weights {(made_of['weights'] or 'unknown')[:12]}"
    yield f"images  {about['n']} of {about['name']} ({about['choice']}), sha256 {about['sha256'][:12]}"
    yield f"sizes   {sizes}; seed {made_of['seed']}; paperlib {made_of['versions']['paperlib']}"


LABELS = {
    "clean": "clean accuracy", "worst": "worst case of all attacks", "fgsm": "accuracy under FGSM",
    "bim": "accuracy under BIM", "cw": "accuracy under C&W", "S": "margin S", "mean_J": "mean |J|", "l1_J": "l1 norm of J",
    "l2_J": "l2 norm of J", "curvature": "curvature at 0.1", "loss_slope": "slope of the loss",
    "linear_distance": "linear distance S/|J|1", "linear_robust": "farther than eps if linear", "picture": "picture",
}  # fmt: skip


def _rows(values: dict, made_of: dict) -> Iterator[tuple[str, str]]:
    unit = made_of["unit"]
    for name, value in values.items():
        label = LABELS.get(name, name.replace("_", " "))
        if not isinstance(value, dict):
            yield label, value if isinstance(value, str) else f"{value:.3g}"
        elif "low" in value:
            yield label, number(value)
        elif name == "masking":
            at = with_unit(made_of["masking_eps"], unit)
            for each, share in value.items():
                yield f"masking at {at}: {each.replace('_', ' ')}", f"{share:.1f} {'points' if 'minus' in each else '%'}"
        else:
            yield from ((f"{label} at {with_unit(float(e), unit)}", number(found)) for e, found in value.items())


def with_unit(eps: float, unit: str) -> str:
    """A size as the reader writes it: ``8/255``, or ``0.1 of the image range``."""
    return f"{eps:g}{unit.removeprefix('1')}" if unit.startswith("1/") else f"{eps:g} {unit}"


def number(found: dict) -> str:
    """An interval in words: a share in percent, or a median with its unit."""
    if "median" not in found:
        return f"{found['mean']:.1f} % [{found['low']:.1f}, {found['high']:.1f}] of {found['n']}"
    unit = found["unit"]
    ends = f"[{found['low']:.3g}, {found['high']:.3g}]"
    if unit.startswith("1/"):
        return f"median {found['median']:.3g} {ends} in {unit} of the image range"
    return f"median {found['median']:.3g} {ends} {unit}"
