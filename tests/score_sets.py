"""Score sets for tests of error rates: generated ones, and what oracles need to know of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata

from xcos.evaluation.scores import ScoreSet

Scores = NDArray[np.floating[Any]]
Two = tuple[Scores, Scores]


SPECIAL = [-np.inf, np.inf, -0.0, 0.0, 1.0, 1.0 + 2**-23, 1e-40, 3e38, -3e38]


@st.composite
def score_sets(draw: st.DrawFn) -> Two:
    """Mated and non-mated scores: ties, infinities, failures, huge numbers, or all different; float32 or float64."""
    single = draw(st.booleans())
    kind = np.float32 if single else np.float64
    if draw(st.integers(0, 3)) == 0:
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        sizes = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
        return random.normal(1, 1, sizes[0]).astype(kind), random.normal(0, 1, sizes[1]).astype(kind)
    any_at_all = st.floats(allow_nan=False, allow_infinity=False, width=32 if single else 64)
    pool: Scores = np.array(
        draw(st.lists(st.one_of(st.sampled_from(SPECIAL), any_at_all), min_size=1, max_size=8)), kind
    )
    places = [np.frombuffer(draw(st.binary(min_size=1, max_size=30)), np.uint8) % len(pool) for _ in range(2)]
    mated, other = (pool[place] for place in places)
    return mated, other


def ranked(mated: Scores, other: Scores) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels and dense ranks of all scores: what orders scores as they do, and that any program takes."""
    ranks = rankdata(np.concatenate([mated, other]), method="dense").astype(np.int64)
    return ranks, np.arange(len(ranks)) < len(mated)


def set_of(mated: Any, other: Any, people: int = 0) -> ScoreSet:
    """A score set of ever new people; with ``people``, of so many at random."""
    mated, other = np.asarray(mated), np.asarray(other)
    count = len(mated) + len(other)
    probe, reference = np.arange(count), np.arange(count) + count
    if people:
        random = np.random.default_rng(0)
        probe = random.integers(0, people, count)
        reference = (probe + random.integers(1, people, count)) % people
    reference[: len(mated)] = probe[: len(mated)]
    return ScoreSet(np.concatenate([mated, other]), np.arange(count) < len(mated), probe, reference)
