"""For every method of the catalogue a pair whose true importance is known by hand, on a matcher made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from explainers.cell_toys import POINTS, CellColors, mosaic, toy_face
from explainers.toys import SIDE, TEMPLATE, WeightedSum, hot, per_pixel, white

from xcos.compare import NormWeighted, TrustWeighted
from xcos.explainers.cell_fields import CellFields
from xcos.explainers.cell_occlusion import CellOcclusion
from xcos.explainers.centered import Centered
from xcos.explainers.corr_rise import CorrRise
from xcos.explainers.counterfactual import CounterfactualQuestion
from xcos.explainers.dise import Dise
from xcos.explainers.explanation import Explainer, on_crop
from xcos.explainers.floors import CenterGaussian, Edges, RandomMap, UniformMap
from xcos.explainers.lime import Lime, landmark_regions
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.min_plus import MinPlus
from xcos.explainers.norm_weighting import NormWeighting
from xcos.explainers.own_maps import OwnMaps
from xcos.explainers.rise import Rise
from xcos.explainers.seen import Seen
from xcos.explainers.semantic import FaceRegion, Polygon, RegionSet, SemanticRegions
from xcos.explainers.semantic.regions import in_frame
from xcos.explainers.sliding_occlusion import SlidingOcclusion
from xcos.explainers.transport import Transport
from xcos.testing import FAKE_CARD, FakeComparator, FakeEmbedder
from xcos.types import AlignedFace, Grids, Maps, Reals


@dataclass(frozen=True, eq=False)
class Known:
    """A pair and what a sound method says of the probe."""

    explainer: Explainer
    probe: AlignedFace
    reference: AlignedFace
    truth: Maps
    """``(H, W)``: above 0 what speaks for one person, below 0 what speaks against, 0 what does not matter."""
    within: float | None = None
    """How near the map must come to the truth; None where what matters must only stand out."""


HOT, COLD = (slice(18, 26), slice(8, 24)), (slice(3, 8), slice(8, 24))  # the toy's mouth and its forehead
SIMILARITY: Reals = np.array([[1.0, 0.6], [0.2, 0.1]])

SEES: Reals = np.array([[[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 1]]], np.float64)


def spots(explainer: Explainer, *, signed: bool = True) -> Known:
    """A hot place, and where the method can say so a cold one, of a score that is a weighted sum of bright pixels."""
    return Known(explainer, white(), white(), weights(signed=signed))


def weights(*, signed: bool = True) -> Reals:
    return hot(HOT, COLD, weights=(1.0, -0.6)) if signed else hot(HOT)


def cells(make: Callable[[GridMatcher], Explainer], truth: Reals) -> Known:
    """Four cells of the similarities above, a quarter of the attention each."""
    comparator = FakeComparator(tuple(map(tuple, SIMILARITY.tolist())), ((0.25, 0.25), (0.25, 0.25)))
    matcher = GridMatcher(FakeEmbedder(2, replace(FAKE_CARD, template=TEMPLATE)), comparator)
    return Known(make(matcher), white(), white(), on_crop(truth, SIDE, SIDE), within=1e-7)


def norms() -> Known:
    """Cells of length 1 and 2 in one photo, 1 in the other, one at right angles: |a| |b| cos / (|A| |B|)."""
    lengths = np.array([[1.0, 2.0], [2.0, 1.0]])
    red = np.zeros((2, 2, 3))
    red[..., 0] = 100
    probe, reference = red * lengths[..., None], red.copy()
    probe[1, 1] = (0, 100, 0)
    truth = lengths * np.array([[1, 1], [1, 0]]) / (np.linalg.norm(lengths) * 2)
    explainer = NormWeighting(GridMatcher(CellColors(2, 2), NormWeighted()))
    return Known(explainer, toy_face(mosaic(probe)), toy_face(mosaic(reference)), on_crop(truth, 56, 56), within=1e-7)


def moved() -> Known:
    """Two photos that are alike but in one corner, whose colour is nowhere in the other photo."""
    colors = np.random.default_rng(0).integers(60, 256, (7, 7, 3))
    colors[..., 2] = 0
    strange = colors.copy()
    strange[:2, :2] = (0, 0, 255)
    truth = np.ones((7, 7))
    truth[:2, :2] = 0
    explainer = Transport(GridMatcher(CellColors(), TrustWeighted()))
    return Known(explainer, toy_face(mosaic(strange)), toy_face(mosaic(colors)), on_crop(truth, 56, 56))


def named_regions() -> Known:
    """All attention on one cell, whose square is a region: hiding it loses the whole score, over 8 × 8 pixels."""
    attention = np.zeros((7, 7))
    attention[5, 3] = 1.0
    probe = toy_face(mosaic(np.random.default_rng(0).integers(60, 256, (7, 7, 3))))
    corners = in_frame(POINTS, np.array([[23.5, 39.5], [31.5, 39.5], [31.5, 47.5], [23.5, 47.5]]))
    rest = FaceRegion("brow", (Polygon(corners - (0, 1)),))
    regions = RegionSet("toy", (FaceRegion("lip", (Polygon(corners),)), rest))
    matcher = GridMatcher(CellColors(), Attending(attention))
    explainer = SemanticRegions(matcher, regions, fill="black")
    return Known(explainer, probe, probe, on_crop(attention / 64, 56, 56), within=1e-7)


@dataclass(frozen=True, eq=False)
class Attending:
    """Cosines of cells, the same attention for every pair."""

    attention: Reals
    name: str = "attending"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        similarity, _ = TrustWeighted().maps(probes, references)
        return similarity, np.broadcast_to(self.attention, similarity.shape).copy()


def edge() -> Known:
    """A step in the middle."""
    crop = white().crop.copy()
    crop[:, : SIDE // 2] = 0
    truth = np.zeros((SIDE, SIDE))
    truth[:, SIDE // 2 - 1 : SIDE // 2 + 1] = 1
    face = replace(white(), crop=crop)
    return Known(Edges(WeightedSum(np.ones((1, 1)))), face, face, truth)


def middle() -> Known:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    truth = (np.abs(rows - 15.5) < 6) & (np.abs(cols - 15.5) < 6)
    return Known(CenterGaussian(WeightedSum(np.ones((1, 1)))), white(), white(), truth.astype(np.float64))


def tiles() -> Known:
    values = np.random.default_rng(0).normal(size=(4, 4))
    explainer = CellOcclusion(WeightedSum(values), 4, 4, "black")
    return Known(explainer, white(), white(), on_crop(values, SIDE, SIDE), within=1e-6)


def parts() -> Known:
    """Each pixel has a weight; a region's is their sum, and a straight line through regions is exact."""
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    labels = landmark_regions(white(), halves=True)
    truth: Maps = np.bincount(labels.ravel(), values.ravel())[labels].astype(np.float64)
    return Known(Lime(per_pixel(values), masks=300, ridge=1e-9, fill="black"), white(), white(), truth, within=1e-3)


