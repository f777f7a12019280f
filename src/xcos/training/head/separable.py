"""Each face says how far its cells can be trusted; a pair multiplies the two."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from xcos.errors import InvalidArgument
from xcos.training.head.block import Block
from xcos.training.head.maps import FaceMaps
from xcos.training.head.weighting import Weighting

LARGEST_RATIO = 1e6
"""A wider range could not be told from rounding in single precision once two trusts are multiplied."""
FLOOR = 1e-6


class Separable(Weighting):
    """Attention ``u_A u_B / Σ u_A u_B`` from one trust ``u > 0`` per face and cell; symmetric bit for bit.

    The trust is read from the network's grid before the projection, which has more channels and still knows
    what the projection drops. ``ratio`` bounds the largest trust of a face over its smallest: u lies in
    ``ratio^±½``, so that a pair's attention varies by at most ``ratio²`` and no cell of n gets more than
    ``ratio² / (ratio² + n − 1)`` of it: with ratio 4 and 49 cells at most 1/4, where uniform is 1/49. With
    ``ratio=None`` there is no bound, and attention can collapse onto one cell. Training starts at uniform attention.
    """

    def __init__(self, grid_channels: int, hidden: int = 16, *, ratio: float | None = 16.0) -> None:
        super().__init__()
        if ratio is not None and not 1 < ratio <= LARGEST_RATIO:
            raise InvalidArgument(f"ratio must lie above 1 and at most {LARGEST_RATIO:g}, or be None, got {ratio}")
        self.ratio = ratio
        self.narrow = Block(grid_channels, hidden, 1, slopes=hidden)
        self.around = Block(hidden, hidden, 3, slopes=hidden)
        self.last = nn.Conv2d(hidden, 1, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def trust(self, grid: Tensor) -> Tensor:
        """``(n, h, w)`` > 0 of the network's grid ``(n, channels, h, w)``; only its proportions matter."""
        logits: Tensor = self.last(self.around(self.narrow(grid)))
        if self.ratio is None:
            return softplus(logits.squeeze(1)) + FLOOR
        return torch.exp(math.log(self.ratio) / 2 * torch.tanh(logits.squeeze(1)))

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:
        """``(n, h, w)``, total 1."""
        product = self.trust(probe.grid) * self.trust(reference.grid)
        return product / product.sum(dim=(1, 2), keepdim=True)
