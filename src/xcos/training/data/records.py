"""InsightFace's ``.rec`` and ``.idx`` (MXNet RecordIO): photos by number, without MXNet and without pickle.

A record is ``magic, flag and length, data, padding to 4 bytes`` (dmlc-core, ``recordio.h``): the flag in the upper 3
bits is 0 for a whole record; data that holds the magic number at a multiple of 4 bytes is cut there, and its parts
have the flags 1, 2 …, 3. Data begin with a header ``flag, label, id, id2`` (mxnet, ``recordio.py``); a flag above
zero says how many labels stand behind the header instead. The ``.idx`` has lines ``number<TAB>byte offset``.

InsightFace's layout: record 0 holds no image but the numbers ``first, end`` of the identity records, which hold no
image but the numbers ``first, end`` of that person's photos; photos are records 1 to ``first`` − 1. Files without
such a record 0 (shuffled ones) hold photos only.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.files import require_writable, write_atomically
from xcos.training.data.identities import Identities, Labels, gather
from xcos.types import freeze

MAGIC = struct.pack("<I", 0xCED7230A)
WHOLE, FIRST, MIDDLE, LAST = range(4)
LENGTH_BITS = 29
PART = struct.Struct("<4sI")
HEADER = struct.Struct("<IfQQ")
EXACT = 2**24
"""Labels are 32-bit floats, which hold integers exactly up to this one."""


@dataclass(frozen=True)
class Record:
    """One unpacked record."""

    labels: tuple[float, ...]
    content: bytes
    """An image file; empty in records about other records."""


class RecordFile:
    """Random access to the records of a ``.rec`` file through its ``.idx``; the file is mapped, not read.

    Goes to other processes as its paths and the index; each maps the file itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.numbers, self.offsets = _read_index(path.with_suffix(".idx"))
        self._map: mmap.mmap | None = None
        self._check_offsets()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_map": None}

    def name(self, number: int) -> str:
        """What an error about this record calls it."""
        return f"record {number} of {self.path}"

    def __contains__(self, number: int) -> bool:
        at = int(np.searchsorted(self.numbers, number))
        return at < len(self.numbers) and int(self.numbers[at]) == number

    def read(self, number: int) -> Record:
        """The record with this number of the index."""
        at = int(np.searchsorted(self.numbers, number))
        offset = int(self.offsets[at])
        data = b"".join(self._parts(number, offset))
        if len(data) < HEADER.size:
            self._refuse(number, offset, f"has {len(data)} bytes, less than its header of {HEADER.size}")
        count, label, _, _ = HEADER.unpack_from(data)
        if count == 0:
            return Record((label,), data[HEADER.size :])
        end = HEADER.size + 4 * count
        if len(data) < end:
            self._refuse(number, offset, f"has {len(data)} bytes, less than the {count} labels it claims need")
        return Record(struct.unpack_from(f"<{count}f", data, HEADER.size), data[end:])

    def integers(self, number: int, count: int) -> tuple[int, ...]:
        """The first ``count`` labels of a record, which must be whole numbers from 0."""
        labels = self.read(number).labels[:count]
        if len(labels) < count or not all(label >= 0 and label.is_integer() for label in labels):
            self._refuse(
                number, self._offset(number), f"has the labels {labels}; {count} whole numbers must stand there"
            )
        return tuple(int(label) for label in labels)

    def _offset(self, number: int) -> int:
        return int(self.offsets[np.searchsorted(self.numbers, number)])

    def _parts(self, number: int, offset: int) -> Iterator[bytes]:
        content = self._content()
        wanted: tuple[int, ...] = (WHOLE, FIRST)
        while True:
            if offset + PART.size > len(content):
                self._refuse(number, offset, f"needs a head of {PART.size} bytes; the file ends at {len(content)}")
            magic, word = PART.unpack_from(content, offset)
            flag, length = word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)
            if magic != MAGIC:
                self._refuse(number, offset, f"begins with {magic.hex()} instead of the magic number {MAGIC.hex()}")
            if flag not in wanted:
                self._refuse(number, offset, f"has a part with the flag {flag} where one of {wanted} must stand")
            start = offset + PART.size
            offset = start + _padded(length)
            if offset > len(content):
                self._refuse(number, start, f"claims {length} bytes; the file ends at {len(content)}")
            yield content[start : start + length]
            if flag in (WHOLE, LAST):
                return
            yield MAGIC
            wanted = (MIDDLE, LAST)

    def _content(self) -> mmap.mmap:
        if self._map is None:
            with _open(self.path) as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def _check_offsets(self) -> None:
        with _open(self.path) as file:
            size = file.seek(0, 2)
        wrong = (self.offsets < 0) | (self.offsets % 4 != 0) | (self.offsets > size - PART.size)
        if wrong.any():
            at = int(wrong.argmax())
            self._refuse(
                int(self.numbers[at]),
                int(self.offsets[at]),
                f"cannot begin there in a file of {size} bytes: truncated, or another file's .idx",
            )

    def _refuse(self, number: int, offset: int, what: str) -> NoReturn:
        raise InvalidArgument(
            f"{self.name(number)}, at byte {offset}, {what}; copy or write the file again",
            path=str(self.path),
            record=number,
            offset=offset,
        )


