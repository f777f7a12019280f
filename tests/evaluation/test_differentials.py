from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcos.errors import InvalidArgument
from xcos.evaluation.differentials import (
    fairness_discrepancy,
    garbe,
    inequity_rate,
    max_over_geometric_mean,
    rate_ratio,
    rates_by_group,
    shared_group,
)
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Estimates, share_estimate

FMR, FNMR = np.array([1, 2, 4, 8]) * 1e-4, np.array([0.010, 0.012, 0.020, 0.015])


def test_the_worked_example() -> None:
    assert fairness_discrepancy(FMR, FNMR) == pytest.approx(0.994650, abs=1e-6)
    assert inequity_rate(FMR, FNMR) == pytest.approx(4.0, abs=1e-6)
    assert garbe(FMR, FNMR) == pytest.approx(0.352047, abs=1e-6)
    assert max_over_geometric_mean(FMR) == pytest.approx(2.828427, abs=1e-6)
    assert max_over_geometric_mean(FNMR) == pytest.approx(1.451959, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)), min_size=2, max_size=6), st.floats(0, 1))
def test_figures_are_their_formulas_over_all_pairs_of_groups(rates: list[tuple[float, float]], a: float) -> None:
    fmr, fnmr = (np.array(kind) for kind in zip(*rates, strict=True))
    n = len(rates)

    def gap(x: Any) -> float:
        return float(max(abs(i - j) for i, j in permutations(x, 2)))

    def gini(x: Any) -> float:
        return float(n / (n - 1) * sum(abs(i - j) for i in x for j in x) / (2 * n**2 * x.mean()))

    def ratio(x: Any) -> float:
        return float(max(i / j for i in x for j in x))

    assert fairness_discrepancy(fmr, fnmr, weight=a) == pytest.approx(1 - a * gap(fmr) - (1 - a) * gap(fnmr), abs=1e-9)
    assert garbe(fmr, fnmr, weight=a) == pytest.approx(a * gini(fmr) + (1 - a) * gini(fnmr), abs=1e-9)
    assert inequity_rate(fmr, fnmr, weight=a) == pytest.approx(ratio(fmr) ** a * ratio(fnmr) ** (1 - a), rel=1e-9)
    assert max_over_geometric_mean(fmr) == pytest.approx(fmr.max() / math.prod(fmr.tolist()) ** (1 / n), rel=1e-9)


def test_equal_rates_are_fair_by_every_figure() -> None:
    same = np.full(5, 0.01)
    assert (fairness_discrepancy(same, same), inequity_rate(same, same), garbe(same, same)) == pytest.approx((1, 1, 0))
    assert max_over_geometric_mean(same) == pytest.approx(1)
    assert garbe(np.zeros(3), np.zeros(3)) == 0


def test_ratios_to_a_rate_of_0_are_undefined() -> None:
    assert math.isnan(inequity_rate(np.array([0, 0.1]), np.array([0.1, 0.1])))
    assert math.isnan(inequity_rate(np.array([0.1, 0.1]), np.array([0, 0.1])))
    assert math.isnan(max_over_geometric_mean(np.array([0, 0.1])))


@pytest.mark.parametrize(
    ("fmr", "fnmr", "weight"),
    [
        ([0.1], [0.1], 0.5),
        ([0.1, 0.2], [0.1], 0.5),
        ([0.1, 1.2], [0.1, 0.1], 0.5),
        ([0.1, math.nan], [0.1, 0.1], 0.5),
        ([0.1, 0.2], [0.1, 0.2], 1.5),
    ],
)
def test_what_are_no_rates_of_groups_is_refused(fmr: Any, fnmr: Any, weight: float) -> None:
    for figure in (fairness_discrepancy, inequity_rate, garbe):
        with pytest.raises(InvalidArgument):
            figure(np.array(fmr), np.array(fnmr), weight=weight)


# Of scores


def grouped(false: dict[str, int], trials: int = 2000, seed: int = 0) -> tuple[ScoreSet, Any]:
    """Groups of 200 people each with so many false matches and 40 misses in ``trials`` pairs of either kind at 0.5."""
    random = np.random.default_rng(seed)
    scores, probe, reference, labels = [], [], [], []
    for number, (name, errors) in enumerate(false.items()):
        first = number * 200 + random.integers(0, 200, trials)
        second = number * 200 + (first + random.integers(1, 200, trials)) % 200
        scores += [np.where(np.arange(trials) < 40, 0.1, 0.9), np.where(np.arange(trials) < errors, 0.7, 0.2)]
        probe += [first, first]
        reference += [first, second]
        labels += [np.full(2 * trials, name)]
    mated = np.tile(np.repeat([True, False], trials), len(false))
    return ScoreSet(np.concatenate(scores), mated, np.concatenate(probe), np.concatenate(reference)), np.concatenate(
        labels
    )


