"""Many networks: their order by each predictor, what is kept of each, and the pictures of a record."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from toys import toy_recipe

from figures.rows import texts, trained, written
from paperlib import names, ranking
from paperlib.drawings import population as drawings
from paperlib.measures import population as measures
from paperlib.predictors import PROMISE
from paperlib.refusal import Refusal

SETTINGS = {
    "images": 12, "level": "quick", "eps": [0.05, 0.1], "hessian_images": 2, "beta": 10.0, "h": 0.5, "clever_images": 3,
    "batches": 3, "samples": 3, "targets": 2, "weights_images": 6, "directions": 2, "radius": 0.2, "attack_steps": 2,
    "imagewise": ["natural-a", "ours-a"], "points": 16, "clever_points": 6, "reach": 0.3, "rungs": 3, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """Intervals of fewer draws, for here no end of one is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "RESAMPLES", 60)
        yield


def member(rough: int, method: str, **recipe):
    """A network of a method; another ``rough`` roughens its slopes otherwise."""
    changes, made = {"c": 0.1} if method in ("ours", "crossentropy") else {}, trained(rough)
    with torch.no_grad():
        made.model[1].weight.add_(0.15 * rough * torch.randn(4, 64, generator=torch.Generator().manual_seed(rough)))
    return dataclasses.replace(made, recipe=toy_recipe(method=method, **changes, **recipe))


@pytest.fixture(scope="module")
def networks():
    """Six networks of two methods, two of them seeds of one recipe."""
    natural = {f"natural-{word}": member(k, "natural", lr=0.01 * (k + 1)) for k, word in enumerate("abcde")}
    return natural | {"ours-a": member(6, "ours"), "ours-a-1": member(7, "ours", seed=1)}


@pytest.fixture(scope="module")
def measured(networks, tmp_path_factory):
    """They, measured once, and the folder of what is kept."""
    folder = tmp_path_factory.mktemp("build")
    return measures.measure(networks, **SETTINGS, device="cpu", store=folder), folder


def test_a_measurement_ranks_the_networks_by_every_predictor(measured, networks):
    found, _ = measured
    values, arrays = found.values, found.arrays
    assert arrays["numbers"].shape == (2, 7, len(PROMISE)) and arrays["worst"].shape == (2, 7)
    assert values["count"] == {
        "networks": 7, "recipes": 6, "penalised": 2, "others": 5, "natural": 5, "ours": 2
    }  # fmt: skip
    assert values["range"]["0.1"]["lowest"] == arrays["worst"][1].min()
    # too few networks with a penalty for an order; one method alone is large enough
    assert "penalised" not in values and set(values["others"]) and list(values["method"]) == ["natural"]
    leaf = values["across"]["mean_J"]["0.1"]
    slopes = arrays["numbers"][1, :, list(PROMISE).index("mean_J")]
    expected = measures.spearman(-slopes[:, None], arrays["worst"][1])[0]
    assert leaf["mean"] == pytest.approx(expected) and leaf["low"] <= leaf["mean"] <= leaf["high"] and leaf["n"] == 7
    assert "mean_J" not in values["lead"] and "mean_J" not in values["beyond"] and "clean" not in values["partial"]
    (data, n), *rest = found.data
    assert (data.name, n, rest, found.seeds) == ("stripes", 16, [], {"attack": 0})


def of_numbers(numbers: dict[str, list], worst: list, roles: list[str], sizes=("0.1",)):
    """``orders`` of networks of which some predictors are given, and the others are constant."""
    networks = {role: member(k, role.partition("-")[0], lr=0.01 * (k + 1)) for k, role in enumerate(roles)}
    array = np.ones((len(sizes), len(roles), len(PROMISE)))
    for name, row in numbers.items():
        array[:, :, list(PROMISE).index(name)] = row
    return measures.orders(array, np.array([worst] * len(sizes), dtype=float), networks, list(sizes))


EIGHT = [f"natural-{k}" for k in range(6)] + [f"ours-{k}" for k in range(6)]


def test_correlations_are_signed_as_the_predictor_promises():
    worst = list(range(12))
    found = of_numbers({"mean_J": [-w for w in worst], "clever": worst, "sharpness": worst}, worst, EIGHT)
    of = {name: leaf["0.1"]["mean"] for name, leaf in found["across"].items()}
    # constant ones have no order
    assert of == {"mean_J": 1, "clever": 1, "sharpness": -1}
    assert found["lead"]["sharpness"]["0.1"]["mean"] == 2 and found["lead"]["clever"]["0.1"]["mean"] == 0


