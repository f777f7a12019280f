"""Matchers whose true importance is known: every cell sees its own square and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xcos.types import AlignedFace, Crops, CropTemplate, Face, Pixels, Reals, Templates
from xcos.weights import WeightCard

SIDE = 56
POINTS: Reals = np.array([[18.0, 20.0], [38.0, 20.0], [28.0, 30.0], [20.0, 40.0], [36.0, 40.0]])
TOY_TEMPLATE = CropTemplate("toy_56", SIDE, SIDE, POINTS)
TOY_CARD = WeightCard("toy", "0" * 64, TOY_TEMPLATE, "rgb", (0.0, 0.0, 0.0), 1.0, "CC0-1.0", "made up", "none")


def toy_face(crop: Pixels, points: Reals = POINTS) -> AlignedFace:
    """A crop as it would be aligned: its landmarks lie on ``points``."""
    found = Face(np.array([4.0, 4.0, 52.0, 52.0]), points, 0.9)
    return AlignedFace(crop, found, TOY_TEMPLATE, np.eye(2, 3), 0.0, 0.0)


def mosaic(colors: NDArray[np.number], side: int = SIDE) -> Pixels:
    """``(side, side, 3)`` crop whose cells have the colours ``(rows, cols, 3)``, 0…255."""
    rows, cols = colors.shape[:2]
    block = np.ones((side // rows, side // cols, 1))
    return np.kron(colors, block).astype(np.uint8)


@dataclass(frozen=True)
class CellColors:
    """Embedder of a strictly local network: a cell's feature is its square's mean colour, 0…1; black has length 0."""

    rows: int = 7
    cols: int = 7
    card: WeightCard = TOY_CARD
    model: str = "toy/cells/000000000000"
    seen: list[int] = field(default_factory=list)
    """Crops of each call."""

    def embed(self, crops: Crops) -> Templates:
        self.seen.append(len(crops))
        tall, wide = SIDE // self.rows, SIDE // self.cols
        squares = crops.reshape(len(crops), self.rows, tall, self.cols, wide, 3)
        grids = (squares.mean(axis=(2, 4)) / 255).astype(np.float32)
        return Templates(grids, grids.reshape(len(crops), -1), self.model)
