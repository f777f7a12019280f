"""Small explainers that stand in until the real ones are there: to be replaced, with their table in ``catalog``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation, on_crop
from xcos.explainers.matcher import GridMatcher, Matcher
from xcos.types import AlignedFace, Maps


@dataclass(frozen=True)
class OwnMaps:
    """The comparison's own contributions."""

    matcher: Matcher
    name: str = "own"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same map on both photos; its cells sum to the score."""
        if not isinstance(self.matcher, GridMatcher):
            raise InvalidArgument("own maps need a matcher with a grid and a comparator")
        grids = self.matcher.encode(np.stack([probe.crop, reference.crop])).grids
        similarity, attention = self.matcher.comparator.maps(grids[:1], grids[1:])
        cells = (similarity * attention)[0]
        spread = on_crop(cells, *probe.crop.shape[:2])
        return Explanation(self.name, spread, spread, float(cells.sum()), Cost(2))


@dataclass(frozen=True)
class CenterGaussian:
    """The middle of the crop, whoever is shown."""

    matcher: Matcher
    name: str = "center"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same for every pair."""
        values = _gaussian(probe.template.height, probe.template.width)
        return Explanation(self.name, values, values, _score(self.matcher, probe, reference), Cost(2))


@dataclass(frozen=True)
class UniformMap:
    """1 everywhere."""

    matcher: Matcher
    name: str = "uniform"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of ones."""
        values = np.ones(probe.crop.shape[:2])
        return Explanation(self.name, values, values, _score(self.matcher, probe, reference), Cost(2))


def _score(matcher: Matcher, probe: AlignedFace, reference: AlignedFace) -> float:
    sides = (matcher.encode(face.crop[None]) for face in (probe, reference))
    return float(matcher.score(*sides)[0])


def _gaussian(height: int, width: int) -> Maps:
    down, across = (np.exp(-8 * ((np.arange(size) + 0.5) / size - 0.5) ** 2) for size in (height, width))
    return np.outer(down, across)