def test_an_order_that_only_holds_between_methods_is_none_within_them_nor_among_the_penalised():
    worst = [0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25]
    slope = [15, 16, 17, 18, 19, 20, 1, 2, 3, 4, 5, 6]
    found = of_numbers({"mean_J": slope}, worst, EIGHT)
    assert found["across"]["mean_J"]["0.1"]["mean"] > 0.4
    for group in (found["within"], found["penalised"], found["others"], found["method"]["ours"]):
        assert group["mean_J"]["0.1"]["mean"] == -1


def test_what_a_network_lacks_ranks_it_last():
    worst = list(range(12))
    found = of_numbers({"clever": [np.nan, *worst[1:]]}, worst, EIGHT)
    assert found["across"]["clever"]["0.1"]["mean"] == 1


def test_seeds_of_one_recipe_are_drawn_together(monkeypatch):
    seen = []
    monkeypatch.setattr(measures, "with_intervals", lambda statistic, together, strata=None: seen.append(together) or [])
    monkeypatch.setattr(measures, "_across", lambda *args: {})
    several = {f"natural-{k}": member(k, "natural", seed=k) for k in range(4)}
    several |= {f"natural-b{k}": member(k, "natural", lr=0.5, seed=k) for k in range(3)}
    measures.orders(np.ones((1, 7, len(PROMISE))), np.ones((1, 7)), several, ["0.1"])
    assert all(len(set(together[:4])) == 1 and len(set(together)) == 2 for together in seen) and len(seen) == 3


def test_a_second_measurement_takes_what_the_first_has_kept(measured, networks, monkeypatch):
    first, folder = measured
    for name in ("predictors", "pointwise", "clever"):
        monkeypatch.setattr(measures, name, None)
    climb = measures.worst_case
    # the ladder has its own store
    monkeypatch.setattr(measures, "worst_case", lambda *args, store, **options: climb(*args, store=store, **options))
    again = measures.measure(networks, **SETTINGS, device="cpu", store=folder)
    assert again.values == first.values


def test_a_damaged_part_and_other_weights_or_settings_are_measured_anew(measured, networks, monkeypatch):
    found, folder = measured
    x, y = measures.tables.inputs(networks["ours-a"].dataset, 12, "cpu")
    kept, asked = folder / "parts", []
    monkeypatch.setattr(measures, "predictors", lambda *args, **options: asked.append(1) or {"mean_J": [1.0, float("nan")]})
    settings = {"eps": [0.05, 0.1], "level": "quick", "effort": effort(), "seed": 0}

    def part(network, settings):
        return measures.network_part(network, network.model, x, y, settings, kept, 100)

    part(networks["ours-a"], settings)
    assert asked == []
    part(member(9, "ours"), settings)
    other = part(networks["ours-a"], settings | {"seed": 1})
    assert len(asked) == 2 and other["predictors"] == {"mean_J": [1.0, None]}
    path = measures._part("population", networks["ours-a"], settings, x, y, kept)
    path.write_bytes(path.read_bytes()[:-20])
    part(networks["ours-a"], settings)
    assert len(asked) == 3


def effort() -> dict:
    fields = [field.name for field in dataclasses.fields(measures.Effort)]
    return {name: SETTINGS[name] for name in fields}


def test_an_image_s_distance_is_the_first_size_that_breaks_it():
    unbroken = torch.tensor([[False, True, True, True], [False, False, True, True], [False, False, False, True]])
    wrong = torch.tensor([True, False, False, False])
    assert measures.first_broken(unbroken, wrong, [0.1, 0.2, 0.3]).tolist() == [0.0, 0.2, 0.3, np.inf]
    # broken at once, and not wrong
    assert measures.first_broken(unbroken[:, :1], ~wrong[:1], [0.1, 0.2, 0.3]).tolist() == [0.1]


