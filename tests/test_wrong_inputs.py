"""What people get wrong: each is one sentence on standard error and exit status 2, before any work."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from toys import write_archive

from paperlib import evaluate, indicator, surface
from press.__main__ import main

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, f=lambda z, x: z, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.f = nn.Linear(64, classes), f

    def forward(self, x):
        return self.f(self.linear(x.flatten(1)), x)

def good(): return Net()
def fresh(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
def softmax(): return Net(lambda z, x: z.softmax(1))
def dropout(): return Net(lambda z, x: nn.functional.dropout(z, 0.5))
def neighbours(): return Net(lambda z, x: z - z.mean(0))
def squeezed(): return Net(lambda z, x: z.unsqueeze(2).squeeze())
def several(): return Net(lambda z, x: {"out": z, "x": x})
def nothing(): return Net(lambda z, x: None)
def detached(): return Net(lambda z, x: z.detach())
def infinite(): return Net(lambda z, x: z / 0)
def flat(): return Net(lambda z, x: 0 * z)
def few(): return Net(classes=3)
def colour(): return Net(lambda z, x: nn.functional.conv2d(x, torch.zeros(4, 3, 8, 8)))
def failing(): raise RuntimeError("no weights here")
def words(): return "network"
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "n.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    write_archive(tmp_path / "d.npz")
    write_archive(tmp_path / "bytes.npz", x_test=np.full((40, 8, 8), 200.0))
    write_archive(tmp_path / "labels.npz", y_test=np.full(40, 0.5))
    np.savez(tmp_path / "half.npz", x_test=np.zeros((4, 8, 8)))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save({"a": {"w": torch.zeros(1)}, "b": {"w": torch.zeros(1)}}, tmp_path / "two.pt")
    torch.save({"w": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


USUAL = "--data d.npz --eps 0.1"
WRONG = {
    # options
    "indicator --network n.py:good --data d.npz": "the following arguments are required: --eps",
    "indicator @": "one of the arguments --network --model is required",
    "indicator --network n.py:good --eps 0.1": "data is missing; allowed are digits",
    "indicator --network n.py:good --data d.npz --eps big": "size is 'big'; allowed is a number such as 0.1 or a fraction",
    "indicator --network n.py:good --data d.npz --eps 8/0": "size is '8/0'; allowed is a number",
    "indicator --network n.py:good --data d.npz --eps 300/255": "eps is 300/255; allowed is a number above 0, at most 1",
    "indicator --network n.py:good --data d.npz --eps 8": "eps is 8.0; allowed is a number above 0, at most 1 for grey",
    "indicator --network n.py:good --data d.npz --eps 0": "eps is 0.0; allowed is a number above 0",
    "evaluate --network n.py:good --data d.npz --eps 8/255 0.01": "eps is [8/255, 0.01]; allowed are rising numbers",
    "evaluate --network n.py:good @ --step-size 2": "step_size is 2.0; allowed is a number above 0",
    "indicator --network n.py:good @ --n ten": "argument --n: invalid int value: 'ten'",
    "indicator --network n.py:good @ --n 0": "n is 0; allowed is at least 1",
    "indicator --network n.py:good @ --average 0": "average is 0; allowed is 1 to 10000",
    "indicator --network n.py:good @ --std 0": "std is [0.0]; allowed are finite numbers above 0",
    "indicator --network n.py:good @ --std inf": "std is [inf]; allowed are finite numbers above 0",
    "indicator --network n.py:good @ --mean nan": "mean is [nan]; allowed are finite numbers",
    "indicator --network n.py:good @ --mean 0 0 0": "mean is [0.0, 0.0, 0.0]; allowed are one number or 1",
    "indicator --network n.py:good @ --size 64": "size is 64 with data 'd.npz'; allowed is a size with",
    "indicator --network n.py:good @ --out none/r.json": "out is none/r.json; allowed is a file in a",
    "indicator --network n.py:good @ --speed 3": "unrecognized arguments: --speed 3",
    "surface --network n.py:good @ --image 40": "image is 40; allowed is 0 to 39",
    "surface --network n.py:good @ --out s.txt": "out is s.txt; allowed is a file name that ends in",
    "report --network n.py:good --data d.npz --eps big": "size is 'big'; allowed is a number such as 0.1 or a fraction",
    "report --network n.py:good --data d.npz --eps 0": "eps is 0.0; allowed is a number above 0",
    "report --network n.py:good --data d.npz --eps 8": "eps is 8.0; allowed is a number above 0, at most 1 for grey",
    "report --network n.py:good @ --n 0": "n is 0; allowed is at least 1",
    "report --network n.py:good @ --level slow": "argument --level: invalid choice: 'slow'",
    "report --network n.py:good @ --out r.pdf": "out is r.pdf; allowed is a file name that ends in .html, .htm",
    "judge --network n.py:good": "argument COMMAND: invalid choice: 'judge'",
    # networks
    "indicator --network n.py @": "network is 'n.py'; allowed is FILE.py:FUNCTION",
    "indicator --network m.py:good @": "network file m.py does not exist",
    "indicator --network n.py:best @": "network is 'n.py:best', but n.py has no function 'best'",
    "indicator --network n.py:number @": "network is 'n.py:number', but n.py has no function 'number'",
    "indicator --network n.py:good(8) @": "network is 'n.py:good(8)'; allowed in the brackets are plain",
    "indicator --network n.py:good(width=8) @": "but calling good() failed (TypeError: good() got an",
    "indicator --network broken.py:good @": "network file broken.py cannot be imported (ModuleNotFound",
    "indicator --network torchvision.model:x @": "network module 'torchvision.model' cannot be imported",
    "indicator --network n.py:failing @": "calling failing() failed (RuntimeError: no weights here)",
    "indicator --network n.py:words @": "which returned str; allowed is an nn.Module",
    "indicator --network n.py:fresh @": "whose weights differ from call to call: they are random",
    "indicator --network n.py:softmax @": "the network's outputs are at least 0 and sum to 1",
    "evaluate --network n.py:dropout @": "the network's logits change by up to",
    "evaluate --network n.py:neighbours @": "the network's logits of an image change by up to",
    "surface --network n.py:squeezed @": "the network takes 40 images at once, but not one alone",
    "evaluate --network n.py:several @": "the network returns a dict of out (40, 4), x (40, 1, 8, 8); name",
    "evaluate --network n.py:several --logits z @": "logits is 'z'; allowed are the entries that the",
    "evaluate --network n.py:good --logits z @": "logits is 'z', but the network returns Tensor",
    "evaluate --network n.py:nothing @": "the network returns NoneType for 40 images",
    "evaluate --network n.py:detached @": "the network's logits do not depend differentiably",
    "indicator --network n.py:infinite @": "the network's logits are not finite for 40 of 40 images",
    "indicator --network n.py:flat @": "the network gives every class the same logit",
    "evaluate --network n.py:few @": "the network returns (40, 3) for 40 images; allowed are logits (40, K)",
    "evaluate --network n.py:colour @": "the network does not take images of shape (1, 8, 8)",
    "report --network n.py:softmax @": "the network's outputs are at least 0 and sum to 1",
    "report --network n.py:dropout @": "the network's logits change by up to",
    "report --network n.py:neighbours @": "the network's logits of an image change by up to",
    "evaluate --network torchvision.models:resnet18 @": "whose weights differ from call to call",
    # weights
    "indicator --network n.py:good --weights w.pt @": "weights file w.pt does not exist",
    "indicator --network n.py:good --weights text.pt @": "weights file text.pt is not a state dictionary",
    "indicator --network n.py:good --weights module.pt @": "weights file module.pt holds whole pickled",
    "indicator --network n.py:good --weights two.pt @": "weights file two.pt holds a dictionary with 'a'",
    "indicator --network n.py:good --weights two.pt --weights-key c @": "weights_key is 'c'; allowed are",
    "indicator --network n.py:good --weights-key c @": "weights_key is 'c' without weights",
    "indicator --network n.py:good --weights other.pt @": "weights file other.pt does not fit the network",
    # data
    "indicator --network n.py:good --data mnits --eps 0.1": "data is 'mnits'; allowed are digits, digits-rgb, mnist",
    "indicator --network n.py:good --data e.npz --eps 0.1": "data archive e.npz does not exist",
    "indicator --network n.py:good --data text.npz --eps 0.1": "text.npz is not a readable .npz archive",
    "indicator --network n.py:good --data bytes.npz --eps 0.1": "x_test of bytes.npz spans [200, 200]; allowed are floats",
    "indicator --network n.py:good --data labels.npz --eps 0.1": "y_test of labels.npz has shape (40,) and dtype float64",
    "indicator --network n.py:good --data half.npz --eps 0.1": "half.npz lacks y_test; for a measurement an archive holds",
    "indicator --network n.py:good --data empty --eps 0.1": "data folder empty holds 0 folders and 0 pictures in them",
    # models of experiments.yml
    "indicator --model none @": "there is no model of profile quick called 'none'",
    "indicator --model digits-natural --profile none --eps 0.1": "there is no profile called 'none'",
    "indicator --model digits-natural --network n.py:good --eps 0.1": "argument --network: not allowed with argument",
}


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_input_is_one_sentence_before_any_work(command, folder, capsys, monkeypatch):
    def worked(*_, **__):
        raise AssertionError("something was measured")

    for module, name in ((evaluate, "robustness"), (indicator, "report"), (surface, "surface")):
        monkeypatch.setattr(module, name, worked)
    before = sorted(folder.iterdir())
    try:
        status = main(command.replace("@", USUAL).split())
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    assert status == 2 and said.out == ""
    assert re.fullmatch(r"paperlib: [^\n]+\n", said.err) and WRONG[command] in said.err, said.err
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before


def test_there_are_more_than_forty():
    assert len(WRONG) >= 40
