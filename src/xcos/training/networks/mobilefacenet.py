"""MobileFaceNet: a face network of a million parameters."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from xcos.training.networks.features import Features
from xcos.training.networks.pixels import require_pixels
from xcos.training.networks.prelu import PReLU

# Table 1 of the paper: expansion, channels, repetitions, stride of the first repetition.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class MobileFaceNet(nn.Module):
    """Grid ``(n, 512, 7, 7)`` and vector ``(n, vector_size)`` of crops ``(n, 3, 112, 112)``.

    Chen et al. 2018, "MobileFaceNets" (arXiv 1804.07573, table 1). The grid stands before the global depthwise
    convolution, which gives every cell weights of its own on the way to the vector. Every convolution is followed
    by batch normalisation, and by PReLU unless it is linear. Weights start as PyTorch's defaults; batch
    normalisation after every convolution makes their scale irrelevant.
    """

    input_side: Final = 112
    grid_channels: Final = 512
    grid_side: Final = 7

    def __init__(self, vector_size: int = 128) -> None:
        super().__init__()
        self.vector_size: Final = vector_size
        layers: list[nn.Module] = [
            _convolution(3, 64, 3, stride=2, padding=1),
            _convolution(64, 64, 3, padding=1, groups=64),
        ]
        channels = 64
        for expansion, outputs, repetitions, stride in BOTTLENECKS:
            layers.append(Bottleneck(channels, outputs, expansion * channels, stride))
            layers.extend(Bottleneck(outputs, outputs, expansion * outputs, 1) for _ in range(repetitions - 1))
            channels = outputs
        self.local = nn.Sequential(*layers, _convolution(channels, self.grid_channels, 1))
        self.pooled = nn.Sequential(
            *_linear_convolution(self.grid_channels, self.grid_channels, self.grid_side, groups=self.grid_channels),
            *_linear_convolution(self.grid_channels, vector_size, 1),
            nn.Flatten(),
        )

    def forward(self, pixels: Tensor) -> Features:
        """Features of normalised pixels ``(n, 3, 112, 112)``."""
        require_pixels(pixels, self.input_side)
        grid = self.local(pixels)
        return Features(grid, self.pooled(grid))


class Bottleneck(nn.Module):
    """Inverted residual: widen, filter each channel by itself, narrow linearly; added to its input where shapes agree.

    Sandler et al. 2018, MobileNetV2, with PReLU.
    """

    def __init__(self, inputs: int, outputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(inputs, width, 1),
            *_convolution(width, width, 3, stride=stride, padding=1, groups=width),
            *_linear_convolution(width, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``(n, outputs, h / stride, w / stride)``, rounded up."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _linear_convolution(
    inputs: int, outputs: int, side: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


def _convolution(
    inputs: int, outputs: int, side: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    linear = _linear_convolution(inputs, outputs, side, stride=stride, padding=padding, groups=groups)
    return nn.Sequential(*linear, PReLU(outputs))
