"""Part of a crop hidden: what is put in its place is an option, for it changes every number that follows."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Pixels

Fill = Literal["mean", "black", "blur"]
Mask = NDArray[np.bool_]
"""``(H, W)``: True where a crop is hidden."""
BLUR = 0.1
"""Standard deviation of the blur, in widths of the crop: a third of the distance of the eyes, so that no part keeps its
shape, only its tone."""


def hide(crop: Pixels, hidden: Mask, fill: Fill) -> Pixels:
    """A copy of ``crop`` ``(H, W, 3)`` in which ``hidden`` ``(H, W)`` is filled.

    ``mean`` is the crop's own mean colour, ``black`` is 0, ``blur`` the crop itself blurred (:data:`BLUR`).
    """
    require_fill(fill)
    if hidden.shape != crop.shape[:2] or hidden.dtype != np.bool_:
        raise InvalidArgument(
            f"what is hidden must be {crop.shape[:2]} bool, as the crop, got {hidden.shape} {hidden.dtype}"
        )
    return np.where(hidden[..., None], _filling(crop, fill), crop)


def require_fill(fill: str) -> None:
    """Raises :class:`InvalidArgument` unless ``fill`` is one of the known ones."""
    if fill not in get_args(Fill):
        raise InvalidArgument(f"fill must be one of {', '.join(get_args(Fill))}, got {fill!r}", fill=fill)


def _filling(crop: Pixels, fill: Fill) -> Pixels:
    if fill == "black":
        return np.zeros((1, 1, 3), np.uint8)
    if fill == "mean":
        mean: Pixels = np.rint(crop.mean(axis=(0, 1), keepdims=True)).astype(np.uint8)
        return mean
    from PIL import Image, ImageFilter

    blurred = Image.fromarray(np.ascontiguousarray(crop)).filter(ImageFilter.GaussianBlur(BLUR * crop.shape[1]))
    return np.asarray(blurred)
