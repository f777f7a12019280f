"""Families of masks, and what scores of masked copies say of each pixel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.masking import Kept, Masks
from xcos.explainers.smoothing import bumps
from xcos.extractor import usable_cores
from xcos.types import Floats, Maps, Reals

SUMMED = 64  # masks added up at once
LEAST_VARIANCE = 1e-6  # of a pixel over the masks: what varies by less than a thousandth is kept alike
LEAST_SPREAD = 1e-12  # of scores, relative to their size; likewise
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Boxes:
    """Each mask hides some rectangles."""

    height: int
    width: int
    boxes: Integers
    """``(n, k, 4)``: top, left, bottom, right; bottom and right are the first pixels outside."""

    def __len__(self) -> int:
        return len(self.boxes)

    def kept(self, start: int, stop: int) -> Kept:
        """(stop − start, H, W) bool."""
        masks = np.ones((stop - start, self.height, self.width), bool)
        for mask, boxes in zip(masks, self.boxes[start:stop].tolist(), strict=True):
            for top, left, bottom, right in boxes:
                mask[top:bottom, left:right] = False
        return masks


def random_squares(
    height: int, width: int, *, masks: int, squares: int, side: int, generator: np.random.Generator
) -> Boxes:
    """Masks that hide ``squares`` squares each, whole ones, anywhere in the crop; they may overlap."""
    if not 0 < side <= min(height, width):
        raise InvalidArgument(f"squares of {side} pixels do not fit a crop of {width} × {height}")
    top = generator.integers(0, height - side + 1, (masks, squares))
    left = generator.integers(0, width - side + 1, (masks, squares))
    return Boxes(height, width, np.stack([top, left, top + side, left + side], axis=-1))


def cell_boxes(height: int, width: int, rows: int, cols: int) -> Boxes:
    """``rows · cols`` masks, row by row, that hide one cell each: the pixels :func:`~.explanation.on_crop` gives it."""
    tops, lefts = (-(-np.arange(count + 1) * size // count) for count, size in ((rows, height), (cols, width)))
    boxes = [[[tops[row], lefts[col], tops[row + 1], lefts[col + 1]]] for row in range(rows) for col in range(cols)]
    return Boxes(height, width, np.array(boxes, np.int64))


@dataclass(frozen=True, eq=False)
class SmoothGrids:
    """Coarse grids of kept (1) and hidden (0) cells, enlarged smoothly and shifted by less than a cell (RISE).

    Petsiuk, Das, Saenko 2018: a grid of s × s is enlarged bilinearly to (s + 1) cells and the crop is cut from it at
    a random shift, so that no border of cells stands still.
    """

    height: int
    width: int
    grids: Floats
    """``(n, s, s)``."""
    shifts: Integers
    """``(n, 2)``: down and across, in pixels, less than a cell."""

    def __len__(self) -> int:
        return len(self.grids)

    def kept(self, start: int, stop: int) -> Kept:
        """(stop − start, H, W) float32 in 0…1."""
        side = self.grids.shape[1]
        down, across = (
            _enlarging(side, size)[self.shifts[start:stop, axis, None] + np.arange(size)]
            for axis, size in ((0, self.height), (1, self.width))
        )
        masks: Floats = down @ self.grids[start:stop] @ across.transpose(0, 2, 1)
        return masks


def cell_size(side: int, size: int) -> int:
    """Pixels of one of ``side`` cells over ``size`` pixels, rounded up."""
    return -(-size // side)


def random_shifts(count: int, side: int, height: int, width: int, generator: np.random.Generator) -> Integers:
    """``(count, 2)`` shifts of grids of ``side`` × ``side`` cells."""
    down, across = (generator.integers(0, cell_size(side, size), count) for size in (height, width))
    return np.stack([down, across], axis=1)


def random_grids(
    height: int, width: int, *, masks: int, cells: int, keep: float, generator: np.random.Generator
) -> SmoothGrids:
    """RISE's masks: each of ``cells`` × ``cells`` cells is kept with probability ``keep``."""
    grids = (generator.random((masks, cells, cells)) < keep).astype(np.float32)
    return SmoothGrids(height, width, grids, random_shifts(masks, cells, height, width, generator))


