"""The decidability index against its formula, and its intervals against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcos.errors import InvalidArgument
from xcos.evaluation.separation import Separations
from xcos.types import Reals


def of(mated: Reals, other: Reals, *, people: int = 0, seed: int = 0, draws: int = 200) -> Separations:
    """Columns of scores, (m, k) and (n, k): each mated pair of its own person, each other pair of two of its own."""
    m, n = len(mated), len(other)
    owner, one = np.arange(m), m + 2 * np.arange(n)
    if people:
        owner, one = owner % people, 2 * np.arange(n) % people
    return Separations(
        np.concatenate([mated, other]),
        np.arange(m + n) < m,
        np.append(owner, one),
        np.append(owner, one + 1),
        seed=seed,
        draws=draws,
    )


def test_separation_by_hand() -> None:
    # means 2 and 0, variances 1 and 9: 2 / √5
    mated, other = np.tile([1.0, 3.0], 10), np.tile([-3.0, 3.0], 10)
    assert of(mated[:, None], other[:, None]).values == pytest.approx([2 / math.sqrt(5)], rel=1e-12)


def test_scores_that_are_all_equal_separate_nothing() -> None:
    found = of(np.full((12, 2), 0.3), np.full((12, 2), 0.3))
    np.testing.assert_array_equal(found.values, 0)
    assert (found.gain(0, 1).value, found.gain(0, 1).low) == (0, 0)


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_another_scale_and_origin_of_the_scores_change_nothing(scale: float, shift: float) -> None:
    drawn = np.random.default_rng(0)
    mated, other = drawn.normal(1, 1, (20, 1)), drawn.normal(0, 1, (20, 1))
    both = of(np.hstack([mated, scale * mated + shift]), np.hstack([other, scale * other + shift]), draws=20)
    assert both.values[1] == pytest.approx(both.values[0], rel=1e-6)
    assert both.gain(1, 0).high == pytest.approx(0, abs=1e-6)


def test_independent_pairs_have_the_standard_error_of_the_textbook() -> None:
    """Of Cohen's d with equal numbers: √(2/n + d²/(4n)), Hedges and Olkin 1985; of two columns, √2 times that."""
    drawn = np.random.default_rng(1)
    n, apart = 400, 3.0
    found = of(drawn.normal(apart, 1, (n, 2)), drawn.normal(0, 1, (n, 2)), draws=1000).gain(0, 1)
    expected = 1.966 * math.sqrt(2) * math.sqrt(2 / n + apart**2 / (4 * n))
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.12)


def test_a_gain_is_the_difference_of_the_values_and_turns_round_with_its_sides() -> None:
    drawn = np.random.default_rng(2)
    found = of(drawn.normal(2, 1, (30, 2)), drawn.normal(0, 1, (30, 2)))
    one, other = found.gain(0, 1), found.gain(1, 0)
    assert one.value == pytest.approx(found.values[0] - found.values[1], rel=1e-12)
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))


def test_the_same_seed_gives_the_same_interval() -> None:
    drawn = np.random.default_rng(3)
    mated, other = drawn.normal(2, 1, (30, 2)), drawn.normal(0, 1, (30, 2))
    assert of(mated, other, seed=4).gain(0, 1) == of(mated, other, seed=4).gain(0, 1)
    assert of(mated, other, seed=4).gain(0, 1) != of(mated, other, seed=5).gain(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
def test_intervals_cover_a_difference_of_zero_where_pairs_share_people(listed: bool) -> None:
    """Two equally good models; people are easy or hard for both, and each pair is compared by noise of its own."""
    drawn = np.random.default_rng(5)
    covered, trials, people = 0, 300, 40
    one, two = np.triu_indices(people, 1)
    if listed:
        chosen = drawn.choice(len(one), people, replace=False)
        one, two = one[chosen], two[chosen]
    for trial in range(trials):
        hard = drawn.normal(0, 0.5, (people, 2))
        mated = 3 + hard + drawn.normal(0, 1, (people, 2))
        other = (hard[one] + hard[two]) / 2 + drawn.normal(0, 1, (len(one), 2))
        owner = np.arange(people)
        found = Separations(
            np.concatenate([mated, other]),
            np.arange(people + len(one)) < people,
            np.append(owner, one),
            np.append(owner, two),
            seed=trial,
            draws=200,
        ).gain(0, 1)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / trials <= 0.99


@pytest.mark.parametrize(
    ("people", "scores", "said"),
    [(9, 0.0, "9 people in mated"), (12, math.nan, "finite"), (12, -math.inf, "finite")],
)
def test_what_has_no_interval_is_refused(people: int, scores: float, said: str) -> None:
    mated, other = np.full((people, 1), scores), np.zeros((40, 1))
    with pytest.raises(InvalidArgument, match=said):
        of(mated, other)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="three columns"):
        Separations(np.zeros((20, 1)), np.ones(20, bool), np.arange(20), np.arange(19))
