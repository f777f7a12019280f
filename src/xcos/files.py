"""Writing files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from xcos.errors import InvalidArgument


def write_atomically(path: str | Path, content: bytes | Iterable[bytes], *, flush: bool = True) -> None:
    """Writes beside ``path``, flushes to the disk and renames; on any error the old file stays as it was.

    ``content`` may come in parts, of which one is held at a time. Without ``flush``, which takes most of the time, a
    power failure may leave an empty file: for what is checked when it is read, and can be made again.

    A symbolic link is followed; what is no regular file (a device, a pipe) is refused, never replaced.
    """
    with replacing(path, flush=flush) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def replacing(path: str | Path, *, private: bool = False, flush: bool = True) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends well, as :func:`write_atomically`.

    ``private`` leaves it to be read by its owner alone.
    """
    path = target_of(path)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if flush:
                os.fsync(descriptor)
        if not private:
            Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)  # there only where something went wrong


def write_through(path: Path, content: bytes) -> None:
    """Writes a new file and flushes it to the disk, for a folder that is renamed once all in it is written."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_file(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """The path and an empty file beside it, which gets that name when the block ends well; only its owner may read it.

    A file that has the name already, or gets it meanwhile, is refused and stays as it is.
    """
    path = target_of(path)
    taken = InvalidArgument(f"{path} is there already; give another name", path=str(path))
    if path.exists():
        raise taken
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield path, temporary
        os.link(temporary, path)
    except FileExistsError as error:
        raise taken from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: str | Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Raises before the work, not after it, when ``path`` cannot be written or would overwrite one of ``inputs``."""
    path = target_of(path)
    if any(_same_file(path, each) for each in inputs):
        raise InvalidArgument(f"{path} is read and would be overwritten; give another file", path=str(path))
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "is a folder" if path.is_dir() else "cannot be written: its folder is missing or protected"
        raise InvalidArgument(f"{path} {what}; give a file in an existing folder", path=str(path))


def lock(file: TextIO, refusal: str) -> None:
    """Keeps all others out of ``file`` until it is closed or the process ends, however it ends.

    Raises :class:`InvalidArgument` with the message ``refusal`` where another has it. Only those who ask for the lock
    are kept out, and on Windows nobody is.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InvalidArgument(refusal, path=file.name) from error


def is_within(path: str | Path, folder: str | Path) -> bool:
    """Whether ``path``, there or not yet, is the folder or lies somewhere in it."""
    path = Path(path).resolve()
    return any(_same_file(each, folder) for each in (path, *path.parents))


def target_of(path: str | Path) -> Path:
    """Where a file of this name is really written; refused where that is neither a regular file nor a new one."""
    path = Path(path)
    try:
        target = path.resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            raise InvalidArgument(f"{path} is a device or pipe; give a file in an existing folder", path=str(path))
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that cannot be
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path!s} cannot be written: {error}; give another file", path=str(path)) from error
    return target


def _same_file(path: Path, other: str | Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them does not exist, or its name cannot
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot write {path}: {error.strerror}; nothing was changed", path=str(path))
