"""Photo → face → aligned crop → template, alone and for many photos; needs no calibration."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.alignment import align
from xcos.errors import InputRefused, InvalidArgument
from xcos.faces import choose_face, require_choice
from xcos.images import read_image
from xcos.interfaces import Detector, Embedder
from xcos.quality import measure_quality
from xcos.types import AlignedFace, Face, FaceChoice, Photo, Pixels, Sample, Template, Templates

BLOCK = 8  # photos per network call; larger blocks leave the cache and are slower


@dataclass(frozen=True)
class ReadyPhoto:
    """All that comparing needs of one photo; the photo itself is not kept."""

    sample: Sample
    template: Template


@dataclass(frozen=True)
class FoundFace:
    """The chosen face of a photo, cut out, and how clear the choice was."""

    face: AlignedFace
    faces_found: int
    ambiguous: bool
    """As in :class:`xcos.types.Sample`."""


@dataclass(frozen=True)
class Extractor:
    """Finds the face that ``face`` means (see :func:`xcos.faces.choose_face`) and embeds it."""

    detector: Detector
    embedder: Embedder
    face: FaceChoice = "only"

    def __post_init__(self) -> None:
        require_choice(self.face)

    def find(self, photo: Photo, *, face: FaceChoice | None = None) -> FoundFace:
        """The chosen face of a photo, aligned; ``face`` overrides the extractor's own choice."""
        require_photo(photo)
        faces = self.detector.detect(photo.pixels)
        chosen, ambiguous = choose_face(faces, photo.size, self.face if face is None else face)
        return FoundFace(align(photo, chosen, self.embedder.card.template), len(faces), ambiguous)

    def locate(self, photo: Photo, *, face: FaceChoice | None = None) -> Sample:
        """The chosen face of a photo, aligned and measured; ``face`` overrides the extractor's own choice."""
        found = self.find(photo, face=face)
        return Sample(
            face=found.face,
            quality=measure_quality(found.face, again=self.look_again(found.face.crop)),
            faces_found=found.faces_found,
            ambiguous=found.ambiguous,
            sha256=photo.sha256,
            photo_size=photo.size,
            format=photo.format,
            name=photo.name,
        )

    def look_again(self, crop: Pixels) -> list[Face]:
        """Faces in the crop itself; none if the crop shows a likelier one upside down."""
        upright, turned = self.detector.detect(crop), self.detector.detect(np.ascontiguousarray(crop[::-1, ::-1]))
        likelier = turned and (not upright or turned[0].confidence > upright[0].confidence)
        return [] if likelier else upright

    def extract(self, samples: Sequence[Sample]) -> Templates:
        """Templates of several samples in one batch."""
        return self._embed([sample.face for sample in samples])

    def templates(self, faces: Sequence[AlignedFace]) -> list[Template | InputRefused]:
        """Templates in one batch; a crop without a usable one gives its error and does not cost the others theirs."""
        try:
            return list(self._embed(faces)) if faces else []
        except InputRefused as error:
            if len(faces) == 1:
                return [error]
            return [template for face in faces for template in self.templates([face])]

    def _embed(self, faces: Sequence[AlignedFace]) -> Templates:
        if not faces:
            raise InvalidArgument("extract() needs at least one sample")
        return self.embedder.embed(np.stack([face.crop for face in faces]))

    def prepare(
        self, paths: Sequence[Path], *, on_photo: Callable[[], None] = lambda: None, streams: int = 0
    ) -> list[ReadyPhoto | InputRefused]:
        """Each photo read, located and embedded once, in the given order; one that cannot be used gives its error.

        ``streams`` threads (default: one per core) work on blocks of eight photos; ``on_photo`` is called by them
        after each photo.
        """
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        with ThreadPoolExecutor(streams or usable_cores(), "xcos") as pool:
            ready = pool.map(lambda block: self._block(block, on_photo), blocks)
            return [photo for block in ready for photo in block]

    def _block(self, paths: Sequence[Path], on_photo: Callable[[], None]) -> list[ReadyPhoto | InputRefused]:
        samples: list[Sample | InputRefused] = []
        for path in paths:
            try:
                samples.append(self.locate(read_image(path)))
            except InputRefused as error:
                samples.append(error)
            on_photo()
        usable = [sample for sample in samples if isinstance(sample, Sample)]
        templates = iter(self.templates([sample.face for sample in usable]))
        return [_ready(each, next(templates)) if isinstance(each, Sample) else each for each in samples]


def _ready(sample: Sample, template: Template | InputRefused) -> ReadyPhoto | InputRefused:
    return ReadyPhoto(sample, template) if isinstance(template, Template) else template


def require_photo(photo: Photo) -> None:
    """Raises :class:`InvalidArgument` for paths, arrays and other things that are no :class:`Photo` yet."""
    if not isinstance(photo, Photo):
        raise InvalidArgument(f"a photo is wanted, got {type(photo).__name__}: pass read_image(path_or_array)")


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
