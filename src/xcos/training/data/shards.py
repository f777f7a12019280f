"""Training photos in WebDataset tar shards: written shuffled, read in a stream. Needs the package ``webdataset``.

A sample is ``<number>.jpg`` or ``<number>.png`` with ``<number>.cls``, its person in decimal digits; any other kind
of member is refused, nothing in a shard is ever unpickled, and shards are opened here as local files, because the
package would run an address that begins with ``pipe:`` as a command. ``shards.json`` beside them says what they hold.
"""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from PIL import Image as pil

from xcos.errors import InvalidArgument, MissingPackage
from xcos.files import write_atomically
from xcos.images import printable
from xcos.training.data.identities import Identities, Size, decode_crop
from xcos.training.data.seeds import Purpose, generator_for
from xcos.types import Pixels

INDEX = "shards.json"
SCHEMA = 1
KINDS = {"JPEG": "jpg", "PNG": "png"}
_Members = dict[str, str | bytes]


class ShardPhoto(NamedTuple):
    """One photo of a stream."""

    number: int
    """The photo's own number, whatever the order of reading."""
    label: int
    pixels: Pixels
    """``(H, W, 3)`` uint8 RGB, read-only."""


class _Sample(NamedTuple):
    number: int
    label: int
    content: bytes
    name: str


@dataclass(frozen=True)
class Shards:
    """What a folder of shards holds."""

    folder: Path
    names: tuple[str, ...]
    """Name of each person."""
    size: Size
    """Height and width of every photo."""
    counts: tuple[int, ...]
    """Photos in each shard."""

    def __post_init__(self) -> None:
        if len(self.names) < 2 or not self.counts or min(self.counts) < 1 or min(self.size) < 1:
            raise InvalidArgument(
                f"shards must hold photos of two people or more, got {len(self.names)} people, sizes {self.size} and "
                f"{len(self.counts)} shards"
            )

    def __len__(self) -> int:
        return sum(self.counts)

    def shard(self, number: int) -> Path:
        """Path of one shard."""
        return self.folder / _file_name(number)

    def quota(self, *, seed: int, epoch: int, parts: int) -> int:
        """How many photos each of ``parts`` readers gets in this epoch: what the one with the fewest has."""
        return min(sum(self.counts[at] for at in own) for own in self._split(seed, epoch, parts))

    def stream(
        self, *, seed: int, epoch: int, part: int = 0, parts: int = 1, buffer: int = 10_000
    ) -> Iterator[ShardPhoto]:
        """The photos of one of ``parts`` readers (ranks × workers), exactly :meth:`quota` of them, in random order.

        Each epoch deals the shards anew among the readers, reads each reader's in random order and shuffles its
        photos through a buffer. The same arguments give the same photos in the same order; an epoch begins without
        the ones before. Where the readers' shards are unequal, the rest of the longer ones is left out in this epoch.
        """
        if not 0 <= part < parts or buffer < 1:
            raise InvalidArgument(
                f"part must lie in 0 … parts − 1 and buffer be 1 or more, got {part} of {parts} and {buffer}"
            )
        quota = self.quota(seed=seed, epoch=epoch, parts=parts)
        generator = generator_for(Purpose.BUFFER, seed=seed, epoch=epoch, at=(part,))
        return self._read(self._split(seed, epoch, parts)[part], quota, buffer, generator)

    def _split(self, seed: int, epoch: int, parts: int) -> list[list[int]]:
        """Shards of each reader."""
        if not 1 <= parts <= len(self.counts):
            raise InvalidArgument(
                f"{parts} readers cannot share {len(self.counts)} shards; write more of them with a smaller per_shard"
            )
        order = generator_for(Purpose.SHARDS, seed=seed, epoch=epoch).permutation(len(self.counts)).tolist()
        return [order[part::parts] for part in range(parts)]

    def _read(self, own: list[int], quota: int, buffer: int, generator: np.random.Generator) -> Iterator[ShardPhoto]:
        samples = (sample for shard in own for sample in self._samples(shard))
        order = random.Random(int(generator.integers(2**63)))
        shuffled = _webdataset().shuffle(buffer, initial=buffer, rng=order)(samples)
        for sample in islice(shuffled, quota):
            yield ShardPhoto(sample.number, sample.label, decode_crop(sample.content, self.size, sample.name).pixels)

    def _samples(self, shard: int) -> Iterator[_Sample]:
        """Everything in one shard, in its order; none may be missing."""
        path, found = self.shard(shard), 0
        for members in _grouped_members(path):
            yield self._sample(members, path)
            found += 1
        if found != self.counts[shard]:
            raise InvalidArgument(
                f"the shard {path} gave {found} photos and {INDEX} says {self.counts[shard]}; it is truncated or "
                "another: write the shards again",
                path=str(path),
            )

    def _sample(self, members: _Members, path: Path) -> _Sample:
        key = str(members["__key__"])
        name = f"{printable(key)} of {path}"
        kinds = sorted(kind for kind in members if not kind.startswith("__"))
        if kinds not in (["cls", "jpg"], ["cls", "png"]):
            raise InvalidArgument(
                f"{name} has members {kinds}; a sample is one .jpg or .png with one .cls, and nothing else is opened",
                path=str(path),
            )
        label, content = members["cls"], members[kinds[1]]
        if not isinstance(label, bytes) or not isinstance(content, bytes) or not key.isdecimal() or not key.isascii():
            raise InvalidArgument(f"{name} must have a number for a name, as write_shards gives it", path=str(path))
        if not label.isdigit() or len(label) > 10 or int(label) >= len(self.names):
            raise InvalidArgument(
                f"{name} has the label {label[:20]!r}; it must be one of 0 … {len(self.names) - 1} in digits",
                path=str(path),
            )
        return _Sample(int(key), int(label), content, name)


