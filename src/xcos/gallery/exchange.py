"""A gallery as one file for exchange: a ZIP of JSON, JSON lines and NumPy arrays. Nothing in it is ever executed.

``gallery.json`` is the card and the counts; ``subjects.jsonl`` has a line for each subject, ``templates.jsonl`` one for
each template, in the order of their subjects; ``vectors.npy`` (float32) and ``grids.npy`` (bytes, as the card's codec
writes them: :mod:`xcos.gallery.codec`) have a row for each template. Nothing is compressed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument, InvalidImport, StoreBusy, XcosError
from xcos.files import replacing
from xcos.gallery.codec import GridCodec, codec_of
from xcos.gallery.records import pack_card, unpack_card
from xcos.gallery.store import Enrolment, GalleryCard, NewSubject, Store, StoreChanged, source_of
from xcos.types import Template

SCHEMA = "xcos.gallery/1"
CARD, SUBJECTS, TEMPLATES, VECTORS, GRIDS = MEMBERS = (
    "gallery.json",
    "subjects.jsonl",
    "templates.jsonl",
    "vectors.npy",
    "grids.npy",
)
AT_ONCE = 512
LONGEST = 65_536  # bytes of a line
TRIES = 5
Advance = Callable[[], None]


def write_export(store: Store, path: str | Path, *, on_subject: Advance = lambda: None) -> int:
    """Number of templates written; the file appears whole or not at all, readable by its owner alone.

    It holds personal data, and erasing somebody from the gallery does not reach it.
    """
    for _ in range(TRIES):
        store.refresh()
        try:
            with replacing(path, private=True) as file:
                return _write(store, file, on_subject)
        except StoreChanged:
            continue
    raise StoreBusy("other processes changed the gallery faster than it could be written; try again")


def _write(store: Store, file: BinaryIO, on_subject: Advance) -> int:
    columns, codec = store.templates, codec_of(store.card.codec, store.card.layout)
    order = np.lexsort((columns["tid"], columns["sid"]))
    sids, counts = np.unique(columns["sid"], return_counts=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        content = {"schema": SCHEMA, "card": json.loads(pack_card(store.card))}
        totals = {"subjects": len(sids), "templates": len(order)}
        archive.writestr(CARD, json.dumps({**content, **totals}, indent=1) + "\n")
        with archive.open(SUBJECTS, "w", force_zip64=True) as member:
            for sid, count in zip(sids.tolist(), counts.tolist(), strict=True):
                subject = store.subjects[sid]
                fields = {**subject.__dict__, "tags": dict(subject.tags), "templates": count}
                member.write(_line(fields))
                on_subject()
        with archive.open(TEMPLATES, "w", force_zip64=True) as member:
            for place in order.tolist():
                member.write(_line(_described(store, place)))
        vectors, blocks = columns["vector"], range(0, len(order), AT_ONCE)
        with _array(archive, VECTORS, "<f4", (len(order), vectors.shape[1])) as write:
            for start in blocks:
                write(vectors[order[start : start + AT_ONCE]].astype("<f4").tobytes())
        with _array(archive, GRIDS, "|u1", (len(order), codec.size)) as write:
            for start in blocks:
                write(b"".join(map(codec.encode, store.grids(order[start : start + AT_ONCE]))))
    return len(order)


def _described(store: Store, place: int) -> dict[str, object]:
    columns = store.templates
    return {
        "subject": store.subjects[int(columns["sid"][place])].id,
        "quality": float(columns["quality"][place]),
        "source": source_of(columns["source"][place]),
    }


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True).encode() + b"\n"


@contextmanager
def _array(
    archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, int]
) -> Iterator[Callable[[bytes], object]]:
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    with archive.open(name, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        yield member.write


@dataclass(frozen=True)
class _Totals:
    subjects: int
    templates: int


class Exported:
    """An export that was opened; every line is read and held against the others before anything is imported."""

    def __init__(self, archive: zipfile.ZipFile, shown: str) -> None:
        self._archive, self._shown = archive, shown
        names = sorted(archive.namelist())
        if names != sorted(MEMBERS) or any(each.compress_type for each in archive.infolist()):
            raise InvalidImport(f"{shown} is no exported gallery: it must hold {', '.join(MEMBERS)}, uncompressed")
        self.card, self.totals = self._read_card()
        self._codec: GridCodec = codec_of(self.card.codec, self.card.layout)

    def _read_card(self) -> tuple[GalleryCard, _Totals]:
        try:
            with self._archive.open(CARD) as member:
                fields = json.loads(member.read(LONGEST))
            if fields["schema"] != SCHEMA:
                raise InvalidImport(f"{self._shown} has schema {fields['schema']!r}, {SCHEMA!r} was expected")
            return unpack_card(json.dumps(fields["card"])), _Totals(int(fields["subjects"]), int(fields["templates"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidImport(f"{self._shown}, {CARD}: it cannot be read ({error})") from error

    def require_lines(self) -> None:
        """Raises at the first line that is wrong."""
        described = list(self._templates())
        place, ids = 0, set()
        for line, fields in self._lines(SUBJECTS, self.totals.subjects):
            subject = self._subject(line, fields, ())
            count = fields.get("templates")
            if subject.id in ids:
                raise self._wrong(SUBJECTS, line, f"subject {subject.id!r} stands here for the second time")
            ids.add(subject.id)
            if not isinstance(count, int) or not 0 < count <= len(described) - place:
                raise self._wrong(SUBJECTS, line, f"templates must count lines of {TEMPLATES}, got {count!r}")
            for number in range(place, place + count):
                if described[number] != subject.id:
                    raise self._wrong(TEMPLATES, number + 1, f"subject {subject.id!r} was expected here")
            place += count
        if place != len(described):
            raise self._wrong(TEMPLATES, place + 1, "it belongs to no line of subjects.jsonl")

    def _templates(self) -> Iterator[str]:
        for line, fields in self._lines(TEMPLATES, self.totals.templates):
            self._described(line, fields)
            yield str(fields["subject"])

    def _described(self, line: int, fields: dict[str, Any]) -> tuple[float, str]:
        try:
            quality, source = fields["quality"], fields["source"]
            Enrolment(_ANY, quality, source)
            return quality, source
        except (XcosError, KeyError, TypeError, ValueError) as error:
            raise self._wrong(TEMPLATES, line, f"want subject, quality and source ({error})") from error

    def _subject(self, line: int, fields: dict[str, Any], templates: tuple[Enrolment, ...]) -> NewSubject:
        try:
            return NewSubject(
                fields["id"],
                templates or (Enrolment(_ANY),),
                dict(fields["tags"]),
                float(fields["expires"]),
                created=float(fields["created"]),
            )
        except (XcosError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong(SUBJECTS, line, f"want id, created, expires, tags and templates ({error})") from error

    def subjects(self) -> Iterator[NewSubject]:
        """All subjects with their templates; needs lines that are right."""
        rows = self._rows()
        described = self._lines(TEMPLATES, self.totals.templates)
        for line, fields in self._lines(SUBJECTS, self.totals.subjects):
            templates = []
            for number, about in islice(described, int(fields["templates"])):
                grid, vector = next(rows)
                quality, source = self._described(number, about)
                template = Template(grid, vector, self.card.layout.model)
                try:
                    self.card.layout.require([template])
                except XcosError as error:
                    raise self._wrong(TEMPLATES, number, f"its template cannot be used: {error.message}") from error
                templates.append(Enrolment(template, quality, source))
            yield self._subject(line, fields, tuple(templates))

    def _rows(self) -> Iterator[tuple[Any, Any]]:
        layout, count = self.card.layout, self.totals.templates
        with (
            self._array(VECTORS, "<f4", (count, layout.vector)) as vectors,
            self._array(GRIDS, "|u1", (count, self._codec.size)) as grids,
        ):
            for start in range(0, count, AT_ONCE):
                some = min(AT_ONCE, count - start)
                content = self._block(grids, GRIDS, some * self._codec.size).reshape(some, -1)
                numbers = self._block(vectors, VECTORS, some * layout.vector * 4).view("<f4").reshape(some, -1)
                yield from zip(self._codec.decode(content), numbers.astype(np.float32), strict=True)

    @contextmanager
    def _array(self, name: str, kind: str, shape: tuple[int, int]) -> Iterator[Any]:
        with self._archive.open(name) as member:
            try:
                version = np.lib.format.read_magic(member)
                found = np.lib.format.read_array_header_1_0(member)
            except ValueError as error:
                raise InvalidImport(f"{self._shown}, {name}: it is no NumPy array ({error})") from error
            if version != (1, 0) or found != (shape, False, np.dtype(kind)):
                raise InvalidImport(f"{self._shown}, {name}: want {shape} of {kind}, got {found[0]} of {found[2]}")
            yield member

    def _block(self, member: Any, name: str, size: int) -> NDArray[np.uint8]:
        content = member.read(size)
        if len(content) != size:
            raise InvalidImport(f"{self._shown}, {name}: it is cut short")
        return np.frombuffer(content, np.uint8)

    def _lines(self, name: str, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbers from 1 and fields of all lines; as many as the card says."""
        with self._archive.open(name) as member:
            for number in range(1, count + 1):
                line = member.readline(LONGEST)
                try:
                    fields = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise self._wrong(name, number, "it is no line of JSON" if line else "it is missing") from error
                if not isinstance(fields, dict) or not line.endswith(b"\n"):
                    raise self._wrong(name, number, "it is no whole JSON object")
                yield number, fields
            if member.read(1):
                raise self._wrong(name, count + 1, f"there are more lines than the {count:,} that {CARD} says")

    def _wrong(self, name: str, line: int, what: str) -> InvalidImport:
        return InvalidImport(
            f"{self._shown}, {name}, line {line}: {what}; nothing was imported", member=name, line=line
        )


_ANY = Template(np.ones((1, 1, 1), np.float32), np.ones(1, np.float32), "any")


@contextmanager
def opened_export(path: str | Path) -> Iterator[Exported]:
    """An exported gallery; :class:`InvalidImport` where the file is none, or turns out damaged within the block."""
    shown = Path(path).name
    try:
        with zipfile.ZipFile(path) as archive:
            yield Exported(archive, shown)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InvalidImport(f"{shown} is damaged or no exported gallery: {error}; nothing was imported") from error
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror or error}", path=str(path)) from error
