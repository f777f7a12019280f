"""Searches → the figures of a test report (NIST FRTE 1:N), each with its interval or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from xcos.evaluation.bootstrap import half_width
from xcos.evaluation.identification import Searches
from xcos.evaluation.protocol import IdentificationProtocol
from xcos.evaluation.searching import Searched
from xcos.evaluation.uncertainty import DRAWS, LEAST_PEOPLE, Estimate, logit, share_estimate, unsupported
from xcos.intervals import LEAST_ERRORS, rule_of_three, spread
from xcos.types import Reals

RANKS = (1, 2, 5, 10, 20, 50, 100)
FPIRS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
"""0.003 is the one at which NIST ranks."""
METHOD = f"subject bootstrap, {DRAWS:,} draws"
PAIRED = "paired, variance over people"

Plain = dict[str, object]


@dataclass(frozen=True)
class RankPoint:
    """How often the mate is among the top candidates, at no threshold."""

    rank: int
    hit_rate: Estimate
    """1 − FNIR(N, rank, −∞): the cumulative match characteristic."""


@dataclass(frozen=True)
class FpirPoint:
    """What happens at the threshold of a false positive identification rate."""

    fpir: float
    """Asked for."""
    threshold: float
    measured: Estimate
    """False positive identification rate there."""
    fnir: Estimate
    """FNIR(N, N, threshold): the mate is below the threshold."""

    def to_dict(self) -> Plain:
        """Plain JSON values; no threshold where the searches do not support the rate."""
        return {
            "fpir": self.fpir,
            "threshold": self.threshold if self.fnir.supported else None,
            "measured_fpir": self.measured.to_dict() if self.fnir.supported else None,
            "fnir": self.fnir.to_dict(),
        }


@dataclass(frozen=True)
class SearchFigures:
    """All that a report says of one matcher on one protocol of searches."""

    matcher: str
    fta: Estimate
    """Probes of which no template could be made."""
    fte: Estimate
    """Photos of the gallery of which none could be made."""
    ranks: tuple[RankPoint, ...]
    points: tuple[FpirPoint, ...]

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "matcher": self.matcher,
            "fta": self.fta.to_dict(),
            "fte": self.fte.to_dict(),
            "ranks": [{"rank": each.rank, "hit_rate": each.hit_rate.to_dict()} for each in self.ranks],
            "points": [each.to_dict() for each in self.points],
        }


def search_figures(protocol: IdentificationProtocol, searched: Searched, *, seed: int = 0) -> SearchFigures:
    """The figures of ``searched``; ranks up to the number of subjects in the gallery."""
    subjects, searches = protocol.samples.subjects, searched.searches
    ranks = [rank for rank in RANKS if rank <= searches.gallery]
    return SearchFigures(
        matcher=searched.matcher,
        fta=share_estimate(searched.failed, subjects[protocol.probes]),
        fte=share_estimate(searched.failed_gallery, subjects[protocol.gallery]),
        ranks=tuple(RankPoint(rank, _hit_rate(searches, rank)) for rank in ranks),
        points=tuple(_points(searches, seed)),
    )


def _hit_rate(searches: Searches, rank: int) -> Estimate:
    if not searches.mated_subject.size:
        return unsupported("no probe's subject is in the gallery", 0, "none")
    missed = share_estimate(searches.missed(rank), searches.mated_subject)
    return replace(missed, value=1 - missed.value, low=1 - missed.high, high=1 - missed.low)


def _points(searches: Searches, seed: int) -> list[FpirPoint]:
    why = _why_none(searches)
    if why:
        none = unsupported(why, len(searches.mate), METHOD)
        return [FpirPoint(rate, math.nan, none, none) for rate in FPIRS]
    drawn = _Drawn(searches, seed)
    return [_point(searches, rate, drawn) for rate in FPIRS]


def _why_none(searches: Searches) -> str:
    if not (searches.mated_subject.size and searches.non_mated_subject.size):
        mated = "non-mated" if searches.mated_subject.size else "mated"
        return f"there are no {mated} searches, so FPIR and FNIR are not both defined"
    people = [len(np.unique(each)) for each in (searches.mated_subject, searches.non_mated_subject)]
    if min(people) < LEAST_PEOPLE:
        return (
            f"{people[0]} people in mated and {people[1]} in non-mated searches; {LEAST_PEOPLE} of each are needed to "
            "say how much people differ"
        )
    return ""


def _point(searches: Searches, rate: float, drawn: _Drawn) -> FpirPoint:
    threshold = searches.threshold_at_fpir(rate)
    measured = share_estimate(searches.false_positive(threshold), searches.non_mated_subject)
    errors = measured.effective_errors or 0.0
    if errors < LEAST_ERRORS:
        reason = (
            f"FPIR {rate:g} would rest on {errors:.1f} independent false positives among {len(searches.top):,} "
            f"non-mated searches; {LEAST_ERRORS:.0f} are needed"
        )
        return FpirPoint(rate, threshold, measured, unsupported(reason, len(searches.mate), METHOD))
    return FpirPoint(rate, threshold, measured, _fnir(searches, threshold, drawn.fnir(rate), drawn))


def _fnir(searches: Searches, threshold: float, values: Reals, drawn: _Drawn) -> Estimate:
    """FNIR with the interval of a fixed threshold, widened by what the threshold's own choice adds."""
    fixed = share_estimate(searches.missed(searches.gallery, threshold), searches.mated_subject)
    if fixed.bound:
        return fixed
    least = 0.5 / fixed.trials
    middle = float(logit(np.array(fixed.value)))
    half = half_width(logit(np.clip(values, least, 1 - least)), drawn.weights, drawn.people)
    low, high = (1 / (1 + math.exp(-end)) for end in (middle - half, middle + half))
    return replace(fixed, low=min(fixed.low, low), high=max(fixed.high, high), method=METHOD)


