"""Eq. 2 and Eq. 3 against values worked out by hand."""

import math

import pytest
import torch
from toys import images, relu_network

from paperlib import objective

Z = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
Y = torch.tensor([0, 2])


def test_decision_is_the_true_logit_minus_the_largest_other():
    assert objective.decision(Z, Y).tolist() == [1.5, -2.0]


def test_decision_is_zero_on_a_tie():
    assert objective.decision(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([0])).tolist() == [0.0]


@pytest.mark.parametrize("batch", [1, 2, 5, 6, 500])
def test_margins_are_the_decision_of_every_image_in_its_place(batch):
    network, x = relu_network(), images(5)
    # noise leads pixels out of [0, 1]
    x[0] += 3
    y = torch.tensor([0, 1, 2, 3, 0])
    found = objective.margins(network, x, y, batch=batch)
    assert found.tolist() == pytest.approx(objective.decision(network(x), y).tolist(), rel=1e-12)
    assert not found.requires_grad


def test_cross_entropy_is_one_value_per_example():
    expected = [math.log(sum(math.exp(z - row[t]) for z in row)) for row, t in zip(Z.tolist(), Y.tolist(), strict=True)]
    assert objective.cross_entropy(Z, Y).tolist() == pytest.approx(expected, rel=1e-6)


def test_cw_is_minus_the_decision():
    assert objective.cw(Z, Y).tolist() == [-1.5, 2.0]


def test_least_likely_class_and_its_cross_entropy():
    target = objective.least_likely_class(Z)
    assert target.tolist() == [1, 0]
    assert torch.equal(objective.least_likely_cross_entropy(Z, target), objective.cross_entropy(Z, target))


def test_climbing_goes_up_in_each_objective_and_keeps_the_clean_target():
    later = Z.flip(1)
    pick = torch.tensor([1])
    assert torch.equal(objective.climbed("cross_entropy", Z, Y)(later[pick], pick), objective.cross_entropy(later, Y)[1:])
    assert torch.equal(objective.climbed("cw", Z, Y)(later[pick], pick), -objective.decision(later, Y)[1:])
    # the target is the least likely class of Z, not of the logits of a later iterate
    expected = -objective.cross_entropy(later, torch.tensor([1, 0]))[1:]
    assert torch.equal(objective.climbed("least_likely", Z, Y)(later[pick], pick), expected)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="^objective is 'margin'; allowed are cross_entropy, least_likely, cw, dlr$"):
        objective.climbed("margin", Z, Y)


def test_a_label_that_the_network_lacks_is_refused():
    with pytest.raises(ValueError, match="^y holds 3; allowed are labels 0..2$"):
        objective.climbed("cw", Z, torch.tensor([0, 3]))
