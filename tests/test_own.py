"""The reader's own network: loading it, refusing it in one sentence, measuring it from the command line."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paperlib import data, evaluate, surface
from paperlib.drawings import plane as plane_drawings
from paperlib.reporting import judge, own, trial
from paperlib.reporting.checks import examine
from paperlib.state import InputError
from press.__main__ import main

SOURCE = """
import torch
from torch import nn

def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def wrong():
    return "a network"

def narrow():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))

def wide(width):
    return nn.Linear(784, width)

def silent():
    raise AssertionError

def leaving():
    raise SystemExit(0)
"""
WEIGHTS = {"1.weight": torch.full((10, 784), 0.5), "1.bias": torch.arange(10.0)}


@pytest.fixture
def source(tmp_path):
    """A file with functions of which one returns a usable network."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


# Loading.


def test_network_and_weights_are_loaded(source, tmp_path):
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    torch.save(WEIGHTS, tmp_path / "w.pt")
    torch.save({"model": WEIGHTS, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "inside.pt")
    for file in ("w.safetensors", "w.pt", "inside.pt"):
        model = own.network(f"{source}:linear", str(tmp_path / file))
        assert torch.equal(model[1].weight, WEIGHTS["1.weight"]) and not model.training


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("mine.py", "FILE.py:FUNCTION"),
        ("missing.py:linear", "does not exist"),
        ("{}:absent", "no function 'absent'"),
        ("{}:wrong", "returned str; allowed is an nn.Module"),
        ("no_such_module:make", "cannot be imported"),
        (".foo:network", r"network module '\.foo' cannot be imported \(TypeError: "),
        ("{}:wide", r"calling wide\(\) failed \(TypeError: wide\(\) missing 1 required positional argument: 'width'\)"),
        ("{}:silent", r"calling silent\(\) failed \(AssertionError\)"),
        ("{}:leaving", r"calling leaving\(\) failed \(SystemExit: 0\)"),
    ],
)
def test_a_network_that_cannot_be_loaded_is_refused(source, where, said):
    with pytest.raises(own.NetworkError, match=said):
        own.network(where.format(source))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError: "),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from .layers import Block", "ImportError: attempted relative import with no known parent package"),
        ("raise KeyError", "KeyError)"),
        ("import sys; sys.exit()", "SystemExit)"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_by_name(tmp_path, line, reason):
    (tmp_path / "broken.py").write_text(f"{line}\n")
    with pytest.raises(own.NetworkError, match=re.escape(f"broken.py cannot be imported ({reason}")):
        own.network(f"{tmp_path / 'broken.py'}:network")


def test_a_file_may_hold_dataclasses_and_import_its_neighbours(tmp_path):
    before = list(sys.path)
    (tmp_path / "neighbouring_layers.py").write_text("from torch import nn\nBlock = nn.Flatten\n")
    (tmp_path / "later_layers.py").write_text("width = 10\n")
    (tmp_path / "my.net.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from torch import nn\nfrom neighbouring_layers import Block\n"
        "@dataclass\nclass Shape:\n    inputs: int = 784\n    kind: ClassVar[str] = 'grey'\n"
        "def network():\n    from later_layers import width\n    from torch import manual_seed\n    manual_seed(0)\n"
        "    return nn.Sequential(Block(), nn.Linear(Shape().inputs, width))\n"
    )
    assert own.network(f"{tmp_path / 'my.net.py'}:network")[1].out_features == 10
    assert sys.path == before


def test_weights_that_do_not_fit_are_refused_by_name(source, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"abc")
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    for file in ("cut.safetensors", "other.safetensors", "absent.safetensors"):
        with pytest.raises(own.NetworkError, match=file):
            own.network(f"{source}:linear", str(tmp_path / file))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"1.weight": torch.zeros(10, 784)}, r'does not fit the network: Missing key\(s\) in state_dict: "1.bias"$'),
        (WEIGHTS | {"1.bias": torch.zeros(3)}, r"size mismatch for 1\.bias: .*\[3\]\) from .*\[10\]\)$"),
        ({"model": {"2.bias": torch.zeros(3)}}, r'"1\.bias"; Unexpected key\(s\) in state_dict: "2\.bias"$'),
        ({"model": WEIGHTS, "ema": WEIGHTS}, "holds a dictionary with 'model', 'ema'; allowed is a state dictionary, or"),
        ({"epoch": 3}, "holds a dictionary with 'epoch'; allowed"),
        ({}, "holds a dictionary with nothing in it; allowed"),
        (torch.zeros(3), "holds Tensor; allowed is a state dictionary"),
        (
            nn.Linear(2, 2),
            r"holds whole pickled objects \(torch\.nn\.modules\.linear\.Linear\), which can run code when "
            r"they are read; allowed is a state dictionary, which, .* this writes .*: python -c \".*state_dict\(\)",
        ),
        ({"weights": WEIGHTS, "loss": np.float64(1)}, r"numpy objects beside its weights \(numpy\S+scalar\), .*found\["),
    ],
)
def test_what_a_weights_file_holds_instead_is_said(source, tmp_path, held, said):
    torch.save(held, tmp_path / "w.pt")
    with pytest.raises(own.NetworkError, match=r"^weights file \S*w\.pt .*" + said):
        own.network(f"{source}:linear", str(tmp_path / "w.pt"))


