from __future__ import annotations

import dataclasses
import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binomtest, norm

from xcos.calibration import (
    RATES,
    Calibration,
    NonMatedScores,
    fit_calibration,
    fit_llr,
    fmr_interval,
    read_calibration,
)
from xcos.errors import InvalidArgument, InvalidCard, UnsupportedFmr
from xcos.intervals import LEAST_ERRORS, wilson
from xcos.types import Reals


def scores_of(values: Any) -> NonMatedScores:
    """Scores between ever new pairs of subjects."""
    count = len(values)
    return NonMatedScores(np.array(values, np.float64), np.arange(count), np.arange(count) + count)


def all_pairs(subjects: int, seed: int, personal: float = 0.0) -> NonMatedScores:
    """One score per pair of subjects: standard normal, or with a part that each subject brings along."""
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(subjects, 1)
    brought = rng.normal(0, personal, subjects)
    values = rng.normal(0, 1, len(first)) + brought[first] + brought[second]
    return NonMatedScores(values, first.astype(np.int64), second.astype(np.int64))


def calibration_of(non_mated: NonMatedScores, mated: Reals | None = None) -> Calibration:
    mated = np.random.default_rng(99).normal(4, 1, 500) if mated is None else mated
    return fit_calibration(
        mated,
        non_mated,
        model="m",
        comparator="norm",
        dataset="drawn at random",
        protocol="all pairs",
        date="2024-01-01",
        detector="drawn",
    )


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibration_of(all_pairs(300, seed=1))


def measured_fmr(non_mated: NonMatedScores, threshold: float) -> float:
    return float((non_mated.scores >= threshold).mean())


# Counting and ties


def test_scores_at_the_threshold_count_as_matches() -> None:
    scores = scores_of([0.1, 0.5, 0.5, 0.9])
    assert [scores.count_from(value) for value in (0.0, 0.1, 0.11, 0.5, 0.51, 0.9, 0.91)] == [4, 4, 3, 3, 1, 1, 0]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(-6, 6))
def test_counting_agrees_with_comparing_each_score(values: list[int], threshold: int) -> None:
    assert scores_of(values).count_from(threshold) == sum(value >= threshold for value in values)


def test_the_threshold_at_a_rate_without_ties_by_hand() -> None:
    scores = scores_of([0.1, 0.9, 0.3, 0.7, 0.5, 0.2, 0.8, 0.4, 0.6, 0.0])
    assert scores.at_rate(0.1) == 0.9
    assert scores.at_rate(0.3) == 0.7
    assert scores.at_rate(0.39) == 0.7
    assert scores.at_rate(1.0) == 0.0