class _Drawn:
    """The same searches with their people drawn anew, with replacement."""

    def __init__(self, searches: Searches, seed: int) -> None:
        everyone, place = np.unique(
            np.concatenate([searches.mated_subject, searches.non_mated_subject]), return_inverse=True
        )
        self.people = len(everyone)
        owner, stranger = place[: len(searches.mate)], place[len(searches.mate) :]
        falling = np.argsort(-searches.top, kind="stable")
        self._top, self._stranger = searches.top[falling], stranger[falling]
        rising = np.argsort(searches.mate, kind="stable")
        self._mate, self._owner = searches.mate[rising], owner[rising]
        random = np.random.default_rng(seed)
        shares = np.full(self.people, 1 / self.people)
        drawn = random.multinomial(self.people, shares, DRAWS).astype(np.float32)
        both = (drawn[:, np.unique(owner)].any(axis=1)) & (drawn[:, np.unique(stranger)].any(axis=1))
        self._all = drawn[both]
        self.weights = self._all if self.people <= DRAWS else self._all[:, :0]

    def fnir(self, rate: float) -> Reals:
        """(draws,) FNIR where at most ``rate`` of the non-mated searches are false positives."""
        return np.array([self._fnir(rate, weights) for weights in self._all])

    def _fnir(self, rate: float, weights: np.ndarray) -> float:
        positives = np.cumsum(weights[self._stranger], dtype=np.float64)
        allowed = int(np.searchsorted(positives, rate * positives[-1] * (1 + 1e-9), side="right"))
        refused = self._top[allowed] if allowed < len(self._top) else -np.inf
        missed = np.cumsum(weights[self._owner], dtype=np.float64)
        below = int(np.searchsorted(self._mate, refused, side="right"))
        return float(missed[below - 1] / missed[-1]) if below else 0.0


@dataclass(frozen=True)
class SearchesAgainst:
    """How much one matcher's hit rates exceed another's in the same searches."""

    one: str
    other: str
    ranks: tuple[RankPoint, ...]

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        differences = [{"rank": each.rank, "difference": each.hit_rate.to_dict()} for each in self.ranks]
        return {"one": self.one, "other": self.other, "hit_rates": differences}


def searches_against(one: Searched, other: Searched) -> SearchesAgainst:
    """The differences of two matchers' hit rates."""
    ranks = [rank for rank in RANKS if rank <= one.searches.gallery]
    points = tuple(RankPoint(rank, _difference(one.searches, other.searches, rank)) for rank in ranks)
    return SearchesAgainst(one.matcher, other.matcher, points)


def _difference(one: Searches, other: Searches, rank: int) -> Estimate:
    """Of searches of which one matcher finds the mate and the other does not: 1, 0 or −1."""
    subjects = np.unique(one.mated_subject, return_inverse=True)[1]
    trials, people = len(subjects), int(subjects.max(initial=-1)) + 1
    if not trials:
        return unsupported("no probe's subject is in the gallery", 0, "none")
    gained = other.missed(rank).astype(np.float64) - one.missed(rank)
    value = float(gained.mean())
    if not gained.any():
        room = rule_of_three(False, people).high
        return Estimate(value, value - room, value + room, trials, "rule of three")
    residuals = gained - value
    sums: Reals = np.bincount(subjects, residuals).astype(np.float64)
    found = spread(sums, float((residuals**2).sum()), 0.0, trials, people)
    half = found.quantile * math.sqrt(found.variance)
    return Estimate(value, value - half, value + half, trials, PAIRED)
