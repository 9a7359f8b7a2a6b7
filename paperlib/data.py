"""Real images and their labels: embedded digits, MNIST, CIFAR-10, or any archive of the reader's own.

``load(name)`` returns images as float32 in [0, 1], NCHW. Names: ``digits``, ``digits-rgb``, ``mnist``, ``cifar10``,
or the path of an ``.npz`` archive with ``x_train, y_train, x_test, y_test`` (Keras style). MNIST and CIFAR-10 come
from such an archive ``<name>.npz`` in the folder that ``PAPERLIB_DATA`` names, else from torchvision's download.
"""

import hashlib
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.files import archive_path, data_dir
from paperlib.refusal import Refusal

BUILT_IN = ("digits", "digits-rgb", "mnist", "cifar10")
KEYS = ("x_train", "y_train", "x_test", "y_test")
VALIDATION = {"mnist": 5000, "cifar10": 5000}
OFFICIAL_SHAPE = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


class DataError(Refusal):
    """A data set that is missing or malformed; the message is one sentence that says what is allowed."""


@dataclass(frozen=True)
class Split:
    """Images in [0, 1] and integer labels."""

    x: Float[Tensor, "n c h w"]
    y: Int[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.y)

    def first(self, n: int | None) -> "Split":
        """The first ``n`` examples (all for None), with a warning if they lack more classes than chance would let them;
        ValueError if there are fewer."""
        if n is not None and not 0 < n <= len(self):
            raise DataError(f"n is {n}; allowed are 1 to {len(self)} images")
        part = Split(self.x[:n], self.y[:n])
        there, classes = len(part.y.unique()), len(self.y.unique()) if n is not None else 0
        # of n images drawn at random, so many classes are expected; a few images may well share one
        expected = classes * (1 - (1 - 1 / classes) ** len(part)) if classes and len(part) > 3 else 0.0
        if there < 0.4 * expected or there < classes <= len(part) / 10:
            warnings.warn(f"the first {n} of {len(self)} images hold {there} of {classes} classes, as in an archive ordered "
                          "by class: shuffle it", stacklevel=2)  # fmt: skip
        return part

    def balanced(self, n: int) -> Int[Tensor, "n"]:
        """The indices of ``n`` examples with the classes taken in turn, so that each has its share, as far as it has enough.

        The first ``m`` of them are ``balanced(m)``: evaluations of two sizes share images. ValueError if there are fewer.
        """
        if not 0 < n <= len(self):
            raise DataError(f"n is {n}; allowed are 1 to {len(self)} images")
        seen: dict[int, int] = {}
        # which example of its class each one is
        turn = [seen.update({label: seen.get(label, -1) + 1}) or seen[label] for label in self.y.tolist()]
        return torch.tensor(sorted(range(len(self)), key=lambda k: (turn[k], int(self.y[k]))))[:n]


@dataclass(frozen=True)
class Dataset:
    """Three fixed splits, and the unit in which the paper writes perturbations on such images.

    ``pixel_scale`` is 1 for grey images and 255 for colour (Tables 1 and 2); ``sha256`` covers all pixels and labels.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int
    pixel_scale: int
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return tuple(self.train.x.shape[1:])

    def to_input(self, eps: float) -> float:
        """A perturbation size in the paper's unit, converted to the [0, 1] scale of the images."""
        return eps / self.pixel_scale


@lru_cache(maxsize=2)
def load(name: str) -> Dataset:
    """The data set called ``name``, or the archive at that path. Raises DataError with one sentence."""
    if name == "digits":
        return _digits()
    if name == "digits-rgb":
        return _digits_rgb()
    if name in OFFICIAL_SHAPE:
        archive = archive_path(name)
        arrays = read_archive(archive) if archive.is_file() else _download(name)
        return _official(name, arrays)
    if name.endswith(".npz"):
        return _from_arrays(Path(name).stem, read_archive(archive_path(name)))
    raise DataError(f"data is {name!r}; allowed are digits, digits-rgb, mnist, cifar10, or the path of an .npz archive")


def measured(name: str) -> Dataset:
    """``load(name)``, or for an archive without a training half a data set that can be measured on and not trained on."""
    path = archive_path(name)
    if not name.endswith(".npz") or not path.is_file():
        return load(name)
    return _test_half(path) or load(name)


