"""A vector shall be nearer to its mate than to anyone else."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from xcos.errors import InvalidArgument
from xcos.training.losses.precision import full_precision


class TripletSemiHard(nn.Module):
    """Mean over all ordered mated pairs (a, p) of ``max(0, |a − p|² − |a − n|² + margin)`` between unit vectors.

    n is mined in the batch (FaceNet; Schroff et al. 2015, arXiv 1503.03832, section 3.2): the nearest non-mate that
    is farther from a than p is (their semi-hard condition, equation 4). Where all non-mates are nearer than p, it is
    the farthest of them, as in TensorFlow Addons; the nearest can make training collapse early.
    """

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        if not 0 < margin < math.inf:
            raise InvalidArgument(f"margin must be positive, got {margin}")
        self.margin = margin

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Mean loss, a scalar; ``vectors`` (n, D) of any length, ``labels`` (n,) of their people."""
        with torch.autocast(vectors.device.type, enabled=False):
            units = normalize(full_precision(vectors))
            squared = (2 - 2 * units @ units.T).clamp_min(0)
        mated = labels[:, None] == labels[None, :]
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        anchor, positive = torch.nonzero(mated & ~itself, as_tuple=True)
        if len(anchor) == 0 or bool(mated.all()):
            raise InvalidArgument(
                f"a batch of {len(labels)} vectors of {len(set(labels.tolist()))} people has no triplet; "
                "draw several photos of each of several people"
            )
        negative = semi_hard(squared.detach()[anchor], mated[anchor], positive)
        return relu(squared[anchor, positive] - squared[anchor, negative] + self.margin).mean()


def semi_hard(squared: Tensor, mated: Tensor, positive: Tensor) -> Tensor:
    """``(pairs,)`` the column of each pair's negative.

    ``squared`` (pairs, n) distances from each pair's anchor to all, ``mated`` (pairs, n) which of them are its mates or
    itself, ``positive`` (pairs,) the column of its positive.
    """
    farther = ~mated & (squared > squared.gather(1, positive[:, None]))
    nearest = squared.masked_fill(~farther, math.inf).argmin(dim=1)
    farthest = squared.masked_fill(mated, -math.inf).argmax(dim=1)
    return torch.where(farther.any(dim=1), nearest, farthest)
