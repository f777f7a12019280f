"""Cells count by the length of their features."""

from __future__ import annotations

from torch import Tensor

from xcos.training.head.maps import EPSILON, FaceMaps
from xcos.training.head.weighting import Weighting


class Norm(Weighting):
    """Attention |a||b| / (|A||B|): the score is the cosine of the two flattened grids, which the ID loss trains.

    Sums to at most 1 by Cauchy and Schwarz.
    """

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:
        """``(n, h, w)``: product of each cell's share of its grid's length."""
        return _shares(probe.features) * _shares(reference.features)


def _shares(features: Tensor) -> Tensor:
    """``(n, h, w)`` lengths whose squares sum to 1."""
    lengths = features.norm(dim=1)
    shares: Tensor = lengths / lengths.norm(dim=(1, 2), keepdim=True).clamp_min(EPSILON)
    return shares
