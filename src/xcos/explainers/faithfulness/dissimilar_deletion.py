"""Deletion of what speaks against one person: does the score of two people rise once it is gone?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from xcos.explainers.faithfulness.deletion import shares_of
from xcos.explainers.faithfulness.fills import Fill, hide
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record
from xcos.explainers.faithfulness.ranks import Ties, above_percentiles, area


@dataclass(frozen=True)
class DissimilarDeletion:
    """Rise of the score of a non-mated pair while the lowest P % of the probe's map are hidden.

    With ``fill="partner"`` they are replaced by the reference's pixels in the same places, which must end in the
    score of a photo with itself; a good map gets there early. Mated pairs are left out.
    """

    step: int = 10
    fill: Fill | Literal["partner"] = "partner"
    ties: Ties = "keep"

    title: ClassVar[str] = "dissimilar deletion"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("score rise", "higher", headline=True),
        Figure("false match area", "higher"),
    )

    def __post_init__(self) -> None:
        shares_of(self.step)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """``scores`` at each P; none for a mated pair."""
        pair = case.pair
        if pair.mated:
            return {}
        shown = explain(pair.probe, pair.reference)
        chosen = above_percentiles(-shown.probe, shares_of(self.step), self.ties, case.seed)
        if self.fill == "partner":
            probes = np.where(chosen[..., None], pair.reference.crop, pair.probe.crop)
        else:
            probes = hide(pair.probe.crop, chosen, self.fill)
        return {"scores": (yield Query(probes, pair.reference.crop[None]))}

    def values(self, record: Record, mated: bool, threshold: float) -> dict[str, float]:
        """Mean rise of the score over P, and mean share of P at which the pair is a false match."""
        if mated:
            return {"score rise": np.nan, "false match area": np.nan}
        scores, shares = record["scores"], shares_of(self.step)
        matched = (scores >= threshold).astype(np.float64)
        return {"score rise": area(scores - scores[0], shares), "false match area": area(matched, shares)}
