"""How alike two maps are, by the four measures of Adebayo et al. (NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.explainers.faithfulness.ranks import agreement, correlation
from xcos.types import Maps, Reals

WINDOW = 7
CELL, BINS = 16, 9


@dataclass(frozen=True)
class Likeness:
    """1 for equal maps in all four; near 0 for unrelated ones."""

    signed: float
    """Rank correlation of the values."""
    absolute: float
    """Rank correlation of the absolute values."""
    ssim: float
    """Structural similarity of the maps, each scaled to 0…1."""
    hog: float
    """Correlation of the histograms of oriented gradients."""


def likeness(one: Maps, other: Maps) -> Likeness:
    """Of two maps of one shape."""
    return Likeness(
        signed=agreement(one, other),
        absolute=agreement(np.abs(one), np.abs(other)),
        ssim=ssim(_scaled(one), _scaled(other)),
        hog=1.0 if np.array_equal(one, other) else correlation(hog(one), hog(other)),
    )


def ssim(one: Maps, other: Maps) -> float:
    """Mean structural similarity of two maps in 0…1 (Wang et al. 2004; windows of 7 × 7, K = 0.01 and 0.03)."""
    first, second = 0.01**2, 0.03**2
    a, b = _means(one), _means(other)
    spread_a, spread_b, together = (_means(x) - m for x, m in ((one**2, a**2), (other**2, b**2), (one * other, a * b)))
    parts = (2 * a * b + first) * (2 * together + second) / ((a**2 + b**2 + first) * (spread_a + spread_b + second))
    return float(parts.mean())


def hog(values: Maps) -> Reals:
    """Lengths of gradients in nine directions (of 180°), summed over whole squares of 16 pixels (Dalal, Triggs 2005).

    Each square's histogram has length 1, or 0 where nothing changes.
    """
    tall, wide = (max(size // CELL, 1) for size in values.shape)
    down, across = (np.gradient(values, axis=axis)[: tall * CELL, : wide * CELL] for axis in (0, 1))
    direction = (np.arctan2(down, across) % np.pi) / np.pi * BINS
    rows, cols = (np.arange(size) // CELL for size in down.shape)
    found = np.zeros((tall, wide, BINS))
    np.add.at(found, (rows[:, None], cols[None, :], direction.astype(int) % BINS), np.hypot(across, down))
    lengths = np.linalg.norm(found, axis=2, keepdims=True)
    shares: Reals = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return shares.ravel()


def _scaled(values: Maps) -> Maps:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _means(values: Maps) -> Maps:
    """Mean over each whole window."""
    means: Maps = np.lib.stride_tricks.sliding_window_view(values, (WINDOW, WINDOW)).mean(axis=(2, 3))
    return means
