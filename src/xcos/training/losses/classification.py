"""What every classification loss can do, and the softmax that most of them share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from xcos.errors import InvalidArgument
from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.precision import full_precision

NOTHING = -1e30
"""Logit of a column that does not count. Minus infinity would make the gradient of a row of such columns NaN."""


class ClassificationLoss(nn.Module):
    """Interface: mean loss of n vectors, from their cosines with the class centers.

    The columns may be all classes, a sample of them, or one rank's shard; only in a shard may the class of a vector be
    none of the columns, and its label is then −1. A loss brings the shards' sums together itself, so that every rank
    returns the loss over all of them.
    """

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:
        """Mean loss, a scalar ≥ 0.

        ``cosines`` (n, columns) of unit vectors with unit centers; ``labels`` (n,) int64, the column of each one's
        class; ``lengths`` (n,) Euclidean lengths of the vectors before normalisation.
        """
        raise NotImplementedError


def margin_softmax(
    cosines: Tensor,
    labels: Tensor,
    with_margin: Callable[[Tensor], Tensor],
    scale: float,
    shards: ClassShards,
) -> Tensor:
    """Mean of ``−log(e^{s t} / (e^{s t} + Σ_{j≠y} e^{s cos_j}))``, where ``t = with_margin(cos_y)``, ``s = scale``.

    ``with_margin`` takes and gives (n,). The sum over j runs over the columns of all shards. Computed as
    ``log(1 + e^{log Σ_{j≠y} e^{s cos_j} − s t})``, which keeps its digits where the loss is small.
    """
    cosines = full_precision(cosines)
    present, column = own_column(labels)
    cosine = cosines.gather(1, column).squeeze(1)
    own = shards.sum(torch.where(present, scale * with_margin(cosine), 0.0))
    # Where the class is in another shard, column 0 is written back as it was.
    kept = torch.where(present, NOTHING, scale * cosine)
    parts = (scale * cosines).scatter_(1, column, kept[:, None]).logsumexp(dim=1)
    largest = shards.max(parts)
    others = largest + shards.sum((parts - largest).exp()).log()
    return softplus(others - own).mean()


def own_column(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each vector's class is among the columns (n,), and its column (n, 1), 0 where it is not."""
    return labels >= 0, labels.clamp_min(0)[:, None]


def require_scale_and_margin(scale: float, margin: float, *, most: float = math.inf) -> None:
    """Raises :class:`InvalidArgument` for a scale that is not positive or a margin outside 0…most."""
    if not 0 < scale < math.inf or not 0 <= margin <= most or margin == math.inf:
        raise InvalidArgument(f"scale must be positive and margin in 0…{most:g}, got scale {scale} and margin {margin}")
