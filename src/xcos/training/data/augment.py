"""Augmentations of aligned crops: functions that change one ``(H, W, 3)`` uint8 crop, and their composition.

None changes the crop it is given.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image as pil

from xcos.alignment import require_crops
from xcos.errors import InvalidArgument
from xcos.occluders import Occluder, blob, face_mask, squares, sunglasses
from xcos.training.config import AugmentationConfig
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
    return _moved(crop, _to_source(crop, generator, scale, rotation, shift))


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


class Augmented(NamedTuple):
    """A crop before and after what makes it harder."""

    crop: Pixels
    """What a network is to recognise."""
    clear: Pixels
    """The same face in the same place with nothing over it and no loss of quality: what a teacher is asked about."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of crops of ``template``; the default is the xCos paper's: mirror every second.

    The order is that in which such a photo comes about: the face (mirror), what covers it (at most one occluder),
    light (photometric), camera (gray, low resolution, JPEG), and last the crop cut by an inexact detector (misalign).
    """

    template: CropTemplate
    chances: AugmentationConfig = field(default_factory=AugmentationConfig)

    def apply(self, crop: Pixels, generator: np.random.Generator) -> Augmented:
        """The changed crop, and the same mirrored and misaligned alone; one array where nothing else was drawn."""
        require_crops(crop[None], self.template)
        chances = self.chances
        if generator.random() < chances.mirror:
            crop = mirror(crop)
        clear = crop
        crop = self._occlude(crop, generator)
        if generator.random() < chances.photometric:
            crop = photometric(crop, generator)
        if generator.random() < chances.gray:
            crop = gray(crop)
        if generator.random() < chances.low_resolution:
            crop = low_resolution(crop, generator)
        if generator.random() < chances.jpeg_noise:
            crop = jpeg_noise(crop, generator)
        if generator.random() < chances.misalign:
            return _misalign_both(crop, clear, generator)
        return Augmented(crop, clear)

    def _occlude(self, crop: Pixels, generator: np.random.Generator) -> Pixels:
        drawn = generator.random()
        for occluder, chance in self._occluders():
            if drawn < chance:
                return occluder(crop, self.template, generator)[0]
            drawn -= chance
        return crop

    def _occluders(self) -> tuple[tuple[Occluder, float], ...]:
        chances = self.chances
        return (
            (sunglasses, chances.sunglasses),
            (face_mask, chances.face_mask),
            (squares, chances.squares),
            (blob, chances.blob),
        )


def _misalign_both(crop: Pixels, clear: Pixels, generator: np.random.Generator) -> Augmented:
    """Both misaligned alike."""
    to_source = _to_source(crop, generator)
    moved = _moved(crop, to_source)
    return Augmented(moved, moved if clear is crop else _moved(clear, to_source))


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


def _moved(crop: Pixels, to_source: Affine) -> Pixels:
    picture = pil.fromarray(crop)
    return np.array(picture.transform(picture.size, pil.Transform.AFFINE, to_source, pil.Resampling.BILINEAR))
