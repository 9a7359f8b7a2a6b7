"""Archives of images, read without running anything in them and checked; a fault is one sentence that names the file."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from paperlib.refusal import Refusal

KEYS = ("x_train", "y_train", "x_test", "y_test")


class DataError(Refusal):
    """A data set that is missing or malformed; the message is one sentence that says what is allowed."""


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of a Keras-style archive: images ``(n, h, w, c)``, labels ``(n,)``; checked, pickle refused."""
    if not path.is_file():
        raise DataError(f"data archive {path} does not exist; allowed is a path from here or from the top folder")
    with reading(path), np.load(path, allow_pickle=False) as archive:
        missing = [key for key in KEYS if key not in archive.files]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; an archive holds {', '.join(KEYS)}")
        # a member that is no array comes as bytes; the checks of shape refuse it
        arrays = {key: np.asarray(archive[key]) for key in KEYS}
    return checked(arrays, str(path))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a broken archive raises is a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except (ValueError, TypeError, OSError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz archive of plain arrays ({error})") from error


def checked(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Images ``(n, h, w, c)`` and labels ``(n,)`` of both halves. Raises DataError for what does not fit together."""
    found = {}
    for part in ("train", "test"):
        pair = checked_pair(arrays[f"x_{part}"], arrays[f"y_{part}"], part, where)
        found |= dict(zip((f"x_{part}", f"y_{part}"), pair, strict=True))
    if found["x_train"].shape[1:] != found["x_test"].shape[1:]:
        raise DataError(
            f"{where} has training images of shape {found['x_train'].shape[1:]} and test images of shape "
            f"{found['x_test'].shape[1:]}; allowed is one shape (height, width, channels)"
        )
    classes = int(found["y_train"].max()) + 1
    if found["y_test"].max() >= classes:
        raise DataError(f"y_test of {where} reaches {found['y_test'].max()}; allowed are labels 0..{classes - 1}")
    return found


def checked_pair(x: np.ndarray, y: np.ndarray, part: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one half. Raises DataError."""
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
