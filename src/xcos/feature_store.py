"""Features of photos on the disk, embedded once: shards that are whole or not there, found by the photo's hash.

A shard is one file: a header with its own hash, which names the photos and the hash of all that follows, then their
numbers. It is written to a temporary name and renamed. What is damaged, cut short or of another format does not
count; its photos are embedded again. No pixels are kept, but templates are personal data: a store is made only where
somebody asked for one, and removing its folder forgets all.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.files import lock, write_atomically
from xcos.types import Floats, Reals, freeze
from xcos.version import __version__

FORMAT = 1
LOCK = "run.lock"
ENDING = ".features"
MAGIC = b"xcos.features/1\n"
PREFIX = struct.Struct("<16sQQ32s")  # magic, size of the file, of its header, SHA-256 of the header; 64 bytes
ALIGNED = 64
KINDS = ("<f2", "<f4", "<f8")
MOST_FOR_HALF = 1000.0  # half precision ends at 65,504; nearer to that it is no longer fine enough to be careless

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """All that features depend on beside the photo's bytes; stores of different recipes never mix."""

    model: str
    """Identity of network and settings (:attr:`xcos.interfaces.Embedder.model`)."""
    detector: str
    face: str
    precision: Literal["single", "half"]
    """Of grids: float32, or float16 where all of a shard's features are below :data:`MOST_FOR_HALF`."""
    measures: tuple[str, ...] = ()
    """Names of the numbers kept beside each template."""
    xcos: str = __version__
    format: int = FORMAT

    @property
    def name(self) -> str:
        """Name of the folder for features of this recipe."""
        return hashlib.sha256(self._json()).hexdigest()[:16]

    def _json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


@dataclass(frozen=True)
class Refused:
    """Why a photo has no features: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one photo."""

    grid: Floats
    """(rows, cols, channels)."""
    vector: Floats
    """(D,)."""
    measures: tuple[float, ...] = ()
    """As many as the recipe names."""


@dataclass(frozen=True, eq=False)
class Shard:
    """Some photos' features, in memory or mapped from a file."""

    photos: tuple[str, ...]
    """Keys of those with features, in the order of the rows."""
    refused: Mapping[str, Refused]
    """The others."""
    grids: NDArray[np.floating[Any]]
    """(photos, rows, cols, channels), float32 or float16."""
    vectors: Floats
    """(photos, D)."""
    measures: Reals
    """(photos, measures)."""

    def __post_init__(self) -> None:
        counts = {len(self.photos), len(self.grids), len(self.vectors), len(self.measures)}
        if len(counts) != 1 or (self.grids.ndim, self.vectors.ndim, self.measures.ndim) != (4, 2, 2):
            raise ValueError(f"a shard of {len(self.photos)} photos has arrays of {sorted(counts)}")
        freeze(self, grids=self.grids, vectors=self.vectors, measures=self.measures)

    @property
    def name(self) -> str:
        """File name: the same photos in the same order give the same one."""
        keys = json.dumps([self.photos, sorted(self.refused)]).encode()
        return hashlib.sha256(keys).hexdigest()[:24] + ENDING


def make_shard(results: Mapping[str, Kept | Refused], precision: Literal["single", "half"] = "single") -> Shard:
    """The shard of what came of some photos, by their keys."""
    kept = {key: each for key, each in results.items() if isinstance(each, Kept)}
    refused = {key: each for key, each in results.items() if isinstance(each, Refused)}
    if not kept:
        return Shard((), refused, np.zeros((0, 0, 0, 0), np.float32), np.zeros((0, 0), np.float32), np.zeros((0, 0)))
    grids = np.stack([each.grid for each in kept.values()]).astype(np.float32, copy=False)
    if precision == "half" and np.abs(grids).max() < MOST_FOR_HALF:
        grids = grids.astype(np.float16)
    return Shard(
        photos=tuple(kept),
        refused=refused,
        grids=grids,
        vectors=np.stack([each.vector for each in kept.values()]).astype(np.float32, copy=False),
        measures=np.array([each.measures for each in kept.values()], np.float64),
    )


