"""The numbers of the notebooks against networks whose slopes, distances and accuracies are known by hand."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from toys import Quadratic, images, labels_of, linear, relu_network

from paperlib import indicator, intervals
from paperlib.drawings import curvature
from paperlib.drawings import indicator as indicator_drawings
from paperlib.drawings import projections as projections_drawings
from paperlib.measures import indicator as indicator_measures
from paperlib.measures import projections as projections_measures
from paperlib.measures import robustness as robustness_measures
from paperlib.model import softened
from paperlib.numbers import formatted
from press.page import words


def affine(d: int = 16, classes: int = 3, seed: int = 0):
    W = torch.randn(classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return linear(W), W


# Jacobian and Hessian (Fig. 8).


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.1), (0.5, 0.2), (0.51, 0.3), (1.0, 0.4)])
def test_matching_threshold_is_the_smallest_that_gives_the_share(share, expected):
    values = torch.tensor([-0.3, 0.1, 0.4, -0.2])
    assert indicator.matching_threshold(values, share) == pytest.approx(expected)


def test_matched_shares_at_the_natural_threshold():
    natural, robust = torch.tensor([[1.0, -2.0, 3.0, 4.0]]), torch.tensor([[0.5, -0.5, 1.5, 9.0]])
    assert indicator_measures.matched(natural, robust, 50.0) == {"threshold": 2.0, "natural": 50.0, "robust": 75.0}


def test_noise_spreads_an_affine_s_by_the_norm_of_its_slope():
    model, _ = affine()
    x = images(n=5)
    y = labels_of(model, x)
    generator = torch.Generator().manual_seed(0)
    spread = indicator.noise_spread(model, x, y, size=1e-4, draws=4000, generator=generator)
    expected = 1e-4 / math.sqrt(3) * indicator.norms(indicator.jacobian(model, x, y))["l2"]
    assert torch.allclose(spread, expected, rtol=0.05)


def test_noise_ratios_of_affine_networks_are_the_ratio_of_their_norms():
    slopes = {"natural": torch.tensor([[3.0, 4.0]]), "robust": torch.tensor([[1.0, 0.0]])}
    J = {role: of.view(1, 1, 1, 2).repeat(4, 1, 1, 1) for role, of in slopes.items()}
    spread = {role: torch.full((4,), float(of.norm())) for role, of in slopes.items()}
    found = indicator_measures.noise_ratios(spread, J)
    assert [found[name]["mean"] for name in ("ratio", "ratio_norm", "ratio_of_ratios")] == pytest.approx([5, 5, 1])


def test_three_hessians_of_a_relu_network():
    model, x = relu_network(), images(n=2)
    y = labels_of(model, x)
    first, spectra = indicator_measures.hessians(model, softened(model, 2.0), x, y)
    assert not first["hessian_relu"].any() and not spectra["hessian_relu"].any()
    assert torch.equal(first["hessian"], indicator.hessian(softened(model, 2.0), x[0], int(y[0])))
    assert spectra["hessian"].shape == (2, 16) and spectra["hessian"].abs().max() > 0
    assert indicator_measures.rank(spectra["hessian_ce"]) == 3


def test_norms_of_the_losss_hessian_without_the_matrix():
    model, x = relu_network(), images(n=5)
    expected = [float(indicator.cross_entropy_hessian(model, image).norm()) for image in x]
    found = indicator.cross_entropy_hessian_norm(model, x, batch=2)
    assert found.tolist() == pytest.approx(expected, rel=1e-9) and min(expected) > 0


def test_sizes_of_a_spectrum_are_the_matrix_norms():
    H = torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64)
    found = indicator_measures.sizes(indicator.spectrum(H)[None])
    assert found["norm"]["mean"] == pytest.approx(float(H.norm()))
    assert found["max"]["mean"] == pytest.approx(float(torch.linalg.matrix_norm(H, 2)))


def test_near_zero_shares_rise_with_the_threshold():
    found = indicator_measures.near_zero(torch.tensor([[1e-6, 1e-4, 0.5, 0.05]], dtype=torch.float64))
    assert [leaf["mean"] for leaf in found.values()] == pytest.approx([25, 25, 50, 50, 50, 75])


# A slice of S (Fig. 5).


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
    model, _ = affine()
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
    bend = indicator.free_of_kinks(t, 2 * t, torch.full_like(t, 2.0), window=3)
    assert bend[3:-3].all() and not bend[:3].any() and not bend[-3:].any()
    kinked = indicator.free_of_kinks(t, 2 * t + (t > 0).double(), torch.full_like(t, 2.0), window=3)
    assert torch.equal(bend & ~kinked, (t > -0.05) & (t < 0.07))


# Ways to the boundary (Fig. 4).


def test_affine_distances_and_contours_are_exact():
    model, _ = affine(classes=2)
    x = images(n=6)
    y = labels_of(model, x)
    J = indicator.jacobian(model, x, y)
    u = -J.sign()
    S = robustness_measures.margins(model, x, y)
    found = projections_measures.towards(model, x, y, u, unit=1e-3, extent=4.0, reach=200.0)
    slope = 1e-3 * J.flatten(1).abs().sum(1)
    assert np.allclose(found["contours"], (10 * slope / S).numpy())
    inside = (x + (S / slope)[:, None, None, None] * 1e-3 * u).flatten(1)
    unclipped = ((inside > 0) & (inside < 1)).all(1).numpy()
    assert unclipped.any()
    assert np.allclose(found["distance"][unclipped], (S / slope)[unclipped].numpy(), atol=0.01)


def test_planes_share_their_random_signs_and_norms():
    model = relu_network()
    x = images()
    y = labels_of(model, x)
    planes = {name: projections_measures.plane(model, x, y, name, seed=3) for name in projections_measures.DIRECTIONS}
    assert torch.equal(planes["random"][0], projections_measures.plane(model, x, y, "random", seed=3)[0])
    for u, v in planes.values():
        assert torch.allclose(u.flatten(1).norm(dim=1), torch.tensor(4.0, dtype=x.dtype))
        assert torch.allclose(v.flatten(1).norm(dim=1), torch.tensor(4.0, dtype=x.dtype))


def test_ways_count_what_is_reached_and_compare_image_by_image():
    random = {"distance": np.array([10.0, np.inf, 20.0]), "contours": np.array([1.0, 2.0, 4.0])}
    cw = {"distance": np.array([1.0, 2.0, 20.0]), "contours": np.array([2.0, 6.0, 16.0])}
    values = projections_measures.ways({"random": random, "cw": cw}, reach=40.0)
    assert values["random"]["distance"]["reached"]["mean"] == pytest.approx(200 / 3)
    assert values["ratio"]["distance"]["cw"]["mean"] == 10
    assert values["ratio"]["contours"]["cw"]["mean"] == 3
    assert [values["cw"]["within"][k]["mean"] for k in ("1", "10")] == pytest.approx([100 / 3, 200 / 3])


def test_linear_ratio_is_that_of_an_affine_network():
    J, r = torch.tensor([3.0, -4.0, 1.0]).view(1, 1, 1, 3), torch.tensor([1.0, 1.0, -1.0]).view(1, 1, 1, 3)
    assert projections_measures.linear_ratio(J, r)["mean"] == pytest.approx(8 / 2)


def test_noise_of_no_size_changes_nothing_and_of_the_whole_range_much():
    model, x = relu_network(), images()
    found = projections_measures.noise_accuracy(model, x, labels_of(model, x), sizes=[0.0, 255.0], unit=1 / 255, seed=0)
    assert found["noise"]["clean"] == found["noise"]["noisy"]["0"] and found["paired"]["noise"]["0"]["mean"] == 0
    assert found["noise"]["noisy"]["255"]["mean"] < found["noise"]["clean"]["mean"]
    difference = found["noise"]["noisy"]["255"]["mean"] - found["noise"]["clean"]["mean"]
    assert found["paired"]["noise"]["255"]["mean"] == pytest.approx(difference)


def test_numbered_sizes_are_in_rising_order():
    values = {"bim": {"0.2": 1, "0.1": 2, "0.15": {"mean": 3}}, "clean": 4}
    assert words.numbered(values) == {"bim": {"@0": 2, "@1": {"mean": 3}, "@2": 1}, "clean": 4}


@pytest.mark.parametrize(("score", "positive", "expected"), [
    ([1.0, 2.0, 3.0], [False, False, True], 1.0), ([1.0, 2.0, 3.0], [True, False, False], 0.0),
    ([1.0, 1.0], [True, False], 0.5), ([1.0, 2.0, 2.0, 3.0], [False, True, False, True], 0.875),
    ([1.0, 2.0], [True, True], None),
])  # fmt: skip
def test_auc_is_the_chance_of_the_right_order(score, positive, expected):
    assert intervals.auc(torch.tensor(score), torch.tensor(positive)) == expected


def test_quantities_that_do_not_exist_are_left_out():
    assert intervals.without_gaps({"a": None, "b": {"c": None, "d": 0}, "e": [None]}) == {"b": {"d": 0}, "e": [None]}


# In words and in a table.


@pytest.mark.parametrize(("leaf", "expected"), [
    ({"mean": 98.44, "low": 97.9, "high": 98.8, "n": 450}, "98.4 % [97.9, 98.8]"),
    ({"mean": 3.14159, "low": 3.0, "high": 3.25, "n": 9, "unit": "px"}, "3.14 px [3, 3.25]"),
    ({"mean": 1.0, "low": 0.5, "high": 2.0, "n": 9, "unit": ""}, "1 [0.5, 2]"),
    ("> 128 px", "> 128 px"), (0.000123, "1.2e-04"), (12345.6, "12346"), (0.0, "0"), (7, "7"),
])  # fmt: skip
def test_told_quotes_a_number_as_a_reader_wants_it(leaf, expected):
    assert formatted(leaf) == expected


# The pictures: one line, one panel or one word for each thing that there is to see.


def texts(figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(plt.Text) if text.get_visible())


@pytest.fixture(autouse=True)
def closed_figures():
    """No figure outlives its test."""
    yield
    plt.close("all")


def test_hessians_share_one_scale_and_zeros_say_so():
    H = np.diag([1.0, 1e-9, -2.0, 0.5])
    kinds = {"ReLU": np.zeros((4, 4)), "softplus": H, "loss": 1e-9 * H}
    J = {role: size * np.ones((1, 2, 2)) for role, size in (("natural", 2.0), ("robust", 1.0))}
    figure = indicator_drawings.derivatives(np.ones((1, 2, 2)), {role: role for role in J}, J, dict.fromkeys(J, kinds))
    drawn = [ax.images[0] for ax in figure.axes if ax.images]
    assert {image.get_clim() for image in drawn if image.get_cmap().name == "RdBu_r"} == {(-2.0, 2.0)}
    assert {image.get_clim() for image in drawn if image.get_cmap().name == "magma_r"} == {(2e-6, 2.0)}
    assert texts(figure).count("0\neverywhere") == 2 and texts(figure).count("below\n2e-06") == 2


def test_near_zero_curves_reach_every_entry():
    entries = {"natural": np.array([0.5, -1.0, 2.0, 4.0]), "robust": np.array([1e-3, 1e-2, 0.1, 1.0])}
    figure = indicator_drawings.near_zero_curves({"J": entries, "λ": entries}, {"J": {"natural": 1.1}}, {"J": 0.5})
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0.5, 1, 2, 4] and line.get_ydata().tolist() == [25, 50, 75, 100]
    assert texts(figure).count("paper: 1.1 %") == 1


def test_distributions_name_every_network_and_matrix():
    spectra = {"softplus": {"natural": np.array([[-3.0, 1.0, 2.0]]), "robust": np.ones((1, 3))}}
    figure = indicator_drawings.distributions({"natural": np.linspace(-1, 1, 50), "robust": np.zeros(50)}, spectra)
    assert figure.axes[1].lines[0].get_ydata().tolist() == [3, 2, 1]
    assert all(name in texts(figure) for name in ("natural, softplus", "robust, softplus", "rank of the eigenvalue"))


def projected() -> dict[str, np.ndarray]:
    axis = np.linspace(-2, 2, 5)
    arrays = {"axis": axis, "image": np.full((3, 4, 4), 0.5), "label": np.array([1])}
    for way in projections_measures.DIRECTIONS:
        S = 1.0 - axis[None, :] + 0 * axis[:, None]
        arrays |= {f"decision/{way}": S, f"loss/{way}": np.exp(-S), f"u/{way}": np.ones((3, 4, 4))}
        arrays |= {f"landed/{way}": np.ones((3, 4, 4)), f"label/{way}": np.array([2])}
        arrays[f"distance/{way}"] = np.array([1.0, np.inf])
    return arrays


def test_projections_show_distances_and_labels():
    figure = projections_drawings.projections(projected(), reach=9.0, names=("cat", "dog", "frog"))
    said = texts(figure)
    assert said.count("1.0") >= 8 and said.count("> 9") == 8 and said.count("dog") == 4 and said.count("frog") == 4
    assert all(name in said for name in projections_drawings.WAYS.values())


def test_distance_curves_end_at_the_share_that_is_reached():
    figure = projections_drawings.distance_curves({"cw": np.array([1.0, 3.0, np.inf, np.inf])}, reach=10.0)
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 1, 3, 10] and line.get_ydata().tolist() == [0, 25, 50, 50]


def test_osculating_circle_is_drawn_as_a_circle():
    t = np.linspace(-1, 1, 21)
    drawn = {"t": t, "smooth": t**2, "relu": abs(t), "point": (0.0, 0.0), "slope": 0.0}
    figure = curvature.osculating(drawn, indicator.osculating_circle(0.0, 0.0, 0.0, 2.0), units=("1", "1"))
    (circle,) = figure.axes[0].patches
    assert (circle.center, circle.radius) == ((0, 0.5), 0.5) and figure.axes[0].get_aspect() == 1
    assert "R = 0.50" in texts(figure)
