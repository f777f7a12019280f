"""Occluders cover what they are named after, change nothing else, and say exactly where."""

from __future__ import annotations

import numpy as np
import pytest

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.errors import InvalidArgument
from xcos.occluders import OCCLUDERS, Covered, blob, squares
from xcos.types import CropTemplate, Pixels

TEMPLATES = [DLIB_150, ARCFACE_112]


def crop_of(template: CropTemplate) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (template.height, template.width, 3), np.uint8)


def at(covered: Covered, points: np.ndarray) -> np.ndarray:
    return np.array([covered[round(y), round(x)] for x, y in points])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
@pytest.mark.parametrize("kind", OCCLUDERS)
@pytest.mark.parametrize("seed", range(5))
def test_only_the_covered_pixels_change_and_the_given_crop_does_not(
    kind: str, template: CropTemplate, seed: int
) -> None:
    crop = crop_of(template)
    before = crop.copy()
    result, covered = OCCLUDERS[kind](crop, template, np.random.default_rng(seed))
    assert np.array_equal(crop, before)
    assert np.array_equal(result[~covered], crop[~covered])
    assert (result != crop).any(axis=2)[covered].mean() > 0.95  # a noisy crop seldom has the paint's tone
    assert 0.05 < covered.mean() < 0.5


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_the_same_seed_draws_the_same_and_another_one_does_not(kind: str) -> None:
    crop = crop_of(DLIB_150)
    one, same, other = (OCCLUDERS[kind](crop, DLIB_150, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
@pytest.mark.parametrize("seed", range(10))
def test_a_mask_covers_nose_and_mouth_and_sunglasses_cover_the_eyes(template: CropTemplate, seed: int) -> None:
    eyes, rest = template.points[:2], template.points[2:]
    _, masked = OCCLUDERS["mask"](crop_of(template), template, np.random.default_rng(seed))
    _, glasses = OCCLUDERS["sunglasses"](crop_of(template), template, np.random.default_rng(seed))
    assert not at(masked, eyes).any()
    assert at(masked, rest).all()
    assert at(glasses, eyes).all()
    assert not at(glasses, rest).any()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_squares_and_blobs_cover_the_share_asked_for_and_at_most_one_stroke_more(share: float) -> None:
    for seed in range(5):
        _, covered = squares(crop_of(DLIB_150), DLIB_150, np.random.default_rng(seed), share=share)
        assert share <= covered.mean() <= share + 1 / 16
        _, covered = blob(crop_of(DLIB_150), DLIB_150, np.random.default_rng(seed), share=share)
        assert share <= covered.mean() <= share + 0.2


@pytest.mark.parametrize("share", [0.0, -0.1, 0.95, 2.0, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    for draw in (squares, blob):
        with pytest.raises(InvalidArgument, match="share"):
            draw(crop_of(DLIB_150), DLIB_150, np.random.default_rng(0), share=share)
