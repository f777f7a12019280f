"""IJB-B and IJB-C, comparisons 1:1 of templates of many photos (Whitelam et al. 2017; Maze et al. 2018).

Read in InsightFace's arrangement (``recognition/_evaluation_/ijb``), in which the field computes its figures.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.evaluation.protocol import (
    Numbers,
    PhotoSource,
    Samples,
    SampleSource,
    Truths,
    VerificationProtocol,
    linked_subjects,
)
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lists import (
    BYTE_ORDER_MARK,
    ListFile,
    Place,
    inside,
    is_file,
    named_digest,
    names_in,
    number,
    read_list,
    refused,
    require_photos,
    shown,
)
from xcos.evaluation.protocols.pairing import check_pairs
from xcos.types import Reals

BLOCK = 1 << 24
"""Bytes of the list of pairs that are looked at together."""
DIGITS = 7
"""Most digits of a template's number: so many that the published ones fit, so few that a table of all fits too."""
_PAIR = re.compile(rb"[0-9]{1,%d}[ \t][0-9]{1,%d}[ \t][01]" % (DIGITS, DIGITS))


def read_ijbb(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """IJB-B: 8,010,270 pairs of 12,115 templates; as :func:`read_ijbc`, with ``ijbb`` in the names."""
    return _read(path, "ijbb", as_published, with_photos)


def read_ijbc(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """IJB-C: 15,658,489 pairs of 23,124 templates, no folds.

    ``path`` holds ``loose_crop/`` and ``meta/`` with ``ijbc_face_tid_mid.txt`` (photo, template, medium),
    ``ijbc_name_5pts_score.txt`` (photo, five points x y, the detector's score; the same photos in the same order) and
    ``ijbc_template_pair_label.txt`` (template, template, 1 or 0). A sample is a template: its media, each of its
    photos; a photo's weight is the detector's score, and its landmarks are the set's. The lists name nobody: templates
    that a mated pair or a photo joins are one person. The long list must have exactly one space or tab between its
    fields. Raises :class:`~xcos.errors.InvalidProtocol`.

    The list of pairs is read in blocks, 15.7 million lines in seconds (``benchmarks/protocol_speed.py``).
    """
    return _read(path, "ijbc", as_published, with_photos)


def _read(path: Path, name: Literal["ijbb", "ijbc"], as_published: bool, with_photos: bool) -> VerificationProtocol:
    meta = path / "meta"
    faces = _read_faces(
        read_list(meta / f"{name}_face_tid_mid.txt", owners.IJB),
        read_list(meta / f"{name}_name_5pts_score.txt", owners.IJB),
    )
    templates, sources = _sources(faces)
    list_path = meta / f"{name}_template_pair_label.txt"
    pairs = _read_pairs(list_path, templates)
    check_pairs(
        pairs.probe, pairs.reference, pairs.mated, lambda at: Place(list_path, at + 1), as_published=as_published
    )
    crops = path / "loose_crop"
    if with_photos:
        _require_crops(faces, crops)
    photos = tuple(
        PhotoSource(photo, crops / photo, points, weight)
        for photo, points, weight in zip(faces.names, faces.points, faces.scores.tolist(), strict=True)
    )
    first, second = _by_photo(sources)
    subjects = linked_subjects(
        len(templates),
        np.concatenate([pairs.probe[pairs.mated], first]),
        np.concatenate([pairs.reference[pairs.mated], second]),
    )
    return VerificationProtocol(
        name=name,
        samples=Samples(photos, sources, subjects, subjects_known=False),
        probe=pairs.probe,
        reference=pairs.reference,
        mated=pairs.mated,
        fold=np.zeros(len(pairs.mated), np.int64),
        sha256=named_digest([*faces.hashes, (list_path.name, pairs.sha256)]),
    )


@dataclass(frozen=True)
class _Faces:
    """Photos, and the rows that put them into templates and media."""

    names: list[str]
    """(p) photos."""
    places: list[Place]
    """(p) where each first stands."""
    points: Reals
    """(p, 5, 2)."""
    scores: Reals
    """(p)."""
    photo: Numbers
    """(r) number of the photo of each row."""
    template: Numbers
    """(r) as in the list."""
    medium: Numbers
    """(r) as in the list."""
    hashes: list[tuple[str, str]]
    """Name and hash of both lists."""


def _read_faces(rows: ListFile, found: ListFile) -> _Faces:
    if len(rows.lines) != len(found.lines):
        raise refused(
            found.lines[-1].place,
            f"{len(found.lines)} photos, but {len(rows.lines)} in {rows.path.name}; they must agree",
        )
    numbers: dict[str, int] = {}
    photo, template, medium, values = array("q"), array("q"), array("q"), array("d")
    for row, point in zip(rows.lines, found.lines, strict=True):
        name, *ids = row.fields((3,), "'photo template medium'")
        again, *told = point.fields((12,), "'photo', ten coordinates and a score")
        if again != name:
            raise refused(point.place, f"photo {again}, but {rows.path.name} has {name} in its place")
        try:
            values.extend(map(float, told))
        except ValueError:
            raise refused(point.place, f"ten coordinates and a score were expected, got {shown(point.text)}") from None
        place = row.place
        photo.append(numbers.setdefault(inside(name, place), len(numbers)))
        template.append(number(ids[0], place, "the template", digits=DIGITS))
        medium.append(number(ids[1], place, "the medium"))
    values_of_rows = np.array(values, np.float64).reshape(-1, 11)
    _require_values(values_of_rows, found)
    photos = np.array(photo, np.int64)
    first = np.unique(photos, return_index=True)[1]
    differs = np.flatnonzero((values_of_rows != values_of_rows[first][photos]).any(axis=1))
    if len(differs):
        raise refused(
            found.lines[int(differs[0])].place, "the photo stands above with other landmarks or another score"
        )
    return _Faces(
        names=list(numbers),
        places=[rows.lines[at].place for at in first.tolist()],
        points=values_of_rows[first, :10].reshape(-1, 5, 2),
        scores=values_of_rows[first, 10],
        photo=photos,
        template=np.array(template, np.int64),
        medium=np.array(medium, np.int64),
        hashes=[(rows.path.name, rows.sha256), (found.path.name, found.sha256)],
    )


def _require_values(values: Reals, found: ListFile) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values[:, 10] <= 0))
    if len(bad):
        line = found.lines[int(bad[0])]
        raise refused(line.place, f"coordinates must be finite and the score above 0, got {shown(line.text)}")


