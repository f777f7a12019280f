"""How often nominal 95 % intervals hold the truth, where pairs share people.

    python benchmarks/interval_coverage.py [--rounds 2000] [--resampled 400] [--world NAME]

Scores are normal: noise of the pair plus what each of its people brings along, so true rates have closed forms. Each
world is drawn anew in every round; printed are the share of intervals that hold the truth and, beside FMR and FNMR,
what an interval would hold that takes pairs for independent. FNMR at an FMR counts where it is supported.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from xcos.evaluation.fold_accuracy import disjoint_fold_accuracy
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Differences, Estimate, Estimates
from xcos.intervals import wilson
from xcos.types import Reals

LEAST, MOST = 0.92, 0.99
FMR = 0.01
DRAWS = 200
"""Enough for a standard deviation within 5 %."""
BEHIND = 0.4
"""So much nearer to the others are the second model's mated scores; half of its noise is the first one's."""
Numbers = NDArray[np.int64]
Drawn = tuple[Numbers, Numbers, Numbers]


@dataclass(frozen=True)
class World:
    """Who is compared with whom, how alike mates are, and how much of a score the people bring along."""

    name: str
    people: int
    personal: float
    """Standard deviation of what each person adds to a score; the pair's own noise has 1."""
    mates: float
    """Mean of mated scores; that of others is 0."""
    asked: float
    """FMR at which FNMR is read off."""
    drawn: Callable[[np.random.Generator, int], Drawn]
    """Person of the mated pairs, and both people of the others."""
    folds: bool = False
    """Whether pairs come in ten folds of other people."""

    def mated(self, behind: float = 0.0) -> NormalDist:
        """Mated scores: both sides bring the same."""
        return NormalDist(self.mates - behind, math.sqrt(1 + 4 * self.personal**2))

    @property
    def others(self) -> NormalDist:
        """Non-mated scores."""
        return NormalDist(0, math.sqrt(1 + 2 * self.personal**2))

    def eer(self, behind: float = 0.0) -> float:
        """Where both error rates are equal: as many deviations above the others' mean as below the mates'."""
        mated = self.mated(behind)
        return NormalDist().cdf(-mated.mean / (mated.stdev + self.others.stdev))

    def auc(self) -> float:
        """How often a mated score is above another."""
        mated = self.mated()
        return NormalDist().cdf(mated.mean / math.hypot(mated.stdev, self.others.stdev))

    def fnmr_at(self, fmr: float) -> float:
        """False non-match rate at a false match rate."""
        return self.mated().cdf(self.others.inv_cdf(1 - fmr))

    def ratio(self, scores: NDArray[np.floating]) -> Reals:
        """Log-likelihood ratios, had people no influence."""
        ratios: Reals = np.asarray(self.mates * (scores - self.mates / 2), np.float64)
        return ratios

    def cllr(self) -> float:
        """Cost of these ratios, summed over the normal densities."""
        z = np.linspace(-9, 9, 20_001)
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
        costs = [
            (np.logaddexp(0, sign * self.ratio(of.mean + of.stdev * z)) * density).sum()
            for sign, of in ((-1, self.mated()), (1, self.others))
        ]
        return float(sum(costs)) / 2 / math.log(2)


def all_pairs(mated_each: int) -> Callable[[np.random.Generator, int], Drawn]:
    def drawn(_: np.random.Generator, people: int) -> Drawn:
        first, second = np.triu_indices(people, 1)
        return np.repeat(np.arange(people), mated_each), first.astype(np.int64), second.astype(np.int64)

    return drawn


