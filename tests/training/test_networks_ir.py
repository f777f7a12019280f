from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from xcos.errors import InvalidArgument
from xcos.training.networks.ir import Ir, ResidualUnit, SqueezeExcitation

Array = NDArray[np.float64]
UNITS: dict[Any, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
VARIANTS = pytest.mark.parametrize("squeeze", [False, True], ids=["ir", "ir_se"])
DEPTHS = pytest.mark.parametrize("depth", UNITS)
GRIDS = pytest.mark.parametrize("grid", [5, 7, 14])


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def without_memory(*args: Any, **options: Any) -> Ir:
    with torch.device("meta"):
        return Ir(*args, **options)


# Sizes


def counted(depth: int, squeeze: bool, grid: int, size: int) -> int:
    """Parameters by the layer list: convolutions without bias, two per channel in a normalisation, one in a PReLU."""
    total = 3 * 64 * 9 + 2 * 64 + 64
    inputs = 64
    for outputs, units in zip((64, 128, 256, 512), UNITS[depth], strict=True):
        for _ in range(units):
            total += 2 * inputs + 9 * inputs * outputs + outputs + 9 * outputs * outputs + 2 * outputs
            total += inputs * outputs + 2 * outputs if inputs != outputs else 0
            total += 2 * outputs * (outputs // 16) if squeeze else 0
            inputs = outputs
    return total + 2 * 512 + (512 * grid * grid + 1) * size + 2 * size


@VARIANTS
@DEPTHS
@GRIDS
def test_the_number_of_parameters_follows_from_the_layer_list(depth: Any, squeeze: bool, grid: Any) -> None:
    assert size_of(without_memory(depth, squeeze=squeeze, grid=grid)) == counted(depth, squeeze, grid, 512)
    assert size_of(without_memory(depth, squeeze=squeeze, grid=grid, vector_size=9)) == counted(depth, squeeze, grid, 9)


def test_the_linear_layer_has_the_size_the_paper_replaces() -> None:
    (linear,) = [layer for layer in without_memory().modules() if isinstance(layer, nn.Linear)]
    assert size_of(linear) == 12_845_568


@pytest.mark.parametrize(
    ("depth", "millions", "gflop"), [(34, 34.129, 8.934), (100, 65.132, 24.2115)], ids=["34", "100"]
)
def test_size_and_work_are_those_published_for_arcface(depth: Any, millions: float, gflop: float) -> None:
    # OpenVINO's model pages for InsightFace's LResNet34E-IR and LResNet100E-IR; small layers are counted differently.
    network = without_memory(depth).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 112, 112, device="meta"))
    assert size_of(network) / 1e6 == pytest.approx(millions, rel=1e-3)
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, rel=5e-3)


@DEPTHS
def test_every_stage_begins_by_halving_and_no_other_unit_strides(depth: Any) -> None:
    network = without_memory(depth)
    sides = []
    for stage in network.stages:
        assert isinstance(stage, nn.Sequential)
        for unit in stage:
            assert isinstance(unit, ResidualUnit)
            sides.append({layer.stride for layer in unit.residual if isinstance(layer, nn.Conv2d)})
    firsts = np.cumsum((0, *UNITS[depth][:-1]))
    assert len(sides) == sum(UNITS[depth])
    assert [index for index, strides in enumerate(sides) if (2, 2) in strides] == firsts.tolist()


# Numbers, in plain NumPy: (channels, h, w)


def values(tensor: Tensor | None) -> Array:
    assert tensor is not None
    return tensor.detach().double().numpy()


def normalised(x: Array, layer: nn.Module) -> Array:
    assert isinstance(layer, nn.BatchNorm2d)
    mean, var, scale, shift = (
        values(each)[:, None, None] for each in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    result: Array = (x - mean) / np.sqrt(var + 1e-5) * scale + shift
    return result


def convolved(x: Array, layer: nn.Module, stride: int) -> Array:
    assert isinstance(layer, nn.Conv2d)
    kernel = values(layer.weight)
    pad = kernel.shape[2] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(kernel, windows, axes=((1, 2, 3), (0, 3, 4)))


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.6, generator=generator).mul_((-1) ** int(tensor.ndim == 4))
    return network.eval()


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("outputs", [16, 32], ids=["same", "wider"])
@VARIANTS
def test_a_unit_computes_its_formula(stride: int, outputs: int, squeeze: bool) -> None:
    unit = randomised(ResidualUnit(16, outputs, stride, squeeze=squeeze))
    assert isinstance(unit, ResidualUnit)
    pixels = torch.randn(1, 16, 14, 14, generator=torch.Generator().manual_seed(6))
    x = values(pixels[0])
    before, first, slopes, second, after, excite = unit.residual
    y = convolved(normalised(x, before), first, 1)
    assert isinstance(slopes, nn.PReLU)
    y = np.where(y > 0, y, y * values(slopes.weight)[:, None, None])
    y = normalised(convolved(y, second, stride), after)
    if isinstance(excite, SqueezeExcitation):
        _, narrow, _, widen, _ = excite.gate
        assert isinstance(narrow, nn.Conv2d)
        assert isinstance(widen, nn.Conv2d)
        hidden = np.maximum(values(narrow.weight)[:, :, 0, 0] @ y.mean(axis=(1, 2)), 0)
        gate: Array = 1 / (1 + np.exp(-values(widen.weight)[:, :, 0, 0] @ hidden))
        y = np.multiply(y, gate[:, None, None])
    short = x[:, ::stride, ::stride]
    if isinstance(unit.shortcut, nn.Sequential):
        short = normalised(convolved(x, unit.shortcut[0], stride), unit.shortcut[1])
    with torch.no_grad():
        np.testing.assert_allclose(values(unit(pixels)[0]), y + short, rtol=1e-4, atol=1e-4)


def test_the_vector_is_the_grid_flattened_channel_first_through_the_linear_layer() -> None:
    network = Ir(18, vector_size=8).eval()
    norm, _, _, linear, last = network.output
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        features = network(torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(7)))
    flat = np.stack([normalised(values(grid), norm).reshape(-1) for grid in features.grid])
    expected = (flat @ values(linear.weight).T + values(linear.bias)) / np.sqrt(1 + 1e-5)
    assert isinstance(last, nn.BatchNorm1d)
    np.testing.assert_allclose(values(features.vector), expected, rtol=1e-4, atol=1e-4)


def test_dropout_acts_in_training_alone_and_at_the_published_rate() -> None:
    (dropout,) = [layer for layer in without_memory().modules() if isinstance(layer, nn.Dropout)]
    assert dropout.p == 0.6
    ones = torch.ones(40_000)
    assert torch.equal(dropout.eval()(ones), ones)
    assert (dropout.train()(ones) == 0).float().mean().item() == pytest.approx(0.6, abs=0.02)


def test_unknown_depths_and_grids_are_refused() -> None:
    unknown: Any = 20
    with pytest.raises(InvalidArgument, match="depth must be one of"):
        Ir(unknown)
    with pytest.raises(InvalidArgument, match="grid must be one of"):
        Ir(18, grid=unknown)
