"""The result of comparing two photos: everything a report says, and nothing that must be computed again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from xcos.calibration import Calibration
from xcos.errors import InvalidArgument
from xcos.regions import cell_regions, summarize
from xcos.types import Comparison, Decision, Outcome, Pixels, Region, Sample, SecondOpinion, Timings
from xcos.version import __version__
from xcos.weights import WeightCard

SCHEMA = "xcos.verification/1"
WHOLE_IMAGE = "whole_image"
"""Name of the detector that looks for nothing."""


@dataclass(frozen=True, eq=False)
class Verification:
    """Decision on two photos, with its evidence and the origin of each number."""

    probe: Sample
    reference: Sample
    comparison: Comparison
    decision: Decision
    second_opinion: SecondOpinion | None
    """None where there is no calibration of the network's own vector."""
    calibration: Calibration
    card: WeightCard
    model: str
    detector: str
    comparator: str
    timings: Timings

    @property
    def outcome(self) -> Outcome:
        """``match``, ``non_match`` or ``inconclusive``."""
        return self.decision.outcome

    @property
    def score(self) -> float:
        """The score, which is the sum of the contributions."""
        return self.comparison.score

    @property
    def caveats(self) -> tuple[str, ...]:
        """What holds for this result beyond the caveats of every one; often empty."""
        found = []
        fitted = self.calibration.origin.detector
        if self.detector != fitted:
            found.append(
                f"The calibration was measured with the detector {fitted} and this decision used {self.detector}: "
                "the false match rate of this combination is not known."
            )
        if self.detector == WHOLE_IMAGE:
            found.append("No face was looked for: each photo was taken as a crop, whatever it shows.")
        return tuple(found)

    @cached_property
    def cell_names(self) -> list[list[str]]:
        """Part of the face each cell belongs to, by the mean of both faces' landmarks in the crop."""
        landmarks = (self.probe.face.landmarks + self.reference.face.landmarks) / 2
        rows, cols = self.comparison.similarity.shape
        return cell_regions(landmarks, self.card.template, (rows, cols))

    @cached_property
    def regions(self) -> list[Region]:
        """What each named part measured, strongest support for a match first."""
        return summarize(self.comparison, self.cell_names, self.decision.threshold.value)

    def to_dict(self, *, style: Literal["xcos", "deepface"] = "xcos") -> dict[str, object]:
        """Plain JSON values: the documented schema (``docs/json.md``), or the nine keys DeepFace's verify returns."""
        if style == "xcos":
            return _as_dict(self)
        if style == "deepface":
            return _as_deepface(self)
        raise InvalidArgument(f"style must be 'xcos' or 'deepface', got {style!r}")

    # Showing a result needs the modules above this one; they are imported when it is shown.

    def picture(self) -> Pixels:
        """The evidence as one picture, (H, W, 3) RGB."""
        from xcos.draw import evidence_picture

        return evidence_picture(self)

    def save_picture(self, path: str | Path) -> None:
        """Writes the picture as PNG."""
        from xcos.report import write_picture

        write_picture(self, path)

    def save_report(self, path: str | Path) -> None:
        """Writes one self-contained HTML file."""
        from xcos.report import write_report

        write_report(self, path)

    def _repr_html_(self) -> str:
        from xcos.report import notebook_html

        return notebook_html(self)

    def __repr__(self) -> str:
        d = self.decision
        because = f" because of {', '.join(reason.code for reason in d.reasons)}" if d.reasons else ""
        return (
            f"Verification({d.outcome}{because}: score {d.score:.4f}, threshold {d.threshold.value:.4f} "
            f"at FMR {d.threshold.fmr:g}, llr {d.llr:+.2f})"
        )


def _as_dict(result: Verification) -> dict[str, object]:
    decision, threshold = result.decision, result.decision.threshold
    comparison, second = result.comparison, result.second_opinion
    return {
        "schema": SCHEMA,
        "version": __version__,
        "decision": decision.outcome,
        "reasons": [dict(reason.__dict__) for reason in decision.reasons],
        "score": decision.score,
        "threshold": {"value": threshold.value, "low": threshold.low, "high": threshold.high},
        "fmr": {"requested": threshold.fmr, "low": threshold.fmr_low, "high": threshold.fmr_high},
        "llr": decision.llr,
        "second_opinion": second
        and {
            "score": second.score,
            "llr": second.llr,
            "threshold": second.threshold and second.threshold.value,
            "decision": second.outcome,
        },
        "maps": {
            "similarity": comparison.similarity.tolist(),
            "attention": comparison.attention.tolist(),
            "contribution": comparison.contribution.tolist(),
            "regions": result.cell_names,
        },
        "regions": [dict(region.__dict__) for region in result.regions],
        "probe": _sample(result.probe),
        "reference": _sample(result.reference),
        "model": {"id": result.model, **result.card.to_dict()},
        "detector": result.detector,
        "comparator": result.comparator,
        "calibration": {"sha256": result.calibration.sha256, **result.calibration.origin.__dict__},
        "caveats": list(result.caveats),
        "timings_ms": dict(result.timings.__dict__),
    }


def _sample(sample: Sample) -> dict[str, object]:
    face = sample.face.face
    return {
        "name": sample.name,
        "sha256": sample.sha256,
        "format": sample.format,
        "size": list(sample.photo_size),
        "faces_found": sample.faces_found,
        "box": face.box.tolist(),
        "landmarks": face.landmarks.tolist(),
        "confidence": face.confidence,
        "quality": dict(sample.quality.__dict__),
    }


def _as_deepface(result: Verification) -> dict[str, object]:
    decision = result.decision
    return {
        "verified": decision.outcome == "match",
        "distance": max(0.0, 1 - decision.score),
        "threshold": 1 - decision.threshold.value,
        "confidence": 100 * result.calibration.probability(decision.score, prior=0.5),
        "model": result.model,
        "detector_backend": result.detector,
        "similarity_metric": f"cosine ({result.comparator})",
        "facial_areas": {"img1": _deepface_area(result.probe), "img2": _deepface_area(result.reference)},
        "time": result.timings.total / 1000,
    }


def _deepface_area(sample: Sample) -> dict[str, object]:
    face = sample.face.face
    # DeepFace names the eyes from the person's own view.
    right, left = ([round(float(value)) for value in point] for point in face.landmarks[:2])
    x, y = face.box[:2]
    return {
        "x": round(float(x)),
        "y": round(float(y)),
        "w": round(face.width),
        "h": round(face.height),
        "left_eye": left,
        "right_eye": right,
    }
