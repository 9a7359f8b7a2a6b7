"""Files: written in one piece or not at all, told by their hash; and where data sets lie."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# the folder around the package: a checkout of the repository, or where packages are installed
HERE = Path(os.environ.get("PAPERLIB_ROOT") or Path(__file__).resolve().parents[1]).resolve()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is there as a whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file ``path`` once the block ends well, on the disk and in one piece; whatever
    happens before, such as a full disk or a kill, leaves the former file, and no other beside it unless killed."""
    path = Path(path)
    number, partial = tempfile.mkstemp(dir=made(path.parent), prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(number, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException as error:
        Path(partial).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            # such as a full disk, which does not say by itself what it was too small for
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """A fresh folder that is removed in the end; removes what a killed holder of the same lock left behind."""
    for left in folder.glob(f"{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=made(folder), prefix=f"{name}.") as name:
        yield Path(name)


def made(folder: Path) -> Path:
    """The folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def data_dir() -> Path:
    """The folder that ``PAPERLIB_DATA`` names, else ``build/data``, or ``~/.cache/paperlib`` where the library was installed
    without this repository."""
    own = HERE / "build" / "data" if (HERE / "experiments.yml").is_file() else Path("~/.cache/paperlib")
    return Path(os.environ.get("PAPERLIB_DATA") or own).expanduser()


def archive_path(name: str) -> Path:
    """Where the archive of a data set is looked for: ``<name>.npz`` in ``data_dir``, or ``name`` itself if it is a path,
    one that is relative from here or else from the top folder."""
    if not name.endswith(".npz"):
        return data_dir() / f"{name}.npz"
    path = Path(name).expanduser()
    return HERE / path if not path.is_file() and (HERE / path).is_file() else path
