from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from score_sets import set_of

from xcos.errors import InvalidArgument
from xcos.evaluation.bootstrap import BinnedScores, draw, fitting_strength
from xcos.evaluation.error_rates import ErrorRates
from xcos.evaluation.fold_accuracy import contiguous_folds, fold_accuracy_at_midpoints
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.evaluation.uncertainty import (
    Differences,
    Estimate,
    Estimates,
    drawn_estimate,
    mean_estimate,
    share_estimate,
    unsupported,
)
from xcos.intervals import LEAST_ERRORS, rule_of_three


def everyone(people: int, seed: int = 0, *, mates: float = 3.0, personal: float = 0.5, photos: int = 3) -> ScoreSet:
    """All pairs of people once, and some mated pairs of each; normal scores with a part that each person brings."""
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(people, 1)
    owner = np.repeat(np.arange(people), photos)
    brought = random.normal(0, personal, people)
    mated = random.normal(mates, 1, len(owner)) + 2 * brought[owner]
    other = random.normal(0, 1, len(first)) + brought[first] + brought[second]
    return ScoreSet(
        np.concatenate([mated, other]),
        np.arange(len(owner) + len(first)) < len(owner),
        np.concatenate([owner, first]),
        np.concatenate([owner, second]),
    )


def listed(seed: int = 0, *, mates: float = 4.0, people: int = 900, pairs: int = 500) -> ScoreSet:
    """Pairs at random of many people, as LFW's."""
    random = np.random.default_rng(seed)
    return set_of(random.normal(mates, 1, pairs), random.normal(0, 1, pairs), people=people)


def changed(scores: ScoreSet, values: NDArray[Any]) -> ScoreSet:
    return dataclasses.replace(scores, scores=values)


# What is printed


def test_a_figure_prints_with_its_interval() -> None:
    assert str(Estimate(0.0123456, 0.01, 0.02, 100, "m")) == "0.01235 [0.01, 0.02]"


def test_an_unsupported_figure_prints_no_number() -> None:
    made = Estimates(listed()).fnmr_at_fmr(1e-4)
    assert not made.supported
    assert str(made).startswith("unsupported: FMR 0.0001 would rest on ")
    assert math.isnan(made.value)
    assert math.isnan(made.low)
    assert math.isnan(made.high)
    shown = made.to_dict()
    assert (shown["value"], shown["low"], shown["high"], shown["supported"]) == (None, None, None, False)


def test_no_error_prints_as_a_bound() -> None:
    made = Estimates(everyone(40)).fmr(50.0)
    assert (made.value, made.low, made.high, made.bound) == (0, 0, 3 / 20, True)
    assert str(made) == "at most 0.15 (0 errors in 780)"
    assert str(Estimates(everyone(40)).fnmr(50.0)) == "at least 0.925 (120 errors in 120)"


def test_figures_are_plain_json() -> None:
    estimates = Estimates(everyone(40))
    for made in (
        estimates.fmr(1.0),
        estimates.fmr(50.0),
        estimates.eer(),
        estimates.auc(),
        estimates.fnmr_at_fmr(1e-6),
    ):
        assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["text"] == str(made)


@pytest.mark.parametrize("numbers", [(0.5, 0.6, 0.7), (0.5, 0.1, 0.4), (math.nan, 0.1, 0.2)])
def test_a_figure_outside_its_interval_cannot_be_made(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidArgument, match="lie in its interval"):
        Estimate(*numbers, trials=10, method="m")
    with pytest.raises(InvalidArgument, match="no numbers"):
        dataclasses.replace(unsupported("why", 10, "m"), value=0.5)


# At a fixed threshold


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.floats(-1, 4))
def test_rates_are_those_of_the_numbers_alone(seed: int, threshold: float) -> None:
    scores = everyone(12, seed)
    point, estimates = ErrorRates.of(scores).at(threshold), Estimates(scores)
    fmr, fnmr = estimates.fmr(threshold), estimates.fnmr(threshold)
    assert (fmr.value, fmr.errors, fmr.trials) == (point.fmr, point.false_matches, 66)
    assert (fnmr.value, fnmr.errors, fnmr.trials) == (point.fnmr, point.false_non_matches, 36)


