from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import log_expit
from scipy.stats import mannwhitneyu
from score_sets import Two, ranked, score_sets, set_of
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import auc, det_curve, roc_auc_score, roc_curve

from xcos.errors import InvalidArgument
from xcos.evaluation.error_rates import ErrorRates, matches
from xcos.evaluation.scores import FAILED

generated = settings(max_examples=300, deadline=None)


def rates_of(mated: Any, other: Any) -> ErrorRates:
    return ErrorRates(np.array(mated, np.float64), np.array(other, np.float64))


def close(value: float) -> Any:
    """To 1e-12 of it."""
    return pytest.approx(value, rel=1e-12, abs=1e-12)


def roc_without_failures(mated: Any, other: Any) -> tuple[Any, Any, Any]:
    """FMR and FNMR by scikit-learn at each different score that is no failure, and that score; nothing first."""
    ranks, truths = ranked(mated, other)
    fpr, tpr, thresholds = roc_curve(truths, ranks, drop_intermediate=False)
    scores = np.concatenate([mated, other])
    values = np.array([np.nan, *(scores[ranks == rank][0] for rank in thresholds[1:])])
    made = values != FAILED
    return fpr[made], 1 - tpr[made], values[made]


# At each threshold


@generated
@given(score_sets())
def test_rates_at_every_score_are_those_of_scikit_learn(sets: Two) -> None:
    rates = ErrorRates(*sets)
    for fmr, fnmr, threshold in zip(*roc_without_failures(*sets), strict=True):
        point = rates.at(float(threshold))  # NaN where scikit-learn lets nothing match
        assert (point.fmr, point.fnmr) == (close(fmr), close(fnmr))


@generated
@given(score_sets())
def test_det_points_are_those_of_scikit_learn(sets: Two) -> None:
    ranks, truths = ranked(*sets)
    fpr, fnr, thresholds = det_curve(truths, ranks)
    scores = np.concatenate(sets)
    for fmr, fnmr, rank in zip(fpr, fnr, thresholds, strict=True):
        if np.isfinite(rank) and (threshold := float(scores[ranks == rank][0])) != FAILED:
            assert (rates_at := ErrorRates(*sets).at(threshold)).fmr == close(fmr)
            assert rates_at.fnmr == close(fnmr)


@generated
@given(score_sets(), st.floats(allow_nan=False))
def test_a_match_is_a_score_at_or_above_any_threshold_whatever_the_precision(sets: Two, threshold: float) -> None:
    point = ErrorRates(*sets).at(threshold)
    mated, other = ([float(score) >= threshold and score > FAILED for score in scores] for scores in sets)
    assert (point.false_matches, point.false_non_matches) == (sum(other), len(mated) - sum(mated))
    assert matches(sets[0], threshold).tolist() == mated


def test_a_threshold_between_two_float32_numbers_is_not_rounded_down() -> None:
    score = np.float32(0.7)  # 0.69999998…
    rates = ErrorRates(np.array([score]), np.array([score]))
    assert (rates.fmr(0.7), rates.fnmr(0.7)) == (0, 1)
    assert (rates.fmr(float(score)), rates.fnmr(float(score))) == (1, 0)
    assert rates.fmr(1e300) == 0
    assert rates.fmr(-1e300) == 1


def test_failures_never_match_and_stay_in_the_denominators() -> None:
    rates = rates_of([FAILED, 0.5, 0.9, 0.9], [FAILED, 0.1, 0.2, 0.3])
    assert (rates.failed_mated, rates.failed_non_mated) == (1, 1)
    assert (rates.fmr(-math.inf), rates.fnmr(-math.inf)) == (0.75, 0.25)
    assert rates.fnmr(0.6) == 0.5


@generated
@given(score_sets(), st.integers(1, 5))
def test_failed_mated_pairs_raise_fnmr_by_exactly_themselves(sets: Two, failures: int) -> None:
    mated, other = sets
    more = ErrorRates(np.append(mated, np.full(failures, FAILED, mated.dtype)), other)
    for threshold in (-math.inf, 0.0, 0.5):
        before, after = ErrorRates(mated, other).at(threshold), more.at(threshold)
        assert after.false_non_matches == before.false_non_matches + failures
        assert after.false_matches == before.false_matches


