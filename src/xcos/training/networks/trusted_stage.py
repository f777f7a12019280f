"""The learned stage of the shipped model: dlib's fourth stage → local features that know when they are covered."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from xcos.embedders.dlib_resnet import Layers
from xcos.embedders.trusted_stage import COVERED_INPUT, FLOOR, GLOBAL, NEAR, StageWeights
from xcos.types import Floats

MEAN_SHARE = 0.7
"""Share of the mean vector taken off every cell, and off the teacher's vectors: pairs keep their order (Spearman 0.99)
and their cosines spread over −0.2…1 instead of 0.7…1."""


class Staged(NamedTuple):
    """What the stage makes of a face."""

    features: Tensor
    """``(n, 128, 7, 7)``, as long as each cell's evidence; no trust applied."""
    covered: Tensor
    """``(n, 7, 7)`` logits: log odds that a cell is covered."""
    trust: Tensor
    """``(n, 7, 7)`` > 0: visibility squared, and the features' own length."""


class TrustedStage(nn.Module):
    """Local features ``(n, 128, 7, 7)`` and trust ``(n, 7, 7)`` from dlib's fourth stage ``(n, 256, 7, 7)``.

    Where nothing is covered and nothing learned, it is the published last stage taken apart. That stage is the mean
    of four quarters of the face and of one correction computed from a window of it (the outer taps of its second
    convolution are zero, so the correction has no place of its own):
    ``vector = linear(mean of cells + ¼ (relu(quarter + correction) − quarter))``. Here every cell keeps its own place
    in that sum, and the correction, a summary of four windows, is added to each cell in the same proportion.

    A small network first tells which cells are covered; they are replaced by the mean face before anything is
    summed, and count little in the attention.
    """

    grid_channels: Final = 128
    grid_side: Final = 7

    def __init__(self, layers: Layers, mean_face: Floats, mean_vector: Floats) -> None:
        """``layers`` are the published weights; ``mean_face`` (7, 7, 256) and ``mean_vector`` (128,) are means over
        the training photos.
        """
        super().__init__()
        kernel, last = layers.convolutions[-2], layers.convolutions[-1]
        self.covered = nn.Sequential(
            nn.Conv2d(256, 64, 1), nn.PReLU(64), nn.Conv2d(64, 32, 3, padding=1), nn.PReLU(32), nn.Conv2d(32, 1, 1)
        )
        self.mean_face = nn.Parameter(torch.tensor(mean_face.transpose(2, 0, 1)))
        self.windows = nn.Conv2d(256, 256, 3, stride=2, dilation=2, bias=False)
        self.window_bias = nn.Parameter(torch.tensor(kernel.bias)[:, None, None].repeat(1, 2, 2))
        self.summary = nn.Conv2d(256, 256, 2)
        self.linear = nn.Conv2d(256, 128, 1, bias=False)
        self.place = nn.Parameter(torch.tensor(-MEAN_SHARE * mean_vector)[:, None, None].repeat(1, 7, 7))
        with torch.no_grad():
            self.windows.weight.copy_(torch.tensor(kernel.kernel))
            self.summary.weight.zero_()
            self.summary.weight[:, :, 0, 0] = torch.tensor(last.kernel[:, :, 1, 1])
            self.summary.bias = nn.Parameter(torch.tensor(last.bias))
            self.linear.weight.copy_(torch.tensor(layers.linear.T[:, :, None, None]))

    def forward(self, fourth: Tensor) -> Staged:
        """Features, coverage and trust of ``(n, 256, 7, 7)``."""
        covered = self.coverage(fourth)
        visible = torch.sigmoid(-covered).detach()  # the features must not learn to call cells covered
        features = self.features(fourth, visible)
        trust = features.norm(dim=1) * (visible[:, 0] ** 2 + FLOOR)
        return Staged(features, covered[:, 0], trust)

    def coverage(self, fourth: Tensor) -> Tensor:
        """``(n, 1, 7, 7)`` logits."""
        logits: Tensor = self.covered(fourth * COVERED_INPUT)
        return logits

    def features(self, fourth: Tensor, visible: Tensor) -> Tensor:
        """``(n, 128, 7, 7)`` features; ``visible`` ``(n, 1, 7, 7)`` is 1 for a clear cell, 0 for a covered one."""
        seen = fourth * visible + self.mean_face * (1 - visible)
        summary = self.summary(relu(self.windows(seen) + self.window_bias))  # (n, 256, 1, 1)
        near = avg_pool2d(seen, 3, 1, 1, count_include_pad=False)
        cell = (1 - NEAR) * seen + NEAR * near
        mixed = (1 - GLOBAL) * cell + GLOBAL * relu(cell + summary)
        features: Tensor = self.linear(mixed) + self.place
        return features

    def load(self, weights: StageWeights) -> None:
        """Takes over the weights of a file; the reverse of :meth:`weights`."""
        convolutions = [layer for layer in self.covered if isinstance(layer, nn.Conv2d)]
        slopes = [layer for layer in self.covered if isinstance(layer, nn.PReLU)]
        pairs = [
            *zip((layer.weight for layer in convolutions), weights.covered_kernels, strict=True),
            *zip((layer.bias for layer in convolutions), weights.covered_biases, strict=True),
            *zip((layer.weight for layer in slopes), weights.covered_slopes, strict=True),
            (self.mean_face, weights.mean_face),
            (self.windows.weight, weights.windows),
            (self.window_bias, weights.window_bias),
            (self.summary.weight, weights.summary),
            (self.summary.bias, weights.summary_bias),
            (self.linear.weight, weights.linear),
            (self.place, weights.place),
        ]
        with torch.no_grad():
            for parameter, values in pairs:
                assert parameter is not None
                parameter.copy_(torch.tensor(values))

    def weights(self) -> StageWeights:
        """What the embedder's graph needs, in half precision as it is shipped."""

        def half(tensor: Tensor | None) -> Floats:
            assert tensor is not None
            return tensor.detach().numpy().astype(np.float16).astype(np.float32)

        convolutions = [layer for layer in self.covered if isinstance(layer, nn.Conv2d)]
        slopes = [layer for layer in self.covered if isinstance(layer, nn.PReLU)]
        return StageWeights(
            covered_kernels=[half(layer.weight) for layer in convolutions],
            covered_biases=[half(layer.bias) for layer in convolutions],
            covered_slopes=[half(layer.weight) for layer in slopes],
            mean_face=half(self.mean_face),
            windows=half(self.windows.weight),
            window_bias=half(self.window_bias),
            summary=half(self.summary.weight),
            summary_bias=half(self.summary.bias),
            linear=half(self.linear.weight),
            place=half(self.place),
        )
