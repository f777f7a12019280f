"""Pairs for the bench: of a protocol or of a list of one's own, each photo located once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.errors import InputRefused, InvalidArgument
from xcos.evaluation.protocol import PhotoSource, VerificationProtocol
from xcos.evaluation.protocols import VERIFICATION
from xcos.explainers.bench import spread
from xcos.explainers.faithfulness.measure import FacePair
from xcos.extractor import Extractor, usable_cores
from xcos.images import read_image
from xcos.types import AlignedFace

SHORT = {"lfw": "lfw-view1"}
"""The bench plays on LFW's development test, never on the pairs by which models are reported."""


@dataclass(frozen=True, eq=False)
class ListedPair:
    """Two photos not read yet, and whom they show."""

    probe: PhotoSource
    reference: PhotoSource
    people: tuple[str, str]

    @property
    def mated(self) -> bool:
        """Whether both are one person."""
        return self.people[0] == self.people[1]


@dataclass(frozen=True, eq=False)
class FoundPairs:
    """Pairs whose photos could be used, and the photos that could not."""

    pairs: list[FacePair]
    refused: dict[str, InputRefused]


def listed_pairs(source: str) -> list[ListedPair]:
    """Pairs of ``NAME:PATH``, a protocol of that name, or of a CSV file with ``probe,reference,mated``.

    ``lfw`` is LFW's development test, ``lfw-view1``.
    """
    name, colon, path = source.partition(":")
    reader = VERIFICATION.get(SHORT.get(name, name)) if colon else None
    return pairs_of(reader(Path(path)) if reader else VERIFICATION["csv"](Path(source)))


def pairs_of(protocol: VerificationProtocol) -> list[ListedPair]:
    """The protocol's pairs, in its order."""
    samples = protocol.samples

    def photo(sample: int) -> PhotoSource:
        numbers = samples.sources[sample].photos
        if len(numbers) != 1:
            raise InvalidArgument(
                f"the bench explains pairs of photos, and {protocol.name} compares samples of several; give a protocol "
                "of single photos"
            )
        return samples.photos[numbers[0]]

    def person(sample: int) -> str:
        return f"person {samples.subjects[sample]}"

    pairs = [
        ListedPair(photo(probe), photo(reference), (person(probe), person(reference)))
        for probe, reference in zip(protocol.probe.tolist(), protocol.reference.tolist(), strict=True)
    ]
    for number, (pair, mated) in enumerate(zip(pairs, protocol.mated.tolist(), strict=True), start=1):
        if pair.mated != mated:
            raise InvalidArgument(
                f"{protocol.name}, pair {number} ({pair.probe.name}, {pair.reference.name}): called "
                f"{'mated' if mated else 'non-mated'}, but other pairs, or names, say the opposite; correct the list"
            )
    return pairs


def evenly(pairs: Sequence[ListedPair], limit: int) -> list[ListedPair]:
    """At most ``limit`` of the pairs (0: all), as many of each kind, evenly spread over the list."""
    mated = np.array([pair.mated for pair in pairs])
    return [pairs[at] for at in spread(mated, limit)]


def find_pairs(
    pairs: Sequence[ListedPair], extractor: Extractor, *, on_photo: Callable[[], None] = lambda: None
) -> FoundPairs:
    """Every photo read and located once; pairs with a photo that cannot be used are left out, and the photo named."""

    def located(photo: PhotoSource) -> AlignedFace | InputRefused:
        try:
            return extractor.locate(read_image(photo.source)).face
        except InputRefused as error:
            return error
        finally:
            on_photo()

    photos = photos_of(pairs)
    with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
        tried = dict(zip(photos, pool.map(located, photos.values()), strict=True))
    faces = {name: face for name, face in tried.items() if isinstance(face, AlignedFace)}
    found = [
        FacePair(
            f"{Path(pair.probe.name).name} · {Path(pair.reference.name).name}",
            faces[pair.probe.name],
            faces[pair.reference.name],
            pair.people,
        )
        for pair in pairs
        if pair.probe.name in faces and pair.reference.name in faces
    ]
    return FoundPairs(found, {name: error for name, error in tried.items() if isinstance(error, InputRefused)})


def photos_of(pairs: Sequence[ListedPair]) -> dict[str, PhotoSource]:
    """Each photo once, by its name."""
    return {photo.name: photo for pair in pairs for photo in (pair.probe, pair.reference)}
