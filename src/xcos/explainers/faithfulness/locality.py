"""Locality of a grid: how much of what happens in a cell's square is seen by that cell, and how much by the others.

A property of network and comparator, not of an explainer: it says how literally any grid explanation may be taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.cell_occlusion import cell_masks
from xcos.explainers.faithfulness.measure import FacePair
from xcos.interfaces import Comparator, Embedder
from xcos.types import Maps, freeze


@dataclass(frozen=True, eq=False)
class Locality:
    """What a network's cells see, measured on some pairs."""

    leak: float
    """Mean \\|change of S\\| outside the cell whose square was filled with noise, over that at the cell.

    0 is a window, 1 no place at all."""
    inside: float
    """Mean over cells of the share of a cell's gradient energy that lies inside its own square: 1 is a window."""
    leaks: Maps
    """``(rows, cols)``: the leak of noise in each square."""
    shares: Maps
    """``(rows, cols)``: the share of each cell."""
    pairs: int
    samples: int
    """Noises for each pair."""
    level: int
    """Grey levels of the small noise."""
    seed: int

    def __post_init__(self) -> None:
        freeze(self, leaks=self.leaks, shares=self.shares)


def measure_locality(
    embedder: Embedder,
    comparator: Comparator,
    pairs: Sequence[FacePair],
    *,
    samples: int = 4,
    level: int = 4,
    seed: int = 0,
) -> Locality:
    """Leak and effective receptive field of the similarity map S, by changing the probe's square of one cell at a time.

    Leak: the square becomes uniform noise over the whole range. Receptive field: independent noise of ± ``level`` grey
    levels, for which the mean square of S's change is to first order ``level²`` times the sum of its squared gradient
    over the square; so the energies need no gradients. Both are averaged over ``samples`` and pairs.
    """
    if not pairs or samples < 1 or not 1 <= level <= 64:
        raise InvalidArgument(f"want pairs, samples ≥ 1 and a level of 1…64, got {len(pairs)}, {samples}, {level}")
    rows, cols = embedder.embed(pairs[0].probe.crop[None]).grids.shape[1:3]
    change = _Change(embedder, comparator, rows, cols)
    random = np.random.default_rng(seed)
    heavy: list[Maps] = []
    small: list[Maps] = []
    for pair in pairs:
        for _ in range(samples):
            probe = pair.probe.crop
            shape = (rows * cols, *probe.shape)
            heavy.append(change(pair, random.integers(0, 256, shape)))
            small.append(change(pair, probe + level * random.choice((-1, 1), shape)))
    leak, inside, leaks, shares = _summary(np.mean(np.abs(heavy), axis=0), np.mean(np.square(small), axis=0))
    return Locality(leak, inside, leaks, shares, len(pairs), samples, level, seed)


@dataclass(frozen=True)
class _Change:
    """How S moves when the probe's square of each cell in turn takes other pixels."""

    embedder: Embedder
    comparator: Comparator
    rows: int
    cols: int

    def __call__(self, pair: FacePair, others: NDArray[np.int64]) -> Maps:
        """``(cells, rows, cols)``; ``others`` are ``(cells, H, W, 3)`` pixels, clipped to the range."""
        probe = pair.probe.crop
        squares = cell_masks(self.rows, self.cols, *probe.shape[:2])
        changed = np.where(squares[..., None], np.clip(others, 0, 255).astype(np.uint8), probe)
        grids = self.embedder.embed(np.concatenate([probe[None], changed])).grids
        reference = self.embedder.embed(pair.reference.crop[None]).grids
        similarity, _ = self.comparator.maps(grids, np.repeat(reference, len(grids), axis=0))
        moved: Maps = similarity[1:] - similarity[0]
        return moved


def _summary(change: Maps, energy: Maps) -> tuple[float, float, Maps, Maps]:
    """Leak and energy inside, of all cells and of each.

    From ``(cells, rows, cols)`` mean change and mean energy at each cell, by the square that was changed.
    """
    cells, rows, cols = change.shape
    change, energy = change.reshape(cells, cells), energy.reshape(cells, cells)
    at_home = np.diag(change)
    outside = (change.sum(axis=1) - at_home) / (cells - 1)
    received = energy.sum(axis=0)
    shares = np.divide(np.diag(energy), received, out=np.zeros(cells), where=received > 0)
    leaks = np.divide(outside, at_home, out=np.zeros(cells), where=at_home > 0)
    leak = float(outside.mean() / at_home.mean()) if at_home.any() else float("nan")
    return leak, float(shares.mean()), leaks.reshape(rows, cols), shares.reshape(rows, cols)
