"""The hiding game: the score while the highest, or the lowest, pixels of a map are hidden one percent after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.explainers.faithfulness.deletion import shares_of
from xcos.explainers.faithfulness.fills import Fill, hide
from xcos.explainers.faithfulness.measure import (
    Case,
    Explain,
    Figure,
    Need,
    Play,
    Query,
    Record,
    one,
    single,
    with_crop,
)
from xcos.explainers.faithfulness.ranks import Mask, area, highest
from xcos.types import Maps


@dataclass(frozen=True)
class HidingGame:
    """Mean score while p % of the probe are hidden, p = 0 … 100: from the top of the map, and from its bottom.

    Ties are shuffled, so exactly p % are hidden. The gap, bottom minus top, is 0 for a random map and needs neither a
    threshold nor a scale.
    """

    step: int = 1
    fill: Fill = "black"

    title: ClassVar[str] = "hiding game"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("gap", "higher", headline=True),
        Figure("top hidden", "lower"),
        Figure("bottom hidden", "higher"),
    )

    def __post_init__(self) -> None:
        shares_of(self.step)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """``top`` and ``bottom``: scores at each p."""
        pair = case.pair
        values = explain(pair.probe, pair.reference).probe
        shares, reference = shares_of(self.step), pair.reference.crop[None]
        hidden = np.concatenate([highest(values, shares, case.seed), highest(-values, shares, case.seed)])
        top, bottom = np.split((yield Query(hide(pair.probe.crop, hidden, self.fill), reference)), 2)
        return {"top": top, "bottom": bottom}

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """Areas under the two curves, and what lies between them."""
        top, bottom = (area(record[name], shares_of(self.step)) for name in ("top", "bottom"))
        return {"gap": bottom - top, "top hidden": top, "bottom hidden": bottom}


@dataclass(frozen=True)
class CompositeGame:
    """Share of the highest p % of the map that lies in the mated half of a face made of two people's halves.

    The probe of a mated pair keeps one half and is given a stranger's other half; which one alternates by chance. The
    figure is the mean over p = 1 … 50 % of the share: 0.5 is chance, 1 all in the mated half. Non-mated pairs are
    left out.
    """

    seed: int = 0
    most_pairs: int = 0

    title: ClassVar[str] = "composite game"
    needs: ClassVar[tuple[Need, ...]] = ("stranger",)
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (Figure("share in the mated half", "higher", headline=True),)

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The share; empty for a non-mated pair."""
        yield from ()  # nothing is scored
        pair = case.pair
        if not pair.mated:
            return {}
        height, width = pair.probe.crop.shape[:2]
        left = bool(np.random.default_rng([self.seed, case.seed]).integers(2))
        kept = np.broadcast_to((np.arange(width) < width / 2) == left, (height, width))
        composite = np.where(kept[..., None], pair.probe.crop, case.stranger.crop)
        values = explain(with_crop(pair.probe, composite), pair.reference).probe
        return one(share_in_the_mated_half=share_inside(values, kept, case.seed))

    def values(self, record: Record, mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded; NaN for non-mated pairs."""
        return single(record) if mated else {figure.name: np.nan for figure in self.figures}


def share_inside(values: Maps, inside: Mask, seed: int) -> float:
    """Mean over p = 1 … 50 % of the share of the highest p % that lies ``inside``; ties are shuffled."""
    chosen = highest(values, np.arange(1, 51, dtype=np.float64), seed)
    return float(((chosen & inside).sum(axis=(1, 2)) / chosen.sum(axis=(1, 2))).mean())
