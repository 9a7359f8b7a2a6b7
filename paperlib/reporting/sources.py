"""The images of a measurement, from wherever they are: a data set of the library, an archive, a folder, torchvision.

An archive may hold a test half alone (``x_test, y_test``, or ``x, y``). A folder holds one folder a class, and may keep them
under ``test`` or ``val``. Any data set of ``torchvision.datasets`` is known by its name, such as ``FashionMNIST``; its test
images are taken. Only the chosen images are read.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from paperlib import data
from paperlib.data import DataError, Dataset, Split
from paperlib.files import data_dir

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
HALVES = ("test", "val", "validation")


@dataclass(frozen=True)
class Chosen(Split):
    """Images in [0, 1], their labels, each one's place in its data set, how many test images that has, and what it calls
    its classes (empty if they have no names)."""

    index: Int[Tensor, "n"]
    total: int
    class_names: tuple[str, ...] = ()


def images(name: str, n: int | None = None, *, size: int | None = None) -> tuple[Dataset, Chosen]:
    """A data set and ``n`` of its test images (all for None), with the classes in turn, in the order in which they lie.

    ``size`` brings pictures of a folder or of torchvision to a square of so many pixels: the shorter side scaled, the middle
    kept. Raises DataError.
    """
    if name.endswith(".npz") or name in data.SETS:
        if size is not None:
            raise DataError(f"size is {size} with data {name!r}; allowed is a size with a folder of pictures or a data set "
                            "of torchvision")  # fmt: skip
        dataset = data.measured(name)
        index = chosen(dataset.test.y, n)
        return dataset, Chosen(dataset.test.x[index], dataset.test.y[index], index, len(dataset.test))
    folder = Path(name).expanduser()
    labels, read, classes, called = _folder(folder) if folder.is_dir() else _torchvision(name)
    index = chosen(labels, n)
    x = _stacked([read(k) for k in index.tolist()], name, size)
    y = labels[index]
    empty = Split(x[:0], y[:0])
    dataset = Dataset(
        name=folder.name if folder.is_dir() else name, train=empty, validation=empty, test=Split(x, y), classes=classes,
        pixel_scale=255 if x.shape[1] == 3 else 1, sha256=data.digest(x.numpy(), y.numpy()),
    )  # fmt: skip
    return dataset, Chosen(x, y, index, len(labels), called)


def chosen(y: Int[Tensor, "m"], n: int | None) -> Int[Tensor, "n"]:
    """The places of ``n`` examples with the classes taken in turn, in rising order; all for None or too large an ``n``."""
    if n is None or n >= len(y):
        return torch.arange(len(y))
    return Split(torch.empty(len(y), 0, 0, 0), y).balanced(n).sort().values


def _stacked(pictures: list, name: str, size: int | None) -> Float[Tensor, "n c h w"]:
    """Pictures of one size as one tensor in [0, 1]; grey only if all are."""
    shapes = {picture.size for picture in pictures}
    if size is None and len(shapes) > 1:
        held = ", ".join(f"{w} x {h}" for w, h in sorted(shapes)[:3])
        raise DataError(f"data {name!r} has pictures of {len(shapes)} sizes ({held}, ...); allowed is one size, or --size N "
                        "(size=N) to scale them")  # fmt: skip
    grey = all(picture.mode in ("1", "L", "I;16", "LA") for picture in pictures)
    arrays = [np.asarray((p if size is None else _square(p, size)).convert("L" if grey else "RGB")) for p in pictures]
    x = torch.from_numpy(np.stack(arrays)).float() / 255
    return x[:, None] if grey else x.permute(0, 3, 1, 2).contiguous()


def _square(picture, size: int):
    """The shorter side scaled to ``size``, the middle kept."""

    scale = size / min(picture.size)
    w, h = (max(size, round(scale * side)) for side in picture.size)
    left, top = (w - size) // 2, (h - size) // 2
    return picture.resize((w, h), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))


def _opened(path: Path):

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"picture {path} cannot be read ({type(error).__name__}); allowed are whole pictures") from error


def _folder(folder: Path) -> tuple[Tensor, Callable, int, tuple[str, ...]]:
    """Labels, a reader of one picture, and the number and names of the classes, the folders' in alphabetical order."""
    for half in HALVES:
        folder = folder / half if (folder / half).is_dir() else folder
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [(path, label) for label, name in enumerate(names) for path in sorted((folder / name).rglob("*"))
             if path.suffix.lower() in PICTURES]  # fmt: skip
    if len(names) < 2 or not found:
        raise DataError(f"data folder {folder} holds {len(names)} folders and {len(found)} pictures in them; allowed is one "
                        f"folder of pictures ({', '.join(PICTURES[:3])}, ...) for each of at least 2 classes")  # fmt: skip
    return torch.tensor([label for _, label in found]), lambda k: _opened(found[k][0]), len(names), tuple(names)


