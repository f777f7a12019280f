from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.networks.local import LocalNetwork

SIZES = pytest.mark.parametrize(("patch", "grid"), [(28, 7), (56, 7), (28, 5), (16, 7)])
CORNER_EDGE_MIDDLE = [(0, 0), (0, 3), (3, 3), (2, 4), (4, 4)]


def small(patch: int = 28, grid: int = 7) -> LocalNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return LocalNetwork(patch=patch, grid=grid, widths=(4, 6), grid_channels=5, vector_size=6).eval()


def random_pixels(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(2)) * 2 - 1


@SIZES
def test_no_pixel_outside_its_patch_changes_a_cell(patch: int, grid: int) -> None:
    network, pixels = small(patch, grid), random_pixels()
    with torch.no_grad():
        before = network(pixels).grid
        for row, col in CORNER_EDGE_MIDDLE:
            left, top, right, bottom = network.patch_box(row, col)
            changed = -pixels
            changed[..., top:bottom, left:right] = pixels[..., top:bottom, left:right]
            after = network(changed).grid
            assert torch.equal(after[..., row, col], before[..., row, col])
            others = (after != before).any(dim=1)[0]
            assert others.sum() == grid * grid - 1


@SIZES
def test_a_cell_sees_every_pixel_of_its_patch_and_no_other(patch: int, grid: int) -> None:
    network, pixels = small(patch, grid), random_pixels().requires_grad_()
    features = network(pixels)
    for row, col in CORNER_EDGE_MIDDLE:
        (gradient,) = torch.autograd.grad(features.grid[0, :, row, col].square().sum(), pixels, retain_graph=True)
        left, top, right, bottom = network.patch_box(row, col)
        seen = torch.zeros(112, 112, dtype=torch.bool)
        seen[top:bottom, left:right] = True
        assert torch.equal((gradient[0] != 0).any(dim=0), seen)


def test_one_changed_pixel_changes_exactly_the_cells_whose_patches_hold_it() -> None:
    network, pixels = small(), random_pixels()
    changed = pixels.clone()
    changed[0, :, 30, 70] += 1  # row 30, column 70
    with torch.no_grad():
        moved = (network(changed).grid != network(pixels).grid).any(dim=1)[0]
    # 28-pixel patches start every 14 pixels: rows 3…30 and 17…44 cut to starts 14, 28; columns to starts 56, 70.
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[1:3, 4:6] = True
    assert torch.equal(moved, expected)


@SIZES
def test_patches_spread_evenly_from_edge_to_edge_and_mirror(patch: int, grid: int) -> None:
    network = small(patch, grid)
    lefts = [network.patch_box(0, col)[0] for col in range(grid)]
    assert (lefts[0], lefts[-1]) == (0, 112 - patch)
    assert max(np.diff(lefts)) - min(np.diff(lefts)) <= 1
    assert [112 - patch - left for left in reversed(lefts)] == lefts
    for row in range(grid):
        for col in range(grid):
            left, top, right, bottom = network.patch_box(row, col)
            assert (left, top) == (lefts[col], lefts[row])
            assert (right - left, bottom - top) == (patch, patch)


@SIZES
def test_a_patch_contains_the_square_its_cell_is_drawn_as(patch: int, grid: int) -> None:
    network = small(patch, grid)
    for cell in range(grid):
        left, _, right, _ = network.patch_box(0, cell)
        assert left <= cell * 112 / grid + 0.5
        assert right >= (cell + 1) * 112 / grid - 0.5


def test_equal_patches_give_equal_cells() -> None:
    # One network for all places: the same texture everywhere gives the same cell everywhere.
    tile = torch.rand(3, 14, 14, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        cells = small()(tile.repeat(1, 8, 8)[None]).grid.flatten(2)
    torch.testing.assert_close(cells, cells[..., :1].expand_as(cells))


def test_the_vector_is_the_mean_of_what_the_cells_say_alone() -> None:
    network = small()
    with torch.no_grad():
        features = network(random_pixels(2))
    each = np.einsum("dc,nchw->nhwd", network.linear.weight.detach().double().numpy(), features.grid.double().numpy())
    np.testing.assert_allclose(features.vector.numpy(), each.mean(axis=(1, 2)), atol=1e-5)


def test_the_defaults_are_as_small_as_documented() -> None:
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in LocalNetwork().parameters())
    assert 0.9e6 < size < 1.1e6


def test_it_learns_to_tell_textures_apart() -> None:
    """Six crops of noise, two each of three kinds: a few steps bring the loss from ln 3 to nearly nothing."""
    generator = torch.Generator().manual_seed(4)
    kinds = torch.randn(3, 3, 112, 112, generator=generator)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = LocalNetwork(widths=(4, 8), grid_channels=8, vector_size=3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(12):
        crops = kinds[labels] + 0.3 * torch.randn(6, 3, 112, 112, generator=generator)
        loss = torch.nn.functional.cross_entropy(network(crops).vector, labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


@pytest.mark.parametrize("options", [{"patch": 15}, {"patch": 113}, {"grid": 0}, {"patch": 56, "grid": 1}])
def test_patches_that_cannot_cover_the_crop_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="must cover 112 px"):
        LocalNetwork(**options)


@pytest.mark.parametrize("options", [{"widths": ()}, {"units": 0}])
def test_a_patch_network_without_layers_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="at least 1"):
        LocalNetwork(**options)
