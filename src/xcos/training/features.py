"""A folder of people → grids and vectors of their photos, embedded once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument, NoFace, UnusableFace
from xcos.evaluation.engines import LOCAL
from xcos.evaluation.protocol import PhotoSource
from xcos.evaluation.work import Job, KeyedPhoto
from xcos.extractor import Extractor
from xcos.feature_store import FeatureStore, Recipe, Refused, StoredRows, opened_store
from xcos.images import printable
from xcos.types import Floats

PHOTOS_PER_SHARD = 64  # what a stop may cost a thread
TRIED = 256
"""So many photos, in the order of their hashes and so from anywhere in the folder, and not one usable: no more are."""


@dataclass(frozen=True)
class PersonPhoto:
    """One file of a person's folder."""

    person: str
    path: Path

    @property
    def shown(self) -> str:
        """Person and file on one line, for messages."""
        return printable(f"{self.person}/{self.path.name}")


@dataclass(frozen=True)
class LeftOut:
    """A photo that cannot be used, and why: a stable code and a sentence."""

    photo: str
    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Features:
    """Features of n photos of known people."""

    grids: StoredRows
    """(n, rows, cols, channels)."""
    vectors: Floats
    """(n, D)."""
    labels: NDArray[np.int64]
    """(n,) place of each photo's person in ``people``."""
    people: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Features:
        """These photos, with their people numbered anew."""
        kept, labels = np.unique(self.labels[index], return_inverse=True)
        return Features(
            self.grids.take(index), self.vectors[index], labels.astype(np.int64), tuple(self.people[at] for at in kept)
        )

    @property
    def photos_per_person(self) -> NDArray[np.int64]:
        """(people,)."""
        return np.bincount(self.labels, minlength=len(self.people))


def list_photos(folder: str | Path) -> list[PersonPhoto]:
    """Every file in the sub-folders of ``folder``, one a person; hidden files and folders are passed over."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidArgument(f"{folder} is no folder; give one with a sub-folder of photos for each person")
    homes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [
        PersonPhoto(home.name, path)
        for home in homes
        for path in sorted(home.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]
    people = len({photo.person for photo in found})
    if people < 2:
        loose = sum(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
        aside = f", and {loose:,} files that are in none" if loose else ""
        raise InvalidArgument(
            f"{folder} has {len(homes):,} sub-folders, with files of {people} people{aside}; comparing needs more: one "
            "sub-folder a person, photos directly in it, two or more in most of them",
            people=people,
        )
    return found


def embed_people(
    photos: Sequence[PersonPhoto],
    extractor: Extractor,
    cache: str | Path,
    *,
    on_photo: Callable[[], None] = lambda: None,
    on_known: Callable[[int], None] = lambda _: None,
) -> Features:
    """Features of all photos; those that ``cache`` knows are read from there, the others embedded and added.

    The cache (:mod:`xcos.feature_store`) knows photos by the hash of their bytes, for one embedder, detector and
    choice of face; it grows by blocks of photos, so that a run that was stopped goes on where it was. ``on_known`` is
    told once how many photos need no work. A second run that would add to the same features is refused. Where none of
    the first photos can be used, the others are not tried.
    """
    hashes = [_hash(photo.path) for photo in photos]
    recipe = Recipe(extractor.embedder.model, extractor.detector.name, str(extractor.face), "half")
    with opened_store(cache, recipe, set(hashes)) as store:
        named = zip(hashes, photos, strict=True)
        unknown = {sha: PhotoSource(each.shown, each.path) for sha, each in named if sha not in store.known}
        on_known(len(photos) - len(unknown))
        keyed = tuple(KeyedPhoto(sha, sha, unknown[sha]) for sha in sorted(unknown))
        parts = (keyed[start : start + PHOTOS_PER_SHARD] for start in range(0, len(keyed), PHOTOS_PER_SHARD))
        jobs = [Job(part, recipe, mirror=False, folder=store.folder) for part in parts]
        for shard in LOCAL.run(jobs, extractor, on_photo):
            store.add(shard)
            _require_some(store)
        return _collected(photos, hashes, _duplicates(photos, hashes), store)


def _hash(path: Path) -> str:
    """SHA-256 of the file; of nothing where it cannot be read, which reading it then reports."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return hashlib.sha256(os.fsencode(path)).hexdigest()


def _duplicates(photos: Sequence[PersonPhoto], hashes: Sequence[str]) -> dict[int, LeftOut]:
    """Photos that must not be compared with their own copies, by their place in the list."""
    owners: dict[str, list[str]] = {}
    found = {}
    for photo, sha in zip(photos, hashes, strict=True):
        owners.setdefault(sha, []).append(photo.person)
    seen: set[str] = set()
    for at, (photo, sha) in enumerate(zip(photos, hashes, strict=True)):
        several = sorted(set(owners[sha]))
        if len(several) > 1:
            found[at] = LeftOut(photo.shown, "two_people", f"the same photo is in the folders {', '.join(several)}")
        elif sha in seen:
            found[at] = LeftOut(photo.shown, "duplicate_photo", "the same bytes as another photo of this person")
        seen.add(sha)
    return found


def _collected(
    photos: Sequence[PersonPhoto], hashes: Sequence[str], unclear: dict[int, LeftOut], store: FeatureStore
) -> Features:
    left_out, used, places = [], [], []
    for at, (photo, sha) in enumerate(zip(photos, hashes, strict=True)):
        known = store.known[sha]
        if isinstance(known, Refused):
            left_out.append(LeftOut(photo.shown, known.code, known.message))
        elif at in unclear:
            left_out.append(unclear[at])
        else:
            used.append(photo.person)
            places.append(known)
    if not places:
        raise _unusable(left_out)
    people, labels = np.unique(used, return_inverse=True)
    return Features(
        grids=store.rows("grids", places),
        vectors=store.rows("vectors", places)[np.arange(len(places))],
        labels=labels.astype(np.int64),
        people=tuple(str(name) for name in people),
        left_out=tuple(left_out),
    )


def _require_some(store: FeatureStore) -> None:
    refused = [each for each in store.known.values() if isinstance(each, Refused)]
    if len(refused) >= TRIED and len(refused) == len(store.known):
        raise _unusable(refused)


def _unusable(refused: Sequence[LeftOut | Refused]) -> InvalidArgument:
    counts = Counter(each.code for each in refused)
    told = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    faceless = counts.keys() & {NoFace.code, UnusableFace.code}
    crops = "; photos that are crops already need --detector whole-image" if faceless else ""
    return InvalidArgument(
        f"none of {len(refused):,} photos can be used ({told}; such as: {refused[0].message}){crops}; look at the "
        "photos",
        photos=len(refused),
    )
