"""Curves of a test report as SVG, told apart without colour: by dashes, hatching and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from xcos.evaluation.figures import Figures
from xcos.types import Reals

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 64, 46, 14, 16
INK, SOFT, LINE = "#1a2026", "#606a74", "#ced4da"
STROKES = (("#0072b2", ""), ("#d55e00", "7 4"), ("#6e747a", "2 3"))
"""Okabe and Ito's blue and vermilion, gray; whole, dashed, dotted."""
HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<line x1="0" y1="0" x2="0" y2="6" stroke="{STROKES[0][0]}" stroke-width="1" opacity="0.55"/></pattern></defs>'
)


def det_chart(figures: Sequence[Figures], least: float) -> str:
    """FNMR against FMR on logarithmic axes; the 95 % band is that of the first matcher, where it is supported."""

    def x(rate: float) -> float:
        return LEFT + (1 - math.log10(max(rate, least)) / math.log10(least)) * (WIDTH - LEFT - RIGHT)

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - (1 - math.log10(max(rate, least)) / math.log10(least)) * (HEIGHT - BOTTOM - TOP)

    parts = [_frame("False match rate", "False non-match rate"), HATCH]
    for power in range(math.ceil(math.log10(least)), 1):
        rate = 10.0**power
        parts += [_tick(x(rate), HEIGHT - BOTTOM, f"1e{power}" if power else "1", across=True)]
        parts += [_tick(LEFT, y(rate), f"1e{power}" if power else "1", across=False)]
    band = figures[0].band
    if len(band) > 1:
        upper = [(x(rate), y(fnmr.high)) for rate, fnmr in band]
        lower = [(x(rate), y(fnmr.low)) for rate, fnmr in reversed(band)]
        parts.append(f'<polygon points="{_points(upper + lower)}" fill="url(#hatch)" stroke="none"/>')
    for each, (color, dashes) in zip(figures, STROKES, strict=False):
        curve = [(x(fmr), y(fnmr)) for fmr, fnmr in zip(*(side.tolist() for side in each.det), strict=True)]
        parts.append(_line(curve, color, dashes))
    return _svg(parts, "DET curve: false non-match rate against false match rate") + _key(figures)


def histogram_chart(figures: Figures) -> str:
    """Shares of mated (whole line, hatched) and non-mated (dashed) scores; hatched as :func:`det_chart` defines it."""
    most = max(float(figures.mated.max()), float(figures.non_mated.max()), 1e-9)
    low, high = float(figures.bins[0]), float(figures.bins[-1])

    def x(score: float) -> float:
        return LEFT + (score - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def outline(shares: Reals) -> list[tuple[float, float]]:
        middles = (figures.bins[1:] + figures.bins[:-1]) / 2
        floor = HEIGHT - BOTTOM
        curve = [
            (x(float(at)), floor - float(share) / most * (floor - TOP))
            for at, share in zip(middles, shares, strict=True)
        ]
        return [(curve[0][0], floor), *curve, (curve[-1][0], floor)]

    parts = [_frame("Score", "Share of the scores")]
    parts.append(f'<polygon points="{_points(outline(figures.mated))}" fill="url(#hatch)" stroke="none"/>')
    parts += [_line(outline(figures.mated), *STROKES[0]), _line(outline(figures.non_mated), *STROKES[1])]
    for score in np.linspace(low, high, 6):
        parts.append(_tick(x(float(score)), HEIGHT - BOTTOM, f"{score:.2f}", across=True))
    return _svg(parts, "Histogram of mated and non-mated scores")


def _frame(across: str, up: str) -> str:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    middle = TOP + height / 2
    return (
        f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" fill="none" stroke="{LINE}"/>'
        f'<text x="{LEFT + width / 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="{INK}">{across}</text>'
        f'<text x="14" y="{middle}" text-anchor="middle" fill="{INK}" transform="rotate(-90 14 {middle})">{up}</text>'
    )


def _tick(x: float, y: float, words: str, *, across: bool) -> str:
    if across:
        return (
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="{LINE}" stroke-width="0.5"/>'
            f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle" fill="{SOFT}">{words}</text>'
        )
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{LINE}" stroke-width="0.5"/>'
        f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{SOFT}">{words}</text>'
    )


def _line(points: Sequence[tuple[float, float]], color: str, dashes: str) -> str:
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{color}" stroke-width="1.8" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _svg(parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="12">{"".join(parts)}</svg>'
    )


def _key(figures: Sequence[Figures]) -> str:
    words = ("whole line, hatched band", "dashed", "dotted")
    told = [f"{how}: {escape(each.matcher)}" for each, how in zip(figures, words, strict=False)]
    return f'<p class="soft">{"; ".join(told)}</p>'
