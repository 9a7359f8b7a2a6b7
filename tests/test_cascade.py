"""The worst case: closed forms, the order of the attacks, masked gradients, interruptions."""

import pytest
import torch
from toys import damages, images, labels_of, linear, relu_network

from paperlib import cascade, evaluate
from paperlib.cascade import LEVELS, Stage, _Run, worst_case
from paperlib.objective import decision


def setting(n: int = 40):
    model, x = relu_network(), images(n)
    return model, x, labels_of(model, x)


SMALL = (
    Stage("pgd", "pgd", "cross_entropy", 3), Stage("apgd-t", "apgd", "cw", 8, targets=3),
    Stage("square", "square", "cw", 20, nearest=True), Stage("restarts", "apgd", "cw", 8, targets=2, rounds=3),
)  # fmt: skip
EPS = [0.02, 0.05, 0.1]


def test_on_a_linear_network_it_is_the_closed_form():
    W = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = images(40)
    y = labels_of(linear(W), x)
    y[:3] = 1 - y[:3]
    distance = decision(linear(W)(x), y).detach() / (W[0] - W[1]).abs().sum()
    found = worst_case(linear(W), x, y, eps=EPS, cascade=SMALL)
    for k, eps in enumerate(EPS):
        assert torch.equal(found.unbroken[k], distance > eps)
    assert bool((found.broken_by[:, :3] == 0).all()) and found.names[0] == "clean"


def test_what_is_broken_stays_broken_and_keeps_its_attack():
    model, x, y = setting()
    found = worst_case(model, x, y, eps=EPS, cascade=SMALL)
    left = [int(row.sum()) for row in found.unbroken]
    assert left == sorted(left, reverse=True) and len(set(left)) == 3
    for small, large in zip(found.broken_by, found.broken_by[1:], strict=False):
        assert torch.equal(large[small >= 0], small[small >= 0])
    assert torch.equal(found.unbroken, found.broken_by == -1)


def test_what_the_first_attack_breaks_alone_the_cascade_breaks_too():
    model, x, y = setting(80)
    whole = worst_case(model, x, y, eps=[0.06], cascade=SMALL).unbroken[0]
    alone = worst_case(model, x, y, eps=[0.06], cascade=SMALL[:1]).unbroken[0]
    assert not (whole & ~alone).any() and whole.sum() < alone.sum()


def test_a_broken_image_costs_no_later_attack():
    model, x, y = setting(60)
    seen = []
    worst_case(lambda z: seen.append(len(z)) or model(z), x, y, eps=[0.3], cascade=SMALL)
    assert max(seen) == 60 and seen[-1] < 20


def test_restarts_go_on_until_a_round_breaks_too_few(monkeypatch):
    model, x, y = setting(60)
    monkeypatch.setattr(cascade, "TOLERANCE", 100)
    found = worst_case(model, x, y, eps=[0.05], cascade=SMALL)
    assert found.rounds == [1]
    monkeypatch.setattr(cascade, "TOLERANCE", 1e-9)
    found = worst_case(model, x, y, eps=[0.05], cascade=SMALL)
    assert found.rounds[0] == 3 or found.last[0] == 0


def test_the_seed_decides_and_the_batch_does_not():
    model, x, y = setting(30)
    one, other = (worst_case(model, x, y, eps=EPS, cascade=SMALL, batch=b).broken_by for b in (7, 500))
    assert torch.equal(one, other)


@pytest.mark.parametrize("cascade", [SMALL, LEVELS["short"]], ids=["small", "short"])
def test_in_half_precision_what_is_broken_is_misclassified_in_single(cascade, monkeypatch):
    model, x = relu_network().float(), images(60, dtype=torch.float32)
    y = labels_of(model, x)
    broken = []
    original = _Run._climb

    def spied(run, *arguments):
        points, wrong = original(run, *arguments)
        broken.append(model(points[wrong]).argmax(1) != y[arguments[3]][wrong])
        return points, wrong

    monkeypatch.setattr(_Run, "_climb", spied)
    half, again = (worst_case(model, x, y, eps=EPS, cascade=cascade, precision="half").broken_by for _ in range(2))
    assert torch.equal(half, again) and bool(torch.cat(broken).all()) and len(torch.cat(broken)) > 10
    single = worst_case(model, x, y, eps=EPS, cascade=cascade).unbroken
    assert float((half == -1).double().mean() - single.double().mean()) == pytest.approx(0, abs=0.04)


