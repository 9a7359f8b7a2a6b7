"""Networks, weights and images from wherever people keep them."""

import json
import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toys import stripes, write_archive

from paperlib import data
from paperlib.data import DataError
from paperlib.reporting import own, readers, sources
from paperlib.reporting.wrap import NetworkError
from press.__main__ import main

SOURCE = """
import torch
from torch import nn

def fresh(classes=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def network(classes=4, gain=10.0):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    with torch.no_grad():
        for k, weight in enumerate(model[1].weight):
            weight.zero_().view(8, 8)[4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] = gain / 16
        model[1].bias.zero_()
    return model

def several():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()
        def forward(self, x):
            return {"logits": self.inner(x), "features": x.flatten(1)}
    return Several()

def dropping():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()
        def forward(self, x):
            return self.inner(nn.functional.dropout(x, 0.2))
    return Dropping()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the reader's: a file with networks, an archive, and nothing else; the current one."""
    (tmp_path / "mine.py").write_text(SOURCE)
    write_archive(tmp_path / "mine.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made() -> nn.Module:
    return readers.network("mine.py:network")


# Networks.


def test_a_network_may_come_from_a_package_with_arguments(folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "nets.py").write_text(SOURCE)
    assert readers.network("package.nets:network(classes=6, gain=2.0)")[1].out_features == 6
    assert readers.network("mine.py:network(classes=5)")[1].out_features == 5


def saved(folder, model) -> str:
    torch.save(model.state_dict(), folder / "w.pt")
    return str(folder / "w.pt")


def test_a_torchvision_network_is_named_by_its_package(folder):
    from torchvision.models import squeezenet1_1

    weights = saved(folder, squeezenet1_1(num_classes=3))
    model = readers.network("torchvision.models:squeezenet1_1(num_classes=3)", weights)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3) and not model.training


@pytest.mark.parametrize("arguments", ["(4)", "(classes=range)", "(classes=", "(**{})", "(classes=4))"])
def test_arguments_are_plain_values_by_name(folder, arguments):
    with pytest.raises(NetworkError, match="allowed (is FILE.py:FUNCTION|in the brackets are plain values by name)"):
        readers.network(f"mine.py:network{arguments}")


def test_weights_that_are_new_at_every_call_are_refused_unless_they_are_given(folder):
    with pytest.raises(NetworkError, match="weights differ from call to call: they are random; allowed is .* --weights"):
        readers.load("mine.py:fresh")
    loaded = readers.load("mine.py:fresh", saved(folder, made()))
    assert loaded.sha256 == readers.weights_hash(made()) and loaded.said == []


def test_the_hash_of_weights_covers_names_types_and_values():
    def hashed(change=lambda model: model):
        torch.manual_seed(0)
        return readers.weights_hash(change(nn.Sequential(nn.BatchNorm2d(2), nn.Linear(2, 2))))

    assert hashed() == hashed() != hashed(lambda model: model.bfloat16())
    assert hashed() != hashed(lambda model: nn.Sequential(model))
    assert hashed() != hashed(lambda model: model.requires_grad_(False) and (model[1].bias.data.add_(1), model)[1])


# Weights.


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_stripped_and_said(folder, prefix):
    weights = {f"{prefix}{name}": value for name, value in made().state_dict().items()}
    torch.save({"state": weights | {"n_averaged": torch.tensor(3)}}, folder / "w.pt")
    loaded = readers.load("mine.py:fresh", "w.pt")
    assert loaded.sha256 == readers.weights_hash(made())
    (said,) = loaded.said
    assert said.startswith("names in w.pt are taken without ") and said.endswith("and n_averaged is left out")
    assert prefix.partition(".")[0] in said


def test_a_common_prefix_is_stripped_only_where_the_rest_fits(folder):
    weights = {f"model.{name}": value for name, value in made().state_dict().items()}
    torch.save(weights, folder / "w.pt")
    assert readers.load("mine.py:fresh", "w.pt").said == ["names in w.pt are taken without model."]
    torch.save(weights | {"model.more": torch.zeros(1)}, folder / "w.pt")
    with pytest.raises(NetworkError, match="does not fit the network: Missing key"):
        readers.load("mine.py:fresh", "w.pt")


