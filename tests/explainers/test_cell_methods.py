"""Methods that add up: own maps, norm weighting, threshold-centred contributions; and brute-force occlusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers.toys import SIDE, TEMPLATE, Counting, WeightedSum, cells_of, face, noise, white

from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.errors import InvalidArgument
from xcos.explainers.cell_occlusion import CellOcclusion
from xcos.explainers.centered import Centered, centered
from xcos.explainers.explanation import Cost
from xcos.explainers.matcher import GridMatcher, VectorMatcher
from xcos.explainers.norm_weighting import NormWeighting
from xcos.explainers.own_maps import OwnMaps
from xcos.interfaces import Comparator
from xcos.testing import FAKE_CARD, FakeEmbedder
from xcos.types import Comparison, Reals, Templates

COMPARATORS: list[Comparator] = [Uniform(), NormWeighted(), TrustWeighted()]


def embedder(cells: int = 4) -> FakeEmbedder:
    return FakeEmbedder(cells, replace(FAKE_CARD, template=TEMPLATE))


def flat_cosine(one: Templates, other: Templates) -> float:
    a, b = (each.grids.astype(float).ravel() for each in (one, other))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("comparator", COMPARATORS, ids=lambda each: each.name)
def test_own_maps_are_the_contributions_and_sum_to_the_score(comparator: Comparator) -> None:
    matcher = GridMatcher(embedder(), comparator)
    found = OwnMaps(matcher).explain(noise(0), noise(1))
    grids = [embedder().embed(noise(seed).crop[None]).grids for seed in (0, 1)]
    similarity, attention = comparator.maps(*grids)
    for values in (found.probe, found.reference):
        assert np.allclose(cells_of(values, 4, 4), (similarity * attention)[0], atol=1e-12)
    assert cells_of(found.probe, 4, 4).sum() == pytest.approx(found.score, abs=1e-12)
    assert found.cost == Cost(2)
    assert found.settings == {"rows": 4, "cols": 4}


def test_own_maps_by_hand() -> None:
    """One colour in four cells: the left ones equal, the right ones at right angles to within the embedder's +1."""
    left, right = white().crop.copy(), white().crop.copy()
    left[:, SIDE // 2 :] = (255, 0, 0)
    right[:, SIDE // 2 :] = (0, 255, 0)
    found = OwnMaps(GridMatcher(embedder(2), Uniform())).explain(face(left), face(right))
    cosine = (256 + 256 + 1) / (256**2 + 1 + 1)  # (256, 1, 1) · (1, 256, 1)
    assert np.allclose(cells_of(found.probe, 2, 2), np.array([[1, cosine], [1, cosine]]) / 4, atol=1e-7)


def test_norm_weighting_sums_to_the_cosine_of_the_flattened_grids_whatever_the_matcher() -> None:
    grids = [embedder().embed(noise(seed).crop[None]) for seed in (0, 1)]
    for matcher in (GridMatcher(embedder(), Uniform()), VectorMatcher(embedder())):
        found = NormWeighting(matcher).explain(noise(0), noise(1))
        assert cells_of(found.probe, 4, 4).sum() == pytest.approx(flat_cosine(*grids), abs=1e-12)
        assert found.score == pytest.approx(float(matcher.score(*grids)[0]))
    by_norm = NormWeighting(GridMatcher(embedder(), NormWeighted())).explain(noise(0), noise(1))
    assert cells_of(by_norm.reference, 4, 4).sum() == pytest.approx(by_norm.score, abs=1e-12)


@pytest.mark.parametrize("comparator", COMPARATORS, ids=lambda each: each.name)
@pytest.mark.parametrize("threshold", [0.0, 0.7, -0.2])
def test_centred_contributions_sum_to_what_the_score_is_above_the_threshold(
    comparator: Comparator, threshold: float
) -> None:
    found = Centered(GridMatcher(embedder(), comparator), threshold).explain(noise(0), noise(1))
    assert cells_of(found.probe, 4, 4).sum() == pytest.approx(found.score - threshold, abs=1e-12)
    assert found.settings == {"rows": 4, "cols": 4, "threshold": threshold}


def test_centred_contributions_by_hand() -> None:
    """Attention ¼ each: w (S − t). With attention 0.2 in all, the threshold is spread over it."""
    similarity, attention = np.array([[0.9, 0.5], [0.1, 0.7]]), np.full((2, 2), 0.25)
    assert np.allclose(centered(Comparison(similarity, attention), 0.6), [[0.075, -0.025], [-0.125, 0.025]])
    weak = centered(Comparison(similarity, np.array([[0.15, 0.05], [0.0, 0.0]])), 0.08)
    assert np.allclose(weak, np.array([[0.9 * 0.15 - 0.06, 0.5 * 0.05 - 0.02], [0, 0]]))
    nothing = centered(Comparison(similarity, np.zeros((2, 2))), 0.08)
    assert np.allclose(nothing, -0.02)


@pytest.mark.parametrize("threshold", [np.nan, np.inf])
def test_a_threshold_is_a_number(threshold: float) -> None:
    with pytest.raises(InvalidArgument, match="finite"):
        Centered(GridMatcher(embedder(), Uniform()), threshold)


# Brute force


def test_cell_occlusion_is_the_weights_of_a_weighted_sum() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 4))
    matcher = Counting(WeightedSum(weights))
    found = CellOcclusion(matcher, rows=4, cols=4, fill="black").explain(white(), white())
    for values in (found.probe, found.reference):
        assert np.allclose(cells_of(values, 4, 4), weights, atol=1e-6)
    assert found.cost.forward == matcher.passes == 2 + 2 * 16
    assert found.settings == {"rows": 4, "cols": 4, "fill": "black"}


def test_the_fall_of_a_cell_goes_by_what_is_put_in_its_place() -> None:
    """Half grey is hidden by the mean of a crop half black, half white: less is lost than with black."""
    crop = white().crop.copy()
    crop[SIDE // 2 :] = 0
    matcher = WeightedSum(np.ones((2, 1)))
    falls = [
        cells_of(CellOcclusion(matcher, 2, 1, fill=fill).explain(face(crop), white()).probe, 2, 1).ravel()
        for fill in ("black", "grey", "mean")
    ]
    half = 128 / 255
    assert np.allclose(falls, np.array([[1, 0], [1 - half, -half], [1 - half, -half]]), atol=1e-6)


@dataclass(frozen=True, eq=False)
class Interaction(WeightedSum):
    """Product of the two cells: hiding either loses everything, as brute force must show."""

    def score(self, probes: Templates, references: Templates) -> Reals:
        products, means = (
            probes.grids[..., 0].astype(float).prod(axis=(1, 2)),
            references.grids[..., 0].mean(axis=(1, 2)),
        )
        return np.asarray(products * means)


def test_brute_force_sees_interactions() -> None:
    found = CellOcclusion(Interaction(np.ones((1, 2))), 1, 2, fill="black").explain(white(), white())
    assert np.allclose(cells_of(found.probe, 1, 2), [[1, 1]], atol=1e-6)


def test_cells_are_at_least_one_and_at_most_the_pixels() -> None:
    matcher = WeightedSum(np.ones((1, 1)))
    with pytest.raises(InvalidArgument, match="at least one cell"):
        CellOcclusion(matcher, rows=0)
    with pytest.raises(InvalidArgument, match="more than the pixels"):
        CellOcclusion(matcher, rows=SIDE + 1).explain(white(), white())