# Fitting.


def test_a_network_for_other_images_or_classes_is_refused(source):
    dataset, split = own.images("digits", 4)
    with pytest.raises(own.NetworkError, match=r"K >= 10"):
        examine(own.network(f"{source}:narrow"), split.x, split.y, classes=dataset.classes)
    with pytest.raises(own.NetworkError, match="does not take images of shape"):
        examine(nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), split.x, split.y, classes=dataset.classes)


class Through(nn.Module):
    """``f`` of a linear layer and the flat images."""

    def __init__(self, f):
        super().__init__()
        self.linear, self.f = nn.Linear(784, 10), f

    def forward(self, x):
        return self.f(self.linear, x.flatten(1))


def unfollowed(linear, x):
    with torch.no_grad():
        return linear(x)


def refusing(linear, x):
    raise AssertionError


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda linear, x: linear(x) * torch.nan, "logits are not finite for 4 of 4 images"),
        (
            lambda linear, x: linear(x) / torch.tensor([1.0, 0, 1, 1])[:, None],
            "takes 4 images at once, but not one alone: "
            r"the network returns \(4, 10\) for 1 image; allowed are",
        ),
        (lambda linear, x: linear(x.sqrt()), "gradients of its margin are not finite for 4 of 4 images"),
        (unfollowed, "do not depend differentiably on the image"),
        (lambda linear, x: linear(x.detach()), "do not depend differentiably on the image"),
        (lambda linear, x: linear(x).argsort(1), "do not depend differentiably on the image"),
        (lambda linear, x: linear(x)[:2], r"returns \(2, 10\) for 4 images; allowed are logits \(4, K\) with K >= 10"),
        (lambda linear, x: linear(x).detach().numpy(), "returns ndarray for 4 images"),
        (lambda linear, x: linear(torch.from_numpy(x.numpy())), r"\(RuntimeError: Can't call numpy\(\) on Tensor that"),
        (refusing, r"does not take images of shape \(1, 28, 28\) \(AssertionError\)$"),
    ],
)
def test_a_network_that_cannot_be_measured_is_refused(f, said):
    dataset, split = own.images("digits", 4)
    with pytest.raises(own.NetworkError, match=said):
        examine(Through(f), split.x, split.y, classes=dataset.classes)


def test_a_gradient_of_zero_is_no_fault_and_the_network_is_left_as_it_was():
    dataset, split = own.images("digits", 4)
    model = nn.Sequential(Through(lambda linear, x: linear(x.round())), nn.BatchNorm1d(10)).train()
    with torch.no_grad():
        examine(model, split.x, split.y, classes=dataset.classes)
    assert model.training and not model[1].running_mean.any() and not split.x.requires_grad
    assert all(weight.grad is None for weight in model.parameters())


def test_values_that_are_not_finite_elsewhere_are_refused():
    dataset, split = own.images("digits", 4)
    # finite in every image, but not a step away from it
    with pytest.raises(own.NetworkError, match="values of curvature are not finite for 4 of 4 images"):
        own.indicators(Through(lambda linear, x: linear((x + 1e-3).sqrt())), dataset, split, eps=0.1)
    gap = Through(lambda linear, x: linear(x) / (x[:, :1] < 0.6))
    grey = data.Split(torch.full_like(split.x, 0.5), split.y)
    with pytest.raises(own.NetworkError, match=r"the surface is not finite at [1-6] of 9 points"):
        own.plane(gap, dataset, grey, image=0, eps=0.3, steps=3)
    dark = torch.full((own.TRIED + 1, 1, 28, 28), 0.5)
    dark[-1] = 0
    root, split = Through(lambda linear, x: linear(x.sqrt())), data.Split(dark, torch.zeros(len(dark), dtype=torch.long))
    with pytest.raises(own.NetworkError, match="gradients of its margin are not finite for 1 of 1 images"):
        own.plane(root, dataset, split, image=own.TRIED, eps=0.3, steps=3)


# Measuring.


