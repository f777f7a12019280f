"""Scores as places on a fine scale, so that people can be drawn anew a thousand times without sorting again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.intervals import student95
from xcos.types import Floats, Reals, freeze

EXACT = 20_000
"""Up to so many different scores of a kind each is an edge; above, a hundred shares in each decade of their rate."""
BLOCK = 1 << 18

Scores = NDArray[np.floating]
Numbers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class BinnedScores:
    """Mated and other pairs by the place of their score, with their people."""

    edges: Scores
    """(bins − 1,) rising; bin k holds scores from edge k − 1 to below edge k, bin 0 those below all: none."""
    mated: Numbers
    """(m,) bin of each mated pair."""
    others: Numbers
    """(n,) bin of each other pair."""
    owner: Numbers
    """(m,) person of each mated pair, from 0."""
    first: Numbers
    """(n,) people of each other pair."""
    second: Numbers

    def __post_init__(self) -> None:
        names = ("edges", "mated", "others", "owner", "first", "second")
        freeze(self, **{name: getattr(self, name) for name in names})

    @staticmethod
    def of(
        mated: Scores, others: Scores, owner: Numbers, first: Numbers, second: Numbers, *, exact: int = EXACT
    ) -> BinnedScores:
        """Bins fine enough for rates from 1 to 1e-6 where scores are many, and exact where they are few."""
        scales = [_scale(np.sort(mated), _LOW_SHARES, exact), _scale(np.sort(others), 1 - _LOW_SHARES, exact)]
        edges = np.unique(np.concatenate(scales))
        return BinnedScores(edges, _placed(mated, edges), _placed(others, edges), owner, first, second)

    @property
    def bins(self) -> int:
        """How many there are."""
        return len(self.edges) + 1

    def counts(self, weights: Reals, pair_weights: Reals) -> tuple[Reals, Reals]:
        """(bins,) weight of the mated and of the other pairs in each bin.

        A mated pair counts by its person's ``weights``, another pair by the product of both people's
        ``pair_weights``.
        """
        mated, others = np.zeros(self.bins), np.zeros(self.bins)
        for part in _blocks(len(self.mated)):
            mated += np.bincount(self.mated[part], weights[self.owner[part]], self.bins)
        for part in _blocks(len(self.others)):
            product = pair_weights[self.first[part]] * pair_weights[self.second[part]]
            others += np.bincount(self.others[part], product, self.bins)
        return mated, others


_LOW_SHARES = np.concatenate([np.linspace(0, 1, 1001), 10.0 ** np.arange(-1, -6.01, -0.01)])


def _scale(ordered: Scores, shares: Reals, exact: int) -> Scores:
    if len(ordered) <= exact:
        return ordered
    return ordered[np.ceil(shares * (len(ordered) - 1)).astype(np.int64)]


def _placed(scores: Scores, edges: Scores) -> Numbers:
    places = np.empty(len(scores), np.int32)
    for part in _blocks(len(scores)):
        places[part] = np.searchsorted(edges, scores[part], side="right")
    return places


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]


@dataclass(frozen=True, eq=False)
class Draws:
    """The binned pairs of as many samples of people, drawn with replacement.

    Sums are NumPy's own and not matrix products, whose last digits depend on the number of threads.
    """

    mated: Floats
    """(draws, bins)."""
    others: Floats
    """(draws, bins)."""
    lowest: int
    """Least bin at whose lower edge a threshold may lie: failures are below, and never match."""
    people: int
    weights: Floats
    """(draws, people) how often each was drawn; (draws, 0) with more people than draws can tell apart."""

    def eer(self) -> Reals:
        """(draws,) equal error rates."""
        return np.array([_equal(*self._rates(mated, others)) for mated, others in self._rows()])

    def fnmr_at(self, rates: Reals) -> Reals:
        """(draws, rates) false non-match rate at the lowest threshold with at most each false match rate."""
        found = []
        for mated, others in self._rows():
            fmr, fnmr = self._rates(mated, others)
            # fmr falls; sums of weights are not exact: what is asked for must count as reached
            found.append(fnmr[np.searchsorted(-fmr, -(rates * (1 + 1e-6)), side="left")])
        return np.array(found)

    def auc(self) -> Reals:
        """(draws,) areas under the ROC."""
        areas = []
        for mated, others in self._rows():
            below = np.cumsum(others) - others / 2
            areas.append(float((mated * below).sum()) / (mated.sum() * others.sum()))
        return np.array(areas)

    def mean_cost(self, mated_cost: Reals, other_cost: Reals) -> Reals:
        """(draws,) mean of both kinds' mean costs, given the (bins,) cost of a pair in each bin."""
        costs = [
            ((mated * mated_cost).sum() / mated.sum() + (others * other_cost).sum() / others.sum()) / 2
            for mated, others in self._rows()
        ]
        return np.array(costs)

    def half_width(self, figures: Reals) -> float:
        """Half of the 95 % interval of a figure of which (draws,) values are given (:func:`half_width`)."""
        return half_width(figures, self.weights, self.people)

    def _rows(self) -> Iterator[tuple[Reals, Reals]]:
        for mated, others in zip(self.mated, self.others, strict=True):
            yield mated.astype(np.float64), others.astype(np.float64)

    def _rates(self, mated: Reals, others: Reals) -> tuple[Reals, Reals]:
        """FMR and FNMR at the lower edge of each bin from the lowest, and where nothing matches."""
        fnmr = np.append(0.0, np.cumsum(mated)) / mated.sum()
        fmr = np.append(np.cumsum(others[::-1])[::-1], 0.0) / others.sum()
        return fmr[self.lowest :], fnmr[self.lowest :]


