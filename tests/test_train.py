"""A training that any interruption leaves unchanged: schedules, the loop, its state and its curve."""

import math
import time

import pytest
import torch
import torch.nn.functional as F
from toys import seeded, smooth_network, toy_dataset, toy_recipe

from paperlib import train
from paperlib.attack import attack
from paperlib.objective import cross_entropy
from paperlib.train import OutOfTime, fit

DATA = toy_dataset()


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


def test_a_source_makes_another_network_and_must_be_given_exactly_when_named():
    recipe = toy_recipe(method="advtrain")
    own, curve = fit(recipe, DATA, progress=False)
    fixed, longer = fit(toy_recipe(method="advtrain", source="toy"), DATA, progress=False, source=smooth_network())
    assert not torch.equal(weights(own), weights(fixed)) and len(curve) == len(longer)
    with pytest.raises(ValueError, match="source is no network and the recipe names toy"):
        fit(toy_recipe(method="advtrain", source="toy"), DATA, progress=False)
    with pytest.raises(ValueError, match="source is a network and the recipe names none"):
        fit(recipe, DATA, progress=False, source=smooth_network())


def test_a_penalised_network_starts_from_the_weights_of_its_source():
    recipe = toy_recipe(method="ours", c=0.1, source="toy", epochs=1, lr=1e-9)
    start = train.untrained(toy_recipe(seed=5), DATA)
    moved, _ = fit(recipe, DATA, progress=False, source=start)
    assert torch.allclose(weights(moved), weights(start), atol=1e-6)
    assert not torch.allclose(weights(moved), weights(train.untrained(recipe, DATA)), atol=1e-2)
    with pytest.raises(ValueError, match="source is 'toy', a network of other layers; allowed is one of the same"):
        fit(recipe, DATA, progress=False, source=smooth_network())


# Warm-up and units.


def test_c_and_eps_grow_linearly_and_sizes_are_converted_once(monkeypatch):
    seen = []

    def noted(model, x, y, recipe, *, c, eps, step_size, generator, curvature, h):
        seen.append((c, eps, step_size))
        assert curvature == pytest.approx(0.5 * c) and h == pytest.approx(25.5 / 255)
        return cross_entropy(model(x), y).mean()

    monkeypatch.setattr(train, "batch_loss", noted)
    recipe = toy_recipe(method="ours", c=0.8, warmup=1.5, eps=51, eps_warmup=2, step_size=10.2, epochs=3, batch=15, lr=1e-4,
                        curvature=0.4, h=25.5)  # fmt: skip
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
    found = attack(model, DATA.validation.x, DATA.validation.y, eps=0.1, steps=10, step_size=0.025, stop_at_success=True)
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
