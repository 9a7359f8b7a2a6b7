"""Losses against closed forms and finite differences, and a training that any interruption leaves unchanged."""

import math
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys import batchnorm_network, images, stripes, toy_dataset, toy_recipe

from paperlib import indicator, train
from paperlib.attack import attack, cw, pgd
from paperlib.model import build
from paperlib.objective import cross_entropy, decision
from paperlib.train import NORMS, OutOfTime, Recipe, batch_loss, fit, penalised, penalty

DATA = toy_dataset()
SIZES = {"c": 0.3, "eps": 0.1, "step_size": 0.05}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("mnist", width=2, fc=6, activation="softplus", beta=3.0, shape=(1, 8, 8), classes=4)


def batch(n: int = 5):
    split = stripes(n)
    return split.x, split.y


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


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
        recipe = toy_recipe(method=method, c=1.0, steps=3)
        return batch_loss(model, x, y, recipe, **SIZES | changes, generator=seeded()).item()

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
    assert len({round(loss(method), 6) for method in train.METHODS}) == len(train.METHODS)


@pytest.mark.parametrize("method", train.METHODS)
def test_bf16_descends_nearly_the_same_way(method):
    model, (x, y) = smooth_network(), batch(20)
    recipe = toy_recipe(method=method, c=1.0)
    ways = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = batch_loss(model, x, y, recipe, **SIZES, generator=seeded())
        ways.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    assert not torch.equal(*ways)
    assert float(F.cosine_similarity(*ways, dim=0)) > 0.98


def test_with_a_source_adversarial_training_meets_each_image_and_one_fixed_example_of_it():
    recipe, natural = toy_recipe(method="advtrain", source="toy", steps=3), smooth_network()
    split = train.with_examples(DATA.train, natural, recipe, DATA, "cpu")
    n = len(DATA.train)
    assert len(split) == 2 * n and torch.equal(split.y, torch.cat([DATA.train.y, DATA.train.y]))
    assert torch.equal(split.x[:n], DATA.train.x)
    expected = cw(natural, DATA.train.x, DATA.train.y, eps=0.1, steps=3, step_size=0.05).x
    assert torch.allclose(split.x[n:], expected, atol=1e-6)
    model, (x, y) = smooth_network(), batch()
    assert batch_loss(model, x, y, recipe, **SIZES).item() == pytest.approx(cross_entropy(model(x), y).mean().item())


def test_a_source_makes_another_network_and_must_be_given_exactly_when_named():
    recipe = toy_recipe(method="advtrain")
    own, curve = fit(recipe, DATA, progress=False)
    fixed, longer = fit(toy_recipe(method="advtrain", source="toy"), DATA, progress=False, source=smooth_network())
    assert not torch.equal(weights(own), weights(fixed)) and len(curve) == len(longer)
    with pytest.raises(ValueError, match="source is no network and the recipe names toy"):
        fit(toy_recipe(method="advtrain", source="toy"), DATA, progress=False)
    with pytest.raises(ValueError, match="source is a network and the recipe names none"):
        fit(recipe, DATA, progress=False, source=smooth_network())
    with pytest.raises(ValueError, match="source is 'toy' with method 'minmax'; allowed is a source with method 'advtrain'"):
        toy_recipe(method="minmax", source="toy")


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


