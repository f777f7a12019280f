"""Templates in fewer numbers, for galleries: each cell's features in the directions that say most in that cell."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from xcos.embedders.dlib_resnet import SHIPPED, DlibResNet
from xcos.errors import InvalidArgument, WeightsMismatch
from xcos.interfaces import Embedder
from xcos.types import Crops, Floats, Grids, Templates, freeze
from xcos.weights import WeightCard, verified_bytes

SHIPPED_SHA256 = "205182e6d48645a05e4db9bdee1a394e373bf1e436fdf7822b86588655fbbbe6"
"""Of ``compact.npz`` beside the default model's weights, made by ``benchmarks/compact_dlib.py``."""


@dataclass(frozen=True, eq=False)
class CellBasis:
    """Directions kept of each cell's features."""

    directions: Floats
    """``(rows, cols, channels, kept)`` float32, columns of length 1 and at right angles."""

    def __post_init__(self) -> None:
        shape = self.directions.shape
        if len(shape) != 4 or not 1 <= shape[3] <= shape[2] or self.directions.dtype != np.float32:
            raise InvalidArgument(
                f"directions must be float32 (rows, cols, channels, kept) with 1 ≤ kept ≤ channels, got {shape} "
                f"{self.directions.dtype}"
            )
        freeze(self, directions=self.directions)

    @property
    def kept(self) -> int:
        """Numbers per cell."""
        return int(self.directions.shape[3])

    def compact(self, grids: Grids) -> Grids:
        """``(n, rows, cols, kept)`` of ``(n, rows, cols, channels)``, each cell as long as before.

        Lengths are what weightings read (:class:`~xcos.compare.TrustWeighted`), so the attention stays what it was, and
        only the cosines are those of the directions kept. A cell that has nothing in them becomes 0.
        """
        if grids.ndim != 4 or grids.shape[1:] != self.directions.shape[:3]:
            raise InvalidArgument(f"grids must be (n, *{self.directions.shape[:3]}), got {grids.shape}")
        cells = grids.astype(np.float32, copy=False).transpose(1, 2, 0, 3)
        turned = (cells @ self.directions).transpose(2, 0, 1, 3)
        now = np.linalg.norm(turned, axis=3, keepdims=True)
        before = np.linalg.norm(grids, axis=3, keepdims=True)
        compact: Grids = turned * np.divide(before, now, out=np.zeros_like(now), where=now > 0)
        return compact

    def to_bytes(self) -> bytes:
        """NumPy's ``.npz`` in half precision, without pickle."""
        file = io.BytesIO()
        np.savez(file, directions=self.directions.astype(np.float16))
        return file.getvalue()


def read_basis(content: bytes) -> CellBasis:
    """The basis in a file made by :meth:`CellBasis.to_bytes`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return CellBasis(file["directions"].astype(np.float32))
    except (KeyError, ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsMismatch(f"the file of directions cannot be read: {error}; make it again") from error


def principal_directions(batches: Iterable[Grids], kept: int) -> CellBasis:
    """The ``kept`` directions that hold most of each cell's unit vectors, a cell counting by its length.

    Principal components of each cell by itself, around 0 and not the mean, since cosines are taken from 0.
    """
    total: Floats | float = 0.0
    for grids in batches:
        lengths = np.linalg.norm(grids, axis=3, keepdims=True)
        cells = grids / np.sqrt(np.maximum(lengths, 1e-12))  # unit vector times the root of its length
        cells = cells.transpose(1, 2, 3, 0)
        total = total + cells @ cells.transpose(0, 1, 3, 2)
    if isinstance(total, float):
        raise InvalidArgument("directions need grids; no batch was given")
    vectors = np.linalg.eigh(total)[1][..., ::-1]
    return CellBasis(np.ascontiguousarray(vectors[..., :kept], dtype=np.float32))


class CompactEmbedder:
    """Templates of another embedder in fewer numbers, under a name of their own.

    Scores differ from those of the full templates: ``model`` says which basis was used, so that the two are never
    compared with each other, nor judged by each other's calibration. Vectors stay as they are.
    """

    def __init__(self, embedder: Embedder, basis: CellBasis) -> None:
        self._embedder, self._basis = embedder, basis
        mark = hashlib.sha256(basis.directions.tobytes()).hexdigest()[:12]
        self.model = f"{embedder.model}/compact-{basis.kept}-{mark}"

    @property
    def card(self) -> WeightCard:
        """Of the network."""
        return self._embedder.card

    def embed(self, crops: Crops) -> Templates:
        """Compact templates of ``(n, H, W, 3)`` crops."""
        full = self._embedder.embed(crops)
        return Templates(self._basis.compact(full.grids), full.vectors, self.model)


def shipped_compact() -> CompactEmbedder:
    """``xcos-dlib-7x7`` with 32 of its 128 numbers per cell; what that costs: docs/models/xcos-dlib-7x7.md.

    There is no packaged calibration for it.
    """
    basis = read_basis(verified_bytes(SHIPPED / "compact.npz", SHIPPED_SHA256))
    return CompactEmbedder(DlibResNet(grid="trusted"), basis)