def test_failures_of_mated_pairs_are_errors_and_no_pair_is_lost() -> None:
    scores = everyone(40)
    failing = np.where(np.arange(len(scores)) % 20 == 0, FAILED, scores.scores)
    before, after = Estimates(scores), Estimates(changed(scores, failing))
    newly = ((before.scores.scores >= 1.0) & scores.mated & (failing == FAILED)).sum()
    assert after.fnmr(1.0).errors == (before.fnmr(1.0).errors or 0) + newly
    assert after.fnmr(1.0).trials == before.fnmr(1.0).trials
    assert after.fmr(1.0).trials == before.fmr(1.0).trials
    assert after.eer().value == ErrorRates.of(changed(scores, failing)).eer.rate


def test_a_share_over_samples_is_that_over_clusters() -> None:
    made = share_estimate(np.array([True, False, False, False]), np.array([7, 7, 900_000_000, 3]))
    assert (made.value, made.errors, made.trials) == (0.25, 1, 4)
    assert made == share_estimate(np.array([True, False, False, False]), np.array([1, 1, 2, 0]))


@pytest.mark.parametrize(
    ("wrong", "subjects"),
    [([], [[]]), ([True], [[1, 2]]), ([True], []), ([True], [[0], [1], [2]]), ([True], [[-1]])],
)
def test_shares_that_cannot_be_are_refused(wrong: list[bool], subjects: list[list[int]]) -> None:
    with pytest.raises(InvalidArgument):
        share_estimate(np.array(wrong, bool), *(np.array(column, np.int64) for column in subjects))


def test_a_mated_pair_of_two_people_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="shows one subject"):
        Estimates(ScoreSet(np.array([1.0, 0.0]), np.array([True, False]), np.array([0, 0]), np.array([1, 1])))


# Support


