"""What a search says: candidates with their evidence, or that the person is unknown, and why.

Formulas
--------
N templates were compared with the probe; a search is a false positive if any of them reaches the threshold T by chance.

*Threshold*: ``FPIR(N, T) ≈ 1 − (1 − FMR(T))^N``, the binomial model of identification (Daugman, "Biometric decision
landscapes", 2000; Grother, Phillips, CVPR 2004), which takes the N comparisons as independent. It is an approximation
of the kind of an upper bound: it rests on the FMR of the calibration's photos, and where comparisons depend on one
another positively, as those with photos of one person do, the true rate is smaller; it never exceeds N · FMR. So the
threshold is the calibration's at ``FMR = 1 − (1 − FPIR)^(1/N)``. Where the calibration does not support such a rate
there is none.

*Log-likelihood ratio at the gallery's size*: ``llr − ln N`` with N subjects. For the best score s of a gallery and
independent comparisons, p(s | it is the mate's) = f₁(s) F₀(s)^(N−1) and p(s | no mate is in the gallery) =
N f₀(s) F₀(s)^(N−1); their ratio is f₁(s) / (N f₀(s)). It weighs this candidate's being the mate against nobody's being.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from xcos.calibration import Calibration
from xcos.errors import InvalidArgument, UnsupportedFmr
from xcos.gallery.search import Found, Hit, Method
from xcos.types import Comparison, Maps, Outcome, Reason, Threshold

SCHEMA = "xcos.identification/1"


@dataclass(frozen=True)
class SearchThreshold:
    """Score that a false positive identification rate asks for in a gallery of this size."""

    threshold: Threshold
    """The calibration's at the false match rate that the model gives."""
    fpir: float
    comparisons: int
    calibration: str
    """SHA-256 of the card it comes from."""
    origin: str
    """The card's data in words."""

    @property
    def model(self) -> str:
        """How it was come by, in words."""
        return (
            f"FPIR(N) ≈ 1 − (1 − FMR)^N for N = {self.comparisons:,} independent comparisons, an approximation of the "
            f"kind of an upper bound: FPIR {self.fpir:g} asks for FMR {self.threshold.fmr:.2g}"
        )


def search_threshold(calibration: Calibration, fpir: float, comparisons: int) -> SearchThreshold:
    """The threshold for ``fpir`` among so many templates; :class:`UnsupportedFmr` where the calibration cannot tell."""
    if not 0 < fpir < 1:
        raise InvalidArgument(f"fpir must lie between 0 and 1, got {fpir}")
    if comparisons < 1:
        raise InvalidArgument(f"a search compares with one template or more, got {comparisons}")
    fmr = -math.expm1(math.log1p(-fpir) / comparisons)
    origin = calibration.origin
    return SearchThreshold(
        threshold=calibration.threshold(fmr),
        fpir=fpir,
        comparisons=comparisons,
        calibration=calibration.sha256,
        origin=f"{origin.dataset}, {origin.protocol}: {origin.n_non_mated:,} non-mated scores of "
        f"{origin.n_subjects:,} people, {origin.date}",
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A subject of the gallery that may be the probe's, with its evidence."""

    rank: int
    """From 1."""
    hit: Hit
    llr: float | None
    """Log-likelihood ratio of the comparison alone, natural; None without a calibration."""
    llr_in_gallery: float | None
    """The same at the gallery's size."""
    outcome: Outcome | None
    """``match`` at or above the threshold's interval, ``non_match`` below, ``inconclusive`` in it; None without one."""

    @property
    def subject(self) -> str:
        """The subject's id."""
        return self.hit.subject

    @property
    def comparison(self) -> Comparison:
        """The maps, whose products add up to the score."""
        return self.hit.comparison

    @property
    def score(self) -> float:
        """−1…1, higher is more alike."""
        return self.comparison.score


def difference_map(one: Candidate, other: Candidate) -> Maps:
    """``(rows, cols)``: where ``one`` is ahead of ``other`` (above 0) and where behind; adds up to the difference of
    their scores."""
    difference: Maps = one.comparison.contribution - other.comparison.contribution
    return difference


@dataclass(frozen=True, eq=False)
class Identification:
    """Answer of one search."""

    outcome: Literal["candidates", "unknown"]
    """``unknown``: no candidate can be named at the rate asked for; those listed are for a person to look at."""
    reasons: tuple[Reason, ...]
    """Why it is unknown; empty otherwise."""
    candidates: tuple[Candidate, ...]
    """Most alike first."""
    threshold: SearchThreshold | None
    """None where the calibration bears none for this size, or the gallery has nobody to compare with."""
    templates: int
    """How many were searched, after the filter."""
    subjects: int
    method: Method

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        threshold = self.threshold
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "reasons": [dict(reason.__dict__) for reason in self.reasons],
            "threshold": threshold
            and {
                "value": threshold.threshold.value,
                "low": threshold.threshold.low,
                "high": threshold.threshold.high,
                "fpir": threshold.fpir,
                "fmr": threshold.threshold.fmr,
                "model": threshold.model,
                "calibration": threshold.calibration,
                "origin": threshold.origin,
            },
            "searched": {"templates": self.templates, "subjects": self.subjects, "method": self.method},
            "candidates": [_candidate(each) for each in self.candidates],
        }


