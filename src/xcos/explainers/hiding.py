"""Part of a crop hidden: what is put in its place is an option, for it changes every number that follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.masking import BLUR, FILLS, GREY, Fill
from xcos.types import Pixels

__all__ = ["Fill", "Mask", "filled", "hide", "require_fill"]

Mask = NDArray[np.bool_]
"""``(H, W)``: True where a crop is hidden."""


def hide(crop: Pixels, hidden: Mask, fill: Fill) -> Pixels:
    """A copy of ``crop`` ``(H, W, 3)`` in which ``hidden`` ``(H, W)`` is filled."""
    if hidden.shape != crop.shape[:2] or hidden.dtype != np.bool_:
        raise InvalidArgument(
            f"what is hidden must be {crop.shape[:2]} bool, as the crop, got {hidden.shape} {hidden.dtype}"
        )
    return np.where(hidden[..., None], filled(crop, fill), crop)


def require_fill(fill: str) -> None:
    """Raises :class:`InvalidArgument` unless ``fill`` is one of the known ones."""
    if fill not in FILLS:
        raise InvalidArgument(f"fill must be one of {', '.join(FILLS)}, got {fill!r}", fill=fill)


def filled(crop: Pixels, fill: Fill) -> Pixels:
    """The picture that shows through where the crop is hidden, ``(H, W, 3)``."""
    require_fill(fill)
    if fill == "blur":
        from PIL import Image, ImageFilter

        blur = ImageFilter.GaussianBlur(BLUR * crop.shape[1])
        return np.asarray(Image.fromarray(np.ascontiguousarray(crop)).filter(blur))
    tone = {"black": np.zeros(3), "grey": np.full(3, GREY), "mean": crop.mean(axis=(0, 1))}[fill]
    return np.broadcast_to(np.rint(tone).astype(np.uint8), crop.shape)