def _sources(faces: _Faces) -> tuple[Numbers, tuple[SampleSource, ...]]:
    """Sorted numbers of templates, and the media of each in the order of the list."""
    media: dict[int, dict[int, list[int]]] = {}
    for photo, template, medium in zip(
        faces.photo.tolist(), faces.template.tolist(), faces.medium.tolist(), strict=True
    ):
        media.setdefault(template, {}).setdefault(medium, []).append(photo)
    templates = sorted(media)
    sources = tuple(SampleSource(tuple(map(tuple, media[each].values())), str(each)) for each in templates)
    return np.array(templates, np.int64), sources


def _by_photo(sources: tuple[SampleSource, ...]) -> tuple[Numbers, Numbers]:
    """Pairs of samples that share a photo: each with the first that has it."""
    owner: dict[int, int] = {}
    pairs = [(owner.setdefault(photo, at), at) for at, source in enumerate(sources) for photo in source.photos]
    numbers = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return numbers[:, 0], numbers[:, 1]


def _require_crops(faces: _Faces, folder: Path) -> None:
    there = set(names_in(folder))
    require_photos(
        faces.names,
        faces.places,
        folder,
        owners.IJB,
        there=lambda name: name in there or ("/" in name and is_file(folder / name)),
    )


@dataclass(frozen=True)
class _Pairs:
    probe: Numbers
    reference: Numbers
    mated: Truths
    sha256: str


def _read_pairs(path: Path, templates: Numbers) -> _Pairs:
    """The list of pairs, its templates as numbers of samples."""
    sample_of = np.full(int(templates[-1]) + 2, -1, np.int32)
    sample_of[templates] = np.arange(len(templates))
    probes, references, mated = [], [], []
    hashed = hashlib.sha256()
    line = 1
    for block in _blocks(path, hashed):
        first, second, label = _parse(block, Place(path, line))
        probes.append(_numbers(first, sample_of, Place(path, line)))
        references.append(_numbers(second, sample_of, Place(path, line)))
        mated.append(label)
        line += len(label)
    if not mated:
        raise refused(Place(path, 1), f"the list is empty. {owners.IJB.told}")
    return _Pairs(_joined(probes), _joined(references), np.concatenate(mated), hashed.hexdigest())