def write_shard(shard: Shard, folder: Path) -> Path:
    """The file written, whole or not at all."""
    arrays = {"grids": shard.grids, "vectors": shard.vectors, "measures": shard.measures}
    body = b"".join(_padded(np.ascontiguousarray(array).tobytes(), b"\0") for array in arrays.values())
    header = {
        "photos": shard.photos,
        "refused": {key: [each.code, each.message] for key, each in shard.refused.items()},
        "arrays": {name: [array.dtype.str, array.shape] for name, array in arrays.items()},
        "body": hashlib.sha256(body).hexdigest(),
    }
    content = _padded(json.dumps(header).encode(), b" ")
    path, size = folder / shard.name, PREFIX.size + len(content) + len(body)
    write_atomically(path, PREFIX.pack(MAGIC, size, len(content), hashlib.sha256(content).digest()) + content + body)
    return path


def open_shard(path: Path, *, check: bool = True) -> Shard:
    """The shard in a file, its arrays mapped, not read; ``check`` holds them against their hash.

    Raises :class:`ValueError` for a file that is not, or no longer, a shard.
    """
    with path.open("rb") as file:
        prefix = file.read(PREFIX.size)
        magic, size, length, digest = PREFIX.unpack(prefix) if len(prefix) == PREFIX.size else (b"", 0, 0, b"")
        if magic != MAGIC or size != path.stat().st_size or length > size:
            raise ValueError(f"{path.name} is no shard of features, or not a whole one")
        content = file.read(length)
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"the header of {path.name} is damaged")
        header = json.loads(content)
        # Read, not mapped: pages that were only looked at for their hash would count as this process's memory.
        if check and hashlib.file_digest(file, "sha256").hexdigest() != header["body"]:
            raise ValueError(f"the features in {path.name} are damaged")
    body = np.asarray(np.memmap(path, np.uint8, "r"))[PREFIX.size + length :]
    refused = {key: Refused(*each) for key, each in header["refused"].items()}
    return Shard(tuple(header["photos"]), refused, **_arrays(header["arrays"], body, path.name))


