from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from xcos.errors import InvalidArgument
from xcos.intervals import Tally, jackknife_interval, plug_in_interval, rule_of_three, student95, wilson


def tally_of(wrong: Any, first: Any, second: Any = None) -> Tally:
    """Counts by subject of comparisons that are wrong or not."""
    sides = [first] if second is None else [first, second]
    size = int(max(map(max, sides))) + 1
    wrong = np.asarray(wrong, bool)
    errors = sum(np.bincount(np.asarray(side)[wrong], minlength=size) for side in sides)
    trials = sum(np.bincount(side, minlength=size) for side in sides)
    return Tally(np.asarray(errors), np.asarray(trials), 1 if second is None else 2)


def dense(people: int, seed: int, personal: float = 0.8, at: float = 1.0) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(people, 1)
    brought = random.normal(0, personal, people)
    return random.normal(size=len(first)) + brought[first] + brought[second] >= at, first, second


def test_counts_by_hand() -> None:
    pairs = tally_of([1, 0, 1], [0, 0, 3], [1, 3, 1])
    assert (pairs.errors, pairs.trials, pairs.subjects, pairs.disjoint) == (2, 3, 3, 1.5)
    assert pairs.wrong.tolist() == [1, 2, 0, 1]
    single = tally_of([1, 0, 1], [0, 0, 3])
    assert (single.errors, single.trials, single.subjects, single.disjoint) == (2, 3, 2, 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 9), st.integers(0, 2**16))
def test_the_variance_sums_the_products_of_all_comparisons_that_share_a_person(people: int, seed: int) -> None:
    """Of one comparison per pair of people, in the paper's notation: each product once, none doubled."""
    wrong, first, second = dense(people, seed, at=0.5)
    p, total = wrong.mean(), len(wrong)
    if p in (0, 1):
        return
    residual = wrong - p
    sharing = [
        residual[a] * residual[b]
        for a, b in combinations(range(total), 2)
        if {first[a], second[a]} & {first[b], second[b]}
    ]
    own = float((residual**2).sum())
    # n / (n − 1) of the squared sums of each person, in which a comparison's own square stands twice
    between = people / (people - 1) * (2 * sum(sharing) + 2 * own) - own
    made = plug_in_interval(tally_of(wrong, first, second))
    assert made.effective_trials == pytest.approx(p * (1 - p) * total**2 / max(between, own), rel=1e-9)
    assert made.effective_errors == pytest.approx(made.effective_trials * p)


def test_mated_comparisons_of_a_person_are_one_cluster() -> None:
    # 4 people with 3, 3, 2 and 2 comparisons and 3, 0, 1 and 0 errors: p = 0.4
    tally = tally_of([1, 1, 1, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 2, 2, 3, 3])
    variance = 4 / 3 * (1.8**2 + 1.2**2 + 0.2**2 + 0.8**2) / 100
    made = plug_in_interval(tally)
    assert made.effective_trials == pytest.approx(0.24 / variance)
    sums = np.array([1.8, -1.2, 0.2, -0.8])
    freedom = min(3, 2 * 4 / ((sums**4).mean() / (sums**2).mean() ** 2 - 1))
    assert (made.low, made.high) == pytest.approx(wilson(0.4, 0.24 / variance, student.ppf(0.975, freedom)), abs=1e-5)


def test_the_degrees_of_freedom_are_those_of_the_people_who_matter() -> None:
    # one of 20 people makes 9 of the 10 errors in 200 comparisons
    wrong = np.zeros(200, bool)
    wrong[[*range(9), 15]] = True
    sums = np.array([9, 1, *[0] * 18]) - 0.05 * 10
    freedom = 2 * 20 / ((sums**4).mean() / (sums**2).mean() ** 2 - 1)
    assert freedom < 3
    effective = 0.05 * 0.95 * 200**2 / (20 / 19 * (sums**2).sum())
    made = plug_in_interval(tally_of(wrong, np.repeat(np.arange(20), 10)))
    assert (made.low, made.high) == pytest.approx(wilson(0.05, effective, student.ppf(0.975, freedom)), abs=1e-5)


