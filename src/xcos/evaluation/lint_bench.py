"""Faces found once, and a network's vectors of them, each made once however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from xcos.alignment import align
from xcos.embedders import OnnxEmbedder
from xcos.errors import InputRefused, InvalidTemplate
from xcos.evaluation.preprocessing import Feed
from xcos.evaluation.protocol import Numbers, PhotoSource
from xcos.evaluation.work import face_at
from xcos.extractor import BLOCK, usable_cores
from xcos.faces import choose_face
from xcos.images import read_image
from xcos.interfaces import Detector
from xcos.types import Crops, Face, FaceChoice, Floats, Photo, Reals

FeedKey = tuple[object, ...]


class FoundPhoto(NamedTuple):
    """A photo, not kept in memory, and its face."""

    source: PhotoSource
    face: Face


def find_faces(
    photos: dict[int, PhotoSource],
    detector: Detector,
    choice: FaceChoice,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[int, FoundPhoto | InputRefused]:
    """The chosen face of each photo, at the owner's landmarks where they are given; or why there is none."""

    def found(source: PhotoSource) -> FoundPhoto | InputRefused:
        try:
            photo = read_image(source.source)
            if source.landmarks is not None:
                return FoundPhoto(source, face_at(source.landmarks))
            return FoundPhoto(source, choose_face(detector.detect(photo.pixels), photo.size, choice)[0])
        except InputRefused as error:
            return error
        finally:
            on_done(1)

    with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
        return dict(zip(photos, pool.map(found, photos.values()), strict=True))


class Bench:
    """A network, photos with their faces, and all vectors that were made of them in any way.

    ``on_more`` is told of crops that have still to go through the network, ``on_done`` of those that did.
    """

    def __init__(
        self,
        network: OnnxEmbedder,
        photos: dict[int, FoundPhoto],
        *,
        on_more: Callable[[int], None] = lambda _: None,
        on_done: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._network, self._photos = network, photos
        self._on_more, self._on_done = on_more, on_done
        self._known: dict[FeedKey, dict[int, Floats]] = {}

    def prepare(self, feeds: Iterable[Feed], photos: Numbers) -> None:
        """Makes the vectors of these photos fed in all these ways, as far as there are none yet.

        A photo is read once for all of them, and cut once for each crop.
        """
        distinct = {feed.key: feed for feed in feeds}
        blocks = [photos[start : start + BLOCK].tolist() for start in range(0, len(photos), BLOCK)]
        work = [(block, [distinct[key] for key in distinct if not self._has(key, block)]) for block in blocks]
        self._on_more(sum(len(block) * len(feeds) for block, feeds in work))
        with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
            for made in pool.map(lambda each: self._made(*each), [each for each in work if each[1]]):
                for key, vectors in made.items():
                    self._known.setdefault(key, {}).update(vectors)

    def vectors(self, feed: Feed, photos: Numbers) -> Reals:
        """(n, D) vectors of these photos; NaN where the network makes none that can be compared."""
        self.prepare([feed], photos)
        rows = [self._known[feed.key][photo] for photo in photos.tolist()]
        width = max(1, *map(len, rows))
        return np.array([row if len(row) else np.full(width, np.nan) for row in rows], np.float64)

    def _has(self, key: FeedKey, photos: Sequence[int]) -> bool:
        return self._known.get(key, {}).keys() >= set(photos)

    def _made(self, numbers: Sequence[int], feeds: Sequence[Feed]) -> dict[FeedKey, dict[int, Floats]]:
        photos = [read_image(self._photos[number].source.source) for number in numbers]
        faces = [self._photos[number].face for number in numbers]
        cut: dict[bytes, Crops] = {}
        made = {}
        for feed in feeds:
            points = feed.template.points.tobytes()
            if points not in cut:
                cut[points] = _cut(photos, faces, feed)
            crops = np.ascontiguousarray(cut[points][:, :, ::-1]) if feed.mirrored else cut[points]
            network = self._network.with_card(feed.card(self._network.card))
            made[feed.key] = dict(zip(numbers, _usable_vectors(network, crops), strict=True))
            self._on_done(len(numbers))
        return made


def _cut(photos: Sequence[Photo], faces: Sequence[Face], feed: Feed) -> Crops:
    return np.stack([align(photo, face, feed.template).crop for photo, face in zip(photos, faces, strict=True)])


def _usable_vectors(network: OnnxEmbedder, crops: Crops) -> list[Floats]:
    """Vectors of crops; an empty one where the network makes none that can be compared."""
    try:
        return [*network.embed(crops).vectors]
    except InvalidTemplate:
        if len(crops) == 1:
            return [np.empty(0, np.float32)]
        return [vector for crop in crops for vector in _usable_vectors(network, crop[None])]