def test_a_prefix_that_is_the_networks_own_stays():
    model = nn.Sequential()
    model.module = nn.Linear(2, 2)
    weights, said = readers._stripped(model.state_dict(), model, readers.Path("w.pt"))
    assert list(weights) == ["module.weight", "module.bias"] and said == []


def test_one_of_several_state_dictionaries_is_named_by_its_key(folder):
    other = {name: value + 1 for name, value in made().state_dict().items()}
    right = made().state_dict()
    torch.save({"model": other, "ema": {"shadow": right}, "best": right}, folder / "w.pt")
    with pytest.raises(NetworkError, match=re.escape("(--weights-key names one of model, best)")):
        readers.load("mine.py:fresh", "w.pt")
    for key in ("best", "ema.shadow"):
        assert readers.load("mine.py:fresh", "w.pt", key).sha256 == readers.weights_hash(made())
    with pytest.raises(NetworkError, match="weights_key is 'epoch'; allowed are the state dictionaries of weights file w"):
        readers.load("mine.py:fresh", "w.pt", "epoch")
    with pytest.raises(NetworkError, match="weights_key is 'best' without weights"):
        readers.load("mine.py:fresh", "", "best")


@pytest.mark.parametrize("numpy", [False, True])
def test_what_to_run_to_convert_a_file_works(folder, numpy):
    path = folder / "old.pt"
    torch.save({"weights": made().state_dict(), "loss": np.float64(0.1)} if numpy else made(), path)
    with pytest.raises(NetworkError) as caught:
        readers.load("mine.py:fresh", "old.pt")
    program = re.search(r'python -c "(.*)"$', str(caught.value))[1].replace("KEY OF THE WEIGHTS", "weights")
    exec(program, {})
    assert readers.load("mine.py:fresh", "weights.pt").sha256 == readers.weights_hash(made())


# Images.


def test_the_choice_of_images_has_the_classes_in_turn():
    y = torch.arange(4).repeat_interleave(10)
    index = sources.chosen(y, 8)
    assert torch.bincount(y[index]).tolist() == [2, 2, 2, 2] and index.tolist() == sorted(index.tolist())
    assert torch.equal(sources.chosen(y, None), torch.arange(40)) and len(sources.chosen(y, 99)) == 40