def _arrays(described: Mapping[str, tuple[str, list[int]]], body: NDArray[np.uint8], name: str) -> dict[str, Any]:
    arrays, start = {}, 0
    for key, (kind, shape) in described.items():
        if kind not in KINDS:
            raise ValueError(f"{name} has numbers of kind {kind}")
        dtype = np.dtype(kind)
        end = start + int(np.prod(shape)) * dtype.itemsize
        if end > len(body):
            raise ValueError(f"{name} is cut short")
        arrays[key] = body[start:end].view(dtype).reshape(shape)
        start += -(-(end - start) // ALIGNED) * ALIGNED
    if start != len(body):
        raise ValueError(f"{name} is not as long as it says")
    return arrays


def _padded(content: bytes, filling: bytes) -> bytes:
    return content + filling * (-len(content) % ALIGNED)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows chosen from several arrays, which may be on a disk: what is asked for is read as float32."""

    arrays: tuple[NDArray[np.floating[Any]], ...]
    """(any number, *shape) each."""
    places: Numbers
    """(n, 2): which array, and which of its rows."""
    shape: tuple[int, ...]
    """As of an array: (n, *shape)."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: NDArray[np.int64]) -> Floats:
        """``(len(index), *shape)``."""
        return self._read(np.asarray(index), ())

    def row_of_cells(self, row: int) -> Floats:
        """``(n, cols, channels)``: one row of every grid."""
        return self._read(np.arange(len(self)), (row,))

    def take(self, index: NDArray[np.int64]) -> StoredRows:
        """These rows, still not read."""
        return StoredRows(self.arrays, self.places[index], (len(index), *self.shape[1:]))

    def _read(self, index: Numbers, inner: tuple[int, ...]) -> Floats:
        places = self.places[index]
        found = np.empty((len(index), *self.shape[1 + len(inner) :]), np.float32)
        order = np.lexsort((places[:, 1], places[:, 0]))  # one array after the other, each in its own order
        numbers, starts = np.unique(places[order, 0], return_index=True)
        for number, mine in zip(numbers, np.split(order, starts[1:]), strict=False):  # of no rows split makes one part
            found[mine] = self.arrays[number][(places[mine, 1], *inner)]
        return found


def rows_of(array: NDArray[np.floating[Any]]) -> StoredRows:
    """All rows of one array."""
    places = np.stack([np.zeros(len(array), np.int64), np.arange(len(array))], axis=1)
    return StoredRows((array,), places, array.shape)


@dataclass(frozen=True)
class Place:
    """Where a photo's features are: which of the store's shards, and which row in it."""

    shard: int
    row: int


@dataclass(eq=False)
class FeatureStore:
    """Shards that are known, and what they say of each photo. Without a folder all stays in memory."""

    folder: Path | None = None
    shards: list[Shard] = field(default_factory=list)
    known: dict[str, Place | Refused] = field(default_factory=dict)
    """By the photo's key."""

    def add(self, shard: Shard) -> None:
        """Makes a shard's photos known; it is not written here."""
        number = len(self.shards)
        self.shards.append(shard)
        for row, key in enumerate(shard.photos):
            self.known.setdefault(key, Place(number, row))
        for key, refused in shard.refused.items():
            self.known.setdefault(key, refused)

    def load(self, wanted: set[str]) -> None:
        """Makes known all shards in the folder that speak of one of the ``wanted`` keys.

        Only these are held against their hash, which reads them whole; what is damaged is removed.
        """
        assert self.folder is not None
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)  # of a run that was killed while it wrote
        paths = sorted(self.folder.glob(f"*{ENDING}"))
        with ThreadPoolExecutor(thread_name_prefix="xcos") as pool:
            for path, shard in zip(paths, pool.map(lambda path: _wanted_shard(path, wanted), paths), strict=True):
                if shard == "damaged":
                    path.unlink(missing_ok=True)
                elif isinstance(shard, Shard):
                    self.add(shard)

    def rows(self, name: Literal["grids", "vectors"], places: Sequence[Place]) -> StoredRows:
        """Grids or vectors at these places, one or more."""
        arrays = tuple(getattr(shard, name) for shard in self.shards)
        index = np.array([[place.shard, place.row] for place in places], np.int64).reshape(-1, 2)
        return StoredRows(arrays, index, (len(places), *arrays[places[0].shard].shape[1:]))


def _wanted_shard(path: Path, wanted: set[str]) -> Shard | Literal["damaged", "other"]:
    try:
        shard = open_shard(path, check=False)
        if wanted.isdisjoint(shard.photos) and wanted.isdisjoint(shard.refused):
            return "other"
        return open_shard(path)
    except (ValueError, TypeError, KeyError, AttributeError):  # of a header that is not one
        return "damaged"


@contextmanager
def opened_store(cache: str | Path | None, recipe: Recipe, wanted: set[str]) -> Iterator[FeatureStore]:
    """The store of a recipe below ``cache``, knowing what it has of the ``wanted`` keys; in memory for None.

    Nobody else opens it meanwhile: a second run that would add to the same features is refused (not on Windows).
    """
    if cache is None:
        yield FeatureStore()
        return
    folder = cache_folder(Path(cache) / recipe.name)
    with ExitStack() as stack:
        try:
            held = stack.enter_context((folder / LOCK).open("w"))
            lock(held, f"another run uses this cache ({folder}); wait for it or give another folder")
            write_atomically(folder / "recipe.json", (json.dumps(asdict(recipe), indent=1) + "\n").encode())
            store = FeatureStore(folder)
            store.load(wanted)
        except OSError as error:
            raise _unusable(folder, error) from error
        yield store


def cache_folder(folder: Path) -> Path:
    """The folder, made where it is not there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


def _unusable(folder: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot write the cache folder {folder}: {error.strerror}; give another", path=str(folder))
