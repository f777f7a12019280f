"""The embedded store: one SQLite file is the only truth; what is in memory is rebuilt from it and never trusted.

Every record has a fixed size and is overwritten where it lies (:mod:`xcos.gallery.records`), so erasing leaves no copy
in the file; what is left in the write-ahead log is removed by emptying it. A log of changes, which names records by
number only, tells other processes what to read again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xcos.errors import (
    AlreadyEnrolled,
    InvalidGallery,
    NoSuchSubject,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
    XcosError,
)
from xcos.files import new_file
from xcos.gallery.codec import codec_of
from xcos.gallery.columns import Array, Columns
from xcos.gallery.records import (
    SUBJECT_BYTES,
    Heads,
    head_kind,
    is_intact,
    pack_card,
    pack_head,
    pack_subject,
    unpack_card,
    unpack_subject,
)
from xcos.gallery.sketch import Sketcher
from xcos.gallery.store import (
    Capabilities,
    Enrolment,
    ErasureReceipt,
    GalleryCard,
    IntegrityReport,
    NewSubject,
    Numbers,
    StoreChanged,
    Subject,
    source_of,
)
from xcos.types import Floats

APPLICATION = 0x78434F53  # "xCOS" in the file's header: other programs' files are told apart
PAGE = 8192  # a grid of 7 x 7 x 128 in eight bits fits in one
STEPS = (  # from each version of the schema to the next; user_version counts those done
    """
    CREATE TABLE gallery(only_one INTEGER PRIMARY KEY CHECK (only_one = 1), card TEXT NOT NULL, secret BLOB NOT NULL);
    CREATE TABLE subject(sid INTEGER PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE template(tid INTEGER PRIMARY KEY, head BLOB NOT NULL);
    CREATE TABLE grid(tid INTEGER PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE change(seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, number INTEGER NOT NULL);
    CREATE TABLE erasure(number INTEGER PRIMARY KEY, receipt TEXT NOT NULL);
    """,
)
SUBJECT, TEMPLATE = 1, 2
RECORDS = {SUBJECT: ("subject", "record"), TEMPLATE: ("template", "head")}
MOST_CHANGES = 100_000  # kept for other processes; who is further behind reads all again
WAIT = 5.0  # seconds for another writer
RETRY = 0.05
AT_ONCE = 500  # numbers in one SQL statement
GRIDS_AT_ONCE = 2048
KEPT = ("sid", "quality", "created", "expires", "source", "digest", "vector", "sketch")
SUBJECTS_AT_ONCE = 256


class Cursor(Protocol):
    """What is used of a DB-API cursor."""

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All further rows."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What is used of a DB-API connection without transactions of its own; errors are those of :mod:`sqlite3`."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Runs one statement."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


Connect = Callable[[Path], Connection]


def connect(path: Path) -> Connection:
    """The standard library's connection to an existing file; usable from all threads, one at a time."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    return sqlite3.connect(uri, timeout=WAIT, isolation_level=None, check_same_thread=False, uri=True)


class SqliteStore:
    """A gallery in one SQLite file; see :class:`xcos.gallery.store.Store` for what the methods promise."""

    capabilities = Capabilities("fsync", "immediate", "one", exact_filters=True)

    def __init__(self, path: str | Path, *, connect: Connect = connect) -> None:
        self.path = Path(path)
        self._touched: list[tuple[int, int]] = []
        if not self.path.is_file():
            raise InvalidGallery(f"{self.path} is not there or no file; make a gallery with 'xcos gallery create'")
        with _told(self.path):
            self._db = _opened(self.path, connect)
            try:
                text, self._secret = self._db.execute("SELECT card, secret FROM gallery").fetchone()
                self.card: GalleryCard = unpack_card(text)
            except (TypeError, ValueError, KeyError) as error:
                self._db.close()
                raise StoreDamaged(f"the card of the gallery {self.path} cannot be read: {error}") from error
            except BaseException:
                self._db.close()
                raise
        layout = self.card.layout
        self._codec = codec_of(self.card.codec, layout)
        self._head = head_kind(self.card)
        self._sketcher: Sketcher | None = None
        self._forget_all()
        self.refresh()

    @classmethod
    def create(cls, path: str | Path, card: GalleryCard, *, connect: Connect = connect) -> SqliteStore:
        """A new gallery; a file that is there already is refused, and one half made never appears."""
        with new_file(path) as (target, temporary), _told(target):
            db = connect(temporary)
            try:
                for pragma in (f"page_size = {PAGE}", "journal_mode = WAL", "synchronous = FULL"):
                    db.execute(f"PRAGMA {pragma}")
                db.execute("BEGIN IMMEDIATE")
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                _apply_steps(db, 0)
                dated = replace(card, created=card.created or time.time())
                db.execute("INSERT INTO gallery VALUES (1, ?, ?)", (pack_card(dated), secrets.token_bytes(32)))
                db.execute("COMMIT")
            finally:
                db.close()
        return cls(target, connect=connect)

    def close(self) -> None:
        """Ends it; a store that was not closed loses nothing."""
        with _told(self.path):
            self._db.close()

    # What is in memory

    @property
    def subjects(self) -> Mapping[int, Subject]:
        """As :class:`xcos.gallery.store.Reading`."""
        return self._subjects

    @property
    def templates(self) -> Columns:
        """As :class:`xcos.gallery.store.Reading`."""
        return self._templates

    def refresh(self) -> None:
        """As :class:`xcos.gallery.store.Reading`."""
        with _told(self.path), self._transaction("BEGIN"):
            self._catch_up()

    def hold_grids(self) -> None:
        """As :class:`xcos.gallery.store.Reading`."""
        if "grid" in self._templates:
            return
        with _told(self.path), self._transaction("BEGIN"):
            self._catch_up()
            tids = self._templates["tid"]
            none = self._held(self._bytes([]))
            held = {name: np.empty((len(tids), *part.shape[1:]), part.dtype) for name, part in none.items()}
            order = np.argsort(tids)
            for numbers, content in self._grid_records(GRIDS_AT_ONCE):
                places = order[np.searchsorted(tids, numbers, sorter=order)]
                for name, part in self._held(content).items():
                    held[name][places] = part
        for name, part in held.items():
            self._templates.add_column(name, part)

    def _held(self, content: Array) -> dict[str, Array]:
        """What memory holds of grids' bytes."""
        grids = self._codec.decode(content)
        return {"grid": grids, "length": np.sqrt(np.vecdot(grids, grids))}

    def grids(self, places: Numbers) -> Floats:
        """As :class:`xcos.gallery.store.Reading`."""
        tids, digests = (self._templates[name][places] for name in ("tid", "digest"))
        with _told(self.path), self._transaction("BEGIN"):
            heads = self._records("template", "head", self._head.itemsize, tids)
            grids = self._records("grid", "record", self._codec.size, tids)
        read: Heads = np.frombuffer(b"".join(heads), self._head)
        if (read["digest"] != digests).any():
            raise StoreChanged
        for tid, head, grid in zip(tids.tolist(), read, grids, strict=True):
            if not is_intact(head, grid):
                raise StoreDamaged(f"template {tid} of {self.path} is damaged; run 'xcos gallery check'")
        return self._codec.decode(self._bytes(grids))

    def all_grids(self, block: int) -> Iterator[tuple[Numbers, Floats]]:
        """As :class:`xcos.gallery.store.Reading`, all of one moment; erased bytes stay pending until it ends."""
        with _told(self.path), self._transaction("BEGIN"):
            self._catch_up()
            for numbers, content in self._grid_records(block):
                yield numbers, self._codec.decode(content)

    def _bytes(self, grids: Sequence[bytes]) -> Array:
        """``(n, size)``."""
        return np.frombuffer(b"".join(grids), np.uint8).reshape(len(grids), self._codec.size)

    def _grid_records(self, block: int) -> Iterator[tuple[Numbers, Array]]:
        """Numbers and bytes of the grids in use."""
        used = np.sort(self._templates["tid"])
        for start in range(0, len(used), block):
            numbers = used[start : start + block]
            rows = self._db.execute(
                "SELECT tid, record FROM grid WHERE tid BETWEEN ? AND ?", (int(numbers[0]), int(numbers[-1]))
            ).fetchall()
            wanted = set(numbers.tolist())
            records = [self._sized(record, self._codec.size) for tid, record in rows if tid in wanted]
            if len(records) != len(numbers):
                raise StoreDamaged(f"{self.path} lacks grids of its templates; run 'xcos gallery check'")
            yield numbers, self._bytes(records)

    def _forget_all(self) -> None:
        vector, words = self.card.layout.vector, self.card.sketch_bits // 64
        self._subjects: dict[int, Subject] = {}
        self._sids: dict[str, int] = {}
        self._free_subjects: set[int] = set()
        self._free_templates: set[int] = set()
        self._last = -1
        self._templates = Columns(
            {
                "tid": (np.int64, ()),
                "sid": (np.int64, ()),
                "quality": (np.float64, ()),
                "created": (np.float64, ()),
                "expires": (np.float64, ()),
                "source": (np.uint8, (32,)),
                "digest": (np.uint8, (16,)),
                "vector": (np.float32, (vector,)),
                "sketch": (np.uint64, (words,)),
            }
        )

    def _catch_up(self) -> None:
        """Reads what changed since the last time; needs a transaction, so that all is of one moment."""
        first, last = self._db.execute("SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM change").fetchone()
        if last == self._last:
            return
        if self._last < first - 1:
            self._forget_all()
            self._take_subjects(self._db.execute("SELECT sid, record FROM subject"))
            self._take_heads(self._db.execute("SELECT tid, head FROM template").fetchall())
        else:
            changed: dict[int, set[int]] = {SUBJECT: set(), TEMPLATE: set()}
            for kind, number in self._db.execute("SELECT kind, number FROM change WHERE seq > ?", (self._last,)):
                changed[kind].add(number)
            self._take_subjects(self._numbered("subject", "sid, record", "sid", changed[SUBJECT]))
            self._drop_templates(changed[TEMPLATE])
            self._take_heads(list(self._numbered("template", "tid, head", "tid", changed[TEMPLATE])))
        self._last = last

    def _take_subjects(self, rows: Iterable[tuple[int, bytes]]) -> None:
        for sid, record in rows:
            old = self._subjects.pop(sid, None)
            if old is not None and self._sids.get(old.id) == sid:
                del self._sids[old.id]
            subject = unpack_subject(self._sized(record, SUBJECT_BYTES))
            if subject is None:
                self._free_subjects.add(sid)
            else:
                self._free_subjects.discard(sid)
                self._subjects[sid], self._sids[subject.id] = subject, sid

    def _drop_templates(self, tids: set[int]) -> None:
        if tids:
            self._templates.remove(np.flatnonzero(np.isin(self._templates["tid"], list(tids))))

    def _take_heads(self, rows: Sequence[tuple[int, bytes]]) -> None:
        if not rows:
            return
        tids = np.array([tid for tid, _ in rows], np.int64)
        content = b"".join(self._sized(head, self._head.itemsize) for _, head in rows)
        heads: Heads = np.frombuffer(content, self._head)
        used = heads["sid"] != 0
        self._free_templates |= set(tids[~used].tolist())
        self._free_templates -= set(tids[used].tolist())
        if used.any():
            self._add_templates(tids[used], heads[used])

    def _add_templates(self, tids: Numbers, heads: Heads) -> None:
        columns = {name: heads[name] for name in KEPT}
        if "grid" in self._templates:
            records = self._records("grid", "record", self._codec.size, tids)
            columns |= self._held(self._bytes(records))
        self._templates.append({"tid": tids, **columns})

    # Acts

    def enrol(self, subjects: Iterable[NewSubject]) -> None:
        """As :class:`xcos.gallery.store.Enrolling`."""
        coming = iter(subjects)
        with self._writing():
            while some := list(islice(coming, SUBJECTS_AT_ONCE)):
                for each in some:
                    self.card.layout.require([enrolment.template for enrolment in each.templates])
                ready = self._ready([enrolment for each in some for enrolment in each.templates])
                for each in some:
                    self._enrol_one(each, list(islice(ready, len(each.templates))))

    def _ready(self, enrolments: Sequence[Enrolment]) -> Iterator[tuple[Enrolment, bytes, Any]]:
        """Each with its grid's bytes and the sketch of what these bytes say."""
        if self._sketcher is None:
            self._sketcher = Sketcher(self.card.layout.features, self.card.sketch_bits)
        records = [self._codec.encode(enrolment.template.grid) for enrolment in enrolments]
        grids = self._codec.decode(self._bytes(records))
        return iter(zip(enrolments, records, self._sketcher.sketch(grids), strict=True))

    def _enrol_one(self, new: NewSubject, templates: list[tuple[Enrolment, bytes, Any]]) -> None:
        now = time.time() if new.created is None else new.created
        sid = self._sids.get(new.id)
        if sid is None:
            expires = now + self.card.retention if new.expires is None else new.expires
            subject = Subject(new.id, now, expires, dict(new.tags))
            sid = self._put(SUBJECT, self._free_subjects, pack_subject(subject))
            self._subjects[sid], self._sids[new.id] = subject, sid
            known: set[str] = set()
        elif not new.add:
            raise AlreadyEnrolled(
                f"subject {new.id!r} is in the gallery already; add templates to it with add=True, or erase it first",
                subject=new.id,
            )
        elif self._subjects[sid].expires <= now:
            raise AlreadyEnrolled(
                f"subject {new.id!r} has expired and is still to be erased; run expire() first", subject=new.id
            )
        else:
            known = self._sources(sid)
        for enrolment, grid, sketch in templates:
            if enrolment.source in known:
                raise AlreadyEnrolled(
                    f"the photo with SHA-256 {enrolment.source[:12]}… is in the gallery already as {new.id!r}; leave "
                    "it out",
                    subject=new.id,
                    source=enrolment.source,
                )
            known |= {enrolment.source} - {""}
            head = pack_head(self._head, sid, enrolment, (now, self._subjects[sid].expires), sketch, grid)
            tid = self._put(TEMPLATE, self._free_templates, head)
            there = self._db.execute("SELECT 1 FROM grid WHERE tid = ?", (tid,)).fetchone()
            if there:
                self._overwrite("grid", "record", tid, grid)
            else:
                self._db.execute("INSERT INTO grid VALUES (?, ?)", (tid, grid))

    def _sources(self, sid: int) -> set[str]:
        mine = self._templates["source"][self._templates["sid"] == sid]
        return {source_of(source) for source in mine} - {""}

    def _put(self, kind: int, free: set[int], record: bytes) -> int:
        """Number of the record, a free one or a new one at the end."""
        table, column = RECORDS[kind]
        if free:
            number = free.pop()
            self._touch(kind, number)
            self._overwrite(table, column, number, record)
        else:
            self._db.execute(f"INSERT INTO {table} VALUES (NULL, ?)", (record,))
            number = int(self._db.execute("SELECT last_insert_rowid()").fetchone()[0])
            self._touch(kind, number)
        return number

    def _overwrite(self, table: str, column: str, number: int, record: bytes) -> None:
        # As many bytes as before: SQLite overwrites the record where it lies.
        self._db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (record, number))

    def _touch(self, kind: int, number: int) -> None:
        """Tells other processes, and this one should it fail, that a record changes."""
        self._touched.append((kind, number))
        self._db.execute("INSERT INTO change(kind, number) VALUES (?, ?)", (kind, number))

    def erase(self, ids: Sequence[str], *, patience: float = WAIT) -> list[ErasureReceipt]:
        """As :class:`xcos.gallery.store.Erasing`: all of them or, where one is not there, none."""
        with self._writing():
            made = [self._erase_one(id) for id in dict.fromkeys(ids)]
        numbers = {receipt.number for receipt in made}
        try:
            self._settle(patience)
            return [receipt for receipt in self.receipts() if receipt.number in numbers]
        except XcosError:  # they are erased, whatever the disk does now
            return [replace(receipt, physical="unknown", checked=time.time()) for receipt in made]

    def _erase_one(self, id: str) -> ErasureReceipt:
        sid = self._sids.get(id)
        if sid is None:
            raise NoSuchSubject(f"the gallery has no subject {id!r}", subject=id)
        tids = self._templates["tid"][self._templates["sid"] == sid].tolist()
        self._touch(SUBJECT, sid)
        self._overwrite("subject", "record", sid, bytes(SUBJECT_BYTES))
        for tid in tids:
            self._touch(TEMPLATE, tid)
            self._overwrite("template", "head", tid, bytes(self._head.itemsize))
            self._overwrite("grid", "record", tid, bytes(self._codec.size))
        now = time.time()
        number = int(self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM erasure").fetchone()[0])
        receipt = ErasureReceipt(number, self.token(id), len(tids), now, "pending", now, "write-ahead log")
        self._db.execute("INSERT INTO erasure VALUES (?, ?)", (number, json.dumps(asdict(receipt))))
        del self._sids[id]
        return receipt

    def settle(self, *, patience: float = WAIT) -> list[ErasureReceipt]:
        """As :class:`xcos.gallery.store.Erasing`."""
        pending = [receipt.number for receipt in self.receipts() if receipt.physical != "done"]
        if pending:
            self._settle(patience)
        return [receipt for receipt in self.receipts() if receipt.number in pending]

    def receipts(self) -> list[ErasureReceipt]:
        """As :class:`xcos.gallery.store.Erasing`."""
        with _told(self.path):
            rows = self._db.execute("SELECT receipt FROM erasure ORDER BY number").fetchall()
        return [ErasureReceipt(**json.loads(text)) for (text,) in rows]

    def token(self, id: str) -> str:
        """As :class:`xcos.gallery.store.Erasing`."""
        return hmac.new(self._secret, id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _settle(self, patience: float) -> None:
        """Empties the write-ahead log, and writes into the open receipts how that went."""
        covered = [receipt for receipt in self.receipts() if receipt.physical != "done"]
        ended = time.monotonic() + patience
        try:
            while not (emptied := self._empty_log()) and time.monotonic() < ended:
                time.sleep(RETRY)
            found: dict[str, str] = {"physical": "done" if emptied else "pending"}
        except XcosError:
            found = {"physical": "unknown"}
        found["residue"] = "" if found["physical"] == "done" else "write-ahead log"
        with self._writing():
            for receipt in covered:
                told = json.dumps({**asdict(receipt), **found, "checked": time.time()})
                self._db.execute("UPDATE erasure SET receipt = ? WHERE number = ?", (told, receipt.number))

    def _empty_log(self) -> bool:
        """Whether all of the log is in the file now and the log has no bytes; a reader of an old state prevents it."""
        with _told(self.path):
            self._db.execute("PRAGMA busy_timeout = 0").fetchall()
            try:
                busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {WAIT * 1000:.0f}").fetchall()
            log = self.path.with_name(f"{self.path.name}-wal")
            return not busy and (not log.exists() or log.stat().st_size == 0)

    # Damage

    def check(self) -> IntegrityReport:
        """As :class:`xcos.gallery.store.Checking`."""
        try:
            with _told(self.path), self._transaction("BEGIN"):
                problems = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(100)") if row[0] != "ok"]
                self._forget_all()
                self._catch_up()
                problems += self._wrong_templates() + self._wrong_subjects()
        except StoreDamaged as error:
            problems = [error.message]
        return IntegrityReport(len(self._subjects), len(self._templates), tuple(problems))

    def _wrong_templates(self) -> list[str]:
        wrong = []
        rows = self._db.execute("SELECT t.tid, t.head, g.record FROM template t LEFT JOIN grid g ON g.tid = t.tid")
        for tid, head, grid in rows:
            if grid is None or len(grid) != self._codec.size:
                wrong.append(f"template {tid} has no grid")
            elif not any(head):
                wrong += [f"template {tid} is free, but its grid is not empty"] if any(grid) else []
            elif not is_intact(np.frombuffer(head, self._head)[0], grid):
                wrong.append(f"template {tid} does not have the digest it states")
        strangers = set(self._templates["sid"].tolist()) - set(self._subjects)
        return wrong + [f"templates belong to record {sid}, which is no subject" for sid in sorted(strangers)]

    def _wrong_subjects(self) -> list[str]:
        alone = set(self._subjects) - set(self._templates["sid"].tolist())
        wrong = [f"the subject in record {sid} has no templates" for sid in sorted(alone)]
        if len(self._sids) != len(self._subjects):
            wrong.append("several subjects have the same id")
        return wrong

    # SQLite

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that begins with all that others wrote, and after which memory has all of it."""
        self._touched.clear()
        with _told(self.path):
            try:
                with self._transaction("BEGIN IMMEDIATE"):
                    self._catch_up()
                    yield
                    keep = "SELECT max(seq) FROM change"
                    self._db.execute(f"DELETE FROM change WHERE seq <= ({keep}) - ?", (MOST_CHANGES,))
            except BaseException:
                self._restore()
                with suppress(XcosError, sqlite3.Error):  # of a long act, what was not committed may be in the log
                    self._empty_log()
                raise
        with suppress(XcosError):  # what is committed stands, and the next refresh meets the same error
            self.refresh()

    def _restore(self) -> None:
        """Makes memory what it was before a transaction that failed."""
        changed = {kind: {number for of, number in self._touched if of == kind} for kind in RECORDS}
        for sid in changed[SUBJECT]:
            subject = self._subjects.pop(sid, None)
            if subject is not None:
                self._sids.pop(subject.id, None)
        try:
            self._take_subjects(self._numbered("subject", "sid, record", "sid", changed[SUBJECT]))
            self._drop_templates(changed[TEMPLATE])
            self._take_heads(list(self._numbered("template", "tid, head", "tid", changed[TEMPLATE])))
        except (sqlite3.Error, XcosError):
            self._forget_all()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._db.execute(begin)
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the first error is the one to tell
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise

    def _numbered(self, table: str, columns: str, key: str, numbers: set[int]) -> Iterator[tuple[int, bytes]]:
        wanted = sorted(numbers)
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            yield from self._db.execute(f"SELECT {columns} FROM {table} WHERE {key} IN ({marks})", some)

    def _records(self, table: str, column: str, size: int, tids: Numbers) -> list[bytes]:
        """Records of these numbers, in this order."""
        found = dict(self._numbered(table, f"tid, {column}", "tid", set(tids.tolist())))
        missing = [tid for tid in tids.tolist() if tid not in found]
        if missing:
            raise StoreDamaged(f"{self.path} has no {table} {missing[0]}; run 'xcos gallery check'")
        return [self._sized(found[tid], size) for tid in tids.tolist()]

    def _sized(self, record: object, size: int) -> bytes:
        if isinstance(record, bytes) and len(record) == size:
            return record
        raise StoreDamaged(f"{self.path} has a record that is not of {size} bytes; run 'xcos gallery check'")


def _opened(path: Path, connect: Connect) -> Connection:
    db = connect(path)
    try:
        (application,), (version,) = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if application != APPLICATION:
            raise InvalidGallery(f"{path} is no gallery: it is empty or another program's; it was left as it was")
        if version > len(STEPS):
            raise InvalidGallery(f"{path} has format {version}, this program knows {len(STEPS)}: update xcos")
        pragmas = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY")
        for pragma in (f"busy_timeout = {WAIT * 1000:.0f}", *pragmas, "trusted_schema = OFF"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        if version < len(STEPS):
            db.execute("BEGIN IMMEDIATE")
            _apply_steps(db, version)
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _apply_steps(db: Connection, version: int) -> None:
    for step in STEPS[version:]:
        for statement in step.split(";"):
            if statement.strip():
                db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(STEPS)}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as this package's."""
    try:
        yield
    except sqlite3.Error as error:
        raise _typed(error, path) from error
    except OSError as error:
        raise StoreFailed(f"cannot use {path}: {error.strerror or error}; what was acknowledged stands") from error


def _typed(error: sqlite3.Error, path: Path) -> XcosError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"another process is writing to {path}; nothing was changed: try again", path=str(path))
    if code == sqlite3.SQLITE_NOTADB:
        return InvalidGallery(f"{path} is no gallery: its content is not SQLite's", path=str(path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT) or "no such table" in str(error):
        return StoreDamaged(f"{path} is damaged ({error}); restore a copy or an export of it", path=str(path))
    return StoreFailed(
        f"SQLite cannot use {path}: {error}; nothing was changed. Is the disk full, or the file or its folder "
        "protected? A gallery needs a folder that can be written",
        path=str(path),
    )
