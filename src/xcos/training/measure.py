"""All pairs of some people's photos: scores by several comparators, and how well each tells people apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.calibration import NonMatedScores
from xcos.comparators import LearnedHead, stack_encodings
from xcos.evaluation.bootstrap import BinnedScores
from xcos.training.features import Features
from xcos.types import Floats, Reals

BLOCK = 64
DRAWS = 200
LEAST_EXPECTED = 10
"""A false match rate is measured only where so many false matches would be seen."""


@dataclass(frozen=True)
class Figure:
    """A share and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """How well one comparator tells people apart, and how near it is to the network's own score."""

    comparator: str
    accuracy: Figure
    """Mean of both kinds' shares of right answers, at the best threshold of these very pairs."""
    eer: Figure
    """Where false match and false non-match rate are equal."""
    fnmr: dict[float, Figure]
    """False non-match rate by false match rate; rates that these pairs cannot show are left out."""
    spearman: float | None
    """Rank correlation with the network's own cosine, over the mated pairs and as many others; None where the network
    has no vector of its own."""


class Pairs:
    """All pairs of n photos, by rising index; ``labels`` (n,) says whose photos they are."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._upper = np.triu_indices(len(labels), 1)
        self.first, self.second = labels[self._upper[0]], labels[self._upper[1]]
        self.mated = self.first == self.second
        self.people = int(labels.max(initial=-1)) + 1

    def of(self, square: Floats) -> Floats:
        """``(pairs,)`` scores out of ``(n, n)``."""
        return square[self._upper]

    def mated_scores(self, square: Floats) -> Reals:
        """``(mated,)``, as a calibration takes them."""
        scores: Reals = self.of(square)[self.mated].astype(np.float64)
        return scores

    def non_mated_scores(self, square: Floats) -> NonMatedScores:
        """The others, as a calibration takes them."""
        other = ~self.mated
        return NonMatedScores(self.of(square)[other].astype(np.float64), self.first[other], self.second[other])


def vector_square(features: Features) -> Floats:
    """``(n, n)`` cosines of the network's own vectors."""
    unit = features.vectors / np.linalg.norm(features.vectors, axis=1, keepdims=True)
    cosines: Floats = unit @ unit.T
    return cosines


def plain_squares(features: Features) -> dict[str, Floats]:
    """``(n, n)`` scores of the raw grids with ``uniform`` and ``norm`` weighting (:mod:`xcos.compare`)."""
    n, rows, cols, _ = features.grids.shape
    local, whole = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for row in range(rows):  # a row of cells at a time, so that the grids need not fit into memory
        cells = features.grids.row_of_cells(row)
        whole += np.tensordot(cells, cells, axes=((1, 2), (1, 2)))
        unit = cells / np.maximum(np.linalg.norm(cells, axis=2, keepdims=True), 1e-30)
        local += np.tensordot(unit, unit, axes=((1, 2), (1, 2)))
    lengths = np.sqrt(np.diagonal(whole))
    return {"uniform": local / (rows * cols), "norm": whole / (lengths[:, None] * lengths)}


def learned_square(features: Features, head: LearnedHead) -> Floats:
    """``(n, n)`` scores of a learned head."""
    starts = range(0, len(features), BLOCK)
    order = np.arange(len(features))
    faces = stack_encodings([head.encode(features.grids[order[start : start + BLOCK]]) for start in starts])
    return head.score_all(faces, faces)


def measure(
    comparator: str, scores: Floats, own: Floats | None, pairs: Pairs, rates: Sequence[float], seed: int = 0
) -> Measured:
    """Figures of ``scores`` (pairs,), where ``own`` are the scores of the network's own vectors, if it has any.

    Intervals are percentiles of a bootstrap over people: each draw gives every person a weight, a mated pair counts by
    its person's, another pair by the product of both. Draws depend on ``seed`` alone, so that comparators share them.
    """
    random = np.random.default_rng(seed)
    first, second, other = pairs.first, pairs.second, ~pairs.mated
    bins = BinnedScores.of(scores[pairs.mated], scores[other], first[pairs.mated], first[other], second[other])
    exact = _rates(*bins.counts(np.ones(pairs.people), np.ones(pairs.people)), rates)
    draws = []
    for _ in range(DRAWS):
        weights = random.multinomial(pairs.people, np.full(pairs.people, 1 / pairs.people)).astype(np.float64)
        mated, others = bins.counts(weights, weights)
        if mated.sum() and others.sum():
            draws.append(_rates(mated, others, rates))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    figures = [Figure(float(v), float(a), float(b)) for v, a, b in zip(exact, low, high, strict=True)]
    shown = [rate for rate in rates if rate * (~pairs.mated).sum() >= LEAST_EXPECTED]
    return Measured(
        comparator=comparator,
        accuracy=figures[0],
        eer=figures[1],
        fnmr={rate: figure for rate, figure in zip(rates, figures[2:], strict=True) if rate in shown},
        spearman=None if own is None else _spearman(scores, own, pairs.mated, random),
    )


def _rates(mated: Reals, others: Reals, rates: Sequence[float]) -> list[float]:
    """Accuracy, equal error rate and the FNMR at each rate, for thresholds at the lower edges of the bins."""
    fnmr = np.append(0.0, np.cumsum(mated)) / mated.sum()
    fmr = 1 - np.append(0.0, np.cumsum(others)) / others.sum()
    even = int(np.argmin(np.maximum(fmr, fnmr)))
    # 1 − a sum is not exact: what is asked for must count as reached
    found = [float(fnmr[int(np.argmax(fmr <= rate + 1e-12))]) for rate in rates]
    return [float(1 - (fmr + fnmr).min() / 2), float(fmr[even] + fnmr[even]) / 2, *found]


def _spearman(scores: Floats, own: Floats, mated: NDArray[np.bool_], random: np.random.Generator) -> float:
    others = np.flatnonzero(~mated)
    mates = np.flatnonzero(mated)
    kept = np.concatenate([mates, random.choice(others, min(len(mates), len(others)), replace=False)])
    return float(np.corrcoef(_ranks(scores[kept]), _ranks(own[kept]))[0, 1])


def _ranks(values: Floats) -> Reals:
    """Ranks from 0; equal values share their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Reals = (ends - (counts + 1) / 2)[place]
    return ranks
