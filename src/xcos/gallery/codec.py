"""Grids as bytes of one size: half precision, or whole numbers of eight bits with a scale for each cell."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidTemplate
from xcos.gallery.store import Codec, Layout
from xcos.types import Floats

MOST = float(np.finfo(np.float16).max)
STEPS = 127  # the greatest whole number of eight bits on both sides of 0


class GridCodec(Protocol):
    """Writes and reads grids of one layout."""

    @property
    def size(self) -> int:
        """Bytes of a grid."""
        ...

    def encode(self, grid: Floats) -> bytes:
        """:class:`InvalidTemplate` where a number is too large for the code."""
        ...

    def decode(self, content: NDArray[np.uint8]) -> Floats:
        """``(n, rows, cols, channels)`` of ``(n, size)`` bytes."""
        ...


class Half:
    """Half precision (IEEE 754 binary16): 2 bytes a number."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.size = 2 * layout.features

    def encode(self, grid: Floats) -> bytes:
        """Rounded to half precision."""
        _require_below(grid, MOST)
        return grid.astype("<f2").tobytes()

    def decode(self, content: NDArray[np.uint8]) -> Floats:
        """In single precision."""
        numbers = np.ascontiguousarray(content).view("<f2").astype(np.float32)
        return numbers.reshape(len(content), *self._layout.grid)


class Int8:
    """``round(127 x / max |x|)`` in each cell, and the cell's scale in half precision: 1 byte a number."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.size = layout.features + 2 * layout.cells

    def encode(self, grid: Floats) -> bytes:
        """Rounded to 1 / 127 of the largest number in the cell."""
        _require_below(grid, STEPS * MOST)
        cells = grid.reshape(self._layout.cells, -1)
        scales = (np.abs(cells).max(axis=1) / STEPS).astype("<f2")
        wide = scales.astype(np.float32)[:, None]
        exact = np.divide(cells, wide, out=np.zeros_like(cells), where=wide > 0)
        codes = np.rint(exact).clip(-STEPS, STEPS).astype(np.int8)
        return bytes(codes.tobytes() + scales.tobytes())

    def decode(self, content: NDArray[np.uint8]) -> Floats:
        """Codes times scales, in single precision."""
        layout, count = self._layout, len(content)
        scales = np.ascontiguousarray(content[:, layout.features :]).view("<f2").astype(np.float32)
        cells = content[:, : layout.features].view(np.int8).reshape(count, layout.cells, layout.grid[2])
        grids: Floats = cells.astype(np.float32)
        grids *= scales[:, :, None]
        return grids.reshape(count, *layout.grid)


def codec_of(name: Codec, layout: Layout) -> GridCodec:
    """The codec with this name."""
    return Int8(layout) if name == "int8" else Half(layout)


def _require_below(grid: Floats, most: float) -> None:
    largest = float(np.abs(grid).max())
    if largest > most:
        raise InvalidTemplate(f"a feature of {largest:g} is too large for this gallery's codec, which ends at {most:g}")
