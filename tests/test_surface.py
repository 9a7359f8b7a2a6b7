"""Slices against direct evaluation, directions, surfaces that go on after an interruption, and the way to the boundary."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from toys import Quadratic, batchnorm_network, damages, images, labels_of, linear, relu_network

from paperlib import surface
from paperlib.attack import fgsm
from paperlib.objective import ATTACKED, cross_entropy, decision

ALPHA, BETA = np.linspace(-0.3, 0.5, 7), np.linspace(0.0, 1.0, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane(n: int = 2):
    """An image and two directions."""
    x = images(1)[0]
    return x, *(torch.randn(x.shape, generator=seeded(k), dtype=torch.float64) for k in range(n))


# The grid.


def test_rows_are_beta_and_columns_are_alpha():
    x, u, v = plane()
    f = surface.input_function(relu_network(), 1, decision)
    found = surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA)
    assert found.values.shape == (4, 7)
    for row, b in enumerate(BETA):
        for column, a in enumerate(ALPHA):
            expected = float(f((x + a * u + b * v)[None]))
            assert found.values[row, column] == pytest.approx(expected, abs=1e-12)


def test_points_are_kept_in_the_box():
    x, u, v = plane()
    seen = []
    f = lambda points: seen.append(points) or points.flatten(1).sum(1)  # noqa: E731
    clipped = surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA, clip=(0, 1)).values
    assert torch.cat(seen).min() == 0 and torch.cat(seen).max() == 1
    free = surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA).values
    assert torch.cat(seen).max() > 1
    assert not np.allclose(clipped, free)
    assert clipped[3, 6] == pytest.approx(float((x + 0.5 * u + v).clamp(0, 1).sum()))


@pytest.mark.parametrize("batch", [1, 5, 28, 1000])
def test_the_batch_size_bounds_the_memory_and_changes_nothing(batch):
    x, u, v = plane()
    f = surface.input_function(relu_network(), 1, cross_entropy)
    sizes = []
    found = surface.surface(lambda p: sizes.append(len(p)) or f(p), x, u, v, alpha=ALPHA, beta=BETA, batch=batch)
    assert np.allclose(found.values, surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA).values, rtol=0, atol=1e-12)
    assert max(sizes) == min(batch, 28) and sum(sizes) == 28


def test_a_function_that_is_differentiable_can_be_drawn():
    x, u, v = plane()
    x.requires_grad_(True)
    model = relu_network()
    found = surface.surface(lambda p: model(p)[:, 0], x, u, v, alpha=ALPHA, beta=BETA)
    assert found.values[0, 0] == pytest.approx(float(model((x + ALPHA[0] * u)[None]).detach()[0, 0]))


# Interruptions.


class Interrupted(Exception):
    pass


def counted(f, calls: list, stop_after: int | None = None):
    """``f`` that notes every point it evaluates, and fails after so many calls."""

    def counting(points):
        if stop_after is not None and len(calls) >= stop_after:
            raise Interrupted
        calls.append(points)
        return f(points)

    return counting


def test_an_interrupted_surface_goes_on_where_it_stopped(tmp_path):
    x, u, v = plane()
    f = surface.input_function(relu_network(), 1, decision)
    options = {"alpha": ALPHA, "beta": BETA, "batch": 5, "store": tmp_path}
    before, after, again = [], [], []
    with pytest.raises(Interrupted):
        surface.surface(counted(f, before, stop_after=3), x, u, v, **options)
    (part,) = tmp_path.iterdir()
    with np.load(part) as archive:
        assert int(np.isnan(archive["values"]).sum()) == 28 - 15
    found = surface.surface(counted(f, after), x, u, v, **options)
    points = torch.cat(before + after).flatten(1)
    assert len(points) == len(points.unique(dim=0)) == 28
    whole = surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA, batch=5)
    assert np.array_equal(found.values, whole.values)
    finished = surface.surface(counted(f, again), x, u, v, **options)
    assert again == [] and np.array_equal(finished.values, found.values)
    assert list(tmp_path.iterdir()) == [part]


def test_interrupted_surfaces_of_many_images_go_on_where_they_stopped(tmp_path):
    model, x = relu_network(), images(3)
    y = labels_of(model, x)
    u, v = surface.input_plane(model, x, y, direction="random", generator=seeded())
    options = {"objective": decision, "alpha": ALPHA, "beta": BETA, "batch": 10}
    before, after = [], []
    with pytest.raises(Interrupted):
        surface.surfaces(counted(model, before, stop_after=4), x, y, u, v, store=tmp_path, **options)
    found = surface.surfaces(counted(model, after), x, y, u, v, store=tmp_path, **options)
    assert (len(before), len(after)) == (4, 5) and len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(found, surface.surfaces(model, x, y, u, v, **options))


def test_what_is_done_is_written_down_while_a_surface_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "SECONDS", 0)
    x, u, v = plane()
    left = []

    def f(points):
        for part in tmp_path.iterdir():
            with np.load(part) as archive:
                left.append(int(np.isnan(archive["values"]).sum()))
        return points.flatten(1).sum(1)

    surface.surface(f, x, u, v, alpha=ALPHA, beta=BETA, batch=7, store=tmp_path)
    assert left == [21, 14, 7]


@pytest.mark.parametrize(
    "changes",
    [{"alpha": ALPHA + 0.1}, {"beta": BETA[:3]}, {"clip": (0, 1)}, {"of": "other weights"}, {"origin": 0.5},
     {"u": 1.0}, {"v": -1.0}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_another_surface_has_a_file_of_its_own(tmp_path, changes):
    x, u, v = plane()
    f = surface.input_function(relu_network(), 1, decision)
    arguments = {"origin": x, "u": u, "v": v, "alpha": ALPHA, "beta": BETA, "of": "weights"}
    surface.surface(f, **arguments, store=tmp_path)
    moved = arguments | {key: arguments[key] + 1 if key in ("origin", "u", "v") else of for key, of in changes.items()}
    found = surface.surface(f, **moved, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert np.array_equal(found.values, surface.surface(f, **moved).values)


def test_a_damaged_part_is_made_again(tmp_path):
    x, u, v = plane()
    f = surface.input_function(relu_network(), 1, decision)
    arguments = {"origin": x, "u": u, "v": v, "alpha": ALPHA, "beta": BETA, "store": tmp_path}
    whole = surface.surface(f, **arguments).values
    (part,) = tmp_path.iterdir()
    for _ in damages(part):
        assert np.array_equal(surface.surface(f, **arguments).values, whole)


# Parameter space.


def test_parameter_function_is_what_a_perturbed_copy_gives():
    model, x, y = relu_network(), images(6), torch.tensor([0, 1, 2, 3, 0, 1])
    origin = surface.parameters_of(model)
    steps = 0.1 * torch.randn(3, len(origin), generator=seeded(), dtype=torch.float64)
    found = surface.parameter_function(model, x, y, cross_entropy)(origin + steps)
    for step, value in zip(steps, found, strict=True):
        copied = copy.deepcopy(model)
        nn.utils.vector_to_parameters(origin + step, copied.parameters())
        assert float(value) == pytest.approx(cross_entropy(copied(x), y).mean().item(), abs=1e-12)
    assert torch.equal(surface.parameters_of(model), origin)
    assert origin.data_ptr() != next(model.parameters()).data_ptr()


@pytest.mark.parametrize("most", [1, 4, 6])
def test_the_images_of_a_walk_are_split_and_the_mean_is_the_same(most, monkeypatch):
    model, x, y = relu_network(), images(6), torch.tensor([0, 1, 2, 3, 0, 1])
    monkeypatch.setattr(surface, "IMAGES", most)
    found = surface.parameter_function(model, x, y, cross_entropy)(surface.parameters_of(model)[None])
    assert float(found) == pytest.approx(cross_entropy(model(x), y).mean().item(), abs=1e-12)


def test_a_network_that_cannot_be_copied_is_not_walked():
    model = relu_network()
    model.held = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(ValueError, match="cannot be copied"):
        surface.parameter_function(model, images(2), torch.tensor([0, 1]), cross_entropy)
    f = surface.input_function(model, 0, decision)
    assert torch.allclose(f(images(2)), decision(model(images(2)), torch.zeros(2, dtype=torch.long)))


def test_parameter_function_freezes_batchnorm():
    model, x, y = batchnorm_network(), images(6, dtype=torch.float32), torch.tensor([0, 1, 2, 3, 0, 1])
    f = surface.parameter_function(model, x, y, cross_entropy)
    found = float(f(surface.parameters_of(model)[None]))
    assert found == pytest.approx(cross_entropy(copy.deepcopy(model).eval()(x), y).mean().item(), abs=1e-6)


def test_filter_normalised_gives_each_filter_its_weights_norm():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))
    direction = surface.filter_normalised(model, generator=seeded())
    parts = dict(zip(dict(model.named_parameters()), split_like(model, direction), strict=True))
    for name, weight in model.named_parameters():
        part = parts[name]
        if weight.ndim == 1:
            assert torch.equal(part, torch.zeros_like(weight)), name
        else:
            assert torch.allclose(part.flatten(1).norm(dim=1), weight.detach().flatten(1).norm(dim=1), rtol=1e-5), name
            cosine = nn.functional.cosine_similarity(part.flatten(), weight.detach().flatten(), dim=0)
            assert abs(float(cosine)) < 0.8, name  # a direction of its own, not the weights again


def split_like(model: nn.Module, flat: torch.Tensor) -> list[torch.Tensor]:
    weights = list(model.parameters())
    return [part.view_as(w) for part, w in zip(flat.split([w.numel() for w in weights]), weights, strict=True)]


# Directions.


def test_random_directions_are_signs():
    x = images(1)[0]
    signs = surface.random_direction(x, generator=seeded())
    assert signs.abs().unique().tolist() == [1.0] and 0 < (signs > 0).sum() < 16
    assert not torch.equal(surface.random_direction(x, generator=seeded(1)), signs)


@pytest.mark.parametrize("name", ATTACKED)
def test_the_adversarial_direction_is_an_attacks_first_step(name):
    model, x = relu_network(), images(5)
    y = labels_of(model, x)
    signs = surface.adversarial_direction(model, x, y, objective=name)
    assert torch.allclose(fgsm(model, x, y, eps=0.01, objective=name).x, x + 0.01 * signs, rtol=0, atol=1e-12)


def test_orthogonal_removes_the_part_along_u_and_keeps_the_norm():
    u, v = (torch.randn(3, 1, 4, 4, generator=seeded(k), dtype=torch.float64) for k in (0, 1))
    found = surface.orthogonal(v, u)
    assert (found * u).flatten(1).sum(1).abs().max() < 1e-12
    assert torch.allclose(found.flatten(1).norm(dim=1), v.flatten(1).norm(dim=1))
    # v lies in the plane of u and the result
    residual = [np.linalg.matrix_rank(np.stack([a, b, c])) for a, b, c in
                zip(u.flatten(1).numpy(), v.flatten(1).numpy(), found.flatten(1).numpy(), strict=True)]  # fmt: skip
    assert residual == [2, 2, 2]


def test_every_plane_has_two_orthogonal_directions_of_one_norm():
    model, x = relu_network(), images(5)
    y = labels_of(model, x)
    for direction in surface.DIRECTIONS:
        u, v = (t.flatten(1) for t in surface.input_plane(model, x, y, direction=direction, generator=seeded()))
        assert u.norm(dim=1).tolist() == pytest.approx([4] * 5) and v.norm(dim=1).tolist() == pytest.approx([4] * 5)
        assert (u * v).sum(1).tolist() == pytest.approx([0] * 5, abs=1e-9)
        assert set(u.unique().tolist()) == {-1, 1}


def test_where_a_gradient_is_zero_the_direction_takes_a_random_sign():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, :4] = 1
    u, _ = surface.input_plane(linear(W), images(1), torch.zeros(1, dtype=torch.long), direction="adversarial",
                               generator=seeded())  # fmt: skip
    assert u.flatten()[:4].tolist() == [-1] * 4
    assert u.flatten()[4:].abs().tolist() == [1] * 12 and 0 < (u.flatten()[4:] > 0).sum() < 12


def test_many_surfaces_at_once_are_those_one_by_one():
    model, x = relu_network(), images(3)
    y = labels_of(model, x)
    u, v = surface.input_plane(model, x, y, direction="random", generator=seeded())
    alpha, beta = np.linspace(-0.3, 0.5, 5), np.linspace(-0.2, 0.9, 4)
    for batch in (1, 7, 1000):
        found = surface.surfaces(model, x, y, u, v, objective=decision, alpha=alpha, beta=beta, batch=batch)
        assert found.shape == (3, 4, 5)
        for i in range(3):
            f = surface.input_function(model, int(y[i]), decision)
            one = surface.surface(f, x[i], u[i], v[i], alpha=alpha, beta=beta, clip=(0, 1))
            assert found[i] == pytest.approx(one.values)


# The way to the boundary.


def test_distance_to_the_boundary_of_a_linear_network():
    W = torch.randn(2, 16, generator=seeded(), dtype=torch.float64)
    model, x = linear(W), images(8)
    y = labels_of(model, x)
    S = surface.decision_function(model, y)
    # no pixel reaches 0 or 1
    direction = 2 * torch.rand(8, 1, 4, 4, generator=seeded(1), dtype=torch.float64) - 1
    d = torch.where((y == 0)[:, None], W[0] - W[1], W[1] - W[0])
    falls = -(d * direction.flatten(1)).sum(1)
    expected = S(x).detach() / falls
    found = surface.boundary_distance(S, x, direction, reach=0.2, bisections=40)
    reached = (falls > 0) & (expected <= 0.2)
    assert 0 < int(reached.sum()) < 8
    assert torch.allclose(found[reached], expected[reached], rtol=1e-9)
    assert torch.isinf(found[~reached]).all()


def test_the_first_crossing_counts():
    # S = t^2 - 1.5 t + 0.5 along the way: zero at 0.5 and at 1
    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    model = lambda z: (z**2 - 1.5 * z + 0.5).flatten()  # noqa: E731
    found = surface.boundary_distance(model, x, torch.ones_like(x), reach=3.0, bisections=40)
    assert float(found) == pytest.approx(0.5, abs=1e-9)


def test_an_image_on_the_wrong_side_is_at_distance_zero():
    model, x = relu_network(), images(3)
    y = (labels_of(model, x) + 1) % 4
    found = surface.boundary_distance(surface.decision_function(model, y), x, torch.ones_like(x), reach=1.0)
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_distance_is_measured_along_the_clipped_path():
    # the image sits at 0.9; the boundary at mean 0.97 is reached by the other pixel once the first is clipped at 1
    x = torch.tensor([[[[0.9, 0.8]]]], dtype=torch.float64)
    S = lambda z: 0.97 - z.flatten(1).mean(1)  # noqa: E731
    found = surface.boundary_distance(S, x, torch.ones_like(x), reach=1.0, bisections=40)
    assert float(found) == pytest.approx(0.14, abs=1e-9)  # not 0.12


def test_distance_along_a_quadratic():
    model = Quadratic(-2 * torch.eye(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    f = lambda z: model(z)[:, 0] + 1  # noqa: E731, S = 1 - |x|^2
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    direction = torch.stack([torch.ones(1, 2, 2), torch.eye(2)[None]]).double()
    found = surface.boundary_distance(f, x, direction, reach=2.0, bisections=40)
    assert found.tolist() == pytest.approx([0.5, 1 / math.sqrt(2)], abs=1e-9)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, x, y: surface.adversarial_direction(m, x, y, objective="S"), "objective is 'S'; allowed are "
         "cross_entropy, least_likely, cw, dlr"),
        (lambda m, x, y: surface.surface(m, x[0], x[0], x[0, 0], alpha=ALPHA, beta=BETA),
         "v has shape (4, 4); allowed is that of origin, (1, 4, 4)"),
        (lambda m, x, y: surface.surface(m, x[0], x[0], x[0], alpha=ALPHA, beta=BETA, batch=0),
         "batch is 0; allowed is an integer of at least 1"),
        (lambda m, x, y: surface.boundary_distance(m, x, x, reach=0), "reach is 0; allowed is a positive number"),
        (lambda m, x, y: surface.boundary_distance(m, x, x, reach=1, coarse=0),
         "coarse is 0; allowed is an integer of at least 1"),
    ],
)  # fmt: skip
def test_wrong_input_meets_one_sentence(call, sentence, unhooked):
    with pytest.raises(ValueError) as caught:
        call(relu_network(), images(2), torch.tensor([0, 1]))
    assert str(caught.value) == sentence
