"""AutoAttack (Croce and Hein 2020) as its authors' own package runs it: what this library's worst case is held against.

The package ``pyautoattack`` is optional; nothing else needs it, and it is installed without its dependencies.
"""

import io
import math
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from paperlib import sealed
from paperlib.fingerprint import tensors_digest
from paperlib.refusal import Refusal, check_count, check_positive
from paperlib.state import check_batch, evaluating, frozen_copy

PACKAGE, VERSION = "pyautoattack", "0.2.0"
# images of one attack, which is kept as a whole
CHUNK = 100


class OracleError(Refusal):
    """AutoAttack's package is not installed; one sentence that says how to get it."""


def available() -> str | None:
    """The installed version of the package, None without it."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def autoattack(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, seed: int = 0,
    store: Path | None = None, of: str = "", ends: float = math.inf, progress: bool = False,
) -> Bool[Tensor, "m"]:  # fmt: skip
    """Whether each image is still classified rightly after the standard AutoAttack (APGD on the cross-entropy, targeted
    APGD and FAB, Square) inside the l-infinity ball of size ``eps`` ([0, 1] scale).

    Images go in chunks of ``CHUNK``, each an attack of its own from ``seed``. With ``store`` (a folder) every finished one
    is written down, under a hash of its images, ``of`` (what the network is, such as its weights' hash), ``eps`` and
    ``seed``, and an interrupted run goes on behind it. No chunk begins after ``ends`` (of ``time.monotonic``): the flags are
    then those of the first ``m`` images, and of no more than were kept where the package is missing. The network is copied
    where it can be.
    Raises OracleError if the package is missing while there is time, and InputError for a wrong argument.
    """
    check_batch(x, y)
    check_positive("eps", eps)
    check_count("seed", seed, least=0)
    copied = frozen_copy(model)
    network = model if copied is None else copied
    with evaluating(network):
        return _flags(network, x, y, eps, seed, store, of, ends, progress)


def _flags(network, x, y, eps: float, seed: int, store: Path | None, of: str, ends: float, progress: bool):
    flags = torch.zeros_like(y, dtype=torch.bool)
    for index in tqdm(torch.arange(len(x)).split(CHUNK), disable=not progress, desc="AutoAttack"):
        part = None if store is None else Path(store) / f"autoattack-{_key(x[index], y[index], eps, seed, of)}.npy"
        kept = None if part is None else _kept(part)
        if kept is not None:
            flags[index] = kept.to(flags.device)
            continue
        if time.monotonic() > ends:
            return flags[: index[0]]
        if available() is None:
            raise OracleError(f"AutoAttack is not installed; allowed is: pip install --no-deps {PACKAGE}=={VERSION}")
        flags[index] = _standard(network, x[index], y[index], eps, seed)
        if part is not None:
            stream = io.BytesIO()
            np.save(stream, flags[index].cpu().numpy())
            sealed.write(part, stream.getvalue())
    return flags


def _kept(part: Path) -> Bool[Tensor, "n"] | None:
    """The flags of a chunk, None where they are lost or damaged."""
    try:
        return torch.from_numpy(np.load(io.BytesIO(sealed.read(part)), allow_pickle=False))
    except sealed.DamagedError:
        return None


def _standard(network, x: Tensor, y: Tensor, eps: float, seed: int) -> Bool[Tensor, "n"]:
    from pyautoattack import AutoAttack

    def right(images: Tensor) -> Bool[Tensor, "n"]:
        with torch.no_grad():
            return network(images).argmax(1) == y

    clean = right(x)
    if not clean.any():
        return clean
    # the package seeds torch's global generator
    with torch.random.fork_rng():
        attacker = AutoAttack(network, norm="Linf", eps=eps, version="standard", device=x.device, seed=seed)
        attacker.verbose = False
        adversarial, _ = attacker.run_standard_evaluation(x.clone(), y.clone(), batch_size=len(x))
    return right(adversarial)


def _key(x: Tensor, y: Tensor, eps: float, seed: int, of: str) -> str:
    return tensors_digest([VERSION, eps, "linf", seed, of], x, y)[:16]
