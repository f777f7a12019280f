"""One binary decision a class, instead of one among all classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from xcos.errors import InvalidArgument
from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import NOTHING, ClassificationLoss, own_column, require_scale_and_margin
from xcos.training.losses.precision import full_precision


class SphereFace2(ClassificationLoss):
    """Binary losses with a margin on the cosine, type C of Wen et al. 2022 (SphereFace2, arXiv 2108.01513).

    ``w/r (λ log(1 + e^{−r (g(cos_y) − m) − b}) + (1 − λ) Σ_{j≠y} log(1 + e^{r (g(cos_j) + m) + b}))`` with
    ``g(z) = 2 ((z + 1) / 2)^t − 1``, λ the ``balance``, r the ``scale`` and m the ``margin``. The bias b is learned;
    it starts where the loss of vectors orthogonal to every center is least. The ``weight`` w is not in the paper's
    formula but in the authors' code; with it, learning rates fit that suit the softmax losses. When classes are
    sampled, the sum runs over the sampled ones.
    """

    def __init__(
        self,
        classes: int,
        scale: float = 40.0,
        margin: float = 0.4,
        *,
        balance: float = 0.7,
        t: float = 3.0,
        weight: float = 50.0,
    ) -> None:
        super().__init__()
        require_scale_and_margin(scale, margin)
        if classes < 2 or not 0 < balance < 1 or not 1 <= t < math.inf or not 0 < weight < math.inf:
            raise InvalidArgument(
                "classes must be at least 2, balance between 0 and 1, t at least 1 and weight positive, got "
                f"{classes}, {balance}, {t} and {weight}"
            )
        self.scale = scale
        self.margin = margin
        self.balance = balance
        self.t = t
        self.weight = weight
        self.bias = nn.Parameter(torch.tensor(self._best_bias(classes)))

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:  # noqa: ARG002
        """Mean loss; as :class:`ClassificationLoss`."""
        present, column = own_column(labels)
        spread = 2 * ((full_precision(cosines).clamp(-1, 1) + 1) / 2).pow(self.t) - 1
        bias = shards.shared(self.bias)
        own = spread.gather(1, column).squeeze(1)
        positive = torch.where(present, softplus(-self.scale * (own - self.margin) - bias), 0.0)
        # Its own class is no negative of a vector; where that is in another shard, column 0 is written back as it was.
        kept = torch.where(present, NOTHING, self.scale * (own + self.margin) + bias)
        others = (self.scale * (spread + self.margin) + bias).scatter_(1, column, kept[:, None])
        losses = self.balance * positive + (1 - self.balance) * softplus(others).sum(dim=1)
        return self.weight / self.scale * shards.sum(losses).mean()

    def _best_bias(self, classes: int) -> float:
        """Root of ``z σ(−a_y − b) = σ(a_j + b)``, the derivative by b where all cosines are 0; z weighs 1 : K − 1."""
        z = self.balance / ((1 - self.balance) * (classes - 1))
        middle = self.scale * (2 * math.pow(0.5, self.t) - 1)
        others = middle + self.scale * self.margin
        ratio = math.exp(-2 * self.scale * self.margin)  # e^{a_y − a_j}
        root = math.sqrt((1 - z) ** 2 + 4 * z * ratio)
        if z < 1:
            return math.log(2 * z) - others - math.log(1 - z + root)
        return math.log(z - 1 + root) - math.log(2) + 2 * self.scale * self.margin - others