def test_an_ordered_archive_gives_every_class(folder):
    order = np.argsort(np.arange(40) % 4, kind="stable")
    arrays = write_archive(folder / "ordered.npz")
    np.savez(folder / "ordered.npz", **arrays | {k: arrays[k][order] for k in ("x_test", "y_test")})
    dataset, chosen = own.images("ordered.npz", 8)
    assert torch.bincount(chosen.y).tolist() == [2, 2, 2, 2]
    assert torch.equal(dataset.test.x[chosen.index], chosen.x)
    with pytest.warns(UserWarning, match="the first 8 of 40 images hold 1 of 4 classes, as in an archive ordered by class"):
        dataset.test.first(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load("mine.npz").test.first(8)
        data.load("digits").train.first(8)


@pytest.mark.parametrize("names", [("x_test", "y_test"), ("x", "y")])
def test_an_archive_with_only_a_test_half_can_be_measured_and_not_trained_on(folder, names):
    split = stripes(12, seed=1)
    np.savez(folder / "half.npz", **dict(zip(names, (split.x[:, 0].numpy(), split.y.numpy()), strict=True)))
    dataset, chosen = own.images("half.npz", None)
    assert (len(dataset.train), len(chosen), dataset.classes) == (0, 12, 4) and torch.equal(chosen.x, split.x)
    assert own.indicators(made(), dataset, chosen, eps=0.1)["linear_robust"]["n"] == 12
    with pytest.raises(DataError, match="lacks x_train, y_train"):
        data.load("half.npz")


def test_channels_may_come_first(folder):
    x = np.random.default_rng(0).random((6, 3, 8, 9)).astype(np.float32)
    np.savez(folder / "first.npz", x_test=x, y_test=np.arange(6) % 2)
    assert torch.equal(own.images("first.npz", None)[1].x, torch.from_numpy(x))


def pictures(folder, sizes=((8, 8),), mode="L", classes=("cat", "dog"), each=3) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for k in range(each):
            Image.new(mode, sizes[k % len(sizes)], 60 * label + k if mode == "L" else (60 * label, k, 0)).save(
                folder / name / f"{k}.png"
            )


def test_a_folder_of_pictures_is_read_as_far_as_it_is_chosen(folder):
    pictures(folder / "photos" / "val")
    dataset, chosen = own.images("photos", 4)
    assert dataset.classes == 2 and chosen.index.tolist() == [0, 1, 3, 4] and chosen.y.tolist() == [0, 0, 1, 1]
    assert chosen.x.shape == (4, 1, 8, 8) and dataset.pixel_scale == 1 and chosen.class_names == ("cat", "dog")
    assert torch.equal((255 * chosen.x[:, 0, 0, 0]).round().int(), torch.tensor([0, 1, 60, 61], dtype=torch.int32))


def test_pictures_of_several_sizes_need_a_size(folder):
    pictures(folder / "photos", sizes=((12, 8), (8, 20)), mode="RGB")
    with pytest.raises(DataError, match=r"has pictures of 2 sizes \(8 x 20, 12 x 8, ...\); allowed is one size, or --size"):
        own.images("photos", None)
    dataset, chosen = own.images("photos", None, size=6)
    assert chosen.x.shape == (6, 3, 6, 6) and dataset.pixel_scale == 255
    assert (255 * chosen.x[4]).round().flatten(1).unique(dim=1).flatten().tolist() == [60, 1, 0]


def test_folders_that_hold_no_classes_or_broken_pictures_are_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="data folder empty holds 0 folders and 0 pictures in them; allowed is one folder"):
        own.images("empty", None)
    pictures(folder / "photos")
    (folder / "photos" / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"picture photos/cat/0.png cannot be read \(UnidentifiedImageError\)"):
        own.images("photos", None)


def test_any_data_set_of_torchvision_is_known_by_name():
    dataset, chosen = own.images("FakeData", 20, size=16)
    assert dataset.name == "FakeData" and chosen.x.shape == (20, 3, 16, 16) and torch.bincount(chosen.y).tolist() == [2] * 10
    again = own.images("fakedata", 20, size=16)[0]
    assert again.sha256 == dataset.sha256


def test_a_torchvision_data_set_is_downloaded_only_if_it_is_not_there(monkeypatch, tmp_path):
    from torchvision import datasets

    asked = []

    class Kept:
        def __init__(self, root, train=True, download=False):
            asked.append((train, download))
            if not download:
                raise RuntimeError("Dataset not found")
            self.targets, self.classes = [0, 1, 1, 0], ["o", "ki"]

        def __len__(self):
            return 4

        def __getitem__(self, k):
            return Image.new("L", (5, 5), 10 * k), self.targets[k]

    monkeypatch.setattr(datasets, "KMNIST", Kept)
    _, chosen = own.images("kmnist", 2)
    assert asked == [(False, False), (False, True)] and chosen.index.tolist() == [0, 1] and chosen.y.tolist() == [0, 1]
    assert chosen.class_names == ("o", "ki")

    def unreachable(self, root, train=True, download=False):
        raise OSError("none")

    monkeypatch.setattr(Kept, "__init__", unreachable)
    with pytest.raises(DataError, match=r"data 'kmnist' is not at hand and its download failed \(none\); put its files"):
        own.images("kmnist", 2)


# From the command line.


def test_a_report_calls_the_classes_as_their_folders_are_called(folder, capsys):
    pictures(folder / "photos", classes=("cat", "dog", "emu", "fox"))
    run(capsys, "report", "--network", "mine.py:network", "--data", "photos", "--eps", "0.1", "--n", "4", "--out", "r.html")
    assert json.loads((folder / "r.json").read_text())["data"]["class_names"] == ["cat", "dog", "emu", "fox"]