def test_the_short_cascade_is_as_strong_as_the_papers_attacks_together():
    model, x, y = setting(200)
    _, flags = evaluate.robustness(model, x, y, eps=EPS, step_size=0.03)
    found = worst_case(model, x, y, eps=EPS, cascade=LEVELS["short"])
    for row, eps in zip(found.unbroken, EPS, strict=True):
        assert int(row.sum()) <= int(flags["worst", eps].sum())


def test_parts_of_another_precision_are_others(tmp_path):
    model, x, y = setting(10)
    for precision in ("single", "half"):
        worst_case(model, x, y, eps=EPS, cascade=SMALL, precision=precision, store=tmp_path, of="a")
    assert len(list(tmp_path.iterdir())) == 2


# Networks that mask their gradients on purpose.


def rounded(model):
    """Images of few levels: the gradient is exactly zero everywhere."""
    return lambda z: model((z * 32).round() / 32)


def coarse(model):
    """Logits of few levels: the same."""
    return lambda z: (model(z) * 50).round() / 50


@pytest.mark.parametrize("mask", [rounded, coarse])
def test_a_masked_network_passes_the_gradient_attacks_and_not_the_cascade(mask):
    network, x = mask(relu_network()), images(60)
    y = labels_of(network, x)
    _, flags = evaluate.robustness(network, x, y, eps=[0.06], step_size=0.015, pgd_steps=20)
    stages = (*SMALL[:2], Stage("square", "square", "cw", 300, nearest=True))
    found = worst_case(network, x, y, eps=[0.06], cascade=stages)
    assert flags["worst", 0.06].double().mean() > 0.75
    assert found.unbroken[0].double().mean() < 0.45
    assert int((found.broken_by == found.names.index("square")).sum()) > 10


# Interruptions, and wrong input.


@pytest.mark.parametrize("broken", [1, 3, 6, 9])
def test_an_interrupted_cascade_goes_on_with_the_same_numbers(tmp_path, monkeypatch, broken):
    model, x, y = setting(30)
    calls, original = [0], cascade.attack

    def counted(*arguments, **options):
        calls[0] += 1
        if calls[0] == broken:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    expected = worst_case(model, x, y, eps=EPS, cascade=SMALL)
    monkeypatch.setattr(cascade, "attack", counted)
    with pytest.raises(KeyboardInterrupt):
        worst_case(model, x, y, eps=EPS, cascade=SMALL, store=tmp_path, of="a")
    resumed = worst_case(model, x, y, eps=EPS, cascade=SMALL, store=tmp_path, of="a")
    assert torch.equal(resumed.broken_by, expected.broken_by)
    assert (resumed.rounds, resumed.last) == (expected.rounds, expected.last)
    done = calls[0]
    again = worst_case(model, x, y, eps=EPS, cascade=SMALL, store=tmp_path, of="a")
    assert calls[0] == done and torch.equal(again.broken_by, expected.broken_by)
    (part,) = tmp_path.iterdir()
    for _ in damages(part):
        done = calls[0]
        healed = worst_case(model, x, y, eps=EPS, cascade=SMALL, store=tmp_path, of="a")
        assert torch.equal(healed.broken_by, expected.broken_by) and healed.rounds == expected.rounds
        assert calls[0] > done and len(list(tmp_path.iterdir())) == 1
    done = calls[0]
    worst_case(model, x, y, eps=EPS, cascade=SMALL, store=tmp_path, of="b")
    assert calls[0] > done and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": []}, "eps is []; allowed are rising positive numbers"),
        ({"eps": [0.1, 0.1]}, "eps is [0.1, 0.1]; allowed are rising positive numbers"),
        ({"eps": [float("nan")]}, "eps is [nan]; allowed are rising positive numbers"),
        ({"cascade": ()}, "x or cascade is empty; allowed is at least one image and one stage"),
        ({"cascade": (Stage("a", "fab", "cw", 3),)}, "method is 'fab'; allowed are pgd, apgd, square"),
    ],
)
def test_wrong_input_meets_one_sentence(changes, sentence):
    model, x, y = setting(2)
    with pytest.raises(ValueError, match="allowed") as caught:
        worst_case(model, x, y, **{"eps": [0.1], "cascade": SMALL} | changes)
    assert str(caught.value) == sentence
