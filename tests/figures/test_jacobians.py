"""How much of J lies on an image's pattern, against cases one can count, and the pictures of J."""

import numpy as np
import pytest
import torch
from toys import toy_dataset

from figures.quarters import texts, trained, written
from paperlib import indicator
from paperlib.drawings import jacobians as drawings
from paperlib.measures import jacobians as measures
from paperlib.record import Record
from press.page import cells
from press.run import record

# an image of four pixels, of which one is ink
INK = torch.tensor([[[True, False], [False, False]]])


def slopes(*entries: float) -> torch.Tensor:
    return torch.tensor(entries, dtype=torch.float64).view(1, 1, 2, 2)


@pytest.mark.parametrize(("J", "expected"), [
    (slopes(1, 1, 1, 1), 1.0), (slopes(-3, 0, 0, 0), 4.0), (slopes(0, 1, -2, 0), 0.0), (slopes(-1, 1, 0, 0), 2.0),
])  # fmt: skip
def test_alignment_is_the_share_of_the_slopes_over_the_share_of_the_area(J, expected):
    assert float(indicator.alignment(J, INK)) == pytest.approx(expected)


def test_alignment_adds_magnitudes_over_channels():
    J = torch.cat([slopes(1, 0, 0, 0), slopes(-1, 2, 0, 0)], dim=1)
    assert float(indicator.alignment(J, INK)) == pytest.approx(2.0)


def test_alignment_of_no_slope_or_no_pattern_is_no_number():
    assert indicator.alignment(slopes(0, 0, 0, 0), INK).isnan().all()
    assert indicator.alignment(slopes(1, 1, 1, 1), ~INK & INK).isnan().all()


