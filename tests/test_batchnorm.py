"""BatchNorm for double backpropagation: torch's own values, statistics and gradients, and a penalty in two passes."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.func import functional_call
from toys import images, seeded

from paperlib.batchnorm import ConstantStatistics
from paperlib.losses import penalised, penalty
from paperlib.model import build
from paperlib.objective import cross_entropy, decision
from paperlib.refusal import Refusal
from paperlib.state import evaluating, input_gradient

Y = torch.tensor([0, 1, 2, 3, 0])


def network(name: str, activation: str) -> nn.Module:
    torch.manual_seed(0)
    model = build(name, width=2, shape=(1, 8, 8), classes=4, activation=activation, beta=3.0).double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def in_two_passes(model, x, y, function, p: str, c: float):
    """The same loss as it reads: a pass of the batch, whose statistics then are inputs of a pass in eval mode."""
    statistics = {}

    def keep(name: str, h) -> None:
        statistics[f"{name}.running_mean"] = h.mean((0, 2, 3))
        statistics[f"{name}.running_var"] = h.var((0, 2, 3), correction=0)

    hooks = [module.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, *inputs))
             for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]  # fmt: skip
    logits = model(x)
    for hook in hooks:
        hook.remove()
    with evaluating(model):
        _, J = input_gradient(lambda z: function(functional_call(model, statistics, (z,)), y), x, create_graph=True)
    return cross_entropy(logits, y).mean() + c * penalty(J, p)


@pytest.mark.parametrize(("name", "activation"), [("cifar", "softplus"), ("cifar", "relu"), ("resnet", "relu")])
@pytest.mark.parametrize("p", ["1", "squared"])
@pytest.mark.parametrize("function", [decision, cross_entropy])
def test_one_pass_has_the_loss_and_the_gradients_of_two(name, activation, p, function):
    one, two = network(name, activation), network(name, activation)
    x = images(5, (1, 8, 8))
    losses = penalised(one, x, Y, function, p, 0.7)[0], in_two_passes(two, x, Y, function, p, 0.7)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss, model in zip(losses, (one, two), strict=True)]
    largest = max(float(g.abs().max()) for g in gradients[1])
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-9 * largest)
    for (key, found), expected in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.allclose(found, expected), key


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_values_statistics_and_gradients_are_torchs(affine, momentum):
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3, affine=affine, momentum=momentum).double()
    other = copy.deepcopy(layer)
    h = torch.randn(4, 3, 5, 5, generator=seeded(), dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        with ConstantStatistics():
            found = layer(h)
        expected = other(h)
        assert torch.allclose(found, expected)
        inputs = [h, *layer.parameters()], [h, *other.parameters()]
        for one, two in zip(
            *(torch.autograd.grad(out.pow(3).sum(), of) for out, of in zip((found, expected), inputs, strict=True)),
            strict=True,
        ):
            assert torch.allclose(one, two)
    for key, value in layer.state_dict().items():
        assert torch.allclose(value, other.state_dict()[key]), key


def test_the_gradient_by_images_sees_no_neighbours():
    layer = nn.BatchNorm2d(3).double()
    h = torch.randn(4, 3, 5, 5, generator=seeded(), dtype=torch.float64, requires_grad=True)
    way = ConstantStatistics()
    with way:
        out = layer(h)
    with way.by_images():
        (alone,) = torch.autograd.grad(out[0].pow(3).sum(), h, create_graph=True)
    assert alone[0].abs().min() > 0 and alone[1:].abs().max() == 0
    (together,) = torch.autograd.grad(out[0].pow(3).sum(), h)
    assert together[1:].abs().max() > 0


def test_in_eval_mode_and_outside_the_block_batchnorm_is_torchs():
    layer = nn.BatchNorm2d(3)
    h = torch.randn(4, 3, 5, 5, generator=seeded(), requires_grad=True)
    with ConstantStatistics():
        assert "Normalised" in type(layer(h).grad_fn).__name__
        assert "Normalised" not in type(layer.eval()(h).grad_fn).__name__
    assert "Normalised" not in type(layer.train()(h).grad_fn).__name__


CALLS = {
    "no weight": lambda h, w, b: nn.functional.batch_norm(h, None, None, None, b, True),
    "no bias": lambda h, w, b: nn.functional.batch_norm(h, None, None, w, None, True),
    "by keyword": lambda h, w, b: nn.functional.batch_norm(
        input=h, running_mean=None, running_var=None, weight=w, bias=b, training=True
    ),
    "torch's": lambda h, w, b: torch.batch_norm(h, w, b, None, None, True, 0.1, 1e-5, False),
}


@pytest.mark.parametrize("name", CALLS)
def test_however_it_is_called_the_values_and_gradients_are_torchs(name):
    h, w, b = (torch.randn(shape, generator=seeded(), dtype=torch.float64, requires_grad=True)
               for shape in ((4, 3, 5, 5), (3,), (3,)))  # fmt: skip
    found, way = [], ConstantStatistics()
    for block in (way, nullcontext()):
        with block:
            out = CALLS[name](h, w, b)
        found.append((out, *torch.autograd.grad(out.pow(3).sum(), [h, w, b], allow_unused=True, materialize_grads=True)))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other)
    with way:
        out = CALLS[name](h, w, b)
    with way.by_images():
        (alone,) = torch.autograd.grad(out[0].pow(3).sum(), h, create_graph=True)
    assert alone[1:].abs().max() == 0


def test_one_value_a_channel_is_refused_as_torch_does_and_leaves_the_statistics():
    layer, h = nn.BatchNorm1d(3), torch.ones(1, 3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        layer(h)
    with ConstantStatistics(), pytest.raises(Refusal, match=r"^BatchNorm met a batch of shape \(1, 3\); allowed is "):
        layer(h)
    assert torch.equal(layer.running_var, torch.ones(3))
