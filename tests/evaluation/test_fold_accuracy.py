from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_sets import Two, score_sets, set_of
from sklearn.model_selection import KFold

from xcos.errors import InvalidArgument
from xcos.evaluation.fold_accuracy import (
    COSINE_THRESHOLDS,
    contiguous_folds,
    disjoint_fold_accuracy,
    fold_accuracy,
    fold_accuracy_at_midpoints,
    midpoints,
)
from xcos.evaluation.scores import ScoreSet

FILES = ("cosines", "coarse", "failing")


def read(name: str, kind: type[np.floating[Any]] = np.float64) -> tuple[ScoreSet, Any]:
    """A shipped score file and its folds."""
    with (Path(__file__).with_name("data") / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    people = (columns[side].astype(np.int64) for side in ("probe", "reference"))
    return ScoreSet(columns["score"].astype(kind), columns["mated"] == 1, *people), columns["fold"].astype(np.int64)


# The field's procedure, written once more from its description: thresholds -1 to 1 in steps of 0.005; for each fold the
# first threshold with the best accuracy on the other folds; mated if the score is above; mean and standard deviation.


def as_published(
    scores: list[float], mated: list[bool], folds: list[list[int]], grid: Any
) -> tuple[float, float, list[float]]:
    accuracies, chosen = [], []
    for test in folds:
        inside = set(test)
        train = [pair for pair in range(len(scores)) if pair not in inside]
        best, best_right = 0.0, -1
        for threshold in grid(scores, train):
            right = sum((scores[pair] > threshold) == mated[pair] for pair in train)
            if right > best_right:
                best, best_right = threshold, right
        chosen.append(best)
        accuracies.append(sum((scores[pair] > best) == mated[pair] for pair in test) / len(test))
    mean = sum(accuracies) / len(accuracies)
    variance = sum((each - mean) ** 2 for each in accuracies) / len(accuracies)
    return mean, variance**0.5, chosen


def cosine_grid(_scores: list[float], _train: list[int]) -> list[float]:
    return list(np.arange(-1, 1, 0.005))  # as their code has it: its rounding decides about scores of two decimals


def all_midpoints(scores: list[float], train: list[int]) -> list[float]:
    values = sorted({scores[pair] for pair in train})
    between = [(low + high) / 2 for low, high in pairwise(values)]
    return [values[0] - 1, *between, values[-1]]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("ours", "grid"), [(fold_accuracy, cosine_grid), (fold_accuracy_at_midpoints, all_midpoints)])
def test_accuracy_over_ten_folds_is_that_of_an_independent_implementation(
    name: str, kind: Any, ours: Any, grid: Any
) -> None:
    scores, fold = read(name, kind)
    folds = [np.flatnonzero(fold == number).tolist() for number in range(10)]
    mean, std, chosen = as_published([float(s) for s in scores.scores], scores.mated.tolist(), folds, grid)
    made = ours(scores, fold)
    assert made.mean == pytest.approx(mean, abs=1e-12)
    assert made.std == pytest.approx(std, abs=1e-12)
    assert made.left_out.tolist() == [0] * 10
    above = [(scores.scores > threshold).sum() for threshold in chosen]
    assert [(scores.scores > threshold).sum() for threshold in made.thresholds] == above
    if grid is cosine_grid:
        np.testing.assert_allclose(made.thresholds, chosen, atol=1e-12)


@pytest.mark.parametrize(("count", "folds"), [(400, 10), (11, 2), (25, 10), (3, 3)])
def test_folds_in_file_order_are_scikit_learns(count: int, folds: int) -> None:
    fold = contiguous_folds(count, folds)
    for number, (_, test) in enumerate(KFold(folds).split(np.zeros(count))):
        assert np.flatnonzero(fold == number).tolist() == test.tolist()


@pytest.mark.parametrize(("count", "folds"), [(5, 6), (5, 1), (5, 0)])
def test_folds_that_cannot_be_are_refused(count: int, folds: int) -> None:
    with pytest.raises(InvalidArgument, match="cannot be divided"):
        contiguous_folds(count, folds)


