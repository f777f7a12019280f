"""The checks that all readers share, against a walk over all pairs, and damaged lists of every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_sets import LISTED, Made

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocols import read_protocol
from xcos.evaluation.protocols.lists import Place
from xcos.evaluation.protocols.pairing import check_pairs, folds_by_rank

FILE = Path("list.txt")
Pair = tuple[int, int, bool]
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=8)


def first_fault(pairs: list[Pair], *, as_published: bool) -> tuple[str, int | None] | None:
    """What is wrong and in which line, found by walking over the pairs."""
    if len({mated for _, _, mated in pairs}) < 2:
        return "there is no", None
    itself = [line for line, (one, other, _) in enumerate(pairs, 1) if one == other]
    if itself and not as_published:
        return "itself", itself[0]
    seen: dict[frozenset[int], list[tuple[int, bool]]] = {}
    twice: list[int] = []
    two_kinds: list[int] = []
    for line, (one, other, mated) in enumerate(pairs, 1):
        before = seen.setdefault(frozenset((one, other)), [])
        if before:  # compared with the one before it of the same two
            (twice if before[-1][1] == mated else two_kinds).append(line)
        before.append((line, mated))
    if two_kinds:
        return "as mated and as non-mated", two_kinds[0]
    return ("twice", twice[0]) if twice and not as_published else None


@settings(max_examples=1000, deadline=None)
@given(pairs=PAIRS, as_published=st.booleans())
def test_faults_are_those_that_a_walk_over_the_pairs_finds(pairs: list[Pair], as_published: bool) -> None:
    probe, reference = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    mated = np.array([pair[2] for pair in pairs])
    found = None
    try:
        check_pairs(probe, reference, mated, lambda at: Place(FILE, at + 1), as_published=as_published)
    except InvalidProtocol as error:
        found = error
    expected = first_fault(pairs, as_published=as_published)
    assert (found is None) == (expected is None)
    if found and expected:
        assert expected[0] in found.message
        assert found.details["line"] == expected[1]
    assert probe.tolist() == [pair[0] for pair in pairs]  # nothing was changed in place


@given(order=st.permutations([True] * 20 + [False] * 30))
def test_the_kth_tenth_of_each_kind_is_fold_k(order: list[bool]) -> None:
    mated = np.array(order)
    fold = folds_by_rank(mated, FILE)
    assert fold[mated].tolist() == [at for at in range(10) for _ in range(2)]
    assert fold[~mated].tolist() == [at for at in range(10) for _ in range(3)]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Made, bytes]]:
    """Each set, made once, and its list as it was."""
    made: dict[str, tuple[Made, bytes]] = {}

    def of(name: str) -> tuple[Made, bytes]:
        if name not in made:
            whole = LISTED[name](tmp_path_factory.mktemp(name))
            made[name] = whole, whole.list.read_bytes()
        return made[name]

    return of


@settings(max_examples=1500, deadline=None)
@given(
    name=st.sampled_from(sorted(LISTED)),
    changes=st.lists(
        st.tuples(
            st.floats(0, 0.999),
            st.binary(max_size=3) | st.sampled_from([b"\n", b" ", b"1", b"\t", b","]),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_a_damaged_list_is_read_or_refused_with_a_place_and_never_anything_else(
    sets: Callable[[str], tuple[Made, bytes]], name: str, changes: list[tuple[float, bytes, int]]
) -> None:
    made, content = sets(name)
    for share, new, taken in changes:
        at = int(share * len(content))
        content = content[:at] + new + content[at + taken :]
    made.list.write_bytes(content)
    found = None
    try:
        read_protocol(name, made.folder)
    except InvalidProtocol as error:
        found = error
    line = found.details["line"] if found else None
    if found and line is not None:
        lines = Path(str(found.details["path"])).read_bytes().replace(b"\r", b"\n").count(b"\n") + 1
        assert isinstance(line, int)
        assert 1 <= line <= lines
