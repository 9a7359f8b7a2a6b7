"""Every measure of a surface against one whose number is known by hand, on a grid that is not square."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperlib.measures import shapes

ALPHA, BETA = np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
A, B = np.meshgrid(ALPHA, BETA)


def test_the_square_and_the_section_of_the_ball():
    square = shapes.inside(ALPHA, BETA, 1.0)
    ball = shapes.inside(ALPHA, BETA, 1.0, ball=True)
    assert square.shape == (5, 9)
    assert square.sum() == 25 and ball.sum() == 13
    assert ball[0, 4] and ball[2, 2] and not ball[0, 2]
    assert shapes.inside(ALPHA, BETA, math.inf).all()


def test_grid_points_one_rounding_error_outside_belong_to_the_square():
    axis = 0.1 * np.arange(-3, 4)
    assert axis[-1] > 0.3
    assert shapes.inside(axis, axis, 0.3).all()


def test_plateau_is_the_share_above_zero():
    S = np.stack([A - 0.25, np.ones_like(A), -np.ones_like(A)])
    assert shapes.plateau(S, ALPHA, BETA).tolist() == [pytest.approx(400 / 9), 100, 0]
    assert shapes.plateau(S, ALPHA, BETA, 1.0)[0] == pytest.approx(40)
    assert shapes.plateau(S, ALPHA, BETA, 1.0, ball=True)[0] == pytest.approx(100 * 4 / 13)


def test_intact_asks_for_the_whole_section_of_the_ball_and_no_more():
    inside, outside = np.ones((5, 5)), np.ones((5, 5))
    inside[2, 4], outside[0, 0] = -1, -1
    axis = np.linspace(-1, 1, 5)
    assert shapes.intact(np.stack([inside, outside]), axis, axis, 1.0).tolist() == [0, 100]


def test_the_slope_of_an_affine_surface_is_its_gradient():
    S = 5 - 3 * A + 4 * B
    assert shapes.slope(S, ALPHA, BETA) == pytest.approx(5)
    assert shapes.slope(S, ALPHA, BETA, 1.0) == pytest.approx(5)
    assert shapes.slope(S[None], 10 * ALPHA, 10 * BETA) == pytest.approx([0.5])


def test_slope_counts_the_square_alone():
    S = np.where(np.abs(A) > 1.6, 100.0, 1.0)
    assert shapes.slope(S, ALPHA, BETA, 1.0) == 0
    assert shapes.slope(S, ALPHA, BETA) > 0


def test_relative_drop_of_an_affine_surface():
    S = np.stack([2 - A, 2 - 0.5 * A + B, 4 + A])
    assert shapes.relative_drop(S, ALPHA, BETA, 2.0) == pytest.approx([1.0, 0.5, -0.5])
    # between two grid points
    assert shapes.relative_drop(S, ALPHA, BETA, 1.25) == pytest.approx([0.625, 0.3125, -0.3125])


@pytest.mark.parametrize("t", [-2.0, -0.1, 0.0, 0.3, 2.0])
def test_along_alpha_reads_the_middle_row(t):
    assert shapes.along_alpha(3 * A + 10 * B, ALPHA, BETA, t) == pytest.approx(3 * t)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([1.0, 0.5, 0.0], 5.0), ([2.0, 4.0, 2.0], 10.0), ([3.0, 3.0, 3.0], 0.0),
        ([1.0, -1.0, -9.0], 20.0),  # ten lines in half a step; what lies behind the boundary does not count
        ([1.0, 2.0, -2.0], 20.0),  # ten up, twenty down in half a step
        ([1.0, -1.0, 5.0], 20.0), ([1.0, 0.0, 4.0], 10.0),
    ],
)  # fmt: skip
def test_contours_count_the_lines_crossed_per_step_to_the_boundary(line, expected):
    several = np.array([line, [1.0, 0.9, 0.8]])
    assert shapes.contours(several, np.array([0.0, 1.0, 2.0])) == pytest.approx([expected, 1.0])


def test_contours_agree_with_counting_lines():
    t = np.linspace(0, 3, 400)
    S = 2 - 0.3 * t + 0.4 * np.sin(5 * t)
    spacing = abs(S[0]) / 10
    offsets = np.linspace(0, 1, 200, endpoint=False)
    counted = [np.abs(np.diff(np.floor(S / spacing + offset))).sum() / 3 for offset in offsets]
    assert shapes.contours(S, t) == pytest.approx(np.mean(counted), rel=1e-3)


def test_rise_is_the_mean_above_the_origin():
    values = 7 + A**2
    assert shapes.rise(values, ALPHA, BETA) == pytest.approx(np.mean(ALPHA**2))
    assert shapes.rise(values, ALPHA, BETA, 0.5) == pytest.approx((2 * 0.25) / 3)
    assert shapes.rise(7 - values, ALPHA, BETA) < 0


def test_a_quadratic_is_smooth_and_anything_else_is_rougher():
    bowl = 3 + A - 2 * B + A**2 - 4 * A * B + 0.5 * B**2
    four = np.stack([bowl, np.full_like(bowl, 7.0), bowl + A**3, np.sign(A) * np.sign(B)])
    found = shapes.roughness(four, ALPHA, BETA)
    assert found[:2] == pytest.approx([0, 0], abs=1e-12)
    assert 0 < found[2] < found[3] < 1


def test_roughness_of_a_cubic_by_hand():
    axis = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    a, _ = np.meshgrid(axis, axis)
    # the best quadratic for a^3 on these points is 3.4 a, which leaves 14.4 of 130
    assert shapes.roughness(a**3, axis, axis) == pytest.approx(14.4 / 130)


@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_roughness_and_blankness_do_not_see_the_unit(scale, shift):
    values = np.sin(3 * A) + np.exp(B)
    other = scale * values + shift
    assert shapes.roughness(other, ALPHA, BETA) == pytest.approx(shapes.roughness(values, ALPHA, BETA), abs=1e-6)
    assert shapes.blank(other, 3 * ALPHA, 3 * BETA) == pytest.approx(shapes.blank(values, ALPHA, BETA))


def test_blank_is_the_share_that_hardly_slopes():
    half = np.where(A > 0, A, 0.0)
    # flat for alpha <= -0.5; central differences see the slope from 0 on
    assert shapes.blank(half, ALPHA, BETA) == pytest.approx(100 * 4 / 9)
    assert shapes.blank(np.zeros_like(A), ALPHA, BETA) == 100
    assert shapes.blank(A + B, ALPHA, BETA) == 0
    assert shapes.blank(half + 0.02 * A, ALPHA, BETA) == 0
    assert shapes.blank(half + 0.002 * A, ALPHA, BETA) == pytest.approx(100 * 4 / 9)


def test_the_loss_is_blank_where_the_margin_is_large_and_the_decision_surface_is_not():
    S = 12 + 10 * A
    loss = np.log1p(9 * np.exp(-S))
    assert shapes.blank(loss, ALPHA, BETA) > 40
    assert shapes.blank(S, ALPHA, BETA) == 0


def test_a_grid_without_the_origin_is_refused():
    sentence = r"the grid's nearest point to \(0, 0\) is 0.25 away; allowed are grids that hold it"
    with pytest.raises(ValueError, match=sentence):
        shapes.rise(A[:4], ALPHA, BETA[:4] + 0.25)
    with pytest.raises(ValueError, match="t is 3; allowed are -2 to 2"):
        shapes.along_alpha(A, ALPHA, BETA, 3)
    with pytest.raises(ValueError, match="eps is -1; allowed is a number of at least 0"):
        shapes.inside(ALPHA, BETA, -1)