def test_right_answers_are_those_that_the_accuracy_counts() -> None:
    scores, fold = read("cosines")
    made = fold_accuracy(scores, fold)
    for number in range(10):
        assert made.right[fold == number].mean() == pytest.approx(made.accuracies[number])


def test_a_score_on_the_threshold_is_not_above_it() -> None:
    scores = set_of([0.5, 0.9, 0.5, 0.9], [0.5, 0.5, 0.1, 0.5, 0.5, 0.1])
    fold = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1])
    made = fold_accuracy(scores, fold, thresholds=np.array([0.1, 0.5, 0.9]))
    assert made.thresholds.tolist() == [0.5, 0.5]
    assert made.right.tolist() == [False, True, False, True] + [True] * 6


def test_scores_of_another_scale_are_not_judged_by_cosine_thresholds() -> None:
    with pytest.raises(InvalidArgument, match="do not fit thresholds"):
        fold_accuracy(set_of([25.0, 30.0], [-4.0, 2.0]), np.array([0, 1, 0, 1]))
    assert fold_accuracy_at_midpoints(set_of([25.0, 30.0], [-4.0, 2.0]), np.array([0, 1, 0, 1])).mean == 1


def test_the_grid_is_400_thresholds_that_nobody_can_change() -> None:
    assert len(COSINE_THRESHOLDS) == 400
    with pytest.raises(ValueError, match="read-only"):
        COSINE_THRESHOLDS[0] = 0


@settings(max_examples=300, deadline=None)
@given(score_sets())
def test_midpoints_divide_scores_in_every_way_there_is(sets: Two) -> None:
    scores = np.concatenate(sets)
    thresholds = midpoints(scores)
    assert (thresholds[1:] > thresholds[:-1]).all()
    ways = {tuple(scores > threshold) for threshold in thresholds}
    values = np.unique(scores)
    expected = {tuple(scores > value) for value in values} | {
        tuple(scores >= value) for value in values if value > -np.inf
    }
    assert ways == expected


# Without its bias


