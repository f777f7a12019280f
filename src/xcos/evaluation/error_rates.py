"""Error rates of a matcher, as numbers only; their uncertainty is in :mod:`xcos.evaluation.uncertainty`.

A comparison is a *match* if its score is at or above the threshold. FMR is the share of non-mated comparisons that
match, FNMR the share of mated ones that do not (ISO/IEC 19795-1).

*Failures.* A pair of which a sample could not be made has the score −∞. It never matches, not even at the threshold
−∞, and stays in the denominators: FNMR counts it as an error and FMR as none, as NIST does. The other view keeps
failures apart: FMR and FNMR of the comparisons that were made (:attr:`ErrorRates.compared`), and FTA and FTE as rates
of their own, from which FAR, FRR and their generalised forms follow. Both at once would count a failure twice, so
:meth:`ErrorRates.transactions` itself takes the rates of the comparisons that were made.

Scores are sorted once and keep their precision; what follows is searching and counting in whole numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.types import Reals, freeze

Scores = NDArray[np.floating]
Counts = NDArray[np.int64]
Truths = NDArray[np.bool_]
BLOCK = 1 << 20


@dataclass(frozen=True)
class OperatingPoint:
    """What happens at one threshold."""

    threshold: float
    """+∞ where nothing may match. NaN where nothing may match and some scores are +∞: no threshold does that."""
    false_matches: int
    false_non_matches: int
    fmr: float
    fnmr: float


@dataclass(frozen=True)
class EqualErrorRate:
    """Where FMR and FNMR are equal."""

    rate: float
    threshold: float
    """The nearer of the two neighbouring thresholds."""


@dataclass(frozen=True)
class BestAccuracy:
    """Optimistic: the threshold was chosen on the very pairs that it is measured on."""

    accuracy: float
    threshold: float


@dataclass(frozen=True)
class TransactionRates:
    """Rates of a whole system of one attempt (ISO/IEC 19795-1), failures counted once."""

    fmr: float
    """Of the comparisons that were made."""
    fnmr: float
    """Of the comparisons that were made."""
    fta: float
    fte: float

    @property
    def far(self) -> float:
        """False accept rate, FMR (1 − FTA)."""
        return self.fmr * (1 - self.fta)

    @property
    def frr(self) -> float:
        """False reject rate, FTA + FNMR (1 − FTA)."""
        return self.fta + self.fnmr * (1 - self.fta)

    @property
    def gfar(self) -> float:
        """Generalised false accept rate, (1 − FTE) FAR."""
        return (1 - self.fte) * self.far

    @property
    def gfrr(self) -> float:
        """Generalised false reject rate, FTE + (1 − FTE) FRR."""
        return self.fte + (1 - self.fte) * self.frr


@dataclass(frozen=True, eq=False)
class Curve:
    """DET and ROC: the points at which they bend, by rising threshold; straight between."""

    thresholds: Scores
    """(k,) the scores themselves; the last one is that of :class:`OperatingPoint` where nothing matches."""
    false_matches: Counts
    """(k,) falling."""
    false_non_matches: Counts
    """(k,) rising."""
    mated: int
    """Comparisons of each kind."""
    non_mated: int

    def __post_init__(self) -> None:
        freeze(
            self,
            thresholds=self.thresholds,
            false_matches=self.false_matches,
            false_non_matches=self.false_non_matches,
        )

    def __len__(self) -> int:
        return len(self.thresholds)

    @property
    def fmr(self) -> Reals:
        """(k,) false match rates; the ROC's horizontal axis."""
        return self.false_matches / self.non_mated

    @property
    def fnmr(self) -> Reals:
        """(k,) false non-match rates; the ROC's vertical axis is 1 − FNMR."""
        return self.false_non_matches / self.mated

    def thinned(self, cells: int = 500, *, logarithmic: bool = True) -> Curve:
        """At most 4 · ``cells`` + 2 points that look the same in a plot of ``cells`` × ``cells``.

        Of neighbours that fall into one cell the first and the last stay, so both ends stay and every bend that can
        be seen. Logarithmic axes, as DET curves have them, end at half an error.
        """
        if cells < 1:
            raise InvalidArgument(f"a plot needs at least one cell, got {cells}")
        across, up = (
            _cells(counts, total, cells, logarithmic)
            for counts, total in ((self.false_matches, self.non_mated), (self.false_non_matches, self.mated))
        )
        changes = (np.diff(across) != 0) | (np.diff(up) != 0)
        kept = np.append(True, changes) | np.append(changes, True)
        return self._at(np.flatnonzero(kept))

    def _at(self, places: NDArray[np.intp]) -> Curve:
        return Curve(
            self.thresholds[places],
            self.false_matches[places],
            self.false_non_matches[places],
            self.mated,
            self.non_mated,
        )


