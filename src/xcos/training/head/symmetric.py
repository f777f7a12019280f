"""The paper's attention, freed from the order of the two faces."""

from __future__ import annotations

from torch import Tensor

from xcos.training.head.concat import Concat, softmax_over_cells
from xcos.training.head.maps import FaceMaps
from xcos.training.head.weighting import Weighting


class Symmetric(Weighting):
    """Attention from the mean of both orders' logits, so that swapping the faces changes no bit.

    Same parameters as :class:`Concat`. ``a + b`` and ``b + a`` are equal in floating point, so are the maps.
    """

    def __init__(self, channels: int = 32, hidden: int = 16) -> None:
        super().__init__()
        self.concat = Concat(channels, hidden)

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:
        """``(n, h, w)``, total 1."""
        a, b = self.concat.face(probe.features), self.concat.face(reference.features)
        return softmax_over_cells((self.concat.logits(a, b) + self.concat.logits(b, a)) / 2)
