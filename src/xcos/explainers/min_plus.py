"""MinPlus: what the score loses when a spot is taken away, and gains when it is all that is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Side, open_pair
from xcos.explainers.masks import Spots
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import pixels_of, require, require_one_of, settings_of
from xcos.explainers.smoothing import bumps
from xcos.types import AlignedFace, Floats, Maps, Reals


@dataclass(frozen=True)
class MinPlus:
    """Mean of four answers: spots removed and spots added, each one by one and greedily in company.

    Mery, "True Black-Box Explanation in Facial Analysis" (CVPR Workshops 2022), after Mery, Morris, "On Black-Box
    Explanation for Face Verification" (WACV 2022), whose S0-, S1-, S0+ and S1+ are averaged. A spot is a Gaussian of
    ``sigma`` (a share of the crop; 10 of 112 pixels); spots stand every ``stride`` (8 of 112 pixels).

    *Minus*: the photo times ``1 − G``; the fall of the score is the spot's value. *Plus*: the photo times ``G`` on
    the fill; the rise above the bare fill's score is its value. *Greedy*: the best spot stays removed (or shown) and
    the sweep is repeated, ``rounds`` sweeps in all or until nothing is gained; each best spot's gain is its value.
    The mean of the four values of each spot is spread with the spots' own shape and divided by its largest absolute
    value; the published scaling to 0…1 would lose the sign. Shown spots are joined as ``1 - Π (1 - G)``, so that
    nothing becomes brighter than the photo; the author's program joins pixels so, which brightens where spots meet.
    """

    matcher: Matcher
    rounds: int = 5
    stride: float = 8 / 112
    sigma: float = 10 / 112
    fill: Fill = "black"
    name: str = "minplus"

    def __post_init__(self) -> None:
        require(self.rounds >= 1, f"want at least one round, got {self.rounds}")
        for what, share in (("stride", self.stride), ("sigma", self.sigma)):
            require(0 < share < 1, f"{what} is a share of the crop between 0 and 1, got {share}")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps in −1…1; two passes, and for each photo one more and one for each spot in each sweep made."""
        pair = open_pair(self.matcher, probe, reference)
        (one, one_cost), (other, other_cost) = (self._side(side, pair.score) for side in pair.sides)
        settings = settings_of(self) | {"stride_pixels": pixels_of(self.stride, pair.probe.size)}
        return Explanation(self.name, one, other, pair.score, PAIR_COST + one_cost + other_cost, settings)

    def _side(self, side: Side, score: float) -> tuple[Maps, Cost]:
        """The map of one photo, and what it cost."""
        grid = _SpotGrid(side.size, pixels_of(self.stride, side.size), self.sigma * min(side.size))
        nothing = np.zeros(side.size, np.float32)
        bare = float(side.scores(Spots(nothing, grid.centers[:1], grid.sigma, remove=True), self.fill)[0])
        minus = self._sweeps(side, grid, 1 - nothing, score, remove=True)
        plus = self._sweeps(side, grid, nothing, bare, remove=False)
        values = np.mean([minus.single, minus.greedy, plus.single, plus.greedy], axis=0)
        return _scaled(grid.spread(values)), Cost(1 + (minus.count + plus.count) * len(grid.centers))

    def _sweeps(self, side: Side, grid: _SpotGrid, kept: Floats, score: float, *, remove: bool) -> _Sweeps:
        single = greedy = np.zeros(len(grid.centers))
        for count in range(1, self.rounds + 1):
            spots = Spots(kept, grid.centers, grid.sigma, remove)
            scores = side.scores(spots, self.fill)
            gains = score - scores if remove else scores - score
            if count == 1:
                single = gains
            best = int(gains.argmax())
            if gains[best] <= 0:
                break
            greedy = greedy + gains[best] * (np.arange(len(gains)) == best)
            kept, score = spots.kept(best, best + 1)[0].astype(np.float32), float(scores[best])
        return _Sweeps(single, greedy, count)


@dataclass(frozen=True, eq=False)
class _Sweeps:
    """Values of the spots one by one (the first sweep) and in company, and how many sweeps were made."""

    single: Reals
    greedy: Reals
    count: int


class _SpotGrid:
    """Spots in even rows over the crop."""

    def __init__(self, size: tuple[int, int], stride: int, sigma: float) -> None:
        rows, cols = (_middles(pixels, stride) for pixels in size)
        self.sigma = sigma
        self.centers = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
        self._shape = len(rows), len(cols)
        self._down, self._across = bumps(size[0], rows, sigma), bumps(size[1], cols, sigma)

    def spread(self, values: Reals) -> Maps:
        """``(H, W)``: the sum of all spots, each as high as its value."""
        spread: Maps = self._down.T @ values.reshape(self._shape) @ self._across
        return spread


def _middles(pixels: int, stride: int) -> Reals:
    """Places ``stride`` apart with even margins."""
    count = max(1, pixels // stride)
    middles: Reals = (pixels - 1) / 2 + stride * (np.arange(count, dtype=np.float64) - (count - 1) / 2)
    return middles


def _scaled(values: Maps) -> Maps:
    most = np.abs(values).max()
    return values / most if most > 0 else values
