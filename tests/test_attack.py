"""The one attack loop: closed forms, constraints, and what each option promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import batchnorm_network, images, labels_of, linear, relu_network

from paperlib.attack import ATTACKS, Ball, apgd, attack, bim, checkpoints, cw, fgsm, pgd
from paperlib.objective import ATTACKED, cross_entropy, decision, least_likely_class, logits_ratio, targeted_margin
from paperlib.tracker import Path, Rise, Success


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def setting(n: int = 8):
    model, x = relu_network(), images(n)
    return model, x, labels_of(model, x)


# Closed forms.


def test_fgsm_on_a_linear_network_is_the_sign_of_the_difference_of_rows():
    W = torch.tensor([[1.0, -2.0, 0.0, 3.0], [-1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    model, x = linear(W), images(5, (1, 2, 2))
    y = labels_of(model, x)
    toward = torch.where((y == 0)[:, None], W[1] - W[0], W[0] - W[1]).sign().view(-1, 1, 2, 2)
    # the ratio of logits needs a third class
    for name in set(ATTACKED) - {"dlr"}:
        found = fgsm(model, x, y, eps=0.1, objective=name)
        assert torch.allclose(found.x, x + 0.1 * toward, rtol=0, atol=1e-12)
        # S falls by eps |J|_1 exactly
        fall = decision(model(x), y) - decision(model(found.x), y)
        assert torch.allclose(fall, torch.full((5,), 0.1 * 6.0, dtype=torch.float64), rtol=1e-9)


def test_one_l2_step_on_a_linear_network_goes_along_the_normalised_row():
    W = torch.tensor([[3.0, 0.0, 0.0, 4.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    x = images(3, (1, 2, 2))
    y = labels_of(linear(W), x)
    found = attack(linear(W), x, y, eps=1, steps=1, step_size=0.1, norm="l2")
    assert torch.allclose(found.x, x - 0.1 * torch.tensor([[0.6, 0.0], [0.0, 0.8]], dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_length_of_the_gradient_plays_no_part(norm):
    model, x, y = setting()
    options = {"eps": 0.1, "steps": 3, "step_size": 0.05, "objective": "cw", "norm": norm}
    assert torch.allclose(attack(lambda z: 1e-15 * model(z), x, y, **options).x, attack(model, x, y, **options).x)


def test_a_gradient_whose_square_underflows_has_a_length():
    gradient = torch.full((1, 1, 2, 2), 1e-25)
    assert torch.allclose(Ball(1.0, "l2").step(gradient, 0.1), torch.full((1, 1, 2, 2), 0.05))


def test_a_larger_step_size_than_eps_lands_on_the_border():
    W = torch.tensor([[1.0, -1.0, 0.0, 1.0], [0.0] * 4], dtype=torch.float64)
    x = images(2, (1, 2, 2))
    found = bim(linear(W), x, labels_of(linear(W), x), eps=0.05, step_size=1.0, steps=4)
    assert torch.allclose((found.x - x).abs().flatten(1), torch.tensor([[0.05, 0.05, 0.0, 0.05]], dtype=torch.float64))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projection_is_the_nearest_point_of_the_ball(norm):
    ball, delta = Ball(0.5, norm), torch.randn(20, 1, 3, 3, generator=seeded(), dtype=torch.float64)
    projected = ball.project(delta)
    inside = Ball(0.5, norm).random(delta, seeded(3))
    nearest = (delta - projected).flatten(1).norm(dim=1)
    assert torch.equal(ball.project(inside), inside)
    assert bool((nearest <= (delta - inside).flatten(1).norm(dim=1)).all())
    assert bool((nearest > 0).any())


# Constraints.


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(ATTACKED), norm=st.sampled_from(["linf", "l2"]), eps=st.sampled_from([0.0, 1e-3, 0.1, 0.5, 3.0]),
    step_size=st.sampled_from([1e-4, 0.1, 1.0]), steps=st.integers(1, 4), random_start=st.booleans(),
    stop_at_success=st.booleans(), single=st.booleans(), adaptive=st.booleans(), seed=st.integers(0, 50),
)  # fmt: skip
def test_every_iterate_stays_in_the_ball_and_in_the_box(
    name, norm, eps, step_size, steps, random_start, stop_at_success, single, adaptive, seed
):
    model, x, y = setting(4)
    dtype = torch.float32 if single else torch.float64
    # some pixels lie on the borders 0 and 1
    x = (2.0 * x - 0.5).clamp(0, 1).to(dtype)
    path = Path(x, steps)
    found = attack(
        model.to(dtype), x, y, eps=eps, steps=steps, step_size=step_size, objective=name, norm=norm,
        random_start=random_start, restarts=2 if random_start else 1, stop_at_success=stop_at_success,
        adaptive=adaptive, momentum=0.25 * adaptive, tracker=path, generator=seeded(seed),
    )  # fmt: skip
    iterates = torch.cat([path.points, found.x[None]])
    assert iterates.min() >= 0 and iterates.max() <= 1
    delta = (iterates - x).flatten(2)
    size = delta.abs().amax(2) if norm == "linf" else delta.norm(dim=2)
    assert size.max() <= eps + 1e-6
    assert torch.equal(found.success, model(found.x).argmax(1) != y)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm):
    ball = Ball(0.5, norm)
    noise = ball.random(torch.zeros(4000, 1, 1, 2, dtype=torch.float64), seeded()).flatten(1)
    size = noise.abs().amax(1) if norm == "linf" else noise.norm(dim=1)
    assert size.max() <= 0.5
    # uniform in two dimensions: a quarter of the points within half the radius, in every quadrant alike
    assert float((size <= 0.25).double().mean()) == pytest.approx(0.25, abs=0.03)
    assert float((noise > 0).all(1).double().mean()) == pytest.approx(0.25, abs=0.03)


# Options.


def test_the_path_begins_at_the_image_and_ends_at_the_result():
    model, x, y = setting()
    path = Path(x, 5)
    found = bim(model, x, y, eps=0.3, step_size=0.05, steps=5, tracker=path)
    assert path.points.shape == (6, *x.shape)
    assert torch.equal(path.points[0], x)
    assert torch.equal(path.points[-1], found.x)
    assert torch.equal(path.points[1], fgsm(model, x, y, eps=0.05).x)


def test_success_is_the_first_misclassified_iterate():
    model, x, y = setting(20)
    y = y.clone()
    y[0] = (y[0] + 1) % 4  # one image is misclassified from the beginning
    path, success = Path(x, 8), Success(20)
    for tracker in (path, success):
        bim(model, x, y, eps=0.15, step_size=0.02, steps=8, tracker=tracker, batch=7)
    wrong = torch.stack([model(iterate).argmax(1) != y for iterate in path.points])
    expected = [float(column.nonzero()[0]) if column.any() else float("inf") for column in wrong.T]
    assert success.first.tolist() == expected
    assert expected[0] == 0 and float("inf") in expected and len(set(expected)) > 3


def test_the_rise_is_the_objective_along_the_path():
    model, x, y = setting(6)
    path, rise = Path(x, 4), Rise(6, 4)
    for tracker in (path, rise):
        cw(model, x, y, eps=0.1, step_size=0.01, steps=4, tracker=tracker)
    expected = torch.stack([-decision(model(iterate), y) for iterate in path.points])
    assert torch.allclose(rise.values.double(), expected.detach(), atol=1e-6)
    late = rise.still_rising()
    best = expected.detach().cummax(0).values
    assert torch.allclose(late.double(), (best[-1] - best[3]) / (best[-1] - best[0]), atol=1e-4)


def test_the_rise_of_an_early_leaver_says_nothing():
    rise = Rise(2, 10)
    for step in range(11):
        there = torch.tensor([0, 1] if step < 4 else [1])
        rise.see(step, there, None, torch.full((len(there),), float(step)), None)
    assert torch.isnan(rise.still_rising()[0]) and rise.still_rising()[1] == pytest.approx(0.1)


def test_stopping_keeps_the_first_misclassified_iterate():
    model, x, y = setting(20)
    options = {"eps": 0.15, "step_size": 0.02, "steps": 8}
    path, success = Path(x, 8), Success(20)
    full = bim(model, x, y, tracker=path, **options)
    stopped = bim(model, x, y, stop_at_success=True, tracker=success, **options)
    at = success.first.clamp(max=8).long()
    assert torch.equal(stopped.x, path.points[at, torch.arange(20)])
    assert torch.equal(stopped.success, torch.isfinite(success.first))
    assert not torch.equal(stopped.x, full.x)


def test_examples_that_stopped_cost_no_more_forward_passes():
    model, x, y = setting(20)
    sizes = []
    bim(lambda z: sizes.append(len(z)) or model(z), x, y, eps=0.5, step_size=0.1, steps=9, stop_at_success=True)
    assert sizes[0] == sizes[1] == 20
    assert sizes[2:] == sorted(sizes[2:], reverse=True) and sizes[-1] < 20


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("batch", [1, 3, 8, 100])
def test_the_batch_size_changes_nothing(batch, stop):
    model, x, y = setting(8)
    options = {"eps": 0.1, "step_size": 0.04, "steps": 3, "restarts": 3, "stop_at_success": stop}
    paths = [Path(x, 3), Path(x, 3)]
    one, other = (pgd(model, x, y, batch=b, generator=seeded(), tracker=p, **options)
                  for b, p in zip((batch, 500), paths, strict=True))  # fmt: skip
    assert torch.allclose(one.x, other.x, rtol=0, atol=1e-12)
    assert torch.allclose(paths[0].points, paths[1].points, rtol=0, atol=1e-12)
    assert torch.equal(one.success, other.success)


def test_batchnorm_in_train_mode_mixes_no_images():
    model, x = batchnorm_network(), images(6, dtype=torch.float32)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    together = bim(model, x, y, eps=0.1, step_size=0.03, steps=4).x
    alone = [bim(model, x[i : i + 1], y[i : i + 1], eps=0.1, step_size=0.03, steps=4).x for i in range(6)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_the_generator_decides_the_random_start():
    model, x, y = setting()
    one, same, other = (pgd(model, x, y, eps=0.2, step_size=0.02, steps=2, generator=seeded(seed)).x for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


class Trap(torch.nn.Module):
    """One pixel; wrong (class 1) only near ``holes[i]`` for the image whose second pixel is i/10, flat elsewhere."""

    def forward(self, x):
        holes = torch.tensor([0.3, 0.7], dtype=x.dtype)
        value, which = x[:, 0, 0, 0], (x[:, 0, 0, 1] * 10).round().long().clamp(0, 1)
        S = (value - holes[which]).abs() - 0.03
        return torch.stack([S, torch.zeros_like(S)], 1)


def test_restarts_are_chosen_for_each_example_alone():
    x = torch.tensor([[[[0.5, 0.0]]], [[[0.5, 0.1]]]], dtype=torch.float64)
    y = torch.zeros(2, dtype=torch.long)
    options = {"eps": 0.25, "step_size": 1e-6, "steps": 1, "objective": "cw", "random_start": True}
    generator = seeded(3)
    single = [attack(Trap(), x, y, generator=generator, **options).success.tolist() for _ in range(12)]
    # no start breaks both images, so that choosing one start for the whole batch would leave one standing
    assert [True, False] in single and [False, True] in single and [True, True] not in single
    many = attack(Trap(), x, y, restarts=12, generator=seeded(3), **options)
    assert many.success.tolist() == [True, True]
    assert torch.equal(Trap()(many.x).argmax(1), 1 - y)


def test_without_success_a_restart_is_kept_only_where_it_climbs_higher():
    model, x, y = setting(40)
    sure = decision(model(x), y) > 0.1
    x, y = x[sure], y[sure]
    options = {"eps": 0.005, "step_size": 0.0005, "steps": 2, "objective": "cw", "random_start": True}
    generator = seeded(0)
    starts = [attack(model, x, y, generator=generator, **options) for _ in range(4)]
    assert not any(found.success.any() for found in starts)
    S = torch.stack([decision(model(found.x), y) for found in starts])
    best = attack(model, x, y, restarts=4, generator=seeded(0), **options)
    assert torch.allclose(decision(model(best.x), y), S.amin(0), rtol=0, atol=1e-12)
    assert len(set(S.argmin(0).tolist())) > 1


def test_restarts_that_find_nothing_left_to_do_call_no_model():
    x = images(3, (1, 2, 2))
    W = torch.eye(4, dtype=torch.float64)[:2]

    def flattening(z):  # view(0, -1) is refused by torch, so an empty batch would raise
        return z.view(len(z), -1) @ W.T

    y = 1 - flattening(x).argmax(1)
    path = Path(x, 3)
    options = {"eps": 0.01, "step_size": 0.01, "steps": 3, "stop_at_success": True}
    found = pgd(flattening, x, y, restarts=3, generator=seeded(), tracker=path, **options)
    assert found.success.all()
    assert torch.equal(path.points[-1], found.x)


def test_least_likely_raises_the_probability_of_the_clean_images_least_likely_class():
    model, x, y = setting()
    target = least_likely_class(model(x))
    found = attack(model, x, y, eps=0.2, step_size=0.02, steps=10, objective="least_likely")
    before, after = (cross_entropy(model(z), target) for z in (x, found.x))
    assert bool((after < before - 0.01).all())


@pytest.mark.parametrize("name", ATTACKED)
def test_more_steps_are_not_worse(name):
    model, x, y = setting()
    target = least_likely_class(model(x))
    climbed = {"cross_entropy": lambda Z: cross_entropy(Z, y), "cw": lambda Z: -decision(Z, y),
               "least_likely": lambda Z: -cross_entropy(Z, target), "dlr": lambda Z: logits_ratio(Z, y)}[name]  # fmt: skip
    few, many = (climbed(model(attack(model, x, y, eps=0.05, step_size=0.005, steps=k, objective=name).x)) for k in (2, 10))
    assert bool((many > few).all()) and bool((few > climbed(model(x))).all())


def test_cw_climbs_minus_the_decision():
    model, x, y = setting()
    options = {"eps": 0.1, "step_size": 0.02, "steps": 4}
    assert torch.equal(cw(model, x, y, **options).x, attack(model, x, y, objective="cw", **options).x)
    step = cw(model, x, y, eps=0.1, step_size=0.02, steps=1).x
    leaf = x.clone().requires_grad_(True)
    (J,) = torch.autograd.grad(decision(model(leaf), y).sum(), leaf)
    assert torch.allclose(step, x - 0.02 * J.sign(), rtol=0, atol=1e-12)


# Targets, and the adaptive step.


def test_a_targeted_attack_moves_into_its_class():
    model, x, y = setting(20)
    target = (y + 1) % 4
    before = targeted_margin(model(x), y, target)
    for name in ("cw", "dlr"):
        found = attack(model, x, y, eps=0.1, steps=8, step_size=0.02, objective=name, target=target)
        assert bool((targeted_margin(model(found.x), y, target) > before).all()), name
    found = attack(model, x, y, eps=0.1, steps=8, step_size=0.02, target=target)
    assert bool((cross_entropy(model(found.x), target) < cross_entropy(model(x), target)).all())


def test_the_ratio_of_logits_has_no_scale():
    model, x, y = setting()
    options = {"eps": 0.1, "steps": 4, "step_size": 0.03, "objective": "dlr"}
    for target in (None, (y + 1) % 4):
        scaled = attack(lambda z: 1e-6 * model(z), x, y, target=target, **options)
        assert torch.allclose(scaled.x, attack(model, x, y, target=target, **options).x, rtol=0, atol=1e-9)


def test_a_start_is_brought_into_the_ball():
    model, x, y = setting()
    path = Path(x, 1)
    attack(model, x, y, eps=0.1, steps=1, step_size=0.01, start=x + 5, tracker=path)
    assert torch.allclose(path.points[0], (x + 0.1).clamp(0, 1))


class Valley(torch.nn.Module):
    """S = 1 + 100 |x - 0.4537| for one pixel: fixed steps jump over the lowest point for ever."""

    def forward(self, x):
        S = 1 + 100 * (x[:, 0, 0, 0] - 0.4537).abs()
        return torch.stack([S, torch.zeros_like(S)], 1)


def test_the_adaptive_step_settles_where_a_fixed_one_jumps():
    x, y = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    options = {"eps": 0.2, "steps": 60, "step_size": 0.1, "objective": "cw"}
    fixed, adaptive = (attack(Valley(), x, y, adaptive=way, **options).x for way in (False, True))
    assert abs(float(fixed) - 0.4537) > 0.01
    assert abs(float(adaptive) - 0.4537) < 0.002


def test_an_adaptive_climb_returns_its_best_iterate():
    model, x, y = setting(30)
    path = Path(x, 12)
    options = {"eps": 0.02, "steps": 12, "step_size": 0.04, "objective": "cw", "momentum": 0.25}
    found = attack(model, x, y, adaptive=True, tracker=path, **options)
    S = torch.stack([decision(model(iterate), y) for iterate in path.points])
    assert torch.allclose(decision(model(found.x), y), S.amin(0), rtol=0, atol=1e-12)
    assert torch.equal(found.success, S.amin(0) < 0)


def test_checkpoints_are_those_of_the_paper_and_at_least_one_step_apart():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert min(checkpoints(1)) == 1 and max(checkpoints(10)) <= 10


def test_apgd_is_adaptive_with_momentum_from_twice_eps():
    model, x, y = setting(20)
    options = {"eps": 0.05, "steps": 15, "objective": "cw"}
    expected = attack(model, x, y, step_size=0.1, adaptive=True, momentum=0.25, stop_at_success=True, **options)
    assert torch.equal(apgd(model, x, y, **options).x, expected.x)


def test_the_four_names_are_settings_of_one_loop():
    model, x, y = setting()
    shared = {"eps": 0.1, "step_size": 0.02}
    assert torch.equal(fgsm(model, x, y, eps=0.1).x, attack(model, x, y, eps=0.1, steps=1, step_size=0.1).x)
    assert torch.equal(bim(model, x, y, **shared).x, attack(model, x, y, steps=10, **shared).x)
    expected = attack(model, x, y, steps=40, random_start=True, generator=seeded(), **shared).x
    assert torch.equal(pgd(model, x, y, generator=seeded(), **shared).x, expected)
    assert set(ATTACKS) == {"fgsm", "bim", "cw", "pgd"}


def test_no_images_give_no_adversarial_images():
    found = bim(relu_network(), images(0), torch.zeros(0, dtype=torch.long), eps=0.1, step_size=0.1)
    assert found.x.shape == (0, 1, 4, 4) and found.success.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": -0.1}, "eps is -0.1; allowed is a number of at least 0"),
        ({"steps": 0}, "steps is 0; allowed is an integer of at least 1"),
        ({"restarts": 0}, "restarts is 0; allowed is an integer of at least 1"),
        ({"step_size": 0.0}, "step_size is 0.0; allowed is a positive number"),
        ({"norm": "l1"}, "norm is 'l1'; allowed are linf, l2"),
        ({"restarts": 2}, "restarts is 2 without random_start; allowed is 1"),
        ({"batch": 0}, "batch is 0; allowed is an integer of at least 1"),
        ({"eps": float("nan")}, "eps is nan; allowed is a number of at least 0"),
        ({"step_size": float("inf")}, "step_size is inf; allowed is a positive number"),
        ({"momentum": 1.0}, "momentum is 1.0; allowed are 0 to less than 1"),
        ({"start": images(2), "random_start": True}, "start is given with random_start; allowed is one of them"),
        ({"start": images(3)}, "start has shape (3, 1, 4, 4); allowed is that of x, (2, 1, 4, 4)"),
        ({"target": torch.tensor([1])}, "target has shape (1,) for 2 images; allowed is (2,)"),
        ({"target": torch.tensor([1, 7])}, "target holds 7; allowed are labels 0..3"),
        ({"target": torch.tensor([1, 2]), "objective": "least_likely"},
         "objective is 'least_likely'; allowed are cross_entropy, cw, dlr"),
        ({"objective": "margin"}, "objective is 'margin'; allowed are cross_entropy, least_likely, cw, dlr"),
        ({"y": torch.tensor([0, 9])}, "y holds 9; allowed are labels 0..3"),
        ({"x": torch.rand(2, 16)}, "x has shape (2, 16); allowed is (n, c, h, w)"),
    ],
)  # fmt: skip
def test_wrong_input_meets_one_sentence(changes, sentence, unhooked):
    arguments = {"x": images(2), "y": torch.tensor([0, 1]), "eps": 0.1, "steps": 2, "step_size": 0.1} | changes
    with pytest.raises(ValueError) as caught:
        attack(relu_network(), arguments.pop("x"), arguments.pop("y"), **arguments)
    assert str(caught.value) == sentence
