"""Completeness: do the parts of an explanation add up to the score?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xcos.explainers.faithfulness.localisation import cell_means
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record, one, single


@dataclass(frozen=True)
class Completeness:
    """\\|sum of the cells − score\\|, each cell the mean of the probe's map over its square.

    0, up to the single precision in which maps are kept, for the comparison's own contributions. Methods that do not
    claim to add up have any value here: a map's scale is its own, so this is never part of a ranking.
    """

    rows: int = 7
    cols: int = 7

    title: ClassVar[str] = "completeness"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (Figure("distance from the score", "lower"),)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The distance."""
        yield from ()  # nothing is scored
        explanation = explain(case.pair.probe, case.pair.reference)
        total = float(cell_means(explanation.probe, self.rows, self.cols).sum())
        return one(distance_from_the_score=abs(total - explanation.score))

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)
