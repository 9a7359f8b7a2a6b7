"""What training costs (Sec. 5.2): seconds an epoch of each method beside natural training, and how many epochs."""

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib import train
from paperlib.intervals import Interval, interval
from paperlib.record import Measured
from paperlib.train import Trained


def measure(networks: dict[str, Trained], *, rounds: int, batches: int, device: str) -> Measured:
    """The methods take turns of ``batches`` training steps in each of ``rounds`` rounds; accuracies after each epoch are
    those of the networks' own training."""
    data, recipes = networks["natural"].dataset, {method: each.recipe for method, each in networks.items()}
    seconds = train.epoch_seconds(recipes, data, rounds=rounds, batches=batches, device=device)
    curves = {method: each.card["curve"] for method, each in networks.items()}
    arrays = {f"seconds_{method}": np.array(taken) for method, taken in seconds.items()}
    arrays |= {
        f"{accuracy}_{method}": np.array([row[accuracy] for row in curve])
        for method, curve in curves.items() for accuracy in ("clean", "adversarial")
    }  # fmt: skip
    return Measured(cost(seconds, curves), arrays, ((data, len(data.train.first(recipes["natural"].train_n))),))


def cost(seconds: Mapping[str, Sequence[float]], curves: Mapping[str, list[dict]]) -> dict[str, dict[str, Interval | int]]:
    """For each method ``seconds`` an epoch and how many times natural's that is (``over_natural``, round by round),
    medians over rounds; and the epochs until clean and adversarial accuracy on held-out images were near their best.

    ``seconds``: from ``train.epoch_seconds``; ``curves``: method -> the card's curve.
    """
    values: dict = {}
    for method, taken in seconds.items():
        values[method] = {"seconds": interval(taken, "s", how="median")}
        if method != "natural":
            times = np.array(taken) / np.array(seconds["natural"])
            values[method]["over_natural"] = interval(times, "×", how="median")
        values[method]["epochs"] = epochs_until(curves[method], "clean")
        values[method]["epochs_adversarial"] = epochs_until(curves[method], "adversarial")
    return values


def epochs_until(curve: list[dict], accuracy: str) -> int:
    """The first epoch, counted from 1, whose accuracy lies at most one point below the best of all epochs."""
    values = [row[accuracy] for row in curve]
    return 1 + next(k for k, value in enumerate(values) if value >= max(values) - 1)
