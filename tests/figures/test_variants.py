"""Variants of one recipe: ranges over seeds, differences seed by seed, and a row and a mark for each network."""

from figures.rows import ATTACKS, interval, record, table_values, texts, trained, written
from figures.test_robustness import FIRST, OTHER
from paperlib.drawings import style
from paperlib.drawings import variants as drawings
from paperlib.measures import variants as measures


def test_spread_is_the_range_over_seeds_and_needs_two():
    rows = {"ours-0": {"clean": interval(90.0), "bim": {"0.1": interval(10.0)}},
            "ours-1": {"clean": interval(96.0), "bim": {"0.1": interval(40.0)}},
            "ours-plain": {"clean": interval(10.0), "bim": {"0.1": interval(1.0)}},
            "natural-0": {"clean": interval(99.0)}, "l1 at 500": {"clean": interval(10.0)}}  # fmt: skip
    assert measures.spread(rows) == {"ours": {
        "clean": {"mean": 93.0, "low": 90.0, "high": 96.0, "n": 2},
        "bim": {"0.1": {"mean": 25.0, "low": 10.0, "high": 40.0, "n": 2}},
    }}  # fmt: skip


def test_seed_differences_average_equal_seeds_on_equal_images():
    of = {"ours-0": OTHER, "ours-1": FIRST, "crossentropy-0": FIRST, "crossentropy-1": FIRST}
    found = measures.seed_differences(of, "ours", "crossentropy")
    # two of four images gained on one of two seeds; two lost in the worst case
    assert found["bim"]["0.2"]["mean"] == 25 and found["worst"]["0.1"]["mean"] == -25 and found["clean"]["mean"] == 0
    assert found["bim"]["0.2"]["unit"] == "points" and found["bim"]["0.2"]["n"] == 4
    assert measures.seed_differences({"ours-0": OTHER, "crossentropy-0": FIRST}, "ours", "crossentropy") == {}
    del of["crossentropy-1"]
    assert measures.seed_differences(of, "ours", "crossentropy") == {}


SETTINGS = {"images": 16, "eps": [0.02, 0.1], "step_size": 0.02, "steps": 2, "pgd_steps": 2, "restarts": 1, "seed": 0}


def test_everything_is_drawn_from_the_record_alone(tmp_path):
    networks = {role: trained(seed) for seed, role in enumerate(("ours-0", "ours-1", "crossentropy-0", "crossentropy-1"))}
    measured = measures.measure(networks, **SETTINGS, device="cpu", store=tmp_path)
    assert list(measured.values) == [*networks, "spread", "ours_minus_crossentropy"]
    assert [(data.name, n) for data, n in measured.data] == [("stripes", 16)] and measured.seeds == {"attack": 0}
    assert len(measured.arrays["ours-1/worst/0.1"]) == 16 and measured.values["spread"]["ours"]["clean"]["n"] == 2
    found = written(measured, SETTINGS | {"labels": {"ours-0": "the first"}}, list(networks))
    html = drawings.accuracies(found)
    assert html.count("<tr>") == 5 and "the first" in html and "CrossEntropy, seed 1" in html
    assert [len(ax.containers) for ax in drawings.clean_and_worst(found).axes] == [4, 4]
    assert drawings.facts(found) == {"middle": "0.1", "sizes": "0.02, 0.1", "step": "0.02"}


def test_variants_have_a_row_each_and_a_name_each():
    parameters = {"eps": [0.1, 0.2], "step_size": 0.1, "labels": {"natural": "", "ours": "500 ‖∇S‖₁"}}
    colour = {"name": "cifar10", "n": 9, "pixel_scale": 255}
    found = record(table_values("0.1", "0.2"), parameters, roles=["natural", "ours"], data=colour)
    html = drawings.accuracies(found)
    assert html.count("<tr>") == 3 and html.count("<td>") == 2 * (1 + 2 * len(ATTACKS))
    assert "500 ‖∇S‖₁" in html and "<th>Natural</th>" in html and "ε = 0.2/255" in html
    assert style.seed_label("ours+advtrain-2") == "Ours+AdvTrain, seed 2" and style.seed_label("minmax") == "MinMax"
    figure = drawings.clean_and_worst(found)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Natural", "500 ‖∇S‖₁"]
    # each on a line of its own: no mark lies under another
    for ax in figure.axes:
        assert [bar.lines[0].get_ydata().tolist() for bar in ax.containers] == [[0], [1]]
    assert "worst case (%), ε = 0.2/255" in texts(figure)
