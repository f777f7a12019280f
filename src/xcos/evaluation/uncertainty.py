"""Error rates with what they are worth: 95 % intervals over people, not over pairs.

======================
==================================================================================================== figure
interval ======================
==================================================================================================== FMR, FNMR at a
fixed    Wilson with a variance that knows who was compared with whom, :func:`xcos.intervals.plug_in_interval`
threshold; accuracy EER, AUC                subject bootstrap: the value ± Student's quantile × the draws' standard
deviation, on the logit scale,
                        where these are nearly symmetric (percentiles of AUC near 1 cover 80 to 90 %, measured)
FNMR at an FMR          as EER, widened to the Wilson interval at the threshold, which is honest where few mated pairs
fail CLLR                    as EER on the logarithmic scale no error                the rule of three on pairs that
share nobody; no bootstrap, which would say 0 ======================
====================================================================================================

An FMR that fewer than 30 effective false matches support is *unsupported*: it has no number. Intervals that take
pairs for independent are not offered. How often the intervals cover the truth: ``benchmarks/interval_coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.bootstrap import BinnedScores, Draws, draw, fitting_strength, half_width, people_drawn
from xcos.evaluation.error_rates import ErrorRates, matches
from xcos.evaluation.fold_accuracy import FoldAccuracy
from xcos.evaluation.scores import ScoreSet
from xcos.intervals import (
    LEAST_ERRORS,
    Interval,
    Spread,
    Tally,
    plug_in_interval,
    rule_of_three,
    spread,
    wilson,
)
from xcos.types import Reals

DRAWS = 1000
LEAST_DRAWS = 100
WORK = 1_000_000_000
"""Pairs that are weighted for one bootstrap: above a million pairs there are fewer draws, above ten million 100."""
LEAST_PEOPLE = 10
"""With fewer people of a kind of pairs, drawing them anew says nothing."""
SCALE = 5_000
"""Up to so many scores of a kind the bootstrap's scale is exact."""

Numbers = NDArray[np.integer]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, or why there is none. ``str()`` is what may be printed."""

    value: float
    """NaN where unsupported, and so are both ends."""
    low: float
    high: float
    trials: int
    """Comparisons (or searches, or samples) it was counted over."""
    method: str
    """How the interval was made."""
    errors: int | None = None
    """Errors among the trials; None where the figure is no share of errors."""
    effective_errors: float | None = None
    """As many independent errors are worth as much; None where that is not known."""
    effective_trials: float | None = None
    bound: bool = False
    """There are too few errors to state a value: only how large, or how small, it may be."""
    reason: str = ""
    """Why the sample does not support the figure; empty if it does."""

    def __post_init__(self) -> None:
        numbers = (self.low, self.value, self.high)
        if self.reason and not all(map(math.isnan, numbers)):
            raise InvalidArgument(f"an unsupported figure has no numbers, got {numbers}")
        if not self.reason and not self.low <= self.value <= self.high:
            raise InvalidArgument(f"a figure must lie in its interval, got {numbers}")

    def above(self, other: Estimate) -> bool:
        """Whether the whole interval lies above the other's: they do not touch. False if either is unsupported."""
        return self.low > other.high

    @property
    def supported(self) -> bool:
        """Whether the sample supports the figure."""
        return not self.reason

    def __str__(self) -> str:
        if self.reason:
            return f"unsupported: {self.reason}"
        if not self.bound:
            return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"
        counted = "" if self.errors is None else f" ({self.errors:,} errors in {self.trials:,})"
        return f"at least {self.low:.4g}{counted}" if self.value == 1 else f"at most {self.high:.4g}{counted}"

    def to_dict(self) -> dict[str, float | int | str | bool | None]:
        """The same as plain JSON values: numbers are null where unsupported, ``text`` is what may be printed."""
        numbers = {name: getattr(self, name) if self.supported else None for name in ("value", "low", "high")}
        return {
            **numbers,
            "errors": self.errors,
            "trials": self.trials,
            "effective_errors": self.effective_errors,
            "effective_trials": self.effective_trials,
            "method": self.method,
            "bound": self.bound,
            "supported": self.supported,
            "text": str(self),
        }


def unsupported(reason: str, trials: int, method: str) -> Estimate:
    """A figure without a number."""
    return Estimate(math.nan, math.nan, math.nan, trials, method, reason=reason)


