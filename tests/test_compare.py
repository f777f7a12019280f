from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cosine

from xcos.compare import TILE, NormWeighted, TrustWeighted, Uniform, vectors_as_grids
from xcos.errors import InvalidArgument
from xcos.interfaces import Comparator
from xcos.types import Comparison, Grids

SHAPE = (2, 2, 3, 2)
GRIDS = arrays(np.float32, SHAPE, elements=st.floats(-100, 100, width=16))
BOTH = pytest.mark.parametrize(
    "comparator", [Uniform(), NormWeighted(), TrustWeighted()], ids=["uniform", "norm", "trust"]
)


def random_grids(seed: int, n: int = 6, rows: int = 5, cols: int = 7, channels: int = 32) -> Grids:
    rng = np.random.default_rng(seed)
    lengths = rng.gamma(2, 2, (n, rows, cols, 1))
    return (rng.normal(0, 1, (n, rows, cols, channels)) * lengths).astype(np.float32)


def have_features(*batches: Grids) -> bool:
    return all(grid.any() for batch in batches for grid in batch)


def scores(comparator: Comparator, a: Grids, b: Grids) -> list[float]:
    similarity, attention = comparator.maps(a, b)
    return [Comparison(s, w).score for s, w in zip(similarity, attention, strict=True)]


