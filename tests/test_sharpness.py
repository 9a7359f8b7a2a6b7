"""Sharpness of minima, against losses whose rise and Hessian are known."""

import pytest
import torch
from toys import batchnorm_network, images, labels_of, linear, relu_network, seeded

from paperlib import sharpness
from paperlib.objective import cross_entropy
from paperlib.refusal import Refusal
from paperlib.sharpness import rise, robust_rise, top_eigenvalue
from paperlib.surface import filter_normalised, parameters_of


@pytest.fixture
def network():
    """A network, images, and labels of which not all are its own."""
    model, x = relu_network(), images(12)
    y = labels_of(model, x)
    y[:3] = (y[:3] + 1) % 4
    return model, x, y


def test_the_rise_is_that_of_the_loss_along_the_same_directions(network):
    model, x, y = network
    generator, origin = seeded(7), parameters_of(model)
    expected = []
    for _ in range(3):
        moved = origin + 0.3 * filter_normalised(model, generator=generator)
        parts = dict(zip([name for name, _ in model.named_parameters()],
                         moved.split([w.numel() for w in model.parameters()]), strict=True))  # fmt: skip
        shaped = {name: parts[name].view(w.shape) for name, w in model.named_parameters()}
        expected.append(float(cross_entropy(torch.func.functional_call(model, shaped, (x,)), y).mean()))
    here = cross_entropy(model(x), y).mean().item()
    found = rise(model, x, y, radius=0.3, directions=3, generator=seeded(7))
    assert found == pytest.approx(sum(expected) / 3 - here, rel=1e-9)


def test_without_a_perturbation_the_robust_loss_is_the_loss(network, monkeypatch):
    model, x, y = network
    common = {"radius": 0.3, "directions": 3}
    # random starts take numbers between the directions
    steps = [filter_normalised(model, generator=seeded(k)) for k in range(3)]
    drawn = iter(2 * steps)
    monkeypatch.setattr(sharpness, "filter_normalised", lambda model, *, generator: next(drawn))
    plain = rise(model, x, y, generator=seeded(), **common)
    assert robust_rise(model, x, y, eps=0.0, steps=1, generator=seeded(), **common) == pytest.approx(plain, rel=1e-9)


def test_the_robust_loss_rises_more_where_examples_are_found_anew(network):
    model, x, y = network
    flat = robust_rise(model, x, y, eps=0.05, steps=5, radius=1e-6, directions=2, generator=seeded())
    steep = robust_rise(model, x, y, eps=0.05, steps=5, radius=0.5, directions=2, generator=seeded())
    assert abs(flat) < 1e-2 < steep


def test_the_largest_eigenvalue_is_that_of_the_whole_hessian():
    model, x = linear(torch.randn(4, 16, generator=seeded(1), dtype=torch.float64)), images(10)
    y = labels_of(model, x)
    sizes = [w.shape for w in model.parameters()]

    def loss(flat):
        W, b = flat[:64].view(sizes[0]), flat[64:]
        return cross_entropy(x.flatten(1) @ W.T + b, y).mean()

    H = torch.autograd.functional.hessian(loss, parameters_of(model))
    expected = float(torch.linalg.eigvalsh(H)[-1])
    assert top_eigenvalue(model, x, y, generator=seeded()) == pytest.approx(expected, rel=0.02)


def test_of_a_deep_network_it_is_the_rise_along_its_own_direction(network):
    model, x, y = network
    top = top_eigenvalue(model, x, y, generator=seeded())
    names = [name for name, _ in model.named_parameters()]

    def loss(*weights):
        return cross_entropy(torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x,)), y).mean()

    rows = torch.autograd.functional.hessian(loss, tuple(w.detach() for w in model.parameters()))
    H = torch.cat([torch.cat([part.reshape(w.numel(), -1) for part in row], 1)
                   for w, row in zip(model.parameters(), rows, strict=True)])  # fmt: skip
    assert top == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=0.02)


def test_a_network_is_left_as_it_was():
    model, x = batchnorm_network(), images(5, dtype=torch.float32)
    y = torch.zeros(5, dtype=torch.long)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    rise(model, x, y, radius=0.5, directions=1, generator=seeded())
    robust_rise(model, x, y, eps=0.1, steps=1, radius=0.5, directions=1, generator=seeded())
    top_eigenvalue(model, x, y, generator=seeded())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_what_cannot_be_copied_is_refused(network, unhooked):
    model, x, y = network
    with pytest.raises(Refusal, match="model is a function that cannot be copied; allowed is a module"):
        top_eigenvalue(lambda z: model(z), x, y, generator=seeded())
