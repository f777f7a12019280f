"""LIME over landmark regions: the linear model against closed forms and scikit-learn's definition of ridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explainers.toys import POINTS, SIDE, TEMPLATE, Counting, WeightedSum, face, noise, per_pixel, white

from xcos.errors import InvalidArgument
from xcos.explainers.lime import Lime, landmark_regions, ridge_effects
from xcos.regions import NAMES, cell_regions


def test_regions_are_those_of_the_landmarks_halved_at_the_midline() -> None:
    whole = landmark_regions(white(), halves=False)
    names = np.array(cell_regions(POINTS, TEMPLATE, (SIDE, SIDE)))
    assert whole.max() + 1 == len(NAMES)
    for label in range(whole.max() + 1):
        assert len(set(names[whole == label])) == 1
    halves = landmark_regions(white(), halves=True)
    assert halves.max() + 1 == 2 * len(NAMES)
    for label in range(halves.max() + 1):
        inside = halves == label
        assert len(set(names[inside])) == 1
        sides = np.mgrid[:SIDE, :SIDE][1][inside] > 16  # the toy's face looks straight, its midline is at 16
        assert sides.all() or not sides.any()


def test_regions_follow_the_photos_own_landmarks() -> None:
    moved = face(white().crop, POINTS + np.array([0, 4]))
    assert (landmark_regions(moved, halves=True)[4:] == landmark_regions(white(), halves=True)[:-4]).all()


@pytest.mark.parametrize("halves", [True, False])
def test_the_effects_of_a_weighted_sum_are_its_regions_weights(halves: bool) -> None:
    """Linear, so the linear model is exact once the ridge is small: each region's effect is its pixels' weights."""
    weights = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    explainer = Lime(per_pixel(weights), masks=300, halves=halves, ridge=1e-9, fill="black")
    found = explainer.explain(white(), white())
    labels = landmark_regions(white(), halves=halves)
    for label in range(labels.max() + 1):
        inside = labels == label
        assert found.probe[inside] == pytest.approx(weights[inside].sum(), abs=1e-3)
        assert found.reference[inside] == pytest.approx(weights[inside].sum(), abs=1e-3)


def test_more_copies_take_the_ridge_away() -> None:
    weights = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    labels = landmark_regions(white(), halves=True)
    truth = np.bincount(labels.ravel(), weights.ravel())[labels]
    errors = [
        float(np.abs(Lime(per_pixel(weights), masks=masks, fill="black").explain(white(), white()).probe - truth).max())
        for masks in (50, 500, 3000)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_the_ridge_is_the_minimum_of_its_sum() -> None:
    """Against SciPy's least squares on the same sum written out, with a free intercept."""
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(0)
    shown, scores, weights = random.random((40, 5)) < 0.5, random.normal(size=40), random.uniform(0.1, 1, 40)

    def residuals(values: np.ndarray) -> np.ndarray:
        fit = np.sqrt(weights) * (scores - values[0] - shown @ values[1:])
        return np.concatenate([fit, np.sqrt(2.5) * values[1:]])

    expected = optimize.least_squares(residuals, np.zeros(6)).x[1:]
    assert np.allclose(ridge_effects(shown, scores, weights, 2.5), expected, atol=1e-6)


def test_cost_seed_and_settings() -> None:
    matcher = Counting(WeightedSum(np.random.default_rng(0).normal(size=(4, 4))))
    one = Lime(matcher, masks=33, seed=2).explain(noise(1), noise(2))
    assert one.cost.forward == matcher.passes == 2 + 2 * 33
    expected = {"masks": 33, "halves": True, "width": 0.25, "ridge": 1.0, "fill": "mean", "seed": 2}
    assert one.settings == expected
    same, other = (Lime(matcher, masks=33, seed=seed).explain(noise(1), noise(2)) for seed in (2, 3))
    assert (one.probe == same.probe).all()
    assert (one.probe != other.probe).any()


@pytest.mark.parametrize(
    ("wrong", "said"), [({"masks": 1}, "2 masks"), ({"width": 0.0}, "width"), ({"ridge": 0.0}, "ridge")]
)
def test_impossible_options_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        replace(Lime(WeightedSum(np.ones((1, 1)))), **wrong)  # type: ignore[arg-type]