def test_an_fmr_is_supported_exactly_where_thirty_effective_false_matches_are() -> None:
    estimates = Estimates(everyone(120, personal=0.3))
    rates = (0.2, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
    enough = [estimates.effective_false_matches(rate) >= LEAST_ERRORS for rate in rates]
    assert [made.supported for made in estimates.fnmr_at_fmrs(rates)] == enough
    assert enough[0]
    assert not enough[-1]


def test_dependence_between_pairs_costs_support() -> None:
    free, dependent = (Estimates(everyone(120, personal=personal)) for personal in (0.0, 0.8))
    assert dependent.effective_false_matches(0.02) < 0.3 * free.effective_false_matches(0.02)


def test_on_a_list_of_3000_others_a_per_mille_is_unsupported_and_two_per_cent_is_not() -> None:
    estimates = Estimates(listed(people=5749, pairs=3000))
    assert [made.supported for made in estimates.fnmr_at_fmrs([0.02, 1e-3, 1e-4])] == [True, False, False]


def test_nine_people_are_too_few_to_be_drawn_anew() -> None:
    made = Estimates(everyone(9, photos=30)).eer()
    assert str(made) == (
        "unsupported: 9 people in mated and 9 in non-mated comparisons; 10 of each are needed to say how much people "
        "differ"
    )


# Without errors


def test_kinds_that_never_overlap_leave_the_room_of_three_in_as_many_pairs_that_share_nobody() -> None:
    estimates = Estimates(everyone(40, mates=40.0))
    room = rule_of_three(False, 20).high
    assert (estimates.eer().low, estimates.eer().high) == (0, room)
    assert (estimates.auc().low, estimates.auc().high) == (1 - room, 1)
    assert str(estimates.eer()).startswith("at most 0.15")
    assert str(estimates.auc()).startswith("at least 0.85")
    assert estimates.fnmr_at_fmr(0.2).high == pytest.approx(3 / 40)


def test_folds_that_disagree_about_the_threshold_widen_the_accuracys_interval() -> None:
    scores = listed(mates=2.0)
    fold = np.tile(contiguous_folds(500), 2)
    folds = fold_accuracy_at_midpoints(scores, fold)
    wide, agreed = (
        Estimates(scores).accuracy(dataclasses.replace(folds, thresholds=thresholds))
        for thresholds in (np.linspace(0.5, 1.5, 10), np.ones(10))
    )
    overall = np.array([((scores.scores > t) == scores.mated).mean() for t in np.linspace(0.5, 1.5, 10)])
    added = 9 / 10 * ((overall - overall.mean()) ** 2).sum()
    p = folds.mean
    assert wide.effective_trials is not None
    assert agreed.effective_trials is not None
    assert p * (1 - p) / wide.effective_trials == pytest.approx(p * (1 - p) / agreed.effective_trials + added)


def test_an_accuracy_without_errors_is_a_bound() -> None:
    scores = listed(mates=30.0, people=100, pairs=60)
    fold = np.tile(contiguous_folds(60, 5), 2)
    made = Estimates(scores).accuracy(fold_accuracy_at_midpoints(scores, fold))
    assert (made.value, made.high, made.bound) == (1, 1, True)
    assert made.low < 0.95


# The bootstrap


def test_a_draw_is_the_rates_of_pairs_really_repeated() -> None:
    scores = everyone(15, seed=3)
    estimates = Estimates(scores, draws=50, seed=7, strength=1.0)
    samples, random = estimates.samples, np.random.default_rng(7)
    owner, first = scores.probe_subject[scores.mated], scores.probe_subject[~scores.mated]
    second = scores.reference_subject[~scores.mated]
    eers, aucs, fnmrs = [], [], []
    for _ in range(50):
        times = random.multinomial(15, [1 / 15] * 15)
        mated = np.repeat(scores.scores[scores.mated], times[owner])
        other = np.repeat(scores.scores[~scores.mated], times[first] * times[second])
        rates = ErrorRates(mated, other)
        eers.append(rates.eer.rate)
        aucs.append(rates.auc)
        fnmrs.append([rates.at_fmr(rate).fnmr for rate in (0.2, 0.05)])
    np.testing.assert_allclose(samples.eer(), eers, atol=1e-9)
    np.testing.assert_allclose(samples.auc(), aucs, atol=1e-9)
    np.testing.assert_allclose(samples.fnmr_at(np.array([0.2, 0.05])), fnmrs, atol=1e-9)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_draw_with_failures_never_lets_them_match(kept: int) -> None:
    """A quarter of the pairs failed, or all but a quarter: then misses prevail at every threshold."""
    scores = everyone(15, seed=4)
    quarter = np.arange(len(scores)) % 4 == 0
    failing = changed(scores, np.where(quarter != kept, FAILED, scores.scores))
    samples = Estimates(failing, draws=30, seed=7, strength=1.0).samples
    random, owner = np.random.default_rng(7), failing.probe_subject[failing.mated]
    other = ~failing.mated
    for eer in samples.eer():
        times = random.multinomial(15, [1 / 15] * 15)
        both = times[failing.probe_subject[other]] * times[failing.reference_subject[other]]
        drawn = ErrorRates(
            np.repeat(failing.scores[failing.mated], times[owner]), np.repeat(failing.scores[other], both)
        )
        assert eer == pytest.approx(drawn.eer.rate, abs=1e-9)


def test_costs_of_draws_are_those_of_pairs_really_repeated() -> None:
    scores = everyone(15, seed=5)
    estimates, random = Estimates(scores, draws=30, seed=2, strength=1.0), np.random.default_rng(2)
    other = ~scores.mated
    for cost in estimates.drawn_costs():
        times = random.multinomial(15, [1 / 15] * 15)
        both = times[scores.probe_subject[other]] * times[scores.reference_subject[other]]
        mated = np.repeat(scores.scores[scores.mated], times[scores.probe_subject[scores.mated]])
        assert cost == pytest.approx(ErrorRates(mated, np.repeat(scores.scores[other], both)).cllr, abs=1e-6)


def test_a_scale_for_many_scores_gives_nearly_the_rates_of_all() -> None:
    random = np.random.default_rng(0)
    mated, other = random.normal(3, 1, 30_000), random.normal(0, 1, 60_000)
    people = [random.integers(0, 50, size) for size in (30_000, 60_000, 60_000)]
    binned = BinnedScores.of(mated, other, *people, exact=5000)
    samples = draw(binned, 50, draws=12, seed=0, strength=0.0)  # strength 0: every other pair counts once
    assert binned.bins < 4000
    rates = ErrorRates(mated, other)
    ones = dataclasses.replace(samples, mated=binned.counts(np.ones(50), np.ones(50))[0][None].astype(np.float32),
                               others=samples.others[:1])  # fmt: skip
    assert ones.eer()[0] == pytest.approx(rates.eer.rate, rel=0.01)
    assert ones.auc()[0] == pytest.approx(rates.auc, abs=1e-5)
    for rate in (0.1, 1e-2, 1e-3, 1e-4):
        assert ones.fnmr_at(np.array([rate]))[0, 0] == pytest.approx(rates.at_fmr(rate).fnmr, rel=0.02)


def test_the_strength_makes_independent_pairs_count_once_and_leaves_dependent_ones() -> None:
    # of pairs that share nobody the squared sums are twice their own squares: 2 τ² + τ⁴ = 1
    assert fitting_strength(2.0, 1.0) == pytest.approx(math.sqrt(math.sqrt(2) - 1))
    assert fitting_strength(1000.0, 1.0) == pytest.approx(1, abs=2e-3)
    strength = fitting_strength(5.0, 1.0)
    assert strength**2 * 5 + strength**4 == pytest.approx(4)


@pytest.mark.parametrize("scores", [everyone(60, personal=0.6), everyone(60, personal=0.0), listed()])
def test_the_bootstrap_varies_a_rate_as_much_as_the_formula_says(scores: ScoreSet) -> None:
    estimates = Estimates(scores)
    threshold = estimates.rates.at_fmr(0.1).threshold
    bins = np.searchsorted(estimates._binned.edges, threshold, side="right")
    others = estimates.samples.others.astype(np.float64)
    drawn = others[:, bins:].sum(axis=1) / others.sum(axis=1)
    made = estimates.fmr(threshold)
    assert made.effective_trials is not None
    expected = math.sqrt(made.value * (1 - made.value) / made.effective_trials)
    assert drawn.std() == pytest.approx(expected, rel=0.25)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, again, other = (Estimates(everyone(30), seed=seed) for seed in (1, 1, 2))
    assert repr(one.eer()) == repr(again.eer())
    assert one.samples.others.tobytes() == again.samples.others.tobytes()
    assert one.eer() != other.eer()
    assert one.eer().value == other.eer().value


def test_which_side_is_the_probe_changes_nothing() -> None:
    scores = everyone(30)
    turned = dataclasses.replace(scores, probe_subject=scores.reference_subject, reference_subject=scores.probe_subject)
    for figure in (Estimates.eer, Estimates.auc, lambda e: e.fmr(1.0), lambda e: e.fnmr_at_fmr(0.2)):
        assert figure(Estimates(scores)) == figure(Estimates(turned))


def test_numbers_of_people_with_gaps_change_nothing() -> None:
    scores = everyone(30)
    for factor in (7, 100_000_000):
        spread = dataclasses.replace(
            scores, probe_subject=scores.probe_subject * factor, reference_subject=scores.reference_subject * factor
        )
        assert Estimates(spread).eer() == Estimates(scores).eer()
        assert Estimates(spread).fmr(1.0) == Estimates(scores).fmr(1.0)


def test_more_people_make_narrower_intervals() -> None:
    few, many = (Estimates(everyone(people, personal=0.3)) for people in (30, 150))
    for figure in (Estimates.eer, Estimates.auc, lambda e: e.fnmr(1.5), lambda e: e.fmr(1.5)):
        one, other = figure(few), figure(many)
        assert other.high - other.low < one.high - one.low


def test_draws_are_fewer_for_very_many_pairs_and_the_method_says_how_many() -> None:
    count = 4_000_000
    scores = set_of(np.zeros(1, np.float32), np.zeros(count - 1, np.float32), people=100)
    assert Estimates(scores).draws == 250
    assert Estimates(listed()).draws == 1000
    assert Estimates(listed(), draws=120).eer().method == "subject bootstrap, 120 draws"


@pytest.mark.parametrize("mates", [3.0, 4.5, 6.0])
def test_fnmr_at_an_fmr_is_no_narrower_than_with_the_threshold_given(mates: float) -> None:
    estimates = Estimates(everyone(80, mates=mates, personal=0.3))
    free = estimates.fnmr_at_fmr(0.1)
    fixed = estimates.fnmr(estimates.rates.at_fmr(0.1).threshold)
    assert free.value == fixed.value
    assert free.low <= fixed.low
    assert free.high >= fixed.high


def test_a_band_is_the_figures_one_by_one() -> None:
    estimates = Estimates(everyone(80))
    rates = [0.3, 0.1, 0.05, 1e-5]
    assert [str(made) for made in estimates.fnmr_at_fmrs(rates)] == [str(estimates.fnmr_at_fmr(rate)) for rate in rates]


def test_infinite_ratios_have_no_cost_to_state() -> None:
    scores = everyone(30)
    failing = np.where(np.arange(len(scores)) < 3, FAILED, scores.scores)
    assert "certain and wrong" in str(Estimates(changed(scores, failing)).cllr())
    certain = np.where(scores.mated, math.inf, -math.inf)
    assert "certain and right" in str(Estimates(changed(scores, certain)).cllr())


# Two models


def test_a_model_does_not_differ_from_itself() -> None:
    scores = everyone(40)
    same = Differences(Estimates(scores), Estimates(scores))
    assert (same.eer().low, same.eer().high) == (0, 0)
    assert (same.auc().low, same.auc().high) == (0, 0)
    fixed = same.fmr(1.0, 1.0)
    assert (fixed.value, fixed.low, fixed.high) == (0, -3 / 20, 3 / 20)


def test_a_difference_is_that_of_the_two_figures_and_turns_its_sign() -> None:
    better, worse = Estimates(everyone(60, mates=4.0)), Estimates(everyone(60, mates=3.0))
    one, other = Differences(better, worse), Differences(worse, better)
    for figure in (Differences.eer, Differences.auc, Differences.cllr, lambda d: d.fnmr_at_fmr(0.3)):
        made, turned = figure(one), figure(other)
        assert (made.value, made.low, made.high) == pytest.approx((-turned.value, -turned.high, -turned.low))
    assert one.eer().value == better.eer().value - worse.eer().value
    assert one.eer().high < 0, "a deviation is told apart on 60 people"
    assert one.fnmr(1.5, 1.5).value == pytest.approx(better.fnmr(1.5).value - worse.fnmr(1.5).value)
    assert one.fmr(1.5, 1.0).value == pytest.approx(better.fmr(1.5).value - worse.fmr(1.0).value)


def test_pairs_in_common_make_a_difference_narrower_than_the_figures() -> None:
    scores = everyone(60)
    noise = np.random.default_rng(1).normal(0, 0.3, len(scores))
    one, other = Estimates(scores), Estimates(changed(scores, scores.scores + noise))
    made = Differences(one, other).eer()
    assert made.high - made.low < 0.7 * (one.eer().high - one.eer().low)


def test_the_difference_of_shares_is_mcnemars_where_pairs_are_independent() -> None:
    """12 pairs only the one gets wrong, 5 only the other, of 400 of ever new people."""
    wrong = np.arange(400)
    one = set_of(np.where(wrong < 30, 0.0, 1.0), np.zeros(20))
    other = set_of(np.where((wrong >= 12) & (wrong < 35), 0.0, 1.0), np.zeros(20))
    made = Differences(Estimates(one), Estimates(other)).fnmr(0.5, 0.5)
    deviation = math.sqrt((17 - 7**2 / 400) / 400**2)
    assert made.value == pytest.approx(7 / 400)
    assert made.high - made.value == pytest.approx(1.96 * deviation, rel=0.05)


def test_the_difference_of_accuracies_is_that_of_the_figures() -> None:
    one, other = listed(mates=3.0), listed(mates=2.5)
    fold = np.tile(contiguous_folds(500), 2)
    folds, others = (fold_accuracy_at_midpoints(scores, fold) for scores in (one, other))
    made = Differences(Estimates(one), Estimates(other)).accuracy(folds, others)
    assert made.value == pytest.approx(folds.mean - others.mean)
    assert made.low < made.value < made.high


def test_models_that_make_no_error_cannot_be_told_apart() -> None:
    scores = everyone(40, mates=40.0)
    made = Differences(Estimates(scores), Estimates(changed(scores, scores.scores * 2))).eer()
    assert str(made) == "unsupported: neither model makes an error, so they cannot be told apart"


def test_a_difference_at_an_unsupported_rate_is_unsupported() -> None:
    scores = listed()
    assert not Differences(Estimates(scores), Estimates(scores)).fnmr_at_fmr(1e-5).supported


def test_models_are_compared_on_the_same_pairs_and_draws_only() -> None:
    with pytest.raises(InvalidArgument, match="same pairs"):
        Differences(Estimates(everyone(20)), Estimates(everyone(21)))
    with pytest.raises(InvalidArgument, match="same draws"):
        Differences(Estimates(everyone(20), seed=1), Estimates(everyone(20), seed=2))


def test_one_kind_of_pairs_alone_has_no_figures() -> None:
    with pytest.raises(InvalidArgument, match="need mated and non-mated"):
        Estimates(set_of([0.5, 0.9], [])).eer()


# Means of figures that pairs have


def test_the_mean_over_pairs_that_share_nobody_has_no_less_than_the_plain_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=500)
    people = np.arange(500)
    mated = mean_estimate(values, np.ones(500, bool), people, people)
    others = mean_estimate(values, np.zeros(500, bool), people, people + 500)
    half = stats.t.ppf(0.975, 499) * values.std(ddof=1) / math.sqrt(500)
    for found in (mated, others):
        assert found.value == pytest.approx(values.mean())
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.02)