def test_statistics_are_the_batchs_mean_and_variance_with_their_derivatives():
    h = torch.randn(3, 2, 4, 4, generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(train._Moments.apply, h)
    mean, variance = train._Moments.apply(h)
    assert torch.allclose(mean, h.mean((0, 2, 3))) and torch.allclose(variance, h.var((0, 2, 3), correction=0))
    assert train._Moments.apply(torch.full((3, 2, 5, 5), 1234.567))[1].min() >= 0


@pytest.mark.parametrize("method", train.METHODS)
def test_batchnorms_statistics_see_each_batch_once(method):
    torch.manual_seed(0)
    model = build("cifar", width=2, shape=(1, 8, 8), classes=4).train()
    x, y = batch(8)
    recipe = toy_recipe(network="cifar", method=method, c=1.0)
    batch_loss(model, x, y, recipe, **SIZES, generator=seeded()).backward()
    counts = {int(m.num_batches_tracked) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert counts == ({2} if method == "ours+advtrain" else {1})
    assert all(module.training for module in model.modules())


def test_training_examples_do_not_see_their_neighbours():
    model, x, y = batchnorm_network(), images(4, dtype=torch.float32), torch.tensor([0, 1, 2, 3])
    recipe = toy_recipe(method="advtrain", steps=3)
    together = train.examples(model, x, y, recipe, 0.1, 0.03, None)
    alone = [train.examples(model, x[i : i + 1], y[i : i + 1], recipe, 0.1, 0.03, None) for i in range(4)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-6)


# Warm-up and units.


def test_c_and_eps_grow_linearly_and_sizes_are_converted_once(monkeypatch):
    seen = []

    def noted(model, x, y, recipe, *, c, eps, step_size, generator):
        seen.append((c, eps, step_size))
        return cross_entropy(model(x), y).mean()

    monkeypatch.setattr(train, "batch_loss", noted)
    recipe = toy_recipe(
        method="ours", c=0.8, warmup=1.5, eps=51, eps_warmup=2, step_size=10.2, epochs=3, batch=15, lr=1e-4
    )
    fit(recipe, toy_dataset((3, 8, 8), pixel_scale=255), progress=False)
    at = [epoch + k / 4 for epoch in range(3) for k in range(4)]
    assert [c for c, _, _ in seen] == pytest.approx([0.8 * min(1, t / 1.5) for t in at])
    assert [eps for _, eps, _ in seen] == pytest.approx([0.2 * min(1, t / 2) for t in at])
    assert {step for _, _, step in seen} == {10.2 / 255}


def test_without_warm_up_the_sizes_are_whole_from_the_first_step(monkeypatch):
    seen = []

    def noted(model, x, y, recipe, *, c, eps, **_):
        seen.append((c, eps, len(x)))
        return cross_entropy(model(x), y).mean()

    monkeypatch.setattr(train, "batch_loss", noted)
    fit(toy_recipe(method="ours", c=0.8, epochs=1, train_n=20), DATA, progress=False)
    assert seen == [(0.8, 0.1, 16), (0.8, 0.1, 4)]


# The loop.


def test_a_network_learns_and_its_curve_says_so():
    model, curve = fit(toy_recipe(epochs=6, lr=0.03), DATA, progress=False)
    assert len(curve) == 6 and not model.training
    assert set(curve[0]) == {"loss", "clean", "adversarial", "seconds", "lr"}
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    right = (model(DATA.validation.x).argmax(1) == DATA.validation.y).double().mean().item()
    assert curve[-1]["clean"] == pytest.approx(100 * right) and right > 0.9
    found = attack(
        model, DATA.validation.x, DATA.validation.y, eps=0.1, steps=10, step_size=0.025, stop_at_success=True
    )
    assert curve[-1]["adversarial"] == pytest.approx(100 * (~found.success).double().mean().item())


def test_the_seed_decides_the_weights_and_the_global_random_state_nothing():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = fit(toy_recipe(method="minmax", augment=True), DATA, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, _ = fit(toy_recipe(method="minmax", augment=True), DATA, progress=False)
    other, _ = fit(toy_recipe(method="minmax", augment=True, seed=1), DATA, progress=False)
    assert torch.equal(weights(first), weights(same))
    assert not torch.allclose(weights(first), weights(other))


def test_untrained_networks_normalise_by_the_training_images():
    model = train.untrained(toy_recipe(), DATA)
    assert model[0].mean.item() == pytest.approx(DATA.train.x.mean().item())
    assert model[0].std.item() == pytest.approx(DATA.train.x.std().item())


def test_a_channel_that_is_black_everywhere_is_no_division_by_zero():
    dataset = toy_dataset((3, 8, 8))
    for split in (dataset.train, dataset.validation):
        split.x[:, 1] = 0
    model, curve = fit(toy_recipe(network="linear"), dataset, progress=False)
    assert model[0].std[1] == 1 and math.isfinite(curve[-1]["loss"])


INTERRUPTED = {
    "natural, augmented": {"augment": True},
    "minmax": {"method": "minmax", "eps_warmup": 2},
    "ours, averaged": {"method": "ours", "c": 0.02, "warmup": 2, "average": 0.9},
    "best epoch": {"method": "minmax", "keep": "best"},
    "BatchNorm, averaged, sgd": {"network": "cifar", "average": 0.9, "optimizer": "sgd", "augment": True},
}


@pytest.mark.parametrize("changes", INTERRUPTED.values(), ids=INTERRUPTED)
@pytest.mark.parametrize("how", ["budget", "error"])
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch, changes, how):
    recipe, state = toy_recipe(epochs=3, **changes), tmp_path / "state.pt"
    whole, curve = fit(recipe, DATA, progress=False)
    if how == "budget":
        # two calls whose budget ends during their first epoch: the second one cannot begin another
        for _ in range(2):
            with pytest.raises(OutOfTime, match="stopped after epoch 1 of 3: budget spent"):
                fit(recipe, DATA, state_file=state, budget=1e-9, progress=False, name="toy")
    else:
        steps = 0
        original = train.batch_loss

        def fails(*args, **options):
            nonlocal steps
            steps += 1
            if steps == 7:  # in the middle of the second epoch
                raise KeyboardInterrupt
            return original(*args, **options)

        monkeypatch.setattr(train, "batch_loss", fails)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, DATA, state_file=state, progress=False)
        monkeypatch.setattr(train, "batch_loss", original)
    torch.manual_seed(99)
    resumed, resumed_curve = fit(recipe, DATA, state_file=state, progress=False)
    assert torch.equal(weights(resumed), weights(whole))
    plain = [[{k: v for k, v in row.items() if k != "seconds"} for row in c] for c in (resumed_curve, curve)]
    assert plain[0] == plain[1]
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("keep, epoch", [("best", 1), ("last", 2)])
def test_the_weights_kept_are_those_of_the_epoch_that_the_recipe_names(monkeypatch, keep, epoch):
    seen = []

    def watch(run, device, n):
        seen.append(weights(run.model).clone())
        assert n == (1000 if keep == "best" else 200)
        return {"clean": 90.0, "adversarial": (10.0, 30.0, 20.0)[run.epoch]}

    monkeypatch.setattr(train._Run, "_watch", watch)
    kept, _ = fit(toy_recipe(epochs=3, keep=keep), DATA, progress=False)
    assert [torch.equal(weights(kept), one) for one in seen] == [k == epoch for k in range(3)]


def test_a_finished_training_is_not_done_again(tmp_path, monkeypatch):
    first, _ = fit(toy_recipe(), DATA, state_file=tmp_path / "state.pt", progress=False)
    monkeypatch.setattr(train, "batch_loss", None)
    again, curve = fit(toy_recipe(), DATA, state_file=tmp_path / "state.pt", progress=False)
    assert torch.equal(weights(first), weights(again)) and len(curve) == 2


def test_no_budget_trains_nothing(tmp_path):
    with pytest.raises(OutOfTime, match="^training stopped after epoch 0 of 2: budget spent$"):
        fit(toy_recipe(), DATA, state_file=tmp_path / "state.pt", budget=0, progress=False)
    assert not (tmp_path / "state.pt").exists()


def test_a_budget_leaves_out_the_epoch_that_would_not_fit(tmp_path, monkeypatch):
    clock = 0.0
    monkeypatch.setattr(train.time, "monotonic", lambda: clock)
    monkeypatch.setattr(train.time, "perf_counter", lambda: clock)
    original = train.batch_loss

    def slow(*args, **options):
        nonlocal clock
        clock += 1.0  # four batches an epoch
        return original(*args, **options)

    monkeypatch.setattr(train, "batch_loss", slow)
    with pytest.raises(OutOfTime, match="after epoch 2 of 5"):
        fit(toy_recipe(epochs=5), DATA, budget=11.0, progress=False)
    assert clock == 8.0


def test_an_average_is_kept_instead_of_the_last_weights():
    last, _ = fit(toy_recipe(), DATA, progress=False)
    mean, _ = fit(toy_recipe(average=0.9), DATA, progress=False)
    assert not torch.allclose(weights(last), weights(mean))
    assert torch.allclose(weights(last), weights(mean), atol=0.2)


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("n", [1, 30, 60])
def test_the_shortest_trainings_work(n, epochs):
    _, curve = fit(toy_recipe(epochs=epochs, train_n=n), DATA, progress=False)
    assert all(math.isfinite(row["loss"]) and 0 < row["lr"] <= 0.01 for row in curve)


def test_the_learning_rate_rises_and_falls():
    _, curve = fit(toy_recipe(epochs=10, lr=0.02), DATA, progress=False)
    rates = [row["lr"] for row in curve]
    top = rates.index(max(rates))
    assert 0 < top < 3 and rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:])[::-1]
    assert rates[top] == pytest.approx(0.02, rel=0.05) and rates[-1] < 1e-3


