"""Gradients in half precision: what is told of an attack is still single precision's."""

import itertools
from threading import Lock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import images, labels_of, linear, relu_network, seeded

from paperlib import precision
from paperlib.attack import apgd, attack, bim, pgd
from paperlib.model import build
from paperlib.objective import ATTACKED, decision
from paperlib.reporting.wrap import Wrapped
from paperlib.tracker import Path, Rise, Success


def setting(n: int = 20):
    model, x = relu_network().float(), images(n, dtype=torch.float32)
    return model, x, labels_of(model, x)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(ATTACKED), norm=st.sampled_from(["linf", "l2"]), eps=st.sampled_from([0.0, 0.1, 0.5]),
    random_start=st.booleans(), stop=st.booleans(), adaptive=st.booleans(), seed=st.integers(0, 50),
)  # fmt: skip
def test_every_iterate_stays_in_the_ball_and_every_verdict_is_the_networks(
    name, norm, eps, random_start, stop, adaptive, seed
):
    model, x, y = setting(6)
    path = Path(x, 4)
    found = attack(
        model, x, y, eps=eps, steps=4, step_size=0.1, objective=name, norm=norm, random_start=random_start,
        restarts=2 if random_start else 1, stop_at_success=stop, adaptive=adaptive, tracker=path, precision="half",
        generator=seeded(seed),
    )  # fmt: skip
    iterates = torch.cat([path.points, found.x[None]])
    delta = (iterates - x).flatten(2)
    assert iterates.min() >= 0 and iterates.max() <= 1
    assert (delta.abs().amax(2) if norm == "linf" else delta.norm(dim=2)).max() <= eps + 1e-6
    assert found.x.dtype == torch.float32
    assert torch.equal(found.success, model(found.x).argmax(1) != y)


@pytest.mark.parametrize("stop", [True, False])
def test_what_a_tracker_sees_is_single_precisions(stop):
    model, x, y = setting()
    path, rise, success = Path(x, 8), Rise(20, 8), Success(20)
    options = {"eps": 0.15, "steps": 8, "step_size": 0.02, "objective": "cw", "stop_at_success": stop, "precision": "half"}
    for tracker in (path, rise, success):
        attack(model, x, y, tracker=tracker, **options)
    wrong = torch.stack([model(iterate).argmax(1) != y for iterate in path.points])
    assert success.first.tolist() == [float(c.nonzero()[0]) if c.any() else float("inf") for c in wrong.T]
    expected = torch.stack([-decision(model(iterate), y) for iterate in path.points]).detach()
    there = ~rise.values.isnan()
    assert there[0].all() and torch.allclose(rise.values[there], expected[there], atol=1e-6)


@pytest.mark.parametrize("run", [bim, pgd, apgd])
def test_a_run_is_repeated_bit_by_bit_and_is_as_strong(run):
    model, x, y = setting(200)
    options = {"eps": 0.06, "steps": 10} | ({} if run is apgd else {"step_size": 0.02})
    one, again, single = (
        run(model, x, y, precision=name, **options, **({"generator": seeded()} if run is pgd else {}))
        for name in ("half", "half", "single")
    )
    assert torch.equal(one.x, again.x) and torch.equal(one.success, again.success)
    assert not torch.equal(one.x, single.x)
    assert abs(float(one.success.double().mean() - single.success.double().mean())) <= 0.03


def test_on_a_linear_network_half_precision_climbs_the_same_way():
    W = torch.tensor([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.25, 0.0, 1.0]])
    x = images(5, (1, 2, 2), dtype=torch.float32)
    y = labels_of(linear(W), x)
    options = {"eps": 0.1, "steps": 3, "step_size": 0.05}
    assert torch.equal(attack(linear(W), x, y, precision="half", **options).x, attack(linear(W), x, y, **options).x)


def test_a_success_that_only_half_precision_sees_is_none():
    # S = 0.001 in single precision and 0 in half: the logits 1.001 and 1 are the same there
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0], [1.0]]))
        model[1].bias.copy_(torch.tensor([0.5, 0.501]))
    x, y = torch.full((3, 1, 1, 1), 0.5), torch.ones(3, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x).argmax(1) != y).all()
    for options in ({"stop_at_success": True}, {"adaptive": True}, {}):
        assert not attack(model, x, y, eps=0.01, steps=2, step_size=0.01, precision="half", **options).success.any()


def test_in_a_callers_half_precision_the_verdicts_are_the_callers():
    model, x, y = setting()
    options = {"eps": 0.1, "steps": 3, "step_size": 0.05}
    with torch.autocast("cpu", torch.bfloat16):
        found = attack(model, x, y, precision="half", **options)
        assert torch.equal(found.success, model(found.x).argmax(1) != y)
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_an_unknown_precision_meets_one_sentence():
    with pytest.raises(ValueError, match="precision is 'bf16'; allowed are single, half"):
        attack(*setting(2), eps=0.1, steps=1, step_size=0.1, precision="bf16")


# The choice.


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)).train()


def timed_as(monkeypatch, seconds: dict[tuple[bool, str], float]):
    def fake(network, x, name):
        last = network[0].weight.is_contiguous(memory_format=torch.channels_last) and network[0].weight.shape[1] > 1
        return seconds[last, name]

    monkeypatch.setattr(precision, "_seconds", fake)


