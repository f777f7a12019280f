"""One job of embedding: some photos in, one shard of features out. The same in every engine."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from xcos.alignment import align
from xcos.errors import InputRefused, InvalidArgument
from xcos.evaluation.mirror import Mirrored
from xcos.evaluation.protocol import PhotoSource
from xcos.extractor import BLOCK, Extractor, FoundFace
from xcos.feature_store import Kept, Recipe, Refused, Shard, make_shard, open_shard, write_shard
from xcos.images import read_image
from xcos.quality import measure_quality
from xcos.types import Face, Photo, Quality, Reals

SECOND_LOOK = "second_look"
QUALITIES = tuple(field.name for field in dataclasses.fields(Quality))
TIMES = ("read_ms", "detect_ms", "embed_ms")
MEASURES = (*QUALITIES, "confidence", "faces_found", "ambiguous", *TIMES)
"""What is kept of every photo beside its template: the measures of :class:`xcos.types.Quality`; the detector's
confidence; how many faces were found; 1 where another face fits the rule of choice almost as well; one thread's
milliseconds of reading and decoding, of finding, cutting and measuring the face, and of its share of the network's
run."""


@dataclass(frozen=True, eq=False)
class KeyedPhoto:
    """A photo that is known by its bytes."""

    key: str
    """Of its features: :attr:`sha256`, and a hash of the landmarks where they are given."""
    sha256: str
    photo: PhotoSource


@dataclass(frozen=True, eq=False)
class Job:
    """Photos that become one shard."""

    photos: tuple[KeyedPhoto, ...]
    recipe: Recipe
    mirror: bool
    folder: Path | None
    """Where the shard is written; None: it stays in memory."""


def recipe_of(extractor: Extractor, *, second_look: bool) -> Recipe:
    """What the features of an extractor depend on; measures without the second look where none is taken."""
    measures = MEASURES if second_look else tuple(name for name in MEASURES if name != SECOND_LOOK)
    return Recipe(extractor.embedder.model, extractor.detector.name, str(extractor.face), "single", measures)


def with_mirror(extractor: Extractor) -> Extractor:
    """The extractor whose templates are mirror averages."""
    return dataclasses.replace(extractor, embedder=Mirrored(extractor.embedder))


def do_job(job: Job, extractor: Extractor, on_photo: Callable[[], None] = lambda: None) -> Shard:
    """The shard of a job, written and mapped back where the job names a folder.

    Blocks of eight photos go through the network together; a block is the same in every run and every engine.
    """
    results: dict[str, Kept | Refused] = {}
    for start in range(0, len(job.photos), BLOCK):
        results |= _block(job.photos[start : start + BLOCK], extractor, job.recipe.measures, on_photo)
    return shard_of(job, results)


def shard_of(job: Job, results: Mapping[str, Kept | Refused]) -> Shard:
    """The shard of what came of a job's photos, by their keys; written where the job names a folder."""
    shard = make_shard(results, job.recipe.precision)
    return shard if job.folder is None else open_shard(write_shard(shard, job.folder), check=False)


@dataclass(frozen=True, eq=False)
class _Located:
    found: FoundFace
    measures: dict[str, float]


def _block(
    photos: Sequence[KeyedPhoto], extractor: Extractor, names: tuple[str, ...], on_photo: Callable[[], None]
) -> dict[str, Kept | Refused]:
    located: dict[str, _Located | Refused] = {}
    for each in photos:
        try:
            located[each.key] = _located(each, extractor, again=SECOND_LOOK in names)
        except InputRefused as error:
            located[each.key] = Refused(error.code, error.message)
        on_photo()
    usable = {key: each for key, each in located.items() if isinstance(each, _Located)}
    started = perf_counter()
    templates = extractor.templates([each.found.face for each in usable.values()])
    share = 1e3 * (perf_counter() - started) / max(1, len(usable))
    made = dict(zip(usable, templates, strict=True))
    results: dict[str, Kept | Refused] = {}
    for key, here in located.items():
        template = made.get(key)
        if isinstance(here, Refused):
            results[key] = here
        elif isinstance(template, InputRefused):
            results[key] = Refused(template.code, template.message)
        elif template is not None:
            measures = {**here.measures, "embed_ms": share}
            results[key] = Kept(template.grid, template.vector, tuple(measures[name] for name in names))
    return results


