"""The numbers of the notebooks against networks whose slopes, distances and accuracies are known by hand."""

import matplotlib.pyplot as plt
import pytest
import torch
from toys import images, labels_of, linear, relu_network

from paperlib import cascade, indicator, intervals
from paperlib.drawings import protocol as protocol_drawings
from paperlib.drawings import robustness as robustness_drawings
from paperlib.drawings import strong, style
from paperlib.drawings import variants as variants_drawings
from paperlib.measures import protocol as protocol_measures
from paperlib.measures import robustness as robustness_measures
from paperlib.measures import variants as variants_measures
from paperlib.numbers import formatted
from press.page import words


def affine(d: int = 16, classes: int = 3, seed: int = 0):
    W = torch.randn(classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return linear(W), W


# Accuracy under attack (Tables 1 and 2).


def flags(*rows: tuple[str, float, str]) -> robustness_measures.Flags:
    """(attack, eps, "1101") as flags."""
    return {(attack, eps): torch.tensor([c == "1" for c in text]) for attack, eps, text in rows}


FIRST = flags(("clean", 0.0, "1111"), ("bim", 0.1, "1110"), ("bim", 0.2, "1000"), ("worst", 0.1, "1100"))
OTHER = flags(("clean", 0.0, "1111"), ("bim", 0.1, "1110"), ("bim", 0.2, "1110"), ("worst", 0.1, "0000"))


def test_paired_differences_have_their_sign_and_their_place():
    found = robustness_measures.paired({"ours": OTHER, "natural": FIRST})
    assert found["ours_minus_natural"]["bim"]["0.2"]["mean"] == 50
    assert found["ours_minus_natural"]["worst"]["0.1"]["mean"] == -50
    assert found["ours_minus_natural"]["clean"]["mean"] == 0 and list(found) == ["ours_minus_natural"]


def test_falls_between_the_smallest_and_the_largest_eps():
    found = robustness_measures.paired({"crossentropy": FIRST, "ours": OTHER})
    assert found["decay"]["bim"]["mean"] == 50 and list(found["decay"]) == ["bim", "worst"]
    # the lead of MinMax over Ours grows by what Ours falls more
    assert robustness_measures.paired({"ours": FIRST, "minmax": OTHER})["exhaust"]["bim"]["mean"] == 50


def test_gains_over_the_natural_network():
    assert robustness_measures.gains({"natural": OTHER, "ours": FIRST})["ours"]["0.1"]["mean"] == 50


def test_numbered_sizes_are_in_rising_order():
    values = {"bim": {"0.2": 1, "0.1": 2, "0.15": {"mean": 3}}, "clean": 4}
    assert words.numbered(values) == {"bim": {"@0": 2, "@1": {"mean": 3}, "@2": 1}, "clean": 4}


def test_gradients_vanish_where_the_loss_saturates():
    model, x = relu_network(), images()
    y = labels_of(model, x)
    # logits a hundred times larger: the loss saturates
    found = robustness_measures.vanishing({"natural": model, "steep": lambda z: 100 * model(z)}, x, y, below=1e-6)
    assert found["natural"]["mean"] == 0 and found["steep"]["mean"] > 0
    assert found["median"]["steep"]["mean"] < found["median"]["natural"]["mean"]
    assert robustness_measures.vanishing({"natural": model}, x, y, below=1e9)["natural"]["mean"] == 100


@pytest.mark.parametrize(("score", "positive", "expected"), [
    ([1.0, 2.0, 3.0], [False, False, True], 1.0), ([1.0, 2.0, 3.0], [True, False, False], 0.0),
    ([1.0, 1.0], [True, False], 0.5), ([1.0, 2.0, 2.0, 3.0], [False, True, False, True], 0.875),
    ([1.0, 2.0], [True, True], None),
])  # fmt: skip
def test_auc_is_the_chance_of_the_right_order(score, positive, expected):
    assert intervals.auc(torch.tensor(score), torch.tensor(positive)) == expected


def test_indicator_ranks_networks_by_their_slopes():
    model, x = relu_network(), images()
    y = labels_of(model, x)
    networks = {"natural": model, "flat": lambda z: 0.1 * model(z), "flatter": lambda z: 0.01 * model(z)}
    right = torch.ones(len(x), dtype=torch.bool)
    unbroken = {"natural": 1, "flat": 3, "flatter": 5}
    of = {name: {("clean", 0.0): right, ("worst", 0.1): torch.arange(len(x)) < n} for name, n in unbroken.items()}
    found = robustness_measures.indicators(networks, x, y, of, 0.1)
    assert found["spearman"]["magnitude"] == pytest.approx(1)
    assert found["mean"]["natural"]["mean"] == pytest.approx(100 * found["mean"]["flatter"]["mean"])
    # margin over slope does not see the scale of the logits
    assert len({round(leaf["mean"], 9) for leaf in found["distance"].values()}) == 1


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


def interval(mean: float) -> dict:
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 9}


