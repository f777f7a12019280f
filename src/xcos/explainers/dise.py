"""DISE: few small cells hidden at a time where a face prior expects them to matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Side, encoded, open_pair, require_template
from xcos.explainers.masks import SmoothGrids, hidden_sum, random_shifts
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import require, require_chance, require_one_of, settings_of
from xcos.types import AlignedFace, Maps, Reals, Templates

Prior = Callable[[AlignedFace, int], Maps]
"""``(cells, cells)`` weights ≥ 0 of an aligned face: where cells are hidden more often."""
SPREAD = 0.35  # of a landmark's Gaussian, in inter-eye distances: neighbouring features just meet


def landmark_prior(face: AlignedFace, cells: int) -> Maps:
    """Gaussians about the five landmarks: brow to mouth, where networks look; what lies outside is never hidden."""
    height, width = face.template.height, face.template.width
    rows, cols = ((np.arange(cells) + 0.5) * size / cells - 0.5 for size in (height, width))
    sigma = SPREAD * face.template.inter_eye
    squares = [(rows[:, None] - y) ** 2 + (cols - x) ** 2 for x, y in face.landmarks]
    prior: Maps = np.sum([np.exp(-square / (2 * sigma**2)) for square in squares], axis=0)
    return prior


def uniform_prior(_face: AlignedFace, cells: int) -> Maps:
    """Every cell alike."""
    return np.ones((cells, cells))


@dataclass(frozen=True)
class Dise:
    """Where hiding a little makes the pair less alike, and no less than it makes others: 0…1, no sign.

    Williford, May, Byrne, "Explainable Face Recognition" (ECCV 2020): density-based input sampling. Each mask hides
    ``elements`` of ``cells`` × ``cells`` cells (12 pixels of 224), drawn from the prior with what lies below its median
    left out, enlarged smoothly and shifted at random; the hidden part is the photo blurred. A mask's weight is the
    fall of the score with the mate less the mean fall with the non-mates; the weights above 0 are summed over what
    their masks hide, and scaled to 0…1.

    *Non-mates.* The method was made for triplets. For a pair without any, the fall with non-mates is taken as 0: a
    stranger who does not mind what is hidden. The map then shows what makes the pair alike, be it shared by everybody
    or not. ``non_mates`` are aligned faces of other people, the same ones for both photos.

    *Prior.* The published one is a mean map of excitation backpropagation, which needs the network's inside; here it is
    :func:`landmark_prior`, or any function given. *Similarity* is the matcher's score instead of ``1 − d / 2`` of
    unit vectors, as a black box gives nothing else.
    """

    matcher: Matcher
    masks: int = 2000
    elements: int = 2
    cells: int = 19
    fill: Fill = "blur"
    seed: int = 0
    prior: Prior = landmark_prior
    non_mates: tuple[AlignedFace, ...] = ()
    name: str = "dise"

    def __post_init__(self) -> None:
        require_chance(self.masks, self.seed, least=1)
        require(self.cells >= 2, f"want at least 2 × 2 cells, got {self.cells}")
        most = self.cells**2 // 2
        require(1 <= self.elements <= most, f"want 1 to {most} hidden cells in a mask, got {self.elements}")
        require_one_of(self.fill, FILLS, "fill")
        for face in self.non_mates:
            require_template(self.matcher, face, "non-mate")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps in 0…1; two passes, one for each non-mate and ``masks`` for each photo."""
        pair = open_pair(self.matcher, probe, reference)
        strangers = [encoded(self.matcher, face) for face in self.non_mates]
        one, other = (
            self._map([side, *(side.against(each) for each in strangers)], untouched)
            for side, untouched in zip(pair.sides, pair.templates, strict=True)
        )
        cost = PAIR_COST + Cost(len(strangers) + 2 * self.masks)
        settings = settings_of(self) | {
            "prior": getattr(self.prior, "__name__", repr(self.prior)),
            "non_mates": len(strangers),
        }
        return Explanation(self.name, one, other, pair.score, cost, settings)

    def _map(self, opponents: list[Side], untouched: Templates) -> Maps:
        """Of one photo against its mate, the first, and the non-mates."""
        photo = opponents[0]
        masks = self._masks(photo.face)

        def all_scores(templates: Templates) -> Reals:
            return np.stack([each.score(templates) for each in opponents])

        falls = all_scores(untouched) - np.concatenate(photo.each_block(masks, self.fill, all_scores), axis=1)
        weights = falls[0] - falls[1:].mean(axis=0) if len(falls) > 1 else falls[0]
        hidden = hidden_sum(masks, np.maximum(weights, 0))
        low, high = hidden.min(), hidden.max()
        return (hidden - low) / (high - low) if high > low else np.zeros_like(hidden)

    def _masks(self, face: AlignedFace) -> SmoothGrids:
        generator = np.random.default_rng(self.seed)
        chances = self._chances(face)
        grids = np.ones((self.masks, chances.size), np.float32)
        for grid in grids:
            grid[generator.choice(chances.size, self.elements, replace=False, p=chances)] = 0
        size = face.template.height, face.template.width
        shifts = random_shifts(self.masks, self.cells, *size, generator)
        return SmoothGrids(*size, grids.reshape(-1, self.cells, self.cells), shifts)

    def _chances(self, face: AlignedFace) -> Reals:
        """``(cells²,)``: the prior with what lies below its median left out, as chances."""
        prior = np.asarray(self.prior(face, self.cells), np.float64)
        fits = prior.shape == (self.cells, self.cells) and np.isfinite(prior).all() and prior.min() >= 0 < prior.max()
        require(
            bool(fits),
            f"a prior gives ({self.cells}, {self.cells}) finite weights ≥ 0, not all 0, got {prior.shape}",
        )
        chances = np.where(prior >= np.median(prior), prior, 0).ravel()
        left = int(np.count_nonzero(chances))
        require(left >= self.elements, f"the prior leaves {left} cells, each mask hides {self.elements}")
        scaled: Reals = chances / chances.sum()
        return scaled
