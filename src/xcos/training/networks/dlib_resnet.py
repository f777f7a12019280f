"""dlib's face recognition ResNet with its published weights, to be trained further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad, relu

from xcos.embedders.dlib_resnet import DENSE_FROM, STAGES, Convolution, Layers
from xcos.errors import InvalidArgument
from xcos.training.networks.features import Features
from xcos.training.networks.pixels import require_pixels

FOURTH_SIDE, LAST_SIDE = 7, 5


class DlibNetwork(nn.Module):
    """Grid and vector ``(n, 128)`` of crops ``(n, 3, 150, 150)``: the numbers of :class:`xcos.DlibResNet`.

    ``grid="last"`` is ``(n, 128, 5, 5)``, ``grid="fourth"`` is ``(n, 256, 7, 7)``. The weights are the published
    ones, :func:`xcos.embedders.dlib_resnet.read_layers`; their normalisation layers are folded in, so there are
    none here and training does not depend on the batch. Pixels are normalised as that embedder's card says.

    :meth:`trunk` and :meth:`features` together are :meth:`forward`: where only what comes after the fourth stage
    is trained, the trunk's output can be computed once and kept.
    """

    input_side: Final = 150
    vector_size: Final = 128

    def __init__(self, layers: Layers, grid: Literal["last", "fourth"] = "last") -> None:
        super().__init__()
        if grid not in ("last", "fourth"):
            raise InvalidArgument(f"grid must be 'last' or 'fourth', got {grid!r}")
        self.grid: Final[Literal["last", "fourth"]] = grid
        self.grid_channels: Final = self.vector_size if grid == "last" else STAGES[DENSE_FROM][0]
        self.grid_side: Final = LAST_SIDE if grid == "last" else FOURTH_SIDE
        convolutions = iter(layers.convolutions)
        self.first = _convolution(next(convolutions), stride=2)
        stages = [_stage(convolutions, stage) for stage in range(len(STAGES))]
        self.early_stages = nn.Sequential(*stages[: DENSE_FROM + 1])
        self.final_stage = stages[-1]
        inputs, outputs = layers.linear.shape
        self.linear = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.linear.weight = nn.Parameter(torch.tensor(layers.linear.T[:, :, None, None]))

    def forward(self, pixels: Tensor) -> Features:
        """Features of normalised pixels ``(n, 3, 150, 150)``."""
        return self.features(self.trunk(pixels))

    def trunk(self, pixels: Tensor) -> Tensor:
        """``(n, 256, 7, 7)``: output of the fourth stage."""
        require_pixels(pixels, self.input_side)
        x = max_pool2d(relu(self.first(pixels)), 3, 2)  # (n, 32, 35, 35)
        fourth: Tensor = self.early_stages(x)
        return fourth

    def last_stage(self, fourth: Tensor) -> Tensor:
        """``(n, 128, 5, 5)``: last stage and linear layer at every place, from the trunk's output."""
        local: Tensor = self.linear(self.final_stage(fourth))
        return local

    def features(self, fourth: Tensor) -> Features:
        """Features from the trunk's output ``(n, 256, 7, 7)``; the vector is the mean of the last grid's corners."""
        local = self.last_stage(fourth)
        return Features(local if self.grid == "last" else fourth, local[:, :, ::4, ::4].mean(dim=(2, 3)))


class _Block(nn.Module):
    """Two convolutions and their shortcut, which takes the input as it is."""

    def __init__(self, convolutions: Iterator[Convolution], *, dilation: int) -> None:
        super().__init__()
        self.first = _convolution(next(convolutions), dilation=dilation, padding=dilation)
        self.second = _convolution(next(convolutions), dilation=dilation, padding=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(x))) + x)


class _HalvingBlock(nn.Module):
    """Two convolutions, the first without padding, and the mean of 2 × 2 pixels as their shortcut.

    In a dense stage nothing is left out: the pixels averaged and convolved stand ``dilation`` apart, and the second
    convolution has twice the dilation instead of a map of half the side.
    """

    def __init__(self, convolutions: Iterator[Convolution], *, dilation: int, dense: bool) -> None:
        super().__init__()
        self.dilation, self.dense = dilation, dense
        after = 2 * dilation if dense else 1
        self.first = _convolution(next(convolutions), stride=1 if dense else 2, dilation=dilation)
        self.second = _convolution(next(convolutions), dilation=after, padding=after)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(relu(self.first(x)))
        short = _dilated_mean(x, self.dilation) if self.dense else avg_pool2d(x, 2)
        return relu(_filled(y, short) + _filled(short, y))


def _stage(convolutions: Iterator[Convolution], stage: int) -> nn.Sequential:
    dense = stage >= DENSE_FROM
    dilation = 2 ** max(0, stage - DENSE_FROM)
    blocks: list[nn.Module] = []
    for block in range(STAGES[stage][1]):
        if stage > 0 and block == 0:
            blocks.append(_HalvingBlock(convolutions, dilation=dilation, dense=dense))
        else:
            blocks.append(_Block(convolutions, dilation=2 * dilation if dense else 1))
    return nn.Sequential(*blocks)


def _convolution(layer: Convolution, *, stride: int = 1, dilation: int = 1, padding: int = 0) -> nn.Conv2d:
    filters, channels, side, _ = layer.kernel.shape
    made = nn.Conv2d(channels, filters, side, stride, padding, dilation)
    made.weight = nn.Parameter(torch.tensor(layer.kernel))
    made.bias = nn.Parameter(torch.tensor(layer.bias))
    return made


def _dilated_mean(x: Tensor, apart: int) -> Tensor:
    """Mean of the 2 × 2 pixels that stand ``apart``, at every place where they exist."""
    down = x[:, :, :-apart] + x[:, :, apart:]
    return (down[..., :-apart] + down[..., apart:]) / 4


def _filled(x: Tensor, like: Tensor) -> Tensor:
    """``x`` with zeros at the right, the bottom and the last channels where it is smaller than ``like``."""
    channels, rows, cols = (max(0, want - have) for want, have in zip(like.shape[1:], x.shape[1:], strict=True))
    return pad(x, (0, cols, 0, rows, 0, channels)) if channels or rows or cols else x
