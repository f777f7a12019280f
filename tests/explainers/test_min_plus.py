"""MinPlus: single and greedy removal and aggregation of spots, solved by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers.toys import SIDE, Counting, WeightedSum, hot, noise, per_pixel, white

from xcos.errors import InvalidArgument
from xcos.explainers.min_plus import MinPlus
from xcos.types import Reals, Templates

STRIDE, SIGMA = 2, 10 / 112 * SIDE  # 8 of 112 pixels on the toy's 32
CENTERS = np.arange(16) * 2 + 0.5
SPOTS = 16 * 16


def spot(row: float, col: float) -> Reals:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * SIGMA**2)))


def spread(values: Reals) -> Reals:
    """Sum of the spots, each as high as its value; largest absolute value 1."""
    total = sum(values[i, j] * spot(CENTERS[i], CENTERS[j]) for i in range(16) for j in range(16))
    return np.asarray(total / np.abs(total).max())


def by_hand(weights: Reals, rounds: int) -> Reals:
    """The mean of the four answers for a weighted sum over pixels of a white crop, by the definitions alone."""
    spots = np.array([[spot(row, col) for col in CENTERS] for row in CENTERS])
    answers = []
    for remove in (True, False):
        kept = np.ones((SIDE, SIDE)) if remove else np.zeros((SIDE, SIDE))
        greedy = np.zeros((16, 16))
        for count in range(rounds):
            copies = kept * (1 - spots) if remove else 1 - (1 - kept) * (1 - spots)
            gains = ((copies - kept) * weights).sum(axis=(2, 3)) * (-1 if remove else 1)
            if count == 0:
                answers.append(gains)
            best = np.unravel_index(gains.argmax(), (16, 16))
            if gains[best] <= 0:
                break
            greedy[best] += gains[best]
            kept = copies[best]
        answers.append(greedy)
    return spread(np.mean(answers, axis=0))


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_the_map_is_that_of_the_definitions(rounds: int) -> None:
    weights = hot((slice(5, 9), slice(6, 9)), (slice(20, 26), slice(18, 25)), weights=(1.0, 0.6))  # no ties
    found = MinPlus(per_pixel(weights), rounds=rounds).explain(white(), white())
    assert np.allclose(found.probe, by_hand(weights, rounds), atol=0.02)  # copies are rounded to 255 values


def test_the_greedy_maps_go_from_the_best_spot_to_the_next() -> None:
    """Two far places of which the second is worth 0.7: one round's greedy answer sees one of them, two rounds' both.

    One by one, spots about a place of weight w have the gains w G, which spread to w Σ G² = w π σ² / stride² in its
    middle, 6.4 w; a greedy find adds w once. So the second has 0.7 · 6.4 / (6.4 + 1) of the first's height after one
    round, and 0.7 after two.
    """
    first, second = (slice(6, 8), slice(6, 8)), (slice(24, 26), slice(22, 24))
    matcher = per_pixel(hot(first, second, weights=(1.0, 0.7)))
    one, two = (MinPlus(matcher, rounds=rounds).explain(white(), white()).probe for rounds in (1, 2))
    single = np.pi * SIGMA**2 / STRIDE**2
    assert one[second].mean() / one[first].mean() == pytest.approx(0.7 * single / (single + 1), abs=0.02)
    assert two[second].mean() / two[first].mean() == pytest.approx(0.7, abs=0.02)


def test_a_place_that_speaks_against_is_below_zero() -> None:
    against = (slice(20, 26), slice(18, 25))
    matcher = per_pixel(hot((slice(5, 9), slice(6, 10)), against, weights=(1.0, -1.0)))
    found = MinPlus(matcher).explain(white(), white())
    for values in (found.probe, found.reference):
        assert values[against].max() < -0.1
        assert values[5:9, 6:10].min() > 0.4


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_cost_is_every_spot_in_every_sweep_and_the_bare_fill(rounds: int) -> None:
    matcher = Counting(WeightedSum(np.ones((4, 4))))
    found = MinPlus(matcher, rounds=rounds).explain(noise(0), noise(1))
    assert found.cost.forward == matcher.passes == 2 + 2 * (1 + 2 * rounds * SPOTS)
    assert found.settings["stride_pixels"] == STRIDE


@dataclass(frozen=True, eq=False)
class Blind(WeightedSum):
    """Does not look."""

    def score(self, probes: Templates, references: Templates) -> Reals:
        return np.full(max(len(probes), len(references)), 0.5)


def test_a_greedy_search_that_gains_nothing_stops_and_says_what_it_cost() -> None:
    matcher = Counting(Blind(np.ones((1, 1))))
    found = MinPlus(matcher, rounds=5).explain(noise(0), noise(1))
    assert found.cost.forward == matcher.passes == 2 + 2 * (1 + 2 * SPOTS)
    assert (found.probe == 0).all()


def test_what_is_shown_starts_from_the_fill() -> None:
    """On a fill as white as the photo nothing is gained by showing, and nothing lost by hiding."""
    found = MinPlus(WeightedSum(np.ones((4, 4))), fill="mean").explain(white(), white())
    assert (found.probe == 0).all()
    assert found.settings["fill"] == "mean"


@pytest.mark.parametrize(
    ("wrong", "said"), [({"rounds": 0}, "one round"), ({"stride": 0.0}, "stride"), ({"sigma": 1.0}, "sigma")]
)
def test_impossible_options_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        replace(MinPlus(WeightedSum(np.ones((1, 1)))), **wrong)  # type: ignore[arg-type]
