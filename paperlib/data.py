"""Real images and their labels: embedded digits, MNIST, CIFAR-10, or any archive of the reader's own.

``load(name)`` returns images as float32 in [0, 1], NCHW. Names: those of ``SETS``, or the path of an ``.npz`` archive with
``x_train, y_train, x_test, y_test`` (Keras style). The ``PUBLIC`` ones such as MNIST come from such an archive
``<name>.npz`` in the folder that ``PAPERLIB_DATA`` names, else from torchvision's download.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.archives import KEYS, checked, checked_pair, names_in, read_archive, read_arrays
from paperlib.archives import DataError as DataError
from paperlib.files import archive_path, data_dir


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
    if name in SETS:
        return SETS[name]()
    if name.endswith(".npz"):
        return _from_arrays(Path(name).stem, read_archive(archive_path(name)))
    raise DataError(f"data is {name!r}; allowed are {', '.join(SETS)}, or the path of an .npz archive")


def measured(name: str) -> Dataset:
    """``load(name)``, or for an archive without a training half a data set that can be measured on and not trained on."""
    path = archive_path(name)
    if not name.endswith(".npz") or not path.is_file():
        return load(name)
    return _test_half(path) or load(name)


@lru_cache(maxsize=1)
def _test_half(path: Path) -> Dataset | None:
    """The test half of an archive that has no other; None for one that has."""
    there = names_in(path)
    if there & set(KEYS[:2]) or not (there & set(KEYS[2:]) or {"x", "y"} <= there):
        return None
    names = KEYS[2:] if there & set(KEYS[2:]) else ("x", "y")
    missing = [key for key in names if key not in there]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; for a measurement an archive holds x_test and y_test")
    arrays = list(read_arrays(path, names).values())
    x, y = checked_pair(*arrays, "test", str(path))
    test = Split(_images(x), torch.from_numpy(y))
    none = Split(test.x[:0], test.y[:0])
    return Dataset(
        name=path.stem, train=none, validation=none, test=test, classes=int(test.y.max()) + 1,
        pixel_scale=255 if test.x.shape[1] == 3 else 1, sha256=digest(*arrays),
    )  # fmt: skip


@dataclass(frozen=True)
class Public:
    """A public data set: its name in torchvision, the shape of an image, its classes, and how many images are held out."""

    torchvision: str
    shape: tuple[int, int, int]
    classes: int = 10
    held_out: int = 5000


PUBLIC = {
    "mnist": Public("MNIST", (28, 28, 1)),
    "cifar10": Public("CIFAR10", (32, 32, 3)),
}


def _public(name: str) -> Dataset:
    """From an archive in the data folder if there is one, else downloaded."""
    archive, expected = archive_path(name), PUBLIC[name]
    arrays = read_archive(archive) if archive.is_file() else _download(name)
    shape, last = arrays["x_train"].shape[1:], int(arrays["y_train"].max())
    if shape != expected.shape:
        raise DataError(f"{name} has images of shape {shape}; allowed is {expected.shape}")
    if last != expected.classes - 1:
        raise DataError(f"y_train of {name} reaches {last}; allowed are labels 0..{expected.classes - 1}")
    return _from_arrays(name, arrays)


def _from_arrays(name: str, arrays: dict[str, np.ndarray]) -> Dataset:
    train, test = (Split(_images(arrays[f"x_{part}"]), torch.from_numpy(arrays[f"y_{part}"])) for part in ("train", "test"))
    if len(train) < 2:
        raise DataError(f"{name} has {len(train)} training image; allowed are at least 2, one of them held out")
    # an archive smaller than the public one keeps images to train on
    held_out = min(PUBLIC[name].held_out if name in PUBLIC else len(train), max(1, len(train) // 10))
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

    source, folder = getattr(datasets, PUBLIC[name].torchvision), data_dir()
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
    return checked(arrays, name)


# every data set with a name of its own
SETS: dict[str, Callable[[], Dataset]] = {
    "digits": _digits,
    "digits-rgb": _digits_rgb,
    **{name: partial(_public, name) for name in PUBLIC},
}
