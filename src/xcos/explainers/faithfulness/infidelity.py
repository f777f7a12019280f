"""Infidelity: how far a map's sums over hidden squares are from what hiding them does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.fills import Fill, hide
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record, one, single
from xcos.explainers.faithfulness.ranks import Mask
from xcos.types import Reals


@dataclass(frozen=True)
class Infidelity:
    """Mean square of (map's sum over a random hidden square − drop of the score), over the mean square of the drops.

    Yeh, Hsieh, Suggala, Inouye, Ravikumar (NeurIPS 2019) with removed squares as the perturbation and the factor on
    the map that fits best (their optimal scaling, as maps have scales of their own). So 0 is a map whose sums are the
    drops, and 1 one that does no better than no map at all.
    """

    squares: int = 48
    smallest: float = 0.1
    """Side of the squares, in widths of the crop, from …"""
    largest: float = 0.4
    """… to."""
    fill: Fill = "black"
    seed: int = 0

    title: ClassVar[str] = "infidelity"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (Figure("infidelity", "lower", headline=True),)

    def __post_init__(self) -> None:
        if self.squares < 2 or not 0 < self.smallest <= self.largest < 1:
            raise InvalidArgument(
                f"want two squares or more with sides 0 < smallest ≤ largest < 1, got {self.squares}, {self.smallest}, "
                f"{self.largest}"
            )

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The infidelity of the probe's map."""
        pair = case.pair
        values = explain(pair.probe, pair.reference).probe
        hidden = self.masks(values.shape[0], values.shape[1], case.seed)
        reference = pair.reference.crop[None]
        clean = yield Query(pair.probe.crop[None], reference, shared=True)
        scores = yield Query(hide(pair.probe.crop, hidden, self.fill), reference, shared=True)
        sums = (values * hidden).sum(axis=(1, 2))
        return one(infidelity=unexplained(sums, clean[0] - scores))

    def masks(self, height: int, width: int, pair_seed: int) -> Mask:
        """``(squares, H, W)`` squares at random places; the same for every method."""
        random = np.random.default_rng([self.seed, pair_seed])
        hidden = np.zeros((self.squares, height, width), bool)
        for mask in hidden:
            side = max(1, round(float(random.uniform(self.smallest, self.largest)) * min(height, width)))
            top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
            mask[top : top + side, left : left + side] = True
        return hidden

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)


def unexplained(sums: Reals, drops: Reals) -> float:
    """``min over β of Σ (β · sums − drops)² / Σ drops²``, 0…1; a negative β, an inverted map, is not allowed."""
    total, length = float(drops @ drops), float(sums @ sums)
    if total == 0:
        return 0.0 if length == 0 else 1.0
    factor = max(0.0, float(sums @ drops) / length) if length > 0 else 0.0
    return float(((factor * sums - drops) ** 2).sum() / total)
