"""Selectivity: a map that stays the same whoever the probe is compared with explains faces, not comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record, one, single
from xcos.explainers.faithfulness.ranks import agreement


@dataclass(frozen=True)
class Selectivity:
    """Rank correlation of the probe's map in the pair with its map against a third person; well below 1 is wanted.

    A random map is perfectly selective: read it with the stability.
    """

    most_pairs: int = 0

    title: ClassVar[str] = "selectivity"
    needs: ClassVar[tuple[Need, ...]] = ("stranger",)
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (Figure("correlation", "lower"),)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The correlation."""
        yield from ()  # nothing is scored
        pair = case.pair
        own, other = explain(pair.probe, pair.reference).probe, explain(pair.probe, case.stranger).probe
        return one(correlation=agreement(own, other))

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)
