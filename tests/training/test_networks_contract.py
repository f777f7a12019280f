"""What the training loop, the head and the export may ask of every network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from xcos.embedders.dlib_resnet import CARD, read_layers
from xcos.errors import InvalidArgument
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.training.networks.features import Features
from xcos.training.networks.ir import Ir
from xcos.training.networks.local import LocalNetwork
from xcos.training.networks.mobilefacenet import MobileFaceNet
from xcos.weights import packaged_file, verified_bytes

Network = Ir | MobileFaceNet | DlibNetwork | LocalNetwork


def dlib_network(grid: str) -> DlibNetwork:
    path = packaged_file("face_recognition_models", "models", f"{CARD.name}.dat")
    return DlibNetwork(read_layers(verified_bytes(path, CARD.sha256)), "last" if grid == "last" else "fourth")


# name → constructor, side of the crop, channels and side of the grid, size of the vector
NETWORKS: dict[str, tuple[Callable[[], Network], int, int, int, int]] = {
    "ir": (lambda: Ir(18, vector_size=24), 112, 512, 7, 24),
    "ir_se": (lambda: Ir(18, squeeze=True, vector_size=24), 112, 512, 7, 24),
    "ir_14": (lambda: Ir(18, grid=14, vector_size=24), 112, 512, 14, 24),
    "ir_5": (lambda: Ir(18, grid=5, vector_size=24), 112, 512, 5, 24),
    "mobilefacenet": (MobileFaceNet, 112, 512, 7, 128),
    "mobilefacenet_256": (lambda: MobileFaceNet(256), 112, 512, 7, 256),
    "dlib_last": (lambda: dlib_network("last"), 150, 128, 5, 128),
    "dlib_fourth": (lambda: dlib_network("fourth"), 150, 256, 7, 128),
    "local_28": (lambda: LocalNetwork(widths=(8, 8, 8), grid_channels=12, vector_size=20), 112, 12, 7, 20),
    "local_56": (lambda: LocalNetwork(patch=56, widths=(4, 4, 8), grid_channels=12, vector_size=20), 112, 12, 7, 20),
    "local_5x5": (
        lambda: LocalNetwork(patch=28, grid=5, widths=(4, 8), grid_channels=12, vector_size=20),
        112,
        12,
        5,
        20,
    ),
}
EVERY = pytest.mark.parametrize("name", NETWORKS)


def made(name: str) -> Network:
    """The network with weights of a fixed seed and moments of normalisation that are not 0 and 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = NETWORKS[name][0]()
    generator = torch.Generator().manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.eps == 1e-5
            assert isinstance(layer.running_mean, Tensor)
            assert isinstance(layer.running_var, Tensor)
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def random_pixels(count: int, side: int, seed: int = 3) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def computed(network: Network, pixels: Tensor) -> Features:
    network.eval()
    with torch.no_grad():
        features = network(pixels)
    assert isinstance(features, Features)
    return features


@EVERY
def test_the_shapes_are_those_the_attributes_promise(name: str) -> None:
    _, side, channels, cells, size = NETWORKS[name]
    network = made(name)
    assert (network.input_side, network.grid_channels, network.grid_side, network.vector_size) == (
        side,
        channels,
        cells,
        size,
    )
    features = computed(network, random_pixels(2, side))
    assert features.grid.shape == (2, channels, cells, cells)
    assert features.vector.shape == (2, size)


@EVERY
def test_a_crop_is_embedded_the_same_alone_and_in_a_batch(name: str) -> None:
    network, pixels = made(name), random_pixels(3, NETWORKS[name][1])
    together, alone = computed(network, pixels), computed(network, pixels[1:2])
    torch.testing.assert_close(alone.grid[0], together.grid[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.vector[0], together.vector[1], rtol=1e-4, atol=1e-5)


@EVERY
def test_saved_weights_bring_back_the_same_numbers(name: str) -> None:
    network, pixels = made(name), random_pixels(1, NETWORKS[name][1])
    other = NETWORKS[name][0]()
    other.load_state_dict(network.state_dict())
    for one, same in zip(computed(network, pixels), computed(other, pixels), strict=True):
        assert torch.equal(one, same)


@EVERY
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    # In evaluation mode: a bias before batch normalisation has no gradient while training, by its definition.
    network, pixels = made(name).eval(), random_pixels(2, NETWORKS[name][1])
    features = network(pixels)
    generator = torch.Generator().manual_seed(4)
    sum((part * torch.randn(part.shape, generator=generator)).sum() for part in features).backward()
    untouched = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert untouched == []


@EVERY
def test_another_memory_layout_changes_no_number(name: str) -> None:
    network, pixels = made(name), random_pixels(2, NETWORKS[name][1])
    plain = computed(network, pixels)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = pixels.contiguous(memory_format=torch.channels_last)
    for part, same in zip(plain, computed(network, last), strict=True):
        torch.testing.assert_close(same, part, rtol=1e-4, atol=1e-5)


@EVERY
def test_pixels_of_another_shape_or_type_are_refused(name: str) -> None:
    network, side = made(name), NETWORKS[name][1]
    for wrong in (torch.zeros(1, side, side, 3), torch.zeros(3, side, side), torch.zeros(1, 3, side, side + 1)):
        with pytest.raises(InvalidArgument, match=rf"pixels must be \(n, 3, {side}, {side}\) float"):
            network(wrong)
    with pytest.raises(InvalidArgument, match="uint8"):
        network(torch.zeros(1, 3, side, side, dtype=torch.uint8))
