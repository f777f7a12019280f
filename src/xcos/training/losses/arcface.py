"""Softmax with a margin on the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import ClassificationLoss, margin_softmax, require_scale_and_margin

SMALLEST_SQUARED_SINE = 1e-12
"""Below it the sine counts as constant: its derivative is infinite at 0, and rounding takes cosines beyond ±1."""


class ArcFace(ClassificationLoss):
    """Cross-entropy where a vector's own class has ``s cos(θ_y + m)`` (Deng et al. 2019, arXiv 1801.07698, equation 3).

    Where θ_y + m would pass π and the cosine rise again, ``s (cos θ_y − m sin m)`` takes its place, as in the
    authors' code; the loss then still falls with θ_y everywhere.
    """

    def __init__(self, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        require_scale_and_margin(scale, margin, most=math.pi / 2)
        self.scale = scale
        self.margin = margin

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:  # noqa: ARG002
        """Mean loss; as :class:`ClassificationLoss`."""
        return margin_softmax(cosines, labels, self._with_margin, self.scale, shards)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        sine = ((1 - cosine) * (1 + cosine)).clamp_min(SMALLEST_SQUARED_SINE).sqrt()
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        return torch.where(
            cosine > math.cos(math.pi - self.margin), turned, cosine - self.margin * math.sin(self.margin)
        )
