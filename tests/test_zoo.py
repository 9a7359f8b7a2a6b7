"""A recipe and its checkpoint: trained once, loaded after, and refused by name when anything about it is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toys import toy_recipe, write_archive

from paperlib import data, files
from paperlib.train import OutOfTime
from press.plan import experiments
from press.run import zoo
from press.run.zoo import ZooError


class House:
    """A tmp folder with an archive, a recipe that the tests may change, and a count of trainings."""

    def __init__(self, root: Path, monkeypatch):
        write_archive(root / "tiny.npz")
        self.archive = root / "tiny.npz"
        self.recipe = toy_recipe(data=str(self.archive), epochs=2)
        self.models = root / "build" / "quick" / "models"
        self.path = self.models / "toy.safetensors"
        self.card = self.models / "toy.json"
        self.state = self.models / "toy.state.pt"
        self.trained = []
        original = zoo.fit
        monkeypatch.setattr(zoo, "fit", lambda recipe, *a, **k: self.trained.append(recipe) or original(recipe, *a, **k))
        monkeypatch.setattr(experiments, "recipe", lambda profile, name: self.recipe)
        monkeypatch.setenv("PAPERLIB_BUILD", str(root / "build"))

    def get(self, **options):
        return zoo.get("toy", "quick", progress=False, **options)

    def names(self) -> set[str]:
        return {path.name for path in self.models.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    data.load.cache_clear()
    yield House(tmp_path, monkeypatch)
    data.load.cache_clear()


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def test_a_network_is_trained_once_and_loaded_after(house):
    first, second = house.get(), house.get()
    x = first.dataset.test.x
    assert len(house.trained) == 1
    assert torch.equal(first.model(x), second.model(x)) and not second.model.training
    assert (second.name, second.recipe, second.sha256) == ("toy", house.recipe, files.file_hash(house.path))
    assert house.names() == {"toy.safetensors", "toy.json"}
    # the same weights as training without the zoo
    model, _ = zoo.fit(house.recipe, second.dataset, progress=False)
    assert torch.equal(weights(model), weights(second.model))


def test_a_card_older_than_a_field_of_the_recipe_still_counts(house):
    house.get()
    card = json.loads(house.card.read_text())
    del card["recipe"]["keep"]
    house.card.write_text(json.dumps(card))
    house.get()
    assert len(house.trained) == 1


def test_a_network_with_a_source_follows_it(house, monkeypatch):
    natural = house.recipe
    recipes = {"natural": natural, "toy": toy_recipe(data=natural.data, method="advtrain", source="natural")}
    monkeypatch.setattr(experiments, "recipe", lambda profile, name: recipes[name])
    first = house.get()
    source = zoo.get("natural", "quick", progress=False)
    assert [recipe.method for recipe in house.trained] == ["natural", "advtrain"]
    assert first.card["source"] == {"name": "natural", "sha256": source.sha256}
    house.get()
    assert len(house.trained) == 2
    recipes["natural"] = toy_recipe(data=natural.data, seed=1)
    second = house.get()
    assert len(house.trained) == 4 and second.card["source"]["sha256"] != source.sha256


def test_the_card_says_what_made_the_network(house):
    trained = house.get()
    card = json.loads(house.card.read_text())
    assert card == trained.card
    assert card["recipe"] == house.recipe.to_dict() and card["seed"] == 0 and card["name"] == "toy"
    assert card["data"] == {"name": "tiny", "sha256": trained.dataset.sha256, "n": 36}
    assert [set(row) for row in card["curve"]] == [{"loss", "clean", "adversarial", "seconds", "lr"}] * 2
    assert card["seconds_per_epoch"] == pytest.approx(sum(row["seconds"] for row in card["curve"]) / 2)
    assert {"cores", "gpu", "system"} <= set(card["machine"])


def test_a_budget_interrupts_and_a_later_call_goes_on(house):
    with pytest.raises(OutOfTime, match="^toy stopped after epoch 1 of 2: budget spent$"):
        house.get(budget=1e-9)
    assert house.names() == {"toy.state.pt"}
    resumed = house.get()
    assert house.names() == {"toy.safetensors", "toy.json"}
    assert torch.equal(weights(resumed.model), weights(house.get(rebuild=True).model))


def test_a_finished_state_without_a_checkpoint_is_written_down_without_training(house, monkeypatch):
    # killed between the last epoch and the card
    monkeypatch.setattr(zoo, "file_hash", None)
    with pytest.raises(TypeError):
        house.get()
    assert house.names() == {"toy.safetensors", "toy.state.pt"}
    monkeypatch.undo()
    monkeypatch.setattr(experiments, "recipe", lambda profile, name: house.recipe)
    monkeypatch.setenv("PAPERLIB_BUILD", str(house.models.parents[1]))
    monkeypatch.setattr("paperlib.train.batch_loss", None)
    assert len(house.get().card["curve"]) == 2
    assert house.names() == {"toy.safetensors", "toy.json"}


def test_a_changed_recipe_sets_the_old_checkpoint_aside(house):
    old = house.get()
    house.recipe = toy_recipe(data=str(house.archive), epochs=1)
    new = house.get()
    assert new.recipe == house.recipe and new.sha256 != old.sha256
    tag = old.sha256[:8]
    assert house.names() == {"toy.safetensors", "toy.json", f"toy.{tag}.safetensors", f"toy.{tag}.json"}
    aside = zoo.load(house.models / f"toy.{tag}.safetensors")
    assert aside.recipe == old.recipe and torch.equal(weights(aside.model), weights(old.model))


def test_changed_data_set_the_old_checkpoint_aside(house):
    old = house.get()
    write_archive(house.archive, n=48)
    data.load.cache_clear()
    new = house.get()
    assert len(house.trained) == 2
    assert new.card["data"]["sha256"] != old.card["data"]["sha256"] and new.card["data"]["n"] == 44
    assert f"toy.{old.sha256[:8]}.json" in house.names()


def test_the_state_of_a_former_recipe_is_not_gone_on_from(house):
    with pytest.raises(OutOfTime):
        house.get(budget=1e-9)
    house.recipe = toy_recipe(data=str(house.archive), epochs=3, seed=1)
    resumed = weights(house.get().model)
    assert torch.equal(resumed, weights(house.get(rebuild=True).model))


def test_a_rebuild_keeps_the_old_checkpoint_even_if_it_is_interrupted(house):
    old = house.get()
    with pytest.raises(OutOfTime):
        house.get(rebuild=True, budget=1e-9)
    aside = house.models / f"toy.{old.sha256[:8]}.safetensors"
    assert house.names() == {"toy.state.pt", aside.name, aside.with_suffix(".json").name}
    assert torch.equal(weights(zoo.load(aside).model), weights(old.model))


def test_an_interrupted_rebuild_goes_on_when_it_is_asked_for_again(house):
    house.get()
    for _ in range(2):
        with pytest.raises(OutOfTime):
            house.get(rebuild=True, budget=1e-9)
        state = house.state.read_bytes()
    assert house.state.read_bytes() == state
    assert torch.load(house.state, weights_only=True)["epoch"] == 1
    first = torch.load(house.state, weights_only=True)["curve"][0]
    assert house.get(rebuild=True).card["curve"][0] == first


def test_lost_weights_are_trained_again(house):
    whole = weights(house.get().model)
    house.path.unlink()
    assert torch.equal(weights(house.get().model), whole) and len(house.trained) == 2


# Broken and foreign files. Each is refused with its name, stays as it is, and is made anew only when asked.


def truncate(house):
    house.path.write_bytes(house.path.read_bytes()[:-100])
    return f"{house.path} does not have the hash that its card names: truncated or foreign; use --rebuild"


def flip(house):
    content = bytearray(house.path.read_bytes())
    content[-1] ^= 1
    house.path.write_bytes(content)
    return f"{house.path} does not have the hash that its card names: truncated or foreign; use --rebuild"


def forge(house):
    """Weights of another network whose hash the card names."""
    save_file({"weight": torch.zeros(3)}, house.path)
    card = json.loads(house.card.read_text())
    house.card.write_text(json.dumps(card | {"sha256": files.file_hash(house.path)}))
    return f"{house.path} is not a checkpoint of its recipe (Error(s) in loading state_dict for Sequential:)"


def fill(house):
    """Bytes that are no weights at all, hash and all."""
    house.path.write_bytes(b"not weights")
    card = json.loads(house.card.read_text())
    house.card.write_text(json.dumps(card | {"sha256": files.file_hash(house.path)}))
    return f"{house.path} is not a checkpoint of its recipe ("


def scribble(house):
    house.card.write_text("{")
    return f"{house.card} is not a readable card ("


def replace_card(house):
    house.card.write_text('{"name": "toy"}')
    return f"{house.card} is not a card: it lacks recipe, sha256 or data; use --rebuild"


def lose_card(house):
    house.card.unlink()
    return f"{house.path} has no card toy.json: a foreign file; move it away or use --rebuild"


def foreign_state(house):
    house.path.unlink()
    house.card.unlink()
    house.state.write_bytes(b"not a state")
    return f"{house.state} is not the state of a training; remove it or use --rebuild"


def other_state(house):
    house.path.unlink()
    house.card.unlink()
    torch.save({"epoch": 1}, house.state)
    return f"{house.state} is not the state of a training; remove it or use --rebuild"


@pytest.mark.parametrize(
    "damage",
    [truncate, flip, forge, fill, scribble, replace_card, lose_card, foreign_state, other_state],
    ids=lambda damage: damage.__name__,
)
def test_a_broken_or_foreign_file_is_refused_with_its_name_and_rebuilt_when_asked(house, damage):
    whole = weights(house.get().model)
    sentence = damage(house)
    files = {path: path.read_bytes() for path in house.models.iterdir()}
    with pytest.raises(ZooError) as caught:
        house.get()
    assert str(caught.value).startswith(sentence)
    assert {path: path.read_bytes() for path in house.models.iterdir()} == files
    assert len(house.trained) == 1
    assert torch.equal(weights(house.get(rebuild=True).model), whole)
    assert len(house.trained) == 2
    assert torch.equal(weights(house.get().model), whole)


def test_a_card_of_another_version_is_refused_with_its_name(house):
    house.get()
    card = json.loads(house.card.read_text())
    for recipe in (card["recipe"] | {"colour": 1}, {"data": "digits"}, card["recipe"] | {"width": 0}):
        house.card.write_text(json.dumps(card | {"recipe": recipe}))
        with pytest.raises(ZooError) as caught:
            zoo.load(house.path)
        assert str(caught.value).startswith(f"{house.card} holds no recipe of this version: ")


# Two processes.

ASK = """
import sys, time
from press.run import zoo
original = zoo.fit
def fit(*arguments, **options):
    with open(sys.argv[1], "a") as stream:
        stream.write("trained\\n")
    time.sleep(0.5)  # long enough for the other process to ask as well
    return original(*arguments, **options)
zoo.fit = fit
print(zoo.get("toy", "quick", progress=False).sha256)
"""


def test_two_processes_that_ask_for_one_network_train_it_once(tmp_path):
    write_archive(tmp_path / "tiny.npz")
    recipe = toy_recipe(data=str(tmp_path / "tiny.npz"), epochs=1).to_dict()
    (tmp_path / "experiments.yml").write_text(json.dumps({"recipes": {"quick": {"toy": recipe}}, "artifacts": {}}))
    code = Path(zoo.__file__).resolve().parents[1]
    environment = {"PAPERLIB_ROOT": str(tmp_path), "PYTHONPATH": str(code), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path / "trained.txt")], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] and len(said[0].strip()) == 64
    assert (tmp_path / "trained.txt").read_text() == "trained\n"
    assert sorted(path.name for path in (tmp_path / "build" / "quick" / "models").iterdir() if path.suffix != ".lock") == [
        "toy.json", "toy.safetensors",
    ]  # fmt: skip
