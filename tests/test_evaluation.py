"""One evaluation for all pages: the protocol on all images, the worst case on some, AutoAttack beside them."""

import torch
from toys import images, labels_of, relu_network

from paperlib import cascade, evaluate, intervals
from paperlib.evaluation import beside, evaluation

STAGES = (cascade.Stage("pgd", "pgd", "cross_entropy", 3), cascade.Stage("apgd-t", "apgd", "cw", 6, targets=2))
EPS = [5.1, 12.75]


def judged(**options):
    model, x = relu_network(), images(60)
    y = labels_of(model, x)
    settings = {"eps": EPS, "step_size": 2.55, "pixel_scale": 255, "steps": 3, "pgd_steps": 4, "strong": 24} | options
    return model, x, y, evaluation(model, x, y, cascade=STAGES, **settings)


def test_the_protocol_is_that_of_all_images_and_the_worst_case_that_of_the_chosen_ones():
    model, x, y, found = judged()
    options = {"eps": EPS, "step_size": 2.55, "pixel_scale": 255, "steps": 3, "pgd_steps": 4}
    row, flags = evaluate.robustness(model, x, y, generator=torch.Generator().manual_seed(0), **options)
    assert all(found.row[name] == row[name] for name in ("clean", "fgsm", "bim", "cw"))
    assert found.row["several"] == row["worst"]
    alone = cascade.worst_case(model, x[found.chosen], y[found.chosen], eps=[e / 255 for e in EPS], cascade=STAGES)
    for eps, left in zip(EPS, alone.unbroken, strict=True):
        expected = left & flags["worst", eps][found.chosen]
        assert torch.equal(found.flags["worst", eps], expected)
        assert found.row["worst"][f"{eps:g}"] == intervals.accuracy(expected)
    assert len(found.chosen) == 24 and len(set(found.chosen.tolist())) == 24


def test_on_the_chosen_images_the_worst_case_is_below_every_attack():
    _, _, _, found = judged()
    flags = found.on_chosen()
    for (attack, eps), flag in flags.items():
        if attack != "clean":
            assert not (flags["worst", eps] & ~flag).any(), attack


def test_the_summary_says_which_attack_broke_what_share():
    _, _, _, found = judged()
    told = found.summary()
    for eps in EPS:
        broken = told["broken"][f"{eps:g}"]
        assert list(broken) == ["pgd", "apgd-t", "several"]
        clean = 100 - told["clean"]["mean"]
        assert sum(broken.values()) + clean + found.row["worst"][f"{eps:g}"]["mean"] == torch.tensor(100.0)


def test_autoattack_stands_beside_the_others_on_the_images_it_had():
    _, _, _, found = judged()
    ours = found.flags["worst", EPS[0]][:10]
    theirs = ours.clone()
    theirs[0] = ~theirs[0]
    row, agreement = beside(found, {EPS[0]: theirs, EPS[1]: theirs[:0]}, 16)
    assert row["autoattack"].keys() == {"5.1"} and row["worst"]["5.1"]["n"] == 10 and row["worst"]["12.75"]["n"] == 16
    both = agreement["5.1"]
    assert both["autoattack_alone"] + both["worst_alone"] == 1 and both["n"] == 10 and "12.75" not in agreement
    assert both["both_leave"] == int((ours & theirs).sum())


def test_an_evaluation_is_kept_for_the_next_page(tmp_path, monkeypatch):
    _, _, _, first = judged(store=tmp_path, of=("a", "b"))
    calls = []
    monkeypatch.setattr(cascade, "attack", lambda *_, **__: calls.append(1))
    monkeypatch.setattr(evaluate, "attack", lambda *_, **__: calls.append(1))
    _, _, _, second = judged(store=tmp_path, of=("a", "b"))
    assert not calls and second.row == first.row