# Whole systems


def test_transaction_rates_by_hand_count_a_failure_once() -> None:
    # 10 % of mated pairs failed. Among the 90 made, 9 are below 0.5; FMR of those made is 5 of 100.
    mated = [FAILED] * 10 + [0.1] * 9 + [0.9] * 81
    other = [FAILED] * 20 + [0.8] * 5 + [0.2] * 95
    made = rates_of(mated, other).transactions(0.5, fta=0.2, fte=0.1)
    assert (made.fmr, made.fnmr) == (0.05, 0.1)
    assert (made.far, made.frr) == (close(0.05 * 0.8), close(0.2 + 0.1 * 0.8))
    assert (made.gfar, made.gfrr) == (close(0.9 * 0.04), close(0.1 + 0.9 * 0.28))


def test_without_failures_at_hand_a_system_rejects_what_the_matcher_rejects() -> None:
    made = rates_of([0.1, 0.9], [0.1, 0.9]).transactions(0.5, fta=0.0)
    assert (made.far, made.frr, made.gfar, made.gfrr) == (0.5, 0.5, 0.5, 0.5)


def test_if_samples_fail_both_views_of_the_rejections_agree() -> None:
    """Failures fall on pairs at random: FNMR with them inside is FRR of those made with FTA beside."""
    scores = np.tile([0.1, 0.9, 0.9, 0.9], 50)
    failed = np.where(np.arange(200) < 40, FAILED, scores)
    inside = rates_of(failed, [0.0])
    assert inside.fnmr(0.5) == close(inside.transactions(0.5, fta=40 / 200).frr)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_what_is_no_share_of_samples_is_refused(share: float) -> None:
    with pytest.raises(InvalidArgument, match="share of samples"):
        rates_of([1.0], [0.0]).transactions(0.5, fta=share)


# Threshold at a rate


@generated
@given(score_sets(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])))
def test_fnmr_at_an_fmr_is_the_least_of_all_thresholds_that_keep_it(sets: Two, rate: float) -> None:
    point = ErrorRates(*sets).at_fmr(rate)
    fmr, fnmr, _ = roc_without_failures(*sets)
    assert point.fnmr == close(fnmr[fmr <= rate + 1e-9].min())
    assert point.fmr <= rate + 1e-9
    assert ErrorRates(*sets).at(point.threshold) == point or math.isnan(point.threshold)


@generated
@given(score_sets(), st.floats(0, 1))
def test_no_lower_score_keeps_the_rate(sets: Two, rate: float) -> None:
    rates = ErrorRates(*sets)
    point = rates.at_fmr(rate)
    scores = np.unique(np.concatenate(sets))
    for score in scores[scores < point.threshold]:
        assert score == FAILED or rates.fmr(float(score)) > rate