def test_random_slopes_have_no_preference():
    J = torch.randn(400, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert float(indicator.alignment(J, indicator.edges(x)).mean()) == pytest.approx(1, abs=0.02)


def test_ink_is_what_is_bright():
    x = torch.tensor([0.0, 0.1, 0.11, 1.0], dtype=torch.float64).view(1, 1, 2, 2)
    assert indicator.ink(x).flatten().tolist() == [False, False, True, True]
    assert indicator.ink(x, threshold=0.5).sum() == 1


def test_edges_are_where_the_image_changes_most():
    x = torch.zeros(2, 3, 8, 8)
    x[0, :, :, 4:] = 1
    x[1, :, 4:, :] = 1
    found = indicator.edges(x, share=0.25)
    assert found.flatten(1).sum(1).tolist() == [16, 16]
    assert found[0].any(0).tolist() == [False] * 3 + [True] * 2 + [False] * 3
    assert torch.equal(found[1], found[0].T)


def test_own_and_other_patterns_image_by_image():
    # J of the first network is the image's own pattern, J of the second the next image's
    pattern = torch.zeros(3, 2, 2, dtype=torch.bool)
    pattern[0, 0, 0] = pattern[1, 0, 1] = pattern[2, 1, 0] = True
    J = {"natural": pattern[:, None].double(), "robust": pattern.roll(1, 0)[:, None].double()}
    found = measures.alignments(J, pattern)
    assert found["natural"]["own"].tolist() == found["robust"]["other"].tolist() == [4, 4, 4]
    assert found["natural"]["other"].tolist() == found["robust"]["own"].tolist() == [0, 0, 0]
    values = measures.alignment_values(found["natural"])
    assert values["alignment"] == {"mean": 4, "low": 4, "high": 4, "n": 3, "unit": "×"}
    assert [values[name]["mean"] for name in ("other", "own_minus_other")] == [0, 4]


def test_an_image_without_a_number_is_left_out_for_all_networks():
    pattern = INK.expand(3, 2, 2)
    J = {"natural": slopes(1, 1, 1, 1).repeat(3, 1, 1, 1), "robust": slopes(1, 0, 0, 0).repeat(3, 1, 1, 1)}
    J["robust"][1] = 0
    found = measures.alignments(J, pattern)
    assert {len(values) for of in found.values() for values in of.values()} == {2}


def test_the_first_image_of_each_class_is_drawn():
    y = torch.tensor([3, 1, 3, 0])
    assert measures.first_of([0, 2, 3], y) == [3, 0]
    with pytest.raises(ValueError, match=r"classes is \[2\]; allowed are those of the images: \[0, 1, 3\]"):
        measures.first_of([2], y)
    with pytest.raises(ValueError, match="images is empty: there is no image that every network classifies rightly"):
        measures.first_of([2], y[:0])


SETTINGS = {"images": 20, "classes": [3, 1], "ink": 0.4, "edges": 0.25}


@pytest.fixture(scope="module")
def measured() -> Record:
    """Of four networks: grey and colour, natural and Ours."""
    networks = {
        f"{kind}-{role}": trained(seed, channels=channels, method=method)
        for kind, channels in (("grey", 1), ("colour", 3))
        for seed, (role, method) in enumerate((("natural", "natural"), ("robust", "ours")))
    }
    return written(measures.measure(networks, **SETTINGS, device="cpu"), SETTINGS, networks)


def test_images_are_those_of_the_classes_that_are_asked_for(measured):
    test = trained(0).dataset.test
    assert np.array_equal(measured.arrays["images_grey"], test.x[[3, 1]].numpy())
    assert measured.arrays["J_colour_robust"].shape == (2, 3, 8, 8)
    # slopes of a network that adds up quarters lie on the bright quarter, and on another image's less
    assert measured.values["grey"]["robust"]["own_minus_other"]["low"] > 0
    assert measured.values["paired"]["colour"]["n"] == len(measured.arrays["alignment_colour_natural_other"])


def test_the_pictures_are_drawn_from_the_record_alone(measured):
    assert drawings.facts(measured) == {
        "share": "25 %", "robust": "Ours", "grey": "stripes", "n_grey": 20, "colour": "stripes", "n_colour": 20,
    }  # fmt: skip
    assert texts(drawings.gallery(measured)).count("J, Ours") == 2
    intervals = drawings.alignment(measured)
    assert [ax.get_title() for ax in intervals.axes] == ["grey images", "colour images"]
    dots = [line.get_xdata()[0] for line in intervals.axes[0].lines if line.get_marker() == "o"]
    of = measured.values["grey"]
    assert dots == [of[role][which]["mean"] for role in ("natural", "robust") for which in ("alignment", "other")]


@pytest.fixture
def gallery():
    grey, colour = np.zeros((2, 1, 4, 4)), np.zeros((1, 3, 4, 4))
    J = np.arange(-4.0, 12).reshape(1, 1, 4, 4)
    arrays = {
        "images_grey": grey, "J_grey_natural": np.concatenate([J, 0 * J]), "J_grey_robust": np.concatenate([J, -10 * J]),
        "images_colour": colour, "J_colour_natural": np.repeat(J, 3, axis=1), "J_colour_robust": np.repeat(0 * J, 3, axis=1),
    }  # fmt: skip
    methods = {"natural": "natural", "robust": "ours"}
    models = {f"{kind}-{role}": {"recipe": {"method": methods[role]}} for kind in ("grey", "colour") for role in methods}
    return drawings.gallery(Record("toy", "smoke", {}, {}, models, {}, {}, arrays))


def test_every_jacobian_is_scaled_by_its_own_largest_magnitude(gallery):
    maps = [ax.images[0] for ax in gallery.axes if ax.images and ax.images[0].get_cmap().name in ("RdBu_r", "magma")]
    assert len(maps) == 6
    largest = [float(np.abs(of.get_array()).max()) for of in maps]
    assert sorted(largest) == [0, 0, 1, 1, 1, 1]
    limits = {of.get_cmap().name: of.get_clim() for of in maps}
    assert limits == {"RdBu_r": (-1, 1), "magma": (0, 1)}
    assert float(maps[0].get_array().min()) == pytest.approx(-4 / 11)
    assert min(float(of.get_array().min()) for of in maps if of.get_cmap().name == "magma") == 0


def test_the_gallery_names_each_network_once_a_block(gallery):
    titles = [ax.get_title() for ax in gallery.axes if ax.get_title()]
    assert titles == ["image", "J, Natural", "J, Ours"] * 2


def test_a_figure_of_two_data_sets_names_both(tmp_path):
    run = record.Run("fig10", profile="quick", parameters={}, out=str(tmp_path))
    run.dataset(toy_dataset(), 7)
    run.dataset(toy_dataset(shape=(3, 8, 8)), 5)
    written = run.write({})
    assert written["data"]["n"] == 7 and [other["n"] for other in written["data"]["others"]] == [5]
    said = cells.provenance_cell("fig10", written)
    assert "stripes, 7 images, sha256 000000000000<br>stripes, 5 images" in said
