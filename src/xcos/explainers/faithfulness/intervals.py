"""Means over pairs with intervals over people, small enough for the bench's own needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.types import Reals


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN throughout where it applies to no pair."""

    value: float
    low: float
    high: float
    pairs: int
    """Over so many pairs (or triplets)."""

    def to_dict(self) -> dict[str, float | int | None]:
        """As plain JSON values; null for NaN."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {**{name: end if np.isfinite(end) else None for name, end in ends.items()}, "pairs": self.pairs}

    def above(self, other: Estimate) -> bool:
        """Whether the whole interval lies above the other's: they do not touch."""
        return self.low > other.high


def drawn_people(one: Sequence[str], other: Sequence[str], *, draws: int, seed: int) -> Reals:
    """``(draws, n)`` how often each of n pairs counts when people are drawn with replacement (subject bootstrap).

    Draw ``w ~ Multinomial(people)``; a pair of two people counts ``w_i · w_j`` times, one of a single person ``w_i``.
    """
    names = sorted({*one, *other})
    number = {name: at for at, name in enumerate(names)}
    first, second = (np.array([number[name] for name in side]) for side in (one, other))
    random = np.random.default_rng(seed)
    times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.where(first == second, times[:, first], times[:, first] * times[:, second]).astype(np.float64)


def estimate(figure: Callable[[Reals], float], weights: Reals, pairs: int) -> Estimate:
    """A figure of weighted pairs, and the 2.5 and 97.5 % quantiles of it over the draws for which it exists."""
    drawn = np.array([figure(weight) for weight in weights])
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Estimate(figure(np.ones(weights.shape[1])), float(low), float(high), pairs)


def mean_estimate(values: Reals, mated: NDArray[np.bool_], weights: Reals) -> Estimate:
    """Mean of the ``(n,)`` values that are not NaN, with its interval.

    In every draw mated and non-mated pairs keep their shares of the whole, as the list fixes them: otherwise the
    mixture would vary with the draw, and the interval would be mostly that.
    """
    counted = np.isfinite(values)
    if not counted.any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    drawn = np.zeros(len(weights))
    for kind in (counted & mated, counted & ~mated):
        if kind.any():
            sums, totals = weights[:, kind] @ values[kind], weights[:, kind].sum(axis=1)
            means = np.divide(sums, totals, out=np.full(len(totals), np.nan), where=totals > 0)
            drawn += kind.sum() / counted.sum() * means
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(values[counted].mean()), float(low), float(high), int(counted.sum()))