def test_ties_that_would_exceed_the_rate_are_left_below_the_threshold() -> None:
    scores = scores_of([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert scores.at_rate(0.4) == 0.5
    for rate in (0.2, 0.3):
        value = scores.at_rate(rate)
        assert 0.5 < value < 0.5 + 1e-12
        assert scores.count_from(value) == 1


@given(st.lists(st.integers(0, 8), min_size=10, max_size=60), st.floats(0.1, 1))
def test_no_more_than_the_rate_lies_at_or_above_its_threshold(values: list[int], rate: float) -> None:
    scores = scores_of(values)
    assert scores.count_from(scores.at_rate(rate)) <= rate * len(values) + 1e-6


def test_comparisons_per_subject_by_hand() -> None:
    scores = NonMatedScores(np.zeros(3), np.array([0, 0, 3]), np.array([1, 3, 1]))
    assert scores.comparisons_per_subject.tolist() == [2, 2, 0, 2]


def test_a_subject_compared_with_itself_is_not_a_non_mated_comparison() -> None:
    with pytest.raises(InvalidArgument, match="two different subjects"):
        NonMatedScores(np.zeros(2), np.array([0, 1]), np.array([1, 1]))


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_scores_and_subjects_must_have_one_length(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="scores and both subjects"):
        NonMatedScores(np.zeros(shape), np.zeros(2, np.int64), np.ones(2, np.int64))


# The interval of a false match rate


@pytest.mark.parametrize(("errors", "trials"), [(0, 20), (1, 20), (30, 1000), (7, 11), (20, 20), (300, 10**6)])
def test_the_wilson_interval_is_that_of_scipy(errors: int, trials: int) -> None:
    expected = binomtest(errors, trials).proportion_ci(0.95, method="wilson")
    assert wilson(errors / trials, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_variance_is_the_published_one_for_one_comparison_per_pair_of_subjects() -> None:
    # Fogliato, Patil, Perona (arXiv 2306.01198): v = 4 / (n (n − 1)) · Σ (m_i − p)², with m_i the share of
    # errors among the n − 1 comparisons of subject i.
    n, threshold = 60, 1.2
    scores = all_pairs(n, seed=5, personal=0.7)
    wrong = np.zeros((n, n))
    wrong[scores.first, scores.second] = wrong[scores.second, scores.first] = scores.scores >= threshold
    shares = wrong.sum(axis=1) / (n - 1)
    p = shares.mean()
    variance = 4 / (n * (n - 1)) * ((shares - p) ** 2).sum()
    assert variance > 2 * p * (1 - p) / len(scores.scores)  # so the dependence counts in this example
    effective = p * (1 - p) / variance
    expected = wilson_by_roots(p, effective)
    low, high, errors = fmr_interval(scores, threshold)
    assert (low, high) == pytest.approx(expected, rel=1e-9)
    assert errors == pytest.approx(effective * p, rel=1e-9)


def wilson_by_roots(p: float, n: float) -> tuple[float, float]:
    """The two shares q at which p lies 1.96 standard errors √(q (1 − q) / n) away: roots of a quadratic."""
    z2 = norm.ppf(0.975) ** 2
    low, high = sorted(np.roots([1 + z2 / n, -(2 * p + z2 / n), p * p]))
    return float(low), float(high)


def test_independent_comparisons_count_half() -> None:
    # The published variance counts a comparison once for each of its two subjects: where every pair has new
    # subjects it is 2000/1999 · 2p(1 − p)/N, so 1000 comparisons count as 499.75. Too wide rather than too narrow.
    values = np.random.default_rng(6).permutation(np.repeat([1.0, 0.0], [40, 960]))
    low, high, errors = fmr_interval(scores_of(values), 0.5)
    assert (low, high) == pytest.approx(wilson_by_roots(0.04, 499.75), rel=1e-9)
    assert errors == pytest.approx(0.04 * 499.75, rel=1e-9)


def test_an_interval_is_never_narrower_than_for_independent_comparisons() -> None:
    for seed in range(5):
        scores = all_pairs(40, seed)
        p = measured_fmr(scores, 1.5)
        low, high, errors = fmr_interval(scores, 1.5)
        plain = wilson(p, len(scores.scores))
        assert low <= plain[0] + 1e-12
        assert high >= plain[1] - 1e-12
        assert errors <= p * len(scores.scores) + 1e-9


def test_a_threshold_that_nobody_reached_leaves_room_for_errors() -> None:
    low, high, errors = fmr_interval(all_pairs(100, seed=7), 50.0)
    assert (low, errors) == (0.0, 0.0)
    assert 0 < high <= 0.1


def test_a_threshold_that_everybody_reached_leaves_room_for_rejections() -> None:
    low, high, _ = fmr_interval(all_pairs(100, seed=7), -50.0)
    assert 0.9 <= low < 1.0
    assert high == 1.0


@pytest.mark.parametrize("threshold", [-50.0, 50.0])
def test_the_interval_of_a_tiny_set_stays_within_what_a_rate_can_be(threshold: float) -> None:
    low, high, _ = fmr_interval(all_pairs(3, seed=8), threshold)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("threshold", [1.5, 50.0])
def test_unused_subject_numbers_change_nothing(threshold: float) -> None:
    scores = all_pairs(40, seed=9)
    spread = NonMatedScores(scores.scores, scores.first * 7, scores.second * 7)
    assert fmr_interval(spread, threshold) == pytest.approx(fmr_interval(scores, threshold), rel=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_the_adjusted_interval_covers_the_true_rate_where_the_plain_one_does_not(rate: float) -> None:
    subjects, personal, rounds = 120, 0.6, 600
    threshold = norm.isf(rate) * math.sqrt(1 + 2 * personal**2)
    adjusted = plain = 0
    for seed in range(rounds):
        scores = all_pairs(subjects, seed, personal)
        low, high, _ = fmr_interval(scores, threshold)
        adjusted += low <= rate <= high
        low, high = wilson(measured_fmr(scores, threshold), len(scores.scores))
        plain += low <= rate <= high
    assert 0.92 <= adjusted / rounds <= 0.99
    assert plain / rounds < 0.8


# The log-likelihood ratio


@pytest.mark.parametrize(("mated", "non_mated"), [(400, 400), (60, 3000), (2000, 100), (400, 20_000)])
def test_the_fit_minimises_the_balanced_logistic_loss(mated: int, non_mated: int) -> None:
    rng = np.random.default_rng(mated)
    high, low = rng.normal(1.2, 0.7, mated), rng.gumbel(-0.3, 0.4, non_mated)

    def loss(parameters: Reals) -> float:
        slope, intercept = parameters
        missed, false = np.logaddexp(0, -(slope * high + intercept)), np.logaddexp(0, slope * low + intercept)
        return float(missed.mean() + false.mean()) / 2

    best = minimize(loss, [1.0, 0.0], method="BFGS", options={"gtol": 1e-9, "maxiter": 500})
    assert fit_llr(high, low) == pytest.approx(tuple(best.x), rel=5e-5)


def test_two_gaussians_of_equal_variance_give_the_closed_form() -> None:
    # ln N(s; μ₁, σ²) − ln N(s; μ₀, σ²) = s (μ₁ − μ₀) / σ² − (μ₁² − μ₀²) / (2σ²)
    low, high, sigma = 0.1, 0.55, 0.2
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    slope, intercept = fit_llr(high + sigma * quantiles[::5], low + sigma * quantiles)
    assert slope == pytest.approx((high - low) / sigma**2, rel=0.005)
    assert intercept == pytest.approx(-(high**2 - low**2) / (2 * sigma**2), rel=0.005)


def test_how_many_pairs_there_are_of_a_kind_does_not_move_the_ratio() -> None:
    rng = np.random.default_rng(11)
    mated, non_mated = rng.normal(1, 0.5, 300), rng.normal(0, 0.5, 300)
    once = fit_llr(mated, non_mated)
    assert fit_llr(mated, np.tile(non_mated, 10)) == pytest.approx(once, rel=1e-6)


def test_separable_scores_give_a_finite_rising_ratio() -> None:
    slope, intercept = fit_llr(np.linspace(0.8, 0.9, 50), np.linspace(0.0, 0.2, 50))
    assert math.isfinite(slope)
    assert slope > 0
    assert slope * 0.2 + intercept < 0 < slope * 0.8 + intercept


def test_the_ratio_is_linear_inside_its_bounds_and_constant_beyond(calibration: Calibration) -> None:
    low, high = calibration.llr_bounds
    assert (low, high) == pytest.approx((-math.log(501), math.log(151)))
    middle = -calibration.intercept / calibration.slope
    assert calibration.llr(middle) == pytest.approx(0, abs=1e-9)
    assert calibration.llr(middle + 0.1) == pytest.approx(0.1 * calibration.slope)
    assert calibration.llr(-1e6) == low
    assert calibration.llr(1e6) == high


def test_the_probability_by_hand(calibration: Calibration) -> None:
    known = dataclasses.replace(calibration, slope=2.0, intercept=-1.0)
    # llr(1) = 1, so the odds of 1 : 4 become e : 4.
    assert known.probability(1.0, prior=0.2) == pytest.approx(math.e / (math.e + 4), rel=1e-12)
    assert known.probability(0.5, prior=0.2) == pytest.approx(0.2, rel=1e-12)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.5, 2.0, math.nan])
def test_a_prior_that_is_no_probability_is_refused(calibration: Calibration, prior: float) -> None:
    with pytest.raises(InvalidArgument, match="prior must lie"):
        calibration.probability(0.5, prior=prior)


# Thresholds


@pytest.mark.parametrize("personal", [0.0, 0.5])
def test_the_measured_rate_at_a_threshold_is_at_most_the_one_asked_for(personal: float) -> None:
    scores = all_pairs(200, seed=12, personal=personal)
    calibration = calibration_of(scores)
    for rate in calibration.rates:
        threshold = calibration.threshold(float(rate))
        measured = measured_fmr(scores, threshold.value)
        assert 0 < measured <= rate + 1e-12
        assert threshold.fmr == rate
        assert threshold.fmr_low <= measured <= threshold.fmr_high
        assert threshold.low <= threshold.value <= threshold.high


def test_tied_scores_do_not_lift_the_measured_rate(tmp_path: Path) -> None:
    scores = all_pairs(300, seed=13)
    coarse = NonMatedScores(scores.scores.round(2) / 3, scores.first, scores.second)
    calibration = calibration_of(coarse, np.linspace(0.8, 2, 50))
    path = tmp_path / "card.json"
    path.write_text(json.dumps(calibration.to_dict()))
    for known in (calibration, read_calibration(path)):
        for rate in known.rates:
            assert measured_fmr(coarse, known.threshold(float(rate)).value) <= rate + 1e-12


def test_between_two_fitted_rates_the_measured_rate_lies_between_them(calibration: Calibration) -> None:
    scores = all_pairs(300, seed=1)
    for rate in np.geomspace(calibration.least_fmr * 1.01, 0.099, 40):
        measured = measured_fmr(scores, calibration.threshold(float(rate)).value)
        above = calibration.rates[calibration.rates >= rate].min()
        below = calibration.rates[calibration.rates <= rate].max()
        assert below - 1 / len(scores.scores) <= measured <= above


def test_the_requested_rate_lies_in_the_interval_measured_at_both_ends(calibration: Calibration) -> None:
    scores = all_pairs(300, seed=1)
    for rate in calibration.rates:
        threshold = calibration.threshold(float(rate))
        for value in (threshold.low, threshold.high):
            low, high, _ = fmr_interval(scores, value)
            assert low - 1e-12 <= rate <= high + 1e-12


def test_a_lower_rate_never_lowers_the_threshold(calibration: Calibration) -> None:
    rates = np.geomspace(calibration.least_fmr, 0.1, 200)[::-1]
    thresholds = [calibration.threshold(float(rate)) for rate in rates]
    for name in ("value", "low", "high"):
        assert (np.diff([getattr(threshold, name) for threshold in thresholds]) >= 0).all()


def test_every_supported_rate_rests_on_thirty_effective_errors(calibration: Calibration) -> None:
    scores = all_pairs(300, seed=1)
    errors = [fmr_interval(scores, value)[2] for value in calibration.thresholds[:, 0]]
    assert min(errors) >= LEAST_ERRORS
    next_rate = RATES[len(calibration.rates)]
    assert next_rate * len(scores.scores) < 2 * LEAST_ERRORS  # support ends about where the errors do


def test_dependence_between_comparisons_costs_support() -> None:
    independent, dependent = calibration_of(all_pairs(200, 14)), calibration_of(all_pairs(200, 14, personal=0.8))
    assert dependent.least_fmr > independent.least_fmr


@pytest.mark.parametrize("fmr", [1e-9, 0.11, 0.5])
def test_a_rate_beyond_the_data_is_refused(calibration: Calibration, fmr: float) -> None:
    assert not calibration.supports(fmr)
    with pytest.raises(UnsupportedFmr) as caught:
        calibration.threshold(fmr)
    assert caught.value.code == "unsupported_fmr"
    assert caught.value.details == {"fmr": fmr, "least": calibration.least_fmr, "most": pytest.approx(0.1)}


@pytest.mark.parametrize("fmr", [0.0, 1.0, -1e-3, math.nan, math.inf])
def test_what_is_no_rate_is_refused(calibration: Calibration, fmr: float) -> None:
    with pytest.raises(InvalidArgument, match="fmr must lie"):
        calibration.threshold(fmr)


def test_both_ends_of_the_supported_range_are_supported(calibration: Calibration) -> None:
    assert calibration.supports(0.1)
    assert calibration.supports(calibration.least_fmr)
    assert calibration.threshold(0.1).value == pytest.approx(float(calibration.thresholds[0, 0]))


def test_too_few_comparisons_support_no_rate_at_all() -> None:
    with pytest.raises(InvalidArgument, match="support no false match rate"):
        calibration_of(all_pairs(15, seed=15))


def test_a_non_mated_set_without_pairs_or_with_gaps_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="need scores of both kinds"):
        calibration_of(all_pairs(100, 16), np.array([0.5]))
    with pytest.raises(InvalidArgument, match="must be finite"):
        calibration_of(all_pairs(100, 16), np.array([0.5, math.nan]))


# Origin, histograms, cards


def test_the_origin_counts_what_was_measured(calibration: Calibration) -> None:
    origin = calibration.origin
    assert (origin.n_mated, origin.n_non_mated, origin.n_subjects) == (500, 300 * 299 // 2, 300)
    assert (origin.dataset, origin.protocol, origin.date) == ("drawn at random", "all pairs", "2024-01-01")


def test_histograms_are_shares_that_sum_to_one(calibration: Calibration) -> None:
    assert calibration.mated.sum() == pytest.approx(1)
    assert calibration.non_mated.sum() == pytest.approx(1)
    assert len(calibration.bins) == len(calibration.mated) + 1 == len(calibration.non_mated) + 1
    middles = (calibration.bins[1:] + calibration.bins[:-1]) / 2
    assert (middles * calibration.mated).sum() == pytest.approx(4, abs=0.15)
    assert (middles * calibration.non_mated).sum() == pytest.approx(0, abs=0.15)


@pytest.fixture
def card(calibration: Calibration, tmp_path: Path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(calibration.to_dict(), indent=1))
    return path


def test_a_card_read_back_says_the_same(calibration: Calibration, card: Path) -> None:
    again = read_calibration(card)
    assert (again.model, again.comparator, again.origin) == ("m", "norm", calibration.origin)
    assert again.sha256 == calibration.sha256
    for score in np.linspace(-3, 6, 20):
        assert again.llr(float(score)) == pytest.approx(calibration.llr(float(score)), rel=1e-6, abs=1e-6)
    for rate in (0.1, 0.037, 0.01):
        one, other = calibration.threshold(rate), again.threshold(rate)
        assert dataclasses.astuple(other) == pytest.approx(dataclasses.astuple(one), rel=1e-6)


def changed(fields: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split("/")
    inner = fields
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "another"),
        ("comparator", "uniform"),
        ("origin/n_subjects", 10**6),
        ("llr/slope", 3.0),
        ("rates", [0.1]),
        ("sha256", "0" * 64),
        ("comment", "added"),
    ],
)
def test_an_altered_card_is_refused(card: Path, field: str, value: object) -> None:
    card.write_text(json.dumps(changed(json.loads(card.read_text()), field, value)))
    with pytest.raises(InvalidCard, match="altered") as caught:
        read_calibration(card)
    assert caught.value.code == "invalid_card"


