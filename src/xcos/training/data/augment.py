"""Augmentations of aligned crops: functions that change one ``(H, W, 3)`` uint8 crop, and their composition.

None changes the crop it is given.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image as pil
from PIL.Image import Image as Picture

from xcos.alignment import require_crops
from xcos.errors import InvalidArgument
from xcos.occluders import Covered, Occluder, blob, face_mask, squares, sunglasses
from xcos.types import CropTemplate, Pixels

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in gray (ITU-R BT.601)."""
# One step of 0.1 in scale, angle and half-sides: eta_scale, eta_theta, eta_t of ARoFace's published configurations.
SCALE, ROTATION, SHIFT = 0.1, 0.1, 0.05
Affine = tuple[float, float, float, float, float, float]


def mirror(crop: Pixels) -> Pixels:
    """The crop with left and right exchanged."""
    return np.ascontiguousarray(crop[:, ::-1])


def low_resolution(crop: Pixels, generator: np.random.Generator, *, least: float = 0.2, most: float = 1.0) -> Pixels:
    """The crop reduced to a random share ``least`` … ``most`` of its sides by averaging areas, and enlarged again.

    The default range is that of AdaFace's training (Kim et al. 2022).
    """
    if not 0 < least <= most <= 1:
        raise InvalidArgument(f"shares of the side must be 0 < least ≤ most ≤ 1, got {least} and {most}")
    share = generator.uniform(least, most)
    height, width = crop.shape[:2]
    small = (max(1, round(share * width)), max(1, round(share * height)))
    reduced = pil.fromarray(crop).resize(small, pil.Resampling.BOX)
    return np.array(reduced.resize((width, height), pil.Resampling.BILINEAR))


def misalign(
    crop: Pixels,
    generator: np.random.Generator,
    *,
    scale: float = SCALE,
    rotation: float = ROTATION,
    shift: float = SHIFT,
) -> Pixels:
    """The crop as an inexact detector would have had it cut; what comes in from outside is black.

    A similarity about the middle, drawn uniformly: the face grows by up to ± ``scale``, turns by up to ± ``rotation``
    radians and moves by up to ± ``shift`` of the crop's side in both directions. ARoFace (Saadabadi et al. 2024,
    arXiv 2407.14972) looks for the worst such error within its reach; the defaults are that reach, drawn at random.
    """
    return _moved(pil.fromarray(crop), _to_source(crop, generator, scale, rotation, shift), pil.Resampling.BILINEAR)


def photometric(
    crop: Pixels, generator: np.random.Generator, *, brightness: float = 0.2, contrast: float = 0.2
) -> Pixels:
    """The crop times 1 ± ``brightness``, its distance from its mean gray times 1 ± ``contrast``, both uniform."""
    if not (0 <= brightness < 1 and 0 <= contrast < 1):
        raise InvalidArgument(f"brightness and contrast must lie in 0 … 1, got {brightness} and {contrast}")
    gain = 1 + generator.uniform(-brightness, brightness)
    spread = 1 + generator.uniform(-contrast, contrast)
    bright = np.clip(crop * gain, 0, 255)
    middle = (bright @ LUMA).mean()
    changed: Pixels = np.rint(np.clip(middle + (bright - middle) * spread, 0, 255)).astype(np.uint8)
    return changed


def gray(crop: Pixels) -> Pixels:
    """The crop without its colors, still of three channels."""
    levels: Pixels = np.rint(crop @ LUMA).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def jpeg_noise(crop: Pixels, generator: np.random.Generator, *, worst: int = 30, best: int = 90) -> Pixels:
    """The crop after a JPEG file of random quality ``worst`` … ``best``."""
    if not 1 <= worst <= best <= 100:
        raise InvalidArgument(f"JPEG qualities must be 1 ≤ worst ≤ best ≤ 100, got {worst} and {best}")
    file = io.BytesIO()
    pil.fromarray(crop).save(file, "JPEG", quality=int(generator.integers(worst, best + 1)))
    with pil.open(file) as picture:
        return np.array(picture)


