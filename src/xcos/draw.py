"""A result as one picture; computes nothing that the result does not hold, saves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xcos.canvas import (
    BLUE,
    BLUES,
    GRAY,
    GREENS,
    GRID,
    INK,
    LINE,
    ORANGE,
    PAPER,
    SOFT,
    SOFT_BLUE,
    SOFT_ORANGE,
    Canvas,
    Color,
    Shade,
    diverging,
    readable_on,
    sequential,
)
from xcos.types import Comparison, Maps, Pixels, Reals, Sample

if TYPE_CHECKING:
    from xcos.verification import Verification

OUTCOMES: dict[str, tuple[str, Color]] = {
    "match": ("MATCH", BLUE),
    "non_match": ("NON-MATCH", ORANGE),
    "inconclusive": ("INCONCLUSIVE", GRAY),
}
WIDTH, HEIGHT, MARGIN, PANEL, GAP = 1180, 660, 28, 208, 21


def evidence_picture(result: Verification, *, scale: float = 2.0) -> Pixels:
    """Crops with the grid, the three maps with a colour bar each, and the score among the calibration's scores.

    (H, W, 3) RGB, ``1180 · scale`` pixels wide.
    """
    canvas = Canvas(WIDTH, HEIGHT, scale)
    _headline(canvas, result)
    top = 138
    comparison, threshold = result.comparison, result.decision.threshold.value
    across = [MARGIN + index * (PANEL + GAP) for index in range(5)]
    cells = comparison.similarity.shape
    _crop(canvas, across[0], top, "Probe", result.probe, cells)
    _crop(canvas, across[1], top, "Reference", result.reference, cells)
    for x, view in zip(across[2:], map_views(comparison, threshold), strict=True):
        _map(canvas, x, top, view)
    _score_scale(canvas, result, top + PANEL + 94)
    _footer(canvas, result)
    return canvas.pixels()


def candidate_picture(
    probe: Sample,
    comparison: Comparison,
    *,
    title: str,
    subtitle: str,
    threshold: float | None,
    difference: Maps | None = None,
    scale: float = 2.0,
) -> Pixels:
    """The probe's crop and the maps of its comparison with a candidate, whose photo nobody has.

    ``difference`` is how much more each cell adds for this candidate than for another; it adds up to the difference of
    the scores. Without a ``threshold`` colours change at a similarity of 0. (H, W, 3) RGB.
    """
    canvas = Canvas(WIDTH, 370, scale)
    canvas.text(MARGIN, 38, _fitted(canvas, title, size=19), 19)
    canvas.text(MARGIN, 60, _fitted(canvas, subtitle), 13, SOFT)
    across = [MARGIN + index * (PANEL + GAP) for index in range(5)]
    _crop(canvas, across[0], 106, "Probe", probe, comparison.similarity.shape)
    for x, view in zip(across[1:4], map_views(comparison, threshold), strict=True):
        _map(canvas, x, 106, view)
    if difference is not None:
        most = float(np.abs(difference).max()) or 1e-9
        ticks = ((-most, f"{-most:.3f}"), (0.0, "0"), (most, f"{most:.3f}"))
        words = f"Ahead of the next: {difference.sum():+.4f}"
        _map(canvas, across[4], 106, MapView(words, difference, diverging(-most, 0.0, most), ticks))
    return canvas.pixels()


@dataclass(frozen=True, eq=False)
class MapView:
    """One map of a comparison and how it is coloured."""

    title: str
    values: Maps
    shade: Shade
    ticks: tuple[tuple[float, str], ...]
    """Values and words along the colour bar."""


def map_views(comparison: Comparison, threshold: float | None) -> tuple[MapView, MapView, MapView]:
    """Similarity, whose colours change at what the ``threshold`` asks of a cell (None: 0), attention, contribution."""
    asked = 0.0 if threshold is None else asked_of_cells(comparison, threshold)
    low = min(-1 + 2 * asked, float(comparison.similarity.min()))
    most = float(comparison.attention.max())
    least, largest = min(0.0, float(comparison.contribution.min())), max(0.0, float(comparison.contribution.max()))
    return (
        MapView(
            "Similarity of each cell",
            comparison.similarity,
            diverging(low, asked, 1.0),
            ((low, f"{low:.2f}"), (asked, "0" if threshold is None else f"{asked:.2f} threshold"), (1.0, "1")),
        ),
        MapView(
            "Attention: weight of each cell",
            comparison.attention,
            sequential(BLUES, 0, most),
            ((0, "0"), (most, f"{most:.3f}")),
        ),
        MapView(
            f"Contribution: sums to {comparison.score:.4f}",
            comparison.contribution,
            sequential(GREENS, least, largest),
            ((least, f"{least:.3f}" if least else "0"), (largest, f"{largest:.3f}")),
        ),
    )


def asked_of_cells(comparison: Comparison, threshold: float) -> float:
    """The similarity that the threshold asks of each cell, so that colours change where a cell's support does."""
    return threshold / (float(comparison.attention.sum()) or 1.0)


