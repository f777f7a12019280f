"""Floors: each is what it says, and none looks at the comparison."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from explainers.toys import SIDE, Counting, WeightedSum, cells_of, face, noise, white

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explainer
from xcos.explainers.floors import CenterGaussian, Edges, RandomMap, UniformMap

MATCHER = WeightedSum(np.ones((4, 4)))
FLOORS: list[Explainer] = [RandomMap(MATCHER), CenterGaussian(MATCHER), Edges(MATCHER), UniformMap(MATCHER)]


@pytest.mark.parametrize("floor", FLOORS, ids=lambda each: each.name)
def test_a_floor_does_not_depend_on_the_other_photo(floor: Explainer) -> None:
    one, other = floor.explain(noise(0), noise(1)), floor.explain(noise(0), noise(2))
    assert (one.probe == other.probe).all()
    assert one.score != other.score
    assert one.cost == Cost(2)


def test_random_is_uniform_in_cells_or_pixels_and_differs_by_photo_and_seed() -> None:
    found = RandomMap(MATCHER, cells=4).explain(noise(0), noise(1))
    cells = cells_of(found.probe, 4, 4)
    assert len(np.unique(found.probe)) == len(np.unique(cells)) == 16
    assert (found.probe != found.reference).any()
    pixels = RandomMap(MATCHER, cells=0).explain(noise(0), noise(1)).probe
    assert len(np.unique(pixels)) == SIDE**2
    assert np.abs(pixels).max() <= 1
    # Mean 0 and variance 1/3, within four standard errors of 1,024 numbers.
    assert abs(pixels.mean()) < 4 * np.sqrt(1 / 3) / SIDE
    assert pixels.var() == pytest.approx(1 / 3, abs=0.04)
    again, other = (RandomMap(MATCHER, cells=0, seed=seed).explain(noise(0), noise(1)).probe for seed in (0, 1))
    assert (pixels == again).all()
    assert (pixels != other).all()


def test_the_centre_is_a_gaussian_about_the_middle() -> None:
    found = CenterGaussian(MATCHER, sigma=0.25).explain(noise(0), noise(1)).probe
    offset = (np.arange(SIDE) - 15.5) / (0.25 * SIDE)
    assert np.allclose(found, np.exp(-(offset[:, None] ** 2 + offset**2) / 2))


def test_edges_are_scipys_sobel() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    found = Edges(MATCHER).explain(noise(0), white())
    gray = noise(0).crop @ np.array([0.299, 0.587, 0.114]) / 255
    expected = np.hypot(*(ndimage.sobel(gray, axis, mode="nearest") / 4 for axis in (0, 1)))
    assert np.allclose(found.probe, expected, atol=1e-12)
    assert np.abs(found.reference).max() < 1e-12


def test_a_step_has_its_edge_where_it_steps() -> None:
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    crop[:, 10:] = 255
    found = Edges(MATCHER).explain(face(crop), white()).probe
    assert (found[:, 9:11] > 0.9).all()
    assert (np.delete(found, (9, 10), axis=1) == 0).all()


def test_uniform_is_one_everywhere() -> None:
    found = UniformMap(Counting(MATCHER)).explain(noise(0), noise(1))
    assert (found.probe == 1).all()
    assert (found.reference == 1).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: RandomMap(MATCHER, cells=-1), "cells"),
        (lambda: RandomMap(MATCHER, seed=-1), "seed"),
        (lambda: CenterGaussian(MATCHER, 0), "sigma"),
    ],
)
def test_impossible_options_are_refused(wrong: Callable[[], Explainer], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        wrong()
