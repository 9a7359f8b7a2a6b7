"""A recipe and its checkpoint: trained once, loaded after, and refused by name when anything about it is wrong."""

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toys import toy_recipe, write_archive

from paperlib import data, files, sealed
from paperlib.sealed import DamagedError
from paperlib.train import OutOfTime, load_state, save_state
from press.plan import experiments
from press.run import zoo
from press.run.checkpoints import CheckpointError


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
    card = sealed.read_json(house.card)
    del card["recipe"]["keep"]
    sealed.write_json(house.card, card)
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
    card = sealed.read_json(house.card)
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


def test_a_rebuild_begins_anew_and_goes_on_without_being_asked_for_again(house):
    whole = weights(house.get().model)
    for _ in range(2):
        with pytest.raises(OutOfTime):
            house.get(rebuild=True, budget=1e-9)
        first = load_state(house.state)
        assert first["epoch"] == 1
    seconds = first["curve"][0]["seconds"]
    resumed = house.get()
    assert resumed.card["curve"][0]["seconds"] == seconds and torch.equal(weights(resumed.model), whole)


@pytest.mark.parametrize("length", [0, 1, 72, 5_000, -74, -1], ids=str)
@pytest.mark.parametrize("rebuild", [True, False])
def test_a_state_that_was_cut_is_begun_anew(house, capsys, length, rebuild):
    whole = weights(house.get().model)
    with pytest.raises(OutOfTime):
        house.get(rebuild=True, budget=1e-9)
    content = house.state.read_bytes()
    assert len(content) > 5_000
    house.state.write_bytes(content[:length])
    assert torch.equal(weights(house.get(rebuild=rebuild).model), whole)
    assert ("; the training begins anew" in capsys.readouterr().out) != rebuild


def test_no_changed_bit_of_a_state_is_gone_on_from(house, capsys):
    whole = weights(house.get().model)
    with pytest.raises(OutOfTime):
        house.get(rebuild=True, budget=1e-9)
    content = house.state.read_bytes()
    for k in range(250):
        place = k * len(content) // 250
        house.state.write_bytes(content[:place] + bytes([content[place] ^ 1 << k % 8]) + content[place + 1 :])
        with pytest.raises(DamagedError, match="^.*toy.state.pt is damaged"):
            load_state(house.state)
    assert torch.equal(weights(house.get().model), whole)
    sentence = f"{house.state} is damaged or older than seals: it does not end with the hash of its content; the training "
    assert capsys.readouterr().out == f"{sentence}begins anew\n"


def test_a_state_that_names_another_epoch_publishes_nothing(house):
    whole = weights(house.get().model)
    with pytest.raises(OutOfTime):
        house.get(rebuild=True, budget=1e-9)
    state = load_state(house.state) | {"epoch": 99}
    # as somebody would write it, and as nobody should
    torch.save(state, house.state)
    assert torch.equal(weights(house.get().model), whole)
    house.path.unlink(), house.card.unlink()
    save_state(state, house.state)
    with pytest.raises(ValueError, match="tells of 1 epochs and names 99; remove it$"):
        house.get()
    assert not house.path.exists()


def test_lost_weights_are_trained_again(house):
    whole = weights(house.get().model)
    house.path.unlink()
    assert torch.equal(weights(house.get().model), whole) and len(house.trained) == 2


# Damaged files: a sentence says so, what can be kept is set aside, and the network is trained again.

NO_JSON = "is damaged or older than seals: it is no JSON with the hash of its content"


def truncate(house):
    house.path.write_bytes(house.path.read_bytes()[:-100])
    return f"{house.path} is damaged: it does not have the hash that its card names"


def flip(house):
    content = bytearray(house.path.read_bytes())
    content[-1] ^= 1
    house.path.write_bytes(content)
    return f"{house.path} is damaged: it does not have the hash that its card names"


