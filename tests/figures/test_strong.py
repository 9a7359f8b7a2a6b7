"""The worst case beside AutoAttack: goes on from what is kept, and a line for each network and size."""

from dataclasses import asdict

import pytest
import torch

from figures.rows import interval, record, trained, written
from paperlib import cascade
from paperlib.drawings import strong as drawings
from paperlib.measures import strong as measures

SETTINGS = {
    "eps": [[0.02, 0.1], [1.0, 8.0]], "step_size": [0.02, 2.0], "images": [16, 12], "strong": [8, 6], "oracle": [4, 2],
    "hours": 0.0, "steps": 2, "pgd_steps": 2, "restarts": [1, 1], "level": "quick", "seed": 0,
}  # fmt: skip


def networks() -> dict:
    return {"colour-natural": trained(2, pixel_scale=255), "grey-natural": trained(0), "grey-ours": trained(1)}


def test_everything_is_drawn_from_the_record_alone(tmp_path):
    found = measures.measure(networks(), **SETTINGS, device="cpu", store=tmp_path)
    assert list(found.values) == [*networks(), "agreement", "cascade"] and found.seeds == {"attack": 0}
    # grey first, each once
    assert [(data.pixel_scale, n) for data, n in found.data] == [(1, 16), (255, 12)]
    assert found.values["grey-ours"]["bim"]["0.1"]["n"] == 4 and found.values["colour-natural"]["worst"]["8"]["n"] == 2
    again = written(found, SETTINGS, list(networks()))
    figure = drawings.dots(again)
    assert [ax.get_title() for ax in figure.axes] == ["grey images", "colour images"]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["Natural, 1/255", "Natural, 8/255"]
    assert drawings.agreement(again).count("<tr>") == 7 and drawings.stages(again).count("<tr>") == 3
    assert drawings.facts(again) == {"oracles": "4 and 2"}


def test_autoattack_is_asked_on_the_first_images_of_the_worst_case_and_until_the_hours_end(tmp_path, monkeypatch):
    asked = []

    def autoattack(model, x, y, *, eps, store, of, ends):
        asked.append((len(x), round(eps * 255, 9), store, of, ends))
        return torch.zeros(len(x), dtype=torch.bool)

    monkeypatch.setattr(measures, "autoattack", autoattack)
    monkeypatch.setattr(measures.time, "monotonic", lambda: 100.0)
    of = networks()["colour-natural"]
    found = measures.measure({"colour-natural": of}, **SETTINGS | {"hours": 0.5}, device="cpu", store=tmp_path)
    assert asked == [(2, eps, tmp_path / "oracle", of.sha256, 1900.0) for eps in (1.0, 8.0)]
    assert found.values["agreement"]["colour-natural"]["8"]["n"] == 2
    assert [n for _, n in found.data] == [12]


def test_the_stages_of_the_cascade_have_a_row_each():
    html = drawings.stages(record({"cascade": [asdict(stage) for stage in cascade.CASCADE]}, {}, roles=[]))
    assert html.count("<tr>") == 1 + len(cascade.CASCADE) and "nearest first" in html


@pytest.fixture
def two():
    """Two grey networks at two sizes, AutoAttack at one of them."""
    sizes = {eps: interval(50.0) for eps in ("0.1", "0.2")}
    row = dict.fromkeys(("bim", "several", "worst"), sizes)
    both = {"grey-natural": {}, "grey-ours": {"0.1": {"autoattack_alone": 1, "worst_alone": 7}}}
    rows = {"grey-natural": row, "grey-ours": row | {"autoattack": {"0.1": interval(40.0)}}}
    return record(rows | {"agreement": both}, {}, roles=list(rows))


def test_strengths_are_dots_on_a_line_for_each_network_and_size(two):
    (ax,) = drawings.dots(two).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Natural, 0.1", "Natural, 0.2", "Ours, 0.1", "Ours, 0.2"]
    assert len(ax.containers) == 4 * 3 + 1


def test_the_table_of_agreement_counts_what_one_alone_breaks(two):
    html = drawings.agreement(two)
    assert html.count("<tr>") == 5 and "<td>7</td>" in html
