"""Orders of pixels: what most measures read of a map, as methods have scales of their own."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Maps, Reals

Mask = NDArray[np.bool_]
"""``(H, W)``, or ``(k, H, W)`` for several."""
N = TypeVar("N", bound=np.generic)
Ties = Literal["keep", "shuffle"]
"""What becomes of pixels of one value that a percentile or a count would part: ``keep`` them on one side, as the
published code does, or put them in a random (seeded) order, so that every map chooses exactly as many pixels."""


def average_ranks(values: NDArray[Any]) -> Reals:
    """``(n,)`` ranks from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Reals = (last - (counts - 1) / 2)[place]
    return ranks


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Rank correlation, −1…1; 0 where one of the two is constant and so has no order."""
    return correlation(average_ranks(one), average_ranks(other))


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's, −1…1; 0 where one of the two is constant."""
    a, b = (np.asarray(each, np.float64).ravel() - np.mean(each) for each in (one, other))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else 0.0


def agreement(one: Maps, other: Maps) -> float:
    """Rank correlation of two maps that should be the same; two equal ones agree fully, constant ones too."""
    return 1.0 if np.array_equal(one, other) else spearman(one, other)


def untied(values: Maps, seed: int) -> Maps:
    """The order of the values as whole numbers from 0, ties in random order."""
    flat = values.ravel()
    order = np.argsort(flat)
    levels = np.concatenate([[0], np.cumsum(np.diff(flat[order]) > 0)])
    if levels[-1] < flat.size - 1:
        level = _placed(levels.astype(np.uint16 if flat.size < 1 << 16 else np.int64), order)  # short ones sort faster
        by_chance = _placed(np.arange(flat.size), np.random.default_rng(seed).permutation(flat.size))
        order = by_chance[np.argsort(level[by_chance], kind="stable")]
    return _placed(np.arange(flat.size, dtype=np.float64), order).reshape(values.shape)


def _placed(values: NDArray[N], places: NDArray[np.intp]) -> NDArray[N]:
    """Each value at its place."""
    result = np.empty_like(values)
    result[places] = values
    return result


def above_percentiles(values: Maps, shares: Reals, ties: Ties, seed: int) -> Mask:
    """``(k, H, W)``: for each share P, in percent, the pixels above the (100 − P)-th percentile of the map."""
    if ties == "shuffle":
        values = untied(values, seed)
    limits = np.percentile(values, 100 - shares)
    chosen: Mask = values > limits[:, None, None]
    return chosen


def highest(values: Maps, shares: Reals, seed: int) -> Mask:
    """``(k, H, W)``: for each share, in percent, exactly that many pixels of the highest values; ties are shuffled."""
    counts = np.rint(shares / 100 * values.size)
    chosen: Mask = untied(values, seed) >= values.size - counts[:, None, None]
    return chosen


def roc_auc(values: Maps, truth: Mask) -> float:
    """Chance that a pixel inside ``truth`` has a higher value than one outside, ties counted half; NaN without both.

    Mann and Whitney's U over the product of the two numbers.
    """
    inside = int(truth.sum())
    outside = truth.size - inside
    if not inside or not outside:
        return float("nan")
    ranks = average_ranks(values)[truth.ravel()].sum()
    return float((ranks - inside * (inside + 1) / 2) / (inside * outside))


def area(values: Reals, shares: Reals) -> float:
    """Area under a curve by trapezoids, divided by the width of its range: a mean height."""
    if values.shape != shares.shape or len(shares) < 2:
        raise InvalidArgument(f"a curve needs as many values as places, got {values.shape} and {shares.shape}")
    return float(np.trapezoid(values, shares) / (shares[-1] - shares[0]))