def _headline(canvas: Canvas, result: Verification) -> None:
    decision, threshold = result.decision, result.decision.threshold
    label, color = OUTCOMES[decision.outcome]
    width = canvas.text_width(label, 24) + 36
    canvas.box(MARGIN, 24, width, 44, color)
    canvas.text(MARGIN + width / 2, 46, label, 24, PAPER, "mm")
    side = "at or above" if decision.score >= threshold.value else "below"
    canvas.text(MARGIN + width + 20, 44, f"Score {decision.score:.4f}, {side} the threshold {threshold.value:.4f}", 19)
    canvas.text(
        MARGIN + width + 20,
        66,
        f"Threshold for a false match rate of {threshold.fmr:g}; measured {threshold.fmr_low:.2g} to "
        f"{threshold.fmr_high:.2g} (95 %). Log-likelihood ratio {decision.llr:+.2f}.",
        13,
        SOFT,
    )
    for row, words in enumerate(_doubts(canvas, result)):
        canvas.text(MARGIN, 92 + 18 * row, words, 13, INK)


def _doubts(canvas: Canvas, result: Verification) -> list[str]:
    """The reasons in at most two lines; what does not fit is counted, and stands in the report."""
    messages = [reason.message for reason in result.decision.reasons]
    lines = [_fitted(canvas, message) for message in messages[:2]]
    if len(messages) > 2:
        lines[1] = _fitted(canvas, messages[1], f" (and {len(messages) - 2} more reasons)")
    return lines


def _fitted(canvas: Canvas, words: str, end: str = "", size: float = 13) -> str:
    """``words`` and ``end`` in one line; where they are too long, ``words`` are cut."""
    while canvas.text_width(words + end, size) > WIDTH - 2 * MARGIN:
        words = words[:-5].rstrip() + " …"
    return words + end


def _crop(canvas: Canvas, x: float, y: float, title: str, sample: Sample, cells: tuple[int, ...]) -> None:
    """The crop in the square of the maps beside it, so that cells line up; one that is not square is stretched."""
    canvas.text(x, y - 8, title, 14)
    canvas.image(x, y, PANEL, PANEL, sample.face.crop)
    rows, cols = cells
    for index in range(1, cols):
        at = x + index * PANEL / cols
        canvas.line([(at, y), (at, y + PANEL)], GRID, 0.5)
    for index in range(1, rows):
        at = y + index * PANEL / rows
        canvas.line([(x, at), (x + PANEL, at)], GRID, 0.5)
    canvas.text(x, y + PANEL + 18, f"photo of {sample.photo_size[0]} by {sample.photo_size[1]} pixels", 11.5, SOFT)
    quality = sample.quality
    canvas.text(
        x, y + PANEL + 34, f"eyes {quality.inter_eye:.0f} px apart, sharpness {quality.sharpness:.2f}", 11.5, SOFT
    )


def _map(canvas: Canvas, x: float, y: float, view: MapView) -> None:
    canvas.text(x, y - 8, view.title, 14)
    rows, cols = view.values.shape
    tall, wide = PANEL / rows, PANEL / cols
    size = number_size(rows, cols)
    for (row, col), value in np.ndenumerate(view.values):
        color = view.shade(float(value))
        canvas.box(x + col * wide, y + row * tall, wide, tall, color)
        if size:
            middle = x + (col + 0.5) * wide, y + (row + 0.5) * tall
            canvas.text(*middle, cell_text(float(value)), size, readable_on(color), "mm")
    canvas.box(x, y, PANEL, PANEL, None, LINE)
    _color_bar(canvas, x, y + PANEL + 8, view.shade, view.ticks)


def number_size(rows: int, cols: int) -> float:
    """Size of a cell's number where a map is :data:`PANEL` wide; 0 where it would be too small to be read."""
    size = min(13.0, PANEL / cols / 3.4, PANEL / rows * 0.8)
    return size if size >= 6 else 0.0


def cell_text(value: float) -> str:
    """A number short enough for a cell: two digits, three below 0.1, without the 0 before the point."""
    text = f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and value != 0 else text


