"""Lists in text files, line by line, with what every reader of them must refuse."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from xcos.errors import Detail, InvalidProtocol
from xcos.evaluation.protocols.owners import Owner
from xcos.images import printable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
"""What a list never has: control characters but for tabs and ends of lines."""
_OUTSIDE = re.compile(r"/|[A-Za-z]:|.*\\|(.*/)?\.\.(/|\Z)|\Z", re.S)
"""Absolute paths, those with a drive or a backslash, those with ``..``, and none at all."""


class Place(NamedTuple):
    """Where something stands; what errors name."""

    file: Path
    number: int | None
    """From 1; None: the file as a whole."""
    unit: str = "line"
    """What is numbered; files that are no text have pairs or photos instead of lines."""

    @property
    def told(self) -> str:
        """Without the file."""
        return "the file" if self.number is None else f"{self.unit} {self.number}"


class Line(NamedTuple):
    """One line that is not blank."""

    file: Path
    number: int
    text: str

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.number)

    def fields(self, counts: Sequence[int], wanted: str, separator: str | None = None) -> list[str]:
        """Its fields without space around them; refused unless their number is one of ``counts``."""
        fields = [field.strip() for field in self.text.split(separator)]
        if len(fields) not in counts or not all(fields):
            raise refused(self.place, f"{wanted} was expected, got {shown(self.text)}")
        return fields


@dataclass(frozen=True)
class ListFile:
    """A list as its owner publishes it."""

    path: Path
    lines: list[Line]
    sha256: str
    """Of the file's bytes."""


def read_list(path: Path, owner: Owner | None) -> ListFile:
    """The lines of a text file, blank ones left out.

    UTF-8; a byte order mark and CRLF are read as what they are. Anything that is no text (NUL and other control
    characters, bytes that are no UTF-8) is refused with the number of its line, and so is a file without lines. A
    missing file is told where ``owner`` publishes it.
    """
    content = read_bytes(path, owner)
    text = _text(content.removeprefix(BYTE_ORDER_MARK), path)
    numbered = enumerate(text.split("\n"), start=1)
    lines = [Line(path, number, line.removesuffix("\r")) for number, line in numbered if line and not line.isspace()]
    if not lines:
        raise refused(Place(path, 1), "the list is empty" + _told(owner))
    return ListFile(path, lines, hashlib.sha256(content).hexdigest())


def read_bytes(path: Path, owner: Owner | None) -> bytes:
    """Content of a file; one that is not there or cannot be read is told where ``owner`` publishes it."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refused(Place(path, None), f"cannot be read ({reason}){_told(owner)}") from error


def _told(owner: Owner | None) -> str:
    return f". {owner.told}" if owner else ""


def _text(content: bytes, path: Path) -> str:
    try:
        text, end = content.decode("utf-8"), len(content)
    except UnicodeDecodeError as error:
        text, end = "", error.start
    found = _NO_TEXT.search(content, 0, end)
    if found or end < len(content):
        at = found.start() if found else end
        line = content.count(b"\n", 0, at) + 1
        raise refused(
            Place(path, line), f"byte 0x{content[at]:02x} stands there; a list is text in UTF-8, and this file is not"
        )
    return text


def refused(place: Place, what: str, **details: Detail) -> InvalidProtocol:
    """The error that names the file and the line, or what else is numbered there."""
    where = str(place.file) if place.number is None else f"{place.file.name}, {place.told}"
    numbered: dict[str, Detail] = {"line": None} if place.number is None else {"line": None, place.unit: place.number}
    return InvalidProtocol(printable(f"{where}: {what}"), **{"path": str(place.file), **numbered, **details})


def shown(text: str) -> str:
    """A piece of a file for a message, not longer than a line of it should be."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def number(text: str, place: Place, wanted: str, *, least: int = 0, digits: int = 9) -> int:
    """The whole number that a field must be, of at most so many digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > digits or int(text) < least:
        limits = f"a whole number from {least} of at most {digits} digits"
        raise refused(place, f"{wanted} must be {limits}, got {shown(text)}")
    return int(text)


def inside(name: str, place: Place) -> str:
    """A path in an owner's list, in one spelling; refused where it leads out of the set's folder."""
    if _OUTSIDE.match(name):
        raise refused(place, f"{shown(name)} leads out of the set's folder; paths in this list start from it")
    return str(PurePosixPath(name)) if "/" in name else name


def photo_folder(folder: Path, *names: str) -> Path:
    """The first of the folders ``names`` that is there, or else the folder itself."""
    return next((folder / name for name in names if is_folder(folder / name)), folder)


def is_file(path: Path) -> bool:
    """Whether a file is there; False too for names that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises where a name is too long)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False too for names that no folder can have."""
    return os.path.isdir(path)  # noqa: PTH112  (likewise)


def names_in(folder: Path) -> list[str]:
    """Names of what lies in a folder, in no order; none where it is no folder."""
    try:
        with os.scandir(folder) as found:
            return [each.name for each in found]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return []
        raise refused(Place(folder, None), f"cannot be read ({error.strerror})") from error


def require_photos(
    names: Sequence[str],
    places: Sequence[Place],
    folder: Path,
    owner: Owner | None,
    *,
    there: Callable[[str], bool] | None = None,
) -> None:
    """Raises for the first photo whose file is not there, and says how many are not.

    ``there`` says whether the photo of a name is; by default its file in ``folder`` is looked for.
    """
    found = there or (lambda name: is_file(folder / name))
    missing = [at for at, name in enumerate(names) if not found(name)]
    if missing:
        name = names[missing[0]]
        person = PurePosixPath(name).parent
        unknown = "" if is_folder(folder / person) else f" (there is no folder {person})"
        raise refused(
            places[missing[0]],
            f"no photo {name} in {folder}{unknown}; {len(missing)} of {len(names)} photos are missing" + _told(owner),
            missing=len(missing),
        )


def digest(files: Sequence[ListFile]) -> str:
    """SHA-256 of one list's bytes; of several: of the lines ``hash  name`` in the order given.

    The latter is what ``sha256sum LISTS | sha256sum`` prints in the folder of the lists.
    """
    return named_digest([(file.path.name, file.sha256) for file in files])


def named_digest(hashes: Sequence[tuple[str, str]]) -> str:
    """The same of names and hashes."""
    if len(hashes) == 1:
        return hashes[0][1]
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