def _torchvision(name: str) -> tuple[Tensor, Callable, int, tuple[str, ...]]:
    """The same for the test images of a data set that torchvision has."""
    from torchvision import datasets

    general = ("DatasetFolder", "ImageFolder", "VisionDataset")
    known = {each.lower(): each for each in datasets.__all__ if each not in general}
    if name.lower() not in known:
        raise DataError(f"data is {name!r}; allowed are {', '.join(data.SETS)}, an .npz archive, a folder with a folder "
                        "of pictures a class, or a data set of torchvision such as FashionMNIST")  # fmt: skip
    made = _made(getattr(datasets, known[name.lower()]), name)
    labels = _labels(made, name)
    if len(labels) == 0 or int(labels.min()) < 0:
        raise DataError(f"data {name!r} has no labels from 0; allowed is a data set of pictures and their classes")
    classes, called = int(labels.max()) + 1, tuple(map(str, getattr(made, "classes", None) or ()))
    return labels, lambda k: _picture(made[k], name), classes, called if len(called) == classes else ()


def _made(kind: type, name: str):
    """The test half, downloaded if it is not at hand."""
    takes = inspect.signature(kind).parameters
    options: dict[str, object] = {"train": False} if "train" in takes else {}
    options |= {"split": "test"} if "split" in takes else {}
    options |= {"root": str(data_dir())} if "root" in takes and takes["root"].default is inspect.Parameter.empty else {}
    errors = (OSError, RuntimeError, ValueError, TypeError, ImportError)
    try:
        return kind(**options)
    except errors as error:
        if "download" not in takes:
            sentence = f"data {name!r} cannot be read ({_reason(error)}); its files belong into {data_dir()}"
            raise DataError(sentence) from error
    try:
        return kind(**options, download=True)
    except errors as error:
        raise DataError(f"data {name!r} is not at hand and its download failed ({_reason(error)}); put its files into "
                        f"{data_dir()}, or name another folder in PAPERLIB_DATA") from error  # fmt: skip


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":. ")


def _labels(made, name: str) -> Int[Tensor, "m"]:
    """Every label, read without the pictures where the data set keeps a list of them."""
    for attribute in ("targets", "labels", "_labels"):
        kept = getattr(made, attribute, None)
        if kept is not None and len(kept) == len(made):
            return torch.as_tensor(np.asarray(kept)).long().flatten()
    samples = getattr(made, "_samples", None) or getattr(made, "samples", None)
    try:
        return torch.tensor([int(label) for _, label in (samples or made)])
    except (TypeError, ValueError) as error:
        sentence = f"data {name!r} has no class a picture; allowed is a data set of pictures and their classes"
        raise DataError(sentence) from error


def _picture(item: object, name: str):
    if not (isinstance(item, tuple) and hasattr(item[0], "convert")):
        raise DataError(f"data {name!r} gives {type(item).__name__}; allowed are pairs of a picture and its class")
    return item[0]
