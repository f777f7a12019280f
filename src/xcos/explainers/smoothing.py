"""Gaussian smoothing of maps, as two matrix products."""

from __future__ import annotations

import math

import numpy as np

from xcos.types import Reals

REACH = 4.0  # standard deviations after which a Gaussian's 6e-5 is left out


def smoothed(values: Reals, sigma: float, *, radius: int | None = None) -> Reals:
    """``(…, H, W)`` under a Gaussian of ``sigma`` pixels, cut off after ``radius`` (four sigma).

    At the border what would lie outside is left out and the rest weighs more, so a constant stays what it is.
    """
    height, width = values.shape[-2:]
    return _rows(height, sigma, radius) @ values @ _rows(width, sigma, radius).T


def _rows(size: int, sigma: float, radius: int | None) -> Reals:
    """``(size, size)``: what each place takes from all others; rows sum to 1."""
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights[distance > (math.ceil(REACH * sigma) if radius is None else radius)] = 0
    rows: Reals = weights / weights.sum(axis=1, keepdims=True)
    return rows


def bumps(size: int, centers: Reals, sigma: float) -> Reals:
    """``(n, size)``: a Gaussian of height 1 about each of n centres, in pixels."""
    return np.exp(-((np.arange(size) - centers[:, None]) ** 2) / (2 * sigma**2))