def _cells(counts: Counts, total: int, cells: int, logarithmic: bool) -> Counts:
    shares = counts / total
    if logarithmic:
        least = 0.5 / total
        shares = 1 - np.log(np.maximum(shares, least)) / math.log(least)
    return np.minimum((shares * cells).astype(np.int64), cells - 1)


@dataclass(frozen=True, eq=False)
class ErrorRates:
    """Rates of mated and non-mated scores at any threshold; made once, by sorting them.

    Scores may be given in any order; higher is more alike, −∞ is a failure. float32 stays float32.
    :class:`InvalidArgument` where there are none of one kind or some are NaN.
    """

    mated: Scores
    """(m,) rising."""
    non_mated: Scores
    """(n,) rising."""

    def __post_init__(self) -> None:
        given = {"mated": np.asarray(self.mated), "non_mated": np.asarray(self.non_mated)}
        precision = np.result_type(*given.values(), np.float32)
        for name, scores in given.items():
            kind = name.replace("_", "-")
            if scores.ndim != 1 or not scores.size:
                raise InvalidArgument(
                    f"error rates need mated and non-mated scores, (n,) each; the {kind} ones are {scores.shape}",
                    kind=kind,
                )
            ordered = np.sort(scores.astype(precision, copy=False))
            ordered += 0  # −0 becomes 0: they are equal, and which comes first would depend on the order given
            if np.isnan(ordered[-1]):
                raise InvalidArgument(f"some {kind} scores are NaN; give −inf for pairs that could not be compared")
            freeze(self, **{name: ordered})

    @staticmethod
    def of(scores: ScoreSet) -> ErrorRates:
        """Rates of all pairs of a set."""
        return ErrorRates(scores.scores[scores.mated], scores.scores[~scores.mated])

    # Failures

    @cached_property
    def failed_mated(self) -> int:
        """Mated pairs that could not be compared."""
        return int(np.searchsorted(self.mated, self.mated.dtype.type(FAILED), side="right"))

    @cached_property
    def failed_non_mated(self) -> int:
        """Non-mated pairs that could not be compared."""
        return int(np.searchsorted(self.non_mated, self.non_mated.dtype.type(FAILED), side="right"))

    @property
    def compared(self) -> ErrorRates:
        """The rates of the comparisons that were made, failures left out."""
        return ErrorRates(self.mated[self.failed_mated :], self.non_mated[self.failed_non_mated :])

    def transactions(self, threshold: float, *, fta: float, fte: float = 0.0) -> TransactionRates:
        """Rates of a whole system at ``threshold``, where samples fail to be acquired (``fta``) or enrolled (``fte``).

        Pairs that failed here are left out first, because ``fta`` and ``fte`` count them.
        """
        for name, share in (("fta", fta), ("fte", fte)):
            if not 0 <= share <= 1:
                raise InvalidArgument(f"{name} is a share of samples, 0 to 1, got {share}")
        made = self.compared.at(threshold)
        return TransactionRates(made.fmr, made.fnmr, fta, fte)

    # One threshold

    def at(self, threshold: float) -> OperatingPoint:
        """What happens at ``threshold``."""
        false = len(self.non_mated) - _not_matched(self.non_mated, threshold, self.failed_non_mated)
        missed = _not_matched(self.mated, threshold, self.failed_mated)
        return OperatingPoint(threshold, false, missed, false / len(self.non_mated), missed / len(self.mated))

    def fmr(self, threshold: float) -> float:
        """False match rate at ``threshold``."""
        return self.at(threshold).fmr

    def fnmr(self, threshold: float) -> float:
        """False non-match rate at ``threshold``, failures among its errors."""
        return self.at(threshold).fnmr

    def at_fmr(self, rate: float) -> OperatingPoint:
        """The lowest threshold whose FMR is at most ``rate``, and what happens there.

        It is the lowest score of either kind above all non-mated ones that must not match; with nothing above them,
        the next number.
        """
        if not 0 <= rate <= 1:
            raise InvalidArgument(f"a false match rate lies between 0 and 1, got {rate}")
        allowed = math.floor(rate * len(self.non_mated) + 1e-9)  # 0.29 · 100 is a little less than 29
        if allowed >= len(self.non_mated) - self.failed_non_mated:
            return self.at(self._lowest)
        refused = self.non_mated[len(self.non_mated) - 1 - allowed]
        above = [
            scores[place]
            for scores in (self.mated, self.non_mated)
            if (place := np.searchsorted(scores, refused, side="right")) < len(scores)
        ]
        return self.at(float(min(above, default=_next(refused))))

    @cached_property
    def _lowest(self) -> float:
        """The lowest score that is not a failure; +∞ if all are."""
        made = (self.mated[self.failed_mated :], self.non_mated[self.failed_non_mated :])
        return min((float(scores[0]) for scores in made if len(scores)), default=math.inf)

    # All thresholds

    @cached_property
    def curve(self) -> Curve:
        """All points at which DET and ROC bend, from all that can match to nothing.

        Mated and non-mated scores that are equal make one straight step.
        """
        rarer = min(self.mated, self.non_mated, key=len)
        values = rarer[np.append(True, rarer[1:] != rarer[:-1])]
        values = values[values != FAILED]
        pieces = [self._around(values[start : start + BLOCK]) for start in range(0, len(values), BLOCK)]
        return _bends(_joined([self._end(self.at(self._lowest)), *pieces, self._end(self._never)]))

    @property
    def _never(self) -> OperatingPoint:
        """Where nothing matches."""
        threshold = math.nan if math.inf in (self.mated[-1], self.non_mated[-1]) else math.inf
        return OperatingPoint(threshold, 0, len(self.mated), 0.0, 1.0)

    def _end(self, point: OperatingPoint) -> Curve:
        return Curve(
            np.array([point.threshold], self.mated.dtype),
            np.array([point.false_matches]),
            np.array([point.false_non_matches]),
            len(self.mated),
            len(self.non_mated),
        )

    def _around(self, values: Scores) -> Curve:
        """The points at and just above each of the rising ``values`` of the rarer kind.

        All bends are among them: between two scores of one kind only the other kind's count changes, in a straight
        line.
        """
        below, above = [], np.full(len(values), np.nan, values.dtype)
        for scores in (self.mated, self.non_mated):
            until = np.searchsorted(scores, values, side="right")
            below.append(np.stack([np.searchsorted(scores, values, side="left"), until], axis=1).ravel())
            following = until < len(scores)
            above[following] = np.fmin(above[following], scores[until[following]])
        if np.isnan(above[-1]) and values[-1] < np.inf:  # nothing lies above the last: there nothing matches
            above[-1] = np.inf
        thresholds = np.stack([values, above], axis=1).ravel()
        return _bends(Curve(thresholds, len(self.non_mated) - below[1], below[0], len(self.mated), len(self.non_mated)))

    @cached_property
    def eer(self) -> EqualErrorRate:
        """Equal error rate: where the straight line between two neighbouring thresholds' rates meets FMR = FNMR.

        No convex hull is taken. Equal scores of both kinds make one step, which the line crosses as if chance ordered
        them. Where failures alone are more than every false match, the rates never meet, and the rate is FNMR at the
        lowest threshold: the least that the larger of both can be.
        """
        after = self._first_where_misses_prevail()
        lower = [
            float(scores[place - 1])
            for scores, failed in ((self.mated, self.failed_mated), (self.non_mated, self.failed_non_mated))
            if (place := _not_matched(scores, after.threshold, failed)) > failed
        ]
        if not lower:  # already at the lowest threshold
            return EqualErrorRate(after.fnmr, after.threshold)
        before = self.at(max(lower))
        gap_before, gap_after = self._gap(before), self._gap(after)
        share = gap_before / (gap_before - gap_after)
        rate = before.fmr + share * (after.fmr - before.fmr)
        return EqualErrorRate(rate, (after if share > 0.5 else before).threshold)

    def _gap(self, point: OperatingPoint) -> int:
        """FMR − FNMR, times both totals: a whole number that falls with the threshold."""
        return point.false_matches * len(self.mated) - point.false_non_matches * len(self.non_mated)

    def _first_where_misses_prevail(self) -> OperatingPoint:
        """The lowest threshold at which FNMR is at least FMR."""

        def prevail(score: float) -> bool:
            return self._gap(self.at(score)) <= 0

        found = [self._never]
        for scores, failed in ((self.mated, self.failed_mated), (self.non_mated, self.failed_non_mated)):
            first = bisect_left(scores, True, lo=failed, key=prevail)
            found += [self.at(float(scores[first]))] if first < len(scores) else []
        return max(found, key=self._gap)

    @cached_property
    def auc(self) -> float:
        """Area under the ROC: how often a mated score is above a non-mated one, ties counting half (Mann–Whitney).

        A failure is the lowest score here, equal to other failures.
        """
        total = len(self.mated) * len(self.non_mated)
        if len(self.mated) <= len(self.non_mated):
            return _places(self.non_mated, self.mated) / (2 * total)
        return (2 * total - _places(self.mated, self.non_mated)) / (2 * total)

    @cached_property
    def best_accuracy(self) -> BestAccuracy:
        """Share of right answers at the best threshold of these very pairs; see :class:`BestAccuracy`."""
        curve = self.curve
        wrong = curve.false_matches + curve.false_non_matches
        best = int(np.argmin(wrong))
        total = curve.mated + curve.non_mated
        return BestAccuracy(float((total - wrong[best]) / total), float(curve.thresholds[best]))

    # Log-likelihood ratios

    @cached_property
    def cllr(self) -> float:
        """Cost in bits of scores that are log-likelihood ratios (natural logarithm); knowing nothing costs 1.

        ``½ (mean log2(1 + e^−s) of mated + mean log2(1 + e^s) of non-mated)``, Brümmer and du Preez 2006. A ratio of
        −∞ for a mated pair, or +∞ for a non-mated one, was certain and wrong: the cost is +∞. A calibration's ratios
        are limited.
        """
        return _half_cost(-self.mated) + _half_cost(self.non_mated)

    @cached_property
    def min_cllr(self) -> float:
        """The least CLLR that a rising function of these scores can reach, 0…1: how well they discriminate.

        The function is found by pooling adjacent violators, which are the faces of the ROC's convex hull. Only the
        order of the scores counts, so infinite ones are the lowest and highest; failures are one tie.
        """
        false = np.append(self.curve.false_matches[::-1], len(self.non_mated))
        missed = np.append(self.curve.false_non_matches[::-1], 0)
        false, missed = _lower_hull(false, missed)
        other, mated = np.diff(false) / len(self.non_mated), -np.diff(missed) / len(self.mated)
        both = (mated > 0) & (other > 0)  # a pool of one kind alone costs nothing
        m, o = mated[both], other[both]
        return float((m * np.log2(1 + o / m) + o * np.log2(1 + m / o)).sum() / 2)


