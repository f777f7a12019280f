"""Sets made over from LFW, whose lists have two lines for a pair: CALFW, CPLFW and SLLFW (Deng et al. 2017–2018)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from xcos.evaluation.protocol import Numbers, VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.bins import is_bin, read_bin
from xcos.evaluation.protocols.lists import (
    Line,
    ListFile,
    Place,
    inside,
    number,
    photo_folder,
    read_list,
    refused,
    shown,
)
from xcos.evaluation.protocols.owners import Owner
from xcos.evaluation.protocols.pairing import FOLDS, NamedSamples, PairList, folds_by_rank

PHOTOS = ("aligned images", "images", "images&landmarks/images", "images&landmarks/images&landmarks/images")
"""Folders of CALFW's and CPLFW's photos, the owner's aligned ones first."""


def read_calfw(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Cross-Age LFW: 6,000 pairs in 10 folds of 300 mated and 300 non-mated ones.

    ``path`` holds ``pairs_CALFW.txt`` and the photos (``Name_0001.jpg``) in ``aligned images/``, ``images/`` or beside
    the list; or it is InsightFace's ``calfw.bin``. Each line is ``photo label``; two lines of one label are a pair: 0
    is non-mated, 1 to 10 is mated and the fold. The list says no fold of non-mated pairs: theirs is by rank
    (:func:`~xcos.evaluation.protocols.pairing.folds_by_rank`). People are known by the photos' names. Raises
    :class:`~xcos.errors.InvalidProtocol`.
    """
    if is_bin(path):
        return read_bin(path, "calfw", as_published=as_published, with_photos=with_photos)
    return _labelled(path, "pairs_CALFW.txt", "calfw", owners.CALFW, as_published, with_photos)


def read_cplfw(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Cross-Pose LFW, as :func:`read_calfw`: ``pairs_CPLFW.txt``, ``Name_1.jpg``, ``cplfw.bin``.

    Its label of mated pairs may be 1 throughout; then their fold too is by rank.
    """
    if is_bin(path):
        return read_bin(path, "cplfw", as_published=as_published, with_photos=with_photos)
    return _labelled(path, "pairs_CPLFW.txt", "cplfw", owners.CPLFW, as_published, with_photos)


def read_sllfw(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Similar-looking LFW: LFW's mated pairs of View 2, and 3,000 pairs of people who look alike; 10 folds.

    ``path`` holds ``pair_SLLFW.txt`` (two lines ``Name/Name_0001.jpg`` for a pair, in each fold first the mated, then
    as many non-mated pairs) and LFW's photos in ``images/`` or beside the list.
    """
    file = read_list(path / "pair_SLLFW.txt", owners.SLLFW)
    if len(file.lines) % (4 * FOLDS):
        raise refused(
            Place(file.path, None),
            f"{len(file.lines)} lines cannot be {FOLDS} folds of as many mated as non-mated pairs of two lines",
        )
    size = len(file.lines) // (4 * FOLDS)
    pairs = PairList(NamedSamples())
    for at, (first, second) in enumerate(_by_two(file)):
        fold, within = divmod(at, 2 * size)
        (probe, probe_person), (reference, reference_person) = (_named_in_folder(line) for line in (first, second))
        numbers = (
            pairs.samples.number(probe, first.place, probe_person),
            pairs.samples.number(reference, second.place, reference_person),
        )
        pairs.add(second.place, *numbers, mated=within < size, fold=fold)
    folder = photo_folder(path, "images")
    return pairs.protocol(
        "sllfw", folder, owners.SLLFW, file.sha256, as_published=as_published, with_photos=with_photos
    )


def _labelled(
    path: Path, list_name: str, name: str, owner: Owner, as_published: bool, with_photos: bool
) -> VerificationProtocol:
    file = read_list(path / list_name, owner)
    pairs = PairList(NamedSamples())
    labels = []
    for first, second in _by_two(file):
        (probe, label), (reference, again) = (_photo_and_label(line) for line in (first, second))
        if label != again:
            raise refused(second.place, f"label {again}, but the other photo of the pair has {label}")
        numbers = (
            pairs.samples.number(probe, first.place, _person(probe)),
            pairs.samples.number(reference, second.place, _person(reference)),
        )
        pairs.add(second.place, *numbers, mated=label > 0)
        labels.append(label)
    fold = _folds(np.array(labels), file)
    folder = photo_folder(path, *PHOTOS)
    return pairs.protocol(
        name, folder, owner, file.sha256, as_published=as_published, with_photos=with_photos, fold=fold
    )


def _by_two(file: ListFile) -> Iterator[tuple[Line, Line]]:
    if len(file.lines) % 2:
        raise refused(file.lines[-1].place, "a pair has two lines; the second is missing")
    return zip(file.lines[::2], file.lines[1::2], strict=True)


def _photo_and_label(line: Line) -> tuple[str, int]:
    fields = line.fields((2,), "'photo label'")
    label = number(fields[1], line.place, "the label (0: non-mated; 1 to 10: mated, and the fold)")
    if label > FOLDS:
        raise refused(line.place, f"label {label}; 0 is non-mated, 1 to {FOLDS} is mated and the fold")
    return inside(fields[0], line.place), label


def _person(photo: str) -> str:
    """``Carl_Reiner`` of ``Carl_Reiner_0001.jpg``."""
    return PurePosixPath(photo).stem.rpartition("_")[0]


def _named_in_folder(line: Line) -> tuple[str, str]:
    """Path and person of ``Name/Name_0001.jpg``."""
    photo = inside(line.fields((1,), "'Name/Name_0001.jpg'")[0], line.place)
    person, slash, _ = photo.partition("/")
    if not slash:
        raise refused(line.place, f"'Name/Name_0001.jpg' was expected, got {shown(photo)}")
    return photo, person


def _folds(labels: Numbers, file: ListFile) -> Numbers:
    """Folds of pairs with these labels."""
    fold = folds_by_rank(labels > 0, file.path)
    used, counts = np.unique(labels[labels > 0], return_counts=True)
    if used.tolist() == [1]:
        return fold
    if len(used) != FOLDS or len(set(counts)) > 1:
        told = ", ".join(f"{label}: {count}" for label, count in zip(used, counts, strict=True))
        raise refused(
            Place(file.path, None), f"{FOLDS} folds of equal size were expected; mated pairs by label: {told}"
        )
    return np.where(labels > 0, labels - 1, fold)
