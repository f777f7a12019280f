"""Matchers whose true importance map is known by hand, and crops for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xcos.explainers.matcher import Matcher
from xcos.types import AlignedFace, Crops, CropTemplate, Face, Grids, Pixels, Reals, Templates

SIDE = 32
POINTS = np.array([[10.0, 11.0], [22.0, 11.0], [16.0, 17.0], [12.0, 23.0], [20.0, 23.0]])
TEMPLATE = CropTemplate("toy_32", SIDE, SIDE, POINTS)


def face(crop: Pixels, landmarks: Reals = POINTS) -> AlignedFace:
    """A face cut to the toy's template: the crop is the photo."""
    whole = Face(np.array([0.0, 0.0, SIDE, SIDE]), landmarks, 1.0)
    return AlignedFace(crop, whole, TEMPLATE, np.array([[1.0, 0, 0], [0, 1.0, 0]]), 0.0, 0.0)


def white() -> AlignedFace:
    return face(np.full((SIDE, SIDE, 3), 255, np.uint8))


def noise(seed: int) -> AlignedFace:
    return face(np.random.default_rng(seed).integers(1, 256, (SIDE, SIDE, 3)).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """Score ``Σ w a b`` over cells, with the cells' brightness ``a`` and ``b`` in 0…1, as white crops have.

    A cell of a white crop adds its weight to the score with another white one, black cells nothing, and a cell of which
    a share is hidden by black its weight times the rest: the true map is the weights.
    """

    weights: Reals
    """(rows, cols), which divide the crop's sides."""
    name: str = "weighted sum"
    template: CropTemplate = TEMPLATE

    def encode(self, crops: Crops) -> Templates:
        rows, cols = self.weights.shape
        n, height, width, _ = crops.shape
        cells = crops.reshape(n, rows, height // rows, cols, width // cols, 3)
        grids = np.ones((n, rows, cols, 2), np.float32)  # the second channel keeps a black crop from being no template
        grids[..., 0] = cells.mean(axis=(2, 4, 5)) / 255
        return Templates(grids, grids.reshape(n, -1), self.name)

    def score(self, probes: Templates, references: Templates) -> Reals:
        return np.tensordot(brightness(probes.grids) * brightness(references.grids), self.weights, 2)


def brightness(grids: Grids) -> Reals:
    return grids[..., 0].astype(np.float64)


def per_pixel(weights: Reals) -> WeightedSum:
    """Each pixel of the toy crop its own cell."""
    assert weights.shape == (SIDE, SIDE)
    return WeightedSum(weights)


@dataclass(frozen=True, eq=False)
class Counting:
    """Any matcher, and how many crops went through it: the oracle of costs."""

    matcher: Matcher
    calls: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.matcher.name

    @property
    def template(self) -> CropTemplate:
        return self.matcher.template

    @property
    def passes(self) -> int:
        return sum(self.calls)

    def encode(self, crops: Crops) -> Templates:
        self.calls.append(len(crops))
        return self.matcher.encode(crops)

    def score(self, probes: Templates, references: Templates) -> Reals:
        return self.matcher.score(probes, references)


def hot(*places: tuple[slice, slice], weights: tuple[float, ...] = ()) -> Reals:
    """(SIDE, SIDE): weight 1 (or the given one) spread over each place, 0 elsewhere."""
    total = np.zeros((SIDE, SIDE))
    for place, weight in zip(places, weights or (1.0,) * len(places), strict=True):
        total[place] = weight / total[place].size
    return total


def cells_of(values: Reals, rows: int, cols: int) -> Reals:
    """(rows, cols): mean of the map over the pixels of each cell, by a pixel's place alone."""
    row = np.arange(values.shape[0]) * rows // values.shape[0]
    col = np.arange(values.shape[1]) * cols // values.shape[1]
    return np.array([[values[np.ix_(row == r, col == c)].mean() for c in range(cols)] for r in range(rows)])
