"""An explanation as one picture: both crops, both maps over them, and what they must be read with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.canvas import INK, LINE, PAPER, SOFT, Canvas
from xcos.explainers.about import about
from xcos.explainers.explanation import Explanation
from xcos.explainers.smoothing import smoothed
from xcos.explainers.transport import CellFlow
from xcos.types import AlignedFace, Maps, Pixels, Reals

WIDTH, MARGIN, PANEL, GAP, TOP = 1180.0, 28.0, 266.0, 20.0, 104.0
FOR, AGAINST = (84, 39, 136), (179, 88, 6)  # the ends of ColorBrewer's PuOr, told apart with any colour vision
STRONGEST = 0.8  # how much of its colour the largest value gets over the gray photo
LEVEL = 0.5  # of the largest value: outlines of maps with both signs
HATCHED = 0.15  # of the largest value: from here on what speaks against is hatched
MOVES = 12
CALM = 0.01  # of the side: maps are drawn smoothed by this, so that what goes up and down by the pixel can be seen
Area = NDArray[np.bool_]


def explanation_picture(
    found: Explanation,
    probe: AlignedFace,
    reference: AlignedFace,
    *,
    matcher: str,
    flow: CellFlow | None = None,
    hidden: tuple[Pixels, Pixels] | None = None,
    sentences: Sequence[str] = (),
    table: Sequence[Sequence[str]] = (),
    scale: float = 2.0,
) -> Pixels:
    """Crops in the middle, maps over the gray crops beside them, one scale for both; (H, W, 3) RGB.

    Purple within a solid outline speaks for one person, orange, hatched, within a dashed outline against, so that the
    map can be read without colour; outlines stand at half of the largest value, in maps without values below 0 halfway
    between the least and the largest. ``matcher`` is the name of what was explained. Of a ``flow`` the strongest moves
    to another cell are drawn from crop to crop; None draws nothing. ``hidden`` are crops that stand in the middle
    instead of the untouched ones. ``sentences`` and the rows of a ``table``, its head first, stand below the maps.
    """
    told = [line for sentence in sentences for line in _wrapped(Canvas(WIDTH, 1, scale), sentence, 14)]
    caveat, settings = _footer_lines(found, flow, scale)
    words = TOP + PANEL + 74
    rows = words + 20 * len(told) + (8 if told and table else 0)
    footer = rows + 18 * len(table) + (26 if told or table else 0)
    canvas = Canvas(WIDTH, footer + 20 * len(caveat) + 17 * len(settings) + 8, scale)
    _headline(canvas, found, matcher)
    maps = [_calm(values) for values in (found.probe, found.reference)]
    scales = _Scales.of(*maps)
    across = [MARGIN + index * (PANEL + GAP) for index in range(4)]
    _panel(canvas, across[0], "Probe, explained", _overlay(probe.crop, maps[0], scales, scale))
    shown, what = (hidden, ", cells hidden") if hidden else ((probe.crop, reference.crop), "")
    _panel(canvas, across[1], f"Probe{what}", shown[0])
    _panel(canvas, across[2], f"Reference{what}", shown[1])
    _panel(canvas, across[3], "Reference, explained", _overlay(reference.crop, maps[1], scales, scale))
    if flow is not None:
        _moves(canvas, flow, (across[1], across[2]))
    _bar(canvas, scales, scale)
    for row, line in enumerate(told):
        canvas.text(MARGIN, words + 4 + 20 * row, line, 14)
    _table(canvas, table, rows)
    for y in {words, footer}:
        canvas.line([(MARGIN, y - 16), (WIDTH - MARGIN, y - 16)], LINE)
    for row, line in enumerate(caveat):
        canvas.text(MARGIN, footer + 4 + 20 * row, line, 14)
    for row, line in enumerate(settings):
        canvas.text(MARGIN, footer + 8 + 20 * len(caveat) + 17 * row, line, 12, SOFT)
    return canvas.pixels()


@dataclass(frozen=True)
class _Scales:
    """What both maps of an explanation are measured by, as they are drawn."""

    most: float
    """Largest absolute value, or 1 where all is 0."""
    signed: bool
    level: float
    """Of ``most``: where outlines stand."""

    @classmethod
    def of(cls, *maps: Maps) -> _Scales:
        both = np.concatenate([each.ravel() for each in maps])
        low, most = float(both.min()), float(np.abs(both).max()) or 1.0
        return cls(most, low < 0, LEVEL if low < 0 else (low + most) / 2 / most)


def _headline(canvas: Canvas, found: Explanation, matcher: str) -> None:
    canvas.text(MARGIN, 44, about(found.method).title, 24)
    canvas.text(WIDTH - MARGIN, 44, f"score {found.score:.4f}", 24, anchor="rs")
    backward = f" and {found.cost.backward:,} backward" if found.cost.backward else ""
    cost = f"{found.cost.forward:,} passes forward{backward} through the network"
    canvas.text(MARGIN, 66, f"method {found.method} · {cost} · {matcher}", 12.5, SOFT)


def _panel(canvas: Canvas, x: float, title: str, pixels: Pixels) -> None:
    canvas.text(x, TOP - 8, title, 14)
    canvas.image(x, TOP, PANEL, PANEL, pixels)


def overlays(probe: Pixels, reference: Pixels, maps: tuple[Maps, Maps], *, size: int) -> tuple[Pixels, Pixels]:
    """Two crops under the maps of an explanation as in the picture, ``(size, size, 3)`` each, with nothing around."""
    scales, scale = _Scales.of(*maps), size / PANEL
    one, other = (_overlay(crop, map_, scales, scale) for crop, map_ in zip((probe, reference), maps, strict=True))
    return one, other


def _overlay(crop: Pixels, values: Maps, scales: _Scales, scale: float) -> Pixels:
    """The map over the gray crop, as large as its panel."""
    size = round(PANEL * scale)
    gray = _enlarged(crop.astype(np.float64) @ np.array([0.299, 0.587, 0.114]), size)
    shares = _enlarged(values / scales.most, size)
    picture = _colored(gray, shares)
    _hatch(picture, shares < -HATCHED, scale)
    _outline(picture, shares >= scales.level, scale, dashed=False)
    _outline(picture, shares <= -scales.level, scale, dashed=True)
    return np.rint(picture).astype(np.uint8)


def _calm(values: Maps) -> Maps:
    """The map as it is drawn."""
    return smoothed(values, CALM * max(values.shape))


def _enlarged(values: Reals, size: int) -> Reals:
    from PIL import Image as pil

    picture = pil.fromarray(values.astype(np.float32)).resize((size, size), pil.Resampling.BILINEAR)
    return np.asarray(picture, np.float64)


def _colored(gray: Reals, shares: Reals) -> Reals:
    """(H, W, 3): gray where the share is 0, ever more of the sign's colour towards ±1."""
    amount = (STRONGEST * np.abs(shares))[..., None]
    tone = np.where((shares >= 0)[..., None], np.array(FOR, float), np.array(AGAINST, float))
    colored: Reals = gray[..., None] * (1 - amount) + tone * amount
    return colored