def test_rates_of_each_group_are_those_of_its_own_pairs() -> None:
    scores, labels = grouped({"a": 100, "b": 60})
    made = rates_by_group(scores, labels, threshold=0.5)
    assert [each.group for each in made.groups] == ["a", "b"]
    assert made.fmr.tolist() == [0.05, 0.03]
    assert made.fnmr.tolist() == [0.02, 0.02]
    for each in made.groups:
        chosen = labels == each.group
        alone = Estimates(
            ScoreSet(
                *(getattr(scores, name)[chosen] for name in ("scores", "mated", "probe_subject", "reference_subject"))
            )
        )
        assert (each.fmr, each.fnmr) == (alone.fmr(0.5), alone.fnmr(0.5))
    assert made.worst.group == "a"
    assert (made.few, made.unlabelled) == ((), 0)


def test_groups_with_few_errors_are_flagged_and_with_three_show_their_bound() -> None:
    scores, labels = grouped({"many": 30, "few": 29, "four": 4, "three": 3, "none": 0})
    by_name = {each.group: each for each in rates_by_group(scores, labels, threshold=0.5).groups}
    assert {name: each.few for name, each in by_name.items()} == {
        "many": (),
        "few": ("fmr",),
        "four": ("fmr",),
        "three": ("fmr",),
        "none": ("fmr",),
    }
    assert {name: each.fmr.bound for name, each in by_name.items()} == {
        "many": False,
        "few": False,
        "four": False,
        "three": True,
        "none": True,
    }
    assert str(by_name["four"].fmr).startswith("0.002 [")
    assert str(by_name["three"].fmr).startswith("at most ")
    assert "(3 errors in 2,000)" in str(by_name["three"].fmr)
    assert str(by_name["none"].fmr) == "at most 0.03 (0 errors in 2,000)"


def test_pairs_of_no_group_are_counted_and_count_for_none() -> None:
    scores, labels = grouped({"a": 100, "b": 60, "": 1000})
    made = rates_by_group(scores, labels, threshold=0.5)
    assert ([each.group for each in made.groups], made.unlabelled) == (["a", "b"], 4000)


def test_a_group_without_pairs_of_a_kind_has_no_rate_of_it_and_no_part_in_the_figures() -> None:
    scores, labels = grouped({"a": 100, "b": 60, "c": 50})
    labels = np.where((labels == "c") & scores.mated, "", labels)
    made = rates_by_group(scores, labels, threshold=0.5)
    assert str(made.groups[2].fnmr) == "unsupported: the group has no mated pairs"
    assert (made.groups[2].fmr.value, made.groups[2].measured) == (0.025, False)
    assert made.fmr.tolist() == [0.05, 0.03]


def test_a_pair_belongs_to_a_group_if_both_sides_do() -> None:
    assert shared_group(np.array(["a", "a", "b"]), np.array(["a", "b", "b"])).tolist() == ["a", "", "b"]


@pytest.mark.parametrize("labels", [["a"] * 8000, [""] * 8000, ["a"] * 3])
def test_fewer_than_two_groups_are_no_comparison(labels: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        rates_by_group(grouped({"a": 5, "b": 5})[0], np.array(labels), threshold=0.5)


# Ratios


def test_the_interval_of_a_ratio_is_katzs_where_pairs_are_independent() -> None:
    # Katz et al. 1978: log ratio ± 1.96 √(1/a − 1/m + 1/b − 1/n)
    one, other = (share_estimate(np.arange(1000) < errors, np.arange(1000)) for errors in (80, 20))
    made = rate_ratio(one, other)
    half = 1.959964 * math.sqrt(1 / 80 - 1 / 1000 + 1 / 20 - 1 / 1000)
    assert (made.value, made.low, made.high) == pytest.approx((4, 4 * math.exp(-half), 4 * math.exp(half)), rel=1e-3)


def test_a_ratio_to_a_bound_is_unsupported() -> None:
    scores, labels = grouped({"a": 100, "b": 3})
    made = rates_by_group(scores, labels, threshold=0.5).groups
    assert str(rate_ratio(made[0].fmr, made[1].fmr)).startswith("unsupported: a ratio needs more than 3 errors")


def test_a_planted_gap_is_found_and_none_is_found_where_there_is_none() -> None:
    """False match rates of 4 % and 1 %, or both 2 %, of 200 people each."""
    random = np.random.default_rng(6)
    found = false_alarms = 0
    for _ in range(100):
        planted, equal = random.binomial(2000, [0.04, 0.01]), random.binomial(2000, [0.02, 0.02])
        for errors, is_planted in ((planted, True), (equal, False)):
            scores, labels = grouped({"a": int(errors[0]), "b": int(errors[1])}, seed=int(random.integers(2**31)))
            a, b = rates_by_group(scores, labels, threshold=0.5).groups
            told = not rate_ratio(a.fmr, b.fmr).low <= 1 <= rate_ratio(a.fmr, b.fmr).high
            found, false_alarms = found + (told and is_planted), false_alarms + (told and not is_planted)
    assert found >= 95
    assert false_alarms <= 8
