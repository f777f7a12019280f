"""The arrows in order: photo → face → aligned crop → template → comparison → decision."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from xcos.calibration import Calibration
from xcos.compare import Uniform, vectors_as_grids
from xcos.errors import IncompatibleTemplates, InputRefused, InvalidArgument, InvalidCard
from xcos.extractor import Extractor, require_photo
from xcos.faces import require_choice
from xcos.interfaces import Comparator, Detector, Embedder
from xcos.quality import QualityLimits
from xcos.types import (
    Comparison,
    Decision,
    FaceChoice,
    Outcome,
    Photo,
    Reason,
    Sample,
    SecondOpinion,
    Side,
    Template,
    Templates,
    Timings,
    stack,
)
from xcos.verification import Verification

VECTOR_COMPARATOR = "vector"
"""Comparator name in the calibration card of a network's own vector: the cosine, a grid of one cell."""
_COSINE = Uniform()


@dataclass(frozen=True)
class Verifier:
    """Compares two photos; knows no concrete component.

    ``calibration`` must be that of the embedder and comparator; ``vector_calibration``, that of the
    network's own vector, gives the second opinion. ``face`` says which face of a photo is meant: ``only``
    (several are an error), ``largest``, ``center`` or an index.
    """

    detector: Detector
    embedder: Embedder
    comparator: Comparator
    calibration: Calibration
    vector_calibration: Calibration | None = None
    face: FaceChoice = "only"
    limits: QualityLimits = field(default_factory=QualityLimits)

    def __post_init__(self) -> None:
        require_choice(self.face)
        _check_calibration(self.calibration, self.embedder.model, self.comparator.name)
        if self.vector_calibration is not None:
            _check_calibration(self.vector_calibration, self.embedder.model, VECTOR_COMPARATOR)

    def verify(
        self,
        probe: Photo,
        reference: Photo,
        *,
        fmr: float = 1e-3,
        probe_face: FaceChoice | None = None,
        reference_face: FaceChoice | None = None,
    ) -> Verification:
        """Decision on whether two photos show one person, at the false match rate ``fmr``, with its evidence.

        ``probe_face`` and ``reference_face`` override the verifier's choice of face for one photo. Swapping the
        photos changes no number. Raises :class:`xcos.errors.InputRefused` where a photo has no usable face, and
        :class:`xcos.errors.UnsupportedFmr` where the calibration cannot support ``fmr``.
        """
        for photo in (probe, reference):
            require_photo(photo)
        started = perf_counter()
        self.calibration.threshold(fmr)  # an impossible request is refused before any work
        with ThreadPoolExecutor(2, "xcos") as pool:
            # One photo per thread, each alone in its batch: no number depends on the other photo or on order.
            faces = (probe_face, reference_face)
            one, other = pool.map(self._prepare, (probe, reference), faces, ("probe", "reference"))
        prepared = perf_counter()
        comparison = self.compare(one.template, other.template)
        second = self.second_opinion(one.template, other.template, fmr=fmr)
        decision = self.decide(comparison, second, one.sample, other.sample, fmr=fmr)
        ended = perf_counter()
        return Verification(
            probe=one.sample,
            reference=other.sample,
            comparison=comparison,
            decision=decision,
            second_opinion=second,
            calibration=self.calibration,
            card=self.embedder.card,
            model=self.embedder.model,
            detector=self.detector.name,
            comparator=self.comparator.name,
            timings=Timings(
                locate=1e3 * (one.locate_s + other.locate_s),
                embed=1e3 * (one.embed_s + other.embed_s),
                compare=1e3 * (ended - prepared),
                total=1e3 * (ended - started),
            ),
        )

    @property
    def extractor(self) -> Extractor:
        """The part of the path before any comparison."""
        return Extractor(self.detector, self.embedder, self.face)

    def locate(self, photo: Photo, *, face: FaceChoice | None = None) -> Sample:
        """The chosen face of a photo, aligned and measured; ``face`` overrides the verifier's own choice."""
        return self.extractor.locate(photo, face=face)

    def extract(self, samples: Sequence[Sample]) -> Templates:
        """Templates of several samples in one batch."""
        return self.extractor.extract(samples)

    def compare(self, probe: Template, reference: Template) -> Comparison:
        """The two maps of one pair."""
        return self.compare_batch([probe], [reference])[0]

    def compare_batch(self, probes: list[Template], references: list[Template]) -> list[Comparison]:
        """The maps of n pairs: probe i with reference i."""
        if len(probes) != len(references):
            raise InvalidArgument(f"want as many probes as references, got {len(probes)} and {len(references)}")
        batch = stack([*probes, *references])
        self._check_model(batch.model)
        similarity, attention = self.comparator.maps(batch.grids[: len(probes)], batch.grids[len(probes) :])
        return [Comparison(s, w) for s, w in zip(similarity, attention, strict=True)]

    def second_opinion(self, probe: Template, reference: Template, *, fmr: float = 1e-3) -> SecondOpinion | None:
        """What the network's own vectors say; None without a calibration for them."""
        calibration = self.vector_calibration
        if calibration is None:
            return None
        pair = stack([probe, reference])
        vectors = vectors_as_grids(pair.vectors)
        similarity, attention = _COSINE.maps(vectors[:1], vectors[1:])
        score = Comparison(similarity[0], attention[0]).score
        threshold = calibration.threshold(fmr) if calibration.supports(fmr) else None
        return SecondOpinion(score, calibration.llr(score), threshold)

    def decide(
        self,
        comparison: Comparison,
        second: SecondOpinion | None,
        probe: Sample,
        reference: Sample,
        *,
        fmr: float = 1e-3,
    ) -> Decision:
        """``match`` or ``non_match`` by the score, unless there is a reason to doubt it."""
        threshold = self.calibration.threshold(fmr)
        outcome = threshold.outcome(comparison.score)
        reasons = [*self.doubts(probe, "probe"), *self.doubts(reference, "reference")]
        if outcome == "inconclusive":
            reasons.append(
                Reason(
                    "score_in_threshold_interval",
                    "comparison",
                    comparison.score,
                    threshold.high,
                    f"the score {comparison.score:.4f} lies inside the threshold's 95 % interval "
                    f"{threshold.low:.4f} … {threshold.high:.4f}",
                )
            )
        elif second and second.threshold and second.outcome not in (outcome, "inconclusive"):
            reasons.append(
                Reason(
                    "grid_and_vector_disagree",
                    "comparison",
                    second.score,
                    second.threshold.value,
                    f"the grid says {_spoken(outcome)} (score {comparison.score:.4f}, threshold "
                    f"{threshold.value:.4f}), the network's own vector {_spoken(second.outcome)} (score "
                    f"{second.score:.4f}, threshold {second.threshold.value:.4f})",
                )
            )
        return Decision(
            outcome="inconclusive" if reasons else outcome,
            reasons=tuple(reasons),
            score=comparison.score,
            llr=self.calibration.llr(comparison.score),
            threshold=threshold,
        )

    def doubts(self, sample: Sample, side: Side) -> list[Reason]:
        """Reasons in one photo not to trust a decision."""
        reasons = self.limits.reasons(sample.quality, side)
        if sample.ambiguous:
            message = f"{side}: of {sample.faces_found} faces, another one fits the rule almost as well"
            reasons.append(Reason("several_faces", side, sample.faces_found, 1, message))
        return reasons

    def _prepare(self, photo: Photo, face: FaceChoice | None, side: Side) -> _Prepared:
        started = perf_counter()
        try:
            sample = self.locate(photo, face=face)
            located = perf_counter()
            template = self.extract([sample])[0]
        except InputRefused as error:
            raise error.about(side) from error
        return _Prepared(sample, template, located - started, perf_counter() - located)

    def _check_model(self, model: str) -> None:
        if model != self.embedder.model:
            raise IncompatibleTemplates(
                f"templates of {model} cannot be judged by a verifier of {self.embedder.model}; embed the photos again",
                models=[model, self.embedder.model],
            )


@dataclass(frozen=True)
class _Prepared:
    sample: Sample
    template: Template
    locate_s: float
    embed_s: float


def _spoken(outcome: Outcome | None) -> str:
    return str(outcome).replace("_", "-")


def _check_calibration(calibration: Calibration, model: str, comparator: str) -> None:
    if (calibration.model, calibration.comparator) != (model, comparator):
        raise InvalidCard(
            f"the calibration is of {calibration.model} with {calibration.comparator}, the verifier has {model} "
            f"with {comparator}; thresholds do not carry over: fit one for this combination"
        )