def _joined(blocks: list[NDArray[np.int32]]) -> Numbers:
    """One array of all blocks, which are let go one by one."""
    joined = np.empty(sum(map(len, blocks)), np.int64)
    at = 0
    while blocks:
        block = blocks.pop(0)
        joined[at : at + len(block)] = block
        at += len(block)
    return joined


def _blocks(path: Path, hashed: hashlib._Hash) -> Iterator[bytes]:
    """Whole lines, each ended by one line feed; blank lines at the end of the file are left out."""
    try:
        with path.open("rb") as file:
            head = file.read(len(BYTE_ORDER_MARK))
            hashed.update(head)
            rest = head.removeprefix(BYTE_ORDER_MARK)
            while data := file.read(BLOCK):
                hashed.update(data)
                rest += data
                end = _ended(rest)
                if end:
                    yield rest[:end].replace(b"\r\n", b"\n")
                    rest = rest[end:]
    except OSError as error:
        raise refused(Place(path, None), f"cannot be read ({error.strerror}). {owners.IJB.told}") from error
    rest = rest.rstrip(b"\r\n")
    if rest:
        yield rest.replace(b"\r\n", b"\n") + b"\n"


def _ended(data: bytes) -> int:
    """Where the last line ends that is not blank and has an end; 0: there is none.

    What follows is for later: blank lines may be the end of the file, or a fault.
    """
    text = len(data[: data.rfind(b"\n") + 1].rstrip(b"\r\n"))
    return data.find(b"\n", text) + 1 if text else 0


def _parse(block: bytes, place: Place) -> tuple[NDArray[np.int32], NDArray[np.int32], Truths]:
    """Three columns of the lines of a block, which starts at ``place``."""
    text = np.frombuffer(block, np.uint8)
    feed = np.flatnonzero(text == ord("\n"))
    gap = np.flatnonzero((text == ord(" ")) | (text == ord("\t")))
    digits = int(((text >= ord("0")) & (text <= ord("9"))).sum())
    start = np.concatenate([[0], feed[:-1] + 1])
    if len(gap) == 2 * len(feed) and digits + 3 * len(feed) == len(text):
        first, second = gap[::2], gap[1::2]
        widths = np.stack([first - start, second - first - 1])
        fits = (widths >= 1).all() and (widths <= DIGITS).all() and (second + 2 == feed).all()
        if fits and (text[second + 1] <= ord("1")).all():
            return _decimal(text, start, first), _decimal(text, first + 1, second), text[second + 1] == ord("1")
    for at, line in enumerate(block.split(b"\n")[:-1]):
        if not _PAIR.fullmatch(line):
            wrong = line.decode("utf-8", "backslashreplace")
            raise refused(
                place._replace(number=(place.number or 0) + at),
                f"'template template label' with single spaces and a label of 1 or 0 was expected, got {shown(wrong)}",
            )
    raise AssertionError("a block that no line of is wrong")


def _decimal(text: NDArray[np.uint8], start: Numbers, end: Numbers) -> NDArray[np.int32]:
    """(n,) int32, the numbers whose digits stand at ``start[k] … end[k] − 1``, one decimal place after the other."""
    value = np.zeros(len(start), np.int32)
    for place in range(int((end - start).max())):
        at = end - 1 - place
        digit = text[np.maximum(at, 0)].astype(np.int32) - ord("0")
        value += np.where(at >= start, digit, 0) * 10**place
    return value


def _numbers(listed: NDArray[np.int32], sample_of: NDArray[np.int32], place: Place) -> NDArray[np.int32]:
    """Numbers of samples, from 0, of templates as listed; ``sample_of`` has −1 where there is none."""
    at = sample_of[np.minimum(listed, len(sample_of) - 1)]
    unknown = np.flatnonzero(at < 0)
    if len(unknown):
        raise refused(
            place._replace(number=(place.number or 0) + int(unknown[0])),
            f"template {listed[unknown[0]]} has no photo in the list of faces",
        )
    return at
