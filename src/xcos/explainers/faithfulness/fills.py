"""What is put where pixels are hidden: an option of most measures, for it changes every number that follows."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.ranks import Mask
from xcos.types import Crops, Pixels, Reals

Fill = Literal["black", "mean", "blur", "diffusion"]
BLUR = 0.1
"""Standard deviation of the blur in widths of the crop: no part of a face keeps its shape, only its tone."""
SMOOTHINGS = 8
"""Averagings with the four neighbours at each level of the diffusion."""


def hide(crop: Pixels, hidden: Mask, fill: Fill) -> Crops:
    """``(k, H, W, 3)``: the crop once for each of ``(k, H, W)`` masks, filled where they are true.

    ``black`` is 0 before the network's own normalisation; ``mean`` the crop's mean colour; ``blur`` the blurred crop;
    ``diffusion`` the values that flow in from the pixels around (the harmonic function on what is hidden, approximated
    from coarse to fine), which hides without an edge.
    """
    if hidden.ndim != 3 or hidden.shape[1:] != crop.shape[:2]:
        raise InvalidArgument(f"masks must be (k, {crop.shape[0]}, {crop.shape[1]}), got {hidden.shape}")
    if fill == "diffusion":
        return np.array([_diffused(crop, mask) for mask in hidden])
    return _filled(crop, hidden, _filling(crop, fill))


def _filled(crop: Pixels, hidden: Mask, filling: Pixels) -> Crops:
    filled: Crops = np.where(hidden[..., None], filling, crop)
    return filled


def _filling(crop: Pixels, fill: Fill) -> Pixels:
    if fill == "black":
        return np.zeros((1, 1, 3), np.uint8)
    if fill == "mean":
        mean: Pixels = np.rint(crop.mean(axis=(0, 1), keepdims=True)).astype(np.uint8)
        return mean
    if fill == "blur":
        from PIL import Image, ImageFilter

        picture = Image.fromarray(np.ascontiguousarray(crop))
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(BLUR * crop.shape[1])))
    raise InvalidArgument(f"fill must be one of {', '.join(get_args(Fill))}, got {fill!r}")


def _diffused(crop: Pixels, hidden: Mask) -> Pixels:
    if hidden.all():
        return np.broadcast_to(_filling(crop, "mean"), crop.shape)
    known = ~hidden
    flowed = _flowed(np.where(known[..., None], crop, 0).astype(np.float64), known.astype(np.float64))
    return _filled(crop, hidden, np.clip(np.rint(flowed), 0, 255).astype(np.uint8))


def _flowed(sums: Reals, weights: Reals) -> Reals:
    """Values everywhere from sums over known pixels: unknown ones start from half the size, then meet neighbours."""
    known = weights > 0
    values = sums / np.where(known, weights, 1)[..., None]
    if known.all():
        return values
    rows, cols = known.shape
    coarse = _flowed(_halved(sums), _halved(weights[..., None])[..., 0])
    values = np.where(known[..., None], values, coarse.repeat(2, axis=0).repeat(2, axis=1)[:rows, :cols])
    for _ in range(SMOOTHINGS):
        around = np.pad(values, ((1, 1), (1, 1), (0, 0)), "edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        values = np.where(known[..., None], values, mean)
    return values


def _halved(sums: Reals) -> Reals:
    rows, cols = sums.shape[:2]
    even = np.pad(sums, ((0, rows % 2), (0, cols % 2), (0, 0)))
    halved: Reals = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return halved