def test_independent_comparisons_count_once_here_and_half_for_a_calibration() -> None:
    wrong = np.arange(1000) % 25 == 0
    tally = tally_of(wrong, np.arange(1000), np.arange(1000) + 1000)
    assert plug_in_interval(tally).effective_errors == pytest.approx(40, rel=2e-3)
    assert jackknife_interval(tally).effective_errors == pytest.approx(20, rel=2e-3)
    assert (plug_in_interval(tally).low, plug_in_interval(tally).high) == pytest.approx(wilson(0.04, 1000), rel=5e-3)


@pytest.mark.parametrize("seed", range(10))
def test_dependent_comparisons_never_count_more_than_independent_ones(seed: int) -> None:
    tally = tally_of(*dense(40, seed))
    plain, made, cautious = wilson(tally.share, tally.trials), plug_in_interval(tally), jackknife_interval(tally)
    assert made.low <= plain[0]
    assert made.high >= plain[1]
    assert cautious.effective_errors <= made.effective_errors <= tally.errors


@pytest.mark.parametrize("comparisons", [5, 5000])
def test_any_number_of_comparisons_of_the_same_people_counts_as_one(comparisons: int) -> None:
    wrong = np.arange(comparisons) % 5 == 0
    nobody = np.zeros(comparisons, np.int64)
    for tally in (tally_of(wrong, nobody), tally_of(wrong, nobody, nobody + 1)):
        assert plug_in_interval(tally).effective_trials == pytest.approx(1)


def test_few_people_with_most_of_the_errors_widen_the_interval() -> None:
    people = np.repeat(np.arange(50), 20)
    spread_out = plug_in_interval(tally_of(np.arange(1000) % 20 < 2, people))
    in_a_few = plug_in_interval(tally_of(np.arange(1000) < 100, people))
    assert in_a_few.high - in_a_few.low > 3 * (spread_out.high - spread_out.low)


@pytest.mark.parametrize("interval", [plug_in_interval, jackknife_interval])
def test_no_error_leaves_room_for_three_in_as_many_pairs_that_share_nobody(interval: Any) -> None:
    first, second = np.triu_indices(100, 1)
    none, each = (interval(tally_of(np.full(len(first), wrong), first, second)) for wrong in (False, True))
    assert (none.low, none.high, none.effective_errors) == (0, pytest.approx(3 / 50), 0)
    assert (each.low, each.high) == (pytest.approx(1 - 3 / 50), 1)
    assert none.method == each.method == "rule of three"
    alone = interval(tally_of(np.zeros(300, bool), np.repeat(np.arange(100), 3)))
    assert alone.high == pytest.approx(3 / 100)


def test_the_rule_of_three_is_the_exact_bound_for_many_trials() -> None:
    # the p with (1 − p)^n = 0.05
    for trials in (100, 1000, 10_000):
        assert rule_of_three(False, trials).high == pytest.approx(1 - 0.05 ** (1 / trials), rel=0.02)
    assert rule_of_three(False, 2).high == 1


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3, 4.7, 10, 29, 100, 1e4, 1e6])
def test_students_quantile_is_scipys(freedom: float) -> None:
    assert student95(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=1e-5)


def test_unused_numbers_of_people_change_nothing() -> None:
    wrong, first, second = dense(30, 3)
    assert plug_in_interval(tally_of(wrong, first * 5, second * 5)) == plug_in_interval(tally_of(wrong, first, second))


@pytest.mark.parametrize(
    ("wrong", "comparisons"), [([0, 0], [0, 0]), ([2, 0], [1, 1]), ([-1, 1], [1, 1]), ([1], [1, 1]), ([[1]], [[1]])]
)
def test_counts_that_cannot_be_are_refused(wrong: Any, comparisons: Any) -> None:
    with pytest.raises(InvalidArgument):
        Tally(np.array(wrong), np.array(comparisons), sides=1)
