"""YouTube Faces (Wolf, Hassner, Maoz 2011): pairs of videos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xcos.evaluation.protocol import Numbers, PhotoSource, Samples, SampleSource, VerificationProtocol
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lists import (
    Line,
    ListFile,
    Place,
    inside,
    names_in,
    number,
    photo_folder,
    read_list,
    refused,
    shown,
)
from xcos.evaluation.protocols.pairing import FOLDS, NamedSamples, PairList

VIDEOS = ("aligned_images_DB", "frame_images_DB")
LABELS = {"0": False, "1": True}


def read_ytf(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """5,000 pairs of videos in 10 folds (``splits.txt``).

    ``path`` holds the list and the videos' folders ``Name/0/`` in ``aligned_images_DB/`` or ``frame_images_DB/``.
    Below a header, which may be missing, a line is ``split, pair, Name/0, Name/1, same``, with one more column where
    the owner corrected labels: the last column counts. A sample is a video: one medium of all its frames in the order
    of their numbers, so that the mean over the frames is compared (the "mean comparison" of Lin et al. 2021 and most
    others). People are the names in the list; where labels contradict them, as corrections do, the set does not say
    for certain who is who (``subjects_known`` is False). Raises :class:`~xcos.errors.InvalidProtocol`.
    """
    return _read(path, "splits.txt", "ytf", as_published, with_photos)


def read_ytf_corrected(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """The same pairs with the errors in labels that the owner published (``splits_corrected.txt``)."""
    return _read(path, "splits_corrected.txt", "ytf-corrected", as_published, with_photos)


def _read(path: Path, list_name: str, name: str, as_published: bool, with_photos: bool) -> VerificationProtocol:
    file = read_list(path / list_name, owners.YTF)
    below = file.lines if file.lines[0].text.split(",")[0].strip().isdigit() else file.lines[1:]
    videos = NamedSamples()
    pairs = PairList(videos)
    for line in below:
        _add(pairs, line)
    if not len(pairs):
        raise refused(file.lines[0].place, "there is no pair below the header")
    fold = _folds(pairs, file)
    probe, reference, mated = pairs.columns(as_published=as_published)
    subjects = videos.subject_numbers()
    folder = photo_folder(path, *VIDEOS)
    frames = _frames_of(folder, videos.names, videos.places) if with_photos else [[""]] * len(videos)
    photos, sources = _videos(folder, videos.names, frames)
    return VerificationProtocol(
        name=name,
        samples=Samples(photos, sources, subjects, bool(((subjects[probe] == subjects[reference]) == mated).all())),
        probe=probe,
        reference=reference,
        mated=mated,
        fold=fold,
        sha256=file.sha256,
    )


def _add(pairs: PairList, line: Line) -> None:
    split, pair, *videos, label = _fields(line)
    number(pair, line.place, "the number of the pair", least=1)
    if label not in LABELS:
        raise refused(line.place, f"the last column says whether the pair is mated, 1 or 0; got {label}")
    samples = []
    for video in videos[:2]:
        folder = inside(video, line.place)
        person, slash, _ = folder.partition("/")
        if not slash:
            raise refused(line.place, f"a video is named 'Name/0', got {shown(video)}")
        samples.append(pairs.samples.number(folder, line.place, person))
    fold = number(split, line.place, "the number of the split", least=1) - 1
    corrected = len(videos) > 2
    pairs.add(line.place, *samples, mated=LABELS[label], fold=fold, label_rules=corrected)


def _fields(line: Line) -> list[str]:
    return line.fields((5, 6), "'split, pair, Name/0, Name/1, same' or one column more", ",")


def _folds(pairs: PairList, file: ListFile) -> Numbers:
    counts = np.bincount(pairs.fold)
    if len(counts) != FOLDS or len(set(counts.tolist())) > 1:
        told = ", ".join(f"{split}: {count}" for split, count in enumerate(counts, start=1))
        raise refused(Place(file.path, None), f"{FOLDS} splits of equal size were expected; pairs by split: {told}")
    return pairs.fold


def _frames_of(folder: Path, names: Sequence[str], places: Sequence[Place]) -> list[list[str]]:
    frames = [_frames(folder / name) for name in names]
    missing = [at for at, found in enumerate(frames) if not found]
    if missing:
        raise refused(
            places[missing[0]],
            f"no frames of {names[missing[0]]} in {folder}; {len(missing)} of {len(names)} videos are missing. "
            f"{owners.YTF.told}",
            missing=len(missing),
        )
    return frames


def _videos(
    folder: Path, names: Sequence[str], frames: Sequence[list[str]]
) -> tuple[tuple[PhotoSource, ...], tuple[SampleSource, ...]]:
    """Frames of all videos, and each video as one medium of its own."""
    photos = [
        PhotoSource(f"{name}/{frame}", folder / name / frame)
        for name, found in zip(names, frames, strict=True)
        for frame in found
    ]
    ends = np.cumsum([len(found) for found in frames])
    media = [tuple(range(end - len(found), end)) for end, found in zip(ends.tolist(), frames, strict=True)]
    return tuple(photos), tuple(SampleSource((medium,), name) for medium, name in zip(media, names, strict=True))


def _frames(video: Path) -> list[str]:
    """Names of a video's frames by their numbers: 0.9.jpg before 0.10.jpg."""
    return sorted((name for name in names_in(video) if name.endswith(".jpg")), key=_by_number)


def _by_number(name: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"[0-9]+", name)], name
