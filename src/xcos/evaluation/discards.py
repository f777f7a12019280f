"""Which measures of a photo foretell false non-matches: what is left of them when the worst photos are not compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xcos.evaluation.discard import error_versus_discard
from xcos.evaluation.embedding import EmbeddedSamples
from xcos.evaluation.error_rates import matches
from xcos.evaluation.operating import Plain, shown
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Estimate, share_estimate
from xcos.intervals import LEAST_ERRORS
from xcos.types import Reals

SHARES = (0.0, 0.05, 0.1, 0.2)
MOST = 0.2
"""Customary limit of the partial area."""
OF_PHOTOS: Mapping[str, tuple[str, Callable[[Reals], Reals]]] = {
    "detector's confidence": ("confidence", lambda x: x),
    "distance of the eyes": ("inter_eye", lambda x: x),
    "sharpness": ("sharpness", lambda x: x),
    "contrast": ("contrast", lambda x: x),
    "frontal pose": ("yaw", lambda x: -np.abs(x)),
    "fit of the landmarks": ("residual", lambda x: -x),
    "crop within the photo": ("outside", lambda x: -x),
}
"""What is measured of each photo, turned so that higher is better."""
VECTOR_LENGTH = "length of the vector"


@dataclass(frozen=True)
class MeasureDiscards:
    """What discarding by one measure does at a fixed threshold."""

    measure: str
    fnmr: tuple[tuple[float, Estimate], ...]
    """False non-match rate of those kept, at each of :data:`SHARES` discarded at most."""
    area: float
    """Partial area under the curve up to :data:`MOST`, over that of discarding blindly: 1 is idle, 0 is perfect."""

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {
            "measure": self.measure,
            "fnmr": [
                {"discarded": share, "text": f"{100 * share:g} %", "fnmr": each.to_dict()} for share, each in self.fnmr
            ],
            "area": shown(self.area),
        }


@dataclass(frozen=True)
class Discards:
    """Error versus discard by every measure, the most telling first."""

    measures: tuple[MeasureDiscards, ...]
    reason: str = ""
    """Why there are none."""

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        return {"measures": [each.to_dict() for each in self.measures], "reason": self.reason}


def sample_qualities(embedded: EmbeddedSamples) -> dict[str, Reals]:
    """(samples,) each, higher is better, −∞ for a sample without a template; what says the same of all is left out.

    A sample of several photos has the mean of those that could be used.
    """
    found = {
        name: _of_samples(embedded, turned(embedded.measures[measure]))
        for name, (measure, turned) in OF_PHOTOS.items()
        if measure in embedded.measures
    }
    found[VECTOR_LENGTH] = np.linalg.norm(embedded.vectors.astype(np.float64), axis=1)
    telling = {}
    for name, values in found.items():
        there = values[embedded.present]
        if np.isfinite(there).all() and np.ptp(there) > 1e-6 * np.abs(there).max():
            telling[name] = np.where(embedded.present, values, -np.inf)
    return telling


def _of_samples(embedded: EmbeddedSamples, of_photos: Reals) -> Reals:
    usable = np.isfinite(embedded.measures["embed_ms"])
    sources = embedded.samples.sources
    photos = np.array([photo for source in sources for photo in source.photos])
    owner = np.repeat(np.arange(len(sources)), [len(source.photos) for source in sources])
    photos, owner = photos[usable[photos]], owner[usable[photos]]
    count = np.bincount(owner, minlength=len(sources))
    return np.bincount(owner, of_photos[photos], len(sources)) / np.maximum(count, 1)


def discards(
    scores: ScoreSet,
    probe_quality: Mapping[str, Reals],
    reference_quality: Mapping[str, Reals],
    *,
    threshold: float,
) -> Discards:
    """What discarding does to the mated pairs of ``scores``; qualities are (n,) each, of all its pairs."""
    mated = scores.mated
    missed = ~matches(scores.scores, threshold)[mated]
    whole = share_estimate(missed, scores.probe_subject[mated])
    if not probe_quality:
        return Discards((), "nothing is known of the photos' quality")
    if (whole.effective_errors or 0.0) < LEAST_ERRORS or whole.bound:
        return Discards(
            (),
            f"false non-matches: {whole.errors:,}, worth {whole.effective_errors or 0:.1f} independent ones; "
            f"{LEAST_ERRORS:.0f} are needed to say what foretells them",
        )
    found = []
    for measure, probe in probe_quality.items():
        qualities = probe[mated], reference_quality[measure][mated]
        curve = error_versus_discard(scores.scores[mated], *qualities, threshold=threshold)
        pair = np.minimum(*qualities)
        kept = [(share, pair >= curve.least_quality(share)) for share in SHARES]
        fnmr = tuple((share, share_estimate(missed[of], scores.probe_subject[mated][of])) for share, of in kept)
        found.append(MeasureDiscards(measure, fnmr, curve.area(MOST) / (MOST * whole.value)))
    return Discards(tuple(sorted(found, key=lambda each: each.area)))