@dataclass(frozen=True)
class Augmentation:
    """Probability of each change of a crop of ``template``; the default is the xCos paper's: mirror every second.

    The order is that in which such a photo comes about: the face (mirror), what covers it (at most one occluder),
    light (photometric), camera (gray, low resolution, JPEG), and last the crop cut by an inexact detector (misalign).
    """

    template: CropTemplate
    mirror: float = 0.5
    sunglasses: float = 0.0
    face_mask: float = 0.0
    squares: float = 0.0
    blob: float = 0.0
    photometric: float = 0.0
    gray: float = 0.0
    low_resolution: float = 0.0
    jpeg_noise: float = 0.0
    misalign: float = 0.0

    def __post_init__(self) -> None:
        chances = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "template"}
        wrong = [name for name, chance in chances.items() if not 0 <= chance <= 1]
        if wrong or sum(chance for _, chance in self._occluders()) > 1 + 1e-9:
            raise InvalidArgument(
                f"probabilities must lie in 0 … 1, and those of the four occluders add up to 1 at most, got {chances}"
            )

    def apply(self, crop: Pixels, generator: np.random.Generator) -> tuple[Pixels, Covered]:
        """The changed crop, and where it shows no face because of it: an occluder, or black from outside; (H, W)."""
        require_crops(crop[None], self.template)
        if generator.random() < self.mirror:
            crop = mirror(crop)
        crop, covered = self._occlude(crop, generator)
        if generator.random() < self.photometric:
            crop = photometric(crop, generator)
        if generator.random() < self.gray:
            crop = gray(crop)
        if generator.random() < self.low_resolution:
            crop = low_resolution(crop, generator)
        if generator.random() < self.jpeg_noise:
            crop = jpeg_noise(crop, generator)
        if generator.random() < self.misalign:
            crop, covered = _misalign_both(crop, covered, generator)
        return crop, covered

    def _occluders(self) -> tuple[tuple[Occluder, float], ...]:
        return (
            (sunglasses, self.sunglasses),
            (face_mask, self.face_mask),
            (squares, self.squares),
            (blob, self.blob),
        )

    def _occlude(self, crop: Pixels, generator: np.random.Generator) -> tuple[Pixels, Covered]:
        drawn = generator.random()
        for occluder, chance in self._occluders():
            if drawn < chance:
                return occluder(crop, self.template, generator)
            drawn -= chance
        return crop, np.zeros(crop.shape[:2], bool)


def _misalign_both(crop: Pixels, covered: Covered, generator: np.random.Generator) -> tuple[Pixels, Covered]:
    """The misaligned crop, and what covers it moved alike; what comes in from outside counts as covered."""
    to_source = _to_source(crop, generator)
    moved = _moved(pil.fromarray(crop), to_source, pil.Resampling.BILINEAR)
    return moved, _moved(pil.fromarray(covered.astype(np.uint8)), to_source, pil.Resampling.NEAREST, outside=1) > 0


def _to_source(
    crop: Pixels, generator: np.random.Generator, scale: float = SCALE, rotation: float = ROTATION, shift: float = SHIFT
) -> Affine:
    """Where each place of a misaligned crop lies in ``crop``: ``(a, b, c, d, e, f)`` of x = a x' + b y' + c, y = …"""
    if not (0 <= scale < 1 and 0 <= rotation <= math.pi and 0 <= shift < 1):
        raise InvalidArgument(
            f"scale and shift must lie in 0 … 1 and rotation in 0 … π, got {scale}, {shift} and {rotation}"
        )
    side = np.array([crop.shape[1], crop.shape[0]])
    growth = 1 + generator.uniform(-scale, scale)
    angle = generator.uniform(-rotation, rotation)
    back = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / growth
    middle = side / 2
    x, y = middle - back @ (middle + generator.uniform(-shift, shift, 2) * side)
    return float(back[0, 0]), float(back[0, 1]), float(x), float(back[1, 0]), float(back[1, 1]), float(y)


def _moved(picture: Picture, to_source: Affine, filter_: pil.Resampling, *, outside: int = 0) -> Pixels:
    fill = (outside,) * len(picture.getbands())
    moved = picture.transform(picture.size, pil.Transform.AFFINE, to_source, filter_, fillcolor=fill)
    return np.array(moved)
