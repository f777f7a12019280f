"""Accuracy over folds: as the field measures it, and without what flatters it.

*The field's procedure* (LFW and the sets made after it; InsightFace, AdaFace, the authors of xCos): for each fold the
threshold is the first of a list that answers most pairs of all other folds rightly, a pair being called mated if its
score is *above* the threshold; the accuracy is measured on the fold, and the mean and the standard deviation over the
folds (population, not sample) are published. :func:`fold_accuracy` is that.

*Its bias*: people of the fold may stand in the other folds too, so the threshold is chosen on people it is judged on;
and of the thresholds that are equally good the lowest is taken, which lies at the edge.
:func:`disjoint_fold_accuracy` chooses from pairs that share no person with the fold, and takes the middle of the
best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.scores import ScoreSet
from xcos.types import Reals, freeze

COSINE_THRESHOLDS: Reals = np.arange(-1.0, 1.0, 0.005)
"""The 400 thresholds of the authors of xCos."""
COSINE_THRESHOLDS.setflags(write=False)

Truths = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FoldAccuracy:
    """Accuracy of each fold at the threshold that the others chose."""

    accuracies: Reals
    """(folds,) share of right answers."""
    thresholds: Reals
    """(folds,) a pair is called mated if its score is above."""
    left_out: Counts
    """(folds,) pairs of other folds that had no part in the choice, because a person of theirs is in the fold."""
    right: Truths
    """(n,) whether each pair was answered rightly."""

    def __post_init__(self) -> None:
        freeze(
            self,
            accuracies=self.accuracies,
            thresholds=self.thresholds,
            left_out=self.left_out,
            right=self.right,
        )

    @property
    def mean(self) -> float:
        """Mean over the folds, the published figure."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Standard deviation over the folds, divided by their number as published; not an uncertainty of the mean."""
        return float(self.accuracies.std())


def contiguous_folds(count: int, folds: int = 10) -> Counts:
    """(count,) fold of each of ``count`` pairs in file order, the first folds one longer where it does not divide."""
    if not 2 <= folds <= count:
        raise InvalidArgument(f"{count} pairs cannot be divided into {folds} folds; at least 2, at most one per pair")
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return np.repeat(np.arange(folds), sizes)


def fold_accuracy(scores: ScoreSet, fold: Counts, *, thresholds: Reals = COSINE_THRESHOLDS) -> FoldAccuracy:
    """The field's procedure over rising ``thresholds``; ``fold`` is (n,), from 0.

    :class:`InvalidArgument` where scores lie beyond all thresholds: then they were made for others.
    """
    fold = _checked(scores, fold)
    made = scores.scores[np.isfinite(scores.scores)]
    if made.size and (made.min() < thresholds[0] - 0.01 or made.max() > thresholds[-1] + 0.01):
        raise InvalidArgument(
            f"scores of {made.min():g} to {made.max():g} do not fit thresholds of {thresholds[0]:g} to "
            f"{thresholds[-1]:g}; give thresholds of their scale, or try all midpoints"
        )
    right = np.stack([_right(scores, fold == number, thresholds) for number in range(fold.max() + 1)])
    chosen = [int(np.argmax(right.sum(axis=0) - own)) for own in right]
    return _measured(scores, fold, thresholds[chosen], np.zeros(len(right), np.int64))


def fold_accuracy_at_midpoints(scores: ScoreSet, fold: Counts) -> FoldAccuracy:
    """The field's procedure over all midpoints between neighbouring scores of the other folds."""
    fold = _checked(scores, fold)
    chosen = []
    for number in range(fold.max() + 1):
        others = fold != number
        thresholds = midpoints(scores.scores[others])
        chosen.append(float(thresholds[np.argmax(_right(scores, others, thresholds))]))
    return _measured(scores, fold, np.array(chosen), np.zeros(len(chosen), np.int64))


