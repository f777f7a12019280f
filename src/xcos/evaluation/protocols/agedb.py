"""AgeDB-30 (Moschoglou et al. 2017): photos of a person thirty years apart."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcos.errors import MissingPackage
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.bins import is_bin, read_bin
from xcos.evaluation.protocols.lists import Place, inside, photo_folder, read_bytes, refused
from xcos.evaluation.protocols.pairing import FOLDS, NamedSamples, PairList

LIST = "04_FINAL_protocol_30_years.mat"
MATED = {1: True, -1: False}


class _Pair(NamedTuple):
    fold: int
    probe: str
    reference: str
    label: int


def read_agedb_30(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """AgeDB-30: 6,000 pairs in 10 folds of 300 mated and 300 non-mated ones.

    ``path`` holds ``04_FINAL_protocol_30_years.mat`` (itself or in ``AgeDB_FINAL_protocol/``) and
    ``03_Protocol_Images/``; or it is InsightFace's ``agedb_30.bin``. The list is a MATLAB file, which needs scipy:
    ``splits``, a column of ten structures; the first field of each is a 2 × n cell array of structures whose first
    field is a photo's name without ``.jpg``, the second the n labels, 1 or −1. People are known by the names up to the
    first underscore, as in InsightFace's and FaceX-Zoo's readers. Raises :class:`~xcos.errors.InvalidProtocol`, with
    the number of the pair where a line would be.
    """
    if is_bin(path):
        return read_bin(path, "agedb-30", as_published=as_published, with_photos=with_photos)
    file = photo_folder(path, "AgeDB_FINAL_protocol") / LIST
    content = read_bytes(file, owners.AGEDB)
    folder = photo_folder(path, "03_Protocol_Images")
    pairs = PairList(NamedSamples())
    for number, pair in enumerate(_pairs(content, file), start=1):
        place = Place(file, number, "pair")
        if pair.label not in MATED:
            raise refused(place, f"label {pair.label}; 1 is mated, -1 is non-mated")
        probe, reference = (
            pairs.samples.number(inside(f"{name}.jpg", place), place, name.partition("_")[0])
            for name in (pair.probe, pair.reference)
        )
        pairs.add(place, probe, reference, mated=MATED[pair.label], fold=pair.fold)
    sha256 = hashlib.sha256(content).hexdigest()
    return pairs.protocol("agedb-30", folder, owners.AGEDB, sha256, as_published=as_published, with_photos=with_photos)


def _pairs(content: bytes, file: Path) -> Iterator[_Pair]:
    splits = _splits(content, file)
    if splits.shape != (FOLDS, 1):
        raise refused(Place(file, None), f"'splits' must be {FOLDS} × 1, one for each fold, got {splits.shape}")
    for fold, split in enumerate(splits[:, 0]):
        try:
            names, labels = split[0, 0][0], np.ravel(split[0, 0][1])
            told = [(_name(names[0, at]), _name(names[1, at]), int(label)) for at, label in enumerate(labels)]
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            raise refused(Place(file, None), f"fold {fold + 1} is not two rows of photos and their labels") from error
        if names.shape != (2, len(told)) or not told:
            raise refused(Place(file, None), f"fold {fold + 1} has {names.shape} photos and {len(told)} labels")
        for probe, reference, label in told:
            yield _Pair(fold, probe, reference, label)


def _name(photo: NDArray[np.void]) -> str:
    """First field of a 1 × 1 structure."""
    name = photo[0, 0][0][0]
    if not isinstance(name, str):
        raise TypeError("a photo's name is no text")
    return str(name)


def _splits(content: bytes, file: Path) -> NDArray[np.object_]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingPackage("AgeDB's list is a MATLAB file, which scipy reads: pip install scipy") from error
    try:
        found: NDArray[np.object_] = np.asarray(loadmat(io.BytesIO(content), variable_names=["splits"])["splits"])
    except Exception as error:  # scipy does not say which errors a broken file raises; there are a dozen
        raise refused(
            Place(file, None), f"is no MATLAB file with 'splits' ({type(error).__name__}: {error})"
        ) from error
    return found
