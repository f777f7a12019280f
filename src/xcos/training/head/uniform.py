"""Every cell counts the same."""

from __future__ import annotations

import torch
from torch import Tensor

from xcos.training.head.maps import FaceMaps
from xcos.training.head.weighting import Weighting


class Uniform(Weighting):
    """Attention 1 / cells: the score is the mean of the local cosines ('patch' in the xCos paper)."""

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:  # noqa: ARG002  # as Weighting
        """``(n, h, w)``, constant."""
        cosines = probe.features[:, 0]
        return torch.full_like(cosines, 1.0 / (cosines.shape[1] * cosines.shape[2]))