def table_values(*sizes: str) -> dict:
    of = {attack: {eps: interval(50.0) for eps in sizes} for attack in style.ATTACKS}
    return {"natural": {"clean": interval(98.0)} | of, "ours": {"clean": interval(97.0)} | of}


STATED = {"natural": {"clean": 99.1, "bim": {"0.1": 22.5, "0.2": 0.0}}}


def test_table_has_the_papers_numbers_and_differences_where_comparable():
    values = table_values("0.1", "0.2")
    html = robustness_drawings.robustness_table(values, STATED, ["natural", "ours"], comparable=True)
    assert html.count("<tr>") == 1 + 1 + 2 * len(style.ATTACKS)
    assert "paper 99.1 (-1.1)" in html and "paper 22.5 (+27.5)" in html and html.count("paper") == 3


def test_table_gives_no_difference_between_different_sizes_or_images():
    values = table_values("0.05", "0.1")
    html = robustness_drawings.robustness_table(values, STATED, ["natural"], comparable=True)
    assert "paper: ε = 0.1" in html and "paper 22.5<" in html and "(+" not in html
    assert "(" not in robustness_drawings.robustness_table(table_values("0.1", "0.2"), STATED, ["natural"], comparable=False)


# Variants of one recipe.


def test_spread_is_the_range_over_seeds_and_needs_two():
    rows = {"ours-0": {"clean": interval(90.0), "bim": {"0.1": interval(10.0)}},
            "ours-1": {"clean": interval(96.0), "bim": {"0.1": interval(40.0)}},
            "ours-plain": {"clean": interval(10.0), "bim": {"0.1": interval(1.0)}},
            "natural-0": {"clean": interval(99.0)}, "l1 at 500": {"clean": interval(10.0)}}  # fmt: skip
    assert variants_measures.spread(rows) == {"ours": {"clean": {"mean": 93.0, "low": 90.0, "high": 96.0, "n": 2},
                                           "bim": {"0.1": {"mean": 25.0, "low": 10.0, "high": 40.0, "n": 2}}}}  # fmt: skip


def test_seed_differences_average_equal_seeds_on_equal_images():
    of = {"ours-0": OTHER, "ours-1": FIRST, "crossentropy-0": FIRST, "crossentropy-1": FIRST}
    found = variants_measures.seed_differences(of, "ours", "crossentropy")
    # two of four images gained on one of two seeds; two lost in the worst case
    assert found["bim"]["0.2"]["mean"] == 25 and found["worst"]["0.1"]["mean"] == -25 and found["clean"]["mean"] == 0
    assert found["bim"]["0.2"]["unit"] == "points" and found["bim"]["0.2"]["n"] == 4
    assert variants_measures.seed_differences({"ours-0": OTHER, "crossentropy-0": FIRST}, "ours", "crossentropy") == {}
    del of["crossentropy-1"]
    assert variants_measures.seed_differences(of, "ours", "crossentropy") == {}


def test_ways_of_attacking_an_affine_network_are_told_by_its_margin():
    network = linear(torch.tensor([[1.0, -0.5] * 8, [-0.3, 0.7] * 8], dtype=torch.float64))
    x = images(40)
    y = labels_of(network, x)
    found = protocol_measures.protocols(network, x, y, eps=[0.01, 0.05], step_size=0.05, steps=3, long_steps=12)
    assert list(found) == [f"{way}_{name}" for name in ("bim", "cw") for way in ("last", "any", "small", "long", "start")]
    reach = robustness_measures.margins(network, x, y) / indicator.jacobian(network, x, y).flatten(1).abs().sum(1)
    for k, eps in enumerate((0.01, 0.05)):
        # with two classes S falls by eps |J|_1 at the corner, which three steps of eps/4 do not reach
        left, three_quarters = (100 * float((reach > part * eps).double().mean()) for part in (1, 0.75))
        assert {found[f"{way}_{name}"][k]["mean"] for way in ("last", "any", "long") for name in ("bim", "cw")} == {left}
        assert found["small_bim"][k]["mean"] == three_quarters >= found["start_bim"][k]["mean"] >= left
        assert 0 < left < three_quarters
    rows = {"ours": {way: {"0.01": row[0]} for way, row in found.items()}}
    table = protocol_drawings.protocol_table(rows, steps=3, long_steps=12, step="0.05")
    assert table.count("<tr>") == 11 and "12 smaller steps, random start, margin" in table


