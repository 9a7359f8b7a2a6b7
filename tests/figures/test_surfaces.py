"""Surfaces measured and drawn: planes and numbers of networks known by hand, shared and centred scales, the ball."""

import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from toys import images, labels_of, linear, relu_network, toy_dataset, toy_recipe

from paperlib import fingerprint, record
from paperlib.drawings import style
from paperlib.drawings import surfaces as drawings
from paperlib.measures import surfaces as measures
from paperlib.panels import ALLOWED
from paperlib.record import Measured, Record
from paperlib.train import Trained
from press.plan import experiments
from press.run.record import Run

DATA = toy_dataset()
DEFAULTS = experiments.notebook_parameters("surfaces")
TAKEN = fingerprint.keywords("paperlib.measures.surfaces", "measure")


# What is measured.


def network(gain: float) -> Trained:
    """A linear network that finds the bright quarter, and is the steeper the larger its gain."""
    W = torch.zeros(4, 8, 8)
    for label in range(4):
        W[label, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] = gain
    return Trained("toy", linear(W.flatten(1)), toy_recipe(), DATA, {"sha256": "0" * 64})


PAIR = {"natural": network(2.0), "robust": network(1.0)}


def measured(networks=PAIR, **changes) -> Measured:
    """A measurement with the notebook's defaults, and changes."""
    with tempfile.TemporaryDirectory() as store:
        parameters = DEFAULTS | {"device": "cpu", "images": 5, "attacked": 8, "attack_steps": 2, "store": Path(store)}
        return measures.measure(networks, **{name: (parameters | changes)[name] for name in TAKEN})


@pytest.fixture(scope="module")
def pair() -> Measured:
    """The four panels of the defaults."""
    return measured()


def as_record(found: Measured, networks=PAIR, **changes) -> Record:
    """The record that a run writes of it."""
    described = {"name": "stripes", "n": found.data[0][1], "pixel_scale": 1}
    return Record("fig06", "smoke", DEFAULTS | changes, described, {role: {} for role in networks}, found.values, {},
                  found.arrays)  # fmt: skip


def test_what_measuring_takes_are_the_notebook_s_parameters_a_device_and_a_store():
    assert {*TAKEN} - {*DEFAULTS} == {"device", "store"}
    assert {*DEFAULTS} - {*TAKEN} == {*experiments.PIPELINE_PARAMETERS, "columns", "view"}


def test_a_measurement_has_a_number_for_every_group_and_comparison(pair):
    for group in ("natural", "robust"):
        for direction in ("random", "adversarial"):
            assert set(pair.values[group][direction]) == set(DEFAULTS["measures"])
            assert pair.arrays[f"{group}/{direction}/plateau"].shape == (5,)
    # logits of half the size have the same boundary
    drops = [pair.values[group]["adversarial"]["relative_drop"]["mean"] for group in ("natural", "robust")]
    assert drops[0] == pytest.approx(drops[1], rel=1e-4)
    assert pair.values["ratio"]["relative_drop"]["mean"] == pytest.approx(1, rel=1e-4)
    assert pair.values["natural"]["clean"]["mean"] == 100 and pair.values["natural"]["attacked"]["n"] == 8
    assert [(data.name, n) for data, n in pair.data] == [("stripes", 5)] and pair.seeds == {"directions": 0}


def test_a_measurement_has_all_that_its_pictures_take(pair):
    for k in range(4):
        assert pair.arrays[f"values_{k}"].shape == (25, 25) and pair.arrays[f"axis_{k}"][-1] == 6
        assert pair.arrays[f"image_{k}"].shape == pair.arrays[f"u_{k}"].shape == (1, 8, 8)
    measured_record = as_record(pair)
    for figure in (drawings.maps(measured_record), drawings.landscapes(measured_record)):
        assert len(figure.axes) >= 4
        plt.close(figure)


def test_loss_and_decision_are_correlated_on_the_same_planes():
    panels = [{"objective": "decision"}, {"objective": "loss"}]
    compare = {"paired/blank": ["loss", "decision"]}
    found = measured({"robust": PAIR["robust"]}, panels=panels, levels=["objective"], measures=["blank"], compare=compare,
                     attacked=0, toy=True)  # fmt: skip
    assert -1 <= found.values["correlation"]["mean"] < -0.5 and found.values["correlation"]["n"] == 5
    assert found.values["toy"] == measures.toy_logits() and "attacked" not in found.values