def test_pairs_of_one_person_count_as_one() -> None:
    values = np.random.default_rng(1).normal(size=50)
    once = mean_estimate(values, np.ones(50, bool), np.arange(50), np.arange(50))
    people = np.repeat(np.arange(50), 20)
    often = mean_estimate(np.repeat(values, 20), np.ones(1000, bool), people, people)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (once.trials, often.trials) == (50, 1000)


def test_the_interval_of_a_mixture_does_not_hold_the_mixture_itself() -> None:
    """All mated pairs have 0 and all others 1: the mean is known exactly, whoever is drawn."""
    mated = np.arange(40) % 2 == 0
    probe = np.arange(40) // 2
    found = mean_estimate((~mated).astype(float), mated, probe, np.where(mated, probe, 100 + probe))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says(shared: float) -> None:
    """40 people, everybody with the next three; what a person brings to all pairs is ``shared``."""
    hits = 0
    probe = np.repeat(np.arange(40), 3)
    reference = (probe + np.tile([1, 2, 3], 40)) % 40
    for seed in range(300):
        random = np.random.default_rng(seed)
        brought = random.normal(0, shared, 40)
        values = random.normal(size=120) + brought[probe] + brought[reference]
        found = mean_estimate(values, np.zeros(120, bool), probe, reference)
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 300 <= 0.99


def test_values_that_apply_to_some_pairs_are_averaged_over_those_and_end_where_values_end() -> None:
    values = np.array([1.0, 1.0, 0.9, np.nan, np.nan])
    found = mean_estimate(values, np.array([True, True, True, False, False]), np.arange(5), np.array([0, 1, 2, 0, 1]))
    assert found.value == pytest.approx(2.9 / 3)
    assert (found.high, found.trials) == (1.0, 3)
    assert not mean_estimate(np.full(3, np.nan), np.ones(3, bool), np.arange(3), np.arange(3)).supported


def test_a_mean_drawn_anew_has_the_interval_of_the_formula() -> None:
    shares = np.random.default_rng(2).uniform(0.2, 0.8, 60)
    subjects = np.arange(60)
    found = drawn_estimate(lambda weight: float(np.average(shares, weights=weight)), subjects, draws=2000)
    wanted = mean_estimate(shares, np.ones(60, bool), subjects, subjects)
    assert found.value == pytest.approx(wanted.value)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.01)
