"""A calibration card from scores of one's own, and what its thresholds do to people who had no part in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.calibration import Calibration, NonMatedScores, fit_calibration
from xcos.errors import InvalidArgument
from xcos.evaluation.protocols import ScoreTable
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Estimate, Estimates
from xcos.types import Threshold

TEST_SHARE = 0.3

Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredFor:
    """What the scores are of, in the words of the card."""

    model: str
    """The embedder's ``model``: a verifier takes the card for it only."""
    comparator: str
    """Name of the comparator; ``vector`` for cosines of the network's own vectors."""
    dataset: str
    """Whose photos, and from when."""
    detector: str
    """Name of the detector."""


@dataclass(frozen=True)
class Part:
    """Pairs whose people are all of one part."""

    people: int
    mated: int
    """Pairs, failed ones among them."""
    non_mated: int
    failed_mated: int
    """Pairs that could not be compared."""
    failed_non_mated: int


@dataclass(frozen=True)
class MeasuredThreshold:
    """A threshold of the card, and its rates among the test people, failures in the denominators."""

    threshold: Threshold
    fmr: Estimate
    fnmr: Estimate


@dataclass(frozen=True)
class ScoreCalibration:
    """A card, what it was fitted on, and how it did elsewhere."""

    card: Calibration
    fitted: Part
    tested: Part
    across: int
    """Pairs of a person of each part, which serve neither."""
    people_known: bool
    """Whether the table says who is who."""
    measured: tuple[MeasuredThreshold, ...]

    def to_dict(self) -> dict[str, object]:
        """The same as plain JSON values; the card by its hash."""
        return {
            "card": {"sha256": self.card.sha256, "model": self.card.model, "comparator": self.card.comparator},
            "least_fmr": self.card.least_fmr,
            "origin": asdict(self.card.origin),
            "fitted": asdict(self.fitted),
            "tested": asdict(self.tested),
            "across": self.across,
            "people_known": self.people_known,
            "measured": [
                {"threshold": asdict(each.threshold), "fmr": each.fmr.to_dict(), "fnmr": each.fnmr.to_dict()}
                for each in self.measured
            ],
        }


def calibrate_scores(
    table: ScoreTable, scored_for: ScoredFor, *, fmrs: Sequence[float], date: str, test_share: float = TEST_SHARE
) -> ScoreCalibration:
    """The card fitted on some people, and its thresholds at ``fmrs`` measured on the others.

    People are divided by the hash of their name, so that adding people moves nobody; where the table does not name
    them, those linked by mated pairs are one person with the name of its first sample. About ``test_share`` of them
    are for the test. ``date`` is the ISO date of the measurement.

    Raises :class:`~xcos.errors.UnsupportedFmr` for a rate that the scores cannot support, and
    :class:`~xcos.errors.InvalidArgument` for scores that no card can be made of: infinite ones but for failures, a
    part without pairs of one kind, non-mated pairs of one person.
    """
    if not 0 < test_share < 1:
        raise InvalidArgument(f"the share of people for the test lies between 0 and 1, got {test_share:g}")
    scores = table.scores
    _require_two_people(table)
    if (scores.scores == np.inf).any():
        raise InvalidArgument(
            f"{int((scores.scores == np.inf).sum())} scores are +∞, which no card can be fitted to; limit them"
        )
    for_test = np.array([_place(name) < test_share for name in table.people])
    probe, reference = for_test[scores.probe_subject], for_test[scores.reference_subject]
    fitting, testing = ~probe & ~reference, probe & reference
    for kind, told in ((fitting, "calibration"), (testing, "test")):
        _require_both(scores, kind, told, test_share)
    card = _fitted(table, fitting, scored_for, date, test_share)
    thresholds = [card.threshold(fmr) for fmr in fmrs]
    tested = Estimates(_part(scores, testing))
    return ScoreCalibration(
        card=card,
        fitted=_counts(scores, fitting),
        tested=_counts(scores, testing),
        across=int((probe != reference).sum()),
        people_known=table.subjects_known,
        measured=tuple(MeasuredThreshold(each, tested.fmr(each.value), tested.fnmr(each.value)) for each in thresholds),
    )


def _place(name: str) -> float:
    """Where a name's hash lies in 0…1."""
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:12], 16) / 16**12


def _require_two_people(table: ScoreTable) -> None:
    scores = table.scores
    same = np.flatnonzero(~scores.mated & (scores.probe_subject == scores.reference_subject))
    if len(same):
        first = int(same[0])
        raise InvalidArgument(
            f"{table.probe[first]} and {table.reference[first]} are a non-mated pair, but mated pairs link them "
            f"({len(same)} such pairs); correct the table, or say who is who in probe_subject and reference_subject"
        )


def _require_both(scores: ScoreSet, chosen: Truths, told: str, test_share: float) -> None:
    usable = chosen & ~scores.failed
    mated, other = (int((usable & kind).sum()) for kind in (scores.mated, ~scores.mated))
    if not (mated and other):
        raise InvalidArgument(
            f"the {told} part has {mated} mated and {other} non-mated pairs that could be compared, with "
            f"{test_share:g} of the people for the test; both parts need both kinds: take another share, or more people"
        )


def _fitted(table: ScoreTable, chosen: Truths, scored_for: ScoredFor, date: str, test_share: float) -> Calibration:
    scores = table.scores
    usable = chosen & ~scores.failed
    other = usable & ~scores.mated
    values = np.asarray(scores.scores, np.float64)
    probe, reference = (np.asarray(each, np.int64) for each in (scores.probe_subject, scores.reference_subject))
    return fit_calibration(
        values[usable & scores.mated],
        NonMatedScores(values[other], probe[other], reference[other]),
        model=scored_for.model,
        comparator=scored_for.comparator,
        dataset=scored_for.dataset,
        protocol=_told(table, int((chosen & scores.failed).sum()), test_share),
        date=date,
        detector=scored_for.detector,
    )


def _told(table: ScoreTable, failed: int, test_share: float) -> str:
    """What the card says of the pairs."""
    sentences = [
        f"a table of {len(table):,} scores (SHA-256 {table.sha256}): its pairs among the {1 - test_share:g} of people "
        "that the hash of their name chooses"
    ]
    if failed:
        sentences.append(f"{failed:,} of them that could not be compared left out")
    if not table.subjects_known:
        sentences.append(
            "who is who is not known: samples linked by mated pairs count as one person, so people may be too many "
            "and intervals too narrow"
        )
    return "; ".join(sentences)


def _part(scores: ScoreSet, chosen: Truths) -> ScoreSet:
    return ScoreSet(
        scores.scores[chosen], scores.mated[chosen], scores.probe_subject[chosen], scores.reference_subject[chosen]
    )


def _counts(scores: ScoreSet, chosen: Truths) -> Part:
    people = np.union1d(scores.probe_subject[chosen], scores.reference_subject[chosen])
    mated, other = chosen & scores.mated, chosen & ~scores.mated
    return Part(
        people=len(people),
        mated=int(mated.sum()),
        non_mated=int(other.sum()),
        failed_mated=int((mated & scores.failed).sum()),
        failed_non_mated=int((other & scores.failed).sum()),
    )