def test_in_parameter_space_the_pairs_of_directions_count():
    panels = [{"role": role, "space": "parameter", "objective": "loss"} for role in PAIR]
    compare = {"ratio/rise": ["natural", "robust"]}
    found = measured(panels=panels, levels=["role"], measures=["rise"], pairs=3, compare=compare)
    assert found.values["natural"]["rise"]["n"] == 3 and found.values["ratio"]["rise"]["n"] == 3
    assert found.arrays["values_0"].shape == (7, 7) and "image_0" not in found.arrays
    with pytest.raises(ValueError, match="measures holds distance in parameter space; allowed is input space"):
        measured(panels=panels, levels=["role"], measures=["distance"], compare={})


def test_slopes_and_curvatures_stand_beside_a_role_s_own_measures():
    found = measured(panels=[{"role": role} for role in PAIR], levels=["role"], measures=["slope"], indicator=True,
                     compare={"ratio/jacobian_norm": ["natural", "robust"]})  # fmt: skip
    assert set(found.values["natural"]) == {"slope", "jacobian_norm", "curvature", "hessian_ce_norm", "clean", "attacked"}
    assert found.values["ratio"]["jacobian_norm"]["mean"] == pytest.approx(2)


def test_an_image_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="panel field image is 90; allowed are 0 to 19"):
        measured(panels=[{"image": 90}], compare={})


def test_samples_are_named_and_unknown_names_refused():
    axis = np.linspace(-1, 1, 5)
    values = np.stack([3 - np.tile(axis, (5, 1)), 1 - np.tile(axis, (5, 1))])
    found = measures.samples(["plateau", "relative_drop"], values, axis, 1.0)
    assert found["relative_drop"] == pytest.approx([1 / 3, 1])
    with pytest.raises(ValueError, match="measures holds height; allowed are distance, plateau"):
        measures.samples(["height"], values, axis, 1.0)


def test_attacked_images_were_right_and_stay_right():
    model, x = relu_network(), images(40)
    y = labels_of(model, x)
    y[:4] = (y[:4] + 1) % 4
    clean = labels_of(model, x) == y
    scene = measures.Scene({"a": model}, x, y, {"a": clean}, clean.nonzero()[:, 0])
    assert torch.equal(measures.unbroken(scene, 40, eps=1e-9, steps=2, seed=0)["a"], clean)
    some = measures.unbroken(scene, 40, eps=0.1, steps=5, seed=0)["a"]
    assert not (some & ~clean).any() and 0 < some.sum() < clean.sum()
    assert torch.equal(some, measures.unbroken(scene, 90, eps=0.1, steps=5, seed=0)["a"])
    assert len(measures.unbroken(scene, 7, eps=0.1, steps=1, seed=0)["a"]) == 7
    assert measures.unbroken(scene, 0, eps=0.1, steps=5, seed=0) == {}


def test_indicators_of_a_linear_network():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, 0], W[1, 1] = 3, 4
    model, x = linear(W), images(3)
    found = measures.indicators(model, x, torch.zeros(3, dtype=torch.long), h=0.1)
    assert found["jacobian_norm"] == pytest.approx([5] * 3)
    assert found["curvature"] == pytest.approx([0] * 3, abs=1e-9)
    p = model(x).softmax(1).detach()[:, 0].numpy()
    # A^T (diag p - p p^T) A is p (1 - p) J J^T
    assert found["hessian_ce_norm"] == pytest.approx(25 * p * (1 - p))


def test_the_norm_of_the_losss_hessian_is_exact_in_single_precision():
    # a sum of 614,656 squares in single precision would be off by 1e-5
    W = 0.02 * torch.randn(2, 784, generator=torch.Generator().manual_seed(0))
    model, x = linear(W), images(3, (1, 28, 28), dtype=torch.float32)
    found = measures.indicators(model, x, torch.zeros(3, dtype=torch.long), h=0.1)
    p = model(x).double().softmax(1).detach()[:, 0].numpy()
    squared = float((W[0] - W[1]).double().square().sum())
    assert found["hessian_ce_norm"] == pytest.approx(squared * p * (1 - p), rel=1e-6)


