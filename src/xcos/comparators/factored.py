"""Weightings whose attention is a product of what each face says: a score is one or two dot products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.comparators.encoded import EncodedFaces
from xcos.comparators.weighting import Pairs, cells_of, cosine_blocks, rows_of
from xcos.compare import ratios_of_products
from xcos.types import Floats, Maps, Reals


@dataclass(frozen=True, eq=False)
class Shared:
    """One attention map for all pairs: uniform and fixed weights."""

    weights: Reals
    """``(rows, cols)``."""

    def cues(self, features: Floats, parts: list[Floats]) -> Floats:
        """Nothing: every face is weighed alike."""
        return _numbers_per_cell(features, parts)

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:  # noqa: ARG002  # as Weighting
        """The map, n times."""
        return np.repeat(self.weights[None], len(probes), axis=0)

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """One matrix product of the features, scaled by the root of their weights."""
        factors = np.sqrt(self.weights).reshape(1, -1).astype(np.float32)
        return _scaled(probes, factors) @ _scaled(references, factors).T

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """Weighted sum of the cosines of each pair."""
        weights = self.weights.reshape(-1).astype(np.float32)
        scores = np.empty(len(pairs), np.float32)
        for block, cosines in cosine_blocks(probes, references, pairs):
            np.matmul(cosines, weights, out=scores[block])
        return scores


@dataclass(frozen=True)
class Norm:
    """Cells count by the length of their features: ``|a||b| / (|A||B|)``; cues are the lengths."""

    def cues(self, features: Floats, parts: list[Floats]) -> Floats:
        """The lengths."""
        return _numbers_per_cell(features, parts)

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:
        """Product of each cell's share of its grid's length; sums to at most 1."""
        return _shares(probes) * _shares(references)

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """One matrix product of the features, scaled by their shares."""
        a, b = (_scaled(side, _flat_shares(side)) for side in (probes, references))
        return a @ b.T

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """Weighted sum of the cosines of each pair."""
        a, b = _flat_shares(probes), _flat_shares(references)
        scores = np.empty(len(pairs), np.float32)
        for block, cosines in cosine_blocks(probes, references, pairs):
            first, second = pairs[block].T
            np.vecdot(cosines, a[first] * b[second], out=scores[block])
        return scores


@dataclass(frozen=True)
class Separable:
    """``u_A u_B / Σ u_A u_B``; cues are each face's trust ``u > 0``.

    ``Σ u_A u_B s / Σ u_A u_B``: with ``s = f_A · f_B`` both sums are dot products of what is known per face.
    """

    def cues(self, features: Floats, parts: list[Floats]) -> Floats:
        """The trust."""
        return _numbers_per_cell(features, parts)

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:
        """Product of the two trusts over its sum."""
        product = probes.cues.astype(np.float64) * references.cues
        share: Maps = product / product.sum(axis=1, keepdims=True)
        return share.reshape(probes.features.shape[:3])

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """Two matrix products, the second of one number per cell."""
        a, b = (_scaled(side, side.cues) for side in (probes, references))
        return ratios_of_products((a, b), (probes.cues, references.cues))

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """Weighted mean of the cosines of each pair."""
        scores = np.empty(len(pairs), np.float32)
        for block, cosines in cosine_blocks(probes, references, pairs):
            first, second = pairs[block].T
            product = probes.cues[first] * references.cues[second]
            np.divide(np.vecdot(cosines, product), product.sum(axis=1), out=scores[block])
        return scores


def _numbers_per_cell(features: Floats, parts: list[Floats]) -> Floats:
    return np.concatenate([np.zeros((len(features), 0), np.float32), *map(rows_of, parts)], axis=1)


def _scaled(faces: EncodedFaces, factors: Floats) -> Floats:
    """``(n, cells · k)`` features times (n, cells) factors."""
    return rows_of(cells_of(faces.features) * factors[..., None])


def _shares(faces: EncodedFaces) -> Maps:
    """``(n, rows, cols)`` lengths whose squares sum to 1, in double precision."""
    lengths = faces.cues.astype(np.float64)
    shares: Maps = lengths / np.linalg.norm(lengths, axis=1, keepdims=True)
    return shares.reshape(faces.features.shape[:3])


def _flat_shares(faces: EncodedFaces) -> Floats:
    return rows_of(_shares(faces).astype(np.float32))