def disjoint_by_hand(scores: ScoreSet, fold: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """Pairs left out per fold, and how many pairs of each kind are left to choose from."""
    left_out, kept = [], []
    pairs = list(zip(scores.probe_subject.tolist(), scores.reference_subject.tolist(), strict=True))
    for number in range(fold.max() + 1):
        people = {person for pair, of in zip(pairs, fold, strict=True) if of == number for person in pair}
        others = [at for at in range(len(pairs)) if fold[at] != number]
        strangers = [at for at in others if not people & set(pairs[at])]
        left_out.append(len(others) - len(strangers))
        mated = sum(bool(scores.mated[at]) for at in strangers)
        kept.append((mated, len(strangers) - mated))
    return left_out, kept


@pytest.mark.parametrize("name", FILES)
def test_pairs_that_share_a_person_with_the_fold_are_left_out_and_counted(name: str) -> None:
    scores, fold = read(name)
    left_out, _ = disjoint_by_hand(scores, fold)
    made = disjoint_fold_accuracy(scores, fold)
    assert made.left_out.tolist() == left_out
    assert sum(left_out) > 0


@pytest.mark.parametrize("name", FILES)
def test_the_threshold_chosen_without_the_folds_people_is_one_of_the_best_of_the_rest(name: str) -> None:
    scores, fold = read(name)
    made = disjoint_fold_accuracy(scores, fold)
    for number, threshold in enumerate(made.thresholds):
        people = np.union1d(scores.probe_subject[fold == number], scores.reference_subject[fold == number])
        rest = ~np.isin(scores.probe_subject, people) & ~np.isin(scores.reference_subject, people)
        mated, other = scores.scores[rest & scores.mated], scores.scores[rest & ~scores.mated]

        def balanced(at: float, mated: Any = mated, other: Any = other) -> float:
            return float((mated > at).mean() + (other <= at).mean())  # as many of each kind in the whole set

        assert balanced(threshold) == pytest.approx(max(balanced(at) for at in [*scores.scores, -2.0]), abs=1e-12)


def test_what_the_people_of_a_fold_score_elsewhere_has_no_part_in_its_threshold() -> None:
    scores, fold = read("cosines")
    people = np.union1d(scores.probe_subject[fold == 0], scores.reference_subject[fold == 0])
    theirs = (np.isin(scores.probe_subject, people) | np.isin(scores.reference_subject, people)) & (fold != 0)
    changed = np.where(theirs, -scores.scores, scores.scores)
    other = ScoreSet(changed, scores.mated, scores.probe_subject, scores.reference_subject)
    assert disjoint_fold_accuracy(other, fold).thresholds[0] == disjoint_fold_accuracy(scores, fold).thresholds[0]
    assert fold_accuracy(other, fold).thresholds[0] != fold_accuracy(scores, fold).thresholds[0]


def test_of_thresholds_that_are_equally_good_the_middle_one_is_chosen() -> None:
    # Fold 1 alone decides for fold 0. Below all, at 0.35 and above all two of its four pairs are answered rightly.
    scores = set_of([0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.3, 0.5])
    made = disjoint_fold_accuracy(scores, np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    assert made.thresholds[0] == pytest.approx(0.35)


def test_folds_of_the_same_people_cannot_choose_without_them() -> None:
    scores = set_of(np.linspace(0.5, 0.9, 20), np.linspace(0, 0.4, 20), people=4)
    with pytest.raises(InvalidArgument, match="share nobody with fold 0") as caught:
        disjoint_fold_accuracy(scores, np.tile([0, 1], 20))
    assert caught.value.details == {"fold": 0}


def test_with_people_apart_nothing_is_left_out() -> None:
    random = np.random.default_rng(5)
    scores = set_of(random.normal(1, 1, 50), random.normal(0, 1, 50))
    assert not disjoint_fold_accuracy(scores, np.tile(np.arange(5), 20)).left_out.any()


# What cannot be measured


@pytest.mark.parametrize(
    "fold", [[0, 0, 0, 0], [0, 2, 0, 2], [1, 2, 1, 2], [0, 1], [0.0, 1.0, 0.0, 1.0], [-1, 0, -1, 0]]
)
@pytest.mark.parametrize("procedure", [fold_accuracy, fold_accuracy_at_midpoints, disjoint_fold_accuracy])
def test_folds_that_are_none_are_refused(procedure: Any, fold: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="fold"):
        procedure(set_of([0.5, 0.9], [0.1, 0.2]), np.array(fold))


@pytest.mark.parametrize("procedure", [fold_accuracy, fold_accuracy_at_midpoints, disjoint_fold_accuracy])
def test_pairs_of_one_kind_have_no_accuracy(procedure: Any) -> None:
    with pytest.raises(InvalidArgument, match="only those of one kind"):
        procedure(set_of([0.5, 0.9], []), np.array([0, 1]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_generated_sets_agree_with_the_independent_implementation(seed: int, folds: int) -> None:
    random = np.random.default_rng(seed)
    scores = set_of(random.normal(0.4, 0.3, 30).clip(-1, 1).round(2), random.normal(0.1, 0.3, 40).clip(-1, 1).round(2))
    fold = random.permutation(np.arange(70) % folds)
    by_fold = [np.flatnonzero(fold == number).tolist() for number in range(folds)]
    for ours, grid in ((fold_accuracy, cosine_grid), (fold_accuracy_at_midpoints, all_midpoints)):
        mean, std, _ = as_published(scores.scores.tolist(), scores.mated.tolist(), by_fold, grid)
        made: Any = ours(scores, fold)
        assert (made.mean, made.std) == (pytest.approx(mean, abs=1e-12), pytest.approx(std, abs=1e-12))