def _not_matched(ordered: Scores, threshold: float, failed: int) -> int:
    """How many scores do not match; those that failed never do, and at NaN nothing does."""
    if math.isnan(threshold):
        return len(ordered)
    return max(int(np.searchsorted(ordered, _exact(threshold, ordered.dtype), side="left")), failed)


def matches(scores: Scores, threshold: float) -> Truths:
    """(n,): which scores match at ``threshold``; failures never do."""
    matching: Truths = (scores >= _exact(threshold, scores.dtype)) & (scores != FAILED)
    return matching


def _exact(threshold: float, precision: np.dtype[np.floating]) -> np.floating:
    """The lowest number of the scores' precision that is not below the threshold."""
    with np.errstate(over="ignore"):  # beyond what the precision holds is infinite
        exact: np.floating = precision.type(threshold)
    return _next(exact) if float(exact) < threshold else exact


def _next(score: np.floating) -> np.floating:
    """The next number of its precision; NaN after +∞."""
    infinity = score.dtype.type(np.inf)
    with np.errstate(over="ignore"):  # +∞ follows the greatest number
        following: np.floating = np.nextafter(score, infinity) if score < infinity else score.dtype.type(np.nan)
    return following


def _places(ordered: Scores, keys: Scores) -> int:
    """For each key the numbers of scores below and not above it, summed."""
    total = 0
    for start in range(0, len(keys), BLOCK):
        for side in ("left", "right"):
            total += int(np.searchsorted(ordered, keys[start : start + BLOCK], side=side).sum())
    return total