def test_commands_measure_a_network(source, tmp_path, capsys):
    which = ["--network", f"{source}:linear", "--data", "digits", "--n", "20"]
    assert main(["evaluate", *which, "--eps", "0.01", "0.1", "--pgd-steps", "3", "--out", str(tmp_path / "e.json")]) == 0
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["worst"]["0.1"]["mean"] <= values["worst"]["0.01"]["mean"] <= values["clean"]["mean"]
    assert main(["indicator", *which, "--eps", "0.05", "--out", str(tmp_path / "i.json")]) == 0
    assert json.loads((tmp_path / "i.json").read_text())["curvature"]["median"] == 0  # a linear network does not bend
    assert main(["surface", *which, "--eps", "0.3", "--steps", "5", "--out", str(tmp_path / "s.png")]) == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert "clean" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"mine.py", "e.json", "i.json", "s.png"}


VIEWING = """
import threading
import torch
from torch import nn

class Viewing(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.lock = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 784, 10), None

    def forward(self, x):
        return self.last(torch.relu_(self.first(x.sub_(0.5))).view(x.size(0), -1))

def viewing(): return Viewing()

def locked():
    network = Viewing()
    network.lock = threading.Lock()
    return network

def traced(): return torch.jit.trace(Viewing().eval(), torch.rand(3, 1, 28, 28))
"""


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["viewing", "locked", "traced"])
def test_commands_measure_a_network_that_views_its_values_has_a_lock_or_was_traced(name, tmp_path, capsys):
    (tmp_path / "viewing.py").write_text(VIEWING)
    namespace = {}
    exec(VIEWING, namespace)
    torch.save(namespace[name]().state_dict(), tmp_path / "w.pt")
    which = [
        "--network",
        f"{tmp_path}/viewing.py:{name}",
        "--weights",
        str(tmp_path / "w.pt"),
        "--data",
        "digits",
        "--n",
        "10",
    ]
    # of an untrained network no image is left at the largest size
    assert main(["evaluate", *which, "--eps", "0.5"]) == 0
    assert main(["surface", *which, "--eps", "0.3", "--steps", "3", "--out", str(tmp_path / "s.png")]) == 0
    assert main(["report", *which, "--eps", "0.5", "--out", str(tmp_path / "r.html")]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_the_step_is_a_quarter_of_the_largest_eps_unless_given(monkeypatch):
    dataset, split = own.images("digits", 2)
    steps = []

    def measured(*_, step_size, **__):
        steps.append(step_size)
        return SimpleNamespace(row={})

    monkeypatch.setattr(own, "evaluation", measured)
    monkeypatch.setattr(evaluate, "masking", lambda *_, **__: {})
    model = Through(lambda linear, x: linear(x))
    own.robustness(model, dataset, split, eps=[0.1, 0.2])
    own.robustness(model, dataset, split, eps=[0.1, 0.2], step_size=0.01)
    assert steps == [0.05, 0.01]


def test_a_plane_moves_no_pixel_by_more_than_eps_along_the_gradient(monkeypatch):
    dataset, directions = own.images("digits", 1)[0], []
    split = data.Split(torch.full((1, 1, 28, 28), 0.5), torch.zeros(1, dtype=torch.long))
    drawn = surface.surface
    monkeypatch.setattr(surface, "surface", lambda f, o, u, v, **k: directions.extend((u, v)) or drawn(f, o, u, v, **k))
    model = Through(lambda linear, x: nn.functional.pad(x[:, 400:410].sum(1, keepdim=True), (0, 9)))
    found = own.plane(model, dataset, split, image=0, eps=0.2, steps=3)
    # S, the sum of ten pixels, falls by 10 eps: the others' zero gradient makes these move no further
    assert found.values[1].tolist() == pytest.approx([7, 5, 3], abs=1e-5)
    u, v = directions
    assert torch.equal(u.abs(), torch.ones(1, 28, 28)) and float((u * v).sum()) == pytest.approx(0, abs=1e-3)
    assert float(v.norm()) == pytest.approx(28, rel=1e-5)


@pytest.mark.parametrize("suffix", own.PICTURES)
def test_every_picture_that_is_allowed_can_be_written(tmp_path, suffix):
    axis = np.linspace(-1, 1, 3)
    plane = surface.Surface(axis[:, None] + axis, axis, axis)
    path = tmp_path / f"s{suffix}"
    plane_drawings.save_plane(plane, path, objective="decision")
    # each kind of file by how it begins
    begins = {".pdf": b"%PDF", ".eps": b"%!PS", ".svg": b"<?xml", ".webp": b"RIFF", ".png": b"\x89PNG"}
    begin = begins.get(suffix, b"II*" if suffix.startswith(".tif") else b"\xff\xd8")
    assert path.read_bytes().startswith(begin) and [path] == list(tmp_path.iterdir())


# Options.

NONE = ["--network", "absent.py:network", "--data", "absent.npz"]  # a wrong option is told before either is looked for
SIZES = "above 0, at most 1 for grey images and 255 for colour"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate --eps 0.2 0.1", f"eps is [0.2, 0.1]; allowed are rising numbers {SIZES}"),
        ("evaluate --eps 0.1 0.1", "eps is [0.1, 0.1]; allowed are rising"),
        ("evaluate --eps 0.1 nan", "eps is [0.1, nan]; allowed are rising"),
        ("evaluate --eps -1 0.1", "eps is [-1.0, 0.1]; allowed are rising"),
        ("evaluate --eps 1 256", "eps is [1.0, 256.0]; allowed are rising"),
        ("indicator --eps 0", f"eps is 0.0; allowed is a number {SIZES}"),
        ("indicator --eps inf", "eps is inf; allowed is a number"),
        ("indicator --eps -0.1", "eps is -0.1; allowed is a number"),
        ("surface --eps nan", "eps is nan; allowed is a number"),
        ("evaluate --eps 0.1 --step-size 0", f"step_size is 0.0; allowed is a number {SIZES}"),
        ("evaluate --eps 0.1 --step-size -1", "step_size is -1.0; allowed is a number"),
        ("evaluate --eps 0.1 --step-size nan", "step_size is nan; allowed is a number"),
        ("evaluate --eps 0.1 --pgd-steps -1", "pgd_steps is -1; allowed is at least 0"),
        ("evaluate --eps 0.1 --seed -1", "seed is -1; allowed is 0 to 9223372036854775807"),
        ("surface --eps 0.1 --seed 9223372036854775808", "seed is 9223372036854775808; allowed is 0 to"),
        ("indicator --eps 0.1 --n 0", "n is 0; allowed is at least 1"),
        ("indicator --eps 0.1 --n -2", "n is -2; allowed is at least 1"),
        ("surface --eps 0.1 --steps 1", "steps is 1; allowed is 2 to 1000"),
        ("surface --eps 0.1 --steps 100000", "steps is 100000; allowed is 2 to 1000"),
        ("surface --eps 0.1 --image -1", "image is -1; allowed is at least 0"),
        ("surface --eps 0.1 --objective cw", "objective is 'cw'; allowed are decision, loss"),
        ("surface --eps 0.1 --out s.doc", "out is s.doc; allowed is a file name that ends in .png, .pdf"),
        ("surface --eps 0.1 --out surface", "out is surface; allowed is a file name that ends in .png, .pdf"),
        ("surface --eps 0.1 --out .", "out is ., which is a folder; allowed is a file"),
        ("indicator --eps 0.1 --out absent/i.json", "out is absent/i.json; allowed is a file in a folder that exists"),
        ("evaluate --eps 0.1 --out /", "out is /, which is a folder"),
        # known only with the data
        ("indicator --eps 8 --data digits", "eps is 8.0; allowed is a number"),
        ("evaluate --eps 0.1 --step-size 1.5 --data digits", "step_size is 1.5; allowed is a number"),
        ("surface --eps 0.1 --image 5 --n 5 --data digits", "image is 5; allowed is 0 to 4"),
    ],
)
def test_a_wrong_option_is_one_sentence_before_any_work(command, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *options = command.split()
    assert main([name, *NONE, *options]) == 2
    assert re.fullmatch(re.escape(f"paperlib: {said}") + r"[^\n]*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_stored_model_takes_no_weights(capsys):
    which = ["--model", "digits-natural", "--eps", "0.1"]
    assert main(["indicator", *which, "--weights", "w.pt"]) == 2
    said = "paperlib: weights is w.pt, but model digits-natural has its own; allowed are weights with a network\n"
    assert capsys.readouterr().err == said
    assert main(["surface", "--model", "", "--data", "digits", "--eps", "0.1"]) == 2
    assert "model of profile quick" in capsys.readouterr().err


def test_sizes_in_a_call_are_checked_too():
    dataset, split = own.images("digits", 2)
    model = Through(refusing)
    for measure, wrong in ((own.indicators, {"eps": 2.0}), (own.robustness, {"eps": [0.1], "step_size": 0.0}),
                           (own.plane, {"eps": 0.1, "image": 2, "steps": 3})):  # fmt: skip
        with pytest.raises(InputError, match="allowed is"):
            measure(model, dataset, split, **wrong)


def test_an_interrupted_picture_leaves_nothing(source, tmp_path, monkeypatch):
    def half(figure, stream, **_):
        stream.write(b"\x89PN")
        raise KeyboardInterrupt

    monkeypatch.setattr(plane_drawings.plt.Figure, "savefig", half)
    (tmp_path / "out").mkdir()
    which = ["--network", f"{source}:linear", "--data", "digits", "--n", "1"]
    out = ["--out", str(tmp_path / "out" / "s.png")]
    assert main(["surface", *which, "--eps", "0.3", "--steps", "3", *out]) == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_the_levels_of_the_command_are_those_of_a_trial():
    assert tuple(trial.LEVELS) == judge.LEVELS
