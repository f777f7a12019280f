"""A disk that fails or loses power, below SQLite: a VFS by APSW, and its connections as the store takes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np

Undo = tuple[int, bytes, int]
"""Where, what stood there, and the file's size before."""


class Rows:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


class ApswConnection:
    """APSW's connection with the errors of :mod:`sqlite3`."""

    def __init__(self, path: Path, vfs: str) -> None:
        self._path = path
        with translated():
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            self._db = apsw.Connection(str(path), flags=flags, vfs=vfs)

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        with translated():
            return Rows(list(self._db.execute(sql, parameters)))

    def close(self) -> None:
        with translated():
            self._db.close(True)


class translated:  # reads as a statement
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, apsw.Error):
            told = sqlite3.OperationalError(str(error))
            told.sqlite_errorcode = getattr(error, "extendedresult", 0) or getattr(error, "result", 1)
            raise told from error


class Disk(apsw.VFS):
    """Counts calls. From call ``fail_at`` on ``failing`` calls give an error; power goes at call ``cut_at``.

    What was written to a file and not synced is remembered, so that it can be undone.
    """

    def __init__(self, name: str) -> None:
        self.name, self.base = name, ""
        self.calls = 0
        self.fail_at, self.failing = 0, 0
        self.cut_at = 0
        self.dead = self.off = False
        self.connections: list[ApswConnection] = []
        self.unsynced: dict[str, list[Undo]] = {}
        super().__init__(name, self.base)

    def connect(self, path: Path) -> ApswConnection:
        self.connections.append(ApswConnection(path, self.name))
        return self.connections[-1]

    def end(self) -> None:
        """Ends all connections, as the end of their process would: nothing is written any more. SQLite shares the map
        of the log between the connections of a process, so that one left behind would be met by the next."""
        self.off = True
        for connection in self.connections:
            connection.close()

    def call(self, error: Callable[[], Exception]) -> None:
        if self.off:
            return
        self.calls += 1
        self.dead = self.dead or self.calls == self.cut_at
        if self.dead or self.fail_at <= self.calls < self.fail_at + self.failing:
            raise error()

    def xOpen(self, name: Any, flags: list[int]) -> File:
        self.call(apsw.CantOpenError)
        return File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.call(apsw.IOError)
        if not self.off:
            super().xDelete(name, syncdir)
            self.unsynced.pop(name, None)

    def lose_unsynced(self, random: np.random.Generator) -> None:
        """Undoes some of what was not synced, as a disk does that wrote in any order."""
        for name, undos in self.unsynced.items():
            if not Path(name).exists():
                continue
            share = random.choice([0.0, 0.5, 1.0])
            with Path(name).open("r+b") as file:
                for at, before, size in reversed(undos):
                    if random.random() < share:
                        continue
                    file.seek(at)
                    file.write(before)
                    if share == 0.0:
                        file.truncate(size)
        self.unsynced.clear()


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(disk.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.call(apsw.IOError)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.call(apsw.FullError)
        if not self._disk.off:
            self._remember(offset, len(data))
            super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._disk.call(apsw.IOError)
        if not self._disk.off:
            self._remember(size, max(0, self.xFileSize() - size))
            super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.call(apsw.IOError)
        if not self._disk.off:
            super().xSync(flags)
            self._disk.unsynced.pop(self._name, None)

    def _remember(self, offset: int, length: int) -> None:
        path = Path(self._name)
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(offset)
            before = file.read(length)
        self._disk.unsynced.setdefault(self._name, []).append((offset, before, size))
