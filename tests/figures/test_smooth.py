"""Strengths chosen alike for every activation on held-out images, and what is said of the chosen."""

import pytest
import torch

from figures.rows import texts, trained, written
from paperlib.drawings import smooth as drawings
from paperlib.measures import smooth as measures
from paperlib.measures.smooth import Candidate

ROLES = ("natural-relu-0", "ours-relu-0.1", "ours-relu-0.2", "ours-silu-0.1", "ours-silu-0.2")


def candidate(role: str, clean: float, worst: float) -> Candidate:
    leaf = {"low": 0.0, "high": 100.0, "n": 9}
    return Candidate(role, leaf | {"mean": clean}, leaf | {"mean": worst})


def test_the_best_worst_case_is_chosen_among_the_clean_and_the_cleanest_where_none_is():
    found = [
        candidate("natural-relu-0", 98, 0),
        candidate("ours-relu-0.1", 97.5, 20),
        candidate("ours-relu-0.2", 97, 30),
        candidate("ours-relu-0.3", 90, 60),
        candidate("ours-silu-0.1", 96, 70),
        candidate("ours-silu-0.2", 95, 80),
    ]
    by_role = {each.role: each for each in found}
    assert measures.choose(by_role, 97.0) == ["natural-relu-0", "ours-relu-0.2", "ours-silu-0.1"]
    assert measures.choose(by_role, 80.0) == ["natural-relu-0", "ours-relu-0.3", "ours-silu-0.2"]
    assert measures.nested({"ours-silu-0.1": 1, "ours-silu-0.2": 2}, 3) == {"ours": {"silu": {"0.1": 1, "0.2": 2}}}
    with pytest.raises(ValueError, match="role is 'ours'; allowed is METHOD-ACTIVATION-STRENGTH"):
        measures.parts("ours")


def test_gains_are_over_the_relu_network_of_the_same_method():
    few, many = torch.tensor([1, 0, 0, 0]).bool(), torch.tensor([1, 1, 1, 0]).bool()
    flags = {role: {("clean", 0.0): many, ("worst", 0.1): of} for role, of in
             (("ours-relu-1", few), ("ours-silu-1", many), ("minmax-silu-1", many), ("natural-relu-0", many))}  # fmt: skip
    found = measures.gains(flags)
    assert list(found) == ["ours"] and list(found["ours"]) == ["silu"]
    assert found["ours"]["silu"]["worst"]["0.1"]["mean"] == 50 and found["ours"]["silu"]["clean"]["mean"] == 0
    held_out = {"ours-relu-1": candidate("ours-relu-1", 98, 10), "ours-silu-1": candidate("ours-silu-1", 98, 20)}
    best = measures.best(held_out, flags, {"ours-silu-1": {"unbounded": 3.0}}, {"ours-silu-1": {"clean": 1}})
    assert best["ours"]["activation"] == "silu" and best["ours"]["masking"] == {"unbounded": 3.0}
    assert best["ours"]["gain"]["worst"]["0.1"]["mean"] == 50


SETTINGS = {
    "images": 16, "strong": 8, "level": "quick", "held_out": 9, "slack": 100.0, "eps": [0.02, 0.1], "step_size": 0.02,
    "steps": 2, "pgd_steps": 2, "restarts": 1, "masking_images": 4, "masking_steps": 2, "rounds": 2, "batches": 1, "seed": 0,
}  # fmt: skip


def test_everything_is_drawn_from_the_record_alone(tmp_path):
    networks = {role: trained(seed) for seed, role in enumerate(ROLES)}
    measured = measures.measure(networks, **SETTINGS, device="cpu", store=tmp_path)
    values = measured.values
    assert list(values) == ["candidates", "chosen", "rows", "masking", "gain", "best", "epoch"]
    assert list(values["candidates"]["ours"]["silu"]) == ["0.1", "0.2"] and values["chosen"]["natural"] == {"relu": "0"}
    assert set(values["rows"]["ours"]) == {"relu", "silu"} == set(values["epoch"]["ours"])
    assert values["epoch"]["ours"]["relu"]["mean"] == 1 and values["epoch"]["ours"]["silu"]["unit"] == "×"
    worst = {c: each["worst"]["mean"] for c, each in values["candidates"]["ours"]["silu"].items()}
    assert worst[values["chosen"]["ours"]["silu"]] == max(worst.values())
    found = written(measured, SETTINGS, list(ROLES))
    html = drawings.rows(found)
    assert html.count("<tr>") == 4 and "Ours, SiLU" in html and "c = " in html
    figure = drawings.candidates(found)
    assert [len(ax.lines) for ax in figure.axes] == [4] and "chosen" in [text.get_text() for text in figure.legends[0].texts]
    assert [len(ax.containers) for ax in drawings.chosen(found).axes] == [2] and "Ours" in texts(figure)
