"""Two grids → similarity map and attention map, for weightings that need no learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Floats, Grids, Maps, freeze

TILE = 1024  # probes and references; the scores of a tile stay in the cache while they are divided


@dataclass(frozen=True)
class Uniform:
    """Every cell counts the same: the score is the mean of the local cosines ('patch' in the xCos paper)."""

    name: str = "uniform"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Local cosines, and 1 / cells everywhere."""
        dots, probe_squares, reference_squares = _products(probes, references)
        similarity = _ratio(dots, np.sqrt(probe_squares * reference_squares))
        return similarity, np.full(similarity.shape, 1.0 / (similarity.shape[1] * similarity.shape[2]))

    def score_all(self, probes: Grids, references: Grids) -> Floats:
        """``(n, m)`` scores of every probe with every reference, by one matrix product in single precision."""
        cells = probes.shape[1] * probes.shape[2]
        one, other = (_unit(side).reshape(len(side), -1) for side in _same_shape(probes, references))
        scores: Floats = one @ other.T / np.float32(cells)
        return scores


@dataclass(frozen=True)
class NormWeighted:
    """Cells count by the length of their features: the score is the cosine of the two flattened grids.

    With ``w = |a| |b| / (|A| |B|)`` per cell, ``Σ w cos(a, b) = A·B / (|A| |B|)`` exactly, and ``Σ w ≤ 1``
    by Cauchy and Schwarz: the cosine of flattened maps is already a weighted sum of local cosines.
    """

    name: str = "norm"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Local cosines, and each cell's share of the two grids' lengths."""
        dots, probe_squares, reference_squares = _products(probes, references)
        lengths = np.sqrt(probe_squares * reference_squares)
        totals = np.sqrt(_per_pair(probe_squares) * _per_pair(reference_squares))
        return _ratio(dots, lengths), lengths / totals

    def score_all(self, probes: Grids, references: Grids) -> Floats:
        """``(n, m)`` scores of every probe with every reference, by one matrix product in single precision."""
        one, other = (_unit(side.reshape(len(side), -1)) for side in _same_shape(probes, references))
        scores: Floats = one @ other.T
        return scores


@dataclass(frozen=True)
class TrustWeighted:
    """Cells count by how much both faces' cells can be trusted, for grids whose features are as long as that.

    With trust ``u = |a|`` the attention is ``u_A u_B / Σ u_A u_B`` and the score ``Σ a·b / Σ |a| |b|``: a ratio of two
    inner products, symmetric bit for bit. Unlike :class:`NormWeighted` the attention sums to 1 even where the two
    faces are covered in different places.
    """

    name: str = "trust"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Local cosines, and each cell's share of the pair's trust."""
        dots, probe_squares, reference_squares = _products(probes, references)
        trust = np.sqrt(probe_squares * reference_squares)
        totals = _per_pair(trust)
        return _ratio(dots, trust), np.divide(trust, totals, out=np.zeros_like(trust), where=totals > 0)

    def score_all(self, probes: Grids, references: Grids) -> Floats:
        """``(n, m)`` scores of every probe with every reference, by two matrix products in single precision."""
        return self.score_all_of(*map(self.encode, _same_shape(probes, references)))

    def encode(self, grids: Grids) -> TrustedFaces:
        """What scores need of n faces, to be made once per face."""
        if grids.ndim != 4:
            raise InvalidArgument(f"grids must be (n, rows, cols, channels), got {grids.shape}")
        n, rows, cols, channels = grids.shape
        cells = grids.astype(np.float32, copy=False).reshape(n, rows * cols, channels)
        return TrustedFaces(cells.reshape(n, -1), np.linalg.norm(cells, axis=2))

    def score_all_of(self, probes: TrustedFaces, references: TrustedFaces) -> Floats:
        """As :meth:`score_all`, of encoded faces."""
        _require_same_cells(probes, references)
        return ratios_of_products((probes.features, references.features), (probes.trust, references.trust))

    def score_pairs(self, probes: TrustedFaces, references: TrustedFaces, pairs: NDArray[np.integer]) -> Floats:
        """``(p,)`` scores of listed pairs, in single precision; ``pairs`` (p, 2) holds indices of either side.

        Swapping the two sides changes no bit. Each product reads both faces where they lie: to gather them first would
        move 50 kB a pair twice.
        """
        _require_same_cells(probes, references)
        require_pairs(pairs, len(probes), len(references))
        first, second = pairs.T
        products = (probes.features[i].dot(references.features[j]) for i, j in pairs.tolist())
        scores = np.fromiter(products, np.float32, len(pairs))
        totals = np.vecdot(probes.trust[first], references.trust[second])
        return np.divide(scores, totals, out=scores, where=totals > 0)


