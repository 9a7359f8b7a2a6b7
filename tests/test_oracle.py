"""AutoAttack as an oracle: refusals, and chunks that are kept."""

import time
from threading import Lock

import pytest
import torch
from toys import damages, images, labels_of, relu_network

from paperlib import oracle


@pytest.fixture
def standard(monkeypatch):
    """In place of the package: an attack that breaks every second image; counts its calls."""
    calls = []

    def every_second(network, x, y, eps, seed):
        calls.append(len(x))
        return torch.arange(len(x)) % 2 == 0

    monkeypatch.setattr(oracle, "_standard", every_second)
    monkeypatch.setattr(oracle, "available", lambda: oracle.VERSION)
    monkeypatch.setattr(oracle, "CHUNK", 4)
    return calls


def setting(n: int = 10):
    model, x = relu_network(), images(n)
    return model, x, labels_of(model, x)


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(oracle, "available", lambda: None)
    with pytest.raises(oracle.OracleError, match="^AutoAttack is not installed; allowed is: pip install --no-deps pyauto"):
        oracle.autoattack(*setting(), eps=0.1)


def test_finished_chunks_are_kept_and_shared_by_longer_runs(standard, tmp_path):
    model, x, y = setting(10)
    short = oracle.autoattack(model, x[:8], y[:8], eps=0.1, store=tmp_path, of="a")
    assert standard == [4, 4]
    longer = oracle.autoattack(model, x, y, eps=0.1, store=tmp_path, of="a")
    assert standard == [4, 4, 2] and torch.equal(longer[:8], short)
    for changes in ({"eps": 0.2}, {"of": "b"}, {"seed": 1}):
        oracle.autoattack(model, x[:4], y[:4], **{"eps": 0.1, "store": tmp_path, "of": "a"} | changes)
    assert standard == [4, 4, 2, 4, 4, 4]


def test_a_damaged_chunk_is_attacked_again(standard, tmp_path):
    model, x, y = setting(8)
    whole = oracle.autoattack(model, x, y, eps=0.1, store=tmp_path)
    part = next(tmp_path.iterdir())
    for k, _ in enumerate(damages(part), start=3):
        assert torch.equal(oracle.autoattack(model, x, y, eps=0.1, store=tmp_path), whole)
        assert standard == [4] * k and len(list(tmp_path.iterdir())) == 2


def test_after_the_end_only_what_is_kept_is_told(standard, tmp_path, monkeypatch):
    model, x, y = setting(10)
    oracle.autoattack(model, x[:4], y[:4], eps=0.1, store=tmp_path)
    monkeypatch.setattr(oracle, "available", lambda: None)
    kept = oracle.autoattack(model, x, y, eps=0.1, store=tmp_path, ends=time.monotonic() - 1)
    assert kept.tolist() == [True, False, True, False] and standard == [4]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": float("nan")}, "eps is nan; allowed is a positive number"),
        ({"eps": 0.0}, "eps is 0.0; allowed is a positive number"),
    ],
)
def test_wrong_input_meets_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match="allowed") as caught:
        oracle.autoattack(*setting(2), **{"eps": 0.1} | changes)
    assert str(caught.value) == sentence


def test_what_cannot_be_copied_is_attacked_as_it_is_and_left_so(standard):
    model, x, y = setting(4)
    whole = oracle.autoattack(model, x, y, eps=0.1)
    locked = torch.nn.Sequential(model).train()
    locked.lock = Lock()
    for network in (locked, lambda z: locked(z)):
        assert torch.equal(oracle.autoattack(network, x, y, eps=0.1), whole) and locked.training
