"""From lines to a protocol: names become numbers, and what no list of pairs may hold is refused."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.evaluation.protocol import (
    Numbers,
    PhotoSource,
    Samples,
    Truths,
    VerificationProtocol,
    linked_subjects,
    single,
)
from xcos.evaluation.protocols.lists import Place, refused, require_photos
from xcos.evaluation.protocols.owners import Owner

FOLDS = 10
"""Folds of LFW and of all sets made after its example."""


class NamedSamples:
    """Samples as lists name them, numbered in the order in which they first occur."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.subjects: list[str | None] = []
        self.places: list[Place] = []
        """Where each first stands."""
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str, place: Place, subject: str | None = None) -> int:
        """The number of a sample; ``subject`` is its person where the set says so, and always the same one."""
        known = self._numbers.setdefault(name, len(self.names))
        if known == len(self.names):
            self.names.append(name)
            self.subjects.append(subject)
            self.places.append(place)
        elif self.subjects[known] != subject:
            first = self.places[known].told
            raise refused(place, f"{name} is of {subject} here, of {self.subjects[known]} in {first}")
        return known

    def subject_numbers(self) -> Numbers:
        """(samples,) numbers of the people named, from 0 in the order of first occurrence."""
        numbers: dict[str | None, int] = {}
        return np.array([numbers.setdefault(subject, len(numbers)) for subject in self.subjects], np.int64)


class PairList:
    """Pairs as they are read; :meth:`protocol` checks them together."""

    def __init__(self, samples: NamedSamples, columns: Sequence[str] = ()) -> None:
        self.samples = samples
        self._labels: dict[str, list[str]] = {column: [] for column in columns}
        self._probe, self._reference, self._fold, self._number, self._file = (array("q") for _ in range(5))
        self._mated = bytearray()
        self._files: list[Place] = []
        """One place in each file, in the order of reading."""

    def __len__(self) -> int:
        return len(self._mated)

    @property
    def mated(self) -> Truths:
        """(n,)."""
        return np.array(self._mated, np.bool_)

    def add(
        self,
        place: Place,
        probe: int,
        reference: int,
        *,
        mated: bool,
        fold: int = 0,
        labels: Sequence[str] = (),
        label_rules: bool = False,
    ) -> None:
        """One more pair of numbers of samples.

        Refused where the set names both people and they contradict ``mated``, unless its owner says that the label is
        right where name and label differ (``label_rules``).
        """
        one, other = self.samples.subjects[probe], self.samples.subjects[reference]
        if not label_rules and one is not None and other is not None and (one == other) != mated:
            told = f"names two people, {one} and {other}" if mated else f"has two photos of one person, {one}"
            raise refused(place, f"the pair is {'mated' if mated else 'non-mated'}, but {told}")
        if not self._files or self._files[-1].file != place.file:
            self._files.append(place)
        self._file.append(len(self._files) - 1)
        self._number.append(place.number or 0)
        self._probe.append(probe)
        self._reference.append(reference)
        self._fold.append(fold)
        self._mated.append(mated)
        for column, label in zip(self._labels.values(), labels, strict=True):
            column.append(label)

    def place(self, pair: int) -> Place:
        """Where a pair stands."""
        return self._files[self._file[pair]]._replace(number=self._number[pair])

    def columns(self, *, as_published: bool) -> tuple[Numbers, Numbers, Truths]:
        """Probe, reference and mated of all pairs, (n,) each, after :func:`check_pairs`."""
        probe, reference = np.array(self._probe, np.int64), np.array(self._reference, np.int64)
        check_pairs(probe, reference, self.mated, self.place, as_published=as_published)
        return probe, reference, self.mated

    @property
    def fold(self) -> Numbers:
        """(n,) as added."""
        return np.array(self._fold, np.int64)

    @property
    def groups(self) -> Mapping[str, NDArray[np.str_]]:
        """Labels by column, (n,) each."""
        return {name: np.array(labels, np.str_) for name, labels in self._labels.items()}

    def subjects(self, probe: Numbers, reference: Numbers, mated: Truths) -> tuple[Numbers, bool]:
        """(samples,) people, and whether the set names them; else those linked by mated pairs are one person."""
        if None not in self.samples.subjects:
            return self.samples.subject_numbers(), True
        return linked_subjects(len(self.samples), probe[mated], reference[mated]), False

    def protocol(
        self,
        name: str,
        folder: Path,
        owner: Owner | None,
        sha256: str,
        *,
        as_published: bool,
        with_photos: bool,
        fold: Numbers | None = None,
    ) -> VerificationProtocol:
        """The protocol of samples that are one photo each, whose names are paths in ``folder``.

        ``with_photos`` refuses where one of them is not there.
        """
        probe, reference, mated = self.columns(as_published=as_published)
        if with_photos:
            require_photos(self.samples.names, self.samples.places, folder, owner)
        photos = tuple(PhotoSource(each, folder / each) for each in self.samples.names)
        subjects, known = self.subjects(probe, reference, mated)
        return VerificationProtocol(
            name=name,
            samples=Samples(photos, tuple(map(single, range(len(photos)))), subjects, known),
            probe=probe,
            reference=reference,
            mated=mated,
            fold=self.fold if fold is None else fold,
            sha256=sha256,
            groups=self.groups,
        )