def test_one_digit_of_one_threshold_is_enough_to_refuse_a_card(card: Path) -> None:
    fields = json.loads(card.read_text())
    fields["thresholds"][2][0] += 1e-6
    card.write_text(json.dumps(fields))
    with pytest.raises(InvalidCard, match="altered"):
        read_calibration(card)


@pytest.mark.parametrize("field", ["model", "comparator", "origin", "llr", "rates", "thresholds", "sha256"])
def test_a_card_that_lacks_a_field_is_refused(card: Path, field: str) -> None:
    fields = json.loads(card.read_text())
    del fields[field]
    card.write_text(json.dumps(fields))
    with pytest.raises(InvalidCard):
        read_calibration(card)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema": "xcos.calibration/0"}', "\x00\x01"])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(InvalidCard, match=r"card\.json"):
        read_calibration(path)


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCard, match="cannot read the calibration card"):
        read_calibration(tmp_path / "nothing.json")


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**16))
def test_effective_errors_by_brute_force(subjects: int, seed: int) -> None:
    scores = all_pairs(subjects, seed)
    p = measured_fmr(scores, 0.0)
    pairs = list(combinations(range(subjects), 2))
    if p in (0.0, 1.0):
        return
    wrong = [sum(s >= 0 for s, pair in zip(scores.scores, pairs, strict=True) if i in pair) for i in range(subjects)]
    total = len(pairs)
    between = subjects / (subjects - 1) * sum((e - p * (subjects - 1)) ** 2 for e in wrong) / total**2
    variance = max(between, p * (1 - p) / total)
    assert fmr_interval(scores, 0.0)[2] == pytest.approx(p * p * (1 - p) / variance, rel=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_the_fit_finds_the_optimum_of_well_separated_scores_too(seed: int) -> None:
    random = np.random.default_rng(seed)
    mated, other = random.normal(0.75, 0.05, 100), random.normal(0.3, 0.1, 2000)
    slope, intercept = fit_llr(mated, other)

    def loss(line: Reals) -> float:
        missed = np.logaddexp(0, -(line[0] * mated + line[1])).mean()
        return float(missed + np.logaddexp(0, line[0] * other + line[1]).mean()) / 2

    best = min(minimize(loss, start, method="Nelder-Mead").fun for start in ([1.0, -0.5], [50.0, -27.0]))
    assert slope > 0
    assert loss(np.array([slope, intercept])) <= best + 1e-3, "the ridge may cost that little"
    assert slope * other.max() + intercept < slope * mated.max() + intercept
