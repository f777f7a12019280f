"""Labeled Faces in the Wild (Huang et al. 2007), and the form of its lists, which other sets share.

The form is that of the owner's README, sections 3a to 3c: a header of one number (View 1: how many mated and how many
non-mated pairs) or two (View 2: how many folds, and how many mated and non-mated pairs in each); then, fold by fold,
the mated pairs ``name n1 n2`` and the non-mated pairs ``name1 n1 name2 n2``, for the photos ``name/name_0001.jpg``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.bins import is_bin, read_bin
from xcos.evaluation.protocols.lists import Line, ListFile, Place, inside, number, photo_folder, read_list, refused
from xcos.evaluation.protocols.pairing import NamedSamples, PairList

VIEW_1 = {"test": "pairsDevTest.txt", "train": "pairsDevTrain.txt"}


class NamedPhoto(NamedTuple):
    """The n-th photo of a person."""

    person: str
    number: int

    @property
    def stem(self) -> str:
        """Its path without the ending."""
        return f"{self.person}/{self.person}_{self.number:04d}"


class NamedPair(NamedTuple):
    """One line of a list."""

    probe: NamedPhoto
    reference: NamedPhoto
    mated: bool


class Block(NamedTuple):
    """Header of a list: ``folds`` times ``size`` mated pairs and as many non-mated ones."""

    folds: int
    size: int


def read_lfw(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """View 2: 6,000 pairs in 10 folds of 300 mated and 300 non-mated ones.

    ``path`` holds ``pairs.txt`` and the people's folders, themselves or in ``images/``; or it is InsightFace's
    ``lfw.bin`` (:func:`~xcos.evaluation.protocols.bins.read_bin`). People are known by name. Raises
    :class:`~xcos.errors.InvalidProtocol`.
    """
    if is_bin(path):
        return read_bin(path, "lfw", as_published=as_published, with_photos=with_photos)
    return _read(path, "pairs.txt", "lfw", as_published, with_photos)


def read_lfw_view1(
    path: Path, *, part: str = "test", as_published: bool = False, with_photos: bool = True
) -> VerificationProtocol:
    """View 1, for choosing models: ``test`` with 500 pairs of each kind, or ``train`` with 1,100; no folds.

    ``path`` as for :func:`read_lfw`; the list is ``pairsDevTest.txt`` or ``pairsDevTrain.txt``.
    """
    return _read(path, VIEW_1[part], "lfw-view1" if part == "test" else f"lfw-view1-{part}", as_published, with_photos)


def _read(path: Path, list_name: str, name: str, as_published: bool, with_photos: bool) -> VerificationProtocol:
    file = read_list(path / list_name, owners.LFW)
    block = header(file)
    if block is None:
        raise refused(file.lines[0].place, "a header of one or two numbers was expected (View 2: 10 and 300)")
    pairs = PairList(NamedSamples())
    add_blocks(pairs, file.lines[1:], block, jpeg)
    folder = photo_folder(path, "images")
    return pairs.protocol(name, folder, owners.LFW, file.sha256, as_published=as_published, with_photos=with_photos)


def header(file: ListFile) -> Block | None:
    """What the first line promises, checked against the number of lines; None where it is no header."""
    first, *below = file.lines
    fields = first.text.split()
    if len(fields) > 2 or not all(field.isascii() and field.isdigit() for field in fields):
        return None
    block = Block(*(number(field, first.place, "a number of folds or pairs", least=1) for field in ["1", *fields][-2:]))
    if len(below) != 2 * block.folds * block.size:
        raise refused(
            first.place,
            f"the header promises {block.folds} × ({block.size} + {block.size}) pairs, which are "
            f"{2 * block.folds * block.size}; the list has {len(below)}",
        )
    return block


PhotoName = Callable[[NamedPhoto, Place], str]
"""Gives the path of a photo in its folder; the place is for its errors."""


def jpeg(photo: NamedPhoto, place: Place) -> str:
    """``name/name_0001.jpg``."""
    return inside(f"{photo.stem}.jpg", place)


def add_blocks(pairs: PairList, lines: list[Line], block: Block, photo_name: PhotoName) -> None:
    """Adds the lines below a header, each of which must be of the kind that its place in its fold wants."""
    for at, line in enumerate(lines):
        fold, within = divmod(at, 2 * block.size)
        pair = named_pair(line)
        if pair.mated != (within < block.size):
            raise refused(
                line.place,
                f"fold {fold + 1} has {block.size} mated pairs, then {block.size} non-mated ones; line {within + 1} of "
                f"it is a {'mated' if pair.mated else 'non-mated'} pair",
            )
        add_pair(pairs, line.place, pair, photo_name, fold=fold)


def add_pair(pairs: PairList, place: Place, pair: NamedPair, photo_name: PhotoName, *, fold: int = 0) -> None:
    """Adds one pair, whose people are known by their names."""
    probe, reference = (pairs.samples.number(photo_name(photo, place), place, photo.person) for photo in pair[:2])
    pairs.add(place, probe, reference, mated=pair.mated, fold=fold)


def named_pair(line: Line) -> NamedPair:
    """``name n1 n2`` or ``name1 n1 name2 n2``."""
    fields = line.fields((3, 4), "'name n1 n2' or 'name1 n1 name2 n2'")
    mated = len(fields) == 3
    names = (fields[0], fields[0]) if mated else (fields[0], fields[2])
    numbers = (fields[1], fields[2]) if mated else (fields[1], fields[3])
    probe, reference = (
        NamedPhoto(name, number(digits, line.place, "the number of a photo", least=1))
        for name, digits in zip(names, numbers, strict=True)
    )
    return NamedPair(probe, reference, mated)
