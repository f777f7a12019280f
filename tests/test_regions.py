from __future__ import annotations

import math

import numpy as np
import pytest

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.regions import NAMES, cell_regions, summarize
from xcos.types import Comparison, CropTemplate, Reals

# Drawn over the template by hand: e.g. in dlib's 150 px crop the cells' centres lie at 14.5, 44.5, 74.5, 104.5 and
# 134.5, the eyes at y = 46, the nose's tip at (74, 79), the mouth at y = 106.
BROW, EYES, CHEEKS, JAW = "brow", "eyes", "cheeks", "jaw"
DLIB_5 = [
    [BROW] * 5,
    [EYES] * 5,
    [CHEEKS, CHEEKS, "nose", CHEEKS, CHEEKS],
    [CHEEKS, "mouth", "mouth", "mouth", CHEEKS],
    [JAW] * 5,
]
ARCFACE_7 = [
    [BROW] * 7,
    [BROW] * 7,
    [BROW] * 7,
    [EYES] * 7,
    [CHEEKS] * 3 + ["nose"] + [CHEEKS] * 3,
    [CHEEKS] * 2 + ["mouth"] * 3 + [CHEEKS] * 2,
    [JAW] * 7,
]


@pytest.mark.parametrize(("template", "cells", "drawn"), [(DLIB_150, 5, DLIB_5), (ARCFACE_112, 7, ARCFACE_7)])
def test_the_templates_cells_by_hand(template: CropTemplate, cells: int, drawn: list[list[str]]) -> None:
    assert cell_regions(template.points, template, (cells, cells)) == drawn


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_parts_turn_with_the_face(quarters: int) -> None:
    middle = (150 - 1) / 2
    turn = math.radians(-90 * quarters)  # numpy turns against the clock, with y pointing down
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    turned = (DLIB_150.points - middle) @ matrix.T + middle
    expected = np.rot90(np.array(DLIB_5), quarters).tolist()
    assert cell_regions(turned, DLIB_150, (5, 5)) == expected


@pytest.mark.parametrize(("across", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_parts_move_with_the_face(across: int, down: int) -> None:
    moved = cell_regions(DLIB_150.points + np.array([30 * across, 30 * down]), DLIB_150, (5, 5))
    for row in range(5):
        for col in range(5):
            if 0 <= row - down < 5 and 0 <= col - across < 5:
                assert moved[row][col] == DLIB_5[row - down][col - across]


@pytest.mark.parametrize("shape", [(5, 5), (7, 7), (3, 9), (20, 1), (1, 4), (40, 40)])
def test_every_cell_has_one_known_name(shape: tuple[int, int]) -> None:
    names = cell_regions(DLIB_150.points, DLIB_150, shape)
    assert np.array(names).shape == shape
    assert set(np.array(names).ravel()) <= set(NAMES)


def test_all_parts_exist_in_a_fine_grid_and_lie_where_their_landmark_is() -> None:
    names = np.array(cell_regions(DLIB_150.points, DLIB_150, (150, 150)))  # a cell is a pixel
    assert set(names.ravel()) == set(NAMES)
    at = [names[round(y), round(x)] for x, y in DLIB_150.points]
    assert at == ["eyes", "eyes", "nose", "mouth", "mouth"]
    assert (names[0] == "brow").all()
    assert (names[-1] == "jaw").all()


def test_a_symmetric_face_has_symmetric_parts() -> None:
    points = np.array([[44, 46], [105, 46], [74.5, 80], [52.5, 106], [96.5, 106]])
    names = np.array(cell_regions(points, CropTemplate("symmetric", 150, 150, points), (150, 150)))
    np.testing.assert_array_equal(names, names[:, ::-1])


def test_cells_of_a_crop_that_is_not_square_are_not_square() -> None:
    points = ARCFACE_112.points - (8, 0)
    narrow = CropTemplate("narrow", 96, 112, points)
    # Cells of 16 × 16 pixels, as in the square crop, moved by half a cell: two of them touch the nose,
    # and the outer two of the mouth's row are 24.6 px from its middle, beyond 0.65 · 35.2 px.
    names = cell_regions(points, narrow, (7, 6))
    assert names[2:] == [
        [BROW] * 6,
        [EYES] * 6,
        [CHEEKS] * 2 + ["nose"] * 2 + [CHEEKS] * 2,
        [CHEEKS] * 2 + ["mouth"] * 2 + [CHEEKS] * 2,
        [JAW] * 6,
    ]


def test_a_single_cell_is_the_whole_face() -> None:
    assert cell_regions(DLIB_150.points, DLIB_150, (1, 1)) == [["face"]]


NAMED = [["eyes", "eyes"], ["mouth", "jaw"]]


def test_a_summary_by_hand() -> None:
    comparison = Comparison(np.array([[1.0, 0.5], [0.2, -0.4]]), np.array([[0.4, 0.1], [0.3, 0.2]]))
    eyes, mouth, jaw = summarize(comparison, NAMED, threshold=0.5)
    assert (eyes.name, eyes.cells) == ("eyes", 2)
    assert (eyes.similarity, eyes.attention, eyes.contribution, eyes.support) == pytest.approx((0.9, 0.5, 0.45, 0.2))
    assert (mouth.name, mouth.cells) == ("mouth", 1)
    assert (mouth.similarity, mouth.attention, mouth.contribution, mouth.support) == pytest.approx(
        (0.2, 0.3, 0.06, -0.09)
    )
    assert (jaw.name, jaw.cells) == ("jaw", 1)
    assert (jaw.similarity, jaw.attention, jaw.contribution, jaw.support) == pytest.approx((-0.4, 0.2, -0.08, -0.18))


def test_a_total_attention_below_one_still_asks_for_the_whole_threshold() -> None:
    """Attention 0.2 of 0.8 in each cell: each is asked for a quarter of the threshold."""
    comparison = Comparison(np.full((2, 2), 0.5), np.full((2, 2), 0.2))
    supports = {region.name: region.support for region in summarize(comparison, NAMED, threshold=0.6)}
    assert supports == pytest.approx({"eyes": 0.2 - 0.3, "mouth": 0.1 - 0.15, "jaw": 0.1 - 0.15})


def test_without_any_attention_all_cells_are_asked_for_the_same() -> None:
    regions = summarize(Comparison(np.ones((2, 2)), np.zeros((2, 2))), NAMED, threshold=0.4)
    assert [(region.name, region.similarity) for region in regions] == [("mouth", 0.0), ("jaw", 0.0), ("eyes", 0.0)]
    assert [region.support for region in regions] == pytest.approx([-0.1, -0.1, -0.2])


@pytest.mark.parametrize("seed", range(20))
def test_regions_always_sum_to_the_score_and_to_its_distance_from_the_threshold(seed: int) -> None:
    random = np.random.default_rng(seed)
    similarity: Reals = random.uniform(-1, 1, (7, 7))
    attention: Reals = random.dirichlet(np.ones(49)).reshape(7, 7) * random.uniform(0.1, 1)
    comparison = Comparison(similarity, attention)
    regions = summarize(comparison, cell_regions(ARCFACE_112.points, ARCFACE_112, (7, 7)), threshold := 0.37)
    assert sum(region.contribution for region in regions) == pytest.approx(comparison.score, abs=1e-12)
    assert sum(region.support for region in regions) == pytest.approx(comparison.score - threshold, abs=1e-12)
    assert sum(region.cells for region in regions) == 49
    supports = [region.support for region in regions]
    assert supports == sorted(supports, reverse=True)
