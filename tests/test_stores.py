"""What long measurements keep on the way: a file that cannot be written whole leaves the former one, and no other."""

import numpy as np
import pytest
from toys import images, labels_of, relu_network

from paperlib import evaluate, oracle, surface
from paperlib.cascade import Stage, worst_case
from paperlib.objective import decision
from paperlib.reporting.pieces import Pieces


def robustness(folder, seed: int = 4):
    model, x = relu_network(seed), images(6)
    return evaluate.robustness(model, x, labels_of(model, x), eps=[0.02, 0.05], step_size=0.02, steps=2, store=folder)


def worst(folder, seed: int = 4):
    model, x = relu_network(seed), images(6)
    stages = (Stage("pgd", "pgd", "cross_entropy", 2), Stage("apgd", "apgd", "cw", 2))
    return worst_case(model, x, labels_of(model, x), eps=[0.02, 0.05], cascade=stages, store=folder)


def plane(folder, seed: int = 4):
    x = images(3, seed=seed)
    f, axis = surface.input_function(relu_network(seed), 1, decision), np.linspace(-1, 1, 5)
    return surface.surface(f, x[0], x[1], x[2], alpha=axis, beta=axis, batch=10, store=folder)


def autoattack(folder, seed: int = 4):
    model, x = relu_network(seed), images(6, seed=seed)
    return oracle.autoattack(model, x, labels_of(model, x), eps=0.1, store=folder)


def piece(folder, seed: int = 4):
    pieces = Pieces(folder, f"{seed}" * 64)
    return [pieces.kept(name, lambda: {"x": np.full(3, seed)}) for name in ("one", "two")]


def stand_in(monkeypatch) -> None:
    """In place of AutoAttack: an attack that breaks the images whose first pixel is dark; and every part is kept at once."""
    monkeypatch.setattr(surface, "SECONDS", 0)
    monkeypatch.setattr(oracle, "_standard", lambda network, x, y, eps, seed: x[:, 0, 0, 0] > 0.5)
    monkeypatch.setattr(oracle, "available", lambda: oracle.VERSION)
    monkeypatch.setattr(oracle, "CHUNK", 3)


@pytest.mark.parametrize("keep", [robustness, worst, plane, autoattack, piece])
def test_a_write_that_fails_leaves_the_former_file_and_no_other(keep, tmp_path, monkeypatch):
    stand_in(monkeypatch)
    name = "save" if keep is autoattack else "savez"
    write, calls = getattr(np, name), []

    def full(file, *arrays, **named):
        calls.append(file)
        if len(calls) < 2:
            return write(file, *arrays, **named)
        with file if hasattr(file, "write") else open(file, "wb") as stream:
            stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, name, full)
    with pytest.raises(OSError, match="disk full"):
        keep(tmp_path)
    (left,) = (path for path in tmp_path.rglob("*") if path.is_file())
    monkeypatch.setattr(np, name, write)
    assert left.suffix in (".npz", ".npy") and np.load(left, allow_pickle=False) is not None
    keep(tmp_path)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
