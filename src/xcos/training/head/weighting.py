"""What every weighting can do."""

from __future__ import annotations

from torch import Tensor, nn

from xcos.training.head.maps import FaceMaps


class Weighting(nn.Module):
    """Interface: how much each cell of a pair counts. Called with two :class:`FaceMaps`."""

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:
        """``(n, h, w)`` attention, each ≥ 0, total ≤ 1."""
        raise NotImplementedError