def half_width(figures: Reals, weights: Floats, people: int) -> float:
    """Half of the 95 % interval of a figure of which (draws,) values are given: standard errors, times a quantile.

    Student's, with the degrees of freedom of a sum of squares (Satterthwaite 1946) of each person's influence, which
    is the covariance of the figure with the person's weight: where few people matter, their spread is hardly known.
    ``weights`` as in :class:`Draws`.
    """
    freedom = people - 1.0
    if weights.size:
        # no matrix product: the same bytes on any number of threads
        influence = ((figures - figures.mean())[:, None] * weights).sum(axis=0)
        kurtosis = float((influence**4).mean() / max((influence**2).mean() ** 2, 1e-300))
        freedom = min(freedom, 2 * people / max(kurtosis - 1, 1e-9))
    return student95(max(freedom, 1.0)) * float(figures.std(ddof=1))


def _equal(fmr: Reals, fnmr: Reals) -> float:
    gap = fmr - fnmr
    after = int(np.argmax(gap <= 0))
    if after == 0:
        return float(fnmr[0])
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(fmr[after - 1] + share * (fmr[after] - fmr[after - 1]))


def draw(binned: BinnedScores, people: int, *, draws: int, seed: int, strength: float) -> Draws:
    """Samples of as many people as there are, drawn with replacement: w ~ Multinomial, the same for the same seed.

    A mated pair counts w_i times. Another pair counts u_i u_j times with u = 1 + ``strength`` (w − 1); see
    :func:`fitting_strength`.
    """
    mated = np.zeros((draws, binned.bins), np.float32)
    others = np.zeros((draws, binned.bins), np.float32)
    weights = np.zeros((draws, people if people <= draws else 0), np.float32)
    for number, drawn in enumerate(people_drawn(people, draws=draws, seed=seed)):
        mated[number], others[number] = binned.counts(drawn, 1 + strength * (drawn - 1))
        weights[number] = drawn[: weights.shape[1]]
    kept = mated.any(axis=1) & others.any(axis=1)  # else nobody of a kind was drawn: such a sample has no rates
    lowest = 2 if binned.edges[0] == -np.inf else 1
    return Draws(mated[kept], others[kept], lowest, people, weights[kept])


def people_drawn(people: int, *, draws: int, seed: int) -> Iterator[Reals]:
    """(people,) how often each is drawn, in as many draws with replacement; the same for the same seed."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield random.multinomial(people, np.full(people, 1 / people)).astype(np.float64)


def fitting_strength(between: float, own: float) -> float:
    """How strongly other pairs are to follow their people's weights, 0.64…1, so that a rate varies as it really does.

    With weights w_i w_j (strength 1) the variance of a rate is ``between + own``, times 1 / N²: between, the squared
    sums of each person's residuals, and own, the squared residuals of the pairs. But a pair stands in the sums of two
    people, so the variance estimated by :func:`xcos.intervals.plug_in_interval` is ``between − own``, at least own.
    Where pairs share few people, as in LFW, strength 1 counts a pair three times, and 95 % intervals cover more than
    99 %. Strength τ gives ``τ² between + τ⁴ own``, solved here for τ.
    """
    wanted = max(between - own, own)
    return math.sqrt(min(1.0, (math.sqrt(between**2 + 4 * own * wanted) - between) / (2 * own)))
