"""Scores of a protocol → the figures of a test report, each with its interval or the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xcos.calibration import Calibration
from xcos.errors import InvalidArgument
from xcos.evaluation.discards import Discards, discards
from xcos.evaluation.error_rates import matches
from xcos.evaluation.fold_accuracy import (
    Counts,
    FoldAccuracy,
    disjoint_fold_accuracy,
    fold_accuracy,
    fold_accuracy_at_midpoints,
)
from xcos.evaluation.groups import GroupFigures, group_figures
from xcos.evaluation.operating import OperatingPoint, Plain, common_rate, operating_point, shown
from xcos.evaluation.protocol import Numbers, Truths, VerificationProtocol
from xcos.evaluation.run import Scored, sample_name
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.evaluation.uncertainty import Differences, Estimate, Estimates, share_estimate, unsupported
from xcos.types import Reals

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BAND = 10.0 ** np.arange(-6, -0.29, 0.1)
"""False match rates at which the DET curve's band is computed, where the sample supports them."""
BINS = 60
WORST = 10
NESTED = "nested: thresholds from people of other folds"
PROCEDURES: dict[str, Callable[[ScoreSet, Counts], FoldAccuracy]] = {
    "as published, thresholds from −1 by 0.005": fold_accuracy,
    "as published, every threshold": fold_accuracy_at_midpoints,
    NESTED: disjoint_fold_accuracy,
}


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
            "text": f"{self.fmr:g}",
            "threshold": self.threshold if self.fnmr.supported else None,
            "threshold_text": f"{self.threshold:.6f}" if self.fnmr.supported else None,
            "measured_fmr": self.measured.to_dict() if self.fnmr.supported else None,
            "fnmr": self.fnmr.to_dict(),
        }


@dataclass(frozen=True)
class WrongPair:
    """One of the pairs that are hardest to answer rightly."""

    row: int
    """In the protocol's pairs."""
    probe: str
    reference: str
    score: float
    wrong: bool
    """Whether it is answered wrongly at the operating point."""

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {**vars(self), "text": f"{self.score:.4f}"}


@dataclass(frozen=True, eq=False)
class FoldFigures:
    """Accuracy over folds by one procedure, or why it has none."""

    procedure: str
    found: FoldAccuracy | None
    estimate: Estimate

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        found = self.found
        if found is None:
            return {"procedure": self.procedure, "estimate": self.estimate.to_dict(), "folds": []}
        return {
            "procedure": self.procedure,
            "estimate": self.estimate.to_dict(),
            "std": shown(found.std),
            "folds": [
                {"accuracy": shown(accuracy), "threshold": shown(threshold), "left_out": left_out}
                for accuracy, threshold, left_out in zip(
                    found.accuracies.tolist(), found.thresholds.tolist(), found.left_out.tolist(), strict=True
                )
            ],
        }


@dataclass(frozen=True, eq=False)
class RatioCost:
    """CLLR of a calibration card's log-likelihood ratios, of the pairs that could be compared."""

    cost: Estimate
    least: float
    """What the best calibration of these very scores would cost."""
    card: Calibration

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "cllr": self.cost.to_dict(),
            "min_cllr": shown(self.least),
            "dataset": self.card.origin.dataset,
            "detector": self.card.origin.detector,
            "sha256": self.card.sha256,
        }


@dataclass(frozen=True, eq=False)
class Figures:
    """All that a report says of one matcher on one protocol."""

    matcher: str
    fta: Estimate
    """Samples of which no template could be made."""
    fte: Estimate
    """Those among the references."""
    failures: dict[str, int]
    """How many photos failed, by the code of the error."""
    eer: Estimate
    auc: Estimate
    min_cllr: float
    """Failures are one tie below all scores."""
    ratios: RatioCost | None
    """None where no card makes log-likelihood ratios of the scores."""
    best_accuracy: float
    """At the best threshold of these very pairs: optimistic."""
    folds: tuple[FoldFigures, ...]
    """By each of :data:`PROCEDURES`; empty where the protocol has no folds."""
    points: tuple[Point, ...]
    operating: OperatingPoint
    discards: Discards
    discards_at: OperatingPoint
    """The lowest false match rate that these scores alone support: here nothing is compared with other matchers."""
    groups: tuple[GroupFigures, ...]
    band: tuple[tuple[float, Estimate], ...]
    """Supported rates, rising, with the FNMR at each."""
    det: tuple[Reals, Reals]
    """FMR and FNMR at the bends of the DET curve; the ROC is FMR and 1 − FNMR."""
    bins: Reals
    """(BINS + 1,) edges."""
    mated: Reals
    """(BINS,) shares of the mated scores."""
    non_mated: Reals
    false_matches: tuple[WrongPair, ...]
    """Non-mated pairs with the highest scores."""
    false_non_matches: tuple[WrongPair, ...]
    """Mated pairs with the lowest, failures apart."""

    @property
    def nested(self) -> Estimate | None:
        """Accuracy over folds without the published procedure's bias; None without folds."""
        return next((each.estimate for each in self.folds if each.procedure == NESTED), None)

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "matcher": self.matcher,
            "fta": self.fta.to_dict(),
            "fte": self.fte.to_dict(),
            "failures": self.failures,
            "eer": self.eer.to_dict(),
            "auc": self.auc.to_dict(),
            "min_cllr": self.min_cllr,
            "ratios": self.ratios.to_dict() if self.ratios else None,
            "best_accuracy": self.best_accuracy,
            "texts": {"min_cllr": f"{self.min_cllr:.4g}", "best_accuracy": f"{self.best_accuracy:.4g}"},
            "folds": [each.to_dict() for each in self.folds],
            "points": [point.to_dict() for point in self.points],
            "operating_point": self.operating.to_dict(),
            "error_versus_discard": {"at": self.discards_at.told, **self.discards.to_dict()},
            "groups": [each.to_dict() for each in self.groups],
            "band": [{"fmr": rate, "fnmr": fnmr.to_dict()} for rate, fnmr in self.band],
            "det": {"fmr": self.det[0].tolist(), "fnmr": self.det[1].tolist()},
            "histogram": {
                "bins": self.bins.tolist(),
                "mated": self.mated.tolist(),
                "non_mated": self.non_mated.tolist(),
            },
            "false_matches": [pair.to_dict() for pair in self.false_matches],
            "false_non_matches": [pair.to_dict() for pair in self.false_non_matches],
        }


