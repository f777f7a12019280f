"""Sets whose pairs belong to groups of people: Racial Faces in-the-Wild (Wang et al. 2019), and others so arranged.

``txts/<group>/<group>_pairs.txt`` has LFW's lines without a header; the photos lie in ``data/<group>/<name>/``. Both
stand in the set's folder, or in its ``test/`` or ``images/test/``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lfw import NamedPair, jpeg, named_pair
from xcos.evaluation.protocols.lists import Place, digest, is_folder, photo_folder, read_list, refused
from xcos.evaluation.protocols.owners import Owner
from xcos.evaluation.protocols.pairing import NamedSamples, PairList, folds_by_rank

RFW_GROUPS = ("African", "Asian", "Caucasian", "Indian")
COLUMN = "ethnicity"


def read_rfw(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """RFW: 6,000 pairs of each of four groups, named in the column ``ethnicity``, within which all pairs are.

    Each group's pairs are 10 folds (:func:`~xcos.evaluation.protocols.pairing.folds_by_rank`). People are known by
    name. A set without one of the four groups is refused.
    """
    return _read(path, "rfw", RFW_GROUPS, owners.RFW, as_published, with_photos)


def read_grouped(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Any groups that have a list in ``txts/``, such as lists of one's own over the groups of BUPT-Balancedface.

    As :func:`read_rfw`, with the groups' names in the column ``ethnicity``.
    """
    lists = sorted((_home(path) / "txts").glob("*/*_pairs.txt"))
    groups = tuple(each.parent.name for each in lists if each.name == f"{each.parent.name}_pairs.txt")
    if not groups:
        raise refused(Place(path, None), "has no list txts/GROUP/GROUP_pairs.txt")
    return _read(path, "grouped", groups, None, as_published, with_photos)


def _home(path: Path) -> Path:
    return photo_folder(path, *(name for name in ("test", "images/test") if is_folder(path / name / "txts")))


def _read(
    path: Path, name: str, groups: tuple[str, ...], owner: Owner | None, as_published: bool, with_photos: bool
) -> VerificationProtocol:
    home = _home(path)
    files = [read_list(home / "txts" / group / f"{group}_pairs.txt", owner) for group in groups]
    pairs = PairList(NamedSamples(), (COLUMN,))
    folds = []
    for group, file in zip(groups, files, strict=True):
        before = len(pairs)
        for line in file.lines:
            _add(pairs, line.place, named_pair(line), group)
        folds.append(folds_by_rank(pairs.mated[before:], file.path))
    fold = np.concatenate(folds)
    return pairs.protocol(
        name, home / "data", owner, digest(files), as_published=as_published, with_photos=with_photos, fold=fold
    )


def _add(pairs: PairList, place: Place, pair: NamedPair, group: str) -> None:
    probe, reference = (
        pairs.samples.number(f"{group}/{jpeg(photo, place)}", place, f"{group}/{photo.person}") for photo in pair[:2]
    )
    pairs.add(place, probe, reference, mated=pair.mated, labels=(group,))
