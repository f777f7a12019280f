"""Pairs for the bench: from a list of pairs or from LFW's folder, each photo located once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.errors import InputRefused, InvalidPairList
from xcos.evaluation.protocol import linked_subjects
from xcos.explainers.bench import spread
from xcos.explainers.faithfulness.measure import FacePair
from xcos.extractor import Extractor, usable_cores
from xcos.images import read_image
from xcos.pairs import read_pairs
from xcos.types import AlignedFace

LFW = "lfw:"


@dataclass(frozen=True)
class ListedPair:
    """Two photos not read yet, and whom they show."""

    probe: Path
    reference: Path
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
    """Pairs of ``lfw:FOLDER`` (its ``pairsDevTest.txt``), or of a CSV file with ``probe,reference,mated``."""
    return lfw_pairs(Path(source.removeprefix(LFW))) if source.startswith(LFW) else csv_pairs(Path(source))


def csv_pairs(path: Path) -> list[ListedPair]:
    """Pairs of a CSV file; photos linked by mated pairs are one person, as the file names nobody."""
    listed = read_pairs(path)
    if any(pair.mated is None for pair in listed.pairs):
        raise InvalidPairList(f"{path.name} must say of every pair whether it is mated: the bench needs the truth")
    photos = {name: at for at, name in enumerate(dict.fromkeys(
        name for pair in listed.pairs for name in (pair.probe, pair.reference)))}  # fmt: skip
    links = np.array([(photos[pair.probe], photos[pair.reference]) for pair in listed.pairs if pair.mated], np.int64)
    people = linked_subjects(len(photos), *links.reshape(-1, 2).T)
    pairs = []
    for number, pair in enumerate(listed.pairs, start=1):
        who = tuple(f"person {people[photos[name]]}" for name in (pair.probe, pair.reference))
        if (who[0] == who[1]) != pair.mated:
            raise InvalidPairList(
                f"{path.name}, pair {number}: called non-mated, but other pairs link both photos to one person"
            )
        pairs.append(ListedPair(listed.folder / pair.probe, listed.folder / pair.reference, (who[0], who[1])))
    return pairs


def lfw_pairs(folder: Path) -> list[ListedPair]:
    """The pairs of LFW's development test, 500 of each kind, from ``pairsDevTest.txt`` and ``images/`` in a folder."""
    path = folder / "pairsDevTest.txt"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InvalidPairList(f"cannot read {path}: {error.strerror}; give the folder as lfw:FOLDER") from error
    pairs = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split("\t")
        if len(words) == 3:
            words = [words[0], words[1], words[0], words[2]]
        if len(words) != 4 or not words[1].isdecimal() or not words[3].isdecimal():
            raise InvalidPairList(f"{path.name}, line {number}: expected name n1 n2 or name1 n1 name2 n2, got {line!r}")
        photos = [folder / "images" / name / f"{name}_{int(at):04d}.jpg" for name, at in (words[:2], words[2:])]
        pairs.append(ListedPair(photos[0], photos[1], (words[0], words[2])))
    return pairs


def evenly(pairs: Sequence[ListedPair], limit: int) -> list[ListedPair]:
    """At most ``limit`` of the pairs (0: all), as many of each kind, evenly spread over the list."""
    mated = np.array([pair.mated for pair in pairs])
    return [pairs[at] for at in spread(mated, limit)]


def find_pairs(
    pairs: Sequence[ListedPair], extractor: Extractor, *, on_photo: Callable[[], None] = lambda: None
) -> FoundPairs:
    """Every photo read and located once; pairs with a photo that cannot be used are left out, and the photo named."""

    def located(path: Path) -> AlignedFace | InputRefused:
        try:
            return extractor.locate(read_image(path)).face
        except InputRefused as error:
            return error
        finally:
            on_photo()

    paths = photos_of(pairs)
    with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
        tried = dict(zip(paths, pool.map(located, paths), strict=True))
    faces = {path: face for path, face in tried.items() if isinstance(face, AlignedFace)}
    found = [
        FacePair(f"{pair.probe.name} · {pair.reference.name}", faces[pair.probe], faces[pair.reference], pair.people)
        for pair in pairs
        if pair.probe in faces and pair.reference in faces
    ]
    return FoundPairs(found, {str(path): error for path, error in tried.items() if isinstance(error, InputRefused)})


def photos_of(pairs: Sequence[ListedPair]) -> list[Path]:
    """Each photo once."""
    return list(dict.fromkeys(path for pair in pairs for path in (pair.probe, pair.reference)))