def share_estimate(wrong: Truths, *subjects: Numbers) -> Estimate:
    """Share of errors among (n,) trials of one subject each, or of two; both (n,).

    One: FTA over samples, FNIR or FPIR over searches, FNMR over mated pairs. Two: FMR over non-mated pairs.
    """
    shapes = [column.shape for column in subjects]
    if len(subjects) not in (1, 2) or {wrong.shape, *shapes} != {(wrong.size,)} or not wrong.size:
        raise InvalidArgument(
            f"want one or two subjects for each of one or more trials, got {wrong.shape} and {shapes}"
        )
    columns, people = _renumbered(*subjects)
    errors, trials = np.zeros(people, np.int64), np.zeros(people, np.int64)
    for column in columns:
        errors += np.bincount(column[wrong], minlength=people)
        trials += np.bincount(column, minlength=people)
    return _of(Tally(errors, trials, sides=1 if len(subjects) == 1 else 2))


def mean_estimate(values: Reals, mated: Truths, probe_subject: Numbers, reference_subject: Numbers) -> Estimate:
    """Mean of a figure that each of (n,) pairs has, NaN where it applies to none; unsupported if to no pair.

    The interval is the mean ± Student's quantile × a standard error that knows who is in which pair
    (:func:`mean_spread`), and ends where the values do.
    """
    counted = np.isfinite(values)
    method = "variance over shared people"
    if not counted.any():
        return unsupported("it applies to no pair", 0, method)
    there = values[counted]
    found = mean_spread(there, mated[counted], probe_subject[counted], reference_subject[counted])
    value, half = float(there.mean()), found.quantile * math.sqrt(found.variance)
    low, high = max(value - half, float(there.min())), min(value + half, float(there.max()))
    return Estimate(value, min(low, value), max(high, value), len(there), method)


def mean_spread(values: Reals, mated: Truths, probe_subject: Numbers, reference_subject: Numbers) -> Spread:
    """Spread of the mean of (n,) values of pairs; how many of them are mated is fixed, as the list fixes it."""
    (first, second), people = _renumbered(probe_subject, reference_subject)
    residuals = np.zeros(len(values))
    sums, present = np.zeros(people), np.zeros(people, bool)
    disjoint = math.inf
    for kind, columns in ((mated, (first,)), (~mated, (first, second))):
        if not kind.any():
            continue
        residuals[kind] = values[kind] - values[kind].mean()
        subjects = np.zeros(people, bool)
        for column in columns:
            sums += np.bincount(column[kind], residuals[kind], people)
            subjects[column[kind]] = True
        present |= subjects
        disjoint = min(disjoint, int(subjects.sum()) / len(columns))
    squares, twice = float((residuals**2).sum()), float((residuals[~mated] ** 2).sum())
    return spread(sums[present], squares, twice, len(values), disjoint)


def drawn_estimate(figure: Callable[[Reals], float], subjects: Numbers, *, draws: int, seed: int = 0) -> Estimate:
    """A figure of (n,) weighted trials of one subject each, which need not be a mean; a share, in 0…1.

    The interval is the value ± Student's quantile × the standard deviation of the figure over subjects drawn anew, for
    those draws in which there is one.
    """
    (owner,), people = _renumbered(subjects)
    weights = np.array(list(people_drawn(people, draws=draws, seed=seed)))
    figures = np.array([figure(weight[owner]) for weight in weights])
    there = np.isfinite(figures)
    value, method = figure(np.ones(len(owner))), f"subject bootstrap, {draws:,} draws"
    half = half_width(figures[there], weights[there].astype(np.float32), people) if there.sum() > 1 else 0.0
    return Estimate(value, min(value, max(0.0, value - half)), max(value, min(1.0, value + half)), len(owner), method)


def _of(tally: Tally) -> Estimate:
    return _stated(tally.share, plug_in_interval(tally), tally.trials, tally.errors)


def _stated(value: float, interval: Interval, trials: int, errors: int | None) -> Estimate:
    return Estimate(
        value,
        min(interval.low, value),  # they may differ in the last digit where they are equal
        max(interval.high, value),
        trials,
        interval.method,
        errors,
        interval.effective_errors,
        interval.effective_trials,
        bound=interval.method == "rule of three",
    )


