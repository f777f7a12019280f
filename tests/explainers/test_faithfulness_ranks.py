"""Orders, areas and fills against scipy, brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import on_crop
from xcos.explainers.faithfulness import ranks
from xcos.explainers.faithfulness.fills import hide
from xcos.explainers.faithfulness.localisation import cell_means, iou, iou_of_equal_area, mass_ratio, pointing_hit
from xcos.explainers.faithfulness.threshold import equal_error_threshold

few = st.lists(st.integers(0, 4), min_size=3, max_size=12)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=20))
def test_the_rank_correlation_is_scipys_ties_included(points: list[tuple[int, int]]) -> None:
    a, b = np.array(points, float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert ranks.spearman(a, b) == 0
    else:
        assert ranks.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_two_equal_constant_maps_agree_and_two_unlike_ones_do_not() -> None:
    flat = np.ones((3, 3))
    assert ranks.agreement(flat, flat) == 1
    assert ranks.agreement(flat, np.arange(9.0).reshape(3, 3)) == 0


@given(few, st.integers(0, 2**11))
def test_the_area_under_the_roc_is_the_share_of_pixel_pairs_in_the_right_order(values: list[int], bits: int) -> None:
    numbers = np.array(values, float)
    truth = np.array([bits >> at & 1 for at in range(len(values))], bool)
    if truth.all() or not truth.any():
        assert np.isnan(ranks.roc_auc(numbers, truth))
        return
    pairs = [(a > b) + (a == b) / 2 for a in numbers[truth] for b in numbers[~truth]]
    assert ranks.roc_auc(numbers, truth) == pytest.approx(np.mean(pairs))


def test_percentiles_choose_the_share_asked_for_and_keep_ties_together() -> None:
    steps = np.arange(100.0).reshape(10, 10)
    chosen = ranks.above_percentiles(steps, np.array([0.0, 10, 50, 100]), "keep", 0)
    assert chosen.sum(axis=(1, 2)).tolist() == [0, 10, 50, 99]  # at 100 % the lowest value itself is kept
    flat = np.ones((10, 10))
    assert not ranks.above_percentiles(flat, np.array([50.0, 100.0]), "keep", 0).any()
    shuffled = ranks.above_percentiles(flat, np.array([50.0, 100.0]), "shuffle", 0)
    assert shuffled.sum(axis=(1, 2)).tolist() == [50, 99]


@given(few, st.integers(0, 100), st.integers(0, 5))
def test_the_highest_are_as_many_as_asked_and_none_outside_is_higher(values: list[int], share: int, seed: int) -> None:
    numbers = np.array(values, float)[None]
    (chosen,) = ranks.highest(numbers, np.array([float(share)]), seed)
    assert chosen.sum() == round(share / 100 * numbers.size)
    if chosen.any() and not chosen.all():
        assert numbers[chosen].min() >= numbers[~chosen].max()


def test_shuffled_ties_depend_on_the_seed_alone() -> None:
    flat = np.zeros((6, 6))
    one, again, other = (ranks.untied(flat, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
    assert sorted(one.ravel().tolist()) == list(range(36))


def test_the_area_under_a_ramp_is_a_half_and_under_a_step_its_length() -> None:
    shares = np.arange(0, 101, 10.0)
    assert ranks.area(shares / 100, shares) == pytest.approx(0.5)
    assert ranks.area((shares <= 40).astype(float), shares) == pytest.approx(0.45)  # the fall takes half a step
    with pytest.raises(InvalidArgument, match="as many values"):
        ranks.area(np.ones(3), shares)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=30))
def test_the_threshold_of_equal_errors_is_the_first_minimum_of_a_downward_sweep(points: list[tuple[int, bool]]) -> None:
    scores, mated = np.array([p[0] for p in points], float), np.array([p[1] for p in points])
    if mated.all() or not mated.any():
        with pytest.raises(InvalidArgument, match="mated and non-mated"):
            equal_error_threshold(scores, mated)
        return
    best, found = 2.0, np.nan
    for threshold in sorted(set(scores.tolist()), reverse=True):
        gap = abs((scores[~mated] >= threshold).mean() - (scores[mated] < threshold).mean())
        if gap < best - 1e-12:
            best, found = gap, threshold
    assert equal_error_threshold(scores, mated) == found


def test_cell_means_undo_the_spreading_of_a_grid_over_a_crop() -> None:
    cells = np.random.default_rng(0).normal(size=(7, 7))
    assert cell_means(on_crop(cells, 150, 150), 7, 7) == pytest.approx(cells)


def test_localisation_figures_of_a_map_that_is_the_truth_and_of_its_inverse() -> None:
    truth = np.zeros((10, 10), bool)
    truth[2:5, 3:7] = True
    right, wrong = truth.astype(float), 1.0 - truth
    assert pointing_hit(right, truth) == 1
    assert pointing_hit(wrong, truth) == 0
    assert mass_ratio(right, truth) == pytest.approx(100 / 12)
    assert mass_ratio(wrong, truth) == 0
    assert mass_ratio(np.ones((10, 10)), truth) == pytest.approx(1)
    assert np.isnan(mass_ratio(-right, truth))
    assert iou(right, truth, 0.5) == 1
    assert iou(wrong, truth, 0.5) == 0
    assert iou_of_equal_area(right, truth, 0) == 1
    assert iou_of_equal_area(wrong, truth, 0) == 0


def test_the_overlap_at_a_level_is_counted_by_hand() -> None:
    values = np.array([[0.0, 4.0, 6.0, 10.0]])
    truth = np.array([[False, True, True, False]])
    assert iou(values, truth, 0.3) == pytest.approx(2 / 3)
    assert iou(values, truth, 0.5) == pytest.approx(1 / 3)
    assert iou(values, truth, 0.7) == 0


@pytest.mark.parametrize("fill", ["black", "mean", "blur", "diffusion"])
def test_only_what_is_hidden_changes(fill: str) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (21, 18, 3), np.uint8)
    hidden = np.zeros((2, 21, 18), bool)
    hidden[0, 4:9, 3:12] = True
    shown = hide(crop, hidden, fill)  # type: ignore[arg-type]
    assert shown.shape == (2, 21, 18, 3)
    assert (shown[1] == crop).all()
    assert (shown[0][~hidden[0]] == crop[~hidden[0]]).all()
    assert (shown[0][hidden[0]] != crop[hidden[0]]).any()


def test_fills_are_what_they_say() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    whole = np.ones((1, 20, 20), bool)
    assert not hide(crop, whole, "black").any()
    assert (hide(crop, whole, "mean")[0] == np.rint(crop.mean(axis=(0, 1)))).all()
    assert hide(crop, whole, "blur")[0].std() < crop.std() / 3
    with pytest.raises(InvalidArgument, match="fill must be one of"):
        hide(crop, whole, "grey")  # type: ignore[arg-type]


def test_diffusion_fills_a_hole_in_a_ramp_with_the_ramp() -> None:
    """A linear ramp is harmonic, so the exact solution is the ramp itself."""
    ramp = np.repeat(np.broadcast_to(np.arange(0, 240, 6), (40, 40))[..., None], 3, axis=2).astype(np.uint8)
    hidden = np.zeros((1, 40, 40), bool)
    hidden[0, 14:24, 12:26] = True
    off = np.abs(hide(ramp, hidden, "diffusion")[0].astype(int) - ramp)[hidden[0]]
    assert off.max() <= 12  # two pixels of the ramp, in a hole of fourteen
    assert off.mean() <= 4
