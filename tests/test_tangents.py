"""Hessians in matrix products, and estimates of them, against automatic differentiation."""

import pytest
import torch
from torch import nn
from toys import Quadratic, batchnorm_network, images, linear, relu_network, seeded

from paperlib import indicator, tangents
from paperlib.model import build, softened
from paperlib.refusal import Refusal


def built(name: str, shape=(1, 8, 8)) -> nn.Module:
    torch.manual_seed(0)
    return build(name, width=2, fc=6, shape=shape, classes=4, activation="softplus", beta=3.0).double()


class Functional(nn.Module):
    """Everything that the rules know, in the way of functions and operators."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(27, 4)

    def forward(self, x):
        h = torch.tanh(self.first(2 * x - 1) / 0.5)
        h = 0.1 + (h + torch.sigmoid(self.second(h))) * 0.7 - h
        h = nn.functional.gelu(torch.nn.functional.avg_pool2d(nn.functional.silu(h), 2))
        return self.last(h.view(h.size(0), -1))


KNOWN = {
    "softened": (lambda: softened(relu_network(), 3.0), (1, 4, 4)),
    "batchnorm": (lambda: softened(batchnorm_network(), 2.0).double(), (1, 4, 4)),
    "mnist": (lambda: built("mnist"), (1, 8, 8)), "cifar": (lambda: built("cifar"), (1, 8, 8)),
    "resnet": (lambda: built("resnet", (3, 8, 8)), (3, 8, 8)), "functional": (lambda: Functional().double(), (1, 8, 8)),
    "relu": (relu_network, (1, 4, 4)), "linear": (lambda: linear(torch.eye(16).double()[:3]), (1, 4, 4)),
}  # fmt: skip


def setting(name: str):
    make, shape = KNOWN[name]
    return make(), images(1, shape)[0]


@pytest.mark.parametrize("name", KNOWN)
def test_the_sum_over_layers_is_automatic_differentiations_hessian(name):
    model, x = setting(name)
    found, expected = tangents.hessian(model, x, 1), indicator.hessian_by_rows(model, x, 1)
    assert torch.allclose(found, expected, rtol=0, atol=1e-10 * max(1, float(expected.abs().max())))
    assert torch.equal(found, found.T)
    assert (expected.abs().max() > 0) == (name not in ("relu", "linear"))


@pytest.mark.parametrize("chunk", [1, 5, 64])
@pytest.mark.parametrize("memory", [1, 1000, 2**30])
def test_neither_chunks_nor_memory_change_it(chunk, memory, monkeypatch):
    model, x = setting("softened")
    expected = tangents.hessian(model, x, 1)
    monkeypatch.setattr(tangents, "CHUNK", chunk)
    monkeypatch.setattr(tangents, "MEMORY", memory)
    assert torch.allclose(tangents.hessian(model, x, 1), expected, rtol=0, atol=1e-12)


def test_jacobians_that_are_held_at_a_time_fit_into_the_memory(monkeypatch):
    model, x = setting("mnist")
    largest, original = [], tangents._jacobians

    def spied(*arguments):
        found = original(*arguments)
        largest.append(sum(A.numel() * A.element_size() for A in found))
        return found

    monkeypatch.setattr(tangents, "_jacobians", spied)
    monkeypatch.setattr(tangents, "MEMORY", 8000)
    tangents.hessian(model, x, 1)
    assert max(largest) <= 8000 and len(largest) > 3


def test_what_is_not_known_is_left_to_automatic_differentiation():
    x = images(1, (1, 2, 2))[0]
    Q = torch.randn(4, 4, generator=seeded(), dtype=torch.float64)
    model = Quadratic(Q + Q.T, torch.zeros(4, dtype=torch.float64))
    assert tangents.hessian(model, x, 0) is None
    assert torch.allclose(indicator.hessian(model, x, 0), Q + Q.T)
    with pytest.raises(tangents.UnknownMapError):
        tangents.estimates(model, x, 0)


class Scaled(torch.autograd.Function):
    """The identity, with a gradient of its own."""

    @staticmethod
    def forward(ctx, h):
        return h * 1.0

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


class Strange(nn.Module):
    """A network in which ``inner`` stands between a convolution and the rest."""

    def __init__(self, inner):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.first, self.last = inner, nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 4)

    def forward(self, x):
        return self.last(nn.functional.softplus(self.inner(self.first(x), x)).flatten(1))


FACTORS = torch.arange(1.0, 5.0, dtype=torch.float64)
STRANGE = {
    "in place, and what it overwrote": lambda h, x: nn.functional.silu(h, inplace=True) + h,
    "in place, thrown away": lambda h, x: (nn.functional.relu(h, inplace=True), h)[1],
    "a rounded quotient": lambda h, x: h + torch.div(h, 0.1, rounding_mode="floor"),
    "a transpose": lambda h, x: h + x.mT,
    "a part without a gradient": lambda h, x: h + x.data,
    "torch's batch_norm": lambda h, x: torch.batch_norm(
        h, FACTORS, -FACTORS, FACTORS / 5, FACTORS / 9, False, 0.1, 0.3, False
    ),
    "by keyword": lambda h, x: torch.relu(input=h),
    "flat by keyword": lambda h, x: torch.flatten(input=h, start_dim=1),
    "twice the value by keyword": lambda h, x: torch.add(h, other=h),
    "a gradient of its own": lambda h, x: Scaled.apply(h),
    "dropout by default": lambda h, x: nn.functional.dropout(h, 0.0),
    "elu in place": lambda h, x: nn.functional.elu(h, 1.0, True),
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_stands_in_a_network_nothing_wrong_is_told(name):
    model, x = Strange(STRANGE[name]).double(), images(1)[0]
    expected = indicator.hessian_by_rows(model, x, 1)
    assert expected.norm() > 0
    assert torch.allclose(indicator.hessian(model, x, 1), expected, rtol=0, atol=1e-8)
    try:
        found = tangents.estimates(model, x, 1)
    except tangents.UnknownMapError:
        return
    assert found["l2"] == pytest.approx(float(expected.norm()), rel=0.03)
    assert found["top"] == pytest.approx(float(torch.linalg.eigvalsh(expected).abs().max()), rel=0.03)


@pytest.mark.parametrize("name", ["torch's batch_norm", "elu in place"])
def test_what_is_called_in_another_way_is_known_as_well(name):
    model, x = Strange(STRANGE[name]).double(), images(1)[0]
    assert tangents.hessian(model, x, 1) is not None


def test_estimates_of_no_image_are_refused():
    model, x = setting("relu")
    for wrong in (x * 2, x * torch.nan, x.half()):
        with pytest.raises(Refusal, match="^x "):
            tangents.estimates(model, wrong, 1)
    with pytest.raises(Refusal, match="^y is -1; allowed is a label"):
        tangents.estimates(model, x, -1)


def test_a_sum_that_automatic_differentiation_contradicts_is_not_told(monkeypatch):
    model, x = setting("softened")
    monkeypatch.setattr(tangents, "product", lambda *arguments: torch.ones(16, dtype=torch.float64))
    assert tangents.hessian(model, x, 1) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_of_two_matrices_is_torchs(dtype):
    a, b = (torch.randn(n, 300, generator=seeded(n), dtype=dtype) for n in (5, 7))
    assert torch.allclose(tangents._product(a, b), a @ b.T, rtol=1e-5, atol=1e-4)


def test_products_are_those_of_the_hessian():
    model, x = setting("mnist")
    H, V = tangents.hessian(model, x, 1), torch.randn(200, 64, generator=seeded(), dtype=torch.float64)
    layers = tangents.recorded(model, x, 1)
    assert torch.allclose(tangents.products(model, x, layers, V), V @ H, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["mnist", "cifar", "functional", "softened"])
def test_estimates_are_near_the_norm_and_the_largest_eigenvalue(name):
    model, x = setting(name)
    H = indicator.hessian(model, x, 1)
    for seed in range(3):
        found = tangents.estimates(model, x, 1, generator=seeded(seed))
        assert found["l2"] == pytest.approx(float(H.norm()), rel=0.02)
        assert found["top"] == pytest.approx(float(torch.linalg.eigvalsh(H).abs().max()), rel=0.02)
    assert tangents.estimates(model, x, 1) == tangents.estimates(model, x, 1)


def test_estimates_of_an_affine_network_are_zero():
    for name in ("relu", "linear"):
        assert tangents.estimates(*setting(name), 1) == {"l2": 0.0, "top": 0.0}


def test_a_hessian_leaves_no_trace():
    model, x = softened(batchnorm_network(), 2.0), images(1, dtype=torch.float32)[0]
    modes = [module.training for module in model.modules()]
    tangents.hessian(model, x, 1)
    tangents.estimates(model, x, 1)
    assert [module.training for module in model.modules()] == modes
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert type(x) is torch.Tensor and not x.requires_grad