def read_keyed(each: KeyedPhoto) -> Photo:
    """The photo, decoded; refused where it is no longer the one its key is of."""
    return read_unchanged(each.photo, each.sha256)


def _located(each: KeyedPhoto, extractor: Extractor, *, again: bool) -> _Located:
    started = perf_counter()
    photo = read_keyed(each)
    read = perf_counter()
    given = each.photo.landmarks
    found = find_face(photo, given, extractor)
    looks = again and given is None
    quality = measure_quality(found.face, again=extractor.look_again(found.face.crop) if looks else ())
    measures = {**dataclasses.asdict(quality), "ambiguous": float(found.ambiguous)}
    measures["faces_found"] = found.faces_found if given is None else np.nan
    measures["confidence"] = found.face.face.confidence if given is None else np.nan
    if not looks:
        measures[SECOND_LOOK] = np.nan
    measures["read_ms"], measures["detect_ms"] = 1e3 * (read - started), 1e3 * (perf_counter() - read)
    return _Located(found, measures)


def read_unchanged(photo: PhotoSource, sha256: str) -> Photo:
    """The photo, whose bytes must still have this hash; :class:`InvalidArgument` if they were changed meanwhile."""
    found = read_image(photo.source)
    if found.sha256 != sha256:
        raise InvalidArgument(f"the photo {photo.name} was changed while it was evaluated; start again")
    return found


def find_face(photo: Photo, landmarks: Reals | None, extractor: Extractor) -> FoundFace:
    """The face at the owner's ``landmarks``, for which no detector is asked; for None the one the extractor finds."""
    if landmarks is None:
        return extractor.find(photo)
    return FoundFace(align(photo, face_at(landmarks), extractor.embedder.card.template), 1, False)


def face_at(landmarks: Reals) -> Face:
    """The face whose points are known; its box is theirs, half a pixel wider."""
    box = np.concatenate([landmarks.min(axis=0) - 0.5, landmarks.max(axis=0) + 0.5])
    return Face(box, landmarks, 1.0)


def packed(job: Job) -> tuple[str, list[bytes]]:
    """A job as text and the bytes of photos that lie in no file, for engines that send it to other processes."""
    blobs = [each.photo.source for each in job.photos if isinstance(each.photo.source, bytes)]
    photos = [
        {
            "key": each.key,
            "sha256": each.sha256,
            "name": each.photo.name,
            "path": None if isinstance(each.photo.source, bytes) else os.fspath(each.photo.source.absolute()),
            "landmarks": None if each.photo.landmarks is None else each.photo.landmarks.tolist(),
        }
        for each in job.photos
    ]
    folder = None if job.folder is None else os.fspath(job.folder.absolute())
    recipe = dataclasses.asdict(job.recipe)
    return json.dumps({"photos": photos, "recipe": recipe, "mirror": job.mirror, "folder": folder}), blobs


def unpacked(text: str, blobs: Sequence[bytes]) -> Job:
    """The job of :func:`packed`."""
    fields, rest = json.loads(text), iter(blobs)
    photos = []
    for each in fields["photos"]:
        landmarks = None if each["landmarks"] is None else np.array(each["landmarks"], np.float64)
        source = next(rest) if each["path"] is None else Path(each["path"])
        photos.append(KeyedPhoto(each["key"], each["sha256"], PhotoSource(each["name"], source, landmarks)))
    recipe = Recipe(**{**fields["recipe"], "measures": tuple(fields["recipe"]["measures"])})
    return Job(tuple(photos), recipe, fields["mirror"], None if fields["folder"] is None else Path(fields["folder"]))
