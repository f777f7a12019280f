"""Swap symmetry: the order of two photos is nobody's, so neither score nor maps may depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record, one, single
from xcos.explainers.faithfulness.ranks import agreement


@dataclass(frozen=True)
class Symmetry:
    """\\|score(A, B) − score(B, A)\\|, and rank correlation of each photo's map with its map in the swapped pair."""

    most_pairs: int = 0

    title: ClassVar[str] = "symmetry"
    needs: ClassVar[tuple[Need, ...]] = ()
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (Figure("score difference", "lower"), Figure("maps agree", "higher"))

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The two figures."""
        probe, reference = case.pair.probe, case.pair.reference
        there = yield Query(probe.crop[None], reference.crop[None], shared=True)
        back = yield Query(reference.crop[None], probe.crop[None], shared=True)
        one_way, other_way = explain(probe, reference), explain(reference, probe)
        agree = agreement(one_way.probe, other_way.reference), agreement(one_way.reference, other_way.probe)
        return one(score_difference=abs(there[0] - back[0]), maps_agree=float(np.mean(agree)))

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)
