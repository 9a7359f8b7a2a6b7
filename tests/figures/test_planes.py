"""Planes through images and weights of networks whose surfaces one computes by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import Quadratic, batchnorm_network, images, labels_of, linear, relu_network

from paperlib.measures import planes, shapes
from paperlib.objective import cross_entropy
from paperlib.panels import Panel
from paperlib.state import evaluating


def test_axes_hold_zero():
    assert planes.grid_axis(2, 5).tolist() == [-2, -1, 0, 1, 2]
    with pytest.raises(ValueError, match="steps is 4; allowed are odd numbers from 3, so that 0 is on the grid"):
        planes.grid_axis(2, 4)
    with pytest.raises(ValueError, match="extent is 0; allowed is a positive number"):
        planes.grid_axis(0, 5)


def drawn(model, x, y, *, unit: float = 0.01, **fields):
    grid = planes.Grid({"input": planes.grid_axis(2, 5)}, unit, seed=3)
    return planes.planes(Panel("natural", **fields), model, x, y, grid)


def test_a_linear_network_has_the_surface_that_one_computes_by_hand():
    W = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model, x = linear(W), images(3)
    y = labels_of(model, x)
    found = drawn(model, x, y)
    J = torch.where(y == 0, 1.0, -1.0)[:, None] * (W[0] - W[1])
    S0 = (J * x.flatten(1)).sum(1)
    axis = 0.01 * np.linspace(-2, 2, 5)
    for i in range(3):
        assert torch.equal(found.u[i].flatten(), -J[i].sign())
        # S falls by |J|_1 a step along alpha; along beta by what v has in common with J
        expected = float(S0[i]) - axis * float(J[i].abs().sum())
        assert found.values[i][2] == pytest.approx(expected)
    distance = planes.boundary(model, x, y, found.u, unit=0.01, reach=50)
    exact = S0 / J.abs().sum(1) / 0.01
    inside = exact < 10  # not yet clipped to [0, 1]
    assert inside.any() and distance[inside] == pytest.approx(exact[inside].numpy(), rel=2e-3)


def test_a_quadratic_network_is_smooth_and_a_network_of_relus_is_not():
    Q = torch.diag(torch.linspace(-1, 1, 16, dtype=torch.float64))
    x, y = images(2), torch.zeros(2, dtype=torch.long)
    smooth = drawn(Quadratic(Q, torch.ones(16, dtype=torch.float64)), x, y, unit=0.05).values
    axis = planes.grid_axis(2, 5)
    assert shapes.roughness(smooth, axis, axis) == pytest.approx([0, 0], abs=1e-9)
    model = relu_network()
    rough = drawn(model, x, labels_of(model, x), unit=0.1).values
    assert (shapes.roughness(rough, axis, axis) > 1e-4).all()


def test_compared_networks_share_their_random_directions():
    x, y = images(2), torch.zeros(2, dtype=torch.long)
    first, second = (drawn(relu_network(seed), x, y, direction="random") for seed in (1, 2))
    assert torch.equal(first.u, second.u)
    assert not np.allclose(first.values, second.values)
    assert not torch.equal(first.u, drawn(relu_network(1), x, y, direction="random", seed=1).u)


def test_a_plane_in_parameter_space_goes_through_the_loss_and_leaves_the_weights():
    model, x = batchnorm_network(), images(6).float()
    y = torch.arange(6) % 4
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    panel = Panel("natural", space="parameter", objective="loss")
    axis = planes.grid_axis(1, 5)
    found = planes.planes(panel, model, x, y, planes.Grid({"parameter": axis}, 1.0, seed=0, pairs=3))
    assert found.values.shape == (3, 5, 5) and found.u is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with evaluating(model), torch.no_grad():
        loss = float(cross_entropy(model(x), y).mean())
    assert shapes.origin(found.values, axis, axis) == pytest.approx([loss] * 3, rel=1e-6)
    assert not np.allclose(found.values[0], found.values[1])


@pytest.mark.parametrize("space", ["input", "parameter"])
def test_a_kept_plane_is_that_of_its_network_objective_and_images(tmp_path, space):
    axis, x = planes.grid_axis(1, 5), images(6)
    y = torch.arange(6) % 4
    grid = planes.Grid({space: axis}, 0.01, seed=0, store=tmp_path)
    other = relu_network()
    other[2] = nn.Softplus()
    cases = [(relu_network(), "loss", x), (relu_network(), "decision", x), (relu_network(), "loss", x.flip(0)),
             (relu_network(5), "loss", x), (other, "loss", x)]  # fmt: skip
    for count, (model, objective, some) in enumerate(cases, start=1):
        panel = Panel("natural", space=space, objective=objective, direction="random")
        found, again = (planes.planes(panel, model, some, y, grid).values for _ in range(2))
        assert len(list(tmp_path.iterdir())) == count and np.array_equal(found, again)
        assert np.array_equal(found, planes.planes(panel, model, some, y, replace(grid, store=None)).values)


def test_a_picture_holds_what_the_network_sees():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0], W[1] = 1, -1
    model = linear(W, torch.tensor([-8.0, 8.0], dtype=torch.float64))
    x = torch.full((1, 1, 4, 4), 0.6, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.long)
    found = planes.picture(model, x, y, drawn(model, x, y), eps=0.2)
    assert found["axis"].tolist() == [-2, -1, 0, 1, 2] and found["values"].shape == (5, 5)
    assert found["label"].tolist() == [0, 0, 1]
    assert found["image"].shape == found["u"].shape == (1, 4, 4) and (found["u"] == -1).all()


def test_the_typical_image_has_the_median_margin():
    W = torch.zeros(2, 16, dtype=torch.float64)
    W[0, 0] = 1
    x = torch.zeros(5, 1, 4, 4, dtype=torch.float64)
    x[:, 0, 0, 0] = torch.tensor([0.9, 0.1, 0.45, 0.8, 0.5])
    y = torch.zeros(5, dtype=torch.long)
    model, index = linear(W), torch.tensor([0, 1, 3, 4])
    found = planes.images_drawn(model, x, y, index)
    assert found[0] == 4 and sorted(found.tolist()) == index.tolist()
    assert planes.images_drawn(model, x, y, index, image=2).tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="image is 5; allowed are 0 to 4, or -1 for a typical one"):
        planes.images_drawn(model, x, y, index, image=5)
    with pytest.raises(ValueError, match="index is empty: there is no image that every network classifies rightly"):
        planes.images_drawn(model, x, y, index[:0])
