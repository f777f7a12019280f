from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from xcos.errors import InvalidArgument
from xcos.evaluation.identification import Searches, search

GALLERY = np.array([0, 0, 1, 2, 2, 2, 3])


def searched(scores: Any, probes: Any, gallery: Any = GALLERY, block: int = 2) -> Searches:
    """Searches of a whole matrix, given some rows at a time."""
    scores = np.asarray(scores, np.float64)
    return search((scores[at : at + block] for at in range(0, len(scores), block)), np.array(probes), np.array(gallery))


def test_searches_by_hand() -> None:
    made = searched(
        [
            [0.1, 0.9, 0.8, 0.2, 0.3, 0.1, 0.0],  # subject 0: best of two samples is 0.9, rank 1
            [0.7, 0.1, 0.5, 0.6, 0.2, 0.1, 0.0],  # subject 2: 0.6 behind 0.7
            [0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0.35],  # nobody of the gallery: 0.4 at the top
        ],
        [0, 2, 9],
    )
    assert made.gallery == 4
    assert made.rank.tolist() == [1, 2]
    assert made.mate.tolist() == [0.9, 0.6]
    assert made.top.tolist() == [0.4]
    assert (made.fnir(1), made.fnir(2), made.fnir(2, 0.65)) == (0.5, 0, 0.5)
    assert (made.hit_rate(), made.cmc(3).tolist()) == (0.5, [0.5, 1, 1])
    assert (made.fpir(0.4), made.fpir(0.41)) == (1, 0)


def test_ties_with_the_mate_count_against_the_system() -> None:
    made = searched([[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]], [2])
    assert made.rank.tolist() == [4], "a matcher that says the same of all four finds nobody"
    same_subject = searched([[0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1]], [0])
    assert same_subject.rank.tolist() == [1], "two samples of the mate are no tie"


def test_a_search_that_failed_finds_nobody_at_any_rank() -> None:
    made = searched([[-math.inf] * 7, [-math.inf] * 7], [1, 9])
    assert made.rank.tolist() == [5]
    assert (made.fnir(4), made.fnir(100), made.fpir(-math.inf)) == (1, 1, 0)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_any_searches_agree_with_ranking_each_by_itself(seed: int, probes: int, samples: int, block: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, (probes, samples)).astype(float)
    gallery, probe = random.integers(0, 4, samples), random.integers(0, 6, probes)
    made = searched(scores, probe, gallery, block)
    ranks, mates, tops = [], [], []
    for row, subject in zip(scores, probe, strict=True):
        best = {each: row[gallery == each].max() for each in set(gallery.tolist())}
        if subject in best:
            others = [score for each, score in best.items() if each != subject]
            ranks.append(1 + sum(score >= best[subject] for score in others))
            mates.append(best[subject])
        else:
            tops.append(max(best.values()))
    assert (made.rank.tolist(), made.mate.tolist(), made.top.tolist()) == (ranks, mates, tops)
    for rank in (1, 2, 4):
        for threshold in (0.0, 2.0, 4.5):
            missed = [at > rank or mate < threshold for at, mate in zip(ranks, mates, strict=True)]
            assert made.missed(rank, threshold).tolist() == missed
            assert made.false_positive(threshold).tolist() == [top >= threshold for top in tops]


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_without_ties_the_hit_rate_is_scikit_learns(rank: int) -> None:
    random = np.random.default_rng(rank)
    scores, probes = random.normal(size=(80, 12)), random.integers(0, 12, 80)
    made = searched(scores, probes, np.arange(12), block=17)
    assert made.hit_rate(rank) == pytest.approx(top_k_accuracy_score(probes, scores, k=rank, labels=np.arange(12)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.floats(0, 1))
def test_the_threshold_at_an_fpir_is_the_lowest_that_keeps_it(tops: list[int], rate: float) -> None:
    made = searched(np.array(tops, float)[:, None], np.ones(len(tops), int), [0])
    threshold = made.threshold_at_fpir(rate)
    assert made.fpir(threshold) <= rate + 1e-9
    lower = [top for top in tops if top < threshold]
    assert all(made.fpir(top) > rate for top in lower)


def test_a_block_at_a_time_is_enough() -> None:
    held = []

    def blocks() -> Any:
        for _ in range(50):
            held.append(np.random.default_rng(0).normal(size=(10, 7)))
            yield held.pop()
            assert not held

    assert len(search(blocks(), np.zeros(500, np.int64), GALLERY).rank) == 500


@pytest.mark.parametrize(
    "blocks",
    [
        [np.ones((1, 7))],
        [np.ones((2, 7)), np.ones((1, 7))],
        [np.ones((2, 6))],
        [np.full((2, 7), np.nan)],
        [np.ones(7)],
        [],
    ],
)
def test_blocks_that_are_not_the_matrix_are_refused(blocks: Any) -> None:
    with pytest.raises(InvalidArgument, match="rows"):
        search(blocks, np.array([0, 1]), GALLERY)


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="gallery"):
        search([], np.array([0]), np.array([], np.int64))


def test_rates_of_searches_that_were_not_made_are_refused() -> None:
    mated, other = searched(np.ones((1, 7)), [0]), searched(np.ones((1, 7)), [9])
    with pytest.raises(InvalidArgument, match="rate is not defined"):
        mated.fpir(0.5)
    with pytest.raises(InvalidArgument, match="rate is not defined"):
        mated.threshold_at_fpir(0.1)
    with pytest.raises(InvalidArgument, match="rate is not defined"):
        other.fnir(1)
    with pytest.raises(InvalidArgument, match="counted from 1"):
        mated.fnir(0)