def _half_cost(scores: Scores) -> float:
    """Half of the mean of log2(1 + e^s); divided before it is summed, so that huge ratios do not overflow."""
    divisor = 2 * math.log(2) * len(scores)
    blocks = (scores[start : start + BLOCK].astype(np.float64) for start in range(0, len(scores), BLOCK))
    return sum(float((np.logaddexp(0, block) / divisor).sum()) for block in blocks)


def _joined(curves: list[Curve]) -> Curve:
    return Curve(
        np.concatenate([curve.thresholds for curve in curves]),
        np.concatenate([curve.false_matches for curve in curves]),
        np.concatenate([curve.false_non_matches for curve in curves]),
        curves[0].mated,
        curves[0].non_mated,
    )


def _bends(curve: Curve) -> Curve:
    """The points at which a curve changes its direction, and its ends; of points at one place the first."""
    moved = (np.diff(curve.false_matches) != 0) | (np.diff(curve.false_non_matches) != 0)
    there = curve._at(np.flatnonzero(np.append(True, moved)))
    return there._at(np.flatnonzero(_turns(there.false_matches, there.false_non_matches) != 0))


def _turns(x: Counts, y: Counts) -> NDArray[np.int8]:
    """(k,) 1 where the path through the points turns left and at its ends, −1 where right, 0 where straight."""
    turns = np.ones(len(x), np.int8)
    for start in range(0, len(x) - 2, BLOCK):
        dx, dy = (np.diff(values[start : start + BLOCK + 2]) for values in (x, y))
        turns[start + 1 : start + len(dx)] = np.sign(dx[:-1] * dy[1:] - dy[:-1] * dx[1:])
    return turns


def _lower_hull(x: Counts, y: Counts) -> tuple[Counts, Counts]:
    """The corners that the convex hull of points, ordered by x, has below."""
    while True:  # whatever lies on or above the line between its neighbours is no corner
        kept = _turns(x, y) > 0
        x, y = x[kept], y[kept]
        if kept.mean() > 0.99:
            break
    corners: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(corners) > 1 and not _is_corner(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    hull = np.array(corners, np.int64)
    return hull[:, 0], hull[:, 1]


def _is_corner(one: tuple[int, int], two: tuple[int, int], three: tuple[int, int]) -> bool:
    return (two[0] - one[0]) * (three[1] - two[1]) > (two[1] - one[1]) * (three[0] - two[0])
