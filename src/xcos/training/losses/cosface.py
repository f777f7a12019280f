"""Softmax with a margin on the cosine."""

from __future__ import annotations

from torch import Tensor

from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import ClassificationLoss, margin_softmax, require_scale_and_margin


class CosFace(ClassificationLoss):
    """Cross-entropy where a vector's own class has ``s (cos_y − m)`` (Wang et al. 2018, arXiv 1801.09414, equation 4).

    Defaults: those the xCos authors trained with.
    """

    def __init__(self, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__()
        require_scale_and_margin(scale, margin)
        self.scale = scale
        self.margin = margin

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:  # noqa: ARG002
        """Mean loss; as :class:`ClassificationLoss`."""
        return margin_softmax(cosines, labels, lambda own: own - self.margin, self.scale, shards)
