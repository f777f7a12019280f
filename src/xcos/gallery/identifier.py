"""Photos in, candidates out: the arrows of a verification up to the template, then the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xcos.errors import IncompatibleTemplates, InputRefused, InvalidArgument
from xcos.gallery.candidates import Identification, judge
from xcos.gallery.fusing import Fusing, fuse
from xcos.gallery.gallery import Gallery
from xcos.gallery.store import Enrolment
from xcos.quality import QualityLimits
from xcos.types import FaceChoice, Photo, Reason, Sample
from xcos.verifier import Verifier


@dataclass(frozen=True, eq=False)
class ProbeSearch:
    """What came of some photos of one person."""

    samples: tuple[Sample, ...]
    identification: Identification


@dataclass(frozen=True)
class Identifier:
    """Searches a gallery with a verifier's components and calibration."""

    gallery: Gallery
    verifier: Verifier

    def __post_init__(self) -> None:
        model, mine = self.verifier.embedder.model, self.gallery.card.layout.model
        if model != mine:
            raise IncompatibleTemplates(
                f"the gallery holds templates of {mine}, the verifier embeds with {model}; use the gallery's model",
                models=[mine, model],
            )

    def identify(
        self,
        photos: Sequence[Photo],
        *,
        purpose: str,
        top: int = 10,
        fpir: float = 0.01,
        where: Mapping[str, str] | None = None,
        face: FaceChoice | None = None,
        fusing: Fusing = "quality",
    ) -> ProbeSearch:
        """Candidates for the person whom all of ``photos`` show, at the false positive identification rate ``fpir``.

        Several photos are fused to one template. Whether somebody is named is decided by the score's threshold at the
        gallery's size and by the photos' quality; who is listed is decided by the score alone.
        """
        if not photos:
            raise InvalidArgument("identify() needs one photo or more")
        self.gallery.require_purpose(purpose)  # before anything is looked at
        samples = tuple(self._located(photo, face) for photo in photos)
        templates = self.verifier.extract(samples)
        weighed = [
            Enrolment(template, enrolment_quality(sample)) for template, sample in zip(templates, samples, strict=True)
        ]
        (found,) = self.gallery.search(
            [fuse(weighed, fusing)], purpose=purpose, comparator=self.verifier.comparator, top=top, where=where
        )
        doubts = tuple(reason for sample in samples for reason in self._doubts(sample))
        return ProbeSearch(samples, judge(found, self.verifier.calibration, fpir=fpir, doubts=doubts))

    def _located(self, photo: Photo, face: FaceChoice | None) -> Sample:
        try:
            return self.verifier.locate(photo, face=face)
        except InputRefused as error:
            raise error.about("probe") from error

    def _doubts(self, sample: Sample) -> list[Reason]:
        return self.verifier.doubts(sample, "probe")


def enrolment_quality(sample: Sample, limits: QualityLimits | None = None) -> float:
    """How much a photo counts among several of one person: 1 halved for each quality limit it breaks."""
    return 0.5 ** len((limits or QualityLimits()).reasons(sample.quality, "reference"))
