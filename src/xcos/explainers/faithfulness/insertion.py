"""Insertion for verification: do the pixels that a map ranks highest suffice for the decision?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xcos.explainers.faithfulness.deletion import Polarity, curve_values, masked_query, polarised, shares_of
from xcos.explainers.faithfulness.fills import Fill
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record
from xcos.explainers.faithfulness.ranks import Ties, above_percentiles


@dataclass(frozen=True)
class Insertion:
    """Accuracy while only the highest P % of the probe's map are shown; a good map lets it rise early.

    As :class:`~xcos.explainers.faithfulness.deletion.Deletion`, keeping the pixels above the percentile instead.
    """

    step: int = 10
    fill: Fill = "black"
    ties: Ties = "keep"
    polarity: Polarity = "similar"
    both: bool = False

    title: ClassVar[str] = "insertion"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("accuracy area", "higher", headline=True),
        Figure("accuracy area, mated", "higher"),
        Figure("accuracy area, non-mated", "higher"),
        Figure("score area, mated", "higher"),
    )

    def __post_init__(self) -> None:
        shares_of(self.step)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """``scores`` at each P."""
        explanation = explain(case.pair.probe, case.pair.reference)
        probe, reference = (~above_percentiles(values, shares_of(self.step), self.ties, case.seed)
                            for values in polarised(explanation, self.polarity, case.pair.mated))  # fmt: skip
        return {"scores": (yield masked_query(case, probe, reference, self.fill, both=self.both))}

    def values(self, record: Record, mated: bool, threshold: float) -> dict[str, float]:
        """Areas under the pair's own 0 or 1, whose mean is the area under the accuracy."""
        return curve_values(record["scores"], mated, threshold, shares_of(self.step))