def disjoint_fold_accuracy(scores: ScoreSet, fold: Counts) -> FoldAccuracy:
    """Accuracy whose thresholds were chosen without any person of the fold that they are used on.

    Pairs of other folds that show a person of the fold are left out and counted. Mated and non-mated pairs weigh in
    the choice as in the whole set, since more of one kind may be left out. :class:`InvalidArgument` where no pairs of
    a kind are left.
    """
    fold = _checked(scores, fold)
    chosen, left_out = [], []
    for number in range(fold.max() + 1):
        others = fold != number
        strangers = others & ~_sharing(scores, fold == number)
        chosen.append(_middle_of_best(scores, strangers, number))
        left_out.append(int(others.sum() - strangers.sum()))
    return _measured(scores, fold, np.array(chosen), np.array(left_out))


def midpoints(scores: NDArray[np.floating]) -> Reals:
    """Rising thresholds that divide ``scores`` by ``score > threshold`` in every way; failures are never above."""
    values = np.unique(scores).astype(np.float64)
    with np.errstate(invalid="ignore"):  # there is no middle of −∞ and +∞
        between = values[:-1] / 2 + values[1:] / 2
    # beside +∞, and between neighbouring numbers, it may be the upper one; the lower one divides as well
    between = np.where(between < values[1:], between, values[:-1])
    with np.errstate(over="ignore"):  # −∞ precedes the least number
        below = [] if values[0] == -np.inf else [np.nextafter(values[0], -np.inf)]
    return np.concatenate([below, between, values[-1:]])


def _checked(scores: ScoreSet, fold: Counts) -> Counts:
    fold = np.asarray(fold)
    if fold.shape != (len(scores),) or not np.issubdtype(fold.dtype, np.integer):
        raise InvalidArgument(f"fold must be one whole number for each of {len(scores)} pairs, got {fold.shape}")
    numbers = np.unique(fold)
    if len(numbers) < 2 or not np.array_equal(numbers, np.arange(len(numbers))):
        raise InvalidArgument(f"folds must be numbered from 0 without gaps, and be two or more; got {numbers.tolist()}")
    if scores.mated.all() or not scores.mated.any():
        raise InvalidArgument("accuracy needs mated and non-mated pairs; there are only those of one kind")
    return fold.astype(np.int64)


def _right(scores: ScoreSet, chosen: Truths, thresholds: Reals) -> Counts:
    """(thresholds,) how many of the chosen pairs each threshold answers rightly."""
    mated, other = _above(scores, chosen, thresholds)
    return mated - other + int((~scores.mated[chosen]).sum())


def _above(scores: ScoreSet, chosen: Truths, thresholds: Reals) -> tuple[Counts, Counts]:
    """(thresholds,) how many of the chosen mated and non-mated scores are above each threshold."""
    counts = []
    for kind in (scores.mated, ~scores.mated):
        ordered = np.sort(scores.scores[chosen & kind]).astype(np.float64)
        counts.append(len(ordered) - np.searchsorted(ordered, thresholds, side="right"))
    return counts[0], counts[1]


def _sharing(scores: ScoreSet, own: Truths) -> Truths:
    """(n,): pairs of which a person takes part in the pairs ``own``."""
    people = np.union1d(scores.probe_subject[own], scores.reference_subject[own])
    sharing: Truths = np.isin(scores.probe_subject, people) | np.isin(scores.reference_subject, people)
    return sharing


def _middle_of_best(scores: ScoreSet, chosen: Truths, number: int) -> float:
    mated, other = (int((chosen & kind).sum()) for kind in (scores.mated, ~scores.mated))
    if not (mated and other):
        raise InvalidArgument(
            f"{mated} mated and {other} non-mated pairs share nobody with fold {number}, so its threshold cannot be "
            "chosen without its people; divide people, not pairs, into folds",
            fold=number,
        )
    thresholds = midpoints(scores.scores[chosen])
    above_mated, above_other = _above(scores, chosen, thresholds)
    # shares of both kinds in the whole set, as whole numbers so that equals are equal
    right = above_mated * other * int(scores.mated.sum()) - above_other * mated * int((~scores.mated).sum())
    best = np.flatnonzero(right == right.max())
    return float(thresholds[best[len(best) // 2]])


def _measured(scores: ScoreSet, fold: Counts, thresholds: Reals, left_out: Counts) -> FoldAccuracy:
    right = (scores.scores > thresholds[fold]) == scores.mated
    accuracies = np.bincount(fold, right) / np.bincount(fold)
    return FoldAccuracy(accuracies, thresholds, left_out, right)