def test_images_are_ranked_where_they_are_right_and_have_the_number():
    distance = np.array([0.0, 0.1, 0.2, 0.3, np.inf, 0.2, 0.1])
    of = {name: np.ones(7) for name in measures.POINTWISE} | {"distance": distance}
    of["l1_J"] = -np.minimum(distance, 0.4)
    of["clever"] = np.where(np.arange(7) < 4, 1.0, np.nan)
    found = measures.image_orders(of)
    # infinity is the largest distance; CLEVER of three right images is too little
    assert {name: leaf["mean"] for name, leaf in found.items()} == {"l1_J": 1} and found["l1_J"]["n"] == 6
    finite = of | {"S": np.array([9.0, 1, 2, 3, 4, 2.5, 1.5])}
    assert measures.image_orders(finite)["S"]["mean"] > 0.9


def test_image_by_image_the_ladder_begins_below_the_first_break(measured):
    found, _ = measured
    for role in SETTINGS["imagewise"]:
        distance = found.arrays[f"distance/{role}"]
        assert set(np.round(distance, 9)) <= {0.0, 0.1, 0.2, 0.3, np.inf}
        assert len(distance) == 16 and np.isfinite(found.arrays[f"clever/{role}"]).sum() == 6


@pytest.mark.parametrize(("change", "sentence"), [
    ({"imagewise": ["ours"]}, "imagewise holds ours; allowed are natural-a"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_work(networks, change, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        measures.measure(networks, **SETTINGS | change, device="cpu", store=tmp_path)


def test_networks_of_several_data_sets_or_of_one_recipe_are_refused(networks, tmp_path):
    first = networks["natural-a"]
    with pytest.raises(Refusal, match="models natural-a and natural-x have the same recipe; allowed are different ones"):
        measures.measure(networks | {"natural-x": first}, **SETTINGS, device="cpu", store=tmp_path)
    other = dataclasses.replace(networks["natural-b"], dataset=dataclasses.replace(first.dataset, name="others"))
    with pytest.raises(Refusal, match="models are of the data sets stripes, others; allowed is one"):
        measures.measure(networks | {"natural-x": other}, **SETTINGS, device="cpu", store=tmp_path)


# The pictures.


@pytest.fixture
def record(measured, networks):
    return written(measured[0], SETTINGS, list(networks))


def test_everything_is_drawn_from_the_record_alone(record):
    assert "Natural, a" in drawings.table(record) and drawings.table(record).count("<tr>") == 8
    for figure in (drawings.orders(record, ("across", "within")), drawings.scatter(record), drawings.images(record)):
        assert figure.axes
    assert "ε = 0.1" in texts(drawings.orders(record, ("across", "partial")))
    found = drawings.facts(record)
    assert found["networks"] == 7 and found["methods"] == "Natural, Ours" and found["smallest"] == "0.05"
    assert found["best_key"] in PROMISE and found["best_key"] not in ("clean", "logit_scale")


def test_orders_have_a_line_for_each_predictor_the_best_on_top(record):
    figure = drawings.orders(record, ("across", "within"))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    across = {
        names.PREDICTORS[name].label: of.get("0.05", {"mean": -2})["mean"] for name, of in record.values["across"].items()
    }
    assert [across.get(label, -2) for label in labels] == sorted((across.get(label, -2) for label in labels), reverse=True)
    dots = [len(of) for group in ("across", "within") for of in record.values[group].values()]
    assert sum(len(ax.containers) for ax in figure.axes) == sum(dots)


def test_a_group_that_is_too_small_leaves_its_marks_out(record):
    figure = drawings.orders(record, ("others", "penalised"))
    assert sum(len(ax.containers) for ax in figure.axes) == sum(len(of) for of in record.values["others"].values())


def test_every_network_has_a_mark_of_its_method(record):
    figure = drawings.scatter(record)
    assert len(figure.axes) == 4
    counts = [len(line.get_xdata()) for line in figure.axes[0].lines]
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert counts == [5, 2] and colours == [names.METHODS["natural"].colour, names.METHODS["ours"].colour]


def test_unbroken_images_stand_above_the_ladder(record):
    figure = drawings.images(record)
    for ax, role in zip(figure.axes, SETTINGS["imagewise"], strict=True):
        distance = record.arrays[f"distance/{role}"]
        dots = ax.lines[0].get_ydata()
        assert len(dots) == (distance > 0).sum()
        assert (dots > SETTINGS["reach"] + 1e-9).sum() == np.isinf(distance).sum()
    assert [ax.get_title() for ax in figure.axes] == ["Natural", "Ours"]
    assert isinstance(figure, plt.Figure)
