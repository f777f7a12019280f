"""The evidence of a pair as SVG: two faces under their grid and three maps with a number in every cell.

Cells whose similarity is below what the threshold asks of them have a dark corner, and every cell has its number, so
that nothing rests on colour.
"""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from xcos.canvas import INK, Color, readable_on
from xcos.draw import PANEL, MapView, asked_of_cells, cell_text, map_views, number_size
from xcos.evaluation.evidence import Evidence
from xcos.evaluation.protocol import Truths
from xcos.types import Pixels

JPEG_QUALITY = 85
NUMBERS = 1.15  # larger than in the picture of one verification, whose panels are shown larger


def evidence_panels(evidence: Evidence, threshold: float) -> list[tuple[str, str]]:
    """Titles and drawings: probe, reference, and, where there is a grid, the three maps."""
    comparison = evidence.comparison
    cells = (1, 1) if comparison is None else comparison.similarity.shape
    panels = [
        (title, _face(crop, cells, title))
        for title, crop in (("Probe", evidence.probe), ("Reference", evidence.reference))
    ]
    if comparison is None:
        return panels
    similarity, attention, contribution = map_views(comparison, threshold)
    below = comparison.similarity < asked_of_cells(comparison, threshold)
    nothing = np.zeros_like(below)
    return [
        *panels,
        ("Similarity", _map(similarity, below)),
        ("Attention", _map(attention, nothing)),
        ("Contribution", _map(contribution, nothing)),
    ]


def _face(crop: Pixels, cells: tuple[int, ...], title: str) -> str:
    """The crop in the square of the maps beside it, so that cells line up; one that is not square is stretched."""
    from PIL import Image as pil

    file = io.BytesIO()
    pil.fromarray(np.ascontiguousarray(crop)).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    rows, cols = cells
    lines = [f"M{PANEL * at / cols:.1f},0V{PANEL}" for at in range(1, cols)]
    lines += [f"M0,{PANEL * at / rows:.1f}H{PANEL}" for at in range(1, rows)]
    return _svg(
        f'<image width="{PANEL}" height="{PANEL}" preserveAspectRatio="none" href="data:image/jpeg;base64,{data}"/>'
        f'<path d="{"".join(lines)}" fill="none" stroke="#ebeef0" stroke-width="0.7"/>',
        title,
    )


def _map(view: MapView, marked: Truths) -> str:
    rows, cols = view.values.shape
    tall, wide = PANEL / rows, PANEL / cols
    size = number_size(rows, cols)
    corner = 0.22 * min(tall, wide)
    boxes, numbers, corners = [], [], []
    for (row, col), value in np.ndenumerate(view.values):
        x, y, color = col * wide, row * tall, view.shade(float(value))
        boxes.append(f'<path fill="{_hex(color)}" d="M{x:.1f},{y:.1f}h{wide:.2f}v{tall:.2f}h-{wide:.2f}z"/>')
        if marked[row, col]:
            corners.append(f"M{x:.1f},{y:.1f}h{corner:.1f}l-{corner:.1f},{corner:.1f}z")
        if size:
            ink = _hex(readable_on(color))
            numbers.append(
                f'<text x="{x + wide / 2:.1f}" y="{y + tall / 2:.1f}" fill="{ink}">{cell_text(float(value))}</text>'
            )
    marks = f'<path d="{"".join(corners)}" fill="{_hex(INK)}"/>' if corners else ""
    told = (
        f'<g font-size="{NUMBERS * size:.1f}" text-anchor="middle" dominant-baseline="central">{"".join(numbers)}</g>'
    )
    return _svg("".join(boxes) + marks + told, view.title)


def _hex(color: Color) -> str:
    return "#" + bytes(color).hex()


def _svg(content: str, title: str) -> str:
    return f'<svg viewBox="0 0 {PANEL} {PANEL}" role="img" aria-label="{escape(title)}">{content}</svg>'