def _hatch(picture: Reals, area: Area, scale: float) -> None:
    """Thin light diagonals."""
    rows, cols = np.mgrid[: area.shape[0], : area.shape[1]]
    lines = area & ((rows + cols) % max(3, round(7 * scale)) < max(1, round(1.1 * scale)))
    picture[lines] = 0.35 * picture[lines] + 0.65 * 255


def _outline(picture: Reals, area: Area, scale: float, *, dashed: bool) -> None:
    """A dark line with a light rim along the border of the area."""
    edge = np.zeros_like(area)
    edge[:, 1:] |= area[:, 1:] != area[:, :-1]
    edge[1:] |= area[1:] != area[:-1]
    reach = int(0.6 * scale)
    picture[_thick(edge, reach + max(1, round(0.7 * scale)))] = PAPER
    line = _thick(edge, reach)
    if dashed:
        rows, cols = np.mgrid[: area.shape[0], : area.shape[1]]
        length = max(2, round(5 * scale))
        line &= ((rows // length) + (cols // length)) % 2 == 0
    picture[line] = INK


def _thick(edge: Area, reach: int) -> Area:
    """Everything within ``reach`` pixels of the edge, in a square."""
    thick = edge.copy()
    for shift in range(1, reach + 1):
        thick[:, shift:] |= edge[:, :-shift]
        thick[:, :-shift] |= edge[:, shift:]
    tall = thick.copy()
    for shift in range(1, reach + 1):
        tall[shift:] |= thick[:-shift]
        tall[:-shift] |= thick[shift:]
    return tall


def _moves(canvas: Canvas, flow: CellFlow, across: tuple[float, float]) -> None:
    """From a dot in one cell to a dot in another, the wider the more mass; those of a cell stand a little apart."""
    moves = flow.strongest(MOVES, leaving=True)
    most = max((move.mass for move in moves), default=1.0)
    for index, move in enumerate(moves):
        grids = zip(across, (move.source, move.target), (flow.plan.shape[:2], flow.plan.shape[2:]), strict=True)
        ends = [
            (x + (col + 0.5) * PANEL / cols, TOP + (row + 0.5 + ((index % 5) - 2) / 9) * PANEL / rows)
            for x, (row, col), (rows, cols) in grids
        ]
        for color, rim in ((PAPER, 1.6), (INK, 0.0)):
            canvas.line(ends, color, 0.6 + 1.6 * move.mass / most + rim)
            for end in ends:
                canvas.dot(*end, 2.6 + rim / 2, color)


def _bar(canvas: Canvas, scales: _Scales, scale: float) -> None:
    """The scale of both maps, coloured and hatched as they are."""
    signed, level = scales.signed, scales.level
    left, width, y = MARGIN, WIDTH - 2 * MARGIN, TOP + PANEL + 16
    strip = np.tile(np.linspace(-1.0 if signed else 0.0, 1.0, round(width * scale)), (round(12 * scale), 1))
    picture = _colored(np.full(strip.shape, 235.0), strip)
    _hatch(picture, strip < -HATCHED, scale)
    canvas.image(left, y, width, 12, np.rint(picture).astype(np.uint8))
    canvas.box(left, y, width, 12, None, LINE)
    end = f"for one person {scales.most:+.3g}"
    last = left + width - canvas.text_width(end, 12) - 16
    ticks = [(0.0, "0, no matter"), (level, f"{level * scales.most:+.3g}, solid outline"), (1.0, end)]
    if signed:
        ticks += [(-1.0, f"{-scales.most:+.3g} against"), (-level, f"{-level * scales.most:+.3g}, dashed outline")]
    for share, words in ticks:
        x = left + width * ((share + 1) / 2 if signed else share)
        canvas.line([(x, y), (x, y + 15)], INK)
        half = canvas.text_width(words, 12) / 2
        middle = max(left + half, x) if words != end else left + width - half
        canvas.text(middle if words == end else min(middle, last - half), y + 28, words, 12, SOFT, "ms")


def _table(canvas: Canvas, table: Sequence[Sequence[str]], top: float) -> None:
    """Rows of words, the first column from the left margin, the others right-aligned."""
    for at, row in enumerate(table):
        y, color = top + 4 + 18 * at, INK if at else SOFT
        for column, word in enumerate(row):
            anchor = "rs" if column else "ls"
            x = MARGIN + 140 + column * (WIDTH - 2 * MARGIN - 140) / (len(row) - 1) if column else MARGIN
            canvas.text(x, y, word, 13, color, anchor)


def _footer_lines(found: Explanation, flow: CellFlow | None, scale: float) -> tuple[list[str], list[str]]:
    """The caveat, and the settings with a word on the flow, in lines that fit between the margins."""
    ruler = Canvas(WIDTH, 1, scale)
    told = ", ".join(f"{name} {_short(value)}" for name, value in found.settings.items())
    words = f"Settings: {told or 'none'}. Maps are drawn smoothed by {CALM:.0%} of the side."
    if flow is not None:
        words += f" Lines: the {MOVES} strongest moves to another cell; {flow.staying:.0%} of the mass stays in place."
    return _wrapped(ruler, about(found.method).caveat, 14), _wrapped(ruler, words, 12)


def _short(value: str | int | float | bool) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _wrapped(canvas: Canvas, words: str, size: float) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if canvas.text_width(longer, size) > WIDTH - 2 * MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
