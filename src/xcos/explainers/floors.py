"""Floors: maps that know nothing of the comparison, or nothing at all. An explainer must beat them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xcos.explainers.explanation import Explanation, on_crop
from xcos.explainers.masking import PAIR_COST, open_pair
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import require, settings_of
from xcos.types import AlignedFace, Maps

FLOORS = ("random", "center", "edges", "uniform")
"""Their names."""


@dataclass(frozen=True)
class RandomMap:
    """Chance: uniform numbers −1…1 for each of ``cells`` × ``cells`` cells, or for each pixel where ``cells`` is 0.

    Drawn from the seed and the crop's own pixels, so that a photo keeps its map when the photos are swapped.
    """

    matcher: Matcher
    cells: int = 7
    seed: int = 0
    name: str = "random"

    def __post_init__(self) -> None:
        require(self.cells >= 0, f"want a number of cells, or 0 for pixels, got {self.cells}")
        require(self.seed >= 0, f"a seed is a whole number from 0, got {self.seed}")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps by chance; the two passes of the score."""
        return _floor(self, self._map, probe, reference)

    def _map(self, face: AlignedFace) -> Maps:
        own = int.from_bytes(hashlib.sha256(face.crop.tobytes()).digest()[:8], "big")
        generator = np.random.default_rng([self.seed, own])
        size = face.template.height, face.template.width
        if not self.cells:
            return generator.uniform(-1, 1, size)
        return on_crop(generator.uniform(-1, 1, (self.cells, self.cells)), *size)


@dataclass(frozen=True)
class CenterGaussian:
    """The middle of the crop: a Gaussian of ``sigma`` (a share of each side) about it, 0…1."""

    matcher: Matcher
    sigma: float = 0.25
    name: str = "center"

    def __post_init__(self) -> None:
        require(self.sigma > 0, f"sigma must be above 0, got {self.sigma}")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same map for all photos; the two passes of the score."""
        return _floor(self, self._map, probe, reference)

    def _map(self, face: AlignedFace) -> Maps:
        down, across = (
            np.exp(-((((np.arange(size) + 0.5) / size - 0.5) / self.sigma) ** 2) / 2)
            for size in (face.template.height, face.template.width)
        )
        return np.outer(down, across)


@dataclass(frozen=True)
class Edges:
    """Where the photo has edges: length of the grey values' gradient (Sobel), ≥ 0."""

    matcher: Matcher
    name: str = "edges"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of each photo by itself; the two passes of the score."""
        return _floor(self, _edges, probe, reference)


@dataclass(frozen=True)
class UniformMap:
    """Nothing: 1 everywhere, so that all order comes from how ties are broken."""

    matcher: Matcher
    name: str = "uniform"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of ones; the two passes of the score."""
        return _floor(self, _ones, probe, reference)


def _floor(
    explainer: RandomMap | CenterGaussian | Edges | UniformMap,
    map_of: Callable[[AlignedFace], Maps],
    probe: AlignedFace,
    reference: AlignedFace,
) -> Explanation:
    score = open_pair(explainer.matcher, probe, reference).score
    return Explanation(explainer.name, map_of(probe), map_of(reference), score, PAIR_COST, settings_of(explainer))


def _edges(face: AlignedFace) -> Maps:
    gray = face.crop.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255
    padded = np.pad(gray, 1, mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    sobel_across = (across[:-2] + 2 * across[1:-1] + across[2:]) / 4
    sobel_down = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4
    edges: Maps = np.hypot(sobel_across, sobel_down)
    return edges


def _ones(face: AlignedFace) -> Maps:
    return np.ones(face.crop.shape[:2])
