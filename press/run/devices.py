"""The GPUs of this machine: how many there are, and one for each step that takes one."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator

from filelock import FileLock, Timeout

from press.plan.experiments import build_dir

VISIBLE = "CUDA_VISIBLE_DEVICES"


def needed(profile: str) -> int:
    """How many GPUs a training or a figure of a profile takes."""
    return 1 if profile == "gpu" else 0


def there() -> list[str]:
    """The names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` has them."""
    said = os.environ.get(VISIBLE)
    if said is not None:
        return [name.strip() for name in said.split(",") if name.strip() not in ("", "-1")]
    import torch

    # is_available would begin with CUDA, after which the variable is read no more
    return [str(k) for k in range(torch.cuda.device_count())]


@contextlib.contextmanager
def own(profile: str, *, wanted: bool = True) -> Iterator[None]:
    """Of several GPUs takes one that no other step on this machine has, and lets this process see no other; waits for it.

    To be entered before anything is asked of CUDA. Nothing happens for a profile that needs none, or where there is one.
    """
    names = there() if wanted and needed(profile) else []
    if len(names) < 2:
        yield
        return
    held = _free(profile, names)
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = held[0]
    try:
        yield
    finally:
        held[1].release()
        os.environ.pop(VISIBLE) if before is None else os.environ.update({VISIBLE: before})


def _free(profile: str, names: list[str]) -> tuple[str, FileLock]:
    folder = build_dir(profile) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    # machines may share the folder, and a cluster's jobs may each count their own from 0
    where = f"{socket.gethostname()}-{os.environ.get('SLURM_JOB_ID', '')}"
    while True:
        for name in names:
            attempt = FileLock(folder / f"gpu-{where}-{name}.lock")
            with contextlib.suppress(Timeout):
                attempt.acquire(timeout=0)
                return name, attempt
        time.sleep(0.5)
