"""Patch-LFW: patches of another photo pasted into the probe, and the decision put right by the map's own order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.localisation import iou_of_equal_area, pointing_hit
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Query, Record, one, with_crop
from xcos.explainers.faithfulness.ranks import Mask, area, highest, roc_auc
from xcos.explainers.faithfulness.threshold import right
from xcos.types import AlignedFace, Crops, Reals

SHARES: Reals = np.arange(5, 96, 5, dtype=np.float64)
SIDE, OF = 16, 112
"""Patches are 16 pixels wide in crops of 112; in other crops as large a part of the face."""


@dataclass(frozen=True)
class PatchLfw:
    """Errors while X % of the patched probe's pixels are restored in the order of its map, X = 5, 10 … 95.

    Huber, Luu, Terhörst, Damer (WACV 2024): 27 square patches at random places (overlaps allowed) come from the
    reference for a non-mated pair, from another person's photo for a mated one. The patched pair is explained. If it
    is decided to be different people at the threshold of equal error rates of the clean pairs, the X % of the *lowest*
    values are restored from the original probe, otherwise the *highest*. Figures are the areas under FNMR and FMR over
    X, their gain over random pixels, and, as the places are known, how well the map tells them: low values for a
    stranger's patches, high values for the reference's own.
    """

    patches: int = 27
    side: int = 0
    """Pixels; 0: 16 of 112."""
    seed: int = 3
    most_pairs: int = 0

    title: ClassVar[str] = "patch-lfw"
    needs: ClassVar[tuple[Need, ...]] = ("stranger", "threshold")
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("error area", "lower", headline=True),
        Figure("FNMR area", "lower"),
        Figure("FMR area", "lower"),
        Figure("gain over random", "higher"),
        Figure("patch AUC", "higher", headline=True),
        Figure("patch IoU", "higher"),
        Figure("pointing hit", "higher"),
    )

    def __post_init__(self) -> None:
        if self.patches < 1 or self.side < 0:
            raise InvalidArgument(f"patches must be ≥ 1 and their side ≥ 0, got {self.patches} and {self.side}")

    def play(self, case: Case, explain: Explain, threshold: float) -> Play:
        """``patched``: the patched pair's score; ``restored`` and ``random``: scores at each X; how well it points."""
        pair = case.pair
        donor = case.stranger if pair.mated else pair.reference
        covered = self.places(pair.probe.crop.shape[0], pair.probe.crop.shape[1], case.seed)
        patched = with_crop(pair.probe, np.where(covered[..., None], donor.crop, pair.probe.crop))
        reference = pair.reference.crop[None]
        score = yield Query(patched.crop[None], reference, shared=True)
        values = explain(patched, pair.reference).probe
        order = values if score[0] >= threshold else -values
        restored = yield Query(_restored(patched, pair.probe, highest(order, SHARES, case.seed)), reference)
        anywhere = highest(np.zeros_like(values), SHARES, case.seed + 1)
        random = yield Query(_restored(patched, pair.probe, anywhere), reference, shared=True)
        evidence = -values if pair.mated else values
        pointing = one(patch_AUC=roc_auc(evidence, covered), patch_IoU=iou_of_equal_area(evidence, covered, case.seed),
                       pointing_hit=pointing_hit(evidence, covered))  # fmt: skip
        return {"patched": score, "restored": restored, "random": random, **pointing}

    def places(self, height: int, width: int, pair_seed: int) -> Mask:
        """``(H, W)``: where the patches lie; drawn from ``seed`` and the pair, so that no other pair moves them."""
        side = self.side or max(1, round(SIDE / OF * min(height, width)))
        random = np.random.default_rng([self.seed, pair_seed])
        covered = np.zeros((height, width), bool)
        for _ in range(self.patches):
            top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
            covered[top : top + side, left : left + side] = True
        return covered

    def values(self, record: Record, mated: bool, threshold: float) -> dict[str, float]:
        """Areas under the pair's own 0 or 1 (an error at X), whose means are those under the rates."""
        wrong, by_chance = (area(1 - right(record[name], mated, threshold), SHARES) for name in ("restored", "random"))
        return {
            "error area": wrong,
            "FNMR area": wrong if mated else np.nan,
            "FMR area": np.nan if mated else wrong,
            "gain over random": by_chance - wrong,
            **{name: float(record[name][0]) for name in ("patch AUC", "patch IoU", "pointing hit")},
        }


def _restored(patched: AlignedFace, original: AlignedFace, chosen: Mask) -> Crops:
    return np.where(chosen[..., None], original.crop, patched.crop)
