"""Tensors over places → maps on crops."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xcos.errors import InvalidArgument
from xcos.explainers.smoothing import smoothed
from xcos.types import AlignedFace, Maps


def on_pixels(values: Tensor, face: AlignedFace) -> Maps:
    """``(H, W)`` of the crop, from ``(rows, cols)`` over it: bilinear between the middles of the places."""
    height, width = face.crop.shape[:2]
    large = interpolate(values.detach()[None, None].double(), (height, width), mode="bilinear", align_corners=False)
    result: Maps = large[0, 0].cpu().numpy()
    return result


def over_colors(gradient: Tensor) -> Tensor:
    """``(H, W)``: mean over the colours of the absolute values of ``(1, 3, H, W)``."""
    return gradient.abs().mean(dim=(0, 1))


def to_map(values: Tensor) -> Maps:
    """A map in double precision."""
    result: Maps = values.detach().double().cpu().numpy()
    return result


def blurred(values: Maps, sigma: float) -> Maps:
    """Under a Gaussian of ``sigma`` pixels, cut off at four of them; 0 leaves the map as it is.

    At the border what would lie outside is left out and the rest weighs more, so a constant stays what it is.
    """
    require_sigma(sigma)
    return smoothed(values, sigma) if sigma else values


def shares(values: Maps) -> Maps:
    """Scaled to sum 1; all zero where there is nothing."""
    total = float(values.sum())
    return values / total if total > 0 else np.zeros_like(values)


def require_sigma(sigma: float) -> None:
    """Raises :class:`InvalidArgument` unless a blur can be made with it."""
    if not (np.isfinite(sigma) and sigma >= 0):
        raise InvalidArgument(f"sigma must be 0 or more pixels, got {sigma}")


def summed_over_channels(values: Tensor) -> Tensor:
    """``(rows, cols)`` of ``(1, C, rows, cols)``."""
    require_places(values)
    return torch.sum(values[0], dim=0)


def require_places(values: Tensor) -> None:
    """Raises :class:`InvalidArgument` unless a layer's output is ``(1, C, rows, cols)``."""
    shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise InvalidArgument(f"a layer with places gives (1, C, rows, cols), got {shape}; name another")
