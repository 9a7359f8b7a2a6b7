"""Accuracy under attack (Tables 1 and 2): differences on the same images, and the tables and curves of a record."""

import dataclasses
import re

import pytest
import torch
from toys import images, labels_of, relu_network

from figures.rows import ATTACKS, GREY, interval, record, table_values, texts, trained, written
from paperlib import cascade, names
from paperlib.drawings import robustness as drawings
from paperlib.measures import robustness as measures
from paperlib.measures.tables import Flags


def flags(*rows: tuple[str, float, str]) -> Flags:
    """(attack, eps, "1101") as flags."""
    return {(attack, eps): torch.tensor([c == "1" for c in text]) for attack, eps, text in rows}


FIRST = flags(("clean", 0.0, "1111"), ("bim", 0.1, "1110"), ("bim", 0.2, "1000"), ("worst", 0.1, "1100"))
OTHER = flags(("clean", 0.0, "1111"), ("bim", 0.1, "1110"), ("bim", 0.2, "1110"), ("worst", 0.1, "0000"))


def test_paired_differences_have_their_sign_and_their_place():
    found = measures.paired({"ours": OTHER, "natural": FIRST})
    assert found["ours_minus_natural"]["bim"]["0.2"]["mean"] == 50
    assert found["ours_minus_natural"]["worst"]["0.1"]["mean"] == -50
    assert found["ours_minus_natural"]["clean"]["mean"] == 0 and list(found) == ["ours_minus_natural"]


def test_falls_between_the_smallest_and_the_largest_eps():
    found = measures.paired({"crossentropy": FIRST, "ours": OTHER})
    assert found["decay"]["bim"]["mean"] == 50 and list(found["decay"]) == ["bim", "worst"]
    # the lead of MinMax over Ours grows by what Ours falls more
    assert measures.paired({"ours": FIRST, "minmax": OTHER})["exhaust"]["bim"]["mean"] == 50


def test_gains_over_the_natural_network():
    assert measures.gains({"natural": OTHER, "ours": FIRST})["ours"]["0.1"]["mean"] == 50


def test_gradients_vanish_where_the_loss_saturates():
    model, x = relu_network(), images()
    y = labels_of(model, x)
    # logits a hundred times larger: the loss saturates
    found = measures.vanished({"natural": model, "steep": lambda z: 100 * model(z)}, x, y, below=1e-6)
    assert found["natural"]["mean"] == 0 and found["steep"]["mean"] > 0
    assert found["median"]["steep"]["mean"] < found["median"]["natural"]["mean"]
    assert measures.vanished({"natural": model}, x, y, below=1e9)["natural"]["mean"] == 100


def test_indicator_ranks_networks_by_their_slopes():
    model, x = relu_network(), images()
    y = labels_of(model, x)
    networks = {"natural": model, "flat": lambda z: 0.1 * model(z), "flatter": lambda z: 0.01 * model(z)}
    right = torch.ones(len(x), dtype=torch.bool)
    unbroken = {"natural": 1, "flat": 3, "flatter": 5}
    of = {name: {("clean", 0.0): right, ("worst", 0.1): torch.arange(len(x)) < n} for name, n in unbroken.items()}
    found = measures.indicators(networks, x, y, of, 0.1)
    assert found["spearman"]["magnitude"] == pytest.approx(1)
    assert found["mean"]["natural"]["mean"] == pytest.approx(100 * found["mean"]["flatter"]["mean"])
    # margin over slope does not see the scale of the logits
    assert len({round(leaf["mean"], 9) for leaf in found["distance"].values()}) == 1


