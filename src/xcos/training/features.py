"""A folder of people → grids and vectors of their photos, embedded once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InputRefused, InvalidArgument
from xcos.extractor import Extractor, ReadyPhoto
from xcos.files import lock, write_atomically
from xcos.images import printable
from xcos.types import Floats, Grids
from xcos.version import __version__

PHOTOS_AT_ONCE = 256  # what a stop may cost; fewer would leave cores idle
LOCK = "run.lock"
MOST_FOR_HALF = 1000.0  # half precision ends at 65,504, and later photos may have larger features than the first


@dataclass(frozen=True)
class PersonPhoto:
    """One file of a person's folder."""

    person: str
    path: Path

    @property
    def shown(self) -> str:
        """Person and file on one line, for messages."""
        return printable(f"{self.person}/{self.path.name}")


@dataclass(frozen=True)
class LeftOut:
    """A photo that cannot be used, and why: a stable code and a sentence."""

    photo: str
    code: str
    message: str


@dataclass(frozen=True, eq=False)
class GridView:
    """Rows of an array that stays on disk; what is asked for is read as float32."""

    array: NDArray[np.floating[Any]]
    """(photos, rows, cols, channels)."""
    rows: NDArray[np.int64]
    """(n,) which of them."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: NDArray[np.int64]) -> Grids:
        return np.asarray(self.array[self.rows[index]], np.float32)

    def row_of_cells(self, row: int) -> Floats:
        """``(n, cols, channels)``: one row of every grid."""
        return np.asarray(self.array[self.rows, row], np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array: (n, rows, cols, channels)."""
        return (len(self.rows), *self.array.shape[1:])


@dataclass(frozen=True, eq=False)
class Features:
    """Features of n photos of known people."""

    grids: GridView
    vectors: Floats
    """(n, D)."""
    labels: NDArray[np.int64]
    """(n,) place of each photo's person in ``people``."""
    people: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Features:
        """These photos, with their people numbered anew."""
        kept, labels = np.unique(self.labels[index], return_inverse=True)
        view = GridView(self.grids.array, self.grids.rows[index])
        return Features(view, self.vectors[index], labels.astype(np.int64), tuple(self.people[at] for at in kept))

    @property
    def photos_per_person(self) -> NDArray[np.int64]:
        """(people,)."""
        return np.bincount(self.labels, minlength=len(self.people))


def list_photos(folder: str | Path) -> list[PersonPhoto]:
    """Every file in the sub-folders of ``folder``, one a person; hidden files and folders are passed over."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidArgument(f"{folder} is no folder; give one with a sub-folder of photos for each person")
    homes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [
        PersonPhoto(home.name, path)
        for home in homes
        for path in sorted(home.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]
    people = len({photo.person for photo in found})
    if people < 2:
        raise InvalidArgument(
            f"{folder} has photos of {people} people in sub-folders; comparing needs more: one sub-folder a person, "
            "two photos or more in most of them",
            people=people,
        )
    return found


def embed_people(
    photos: Sequence[PersonPhoto],
    extractor: Extractor,
    cache: str | Path,
    *,
    on_photo: Callable[[], None] = lambda: None,
    on_known: Callable[[int], None] = lambda _: None,
) -> Features:
    """Features of all photos; those that ``cache`` knows are read from there, the others embedded and added.

    The cache knows photos by the hash of their bytes, for one embedder, detector and choice of face; it grows by
    blocks of photos, so that a run that was stopped goes on where it was. ``on_known`` is told once how many photos
    need no work. A second run that would add to the same features is refused.
    """
    with _opened(cache_folder(Path(cache) / _identity(extractor)), extractor) as store:
        hashes = [_hash(photo.path) for photo in photos]
        wanted = list({sha: photo for sha, photo in zip(hashes, photos, strict=True) if sha not in store.known}.items())
        on_known(len(photos) - len(wanted))
        store.reserve(len(wanted))
        for start in range(0, len(wanted), PHOTOS_AT_ONCE):
            block = dict(wanted[start : start + PHOTOS_AT_ONCE])
            ready = extractor.prepare([photo.path for photo in block.values()], on_photo=on_photo)
            store.add(dict(zip(block, ready, strict=True)))
        return _collected(photos, hashes, _duplicates(photos, hashes), store)


def cache_folder(folder: Path) -> Path:
    """The folder, made where it is not there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