def test_the_toy_of_ten_logits():
    found = measures.toy_logits()
    assert found["margin"] == pytest.approx(list(range(-9, 10, 2)))
    assert found["loss"] == pytest.approx([math.log(1 + 9 * math.exp(-m)) for m in found["margin"]])
    assert found["blank_from"] == pytest.approx(5)


# What is drawn.

AXIS = np.linspace(-4, 4, 9)
A, B = np.meshgrid(AXIS, AXIS)
FOUR = [
    {"role": "natural", "direction": "random"}, {"role": "natural"},
    {"role": "ours", "direction": "random"}, {"role": "ours", "objective": "loss"},
]  # fmt: skip
SURFACES = [8 - A + 0 * B, 8 - 4 * A + B, 2 + 0.1 * A, np.log1p(np.exp(2 * A))]


def drawing(panels=FOUR, surfaces=SURFACES, data: str = "digits-rgb", values: dict | None = None, **changes) -> Record:
    """A record as a measurement writes it."""
    parameters = {"panels": panels, "columns": 2, "unit": 1.0, "extent": 4.0, "steps": 9, "eps": 2.0} | changes
    models = {role: {} for role in dict.fromkeys(panel["role"] for panel in panels)}
    arrays = {}
    for k, (panel, grid) in enumerate(zip(panels, surfaces, strict=True)):
        arrays |= {f"values_{k}": grid, f"axis_{k}": AXIS}
        if panel.get("space") != "parameter":
            image = np.full((3, 8, 8), 0.5)
            arrays |= {f"image_{k}": image, f"u_{k}": np.sign(image - 0.2), f"label_{k}": np.array([3, 3, 5])}
    described = {"name": data, "n": 7, "pixel_scale": 255}
    return Record("fig06", "smoke", parameters, described, models, values or {}, {}, arrays)


@pytest.fixture
def figure():
    drawn = drawings.maps(drawing())
    yield drawn
    plt.close(drawn)


def maps_of(figure) -> list:
    return [ax for ax in figure.axes if ax.get_xlabel().startswith("α")]


def test_every_panel_has_its_map_and_names_what_tells_it_from_the_others(figure):
    titles = [ax.get_title() for ax in maps_of(figure)]
    assert len(set(titles)) == 4
    assert all("network" in title for title in titles)
    assert {ax.get_xlabel() for ax in maps_of(figure)} == {
        "α, in steps of 1/255\nalong random signs", "α, in steps of 1/255\nalong −sign ∇S"
    }  # fmt: skip


def test_s_is_centred_at_zero_and_the_scale_is_shared(figure):
    first, second, third, loss = (ax.collections[0] for ax in maps_of(figure))
    assert first.levels.tolist() == second.levels.tolist() == third.levels.tolist()
    assert first.levels.tolist() == pytest.approx((-first.levels[::-1]).tolist())
    assert first.get_cmap().name == "RdBu" and loss.get_cmap().name == "viridis"
    # 1.5 times the largest S of an image, rounded up
    assert first.levels[-1] == 15
    assert loss.levels[0] == 0


def test_the_boundary_is_a_thick_line_where_there_is_one(figure):
    thick = [[c for c in ax.collections if max(c.get_linewidths(), default=0) > 3] for ax in maps_of(figure)]
    assert [len(lines) for lines in thick] == [0, 1, 0, 0]
    xy = np.concatenate([path.vertices for path in thick[1][0].get_paths()])
    assert 8 - 4 * xy[:, 0] + xy[:, 1] == pytest.approx(np.zeros(len(xy)), abs=1e-9)


def test_the_square_and_the_ball_are_marked_at_eps(figure):
    for ax in maps_of(figure):
        outlines = [line for line in ax.lines if len(line.get_xdata()) == 5]
        corners = {tuple(point) for line in outlines for point in np.column_stack(line.get_data())}
        assert corners == {(2, 0), (0, 2), (-2, 0), (0, -2), (2, 2), (-2, 2), (-2, -2), (2, -2)}


