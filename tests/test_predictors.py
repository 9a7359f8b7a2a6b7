"""Predictors of robustness on networks of which each can be said by hand."""

import math

import pytest
import torch
from toys import Quadratic, images, labels_of, linear, relu_network, seeded, smooth_network

from paperlib import indicator, predictors
from paperlib.names import PREDICTORS
from paperlib.predictors import Effort

EFFORT = Effort(
    hessian_images=3, beta=10.0, h=0.2, clever_images=4, batches=3, samples=3, targets=3, weights_images=5, directions=2,
    radius=0.1, attack_steps=2,
)  # fmt: skip


def test_each_predictor_has_a_promise_and_a_name():
    assert list(predictors.PROMISE) == list(PREDICTORS)
    assert set(predictors.PROMISE.values()) == set(predictors.POINTWISE.values()) == {-1, 1}


def test_of_a_linear_network_all_distances_are_one_and_nothing_bends():
    W = torch.randn(2, 16, generator=seeded(2), dtype=torch.float64)
    model, x = linear(W), images(6)
    y = labels_of(model, x)
    y[0] = 1 - y[0]
    found = predictors.predictors(model, x, y, eps=[0.1, 5.0], effort=EFFORT)
    assert list(found) != [] and set(found) == set(predictors.PROMISE)
    assert all(len(row) == 2 for row in found.values())
    assert found["bend"] == found["top_bend"] == [0.0, 0.0]
    assert max(found["curvature"] + found["curvature_eps"]) < 1e-9
    each = predictors.pointwise(model, x, y, h=0.2)
    assert found["mean_J"] == pytest.approx([float(each["mean_J"].mean())] * 2)
    assert found["linear_distance"] == pytest.approx([float(each["linear_distance"][1:].median())] * 2)
    # Eq. 9 without bends is the slope alone, on the first images, of which one is wrong
    assert found["bound"] == pytest.approx([eps * float(each["l1_J"][:3].mean()) for eps in (0.1, 5.0)])
    assert found["bound_distance"] == pytest.approx([float(each["linear_distance"][1:3].median())] * 2)
    assert found["clever"] == pytest.approx([float(each["linear_distance"][1:4].mean())] * 2)
    assert found["clean"] == pytest.approx([100 * 5 / 6] * 2)


def test_of_one_image_every_number_is_that_of_its_definition():
    model, x = relu_network(), images(5)
    y = labels_of(model, x)
    found = predictors.pointwise(model, x, y, h=0.3)
    J = indicator.jacobian(model, x, y).flatten(1)
    assert torch.allclose(found["l1_J"], J.abs().sum(1)) and torch.allclose(found["mean_J"], J.abs().mean(1))
    assert torch.allclose(found["linear_distance"] * found["l1_J"], found["S"])
    loss = indicator.jacobian(model, x, y, objective=indicator.cross_entropy).flatten(1)
    assert torch.allclose(found["loss_slope"], loss.abs().sum(1))
    assert torch.equal(found["curvature"], indicator.curvature_at_scale(model, x, y, h=0.3))
    assert torch.allclose(found["logit_scale"], model(x).std(1))
    assert set(found) >= set(predictors.POINTWISE) - {"clever"}


def test_whole_hessians_of_a_quadratic_are_its_matrix_and_eq_9_has_its_root():
    Q = torch.diag(torch.linspace(-2, 3, 16, dtype=torch.float64))
    b = torch.full((16,), 4.0, dtype=torch.float64)
    model, x = Quadratic(Q, b), images(2)
    y = torch.zeros(2, dtype=torch.long)
    found = predictors.bends(model, x, y, [0.1, 0.2], 10.0)
    assert found["bend"][0] == pytest.approx(float(Q.diag().abs().mean())) and found["top_bend"][1] == pytest.approx(3)
    J = (x.flatten(1) @ Q + b).abs().sum(1)
    # the sum of the entries is less than d times the largest eigenvalue
    most = float(Q.abs().sum())
    assert found["bound"] == pytest.approx([float(eps * J.mean()) + eps**2 / 2 * most for eps in (0.1, 0.2)])
    S = (x.flatten(1) @ Q * x.flatten(1)).sum(1) / 2 + x.flatten(1) @ b
    roots = sorted(predictors.reached(float(s), float(j), most) for s, j in zip(S, J, strict=True))
    assert found["bound_distance"][0] == pytest.approx(roots[0])
    eps = roots[0]
    assert any(eps * float(j) + eps**2 / 2 * most == pytest.approx(float(s)) for s, j in zip(S, J, strict=True))


def test_a_network_of_relus_is_asked_as_its_smooth_copy_and_a_smooth_one_as_it_is():
    model, x = relu_network(), images(2)
    y = labels_of(model, x)
    assert predictors.bends(model, x, y, [0.1], 5.0)["bend"][0] > 0
    smooth, z = smooth_network(), images(2, (1, 8, 8), dtype=torch.float32)
    y = labels_of(smooth, z)
    found = [predictors.bends(smooth, z, y, [0.1], beta) for beta in (1.0, 100.0)]
    assert found[0] == found[1] and found[0]["bend"][0] > 0


def test_a_network_that_is_wrong_on_every_image_has_no_distances():
    model, x = relu_network(), images(4)
    y = (labels_of(model, x) + 1) % 4
    found = predictors.predictors(model, x, y, eps=[0.1], effort=EFFORT)
    lacking = {name for name, (value,) in found.items() if math.isnan(value)}
    assert lacking == {"linear_distance", "bound_distance", "clever"} and found["clean"] == [0.0]


def test_the_same_seed_gives_the_same_numbers():
    model, x = relu_network(), images(5)
    y = labels_of(model, x)
    first, again, other = (predictors.predictors(model, x, y, eps=[0.1], effort=EFFORT, seed=k) for k in (1, 1, 2))
    assert first == again and first["sharpness"] != other["sharpness"] and first["mean_J"] == other["mean_J"]


def test_no_slope_and_no_bend_never_reach_the_margin():
    assert predictors.reached(1.0, 0.0, 0.0) == math.inf
    # a bend so small that the textbook's root would cancel
    assert predictors.reached(1.0, 2.0, 1e-18) == pytest.approx(0.5)