def test_thresholds_at_rates_by_hand() -> None:
    rates = rates_of([0.35, 0.6, 0.95], [0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert (rates.at_fmr(0.4).threshold, rates.at_fmr(0.4).fnmr) == (0.35, 0)
    assert (rates.at_fmr(0.3).threshold, rates.at_fmr(0.3).fnmr) == (0.6, close(1 / 3))  # ties would be 0.4
    assert rates.at_fmr(0.0).threshold == 0.95
    assert rates.at_fmr(1.0).threshold == 0.1
    assert rates_of([0.1], [0.5]).at_fmr(0.0).threshold == math.nextafter(0.5, 1)


def test_where_others_are_infinitely_alike_only_never_matching_keeps_a_rate_of_0() -> None:
    point = rates_of([math.inf, 1.0], [math.inf, 0.0]).at_fmr(0.0)
    assert math.isnan(point.threshold)
    assert (point.fmr, point.fnmr) == (0, 1)


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        rates_of([1.0], [0.0]).at_fmr(rate)


# Curves


@generated
@given(score_sets())
def test_the_curve_is_scikit_learns_with_straight_runs_left_out(sets: Two) -> None:
    curve = ErrorRates(*sets).curve
    fmr, fnmr, _ = (values[::-1] for values in roc_without_failures(*sets))
    fmr, fnmr = fmr * len(sets[1]), fnmr * len(sets[0])
    bends = set(zip(curve.false_matches.tolist(), curve.false_non_matches.tolist(), strict=True))
    points = list(zip(np.rint(fmr).astype(int).tolist(), np.rint(fnmr).astype(int).tolist(), strict=True))
    assert bends <= set(points)
    assert {points[0], points[-1]} <= bends
    for one, two, three in zip(points, points[1:], points[2:], strict=False):
        turns = (two[0] - one[0]) * (three[1] - two[1]) != (two[1] - one[1]) * (three[0] - two[0])
        assert turns == (two in bends)


@generated
@given(score_sets())
def test_each_point_of_the_curve_is_what_happens_at_its_threshold(sets: Two) -> None:
    rates = ErrorRates(*sets)
    curve = rates.curve
    ends = zip(curve.thresholds, curve.false_matches, curve.false_non_matches, strict=True)
    for threshold, false, missed in ends:
        point = rates.at(float(threshold))
        assert (point.false_matches, point.false_non_matches) == (false, missed)
    assert (curve.thresholds[1:-1] > curve.thresholds[:-2]).all()


def test_many_scores_give_the_curve_of_scikit_learn_and_a_short_one() -> None:
    random = np.random.default_rng(0)
    mated, other = random.normal(2, 1, 300).round(3), random.normal(0, 1, 30_000).round(3)
    curve = ErrorRates(mated, other).curve
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [300, 30_000]), np.concatenate([mated, other]))
    np.testing.assert_allclose(np.interp(fpr, curve.fmr[::-1], 1 - curve.fnmr[::-1]).mean(), tpr.mean(), atol=1e-3)
    assert auc(curve.fmr[::-1], 1 - curve.fnmr[::-1]) == close(auc(fpr, tpr))
    assert len(curve) <= 602


@pytest.mark.parametrize("logarithmic", [True, False])
def test_a_thinned_curve_looks_the_same_and_keeps_both_ends(logarithmic: bool) -> None:
    random = np.random.default_rng(1)
    curve = ErrorRates(random.normal(2, 1, 20_000), random.normal(0, 1, 20_000)).curve
    thin = curve.thinned(100, logarithmic=logarithmic)
    assert len(thin) <= 402 < len(curve)
    assert (thin.thresholds[0], thin.thresholds[-1]) == (curve.thresholds[0], curve.thresholds[-1])

    kept = np.isin(curve.thresholds, thin.thresholds)

    def axis(counts: Any) -> Any:
        shares = counts / 20_000
        return 1 - np.log(np.maximum(shares, 0.5 / 20_000)) / np.log(0.5 / 20_000) if logarithmic else shares

    for of_thin in (thin.false_matches, thin.false_non_matches):
        before = np.cumsum(kept)[~kept] - 1  # the kept neighbours of each point that was left out
        apart = np.abs(axis(of_thin[before + 1]) - axis(of_thin[before]))
        assert apart.max() <= 0.01 + 1e-12, "what is left out lies within a cell between what is kept"


# One number for a curve


@generated
@given(score_sets())
def test_the_area_under_the_roc_is_the_mann_whitney_statistic(sets: Two) -> None:
    ranks, truths = ranked(*sets)
    rates = ErrorRates(*sets)
    assert rates.auc == close(roc_auc_score(truths, ranks))
    if len(np.unique(ranks)) > 1:  # with one value the statistic's p-value divides by zero
        statistic = mannwhitneyu(ranks[truths], ranks[~truths], method="asymptotic").statistic
        assert rates.auc == close(statistic / (len(sets[0]) * len(sets[1])))


