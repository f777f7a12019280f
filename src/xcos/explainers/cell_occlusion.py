"""Brute-force cell occlusion: hide one cell, see what becomes of the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.explainers.explanation import Cost, Explanation, on_crop
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Side, open_pair
from xcos.explainers.masks import cell_boxes
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import require, require_one_of, settings_of
from xcos.types import AlignedFace, Maps


@dataclass(frozen=True)
class CellOcclusion:
    """How far the score falls when one cell of one photo is hidden; below 0 where it rises.

    The effect is measured, not estimated: other explanations by cells can be compared with it.
    """

    matcher: Matcher
    rows: int = 7
    cols: int = 7
    fill: Fill = "mean"
    name: str = "cell-occlusion"

    def __post_init__(self) -> None:
        require(min(self.rows, self.cols) >= 1, f"want at least one cell, got {self.rows} × {self.cols}")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of the fall of the score; two passes and one for each cell of each photo."""
        pair = open_pair(self.matcher, probe, reference)
        one, other = (on_crop(self._falls(side, pair.score), *side.size) for side in pair.sides)
        cost = PAIR_COST + Cost(2 * self.rows * self.cols)
        return Explanation(self.name, one, other, pair.score, cost, settings_of(self))

    def _falls(self, side: Side, score: float) -> Maps:
        require(
            self.rows <= side.size[0] and self.cols <= side.size[1],
            f"{self.rows} × {self.cols} cells are more than the pixels of a crop of {side.size[0]} × {side.size[1]}",
        )
        scores = side.scores(cell_boxes(*side.size, self.rows, self.cols), self.fill)
        falls: Maps = np.reshape(score - scores, (self.rows, self.cols))
        return falls