MATCHER, UNSIGNED = per_pixel(weights()), per_pixel(weights(signed=False))
KNOWN: dict[str, Callable[[], Known]] = {
    "own": lambda: cells(OwnMaps, SIMILARITY / 4),
    "norm": norms,
    "centered": lambda: cells(lambda matcher: Centered(matcher, 0.4), (SIMILARITY - 0.4) / 4),
    "seen": lambda: cells(  # the first cell sees the last square, the others their own
        lambda matcher: Seen(matcher, 0.4, CellFields("fake", SEES, "made up")),
        np.array([[0.0, 0.2], [-0.2, -0.3 + 0.6]]) / 4,
    ),
    "counterfactual": lambda: cells(  # 0.475 is a match; without the first cell 0.3 is not
        lambda matcher: CounterfactualQuestion(matcher, 0.4), np.array([[0.6, 0.0], [0.0, 0.0]]) / 4
    ),
    "cell-occlusion": tiles,
    "x-face": lambda: spots(SlidingOcclusion(MATCHER)),
    "rise": lambda: spots(Rise(MATCHER, masks=1500, fill="black")),
    "corrrise": lambda: spots(CorrRise(MATCHER, masks=1500)),
    "minplus": lambda: spots(MinPlus(MATCHER)),
    "dise": lambda: spots(Dise(UNSIGNED, masks=1500, cells=8, fill="black"), signed=False),
    "lime": parts,
    "transport": moved,
    "semantic": named_regions,
    "center": middle,
    "edges": edge,
    "uniform": lambda: Known(UniformMap(MATCHER), white(), white(), np.ones((SIDE, SIDE)), within=0.0),
}
"""By the method's name; those that need torch are in ``tests/gradients/known_truth.py``."""
IGNORANT: dict[str, Callable[[], Known]] = {"random": lambda: spots(RandomMap(MATCHER))}
"""Methods that must not know it."""
