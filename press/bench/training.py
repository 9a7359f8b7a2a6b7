"""What an epoch of Ours costs beside one of natural training."""

import numpy as np

from paperlib import data
from paperlib.intervals import interval
from paperlib.train import epoch_seconds
from press.plan import experiments

ROUNDS, BATCHES, GOAL = 5, 4, 2.3


def epoch() -> dict:
    """Seconds of an epoch of the CIFAR ConvNet with the penalty of Eq. 11 over those without, round by round."""
    recipes = {method: experiments.recipe("paper", f"cifar-{method}") for method in ("natural", "ours")}
    seconds = epoch_seconds(recipes, data.load("cifar10"), rounds=ROUNDS, batches=BATCHES)
    times = np.array(seconds["ours"]) / np.array(seconds["natural"])
    return {
        "title": "An epoch of Ours over natural, CIFAR ConvNet", "most": GOAL,
        "over_natural": interval(times, "×", how="median"),
        "seconds": {method: interval(each, "s", how="median") for method, each in seconds.items()},
    }  # fmt: skip
