"""Curves of a test report as SVG, told apart without colour: by dashes, markers, hatching and letters.

Colours are classes (``c0`` … ``c5``, ``ink``, ``soft``, ``line``) that the page defines, so that it may be light or
dark. Numbers along the axes have the class ``tick``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from xcos.evaluation.figures import Figures
from xcos.types import Reals

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 460, 320, 58, 42, 10, 12
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4", "4 2")
"""Of the matchers in their order, with the classes of colours ``c0`` to ``c5``; then from the beginning."""
HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line x1="0" y1="0" x2="0" y2="6" class="c0" stroke-width="1" opacity="0.6"/></pattern></defs>'
)
MARKS = ("M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-4,-4h8v8h-8z", "M0,-5l5,9h-10z", "M0,-5l5,5l-5,5l-5,-5z")
"""Circle, square, triangle, diamond, around the origin."""


def det_chart(figures: Sequence[Figures], non_mated: int, mated: int) -> str:
    """FNMR against FMR on logarithmic axes that end at half an error; marks stand at the operating points.

    The 95 % band is that of the first matcher, where it is supported.
    """
    across, up = (math.log10(0.5 / max(1, count)) for count in (non_mated, mated))

    def x(rate: float) -> float:
        return LEFT + (1 - math.log10(max(rate, 10**across)) / across) * (WIDTH - LEFT - RIGHT)

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - (1 - math.log10(max(rate, 10**up)) / up) * (HEIGHT - BOTTOM - TOP)

    parts = [HATCH, _frame("False match rate", "False non-match rate")]
    parts += [_tick(x(10.0**power), HEIGHT - BOTTOM, _power(power), across=True) for power in _powers(across)]
    parts += [_tick(LEFT, y(10.0**power), _power(power), across=False) for power in _powers(up)]
    least = max(10**across, 10**up)
    parts.append(f'<line x1="{x(least):.1f}" y1="{y(least):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}" class="line"/>')
    band = figures[0].band
    if len(band) > 1:
        upper = [(x(rate), y(fnmr.high)) for rate, fnmr in band]
        lower = [(x(rate), y(fnmr.low)) for rate, fnmr in reversed(band)]
        parts.append(f'<polygon points="{_points(upper + lower)}" fill="url(#hatch)"/>')
    for at, each in enumerate(figures):
        curve = [(x(fmr), y(fnmr)) for fmr, fnmr in zip(*(side.tolist() for side in each.det), strict=True)]
        parts.append(_line(curve, at))
    for at, each in enumerate(figures):
        rates = each.operating.measured.value, each.operating.fnmr.value
        parts.append(_mark(x(rates[0]), y(rates[1]), at))
    return _svg(parts, "DET curve: false non-match rate against false match rate")


def histogram_chart(figures: Figures) -> str:
    """Shares of mated (whole line, hatched) and non-mated (dashed) scores, and the operating point's threshold.

    Hatched as :func:`det_chart` defines it.
    """
    most = max(float(figures.mated.max()), float(figures.non_mated.max()), 1e-9)
    low, high = float(figures.bins[0]), float(figures.bins[-1])
    floor = HEIGHT - BOTTOM

    def x(score: float) -> float:
        return LEFT + (score - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def outline(shares: Reals) -> list[tuple[float, float]]:
        middles = (figures.bins[1:] + figures.bins[:-1]) / 2
        curve = [
            (x(float(at)), floor - float(share) / most * (floor - TOP))
            for at, share in zip(middles, shares, strict=True)
        ]
        return [(curve[0][0], floor), *curve, (curve[-1][0], floor)]

    parts = [_frame("Score", "Share of the scores")]
    for score in np.linspace(low, high, 6):
        parts.append(_tick(x(float(score)), floor, f"{score:.2f}", across=True))
    parts.append(f'<polygon points="{_points(outline(figures.mated))}" fill="url(#hatch)"/>')
    parts += [_line(outline(figures.mated), 0), _line(outline(figures.non_mated), 1)]
    at = figures.operating.threshold
    if low <= at <= high:
        parts.append(
            f'<line x1="{x(at):.1f}" y1="{TOP}" x2="{x(at):.1f}" y2="{floor}" class="ink" stroke-width="1.6"/>'
        )
        side = "end" if x(at) > WIDTH / 2 else "start"
        shift = -5 if side == "end" else 5
        parts.append(f'<text x="{x(at) + shift:.1f}" y="{TOP + 13}" text-anchor="{side}">threshold</text>')
    return _svg(parts, "Histogram of mated and non-mated scores")


def swatch(at: int) -> str:
    """The line and the mark of the matcher at this place."""
    shown = f'<line x1="1" y1="8" x2="43" y2="8" {_stroke(at)}/>{_mark(22, 8, at)}'
    return f'<svg class="swatch" viewBox="0 0 44 16" width="44" height="16" aria-hidden="true">{shown}</svg>'


def _powers(least: float) -> range:
    """Powers of ten on an axis; every other one where there are many."""
    first = math.ceil(least)
    return range(0, first - 1, -1 if first > -6 else -2)


def _power(power: int) -> str:
    return f"1e{power}" if power else "1"


def _frame(across: str, up: str) -> str:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    middle = TOP + height / 2
    return (
        f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" class="line"/>'
        f'<text x="{LEFT + width / 2}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>'
        f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">{up}</text>'
    )


def _tick(x: float, y: float, words: str, *, across: bool) -> str:
    if across:
        return (
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" class="line" stroke-width="0.5"/>'
            f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle" class="tick">{words}</text>'
        )
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="line" stroke-width="0.5"/>'
        f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end" class="tick">{words}</text>'
    )


def _stroke(at: int) -> str:
    return f'class="c{at % len(DASHES)}" stroke-width="1.8" stroke-dasharray="{DASHES[at % len(DASHES)]}"'


def _line(points: Sequence[tuple[float, float]], at: int) -> str:
    return f'<polyline points="{_points(points)}" {_stroke(at)}/>'


def _mark(x: float, y: float, at: int) -> str:
    shape = MARKS[at % len(MARKS)]
    return f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" class="c{at % len(DASHES)} mark"/>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _svg(parts: Sequence[str], title: str) -> str:
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
    return f'<svg class="chart" {box}>{"".join(parts)}</svg>'
