"""LIME over landmark regions: a linear model of the score by which parts of the face are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Side, open_pair
from xcos.explainers.masks import Integers, Parts
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import require, require_chance, require_one_of, settings_of
from xcos.regions import cell_regions
from xcos.types import AlignedFace, Maps, Reals


@dataclass(frozen=True)
class Lime:
    """Effect of each landmark region on the score, as a ridge regression over random sets of hidden regions sees it.

    Ribeiro, Singh, Guestrin, "Why Should I Trust You?" (KDD 2016). Each region is seen with probability ½; a copy
    weighs more the fewer regions it lacks: ``√exp(−d² / width²)`` with ``d = 1 − √share`` the cosine distance to the
    whole photo, as in the authors' program for images. The intercept is not penalised. Regions are those of
    :func:`xcos.regions.cell_regions` by the photo's own five landmarks, pixel by pixel; with ``halves`` each is
    split at the face's midline. Every pixel has the effect of its whole region, however large that is.
    """

    matcher: Matcher
    masks: int = 500
    halves: bool = True
    width: float = 0.25
    ridge: float = 1.0
    fill: Fill = "mean"
    seed: int = 0
    name: str = "lime"

    def __post_init__(self) -> None:
        require_chance(self.masks, self.seed)
        require(self.width > 0, f"the kernel's width must be above 0, got {self.width}")
        require(self.ridge > 0, f"the ridge must be above 0, got {self.ridge}")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of regions; two passes and ``masks`` for each photo."""
        pair = open_pair(self.matcher, probe, reference)
        one, other = (self._map(side) for side in pair.sides)
        return Explanation(self.name, one, other, pair.score, PAIR_COST + Cost(2 * self.masks), settings_of(self))

    def _map(self, side: Side) -> Maps:
        labels = landmark_regions(side.face, halves=self.halves)
        shown = np.random.default_rng(self.seed).random((self.masks, int(labels.max()) + 1)) < 0.5
        scores = side.scores(Parts(labels, shown), self.fill)
        distance = 1 - np.sqrt(shown.mean(axis=1))
        weights = np.sqrt(np.exp(-(distance**2) / self.width**2))
        effects: Maps = ridge_effects(shown, scores, weights, self.ridge)[labels]
        return effects


def landmark_regions(face: AlignedFace, *, halves: bool) -> Integers:
    """``(H, W)``: a number from 0 for the region each pixel lies in; every number occurs."""
    height, width = face.template.height, face.template.width
    names = np.array(cell_regions(face.landmarks, face.template, (height, width)))
    if halves:
        eyes, mouth = face.landmarks[:2].mean(axis=0), face.landmarks[3:].mean(axis=0)
        down, rows, cols = mouth - eyes, *np.mgrid[:height, :width]
        right = (cols - eyes[0]) * down[1] > (rows - eyes[1]) * down[0]
        names = np.char.add(names, np.where(right, " right", " left"))
    _, labels = np.unique(names, return_inverse=True)
    return labels.reshape(height, width)


def ridge_effects(shown: NDArray[np.bool_], scores: Reals, weights: Reals, ridge: float) -> Reals:
    """``(parts,)`` coefficients that minimise ``Σ w (s − c − z·b)² + ridge |b|²`` over b and the intercept c."""
    share = weights / weights.sum()
    features = shown - share @ shown
    target = scores - share @ scores
    weighted = features.T * weights
    effects: Reals = np.linalg.solve(weighted @ features + ridge * np.eye(features.shape[1]), weighted @ target)
    return effects
