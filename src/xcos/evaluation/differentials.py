"""Do error rates differ between groups of people? Figures of ISO/IEC 19795-10's kind, and what they rest on.

All take false match and false non-match rates of n groups at one threshold. None stands alone: FDR saturates near 1
because differences of false match rates are small, and none of them knows how many errors it rests on; the rates with
their intervals do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.error_rates import matches
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Estimate, share_estimate, unsupported
from xcos.intervals import LEAST_ERRORS, Z95
from xcos.types import Reals

FEWEST = 3
"""With so many errors or none a group shows its bound instead of a rate."""


def fairness_discrepancy(fmr: Reals, fnmr: Reals, *, weight: float = 0.5) -> float:
    """FDR, 1 − (a max |FMR_i − FMR_j| + (1 − a) max |FNMR_i − FNMR_j|); 1 is fair.

    De Freitas Pereira and Marcel, arXiv 2011.02395; ``weight`` is a.
    """
    _check(fmr, fnmr, weight)
    return float(1 - weight * np.ptp(fmr) - (1 - weight) * np.ptp(fnmr))


def inequity_rate(fmr: Reals, fnmr: Reals, *, weight: float = 0.5) -> float:
    """IR, (max FMR / min FMR)^a (max FNMR / min FNMR)^(1 − a) (Grother); 1 is fair. NaN where a rate is 0."""
    _check(fmr, fnmr, weight)
    if min(np.min(fmr), np.min(fnmr)) == 0:
        return math.nan
    return float((np.max(fmr) / np.min(fmr)) ** weight * (np.max(fnmr) / np.min(fnmr)) ** (1 - weight))


def garbe(fmr: Reals, fnmr: Reals, *, weight: float = 0.5) -> float:
    """GARBE, a G(FMR) + (1 − a) G(FNMR) with the Gini coefficient G; 0 is fair, 1 the worst.

    ``G(x) = n/(n−1) · Σ_ij |x_i − x_j| / (2 n² mean x)``; Howard et al., arXiv 2203.05051. Rates that are all 0 are
    equal.
    """
    _check(fmr, fnmr, weight)
    return weight * _gini(np.asarray(fmr)) + (1 - weight) * _gini(np.asarray(fnmr))


def max_over_geometric_mean(rates: Reals) -> float:
    """The greatest rate over the geometric mean of all, as NIST reports both kinds; 1 is fair. NaN where one is 0."""
    _check(rates, rates, 0.5)
    if np.min(rates) == 0:
        return math.nan
    return float(np.max(rates) / np.exp(np.log(rates).mean()))


def _gini(x: Reals) -> float:
    n, mean = len(x), float(x.mean())
    if mean == 0:
        return 0.0
    return float(n / (n - 1) * np.abs(x[:, None] - x[None, :]).sum() / (2 * n**2 * mean))


def _check(fmr: Reals, fnmr: Reals, weight: float) -> None:
    shapes = np.shape(fmr), np.shape(fnmr)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or shapes[0][0] < 2:
        raise InvalidArgument(f"want one rate of each kind for each of two or more groups, got {shapes}")
    both = np.concatenate([fmr, fnmr])
    if not ((both >= 0) & (both <= 1)).all() or not 0 <= weight <= 1:
        raise InvalidArgument("rates and weight lie between 0 and 1")


@dataclass(frozen=True)
class GroupRates:
    """One group's rates at the threshold that all share.

    A rate of 3 errors or none is a bound (:attr:`Estimate.bound`); one without pairs is unsupported.
    """

    group: str
    fmr: Estimate
    fnmr: Estimate

    @property
    def few(self) -> tuple[str, ...]:
        """Which of ``fmr`` and ``fnmr`` rest on fewer than 30 errors (rule of 30)."""
        named = (("fmr", self.fmr), ("fnmr", self.fnmr))
        return tuple(name for name, rate in named if (rate.errors or 0) < LEAST_ERRORS)

    @property
    def measured(self) -> bool:
        """Whether there were pairs of both kinds."""
        return self.fmr.supported and self.fnmr.supported


@dataclass(frozen=True)
class Differentials:
    """Rates of groups at one threshold, for the figures above; how few errors a rate rests on is in ``few``."""

    threshold: float
    groups: tuple[GroupRates, ...]
    """By name."""
    unlabelled: int
    """Pairs that belong to no group."""

    @property
    def fmr(self) -> Reals:
        """(k,) of the groups that have pairs of both kinds."""
        return np.array([each.fmr.value for each in self.groups if each.measured])

    @property
    def fnmr(self) -> Reals:
        """(k,) of the same groups."""
        return np.array([each.fnmr.value for each in self.groups if each.measured])

    @property
    def few(self) -> tuple[str, ...]:
        """Groups of which a rate rests on fewer than 30 errors."""
        return tuple(each.group for each in self.groups if each.few)

    @property
    def worst(self) -> GroupRates:
        """The measured group with the greatest false match rate."""
        return max((each for each in self.groups if each.measured), key=lambda each: each.fmr.value)


def rates_by_group(scores: ScoreSet, labels: NDArray[np.str_], *, threshold: float) -> Differentials:
    """Rates of each group at ``threshold``, with intervals over its people.

    ``labels`` are (n,), empty for pairs of no group. Non-mated pairs should be of two people of one group
    (:func:`shared_group`): random ones hide the differences. :class:`InvalidArgument` where fewer than two groups
    have pairs of both kinds.
    """
    if labels.shape != scores.scores.shape:
        raise InvalidArgument(f"want a label for each of {len(scores)} pairs, got {labels.shape}")
    matching = matches(scores.scores, threshold)
    groups = tuple(
        GroupRates(str(name), *_rates(scores, matching, labels == name)) for name in np.unique(labels) if name
    )
    if sum(each.measured for each in groups) < 2:
        named = ", ".join(each.group for each in groups) or "none"
        raise InvalidArgument(f"two or more groups need mated and non-mated pairs; the groups are: {named}")
    return Differentials(threshold, groups, int((labels == "").sum()))


def _rates(scores: ScoreSet, matching: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> tuple[Estimate, Estimate]:
    other, mated = chosen & ~scores.mated, chosen & scores.mated
    people = (scores.probe_subject, scores.reference_subject)
    fmr = share_estimate(matching[other], *(each[other] for each in people)) if other.any() else _missing("non-mated")
    fnmr = share_estimate(~matching[mated], people[0][mated]) if mated.any() else _missing("mated")
    return _bounded(fmr), _bounded(fnmr)


def _missing(kind: str) -> Estimate:
    return unsupported(f"the group has no {kind} pairs", 0, "none")


def _bounded(rate: Estimate) -> Estimate:
    return replace(rate, bound=True) if rate.errors is not None and rate.errors <= FEWEST else rate


def shared_group(probe_group: NDArray[np.str_], reference_group: NDArray[np.str_]) -> NDArray[np.str_]:
    """(n,) the group of pairs of which both sides are of one group; empty for the others."""
    return np.where(probe_group == reference_group, probe_group, "")


def rate_ratio(one: Estimate, other: Estimate) -> Estimate:
    """The rate ``one`` over the rate ``other``, with an interval on the log scale; groups share no people.

    The variance of the logarithm is (1 − p) / (effective errors), summed over both. Unsupported where one rests on 3
    errors or fewer.
    """
    method = "log scale"
    variance = 0.0
    for rate in (one, other):
        if not rate.supported or rate.bound or not rate.effective_errors:
            return unsupported("a ratio needs more than 3 errors on both sides", one.trials + other.trials, method)
        variance += (1 - rate.value) / rate.effective_errors
    value, factor = one.value / other.value, math.exp(Z95 * math.sqrt(variance))
    return Estimate(value, value / factor, value * factor, one.trials + other.trials, method)