def test_variants_have_a_row_each_and_a_name_each():
    values = table_values("0.1", "0.2")
    html = variants_drawings.variants_table(values, {"natural": "Natural", "ours": "500 ‖∇S‖₁"}, unit="/255")
    assert html.count("<tr>") == 3 and html.count("<td>") == 2 * (1 + 2 * len(style.ATTACKS))
    assert "500 ‖∇S‖₁" in html and "ε = 0.2/255" in html
    assert style.seed_label("ours+advtrain-2") == "Ours+AdvTrain, seed 2" and style.seed_label("minmax") == "MinMax"
    figure = variants_drawings.clean_against_worst(values, {"natural": "Natural", "ours": "Ours"}, eps="0.2")
    assert len(figure.axes[0].containers) == 2 and "ε = 0.2" in texts(figure)


# The pictures: one line, one panel or one word for each thing that there is to see.


def texts(figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(plt.Text) if text.get_visible())


@pytest.fixture(autouse=True)
def closed_figures():
    """No figure outlives its test."""
    yield
    plt.close("all")


def test_accuracy_curves_start_at_the_clean_accuracy():
    figure = robustness_drawings.accuracy_curves(table_values("0.1", "0.2"), ["natural", "ours"], unit="/255", stated=STATED)
    assert [ax.get_title() for ax in figure.axes] == [
        title for attack, title in style.ATTACKS.items() if attack != "several"
    ]
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 0.1, 0.2] and line.get_ydata().tolist() == [98, 50, 50]
    # the paper has BIM on Natural only
    assert [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in figure.axes] == [0, 0, 1, 0]
    assert "ε (steps of 1/255)" in texts(figure) and "Ours" in texts(figure)


def test_indicator_ranks_have_a_point_for_each_network():
    of = {"natural": interval(4.0), "ours": interval(2.5)}
    figure = robustness_drawings.indicator_ranks({"mean": of, "distance": of}, {name: interval(50.0) for name in of})
    assert [len(ax.containers) for ax in figure.axes] == [2, 2]


MASKING = (
    "zero_gradient", "fgsm_minus_bim", "noise", "unbounded", "cw_minus_ce", "square_alone", "targeted_minus_untargeted",
    "adaptive_minus_fixed", "still_rising",
)  # fmt: skip


def test_masking_table_has_a_row_for_each_check_and_a_column_for_each_network():
    row = dict.fromkeys(MASKING, 1.25)
    html = robustness_drawings.masking_table({"natural": row, "ours": row})
    assert html.count("<tr>") == 10 and html.count("<td>1.2</td>") == 18


def test_the_cascade_s_tables_name_every_stage():
    broken = {"0.1": {stage.name: 2.5 for stage in cascade.CASCADE} | {"several": 0.0}}
    html = robustness_drawings.cascade_table({"ours": {"broken": broken}}, "0.1")
    assert html.count("<tr>") == 2 + len(cascade.CASCADE) and html.count("2.5") == len(cascade.CASCADE)
    html = strong.stages_table(cascade.CASCADE)
    assert html.count("<tr>") == 1 + len(cascade.CASCADE) and "nearest first" in html


def test_strengths_are_dots_on_a_line_for_each_network_and_size():
    sizes = {eps: interval(50.0) for eps in ("0.1", "0.2")}
    row = dict.fromkeys(("bim", "several", "worst"), sizes)
    rows = {"grey-natural": row, "grey-ours": row | {"autoattack": {"0.1": interval(40.0)}}}
    figure = strong.strong_dots(rows, {0: ""}, dict.fromkeys(rows, 0))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Natural, 0.1", "Natural, 0.2", "Ours, 0.1", "Ours, 0.2"]
    assert len(ax.containers) == 4 * 3 + 1
    both = {"grey-natural": {}, "grey-ours": {"0.1": {"autoattack_alone": 1, "worst_alone": 7}}}
    html = strong.agreement_table(rows, both, {0: ""}, dict.fromkeys(rows, 0))
    assert html.count("<tr>") == 5 and "<td>7</td>" in html
