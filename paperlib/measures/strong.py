"""The worst case beside AutoAttack: the tables' own evaluation, and the authors' attack on some of its images."""

import time
from dataclasses import asdict
from pathlib import Path

from paperlib.cascade import LEVELS
from paperlib.evaluation import beside
from paperlib.measures import tables
from paperlib.oracle import autoattack
from paperlib.record import Measured
from paperlib.train import Trained


def measure(
    networks: dict[str, Trained], *, eps: list[list[float]], step_size: list[float], images: list[int], strong: list[int],
    oracle: list[int], hours: float, steps: int, pgd_steps: int, restarts: list[int], level: str, seed: int, device: str,
    store: Path,
) -> Measured:  # fmt: skip
    """Each network as the tables judge it, and under AutoAttack on the first images of the worst case.

    A pair of settings is for grey and for colour images. AutoAttack goes on from what lies in ``store``, for ``hours``.
    """
    ends, agreement, values = time.monotonic() + 3600 * hours, {}, {}
    for role, model in tables.ready(networks).items():
        kind, trained = _kind(role), networks[role]
        x, y = tables.inputs(trained.dataset, images[kind], device)
        judged = tables.judged(
            {role: trained}, x, y, eps=eps[kind], step_size=step_size[kind], strong=strong[kind], level=level, steps=steps,
            pgd_steps=pgd_steps, restarts=restarts[kind], seed=seed, device=device, store=store,
        )[role]  # fmt: skip
        first, kept = judged.chosen[: oracle[kind]], {"store": store / "oracle", "of": trained.sha256, "ends": ends}
        left = {
            size: autoattack(model, x[first], y[first], eps=trained.dataset.to_input(size), **kept) for size in eps[kind]
        }
        values[role], agreement[role] = beside(judged, left, oracle[kind])
    values |= {"agreement": agreement, "cascade": [asdict(stage) for stage in LEVELS[level]]}
    return Measured(values, data=_data(networks, images), seeds={"attack": seed})


def _kind(role: str) -> int:
    """Which of a pair of settings a network takes: that of grey or that of colour images."""
    return 0 if role.startswith("grey") else 1


def _data(networks: dict[str, Trained], images: list[int]) -> tuple:
    """The data set of each kind with the number of its images, grey ones first."""
    sets = {_kind(role): each.dataset for role, each in reversed(networks.items())}
    return tuple((sets[kind], images[kind]) for kind in sorted(sets))