def test_the_uniform_score_is_the_mean_of_the_local_cosines() -> None:
    a, b = random_grids(1), random_grids(2)
    cells = [(i, j) for i in range(5) for j in range(7)]
    expected = [
        np.mean([1 - cosine(x[i, j].astype(float), y[i, j].astype(float)) for i, j in cells])
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(scores(Uniform(), a, b), expected, atol=1e-12)


def test_the_norm_weighted_score_is_the_cosine_of_the_flattened_grids() -> None:
    a, b = random_grids(3), random_grids(4)
    expected = [1 - cosine(x.ravel().astype(float), y.ravel().astype(float)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(scores(NormWeighted(), a, b), expected, atol=1e-12)


def test_trust_weighting_of_two_cells_by_hand() -> None:
    """Trusts 3 and 1 against 2 and 2: weights 6 : 2; cosines 1 and 0; score 6 / 8."""
    a = np.array([[[[3, 0], [0, 1]]]], np.float32)
    b = np.array([[[[2, 0], [2, 0]]]], np.float32)
    similarity, attention = TrustWeighted().maps(a, b)
    np.testing.assert_allclose(similarity, [[[1, 0]]], atol=1e-12)
    np.testing.assert_allclose(attention, [[[0.75, 0.25]]], atol=1e-12)


@given(GRIDS, GRIDS)
def test_trust_weighting_sums_to_one_and_is_a_ratio_of_inner_products(a: Grids, b: Grids) -> None:
    lengths = [np.linalg.norm(grid.astype(float), axis=3) for grid in (a, b)]
    assume((lengths[0] * lengths[1]).sum(axis=(1, 2)).min() > 0)
    _, attention = TrustWeighted().maps(a, b)
    np.testing.assert_allclose(attention.sum(axis=(1, 2)), 1, atol=1e-12)
    products = (a.astype(float) * b.astype(float)).sum(axis=(1, 2, 3))
    expected = products / (lengths[0] * lengths[1]).sum(axis=(1, 2))
    np.testing.assert_allclose(scores(TrustWeighted(), a, b), expected, atol=1e-9)


@given(GRIDS, GRIDS)
def test_norm_weighting_is_the_flattened_cosine_for_any_grids(a: Grids, b: Grids) -> None:
    assume(have_features(a, b))
    flat_a, flat_b = a.reshape(2, -1).astype(float), b.reshape(2, -1).astype(float)
    expected = (flat_a * flat_b).sum(axis=1)
    expected /= np.linalg.norm(flat_a, axis=1) * np.linalg.norm(flat_b, axis=1)
    np.testing.assert_allclose(scores(NormWeighted(), a, b), expected, atol=1e-12)


@BOTH
@given(a=GRIDS, b=GRIDS)
def test_maps_stay_within_what_a_comparison_may_hold(comparator: Comparator, a: Grids, b: Grids) -> None:
    assume(have_features(a, b))
    similarity, attention = comparator.maps(a, b)
    assert similarity.shape == attention.shape == SHAPE[:3]
    assert similarity.dtype == attention.dtype == np.float64
    assert np.abs(similarity).max() <= 1 + 1e-12
    assert attention.min() >= 0
    assert attention.sum(axis=(1, 2)).max() <= 1 + 1e-12


@BOTH
@given(a=GRIDS, b=GRIDS)
def test_swapping_the_two_photos_changes_no_bit(comparator: Comparator, a: Grids, b: Grids) -> None:
    assume(have_features(a, b))
    for there, back in zip(comparator.maps(a, b), comparator.maps(b, a), strict=True):
        np.testing.assert_array_equal(there, back)


@BOTH
def test_a_face_compared_with_itself_is_fully_similar_in_every_cell(comparator: Comparator) -> None:
    grids = random_grids(5)
    similarity, attention = comparator.maps(grids, grids)
    np.testing.assert_allclose(similarity, 1, atol=1e-12)
    np.testing.assert_allclose(attention.sum(axis=(1, 2)), 1, atol=1e-12)
    np.testing.assert_allclose(scores(comparator, grids, grids), 1, atol=1e-12)


@BOTH
def test_a_face_compared_with_its_negative_scores_minus_one(comparator: Comparator) -> None:
    grids = random_grids(6)
    np.testing.assert_allclose(scores(comparator, grids, -grids), -1, atol=1e-12)


@BOTH
def test_the_score_is_the_sum_of_the_contributions(comparator: Comparator) -> None:
    similarity, attention = (maps[0] for maps in comparator.maps(random_grids(7), random_grids(8)))
    one = Comparison(similarity, attention)
    by_hand = sum(similarity[i, j] * attention[i, j] for i in range(5) for j in range(7))
    assert abs(one.score - by_hand) <= 1e-12
    assert abs(one.score - one.contribution.sum()) <= 1e-12


@BOTH
def test_permuting_the_batch_permutes_the_result(comparator: Comparator) -> None:
    a, b, order = random_grids(9), random_grids(10), [3, 0, 5, 1, 4, 2]
    for straight, permuted in zip(comparator.maps(a, b), comparator.maps(a[order], b[order]), strict=True):
        np.testing.assert_array_equal(straight[order], permuted)


@BOTH
def test_a_batch_is_as_good_as_single_pairs(comparator: Comparator) -> None:
    a, b = random_grids(11), random_grids(12)
    for index, maps in enumerate(comparator.maps(a, b)):
        singles = [comparator.maps(a[n : n + 1], b[n : n + 1])[index][0] for n in range(len(a))]
        np.testing.assert_array_equal(maps, np.stack(singles))


@BOTH
def test_a_longer_feature_does_not_change_the_similarity(comparator: Comparator) -> None:
    a, b = random_grids(13), random_grids(14)
    np.testing.assert_allclose(comparator.maps(a * 16, b)[0], comparator.maps(a, b)[0], atol=1e-12)


def test_norm_weights_follow_the_lengths_by_hand() -> None:
    # Two cells of lengths (3, 4) and (4, 3): totals 5 · 5 = 25, products 12 and 12.
    a = np.array([[[[3, 0], [0, 4]]]], np.float32)
    b = np.array([[[[4, 0], [3, 0]]]], np.float32)
    similarity, attention = NormWeighted().maps(a, b)
    np.testing.assert_allclose(similarity[0], [[1, 0]], atol=1e-15)
    np.testing.assert_allclose(attention[0], [[12 / 25, 12 / 25]], atol=1e-15)


@BOTH
def test_a_cell_without_features_is_neither_alike_nor_unlike(comparator: Comparator) -> None:
    a, b = random_grids(15), random_grids(16)
    a[0, 2, 3] = 0
    b[0, 1, 1] = 0
    a[0, 4, 4] = b[0, 4, 4] = 0
    similarity, attention = comparator.maps(a, b)
    for row, col in ((2, 3), (1, 1), (4, 4)):
        assert similarity[0, row, col] == 0
    if isinstance(comparator, NormWeighted):
        assert attention[0, 2, 3] == attention[0, 1, 1] == attention[0, 4, 4] == 0


@BOTH
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((2, 5, 5, 8), (3, 5, 5, 8)),
        ((2, 5, 5, 8), (2, 5, 4, 8)),
        ((2, 5, 5, 8), (2, 5, 5, 9)),
        ((5, 5, 8), (5, 5, 8)),
        ((2, 8), (2, 8)),
    ],
)
def test_grids_that_do_not_pair_are_refused(
    comparator: Comparator, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidArgument, match="grids must be two equal"):
        comparator.maps(np.ones(first, np.float32), np.ones(second, np.float32))


@BOTH
def test_no_pairs_give_no_maps(comparator: Comparator) -> None:
    nothing = np.ones((0, 5, 5, 8), np.float32)
    for maps in comparator.maps(nothing, nothing):
        assert maps.shape == (0, 5, 5)


@BOTH
def test_the_grids_are_not_modified(comparator: Comparator) -> None:
    a, b = random_grids(17), random_grids(18)
    kept = a.copy(), b.copy()
    comparator.maps(a, b)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])


