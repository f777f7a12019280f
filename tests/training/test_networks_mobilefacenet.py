from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from xcos.onnx_runtime import open_session
from xcos.training.networks.mobilefacenet import Bottleneck, MobileFaceNet

ORACLE = "models/mobilefacenet_y1.onnx"
LAYERS = {"Conv": nn.Conv2d, "Gemm": nn.Conv2d, "BatchNormalization": nn.BatchNorm2d, "PRelu": nn.PReLU}


def layers_of(network: nn.Module) -> list[nn.Module]:
    """Convolutions, normalisations and PReLUs in the order in which they are run."""
    return [layer for layer in network.modules() if isinstance(layer, tuple(LAYERS.values()))]


def test_the_number_of_parameters_follows_from_table_1() -> None:
    def convolution(inputs: int, outputs: int, side: int = 1, *, linear: bool = False) -> int:
        return inputs * outputs * side * side + (2 if linear else 3) * outputs  # batch norm 2, PReLU 1 per channel

    total = convolution(3, 64, 3) + convolution(1, 64, 3)
    inputs = 64
    for t, c, n in ((2, 64, 5), (4, 128, 1), (2, 128, 6), (4, 128, 1), (2, 128, 2)):
        for _ in range(n):
            wide = t * inputs
            total += convolution(inputs, wide) + convolution(1, wide, 3) + convolution(wide, c, linear=True)
            inputs = c
    total += convolution(128, 512) + convolution(1, 512, 7, linear=True) + convolution(512, 128, linear=True)
    size = sum(parameter.numel() for parameter in MobileFaceNet().parameters())
    assert size == total
    assert 4 * size / 1e6 == pytest.approx(4.0, abs=0.05)  # "4.0 MB", the paper's abstract


def test_the_work_is_that_published() -> None:
    # 221 million multiply-adds: Zhang 2019, SeesawFaceNets (arXiv 1908.09124), on MobileFaceNet.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        MobileFaceNet().eval()(torch.zeros(1, 3, 112, 112))
    assert round(counter.get_total_flops() / 2e6) == 221


@pytest.mark.parametrize(("outputs", "stride", "side"), [(8, 1, 6), (8, 2, 3), (9, 1, 6)])
def test_only_a_bottleneck_that_keeps_the_shape_adds_its_input(outputs: int, stride: int, side: int) -> None:
    block = Bottleneck(8, outputs, 16, stride).eval()
    last = block.layers[-1]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)  # the layers then give nothing
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(2))
    kept = (outputs, stride) == (8, 1)
    assert torch.equal(block(x), x if kept else torch.zeros(2, outputs, side, side))


@pytest.mark.real_data
def test_the_layers_are_those_of_a_published_graph(real_file: Callable[[str], Path]) -> None:
    graph = onnx.load(real_file(ORACLE)).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    published = [node for node in graph.node if node.op_type in LAYERS]
    ours = layers_of(MobileFaceNet())
    for node, layer in zip(published, ours, strict=True):
        assert isinstance(layer, LAYERS[node.op_type])
        shape = shapes[node.input[1]]
        if isinstance(layer, nn.Conv2d):
            options = {attribute.name: attribute for attribute in node.attribute}
            assert tuple(layer.weight.shape) == ((*shape, 1, 1) if node.op_type == "Gemm" else shape)
            if node.op_type == "Conv":
                assert list(layer.stride) == list(options["strides"].ints)
                assert [*layer.padding, *layer.padding] == list(options["pads"].ints)
                assert layer.groups == options["group"].i
        else:
            assert isinstance(layer, nn.BatchNorm2d | nn.PReLU)
            assert len(layer.weight) == shape[0]


@pytest.mark.real_data
def test_the_published_graph_computes_the_same_from_the_same_random_weights(real_file: Callable[[str], Path]) -> None:
    """Only the graph is theirs here: every one of its weights is replaced."""
    network = MobileFaceNet().eval()
    generator = torch.Generator().manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    model = onnx.load(real_file(ORACLE))
    replaced: dict[str, Any] = {}
    published = [node for node in model.graph.node if node.op_type in LAYERS]
    for node, layer in zip(published, layers_of(network), strict=True):
        for name, tensor in zip(node.input[1:], parameters_of(layer, node.op_type), strict=True):
            replaced[name] = tensor.detach().numpy()
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1e-5
    for weight in model.graph.initializer:
        shape = tuple(weight.dims)
        if weight.name in replaced:
            weight.CopyFrom(numpy_helper.from_array(replaced.pop(weight.name).reshape(shape), weight.name))
        else:  # their own normalisation of pixels
            mean_or_scale = {node.op_type for node in model.graph.node if weight.name in node.input}
            weight.CopyFrom(
                numpy_helper.from_array(np.full(shape, float(mean_or_scale == {"Mul"}), np.float32), weight.name)
            )
    assert not replaced
    pixels = torch.randn(2, 3, 112, 112, generator=generator)
    session = open_session(model.SerializeToString())
    (expected,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    with torch.no_grad():
        vector = network(pixels).vector.numpy()
    np.testing.assert_allclose(vector, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def parameters_of(layer: nn.Module, operator: str) -> list[Tensor]:
    """In the order of the ONNX operator's inputs; the one Gemm of the graph has a bias, which ours has not."""
    match layer:
        case nn.BatchNorm2d(weight=scale, bias=shift, running_mean=Tensor() as mean, running_var=Tensor() as variance):
            return [scale, shift, mean, variance]
        case nn.Conv2d(weight=weight) | nn.PReLU(weight=weight):
            return [weight, torch.zeros(len(weight))] if operator == "Gemm" else [weight]
    raise TypeError(type(layer))