def check_pairs(
    probe: Numbers, reference: Numbers, mated: Truths, place: Callable[[int], Place], *, as_published: bool
) -> None:
    """Raises unless there are mated and non-mated pairs, none of them twice and none of a sample with itself.

    ``as_published`` lets pairs of a sample with itself and pairs that occur twice stand, in either order of their
    samples; a pair that is mated in one place and not in another is always refused. ``place`` says where pair k
    stands. O(n log n).
    """
    for kind, told in ((True, "mated"), (False, "non-mated")):
        if not (mated == kind).any():
            raise refused(place(0)._replace(number=None), f"there is no {told} pair; a protocol needs both kinds")
    itself = np.flatnonzero(probe == reference)
    if len(itself) and not as_published:
        raise refused(place(int(itself[0])), f"a pair of one photo with itself ({len(itself)} such pairs). {_ADVICE}")
    key = np.minimum(probe, reference)
    key *= int(max(probe.max(), reference.max())) + 1
    key += np.maximum(probe, reference)
    if not _repeats(key):
        return
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order][1:] == key[order][:-1])
    for differs in (True, False):
        pairs = again[(mated[order[again]] != mated[order[again + 1]]) == differs]
        if len(pairs) and (differs or not as_published):
            second = int(order[pairs + 1].min())
            first = place(int(np.flatnonzero(key == key[second])[0]))
            where = first.told + ("" if first.file == place(second).file else f" of {first.file.name}")
            told = "as mated and as non-mated" if differs else f"twice ({len(pairs)} such pairs). {_ADVICE}"
            raise refused(place(second), f"the pair of {where} stands here again: {told}")


_ADVICE = (
    "It would count as much as others; correct the list, or ask for the list as it was published (as_published=True; "
    "--as-published of xcos evaluate)"
)


def _repeats(key: Numbers) -> bool:
    ordered = np.sort(key)
    return bool((ordered[1:] == ordered[:-1]).any())


def folds_by_rank(mated: Truths, file: Path) -> Numbers:
    """(n,) the fold of each pair where a list does not say it: the k-th tenth of the mated and of the non-mated pairs.

    It is the same for lists that alternate fold by fold and for lists with all mated pairs first, such as those of
    CALFW and CPLFW, where evaluation code of others does so (FaceX-Zoo, ``test_protocol/lfw/pairs_parser.py``).
    """
    fold = np.zeros(len(mated), np.int64)
    for kind, told in ((True, "mated"), (False, "non-mated")):
        where = np.flatnonzero(mated == kind)
        if not len(where) or len(where) % FOLDS:
            raise refused(Place(file, None), f"{len(where)} {told} pairs cannot be {FOLDS} folds of equal size")
        fold[where] = np.arange(len(where)) * FOLDS // len(where)
    return fold
