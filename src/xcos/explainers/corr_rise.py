"""CorrRISE: how the score goes with a pixel's being seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Masks, Side, open_pair
from xcos.explainers.masks import kept_correlation, random_grids, random_squares
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import pixels_of, require, require_chance, require_one_of, settings_of
from xcos.types import AlignedFace, Maps, Reals

Family = Literal["squares", "grids"]
Statistic = Literal["rank", "pearson"]
FAMILY_OPTIONS: dict[Family, tuple[str, str]] = {"squares": ("squares", "side"), "grids": ("cells", "keep")}


@dataclass(frozen=True)
class CorrRise:
    """Correlation, over the masked copies, of a pixel's being kept with the score; −1…1.

    Lu, Xu, Ebrahimi, "Towards Visual Saliency Explanations of Face Verification" (WACV 2024). Above 0 the pixel makes
    the faces more alike (their similarity map), below 0 less (their dissimilarity map).

    ``family="squares"`` hides ``squares`` squares of ``side`` (a share of the crop; 30 of 112 pixels) in each copy;
    ``family="grids"`` RISE's grids of ``cells`` × ``cells`` with a share of ``keep`` kept. With ``statistic="rank"``
    the scores are replaced by their ranks, as the authors' program does, so that a few extreme ones do not rule;
    for squares, whose pixels are kept or not, that is Spearman's correlation. A pixel that no mask hides gets 0.
    """

    matcher: Matcher
    masks: int = 1000
    family: Family = "squares"
    statistic: Statistic = "rank"
    squares: int = 3
    side: float = 30 / 112
    cells: int = 12
    keep: float = 0.9
    fill: Fill = "black"
    seed: int = 0
    name: str = "corrrise"

    def __post_init__(self) -> None:
        require_chance(self.masks, self.seed)
        require(self.squares >= 1, f"want at least one square, got {self.squares}")
        require(0 < self.side < 1, f"the squares' side is a share of the crop between 0 and 1, got {self.side}")
        require(self.cells >= 2, f"want at least 2 × 2 cells, got {self.cells}")
        require(0 < self.keep < 1, f"the share of cells kept must lie between 0 and 1, got {self.keep}")
        require_one_of(self.family, tuple(FAMILY_OPTIONS), "family")
        require_one_of(self.statistic, ("rank", "pearson"), "statistic")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps in −1…1; two passes and ``masks`` for each photo, both under the same masks."""
        pair = open_pair(self.matcher, probe, reference)
        one, other = (self._map(side) for side in pair.sides)
        cost = PAIR_COST + Cost(2 * self.masks)
        return Explanation(self.name, one, other, pair.score, cost, self._settings(pair.probe.size))

    def _map(self, side: Side) -> Maps:
        masks = self._masks(side.size)
        scores = side.scores(masks, self.fill)
        return kept_correlation(masks, ranks(scores) if self.statistic == "rank" else scores)

    def _masks(self, size: tuple[int, int]) -> Masks:
        generator = np.random.default_rng(self.seed)
        if self.family == "squares":
            side = pixels_of(self.side, size)
            return random_squares(*size, masks=self.masks, squares=self.squares, side=side, generator=generator)
        return random_grids(*size, masks=self.masks, cells=self.cells, keep=self.keep, generator=generator)

    def _settings(self, size: tuple[int, int]) -> dict[str, Setting]:
        """Without the options of the other family."""
        (idle,) = (names for family, names in FAMILY_OPTIONS.items() if family != self.family)
        settings = {name: value for name, value in settings_of(self).items() if name not in idle}
        return settings | ({"side_pixels": pixels_of(self.side, size)} if self.family == "squares" else {})


def ranks(values: Reals) -> Reals:
    """``(n,)`` from 1 for the lowest; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    highest = np.cumsum(counts)
    shared: Reals = (highest - (counts - 1) / 2)[place]
    return shared
