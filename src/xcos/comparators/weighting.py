"""What the pair part of a head can do, and what the parts share: how listed pairs are gathered in blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xcos.comparators.encoded import EncodedFaces
from xcos.types import Floats, Maps

Pairs = NDArray[np.integer]
"""``(p, 2)``: index of the probe, index of the reference."""
BLOCK = 256  # pairs gathered at once: enough for the cost of a call not to matter, few enough for the cache


class Weighting(Protocol):
    """The pair part of one head; both sides of a comparison were encoded by it."""

    def cues(self, features: Floats, parts: list[Floats]) -> Floats:
        """``(n, d)`` to be kept of n faces, from the outputs of the graph beside ``features``."""
        ...

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:
        """``(n, rows, cols)`` of n pairs, in double precision."""
        ...

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """``(n, m)``: every probe with every reference."""
        ...

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """``(p,)``: the listed pairs."""
        ...


def cells_of(features: Floats) -> Floats:
    """``(n, cells, k)`` view of ``(n, rows, cols, k)``."""
    n, rows, cols, k = features.shape
    return features.reshape(n, rows * cols, k)


def rows_of(values: Floats) -> Floats:
    """``(n, numbers)`` view of ``(n, …)``."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


class Gather:
    """Picks rows of an array into one buffer, which the next call overwrites.

    Fresh memory for every block would go back to the system in between, and come back page by page.
    """

    def __init__(self, values: Floats, most: int) -> None:
        self._values = values
        self._buffer = np.empty((most, *values.shape[1:]), values.dtype)

    def __call__(self, indices: NDArray[np.integer]) -> Floats:
        """At most ``most`` rows; the indices are trusted."""
        out = self._buffer[: len(indices)]
        # Any other mode makes a copy of the result first.
        return np.take(self._values, indices, axis=0, out=out, mode="clip")


def cosine_blocks(
    probes: EncodedFaces, references: EncodedFaces, pairs: Pairs, size: int = BLOCK
) -> Iterator[tuple[slice, Floats]]:
    """Slices of the list of pairs, ``size`` each, with the local cosines (b, cells) of the pairs in them."""
    first, second = (Gather(rows_of(side.features), size) for side in (probes, references))
    _, rows, cols, k = probes.features.shape
    ones = np.ones(k, np.float32)
    for start in range(0, len(pairs), size):
        block = slice(start, start + size)
        products = first(pairs[block, 0])
        products *= second(pairs[block, 1])
        yield block, products.reshape(len(products), rows * cols, k) @ ones
