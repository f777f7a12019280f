"""A protocol and a face model → scores of all its pairs, by the model's grid and by its own vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from xcos.calibration import Calibration
from xcos.compare import Uniform, vectors_as_grids
from xcos.errors import InvalidArgument
from xcos.evaluation.discards import sample_qualities
from xcos.evaluation.embedding import EmbeddedSamples, FailedPhoto
from xcos.evaluation.own_matcher import PhotoMatcher, compare_templates
from xcos.evaluation.protocol import Numbers, Truths, VerificationProtocol
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.interfaces import Comparator
from xcos.types import Reals, freeze

PAIRS_AT_ONCE = 512
VECTOR = "vector"


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one matcher on all pairs of a protocol."""

    matcher: str
    """Model and how its templates are compared."""
    scores: ScoreSet
    failed: Truths | None
    """(samples,): those without a template; None where that is not known, as of a table of scores."""
    failures: tuple[FailedPhoto, ...] = ()
    """Why they have none."""
    qualities: Mapping[str, Reals] = field(default_factory=dict)
    """(samples,) each: measures of the photos, higher is better; empty where nothing is known of them."""
    calibration: Calibration | None = None
    """What makes log-likelihood ratios of the scores; None where there is no card for this model and comparator."""
    seconds: float | None = None
    """How long all comparisons took, one after the other; None where they were not timed."""

    def __post_init__(self) -> None:
        if self.failed is not None:
            freeze(self, failed=self.failed)


def score_pairs(
    protocol: VerificationProtocol,
    embedded: EmbeddedSamples,
    comparator: Comparator | PhotoMatcher | None,
    *,
    calibration: Calibration | None = None,
    on_pairs: Callable[[int], None] = lambda _: None,
) -> Scored:
    """The scores of all pairs; without a comparator the cosines of the model's own vectors.

    ``on_pairs`` is told how many more are done.

    A pair of which a sample has no template is −∞ and stays (:data:`~xcos.evaluation.scores.FAILED`).
    """
    if embedded.samples is not protocol.samples:
        raise InvalidArgument("these templates are of another protocol's samples; embed this one's")
    scores = np.full(len(protocol), FAILED)
    started = perf_counter()
    usable = np.flatnonzero(embedded.present[protocol.probe] & embedded.present[protocol.reference])
    for start in range(0, len(usable), PAIRS_AT_ONCE):
        rows = usable[start : start + PAIRS_AT_ONCE]
        scores[rows] = _scores(embedded, comparator, protocol.probe[rows], protocol.reference[rows])
        on_pairs(len(rows))
    seconds = perf_counter() - started
    subjects = protocol.samples.subjects
    return Scored(
        matcher=matcher_name(embedded.model, comparator),
        scores=ScoreSet(scores, protocol.mated, subjects[protocol.probe], subjects[protocol.reference]),
        failed=~embedded.present,
        failures=embedded.failures,
        qualities=sample_qualities(embedded),
        calibration=calibration,
        seconds=seconds,
    )


def matcher_name(model: str, comparator: Comparator | PhotoMatcher | None) -> str:
    """Model and how its templates are compared."""
    return model if isinstance(comparator, PhotoMatcher) else f"{model} · {comparator.name if comparator else VECTOR}"


def _scores(
    embedded: EmbeddedSamples, comparator: Comparator | PhotoMatcher | None, probe: Numbers, reference: Numbers
) -> Reals:
    if isinstance(comparator, PhotoMatcher):
        return compare_templates(comparator, embedded.vectors[probe], embedded.vectors[reference])
    if comparator is None:
        grids = [vectors_as_grids(np.asarray(embedded.vectors[rows])) for rows in (probe, reference)]
        similarity, attention = Uniform().maps(*grids)
    else:
        similarity, attention = comparator.maps(embedded.grids[probe], embedded.grids[reference])
    scores: Reals = (similarity * attention).sum(axis=(1, 2))
    return scores


def sample_name(protocol: VerificationProtocol, number: int) -> str:
    """What tables call a sample."""
    return protocol.samples.name(number)
