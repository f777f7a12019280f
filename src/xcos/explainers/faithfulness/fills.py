"""What is put where pixels are hidden: an option of most measures, for it changes every number that follows."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.ranks import Mask
from xcos.explainers.hiding import Cover, filled
from xcos.types import Crops, Pixels, Reals

Fill = Literal["black", "mean", "blur", "diffusion"]
FILLS: tuple[str, ...] = get_args(Fill)
BLUR = 0.1
"""Standard deviation of the blur in sides of the crop: no part of a face keeps its shape, only its tone."""
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
    if fill not in FILLS:
        raise InvalidArgument(f"fill must be one of {', '.join(FILLS)}, got {fill!r}")
    if fill == "diffusion":
        return np.array([_diffused(crop, mask) for mask in hidden])
    return Cover(crop, filled(crop, fill, blur=BLUR))(~hidden)


def _diffused(crop: Pixels, hidden: Mask) -> Pixels:
    if hidden.all():
        return filled(crop, "mean")
    known = ~hidden
    flowed = _flowed(np.where(known[..., None], crop, 0).astype(np.float64), known.astype(np.float64))
    inside = np.clip(np.rint(flowed), 0, 255).astype(np.uint8)
    return np.where(hidden[..., None], inside, crop)


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
