"""Intervals of shares that are counted over comparisons of people, which are not independent of each other.

Formulas
--------
Subject i took part in N_i of N comparisons, with E_i errors; p is the share of errors in all, n the number of
subjects. A non-mated comparison stands in the counts of two subjects, a mated one in those of one.

*Variance* of a statistic over pairs of subjects (Fogliato, Patil, Perona, "Confidence Intervals for Error Rates in
1:1 Matching Tasks", arXiv 2306.01198), at least p(1−p)/N:

* :func:`jackknife_interval`: ``v = n/(n−1) · Σ (E_i − p N_i)² / N²``, which for one comparison per pair of subjects
  is their ``4/(n(n−1)) Σ (m_i − p)²``. A non-mated comparison is counted for each of its subjects, so independent
  ones count half.
* :func:`plug_in_interval`: the same less ``p(1−p)/N`` where comparisons have two subjects, so that each counts once,
  as in their plug-in estimator (others know it as dyadic cluster-robust: Aronow, Samii, Assenova, Political Analysis
  23, 2015). For mated comparisons it is the variance between clusters. Because it is estimated, Student's quantile
  takes the place of the normal one, with the degrees of freedom of the sum of squares (Satterthwaite 1946): few
  subjects with most of the errors are few degrees. Where several comparisons show the same two subjects it is too
  wide rather than too narrow.

*Interval*: Wilson's (1927) with p and the effective number of comparisons ``p(1−p)/v``.

*No error, or nothing else*: the rule of three (Hanley, Lippman-Hand, JAMA 249, 1983) on comparisons that share
nobody: 3 / (n/2) for pairs of subjects, 3 / n for single ones.

*Support*: a rate may be read off where the rule of 30 holds for the effective number of errors (Doddington: 30 errors
give ±30 % at 90 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Reals

Z95 = 1.959963984540054
LEAST_ERRORS = 30.0
Method = Literal["adjusted Wilson", "rule of three"]
STEPS = 20_001


@dataclass(frozen=True)
class Interval:
    """95 % interval of a share, and how many independent errors and comparisons it is worth."""

    low: float
    high: float
    effective_errors: float
    effective_trials: float
    method: Method


@dataclass(frozen=True, eq=False)
class Tally:
    """Errors and comparisons of each subject at one threshold."""

    wrong: NDArray[np.int64]
    """(subjects,) errors that each took part in."""
    comparisons: NDArray[np.int64]
    """(subjects,) comparisons that each took part in; 0 for a number that nobody has."""
    sides: Literal[1, 2]
    """Subjects of a comparison: 1 if mated, 2 if non-mated."""

    def __post_init__(self) -> None:
        if self.wrong.shape != self.comparisons.shape or self.wrong.ndim != 1:
            raise InvalidArgument(f"want (subjects,) counts twice, got {self.wrong.shape} and {self.comparisons.shape}")
        if not self.comparisons.any() or (self.wrong < 0).any() or (self.wrong > self.comparisons).any():
            raise InvalidArgument("there must be comparisons, and no more errors than comparisons of any subject")

    @cached_property
    def trials(self) -> int:
        """Comparisons in all."""
        return int(self.comparisons.sum()) // self.sides

    @cached_property
    def errors(self) -> int:
        """Errors in all."""
        return int(self.wrong.sum()) // self.sides

    @property
    def share(self) -> float:
        """Errors per comparison."""
        return self.errors / self.trials

    @cached_property
    def subjects(self) -> int:
        """How many took part."""
        return int((self.comparisons > 0).sum())

    @property
    def disjoint(self) -> float:
        """How many comparisons these subjects can form of which no two share a subject."""
        return self.subjects / self.sides

    @property
    def residuals(self) -> Reals:
        """(subjects,) errors above what the share lets expect of each; 0 for a number that nobody has."""
        return self.wrong - self.share * self.comparisons


@dataclass(frozen=True)
class Spread:
    """How far a mean over comparisons may lie from the truth."""

    variance: float
    quantile: float
    """Standard errors to each side of a 95 % interval."""


def jackknife_interval(tally: Tally) -> Interval:
    """The cautious one, which calibration cards are fitted with: independent non-mated comparisons count half."""
    if tally.errors in (0, tally.trials):
        return rule_of_three(tally.errors > 0, tally.disjoint)
    variance = _between(tally.residuals, tally.subjects) / tally.trials**2
    return _wilson_interval(tally, Spread(variance, Z95))


def plug_in_interval(tally: Tally) -> Interval:
    """The one that evaluation states: each comparison counts once."""
    if tally.errors in (0, tally.trials):
        return rule_of_three(tally.errors > 0, tally.disjoint)
    squares = tally.share * (1 - tally.share) * tally.trials
    sums = tally.residuals[tally.comparisons > 0]
    return _wilson_interval(tally, spread(sums, squares, squares * (tally.sides - 1), tally.trials, tally.disjoint))


def spread(sums: Reals, squares: float, twice: float, trials: int, disjoint: float) -> Spread:
    """How far the mean of ``trials`` residuals may be off.

    ``sums`` (subjects,) are the residuals of each subject's comparisons; ``squares`` is the sum of all squared
    residuals, ``twice`` that of the comparisons that stand in two of the sums; ``disjoint`` is how many comparisons
    the subjects can form of which no two share a subject.
    """
    if disjoint <= 1:  # nothing tells how much the comparisons of so few people vary: they count as one
        return Spread(squares / trials, Z95)
    between = _between(sums, len(sums)) - twice
    if between <= squares:
        return Spread(squares / trials**2, Z95)
    kurtosis = float((sums**4).mean() / (sums**2).mean() ** 2)
    freedom = len(sums) - 1 if kurtosis <= 1 else min(len(sums) - 1, 2 * len(sums) / (kurtosis - 1))
    return Spread(between / trials**2, student95(max(freedom, 1.0)))


def _between(sums: Reals, subjects: int) -> float:
    return subjects / (subjects - 1) * float((sums**2).sum())


def _wilson_interval(tally: Tally, spread: Spread) -> Interval:
    p = tally.share
    variance = max(spread.variance, p * (1 - p) / tally.trials)
    effective = p * (1 - p) / variance
    low, high = wilson(p, effective, spread.quantile)
    return Interval(low, high, effective * p, effective, "adjusted Wilson")


def rule_of_three(all_wrong: bool, disjoint: float) -> Interval:
    """Where none of the comparisons is an error, or each is; ``disjoint`` of them could share nobody."""
    room = min(1.0, 3 / disjoint)
    if all_wrong:
        return Interval(1 - room, 1.0, disjoint, disjoint, "rule of three")
    return Interval(0.0, room, 0.0, disjoint, "rule of three")


def wilson(p: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson interval of a share ``p`` of ``n`` (Wilson 1927); 95 % unless ``z`` is another quantile."""
    z2 = z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def student95(freedom: float) -> float:
    """Student's two-sided 95 % quantile at ``freedom`` ≥ 1 degrees, within 1e-4 of its value.

    With t = √ν tan u its density is proportional to cos^(ν−1) u; the integral is summed by trapezoids.
    """
    u = np.linspace(0, min(math.pi / 2, 12 / math.sqrt(freedom)), STEPS)
    density = np.cos(u) ** (freedom - 1)
    grown = np.append(0, np.cumsum(density[1:] + density[:-1]))
    return math.sqrt(freedom) * math.tan(float(np.interp(0.95 * grown[-1], grown, u)))
