"""Ways to the decision boundary (Fig. 4) against networks whose distances are known by hand, and their pictures."""

import numpy as np
import pytest
import torch
from toys import images, labels_of, linear, relu_network

from figures.quarters import texts, trained, written
from paperlib import indicator
from paperlib.drawings import projections as drawings
from paperlib.measures import projections as measures
from paperlib.objective import decision
from paperlib.record import Record

LABELS = ["random signs", "cross-entropy", "least likely class", "C&W"]


def affine(d: int = 16, classes: int = 3, seed: int = 0):
    W = torch.randn(classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return linear(W)


def test_affine_distances_and_contours_are_exact():
    model = affine(classes=2)
    x = images(n=6)
    y = labels_of(model, x)
    J = indicator.jacobian(model, x, y)
    u = -J.sign()
    S = decision(model(x), y).detach()
    found = measures.towards(model, x, y, u, unit=1e-3, extent=4.0, reach=200.0)
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
    planes = {name: measures.plane(model, x, y, name, seed=3) for name in measures.DIRECTIONS}
    assert torch.equal(planes["random"][0], measures.plane(model, x, y, "random", seed=3)[0])
    for u, v in planes.values():
        assert torch.allclose(u.flatten(1).norm(dim=1), torch.tensor(4.0, dtype=x.dtype))
        assert torch.allclose(v.flatten(1).norm(dim=1), torch.tensor(4.0, dtype=x.dtype))


def test_ways_count_what_is_reached_and_compare_image_by_image():
    random = {"distance": np.array([10.0, np.inf, 20.0]), "contours": np.array([1.0, 2.0, 4.0])}
    cw = {"distance": np.array([1.0, 2.0, 20.0]), "contours": np.array([2.0, 6.0, 16.0])}
    values = measures.ways({"random": random, "cw": cw}, reach=40.0)
    assert values["random"]["distance"]["reached"]["mean"] == pytest.approx(200 / 3)
    assert values["ratio"]["distance"]["cw"]["mean"] == 10
    assert values["ratio"]["contours"]["cw"]["mean"] == 3
    assert [values["cw"]["within"][k]["mean"] for k in ("1", "10")] == pytest.approx([100 / 3, 200 / 3])


def test_linear_ratio_is_that_of_an_affine_network():
    J, r = torch.tensor([3.0, -4.0, 1.0]).view(1, 1, 1, 3), torch.tensor([1.0, 1.0, -1.0]).view(1, 1, 1, 3)
    assert measures.linear_ratio(J, r)["mean"] == pytest.approx(8 / 2)


def test_noise_of_no_size_changes_nothing_and_of_the_whole_range_much():
    model, x = relu_network(), images()
    found = measures.noise_accuracy(model, x, labels_of(model, x), sizes=[0.0, 255.0], unit=1 / 255, seed=0)
    assert found["noise"]["clean"] == found["noise"]["noisy"]["0"] and found["paired"]["noise"]["0"]["mean"] == 0
    assert found["noise"]["noisy"]["255"]["mean"] < found["noise"]["clean"]["mean"]
    difference = found["noise"]["noisy"]["255"]["mean"] - found["noise"]["clean"]["mean"]
    assert found["paired"]["noise"]["255"]["mean"] == pytest.approx(difference)


SETTINGS = {
    "image": -1, "extent": 4.0, "steps": 5, "images": 6, "reach": 255.0, "noise": [1.0, 8.0], "noise_images": 10, "seed": 0,
}  # fmt: skip


def test_the_pictures_are_drawn_from_the_record_alone():
    networks = {"natural": trained(0, channels=3)}
    record = written(measures.measure(networks, **SETTINGS, device="cpu"), SETTINGS, networks)
    assert record.data["n"] == 6 and record.arrays["loss/cw"].shape == (5, 5)
    assert len(record.arrays["distances/random"]) == len(record.arrays["contourss/cw"]) == 6
    assert record.values["ratio"]["distance"]["cw"]["mean"] > 1 < record.values["ratio"]["linear"]["mean"]
    assert list(record.values["noise"]["noisy"]) == ["1", "8"]
    assert drawings.facts(record) == {"far": "255", "sizes": "1/255, 8/255"}
    columns = drawings.projections(record)
    assert all(label in texts(column) for label, column in zip(LABELS, columns, strict=True))
    assert [line.get_label() for line in drawings.distance_curves(record).axes[0].lines] == LABELS


def test_an_image_that_is_asked_for_is_drawn():
    networks = {"natural": trained(0, channels=3)}
    found = measures.measure(networks, **SETTINGS | {"image": 7, "images": 1}, device="cpu")
    assert np.array_equal(found.arrays["image"], networks["natural"].dataset.test.x[7].numpy())
    assert found.arrays["label"].tolist() == [3] and found.data[0][1] == 1


def projected(reach: float, **arrays: np.ndarray) -> Record:
    """A boundary one step away along alpha, and nowhere along beta."""
    axis = np.linspace(-2, 2, 5)
    arrays |= {"axis": axis, "image": np.full((3, 4, 4), 0.5), "label": np.array([3])}
    for way in measures.DIRECTIONS:
        S = 1.0 - axis[None, :] + 0 * axis[:, None]
        arrays |= {f"decision/{way}": S, f"loss/{way}": np.exp(-S), f"u/{way}": np.ones((3, 4, 4))}
        arrays |= {f"landed/{way}": np.ones((3, 4, 4)), f"label/{way}": np.array([6])}
        arrays[f"distance/{way}"] = np.array([1.0, np.inf])
        arrays[f"distances/{way}"] = np.array([1.0, 3.0, np.inf, np.inf])
    return Record("toy", "smoke", {"reach": reach}, {"name": "cifar10"}, {}, {}, {}, arrays)


def test_projections_show_distances_and_labels():
    said = " | ".join(texts(column) for column in drawings.projections(projected(9.0)))
    assert said.count("1.0") >= 8 and said.count("> 9") == 8 and said.count("cat") == 4 and said.count("frog") == 4
    assert all(label in said for label in LABELS)


def test_distance_curves_end_at_the_share_that_is_reached():
    line = drawings.distance_curves(projected(10.0)).axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 1, 3, 10] and line.get_ydata().tolist() == [0, 25, 50, 50]
