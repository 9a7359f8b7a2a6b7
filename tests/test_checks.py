"""Networks as people have them: what makes their numbers wrong is refused or named, by the commands and by the library."""

import json
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys import images, stripes

from paperlib import data, evaluate, indicator
from paperlib.attack import attack
from paperlib.objective import right
from paperlib.reporting import checks, own, wrap
from paperlib.reporting.checks import examine
from paperlib.reporting.wrap import NetworkError, Wrapped
from paperlib.state import InputError, evaluating, modules_of

SPLIT = stripes(40)
DATASET = data.Dataset("stripes", SPLIT, SPLIT, SPLIT, classes=4, pixel_scale=1, sha256="0" * 64)


class Plain(nn.Module):
    """Right for all of ``SPLIT``: the mean of each quarter, through a ReLU."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        return self.gain * F.avg_pool2d(x, 4).flatten(1).relu()


class Around(Plain):
    """``f(network, images)`` around it."""

    def __init__(self, f):
        super().__init__()
        self.f, self.network = f, Plain()

    def forward(self, x):
        return self.f(self.network, x)


def kinds(found) -> list[str]:
    return [note.kind for note in found.notes]


def examined(f, split=SPLIT):
    return examine(Around(f), split.x, split.y, classes=4)


def test_a_sound_network_has_no_notes():
    found = examine(Plain(), SPLIT.x, SPLIT.y, classes=4)
    assert found.notes == [] and found.right.all() and found.finite.all() and found.sloped.all()


# Refused.


def repeated(network, x):
    if not torch.equal(x[:1], SPLIT.x[:1]):
        raise ValueError("unknown image")
    return network(x)


REFUSED = {
    "softmax": (lambda net, x: net(x).softmax(1), "at least 0 and sum to 1: they are probabilities"),
    "two sigmoids": (lambda net, x: torch.stack([(p := net(x)[:, 0].sigmoid()), 1 - p, 0 * p, 0 * p], 1), "sum to 1"),
    "dropout": (lambda net, x: net(F.dropout(x, 0.5)), "between two calls on the same images .*--average N"),
    "noise": (lambda net, x: net(x + 0.1 * torch.randn_like(x)), "between two calls on the same images"),
    "neighbours": (lambda net, x: net(x - x.mean((0, 2, 3), keepdim=True)), "with the other images of its batch"),
    "batch statistics": (lambda net, x: net(F.batch_norm(x, None, None, training=True)), "the other images of its batch"),
    "squeezed": (lambda net, x: net(x).unsqueeze(-1).squeeze(), r"40 images at once, but not one alone: .* \(4,\) for 1 im"),
    "fixed batch": (lambda net, x: net(x.view(40, 1, 8, 8)), "40 images at once, but not one alone: .* does not take"),
    "one alone": (lambda net, x: net(x.view(1, 1, 8, 8)), r"does not take images of shape \(1, 8, 8\)"),
    "tuple": (lambda net, x: (net(x), x), r"a tuple of 0 \(40, 4\), 1 \(40, 1, 8, 8\); name the logits with --logits"),
    "dictionary": (lambda net, x: {"out": net(x)}, r"a dict of out \(40, 4\); name the logits with --logits KEY"),
    "detached": (lambda net, x: net(x).detach(), "do not depend differentiably on the image"),
    "NaN": (lambda net, x: net(x) * torch.nan, "logits are not finite for 40 of 40 images"),
    "too few": (lambda net, x: net(x)[:, :3], r"returns \(40, 3\) for 40 images; allowed are logits \(40, K\) with K >= 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_every_number_wrong_is_refused_in_one_sentence(case):
    f, said = REFUSED[case]
    with pytest.raises(NetworkError, match=said) as caught:
        examined(f)
    assert "\n" not in str(caught.value)
    # the library's measurements check as the command does
    for measure, wanted in ((own.indicators, 0.1), (own.robustness, [0.1])):
        with pytest.raises(NetworkError, match=said):
            measure(Around(f), DATASET, SPLIT, eps=wanted)
    with pytest.raises(NetworkError):
        own.plane(Around(f), DATASET, SPLIT, image=0, eps=0.1, steps=3)


def test_one_image_is_enough_to_see_that_neighbours_matter():
    with pytest.raises(NetworkError, match="with the other images of its batch"):
        examine(Around(lambda net, x: net(x - x.mean(0))), SPLIT.x[:1], SPLIT.y[:1], classes=4)


def test_rounding_inside_the_network_is_not_taken_for_neighbours():
    def lowered(net, x):
        with torch.autocast("cpu", torch.bfloat16):
            return net.linear(x.flatten(1))

    network = Around(lowered)
    network.network.linear = nn.Linear(64, 4)
    assert set(kinds(examine(network, SPLIT.x, SPLIT.y, classes=4))) <= {"chance", "range"}


def test_half_precision_softmax_is_refused_too():
    with pytest.raises(NetworkError, match="probabilities"):
        examine(Around(lambda net, x: net(x).softmax(1)).bfloat16(), SPLIT.x, SPLIT.y, classes=4)


def test_images_that_round_a_perturbation_are_refused():
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(InputError, match=f"x has dtype {dtype}, which rounds a perturbation"):
            examine(Plain(), SPLIT.x.to(dtype), SPLIT.y, classes=4)


# Named.

NOTED = {
    "bounded": (lambda net, x: net(x).sigmoid(), "between 0 and 1"),
    "tanh": (lambda net, x: net(x).tanh(), "between -?[01] and 1"),
    "percent": (lambda net, x: 100 * net(x).softmax(1), "at least 0 and sum to 100"),
    "clipped logits": (lambda net, x: 20 * ((net(x) - 2) / 20).tanh(), "bounded at 20"),
    "in place": (lambda net, x: net(x.mul_(0.9)), "changes the images that it is given"),
    "in place unseen": (lambda net, x: net(x.data.mul_(0.9)), "changes the images|differentiably"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTED)
def test_what_a_reader_must_know_is_named(case):
    f, said = NOTED[case]
    before = SPLIT.x.clone()
    try:
        notes = [note.sentence for note in examined(f).notes]
    except NetworkError as error:
        notes = [str(error)]
    assert any(re.search(said, note) for note in notes), notes
    assert torch.equal(SPLIT.x, before)


def test_a_network_that_changes_its_images_gets_a_copy():
    def fading(net, x):
        x.data.mul_(0.9)
        return net(x)

    before = SPLIT.x.clone()
    found = own.robustness(Around(fading), DATASET, SPLIT, eps=[0.1], pgd_steps=3)
    plain = own.robustness(Around(lambda net, x: net(0.9 * x)), DATASET, SPLIT, eps=[0.1], pgd_steps=3)
    assert found["worst"] == plain["worst"] and torch.equal(SPLIT.x, before)
    assert [note["kind"] for note in found["notes"]] == ["in place"] and plain["notes"] == []


def test_a_gradient_of_zero_is_counted_named_and_left_out():
    # blind for dark images: those of label 0 are made so
    x = torch.where((SPLIT.y == 0)[:, None, None, None], SPLIT.x.round(), SPLIT.x)

    def half(net, images):
        dark = (images == images.round()).flatten(1).all(1).view(-1, 1, 1, 1)
        return net(torch.where(dark, images.round(), images))

    split = data.Split(x, SPLIT.y)
    found = examine(Around(half), x, SPLIT.y, classes=4)
    blind = (SPLIT.y == 0).nonzero()[:, 0].tolist()
    assert kinds(found) == ["zero gradient"] and found.notes[0].images == blind
    assert torch.equal(~found.sloped, SPLIT.y == 0)
    values = own.indicators(Around(half), DATASET, split, eps=0.1)
    assert values["linear_robust"]["n"] == values["linear_distance"]["n"] == 30
    assert values["linear_distance"]["median"] < 1 and "10 of 40 images" in values["notes"][0]["sentence"]
    # the library's own function says that it does not know
    assert indicator.report(Around(half), x, SPLIT.y, eps=0.1)["linear_distance"].isnan().tolist() == (SPLIT.y == 0).tolist()


def test_an_indicator_of_gradients_that_are_all_zero_is_refused_and_a_picture_says_so():
    rounded = Around(lambda net, x: net((15 * x).round() / 15))
    with pytest.raises(NetworkError, match="margin's gradient is zero for all 40 images: it says nothing of them"):
        own.indicators(rounded, DATASET, SPLIT, eps=0.1)
    plane = own.plane(rounded, DATASET, SPLIT, image=3, eps=0.1, steps=3)
    assert plane.blind and [note.kind for note in plane.notes] == ["zero gradient"]
    assert not own.plane(Plain(), DATASET, SPLIT, image=3, eps=0.1, steps=3).blind


def infinite(net, x):
    return net(x / x.amax((1, 2, 3), keepdim=True))


def test_an_image_without_finite_logits_is_never_right_and_named_everywhere():
    x = SPLIT.x.clone()
    x[17] = 0
    split, network = data.Split(x, SPLIT.y), Around(infinite)
    found = examine(network, x, SPLIT.y, classes=4)
    assert kinds(found) == ["not finite"] and found.notes[0].images == [17]
    assert found.finite.tolist() == [k != 17 for k in range(40)] and not found.right[17]
    assert not evaluate.correct(network, x, SPLIT.y)[17] and evaluate.correct(network, x, SPLIT.y).sum() == 39
    assert attack(network, x, SPLIT.y, eps=0.1, steps=2, step_size=0.1).success[17]
    _, flags = evaluate.robustness(network, x, SPLIT.y, eps=[0.01, 1.0], step_size=0.25)
    assert not any(flag[17] for flag in flags.values())
    values = own.robustness(network, DATASET, split, eps=[0.01], pgd_steps=2)
    shares = own.indicators(network, DATASET, split, eps=0.01)
    assert values["clean"]["n"] == 40 and values["worst"]["0.01"]["mean"] == 97.5
    assert shares["linear_robust"]["n"] == 40 and shares["linear_robust"]["mean"] == 97.5 and shares["S"]["n"] == 39
    for notes in (values["notes"], shares["notes"]):
        assert [(note["kind"], note["images"]) for note in notes] == [("not finite", [17])]


def test_right_needs_finite_logits():
    Z = torch.tensor([[2.0, 1], [torch.inf, 1], [torch.nan, torch.nan], [1, -torch.inf]])
    assert right(Z, torch.zeros(4, dtype=torch.long)).tolist() == [True, False, False, False]


FIRST = {
    "headless": (lambda net, x: 0 * net(x), "every class the same logit: its last layer seems to hold zeros"),
    "blind": (lambda net, x: 0 * net(x) + torch.arange(4), "all 40 images the same logits"),
    "chance": (lambda net, x: net(x).roll(1, 1), "guessing is right for 25.0 %"),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRST)
def test_the_gravest_is_said_first(case):
    f, said = FIRST[case]
    # an image changed in place is a lesser matter
    found = examined(lambda net, x: f(net, x.add_(0.001)))
    assert "in place" in kinds(found) and said in found.notes[0].sentence


def test_images_divided_twice_and_images_in_other_units_are_said_first():
    found = examine(Plain(), SPLIT.x / 255, SPLIT.y, classes=4)
    assert found.notes[0].kind == "scale" and "divided by 255 twice" in found.notes[0].sentence
    found = examined(lambda net, x: net(x - 100).add(0.01 * net(x)[:, [1, 0, 3, 2]] * (x.amax() <= 1)))
    assert [note.kind for note in found.notes[:2]] == ["chance", "range"]
    assert "with values of 0 to 255 the network is right for" in found.notes[1].sentence
    assert "which --mean 0 --std 0.003922 gives it" in found.notes[1].sentence
    # so given, it is right: an option brings the images into the network's units
    wrapped = Wrapped(Around(lambda net, x: net((x + 1) / 2).where(x.amin() < 0, 0 * net(x))), mean=(0.5,), std=(0.5,))
    assert examine(wrapped, SPLIT.x, SPLIT.y, classes=4).right.all()


def test_a_class_that_dominates_is_what_guessing_is_measured_by():
    y = torch.tensor([0] * 90 + [1] * 10)
    network = Around(lambda net, x: F.pad(net(x)[:, :1] + 1, (0, 3)))
    assert "guessing is right for 90.0 %" in examine(network, images(100, (1, 8, 8)).float(), y, classes=4).notes[0].sentence


# Chance, averaged.


def noisy(net, x):
    return net(x + 0.3 * torch.randn_like(x))


def test_a_random_network_is_averaged_when_asked_and_repeats():
    found = [own.indicators(Wrapped(Around(noisy), average=8, seed=seed), DATASET, SPLIT, eps=0.1) for seed in (0, 0, 1)]
    assert "the mean of 8 passes" in found[0]["notes"][0]["sentence"] and found[0]["made_of"]["average"] == 8
    assert found[0]["S"] == found[1]["S"] != found[2]["S"]


def test_chance_that_no_seed_fixes_is_said():
    random = np.random.default_rng(0)

    def unseeded(net, x):
        return net(x + torch.from_numpy(random.random(x.shape)).float())

    found = examine(Wrapped(Around(unseeded), average=2), SPLIT.x, SPLIT.y, classes=4)
    assert "no seed of torch's fixes its numbers" in found.notes[0].sentence


def test_torchs_own_random_numbers_go_on_as_if_nothing_had_been_examined():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    examine(Wrapped(Around(noisy), average=3), SPLIT.x, SPLIT.y, classes=4)
    assert torch.equal(torch.rand(2), expected)


# Memory, ranges, precision.


def test_the_batch_is_what_fits_into_memory(monkeypatch):
    # no rounding apart: double precision
    x, seen = SPLIT.x.double(), []

    def watched(net, batch):
        seen.append(len(batch))
        return net(batch)

    network = Around(watched).double()
    whole = own.indicators(network, DATASET, data.Split(x, SPLIT.y), eps=0.1)
    assert max(seen) == 40
    per_image = wrap.memory_of(Wrapped(network).once, x[:1])
    assert 64 * 8 <= per_image < 10_000
    monkeypatch.setattr(wrap, "available_memory", lambda device=None: 3 * 7 * per_image)
    seen.clear()
    parts = own.indicators(network, DATASET, data.Split(x, SPLIT.y), eps=0.1)
    # the first trials are made before the batch is known
    assert max(seen[seen.index(7) :]) == 7
    for name in ("S", "l1_J", "curvature", "linear_distance"):
        assert parts[name]["median"] == pytest.approx(whole[name]["median"], rel=1e-9)


def test_memory_that_runs_out_halves_the_batch_and_one_image_that_is_too_large_is_a_sentence():
    def short(net, x):
        if len(x) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return net(x)

    limit = 3
    network = Wrapped(Around(short))
    assert torch.equal(network(SPLIT.x), Plain()(SPLIT.x)) and network.batch == 2
    limit = 0
    with pytest.raises(NetworkError, match=r"one image of shape \(1, 8, 8\) does not fit into memory"):
        network(SPLIT.x)


def test_free_memory_is_a_number_of_bytes():
    assert 2**20 < wrap.available_memory() < 2**50


def test_a_network_that_asserts_its_range_is_measured_with_clipped_values():
    def strict(net, x):
        assert x.min() >= 0 and x.max() <= 1
        return net(x)

    values = own.indicators(Around(strict), DATASET, SPLIT, eps=0.1)
    assert [note["kind"] for note in values["notes"]] == ["clipped"] and math.isfinite(values["curvature"]["median"])
    assert own.robustness(Around(strict), DATASET, SPLIT, eps=[0.1], pgd_steps=2)["clean"]["mean"] == 100


def test_a_failure_in_the_middle_is_a_sentence():
    calls = []

    def tired(net, x):
        calls.append(len(x))
        if len(calls) > 30:
            raise RuntimeError("tired. More")
        return net(x)

    with pytest.raises(NetworkError, match=r"does not take images of shape \(1, 8, 8\) \(RuntimeError: tired\)$"):
        own.robustness(Around(tired), DATASET, SPLIT, eps=[0.1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_ball_is_kept_whatever_the_networks_precision(dtype):
    network = Wrapped(Plain().to(dtype))
    assert network(SPLIT.x).dtype == torch.float32
    found = attack(network, SPLIT.x, SPLIT.y, eps=0.03, steps=3, step_size=0.02)
    assert float((found.x - SPLIT.x).abs().max()) <= 0.03 * (1 + 1e-6)
    assert [n.kind for n in examine(network, SPLIT.x, SPLIT.y, classes=4).notes] == []


@pytest.mark.parametrize("classes", [2, 1000])
def test_two_classes_or_a_thousand(classes):
    y = SPLIT.y % 2
    network = Around(lambda net, x: F.pad(net(x)[:, :2] + net(x)[:, 2:], (0, classes - 2), value=-1.0))
    found = examine(network, SPLIT.x, y, classes=2)
    assert found.notes == [] and found.right.all()


def test_normalisation_is_done_before_the_network():
    network = Wrapped(Plain(), mean=(0.5,), std=(0.25,))
    assert torch.allclose(network(SPLIT.x), Plain()((SPLIT.x - 0.5) / 0.25))


@pytest.mark.parametrize("key", ["1", "out"])
def test_the_logits_of_a_tuple_or_dictionary_are_named(key):
    def several(net, x):
        return {"features": x, "out": net(x)} if key == "out" else (x, net(x))

    def named(f, logits: str):
        return examine(Wrapped(Around(f), logits=logits), SPLIT.x, SPLIT.y, classes=4)

    found = named(several, key)
    assert found.notes == [] and found.right.all()
    with pytest.raises(NetworkError, match="logits is 'other'; allowed are the entries that the network returns: "):
        named(several, "other")
    with pytest.raises(NetworkError, match="logits is 'out', but the network returns Tensor"):
        named(lambda net, x: net(x), "out")


# A network is left as it was found.


def closed_over() -> list:
    module = nn.Sequential(nn.BatchNorm2d(1), Plain()).train()

    def inner(x, net=module):
        return net(x)

    class Holder:
        def __init__(self):
            self.parts = {"net": module}

        def __call__(self, x):
            return self.parts["net"](x)

        def method(self, x):
            return self.parts["net"](x)

    from functools import partial

    return [(module, f) for f in (lambda x: module(x), inner, Holder(), Holder().method, partial(inner, net=module),
                                  partial(lambda x, net: net(x), net=module))]  # fmt: skip


def test_a_module_inside_any_callable_keeps_its_mode_and_statistics():
    for module, f in closed_over():
        assert module in modules_of(f)
        found = examine(f, SPLIT.x, SPLIT.y, classes=4)
        assert module.training and module[0].num_batches_tracked == 0 and "unseen" not in kinds(found)
        with evaluating(f):
            assert not module[0].training
        assert module[0].training


def test_what_cannot_be_promised_is_said():
    assert kinds(examine(lambda x: 10 * F.avg_pool2d(x, 4).flatten(1), SPLIT.x, SPLIT.y, classes=4)) == ["unseen"]

    class Counting(Plain):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.count += 1
            return super().forward(x)

    (note,) = examine(Counting(), SPLIT.x, SPLIT.y, classes=4).notes
    assert note.kind == "state" and "inside.0.count" in note.sentence


# Sizes, medians, provenance.


def test_sizes_are_written_in_two_ways():
    assert own.size("8/255", 255) == own.size("8", 255) == own.size("8/255", 1) == 8 / 255
    assert own.size("0.1", 1) == 0.1 and own.size(8.0, 255) == 8 / 255
    for wrong in ("8/0", "a", "8/255/2", "", "1/x"):
        with pytest.raises(InputError, match="size is .*; allowed is a number such as 0.1 or a fraction such as 8/255"):
            own.written(wrong)


def test_a_size_below_one_on_colour_images_is_noted():
    split = data.Split(SPLIT.x.repeat(1, 3, 1, 1), SPLIT.y)
    colour = data.Dataset("c", split, split, split, classes=4, pixel_scale=255, sha256="0")
    network = Around(lambda net, x: net(x.mean(1, keepdim=True)))
    noted = own.indicators(network, colour, colour.test, eps=0.031)
    (note,) = noted["notes"]
    assert note["kind"] == "size" and "the size 0.031 means 0.031/255 of the image range" in note["sentence"]
    found = own.indicators(network, colour, colour.test, eps=own.written("8/255"))
    assert found["notes"] == [] and found == own.indicators(network, colour, colour.test, eps=8.0)
    assert found["made_of"]["eps"] == 8 and found["made_of"]["unit"] == found["linear_distance"]["unit"] == "1/255"
    assert found["linear_robust"]["eps"] == 8


def test_medians_are_named_and_say_what_they_are_of():
    values = own.indicators(Plain(), DATASET, SPLIT, eps=0.1, seed=4, of="mine.py:network")
    assert "mean" not in values["S"] and values["S"]["low"] <= values["S"]["median"] <= values["S"]["high"]
    made_of = values["made_of"]
    assert made_of["network"] == "mine.py:network" and made_of["eps"] == 0.1 and made_of["seed"] == 4
    assert len(made_of["weights"]) == 64 and made_of["data"]["n"] == 40 and made_of["versions"]["paperlib"]
    other = Plain()
    with torch.no_grad():
        other.gain += 1
    assert own.indicators(other, DATASET, SPLIT, eps=0.1)["made_of"]["weights"] != made_of["weights"]
    json.dumps(values)


def test_missing_classes_are_noted():
    few = data.Split(SPLIT.x[:3], SPLIT.y[:3])
    (note,) = own.indicators(Plain(), DATASET, few, eps=0.1)["notes"]
    assert note["sentence"] == "the 3 images hold 3 of 4 classes"


def test_the_number_of_tried_images_is_bounded():
    assert checks.TRIED <= 64
