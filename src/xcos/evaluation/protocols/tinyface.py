"""TinyFace (Cheng, Zhu, Gong 2018): small faces searched in a large gallery."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from xcos.evaluation.protocol import IdentificationProtocol, PhotoSource, Samples, single
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lists import Place, is_folder, names_in, photo_folder, refused

PROBE, MATCH, DISTRACTOR = "Probe", "Gallery_Match", "Gallery_Distractor"
ENDINGS = (".jpg", ".jpeg", ".png")
_NAME = re.compile(r"([0-9]{1,9})_[^/]+")


def read_tinyface(path: Path) -> IdentificationProtocol:
    """3,728 probes against 4,443 photos of their people and 153,428 of others (the test set).

    ``path`` holds ``Probe/``, ``Gallery_Match/`` and ``Gallery_Distractor/``, themselves or in ``Testing_Set/``. A
    photo of the first two is named ``PERSON_NUMBER.jpg``; every probe has a mate. Who is on the distractors is not
    known, except that it is nobody of the others: each counts as a person of its own, which nothing that is computed
    over probes depends on. The SHA-256 is of the names, sorted, a line each. Raises
    :class:`~xcos.errors.InvalidProtocol`; there are no lines to name.
    """
    home = photo_folder(path, "Testing_Set", "tinyface/Testing_Set")
    names = {kind: _names(home / kind) for kind in (PROBE, MATCH, DISTRACTOR)}
    people = [_person(home / kind, name) for kind in (PROBE, MATCH) for name in names[kind]]
    probe_people, match_people = people[: len(names[PROBE])], people[len(names[PROBE]) :]
    strangers = [at for at, person in enumerate(probe_people) if person not in set(match_people)]
    if strangers:
        raise refused(
            Place(home, None),
            f"{PROBE}/{names[PROBE][strangers[0]]} has no photo of its person in {MATCH}; {len(strangers)} of "
            f"{len(probe_people)} probes have none. {owners.TINYFACE.told}",
            missing=len(strangers),
        )
    paths = [f"{kind}/{name}" for kind, found in names.items() for name in found]
    photos = tuple(PhotoSource(each, home / each) for each in paths)
    known = np.unique(np.array(people, np.int64), return_inverse=True)[1]
    subjects = np.concatenate([known, known.max() + 1 + np.arange(len(names[DISTRACTOR]))])
    probes = len(probe_people)
    return IdentificationProtocol(
        name="tinyface",
        samples=Samples(photos, tuple(map(single, range(len(photos)))), subjects, subjects_known=True),
        gallery=np.arange(probes, len(photos)),
        probes=np.arange(probes),
        sha256=hashlib.sha256("".join(f"{each}\n" for each in paths).encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _names(folder: Path) -> list[str]:
    """Sorted names of the photos of a folder; hidden files are none."""
    if not is_folder(folder):
        raise refused(Place(folder, None), f"the folder is not there. {owners.TINYFACE.told}")
    names = sorted(name for name in names_in(folder) if not name.startswith("."))
    odd = [name for name in names if not name.lower().endswith(ENDINGS)]
    if odd or not names:
        what = f"{odd[0]} is no photo (.jpg, .jpeg, .png)" if odd else f"no photo is there. {owners.TINYFACE.told}"
        raise refused(Place(folder, None), what)
    return names


def _person(folder: Path, name: str) -> int:
    found = _NAME.fullmatch(name)
    if not found:
        raise refused(
            Place(folder, None), f"PERSON_NUMBER.jpg was expected, with a whole number for the person, got {name}"
        )
    return int(found[1])
