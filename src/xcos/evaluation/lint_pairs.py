"""A small protocol out of a large one: some pairs to choose on, and pairs of other people to verify the choice on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xcos.errors import InvalidArgument
from xcos.evaluation.protocol import Numbers, Truths, VerificationProtocol
from xcos.evaluation.uncertainty import LEAST_PEOPLE
from xcos.types import freeze

MOST_PAIRS = 4_000
MOST_NON_MATED = 50_000
"""Non-mated pairs that are formed of chosen photos; more of them tell nothing new of as few people."""


@dataclass(frozen=True, eq=False)
class LintPairs:
    """Pairs of photos, a photo for each sample."""

    probe: Numbers
    """(n,) numbers of the protocol's photos."""
    reference: Numbers
    mated: Truths
    """(n,)."""
    first: Numbers
    """(n,) person of the probe."""
    second: Numbers

    def __post_init__(self) -> None:
        names = ("probe", "reference", "mated", "first", "second")
        freeze(self, **{name: getattr(self, name) for name in names})

    @property
    def photos(self) -> Numbers:
        """Numbers of the photos that are compared, each once, rising."""
        return np.union1d(self.probe, self.reference)

    @property
    def people(self) -> int:
        """How many there are."""
        return len(np.union1d(self.first, self.second))

    def of(self, chosen: Truths | Numbers) -> LintPairs:
        """Some of the pairs."""
        return LintPairs(
            self.probe[chosen], self.reference[chosen], self.mated[chosen], self.first[chosen], self.second[chosen]
        )

    def without(self, photos: Numbers) -> LintPairs:
        """The pairs that show none of these photos."""
        return self.of(~np.isin(self.probe, photos) & ~np.isin(self.reference, photos))


@dataclass(frozen=True, eq=False)
class Halves:
    """Two sets of pairs that share nobody."""

    choosing: LintPairs
    verifying: LintPairs

    def without(self, photos: Numbers) -> Halves:
        """Both without these photos; :class:`InvalidArgument` where too few people are left."""
        left = Halves(self.choosing.without(photos), self.verifying.without(photos))
        require_people(left)
        return left


def choose_pairs(protocol: VerificationProtocol, pairs: int, seed: int) -> Halves:
    """Up to ``pairs`` / 2 mated pairs for each half, spread over people, and as many non-mated ones.

    People are divided by chance. Where the protocol says who is who, all pairs of the chosen photos that show two
    people are the non-mated ones (:data:`MOST_NON_MATED` of them at most): that tells more, of half as many photos,
    than the listed pairs would. A sample of several photos is represented by its first.
    """
    if not 2 * LEAST_PEOPLE <= pairs <= MOST_PAIRS:
        raise InvalidArgument(f"{2 * LEAST_PEOPLE} to {MOST_PAIRS:,} pairs can be chosen, got {pairs}", pairs=pairs)
    random = np.random.default_rng(seed)
    listed = _listed(protocol)
    mates = listed.of(listed.mated & (listed.probe != listed.reference))
    side = _sides(mates, listed, random)
    halves = []
    for half in (0, 1):
        chosen = _spread(mates.of(side[mates.first] == half), pairs // 2, random)
        if protocol.samples.subjects_known:
            other = _crossed(chosen, random)
        else:
            other = listed.of(~listed.mated & (side[listed.first] == half) & (side[listed.second] == half))
            other = other.of(np.sort(random.permutation(len(other.mated))[: pairs // 2]))
        halves.append(_joined(chosen, other))
    found = Halves(*halves)
    require_people(found)
    return found


def require_people(halves: Halves) -> None:
    """Raises where a half has too few people of a kind for an interval."""
    for pairs in (halves.choosing, halves.verifying):
        people = [pairs.of(kind).people for kind in (pairs.mated, ~pairs.mated)]
        if min(people) < LEAST_PEOPLE:
            raise InvalidArgument(
                f"{people[0]} people in mated and {people[1]} in non-mated pairs are left in one half of the protocol; "
                f"{LEAST_PEOPLE} of each are needed in both, one half to choose on and one to verify on: take a "
                "protocol of more people"
            )


def _listed(protocol: VerificationProtocol) -> LintPairs:
    photo = np.array([source.photos[0] for source in protocol.samples.sources], np.int64)
    person = protocol.samples.subjects
    return LintPairs(
        photo[protocol.probe],
        photo[protocol.reference],
        protocol.mated,
        person[protocol.probe],
        person[protocol.reference],
    )


def _sides(mates: LintPairs, listed: LintPairs, random: np.random.Generator) -> Numbers:
    """(people,) 0 or 1; people with mated pairs and those without are divided evenly, each."""
    both = np.unique(mates.first)
    rest = np.setdiff1d(np.union1d(listed.first, listed.second), both)
    side = np.zeros(int(max(listed.first.max(), listed.second.max())) + 1, np.int64)
    for group in (both, rest):
        side[random.permutation(group)] = np.arange(len(group)) % 2
    return side


def _spread(mates: LintPairs, most: int, random: np.random.Generator) -> LintPairs:
    """One pair of each person by chance, then a second one of each, until there are enough."""
    order = random.permutation(len(mates.mated))
    turn = np.empty(len(order), np.int64)
    seen: dict[int, int] = {}
    for at in order.tolist():
        person = int(mates.first[at])
        turn[at] = seen[person] = seen.get(person, -1) + 1
    ranked = order[np.argsort(turn[order], kind="stable")]
    return mates.of(np.sort(ranked[:most]))


def _crossed(chosen: LintPairs, random: np.random.Generator) -> LintPairs:
    """All pairs of the chosen photos that show two people, or so many of them by chance."""
    person = dict(
        zip(
            np.append(chosen.probe, chosen.reference).tolist(),
            np.append(chosen.first, chosen.second).tolist(),
            strict=True,
        )
    )
    photos, owner = np.array([*person], np.int64), np.array([*person.values()], np.int64)
    one, two = np.triu_indices(len(photos), 1)
    different = np.flatnonzero(owner[one] != owner[two])
    if len(different) > MOST_NON_MATED:
        different = np.sort(random.choice(different, MOST_NON_MATED, replace=False))
    one, two = one[different], two[different]
    return LintPairs(photos[one], photos[two], np.zeros(len(one), np.bool_), owner[one], owner[two])


def _joined(one: LintPairs, other: LintPairs) -> LintPairs:
    columns = ("probe", "reference", "mated", "first", "second")
    return replace(one, **{name: np.append(getattr(one, name), getattr(other, name)) for name in columns})