@generated
@given(score_sets())
def test_the_equal_error_rate_is_where_scikit_learns_polyline_meets_the_diagonal(sets: Two) -> None:
    fmr, fnmr, _ = roc_without_failures(*sets)
    steps = np.arange(len(fmr))

    def gap(step: float) -> float:
        return float(np.interp(step, steps, fnmr) - np.interp(step, steps, fmr))

    made = ErrorRates(*sets).eer
    if gap(steps[-1]) >= 0:  # even the lowest threshold misses more than it lets pass
        assert made.rate == close(fnmr[-1])
    else:
        assert made.rate == close(np.interp(brentq(gap, 0, steps[-1], xtol=1e-14), steps, fmr))


def test_the_equal_error_rate_by_hand() -> None:
    # at 0.2: FMR 0.5, FNMR 0.25; at 0.25: FMR 0.25, FNMR 0.5; half way between them
    made = rates_of([0.1, 0.2, 0.3, 0.9], [0.0, 0.15, 0.2, 0.25]).eer
    assert (made.rate, made.threshold) == (0.375, 0.2)
    assert rates_of([1.0, 1.0], [1.0]).eer.rate == 0.5
    assert rates_of([1.0, 2.0], [0.0]).eer.rate == 0
    assert rates_of([FAILED, FAILED, 1.0], [0.0, 0.5]).eer.rate == close(2 / 3)


def test_the_threshold_of_the_equal_error_rate_has_nearly_that_rate() -> None:
    random = np.random.default_rng(2)
    rates = ErrorRates(random.normal(2, 1, 200), random.normal(0, 1, 20_000))
    point = rates.at(rates.eer.threshold)
    assert point.fmr == pytest.approx(rates.eer.rate, abs=1 / 200)
    assert point.fnmr == pytest.approx(rates.eer.rate, abs=1 / 200)


@generated
@given(score_sets())
def test_the_best_accuracy_is_the_best_of_all_thresholds(sets: Two) -> None:
    rates = ErrorRates(*sets)
    fmr, fnmr, _ = roc_without_failures(*sets)
    right = (1 - fnmr) * len(sets[0]) + (1 - fmr) * len(sets[1])
    assert rates.best_accuracy.accuracy == close(right.max() / (len(sets[0]) + len(sets[1])))
    there = rates.at(rates.best_accuracy.threshold)
    wrong = there.false_matches + there.false_non_matches
    assert 1 - wrong / (len(sets[0]) + len(sets[1])) == close(rates.best_accuracy.accuracy)


# Log-likelihood ratios


@generated
@given(score_sets())
def test_the_cost_of_ratios_is_the_published_formula(sets: Two) -> None:
    mated, other = (scores.astype(np.float64) for scores in sets)
    # each cost is divided before they are summed: the sum of huge ones is no number
    costs = [-log_expit(mated) / (2 * math.log(2) * len(mated)), -log_expit(-other) / (2 * math.log(2) * len(other))]
    assert ErrorRates(*sets).cllr == close(math.fsum(np.concatenate(costs)))


def test_costs_by_hand() -> None:
    assert rates_of([0.0], [0.0]).cllr == 1, "knowing nothing costs one bit"
    assert rates_of([math.inf], [-math.inf]).cllr == 0
    assert rates_of([FAILED, 9.0], [-9.0]).cllr == math.inf, "certain and wrong"
    assert rates_of([math.log(3)], [-math.log(3)]).cllr == close(math.log2(4 / 3))


def pooled(mated: Any, other: Any) -> float:
    """Cost of the ratios that pooling adjacent violators makes of the ranks, by scipy and by scikit-learn."""
    ranks, truths = ranked(mated, other)
    weights = np.where(truths, 0.5 / len(mated), 0.5 / len(other))
    total = np.bincount(ranks, weights)[1:]
    means = np.bincount(ranks, weights * truths)[1:] / total
    odds = isotonic_regression(means, weights=total).x
    again = IsotonicRegression().fit_transform(np.arange(len(means)), means, sample_weight=total)
    np.testing.assert_allclose(odds, again, atol=1e-6)
    share = np.clip(odds[ranks - 1], 0, 1)
    with np.errstate(divide="ignore"):
        return float(-np.log2(share[truths]).mean() - np.log2(1 - share[~truths]).mean()) / 2


