"""A verifier small enough to be solved by hand.

A photo carries one number, its *angle* in degrees, in its first pixel. Its template points into that direction in
every cell of a 2 × 2 grid, so the score of two photos is the cosine of the difference of their angles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from xcos.calibration import Calibration, Origin
from xcos.compare import Uniform
from xcos.types import Crops, CropTemplate, Face, FaceChoice, Photo, Pixels, Reals, Templates
from xcos.verifier import VECTOR_COMPARATOR, Verifier
from xcos.weights import WeightCard

SIDE = 64
POINTS = np.array([[20.0, 24.0], [44.0, 24.0], [32.0, 36.0], [23.0, 48.0], [41.0, 48.0]])
TEMPLATE = CropTemplate("fake_64", SIDE, SIDE, POINTS)
CARD = WeightCard("fake", "0" * 64, TEMPLATE, "rgb", (0.0, 0.0, 0.0), 1.0, "CC0-1.0", "made up", "none")
MODEL = "fake/grid/000000000000"


def face(shift: float = 0.0, confidence: float = 0.9) -> Face:
    """A face whose landmarks lie on the template's points, so that the crop is the photo; or ``shift`` aside."""
    return Face(np.array([8.0, 8.0, 56.0, 60.0]) + shift, POINTS + shift, confidence)


def pixels(angle: int) -> Pixels:
    """Sharp, well exposed noise (standard deviation 0.29 of the range, mean 0.5) with the angle in its first pixel."""
    noise = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    noise[0, 0] = angle
    return noise


def photo(angle: int, name: str = "") -> Photo:
    return Photo(pixels(angle), f"{angle:064d}", "array", name)


def save_photo(path: Path | bytes, angle: int) -> None:
    Image.fromarray(pixels(angle)).save(path if isinstance(path, Path) else path.decode("utf-8", "surrogateescape"))


@dataclass
class FixedDetector:
    """Finds the given faces in every photo, and none where the first pixel is 255; counts its calls."""

    faces: Sequence[Face] = field(default_factory=lambda: [face()])
    name: str = "fixed"
    seen: list[int] = field(default_factory=list)

    def detect(self, pixels: Pixels) -> list[Face]:
        self.seen.append(int(pixels[0, 0, 0]))
        return list(self.faces) if pixels[0, 0, 0] != 255 else []


@dataclass
class AngleEmbedder:
    """Directions of the angles in the crops' first pixels; the vector's angle is ``twist`` times the grid's."""

    card: WeightCard = CARD
    model: str = MODEL
    twist: float = 1.0
    seen: list[int] = field(default_factory=list)

    def embed(self, crops: Crops) -> Templates:
        angles = np.radians(crops[:, 0, 0, 0].astype(np.float64))
        self.seen += crops[:, 0, 0, 0].tolist()
        grids = np.broadcast_to(_directions(angles)[:, None, None, :], (len(crops), 2, 2, 2))
        return Templates(grids.astype(np.float32), _directions(self.twist * angles).astype(np.float32), self.model)


def _directions(angles: Reals) -> Reals:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def calibration(model: str = MODEL, comparator: str = "uniform", high: float = 0.625) -> Calibration:
    """Threshold 0.5625, conclusive below 0.5 and from ``high`` on, at every rate from 10 % to 0.1 %; llr 10 s − 5."""
    return Calibration(
        model=model,
        comparator=comparator,
        origin=Origin("made-up people", "all pairs", 100, 5000, 40, "2026-01-02", "fixed"),
        slope=10.0,
        intercept=-5.0,
        rates=np.array([0.1, 0.01, 0.001]),
        thresholds=np.array([[0.5625, 0.5, high, 0.0005, 0.002]] * 3),
        bins=np.linspace(-1, 1, 5),
        mated=np.array([0.0, 0.1, 0.2, 0.7]),
        non_mated=np.array([0.2, 0.6, 0.2, 0.0]),
    )


def fake_verifier(
    *,
    detector: FixedDetector | None = None,
    embedder: AngleEmbedder | None = None,
    second: bool = False,
    face: FaceChoice = "only",
) -> Verifier:
    return Verifier(
        detector=detector or FixedDetector(),
        embedder=embedder or AngleEmbedder(),
        comparator=Uniform(),
        calibration=calibration(),
        vector_calibration=calibration(comparator=VECTOR_COMPARATOR) if second else None,
        face=face,
    )
