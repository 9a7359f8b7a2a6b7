"""The reader's own network and weights, from wherever they are: any ``nn.Module`` on images in [0, 1].

A network is named ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``, such as ``torchvision.models:resnet18``, with
keyword arguments if need be: ``torchvision.models:resnet18(num_classes=10)``. The function returns the module. Weights come
from a ``.safetensors`` file or a state dictionary that ``torch.save`` wrote, alone or in a dictionary, as in
``{"model": ..., "epoch": 3}``.
"""

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from types import ModuleType

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from paperlib.reporting.wrap import NetworkError, named

# what DataParallel, torch.compile and averaged models put before every name
PREFIXES = ("module.", "_orig_mod.")
SHAPE = re.compile(r"(?s)(.+):([A-Za-z_]\w*)(?:\((.*)\))?\Z")


@dataclass(frozen=True)
class Loaded:
    """A network in eval mode, the sha256 of its weights, and what had to be done to load them, in sentences."""

    model: nn.Module
    sha256: str
    said: list[str] = field(default_factory=list)


def network(where: str, weights: str = "", weights_key: str = "") -> nn.Module:
    """The network that ``where`` names, in eval mode, with ``weights`` if given. Raises NetworkError."""
    return load(where, weights, weights_key).model


def load(where: str, weights: str = "", weights_key: str = "") -> Loaded:
    """The same with what had to be done for it. Raises NetworkError.

    A file's imports are found beside it, as those of a script are, and a package here. The function is called twice,
    because weights that are new at every call are nobody's network.
    """
    if weights_key and not weights:
        raise NetworkError(f"weights_key is {weights_key!r} without weights; allowed is a key of a weights file")
    source, function, arguments = _parts(where)
    folder = str(Path(source).resolve().parent)
    sys.path.insert(0, folder)
    try:
        make = getattr(_module(source), function, None)
        if not callable(make):
            raise NetworkError(f"network is {where!r}, but {source} has no function {function!r}")
        model, again = (_called(make, where, function, arguments) for _ in range(2))
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    said = load_weights(model, Path(weights), weights_key) if weights else []
    if weights:
        load_weights(again, Path(weights), weights_key)
    first, second = weights_hash(model), weights_hash(again)
    if first != second:
        raise NetworkError(f"network is {where!r}, whose weights differ from call to call: they are random; allowed is a "
                           "function that loads them, or a file with --weights")  # fmt: skip
    return Loaded(model.eval(), first, said)


