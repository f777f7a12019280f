"""Accuracies at the best threshold, and what they are worth, where the answer is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lfw
from best_accuracy import Pairs, Scored

KIND = 400
"""Pairs of each kind, no two of which share a person."""


def pairs_of_strangers() -> Pairs:
    mated = np.arange(2 * KIND) < KIND
    probe = np.arange(2 * KIND)
    return Pairs(mated, probe, np.where(mated, probe, probe + 2 * KIND))


def scored(missed: range, matched: range) -> Scored:
    """Mated pairs score 1, others 0, but for these."""
    pairs = pairs_of_strangers()
    scores = pairs.mated.astype(np.float64)
    scores[list(missed)] = 0
    scores[[KIND + at for at in matched]] = 1
    return pairs.scored(scores)


def test_the_interval_of_pairs_that_share_nobody_is_the_binomial_one() -> None:
    accuracy = scored(range(40), range(20)).accuracy
    error = math.sqrt((0.1 * 0.9 + 0.05 * 0.95) / KIND) / 2
    assert accuracy.value == pytest.approx(0.925)
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(1.96 * error, rel=0.12)
    assert accuracy.low < accuracy.value < accuracy.high


def test_a_difference_is_paired() -> None:
    """The other model misses 24 pairs more, and all that the first does: only those 24 can vary."""
    gain = scored(range(40), range(20)).ahead_of(scored(range(64), range(20)))
    share = 24 / KIND
    error = math.sqrt(share * (1 - share) / KIND) / 2
    assert gain.value == pytest.approx(0.03)
    assert (gain.high - gain.low) / 2 == pytest.approx(1.96 * error, rel=0.12)


def test_a_model_is_ahead_of_itself_by_nothing() -> None:
    gain = scored(range(40), range(20)).ahead_of(scored(range(40), range(20)))
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_conditions_of_the_same_people_are_worth_no_more_than_one() -> None:
    pairs = pairs_of_strangers()
    scores = scored(range(40), range(20)).scores.scores
    once, thrice = (pairs.scored(*[scores] * times).accuracy for times in (1, 3))
    assert thrice.value == once.value
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_people_have_numbers_on_both_sides() -> None:
    pairs = Pairs.of([lfw.LfwPair("b/b_0001.jpg", "b/b_0002.jpg", True), lfw.LfwPair("c/c_0001.jpg", "a/a.jpg", False)])
    assert pairs.probe_subject.tolist() == [1, 2]
    assert pairs.reference_subject.tolist() == [1, 0]


def test_differences_are_printed_with_their_sign() -> None:
    gain = scored(range(64), range(20)).ahead_of(scored(range(40), range(20)))
    assert gain.points(sign=True).startswith("−3.00 [−")
