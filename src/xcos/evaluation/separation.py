"""How far mated and non-mated scores lie apart: the decidability index, and what a change of it is worth.

``d′ = (mean mated − mean non-mated) / √((variance mated + variance non-mated) / 2)`` (Daugman, Williams 1996; Daugman,
"Biometric decision landscapes", 2000). Every score counts for it, not only the few on the wrong side of a threshold:
where a good network errs on one pair in a hundred, three hundred pairs cannot tell its error rates from those with
red and blue exchanged, but its d′ they can.

The interval of a difference is that of :class:`xcos.evaluation.uncertainty.Differences`: people are drawn anew with
replacement, the same for all columns of scores, and a pair of two people counts by both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xcos.errors import InvalidArgument
from xcos.evaluation.bootstrap import fitting_strength, half_width
from xcos.evaluation.protocol import Numbers, Truths
from xcos.evaluation.uncertainty import LEAST_PEOPLE, Estimate
from xcos.types import Floats, Reals, freeze

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Separations:
    """d′ of several columns of scores of the same pairs."""

    scores: Reals
    """(n, k) finite scores, higher is more alike."""
    mated: Truths
    """(n,)."""
    first: Numbers
    """(n,) person of one side, from 0; of both in a mated pair."""
    second: Numbers
    seed: int = 0
    draws: int = DRAWS

    def __post_init__(self) -> None:
        count = (len(self.scores),)
        if self.scores.ndim != 2 or not self.mated.shape == self.first.shape == self.second.shape == count:
            raise InvalidArgument(f"want (n, k) scores and three columns of n, got {self.scores.shape}")
        if not np.isfinite(self.scores).all():
            raise InvalidArgument("scores must be finite to have a mean")
        people = [len(np.unique([self.first[kind], self.second[kind]])) for kind in (self.mated, ~self.mated)]
        if min(people) < LEAST_PEOPLE:
            raise InvalidArgument(
                f"{people[0]} people in mated and {people[1]} in non-mated pairs; {LEAST_PEOPLE} of each are needed to "
                "say how much people differ"
            )
        freeze(self, scores=np.asarray(self.scores, np.float64))

    @cached_property
    def values(self) -> Reals:
        """(k,) d′ of each column; 0 where all scores are equal."""
        mated, other = self.scores[self.mated], self.scores[~self.mated]
        return _distance(mated.mean(axis=0), other.mean(axis=0), mated.var(axis=0), other.var(axis=0))

    def gain(self, column: int, over: int) -> Estimate:
        """By how much d′ of one column exceeds that of another, with its 95 % interval."""
        value = float(self.values[column] - self.values[over])
        drawn = self._drawn.figures[:, column] - self._drawn.figures[:, over]
        half = half_width(drawn, self._drawn.weights, self._drawn.weights.shape[1])
        method = f"paired subject bootstrap, {self.draws:,} draws"
        return Estimate(value, value - half, value + half, len(self.scores), method)

    @cached_property
    def _drawn(self) -> _Drawn:
        people, places = np.unique([self.first, self.second], return_inverse=True)
        first, second = places.reshape(2, -1)
        strength = self._strength(first, second, len(people))
        owner, one, two = first[self.mated], first[~self.mated], second[~self.mated]
        # about the mean, so that squares lose no digits
        centered = self.scores - self.scores.mean(axis=0)
        powers = np.hstack([centered, centered**2])
        mated, other = powers[self.mated], powers[~self.mated]
        random = np.random.default_rng(self.seed)
        figures, drawn = [], []
        for _ in range(self.draws):
            weights = random.multinomial(len(people), np.full(len(people), 1 / len(people))).astype(np.float64)
            shared = 1 + strength * (weights - 1)
            of_mated, of_other = weights[owner], shared[one] * shared[two]
            if of_mated.any() and of_other.any():  # else nobody of a kind was drawn: such a sample has no d′
                (mean, variance), (other_mean, other_variance) = _moments(mated, of_mated), _moments(other, of_other)
                figures.append(_distance(mean, other_mean, variance, other_variance))
                drawn.append(weights)
        return _Drawn(np.array(figures), np.array(drawn, np.float32))

    def _strength(self, first: Numbers, second: Numbers, people: int) -> float:
        """As in :func:`xcos.evaluation.bootstrap.fitting_strength`, of the mean of the non-mated scores."""
        found = []
        other = ~self.mated
        for column in self.scores[other].T:
            residuals = column - column.mean()
            sums = np.bincount(first[other], residuals, people) + np.bincount(second[other], residuals, people)
            present = np.bincount(first[other], minlength=people) + np.bincount(second[other], minlength=people) > 0
            own, count = float((residuals**2).sum()), int(present.sum())
            if own > 0:
                found.append(fitting_strength(count / (count - 1) * float((sums**2).sum()), own))
        return max(found, default=1.0)


class _Drawn(NamedTuple):
    """Of people drawn anew."""

    figures: Reals
    """(draws, k) d′."""
    weights: Floats
    """(draws, people) how often each person was drawn."""


def _moments(powers: Reals, weights: Reals) -> tuple[Reals, Reals]:
    """(k,) weighted means and variances of scores, of which (n, 2k) first and second powers are given."""
    mean, square = np.split(weights @ powers / weights.sum(), 2)
    return mean, square - mean**2


def _distance(mated: Reals, other: Reals, mated_variance: Reals, other_variance: Reals) -> Reals:
    spread = np.sqrt(np.maximum(mated_variance + other_variance, 0) / 2)
    apart: Reals = np.divide(mated - other, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    return apart
