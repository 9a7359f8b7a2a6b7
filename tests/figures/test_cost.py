"""What training costs: turns that are fair to every method, and what a curve says about epochs."""

import dataclasses

import numpy as np
import pytest
import torch
from toys import toy_dataset, toy_recipe

from figures.quarters import trained, written
from paperlib import train
from paperlib.drawings import cost as drawings
from paperlib.measures import cost as measures
from paperlib.record import Record

DATA = toy_dataset()
NAMES = ["natural", "ours", "minmax"]


@pytest.fixture
def steps(monkeypatch):
    """A clock that one step moves by 1 s (natural), 3 s (ours), 8 s (minmax), and by 100 s as the first of a turn."""
    done, costs, clock = [], {"natural": 1, "ours": 3, "minmax": 8}, [0.0]

    def step(run, x, y, at, generator, device):
        first = not hasattr(run, "stepped")
        run.stepped = True
        done.append((run.recipe.method, len(x), at))
        clock[0] += 100 if first else costs[run.recipe.method] * len(x) / 16
        return torch.zeros(())

    monkeypatch.setattr(train._Run, "_step", step)
    monkeypatch.setattr(train, "_now", lambda device: clock[0])
    return done


def recipes(**changes) -> dict:
    return {name: toy_recipe(method=name, c=0.1, **changes) for name in NAMES}


def test_methods_take_turns_and_the_first_step_of_a_turn_does_not_count(steps):
    seconds = train.epoch_seconds(recipes(), DATA, rounds=3, batches=2)
    # 60 images are 60 / 16 batches, each of the method's own length
    assert seconds == {name: pytest.approx([length * 60 / 16] * 3) for name, length in zip(NAMES, (1, 3, 8), strict=True)}
    assert [name for name, _, _ in steps] == [name for name in NAMES for _ in range(3)] * 3
    # penalty and eps have their full size, whatever the warm-up
    assert {at for _, _, at in steps} == {float("inf")}


def test_more_batches_than_the_training_has_are_counted_by_their_images(steps):
    seconds = train.epoch_seconds({"ours": recipes(train_n=20)["ours"]}, DATA, rounds=1, batches=5)
    assert [size for _, size, _ in steps] == [16, 4] * 3
    assert seconds == {"ours": pytest.approx([3 * 20 / 16])}


def test_real_steps_are_timed_and_leave_no_trace():
    state = torch.get_rng_state()
    seconds = train.epoch_seconds(recipes(warmup=1.0), DATA, rounds=2, batches=3)
    assert list(seconds) == NAMES and all(len(taken) == 2 and min(taken) > 0 for taken in seconds.values())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "value"), [("rounds", 0), ("batches", 0), ("rounds", -1), ("batches", True)])
def test_no_rounds_or_batches_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; allowed is an integer of at least 1"):
        train.epoch_seconds(recipes(), DATA, **{"rounds": 1, "batches": 1, name: value})


@pytest.mark.parametrize(("clean", "expected"), [
    ([10, 50, 90, 99], 4), ([10, 98, 99, 97], 2), ([97.9, 50, 99], 3), ([80], 1), ([99, 99, 99], 1),
])  # fmt: skip
def test_the_epoch_that_comes_near_the_best(clean, expected):
    curve = [{"clean": value, "adversarial": 100 - value} for value in clean]
    assert measures.epochs_until(curve, "clean") == expected


CURVES = {
    "natural": [{"clean": 50.0, "adversarial": 5.0}, {"clean": 90.0, "adversarial": 0.0}],
    "ours": [{"clean": 80.0, "adversarial": 10.0}, {"clean": 79.5, "adversarial": 40.0}],
}
# a slow second round, the same for both
SECONDS = {"natural": [1.0, 5.0, 1.0], "ours": [2.0, 10.0, 2.0]}


def test_cost_compares_methods_within_a_round():
    found = measures.cost(SECONDS, CURVES)
    assert found["ours"]["over_natural"] == {"mean": 2, "low": 2, "high": 2, "n": 3, "unit": "×"}
    assert found["ours"]["seconds"] == {"mean": 2, "low": 2, "high": 10, "n": 3, "unit": "s"}
    assert "over_natural" not in found["natural"]
    assert [found[name]["epochs"] for name in CURVES] == [2, 1]
    assert [found[name]["epochs_adversarial"] for name in CURVES] == [1, 2]


def test_bars_and_curves_are_those_of_the_record():
    arrays = {
        f"{name}_{method}": np.array([row[name] for row in curve])
        for method, curve in CURVES.items() for name in ("clean", "adversarial")
    }  # fmt: skip
    record = Record("cost", "smoke", {}, {}, {}, measures.cost(SECONDS, CURVES), {}, arrays)
    bars = drawings.bars(record).axes[0]
    assert [bar.get_width() for bar in bars.patches] == [1, 2]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["Natural", "Ours"]
    drawn = [[line.get_ydata().tolist() for line in ax.lines] for ax in drawings.curves(record).axes]
    assert drawn == [[[50, 90], [90], [80, 79.5], [80]], [[5, 0], [5], [10, 40], [40]]]


def test_the_pictures_are_drawn_from_the_record_alone():
    networks = {method: trained(method=method, curve=CURVES["ours"]) for method in ("natural", "ours", "minmax")}
    found = measures.measure(networks, rounds=2, batches=1, device="cpu")
    assert found.data == ((networks["natural"].dataset, 60),)
    assert found.values["ours"]["over_natural"]["n"] == len(found.arrays["seconds_ours"]) == 2
    record = written(found, {"rounds": 2, "batches": 1}, networks)
    machine = {"gpu": "", "processor": "one of some kind", "threads": 1}
    record = dataclasses.replace(record, environment={"machine": machine})
    said = drawings.facts(record)
    assert said == {"batch": 16, "epochs": 2, "steps": 2, "threads": 1, "processor": "one of some kind"}
    assert len(drawings.bars(record).axes[0].patches) == 3 and len(drawings.curves(record).axes) == 2
