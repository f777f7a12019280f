"""DISE: what it hides, what it makes of mates and non-mates, and what stands for a missing non-mate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers.toys import POINTS, SIDE, Counting, WeightedSum, brightness, face, hot, noise, per_pixel, white

from xcos.errors import InvalidArgument
from xcos.explainers.dise import Dise, landmark_prior, uniform_prior
from xcos.types import AlignedFace, Grids, Maps, Reals, Templates

EYE, MOUTH = (slice(9, 13), slice(8, 12)), (slice(21, 25), slice(14, 18))


@dataclass(frozen=True, eq=False)
class Triplet(WeightedSum):
    """The eye counts with everybody; the mouth counts only if the other photo is white, as the mate is."""

    def score(self, probes: Templates, references: Templates) -> Reals:
        one, other = brightness(probes.grids), brightness(references.grids)
        return np.asarray(_mean(one, EYE) + np.where(other.mean(axis=(1, 2)) > 0.9, _mean(one, MOUTH), 0))


def _mean(values: Grids | Reals, place: tuple[slice, slice]) -> Reals:
    return np.asarray(values[:, place[0], place[1]].mean(axis=(1, 2)))


def stranger() -> AlignedFace:
    return face(np.full((SIDE, SIDE, 3), 100, np.uint8))


def test_without_a_non_mate_everything_that_makes_the_pair_alike_counts() -> None:
    matcher = Triplet(np.zeros((SIDE, SIDE)))
    found = Dise(matcher, masks=1500, prior=uniform_prior, fill="black").explain(white(), white())
    assert found.probe[EYE].mean() > 0.6
    assert found.probe[MOUTH].mean() > 0.6
    assert found.probe[26:, 26:].mean() < 0.35
    assert found.settings["non_mates"] == 0


def test_with_a_non_mate_what_it_minds_as_well_does_not_count() -> None:
    matcher = Triplet(np.zeros((SIDE, SIDE)))
    explainer = Dise(matcher, masks=1500, prior=uniform_prior, fill="black", non_mates=(stranger(),))
    found = explainer.explain(white(), white())
    assert found.probe[MOUTH].mean() > 0.6
    assert found.probe[EYE].mean() < 0.35
    assert found.settings["non_mates"] == 1


def test_the_map_by_its_definition() -> None:
    """1 − mean over masks with a positive weight of weight · kept, scaled to 0…1, as published."""
    matcher = WeightedSum(np.random.default_rng(0).uniform(0, 1, (4, 4)))
    explainer = Dise(matcher, masks=60, prior=uniform_prior, fill="black")
    found = explainer.explain(noise(1), noise(2))
    kept = explainer._masks(noise(1)).kept(0, 60).astype(float)
    crops = np.floor(kept[..., None] * noise(1).crop + 0.5).astype(np.uint8)
    weights = found.score - matcher.score(matcher.encode(crops), matcher.encode(noise(2).crop[None]))
    chosen = weights > 0
    published = 1 - np.mean(weights[chosen, None, None] * kept[chosen], axis=0)
    published = (published - published.min()) / (published.max() - published.min())
    assert np.allclose(found.probe, published, atol=1e-3)


def test_masks_hide_cells_of_the_upper_half_of_the_prior_alone() -> None:
    def left_half(_face: AlignedFace, cells: int) -> Maps:
        prior = np.zeros((cells, cells))
        prior[:, : cells // 2] = 1 + np.arange(cells)[:, None]  # median 0: every left cell counts, lower ones more
        return prior

    explainer = Dise(WeightedSum(np.ones((1, 1))), masks=400, cells=8, elements=1, prior=left_half)
    kept = explainer._masks(white()).kept(0, 400)
    hidden = 1 - kept
    assert hidden[:, :, SIDE // 2 + 4 :].max() == 0
    assert hidden.max() > 0.9
    assert hidden[:, SIDE // 2 :].sum() > 2 * hidden[:, : SIDE // 2].sum()
    assert explainer.explain(white(), white()).settings["prior"] == "left_half"


def test_as_many_cells_are_hidden_as_asked_for() -> None:
    def hidden(elements: int) -> float:
        explainer = Dise(WeightedSum(np.ones((1, 1))), masks=300, cells=8, elements=elements, prior=uniform_prior)
        return float((1 - explainer._masks(white()).kept(0, 300)).mean())

    assert hidden(2) == pytest.approx(2 * hidden(1), rel=0.1)
    assert hidden(1) == pytest.approx(1 / 64, rel=0.15)


def test_the_landmark_prior_is_highest_at_the_points_and_moves_with_them() -> None:
    moved = face(white().crop, POINTS + np.array([4, 0]))
    prior, other = landmark_prior(white(), SIDE), landmark_prior(moved, SIDE)
    for x, y in POINTS.astype(int):
        assert prior[y, x] > 4 * prior[2, 2]
    assert np.allclose(prior[:, :-4], other[:, 4:])


def test_cost_counts_masks_and_non_mates_and_the_seed_decides() -> None:
    matcher = Counting(WeightedSum(np.random.default_rng(0).normal(size=(4, 4))))
    explainer = Dise(matcher, masks=21, non_mates=(stranger(), noise(7)), seed=3)
    one = explainer.explain(noise(1), noise(2))
    assert one.cost.forward == matcher.passes == 2 + 2 + 2 * 21
    same, other = (replace(explainer, seed=seed).explain(noise(1), noise(2)) for seed in (3, 4))
    assert (one.probe == same.probe).all()
    assert (one.probe != other.probe).any()


def test_more_masks_come_nearer_to_the_limit() -> None:
    matcher = per_pixel(hot(EYE, MOUTH, weights=(1.0, 0.5)))

    def found(masks: int, seed: int) -> Reals:
        return Dise(matcher, masks=masks, seed=seed, fill="black").explain(white(), white()).probe.ravel()

    limit = found(5000, 9)
    nearness = [float(np.corrcoef(found(masks, 1), limit)[0, 1]) for masks in (30, 300, 2000)]
    assert nearness[0] < nearness[1] < nearness[2]
    assert nearness[2] > 0.96


def test_a_matcher_that_does_not_look_has_an_empty_map() -> None:
    found = Dise(WeightedSum(np.zeros((4, 4))), masks=20).explain(noise(1), noise(2))
    assert (found.probe == 0).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"masks": 0}, "at least 1"),
        ({"elements": 0}, "hidden cells"),
        ({"elements": 200}, "hidden cells"),
        ({"cells": 1}, "2 × 2"),
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        replace(Dise(WeightedSum(np.ones((1, 1)))), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (lambda _face, cells: np.zeros((cells, cells)), "not all 0"),
        (lambda _face, cells: -np.ones((cells, cells)), "weights ≥ 0"),
        (lambda _face, cells: np.ones((cells, cells + 1)), "gives"),
        (lambda _face, cells: np.full((cells, cells), np.nan), "finite"),
        (lambda _face, cells: np.eye(cells, k=cells - 1), "leaves 1 cells"),
    ],
)
def test_an_impossible_prior_is_refused(prior: object, said: str) -> None:
    explainer = Dise(WeightedSum(np.ones((1, 1))), masks=5, prior=prior)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=said):
        explainer.explain(white(), white())