def _enlarging(side: int, size: int) -> Floats:
    """``((side + 1) cells, side)``: bilinear weights by the middles of pixels and cells; borders are continued."""
    pixels = (side + 1) * cell_size(side, size)
    place = np.clip((np.arange(pixels) + 0.5) * side / pixels - 0.5, 0, side - 1)
    distance = np.abs(place[:, None] - np.arange(side))
    weights: Floats = np.maximum(0, 1 - distance).astype(np.float32)
    return weights


@dataclass(frozen=True, eq=False)
class Spots:
    """Masks that take one Gaussian spot away from a picture (``remove``), or show one more of it."""

    before: Floats
    """``(H, W)``: what is kept before, 0…1."""
    centers: Reals
    """``(n, 2)``: row and column of each spot's middle."""
    sigma: float
    """In pixels."""
    remove: bool

    def __len__(self) -> int:
        return len(self.centers)

    def kept(self, start: int, stop: int) -> Kept:
        """(stop − start, H, W) float32 in 0…1."""
        down, across = (
            bumps(size, self.centers[start:stop, axis], self.sigma) for axis, size in enumerate(self.before.shape)
        )
        rest = (1 - down[:, :, None] * across[:, None, :]).astype(np.float32)
        masks: Floats = self.before * rest if self.remove else 1 - (1 - self.before) * rest
        return masks


@dataclass(frozen=True, eq=False)
class Parts:
    """Masks that hide whole parts of the crop."""

    labels: Integers
    """``(H, W)``: number of the part each pixel belongs to."""
    shown: NDArray[np.bool_]
    """``(n, parts)``: which parts each mask keeps."""

    def __len__(self) -> int:
        return len(self.shown)

    def kept(self, start: int, stop: int) -> Kept:
        """(stop − start, H, W) bool."""
        return self.shown[start:stop][:, self.labels]


def kept_sum(masks: Masks, weights: Reals) -> Maps:
    """``(H, W)``: Σ weight · kept over all masks, weights ``(n,)``; in single precision within blocks of masks."""
    return _summed(masks, lambda part, kept: _weighted(weights[part], kept))


def hidden_sum(masks: Masks, weights: Reals) -> Maps:
    """``(H, W)``: Σ weight · (1 − kept) over all masks; 0 exactly where none hides."""
    return _summed(masks, lambda part, kept: _weighted(weights[part], 1 - kept))


def kept_correlation(masks: Masks, values: Reals) -> Maps:
    """``(H, W)``, −1…1: Pearson's correlation over the masks of how much of a pixel is kept with ``values`` (n,).

    0 where a pixel is kept alike in all masks, and everywhere if all values are the same.
    """
    centered = values - values.mean()
    rows = np.stack([centered, np.ones_like(centered)])

    def moments(part: slice, kept: Floats) -> Reals:
        return np.concatenate([_weighted(rows[:, part], kept), _weighted(rows[1:, part], kept**2)])

    covariance, mean, square = _summed(masks, moments) / len(masks)
    variance = square - mean**2
    spread = np.sqrt(np.maximum(variance, 0)) * values.std()
    varies = (variance > LEAST_VARIANCE) & (values.std() > LEAST_SPREAD * np.abs(values).max())
    correlation: Maps = np.divide(covariance, spread, out=np.zeros_like(spread), where=varies)
    return correlation


def _weighted(weights: Reals, kept: Floats) -> Reals:
    """(…, H, W): the sum of (b, H, W) under weights (…, b)."""
    return np.tensordot(weights.astype(np.float32), kept, 1).astype(np.float64)


def _summed(masks: Masks, part_of: Callable[[slice, Floats], Reals]) -> Reals:
    """The sum over blocks of masks, which the cores make side by side; always added up in the same order."""

    def block(start: int) -> Reals:
        stop = min(start + SUMMED, len(masks))
        return part_of(slice(start, stop), masks.kept(start, stop).astype(np.float32))

    with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
        return reduce(np.add, pool.map(block, range(0, len(masks), SUMMED)))
