"""Rank correlation of a map's cells with what hiding each of them really does to the score."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import on_crop
from xcos.explainers.faithfulness.fills import Fill, hide
from xcos.explainers.faithfulness.localisation import cell_means
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record, one, single
from xcos.explainers.faithfulness.ranks import Mask, spearman
from xcos.types import Maps, Reals


@dataclass(frozen=True)
class CellOcclusion:
    """Spearman's correlation of the map's cell means with the drop of the score when that cell alone is hidden.

    The truth is brute force, one pass for each cell of each photo: 49 + 49 for 7 × 7. An explainer that hides the same
    cells with the same fill is this truth, and reaches 1 by construction.
    """

    rows: int = 7
    cols: int = 7
    fill: Fill = "black"

    title: ClassVar[str] = "cell occlusion"
    needs: ClassVar[tuple[Need, ...]] = ()
    most_pairs: ClassVar[int] = 0
    explains_again: ClassVar[bool] = False
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("rank correlation", "higher", headline=True),
        Figure("on the probe", "higher"),
        Figure("on the reference", "higher"),
    )

    def __post_init__(self) -> None:
        if self.rows * self.cols < 3:
            raise InvalidArgument(f"an order needs three cells or more, got {self.rows} × {self.cols}")

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The three correlations."""
        explanation = explain(case.pair.probe, case.pair.reference)
        on_probe, on_reference = yield from self.effects(case)
        found = [
            spearman(cell_means(values, self.rows, self.cols), effect)
            for values, effect in ((explanation.probe, on_probe), (explanation.reference, on_reference))
        ]
        return one(rank_correlation=float(np.mean(found)), on_the_probe=found[0], on_the_reference=found[1])

    def effects(self, case: Case) -> Generator[Query, Reals, tuple[Maps, Maps]]:
        """``(rows, cols)`` drops of the score, by cells of the probe and by cells of the reference."""
        probe, reference = case.pair.probe.crop, case.pair.reference.crop
        hidden = cell_masks(self.rows, self.cols, *probe.shape[:2])
        clean = yield Query(probe[None], reference[None], shared=True)
        by_probe = yield Query(hide(probe, hidden, self.fill), reference[None], shared=True)
        by_reference = yield Query(probe[None], hide(reference, hidden, self.fill), shared=True)
        shape = self.rows, self.cols
        return (clean[0] - by_probe).reshape(shape), (clean[0] - by_reference).reshape(shape)

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)


def cell_masks(rows: int, cols: int, height: int, width: int) -> Mask:
    """``(rows · cols, H, W)``: each cell's square, in reading order."""
    numbers = on_crop(np.arange(rows * cols, dtype=np.float64).reshape(rows, cols), height, width)
    masks: Mask = numbers == np.arange(rows * cols)[:, None, None]
    return masks