def listed(mated: int, others: int) -> Callable[[np.random.Generator, int], Drawn]:
    """Pairs at random within ten divisions of the people, as LFW lists them."""

    def drawn(random: np.random.Generator, people: int) -> Drawn:
        start = np.arange(others) * 10 // others * (people // 10)
        first = random.integers(0, people // 10, others)
        second = (first + random.integers(1, people // 10, others)) % (people // 10)
        owner = np.arange(mated) * 10 // mated * (people // 10) + random.integers(0, people // 20, mated)
        return owner, start + first, start + second

    return drawn


WORLDS = (
    World("all pairs of 120 people, strong subject effect", 120, 0.6, 4.0, 0.2, all_pairs(3)),
    World("all pairs of 120 people, weak subject effect", 120, 0.2, 3.0, 0.02, all_pairs(3)),
    World("ten mated pairs of each of 100 people", 100, 0.4, 4.0, 0.1, all_pairs(10)),
    World("3,000 and 3,000 listed pairs of 3,700 people, as LFW", 3700, 0.3, 5.0, 0.02, listed(3000, 3000), folds=True),
)


@dataclass(frozen=True)
class Coverage:
    """How often each kind of interval held the truth, of how many."""

    held: Counter[str]
    tried: Counter[str]

    def shares(self) -> dict[str, float]:
        """By figure."""
        return {name: self.held[name] / self.tried[name] for name in self.tried}


def coverage(world: World, *, rounds: int, resampled: int, seed: int = 0) -> Coverage:
    """Coverage of the figures of a world in so many ``rounds``; of those by bootstrap in the first ``resampled``."""
    found = Coverage(Counter(), Counter())
    random = np.random.default_rng(seed)
    for number in range(rounds):
        one, other = _drawn(world, random)
        for name, estimate, truth in _at_thresholds(world, one):
            _count(found, name, estimate, truth)
            _count_naive(found, name, estimate, truth)
        if number < resampled:
            for name, estimate, truth in _over_thresholds(world, one, other):
                _count(found, name, estimate, truth)
        if world.folds:
            _accuracy(world, one, found)
    return found


def _drawn(world: World, random: np.random.Generator) -> tuple[ScoreSet, ScoreSet]:
    owner, first, second = world.drawn(random, world.people)
    brought = random.normal(0, world.personal, world.people)
    mated = np.repeat([True, False], [len(owner), len(first)])
    probe, reference = np.concatenate([owner, first]), np.concatenate([owner, second])
    noise, more = random.normal(size=(2, len(mated)))
    people = brought[probe] + brought[reference]
    one = world.mates * mated + people + noise
    other = (world.mates - BEHIND) * mated + people + math.sqrt(0.5) * (noise + more)
    return ScoreSet(one, mated, probe, reference), ScoreSet(other, mated, probe, reference)


def _at_thresholds(world: World, scores: ScoreSet) -> list[tuple[str, Estimate, float]]:
    estimates, threshold = Estimates(scores), world.others.inv_cdf(1 - FMR)
    high = world.mated().inv_cdf(0.05)
    return [("FMR", estimates.fmr(threshold), FMR), ("FNMR", estimates.fnmr(high), 0.05)]


def _over_thresholds(world: World, scores: ScoreSet, other: ScoreSet) -> list[tuple[str, Estimate, float]]:
    one, two = (Estimates(each, draws=DRAWS) for each in (scores, other))
    ratios = ScoreSet(world.ratio(scores.scores), scores.mated, scores.probe_subject, scores.reference_subject)
    return [
        ("EER", one.eer(), world.eer()),
        ("FNMR at FMR", one.fnmr_at_fmr(world.asked), world.fnmr_at(world.asked)),
        ("AUC", one.auc(), world.auc()),
        ("CLLR", Estimates(ratios, draws=DRAWS).cllr(), world.cllr()),
        ("difference of EER", Differences(one, two).eer(), world.eer() - world.eer(BEHIND)),
    ]


def _accuracy(world: World, scores: ScoreSet, found: Coverage) -> None:
    """Counts the interval of the accuracy over folds against the true accuracy at the very thresholds."""
    half = len(scores) // 2
    fold = np.concatenate([np.arange(half) * 10 // half] * 2)
    folds = disjoint_fold_accuracy(scores, fold)
    right = [(world.others.cdf(t) + 1 - world.mated().cdf(t)) / 2 for t in folds.thresholds]
    truth = float(np.mean(right))
    _count(found, "accuracy over folds", Estimates(scores).accuracy(folds), truth)


def _count(found: Coverage, name: str, estimate: Estimate, truth: float) -> None:
    if estimate.supported:
        found.tried[name] += 1
        found.held[name] += estimate.low <= truth <= estimate.high


def _count_naive(found: Coverage, name: str, estimate: Estimate, truth: float) -> None:
    low, high = wilson(estimate.value, estimate.trials)
    found.tried[f"{name} if pairs were independent"] += 1
    found.held[f"{name} if pairs were independent"] += low <= truth <= high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--resampled", type=int, default=400)
    parser.add_argument("--world", default="", help="part of a world's name")
    options = parser.parse_args()
    for world in WORLDS:
        if options.world in world.name:
            print(f"{world.name}:")
            found = coverage(world, rounds=options.rounds, resampled=options.resampled)
            for name, share in found.shares().items():
                judged = "" if "independent" in name else ("" if LEAST <= share <= MOST else "  MISSED")
                print(f"  {name}: {share:.1%} of {found.tried[name]}{judged}", flush=True)


if __name__ == "__main__":
    main()