@dataclass(frozen=True, eq=False)
class RecordPhotos:
    """The photos among a file's records."""

    file: RecordFile
    numbers: NDArray[np.int64]
    """Record of each photo."""
    people: Labels
    """Label that each photo's record must have."""

    def __post_init__(self) -> None:
        freeze(self, numbers=self.numbers, people=self.people)

    def encoded(self, place: int) -> bytes:
        """Content of the image file in the record; its label must be the one the file's identity records give."""
        number = int(self.numbers[place])
        record = self.file.read(number)
        if record.labels[0] != self.people[place]:
            raise InvalidArgument(
                f"{self.file.name(number)} has the label {record.labels[0]:g} and lies among those of person "
                f"{self.people[place]}; write the file again",
                record=number,
            )
        return record.content

    def name(self, place: int) -> str:
        """Number and file of the record."""
        return self.file.name(int(self.numbers[place]))


def read_records(path: str | Path, *, least: int = 1) -> Identities:
    """Identities of a ``.rec`` file beside its ``.idx``; a person's name is the label in the file.

    People with fewer than ``least`` photos are left out. Where the identity records cover all photos only they are
    read here, otherwise every record's head.
    """
    file = RecordFile(Path(path))
    numbers, people = _photo_labels(file)
    labels, place = np.unique(people, return_inverse=True)
    photos = RecordPhotos(file, numbers, people)
    return gather(photos, place, [str(label) for label in labels], least=least, source=f"the record file {path}")


def write_records(identities: Identities, path: str | Path) -> None:
    """Writes ``path`` (``….rec``) and its ``.idx`` in InsightFace's layout; neither may exist.

    Image files are copied as they are, after a check that they decode. Names are not kept: a person is a number.
    """
    path, people = Path(path), len(identities.names)
    index = path.with_suffix(".idx")
    first, end = len(identities) + 1, len(identities) + 1 + people
    if path.suffix != ".rec" or path.exists() or index.exists():
        raise InvalidArgument(f"{path} must end in .rec and be new, and so must its .idx; give another name")
    if end > EXACT:
        raise InvalidArgument(f"{end} records are more than the {EXACT} a record file can number; write shards instead")
    require_writable(path)
    order = np.argsort(identities.labels, kind="stable")
    starts = 1 + np.searchsorted(identities.labels[order], np.arange(people + 1))
    lines = []
    with path.open("wb") as file:
        lines.append(_append(file, 0, _packed(0, (first, end), b"")))
        for number, photo in enumerate(order.tolist(), start=1):
            content = identities.encoded(photo)
            identities.decoded(photo, content)
            lines.append(_append(file, number, _packed(number, (int(identities.labels[photo]),), content)))
        for person in range(people):
            range_ = (int(starts[person]), int(starts[person + 1]))
            lines.append(_append(file, first + person, _packed(first + person, range_, b"")))
    write_atomically(index, "".join(lines).encode())


