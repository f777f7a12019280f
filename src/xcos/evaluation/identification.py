"""Searching a gallery: FPIR, FNIR and ranks, from scores that come block by block.

A candidate is a subject, and its score is the best one of its samples. A search is *mated* if its probe's subject is
in the gallery. With N subjects in the gallery (NIST FRTE 1:N, ISO/IEC 19795-1):

* ``FPIR(N, T)``: share of non-mated searches with any candidate at or above T.
* ``FNIR(N, R, T)``: share of mated searches whose mate is not among the top R, or is below T. With T = −∞ it is an
  investigation, and 1 − FNIR is the hit rate at rank R (CMC).

Other subjects with the same score as the mate rank before it, so that a matcher that says the same of all finds
nobody. A failed sample scores −∞: its mate has no rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.scores import FAILED
from xcos.types import Reals, freeze

Scores = NDArray[np.floating]
Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Searches:
    """What is left of all searches: the mate's rank and score, or the best candidate where there is no mate."""

    gallery: int
    """N, subjects in the gallery."""
    rank: Numbers
    """(mated,) from 1; N + 1 where the mate cannot be found."""
    mate: Scores
    """(mated,) score of the mate."""
    mated_subject: Numbers
    """(mated,) whose the probes were."""
    top: Scores
    """(non_mated,) score of the best candidate."""
    non_mated_subject: Numbers
    """(non_mated,) whose the probes were."""

    def __post_init__(self) -> None:
        names = ("rank", "mate", "mated_subject", "top", "non_mated_subject")
        freeze(self, **{name: getattr(self, name) for name in names})

    def missed(self, rank: int, threshold: float = -math.inf) -> Truths:
        """(mated,): searches whose mate is not among the top ``rank`` at or above ``threshold``."""
        if rank < 1:
            raise InvalidArgument(f"ranks are counted from 1, got {rank}")
        found: Truths = (self.rank <= min(rank, self.gallery)) & (self.mate >= threshold)
        return ~found

    def false_positive(self, threshold: float) -> Truths:
        """(non_mated,): searches with a candidate at or above ``threshold``."""
        positive: Truths = (self.top >= threshold) & (self.top != FAILED)
        return positive

    def fnir(self, rank: int, threshold: float = -math.inf) -> float:
        """False negative identification rate of mated searches."""
        return _share(self.missed(rank, threshold), "mated")

    def fpir(self, threshold: float) -> float:
        """False positive identification rate of non-mated searches."""
        return _share(self.false_positive(threshold), "non-mated")

    def threshold_at_fpir(self, rate: float) -> float:
        """The lowest threshold among the best candidates' scores with FPIR at most ``rate``; the next number above all
        of them where none has it.
        """
        if not 0 <= rate <= 1:
            raise InvalidArgument(f"a false positive identification rate lies between 0 and 1, got {rate}")
        self.fpir(0.0)  # refuses where there are no non-mated searches
        ordered = np.sort(self.top[self.top != FAILED])
        allowed = math.floor(rate * len(self.top) + 1e-9)
        if allowed >= len(ordered):
            return float(ordered[0]) if len(ordered) else math.inf
        refused = ordered[len(ordered) - 1 - allowed]
        above = ordered[ordered > refused]
        return float(above[0] if len(above) else np.nextafter(refused, refused.dtype.type(np.inf)))

    def hit_rate(self, rank: int = 1) -> float:
        """Rank-``rank`` identification rate of mated searches, at no threshold."""
        return 1 - self.fnir(rank)

    def cmc(self, most: int) -> Reals:
        """(most,) hit rates at rank 1, 2, …: the cumulative match characteristic."""
        return np.array([self.hit_rate(rank) for rank in range(1, most + 1)])


def _share(of: Truths, kind: str) -> float:
    if not of.size:
        raise InvalidArgument(f"there are no {kind} searches, so their rate is not defined", kind=kind)
    return float(of.mean())


def search(blocks: Iterable[Scores], probe_subject: Numbers, gallery_subject: Numbers) -> Searches:
    """All searches of (p,) probes in a gallery of (g,) samples.

    ``blocks`` are the rows of the (p, g) score matrix in order, some at a time, each (some, g); only one is held at
    once. Higher is more alike, −∞ is a failure. :class:`InvalidArgument` where the blocks do not add up to the
    matrix.
    """
    probe_subject, gallery_subject = np.asarray(probe_subject), np.asarray(gallery_subject)
    if probe_subject.ndim != 1 or gallery_subject.ndim != 1 or not gallery_subject.size:
        raise InvalidArgument("want the subject of each probe, and of each of one or more samples of the gallery")
    order = np.argsort(gallery_subject, kind="stable")
    subjects, starts = np.unique(gallery_subject[order], return_index=True)
    rank, best = np.zeros(len(probe_subject), np.int64), np.zeros(len(probe_subject))
    mated = np.isin(probe_subject, subjects)
    done = 0
    for block in blocks:
        part = slice(done, done + len(block))
        if block.ndim != 2 or block.shape[1] != len(order) or part.stop > len(rank) or np.isnan(block).any():
            raise InvalidArgument(
                f"blocks must be rows of a ({len(rank)}, {len(order)}) matrix without NaN; after {done} rows came "
                f"{block.shape}"
            )
        candidates = np.maximum.reduceat(block[:, order], starts, axis=1)
        rank[part], best[part] = _searched(candidates, subjects, probe_subject[part], mated[part])
        done = part.stop
    if done != len(rank):
        raise InvalidArgument(f"the blocks have {done} rows for {len(rank)} probes")
    return Searches(len(subjects), rank[mated], best[mated], probe_subject[mated], best[~mated], probe_subject[~mated])


def _searched(candidates: Scores, subjects: Numbers, probes: Numbers, mated: Truths) -> tuple[Numbers, Scores]:
    """(some,) rank of the mate (0 where there is none) and score of the mate, or of the best candidate."""
    best, rank = candidates.max(axis=1).astype(np.float64), np.zeros(len(candidates), np.int64)
    rows = np.flatnonzero(mated)
    mate = candidates[rows, np.searchsorted(subjects, probes[rows])]
    rank[rows] = np.where(mate == FAILED, len(subjects) + 1, (candidates[rows] >= mate[:, None]).sum(axis=1))
    best[rows] = mate
    return rank, best
