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
        dots, probe_norms, reference_norms = _parts(probes, references)
        similarity = _cosine(dots, probe_norms * reference_norms)
        _, rows, cols = similarity.shape
        return similarity, np.full(similarity.shape, 1.0 / (rows * cols))


@dataclass(frozen=True)
class NormWeighted:
    """Cells count by the length of their features: the score is the cosine of the two flattened grids.

    With ``w = |a| |b| / (|A| |B|)`` per cell, ``Σ w cos(a, b) = A·B / (|A| |B|)`` exactly, and ``Σ w ≤ 1``
    by Cauchy and Schwarz: the cosine of flattened maps is already a weighted sum of local cosines.
    """

    name: str = "norm"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Local cosines, and each cell's share of the two grids' lengths."""
        dots, probe_norms, reference_norms = _parts(probes, references)
        products = probe_norms * reference_norms
        totals = np.sqrt((probe_norms**2).sum(axis=(1, 2)) * (reference_norms**2).sum(axis=(1, 2)))
        return _cosine(dots, products), products / totals[:, None, None]


def vectors_as_grids(vectors: Floats) -> Grids:
    """``(n, 1, 1, D)``: a plain embedding is a grid of one cell, and its cosine a comparison of one cell."""
    return vectors[:, None, None, :]


def _parts(probes: Grids, references: Grids) -> tuple[Maps, Maps, Maps]:
    """Dot products and lengths per cell, (n, rows, cols) each, in double precision."""
    if probes.ndim != 4 or probes.shape != references.shape:
        raise InvalidArgument(
            f"grids must be two equal (n, rows, cols, channels), got {probes.shape} and {references.shape}"
        )
    a, b = probes.astype(np.float64), references.astype(np.float64)
    dots = np.einsum("nijc,nijc->nij", a, b)
    return dots, np.sqrt(np.einsum("nijc,nijc->nij", a, a)), np.sqrt(np.einsum("nijc,nijc->nij", b, b))


def _cosine(dots: Maps, products: Maps) -> Maps:
    """Cosines; 0 in a cell where a face has no features at all."""
    return np.divide(dots, products, out=np.zeros_like(dots), where=products > 0)
