"""Photos of people, each person numbered: what every reader of training data gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InputRefused, InvalidArgument, InvalidPixels
from xcos.images import read_image
from xcos.types import Photo, Pixels, freeze

Labels = NDArray[np.int64]
Size = tuple[int, int]
"""Height and width in pixels."""


class Photos(Protocol):
    """Encoded photos by number: a folder, a record file."""

    def encoded(self, place: int) -> bytes:
        """Content of the image file with this number."""
        ...

    def name(self, place: int) -> str:
        """What an error about this photo calls it."""
        ...


@dataclass(frozen=True, eq=False)
class Identities:
    """Aligned crops of one size with the person each shows; two people or more."""

    labels: Labels
    """``(n,)``: the person of each photo, 0 … people − 1; each person has at least one photo."""
    names: tuple[str, ...]
    """Name of each person."""
    photos: Photos
    places: NDArray[np.int64]
    """``(n,)``: number of each photo within ``photos``."""
    size: Size
    """Height and width of every photo; checked when one is read."""

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != np.int64 or self.labels.shape != self.places.shape:
            raise InvalidArgument(
                f"labels must be (n,) int64 with one place each, got {self.labels.shape} {self.labels.dtype} and "
                f"{self.places.shape}"
            )
        if len(self.names) < 2 or not np.array_equal(np.unique(self.labels), np.arange(len(self.names))):
            raise InvalidArgument(
                f"labels must be 0 … people − 1, each at least once, of two people or more; got {len(self.names)} "
                f"names and {len(np.unique(self.labels))} different labels"
            )
        freeze(self, labels=self.labels, places=self.places)

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, index: int) -> bytes:
        """Content of the photo's file, as it was stored."""
        return self.photos.encoded(int(self.places[index]))

    def decoded(self, index: int, content: bytes) -> Photo:
        """The photo in ``content``, which :meth:`encoded` gave; refused unless it has the size of all others."""
        return decode_crop(content, self.size, self.photos.name(int(self.places[index])))

    def read(self, index: int) -> Pixels:
        """``(H, W, 3)`` uint8 RGB, read-only."""
        return self.decoded(index, self.encoded(index)).pixels


def decode_crop(content: bytes, size: Size, name: str) -> Photo:
    """The photo in an image file's ``content``, of exactly this ``size``; errors call it ``name``."""
    photo = _decode(content, name)
    if photo.pixels.shape[:2] != size:
        width, height = photo.size
        raise InvalidPixels(
            f"{name} has {width} × {height} pixels and the others {size[1]} × {size[0]}; cut all crops to one size",
            name=name,
            width=width,
            height=height,
        )
    return photo


def gather(photos: Photos, people: Labels, names: Sequence[str], *, least: int, source: str) -> Identities:
    """Those of the ``people`` (n,), numbers into ``names``, who have at least ``least`` photos, numbered anew.

    The order of photos and names stays. Errors call where the photos come from ``source``.
    """
    if least < 1:
        raise InvalidArgument(f"least is how many photos a person must have, 1 or more, got {least}")
    kept = np.bincount(people, minlength=len(names)) >= least
    if kept.sum() < 2:
        raise InvalidArgument(
            f"{source} holds {len(people)} photos of {len(names)} people, {int(kept.sum())} of them with at least "
            f"{least}; training needs two people or more: check the path, or lower least"
        )
    places = np.flatnonzero(kept[people])
    height, width, _ = _decode(photos.encoded(int(places[0])), photos.name(int(places[0]))).pixels.shape
    return Identities(
        labels=(np.cumsum(kept) - 1)[people[places]],
        names=tuple(name for name, keep in zip(names, kept, strict=True) if keep),
        photos=photos,
        places=places,
        size=(height, width),
    )


def _decode(content: bytes, name: str) -> Photo:
    try:
        return read_image(content)
    except InputRefused as error:
        raise error.about(name) from error
