from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from xcos.errors import InvalidArgument
from xcos.training.data.pairs import draw_pairs

LABELS = np.array([2, 0, 2, 9, 3, 2, 3, 2, 2])  # people of 1, 5, 2 and 1 photos, numbered with gaps


def chance(first: int, second: int) -> float:
    """Probability of the second photo given the first, from the words of the paper."""
    people: list[int] = LABELS.tolist()
    own, other = people.count(people[first]), people.count(people[second])
    mated = 0.5 if own > 1 else 0.0
    if first == second:
        return 0.0
    if people[first] == people[second]:
        return mated / (own - 1)
    return (1 - mated) / (len(set(people)) - 1) / other


def test_pairs_are_as_frequent_as_the_papers_rule_says() -> None:
    generator, repeats, n = np.random.default_rng(0), 2000, len(LABELS)
    seen = np.zeros((n, n))
    for _ in range(repeats):
        pairs = draw_pairs(LABELS, generator)
        seen[pairs.first, pairs.second] += 1
    expected = repeats * np.array([[chance(i, j) for j in range(n)] for i in range(n)])
    np.testing.assert_allclose(expected.sum(axis=1), repeats)
    possible = expected > 0
    assert not seen[~possible].any()
    for photo in range(n):
        assert chisquare(seen[photo, possible[photo]], expected[photo, possible[photo]]).pvalue > 1e-3


def test_the_coin_is_fair_where_there_is_a_mate() -> None:
    labels = np.repeat(np.arange(500), 20)
    mated = draw_pairs(labels, np.random.default_rng(1)).mated
    assert binomtest(int(mated.sum()), len(mated), 0.5).pvalue > 1e-3


@given(
    st.lists(st.integers(-3, 6), min_size=2, max_size=40).filter(lambda each: len(set(each)) > 1), st.integers(0, 99)
)
def test_every_photo_is_first_once_and_never_its_own_mate(people: list[int], seed: int) -> None:
    labels = np.array(people, np.int64)
    pairs = draw_pairs(labels, np.random.default_rng(seed))
    np.testing.assert_array_equal(pairs.first, np.arange(len(labels)))
    assert (pairs.first != pairs.second).all()
    np.testing.assert_array_equal(pairs.mated, labels[pairs.first] == labels[pairs.second])
    alone = np.array([people.count(person) == 1 for person in people])
    assert not pairs.mated[alone].any()


def test_people_of_one_photo_each_give_non_mated_pairs_only() -> None:
    pairs = draw_pairs(np.arange(1000), np.random.default_rng(2))
    assert not pairs.mated.any()
    assert (pairs.first != pairs.second).all()


def test_the_same_seed_gives_the_same_pairs_and_another_seed_others() -> None:
    labels = np.repeat(np.arange(50), 4)
    first, again, other = (draw_pairs(labels, np.random.default_rng(seed)) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first.second != other.second).any()


def test_many_photos_are_paired_without_a_list_per_pair() -> None:
    labels = np.random.default_rng(5).integers(0, 20_000, 300_000)
    pairs = draw_pairs(labels, np.random.default_rng(6))
    np.testing.assert_array_equal(pairs.mated, labels[pairs.first] == labels[pairs.second])


@pytest.mark.parametrize("labels", [np.zeros(5, np.int64), np.zeros(0, np.int64), np.array([[0, 1], [0, 1]])])
def test_fewer_than_two_people_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InvalidArgument, match="two people or more"):
        draw_pairs(labels, np.random.default_rng(0))