@dataclass(frozen=True, eq=False)
class TrustedFaces:
    """n faces as :class:`TrustWeighted` scores them; ``faces[indices]`` picks some of them."""

    features: Floats
    """``(n, cells · channels)`` float32: the grids, flat."""
    trust: Floats
    """``(n, cells)`` float32: the length of each cell's features."""

    def __post_init__(self) -> None:
        freeze(self, features=self.features, trust=self.trust)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, indices: NDArray[np.integer] | slice) -> TrustedFaces:
        return TrustedFaces(self.features[indices], self.trust[indices])


def ratios_of_products(values: tuple[Floats, Floats], weights: tuple[Floats, Floats]) -> Floats:
    """``(n, m)``: products of (n, d) and (m, d) values over those of their weights ≥ 0; 0 where these are all 0."""
    (a, b), (u, v) = values, weights
    ratios = np.empty((len(a), len(b)), np.float32)
    for i in range(0, len(a), TILE):
        for j in range(0, len(b), TILE):
            tile, totals = ratios[i : i + TILE, j : j + TILE], u[i : i + TILE] @ v[j : j + TILE].T
            np.matmul(a[i : i + TILE], b[j : j + TILE].T, out=tile)
            totals[totals == 0] = np.inf
            tile /= totals
    return ratios


def require_pairs(pairs: NDArray[np.integer], probes: int, references: int) -> None:
    """Refused unless they are (p, 2) indices of so many probes and references."""
    counts = np.array([probes, references])
    fits = pairs.ndim == 2 and pairs.shape[1] == 2 and np.issubdtype(pairs.dtype, np.integer)
    if not fits or bool(((pairs < 0) | (pairs >= counts)).any()):
        raise InvalidArgument(
            f"pairs must be (p, 2) whole numbers from 0, below {counts[0]} and {counts[1]}, got {pairs.shape} "
            f"{pairs.dtype}" + (f" from {pairs.min()} to {pairs.max()}" if pairs.size else "")
        )


def vectors_as_grids(vectors: Floats) -> Grids:
    """``(n, 1, 1, D)``: a plain embedding is a grid of one cell, and its cosine a comparison of one cell."""
    return vectors[:, None, None, :]


def _products(probes: Grids, references: Grids) -> tuple[Maps, Maps, Maps]:
    """a·b, a·a and b·b per cell, (n, rows, cols) each, in double precision."""
    if probes.ndim != 4 or probes.shape != references.shape:
        raise InvalidArgument(
            f"grids must be two equal (n, rows, cols, channels), got {probes.shape} and {references.shape}"
        )
    a, b = probes.astype(np.float64), references.astype(np.float64)
    return np.vecdot(a, b), np.vecdot(a, a), np.vecdot(b, b)


def _same_shape(probes: Grids, references: Grids) -> tuple[Floats, Floats]:
    """Both in single precision; refused unless they are grids of one shape."""
    if probes.ndim != 4 or probes.shape[1:] != references.shape[1:]:
        raise InvalidArgument(
            f"grids must be (n, rows, cols, channels) and (m, …) alike, got {probes.shape} and {references.shape}"
        )
    return probes.astype(np.float32, copy=False), references.astype(np.float32, copy=False)


def _require_same_cells(probes: TrustedFaces, references: TrustedFaces) -> None:
    shapes = [(side.features.shape[1], side.trust.shape[1]) for side in (probes, references)]
    if shapes[0] != shapes[1]:
        raise InvalidArgument(f"faces have {shapes[0]} and {shapes[1]} numbers and cells; encode grids of one model")


def _unit(values: Floats) -> Floats:
    """Divided by the length of the last axis; 0 where that is 0."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    unit: Floats = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return unit


def _per_pair(squares: Maps) -> Maps:
    """Sum over the cells of each pair, (n, 1, 1)."""
    sums: Maps = squares.sum(axis=(1, 2), keepdims=True)
    return sums


def _ratio(dots: Maps, lengths: Maps) -> Maps:
    """Cosines; 0 in a cell where a face has no features at all."""
    if lengths.all():
        return dots / lengths
    return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
