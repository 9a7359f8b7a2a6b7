"""The reader's own network: loading it, refusing it in one sentence, measuring it from the command line."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paperlib import own
from paperlib.__main__ import main

SOURCE = """
import torch
from torch import nn

def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def wrong():
    return "a network"

def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
"""


@pytest.fixture
def source(tmp_path):
    """A file with three functions, of which one returns a usable network."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_network_and_weights_are_loaded(source, tmp_path):
    weights = {"1.weight": torch.full((10, 784), 0.5), "1.bias": torch.arange(10.0)}
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pt")
    for file in ("w.safetensors", "w.pt"):
        model = own.network(f"{source}:linear", str(tmp_path / file))
        assert torch.equal(model[1].weight, weights["1.weight"]) and not model.training


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("mine.py", "FILE.py:FUNCTION"),
        ("missing.py:linear", "does not exist"),
        ("{}:absent", "no function 'absent'"),
        ("{}:wrong", "returned str; allowed is an nn.Module"),
        ("no_such_module:make", "cannot be imported"),
    ],
)
def test_a_network_that_cannot_be_loaded_is_refused(source, where, said):
    with pytest.raises(own.NetworkError, match=said):
        own.network(where.format(source))


def test_weights_that_do_not_fit_are_refused_by_name(source, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"abc")
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    for file in ("cut.safetensors", "other.safetensors", "absent.safetensors"):
        with pytest.raises(own.NetworkError, match=file):
            own.network(f"{source}:linear", str(tmp_path / file))


def test_a_network_for_other_images_or_classes_is_refused(source):
    dataset, split = own.images("digits", 4)
    with pytest.raises(own.NetworkError, match=r"K >= 10"):
        own.check_fit(own.network(f"{source}:narrow"), split, dataset.classes)
    with pytest.raises(own.NetworkError, match="does not take images of shape"):
        own.check_fit(nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), split, dataset.classes)


def test_commands_measure_a_network(source, tmp_path, capsys):
    which = ["--network", f"{source}:linear", "--data", "digits", "--n", "20"]
    assert main(["evaluate", *which, "--eps", "0.01", "0.1", "--pgd-steps", "3", "--out", str(tmp_path / "e.json")]) == 0
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["worst"]["0.1"]["mean"] <= values["worst"]["0.01"]["mean"] <= values["clean"]["mean"]
    assert main(["indicator", *which, "--eps", "0.05", "--out", str(tmp_path / "i.json")]) == 0
    assert json.loads((tmp_path / "i.json").read_text())["curvature"]["mean"] == 0  # a linear network does not bend
    assert main(["surface", *which, "--eps", "0.3", "--steps", "5", "--out", str(tmp_path / "s.png")]) == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert "clean" in capsys.readouterr().out


def test_a_wrong_option_is_one_sentence(source, capsys):
    which = ["--network", f"{source}:linear", "--data", "digits", "--n", "5"]
    assert main(["evaluate", *which, "--eps", "0.2", "0.1"]) == 2
    assert capsys.readouterr().err.startswith("paperlib: eps is [0.2, 0.1]; allowed are rising positive numbers")
