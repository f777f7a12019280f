"""Identities from a folder with one sub-folder per person, and from lists of such photos."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument, UnreadableSource
from xcos.images import printable
from xcos.training.data.identities import Identities, gather
from xcos.types import freeze

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class FolderPhotos:
    """Photos as files below ``root``."""

    root: Path
    paths: NDArray[np.bytes_]
    """Relative paths in one array: millions of text objects would be copied into every worker."""

    def __post_init__(self) -> None:
        freeze(self, paths=self.paths)

    def encoded(self, place: int) -> bytes:
        """Content of the file."""
        try:
            return self._path(place).read_bytes()
        except OSError as error:
            name = self.name(place)
            raise UnreadableSource(f"cannot read {name}: {error.strerror}; was it moved?", path=name) from error

    def name(self, place: int) -> str:
        """Path of the file, printable."""
        return printable(str(self._path(place)))

    def _path(self, place: int) -> Path:
        return self.root / os.fsdecode(bytes(self.paths[place]))


def read_folder(path: str | Path, *, least: int = 1) -> Identities:
    """Identities of a folder that holds one sub-folder per person; people with fewer than ``least`` photos left out.

    People and photos come in the order of their names. Hidden files and folders are ignored. An error are: a file
    that is no image by its name, one that lies beside the people's folders, a folder within them, and a person
    without a photo.
    """
    root = Path(path)
    people = _visible(root)
    for entry in people:
        if not entry.is_dir():
            raise InvalidArgument(
                f"{printable(entry.path)} lies beside the people's folders; move it into one or away, or read a list "
                "of photos with read_list",
                path=printable(entry.path),
            )
    files = [(person.name, f"{person.name}/{photo}") for person in people for photo in _photos_of(Path(person.path))]
    return _identities(root, files, least, f"the folder {root}")


def read_list(path: str | Path, *, least: int = 1) -> Identities:
    """Identities of a UTF-8 text file with lines ``person<TAB>path``; paths start from the list's folder.

    People come in the order of their names, the photos of each in the list's order.
    """
    path = Path(path)
    files = [_listed(path, number, line) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    twice = _first_repeated([photo for _, photo in files])
    if twice:
        raise InvalidArgument(f"{path} lists {printable(twice)} twice; list each photo once", path=str(path))
    return _identities(path.parent, files, least, f"the list {path}")


def read_lfw_people(folder: str | Path, people: str | Path, *, least: int = 1, missing: int = 0) -> Identities:
    """Identities of one of LFW's lists of people, such as ``peopleDevTrain.txt``.

    Its first line is the number of people, each other line ``Name<TAB>count``: the photos ``Name/Name_0001`` to
    ``Name/Name_<count>`` of ``folder``, whatever their image suffix. At most ``missing`` of them may be absent
    (crops that could not be cut, say).
    """
    root, path = Path(folder), Path(people)
    files, absent = [], []
    for person, count in _lfw_people(path):
        there = {Path(name).stem: name for name in _photos_of(root / person)} if (root / person).is_dir() else {}
        for stem in (f"{person}_{number:04}" for number in range(1, count + 1)):
            if stem in there:
                files.append((person, f"{person}/{there[stem]}"))
            else:
                absent.append(stem)
    if len(absent) > missing:
        raise InvalidArgument(
            f"{root} lacks {len(absent)} photos of {path.name}, the first is {absent[0]}; at most missing={missing} "
            "may be absent",
            path=str(root),
        )
    return _identities(root, files, least, f"{path.name} with the folder {root}")


def _identities(root: Path, files: list[tuple[str, str]], least: int, source: str) -> Identities:
    """Of (person, path below root)."""
    files = sorted(files, key=lambda each: each[0])
    names = sorted({person for person, _ in files})
    number = {name: at for at, name in enumerate(names)}
    labels = np.array([number[person] for person, _ in files], np.int64)
    photos = FolderPhotos(root, np.array([os.fsencode(path) for _, path in files], np.bytes_))
    return gather(photos, labels, names, least=least, source=source)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda each: each.name)
    except OSError as error:
        raise InvalidArgument(
            f"cannot read the folder {printable(str(folder))}: {error.strerror}; give the folder that holds one "
            "sub-folder per person",
            path=printable(str(folder)),
        ) from error


def _photos_of(folder: Path) -> list[str]:
    """Names of the photos in a person's folder, sorted."""
    photos = _visible(folder)
    if not photos:
        raise InvalidArgument(f"{printable(str(folder))} holds no photo; remove the folder or restore its photos")
    for photo in photos:
        _require_photo(Path(photo.path), is_file=photo.is_file())
    return [photo.name for photo in photos]


def _require_photo(path: Path, *, is_file: bool) -> None:
    if not is_file or path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(
            f"{printable(str(path))} is no image file; a person's photos are files that end in {', '.join(SUFFIXES)}: "
            "move it away or correct the list",
            path=printable(str(path)),
        )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"cannot read the list {path}: {error}; it must be UTF-8 text") from error


def _listed(path: Path, number: int, line: str) -> tuple[str, str]:
    """Person and path of one line of a list."""
    person, _, photo = (part.strip() for part in line.partition("\t"))
    if not person or not photo or Path(photo).is_absolute():
        raise InvalidArgument(
            f"line {number} of {path} must be person<TAB>relative path, got {line!r}", path=str(path), line=number
        )
    _require_photo(path.parent / photo, is_file=(path.parent / photo).is_file())
    return person, photo


def _first_repeated(names: list[str]) -> str:
    """The first name that occurs a second time; empty if none does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _lfw_people(path: Path) -> list[tuple[str, int]]:
    first, *lines = [line.split("\t") for line in _lines(path) if line.strip()] or [[""]]
    people = [(line[0], int(line[1])) for line in lines if len(line) == 2 and line[1].isdecimal()]
    whole = len(people) == len(lines) and first == [str(len(people))]
    if not whole or _first_repeated([name for name, _ in people]):
        raise InvalidArgument(
            f"{path} must be the number of people and then as many different lines Name<TAB>count, got "
            f"{' '.join(first)!r} and {len(lines)} lines; people.txt with its ten folds is no such list",
            path=str(path),
        )
    return people
