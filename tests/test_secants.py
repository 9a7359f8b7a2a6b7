"""Curvature over a length, the spectrum of the cross-entropy's Hessian, and common thresholds against closed forms."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import Quadratic, images, labels_of, linear, relu_network, seeded

from paperlib import indicator, secants


def quadratic(d: int = 16) -> Quadratic:
    Q = torch.randn(d, d, generator=seeded(), dtype=torch.float64)
    return Quadratic(Q + Q.T, torch.randn(d, generator=seeded(1), dtype=torch.float64))


@pytest.mark.parametrize("h", [1e-4, 0.01, 0.3])
def test_a_quadratic_bends_by_its_hessian_over_every_length(h):
    model, x = quadratic(), images(n=3)
    y = torch.zeros(3, dtype=torch.long)
    v = torch.randn(x.shape, generator=seeded(2), dtype=x.dtype)
    unit = v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True)
    expected = (unit @ model.Q).norm(dim=1)
    assert torch.allclose(secants.slope_change(model, x, y, h * v), expected, rtol=1e-6)
    assert torch.allclose(secants.hessian_at_scale(model, x[0], 0, h=h), model.Q, rtol=1e-6, atol=1e-6)


def test_a_step_of_the_curvature_at_scale_is_that_of_the_indicator():
    model, x = relu_network(), images(n=4)
    y = labels_of(model, x)
    v = indicator.jacobian(model, x, y).sign()
    step = 0.3 * v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(secants.slope_change(model, x, y, step), indicator.curvature_at_scale(model, x, y, h=0.3))


def test_one_relu_is_straight_on_either_side_of_its_kink_and_bends_by_its_jump_over_it():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        for layer, weight, bias in ((model[1], [[1.0]], [-0.5]), (model[3], [[3.0], [0.0]], [0.0, 0.0])):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
    # S = 3 max(x - 0.5, 0), whose slope jumps by 3
    x, y = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    changes = [float(secants.slope_change(model, x, y, torch.full_like(x, step))) for step in (0.05, 0.2, 0.5, -0.3)]
    assert changes == pytest.approx([0, 3 / 0.2, 3 / 0.5, 0]) and changes[0] == 0
    # a difference to either side sees the kink from further away
    assert [float(secants.hessian_at_scale(model, x[0], 0, h=h)) for h in (0.05, 0.2)] == pytest.approx([0, 3 / 0.4])


@pytest.mark.parametrize(("pool", "straight"), [(nn.MaxPool2d, False), (nn.AvgPool2d, True)])
def test_a_black_image_lies_on_kinks_of_max_pooling(pool, straight):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), pool(2), nn.Flatten(), nn.Linear(12, 4)]
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        model[0].bias.fill_(0.5)
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    y = labels_of(model, x)
    changes = [
        float(secants.slope_change(model, x, y, h * torch.rand(x.shape, generator=seeded(), dtype=x.dtype)))
        for h in (1e-9, 1e-6)
    ]
    # J jumps as far over a step of any length
    assert changes == [0, 0] if straight else changes[0] == pytest.approx(1e3 * changes[1], rel=1e-3) and changes[1] > 0


def test_a_step_of_no_length_changes_nothing():
    x = images(n=2)
    model = relu_network()
    assert secants.slope_change(model, x, labels_of(model, x), torch.zeros_like(x)).tolist() == [0, 0]


@pytest.mark.parametrize("model", [relu_network(), linear(torch.randn(5, 16, generator=seeded(), dtype=torch.float64))])
def test_spectrum_of_the_losss_hessian_without_the_matrix(model):
    x = images(n=3)
    found = secants.cross_entropy_spectrum(model, x)
    for image, falling in zip(x, found, strict=True):
        whole = indicator.spectrum(indicator.cross_entropy_hessian(model, image)).flip(0)
        assert torch.allclose(falling, whole[: len(falling)], rtol=1e-9, atol=1e-12)
        assert whole[len(falling) - 1 :].abs().max() < 1e-12 * whole[0]
        rank = np.linalg.matrix_rank(indicator.cross_entropy_hessian(model, image).numpy())
        assert rank == (falling > 1e-12 * falling[0]).sum() < len(falling)


def test_a_softmax_of_affine_logits_has_the_rank_of_its_classes_less_one():
    W = torch.randn(4, 16, generator=seeded(), dtype=torch.float64)
    assert np.linalg.matrix_rank(indicator.cross_entropy_hessian(linear(W), images(n=1)[0]).numpy()) == 3
    falling = secants.cross_entropy_spectrum(linear(W), images(n=6))
    assert ((falling > 1e-10 * falling[:, :1]).sum(1) == 3).all()
    # of two classes, p (1 - p) |w_1 - w_2|^2
    x = images(n=1)
    p = linear(W[:2])(x).softmax(1)[0, 0].detach()
    assert float(secants.cross_entropy_spectrum(linear(W[:2]), x)[0, 0]) == pytest.approx(
        float(p * (1 - p) * (W[0] - W[1]).square().sum())
    )


def test_a_network_that_looks_at_nothing_has_a_spectrum_of_zeros():
    found = secants.cross_entropy_spectrum(linear(torch.zeros(3, 16, dtype=torch.float64)), images(n=2))
    assert found.shape == (2, 3) and not found.any()


def test_shares_near_zero_rise_from_those_that_are_zero_to_all():
    found = secants.near_zero_shares(torch.tensor([0.0, -1e-3, 0.5, 2.0]))
    at = {threshold: found[np.abs(secants.THRESHOLDS / threshold - 1).argmin()] for threshold in (1e-12, 1e-2, 1.0, 1e4)}
    assert at == {1e-12: 25, 1e-2: 50, 1.0: 75, 1e4: 100} and (np.diff(found) >= 0).all()
    with pytest.raises(ValueError, match="values is empty; allowed is at least one number"):
        secants.near_zero_shares(torch.zeros(0))


def test_thresholds_hold_every_power_of_ten():
    powers = secants.THRESHOLDS[:: secants.FINENESS]
    assert np.allclose(powers, 10.0 ** np.arange(secants.LOWEST, secants.HIGHEST + 1), rtol=1e-12)


def test_a_common_threshold_serves_both_networks_as_well_as_one_can():
    rising = 100 * np.arange(len(secants.THRESHOLDS)) / (len(secants.THRESHOLDS) - 1)
    shares = {"natural": rising, "robust": (rising + 20).clip(max=100)}
    assert secants.common_threshold(shares, {"natural": 50.0, "robust": 70.0}) == (800, pytest.approx(0))
    # 30 apart and wanted 20 apart: each misses by 5
    assert secants.common_threshold(shares, {"natural": 45.0, "robust": 75.0}) == (800, pytest.approx(5))
    index, miss = secants.common_threshold(shares, {"natural": 52.0, "robust": 72.0}, every=secants.FINENESS)
    assert index == 800 and miss == pytest.approx(2)
    with pytest.raises(ValueError, match="wanted has natural; allowed are natural, robust, as in shares"):
        secants.common_threshold(shares, {"natural": 50.0})
