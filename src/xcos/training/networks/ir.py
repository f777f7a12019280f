"""IR and IR-SE: the residual networks of ArcFace and of the xCos paper."""

from __future__ import annotations

from typing import Final, Literal

from torch import Tensor, nn

from xcos.errors import InvalidArgument
from xcos.training.networks.features import Features
from xcos.training.networks.pixels import require_pixels
from xcos.training.networks.prelu import PReLU

CHANNELS = (64, 128, 256, 512)  # of the four stages
UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
LAST_STRIDE = {14: 1, 7: 2, 5: 3}  # side of the grid → stride of the last stage


class Ir(nn.Module):
    """Grid ``(n, 512, grid, grid)`` and vector ``(n, vector_size)`` of crops ``(n, 3, 112, 112)``.

    "Improved residual" units (Deng et al. 2019, ArcFace, section 3.2): four stages, the first unit of each halves
    the map. ``squeeze`` adds squeeze-excitation to every unit (IR-SE); its gates look at the whole map, so cells
    then depend on the whole face. ``grid`` 14 and 5 change the stride of the last stage to 1 and 3, as in the
    xCos paper's ablation. The vector is the teacher's of that paper: batch normalisation, dropout, all cells
    flattened into one linear layer, batch normalisation. A head that reads the grid alone leaves those weights
    without gradient.

    Weights start as PyTorch's defaults: that is what the authors' training really ran, since their own
    initialisation never reached a layer; batch normalisation in every unit makes the choice uncritical.
    """

    input_side: Final = 112
    grid_channels: Final = CHANNELS[-1]

    def __init__(
        self,
        depth: Literal[18, 34, 50, 100] = 50,
        *,
        squeeze: bool = False,
        grid: Literal[14, 7, 5] = 7,
        vector_size: int = 512,
        dropout: float = 0.6,
    ) -> None:
        super().__init__()
        if depth not in UNITS:
            raise InvalidArgument(f"depth must be one of {list(UNITS)}, got {depth}")
        if grid not in LAST_STRIDE:
            raise InvalidArgument(f"grid must be one of {list(LAST_STRIDE)} cells a side, got {grid}")
        self.grid_side: Final[int] = grid
        self.vector_size: Final = vector_size
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS[0]), PReLU(CHANNELS[0])
        )
        strides = (2, 2, 2, LAST_STRIDE[grid])
        entering = (CHANNELS[0], *CHANNELS[:-1])
        self.stages = nn.Sequential(
            *(
                residual_stage(inputs, outputs, units, stride, squeeze=squeeze)
                for inputs, outputs, units, stride in zip(entering, CHANNELS, UNITS[depth], strides, strict=True)
            )
        )
        self.output = nn.Sequential(
            nn.BatchNorm2d(self.grid_channels),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(self.grid_channels * grid * grid, vector_size),
            nn.BatchNorm1d(vector_size),
        )

    def forward(self, pixels: Tensor) -> Features:
        """Features of normalised pixels ``(n, 3, 112, 112)``."""
        require_pixels(pixels, self.input_side)
        grid = self.stages(self.stem(pixels))
        return Features(grid, self.output(grid))


def residual_stage(inputs: int, outputs: int, units: int, stride: int, *, squeeze: bool = False) -> nn.Sequential:
    """``units`` residual units, the first of which changes channels and strides."""
    first = ResidualUnit(inputs, outputs, stride, squeeze=squeeze)
    return nn.Sequential(first, *(ResidualUnit(outputs, outputs, 1, squeeze=squeeze) for _ in range(units - 1)))


class ResidualUnit(nn.Module):
    """Batch normalisation, two 3 × 3 convolutions, and a shortcut beside them; nothing after the sum.

    Where the channels stay, the shortcut takes every ``stride``-th pixel as it is; where they change, it is a
    1 × 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, squeeze: bool = False) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs) if squeeze else nn.Identity(),
        )
        self.shortcut = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, outputs, h / stride, w / stride)``, rounded up."""
        summed: Tensor = self.residual(x) + self.shortcut(x)
        return summed


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in 0…1 that looks at the means of all channels (Hu et al. 2018, reduction 16)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 16, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 16, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        gated: Tensor = x * self.gate(x)
        return gated
