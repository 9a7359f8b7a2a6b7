"""A slice of S, its derivatives and its circle against curves known by hand, and the picture of them."""

import math

import numpy as np
import pytest
import torch
from toys import Quadratic, images, linear

from figures.quarters import texts, trained, written
from paperlib import indicator
from paperlib.drawings import curvature as drawings
from paperlib.measures import curvature as measures
from paperlib.record import Record


def affine(d: int = 16, classes: int = 3, seed: int = 0):
    W = torch.randn(classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return linear(W)


def test_slice_derivatives_of_a_quadratic():
    Q = torch.tensor([[2.0, 0.5], [0.5, -1.0]], dtype=torch.float64)
    b, x, v = (torch.tensor(t, dtype=torch.float64) for t in ([1.0, -2.0], [0.3, 0.4], [1.0, -1.0]))
    t = torch.tensor([-0.1, 0.0, 0.2], dtype=torch.float64)
    found = indicator.slice_derivatives(Quadratic(Q, b), x.view(1, 1, 2), 0, v.view(1, 1, 2), t)
    points = x + t[:, None] * v
    assert torch.allclose(found[0], ((points @ Q) * points).sum(1) / 2 + points @ b)
    assert torch.allclose(found[1], (points @ Q + b) @ v)
    assert torch.allclose(found[2], torch.full((3,), float(v @ Q @ v), dtype=torch.float64))


def test_slice_of_an_affine_network_does_not_bend():
    model = affine()
    x = images(n=1)
    t = torch.zeros(2, dtype=torch.float64)
    _, _, second = indicator.slice_derivatives(model, x[0], 0, torch.ones_like(x[0]), t)
    assert second.tolist() == [0, 0]


@pytest.mark.parametrize("angle", [-2.0, -1.0, 0.7])
def test_osculating_circle_of_a_circle_is_itself(angle):
    # the lower half of the circle with radius 2 about (1, 3)
    t, value = 1 + 2 * math.cos(angle), 3 - 2 * abs(math.sin(angle))
    slope = (t - 1) / (3 - value)
    second = 4 / (3 - value) ** 3
    assert indicator.osculating_circle(t, value, slope, second) == pytest.approx((1, 3, 2))


def test_a_straight_slice_has_no_circle():
    with pytest.raises(ValueError, match="second is 0; allowed is a graph that bends"):
        indicator.osculating_circle(0.0, 0.0, 1.0, 0)


def test_three_points_of_a_circle_and_of_a_line():
    angles = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    points = 1 + 4 * torch.stack([angles.cos(), angles.sin()], dim=1)
    assert indicator.three_point_curvature(points) == pytest.approx(1 / 4)
    assert indicator.three_point_curvature(torch.tensor([[0.0, 0], [1, 2], [3, 6]])) == 0


def test_kinks_are_found_where_the_slope_jumps():
    t = torch.linspace(-1, 1, 101, dtype=torch.float64)
    bend = indicator.free_of_kinks(t, 2 * t, torch.full_like(t, 2.0))
    assert bend[5:-5].all() and not bend[:5].any() and not bend[-5:].any()
    kinked = indicator.free_of_kinks(t, 2 * t + (t > 0).double(), torch.full_like(t, 2.0))
    assert torch.equal(bend & ~kinked, (t > -0.09) & (t < 0.11))


def parabola(point: float | None) -> tuple[dict, tuple[float, float, float]]:
    """The numbers of S = t^2 from -2 to 2, drawn in units of 2 and of 2."""
    t = torch.linspace(-2, 2, 401, dtype=torch.float64)
    found = measures.Slice(torch.ones(1, 2, 2), t, t**2, 2 * t, torch.full_like(t, 2.0), t**2)
    return measures.touching(found, extent=2.0, point=point)


def test_the_circle_touches_where_the_curve_bends_most():
    values, circle = parabola(None)
    assert values["point"] == pytest.approx({"alpha": 0, "S": 0}) and values["unit"] == {"alpha": 2.0, "S": 2.0}
    # in these units the curve is S = 2 t^2
    assert (values["second"], values["curvature"], values["radius"]) == pytest.approx((4, 4, 0.25))
    assert circle == pytest.approx((0, 0.25, 0.25)) and values["unscaled"]["second"] == 2
    assert values["curvature_numeric"] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize(("point", "alpha"), [(0.5, 1.0), (-1.0, -1.99), (1.0, 1.99)])
def test_a_point_that_is_asked_for_is_taken_and_never_an_end(point, alpha):
    values, circle = parabola(point)
    assert values["point"]["alpha"] == pytest.approx(alpha) and values["slope"] == pytest.approx(2 * alpha)
    place = alpha / 2, alpha**2 / 2
    assert math.dist(circle[:2], place) == pytest.approx(circle[2])


SETTINGS = {"image": 1, "beta": 2.0, "extent": 0.3, "steps": 41, "point": None}


def test_the_picture_is_drawn_from_the_record_alone():
    networks = {"natural": trained(0)}
    found = measures.measure(networks, **SETTINGS, device="cpu")
    record = written(found, SETTINGS, networks)
    assert np.array_equal(record.arrays["image"], trained(0).dataset.test.x[1].numpy())
    assert record.arrays["S"][20] > 0 and record.arrays["S_relu"].shape == (41,)
    assert record.values["radius"] * record.values["curvature"] == pytest.approx(1)
    said = texts(drawings.osculating(record))
    assert "one unit is 0.3 per pixel" in said and f"R = {record.values['radius']:.2f}" in said


def test_osculating_circle_is_drawn_as_a_circle():
    t = np.linspace(-1, 1, 21)
    values = {"slope": 0.0, "point": {"alpha": 0.0, "S": 0.0}, "unit": {"alpha": 1.0, "S": 1.0}}
    circle = np.array(indicator.osculating_circle(0.0, 0.0, 0.0, 2.0))
    arrays = {"t": t, "S": t**2, "S_relu": abs(t), "circle": circle}
    figure = drawings.osculating(Record("toy", "smoke", {}, {}, {}, values, {}, arrays))
    (circle,) = figure.axes[0].patches
    assert (circle.center, circle.radius) == ((0, 0.5), 0.5) and figure.axes[0].get_aspect() == 1
    assert "R = 0.50" in texts(figure)


def test_both_curves_lie_in_the_frame():
    t = np.linspace(-1, 1, 21)
    values = {"slope": 0.0, "point": {"alpha": 0.0, "S": 0.0}, "unit": {"alpha": 1.0, "S": 1.0}}
    arrays = {"t": t, "S": t**2, "S_relu": 3 * abs(t) - 1, "circle": np.array([0.0, 0.5, 0.5])}
    low, high = drawings.osculating(Record("toy", "smoke", {}, {}, {}, values, {}, arrays)).axes[0].get_ylim()
    assert low < -1 and high > 2
