"""Batches of which every photo is compared with every other: drawn, scored, and what their scores are asked for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from xcos.errors import InvalidArgument


class MatedBatches:
    """Rows of batches: two photos of each of ``people`` people, then ``others`` photos of anyone; none twice.

    ``labels`` (n,) say whose photos they are; where there are fewer people or photos, there are fewer in a batch.
    """

    def __init__(self, labels: NDArray[np.int64], *, people: int, others: int, random: np.random.Generator) -> None:
        by_person = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
        self._mated = [rows for rows in by_person if len(rows) > 1]
        self._all = np.arange(len(labels))
        self._random = random
        self._people = min(people, len(self._mated))
        self._others = others
        if not self._mated or len(by_person) < 2:
            raise InvalidArgument(
                f"{len(labels)} photos of {len(by_person)} people, {len(self._mated)} of them with two photos or more, "
                "cannot teach who is who; give two people or more, and two photos or more of most"
            )

    def draw(self) -> NDArray[np.int64]:
        """Rows of the next batch."""
        chosen = self._random.choice(len(self._mated), self._people, replace=False)
        pairs = np.concatenate([self._random.choice(self._mated[at], 2, replace=False) for at in chosen])
        rest = np.setdiff1d(self._all, pairs)
        others = self._random.choice(rest, min(self._others, len(rest)), replace=False)
        return np.concatenate([pairs, others])


def trust_weighted_scores(features: Tensor, trust: Tensor) -> Tensor:
    """``(n, n)``: Σ u_A u_B cos / Σ u_A u_B over the cells of every two faces, as two matrix products.

    ``features`` (n, channels, h, w) of any length and ``trust`` (n, h, w), above 0.
    """
    weighted = (normalize(features, dim=1) * trust[:, None]).flatten(1)
    return (weighted @ weighted.T) / (trust.flatten(1) @ trust.flatten(1).T)


def mated_and_others(labels: Tensor) -> tuple[Tensor, Tensor]:
    """``(n, n)`` masks of the pairs of one person and of the others; a photo with itself is in neither."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool)
    return same & ~itself, ~same


def imitation_loss(scores: Tensor, wanted: Tensor, labels: Tensor) -> Tensor:
    """``mean (score − wanted)²`` of ``(n, n)`` scores, mated and non-mated pairs weighing one half each."""
    squared = (scores - wanted).square()
    mated, others = mated_and_others(labels)
    return (squared[mated].mean() + squared[others].mean()) / 2


def boundary_loss(away: Tensor, labels: Tensor) -> Tensor:
    """``mean log(1 + exp(∓ away))``, mated (−) and non-mated (+) pairs weighing one half each.

    ``away`` (n, n) says how far each score lies above what parts mated from non-mated.
    """
    mated, others = mated_and_others(labels)
    return (softplus(-away[mated]).mean() + softplus(away[others]).mean()) / 2


def mate_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over ordered mated pairs of −log of the mate's share among itself and the anchor's non-mates.

    ``logits`` (n, n) are scaled scores (Sohn 2016; as NT-Xent in Chen et al. 2020).
    """
    mated, others = mated_and_others(labels)
    rest = logits.masked_fill(~others, -torch.inf).logsumexp(dim=1)
    anchor, mate = torch.nonzero(mated, as_tuple=True)
    against = torch.stack([logits[anchor, mate], rest[anchor]], dim=1)
    return cross_entropy(against, torch.zeros(len(anchor), dtype=torch.int64))
