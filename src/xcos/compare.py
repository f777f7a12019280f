"""Two grids → similarity map and attention map, for weightings that need no learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.errors import InvalidArgument
from xcos.types import Floats, Grids, Maps


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
        sides = _same_shape(probes, references)
        one, other = (side.reshape(len(side), -1) for side in sides)
        trust, other_trust = (np.linalg.norm(side, axis=3).reshape(len(side), -1) for side in sides)
        totals = trust @ other_trust.T
        scores: Floats = np.divide(one @ other.T, totals, out=np.zeros_like(totals), where=totals > 0)
        return scores


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
