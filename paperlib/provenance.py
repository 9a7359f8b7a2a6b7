"""Where a number was made: packages, machine, commit; and numbers as JSON has them."""

import contextlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from paperlib.files import HERE

PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn", "papermill", "jupyter-book")


def environment() -> dict:
    """Python, packages and the machine, as far as they can change a number."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(), "packages": versions, "machine": machine(),
    }  # fmt: skip


def machine() -> dict:
    """Operating system, processor, its cores, and the accelerator if torch sees one."""
    # imported late: it takes seconds
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "system": f"{platform.system()} {platform.machine()}", "processor": _processor(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu,
    }  # fmt: skip


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def git_commit() -> str | None:
    """The commit the code was run from, with ``+`` for uncommitted changes; None outside a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # a source archive unpacked inside somebody's repository must not quote that repository's commit
        if Path(git("rev-parse", "--show-toplevel")) != HERE.resolve():
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def plain(value):
    """Numbers, strings, lists and mappings as JSON has them; NaN and infinities become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise ValueError(f"a value of type {type(value).__name__} cannot be recorded; allowed are numbers, strings, lists")


def free_memory() -> int:
    """Bytes that the system and the container leave; 4 GiB where they do not say."""
    left = [4 * 2**30]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        left = [1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])]
    with contextlib.suppress(OSError, ValueError):
        folder = Path("/sys/fs/cgroup")
        limit, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
        left.append(int(limit) - int(used))
    return max(min(left), 0)
