"""Pairs to train on, as the xCos paper draws them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.training.data.identities import Labels


class DrawnPairs(NamedTuple):
    """Indices of the two photos of each pair, and whether they show one person; ``(n,)`` each."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mated: NDArray[np.bool_]


def draw_pairs(labels: Labels, generator: np.random.Generator) -> DrawnPairs:
    """One pair for each of n photos, in their order (Lin et al. 2021).

    A fair coin says whether the pair is mated. Mated: the second photo is any other of the same person, all equally
    likely. Non-mated: another person, all equally likely, then any photo of that person. A person's only photo has
    no mate: its pair is always non-mated. O(n log n) for all pairs together.
    """
    people, person, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if labels.ndim != 1 or len(people) < 2:
        raise InvalidArgument(f"labels must be (n,) of two people or more, got {labels.shape} of {len(people)}")
    by_person = np.argsort(person, kind="stable")
    starts = np.cumsum(counts) - counts
    mated = (generator.random(len(labels)) < 0.5) & (counts[person] > 1)

    rank = np.empty(len(labels), np.int64)  # of each photo among those of its person
    rank[by_person] = np.arange(len(labels)) - starts[person[by_person]]
    other_person = _any_but(person, len(people), generator)
    target = np.where(mated, person, other_person)
    other_rank = _any_but(rank, np.maximum(counts[person], 2), generator)
    second = np.where(mated, other_rank, generator.integers(0, counts[target]))
    return DrawnPairs(np.arange(len(labels)), by_person[starts[target] + second], mated)


def _any_but(
    taken: NDArray[np.int64], choices: int | NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """For each number ``taken``, a uniformly random other of 0 … ``choices`` − 1."""
    drawn = generator.integers(0, np.broadcast_to(np.asarray(choices) - 1, taken.shape))
    return drawn + (drawn >= taken)