@dataclass(frozen=True, eq=False)
class Estimates:
    """The figures of a set of scores, each with its interval. What takes time is done once, when it is first asked for.

    The same scores and ``seed`` give the same bytes.
    """

    scores: ScoreSet
    seed: int = 0
    draws: int = 0
    """Of the subject bootstrap; 0: 1,000, fewer for more than a million pairs (:data:`WORK`)."""
    strength: float | None = None
    """Of the bootstrap, :func:`~xcos.evaluation.bootstrap.fitting_strength`; None: as these scores need it."""

    def __post_init__(self) -> None:
        given = self.scores
        if (given.probe_subject[given.mated] != given.reference_subject[given.mated]).any():
            raise InvalidArgument("a mated pair shows one subject; some here have two")
        if not self.draws:
            object.__setattr__(self, "draws", int(np.clip(WORK // max(len(given), 1), LEAST_DRAWS, DRAWS)))

    @cached_property
    def rates(self) -> ErrorRates:
        """The rates as numbers."""
        return ErrorRates.of(self.scores)

    # At a fixed threshold

    def fmr(self, threshold: float) -> Estimate:
        """False match rate at ``threshold``."""
        return _of(self._false_matches(threshold))

    def fnmr(self, threshold: float) -> Estimate:
        """False non-match rate at ``threshold``, failures among its errors."""
        return _of(self._misses(threshold))

    def accuracy(self, folds: FoldAccuracy) -> Estimate:
        """Mean accuracy over folds.

        What the thresholds' choice adds to the variance is the delete-one jackknife's over folds: how much the
        accuracy of all pairs differs between their thresholds.
        """
        errors, value = int((~folds.right).sum()), folds.mean
        if errors in (0, len(self.scores)):
            return _stated(value, rule_of_three(errors == 0, self._disjoint), len(self.scores), errors)
        found = self.spread_of(folds.right.astype(np.float64), np.ones(len(self.scores), bool))
        overall = np.array([((self.scores.scores > t) == self.scores.mated).mean() for t in folds.thresholds])
        chosen = (1 - 1 / len(overall)) * float(((overall - overall.mean()) ** 2).sum())
        if not found.variance + chosen:  # all of one kind are right and all of the other wrong
            room = rule_of_three(False, self._disjoint).high
            low, high = max(0.0, value - room), min(1.0, value + room)
            return Estimate(value, low, high, len(self.scores), "rule of three", errors)
        effective = value * (1 - value) / (found.variance + chosen)
        low, high = wilson(value, effective, found.quantile)
        interval = Interval(low, high, effective * (1 - value), effective, "adjusted Wilson")
        return _stated(value, interval, len(self.scores), errors)

    # Over all thresholds

    def eer(self) -> Estimate:
        """Equal error rate."""
        rates = self.rates
        point = rates.at(rates.eer.threshold)
        errors = point.false_matches + point.false_non_matches
        least = 0.5 / max(len(rates.mated), len(rates.non_mated))
        if self._too_few:
            return self._refused
        return self._around(rates.eer.rate, self.samples.eer(), least, errors)

    def auc(self) -> Estimate:
        """Area under the ROC."""
        rates = self.rates
        if self._too_few:
            return self._refused
        return self._around(rates.auc, self.samples.auc(), 0.5 / len(rates.mated) / len(rates.non_mated), None)

    def cllr(self) -> Estimate:
        """Cost of scores that are log-likelihood ratios, in bits."""
        value = self.rates.cllr
        if self._too_few:
            return self._refused
        if not 0 < value < math.inf:
            wrong = "some are certain and wrong, which costs infinitely much" if value else "all are certain and right"
            return unsupported(f"the ratios are infinite, {wrong}", len(self.scores), self._method)
        costs = self.drawn_costs()
        half = self.samples.half_width(np.log(costs))
        low, high = value * math.exp(-half), value * math.exp(half)
        return Estimate(value, low, high, len(self.scores), self._method)

    def fnmr_at_fmr(self, rate: float) -> Estimate:
        """False non-match rate at the lowest threshold with FMR at most ``rate``; unsupported by the rule of 30."""
        return self.fnmr_at_fmrs([rate])[0]

    def fnmr_at_fmrs(self, rates: Sequence[float]) -> list[Estimate]:
        """The same for several rates, such as those of a DET curve's band."""
        points = [self.rates.at_fmr(rate) for rate in rates]
        refused = [self._why_not(rate, point.threshold) for rate, point in zip(rates, points, strict=True)]
        if self._too_few or all(refused):
            return [self._refused_at(reason) for reason in refused]
        drawn = self.samples.fnmr_at(np.array(rates)).T
        return [
            self._refused_at(reason) if reason else self._missed_at(point.threshold, of_draws)
            for point, reason, of_draws in zip(points, refused, drawn, strict=True)
        ]

    def effective_false_matches(self, rate: float) -> float:
        """As many independent false matches are worth as much as those at an FMR of ``rate``; 30 support it."""
        return plug_in_interval(self._false_matches(self.rates.at_fmr(rate).threshold)).effective_errors

    def supports(self, rate: float) -> bool:
        """Whether the sample bears a threshold at this false match rate: enough people, and the rule of 30."""
        return not self._too_few and self.effective_false_matches(rate) >= LEAST_ERRORS

    def _why_not(self, rate: float, threshold: float) -> str:
        errors = plug_in_interval(self._false_matches(threshold)).effective_errors
        if errors >= LEAST_ERRORS:
            return ""
        return (
            f"FMR {rate:g} would rest on {errors:.1f} independent false matches among {len(self.rates.non_mated):,} "
            f"non-mated comparisons of {self._other_sizes.subjects:,} people; {LEAST_ERRORS:.0f} are needed"
        )

    def _refused_at(self, reason: str) -> Estimate:
        return unsupported(reason, len(self.rates.mated), self._method) if reason else self._refused

    def _missed_at(self, threshold: float, drawn: Reals) -> Estimate:
        fixed = _of(self._misses(threshold))
        if fixed.bound:
            return fixed
        moved = self._around(fixed.value, drawn, 0.5 / fixed.trials, fixed.errors)
        return replace(fixed, low=min(fixed.low, moved.low), high=max(fixed.high, moved.high), method=self._method)

    def _around(self, value: float, drawn: Reals, least: float, errors: int | None) -> Estimate:
        """The interval of a share, from its ``drawn`` values; ``least`` is half of the smallest step it can make."""
        if value in (0.0, 1.0):
            return _stated(value, rule_of_three(value == 1, self._disjoint), len(self.scores), errors)
        logits = logit(np.clip(drawn, least, 1 - least))
        middle, half = float(logit(np.clip(value, least, 1 - least))), self.samples.half_width(logits)
        low, high = (1 / (1 + math.exp(-end)) for end in (middle - half, middle + half))
        return Estimate(value, min(low, value), max(high, value), len(self.scores), self._method, errors)

    # People

    @cached_property
    def _people(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], int]:
        """(m,) person of the mated pairs, (n,) and (n,) of the others, from 0 without gaps; how many they are."""
        given = self.scores
        (probe, reference), people = _renumbered(given.probe_subject, given.reference_subject)
        other = ~given.mated
        return probe[given.mated], probe[other], reference[other], people

    @cached_property
    def _mated_scores(self) -> NDArray[np.floating]:
        return self.scores.scores[self.scores.mated]

    @cached_property
    def _other_scores(self) -> NDArray[np.floating]:
        return self.scores.scores[~self.scores.mated]

    def _false_matches(self, threshold: float) -> Tally:
        _, first, second, people = self._people
        wrong = matches(self._other_scores, threshold)
        counts = np.bincount(first[wrong], minlength=people) + np.bincount(second[wrong], minlength=people)
        return Tally(counts, self._other_sizes.comparisons, sides=2)

    def _misses(self, threshold: float) -> Tally:
        owner, _, _, people = self._people
        wrong = ~matches(self._mated_scores, threshold)
        return Tally(np.bincount(owner[wrong], minlength=people), self._mated_sizes.comparisons, sides=1)

    @cached_property
    def _mated_sizes(self) -> Tally:
        """A tally without errors."""
        owner, _, _, people = self._people
        return Tally(np.zeros(people, np.int64), np.bincount(owner, minlength=people), sides=1)

    @cached_property
    def _other_sizes(self) -> Tally:
        """A tally without errors."""
        _, first, second, people = self._people
        counts = np.bincount(first, minlength=people) + np.bincount(second, minlength=people)
        return Tally(np.zeros(people, np.int64), counts, sides=2)

    @property
    def _disjoint(self) -> float:
        """As many pairs of each kind can be formed of which no two share a person."""
        return min(self._mated_sizes.disjoint, self._other_sizes.disjoint)

    def spread_of(self, values: Reals, chosen: Truths) -> Spread:
        """Spread of the mean of (n,) ``values`` over the ``chosen`` pairs, whose numbers of each kind are fixed."""
        given = self.scores
        subjects = given.probe_subject[chosen], given.reference_subject[chosen]
        return mean_spread(values[chosen], given.mated[chosen], *subjects)

    def disjoint_of(self, chosen: Truths) -> float:
        """Least number of pairs of one kind, among those chosen, of which no two share a person."""
        kinds = ((self.scores.mated, self._mated_sizes), (~self.scores.mated, self._other_sizes))
        return min(sizes.disjoint for kind, sizes in kinds if (chosen & kind).any())

    # Bootstrap

    @cached_property
    def _too_few(self) -> bool:
        return min(self._mated_sizes.subjects, self._other_sizes.subjects) < LEAST_PEOPLE

    @property
    def _refused(self) -> Estimate:
        reason = (
            f"{self._mated_sizes.subjects} people in mated and {self._other_sizes.subjects} in non-mated comparisons; "
            f"{LEAST_PEOPLE} of each are needed to say how much people differ"
        )
        return unsupported(reason, len(self.scores), self._method)

    @property
    def _method(self) -> str:
        return f"subject bootstrap, {self.draws:,} draws"

    @cached_property
    def fitted_strength(self) -> float:
        """Strength of the bootstrap: the greatest that non-mated rates of 50, 10 and 1 % need."""
        if self.strength is not None:
            return self.strength
        found = []
        for rate in (0.5, 0.1, 0.01):
            tally = self._false_matches(self.rates.at_fmr(rate).threshold)
            if 0 < tally.errors < tally.trials:
                between = tally.subjects / (tally.subjects - 1) * float((tally.residuals**2).sum())
                found.append(fitting_strength(between, tally.share * (1 - tally.share) * tally.trials))
        return max(found, default=1.0)

    @cached_property
    def _binned(self) -> BinnedScores:
        owner, first, second, _ = self._people
        return BinnedScores.of(self._mated_scores, self._other_scores, owner, first, second, exact=SCALE)

    @cached_property
    def samples(self) -> Draws:
        """Scores of people drawn anew."""
        people = self._people[3]
        return draw(self._binned, people, draws=self.draws, seed=self.seed, strength=self.fitted_strength)

    def drawn_costs(self) -> Reals:
        """(draws,) CLLR of the people drawn anew."""
        return self.samples.mean_cost(*self._costs)

    @cached_property
    def _costs(self) -> tuple[Reals, Reals]:
        """(bins,) mean cost in bits of the mated and of the other pairs of each bin."""
        binned = self._binned
        means = []
        for places, ratios in ((binned.mated, -self._mated_scores), (binned.others, self._other_scores)):
            costs = np.bincount(places, np.logaddexp(0, ratios.astype(np.float64)), binned.bins) / math.log(2)
            means.append(costs / np.maximum(np.bincount(places, minlength=binned.bins), 1))
        return means[0], means[1]


@dataclass(frozen=True, eq=False)
class Differences:
    """How much ``one`` model's figures exceed the ``other``'s on the same pairs; people are drawn for both at once."""

    one: Estimates
    other: Estimates

    def __post_init__(self) -> None:
        same = all(
            np.array_equal(getattr(self.one.scores, name), getattr(self.other.scores, name))
            for name in ("mated", "probe_subject", "reference_subject")
        )
        if not same or (self.one.seed, self.one.draws) != (self.other.seed, self.other.draws):
            raise InvalidArgument("two models are compared on the same pairs, in the same order, with the same draws")
        strength = max(self.one.fitted_strength, self.other.fitted_strength)
        for name in ("one", "other"):
            estimates: Estimates = getattr(self, name)
            if estimates.fitted_strength != strength:
                object.__setattr__(self, name, replace(estimates, strength=strength))

    # At fixed thresholds

    def fmr(self, threshold: float, other_threshold: float) -> Estimate:
        """Difference of the false match rates, each at its own threshold."""
        return self._of_matches(~self.one.scores.mated, threshold, other_threshold, sign=1)

    def fnmr(self, threshold: float, other_threshold: float) -> Estimate:
        """Difference of the false non-match rates, each at its own threshold."""
        return self._of_matches(self.one.scores.mated, threshold, other_threshold, sign=-1)

    def accuracy(self, folds: FoldAccuracy, other_folds: FoldAccuracy) -> Estimate:
        """Difference of the accuracies over folds."""
        gained = folds.right.astype(np.float64) - other_folds.right
        return self._of_pairs(folds.mean - other_folds.mean, gained, np.ones(len(gained), bool))

    def _of_matches(self, chosen: Truths, threshold: float, other_threshold: float, *, sign: int) -> Estimate:
        gained = matches(self.one.scores.scores, threshold).astype(np.float64)
        gained = sign * (gained - matches(self.other.scores.scores, other_threshold))
        return self._of_pairs(float(gained[chosen].mean()), gained, chosen)

    def _of_pairs(self, value: float, gained: Reals, chosen: Truths) -> Estimate:
        """Of (n,) pairs that one model answers as the other does not: 1, 0 or −1."""
        trials, method = int(chosen.sum()), "paired, variance over shared people"
        if not gained[chosen].any():
            room = min(1.0, 3 / self.one.disjoint_of(chosen))
            return Estimate(value, value - room, value + room, trials, "rule of three")
        found = self.one.spread_of(gained, chosen)
        half = found.quantile * math.sqrt(found.variance)
        return Estimate(value, value - half, value + half, trials, method)

    # Over all thresholds

    def eer(self) -> Estimate:
        """Difference of the equal error rates."""
        return self._of_draws(self.one.eer(), self.other.eer(), lambda samples: samples.eer())

    def auc(self) -> Estimate:
        """Difference of the areas under the ROC."""
        return self._of_draws(self.one.auc(), self.other.auc(), lambda samples: samples.auc())

    def fnmr_at_fmr(self, rate: float) -> Estimate:
        """Difference of the false non-match rates at one false match rate, each model at its own threshold."""
        one, other = self.one.fnmr_at_fmr(rate), self.other.fnmr_at_fmr(rate)
        return self._of_draws(one, other, lambda samples: samples.fnmr_at(np.array([rate]))[:, 0])

    def cllr(self) -> Estimate:
        """Difference of the costs of scores that are log-likelihood ratios, in bits."""
        one, other = self.one.cllr(), self.other.cllr()
        if one.supported and other.supported:
            return self._stated(one, other, self.one.drawn_costs() - self.other.drawn_costs())
        return one if not one.supported else other

    def _of_draws(self, one: Estimate, other: Estimate, figure: Callable[[Draws], Reals]) -> Estimate:
        if not (one.supported and other.supported):
            return one if not one.supported else other
        if one.bound and other.bound and one.value == other.value:
            return unsupported("neither model makes an error, so they cannot be told apart", one.trials, one.method)
        return self._stated(one, other, figure(self.one.samples) - figure(self.other.samples))

    def _stated(self, one: Estimate, other: Estimate, drawn: Reals) -> Estimate:
        """The difference; a model without errors, whose figure never varies, may still be as bad as its bound."""
        value, half = one.value - other.value, self.one.samples.half_width(drawn)
        below, above = math.hypot(half, _below(one), _above(other)), math.hypot(half, _above(one), _below(other))
        method = f"paired subject bootstrap, {len(drawn):,} draws"
        return Estimate(value, value - below, value + above, one.trials, method)


def _below(estimate: Estimate) -> float:
    return estimate.value - estimate.low if estimate.bound else 0.0


def _above(estimate: Estimate) -> float:
    return estimate.high - estimate.value if estimate.bound else 0.0


def logit(share: Reals) -> Reals:
    """Logarithms of the odds of shares between 0 and 1."""
    odds: Reals = np.log(share) - np.log1p(-share)
    return odds


def _renumbered(*columns: Numbers) -> tuple[tuple[NDArray[np.int32], ...], int]:
    """The same numbers of people from 0 without gaps, and how many there are."""
    if min(int(column.min(initial=0)) for column in columns) < 0:
        raise InvalidArgument("subjects are numbered from 0; some here are negative")
    most = max(int(column.max(initial=0)) for column in columns)
    if most > 1_000_000 + 4 * sum(map(len, columns)):  # a table of all numbers would be too long
        _, places = np.unique(np.concatenate(columns), return_inverse=True)
        columns = tuple(np.split(places, np.cumsum([len(column) for column in columns])[:-1]))
        most = int(places.max())
    present = np.zeros(most + 1, bool)
    for column in columns:
        present[column] = True
    table = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return tuple(table[column] for column in columns), int(present.sum())
