"""Galleries small enough for many tests: made-up templates, and what would be left of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.gallery.gallery import Gallery
from xcos.gallery.search import Effort
from xcos.gallery.store import Codec, Enrolment, Layout
from xcos.types import Template

MODEL = "toy/1"
LAYOUT = Layout(MODEL, (2, 2, 8), 6)
SHIPPED = Layout(MODEL, (7, 7, 128), 128)
PURPOSE = "visitors who asked to be found"


def template(seed: int, layout: Layout = LAYOUT) -> Template:
    """The same for the same seed."""
    random = np.random.default_rng(seed)
    grid, vector = random.normal(size=layout.grid), random.normal(size=layout.vector)
    return Template(grid.astype(np.float32), vector.astype(np.float32), layout.model)


def source(seed: int) -> str:
    """64 hexadecimal digits."""
    return np.random.default_rng(seed + 10**6).bytes(32).hex()


def enrolment(seed: int, layout: Layout = LAYOUT) -> Enrolment:
    return Enrolment(template(seed, layout), quality=1 + seed % 3, source=source(seed))


def new_gallery(
    path: Path,
    layout: Layout = LAYOUT,
    *,
    codec: Codec = "int8",
    retention_days: float = 30.0,
    effort: Effort | None = None,
) -> Gallery:
    return Gallery.create(
        path, layout, name="toy", purpose=PURPOSE, retention_days=retention_days, codec=codec, effort=effort
    )


def files_of(path: Path) -> list[Path]:
    """The gallery's file and all that lies beside it with its name in theirs."""
    return sorted(each for each in path.parent.iterdir() if path.name in each.name)


def windows(content: bytes) -> NDArray[np.uint64]:
    """The first eight bytes at every place, as numbers."""
    if len(content) < 8:
        return np.zeros(0, np.uint64)
    view = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), 8)
    return np.ascontiguousarray(view).view("<u8").ravel()


class Needles:
    """Pieces of 16 bytes to look for; all of any number of records at once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def add(self, record: bytes) -> None:
        self._pieces += [record[at : at + 16] for at in range(0, len(record) - 15, 16)]

    def add_all(self, others: Needles) -> None:
        self._pieces += others._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def found_in(self, *paths: Path) -> int:
        """How many of the pieces stand somewhere in these files."""
        content = b"\0".join(path.read_bytes() for path in paths)
        heads = np.array([int.from_bytes(piece[:8], "little") for piece in self._pieces], np.uint64)
        order = np.unique(heads)
        there = windows(content)
        at = np.searchsorted(order, there)
        hit = order[np.minimum(at, len(order) - 1)] == there if len(order) else np.zeros(len(there), bool)
        starts = np.flatnonzero(hit).tolist()
        seen = {content[start : start + 16] for start in starts}
        return sum(piece in seen for piece in self._pieces)
