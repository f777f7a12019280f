"""Scores of a few probes with all templates, by matrix products, for comparators whose score factors.

With cells c and features a and b each of these is a sum of products over something known per face:

* *trust*: ``Σ_c a·b / Σ_c |a| |b|``, a ratio of two inner products;
* *norm*: ``Σ_c a·b / (|A| |B|)`` with the lengths of whole grids; the cosine of two vectors is its case of one cell;
* *uniform*: ``Σ_c (a / |a|)·(b / |b|) / cells``.

In single precision a score is off by at most :func:`rounding`. Who is listed is decided by what
:meth:`xcos.interfaces.Comparator.maps` gives in double precision, for all that could be listed within that bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.interfaces import Comparator
from xcos.types import Floats, Grids

BLOCK = 128  # grids whose features are scaled at once; they stay in the cache

Score = Callable[[Grids, Grids, Floats], Floats]
"""Probes (p, …), grids (n, rows, cols, channels) and the lengths (n, rows, cols) of these grids' features → (n, p)."""


def score_of(comparator: Comparator) -> Score | None:
    """How the comparator's scores come from matrix products; None where they do not, or nobody knows."""
    kinds: dict[type, Score] = {TrustWeighted: _by_trust, NormWeighted: _by_norm, Uniform: _uniformly}
    return kinds.get(type(comparator))


def rounding(cells: int, channels: int) -> float:
    """By how much a score in single precision may be off: γ_n = n u / (1 − n u) for each of the sums that go into it
    (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, chapter 3)."""
    unit = 2.0**-24
    steps = cells * channels + 2 * (cells + channels) + 16
    return steps * unit / (1 - steps * unit)


def lengths_of(grids: Grids) -> Floats:
    """``(n, rows, cols)``."""
    lengths: Floats = np.sqrt(np.vecdot(grids, grids))
    return lengths


def _by_trust(probes: Grids, grids: Grids, lengths: Floats) -> Floats:
    return _ratio(_flat(grids) @ _flat(probes).T, _flat(lengths) @ _flat(lengths_of(probes)).T)


def _by_norm(probes: Grids, grids: Grids, lengths: Floats) -> Floats:
    sizes, probe_sizes = (np.linalg.norm(_flat(each), axis=1) for each in (lengths, lengths_of(probes)))
    return _ratio(_flat(grids) @ _flat(probes).T, np.outer(sizes, probe_sizes))


def _uniformly(probes: Grids, grids: Grids, lengths: Floats) -> Floats:
    units = _ratio(probes, lengths_of(probes)[..., None])
    scores = np.empty((len(grids), len(probes)), np.float32)
    for start in range(0, len(grids), BLOCK):
        block = slice(start, start + BLOCK)
        np.matmul(_flat(_ratio(grids[block], lengths[block][..., None])), _flat(units).T, out=scores[block])
    scores /= np.float32(grids.shape[1] * grids.shape[2])
    return scores


def _ratio(values: Floats, divisors: Floats) -> Floats:
    """0 where there is nothing to divide by."""
    ratios: Floats = np.divide(values, divisors, out=np.zeros_like(values), where=divisors > 0)
    return ratios


def _flat(values: Floats) -> Floats:
    return values.reshape(len(values), -1)
