"""RISE: what the score is on average when a pixel is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Side, open_pair
from xcos.explainers.masks import kept_sum, random_grids
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import require, require_chance, require_one_of, settings_of
from xcos.types import AlignedFace, Maps


@dataclass(frozen=True)
class Rise:
    """Mean score of the masked copies, each counted by how much of the pixel it keeps, less their plain mean.

    Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models" (BMVC 2018), with the
    score of the pair in the place of a class. Published is ``Σ s m / (n p)`` (``coverage="expected"``): that a pixel
    happens to be kept more often than ``p`` then moves its value as well, by more than its importance with a few
    thousand masks. ``coverage="sampled"`` divides by how much of the pixel the masks really kept. The plain mean is
    taken off so that 0 means: no matter; that changes the order of no two pixels.
    """

    matcher: Matcher
    masks: int = 1000
    cells: int = 7
    keep: float = 0.5
    coverage: Literal["sampled", "expected"] = "sampled"
    fill: Fill = "mean"
    seed: int = 0
    name: str = "rise"

    def __post_init__(self) -> None:
        require_chance(self.masks, self.seed)
        require(self.cells >= 2, f"want at least 2 × 2 cells, got {self.cells}")
        require(0 < self.keep < 1, f"the share of cells kept must lie between 0 and 1, got {self.keep}")
        require_one_of(self.coverage, ("sampled", "expected"), "coverage")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps about 0; two passes and ``masks`` for each photo, both under the same masks."""
        pair = open_pair(self.matcher, probe, reference)
        one, other = (self._map(side) for side in pair.sides)
        return Explanation(self.name, one, other, pair.score, PAIR_COST + Cost(2 * self.masks), settings_of(self))

    def _map(self, side: Side) -> Maps:
        masks = random_grids(
            *side.size,
            masks=self.masks,
            cells=self.cells,
            keep=self.keep,
            generator=np.random.default_rng(self.seed),
        )
        scores = side.scores(masks, self.fill)
        above = kept_sum(masks, scores - scores.mean())
        covered = kept_sum(masks, np.ones(self.masks))
        mean = float(scores.mean())
        if self.coverage == "expected":
            return (above + mean * covered) / (self.masks * self.keep) - mean
        return np.divide(above, covered, out=np.zeros_like(above), where=covered > 0)
