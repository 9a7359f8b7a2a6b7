"""Losses against closed forms and finite differences; penalties under BatchNorm; adversarial examples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys import Quadratic, batchnorm_network, images, seeded, smooth_network, stripes, toy_dataset, toy_recipe

from paperlib import indicator, losses
from paperlib.attack import cw, pgd
from paperlib.losses import LOSSES, NORMS, Batch, batch_loss, penalised, penalty
from paperlib.model import build
from paperlib.objective import cross_entropy, decision
from paperlib.recipe import METHODS

DATA = toy_dataset()
SIZES = {"c": 0.3, "eps": 0.1, "step_size": 0.05}
# what a recipe of any method may say, and that of a curvature must
CURVED = {"curvature": 1.0, "h": 0.1}


def batch(n: int = 5):
    split = stripes(n)
    return split.x, split.y


# The losses.


@pytest.mark.parametrize("p", NORMS)
def test_penalty_is_the_batch_mean_of_each_images_norm(p):
    gradient = torch.randn(6, 1, 3, 4, generator=seeded(), dtype=torch.float64)
    rows = gradient.flatten(1).numpy()
    order = {"1": 1, "2": 2, "inf": np.inf, "squared": 2}[p]
    sizes = np.linalg.norm(rows, ord=order, axis=1) ** (2 if p == "squared" else 1)
    assert float(penalty(gradient, p)) == pytest.approx(sizes.mean(), rel=1e-9)


@pytest.mark.parametrize("p", NORMS)
def test_penalty_can_be_descended_where_the_gradient_is_zero(p):
    gradient = torch.zeros(2, 1, 2, 2, requires_grad=True)
    penalty(gradient, p).backward()
    assert torch.isfinite(gradient.grad).all()


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("method", ["ours", "crossentropy"])
def test_loss_is_cross_entropy_plus_c_times_the_penalty(method, p):
    model, (x, y) = smooth_network(), batch()
    recipe = toy_recipe(method=method, p=p, c=1.0)
    function = decision if method == "ours" else cross_entropy
    J = indicator.jacobian(model, x, y, objective=function)
    expected = cross_entropy(model(x), y).mean() + 0.3 * penalty(J, p)
    assert batch_loss(model, x, y, recipe, **SIZES).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("method", ["ours", "crossentropy"])
def test_double_backpropagation_agrees_with_finite_differences(method, p):
    model, (x, y) = smooth_network(), batch()
    recipe, function = toy_recipe(method=method, p=p, c=1.0), decision if method == "ours" else cross_entropy
    c = 1 / penalty(indicator.jacobian(model, x, y, objective=function), p).item()  # a penalty of 1 beside the loss
    parameters = list(model.parameters())

    def loss() -> torch.Tensor:
        return batch_loss(model, x, y, recipe, c=c, eps=0.1, step_size=0.05)

    found = torch.autograd.grad(loss(), parameters)
    plain = torch.autograd.grad(cross_entropy(model(x), y).mean(), parameters)
    steps = [f - g for f, g in zip(found, plain, strict=True)]  # where the penalty's share lies
    length = torch.sqrt(sum(step.square().sum() for step in steps))
    expected, without = (sum((g * s).sum() / length for g, s in zip(gs, steps, strict=True)).item() for gs in (found, plain))

    def at(h: float) -> float:
        with torch.no_grad():
            for weight, step in zip(parameters, steps, strict=True):
                weight.add_(h * step / length)
        value = loss().item()
        with torch.no_grad():
            for weight, step in zip(parameters, steps, strict=True):
                weight.sub_(h * step / length)
        return value

    h = 1e-3
    assert (at(h) - at(-h)) / (2 * h) == pytest.approx(expected, rel=0.01)
    assert abs(without) < 0.5 * expected  # cross-entropy alone would not pass


def test_loss_of_every_other_method():
    model, (x, y) = smooth_network(), batch()

    def loss(method: str, **changes) -> float:
        recipe = toy_recipe(method=method, c=1.0, steps=3, **CURVED)
        return batch_loss(model, x, y, recipe, **SIZES | {"curvature": 0.2, "h": 0.1} | changes, generator=seeded()).item()

    def ce(z: torch.Tensor) -> float:
        return cross_entropy(model(z), y).mean().item()

    options = {"eps": 0.1, "step_size": 0.05, "steps": 3}
    by_cw, by_pgd = cw(model, x, y, **options).x, pgd(model, x, y, generator=seeded(), **options).x
    J = indicator.jacobian(model, x, y).flatten(1).abs().sum(1).mean().item()
    assert loss("natural") == pytest.approx(ce(x), rel=1e-6)
    assert loss("ours", c=0.0) == pytest.approx(ce(x), rel=1e-6)
    assert loss("minmax") == pytest.approx(ce(by_pgd), rel=1e-6)
    assert loss("advtrain") == pytest.approx((ce(x) + ce(by_cw)) / 2, rel=1e-6)
    assert loss("ours+advtrain") == pytest.approx((ce(x) + 0.3 * J + ce(by_cw)) / 2, rel=1e-5)
    assert len({round(loss(method), 6) for method in LOSSES}) == len(LOSSES)


@pytest.mark.parametrize("method", LOSSES)
def test_bf16_descends_nearly_the_same_way(method):
    model, (x, y) = smooth_network(), batch(20)
    recipe = toy_recipe(method=method, c=1.0, **CURVED)
    ways = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = batch_loss(model, x, y, recipe, **SIZES, generator=seeded())
        ways.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    assert not torch.equal(*ways)
    assert float(F.cosine_similarity(*ways, dim=0)) > 0.98


@pytest.mark.parametrize("method", LOSSES)
def test_a_loss_takes_what_its_method_says_that_it_needs(method):
    model, (x, y) = smooth_network(), batch()

    def loss(c: float, **changes) -> float:
        recipe = toy_recipe(method=method, c=1.0, steps=3, **CURVED | changes)
        return batch_loss(model, x, y, recipe, **SIZES | {"c": c}, generator=seeded()).item()

    assert (loss(0.0) != loss(0.3)) == METHODS[method].penalty
    if METHODS[method].source == "examples":
        plain = cross_entropy(model(x), y).mean().item()
        assert loss(0.3, source="toy") == pytest.approx(plain) != pytest.approx(loss(0.3))


@pytest.mark.parametrize("p", NORMS)
def test_the_curvature_of_a_quadratic_is_its_hessian_times_the_way(p):
    H = torch.randn(16, 16, generator=seeded(), dtype=torch.float64)
    H, b = H + H.T, torch.randn(16, generator=seeded(1), dtype=torch.float64)
    model = Quadratic(H, b)
    x = images(3, (1, 4, 4)).clamp(0.2, 0.8)
    y, h = torch.zeros(3, dtype=torch.long), 0.1
    J = b + x.flatten(1) @ H
    change = h * J.sign() @ H
    recipe = toy_recipe(method="ours+curvature", c=1.0, p=p, curvature=1.0, h=0.1)
    found = batch_loss(model, x, y, recipe, **SIZES, curvature=0.7, h=h)
    expected = cross_entropy(model(x), y).mean() + 0.3 * penalty(J, p) + 0.7 * penalty(change, p)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    penalties = found - cross_entropy(model(x), y).mean()
    slopes = torch.autograd.grad(penalties, [model.Q, model.b])
    # both grow with the network's scale as its power (Euler): once, or twice where the norm is squared
    along = sum((slope * weight).sum() for slope, weight in zip(slopes, (model.Q, model.b), strict=True))
    assert along.item() == pytest.approx((2 if p == "squared" else 1) * penalties.item(), rel=1e-6)


def test_with_a_source_adversarial_training_meets_each_image_and_one_fixed_example_of_it():
    recipe, natural = toy_recipe(method="advtrain", source="toy", steps=3), smooth_network()
    split = losses.with_examples(DATA.train, natural, recipe, DATA, "cpu")
    n = len(DATA.train)
    assert len(split) == 2 * n and torch.equal(split.y, torch.cat([DATA.train.y, DATA.train.y]))
    assert torch.equal(split.x[:n], DATA.train.x)
    expected = cw(natural, DATA.train.x, DATA.train.y, eps=0.1, steps=3, step_size=0.05).x
    assert torch.allclose(split.x[n:], expected, atol=1e-6)
    model, (x, y) = smooth_network(), batch()
    assert batch_loss(model, x, y, recipe, **SIZES).item() == pytest.approx(cross_entropy(model(x), y).mean().item())


# BatchNorm.


def smooth_batchnorm_network(dtype=torch.float64) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build("cifar", width=2, shape=(1, 8, 8), classes=4, activation="softplus", beta=3.0)
    return model.to(dtype).train()


def normalised_by_the_batch(model, x) -> torch.nn.Module:
    """The network in eval mode, its running statistics replaced by those of ``x``."""
    means = {}
    hooks = [module.register_forward_pre_hook(lambda m, inputs: means.update({m: inputs[0].detach()}))
             for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]  # fmt: skip
    model(x)
    for module, h in means.items():
        module.running_mean.copy_(h.mean((0, 2, 3)))
        module.running_var.copy_(h.var((0, 2, 3), correction=0))
    for hook in hooks:
        hook.remove()
    return model.eval()


@pytest.mark.parametrize("function", [decision, cross_entropy])
@pytest.mark.parametrize("p", NORMS)
def test_penalty_of_one_image_sees_the_others_in_the_statistics_only(function, p):
    x, y = images(5), torch.tensor([0, 1, 2, 3, 0])
    _, together = penalised(smooth_batchnorm_network(), x, y, function, p, 1.0)
    fixed = normalised_by_the_batch(smooth_batchnorm_network(), x)
    alone = [indicator.jacobian(fixed, x[i : i + 1], y[i : i + 1], objective=function) for i in range(5)]
    assert together.item() == pytest.approx(penalty(torch.cat(alone), p).item(), rel=1e-9)


def test_the_cross_entropy_of_a_penalised_step_is_that_of_natural_training():
    x, y = images(5), torch.tensor([0, 1, 2, 3, 0])
    loss, size = penalised(smooth_batchnorm_network(), x, y, decision, "1", 2.0)
    natural = cross_entropy(smooth_batchnorm_network()(x), y).mean()
    assert loss.item() == pytest.approx((natural + 2.0 * size).item(), rel=1e-12)


@pytest.mark.parametrize("function", [decision, cross_entropy])
def test_descending_the_penalty_agrees_with_finite_differences_through_the_statistics(function):
    x, y = images(5), torch.tensor([0, 1, 2, 3, 0])
    model = smooth_batchnorm_network()
    weight = model.get_submodule("3").conv.weight
    size = penalised(model, x, y, function, "squared", 1.0)[1]
    (slope,) = torch.autograd.grad(size, weight)
    direction = torch.randn(weight.shape, generator=seeded(), dtype=weight.dtype)
    ends = []
    for h in (1e-5, -1e-5):
        moved = smooth_batchnorm_network()
        with torch.no_grad():
            moved.get_submodule("3").conv.weight.add_(h * direction)
        ends.append(penalised(moved, x, y, function, "squared", 1.0)[1].item())
    assert float((slope * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_shrinking_weights_before_a_batchnorm_does_not_please_the_penalty():
    x, y = images(5), torch.tensor([0, 1, 2, 3, 0])
    sizes = []
    for scale in (1.0, 0.1):
        model = smooth_batchnorm_network()
        with torch.no_grad():
            model.get_submodule("3").conv.weight.mul_(scale)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = 1e-30
        sizes.append(penalised(model, x, y, decision, "1", 1.0)[1].item())
    assert sizes[1] == pytest.approx(sizes[0], rel=1e-9)


@pytest.mark.parametrize("method", LOSSES)
def test_batchnorms_statistics_see_each_batch_once(method):
    torch.manual_seed(0)
    model = build("cifar", width=2, shape=(1, 8, 8), classes=4).train()
    x, y = batch(8)
    recipe = toy_recipe(network="cifar", method=method, c=1.0, **CURVED)
    batch_loss(model, x, y, recipe, **SIZES, generator=seeded()).backward()
    counts = {int(m.num_batches_tracked) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert counts == ({2} if method in ("ours+advtrain", "ours+curvature") else {1})
    assert all(module.training for module in model.modules())


def test_training_examples_do_not_see_their_neighbours():
    model, x, y = batchnorm_network(), images(4, dtype=torch.float32), torch.tensor([0, 1, 2, 3])
    recipe = toy_recipe(method="advtrain", steps=3)

    def made(x, y):
        return losses.examples(Batch(model, x, y, recipe, 0.0, 0.1, 0.03), **losses.CW)

    together, alone = made(x, y), [made(x[i : i + 1], y[i : i + 1]) for i in range(4)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-6)
