"""Other libraries that do the same work; they lie in a folder of their own, which the benchmark alone looks into."""

import importlib
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from paperlib.refusal import Refusal
from press.plan import settings

VERSIONS = {
    "adv_lib": "0.2.8", "torchattacks": "3.5.1", "foolbox": "3.3.4", "loss_landscapes": "3.0.6", "pyautoattack": "0.2.0",
}  # fmt: skip


class PeerError(Refusal):
    """A library to be compared with is not there; one sentence that says how to get it."""


def peer(name: str) -> Any:
    """The module of another library. Raises PeerError where it is missing."""
    folder = settings.ROOT / "build" / "oracles"
    if PathFinder.find_spec(name.partition(".")[0], [str(folder)]) is None:
        raise PeerError(f"{name} is not in build/oracles; make oracles puts it there")
    if str(folder) not in sys.path:
        # behind everything that is installed
        sys.path.append(str(folder))
    if "visdom" not in sys.modules and PathFinder.find_spec("visdom") is None:
        # adv_lib imports it for pictures that nobody asks for here
        sys.modules["visdom"] = ModuleType("visdom")
        sys.modules["visdom"].Visdom = object
    return importlib.import_module(name)
