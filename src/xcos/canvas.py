"""What pictures are drawn with: a canvas whose coordinates do not depend on the resolution, and colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xcos.errors import MissingPackage
from xcos.types import Pixels

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Color = tuple[int, int, int]
Shade = Callable[[float], Color]

INK, SOFT, LINE, PAPER, BLACK = (26, 32, 38), (96, 106, 116), (206, 212, 218), (255, 255, 255), (0, 0, 0)
GRID = (235, 238, 240)
# Okabe and Ito's palette: told apart by people with any of the common colour vision deficiencies.
BLUE, ORANGE, GRAY = (0, 114, 178), (213, 94, 0), (110, 116, 122)
SOFT_BLUE, SOFT_ORANGE = (204, 227, 240), (248, 223, 204)
# ColorBrewer's PuOr (orange to purple, for values about a middle), Blues and Greens (for amounts).
ORANGE_TO_PURPLE = ("b35806", "e08214", "fdb863", "fee0b6", "f7f7f7", "d8daeb", "b2abd2", "8073ac", "542788")
BLUES = ("f7fbff", "deebf7", "c6dbef", "9ecae1", "6baed6", "4292c6", "2171b5", "08519c", "08306b")
GREENS = ("f7fcf5", "e5f5e0", "c7e9c0", "a1d99b", "74c476", "41ab5d", "238b45", "006d2c", "00441b")


class Canvas:
    """Pillow with coordinates that do not depend on the resolution: units of ``scale`` pixels."""

    def __init__(self, width: float, height: float, scale: float) -> None:
        from PIL import Image as pil
        from PIL import ImageDraw

        self._pil, self._scale = pil, scale
        self._picture = pil.new("RGB", (round(width * scale), round(height * scale)), PAPER)
        self._draw = ImageDraw.Draw(self._picture)
        self._fonts: dict[float, FreeTypeFont] = {}

    def pixels(self) -> Pixels:
        """What was drawn, (H, W, 3) RGB."""
        return np.asarray(self._picture)

    def text(self, x: float, y: float, words: str, size: float = 13, color: Color = INK, anchor: str = "ls") -> None:
        """Words in one line at (x, y), which is the point ``anchor`` names as Pillow does."""
        self._draw.text(self._at(x, y), _drawable(words), fill=color, font=self._font(size), anchor=anchor)

    def text_width(self, words: str, size: float) -> float:
        """How many units the words take."""
        return self._draw.textlength(_drawable(words), font=self._font(size)) / self._scale

    def box(
        self, x: float, y: float, width: float, height: float, fill: Color | None, edge: Color | None = None
    ) -> None:
        """A rectangle, filled or with an edge of one unit."""
        (left, top), (right, bottom) = self._at(x, y), self._at(x + width, y + height)
        self._draw.rectangle((left, top, right - 1, bottom - 1), fill=fill, outline=edge, width=self._line(1))

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: float = 1) -> None:
        """A line through the points."""
        self._draw.line([self._at(*point) for point in points], fill=color, width=self._line(width))

    def dot(self, x: float, y: float, radius: float, fill: Color) -> None:
        """A filled circle."""
        self._draw.circle(self._at(x, y), radius * self._scale, fill=fill)

    def area(self, points: Sequence[tuple[float, float]], fill: Color) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(*point) for point in points], fill=fill)

    def image(self, x: float, y: float, width: float, height: float, pixels: Pixels) -> None:
        """``pixels`` stretched to the rectangle."""
        size = (round(width * self._scale), round(height * self._scale))
        picture = self._pil.fromarray(np.ascontiguousarray(pixels)).resize(size, self._pil.Resampling.BICUBIC)
        left, top = self._at(x, y)
        self._picture.paste(picture, (round(left), round(top)))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self._scale, y * self._scale

    def _line(self, width: float) -> int:
        return max(1, round(width * self._scale))

    def _font(self, size: float) -> FreeTypeFont:
        if size not in self._fonts:
            from PIL import ImageFont

            font = ImageFont.load_default(size * self._scale)
            if isinstance(font, ImageFont.ImageFont):
                raise MissingPackage("Pillow was built without FreeType, which drawing needs; install its wheel")
            self._fonts[size] = font
        return self._fonts[size]


def _drawable(words: str) -> str:
    """Pillow's own font has the printable ASCII characters and few others; what it lacks becomes a question mark."""
    return "".join(char if " " <= char <= "~" or char in "·…°" else "?" for char in words)


def sequential(stops: Sequence[str], low: float, high: float) -> Shade:
    """The first colour at ``low``, the last at ``high``."""
    return lambda value: _blend(stops, (value - low) / (high - low) if high > low else 0.0)


def diverging(low: float, middle: float, high: float) -> Shade:
    """Orange below ``middle``, near white at it, purple above."""

    def shade(value: float) -> Color:
        below = 0.5 * (value - low) / (middle - low) if middle > low else 0.5
        above = 0.5 + 0.5 * (value - middle) / (high - middle) if high > middle else 0.5
        return _blend(ORANGE_TO_PURPLE, below if value < middle else above)

    return shade


def _blend(stops: Sequence[str], share: float) -> Color:
    at = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(at), len(stops) - 2)
    first, second = (np.array(list(bytes.fromhex(stop)), float) for stop in stops[index : index + 2])
    red, green, blue = np.rint(first + (second - first) * (at - index)).astype(int).tolist()
    return red, green, blue


def readable_on(color: Color) -> Color:
    """Black or white, whichever has the greater contrast: at least 4.58 : 1 on any colour (WCAG 2.2)."""
    parts = [value / 255 for value in color]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else PAPER
