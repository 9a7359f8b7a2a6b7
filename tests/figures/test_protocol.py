"""What the settings of an attack change: exact for an affine network, and a row for each setting."""

import torch
from toys import images, labels_of, linear

from figures.rows import record, trained, written
from paperlib import indicator
from paperlib.drawings import protocol as drawings
from paperlib.measures import protocol as measures
from paperlib.objective import margins

WAYS = [f"{way}_{name}" for name in ("bim", "cw") for way in ("last", "any", "small", "long", "start")]


def test_ways_of_attacking_an_affine_network_are_told_by_its_margin():
    network = linear(torch.tensor([[1.0, -0.5] * 8, [-0.3, 0.7] * 8], dtype=torch.float64))
    x = images(40)
    y = labels_of(network, x)
    found = measures.protocols(network, x, y, eps=[0.01, 0.05], step_size=0.05, steps=3, long_steps=12)
    assert list(found) == WAYS
    reach = margins(network, x, y) / indicator.jacobian(network, x, y).flatten(1).abs().sum(1)
    for k, eps in enumerate((0.01, 0.05)):
        # with two classes S falls by eps |J|_1 at the corner, which three steps of eps/4 do not reach
        left, three_quarters = (100 * float((reach > part * eps).double().mean()) for part in (1, 0.75))
        assert {found[f"{way}_{name}"][k]["mean"] for way in ("last", "any", "long") for name in ("bim", "cw")} == {left}
        assert found["small_bim"][k]["mean"] == three_quarters >= found["start_bim"][k]["mean"] >= left
        assert 0 < left < three_quarters
    rows = {"ours": {way: {"0.01": row[0]} for way, row in found.items()}}
    settings = {"eps": [0.01], "step_size": 0.05, "steps": 3, "long_steps": 12}
    table = drawings.accuracies(record(rows, settings, roles=["ours"]))
    assert table.count("<tr>") == 11 and "12 smaller steps, random start, margin" in table
    assert "3 steps of 0.05, last iterate, cross-entropy" in table


def test_everything_is_drawn_from_the_record_alone():
    settings = {"images": 16, "eps": [1.0, 8.0], "step_size": 1.0, "steps": 2, "long_steps": 4, "seed": 0}
    networks = {"natural": trained(0, pixel_scale=255), "ours": trained(1, pixel_scale=255)}
    measured = measures.measure(networks, **settings, device="cpu")
    assert {role: list(of) for role, of in measured.values.items()} == dict.fromkeys(networks, WAYS)
    found = written(measured, settings, list(networks))
    table = drawings.accuracies(found)
    assert "2 steps of 1/255, any iterate, margin" in table and "Ours<br>ε = 8/255" in table
    assert drawings.facts(found) == {"middle": "8/255", "sizes": "1/255, 8/255", "step": "1/255"}
