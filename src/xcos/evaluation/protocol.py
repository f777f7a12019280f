"""What is compared with what. A protocol is a value; its readers are in ``protocols/``, and no photo is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Reals, freeze

Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """One photo of a protocol, not read yet."""

    name: str
    """Unique in its protocol; what tables and reports show."""
    source: Path | bytes
    """Its file, or the file's bytes where many photos lie in one."""
    landmarks: Reals | None = None
    """``(5, 2)`` points in photo pixels where the set's owner gives them; None: the detector looks for them."""
    weight: float = 1.0
    """How much it counts among the photos of its sample (IJB: the detector's score)."""

    def __post_init__(self) -> None:
        if self.landmarks is not None:
            points = np.asarray(self.landmarks, np.float64)
            if points.shape != (5, 2) or not np.isfinite(points).all():
                raise InvalidArgument(f"landmarks of {self.name} must be (5, 2) finite pixels, got {points.shape}")
            freeze(self, landmarks=points)
        if not self.name or not self.weight > 0:
            raise InvalidArgument(f"a photo needs a name and a weight above 0, got {self.name!r} and {self.weight}")


@dataclass(frozen=True)
class SampleSource:
    """Photos compared as one: a single photo, the frames of a video, the media of a template."""

    media: tuple[tuple[int, ...], ...]
    """Numbers of photos, medium by medium; photos of one medium are averaged before the media are."""
    name: str = ""
    """As its set's owner names it, such as a video or a template; empty: by its photo's name."""

    @property
    def photos(self) -> tuple[int, ...]:
        """Numbers of all its photos."""
        return tuple(photo for medium in self.media for photo in medium)


def single(photo: int) -> SampleSource:
    """A sample of one photo."""
    return SampleSource(((photo,),))


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a protocol, and whom they show."""

    photos: tuple[PhotoSource, ...]
    sources: tuple[SampleSource, ...]
    subjects: Numbers
    """(samples,) number of the person, from 0."""
    subjects_known: bool
    """False where the set does not say who is who; then those linked by mated pairs or by the same photo are one
    person (:func:`linked_subjects`), which can only be too many people: intervals may be too narrow."""

    def __post_init__(self) -> None:
        if self.subjects.shape != (len(self.sources),) or not len(self.sources) or self.subjects.min() < 0:
            raise InvalidArgument(
                f"want one subject, from 0, for each of one or more samples; got {len(self.sources)} samples and "
                f"subjects {self.subjects.shape}"
            )
        used = [photo for source in self.sources for photo in source.photos]
        if not all(source.photos for source in self.sources) or max(used) >= len(self.photos) or min(used) < 0:
            raise InvalidArgument("a sample must have photos, each of them one of the protocol's")
        if len({photo.name for photo in self.photos}) != len(self.photos):
            raise InvalidArgument("photos of a protocol must have different names")
        freeze(self, subjects=np.asarray(self.subjects, np.int64))

    def __len__(self) -> int:
        return len(self.sources)

    def name(self, number: int) -> str:
        """What tables call a sample: the owner's name for it, or that of its photo, or of the first of several."""
        source = self.sources[number]
        first = self.photos[source.photos[0]].name
        more = len(source.photos) - 1
        return source.name or (f"sample {number}: {first} and {more} more" if more else first)


@dataclass(frozen=True, eq=False)
class VerificationProtocol:
    """Pairs of samples, each mated or not, in the order in which the set's owner lists them."""

    name: str
    """Short name, such as ``lfw``."""
    samples: Samples
    probe: Numbers
    """(n,) numbers of samples."""
    reference: Numbers
    mated: Truths
    """(n,)."""
    fold: Numbers
    """(n,) from 0; all 0 where the set has no folds."""
    sha256: str
    """Of everything that defines the protocol: its lists, not its photos."""
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Labels of the pairs, by the name of the column, (n,) each; empty text: not said."""

    def __post_init__(self) -> None:
        columns = {"probe": self.probe, "reference": self.reference, "mated": self.mated, "fold": self.fold}
        count = len(self.probe)
        for name, values in {**columns, **self.groups}.items():
            if values.shape != (count,) or not count:
                raise InvalidArgument(f"{name} must be one value for each of one or more pairs, got {values.shape}")
        numbers = np.concatenate([self.probe, self.reference])
        if numbers.min() < 0 or numbers.max() >= len(self.samples):
            raise InvalidArgument("pairs name samples that the protocol does not have")
        if not np.array_equal(np.unique(self.fold), np.arange(self.folds)):
            raise InvalidArgument("folds must be numbered from 0 without gaps")
        freeze(self, **columns)

    def __len__(self) -> int:
        return len(self.probe)

    @property
    def folds(self) -> int:
        """How many folds there are; 1 where the set has none."""
        return int(self.fold.max()) + 1


@dataclass(frozen=True, eq=False)
class IdentificationProtocol:
    """Probes searched in a gallery; a probe is mated if its subject is in the gallery."""

    name: str
    samples: Samples
    gallery: Numbers
    """(g,) numbers of samples."""
    probes: Numbers
    """(p,) numbers of samples."""
    sha256: str

    def __post_init__(self) -> None:
        for name, values in (("gallery", self.gallery), ("probes", self.probes)):
            if values.ndim != 1 or not len(values) or values.min() < 0 or values.max() >= len(self.samples):
                raise InvalidArgument(f"{name} must be numbers of one or more of the protocol's samples")
        freeze(self, gallery=self.gallery, probes=self.probes)


def linked_subjects(count: int, first: Numbers, second: Numbers) -> Numbers:
    """(count,) numbers of subjects from 0: samples linked by a chain of (first, second) are one person.

    Union–find with path halving.
    """
    parent = np.arange(count)

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = int(parent[at])
        return at

    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        parent[root(other)] = root(one)
    roots = np.array([root(at) for at in range(count)])
    numbers: Numbers = np.unique(roots, return_inverse=True)[1].astype(np.int64)
    return numbers