@BOTH
def test_plain_vectors_are_compared_by_their_cosine(comparator: Comparator) -> None:
    rng = np.random.default_rng(19)
    a, b = rng.normal(0, 1, (2, 4, 128)).astype(np.float32)
    got = scores(comparator, vectors_as_grids(a), vectors_as_grids(b))
    expected = [1 - cosine(x.astype(float), y.astype(float)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("weighting", [Uniform(), NormWeighted(), TrustWeighted()], ids=lambda each: each.name)
def test_all_scores_are_those_of_the_maps(weighting: Uniform | NormWeighted | TrustWeighted) -> None:
    random = np.random.default_rng(3)
    probes, references = (random.normal(size=(n, 3, 2, 5)).astype(np.float32) for n in (4, 6))
    probes[1, 0, 0] = 0  # a cell without features
    square = weighting.score_all(probes, references)
    assert square.shape == (4, 6)
    for i, j in np.ndindex(4, 6):
        similarity, attention = weighting.maps(probes[i : i + 1], references[j : j + 1])
        assert square[i, j] == pytest.approx(float((similarity * attention).sum()), abs=1e-6)


def test_all_scores_of_grids_that_differ_in_shape_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        Uniform().score_all(np.ones((2, 3, 3, 4), np.float32), np.ones((2, 3, 2, 4), np.float32))


def test_encoded_faces_score_as_the_maps_do() -> None:
    """All pairs in more than one tile, and listed pairs; cells without features, and a face of nothing else."""
    random = np.random.default_rng(4)
    probes, references = (random.normal(size=(n, 3, 2, 8)).astype(np.float32) for n in (TILE + 3, 5))
    probes *= random.gamma(0.5, 2, (*probes.shape[:3], 1)).astype(np.float32)
    probes[1, 0, 0], probes[2], references[3, 1, 1] = 0, 0, 0
    weighting = TrustWeighted()
    one, other = weighting.encode(probes), weighting.encode(references)
    pairs = np.array(list(np.ndindex(len(probes), 5)))
    similarity, attention = weighting.maps(probes[pairs[:, 0]], references[pairs[:, 1]])
    expected = (similarity * attention).sum(axis=(1, 2))
    np.testing.assert_allclose(weighting.score_all_of(one, other).ravel(), expected, atol=1e-6)
    np.testing.assert_allclose(weighting.score_pairs(one, other, pairs), expected, atol=1e-6)
    assert weighting.score_pairs(one, other, pairs[:0]).shape == (0,)
    np.testing.assert_allclose(weighting.score_all_of(one[2:4], other).ravel(), expected[10:20], atol=1e-6)


def test_swapping_changes_no_bit_of_listed_scores() -> None:
    one, other = (TrustWeighted().encode(random_grids(seed, 40)) for seed in (20, 21))
    pairs = np.random.default_rng(0).integers(0, 40, (300, 2))
    there, back = (
        TrustWeighted().score_pairs(*sides, listed)
        for sides, listed in (((one, other), pairs), ((other, one), pairs[:, ::-1]))
    )
    np.testing.assert_array_equal(there, back)


@pytest.mark.parametrize("pairs", [[[0, 6]], [[-1, 0]], [[0.0, 1.0]], [0, 1], [[0, 1, 2]]])
def test_pairs_that_are_not_in_the_lists_are_refused(pairs: list[object]) -> None:
    faces = TrustWeighted().encode(random_grids(22))
    with pytest.raises(InvalidArgument, match="whole numbers from 0, below 6 and 6"):
        TrustWeighted().score_pairs(faces, faces, np.array(pairs))


def test_encoded_faces_of_other_grids_are_refused() -> None:
    one, other = (TrustWeighted().encode(random_grids(23, channels=channels)) for channels in (8, 16))
    with pytest.raises(InvalidArgument, match="encode grids of one model"):
        TrustWeighted().score_all_of(one, other)
    with pytest.raises(InvalidArgument, match="encode grids of one model"):
        TrustWeighted().score_pairs(one, other, np.zeros((1, 2), int))
    with pytest.raises(InvalidArgument, match="rows, cols, channels"):
        TrustWeighted().encode(np.ones((4, 8), np.float32))
