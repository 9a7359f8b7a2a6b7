"""Slopes and Hessians of Fig. 8 against networks whose slopes are known by hand, and their pictures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm
from toys import images, labels_of, linear, relu_network

from figures.quarters import texts, trained, written
from paperlib import indicator
from paperlib.drawings import dark
from paperlib.drawings import indicator as drawings
from paperlib.measures import indicator as measures
from paperlib.model import softened
from paperlib.record import Record
from press.plan import experiments


def affine(d: int = 16, classes: int = 3, seed: int = 0):
    W = torch.randn(classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return linear(W)


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.1), (0.5, 0.2), (0.51, 0.3), (1.0, 0.4)])
def test_matching_threshold_is_the_smallest_that_gives_the_share(share, expected):
    values = torch.tensor([-0.3, 0.1, 0.4, -0.2])
    assert indicator.matching_threshold(values, share) == pytest.approx(expected)


def test_matched_shares_at_the_natural_threshold():
    natural, robust = torch.tensor([[1.0, -2.0, 3.0, 4.0]]), torch.tensor([[0.5, -0.5, 1.5, 9.0]])
    assert measures.matched(natural, robust, 50.0) == {"threshold": 2.0, "natural": 50.0, "robust": 75.0}


def test_noise_spreads_an_affine_s_by_the_norm_of_its_slope():
    model = affine()
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
    found = measures.noise_ratios(spread, J)
    assert [found[name]["mean"] for name in ("ratio", "ratio_norm", "ratio_of_ratios")] == pytest.approx([5, 5, 1])


def test_three_hessians_of_a_relu_network():
    model, x = relu_network(), images(n=2)
    y = labels_of(model, x)
    first, spectra = measures.hessians(model, softened(model, 2.0), x, y)
    assert not first["hessian_relu"].any() and not spectra["hessian_relu"].any()
    assert torch.equal(first["hessian"], indicator.hessian(softened(model, 2.0), x[0], int(y[0])))
    assert spectra["hessian"].shape == (2, 16) and spectra["hessian"].abs().max() > 0
    assert measures.rank(spectra["hessian_ce"]) == 3


def test_norms_of_the_losss_hessian_without_the_matrix(monkeypatch):
    monkeypatch.setattr(indicator, "BATCH", 2)
    model, x = relu_network(), images(n=5)
    expected = [float(indicator.cross_entropy_hessian(model, image).norm()) for image in x]
    found = indicator.cross_entropy_hessian_norm(model, x)
    assert found.tolist() == pytest.approx(expected, rel=1e-9) and min(expected) > 0


def test_sizes_of_a_spectrum_are_the_matrix_norms():
    H = torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64)
    found = measures.sizes(indicator.spectrum(H)[None])
    assert found["norm"]["mean"] == pytest.approx(float(H.norm()))
    assert found["max"]["mean"] == pytest.approx(float(torch.linalg.matrix_norm(H, 2)))


def test_near_zero_shares_rise_with_the_threshold():
    found = measures.near_zero(torch.tensor([[1e-6, 1e-4, 0.5, 0.05]], dtype=torch.float64))
    assert [leaf["mean"] for leaf in found.values()] == pytest.approx([25, 25, 50, 50, 50, 75])


SETTINGS = {
    "digit": 2, "image": 1, "images": 12, "hessian_images": 3, "beta": 5.0, "h": 0.5, "eps": 0.1, "noise": 0.1, "draws": 4,
    "share_J": 25.0, "share_H": 50.0, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def record() -> Record:
    """Of a steep and a flat network."""
    networks = {"natural": trained(0), "robust": trained(1, gain=0.1)}
    found = measures.measure(networks, **SETTINGS, device="cpu")
    return written(found, SETTINGS, networks, stated={"match": {"jacobian": {"natural": 25.0, "robust": 54.0}}})


def test_the_drawn_image_is_the_one_that_was_asked_for(record):
    test = trained(0).dataset.test
    assert record.arrays["drawn"] == 6 == int((test.y == 2).nonzero()[1])
    assert np.array_equal(record.arrays["image"], test.x[6].numpy())
    assert [int(record.arrays[f"reads_{role}"]) for role in record.roles] == [2, 2]
    assert record.arrays["J_natural"].shape == (12, 1, 8, 8) and record.arrays["hessian_robust"].shape == (3, 64)


def test_a_flat_network_has_smaller_numbers(record):
    assert all(leaf["mean"] > 1 for name, leaf in record.values["ratio"].items() if name != "hessian_ce_norm")
    assert record.values["match"]["jacobian"]["natural"] == pytest.approx(25, abs=1)
    assert record.values["match"]["hessian"]["robust"] >= record.values["match"]["hessian"]["natural"] >= 50
    assert record.values["natural"]["hessian_relu"]["norm"]["mean"] == 0


def test_the_shares_looked_for_are_the_papers():
    defaults, paper = experiments.notebook_parameters("indicator"), experiments.stated("fig08")["match"]
    assert (defaults["share_J"], defaults["share_H"]) == (paper["jacobian"]["natural"], paper["hessian"]["natural"])


def test_magnitudes_in_half_precision_are_right_whatever_their_size():
    H = torch.diag(torch.tensor([1e-12, -3.0, 0.0, 2e5], dtype=torch.float64))
    kept = measures.magnitudes(H)
    assert kept.dtype == np.float16 and np.isneginf(kept).sum() == 7
    assert np.allclose(drawings._unfolded(kept), H.abs().numpy(), rtol=0.01, atol=0)
    above = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    assert np.allclose(drawings._unfolded(measures.magnitudes(above)), above.numpy(), rtol=0.01)


def test_the_pictures_are_drawn_from_the_record_alone(record):
    figure = drawings.derivatives(record)
    assert all(said in texts(figure) for said in ("natural: reads 2", "robust: reads 2", *drawings.HESSIANS.values()))
    assert texts(drawings.near_zero_curves(record)).count("paper: 54.0 %") == 1
    assert "natural, softplus" in texts(drawings.distributions(record))


def drawn(arrays: dict, *, stated: dict | None = None) -> Record:
    """A record of these arrays, each for a natural and a robust network."""
    models = {"natural": {}, "robust": {}}
    match = {name: {"threshold": 0.5} for name in ("jacobian", "hessian")}
    seen = {"image": np.ones((1, 2, 2)), "drawn": np.array(0), "reads_natural": np.array(1), "reads_robust": np.array(3)}
    return Record("toy", "smoke", {}, {}, models, {"match": match}, {}, seen | arrays, stated or {})


def test_hessians_share_one_scale_and_zeros_say_so():
    H = torch.diag(torch.tensor([1.0, 1e-9, -2.0, 0.5], dtype=torch.float64))
    kinds = {"hessian_relu": 0 * H, "hessian": H, "hessian_ce": 1e-9 * H}
    roles = ("natural", "robust")
    arrays = {f"drawn_{kind}_{role}": measures.magnitudes(of) for kind, of in kinds.items() for role in roles}
    arrays |= {"J_natural": np.full((1, 1, 2, 2), 2.0), "J_robust": np.ones((1, 1, 2, 2))}
    figure = drawings.derivatives(drawn(arrays))
    maps = [ax.images[0] for ax in figure.axes if ax.images]
    assert {image.get_clim() for image in maps if image.get_cmap().name == "RdBu_r"} == {(-2.0, 2.0)}
    limits = {image.get_clim() for image in maps if image.get_cmap().name == "magma_r"}
    assert len(limits) == 1 and limits.pop() == pytest.approx((2e-6, 2.0), rel=0.01)
    assert texts(figure).count("0\neverywhere") == 2 and texts(figure).count("below\n2e-06") == 2
    assert "natural: reads 1" in texts(figure) and "robust: reads 3" in texts(figure)


def test_what_is_below_the_scale_is_white_on_a_dark_page_as_well():
    figure, ax = plt.subplots()
    drawings._magnitudes(ax, np.zeros((4, 4)), LogNorm(1e-5, 1))
    assert np.all(ax.images[0].to_rgba(ax.images[0].get_array()) == 1)
    dark.darken(figure)
    assert dark.contrast(ax.texts[0].get_color(), "white") >= dark.OF_WORDS
    plt.close(figure)


def test_near_zero_curves_reach_every_entry():
    entries = {"natural": np.array([0.5, -1.0, 2.0, 4.0]), "robust": np.array([1e-3, 1e-2, 0.1, 1.0])}
    arrays = {f"{name}_{role}": of for name in ("J", "hessian", "hessian_ce") for role, of in entries.items()}
    figure = drawings.near_zero_curves(drawn(arrays, stated={"match": {"jacobian": {"natural": 1.1}}}))
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0.5, 1, 2, 4] and line.get_ydata().tolist() == [25, 50, 75, 100]
    assert texts(figure).count("paper: 1.1 %") == 1
    # a grey line where the natural network has the paper's share, not where the paper gives none
    assert [line.get_color() for ax in figure.axes for line in ax.lines].count("#888888") == 2


def test_distributions_name_every_network_and_matrix():
    spectra = {"natural": np.array([[-3.0, 1.0, 2.0]]), "robust": np.ones((1, 3))}
    arrays = {f"{kind}_{role}": of for kind in ("hessian", "hessian_ce") for role, of in spectra.items()}
    figure = drawings.distributions(drawn(arrays | {"J_natural": np.linspace(-1, 1, 50), "J_robust": np.zeros(50)}))
    assert figure.axes[1].lines[0].get_ydata().tolist() == [3, 2, 1]
    assert all(name in texts(figure) for name in ("natural, softplus", "robust, loss", "rank of the eigenvalue"))