def _unusable(folder: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot write the cache folder {folder}: {error.strerror}; give another", path=str(folder))


def _hash(path: Path) -> str:
    """SHA-256 of the file; of nothing where it cannot be read, which reading it then reports."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return hashlib.sha256(os.fsencode(path)).hexdigest()


def _duplicates(photos: Sequence[PersonPhoto], hashes: Sequence[str]) -> dict[int, LeftOut]:
    """Photos that must not be compared with their own copies, by their place in the list."""
    owners: dict[str, list[str]] = {}
    found = {}
    for photo, sha in zip(photos, hashes, strict=True):
        owners.setdefault(sha, []).append(photo.person)
    seen: set[str] = set()
    for at, (photo, sha) in enumerate(zip(photos, hashes, strict=True)):
        several = sorted(set(owners[sha]))
        if len(several) > 1:
            found[at] = LeftOut(photo.shown, "two_people", f"the same photo is in the folders {', '.join(several)}")
        elif sha in seen:
            found[at] = LeftOut(photo.shown, "duplicate_photo", "the same bytes as another photo of this person")
        seen.add(sha)
    return found


def _collected(
    photos: Sequence[PersonPhoto], hashes: Sequence[str], unclear: dict[int, LeftOut], store: _Store
) -> Features:
    left_out, used, rows = [], [], []
    for at, (photo, sha) in enumerate(zip(photos, hashes, strict=True)):
        known = store.known[sha]
        if isinstance(known, LeftOut):
            left_out.append(LeftOut(photo.shown, known.code, known.message))
        elif at in unclear:
            left_out.append(unclear[at])
        else:
            used.append(photo.person)
            rows.append(known)
    people, labels = np.unique(used, return_inverse=True)
    if not rows:
        counts = ", ".join(sorted({f"{each.code}: {each.message}" for each in left_out})[:3])
        raise InvalidArgument(f"none of {len(photos)} photos can be used ({counts}); look at the photos")
    index = np.array(rows, np.int64)
    return Features(
        grids=GridView(store.grids, index),
        vectors=np.asarray(store.vectors[index], np.float32),
        labels=labels.astype(np.int64),
        people=tuple(str(name) for name in people),
        left_out=tuple(left_out),
    )


def _identity(extractor: Extractor) -> str:
    return hashlib.sha256(json.dumps(_maker(extractor), sort_keys=True).encode()).hexdigest()[:16]


def _maker(extractor: Extractor) -> dict[str, object]:
    """What the features of a photo depend on beside its bytes."""
    return {
        "model": extractor.embedder.model,
        "detector": extractor.detector.name,
        "face": extractor.face,
        "xcos": __version__,
    }


@contextmanager
def _opened(folder: Path, extractor: Extractor) -> Iterator[_Store]:
    """The store in a folder, which nobody else opens meanwhile: two would give the same rows to different photos."""
    with ExitStack() as stack:
        try:
            held = stack.enter_context((folder / LOCK).open("w"))
            lock(held, f"another run uses this cache ({folder}); wait for it or give another folder")
            write_atomically(folder / "maker.json", (json.dumps(_maker(extractor), indent=1) + "\n").encode())
            store = _Store(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        yield store


class _Store:
    """Two arrays that grow, and a line for each photo: its row in them, or why it has none.

    A row is flushed before its line is written, and a line without its end does not count.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._capacity = 0
        self.known: dict[str, int | LeftOut] = {}
        self.grids: Any = np.zeros((0, 1, 1, 1), np.float32)
        self.vectors: Any = np.zeros((0, 1), np.float32)
        index = folder / "index.jsonl"
        content = index.read_bytes() if index.exists() else b""
        try:
            self._read(content)
        except (ValueError, EOFError) as error:  # of arrays that are cut short, and of lines
            raise InvalidArgument(
                f"the cache folder {folder} is damaged ({error}); remove it, and its photos are embedded again",
                path=str(folder),
            ) from error
        kept = "".join(_line(sha, result) for sha, result in self.known.items()).encode()
        if kept != content:  # lines of rows that are lost must not come to speak of the rows that replace them
            write_atomically(index, kept)

    def _read(self, content: bytes) -> None:
        if all((self._folder / name).exists() for name in ("grids.npy", "vectors.npy")):
            self._open("r")
        there = min(len(self.grids), len(self.vectors))
        entries = [_entry(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        self.known = {sha: result for sha, result in entries if isinstance(result, LeftOut) or result < there}
        rows = [result for result in self.known.values() if isinstance(result, int)]
        if len(set(rows)) != len(rows):
            raise ValueError("index.jsonl gives two photos the same row")

    def _open(self, mode: Any) -> None:
        self.grids = np.load(self._folder / "grids.npy", mmap_mode=mode)
        self.vectors = np.load(self._folder / "vectors.npy", mmap_mode=mode)

    @property
    def _filled(self) -> int:
        return 1 + max((row for row in self.known.values() if isinstance(row, int)), default=-1)

    def reserve(self, more: int) -> None:
        """Room for ``more`` photos after those there are."""
        self._capacity = self._filled + more

    def add(self, block: dict[str, ReadyPhoto | InputRefused]) -> None:
        """Keeps what came of some photos, by their hashes."""
        usable = {sha: each.template for sha, each in block.items() if isinstance(each, ReadyPhoto)}
        start = self._filled
        if usable:
            first = next(iter(usable.values()))
            self._grow(first.grid, first.vector)
            for row, template in enumerate(usable.values(), start):
                self.grids[row] = self._kept(template.grid)
                self.vectors[row] = template.vector
            self.grids.flush()
            self.vectors.flush()
        places = dict(zip(usable, range(start, start + len(usable)), strict=True))
        results = {sha: places[sha] if sha in places else _left_out(each) for sha, each in block.items()}
        with (self._folder / "index.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(_line(sha, result) for sha, result in results.items())
            file.flush()
            os.fsync(file.fileno())
        self.known |= results

    def _kept(self, grid: Floats) -> NDArray[np.floating[Any]]:
        with np.errstate(over="ignore"):
            kept: NDArray[np.floating[Any]] = grid.astype(self.grids.dtype)
        if not np.isfinite(kept).all():
            raise InvalidArgument(
                f"features up to {np.abs(grid).max():g} came after a first photo with features below "
                f"{MOST_FOR_HALF:g}; remove the cache folder {self._folder} and put a typical photo first"
            )
        return kept

    def _grow(self, grid: Floats, vector: Floats) -> None:
        """Arrays with room for ``reserve``; a larger copy takes the place of what is too small."""
        if len(self.grids) < self._capacity or len(self.vectors) < self._capacity:
            kind = np.float16 if np.abs(grid).max() < MOST_FOR_HALF else np.float32
            kind = self.grids.dtype.type if self._filled else kind
            for name, one, dtype in (("grids", grid, kind), ("vectors", vector, np.float32)):
                temporary = self._folder / f"{name}.tmp.npy"
                larger = np.lib.format.open_memmap(temporary, "w+", dtype, (self._capacity, *one.shape))
                if self._filled:
                    larger[: self._filled] = getattr(self, name)[: self._filled]
                larger.flush()
                del larger
                setattr(self, name, None)
                temporary.replace(self._folder / f"{name}.npy")
            self._open("r+")
        elif not self.grids.flags.writeable:
            self._open("r+")


def _line(sha: str, result: int | LeftOut) -> str:
    found = {"row": result} if isinstance(result, int) else {"code": result.code, "message": result.message}
    return json.dumps({"photo": sha, **found}) + "\n"


def _entry(line: bytes) -> tuple[str, int | LeftOut]:
    """A photo's hash and what is known of it; :class:`ValueError` for a line that is not one of :func:`_line`."""
    match json.loads(line):
        case {"photo": str(sha), "row": int(row)} if row >= 0:
            return sha, row
        case {"photo": str(sha), "code": str(code), "message": str(message)}:
            return sha, LeftOut("", code, message)
    raise ValueError(f"index.jsonl has the line {line[:40]!r}")


def _left_out(result: ReadyPhoto | InputRefused) -> LeftOut:
    assert isinstance(result, InputRefused)
    return LeftOut("", result.code, result.message)