def _color_bar(canvas: Canvas, x: float, y: float, shade: Shade, ticks: Sequence[tuple[float, str]]) -> None:
    """Ticks at even distances, so that no label covers another; linear between them."""
    values = [value for value, _ in ticks]
    shares = np.linspace(0, 1, len(ticks))
    steps = 104
    for step in range(steps):
        value = float(np.interp((step + 0.5) / steps, shares, values))
        canvas.box(x + step * PANEL / steps, y, PANEL / steps + 0.5, 9, shade(value))
    canvas.box(x, y, PANEL, 9, None, LINE)
    for share, (value, words) in zip(shares, ticks, strict=True):
        if share > 0 and value == values[0]:
            continue  # a map without any difference has one tick
        anchor = "ls" if share == 0 else "rs" if share == 1 else "ms"
        canvas.text(x + share * PANEL, y + 23, words, 11.5, SOFT, anchor)
        if 0 < share < 1:
            canvas.line([(x + share * PANEL, y), (x + share * PANEL, y + 12)], INK)


def _score_scale(canvas: Canvas, result: Verification, top: float) -> None:
    """The two distributions of the calibration, the threshold with its interval, and where this score lies."""
    card, threshold, score = result.calibration, result.decision.threshold, result.decision.score
    left, right, tall = float(MARGIN), float(WIDTH - MARGIN), 104.0
    low = min(float(card.bins[0]), score) - 0.02
    high = max(float(card.bins[-1]), score, 1.0)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bottom = top + tall
    canvas.text(left, top - 20, "Where the score lies", 14)
    other = _outline(card.bins, card.non_mated, place, bottom, tall - 8)
    mated = _outline(card.bins, card.mated, place, bottom, tall - 8)
    canvas.area(other, SOFT_ORANGE)
    canvas.area(mated, SOFT_BLUE)
    canvas.line(other[1:-1], ORANGE, 1.2)
    canvas.line(mated[1:-1], BLUE, 1.2)
    canvas.line([(left, bottom), (right, bottom)], INK)
    for tick in np.arange(np.ceil(low * 10) / 10, high + 1e-9, 0.1):
        canvas.line([(place(tick), bottom), (place(tick), bottom + 4)], INK)
        canvas.text(place(tick), bottom + 17, f"{tick + 0.0:.1f}", 11.5, SOFT, "ms")
    canvas.box(place(threshold.low), top, max(1.0, place(threshold.high) - place(threshold.low)), tall, (150, 156, 162))
    at, limit = place(score), place(threshold.value)
    # The two labels stand on the far sides of their lines and at different heights, so they never meet.
    pair_left = (at < limit or at > right - 120) and at > left + 120
    canvas.text(*((limit + 7, top + 24) if at < limit else (limit - 7, top + 24)), "threshold", 11.5, SOFT,
                "ls" if at < limit else "rs")  # fmt: skip
    canvas.line([(at, top - 4), (at, bottom)], INK, 2.4)
    _, color = OUTCOMES[result.outcome]
    canvas.text(at - 7 if pair_left else at + 7, top + 4, f"this pair {score:.4f}", 13, color,
                "rs" if pair_left else "ls")  # fmt: skip
    key = top - 20
    canvas.text(left + 150, key, "each curve scaled to its own peak", 11.5, SOFT)
    canvas.box(right - 430, key - 10, 11, 11, SOFT_ORANGE, ORANGE)
    canvas.text(right - 413, key, f"{card.origin.n_non_mated:,} pairs of different people", 11.5, SOFT)
    canvas.box(right - 184, key - 10, 11, 11, SOFT_BLUE, BLUE)
    canvas.text(right - 167, key, f"{card.origin.n_mated:,} pairs of one person", 11.5, SOFT)


def _outline(
    bins: Reals, shares: Reals, place: Callable[[float], float], bottom: float, tall: float
) -> list[tuple[float, float]]:
    """Histogram as a closed line through the middles of its bins, scaled to its own peak."""
    middles = (bins[1:] + bins[:-1]) / 2
    peak = max(float(shares.max()), 1e-12)
    curve = [(place(float(x)), bottom - tall * float(y) / peak) for x, y in zip(middles, shares, strict=True)]
    return [(curve[0][0], bottom), *curve, (curve[-1][0], bottom)]


def _footer(canvas: Canvas, result: Verification) -> None:
    origin, second = result.calibration.origin, result.second_opinion
    outcome = str(second.outcome).replace("_", "-") if second and second.outcome else ""
    opinion = f" Second opinion, the network's own vector: {outcome}." if outcome else ""
    same = result.detector == origin.detector
    other = "" if same else f", with detector {origin.detector}, not {result.detector}: the rates here are not known"
    lines = (
        f"No liveness check was made. A cell's place is nominal: it sees more than its square.{opinion}",
        f"Calibrated on {origin.dataset}: {origin.n_subjects:,} people, {origin.date}{other}.",
        f"{result.model} · {result.comparator} weighting · {result.detector}",
    )
    top = HEIGHT - 16 * len(lines)
    canvas.line([(MARGIN, top - 18), (WIDTH - MARGIN, top - 18)], LINE)
    for row, words in enumerate(lines):
        canvas.text(MARGIN, top + 16 * row, _fitted(canvas, words), 11.5, SOFT)