def read_shards(folder: str | Path) -> Shards:
    """The shards that :func:`write_shards` wrote to ``folder``; each must be there."""
    folder = Path(folder)
    path = folder / INDEX
    try:
        index = json.loads(path.read_text("utf-8"))
        if index["schema"] != SCHEMA:
            raise ValueError(f"its schema is {index['schema']!r}, this version reads {SCHEMA}")
        height, width = map(int, index["size"])
        shards = Shards(folder, tuple(map(str, index["names"])), (height, width), tuple(map(int, index["counts"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"cannot read {path} ({type(error).__name__}: {error}); give the folder that write_shards wrote to the end",
            path=str(path),
        ) from error
    missing = [number for number in range(len(shards.counts)) if not shards.shard(number).is_file()]
    if missing:
        raise InvalidArgument(f"{folder} lacks the shard {_file_name(missing[0])} and {len(missing) - 1} more")
    return shards


def write_shards(
    identities: Identities, folder: str | Path, *, per_shard: int, generator: np.random.Generator
) -> Shards:
    """Writes all photos, shuffled, as shards of ``per_shard`` each to a new or empty folder.

    JPEG and PNG files are copied as they are, after a check that they decode; others become PNG. The index comes
    last: a folder in which writing stopped cannot be read.
    """
    folder = Path(folder)
    if per_shard < 1:
        raise InvalidArgument(f"per_shard must be 1 or more, got {per_shard}")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidArgument(f"{folder} is not empty; give a new folder")
    order = generator.permutation(len(identities)).tolist()
    shards = [order[start : start + per_shard] for start in range(0, len(order), per_shard)]
    for number, photos in enumerate(shards):
        _write_shard(identities, photos, folder / _file_name(number))
    counts = [len(photos) for photos in shards]
    index = {"schema": SCHEMA, "size": identities.size, "names": identities.names, "counts": counts}
    write_atomically(folder / INDEX, json.dumps(index).encode())
    return read_shards(folder)


def _write_shard(identities: Identities, photos: list[int], path: Path) -> None:
    # A fixed time makes equal shards equal files.
    with path.open("wb") as file, _webdataset().TarWriter(file, encoder=False, mtime=0) as writer:
        for photo in photos:
            kind, content = _jpg_or_png(identities, photo)
            label = str(identities.labels[photo]).encode()
            writer.write({"__key__": f"{photo:09}", kind: content, "cls": label})


def _jpg_or_png(identities: Identities, index: int) -> tuple[str, bytes]:
    content = identities.encoded(index)
    photo = identities.decoded(index, content)
    if photo.format in KINDS:
        return KINDS[photo.format], content
    picture, file = pil.fromarray(photo.pixels), io.BytesIO()
    picture.save(file, "PNG")
    return "png", file.getvalue()


def _grouped_members(path: Path) -> Iterator[_Members]:
    """Names and contents of the members of one sample after another, as bytes."""
    tariterators = _webdataset().tariterators
    try:
        with path.open("rb") as file:
            members = ({**member, "__url__": path.name} for member in tariterators.tar_file_iterator(file))
            yield from tariterators.group_by_keys(members)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InvalidArgument(
            f"cannot read the shard {path}: {error.args[0]}; write it again", path=str(path)
        ) from error


def _file_name(number: int) -> str:
    return f"{number:06}.tar"


def _webdataset() -> ModuleType:
    try:
        return import_module("webdataset")
    except ImportError as error:
        raise MissingPackage(
            "shards need the package webdataset: pip install 'xcos[train]'", package="webdataset"
        ) from error
