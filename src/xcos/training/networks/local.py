"""A network whose cells really see only their own part of the face."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from xcos.errors import InvalidArgument
from xcos.training.networks.features import Features
from xcos.training.networks.ir import residual_stage
from xcos.training.networks.pixels import require_pixels
from xcos.training.networks.prelu import PReLU


class LocalNetwork(nn.Module):
    """Grid ``(n, grid_channels, grid, grid)`` and vector ``(n, vector_size)`` of crops ``(n, 3, 112, 112)``.

    The crop is cut into ``grid × grid`` overlapping squares of ``patch`` pixels, spread evenly from edge to edge, so
    that each contains its cell's own nominal square. One small residual network encodes every patch by itself, as
    if it were an image of its own: in evaluation mode no pixel outside :meth:`patch_box` can change a cell. (While
    training, batch normalisation takes its statistics over all patches of a batch.) Restricted receptive fields
    after Ozturk et al. 2025 (arXiv 2510.10753), who find 28-pixel patches competitive and 56-pixel patches as good
    as the whole image; 56 costs four times as much and says less about where.

    ``widths`` are the channels of the patch network's stages, each of which halves the map and has ``units``
    residual units as in :class:`Ir`; its output block is theirs too, for cells of ``grid_channels``. The defaults
    have about as many parameters as MobileFaceNet. The vector is the mean of the cells through a linear layer
    without bias: a dot product of two vectors is a sum over pairs of cells.

    Weights start as PyTorch's defaults; batch normalisation in every unit makes the choice uncritical.
    """

    input_side: Final = 112

    def __init__(
        self,
        *,
        patch: int = 28,
        grid: int = 7,
        widths: tuple[int, ...] = (32, 64, 128),
        units: int = 1,
        grid_channels: int = 256,
        vector_size: int = 512,
    ) -> None:
        super().__init__()
        if grid < 1 or not self.input_side <= patch * grid or patch > self.input_side:
            raise InvalidArgument(
                f"{grid} × {grid} patches of {patch} px must cover {self.input_side} px and fit into it; "
                "use, for example, patch=28 or 56 and grid=7"
            )
        if not widths or units < 1:
            raise InvalidArgument(f"widths must name a stage and units be at least 1, got {widths} and {units}")
        self.patch: Final = patch
        self.grid_side: Final = grid
        self.grid_channels: Final = grid_channels
        self.vector_size: Final = vector_size
        self._starts = _spread(self.input_side - patch, grid)
        self.encoder = _patch_network(patch, widths, units, grid_channels)
        self.linear = nn.Linear(grid_channels, vector_size, bias=False)

    def forward(self, pixels: Tensor) -> Features:
        """Features of normalised pixels ``(n, 3, 112, 112)``."""
        require_pixels(pixels, self.input_side)
        patches = self._patches(pixels)
        cells = self.encoder(patches.flatten(0, 2)).unflatten(0, patches.shape[:3])  # (n, rows, cols, channels)
        return Features(cells.permute(0, 3, 1, 2), self.linear(cells.mean(dim=(1, 2))))

    def patch_box(self, row: int, col: int) -> tuple[int, int, int, int]:
        """``(left, top, right, bottom)`` of the pixels the cell sees; right and bottom are the first not seen."""
        left, top = self._starts[col], self._starts[row]
        return left, top, left + self.patch, top + self.patch

    def _patches(self, pixels: Tensor) -> Tensor:
        """``(n, rows, cols, 3, patch, patch)``."""
        rows = torch.stack([pixels[:, :, start : start + self.patch] for start in self._starts], dim=1)
        return torch.stack([rows[..., start : start + self.patch] for start in self._starts], dim=2)


def _spread(last: int, count: int) -> list[int]:
    """``count`` whole numbers from 0 to ``last``, as evenly as they go."""
    return [round(index * last / max(1, count - 1)) for index in range(count)]


def _patch_network(patch: int, widths: tuple[int, ...], units: int, outputs: int) -> nn.Sequential:
    """``(n, outputs)`` of patches ``(n, 3, patch, patch)``."""
    entering = (widths[0], *widths[:-1])
    side = patch
    for _ in widths:
        side = (side + 1) // 2
    return nn.Sequential(
        nn.Conv2d(3, widths[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        PReLU(widths[0]),
        *(residual_stage(into, out, units, 2) for into, out in zip(entering, widths, strict=True)),
        nn.BatchNorm2d(widths[-1]),
        nn.Flatten(),
        nn.Linear(widths[-1] * side * side, outputs, bias=False),
        nn.BatchNorm1d(outputs),
    )