def test_the_image_its_step_and_the_class_it_gets_stand_below(figure):
    titles = [ax.get_title() for ax in figure.axes]
    assert titles.count("seen as 3") == titles.count("seen as 5") == titles.count("63.8 × ε u") == 4
    wrong = [ax for ax in figure.axes if ax.get_title() == "seen as 5"]
    assert {ax.title.get_color() for ax in wrong} == {"#C00000"}


def test_cifar_classes_have_names():
    drawn = drawings.maps(drawing(data="cifar10"))
    assert {"cat", "dog"} <= {ax.get_title() for ax in drawn.axes}
    plt.close(drawn)


def test_a_plane_drawn_twice_shows_its_image_once():
    panels = [{"role": "natural"}, {"role": "natural", "objective": "loss"}]
    drawn = drawings.maps(drawing(panels, SURFACES[1::2]))
    assert [ax.get_title() for ax in drawn.axes].count("seen as 3") == 1
    plt.close(drawn)


def test_fonts_can_be_read_at_a_third_of_the_width(figure):
    for ax in maps_of(figure):
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()):
            # in pixels of the picture, which has 110 to the inch
            assert text.get_fontsize() * 110 / 72 / 3 >= 7


def test_nothing_overlaps(figure):
    renderer = figure.canvas.get_renderer()
    boxes = [(ax, ax.get_tightbbox(renderer)) for ax in figure.axes]
    for k, (one, box) in enumerate(boxes):
        for other, its in boxes[k + 1 :]:
            apart = box.x1 <= its.x0 + 2 or its.x1 <= box.x0 + 2 or box.y1 <= its.y0 + 2 or its.y1 <= box.y0 + 2
            assert apart, (one.get_title(), other.get_title())


def test_parameter_space_has_no_ball_and_no_image():
    panels = [{"role": "natural", "space": "parameter", "objective": "loss"}]
    drawn = drawings.maps(drawing(panels, SURFACES[3:]))
    assert len(drawn.axes) == 2
    assert maps_of(drawn)[0].get_xlabel() == "α, in norms of the filters\nalong a random direction"
    assert not [line for line in maps_of(drawn)[0].lines if len(line.get_xdata()) == 5]
    plt.close(drawn)


def test_landscapes_share_their_height_and_have_a_floor():
    drawn = drawings.landscapes(drawing(FOUR[:3], SURFACES[:3]))
    limits = {ax.get_zlim() for ax in drawn.axes}
    assert len(drawn.axes) == 3 and len(limits) == 1
    low, high = limits.pop()
    assert low < -15 and high == 15
    plt.close(drawn)


def test_a_stored_record_suffices_to_draw_again_and_gives_the_same_bytes(tmp_path):
    first = drawing()
    run = Run("fig06", profile="smoke", parameters=first.parameters, out=str(tmp_path))
    run.models, run.data = first.models, first.data | {"sha256": "0" * 64}
    run.write({"slope": 1.0}, **first.arrays)
    again = style.shown(drawings.maps(record.read(tmp_path / "fig06.json"))).data
    assert style.shown(drawings.maps(first)).data == again
    assert plt.get_fignums() == []


def test_alternative_text_names_the_panels():
    text = drawings.alt(drawing(), "maps")
    assert text.startswith("4 surfaces as maps: natural network, decision surface S, random direction; natural network")


def test_every_direction_that_a_panel_may_climb_has_a_label():
    assert set(drawings.CLIMBS) == set(ALLOWED["climbs"])


def test_the_toy_s_curve_is_that_of_its_numbers():
    drawn = drawings.toy_curve(drawing(values={"toy": {"margin": [0.0, 1.0], "loss": [2.0, 1.0]}}))
    assert drawn.axes[0].lines[0].get_ydata().tolist() == [2, 1]
    plt.close(drawn)


def test_facts_are_in_the_unit_of_the_data():
    assert drawings.facts(drawing()) == {"eps": "2/255", "step": "1/255"}
    grey = replace(drawing(eps=0.15, unit=0.05), data={"name": "digits", "n": 7, "pixel_scale": 1})
    assert drawings.facts(grey) == {"eps": "0.15", "step": "0.05"}


def test_drawing_needs_neither_networks_nor_torch():
    for path in fingerprint.module_paths("import paperlib.drawings.surfaces"):
        assert not re.search(r"(?m)^\s*(import torch|from torch)", path.read_text()), path
