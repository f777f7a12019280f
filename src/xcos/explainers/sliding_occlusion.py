"""Sliding occlusion after x-face: black patches of three sizes over one photo or both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.masking import FILLS, PAIR_COST, Fill, Pair, open_pair
from xcos.explainers.masks import Boxes, hidden_sum
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import pixels_of, require, require_one_of, settings_of
from xcos.explainers.smoothing import smoothed
from xcos.extractor import usable_cores
from xcos.types import AlignedFace, Maps, Reals, Templates

SIZES = (7 / 112, 14 / 112, 28 / 112)
BLUR_RADIUS_STRIDES = 0.4  # a kernel of 5 pixels at a stride of 5


@dataclass(frozen=True)
class SlidingOcclusion:
    """Mean fall of the score over all patches that hide a pixel, for patches of 1/16, 1/8 and 1/4 of the crop.

    Knoche, Teepe, Hörmann, Rigoll, "Explainable Model-Agnostic Similarity and Confidence in Face Verification" (WACV
    Workshops 2023). Which scores a patch's fall is measured by is the ``comparing``:

    * ``all`` (their method 1): the occluded photo with every occluded version of the other one, on average;
    * ``clean`` (method 2): with the other photo untouched;
    * ``same`` (method 3): with the other photo occluded at the same place; both photos get one map.

    Patches stand every ``stride`` (a share of the crop; 5 of 112 pixels). The map is divided by its largest absolute
    value, so it lies in −1…1; above 0 speaks for one person.
    """

    matcher: Matcher
    comparing: Literal["all", "clean", "same"] = "clean"
    stride: float = 5 / 112
    fill: Fill = "black"
    name: str = "x-face"

    def __post_init__(self) -> None:
        require(0 < self.stride < 1, f"stride is a share of the crop between 0 and 1, got {self.stride}")
        require_one_of(self.comparing, ("all", "clean", "same"), "comparing")
        require_one_of(self.fill, FILLS, "fill")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps in −1…1; two passes and one for each patch of each photo."""
        pair = open_pair(self.matcher, probe, reference)
        size, stride = pair.probe.size, pixels_of(self.stride, pair.probe.size)
        sides = [pixels_of(share, size) for share in SIZES]
        sums = [np.zeros(size), np.zeros(size)]
        for side in sides:
            patches = sliding_patches(*size, side, stride)
            for total, scores in zip(sums, self._scores(pair, patches), strict=True):
                total += _patch_map(patches, (pair.score - scores) / side**2, stride)
        passes = 2 * sum(len(sliding_patches(*size, side, stride)) for side in sides)
        settings = settings_of(self) | {"patches": ",".join(map(str, sides)), "stride_pixels": stride}
        one, other = map(_scaled, sums)
        return Explanation(self.name, one, other, pair.score, PAIR_COST + Cost(passes), settings)

    def _scores(self, pair: Pair, patches: Boxes) -> tuple[Reals, Reals]:
        """``(n,)`` scores that belong to each patch, of probe and reference."""
        if self.comparing == "clean":
            return pair.probe.scores(patches, self.fill), pair.reference.scores(patches, self.fill)
        probes, references = (side.templates(patches, self.fill) for side in pair.sides)
        if self.comparing == "same":
            scores = self.matcher.score(probes, references)
            return scores, scores
        every = self._every_score(probes, references)
        return every.mean(axis=1), every.mean(axis=0)

    def _every_score(self, probes: Templates, references: Templates) -> Reals:
        """(n, n): each probe with each reference."""

        def row(index: int) -> Reals:
            one = slice(index, index + 1)
            return self.matcher.score(Templates(probes.grids[one], probes.vectors[one], probes.model), references)

        with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
            return np.stack(list(pool.map(row, range(len(probes)))))


def sliding_patches(height: int, width: int, side: int, stride: int) -> Boxes:
    """Squares of ``side`` pixels every ``stride`` pixels, as published: the last ones end before the border."""
    tops, lefts = np.arange(0, height - side, stride), np.arange(0, width - side, stride)
    top, left = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
    return Boxes(height, width, np.stack([top, left, top + side, left + side], axis=-1)[:, None, :])


def _patch_map(patches: Boxes, falls: Reals, stride: int) -> Maps:
    """Mean over the patches of what each one says of the pixels it hides, smoothed."""
    radius = max(1, round(BLUR_RADIUS_STRIDES * stride))
    return smoothed(hidden_sum(patches, falls) / len(patches), stride, radius=radius)


def _scaled(total: Maps) -> Maps:
    """The mean over the sizes, divided by its largest absolute value."""
    most = np.abs(total).max()
    return total / most if most > 0 else total
