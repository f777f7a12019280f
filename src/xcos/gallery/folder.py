"""A folder of photos into a gallery: one sub-folder for each person, resumable, and what looks wrong in it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.calibration import Calibration
from xcos.errors import InputRefused, InvalidArgument
from xcos.extractor import Extractor, ReadyPhoto
from xcos.gallery.gallery import Gallery
from xcos.gallery.identifier import enrolment_quality
from xcos.gallery.store import Enrolment, NewSubject
from xcos.images import file_bytes
from xcos.interfaces import Comparator

AT_ONCE = 64  # photos between two acts: what a stop may cost
MOST_COMPARED = 20_000  # templates that are all compared with one another


@dataclass(frozen=True)
class Photo:
    """A file and whose it is said to be."""

    subject: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Failure:
    """A photo that was not enrolled."""

    subject: str
    path: Path
    code: str
    """Of the error (:mod:`xcos.errors`); ``duplicate`` for the second copy of a photo of one person, ``two_subjects``
    for a photo that stands under somebody else's name too."""
    message: str


@dataclass(frozen=True)
class Enrolled:
    """What came of a folder."""

    photos: int
    known: int
    """Photos that were in the gallery before."""
    enrolled: int
    failures: tuple[Failure, ...]
    subjects: int
    """People in the folder."""
    without: tuple[str, ...]
    """People in the folder of whom no photo is in the gallery: failures to enrol."""

    @property
    def codes(self) -> Counter[str]:
        """How many photos failed why."""
        return Counter(failure.code for failure in self.failures)


def enrol_folder(
    gallery: Gallery,
    extractor: Extractor,
    folder: str | Path,
    *,
    on_todo: Callable[[int], None] = lambda _: None,
    on_photo: Callable[[], None] = lambda: None,
) -> Enrolled:
    """Enrols every photo in ``folder/SUBJECT/``; the folders' names are the subjects' ids.

    A photo that cannot be used is a failure with its code. Photos are known by the hash of their bytes, so a run that
    was stopped goes on, and a second one enrols nothing. ``on_todo`` is told once how many are to be embedded,
    ``on_photo`` is called for each of them, by several threads.
    """
    photos, failures = _read(Path(folder))
    known_sources = gallery.sources()
    wanted, conflicts = _without_conflicts(photos, known_sources)
    failures += conflicts
    todo = [photo for photo in wanted if photo.subject not in known_sources.get(photo.sha256, ())]
    known = len(wanted) - len(todo)
    on_todo(len(todo))
    enrolled = 0
    for start in range(0, len(todo), AT_ONCE):
        some = todo[start : start + AT_ONCE]
        ready = extractor.prepare([photo.path for photo in some], on_photo=on_photo)
        failures += [
            Failure(photo.subject, photo.path, result.code, result.message)
            for photo, result in zip(some, ready, strict=True)
            if isinstance(result, InputRefused)
        ]
        enrolled += _enrol(gallery, some, ready)
    there = {subject.id for subject in gallery.subjects()}
    subjects = sorted({photo.subject for photo in photos} | {failure.subject for failure in failures})
    return Enrolled(
        photos=len(photos) + sum(failure.code == "unreadable_source" for failure in failures),
        known=known,
        enrolled=enrolled,
        failures=tuple(failures),
        subjects=len(subjects),
        without=tuple(subject for subject in subjects if subject not in there),
    )


def _read(folder: Path) -> tuple[list[Photo], list[Failure]]:
    if not folder.is_dir():
        raise InvalidArgument(f"{folder} is no folder; give one with a sub-folder of photos for each person")
    photos, failures = [], []
    for home in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        for path in sorted(each for each in home.iterdir() if not each.name.startswith(".")):
            try:
                photos.append(Photo(home.name, path, hashlib.sha256(file_bytes(path)).hexdigest()))
            except InputRefused as error:
                failures.append(Failure(home.name, path, error.code, error.message))
    if not photos and not failures:
        raise InvalidArgument(f"{folder} has no photos in sub-folders; give one with a sub-folder for each person")
    return photos, failures


