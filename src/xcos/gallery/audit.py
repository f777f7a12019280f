"""Who searched what, why, and what came out: lines that are only ever added, each with the hash of the one before.

A line names no subject: candidates stand as the gallery's tokens (:meth:`xcos.gallery.store.Erasing.token`), so that
somebody who was erased is not kept here, and who knows an id can still ask. No image and no template is in it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xcos.errors import InvalidArgument, StoreBusy, StoreFailed
from xcos.files import lock

START = "0" * 64
WAIT, RETRY = 5.0, 0.02


@dataclass(frozen=True)
class AuditLog:
    """The log in a file; made with its first line."""

    path: Path

    def append(self, action: str, facts: Mapping[str, object], *, operator: str = "") -> None:
        """Adds a line and waits until it is on the disk; ``operator`` is the user of this process unless given."""
        try:
            with open(self.path, "a+b", opener=_private) as file:  # Path.open takes no opener
                self._lock(file.fileno())
                file.seek(0)
                lines = file.read().split(b"\n")
                whole = lines[-1] == b""
                entry = {
                    "time": time.time(),
                    "action": action,
                    "operator": operator or _user(),
                    **facts,
                    "previous": _hash(lines, whole),
                }
                line = json.dumps(entry, sort_keys=True).encode() + b"\n"
                file.write(line if whole else b"\n" + line)  # one that a crash cut stays visible
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreFailed(
                f"cannot write the audit log {self.path}: {error.strerror}; without it nothing is searched or told",
                path=str(self.path),
            ) from error

    def _lock(self, descriptor: int) -> None:
        ended = time.monotonic() + WAIT
        with os.fdopen(os.dup(descriptor), "r") as held:
            while True:
                try:
                    lock(held, "busy")
                    return
                except InvalidArgument as error:
                    if time.monotonic() > ended:
                        raise StoreBusy(f"another process keeps the audit log {self.path}; try again") from error
                    time.sleep(RETRY)


def check_audit(path: str | Path) -> tuple[int, str, list[str]]:
    """How many lines a log has, the hash of the last one, and what is wrong.

    The hash, kept elsewhere, is what a cut end can be told by.
    """
    lines = Path(path).read_bytes().split(b"\n")
    problems = [] if lines[-1] == b"" else [f"line {len(lines)} is cut"]
    lines = lines[:-1] if lines[-1] == b"" else lines
    previous = START
    for number, line in enumerate(lines, 1):
        try:
            stated = json.loads(line)["previous"]
        except (ValueError, KeyError, TypeError):
            problems.append(f"line {number} cannot be read")
        else:
            if stated != previous:
                problems.append(f"line {number} does not follow the line before it: one was changed, removed or added")
        previous = hashlib.sha256(line).hexdigest()
    return len(lines), previous, problems


def _hash(lines: list[bytes], whole: bool) -> str:
    """Of the last line there is."""
    done = lines[:-1] if whole else lines
    return hashlib.sha256(done[-1]).hexdigest() if done else START


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process of nobody
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
