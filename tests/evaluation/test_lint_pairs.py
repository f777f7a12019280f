"""Few pairs out of many: two halves that share nobody, spread over people, the same for the same seed."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcos.errors import InvalidArgument
from xcos.evaluation import lint_pairs
from xcos.evaluation.lint_pairs import Halves, LintPairs, choose_pairs
from xcos.evaluation.protocol import (
    PhotoSource,
    Samples,
    SampleSource,
    VerificationProtocol,
    linked_subjects,
    single,
)

PHOTOS = 3


def protocol(people: int, *, known: bool = True, seed: int = 0) -> VerificationProtocol:
    """All mated pairs of three photos each, and three listed non-mated pairs of each person, by chance."""
    drawn = np.random.default_rng(seed)
    mated = [
        (PHOTOS * person + one, PHOTOS * person + two)
        for person in range(people)
        for one, two in itertools.combinations(range(PHOTOS), 2)
    ]
    other: set[tuple[int, int]] = set()
    while len(other) < 3 * people:
        one, two = (int(each) for each in drawn.integers(0, PHOTOS * people, 2))
        if one // PHOTOS < two // PHOTOS:
            other.add((one, two))
    pairs = np.array([*mated, *sorted(other)])
    is_mated = np.arange(len(pairs)) < len(mated)
    count = PHOTOS * people
    subjects = (
        np.arange(count) // PHOTOS
        if known
        else linked_subjects(count, pairs[is_mated, 0], pairs[is_mated, 1])  # the same
    )
    photos = tuple(PhotoSource(f"{number}", b"") for number in range(count))
    samples = Samples(photos, tuple(map(single, range(count))), subjects, known)
    fold = np.zeros(len(pairs), np.int64)
    return VerificationProtocol("made up", samples, pairs[:, 0], pairs[:, 1], is_mated, fold, "0" * 64)


def each_half(halves: Halves) -> tuple[LintPairs, LintPairs]:
    return halves.choosing, halves.verifying


def people_of(pairs: LintPairs) -> set[int]:
    return {*pairs.first.tolist(), *pairs.second.tolist()}


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 80), st.integers(20, 200), st.integers(0, 5), st.booleans())
def test_the_halves_share_neither_people_nor_photos(people: int, pairs: int, seed: int, known: bool) -> None:
    made = protocol(people, known=known, seed=seed)
    one, other = each_half(choose_pairs(made, pairs, seed))
    assert not people_of(one) & people_of(other)
    assert not {*one.photos.tolist()} & {*other.photos.tolist()}


@pytest.mark.parametrize("known", [True, False])
def test_photos_are_those_of_the_people_named_and_pairs_are_what_they_are_called(known: bool) -> None:
    for half in each_half(choose_pairs(protocol(60, known=known), 60, 0)):
        np.testing.assert_array_equal(half.probe // PHOTOS == half.reference // PHOTOS, half.mated)
        np.testing.assert_array_equal(half.first == half.second, half.mated)
        assert half.mated.sum() == 30


def test_mated_pairs_are_spread_over_people_before_anyone_has_a_second_one() -> None:
    for pairs, most in ((40, 1), (80, 2), (1000, 3)):
        for half in each_half(choose_pairs(protocol(60), pairs, 0)):
            seen = Counter(half.first[half.mated].tolist())
            assert max(seen.values()) == most
            assert most == 1 or len(seen) == 30


def test_where_people_are_known_all_pairs_of_two_people_are_formed_of_the_photos() -> None:
    for half in each_half(choose_pairs(protocol(60), 60, 0)):
        photos = half.photos.tolist()
        formed = {(one, two) for one, two in itertools.combinations(photos, 2) if one // PHOTOS != two // PHOTOS}
        found = zip(half.probe[~half.mated].tolist(), half.reference[~half.mated].tolist(), strict=True)
        assert {(min(pair), max(pair)) for pair in found} == formed
        assert (~half.mated).sum() == len(formed)


def test_where_people_are_not_known_only_listed_pairs_are_taken_and_no_more_than_mated_ones() -> None:
    made = protocol(60, known=False)
    listed = {*zip(made.probe.tolist(), made.reference.tolist(), strict=True)}
    for half in each_half(choose_pairs(made, 60, 0)):
        assert {*zip(half.probe.tolist(), half.reference.tolist(), strict=True)} <= listed
        assert 20 <= (~half.mated).sum() <= 30


def test_no_more_non_mated_pairs_are_formed_than_tell_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_pairs, "MOST_NON_MATED", 100)
    for half in each_half(choose_pairs(protocol(60), 60, 0)):
        others = half.of(~half.mated)
        assert len(others.mated) == 100
        assert (others.first != others.second).all()
        assert len({*zip(others.probe.tolist(), others.reference.tolist(), strict=True)}) == 100


def test_the_same_seed_chooses_the_same_pairs_and_another_one_others() -> None:
    chosen = [choose_pairs(protocol(60), 60, seed).choosing.probe.tolist() for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_sample_of_several_photos_is_represented_by_its_first() -> None:
    made = protocol(60)
    count = len(made.samples.photos)
    sources = tuple(SampleSource(((number, (number + 1) % count),)) for number in range(count))
    samples = Samples(made.samples.photos, sources, made.samples.subjects, True)
    several = VerificationProtocol("several", samples, made.probe, made.reference, made.mated, made.fold, made.sha256)
    one, other = choose_pairs(made, 60, 0).choosing, choose_pairs(several, 60, 0).choosing
    np.testing.assert_array_equal(one.probe, other.probe)


def test_photos_that_failed_are_left_out_with_their_pairs() -> None:
    halves = choose_pairs(protocol(60), 60, 0)
    failed = halves.choosing.photos[:3]
    left = halves.without(failed)
    assert not np.isin(failed, left.choosing.photos).any()
    np.testing.assert_array_equal(left.verifying.probe, halves.verifying.probe)


@pytest.mark.parametrize("people", [19, 12])
def test_too_few_people_for_two_halves_are_refused(people: int) -> None:
    with pytest.raises(InvalidArgument, match="take a protocol of more people"):
        choose_pairs(protocol(people), 600, 0)


@pytest.mark.parametrize("pairs", [0, 19, 4001, -5])
def test_too_few_or_too_many_pairs_are_refused(pairs: int) -> None:
    with pytest.raises(InvalidArgument, match="20 to 4,000 pairs"):
        choose_pairs(protocol(30), pairs, 0)
