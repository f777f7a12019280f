"""Overlap of boxes, and keeping the best of those that overlap."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.types import Reals


def keep_best(
    boxes: Reals, scores: Reals, limit: float, over: Literal["union", "smaller"] = "union"
) -> NDArray[np.intp]:
    """Indices of greedy non-maximum suppression, best score first.

    A box goes when its intersection with a better one, over their union or over the smaller of the two,
    exceeds ``limit``.
    """
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        base = areas[best] + areas[rest] - shared if over == "union" else np.minimum(areas[best], areas[rest])
        order = rest[shared <= limit * base]
    return np.array(kept, np.intp)
