"""Intervals against known values, robust accuracy against a linear network's closed form, and masked gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import batchnorm_network, damages, images, labels_of, linear, relu_network

from paperlib import evaluate, intervals
from paperlib.attack import bim, cw, fgsm, pgd
from paperlib.objective import decision
from paperlib.tracker import Success


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flags(text: str) -> torch.Tensor:
    return torch.tensor([letter == "1" for letter in text])


# Intervals.


def test_wilson_on_known_values():
    found = intervals.wilson(8, 10)
    assert found["mean"] == 80 and found["n"] == 10
    assert (round(found["low"], 1), round(found["high"], 1)) == (49.0, 94.3)
    assert intervals.wilson(0, 7)["low"] == 0 and intervals.wilson(7, 7)["high"] == 100


@given(st.integers(1, 2000), st.floats(0, 1))
def test_the_ends_of_wilsons_interval_are_the_proportions_that_the_score_test_just_allows(n, share):
    successes = round(share * n)
    found = intervals.wilson(successes, n)
    assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 100
    for end in (found["low"] / 100, found["high"] / 100):
        if 0 < end < 1:
            score = abs(successes / n - end) / math.sqrt(end * (1 - end) / n)
            assert score == pytest.approx(1.959963984540054, rel=1e-6)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError) as caught:
        intervals.wilson(successes, n)
    assert str(caught.value) == f"successes is {successes} of n = {n}; allowed are 0..n with n >= 1"


def test_accuracy_counts_flags():
    assert intervals.accuracy(flags("1101")) == intervals.wilson(3, 4)


@pytest.mark.parametrize(("interval", "truth"), [(intervals.mean_interval, 1.0), (intervals.median_interval, math.log(2))])
def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say(interval, truth, monkeypatch):
    values = torch.from_numpy(np.random.default_rng(0).exponential(size=(200, 60)))
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    found = [interval(sample) for sample in values]
    covered = sum(f["low"] <= truth <= f["high"] for f in found)
    assert 175 <= covered <= 199  # 95 % of 200, less what the bootstrap of 60 values lacks
    assert all(f["low"] <= f["mean"] <= f["high"] for f in found)


def test_bootstrap_is_the_statistic_and_repeats():
    values = torch.tensor([0.0, 1.0, 2.0, 5.0, 9.0])
    mean, median = intervals.mean_interval(values), intervals.median_interval(values)
    assert mean["mean"] == pytest.approx(3.4) and median["mean"] == 2.0 and mean["n"] == median["n"] == 5
    assert intervals.mean_interval(values) == mean
    assert intervals.mean_interval(torch.full((4,), 2.5)) == {"mean": 2.5, "low": 2.5, "high": 2.5, "n": 4}


def test_the_bootstrap_width_is_the_standard_errors():
    values = torch.randn(400, generator=seeded())
    found = intervals.mean_interval(values)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.1)


def test_a_median_may_be_infinite():
    found = intervals.median_interval(torch.tensor([1.0, 2.0] + [math.inf] * 7))
    assert found["mean"] == math.inf and found["high"] == math.inf
    assert intervals.median_interval(torch.tensor([1.0] * 7 + [math.inf]))["mean"] == 1.0


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="^values is empty; allowed is at least one$"):
        intervals.mean_interval(torch.zeros(0))


@pytest.mark.parametrize(
    ("first", "second"),
    [("1111100000", "0000011111"), ("1111111100", "1100000000"), ("1" * 30 + "0" * 10, "1" * 25 + "0" * 15), ("10", "10")],
)
def test_a_paired_difference_changes_its_sign_with_the_order(first, second):
    a, b = flags(first), flags(second)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    found = intervals.paired_flags(a, b)
    assert found["mean"] == pytest.approx(100 * (only_a - only_b) / len(a)) and found["n"] == len(a)
    assert found["low"] <= found["mean"] <= found["high"]
    swapped = intervals.paired_flags(b, a)
    assert (swapped["mean"], swapped["low"]) == pytest.approx((-found["mean"], -found["high"]))


def test_the_interval_of_a_paired_difference_covers_the_true_one():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        a = torch.from_numpy(rng.random(80) < 0.8)
        b = torch.from_numpy(np.where(rng.random(80) < 0.3, rng.random(80) < 0.6, a.numpy()))
        found = intervals.paired_flags(a, b)
        covered += found["low"] <= 100 * 0.3 * 0.2 <= found["high"]  # 0.8 - (0.7 * 0.8 + 0.3 * 0.6)
    assert 365 <= covered <= 396


@pytest.mark.parametrize(("n", "m"), [(0, 0), (3, 2)])
def test_a_paired_difference_needs_the_same_images(n, m, unhooked):
    with pytest.raises(ValueError) as caught:
        intervals.paired_flags(torch.ones(n, dtype=torch.bool), torch.ones(m, dtype=torch.bool))
    assert str(caught.value) == f"first has {n} images and second {m}; allowed is the same number, at least one"


# Robust accuracy.


@pytest.mark.parametrize("batch", [1, 4, 500])
def test_correct_compares_predictions_and_labels(batch):
    model, x = relu_network(), images(9)
    y = labels_of(model, x)
    y[::2] = (y[::2] + 1) % 4
    assert evaluate.correct(model, x, y, batch=batch).tolist() == [False, True] * 4 + [False]


def setting(n: int = 30):
    model, x = relu_network(), images(n)
    y = labels_of(model, x)
    y[0] = (y[0] + 1) % 4  # one image is misclassified from the beginning
    return model, x, y


EPS = [0.02, 0.05, 0.1]


@pytest.mark.parametrize("pgd_steps", [0, 5])
def test_robustness_of_a_linear_network_is_its_closed_form(pgd_steps):
    W = torch.randn(2, 16, generator=seeded(), dtype=torch.float64)
    x = images(40)
    y = labels_of(linear(W), x)
    y[:3] = 1 - y[:3]
    distance = decision(linear(W)(x), y).detach() / (W[0] - W[1]).abs().sum()
    values, found = evaluate.robustness(linear(W), x, y, eps=EPS, step_size=0.02, pgd_steps=pgd_steps, generator=seeded())
    assert values["clean"] == intervals.wilson(37, 40)
    for eps in EPS:
        expected = distance > eps
        for name in ("fgsm", "bim", "cw", "worst"):
            assert torch.equal(found[name, eps], expected), (name, eps)
            assert values[name][f"{eps:g}"] == intervals.accuracy(expected)
    assert len({values["worst"][f"{eps:g}"]["mean"] for eps in EPS}) == 3


def test_a_row_is_the_papers_protocol():
    model, x, y = setting()
    values, found = evaluate.robustness(model, x, y, eps=EPS, step_size=0.03, steps=4)
    assert list(values) == ["clean", "fgsm", "bim", "cw", "worst"]
    assert all(list(values[name]) == ["0.02", "0.05", "0.1"] for name in ("fgsm", "bim", "cw", "worst"))
    for eps in EPS:
        # each eps alone, and the last iterate
        assert torch.equal(found["fgsm", eps], ~fgsm(model, x, y, eps=eps).success)
        assert torch.equal(found["bim", eps], ~bim(model, x, y, eps=eps, step_size=0.03, steps=4).success)
        assert torch.equal(found["cw", eps], ~cw(model, x, y, eps=eps, step_size=0.03, steps=4).success)


@pytest.mark.parametrize("pgd_steps", [0, 6])
def test_the_worst_case_counts_every_iterate_of_every_attack_up_to_eps(pgd_steps):
    model, x, y = setting()
    _, found = evaluate.robustness(
        model, x, y, eps=EPS, step_size=0.03, steps=4, pgd_steps=pgd_steps, pgd_restarts=2, generator=seeded()
    )
    survivors = found["clean", 0.0].clone()
    generator = seeded()
    for eps in EPS:
        for attacked, options in ((fgsm, {}), (bim, {"step_size": 0.03, "steps": 4}), (cw, {"step_size": 0.03, "steps": 4})):
            success = Success(len(x))
            attacked(model, x, y, eps=eps, tracker=success, **options)
            survivors &= torch.isinf(success.first)
        for objective in ("cross_entropy", "cw") if pgd_steps else ():
            left = survivors.nonzero()[:, 0]
            attacked = pgd(
                model, x[left], y[left], eps=eps, step_size=2.5 * eps / 6, steps=6, objective=objective, restarts=2,
                stop_at_success=True, generator=generator,
            )  # fmt: skip
            survivors[left] = ~attacked.success
        assert torch.equal(found["worst", eps], survivors)
        for name in ("clean", "fgsm", "bim", "cw"):
            assert not (found["worst", eps] & ~found.get((name, eps), found["clean", 0.0])).any(), name
    sizes = [int(found["worst", eps].sum()) for eps in EPS]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


def test_random_starts_can_break_what_the_papers_attacks_leave():
    model, x, y = setting(60)
    options = {"eps": [0.08], "step_size": 0.08, "steps": 1}
    _, without = evaluate.robustness(model, x, y, **options)
    _, with_pgd = evaluate.robustness(model, x, y, pgd_steps=20, pgd_restarts=3, generator=seeded(), **options)
    assert with_pgd["worst", 0.08].sum() < without["worst", 0.08].sum()


def test_sizes_are_converted_once():
    model, x, y = setting()
    values, found = evaluate.robustness(model, x, y, eps=[5.1, 12.75], step_size=2.55, pixel_scale=255)
    same, flags_of = evaluate.robustness(model, x, y, eps=[0.02, 0.05], step_size=0.01)
    assert list(values["bim"]) == ["5.1", "12.75"]
    for name in ("fgsm", "bim", "cw", "worst"):
        assert list(values[name].values()) == list(same[name].values())
        assert torch.equal(found[name, 12.75], flags_of[name, 0.05])


def test_masked_cross_entropy_does_not_hide_from_the_margin():
    model, x, y = setting()
    # in single precision the softmax of such logits is exactly 0 or 1, and the cross-entropy has no gradient
    steep = torch.nn.Sequential(model.float(), torch.nn.Linear(4, 4, bias=False))
    steep[1].weight.data = 1e6 * torch.eye(4)
    x = x.float()
    y = labels_of(steep, x)
    values, _ = evaluate.robustness(steep, x, y, eps=[0.1], step_size=0.03)
    assert values["bim"]["0.1"]["mean"] == 100
    assert values["worst"]["0.1"]["mean"] <= values["cw"]["0.1"]["mean"] < 60
    signs = evaluate.masking(steep, x, y, eps=0.1, step_size=0.03, generator=seeded())
    assert signs["zero_gradient"] == 100 and signs["unbounded"] == 100
    assert signs["cw_minus_ce"] == pytest.approx(values["cw"]["0.1"]["mean"] - 100, abs=15)


def test_a_linear_network_shows_no_sign_of_masking():
    W = torch.randn(2, 16, generator=seeded(), dtype=torch.float64)
    x = images(40)
    y = labels_of(linear(W), x)
    signs = evaluate.masking(linear(W), x, y, eps=0.05, step_size=0.01, steps=10, generator=seeded())
    distance = decision(linear(W)(x), y).detach() / (W[0] - W[1]).abs().sum()
    assert set(signs) == {
        "zero_gradient", "fgsm_minus_bim", "noise", "unbounded", "cw_minus_ce", "square_alone", "targeted_minus_untargeted",
        "adaptive_minus_fixed", "still_rising",
    }  # fmt: skip
    assert signs["square_alone"] == signs["targeted_minus_untargeted"] == signs["adaptive_minus_fixed"] == 0
    assert signs["zero_gradient"] == signs["fgsm_minus_bim"] == signs["cw_minus_ce"] == signs["unbounded"] == 0
    assert 100 * (distance > 0.05).double().mean() < signs["noise"] <= 100


def test_noise_is_uniform_in_the_ball_and_stays_in_the_box():
    seen = []

    def watched(z):
        seen.append(z)
        return z.flatten(1)[:, :2]

    x = images(6)
    x[0] = 0
    evaluate.masking(watched, x, labels_of(watched, x), eps=0.25, step_size=0.1, steps=2, generator=seeded())
    noise = (torch.rand(x.shape, generator=seeded()) * 2 - 1) * 0.25
    assert any(torch.equal(z, (x + noise).clamp(0, 1)) for z in seen)


def test_batchnorm_in_train_mode_changes_no_accuracy():
    x, y = images(12, dtype=torch.float32), torch.arange(12) % 4
    found = [evaluate.robustness(m, x, y, eps=[0.05], step_size=0.02, steps=2, batch=b)[1]
             for m, b in ((batchnorm_network(), 5), (batchnorm_network().eval(), 12))]  # fmt: skip
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": []}, "eps is []; allowed are rising positive numbers"),
        ({"eps": [0.2, 0.1]}, "eps is [0.2, 0.1]; allowed are rising positive numbers"),
        ({"eps": [0.1, 0.1]}, "eps is [0.1, 0.1]; allowed are rising positive numbers"),
        ({"eps": [0.1, 0.10000001]}, "eps is [0.1, 0.10000001]; allowed are numbers that differ in six digits"),
        ({"eps": [0, 0.1]}, "eps is [0, 0.1]; allowed are rising positive numbers"),
        ({"step_size": 0}, "step_size is 0; allowed is a positive number"),
    ],
)
def test_wrong_input_meets_one_sentence(changes, sentence, unhooked):
    model, x, y = setting(3)
    with pytest.raises(ValueError) as caught:
        evaluate.robustness(model, x, y, **{"eps": [0.1], "step_size": 0.1} | changes)
    assert str(caught.value) == sentence


# An evaluation that is interrupted.


@pytest.mark.parametrize("broken", [1, 4, 6])
def test_an_interrupted_evaluation_goes_on_with_the_same_numbers(tmp_path, monkeypatch, broken):
    network, x = relu_network(), images(20, (1, 4, 4))
    y = labels_of(network, x)
    calls, original = [0], evaluate.attack

    def counted(*arguments, **options):
        calls[0] += 1
        if calls[0] == broken:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    def run(**options):
        settings = {"eps": [0.02, 0.05, 0.1], "step_size": 0.02, "steps": 2, "pgd_steps": 3, "pgd_restarts": 2}
        return evaluate.robustness(network, x, y, **settings, generator=seeded(1), **options)

    values, of = run()
    monkeypatch.setattr(evaluate, "attack", counted)
    with pytest.raises(KeyboardInterrupt):
        run(store=tmp_path, of="a")
    resumed, flags_resumed = run(store=tmp_path, of="a")
    assert resumed == values and all(torch.equal(flags_resumed[key], flag) for key, flag in of.items())
    # PGD has two objectives at every eps; the eps that was interrupted begins again, the others do not
    assert calls[0] == broken + 6 - 2 * ((broken - 1) // 2)
    run(store=tmp_path, of="a")
    assert calls[0] == broken + 6 - 2 * ((broken - 1) // 2) and len(list(tmp_path.iterdir())) == 1
    (part,) = tmp_path.iterdir()
    for _ in damages(part):
        made = calls[0]
        values_again, flags_again = run(store=tmp_path, of="a")
        assert values_again == values and all(torch.equal(flags_again[key], flag) for key, flag in of.items())
        assert calls[0] == made + 6 and len(list(tmp_path.iterdir())) == 1
    run(store=tmp_path, of="b")
    assert len(list(tmp_path.iterdir())) == 2
    # the same words, but a network that computes something else
    network[-1].bias.data[0] += 10
    run(store=tmp_path, of="a")
    assert len(list(tmp_path.iterdir())) == 3
