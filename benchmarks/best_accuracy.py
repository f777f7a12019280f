"""Accuracy at the best threshold of the very pairs, and differences of it, with what they are worth over people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import lfw
from xcos.evaluation.bootstrap import Draws
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Differences, Estimates
from xcos.types import Reals


@dataclass(frozen=True)
class Ranged:
    """A share, or a difference of two, and its 95 % interval."""

    value: float
    low: float
    high: float

    def points(self, *, sign: bool = False) -> str:
        """In per cent; a difference with its sign."""
        form = "+.2f" if sign else ".2f"
        value, low, high = (format(100 * each, form) for each in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]".replace("-", "−")

    def to_dict(self) -> dict[str, float]:
        return {"accuracy": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Pairs:
    """n pairs; mated or not, and the people of both sides, from 0."""

    mated: np.ndarray
    probe_subject: np.ndarray
    reference_subject: np.ndarray

    @staticmethod
    def of(pairs: list[lfw.LfwPair]) -> Pairs:
        sides = [[lfw.person(pair.probe) for pair in pairs], [lfw.person(pair.reference) for pair in pairs]]
        people = {name: at for at, name in enumerate(sorted({*sides[0], *sides[1]}))}
        probe, reference = (np.array([people[name] for name in side]) for side in sides)
        return Pairs(np.array([pair.mated for pair in pairs]), probe, reference)

    def scored(self, *scores: np.ndarray) -> Scored:
        """One or several lists of scores of these pairs, to be judged at one threshold."""
        lists = [ScoreSet(each, self.mated, self.probe_subject, self.reference_subject) for each in scores]
        if len(lists) == 1:
            return Scored(lists[0])
        columns = (self.mated, self.probe_subject, self.reference_subject)
        together = ScoreSet(np.concatenate(scores), *(np.tile(column, len(scores)) for column in columns))
        return Scored(together, max(Estimates(each).fitted_strength for each in lists))


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of pairs, whose people (probes' and references') are drawn anew for intervals."""

    scores: ScoreSet
    strength: float | None = None
    """Of the bootstrap; of several lists it is that of each, as a pair's scores in them are no pairs of their own."""

    @cached_property
    def estimates(self) -> Estimates:
        return Estimates(self.scores, strength=self.strength)

    @property
    def best(self) -> float:
        return lfw.best_accuracy(self.scores.scores, self.scores.mated)

    @property
    def accuracy(self) -> Ranged:
        """At the best threshold; the interval on the logit scale."""
        samples = self.estimates.samples
        least = 0.5 / len(self.scores)
        drawn = np.clip(self._drawn(samples), least, 1 - least)
        half = samples.half_width(np.log(drawn / (1 - drawn)))
        value = min(max(self.best, least), 1 - least)
        low, high = (1 / (1 + (1 - value) / value * math.exp(side * half)) for side in (1, -1))
        return Ranged(self.best, low, high)

    def ahead_of(self, other: Scored) -> Ranged:
        """How much more accurate than the other on the same pairs, each at its own best threshold."""
        both = Differences(self.estimates, other.estimates)
        drawn = self._drawn(both.one.samples) - self._drawn(both.other.samples)
        value, half = self.best - other.best, both.one.samples.half_width(drawn)
        return Ranged(value, value - half, value + half)

    def _drawn(self, samples: Draws) -> Reals:
        """(draws,) best accuracies, mated and other pairs weighing as much as in all pairs."""
        share = float(self.scores.mated.mean())
        accuracies = []
        for mated, others in zip(samples.mated.astype(np.float64), samples.others.astype(np.float64), strict=True):
            missed = np.append(0.0, np.cumsum(mated)) / mated.sum()
            matched = np.append(np.cumsum(others[::-1])[::-1], 0.0) / others.sum()
            accuracies.append(1 - float((share * missed + (1 - share) * matched).min()))
        return np.array(accuracies)