def _photo_labels(file: RecordFile) -> tuple[NDArray[np.int64], Labels]:
    """Numbers of the records that hold photos, and the label of each."""
    if 0 not in file or file.read(0).content:
        return file.numbers, _labels_of_each(file, file.numbers)
    first, end = file.integers(0, 2)
    ranges = _ranges(file, first, end) if end <= EXACT else []
    if ranges:
        people = np.repeat(
            [file.integers(start, 1)[0] for start, _ in ranges], [stop - start for start, stop in ranges]
        )
        return np.arange(1, first), people
    photos = np.array([number for number in file.numbers.tolist() if file.read(number).content], np.int64)
    return photos, _labels_of_each(file, photos)


def _ranges(file: RecordFile, first: int, end: int) -> list[tuple[int, int]]:
    """First photo of each person, and one after the last; empty unless they tile 1 … ``first`` − 1 in order."""
    missing = [number for number in range(first, end) if number not in file]
    if missing:
        raise InvalidArgument(
            f"{file.path} should hold {end - first} identity records and its .idx does not name {missing[0]}; "
            "copy both files again",
            path=str(file.path),
            record=missing[0],
        )
    ranges = [(start, stop) for start, stop in (file.integers(number, 2) for number in range(first, end))]
    edges = [1, *(stop for _, stop in ranges)]
    tiled = [start for start, _ in ranges] == edges[:-1] and edges[-1] == first and min(np.diff(edges), default=0) > 0
    return ranges if tiled and bool(np.isin(np.arange(1, first), file.numbers).all()) else []


def _labels_of_each(file: RecordFile, numbers: NDArray[np.int64]) -> Labels:
    return np.array([file.integers(number, 1)[0] for number in numbers.tolist()], np.int64)


def _read_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Record numbers, ascending, and byte offsets."""
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        table = np.loadtxt(path, np.int64, comments=None, delimiter="\t", ndmin=2, encoding="ascii")
        if table.shape[1] != 2:
            raise ValueError(f"it has {table.shape[1]} columns")
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"cannot read the index {path}: {error}; it must have lines number<TAB>byte offset and lie beside its .rec",
            path=str(path),
        ) from error
    numbers, offsets = table[np.argsort(table[:, 0], kind="stable")].T
    twice = np.flatnonzero(np.diff(numbers) == 0)
    if len(twice):
        raise InvalidArgument(f"{path} names record {numbers[twice[0]]} twice", path=str(path))
    return np.ascontiguousarray(numbers), np.ascontiguousarray(offsets)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidArgument(f"cannot read the record file {path}: {error.strerror}", path=str(path)) from error


def _packed(number: int, labels: tuple[int, ...], content: bytes) -> bytes:
    """Data of a record: one label in the header, more behind it."""
    if len(labels) == 1:
        return HEADER.pack(0, labels[0], number, 0) + content
    return HEADER.pack(len(labels), 0, number, 0) + struct.pack(f"<{len(labels)}f", *labels) + content


def _append(file: BinaryIO, number: int, data: bytes) -> str:
    """Line of the index for a record, after writing it at the file's end."""
    line = f"{number}\t{file.tell()}\n"
    parts = _split_at_magic(data)
    for at, part in enumerate(parts):
        flag = WHOLE if len(parts) == 1 else FIRST if at == 0 else LAST if at == len(parts) - 1 else MIDDLE
        file.write(PART.pack(MAGIC, flag << LENGTH_BITS | len(part)) + part.ljust(_padded(len(part)), b"\0"))
    return line


def _split_at_magic(data: bytes) -> list[bytes]:
    """Data cut at the magic numbers that stand at multiples of 4 bytes, without them."""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    cuts = [4 * int(at) for at in np.flatnonzero(words == int.from_bytes(MAGIC, "little"))]
    return [data[start:stop] for start, stop in zip([0, *(at + 4 for at in cuts)], [*cuts, len(data)], strict=True)]


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4
