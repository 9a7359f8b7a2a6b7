"""What can stand for the Hessian of S, against networks and shares known by hand, and its pictures."""

import numpy as np
import pytest
import torch
from toys import Quadratic, images, labels_of, linear, relu_network, seeded

from figures.quarters import texts, trained, written
from paperlib.drawings import hessian as drawings
from paperlib.measures import hessian as measures
from paperlib.record import Record
from paperlib.secants import LOWEST, THRESHOLDS
from press.plan import experiments

SETTINGS = {
    "images": 8, "hessian_images": 2, "h": [1e-6, 0.01, 0.3], "beside": 0.01, "beta": [1.0, 100.0], "scale": [0.1],
    "share_natural": 65.6, "share_minmax": 97.1, "points": 2.0, "norm_ratio": 2.0, "factor": 1.5, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def record() -> Record:
    """Of a steep, a flatter and a flat network."""
    networks = {"natural": trained(0), "ours": trained(2, gain=0.2), "minmax": trained(1, gain=0.1)}
    return written(measures.measure(networks, **SETTINGS, device="cpu"), SETTINGS, networks)


def test_a_quadratic_bends_alike_at_every_size_and_its_differences_are_its_hessian():
    Q = torch.diag(torch.linspace(-1, 2, 16, dtype=torch.float64))
    model = Quadratic(Q, torch.ones(16, dtype=torch.float64))
    x, y = images(n=3), torch.zeros(3, dtype=torch.long)
    found = measures.along_lines(model, x, y, [1e-3, 0.3], beside=0.01, seed=0)
    assert list(found) == [(name, h) for name in measures.LINES for h in (1e-3, 0.3)]
    for name in measures.LINES:
        # signs of length 4 along the axes of Q
        assert torch.allclose(found[name, 1e-3], torch.full((3,), float(Q.norm()) / 4, dtype=torch.float64), rtol=1e-6)
        assert torch.allclose(found[name, 1e-3], found[name, 0.3], rtol=1e-6)
    of = measures.matrix(measures.secants.hessian_at_scale(model, x[0], 0, h=0.1))
    assert of.norm == pytest.approx(float(Q.norm())) and np.allclose(np.sort(of.spectrum), np.sort(abs(Q.diag())))


def test_a_piece_of_a_relu_network_is_straight():
    model = relu_network()
    x = images(n=20)
    found = measures.along_lines(model, x, labels_of(model, x), [1e-7, 0.3], beside=0.01, seed=0)
    straight, bent = (measures.of_step(found["beside-sign", h]) for h in (1e-7, 0.3))
    assert straight["middle"]["mean"] == straight["mean"]["mean"] == 0 and straight["straight"]["mean"] == 100
    assert bent["mean"]["mean"] > 0 and bent["straight"]["mean"] < 50


def test_matrices_are_named_by_their_definition_and_what_needs_no_entries_has_none():
    model, x = relu_network(), images(n=1)
    found = measures.matrices(model, x, labels_of(model, x), beta=[1.0, 10.0], scale=[0.1])
    assert list(found) == ["hessian_relu", "softplus 1", "softplus 10", "differences 0.1", "hessian_ce", "single precision"]
    assert found["hessian_relu"][0].norm == 0 and found["hessian_relu"][0].shares["eigenvalues"].min() == 100
    assert [name for name, (of,) in found.items() if "entries" not in of.shares] == ["hessian_relu", "single precision"]
    # sixteen eigenvalues of which four classes leave three
    assert found["hessian_ce"][0].shares["eigenvalues"][0] >= 100 * 13 / 16
    assert found["hessian_ce"][0].norm == found["single precision"][0].norm


def test_the_losss_rank_is_that_of_its_classes_less_one():
    W = torch.randn(4, 16, generator=seeded(), dtype=torch.float64)
    loss = measures.secants.cross_entropy_spectrum(linear(W), images(n=5))
    found = measures.of_loss(loss, 16)
    assert (found["rank"]["mean"], found["rank_most"], found["rank_bound"]) == (3, 3, 3)
    assert found["zero"]["mean"] == pytest.approx(100 * 13 / 16)


def matrix(*magnitudes: float) -> measures.Matrix:
    return measures.matrix(torch.diag(torch.tensor(magnitudes, dtype=torch.float64)), kinds=("eigenvalues",))


def test_the_nearest_threshold_and_power_of_ten_are_found():
    # three of four natural, all of the robust, between a half and two; at a power of ten the same only for one
    of = {"natural": [matrix(0.1, 0.2, 0.5, 2.0)], "minmax": [matrix(0.1, 0.1, 0.2, 0.3)]}
    found = measures.nearest(of, "eigenvalues", {"natural": 75.0, "minmax": 100.0})
    assert found["any"]["miss"] == found["ten"]["miss"] == 0
    assert found["any"]["threshold"] == pytest.approx(0.5, rel=0.03) and found["ten"]["threshold"] == pytest.approx(1)
    assert found["any"]["natural"]["mean"] == 75 and found["ten"]["minmax"]["mean"] == 100
    other = measures.nearest(of, "eigenvalues", {"natural": 50.0, "minmax": 100.0})
    assert other["any"]["miss"] == 0 and other["ten"]["miss"] == 25


def test_definitions_that_come_near_enough_are_counted_with_and_without_their_norms():
    def of(near: float, ten: float) -> dict:
        return {"eigenvalues": {"any": {"miss": near}, "ten": {"miss": ten}}}

    match = {"hessian_relu": of(34.4, 34.4), "hessian_ce": of(33.3, 33.3), "softplus 1": of(2.0, 9.0), "other": of(0.5, 1.0)}
    found = measures.counted(match, 2.0, ["softplus 1"])
    assert found["any"] == {"within": 2, "definitions": 4, "best": "other, eigenvalues", "miss": 0.5, "norms_too": 1}
    assert found["ten"]["within"] == 1 and found["ten"]["norms_too"] == 0 and found["unchanged"] == 33.3


def test_the_shares_and_the_ratio_looked_for_are_the_papers():
    defaults, paper = experiments.notebook_parameters("hessian"), experiments.stated("fig08")
    assert (defaults["share_natural"], defaults["share_minmax"]) == tuple(paper["match"]["hessian"].values())
    assert defaults["norm_ratio"] == paper["ratio"]["hessian_norm"]


def test_a_flat_network_bends_less_and_the_exact_hessian_is_nobodys(record):
    assert record.values["ratio"]["softplus 1"]["mean"] > 1 and record.values["nearest"]["unchanged"] > 2
    assert "hessian_relu" not in record.values["ratio"]
    assert record.values["match"]["hessian_relu"]["eigenvalues"]["any"]["miss"] == pytest.approx(100 - 65.6)
    assert record.values["natural"]["hessian_ce"]["rank_most"] <= record.values["natural"]["hessian_ce"]["rank_bound"] == 3
    assert record.values["natural"]["growth"]["unit"] == "×" and "differences 0.1" in record.values["match"]


def test_the_pictures_are_drawn_from_the_record_alone(record):
    said = texts(drawings.shares(record))
    assert all(
        words in said for words in ("softplus β = 100", "differences over h = 0.1", "S, ReLU, exact", "65.6", "any: 34.4")
    )
    said = texts(drawings.scales(record))
    assert all(words in said for words in ("median from the image", "images without a kink", "Natural", "Ours", "MinMax"))
    assert "λ of the cross-entropy" in texts(drawings.spectra(record))
    html = drawings.definitions(record)
    assert html.count("<tr>") == 1 + record.values["nearest"]["any"]["definitions"]


def test_a_line_of_zeros_runs_along_the_lower_end(record):
    figure = drawings.scales(record)
    low, _ = figure.axes[1].get_ylim()
    ends = [line.get_ydata() for line in figure.axes[1].lines]
    assert 0 < low == min(of.min() for of in ends) and figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_the_words_know_the_nearest_definition(record):
    facts = drawings.facts(record)
    assert {"nearest", "nearest_ten", "any_threshold", "any_shares", "ten_threshold"} <= facts.keys()
    assert facts["smallest"] == "1e-06" and facts["sharpest"] == "100"
    assert drawings._called("hessian_ce, entries") == "entries, cross-entropy"


def test_the_lowest_threshold_of_drawings_is_that_of_the_science():
    assert drawings.LOWEST == pytest.approx(THRESHOLDS[0]) == 10.0**LOWEST
    assert drawings._at(THRESHOLDS[0]) == "any" and drawings._at(THRESHOLDS[100]) != "any"
