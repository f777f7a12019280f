"""Cross-entropy of scaled cosines."""

from __future__ import annotations

from torch import Tensor

from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import ClassificationLoss, margin_softmax, require_scale_and_margin


class Softmax(ClassificationLoss):
    """``−log(e^{s cos_y} / Σ_j e^{s cos_j})`` (NormFace; Wang et al. 2017, arXiv 1704.06369).

    At its best, with K centers as far from one another as they can be, it is ``log(1 + (K−1) e^{−sK/(K−1)})``
    (proposition 2): too small a scale cannot be trained further.
    """

    def __init__(self, scale: float = 30.0) -> None:
        super().__init__()
        require_scale_and_margin(scale, 0.0)
        self.scale = scale

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:  # noqa: ARG002
        """Mean loss; as :class:`ClassificationLoss`."""
        return margin_softmax(cosines, labels, lambda own: own, self.scale, shards)
