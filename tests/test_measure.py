"""Every measure against a surface whose number is known by hand, and the averages against theirs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import Quadratic, batchnorm_network, images, labels_of, linear, relu_network

from paperlib import intervals, panels, surface
from paperlib.intervals import accuracy
from paperlib.measures import shapes
from paperlib.measures import surfaces as surfaces_measures
from paperlib.objective import cross_entropy, decision

ALPHA, BETA = np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
A, B = np.meshgrid(ALPHA, BETA)


# Measures of one surface, on a grid that is not square.


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
    assert surfaces_measures.samples(["intact"], np.stack([inside, outside]), axis, 1.0)["intact"].tolist() == [0, 100]


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
    assert shapes.blank(half + 0.02 * A, ALPHA, BETA, below=0.1) == pytest.approx(100 * 4 / 9)


def test_the_loss_is_blank_where_the_margin_is_large_and_the_decision_surface_is_not():
    S = 12 + 10 * A
    loss = np.log1p(9 * np.exp(-S))
    assert shapes.blank(loss, ALPHA, BETA) > 40
    assert shapes.blank(S, ALPHA, BETA) == 0


def test_rank_correlation():
    x = np.array([3.0, 1.0, 2.0, 5.0])
    assert intervals.rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert intervals.rank_correlation(x, -(x**3)) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert intervals.rank_correlation(np.array([0.0, 1, 1, 2]), np.arange(4.0)) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(intervals.rank_correlation(np.ones(4), x))


def test_a_grid_without_the_origin_is_refused():
    sentence = r"the grid's nearest point to \(0, 0\) is 0.25 away; allowed are grids that hold it"
    with pytest.raises(ValueError, match=sentence):
        shapes.rise(A[:4], ALPHA, BETA[:4] + 0.25)
    with pytest.raises(ValueError, match="t is 3; allowed are -2 to 2"):
        shapes.along_alpha(A, ALPHA, BETA, 3)
    with pytest.raises(ValueError, match="eps is -1; allowed is a number of at least 0"):
        shapes.inside(ALPHA, BETA, -1)


# Averages.


def test_an_interval_is_in_percent_unless_a_unit_is_named():
    values = [10.0, 20.0, 60.0]
    found = intervals.interval(values)
    assert found["mean"] == pytest.approx(30) and found["n"] == 3 and "unit" not in found
    assert found["low"] <= 30 <= found["high"]
    assert intervals.interval(values, "nats", how="median") | {"low": 0, "high": 0} == {
        "mean": 20.0, "low": 0, "high": 0, "n": 3, "unit": "nats"
    }  # fmt: skip
    with pytest.raises(ValueError, match="how is 'mode'; allowed are mean, median"):
        intervals.interval(values, how="mode")


def test_a_share_of_flags_has_wilsons_interval():
    flags = np.array([100.0] * 50)
    assert intervals.interval(flags) == accuracy(torch.ones(50, dtype=torch.bool))
    assert intervals.interval(100 - flags) == accuracy(torch.zeros(50, dtype=torch.bool))
    # shares of each image's pixels are no flags
    assert intervals.interval(flags / 2)["high"] == 50.0


def test_a_ratio_of_paired_samples_is_exact_where_every_image_has_it():
    a = np.array([1.0, 5.0, 9.0, 2.0])
    for how in ("mean", "median", "geometric"):
        found = intervals.ratio(2 * a, a, how=how)
        assert (found["mean"], found["low"], found["high"]) == pytest.approx((2, 2, 2))
        assert found["n"] == 4 and found["unit"] == "×"


def test_ratios_of_means_medians_and_geometric_means():
    a, b = np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 2.0])
    assert intervals.ratio(a, b)["mean"] == pytest.approx(4 / (8 / 3))
    assert intervals.ratio(a, b, how="median")["mean"] == pytest.approx(1)
    assert intervals.ratio(a, b, how="geometric")["mean"] == pytest.approx((0.5 * 0.5 * 4.5) ** (1 / 3))
    unpaired = intervals.ratio(np.ones(5), np.array([1.0, 3.0]))
    assert unpaired["mean"] == 0.5 and unpaired["n"] == 2
    assert (unpaired["low"], unpaired["high"]) == pytest.approx((1 / 3, 1))


def test_a_ratio_without_a_positive_divisor_is_no_number():
    assert intervals.ratio(np.ones(3), np.array([1.0, -1.0, 0.0])) is None
    assert intervals.ratio(np.ones(3), np.zeros(3), how="median") is None
    assert intervals.ratio(np.array([1.0, -1.0]), np.ones(2), how="geometric") is None
    with pytest.raises(ValueError, match="how is 'sum'; allowed are mean, median, geometric"):
        intervals.ratio(np.ones(2), np.ones(2), how="sum")
    with pytest.raises(ValueError, match="ratio has an empty sample; allowed is at least one value each"):
        intervals.ratio(np.ones(0), np.ones(2))


def test_the_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = [(rng.lognormal(0.7, 0.4, 60), rng.lognormal(0, 0.4, 60)) for _ in range(200)]
    found = [intervals.ratio(a, b, resamples=400) for a, b in draws]
    covered = np.mean([one["low"] <= math.exp(0.7) <= one["high"] for one in found])
    assert 0.88 <= covered <= 0.99


def test_flags_are_compared_image_by_image():
    first, second = torch.tensor([True, True, True, False]), torch.tensor([True, False, False, False])
    found = intervals.paired_flags(first, second)
    assert found["mean"] == 50 and found["unit"] == "points" and found["n"] == 4
    assert found["low"] < 50 < found["high"]


def test_distances_beyond_the_reach_are_words():
    t = np.array([1.0, 2.0, 3.0, 4.0, np.inf, np.inf, np.inf, np.inf])
    found = intervals.distances(t, reach=16, unit="px")
    assert found["reached"]["mean"] == 50
    assert found["q25"] == 2.0
    assert found["median"]["mean"] == 4.0 and found["median"]["high"] == 16 and found["median"]["unit"] == "px"
    assert found["q75"] == "> 16 px"
    assert intervals.distances(np.full(3, np.inf), reach=16, unit="px")["median"] == "> 16 px"


def test_accuracies_of_one_and_of_two_networks():
    right, wrong = torch.ones(10, dtype=torch.bool), torch.zeros(10, dtype=torch.bool)
    one = surfaces_measures.accuracies({"natural": right}, {})
    assert one.keys() == {"clean"} and one["clean"]["mean"] == 100
    two = surfaces_measures.accuracies({"natural": right, "ours": right}, {"natural": wrong, "ours": right})
    assert two["natural"]["attacked"]["mean"] == 0 and two["ours"]["attacked"]["mean"] == 100
    assert two["paired"]["attacked"]["mean"] == 100 and two["paired"]["clean"]["mean"] == 0


def test_comparisons_are_what_their_names_say():
    taken = {
        "natural": {"relative_drop": np.array([2.0, 4.0, 6.0]), "plateau": np.array([50.0, 60.0, 70.0])},
        "ours": {"relative_drop": np.array([1.0, 2.0, 3.0]), "plateau": np.array([60.0, 80.0, 100.0])},
    }
    compare = {"ratio/relative_drop": ["natural", "ours"], "paired/plateau": ["ours", "natural"]}
    found = surfaces_measures.compared(compare, taken, reach=10, unit="px")
    assert found["ratio"]["relative_drop"]["mean"] == 2
    assert found["paired"]["plateau"]["mean"] == 20 and found["paired"]["plateau"]["unit"] == "points"


def test_a_boundary_that_was_not_reached_counts_as_the_reach():
    taken = {"a": {"distance": np.array([2.0, np.inf])}, "b": {"distance": np.array([1.0, 4.0])}}
    found = surfaces_measures.compared({"paired/distance": ["a", "b"]}, taken, reach=10, unit="px")
    assert found["paired"]["distance"]["mean"] == pytest.approx((1 + 6) / 2)
    assert found["paired"]["distance"]["unit"] == "px"


@pytest.mark.parametrize(("compare", "sentence"), [
    ({"sum/rise": ["a", "a"]}, "compare holds 'sum/rise'; allowed are ratio/..., paired/..."),
    ({"ratio/slope": ["a", "a"]}, "compare asks for slope of 'a'; taken are a: rise"),
    ({"ratio/rise": ["a", "b"]}, "compare asks for rise of 'b'; taken are a: rise"),
])  # fmt: skip
def test_comparisons_of_what_was_not_taken_are_refused(compare, sentence):
    with pytest.raises(ValueError, match=sentence):
        surfaces_measures.compared(compare, {"a": {"rise": np.ones(3)}}, reach=1, unit="px")


def test_a_ratio_that_does_not_exist_is_left_out():
    found = surfaces_measures.compared({"ratio/rise": ["a", "b"]}, {"a": {"rise": np.ones(3)}, "b": {"rise": -np.ones(3)}},
                             reach=1, unit="px")  # fmt: skip
    assert found == {"ratio": {}}


def test_nested_joins_paths():
    assert surfaces_measures.nested({"a/b": {"c": 1}}, {"a": {"d": 2}, "e": 3}) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}


# Panels and their planes.


def test_panels_have_defaults_and_groups_take_the_first():
    shown = panels.panels([{}, {"role": "ours"}, {"role": "ours", "objective": "loss"}], ["natural", "ours"])
    assert [panel.role for panel in shown] == ["natural", "ours", "ours"]
    groups = panels.measured(shown, ["role", "direction"])
    assert list(groups) == ["natural/adversarial", "ours/adversarial"]
    assert groups["ours/adversarial"].objective == "decision"


@pytest.mark.parametrize(("entry", "sentence"), [
    ({"model": "ours"}, "panel field model is unknown; allowed are role, space, objective"),
    ({"role": "minmax"}, "panel field role is 'minmax'; allowed are natural, ours"),
    ({"space": "logit"}, "panel field space is 'logit'; allowed are input, parameter"),
    ({"direction": "up"}, "panel field direction is 'up'; allowed are random, adversarial"),
    ({"climbs": "S"}, "panel field climbs is 'S'; allowed are cross_entropy, least_likely, cw"),
])  # fmt: skip
def test_wrong_panels_are_refused(entry, sentence):
    with pytest.raises(ValueError, match=sentence):
        panels.panels([entry], ["natural", "ours"])


def test_axes_hold_zero():
    assert surfaces_measures.grid_axis(2, 5).tolist() == [-2, -1, 0, 1, 2]
    with pytest.raises(ValueError, match="steps is 4; allowed are odd numbers from 3, so that 0 is on the grid"):
        surfaces_measures.grid_axis(2, 4)
    with pytest.raises(ValueError, match="extent is 0; allowed is a positive number"):
        surfaces_measures.grid_axis(0, 5)


def drawn(model, x, y, *, unit: float = 0.01, **fields):
    panel = panels.Panel("natural", **fields)
    return surfaces_measures.planes(panel, model, x, y, axis=surfaces_measures.grid_axis(2, 5), unit=unit, seed=3)


def test_a_linear_network_has_the_surface_that_one_computes_by_hand():
    W = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model, x = linear(W), images(3)
    y = labels_of(model, x)
    found = drawn(model, x, y)
    J = torch.where(y == 0, 1.0, -1.0)[:, None] * (W[0] - W[1])
    S0 = (J * x.flatten(1)).sum(1)
    axis = 0.01 * np.linspace(-2, 2, 5)
    for i in range(3):
        assert torch.equal(found.u[i].flatten(), -J[i].sign())
        # S falls by |J|_1 a step along alpha; along beta by what v has in common with J
        expected = float(S0[i]) - axis * float(J[i].abs().sum())
        assert found.values[i][2] == pytest.approx(expected)
    distance = surfaces_measures.boundary(model, x, y, found.u, unit=0.01, reach=50)
    exact = S0 / J.abs().sum(1) / 0.01
    inside = exact < 10  # not yet clipped to [0, 1]
    assert inside.any() and distance[inside] == pytest.approx(exact[inside].numpy(), rel=2e-3)


def test_a_quadratic_network_is_smooth_and_a_network_of_relus_is_not():
    Q = torch.diag(torch.linspace(-1, 1, 16, dtype=torch.float64))
    x, y = images(2), torch.zeros(2, dtype=torch.long)
    smooth = drawn(Quadratic(Q, torch.ones(16, dtype=torch.float64)), x, y, unit=0.05).values
    axis = surfaces_measures.grid_axis(2, 5)
    assert shapes.roughness(smooth, axis, axis) == pytest.approx([0, 0], abs=1e-9)
    model = relu_network()
    rough = drawn(model, x, labels_of(model, x), unit=0.1).values
    assert (shapes.roughness(rough, axis, axis) > 1e-4).all()


def test_compared_networks_share_their_random_directions():
    x, y = images(2), torch.zeros(2, dtype=torch.long)
    first, second = (drawn(relu_network(seed), x, y, direction="random") for seed in (1, 2))
    assert torch.equal(first.u, second.u)
    assert not np.allclose(first.values, second.values)
    assert not torch.equal(first.u, drawn(relu_network(1), x, y, direction="random", seed=1).u)


def test_every_plane_has_two_orthogonal_directions_of_one_norm():
    model, x = relu_network(), images(5)
    y = labels_of(model, x)
    for direction in surface.DIRECTIONS:
        g = torch.Generator().manual_seed(0)
        u, v = (t.flatten(1) for t in surface.input_plane(model, x, y, direction=direction, generator=g))
        assert u.norm(dim=1).tolist() == pytest.approx([4] * 5) and v.norm(dim=1).tolist() == pytest.approx([4] * 5)
        assert (u * v).sum(1).tolist() == pytest.approx([0] * 5, abs=1e-9)
        assert set(u.unique().tolist()) == {-1, 1}


def test_where_a_gradient_is_zero_the_direction_takes_a_random_sign():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, :4] = 1
    u, _ = surface.input_plane(linear(W), images(1), torch.zeros(1, dtype=torch.long), direction="adversarial",
                               generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert u.flatten()[:4].tolist() == [-1] * 4
    assert u.flatten()[4:].abs().tolist() == [1] * 12 and 0 < (u.flatten()[4:] > 0).sum() < 12


def test_many_surfaces_at_once_are_those_one_by_one():
    model, x = relu_network(), images(3)
    y = labels_of(model, x)
    u, v = surface.input_plane(model, x, y, direction="random", generator=torch.Generator().manual_seed(0))
    alpha, beta = np.linspace(-0.3, 0.5, 5), np.linspace(-0.2, 0.9, 4)
    for batch in (1, 7, 1000):
        found = surface.surfaces(model, x, y, u, v, objective=decision, alpha=alpha, beta=beta, batch=batch)
        assert found.shape == (3, 4, 5)
        for i in range(3):
            f = surface.input_function(model, int(y[i]), decision)
            one = surface.surface(f, x[i], u[i], v[i], alpha=alpha, beta=beta, clip=(0, 1))
            assert found[i] == pytest.approx(one.values)


def test_a_plane_in_parameter_space_goes_through_the_loss_and_leaves_the_weights():
    model, x = batchnorm_network(), images(6).float()
    y = torch.arange(6) % 4
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    panel = panels.Panel("natural", space="parameter", objective="loss")
    axis = surfaces_measures.grid_axis(1, 5)
    found = surfaces_measures.planes(panel, model, x, y, axis=axis, unit=1.0, seed=0, pairs=3)
    assert found.values.shape == (3, 5, 5) and found.u is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with surface.evaluating(model), torch.no_grad():
        loss = float(cross_entropy(model(x), y).mean())
    assert shapes.origin(found.values, axis, axis) == pytest.approx([loss] * 3, rel=1e-6)
    assert not np.allclose(found.values[0], found.values[1])


def test_samples_are_named_and_unknown_names_refused():
    values = np.stack([3 - A, 1 - A])
    found = surfaces_measures.samples(["plateau", "relative_drop"], values[:, :, 2:7], ALPHA[2:7], 1.0)
    assert found["relative_drop"] == pytest.approx([1 / 3, 1])
    with pytest.raises(ValueError, match="measures holds height; allowed are distance, plateau"):
        surfaces_measures.samples(["height"], values, ALPHA, 1.0)


def test_summaries_say_how_they_average():
    taken = {"relative_drop": np.array([0.1, 0.2, 30.0]), "plateau": np.array([10.0, 20.0, 60.0])}
    found = surfaces_measures.summary(taken | {"distance": np.array([1.0, 2.0, np.inf])}, reach=8, unit="px")
    assert found["relative_drop"]["mean"] == 0.2 and found["relative_drop"]["unit"] == ""
    assert found["plateau"]["mean"] == pytest.approx(30) and "unit" not in found["plateau"]
    assert found["distance"]["median"]["mean"] == 2


def test_a_picture_holds_what_the_network_sees():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0], W[1] = 1, -1
    model = linear(W, torch.tensor([-8.0, 8.0], dtype=torch.float64))
    x = torch.full((1, 1, 4, 4), 0.6, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.long)
    axis = surfaces_measures.grid_axis(2, 3)
    found = surfaces_measures.picture(model, x, y, drawn(model, x, y), axis, eps=0.2)
    assert found["label"].tolist() == [0, 0, 1]
    assert found["image"].shape == found["u"].shape == (1, 4, 4) and (found["u"] == -1).all()


def test_the_typical_image_has_the_median_margin():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, 0] = 1
    x = torch.zeros(5, 1, 4, 4, dtype=torch.float64)
    x[:, 0, 0, 0] = torch.tensor([0.9, 0.1, 0.45, 0.8, 0.5])
    y = torch.zeros(5, dtype=torch.long)
    model, index = linear(W), torch.tensor([0, 1, 3, 4])
    found = surfaces_measures.images_drawn(model, x, y, index)
    assert found[0] == 4 and sorted(found.tolist()) == index.tolist()
    assert surfaces_measures.images_drawn(model, x, y, index, image=2).tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="image is 5; allowed are 0 to 4, or -1 for a typical one"):
        surfaces_measures.images_drawn(model, x, y, index, image=5)
    with pytest.raises(ValueError, match="index is empty: there is no image that every network classifies rightly"):
        surfaces_measures.images_drawn(model, x, y, index[:0])


def test_attacked_images_were_right_and_stay_right():
    model, x = relu_network(), images(40)
    y = labels_of(model, x)
    y[:4] = (y[:4] + 1) % 4
    clean = {"a": labels_of(model, x) == y}
    none = surfaces_measures.unbroken({"a": model}, x, y, clean, eps=1e-9, steps=2, seed=0)["a"]
    assert torch.equal(none, clean["a"])
    some = surfaces_measures.unbroken({"a": model}, x, y, clean, eps=0.1, steps=5, seed=0)["a"]
    assert not (some & ~clean["a"]).any() and 0 < some.sum() < clean["a"].sum()
    again = surfaces_measures.unbroken({"a": model}, x, y, clean, eps=0.1, steps=5, seed=0)["a"]
    assert torch.equal(some, again)


def test_indicators_of_a_linear_network():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, 0], W[1, 1] = 3, 4
    model, x = linear(W), images(3)
    found = surfaces_measures.indicators(model, x, torch.zeros(3, dtype=torch.long), h=0.1)
    assert found["jacobian_norm"] == pytest.approx([5] * 3)
    assert found["curvature"] == pytest.approx([0] * 3, abs=1e-9)
    p = model(x).softmax(1).detach()[:, 0].numpy()
    # A^T (diag p - p p^T) A is p (1 - p) J J^T
    assert found["hessian_ce_norm"] == pytest.approx(25 * p * (1 - p))


def test_the_toy_of_ten_logits():
    found = surfaces_measures.toy()
    assert found["margin"] == pytest.approx(list(range(-9, 10, 2)))
    assert found["loss"] == pytest.approx([math.log(1 + 9 * math.exp(-m)) for m in found["margin"]])
    assert found["blank_from"] == pytest.approx(5)
    assert "blank_from" not in surfaces_measures.toy(largest=0.5, count=3)