def run(capsys, *words) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def test_a_table_names_notes_units_and_what_it_is_of(folder, capsys):
    said = run(capsys, "indicator", "--network", "mine.py:network", "--data", "mine.npz", "--eps", "26/255", "--n", "3")
    lines = said.splitlines()
    assert lines[0] == "note: the 3 images hold 3 of 4 classes"
    assert re.search(r"^linear distance S/\|J\|1 +median \S+ \[\S+, \S+\] of the image range$", said, re.M)
    assert re.search(r"^farther than eps if linear +\S+ % \[\S+, \S+\] of 3$", said, re.M)
    assert re.search(r"^network mine.py:network, weights [0-9a-f]{12}$", said, re.M)
    assert lines[-1].startswith("sizes   0.101961 of the image range; seed 0; paperlib ")


def test_json_is_printed_when_asked_and_written_the_same(folder, capsys):
    which = ["--network", "mine.py:network", "--data", "mine.npz", "--json", "--out", "r.json"]
    said = run(capsys, "evaluate", *which, "--eps", "0.1", "--pgd-steps", "2")
    assert json.loads(said) == json.loads((folder / "r.json").read_text())
    assert json.loads(said)["made_of"]["network"] == "mine.py:network"
    table = run(capsys, "evaluate", *which[:4], "--eps", "0.1", "8/20", "--pgd-steps", "2")
    for line in ("worst case of all attacks at 0.1 of the image range", "masking at 0.4 of the image range: fgsm minus bim"):
        assert line in table
    plane = json.loads(run(capsys, "surface", *which[:-1], "s.png", "--eps", "0.1", "--steps", "3", "--image", "2"))
    assert plane["picture"] == "s.png" and plane["made_of"]["image"] == 2


def test_evaluate_takes_a_thousand_images_unless_told(folder, capsys, monkeypatch):
    seen = []
    values = own.indicators(made(), *own.images("mine.npz"), eps=0.1)
    monkeypatch.setattr(own, "robustness", lambda model, dataset, images, **_: seen.append(len(images)) or values)
    write_archive(folder / "large.npz", n=1100)
    for words in ([], ["--n", "1050"]):
        run(capsys, "evaluate", "--network", "mine.py:network", "--data", "large.npz", "--eps", "0.1", *words)
    assert seen == [1000, 1050]


def test_time_left_is_shown(folder, capsys):
    main(["evaluate", "--network", "mine.py:network", "--data", "mine.npz", "--eps", "0.1", "--pgd-steps", "2"])
    assert re.search(r"at most: +\d+%.*<\d\d:\d\d", capsys.readouterr().err)


def test_dictionaries_chance_and_units_are_options(folder, capsys):
    which = ["--data", "mine.npz", "--eps", "0.1", "--json"]
    named = run(capsys, "indicator", "--network", "mine.py:several", "--logits", "logits", *which)
    plain = run(capsys, "indicator", "--network", "mine.py:network", *which)
    assert json.loads(named)["S"] == json.loads(plain)["S"]
    words = ["indicator", "--network", "mine.py:dropping", "--average", "5", "--seed"]
    averaged = [run(capsys, *words, seed, *which) for seed in "001"]
    assert averaged[0] == averaged[1] and json.loads(averaged[0])["S"] != json.loads(averaged[2])["S"]
    moved = run(capsys, "indicator", "--network", "mine.py:network", "--mean", "0.1", "--std", "0.5", *which)
    assert json.loads(moved)["S"]["median"] == pytest.approx(2 * json.loads(plain)["S"]["median"], rel=1e-4)


def test_prefixes_are_said_on_the_terminal(folder, capsys):
    torch.save({f"module.{k}": v for k, v in made().state_dict().items()}, folder / "w.pt")
    main(["indicator", "--network", "mine.py:fresh", "--weights", "w.pt", "--data", "mine.npz", "--eps", "0.1"])
    assert capsys.readouterr().err == "paperlib: names in w.pt are taken without module.\n"
