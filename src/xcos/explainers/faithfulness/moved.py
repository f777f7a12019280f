"""A face mirrored or shifted in its crop, landmarks and all, and its map moved back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xcos.types import AlignedFace, Face, Maps, Pixels, Reals

MIRRORED = [1, 0, 2, 4, 3]
"""The viewer's left eye and mouth corner become the right ones."""


def mirrored(face: AlignedFace) -> AlignedFace:
    """The crop left to right; its landmarks follow."""
    points = face.landmarks[MIRRORED].copy()
    points[:, 0] = face.template.width - 1 - points[:, 0]
    return _placed(face, np.ascontiguousarray(face.crop[:, ::-1]), points)


def shifted(face: AlignedFace, across: int, down: int) -> AlignedFace:
    """The crop moved by whole pixels, its border repeated; its landmarks follow."""
    return _placed(face, _moved(face.crop, across, down), face.landmarks + np.array([across, down]))


def shifted_back(values: Maps, across: int, down: int) -> Maps:
    """The part of a shifted crop's map that was in the crop before the shift, ``(H − |down|, W − |across|)``."""
    height, width = values.shape
    return values[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]


def _moved(crop: Pixels, across: int, down: int) -> Pixels:
    height, width = crop.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    cols = np.clip(np.arange(width) - across, 0, width - 1)
    return crop[np.ix_(rows, cols)]


def _placed(face: AlignedFace, crop: Pixels, points: Reals) -> AlignedFace:
    """A face whose photo is the crop itself."""
    low, high = points.min(axis=0), points.max(axis=0)
    found = Face(np.concatenate([low - 1, high + 1]), points, face.face.confidence)
    return replace(face, crop=crop, face=found, to_crop=np.eye(2, 3))