SETTINGS = {
    "images": 16, "strong": 8, "level": "quick", "eps": [0.02, 0.1], "step_size": 0.02, "steps": 2, "pgd_steps": 2,
    "restarts": 1, "masking_images": 6, "masking_steps": 2, "vanishing": 1e-6, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Two networks, measured once."""
    networks = {"natural": trained(0), "ours": trained(1)}
    return measures.measure(networks, **SETTINGS, device="cpu", store=tmp_path_factory.mktemp("build"))


def test_a_measurement_holds_rows_differences_and_flags(judged):
    assert list(judged.values) == ["natural", "ours", "paired", "gain", "masking", "vanishing", "indicator", "cascade"]
    assert [judged.values["ours"][attack]["0.1"]["n"] for attack in ("bim", "several", "worst")] == [16, 16, 8]
    (data, n), *rest = judged.data
    assert (data.name, n, rest, judged.seeds) == ("stripes", 16, [], {"attack": 0})
    assert judged.arrays["worst_images"].tolist() == list(range(8))
    for role in ("natural", "ours"):
        for attack, size in (("clean", "0"), ("bim", "0.02"), ("worst", "0.1")):
            row = judged.values[role][attack]
            leaf, flag = row if attack == "clean" else row[size], judged.arrays[f"{role}/{attack}/{size}"]
            assert leaf["mean"] == pytest.approx(100 * flag.mean()) and len(flag) == leaf["n"]


def test_a_second_measurement_takes_what_the_first_has_kept(tmp_path, monkeypatch):
    networks = {"natural": trained(0)}
    first = measures.measure(networks, **SETTINGS, device="cpu", store=tmp_path)
    monkeypatch.setattr("paperlib.evaluate.ATTACKS", measures.evaluate.ATTACKS | {"bim": None})
    monkeypatch.setattr(measures, "maskings", lambda *args, **options: first.values["masking"])
    assert measures.measure(networks, **SETTINGS, device="cpu", store=tmp_path).values == first.values


def test_everything_is_drawn_from_the_record_alone(judged):
    found = written(judged, SETTINGS, ["natural", "ours"])
    assert drawings.accuracies(found).count("<tr>") == 2 + 2 * len(ATTACKS)
    assert "8 images" in drawings.accuracies(found)
    assert len(drawings.curves(found).axes) == 4 and len(drawings.ranks(found).axes) == 2
    assert drawings.masking(found).count("<tr>") == 10 and "adaptive steps" in drawings.cascade(found)
    assert drawings.facts(found) == {"middle": "0.1", "sizes": "0.02, 0.1", "step": "0.02", "vanished": "1e-06"}
    colour = dataclasses.replace(found, data=found.data | {"pixel_scale": 255})
    assert drawings.facts(colour)["sizes"] == "0.02/255, 0.1/255"


STATED = {"natural": {"clean": 99.1, "bim": {"0.1": 22.5, "0.2": 0.0}}}
MNIST = GREY | {"name": "mnist"}


def of_table(*sizes: str, roles: tuple[str, ...] = ("natural", "ours"), data: dict = MNIST):
    parameters = {"eps": [float(size) for size in sizes], "step_size": 0.1}
    return record(table_values(*sizes), parameters, roles=list(roles), data=data, stated=STATED)


def test_table_has_the_papers_numbers_and_differences_where_comparable():
    html = drawings.accuracies(of_table("0.1", "0.2"))
    assert html.count("<tr>") == 1 + 1 + 2 * len(ATTACKS)
    assert html.count("show intervals") == 1 and html.count('class="interval"><br>[') == html.count("<td")
    plain = re.sub("<[^>]*>", "", html)
    assert "paper 99.1 (-1.1)" in plain and "paper 22.5 (+27.5)" in plain and plain.count("paper") == 3


def test_table_gives_no_difference_between_different_sizes_or_images():
    html = drawings.accuracies(of_table("0.05", "0.1", roles=("natural",)))
    assert "paper: ε = 0.1" in html and "paper 22.5<" in html and "(+" not in html
    assert "(" not in drawings.accuracies(of_table("0.1", "0.2", roles=("natural",), data=GREY))


def test_accuracy_curves_start_at_the_clean_accuracy():
    figure = drawings.curves(of_table("0.1", "0.2"))
    assert [ax.get_title() for ax in figure.axes] == [
        names.ATTACKS[attack].label for attack in ATTACKS if attack != "several"
    ]
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 0.1, 0.2] and line.get_ydata().tolist() == [98, 50, 50]
    # the paper has BIM on Natural only
    assert [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in figure.axes] == [0, 0, 1, 0]
    assert "Ours" in texts(figure)
    assert "ε (steps of 1/255)" in texts(drawings.curves(of_table("1", "2", data=GREY | {"pixel_scale": 255})))


@pytest.mark.parametrize(("sizes", "data"), [(("0.05", "0.1"), MNIST), (("0.1", "0.2"), GREY)])
def test_curves_of_other_sizes_or_images_stand_without_the_papers(sizes, data):
    figure = drawings.curves(of_table(*sizes, data=data))
    assert not [line for ax in figure.axes for line in ax.lines if line.get_linestyle() == "--"]


def test_ranks_have_a_point_for_each_network():
    of = {"natural": interval(4.0), "ours": interval(2.5)}
    values = table_values("0.1") | {"indicator": {"mean": of, "distance": of}}
    figure = drawings.ranks(record(values, {"eps": [0.1]}, roles=list(of)))
    assert [len(ax.containers) for ax in figure.axes] == [2, 2]


MASKING = (
    "zero_gradient", "fgsm_minus_bim", "noise", "unbounded", "cw_minus_ce", "square_alone", "targeted_minus_untargeted",
    "adaptive_minus_fixed", "still_rising",
)  # fmt: skip


def test_masking_table_has_a_row_for_each_check_and_a_column_for_each_network():
    row = dict.fromkeys(MASKING, 1.25)
    html = drawings.masking(record({"masking": {"natural": row, "ours": row}}, {}, roles=["natural", "ours"]))
    assert html.count("<tr>") == 10 and html.count("<td>1.2</td>") == 18


def test_the_cascade_s_table_names_every_stage():
    broken = {"0.1": {stage.name: 2.5 for stage in cascade.CASCADE} | {"several": 0.0}}
    html = drawings.cascade(record({"cascade": {"ours": {"broken": broken}}}, {"eps": [0.1]}, roles=["ours"]))
    assert html.count("<tr>") == 2 + len(cascade.CASCADE) and html.count("2.5") == len(cascade.CASCADE)
