"""Threshold-centred contributions: what each cell adds beyond what the threshold asks of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xcos.explainers.cells import cell_explanation, comparison_of
from xcos.explainers.explanation import Explanation
from xcos.explainers.masking import open_pair
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.settings import require, settings_of
from xcos.types import AlignedFace, Comparison, Maps


@dataclass(frozen=True)
class Centered:
    """``w (S − t / Σ w)`` of each cell, with attention ``w``, similarity ``S`` and threshold ``t``.

    The cells sum to score − threshold: those above 0 argue for a match, those below against. Where the attention sums
    to 1 this is ``w (S − t)``. Both photos get the same map.
    """

    matcher: GridMatcher
    threshold: float
    name: str = "centered"

    def __post_init__(self) -> None:
        require(math.isfinite(self.threshold), f"the threshold must be a finite number, got {self.threshold}")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps whose cells sum to score − threshold; two passes."""
        pair = open_pair(self.matcher, probe, reference)
        cells = centered(comparison_of(pair, self.matcher.comparator), self.threshold)
        return cell_explanation(self.name, pair, cells, cells, settings_of(self))


def centered(comparison: Comparison, threshold: float) -> Maps:
    """``(rows, cols)`` that sum to score − threshold; the threshold is spread as the attention is, or evenly."""
    attention = comparison.attention
    total = attention.sum()
    share = attention / total if total > 0 else np.full(attention.shape, 1 / attention.size)
    return comparison.contribution - threshold * share