@generated
@given(score_sets())
def test_the_least_cost_is_that_of_pooling_adjacent_violators(sets: Two) -> None:
    assert ErrorRates(*sets).min_cllr == close(pooled(*sets))


@pytest.mark.parametrize("seed", range(3))
def test_the_least_cost_of_many_scores_is_that_of_pooling_adjacent_violators(seed: int) -> None:
    random = np.random.default_rng(seed)
    mated, other = random.normal(1, 1, 4000), random.normal(0, 1, 9000).round(2)
    rates = ErrorRates(mated, other)
    assert rates.min_cllr == close(pooled(mated, other))
    assert rates.min_cllr <= rates.cllr


@generated
@given(score_sets())
def test_the_least_cost_lies_between_none_and_a_bit(sets: Two) -> None:
    assert 0 <= ErrorRates(*sets).min_cllr <= 1 + 1e-12


# Properties


@generated
@given(score_sets(), st.integers(0, 2**32 - 1))
def test_the_order_in_which_scores_come_changes_no_byte(sets: Two, seed: int) -> None:
    shuffled = [np.random.default_rng(seed).permutation(scores) for scores in sets]
    one, other = ErrorRates(*sets), ErrorRates(*shuffled)
    assert (one.eer, one.auc, one.min_cllr) == (other.eer, other.auc, other.min_cllr)
    assert one.curve.thresholds.tobytes() == other.curve.thresholds.tobytes()


def finite(scores: NDArray[np.floating]) -> bool:
    return bool(np.isfinite(scores).all())


@generated
@given(score_sets())
def test_turning_the_scores_round_and_the_kinds_with_them_leaves_the_symmetric_figures(sets: Two) -> None:
    if not (finite(sets[0]) and finite(sets[1])):
        return  # a failure has no mirror image
    one, other = ErrorRates(*sets), ErrorRates(-sets[1], -sets[0])
    assert other.auc == close(one.auc)
    assert other.eer.rate == close(one.eer.rate)
    assert other.min_cllr == close(one.min_cllr)


def test_scores_keep_their_precision() -> None:
    rates = ErrorRates(np.ones(2, np.float32), np.zeros(2, np.float32))
    assert rates.mated.dtype == rates.non_mated.dtype == rates.curve.thresholds.dtype == np.float32
    assert ErrorRates(np.ones(2, np.float32), np.zeros(2)).mated.dtype == np.float64


def test_a_set_of_pairs_gives_the_rates_of_its_two_kinds() -> None:
    rates = ErrorRates.of(set_of([0.5, 0.9], [0.7, 0.1, 0.2]))
    assert (rates.mated.tolist(), rates.non_mated.tolist()) == ([0.5, 0.9], [0.1, 0.2, 0.7])


@pytest.mark.parametrize(("mated", "other", "kind"), [([], [1.0], "mated"), ([1.0], [], "non-mated")])
def test_scores_of_one_kind_have_no_rates(mated: list[float], other: list[float], kind: str) -> None:
    with pytest.raises(InvalidArgument, match="need mated and non-mated") as caught:
        rates_of(mated, other)
    assert caught.value.code == "invalid_argument"
    assert caught.value.details == {"kind": kind}


@pytest.mark.parametrize("shape", [(2, 2), ()])
def test_scores_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"\(n,\) each"):
        ErrorRates(np.ones(shape), np.ones(3))


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="some mated scores are NaN"):
        rates_of([1.0, math.nan], [0.0])


@pytest.mark.slow
@pytest.mark.parametrize("mated", [19_557, 7_500_000])
def test_fifteen_million_scores_take_no_more_than_ten_seconds_and_a_gibibyte(mated: int) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "error_rates_speed.py"
    command = [sys.executable, str(script), "--mated", str(mated)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("(within the bar of ") == 2, printed