@lru_cache(maxsize=1)
def _test_half(path: Path) -> Dataset | None:
    """The test half of an archive that has no other; None for one that has."""
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        there = set(archive.files)
        if there & set(KEYS[:2]) or not (there & set(KEYS[2:]) or {"x", "y"} <= there):
            return None
        names = KEYS[2:] if there & set(KEYS[2:]) else ("x", "y")
        missing = [key for key in names if key not in there]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; for a measurement an archive holds x_test and y_test")
        arrays = [np.asarray(archive[key]) for key in names]
    x, y = _checked_pair(*arrays, "test", str(path))
    test = Split(_images(x), torch.from_numpy(y))
    none = Split(test.x[:0], test.y[:0])
    return Dataset(
        name=path.stem, train=none, validation=none, test=test, classes=int(test.y.max()) + 1,
        pixel_scale=255 if test.x.shape[1] == 3 else 1, sha256=digest(*arrays),
    )  # fmt: skip


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of a Keras-style archive: images ``(n, h, w, c)``, labels ``(n,)``; checked, pickle refused."""
    if not path.is_file():
        raise DataError(f"data archive {path} does not exist; allowed is a path from here or from the top folder")
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        missing = [key for key in KEYS if key not in archive.files]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; an archive holds {', '.join(KEYS)}")
        # a member that is no array comes as bytes; the checks of shape refuse it
        arrays = {key: np.asarray(archive[key]) for key in KEYS}
    return _checked(arrays, str(path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a broken archive raises is a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except (ValueError, TypeError, OSError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz archive of plain arrays ({error})") from error


def _checked(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    checked = {}
    for part in ("train", "test"):
        pair = _checked_pair(arrays[f"x_{part}"], arrays[f"y_{part}"], part, where)
        checked |= dict(zip((f"x_{part}", f"y_{part}"), pair, strict=True))
    if checked["x_train"].shape[1:] != checked["x_test"].shape[1:]:
        raise DataError(
            f"{where} has training images of shape {checked['x_train'].shape[1:]} and test images of shape "
            f"{checked['x_test'].shape[1:]}; allowed is one shape (height, width, channels)"
        )
    classes = int(checked["y_train"].max()) + 1
    if checked["y_test"].max() >= classes:
        raise DataError(f"y_test of {where} reaches {checked['y_test'].max()}; allowed are labels 0..{classes - 1}")
    return checked


def _checked_pair(x: np.ndarray, y: np.ndarray, part: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked_images(x, f"x_{part} of {where}"), _checked_labels(y, f"y_{part} of {where}")
    if len(x) != len(y) or len(x) == 0:
        raise DataError(f"{where} has {len(x)} images and {len(y)} labels in {part}; allowed is one label an image")
    return x, y


def _checked_images(x: np.ndarray, where: str) -> np.ndarray:
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        # channels first, as torch has them
        x = x.transpose(0, 2, 3, 1)
    if x.ndim != 4 or x.shape[3] not in (1, 3):
        raise DataError(f"{where} has shape {x.shape}; allowed is (n, h, w), (n, h, w, 1) or (n, h, w, 3)")
    if x.dtype == np.uint8:
        return x
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{where} has dtype {x.dtype}; allowed are uint8, or floats in [0, 1]")
    if not np.isfinite(x).all():
        raise DataError(f"{where} holds NaN or infinity; allowed are floats in [0, 1]")
    if x.size and (x.min() < 0 or x.max() > 1):
        raise DataError(f"{where} spans [{x.min():.8g}, {x.max():.8g}]; allowed are floats in [0, 1]")
    return x


def _checked_labels(y: np.ndarray, where: str) -> np.ndarray:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{where} has shape {y.shape} and dtype {y.dtype}; allowed are integers of shape (n,)")
    if y.size and y.min() < 0:
        raise DataError(f"{where} holds the label {y.min()}; allowed are labels 0..K-1")
    return y.astype(np.int64)


def _official(name: str, arrays: dict[str, np.ndarray]) -> Dataset:
    shape = arrays["x_train"].shape[1:]
    if shape != OFFICIAL_SHAPE[name]:
        raise DataError(f"{name} has images of shape {shape}; allowed is {OFFICIAL_SHAPE[name]}")
    if arrays["y_train"].max() != 9:
        raise DataError(f"y_train of {name} reaches {arrays['y_train'].max()}; allowed are labels 0..9")
    return _from_arrays(name, arrays)


def _from_arrays(name: str, arrays: dict[str, np.ndarray]) -> Dataset:
    train, test = (Split(_images(arrays[f"x_{part}"]), torch.from_numpy(arrays[f"y_{part}"])) for part in ("train", "test"))
    if len(train) < 2:
        raise DataError(f"{name} has {len(train)} training image; allowed are at least 2, one of them held out")
    # an archive smaller than the official one keeps images to train on
    held_out = min(VALIDATION.get(name, len(train)), max(1, len(train) // 10))
    kept, validation = _stratified(train.y, held_out)
    return Dataset(
        name=name,
        train=Split(train.x[kept], train.y[kept]),
        validation=Split(train.x[validation], train.y[validation]),
        test=test,
        classes=int(train.y.max()) + 1,
        pixel_scale=255 if train.x.shape[1] == 3 else 1,
        sha256=digest(*(arrays[key] for key in KEYS)),
    )


def _images(x: np.ndarray) -> Float[Tensor, "n c h w"]:
    if x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).float() / 255
    # by numpy, which knows kinds of floats that torch does not, such as those of another byte order
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32))


def digest(*arrays: np.ndarray) -> str:
    """sha256 of arrays' types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _stratified(y: Int[Tensor, "n"], held_out: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Indices kept and held out, the held-out ones with the classes in proportion; the same on every machine."""
    order = np.random.default_rng(seed).permutation(len(y))
    within = np.zeros(len(y))
    labels = y.numpy()[order]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        within[members] = (np.arange(len(members)) + 0.5) / len(members)
    # the lowest ranks within each class are held out, so that every class gives its share
    ranked = order[np.argsort(within, kind="stable")]
    return torch.from_numpy(np.sort(ranked[held_out:])), torch.from_numpy(np.sort(ranked[:held_out]))


