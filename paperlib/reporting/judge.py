"""The commands that judge a network of the reader's: their options. What they do is in ``commands``, loaded on demand."""

import argparse

from paperlib.names import DATA
from paperlib.refusal import InputError
from paperlib.reporting.sizes import written

EVALUATED = 1000
LEVELS = ("quick", "standard", "strong")
RUN = "paperlib.reporting.commands"


def add_evaluate(commands, stored: object = None) -> None:
    """``evaluate``: a network of the reader's under attack."""
    command = add_own(commands, "evaluate", "a network under attack: accuracy, worst case, masking", stored)
    command.add_argument("--eps", type=size, nargs="+", required=True, help="rising sizes: 0.1, 8 (1/255 for colour), 8/255")
    command.add_argument("--step-size", type=size, help="of BIM and C&W (default: a quarter of the largest eps)")
    command.add_argument("--pgd-steps", type=int, default=40, help="of the worst case's PGD; 0 leaves it out")
    command.set_defaults(n=EVALUATED)


def add_indicator(commands, stored: object = None) -> None:
    """``indicator``: the same without any attack."""
    command = add_own(commands, "indicator", "the robustness indicator of a network, without any attack", stored)
    command.add_argument("--eps", type=size, required=True, help="size of the ball: 0.1, 8 (1/255 for colour), 8/255")


def add_surface(commands, stored: object = None) -> None:
    """``surface``: the decision surface around one image, as a picture."""
    command = add_own(commands, "surface", "the decision surface of a network around one image, as a picture", stored)
    command.add_argument("--eps", type=size, required=True, help="half the width: 0.1, 8 (1/255 for colour), 8/255")
    command.add_argument("--image", type=int, default=0, help="which of the test images (default: the first)")
    command.add_argument("--steps", type=int, default=41, help="grid points along each axis")
    command.add_argument("--objective", default="decision", help="decision or loss")
    command.set_defaults(out="surface.png")


def add_report(commands, stored: object = None) -> None:
    """``report``: the whole answer on one page."""
    purpose = "is a network robust, and how is that known: one page, and every number"
    command = add_own(commands, "report", purpose, stored)
    command.add_argument("--eps", required=True, help="size of the perturbation: 8/255, or a number in the data's unit")
    command.add_argument("--level", default="quick", choices=LEVELS, help="how much is tried (default: quick)")
    command.set_defaults(out="report.html")


COMMANDS = (add_evaluate, add_indicator, add_surface, add_report)


def size(text: str) -> float:
    """A size as an option has it."""
    try:
        return written(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_own(commands, name: str, purpose: str, stored: object = None) -> argparse.ArgumentParser:
    """A command for a network of the reader's, or one that ``stored`` knows by name.

    ``stored`` has ``add_options``, and of parsed options ``data``, ``network`` and ``name``.
    """
    command = commands.add_parser(name, help=purpose, description=purpose)
    command.set_defaults(run=f"{RUN}:{name}", stored=stored, model=None)
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
    command.add_argument("--data", help=f"{', '.join(DATA)}, an .npz archive, a folder with a folder of "
                         "pictures a class, or a data set of torchvision by name (default: the model's)")  # fmt: skip
    command.add_argument("--size", type=int, help="scale and crop pictures to a square of so many pixels")
    command.add_argument("--n", type=int, help="how many test images, the classes in turn (default: all; evaluate: 1000)")
    command.add_argument("--seed", type=int, default=0, help="of random starts and directions")
    command.add_argument("--out", default="", help="file to write (default: print only; surface.png for a picture)")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command