def _candidate(candidate: Candidate) -> dict[str, object]:
    comparison = candidate.comparison
    return {
        "rank": candidate.rank,
        "subject": candidate.subject,
        "score": candidate.score,
        "llr": candidate.llr,
        "llr_in_gallery": candidate.llr_in_gallery,
        "outcome": candidate.outcome,
        "source": candidate.hit.source,
        "quality": candidate.hit.quality,
        "maps": {
            "similarity": comparison.similarity.tolist(),
            "attention": comparison.attention.tolist(),
            "contribution": comparison.contribution.tolist(),
        },
    }


def judge(
    found: Found, calibration: Calibration | None, *, fpir: float, doubts: tuple[Reason, ...] = ()
) -> Identification:
    """What follows from a search; ``doubts`` are what is wrong with the probe's photo.

    Somebody is named only where the best candidate reaches the end of the threshold's interval and there is no doubt.
    """
    threshold, reasons = _threshold(found, calibration, fpir)
    candidates = tuple(_judged(rank, hit, found, calibration, threshold) for rank, hit in enumerate(found.hits, 1))
    if threshold and candidates and candidates[0].outcome != "match":
        reasons.append(_below(candidates[0], threshold))
    reasons += doubts
    return Identification(
        outcome="unknown" if reasons else "candidates",
        reasons=tuple(reasons),
        candidates=candidates,
        threshold=threshold,
        templates=found.templates,
        subjects=found.subjects,
        method=found.method,
    )


def _threshold(
    found: Found, calibration: Calibration | None, fpir: float
) -> tuple[SearchThreshold | None, list[Reason]]:
    if not found.templates:
        words = "the gallery has nobody to compare with: it is empty, or all have expired or do not fit the filter"
        return None, [Reason("nobody_to_compare_with", "comparison", 0, 1, words)]
    if calibration is None:
        words = "there is no calibration for this comparison, so no score can be called high enough"
        return None, [Reason("no_calibration", "comparison", 0, 1, words)]
    try:
        return search_threshold(calibration, fpir, found.templates), []
    except UnsupportedFmr as error:
        fmr = -math.expm1(math.log1p(-fpir) / found.templates)
        words = (
            f"among {found.templates:,} templates a false positive identification rate of {fpir:g} asks for a false "
            f"match rate of {fmr:.2g}; {error.message}"
        )
        return None, [Reason("unsupported_fpir", "comparison", fmr, calibration.least_fmr, words)]


def _judged(
    rank: int, hit: Hit, found: Found, calibration: Calibration | None, threshold: SearchThreshold | None
) -> Candidate:
    score = hit.comparison.score
    llr = calibration.llr(score) if calibration else None
    return Candidate(
        rank=rank,
        hit=hit,
        llr=llr,
        llr_in_gallery=None if llr is None else llr - math.log(found.subjects),
        outcome=threshold.threshold.outcome(score) if threshold else None,
    )


def _below(best: Candidate, found: SearchThreshold) -> Reason:
    threshold = found.threshold
    if best.outcome == "inconclusive":
        code, where = "score_in_threshold_interval", f"inside the threshold's 95 % interval {threshold.low:.4f} … "
        words = f"{where}{threshold.high:.4f}"
    else:
        code, words = "no_candidate_above_threshold", f"below the threshold {threshold.value:.4f}"
    message = f"the best candidate's score {best.score:.4f} is {words} for FPIR {found.fpir:g}"
    return Reason(code, "comparison", best.score, threshold.high, message)