def figures_of(protocol: VerificationProtocol, scored: Scored, estimates: Estimates, *, fmr: float | None) -> Figures:
    """The figures of ``scored``, of whose scores ``estimates`` are; ``fmr`` is that of the operating point.

    Several matchers have one in common (:func:`~xcos.evaluation.operating.common_rate`); None is the EER's threshold.
    """
    rates = estimates.rates
    thinned = rates.curve.thinned(200)
    at_band = estimates.fnmr_at_fmrs(BAND.tolist())
    points = _points(estimates)
    fta = _failures(protocol, scored.failed, np.arange(len(protocol.samples)))
    fte = _failures(protocol, scored.failed, np.unique(protocol.reference))
    operating = operating_point(estimates, fmr, fta=fta, fte=fte)
    alone = operating_point(estimates, common_rate([estimates], FMRS), fta=fta, fte=fte)
    bins, mated, non_mated = _histogram(scored)
    return Figures(
        matcher=scored.matcher,
        fta=fta,
        fte=fte,
        failures=_codes(scored),
        eer=estimates.eer(),
        auc=estimates.auc(),
        min_cllr=rates.min_cllr,
        ratios=_ratio_cost(scored, estimates),
        best_accuracy=rates.best_accuracy.accuracy,
        folds=_folds(protocol, scored.scores, estimates),
        points=points,
        operating=operating,
        discards=discards(
            scored.scores,
            {name: values[protocol.probe] for name, values in scored.qualities.items()},
            {name: values[protocol.reference] for name, values in scored.qualities.items()},
            threshold=alone.threshold,
        ),
        discards_at=alone,
        groups=group_figures(scored.scores, protocol.groups, threshold=operating.threshold),
        band=tuple((float(rate), each) for rate, each in zip(BAND, at_band, strict=True) if each.supported),
        det=(thinned.fmr, thinned.fnmr),
        bins=bins,
        mated=mated,
        non_mated=non_mated,
        false_matches=_worst(protocol, scored, operating.threshold, mated=False),
        false_non_matches=_worst(protocol, scored, operating.threshold, mated=True),
    )


def _failures(protocol: VerificationProtocol, failed: Truths | None, samples: Numbers) -> Estimate:
    """Of these samples, those without a template."""
    if failed is None:
        return unsupported("a table of scores does not say which sample failed", len(samples), "none")
    return share_estimate(failed[samples], protocol.samples.subjects[samples])


def _codes(scored: Scored) -> dict[str, int]:
    if scored.failed is None:
        return {}
    return dict(sorted(Counter(each.code for each in scored.failures).items()))


def _folds(protocol: VerificationProtocol, scores: ScoreSet, estimates: Estimates) -> tuple[FoldFigures, ...]:
    if protocol.folds == 1:
        return ()
    found = []
    for procedure, accuracy_of in PROCEDURES.items():
        try:
            accuracy = accuracy_of(scores, protocol.fold)
        except InvalidArgument as error:  # of scores on another scale, or of people who are in every fold
            found.append(FoldFigures(procedure, None, unsupported(str(error), len(scores), procedure)))
        else:
            found.append(FoldFigures(procedure, accuracy, estimates.accuracy(accuracy)))
    return tuple(found)


def _ratio_cost(scored: Scored, estimates: Estimates) -> RatioCost | None:
    card, scores = scored.calibration, scored.scores
    made = ~scores.failed
    if card is None or not (made & scores.mated).any() or not (made & ~scores.mated).any():
        return None
    low, high = card.llr_bounds
    ratios = np.clip(card.slope * scores.scores[made] + card.intercept, low, high)
    of_pairs = ScoreSet(ratios, scores.mated[made], scores.probe_subject[made], scores.reference_subject[made])
    costs = Estimates(of_pairs, seed=estimates.seed)
    return RatioCost(costs.cllr(), costs.rates.min_cllr, card)


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


def _worst(protocol: VerificationProtocol, scored: Scored, threshold: float, *, mated: bool) -> tuple[WrongPair, ...]:
    scores = scored.scores.scores
    rows = np.flatnonzero((scored.scores.mated == mated) & (scores != FAILED))
    order = np.argsort(scores[rows] if mated else -scores[rows], kind="stable")[:WORST]
    matching = matches(scores, threshold)
    return tuple(
        WrongPair(
            row,
            sample_name(protocol, int(protocol.probe[row])),
            sample_name(protocol, int(protocol.reference[row])),
            float(scores[row]),
            bool(matching[row] != mated),
        )
        for row in rows[order].tolist()
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
            "fnmr_at_fmr": [
                {"fmr": rate, "text": f"{rate:g}", "difference": each.to_dict()} for rate, each in self.fnmr
            ],
        }


def against(one: Scored, other: Scored, differences: Differences) -> Against:
    """The differences of two matchers, drawn with the same people."""
    fnmr = tuple((rate, differences.fnmr_at_fmr(rate)) for rate in FMRS[:4])
    return Against(one.matcher, other.matcher, differences.eer(), differences.auc(), fnmr)