def _without_conflicts(photos: Sequence[Photo], known: dict[str, set[str]]) -> tuple[list[Photo], list[Failure]]:
    """Photos that stand once, under one name; the first copy of a person's photo counts."""
    owners: dict[str, set[str]] = {source: set(names) for source, names in known.items()}
    for photo in photos:
        owners.setdefault(photo.sha256, set()).add(photo.subject)
    wanted: dict[tuple[str, str], Photo] = {}
    failures = []
    for photo in photos:
        first = wanted.get((photo.subject, photo.sha256))
        if len(owners[photo.sha256]) > 1 and photo.subject not in known.get(photo.sha256, ()):
            others = ", ".join(sorted(owners[photo.sha256] - {photo.subject}))
            failures.append(Failure(photo.subject, photo.path, "two_subjects", f"the same photo stands under {others}"))
        elif first:
            failures.append(Failure(photo.subject, photo.path, "duplicate", f"the same bytes as {first.path.name}"))
        else:
            wanted[photo.subject, photo.sha256] = photo
    return list(wanted.values()), failures


def _enrol(gallery: Gallery, photos: Sequence[Photo], ready: Sequence[ReadyPhoto | InputRefused]) -> int:
    by_subject: dict[str, list[Enrolment]] = defaultdict(list)
    for photo, result in zip(photos, ready, strict=True):
        if isinstance(result, ReadyPhoto):
            quality = enrolment_quality(result.sample)
            by_subject[photo.subject].append(Enrolment(result.template, quality, photo.sha256))
    gallery.enrol_all(NewSubject(name, tuple(those), add=True) for name, those in by_subject.items())
    return sum(map(len, by_subject.values()))


@dataclass(frozen=True)
class Stranger:
    """A photo that is like none of its subject's other photos."""

    subject: str
    source: str
    score: float
    """The best one with another photo of the subject."""
    nearest: str
    """The other subject it is most like."""
    nearest_score: float


@dataclass(frozen=True)
class Twins:
    """Two subjects with photos that match: one person under two names, or look-alikes."""

    one: str
    other: str
    score: float


@dataclass(frozen=True)
class LabelDoubts:
    """What is worth a look in a gallery's labels."""

    threshold: float
    fmr: float
    strangers: tuple[Stranger, ...]
    twins: tuple[Twins, ...]


def doubt_labels(gallery: Gallery, comparator: Comparator, calibration: Calibration, *, fmr: float) -> LabelDoubts:
    """Photos far from their subject, and subjects that match one another, by comparing all templates with all.

    A photo is a stranger if no other photo of its subject reaches the lower end of the threshold at ``fmr``; subjects
    match if a pair of photos reaches its upper end. Some pairs of different people do, by the very meaning of the rate:
    these are for a person to look at. :class:`InvalidArgument` above 20,000 templates.
    """
    threshold = calibration.threshold(fmr)
    names, sources, blocks = gallery.all_scores(comparator, most=MOST_COMPARED)
    owners = np.unique(np.array(names, object), return_inverse=True)[1]
    strangers: list[Stranger] = []
    pairs: dict[tuple[str, str], float] = {}
    for places, scores in blocks:
        scores[np.arange(len(places)), places] = -np.inf
        mine = owners[places][:, None] == owners[None]
        own, others = np.where(mine, scores, -np.inf), np.where(mine, -np.inf, scores)
        for row, place in enumerate(places.tolist()):
            best, nearest = float(own[row].max(initial=-np.inf)), int(others[row].argmax())
            if np.isfinite(best) and best < threshold.low:
                far = float(others[row, nearest])
                strangers.append(Stranger(names[place], sources[place], best, names[nearest], far))
        for row, column in np.argwhere(others >= threshold.high).tolist():
            one, other = sorted((names[places[row]], names[column]))
            pairs[one, other] = max(pairs.get((one, other), -np.inf), float(others[row, column]))
    twins = [Twins(one, other, score) for (one, other), score in pairs.items()]
    return LabelDoubts(
        threshold=threshold.value,
        fmr=fmr,
        strangers=tuple(sorted(strangers, key=lambda each: (each.score, each.subject, each.source))),
        twins=tuple(sorted(twins, key=lambda each: (-each.score, each.one, each.other))),
    )