def test_channels_last_changes_the_memory_and_not_the_result():
    plain, _ = fit(toy_recipe(network="cifar"), DATA, progress=False)
    other, _ = fit(toy_recipe(network="cifar", channels_last=True), DATA, progress=False)
    assert torch.allclose(weights(plain), weights(other), atol=1e-3)
    assert other[1].conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_diverging_training_stops_and_keeps_no_broken_state(tmp_path):
    with pytest.raises(FloatingPointError, match=r"^toy: the loss is (nan|inf) in epoch 1; lower lr or c$"):
        fit(toy_recipe(lr=1e25), DATA, state_file=tmp_path / "state.pt", progress=False, name="toy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["recipe", "data"])
def test_the_state_of_another_training_is_refused(tmp_path, other):
    state = tmp_path / "state.pt"
    fit(toy_recipe(epochs=1), DATA, state_file=state, progress=False)
    content = state.read_bytes()
    recipe = toy_recipe(epochs=1 + (other == "recipe"))
    dataset = train.Dataset(**vars(DATA) | {"sha256": "1" * 64}) if other == "data" else DATA
    with pytest.raises(ValueError) as caught:
        fit(recipe, dataset, state_file=state, progress=False)
    reason = "belongs to another recipe" if other == "recipe" else "was made with other data"
    assert str(caught.value) == f"state file {state} {reason}; remove it"
    assert state.read_bytes() == content


def test_the_bar_shows_loss_and_accuracies(capsys):
    fit(toy_recipe(), DATA, progress=True, name="toy")
    said = capsys.readouterr().err
    assert "toy 1/2" in said and "toy 2/2" in said
    assert "loss=" in said and "clean=" in said and "adversarial=" in said
    fit(toy_recipe(), DATA, progress=False)
    assert capsys.readouterr().err == ""


def test_an_epoch_is_timed():
    began = time.perf_counter()
    _, curve = fit(toy_recipe(), DATA, progress=False)
    assert 0 < sum(row["seconds"] for row in curve) <= time.perf_counter() - began


# Augmentation.


def test_augmented_images_are_crops_of_the_padded_image_or_its_mirror():
    x = torch.rand(30, 2, 6, 5, generator=seeded())
    found = train.augmented(x, seeded(1))
    assert found.shape == x.shape and found.is_contiguous()
    padded = F.pad(x, (4, 4, 4, 4))
    places = []
    for image, source in zip(found, padded, strict=True):
        crops = {
            (top, left, mirrored): source[:, top : top + 6, left : left + 5].flip(2) if mirrored
            else source[:, top : top + 6, left : left + 5]
            for top in range(9) for left in range(9) for mirrored in (False, True)
        }  # fmt: skip
        places.append(next(place for place, crop in crops.items() if torch.equal(crop, image)))
    assert 5 < sum(mirrored for _, _, mirrored in places) < 25
    assert len({top for top, _, _ in places}) > 5 and len({left for _, left, _ in places}) > 5


def test_augmentation_is_decided_by_the_generator():
    x = torch.rand(10, 1, 6, 6, generator=seeded())
    assert torch.equal(train.augmented(x, seeded(1)), train.augmented(x, seeded(1)))
    assert not torch.equal(train.augmented(x, seeded(1)), train.augmented(x, seeded(2)))


# The recipe.


def test_a_recipe_is_frozen_and_survives_its_card():
    recipe = toy_recipe(method="ours", c=0.1, p=2)
    assert recipe.p == "2"
    assert Recipe.of(recipe.to_dict()) == recipe
    with pytest.raises(AttributeError):
        recipe.c = 1.0


WRONG = [
    ("network", "vgg", "allowed are mnist, cifar, resnet, linear"),
    ("method", "trades", "allowed are natural, ours, crossentropy, advtrain, ours+advtrain, minmax"),
    ("activation", "gelu", "allowed are relu, softplus"),
    ("p", "3", "allowed are 1, 2, inf, squared"),
    ("optimizer", "lbfgs", "allowed are adam, sgd"),
    ("precision", "fp16", "allowed are fp32, bf16"),
    ("keep", "first", "allowed are last, best"),
    *[(name, value, "allowed is an integer of at least 1")
      for name in ("width", "fc", "epochs", "batch", "steps") for value in (0, 1.5, "8", True, None)],
    *[(name, value, "allowed is a number of at least 0")
      for name in ("c", "warmup", "eps_warmup", "eps", "weight_decay") for value in (-0.1, "1", math.nan, math.inf, True)],
    *[(name, value, "allowed is a positive number")
      for name in ("lr", "step_size", "beta") for value in (0, -1.0, "1", math.nan)],
    *[(name, value, "allowed are true and false") for name in ("augment", "channels_last") for value in (1, "yes")],
    *[("average", value, "allowed is a number in [0, 1)") for value in (1, -0.1, "0.9")],
    *[("seed", value, "allowed is an integer of at least 0") for value in (-1, 0.5, "0")],
    ("source", 3, "allowed is a name such as mnist-natural"),
    *[("train_n", value, "allowed is an integer of at least 1, or nothing for all images") for value in (0, 1.5, "all")],
    ("data", 3, "allowed is a name such as digits"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_a_wrong_field_is_named_with_its_value(field, value, allowed, unhooked):
    with pytest.raises(ValueError) as caught:
        toy_recipe(**{field: value})
    assert str(caught.value) == f"{field} is {value!r}; {allowed}"


def test_every_field_of_a_recipe_is_checked():
    assert {field for field, _, _ in WRONG} == {field.name for field in train.fields(Recipe)}


@pytest.mark.parametrize("method", ["ours", "crossentropy", "ours+advtrain"])
def test_a_penalty_needs_a_strength(method):
    with pytest.raises(ValueError) as caught:
        toy_recipe(method=method)
    assert str(caught.value) == f"c is 0 with method {method!r}; allowed is a positive number"


def test_a_recipe_of_unknown_or_missing_fields():
    settings = toy_recipe().to_dict()
    with pytest.raises(ValueError, match="^recipe field colour, size is unknown; allowed are activation, augment, "):
        Recipe.of(settings | {"size": 1, "colour": 2})
    del settings["width"]
    with pytest.raises(ValueError, match="^recipe is incomplete: .*'width'"):
        Recipe.of(settings)
