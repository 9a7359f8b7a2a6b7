"""The layers of double backpropagation are torch's own, and so are their first and second derivatives."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from paperlib import convolution
from paperlib.convolution import FastDoubleBackward

GEOMETRIES = [(1, 1, 1, 1), (2, 1, 1, 1), ((2, 1), 0, 1, 2), (1, (2, 1), 2, 1), (1, "same", 1, 1)]


def arguments(groups: int = 1, dtype: torch.dtype = torch.double) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 7, 6), (4, 4 // groups, 3, 3), (4,))
    return tuple(torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_values_and_both_derivatives(geometry):
    def slope(x, weight, bias):
        out = convolution.conv2d(x, weight, bias, *geometry)
        return torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)[0]

    given = arguments(groups=geometry[3])
    assert torch.equal(convolution.conv2d(*given, *geometry), torch.conv2d(*given, *geometry))
    assert torch.autograd.gradcheck(lambda *parts: convolution.conv2d(*parts, *geometry), given)
    assert torch.autograd.gradcheck(slope, given)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_every_gradient_that_is_asked_for_comes_whatever_else_is(wanted):
    given = arguments()
    inputs = [given[k] for k in wanted]
    found, expected = (
        torch.autograd.grad(function(*given).pow(3).sum(), inputs, create_graph=True)
        for function in (convolution.conv2d, torch.conv2d)
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other) and one.requires_grad


def test_a_third_derivative_is_refused():
    x, weight, bias = arguments()
    (first,) = torch.autograd.grad(convolution.conv2d(x, weight, bias).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_layers_in_the_block_use_it_also_in_half_precision():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(4, 4, 3, padding=1), arguments(dtype=torch.float)[0]
    with FastDoubleBackward():
        assert type(layer(x).grad_fn).__name__ == "ConvolutionBackward"
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            expected = layer(x)
            with FastDoubleBackward():
                assert torch.equal(layer(x), expected)
            assert layer(x).dtype == expected.dtype
        assert type(layer(x).grad_fn).__name__ == "ConvolutionBackward0"


# Activation and pooling.


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 1), ceil_mode=True)], ids=repr
)
def test_layers_have_torchs_values_and_both_derivatives(layer, layout):
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    found = []
    for block in (FastDoubleBackward(), nullcontext()):
        at = x.contiguous(memory_format=layout).requires_grad_()
        with block:
            out = layer(at)
        (slope,) = torch.autograd.grad(out.pow(3).sum(), at, create_graph=True)
        (second,) = torch.autograd.grad((slope * weight).sum(), at)
        assert slope.is_contiguous(memory_format=layout)
        found.append((out, slope, second))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert found[0][2].abs().max() > 0


def test_pooling_with_indices_is_left_to_torch():
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    with FastDoubleBackward():
        out, index = nn.MaxPool2d(2, return_indices=True)(x)
    assert torch.equal(index, nn.MaxPool2d(2, return_indices=True)(x)[1]) and torch.equal(out, nn.MaxPool2d(2)(x))


CALLS = {
    "relu in place, and what it overwrote": lambda h: nn.functional.relu(h, inplace=True) + h,
    "relu in place, thrown away": lambda h: (nn.functional.relu(h, True), h)[1],
    "relu by keyword": lambda h: torch.relu(input=h),
    "pooling by keyword": lambda h: torch.max_pool2d(input=h, kernel_size=2),
    "convolution by keyword": lambda h: torch.conv2d(input=h, weight=torch.ones(2, 3, 2, 2).to(h)),
    "convolution of single images": lambda h: torch.stack([torch.conv2d(z, torch.ones(2, 3, 2, 2).to(h)) for z in h]),
    "pooling of single images": lambda h: torch.stack([torch.max_pool2d(z, 2) for z in h]),
    "a step of one number": lambda h: torch.conv2d(h, torch.ones(2, 3, 2, 2).to(h), None, (2,), (1,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_however_a_function_is_called_it_is_torchs(name):
    x, found = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.double), []
    for block in (FastDoubleBackward(), nullcontext()):
        at = x.clone().requires_grad_()
        with block:
            out = CALLS[name](at.pow(3))
        (slope,) = torch.autograd.grad(out.pow(2).sum(), at, create_graph=True)
        found.append((out, slope, *torch.autograd.grad(slope.pow(2).sum(), at)))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)