def _digits_raw() -> tuple[np.ndarray, np.ndarray, Tensor, Tensor, Tensor]:
    """scikit-learn's 1,797 scanned digits (8x8, 0..16), labels, and the split: 1,197 train, 150 validation, 450 test."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise DataError("data digits come with scikit-learn, which is not installed: pip install scikit-learn") from error

    raw = load_digits()
    images, labels = raw.images.astype(np.uint8), raw.target.astype(np.int64)
    rest, test = _stratified(torch.from_numpy(labels), 450)
    kept, validation = _stratified(torch.from_numpy(labels)[rest], 150)
    return images, labels, rest[kept], rest[validation], test


def _resized(images: np.ndarray, size: int) -> Float[Tensor, "n 1 s s"]:
    x = torch.from_numpy(images).float()[:, None] / 16
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False).clamp(0, 1)


def _digits() -> Dataset:
    images, labels, train, validation, test = _digits_raw()
    x, y = _resized(images, 28), torch.from_numpy(labels)
    parts = (train, validation, test)
    sha256 = digest(images, labels, *(index.numpy() for index in parts))
    return Dataset("digits", *(Split(x[i], y[i]) for i in parts), classes=10, pixel_scale=1, sha256=sha256)


def _digits_rgb() -> Dataset:
    """The same digits in a random bright or dark colour over random crops of scikit-learn's two photographs, 32x32.

    Each training digit appears over two backgrounds. A stand-in for CIFAR-10 that needs no download.
    """
    from sklearn.datasets import load_sample_images

    images, labels, train, validation, test = _digits_raw()
    photos = load_sample_images().images
    rng = np.random.default_rng(0)

    def blended(index: Tensor) -> tuple[np.ndarray, np.ndarray]:
        mask = _resized(images[index.numpy()], 32).numpy()
        return np.stack([_over_crop(m, photos, rng) for m in mask]), labels[index.numpy()]

    parts = [blended(train.repeat(2)), blended(validation), blended(test)]
    splits = (Split(_images(x), torch.from_numpy(y)) for x, y in parts)
    return Dataset("digits-rgb", *splits, classes=10, pixel_scale=255, sha256=digest(*(a for part in parts for a in part)))


def _over_crop(mask: np.ndarray, photos: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """One digit (1, 32, 32) drawn in a contrasting colour over a 32x32 crop; uint8 (32, 32, 3)."""
    photo = photos[rng.integers(len(photos))]
    top, left = (rng.integers(side - 64) for side in photo.shape[:2])
    crop = photo[top : top + 64 : 2, left : left + 64 : 2].astype(float)
    ink = rng.uniform(160, 255, 3) if crop.mean() < 128 else rng.uniform(0, 95, 3)
    m = mask.transpose(1, 2, 0)
    return np.rint((1 - m) * crop + m * ink).astype(np.uint8)


def _download(name: str) -> dict[str, np.ndarray]:
    from torchvision import datasets

    source = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    folder = data_dir()
    try:
        parts = {part: source(folder, train=part == "train", download=True) for part in ("train", "test")}
    except (OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(": ")
        raise DataError(
            f"{name} is not at hand and its download failed ({reason}); put {name}.npz with {', '.join(KEYS)} into a "
            "folder and name that folder in PAPERLIB_DATA"
        ) from error
    arrays = {f"x_{part}": np.asarray(d.data) for part, d in parts.items()}
    arrays |= {f"y_{part}": np.asarray(d.targets) for part, d in parts.items()}
    return _checked(arrays, name)