@pytest.mark.parametrize(("best", "factor", "expected"), [
    ((True, "half"), 2.0, (True, "half")), ((False, "single"), 2.0, (False, "single")),
    # a little faster is not worth the rounding
    ((True, "half"), 1.1, (False, "single")),
])  # fmt: skip
def test_the_fastest_way_is_taken_and_half_precision_only_where_it_is_worth_it(monkeypatch, best, factor, expected):
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    ways = dict.fromkeys(itertools.product((True, False), precision.PRECISIONS), 1.0) | {best: 1 / factor}
    ways[False, "single"] = min(ways[False, "single"], 0.99)
    timed_as(monkeypatch, ways)
    way = precision.fastest(network, images(4, (2, 4, 4), dtype=torch.float32))
    assert (way.network[0].weight.is_contiguous(memory_format=torch.channels_last), way.precision) == expected


def test_the_choice_leaves_the_network_as_it_was_and_hands_out_the_same_function():
    network, x = convolutional(), images(4, dtype=torch.float32)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    way = precision.fastest(network, x, precisions=("single",))
    assert way.precision == "single" and network.training and not way.network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.allclose(way.network(x), network.eval()(x), atol=1e-6)


def test_a_callable_that_is_no_module_is_taken_as_it_is():
    model, x, _ = setting(4)
    call = lambda z: model(z)  # noqa: E731
    assert precision.fastest(call, x).network is call


# The copy for values alone.


@pytest.mark.parametrize("name", ["mnist", "cifar", "resnet"])
def test_a_laid_out_copy_is_the_same_function_and_shares_nothing(name):
    torch.manual_seed(0)
    network = build(name, width=4, shape=(1, 8, 8), classes=4).train()
    x = images(5, (1, 8, 8), dtype=torch.float32)
    copied = precision.laid_out(network)
    assert torch.allclose(copied(x), network.eval()(x), atol=1e-6)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    assert network(x).abs().max() > 0 and all(weight.requires_grad for weight in network.parameters())


def seen_by(kind: type, monkeypatch) -> list[tuple]:
    """The shapes that come to layers of a kind from now on."""
    shapes, own = [], kind.forward

    def forward(self, x):
        shapes.append(tuple(x.shape))
        return own(self, x)

    monkeypatch.setattr(kind, "forward", forward)
    return shapes


def test_pooling_before_a_relu_changes_no_bit(monkeypatch):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten())
    copied = precision.laid_out(layers)
    x = images(3, (1, 8, 8), dtype=torch.float32) - 0.5
    shapes = seen_by(nn.ReLU, monkeypatch)
    with torch.no_grad():
        assert torch.equal(copied(x), layers.to(memory_format=torch.channels_last)(x))
    assert [shape[-1] for shape in shapes] == [3, 3, 6, 3]


class Inner(nn.Module):
    """A network whose own code looks into its layers, views values and writes into its images."""

    def __init__(self, forward, **more):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.last, self.inner = nn.Linear(64, 4), forward
        for name, part in more.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.last(self.inner(self, x).flatten(1))


def volumes(net, x):
    return net.layers(net.volume(x[:, None])[:, 0])


def hooked() -> nn.Module:
    network = Inner(lambda net, x: net.layers(x))
    network.layers[1].register_forward_hook(lambda module, inputs, out: out - inputs[0].mean((2, 3), keepdim=True))
    return network


OWN = {
    "a view": lambda: Inner(lambda net, x: net.layers(x).view(len(x), -1)),
    "a view, in the wrapper of a reader's network": lambda: Wrapped(Inner(lambda net, x: net.layers(x).view(len(x), -1))),
    "layers by their places": lambda: Inner(lambda net, x: net.layers[2](net.layers[1](net.layers[0](x)) ** 2)),
    "a slice of layers": lambda: Inner(lambda net, x: net.layers[2](-net.layers[:2](x))),
    "written into the images": lambda: Inner(lambda net, x: net.layers(x.mul_(2)).view(len(x), -1)),
    "volumes": lambda: Inner(volumes, volume=nn.Conv3d(1, 1, (1, 3, 3), padding=(0, 1, 1))),
    "a lock": lambda: Inner(lambda net, x: net.layers(x), lock=Lock()),
    "weights of a graph": lambda: Inner(
        lambda net, x: net.layers(x) * net.scale, scale=torch.ones(1, requires_grad=True) * 2
    ),
    "a hook": hooked,
}


@pytest.mark.parametrize("name", OWN)
def test_whatever_a_network_does_its_values_are_its_own(name):
    network, x = OWN[name]().eval(), images(3, (1, 8, 8), dtype=torch.float32)
    with torch.no_grad():
        expected = network(x.clone())
        copied, given = precision.laid_out(network), x.clone()
        for _ in range(2):
            assert torch.allclose(copied(given if isinstance(copied, precision.LaidOut) else x.clone()), expected, atol=1e-6)
    if name != "written into the images":  # no gradient passes there
        assert torch.allclose(precision.fastest(network, x, precisions=("single",)).network(x), expected, atol=1e-6)
    assert all(weight.is_contiguous() for weight in network.parameters())
