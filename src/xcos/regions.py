"""Named parts of the face: which cells belong to them, by the landmarks, and what they measured."""

from __future__ import annotations

import numpy as np

from xcos.types import Comparison, CropTemplate, Reals, Region

NAMES = ("brow", "eyes", "nose", "mouth", "cheeks", "jaw")
# Borders down the face in eye-to-mouth distances (eyes 0, mouth 1), and half widths across it in inter-eye
# distances: where the parts end in the template faces, between the points that name them.
BROW_END, EYES_END, NOSE_END, MOUTH_END = -0.2, 0.3, 0.8, 1.25
NOSE_HALF, MOUTH_HALF = 0.3, 0.65


def cell_regions(landmarks: Reals, template: CropTemplate, shape: tuple[int, int]) -> list[list[str]]:
    """Name of the part in which the centre of each cell lies, for ``shape`` (rows, cols) cells over the crop.

    ``landmarks`` are five points in crop pixels. A grid of one cell is the whole ``face``.
    """
    if shape == (1, 1):
        return [["face"]]
    rows, cols = shape
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    across = landmarks[1] - landmarks[0]
    frame = np.linalg.inv(np.stack([across, mouth - eyes], axis=1))
    xs = (np.arange(cols) + 0.5) * template.width / cols - 0.5
    ys = (np.arange(rows) + 0.5) * template.height / rows - 0.5
    return [[_name(*(frame @ (np.array([x, y]) - eyes))) for x in xs] for y in ys]


def _name(across: float, down: float) -> str:
    if down < BROW_END:
        return "brow"
    if down < EYES_END:
        return "eyes"
    if down < NOSE_END:
        return "nose" if abs(across) <= NOSE_HALF else "cheeks"
    if down < MOUTH_END:
        return "mouth" if abs(across) <= MOUTH_HALF else "cheeks"
    return "jaw"


def summarize(comparison: Comparison, names: list[list[str]], threshold: float) -> list[Region]:
    """One :class:`Region` per name that has cells, strongest support first."""
    labels = np.array(names)
    weight, total = comparison.attention, comparison.attention.sum()
    asked = threshold * weight / total if total > 0 else np.full(weight.shape, threshold / weight.size)
    found = []
    for name in (*NAMES, "face"):
        inside = labels == name
        if not inside.any():
            continue
        attention = float(weight[inside].sum())
        contribution = float(comparison.contribution[inside].sum())
        found.append(
            Region(
                name=name,
                cells=int(inside.sum()),
                similarity=contribution / attention if attention > 0 else 0.0,
                attention=attention,
                contribution=contribution,
                support=contribution - float(asked[inside].sum()),
            )
        )
    return sorted(found, key=lambda region: -region.support)