def _parts(where: str) -> tuple[str, str, dict[str, object]]:
    """Source, function and its keyword arguments."""
    found = SHAPE.match(where)
    if found is None:
        raise NetworkError(f"network is {where!r}; allowed is FILE.py:FUNCTION or package.module:FUNCTION")
    try:
        node = ast.parse(f"f({found[3] or ''})", mode="eval").body
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError
        return found[1], found[2], {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (ValueError, SyntaxError, AttributeError) as error:
        sentence = f"network is {where!r}; allowed in the brackets are plain values by name, such as num_classes=10"
        raise NetworkError(sentence) from error


def _called(make: Callable, where: str, function: str, arguments: dict) -> nn.Module:
    with named(f"network is {where!r}, but calling {function}() failed"):
        model = make(**arguments)
    if not isinstance(model, nn.Module):
        raise NetworkError(f"network is {where!r}, which returned {type(model).__name__}; allowed is an nn.Module")
    return model


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        with named(f"network module {source!r} cannot be imported"):
            return importlib.import_module(source)
    path = Path(source).resolve()
    if not path.is_file():
        raise NetworkError(f"network file {source} does not exist")
    # dataclasses look their module up under this name; a dot in it would make the file part of a package
    name = str(path).replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    with named(f"network file {source} cannot be imported"):
        spec.loader.exec_module(module)
    return module


def weights_hash(model: nn.Module) -> str:
    """sha256 of everything in the state dictionary: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, Tensor) or isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


# Weights.


def load_weights(model: nn.Module, path: Path, key: str = "") -> list[str]:
    """Fill ``model`` from a ``.safetensors`` file or a saved state dictionary, that under ``key`` if it holds several.

    Returns what had to be done, in sentences. Raises NetworkError, naming the file.
    """
    if not path.is_file():
        raise NetworkError(f"weights file {path} does not exist")
    plain = path.suffix == ".safetensors"
    with named(f"weights file {path} is not {'a .safetensors file' if plain else 'a state dictionary of torch.save'}"):
        found = load_file(path) if plain else _saved(path)
    weights, said = _stripped(_state_dict(found, path, key), model, path)
    try:
        model.load_state_dict(weights)
    except Exception as error:
        # the first line only names the class; each further one is a kind of misfit with its keys
        misfits = [shorten(line, 160, placeholder=" ...").rstrip(".") for line in str(error).splitlines()]
        reason = "; ".join(misfits[1:4] or misfits or [type(error).__name__])
        raise NetworkError(f"weights file {path} does not fit the network: {reason}") from error
    return said


def _saved(path: Path) -> object:
    """What ``torch.save`` wrote, if it holds nothing but tensors and plain values. Raises NetworkError with a way out."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        held = re.search(r"GLOBAL (\S+)", str(error)) or re.search(r"class (\S+)", str(error))
        if held is None:
            raise
        kind = held[1].strip("`'\".,")
        numpy = kind.startswith(("numpy", "_codecs"))
        what = "numpy objects beside its weights" if numpy else "whole pickled objects"
        weights = "found['KEY OF THE WEIGHTS']" if numpy else "found.state_dict()"
        program = f"import torch; found = torch.load('{path}', weights_only=False); torch.save({weights}, 'weights.pt')"
        sentence = (f"weights file {path} holds {what} ({kind}), which can run code when they are read; allowed is a state "
                    f"dictionary, which, if you trust the file, this writes where its classes can be imported: python -c "
                    f'"{program}"')  # fmt: skip
        raise NetworkError(sentence) from error


def _state_dict(found: object, path: Path, key: str = "") -> dict[str, Tensor]:
    """What a file held, if it is a state dictionary, or else the only one in it, or the one under ``key``."""
    held = type(found).__name__
    if isinstance(found, dict):
        inside = {str(name): value for name, value in found.items() if _fits(value)}
        if key:
            chosen = _under(found, key)
            if not _fits(chosen):
                raise NetworkError(f"weights_key is {key!r}; allowed are the state dictionaries of weights file {path}: "
                                   f"{', '.join(inside) or 'none'}")  # fmt: skip
            return chosen
        candidates = [value for value in (found, *inside.values()) if _fits(value)]
        if len(candidates) == 1:
            return candidates[0]
        held = f"a dictionary with {shorten(', '.join(map(repr, found)), 160, placeholder=' ...') or 'nothing in it'}"
        choice = f" (--weights-key names one of {', '.join(inside)})" if inside else ""
    else:
        choice = ""
    allowed = f"a state dictionary, or a dictionary with one in it{choice}"
    raise NetworkError(f"weights file {path} holds {held}; allowed is {allowed}")


def _fits(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items()
    )  # fmt: skip


def _under(found: dict, key: str) -> object:
    """The entry of that name, or the one that a dotted name leads to."""
    if key in found:
        return found[key]
    node: object = found
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _stripped(weights: dict[str, Tensor], model: nn.Module, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Names without what wrappers put before them, where the network's own do not have it; and what was left out."""
    wanted, stripped, gone = set(model.state_dict()), {}, []
    for name, tensor in weights.items():
        short = name
        while short not in wanted and short.startswith(PREFIXES):
            prefix = next(each for each in PREFIXES if short.startswith(each))
            short, gone = short.removeprefix(prefix), [*gone, prefix]
        stripped[short] = tensor
    # what the wrappers have of their own: an averaged model counts its updates
    extra = [name for name in ("n_averaged",) if name in stripped and name not in wanted and gone]
    stripped = {name: tensor for name, tensor in stripped.items() if name not in extra}
    common = _common(stripped, wanted)
    if common:
        stripped, gone = {name.removeprefix(common): tensor for name, tensor in stripped.items()}, [*gone, common]
    if not gone:
        return weights, []
    without = f", and {extra[0]} is left out" if extra else ""
    return stripped, [f"names in {path.name} are taken without {', '.join(dict.fromkeys(gone))}{without}"]


def _common(weights: dict[str, Tensor], wanted: set[str]) -> str:
    """A first part that all names share and without which they are exactly those wanted, such as ``model.``; or nothing."""
    first = {name.partition(".")[0] + "." for name in weights}
    prefix = next(iter(first)) if len(first) == 1 else ""
    return prefix if prefix and {name.removeprefix(prefix) for name in weights} == wanted != set(weights) else ""
