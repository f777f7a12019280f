"""Part of a crop hidden: what is put in its place is an option, for it changes every number that follows."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.smoothing import smoothed
from xcos.types import Crops, Pixels

Fill = Literal["black", "grey", "mean", "blur"]
"""What stands where a photo is hidden: black, middle grey, the crop's mean colour, the crop blurred."""
FILLS: tuple[str, ...] = get_args(Fill)
BLUR = 0.04  # standard deviation in crop sides, as DISE blurs what it hides (Williford et al. 2020)
GREY = 128
Mask = NDArray[np.bool_]
"""``(H, W)``: True where a crop is hidden."""
Kept = NDArray[np.bool_] | NDArray[np.float32]
"""``(b, H, W)``: True or 1 where the photo stays, False or 0 where it is hidden."""
N = TypeVar("N", np.uint8, np.float32)


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


def filled(crop: Pixels, fill: Fill, *, blur: float = BLUR) -> Pixels:
    """The picture that shows through where the crop is hidden, ``(H, W, 3)``; ``blur`` is in crop sides."""
    require_fill(fill)
    match fill:
        case "black":
            return np.zeros_like(crop)
        case "grey":
            return np.full_like(crop, GREY)
        case "mean":
            return np.broadcast_to(np.rint(crop.mean(axis=(0, 1))).astype(np.uint8), crop.shape).copy()
        case "blur":
            channels = np.moveaxis(crop.astype(np.float64), 2, 0)
            blurred = smoothed(channels, blur * max(crop.shape[:2]))
            return np.rint(np.moveaxis(blurred, 0, 2)).astype(np.uint8)


class Cover:
    """Puts a fill over the hidden part of a crop; between the two a mask mixes, rounded to the nearest value."""

    def __init__(self, crop: Pixels, fill: Pixels) -> None:
        self._fill, self._step = fill, crop - fill  # modulo 256, where fill + step is the crop again
        self._base, self._difference = fill + np.float32(0.5), crop.astype(np.float32) - fill

    def __call__(self, kept: Kept) -> Crops:
        """``(b, H, W, 3)``: the crop once for each mask."""
        if kept.dtype == np.bool_:
            shown = _in_three_channels(kept.view(np.uint8))
            shown *= self._step
            shown += self._fill
            return shown
        mixed = _in_three_channels(kept.astype(np.float32, copy=False))
        mixed *= self._difference
        mixed += self._base
        return mixed.astype(np.uint8)


def _in_three_channels(values: NDArray[N]) -> NDArray[N]:
    """``(b, H, W, 3)`` of ``(b, H, W)``, in memory of its own: a product with a crop then runs without strides of 0."""
    channels = np.empty((*values.shape, 3), values.dtype)
    for channel in range(3):
        channels[..., channel] = values
    return channels
