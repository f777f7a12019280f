"""Signs of random projections: a template in a few bytes, for choosing whom to compare exactly.

Two grids at an angle θ differ in the sign of a projection onto a random direction with probability θ/π (Goemans,
Williamson 1995; as a search structure Charikar 2002), so the number of equal signs tells the cosine of the flattened
grids roughly. Directions are of ±1 and come from SHAKE-256 of :data:`SEED`: the same on every machine, for ever.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from xcos.types import Floats, Grids

Words = NDArray[np.uint64]
SEED = b"xcos.gallery sketch 1"
BLOCK = 16_384  # rows whose words stay in the cache while their differences are counted


class Sketcher:
    """Makes sketches of ``bits`` signs of grids with ``features`` numbers."""

    def __init__(self, features: int, bits: int) -> None:
        stream = hashlib.shake_256(SEED).digest(features * bits // 8)
        signs = np.unpackbits(np.frombuffer(stream, np.uint8)).reshape(features, bits)
        self._directions = signs.astype(np.float32) * 2 - 1

    def sketch(self, grids: Grids) -> Words:
        """``(n, bits / 64)``."""
        projections: Floats = grids.reshape(len(grids), -1) @ self._directions
        return np.packbits(projections >= 0, axis=1).view("<u8").astype(np.uint64, copy=False)


def differences(sketches: Words, probe: Words) -> NDArray[np.uint16]:
    """(n,) how many signs of each of ``(n, words)`` sketches differ from those of ``(words,)``."""
    counts = np.zeros(len(sketches), np.uint16)
    for start in range(0, len(sketches), BLOCK):
        block = counts[start : start + BLOCK]
        for word, signs in zip(sketches[start : start + BLOCK].T, probe, strict=True):
            block += np.bitwise_count(word ^ signs)
    return counts
