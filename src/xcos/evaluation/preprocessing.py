"""How a network's crops are made and fed, as a value, and the ways in which others do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.types import CropTemplate, Reals
from xcos.weights import WeightCard

Color = Literal["rgb", "bgr"]
Aspect = Literal["crop", "color", "range", "mirror"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
ZOOM = 0.05
SAME_POINTS = 0.25
"""Templates whose points lie nearer to each other than so many pixels cut the same crop."""


@dataclass(frozen=True)
class PixelRange:
    """The network is fed (pixel − mean) · scale."""

    mean: tuple[float, float, float]
    """Of red, green and blue, in whatever order the network wants them."""
    scale: float

    def __str__(self) -> str:
        same = len(set(self.mean)) == 1
        mean = f"{self.mean[0]:g}" if same else f"({', '.join(f'{each:g}' for each in self.mean)})"
        numerator = "x" if mean == "0" else f"(x − {mean})"
        if self.scale == 1:
            return numerator
        return f"{numerator} / {1 / self.scale:.4g}" if abs(self.scale) < 1 else f"{numerator} · {self.scale:.4g}"


RANGES = (
    PixelRange((127.5,) * 3, 1 / 127.5),
    PixelRange((127.5,) * 3, 1 / 128),
    PixelRange((0.0,) * 3, 1.0),
    PixelRange((0.0,) * 3, 1 / 255),
    # ImageNet's, as torchvision has them times 255; a card has one scale, so the mean of the three deviations
    PixelRange((123.675, 116.28, 103.53), 1 / 57.63),
)


@dataclass(frozen=True, eq=False)
class Setting:
    """All that is between a photo with a known face and the network."""

    template: CropTemplate
    color: Color
    range: PixelRange
    mirror: bool = False
    """Whether the vector is the sum of the crop's and its mirror image's."""

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """What goes through the network."""
        once = Feed(self.template, self.color, self.range)
        return (once, replace(once, mirrored=True)) if self.mirror else (once,)

    def told(self, aspect: Aspect) -> str:
        """One aspect in words."""
        if aspect == "crop":
            return self.template.name
        if aspect == "color":
            return self.color.upper()
        if aspect == "range":
            return str(self.range)
        return "averaged with the mirror image" if self.mirror else "no mirror image"

    def changed(self, aspect: Aspect, other: Setting) -> Setting:
        """This setting with one aspect of another."""
        if aspect == "crop":
            return replace(self, template=other.template)
        if aspect == "color":
            return replace(self, color=other.color)
        return replace(self, range=other.range) if aspect == "range" else replace(self, mirror=other.mirror)

    def card(self, card: WeightCard) -> WeightCard:
        """The card that declares this setting; of mirror images cards do not speak."""
        return self.feeds[0].card(card)


@dataclass(frozen=True, eq=False)
class Feed:
    """One way of giving a face to the network."""

    template: CropTemplate
    color: Color
    range: PixelRange
    mirrored: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for what is fed equally."""
        cut = self.template
        return cut.width, cut.height, cut.points.tobytes(), self.color, self.range, self.mirrored

    def card(self, card: WeightCard) -> WeightCard:
        """The card of a network that is to be fed so."""
        mean = self.range.mean if self.color == "rgb" else self.range.mean[::-1]
        return replace(card, template=self.template, color=self.color, mean=mean, scale=self.range.scale)


@dataclass(frozen=True, eq=False)
class Alternative:
    """A setting that differs from another one in one aspect."""

    aspect: Aspect
    setting: Setting

    @property
    def told(self) -> str:
        """What is different, in words."""
        return self.setting.told(self.aspect)


def declared(card: WeightCard) -> Setting:
    """The setting of a card."""
    red, green, blue = card.mean if card.color == "rgb" else card.mean[::-1]
    return Setting(card.template, card.color, PixelRange((red, green, blue), card.scale))


def alternatives(setting: Setting, aspects: Sequence[Aspect] = ASPECTS) -> list[Alternative]:
    """Other ways, one change at a time, of what a card or a program can get wrong.

    * crop: templates of :func:`templates_for`;
    * color: the other order, each colour keeping its mean;
    * range: those of :data:`RANGES`;
    * mirror: with the mirror image, or without.
    """
    others: dict[Aspect, list[Setting]] = {
        "crop": [replace(setting, template=each) for each in templates_for(setting.template)],
        "color": [replace(setting, color="bgr" if setting.color == "rgb" else "rgb")],
        "range": [replace(setting, range=each) for each in RANGES if not _same_range(each, setting.range)],
        "mirror": [replace(setting, mirror=not setting.mirror)],
    }
    return [Alternative(aspect, each) for aspect in ASPECTS if aspect in aspects for each in others[aspect]]


def templates_for(declared: CropTemplate) -> list[CropTemplate]:
    """Other crops of the same size: published templates fitted into it, and the declared one 5 % tighter and looser.

    Those of :data:`xcos.alignment.ARCFACE_112` fitted to the height (for 96 × 112 these are the published points of
    the 96 columns) and to the width; the same 8 columns aside, which is what remains of mixing up the points of the 96
    and of the 112 columns; :data:`xcos.alignment.DLIB_150` fitted to the height. Those that cut the same crop as the
    declared one, or as one before them, are left out.
    """
    width, height = declared.width, declared.height
    size = f"{width} × {height}"
    side = -8 if width >= height else 8
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    arcface = _fitted(ARCFACE_112, width, height, height / ARCFACE_112.height)
    zoomed = [(declared.points - center) * factor + center for factor in (1 + ZOOM, 1 - ZOOM)]
    offered = [
        (f"arcface_112 in {size}", arcface),
        (
            f"arcface_112 in {size}, fitted to the width",
            _fitted(ARCFACE_112, width, height, width / ARCFACE_112.width),
        ),
        (
            f"arcface_112 in {size}, {abs(side)} columns to the {'left' if side < 0 else 'right'}",
            arcface + np.array([side * height / ARCFACE_112.height, 0]),
        ),
        (f"dlib_150 in {size}", _fitted(DLIB_150, width, height, height / DLIB_150.height)),
        (f"{declared.name}, 5 % tighter", zoomed[0]),
        (f"{declared.name}, 5 % looser", zoomed[1]),
    ]
    different = [declared]
    for name, points in offered:
        if all(np.abs(points - each.points).max() > SAME_POINTS for each in different):
            different.append(_known(CropTemplate(name, width, height, points)))
    return different[1:]


def _fitted(template: CropTemplate, width: int, height: int, factor: float) -> Reals:
    """Points of a template enlarged by ``factor`` about its middle, which becomes that of ``width`` × ``height``."""
    middle = np.array([template.width - 1, template.height - 1]) / 2
    fitted: Reals = (template.points - middle) * factor + np.array([width - 1, height - 1]) / 2
    return fitted.round(4)  # as published points are given


def _known(template: CropTemplate) -> CropTemplate:
    """The template by its published name where it is one."""
    for each in (ARCFACE_112, DLIB_150):
        same_size = (each.width, each.height) == (template.width, template.height)
        if same_size and np.abs(each.points - template.points).max() < 1e-6:
            return each
    return template


def _same_range(one: PixelRange, other: PixelRange) -> bool:
    return bool(np.allclose([*one.mean, one.scale], [*other.mean, other.scale], rtol=1e-6, atol=1e-9))