def change_a_number(house):
    house.card.write_text(house.card.read_text().replace('"epochs": 2', '"epochs": 3'))
    return f"{house.card} is damaged: its content does not have the hash that it names"


def scribble(house):
    house.card.write_text("{")
    return f"{house.card} {NO_JSON}"


def replace_card(house):
    sealed.write_json(house.card, {"name": "toy"})
    return f"{house.card} is not a card: it lacks recipe, sha256 or data"


def write_as_before_seals(house):
    house.card.write_text(json.dumps(sealed.read_json(house.card)))
    return f"{house.card} {NO_JSON}"


def lose_card(house):
    house.card.unlink()
    return f"{house.card} cannot be read (No such file or directory)"


def lose_weights(house):
    house.path.unlink()
    return f"{house.path} is lost"


DAMAGES = [truncate, flip, change_a_number, scribble, replace_card, write_as_before_seals, lose_card, lose_weights]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_trained_again_and_kept_aside(house, damage, capsys):
    whole = weights(house.get().model)
    sentence = damage(house)
    with pytest.raises(CheckpointError, match=re.escape(f"{sentence}; fetch it again or train it anew with --rebuild")):
        zoo.load(house.path)
    left = house.path.read_bytes() if house.path.exists() else None
    assert torch.equal(weights(house.get().model), whole) and len(house.trained) == 2
    assert capsys.readouterr().out == f"{sentence}; toy is trained anew\n"
    aside = [path.read_bytes() for path in house.models.glob("toy.????????.safetensors")]
    assert aside == ([] if left is None else [left])
    house.get()
    assert len(house.trained) == 2 and capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"not a state", b"", None], ids=["noise", "nothing", "unsealed"])
def test_what_is_no_state_is_replaced(house, content):
    if content is None:
        house.models.mkdir(parents=True)
        torch.save({"epoch": 1}, house.state)
    else:
        files.write_atomic(house.state, content)
    house.get()
    assert house.names() == {"toy.safetensors", "toy.json"}


# Forged files, whose hashes fit, are refused with their names, and made anew only when asked.


def forge(house):
    """Weights of another network whose hash the card names."""
    save_file({"weight": torch.zeros(3)}, house.path)
    sealed.write_json(house.card, sealed.read_json(house.card) | {"sha256": files.file_hash(house.path)})
    return f"{house.path} is not a checkpoint of its recipe (Error(s) in loading state_dict for Sequential:)"


def fill(house):
    """Bytes that are no weights at all, hash and all."""
    house.path.write_bytes(b"not weights")
    sealed.write_json(house.card, sealed.read_json(house.card) | {"sha256": files.file_hash(house.path)})
    return f"{house.path} is not a checkpoint of its recipe ("


@pytest.mark.parametrize("damage", [forge, fill], ids=lambda damage: damage.__name__)
def test_a_forged_file_is_refused_with_its_name_and_rebuilt_when_asked(house, damage):
    whole = weights(house.get().model)
    sentence = damage(house)
    before = {path: path.read_bytes() for path in house.models.iterdir()}
    with pytest.raises(CheckpointError) as caught:
        house.get()
    assert str(caught.value).startswith(sentence)
    assert {path: path.read_bytes() for path in house.models.iterdir()} == before
    assert torch.equal(weights(house.get(rebuild=True).model), whole) and len(house.trained) == 2


def test_a_full_disk_leaves_no_half_checkpoint_and_says_which_file_did_not_fit(house, monkeypatch):
    def full(stream):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*toy.state.pt"):
        house.get()
    assert house.names() == set()


def test_a_card_of_another_version_is_refused_with_its_name(house):
    house.get()
    card = json.loads(house.card.read_text())
    for recipe in (card["recipe"] | {"colour": 1}, {"data": "digits"}, card["recipe"] | {"width": 0}):
        sealed.write_json(house.card, card | {"recipe": recipe})
        with pytest.raises(CheckpointError) as caught:
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
