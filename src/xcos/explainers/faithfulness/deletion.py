"""Deletion for verification: does a decision fail once the pixels that a map ranks highest are gone?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explanation
from xcos.explainers.faithfulness.fills import Fill, hide
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record
from xcos.explainers.faithfulness.ranks import Mask, Ties, above_percentiles, area
from xcos.explainers.faithfulness.threshold import right
from xcos.types import Maps, Reals

Polarity = Literal["similar", "by truth"]
"""``similar``: the map as it is, for every pair. ``by truth``: turned round for non-mated pairs, so that what speaks
for two people is deleted or inserted first."""


@dataclass(frozen=True)
class Deletion:
    """Accuracy while the highest P % of the probe's map are hidden, P = 0, 10 … 100; a good map lets it fall early.

    After Lu, Xu, Ebrahimi (WACV 2024) in the version of Zhang and Günther's FAME (CVPR-W 2026): a pixel is kept while
    its value is at most the (100 − P)-th percentile of the map; the accuracy is that at the threshold of equal error
    rates of the clean pairs; the area under it, over P, is divided by 100. Without ties, deletion by the negated map
    shows the same pictures as insertion by the map, backwards: so the inverse map's row is the insertion's column.
    """

    step: int = 10
    fill: Fill = "black"
    ties: Ties = "keep"
    polarity: Polarity = "similar"
    both: bool = False
    """Hide in the reference too, by its own map; as published the reference is left alone."""

    title: ClassVar[str] = "deletion"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("accuracy area", "lower", headline=True),
        Figure("accuracy area, mated", "lower"),
        Figure("accuracy area, non-mated", "lower"),
        Figure("score area, mated", "lower"),
    )

    def __post_init__(self) -> None:
        shares_of(self.step)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """``scores`` at each P."""
        explanation = explain(case.pair.probe, case.pair.reference)
        probe, reference = (above_percentiles(values, shares_of(self.step), self.ties, case.seed)
                            for values in polarised(explanation, self.polarity, case.pair.mated))  # fmt: skip
        return {"scores": (yield masked_query(case, probe, reference, self.fill, both=self.both))}

    def values(self, record: Record, mated: bool, threshold: float) -> dict[str, float]:
        """Areas under the pair's own 0 or 1, whose mean is the area under the accuracy."""
        return curve_values(record["scores"], mated, threshold, shares_of(self.step))


def shares_of(step: int) -> Reals:
    """0, step … 100 percent."""
    if not 1 <= step <= 50 or 100 % step:
        raise InvalidArgument(f"the step must divide 100 and be at most 50, got {step}")
    return np.arange(0, 101, step, dtype=np.float64)


def polarised(explanation: Explanation, polarity: Polarity, mated: bool) -> tuple[Maps, Maps]:
    """The probe's and the reference's map, turned round where ``polarity`` says so."""
    sign = -1.0 if polarity == "by truth" and not mated else 1.0
    return sign * explanation.probe, sign * explanation.reference


def masked_query(case: Case, in_probe: Mask, in_reference: Mask, fill: Fill, *, both: bool) -> Query:
    """The probe with each mask hidden, and the reference whole or, with ``both``, hidden too."""
    pair = case.pair
    references = hide(pair.reference.crop, in_reference, fill) if both else pair.reference.crop[None]
    return Query(hide(pair.probe.crop, in_probe, fill), references)


def curve_values(scores: Reals, mated: bool, threshold: float, shares: Reals) -> dict[str, float]:
    """What deletion and insertion give for one pair."""
    correct = area(right(scores, mated, threshold), shares)
    return {
        "accuracy area": correct,
        "accuracy area, mated": correct if mated else np.nan,
        "accuracy area, non-mated": np.nan if mated else correct,
        "score area, mated": area(scores, shares) if mated else np.nan,
    }
