"""The building block of the head."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Convolution with bias and equal size, batch normalisation, PReLU with one slope or one per channel."""

    def __init__(self, inputs: int, outputs: int, size: int, *, slopes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.PReLU(slopes)

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, outputs, h, w)`` of ``(n, inputs, h, w)``."""
        out: Tensor = self.activation(self.norm(self.conv(maps)))
        return out
