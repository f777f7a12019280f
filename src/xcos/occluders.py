"""Occluders drawn onto aligned crops: they teach attention what a covered cell is, and test whether it learned it.

Each takes a crop ``(H, W, 3)`` of ``template`` and a generator, and gives the covered crop and where it is covered,
``(H, W)`` bool. The crop given is not changed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xcos.errors import InvalidArgument
from xcos.types import CropTemplate, Pixels

Covered = NDArray[np.bool_]
Occluder = Callable[[Pixels, CropTemplate, np.random.Generator], tuple[Pixels, Covered]]
Points = NDArray[np.float64]


def face_mask(crop: Pixels, template: CropTemplate, generator: np.random.Generator) -> tuple[Pixels, Covered]:
    """A medical mask: from the bridge of the nose over cheeks and mouth down to the chin, in one tone."""
    eyes, nose, corners, unit = _parts(template)
    mouth, half = corners.mean(axis=0), generator.uniform(0.95, 1.15)
    across, down = np.array([unit, 0.0]), np.array([0.0, unit])
    top, chin = 0.45 * eyes.mean(axis=0) + 0.55 * nose, mouth + generator.uniform(0.75, 0.95) * down
    ear, jaw = nose + generator.uniform(-0.15, 0.05) * down, mouth + 0.25 * down
    right = [ear + half * across, jaw + 0.9 * half * across, chin + 0.35 * across]
    left = [chin - 0.35 * across, jaw - 0.9 * half * across, ear - half * across]
    outline = [top, *right, *left]
    return _painted(crop, _polygons(crop, [np.array(outline)]), generator)


def sunglasses(crop: Pixels, template: CropTemplate, generator: np.random.Generator) -> tuple[Pixels, Covered]:
    """Two dark lenses over the eyes, joined by a bridge."""
    eyes, _, _, unit = _parts(template)
    half = np.array([generator.uniform(0.36, 0.46), generator.uniform(0.24, 0.36)]) * unit
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    round_ = generator.uniform(2, 5)  # a superellipse, from an ellipse to nearly a rectangle
    rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rim = np.sign(rim) * np.abs(rim) ** (2 / round_)
    middle, bridge = eyes.mean(axis=0), np.array([0.2, 0.05]) * unit
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    shapes = [eye + (0, 0.05 * unit) + rim * half for eye in eyes] + [middle + corners * bridge]
    return _painted(crop, _polygons(crop, shapes), generator, brightest=60)


def squares(
    crop: Pixels, _template: CropTemplate, generator: np.random.Generator, *, share: float = 0.25
) -> tuple[Pixels, Covered]:
    """Squares at random places until ``share`` of the crop is covered; each of one tone."""
    _require_share(share)
    height, width = crop.shape[:2]
    covered, result = np.zeros((height, width), bool), crop.copy()
    while covered.mean() < share:
        side = int(generator.integers(min(height, width) // 8, min(height, width) // 4 + 1))
        top, left = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1))
        result[top : top + side, left : left + side] = generator.integers(0, 256, 3)
        covered[top : top + side, left : left + side] = True
    return result, covered


def blob(
    crop: Pixels, _template: CropTemplate, generator: np.random.Generator, *, share: float = 0.25
) -> tuple[Pixels, Covered]:
    """Thick strokes of a wandering brush until ``share`` of the crop is covered (free-form masks, Yu et al. 2019)."""
    _require_share(share)
    height, width = crop.shape[:2]
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    while np.asarray(canvas).mean() < 255 * share:
        point = generator.uniform((0, 0), (width, height))
        brush = generator.uniform(0.06, 0.14) * width
        for _ in range(int(generator.integers(3, 7))):
            angle, length = generator.uniform(0, 2 * np.pi), generator.uniform(0.1, 0.3) * width
            target = np.clip(point + length * np.array([np.cos(angle), np.sin(angle)]), 0, (width, height))
            draw.line([*point, *target], fill=255, width=int(brush))
            draw.circle(tuple(target), brush / 2, fill=255)
            point = target
    return _painted(crop, np.asarray(canvas) > 0, generator)


def _require_share(share: float) -> None:
    if not 0 < share < 0.95:
        raise InvalidArgument(f"the covered share must lie between 0 and 0.95, got {share}")


def _parts(template: CropTemplate) -> tuple[Points, Points, Points, float]:
    """Eyes (2, 2), nose (2,), mouth corners (2, 2) of the template, and its inter-eye distance in pixels."""
    return template.points[:2], template.points[2], template.points[3:], template.inter_eye


def _polygons(crop: Pixels, outlines: list[Points]) -> Covered:
    canvas = Image.new("L", (crop.shape[1], crop.shape[0]))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        draw.polygon([(float(x), float(y)) for x, y in outline], fill=255)
    return np.asarray(canvas) > 0


def _painted(
    crop: Pixels, covered: Covered, generator: np.random.Generator, *, brightest: int = 255
) -> tuple[Pixels, Covered]:
    """The covered part in one random tone, with a slight shading so that its edge is not its only sign."""
    tone = generator.integers(0, brightest + 1, 3)
    slope = generator.uniform(-0.3, 0.3, 2)
    rows, cols = np.mgrid[: crop.shape[0], : crop.shape[1]]
    shade = 1 + slope[0] * (rows / crop.shape[0] - 0.5) + slope[1] * (cols / crop.shape[1] - 0.5)
    paint = np.clip(tone * shade[..., None], 0, 255).astype(np.uint8)
    return np.where(covered[..., None], paint, crop), covered


OCCLUDERS: dict[str, Occluder] = {"mask": face_mask, "sunglasses": sunglasses, "squares": squares, "blob": blob}
