from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import prelu

from xcos.training.networks.prelu import PReLU

SHAPES = pytest.mark.parametrize("shape", [(3, 5, 4, 6), (3, 5), (2, 5, 7)], ids=["maps", "vectors", "rows"])
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])


def gradients(y: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    return torch.autograd.grad((y * weights).sum(), of)


def layer_with(slopes: Tensor, dtype: torch.dtype = torch.float32) -> PReLU:
    layer = PReLU(len(slopes), dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(slopes)
    return layer


@SHAPES
@pytest.mark.parametrize("count", [5, 1], ids=["per channel", "one slope"])
def test_numbers_and_gradients_are_those_of_torch(shape: tuple[int, ...], count: int) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(shape, generator=generator)
    x[0, 0] = 0  # where the two sides meet
    x.requires_grad_()
    layer = layer_with(torch.randn(count, generator=generator))
    expected, ours = prelu(x, layer.weight), layer(x)
    assert torch.equal(ours, expected)
    for one, other in zip(gradients(ours, x, layer.weight), gradients(expected, x, layer.weight), strict=True):
        torch.testing.assert_close(one, other)


@LAYOUTS
def test_the_memory_layout_is_kept_and_changes_no_gradient(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 5, 6, 4, generator=generator).contiguous(memory_format=layout).requires_grad_()
    layer = layer_with(torch.rand(5, generator=generator))
    y = layer(x)
    assert y.is_contiguous(memory_format=layout)
    for one, other in zip(
        gradients(y, x, layer.weight), gradients(prelu(x, layer.weight), x, layer.weight), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_the_gradient_is_the_slope_of_the_function() -> None:
    layer = layer_with(torch.tensor([0.25, -0.5, 2.0]), torch.float64)
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


def test_half_precision_inside_autocast_gives_the_slopes_full_gradients() -> None:
    layer = layer_with(torch.full((4,), 0.25))
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(5)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    of_x, of_slopes = torch.autograd.grad(y.sum(), (x, layer.weight))
    assert (y.dtype, of_x.dtype, of_slopes.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(of_slopes, x.detach().float().clamp(max=0).sum((0, 2, 3)))


def test_outside_training_it_is_the_layer_of_torch() -> None:
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(6)).requires_grad_()
    layer = PReLU(4)
    assert isinstance(layer, nn.PReLU)
    assert layer.state_dict().keys() == nn.PReLU(4).state_dict().keys()
    expected = prelu(x, layer.weight).grad_fn
    assert type(layer.eval()(x).grad_fn) is type(expected)
    assert type(layer.train()(x).grad_fn) is not type(expected)
