"""Celebrities in Frontal-Profile (Sengupta et al. 2016): CFP-FF and CFP-FP."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.bins import is_bin, read_bin
from xcos.evaluation.protocols.lists import (
    ListFile,
    Place,
    inside,
    is_folder,
    named_digest,
    names_in,
    number,
    read_list,
    refused,
    shown,
)
from xcos.evaluation.protocols.pairing import FOLDS, NamedSamples, PairList

FOLD_NAMES = tuple(f"{fold:02d}" for fold in range(1, FOLDS + 1))
KINDS = {"same.txt": True, "diff.txt": False}


def read_cfp_ff(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Frontal against frontal: 7,000 pairs in 10 folds of 350 mated and 350 non-mated ones.

    ``path`` is the folder with ``Protocol/`` and ``Data/``, or InsightFace's ``cfp_ff.bin``. After the owner's readme:
    ``Protocol/Pair_list_F.txt`` numbers the frontal photos (``1 ../Data/Images/001/frontal/01.jpg``), and
    ``Protocol/Split/FF/01/same.txt`` and ``diff.txt`` to ``10/`` have a line ``n,m`` for a pair. People are known by
    their folders, and no person is in two folds. Raises :class:`~xcos.errors.InvalidProtocol`.
    """
    return _read(path, "FF", as_published, with_photos)


def read_cfp_fp(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Frontal against profile, as :func:`read_cfp_ff`: ``Split/FP``; the reference is of ``Pair_list_P.txt``."""
    return _read(path, "FP", as_published, with_photos)


def _read(path: Path, split: Literal["FF", "FP"], as_published: bool, with_photos: bool) -> VerificationProtocol:
    name = f"cfp-{split.lower()}"
    if is_bin(path):
        return read_bin(path, name, as_published=as_published, with_photos=with_photos)
    protocol = path / "Protocol"
    lists = [read_list(protocol / f"Pair_list_{side}.txt", owners.CFP) for side in sorted(set(split))]
    photos = [_numbered(file) for file in lists]
    samples = NamedSamples()
    pairs = PairList(samples)
    hashes = [(file.path.name, file.sha256) for file in lists]
    for fold, file in _split_files(protocol / "Split" / split):
        for line in file.lines:
            fields = line.fields((2,), "'number,number'", ",")
            numbers = [number(field, line.place, "the number of a photo", least=1) for field in fields]
            sides = zip((photos[0], photos[-1]), numbers, strict=True)
            probe, reference = (_photo(samples, side, chosen, line.place) for side, chosen in sides)
            pairs.add(line.place, probe, reference, mated=KINDS[file.path.name], fold=fold)
        hashes.append((f"{file.path.parent.name}/{file.path.name}", file.sha256))
    return pairs.protocol(
        name, path, owners.CFP, named_digest(hashes), as_published=as_published, with_photos=with_photos
    )


def _numbered(file: ListFile) -> list[str]:
    """Paths from the set's folder, in the order of the numbers 1, 2, …"""
    paths = []
    for expected, line in enumerate(file.lines, start=1):
        fields = line.fields((2,), "'number path'")
        if number(fields[0], line.place, "the number of a photo", least=1) != expected:
            raise refused(line.place, f"photos are numbered from 1 without gaps; {expected} was expected")
        photo = inside(fields[1].removeprefix("../"), line.place)
        if len(PurePosixPath(photo).parts) < 3:
            raise refused(line.place, f"'../Data/Images/PERSON/frontal/01.jpg' was expected, got {shown(fields[1])}")
        paths.append(photo)
    return paths


def _photo(samples: NamedSamples, paths: list[str], chosen: int, place: Place) -> int:
    if chosen > len(paths):
        raise refused(place, f"photo {chosen} of a list of {len(paths)}")
    photo = paths[chosen - 1]
    return samples.number(photo, place, PurePosixPath(photo).parts[-3])


def _split_files(folder: Path) -> list[tuple[int, ListFile]]:
    """Fold and list, ``same.txt`` before ``diff.txt``; all of one length."""
    found = sorted(name for name in names_in(folder) if is_folder(folder / name))
    if found != list(FOLD_NAMES):
        told = ", ".join(found) or "nothing"
        raise refused(
            Place(folder, None),
            f"the folders 01 to {FOLDS}, one for each fold, were expected, got {told}. {owners.CFP.told}",
        )
    files = [
        (fold, read_list(folder / name / kind, owners.CFP)) for fold, name in enumerate(FOLD_NAMES) for kind in KINDS
    ]
    wanted = len(files[0][1].lines)
    for _, file in files:
        if len(file.lines) != wanted:
            raise refused(
                file.lines[-1].place, f"{len(file.lines)} pairs, but {wanted} in the first list; all folds have as many"
            )
    return files
