"""The networks of A.3: shapes, normalisation, and what softening keeps."""

import math
from statistics import NormalDist

import pytest
import torch
from torch import nn
from toys import images

from paperlib import model

NORMAL = NormalDist().cdf


@pytest.mark.parametrize("network", model.NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 9, 13)])
def test_every_network_gives_logits_for_every_shape(network, shape):
    if (network, min(shape[1:])) == ("valid", 9):
        with pytest.raises(
            ValueError, match="images are 9 x 13 pixels; allowed are larger ones, for two convolutions of 5 x 5"
        ):
            model.build(network, width=2, shape=shape)
        return
    built = model.build(network, width=2, fc=8, shape=shape, classes=5)
    assert built(torch.rand(3, *shape)).shape == (3, 5)


def test_the_mnist_network_is_the_challenges():
    built = model.build("mnist", width=32, fc=1024)
    # conv 5x5x1x32 and 5x5x32x64, 7x7x64 to 1024, 1024 to 10, with biases
    assert sum(weight.numel() for weight in built.parameters()) == 832 + 51264 + 3212288 + 10250


def test_an_architecture_with_two_convolutions_is_what_its_paper_says():
    # Wong and Kolter (2018): 4x4 with stride 2, 16 and 32 channels, 100 units; LeNet-5's 5x5 without padding leave 4x4
    sizes = {"strided": (256 + 16, 8192 + 32, 156800 + 100, 1010), "valid": (400 + 16, 12800 + 32, 51200 + 100, 1010)}
    for network, expected in sizes.items():
        built = model.build(network, width=16, fc=100)
        assert sum(weight.numel() for weight in built.parameters()) == sum(expected)
    pools = {"average": nn.AvgPool2d, "mnist": nn.MaxPool2d, "small": nn.MaxPool2d, "cifar-average": nn.AvgPool2d}
    for network, pool in pools.items():
        assert sum(isinstance(layer, pool) for layer in model.build(network, width=2, shape=(1, 28, 28)).modules()) == 2
    plain = model.build("cifar-plain", width=2, shape=(3, 32, 32))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


@pytest.mark.parametrize(
    ("name", "function"), [("silu", lambda z: z / (1 + math.exp(-z))), ("gelu", lambda z: z * NORMAL(z))]
)
def test_a_smooth_activation_is_its_formula(name, function):
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)
    assert model.activation_layer(name, 10.0)(z).tolist() == pytest.approx([function(float(a)) for a in z])


def test_the_cifar_network_has_five_convolutions_and_the_resnet_twenty_layers():
    convolutions = [m for m in model.build("cifar", width=4, shape=(3, 32, 32)).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 5
    resnet = model.build("resnet", width=4, shape=(3, 32, 32))
    layers = [m for m in resnet.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.weight.shape[-1] != 1]
    assert len(layers) == 20


@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (1, 2)])
def test_folded_batchnorm_is_batchnorm_with_all_its_derivatives(kernel, stride):
    torch.manual_seed(0)
    layer = model.ConvBN(2, 3, kernel, stride).double()
    x = images(4, (2, 5, 5), dtype=torch.float64).requires_grad_()
    for parameter in layer.bn.parameters():
        nn.init.uniform_(parameter, 0.5, 2.0)
    layer(x)  # moves the statistics away from 0 and 1
    layer.eval()
    found = []
    for output in (layer(x), layer.bn(layer.conv(x))):
        (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        twice = torch.autograd.grad(gradient.abs().sum(), [x, *layer.parameters()])
        found.append([output, gradient, *twice])
    for folded, plain in zip(*found, strict=True):
        assert torch.allclose(folded, plain, rtol=1e-9, atol=1e-12)
        assert plain.abs().max() > 0


def test_normalisation_is_the_first_layer_and_travels_with_the_weights():
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 4.0])
    built = model.build("linear", width=1, shape=(3, 4, 4), mean=mean, std=std)
    x = images(2, (3, 4, 4), dtype=torch.float32)
    assert torch.allclose(built[0](x)[:, 2], (x[:, 2] - 0.3) / 4)
    other = model.build("linear", width=1, shape=(3, 4, 4))
    other.load_state_dict(built.state_dict())
    assert torch.equal(other(x), built(x))


def test_softened_tends_to_the_relu_network_and_leaves_it_alone():
    torch.manual_seed(0)
    built = model.build("mnist", width=2, fc=8, shape=(1, 8, 8)).eval()
    x = images(4, (1, 8, 8), dtype=torch.float32)
    with torch.no_grad():
        far, near = (float((model.softened(built, beta)(x) - built(x)).abs().max()) for beta in (2.0, 2000.0))
    assert near < 1e-3 < far
    assert sum(isinstance(m, nn.ReLU) for m in built.modules()) == 3
    assert not any(isinstance(m, nn.ReLU) for m in model.softened(built, 2.0).modules())


def test_softened_replaces_a_relu_that_is_used_twice():
    relu = nn.ReLU()
    softened = model.softened(nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu), 1.0)
    assert [type(m) for m in softened] == [nn.Linear, nn.Softplus, nn.Linear, nn.Softplus]


def test_softened_reuses_the_weights_as_a_copy():
    built = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    copied = model.softened(built, 1.0)
    assert torch.equal(copied[0].weight, built[0].weight)
    assert copied[0].weight.data_ptr() != built[0].weight.data_ptr()


def test_softplus_is_the_activation_asked_for():
    built = model.build("cifar", width=2, shape=(3, 8, 8), activation="softplus", beta=3.0)
    assert {m.beta for m in built.modules() if isinstance(m, nn.Softplus)} == {3.0}
    assert not any(isinstance(m, nn.ReLU) for m in built.modules())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: model.build("vgg", width=1), f"network is 'vgg'; allowed are {', '.join(model.NETWORKS)}"),
        (lambda: model.build("mnist", width=0), "width is 0; allowed is an integer of at least 1"),
        (lambda: model.build("mnist", width=1, fc=0), "fc is 0; allowed is an integer of at least 1"),
        (lambda: model.build("mnist", width=1, shape=(1, 3, 9)), "images are 3 x 9 pixels; allowed are at least 4 x 4"),
        (lambda: model.build("mnist", width=1, activation="tanh"),
         "activation is 'tanh'; allowed are relu, softplus, silu, gelu"),  # fmt: skip
        (lambda: model.activation_layer("softplus", 0.0), "beta is 0.0; allowed is a positive number"),
        (lambda: model.softened(nn.Sequential(nn.ReLU()), -1.0), "beta is -1.0; allowed is a positive number"),
        (lambda: model.softened(nn.Linear(2, 2), 1.0), "model has no nn.ReLU module; softened() allows networks whose "
         "ReLUs are modules"),
        (lambda: model.build("linear", width=1)(torch.rand(2, 3, 28, 28)),
         "x has shape (2, 3, 28, 28); allowed is (n, 1, h, w), as in training"),
        (lambda: model.build("linear", width=1)(torch.rand(2, 28, 28)),
         "x has shape (2, 28, 28); allowed is (n, 1, h, w), as in training"),
    ],
)  # fmt: skip
def test_wrong_input_meets_one_sentence(call, sentence, unhooked):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence
