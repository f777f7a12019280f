"""Scores of a protocol → the figures of a test report, each with its interval or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.evaluation.fold_accuracy import FoldAccuracy, disjoint_fold_accuracy, fold_accuracy_at_midpoints
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.run import Scored, sample_name
from xcos.evaluation.scores import FAILED
from xcos.evaluation.uncertainty import Differences, Estimate, Estimates, share_estimate, unsupported
from xcos.types import Reals

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BAND = 10.0 ** np.arange(-6, -0.29, 0.1)
"""False match rates at which the DET curve's band is computed, where the sample supports them."""
BINS = 60
WORST = 10

Plain = dict[str, object]


@dataclass(frozen=True)
class Point:
    """What happens at the threshold of a false match rate."""

    fmr: float
    """Asked for."""
    threshold: float
    measured: Estimate
    """False match rate there."""
    fnmr: Estimate

    def to_dict(self) -> Plain:
        """Plain JSON values; no threshold where the sample does not support the rate."""
        return {
            "fmr": self.fmr,
            "threshold": self.threshold if self.fnmr.supported else None,
            "measured_fmr": self.measured.to_dict() if self.fnmr.supported else None,
            "fnmr": self.fnmr.to_dict(),
        }


@dataclass(frozen=True)
class WrongPair:
    """One of the worst errors."""

    probe: str
    reference: str
    score: float


@dataclass(frozen=True, eq=False)
class Figures:
    """All that a report says of one matcher on one protocol."""

    matcher: str
    fta: Estimate
    """Samples of which no template could be made."""
    eer: Estimate
    auc: Estimate
    min_cllr: float
    best_accuracy: float
    """At the best threshold of these very pairs: optimistic."""
    folds: FoldAccuracy | None
    """The field's procedure, over all midpoints; None where the protocol has no folds."""
    fold_estimate: Estimate | None
    disjoint: FoldAccuracy | None
    """Thresholds chosen from people of other folds alone."""
    disjoint_estimate: Estimate | None
    points: tuple[Point, ...]
    band: tuple[tuple[float, Estimate], ...]
    """Supported rates, rising, with the FNMR at each."""
    det: tuple[Reals, Reals]
    """FMR and FNMR at the bends of the DET curve."""
    bins: Reals
    """(BINS + 1,) edges."""
    mated: Reals
    """(BINS,) shares of the mated scores."""
    non_mated: Reals
    false_matches: tuple[WrongPair, ...]
    """Non-mated pairs with the highest scores."""
    false_non_matches: tuple[WrongPair, ...]
    """Mated pairs with the lowest, failures apart."""

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "matcher": self.matcher,
            "fta": self.fta.to_dict(),
            "eer": self.eer.to_dict(),
            "auc": self.auc.to_dict(),
            "min_cllr": self.min_cllr,
            "best_accuracy": self.best_accuracy,
            "fold_accuracy": _folds(self.folds, self.fold_estimate),
            "disjoint_fold_accuracy": _folds(self.disjoint, self.disjoint_estimate),
            "points": [point.to_dict() for point in self.points],
            "band": [{"fmr": rate, "fnmr": fnmr.to_dict()} for rate, fnmr in self.band],
            "det": {"fmr": self.det[0].tolist(), "fnmr": self.det[1].tolist()},
            "histogram": {
                "bins": self.bins.tolist(),
                "mated": self.mated.tolist(),
                "non_mated": self.non_mated.tolist(),
            },
            "false_matches": [vars(pair) for pair in self.false_matches],
            "false_non_matches": [vars(pair) for pair in self.false_non_matches],
        }


def _folds(folds: FoldAccuracy | None, estimate: Estimate | None) -> Plain | None:
    if folds is None or estimate is None:
        return None
    return {
        "mean": folds.mean,
        "std": folds.std,
        "accuracies": folds.accuracies.tolist(),
        "thresholds": folds.thresholds.tolist(),
        "left_out": folds.left_out.tolist(),
        "estimate": estimate.to_dict(),
    }


def figures_of(protocol: VerificationProtocol, scored: Scored, estimates: Estimates) -> Figures:
    """The figures of ``scored``, of whose scores ``estimates`` are."""
    rates = estimates.rates
    with_folds = protocol.folds > 1
    folds = fold_accuracy_at_midpoints(scored.scores, protocol.fold) if with_folds else None
    disjoint = disjoint_fold_accuracy(scored.scores, protocol.fold) if with_folds else None
    thinned = rates.curve.thinned(200)
    at_band = estimates.fnmr_at_fmrs(BAND.tolist())
    bins, mated, non_mated = _histogram(scored)
    return Figures(
        matcher=scored.matcher,
        fta=_failures(protocol, scored),
        eer=estimates.eer(),
        auc=estimates.auc(),
        min_cllr=rates.min_cllr,
        best_accuracy=rates.best_accuracy.accuracy,
        folds=folds,
        fold_estimate=estimates.accuracy(folds) if folds else None,
        disjoint=disjoint,
        disjoint_estimate=estimates.accuracy(disjoint) if disjoint else None,
        points=_points(estimates),
        band=tuple((float(rate), each) for rate, each in zip(BAND, at_band, strict=True) if each.supported),
        det=(thinned.fmr, thinned.fnmr),
        bins=bins,
        mated=mated,
        non_mated=non_mated,
        false_matches=_worst(protocol, scored, mated=False),
        false_non_matches=_worst(protocol, scored, mated=True),
    )


def _failures(protocol: VerificationProtocol, scored: Scored) -> Estimate:
    if scored.failed is None:
        return unsupported("a table of scores does not say which sample failed", len(protocol.samples), "none")
    return share_estimate(scored.failed, protocol.samples.subjects)


def _points(estimates: Estimates) -> tuple[Point, ...]:
    thresholds = [estimates.rates.at_fmr(rate).threshold for rate in FMRS]
    missed = estimates.fnmr_at_fmrs(FMRS)
    return tuple(
        Point(rate, threshold, estimates.fmr(threshold), fnmr)
        for rate, threshold, fnmr in zip(FMRS, thresholds, missed, strict=True)
    )


def _histogram(scored: Scored) -> tuple[Reals, Reals, Reals]:
    scores, mated = scored.scores.scores, scored.scores.mated
    made = np.isfinite(scores)
    low, high = (float(scores[made].min()), float(scores[made].max())) if made.any() else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = [
        np.histogram(scores[made & kind], edges)[0] / max(1, int((made & kind).sum())) for kind in (mated, ~mated)
    ]
    return edges, shares[0], shares[1]


def _worst(protocol: VerificationProtocol, scored: Scored, *, mated: bool) -> tuple[WrongPair, ...]:
    scores = scored.scores.scores
    rows = np.flatnonzero((scored.scores.mated == mated) & (scores != FAILED))
    order = np.argsort(scores[rows] if mated else -scores[rows], kind="stable")[:WORST]
    return tuple(
        WrongPair(
            sample_name(protocol, int(protocol.probe[row])),
            sample_name(protocol, int(protocol.reference[row])),
            float(scores[row]),
        )
        for row in rows[order]
    )


@dataclass(frozen=True)
class Against:
    """How much one matcher's figures exceed another's on the same pairs."""

    one: str
    other: str
    eer: Estimate
    auc: Estimate
    fnmr: tuple[tuple[float, Estimate], ...]

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "one": self.one,
            "other": self.other,
            "eer": self.eer.to_dict(),
            "auc": self.auc.to_dict(),
            "fnmr_at_fmr": [{"fmr": rate, "difference": each.to_dict()} for rate, each in self.fnmr],
        }


def against(one: Scored, other: Scored, differences: Differences) -> Against:
    """The differences of two matchers, drawn with the same people."""
    fnmr = tuple((rate, differences.fnmr_at_fmr(rate)) for rate in FMRS[:4])
    return Against(one.matcher, other.matcher, differences.eer(), differences.auc(), fnmr)
