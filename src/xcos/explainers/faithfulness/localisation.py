"""Localisation with known truth: does a map point to the place where something was done?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record, one, single, with_crop
from xcos.explainers.faithfulness.ranks import Mask, highest, roc_auc
from xcos.interfaces import Comparator, Embedder
from xcos.occluders import OCCLUDERS
from xcos.types import Maps

LEVELS = (0.3, 0.5, 0.7)


def pointing_hit(values: Maps, truth: Mask) -> float:
    """1 if the highest pixel lies inside ``truth``; with several highest ones the share of them that does."""
    return float(truth[values == values.max()].mean())


def mass_ratio(values: Maps, truth: Mask) -> float:
    """Share of the map's positive mass inside ``truth`` over its share of the area: 1 is chance; NaN without mass."""
    mass = np.clip(values, 0, None)
    share, total = float(truth.mean()), float(mass.sum())
    return float(mass[truth].sum()) / total / share if total > 0 and share > 0 else float("nan")


def iou(values: Maps, truth: Mask, level: float) -> float:
    """Intersection over union of ``truth`` and the pixels above ``level`` of the way from the lowest to the highest."""
    low, high = float(values.min()), float(values.max())
    return _overlap(values > low + level * (high - low), truth)


def iou_of_equal_area(values: Maps, truth: Mask, seed: int) -> float:
    """The same for as many of the highest pixels as ``truth`` has: needs no level and no scale."""
    (chosen,) = highest(values, np.array([100 * truth.mean()]), seed)
    return _overlap(chosen, truth)


def _overlap(chosen: Mask, truth: Mask) -> float:
    union = int((chosen | truth).sum())
    return float((chosen & truth).sum()) / union if union else float("nan")


@dataclass(frozen=True)
class OccluderLocalisation:
    """Whether the map is lowest where the probe of a mated pair was covered (:mod:`xcos.occluders`).

    The covered pair is explained and the negated map held against what is covered. Non-mated pairs are left out: there
    an occluder hides differences as well.
    """

    occluder: str = "squares"
    seed: int = 0
    most_pairs: int = 0

    title: ClassVar[str] = "occluder localisation"
    needs: ClassVar[tuple[Need, ...]] = ()
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("AUC", "higher", headline=True),
        Figure("pointing hit", "higher"),
        Figure("mass over area", "lower"),
        *(Figure(f"IoU at {level}", "higher") for level in LEVELS),
        Figure("IoU of equal area", "higher"),
    )

    def __post_init__(self) -> None:
        if self.occluder not in OCCLUDERS:
            raise InvalidArgument(f"occluder must be one of {', '.join(OCCLUDERS)}, got {self.occluder!r}")

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """Each figure once; empty for a non-mated pair."""
        yield from ()  # nothing is scored
        pair = case.pair
        if not pair.mated:
            return {}
        random = np.random.default_rng([self.seed, case.seed])
        crop, covered = OCCLUDERS[self.occluder](pair.probe.crop, pair.probe.template, random)
        evidence = -explain(with_crop(pair.probe, crop), pair.reference).probe
        levels = {f"IoU at {level}": np.array([iou(evidence, covered, level)]) for level in LEVELS}
        found = one(AUC=roc_auc(evidence, covered), pointing_hit=pointing_hit(evidence, covered),
                    mass_over_area=mass_ratio(-evidence, covered),
                    IoU_of_equal_area=iou_of_equal_area(evidence, covered, case.seed))  # fmt: skip
        return {**found, **levels}

    def values(self, record: Record, mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded; NaN for non-mated pairs."""
        return single(record) if mated else {figure.name: np.nan for figure in self.figures}


def occluder_weight(
    embedder: Embedder, comparator: Comparator, cases: list[Case], *, occluder: str = "squares", seed: int = 0
) -> float:
    """Attention on covered cells over their share of the area, mean over pairs: 1 for a weighting that sees nothing.

    A cell counts as covered by the share of its square that is; probes are covered, references are not.
    """
    ratios = []
    for case in cases:
        pair = case.pair
        random = np.random.default_rng([seed, case.seed])
        crop, covered = OCCLUDERS[occluder](pair.probe.crop, pair.probe.template, random)
        grids = embedder.embed(np.stack([crop, pair.reference.crop])).grids
        _, attention = comparator.maps(grids[:1], grids[1:])
        share = cell_means(covered.astype(np.float64), *attention.shape[1:])
        ratios.append(float((attention[0] * share).sum() / attention.sum() / share.mean()))
    return float(np.mean(ratios))


def cell_means(values: Maps, rows: int, cols: int) -> Maps:
    """``(rows, cols)`` means of a map over the squares of a grid, which is what ``on_crop`` spreads."""
    height, width = values.shape
    row = (np.arange(height) * rows) // height
    col = (np.arange(width) * cols) // width
    sums = np.zeros((rows, cols))
    np.add.at(sums, (row[:, None], col[None, :]), values)
    counts = np.bincount(row, minlength=rows)[:, None] * np.bincount(col, minlength=cols)[None, :]
    return sums / counts
