"""The paper's learned attention."""

from __future__ import annotations

import torch
from torch import Tensor

from xcos.training.head.block import Block
from xcos.training.head.maps import FaceMaps
from xcos.training.head.weighting import Weighting


class Concat(Weighting):
    """Attention of the xCos paper: both faces' maps, one after the other, through two convolutions and a softmax.

    It **depends on the order** of the two faces, because the first convolution of the pair treats its first
    and second half differently; :class:`~xcos.training.head.symmetric.Symmetric` does not. The temperature
    of the softmax is 1. With 32 channels: 4,657 parameters per face, 4,805 per pair (Lin et al. 2021).
    """

    def __init__(self, channels: int = 32, hidden: int = 16) -> None:
        super().__init__()
        self.face = Block(channels, hidden, 3, slopes=1)
        self.joint = Block(2 * hidden, hidden, 3, slopes=1)
        self.last = Block(hidden, 1, 3, slopes=1)

    def logits(self, probe: Tensor, reference: Tensor) -> Tensor:
        """``(n, h, w)`` of what ``face`` made of either side, in this order."""
        logits: Tensor = self.last(self.joint(torch.cat([probe, reference], dim=1)))
        return logits.squeeze(1)

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:
        """``(n, h, w)``, total 1."""
        return softmax_over_cells(self.logits(self.face(probe.features), self.face(reference.features)))


def softmax_over_cells(logits: Tensor) -> Tensor:
    """``(n, h, w)`` of ``(n, h, w)``; each map sums to 1."""
    return logits.flatten(1).softmax(dim=1).view_as(logits)
