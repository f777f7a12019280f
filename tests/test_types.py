from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.errors import IncompatibleTemplates, InvalidArgument, InvalidTemplate
from xcos.types import (
    AlignedFace,
    Comparison,
    CropTemplate,
    Decision,
    Face,
    Photo,
    Reason,
    Template,
    Templates,
    Threshold,
    stack,
)

BOX = np.array([10.0, 20.0, 40.0, 70.0])
POINTS = np.array([[15.0, 30.0], [18.0, 34.0], [25.0, 40.0], [18.0, 55.0], [32.0, 55.0]])
THRESHOLD = Threshold(0.5, 0.45, 0.55, 1e-3, 8e-4, 1.2e-3)
REASON = Reason("blurred", "probe", 0.05, 0.1, "the face is blurred")


def pixels(height: int = 4, width: int = 6) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.zeros((height, width, 3), np.uint8)


def templates(n: int = 3, model: str = "m", seed: int = 0) -> Templates:
    rng = np.random.default_rng(seed)
    grids = rng.normal(0, 1, (n, 2, 2, 4)).astype(np.float32)
    return Templates(grids, rng.normal(0, 1, (n, 8)).astype(np.float32), model)


def aligned_face() -> AlignedFace:
    crop = np.zeros((112, 112, 3), np.uint8)
    return AlignedFace(crop, Face(BOX, POINTS, 0.9), ARCFACE_112, np.eye(2, 3), 0.0, 0.0)


INSTANCES: list[Any] = [
    Photo(pixels(), "ab", "PNG"),
    CropTemplate("t", 10, 12, POINTS),
    Face(BOX, POINTS, 0.5),
    aligned_face(),
    templates(),
    templates()[0],
    Comparison(np.zeros((2, 2)), np.full((2, 2), 0.25)),
    THRESHOLD,
    Decision("match", (), 0.9, 3.0, THRESHOLD),
    REASON,
]


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
def test_no_attribute_can_be_assigned_and_no_array_written(instance: Any) -> None:
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(instance, field.name, value)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0


def test_the_array_given_stays_writable_for_its_owner() -> None:
    given = pixels()
    Photo(given, "ab", "PNG")
    assert given.flags.writeable


def test_a_photo_tells_width_before_height() -> None:
    assert Photo(pixels(height=4, width=6), "ab", "PNG").size == (6, 4)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
    ],
)
def test_a_photo_of_other_pixels_is_refused(array: Any) -> None:
    with pytest.raises(InvalidArgument, match="pixels must be"):
        Photo(array, "ab", "array")


def test_face_sizes_by_hand() -> None:
    face = Face(BOX, POINTS, 1.0)
    assert (face.width, face.height, face.inter_eye) == (30.0, 50.0, 5.0)


@pytest.mark.parametrize(
    "box", [[40, 20, 10, 70], [10, 20, 10, 70], [10, 70, 40, 20], [0, 0, 1], [0, 0, math.nan, 5], [0, 0, math.inf, 5]]
)
def test_a_box_without_positive_sides_is_refused(box: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="box must be"):
        Face(np.array(box, np.float64), POINTS, 0.5)


@pytest.mark.parametrize("points", [POINTS[:4], POINTS.T, POINTS * math.nan, np.full((5, 2), math.inf)])
def test_landmarks_other_than_five_finite_points_are_refused(points: Any) -> None:
    with pytest.raises(InvalidArgument, match="landmarks must be"):
        Face(BOX, points, 0.5)
    with pytest.raises(InvalidArgument, match="template points must be"):
        CropTemplate("t", 10, 10, points)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_a_confidence_outside_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidArgument, match="confidence must lie"):
        Face(BOX, POINTS, confidence)


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (-5, 10)])
def test_a_template_without_area_is_refused(width: int, height: int) -> None:
    with pytest.raises(InvalidArgument, match="a crop cannot be"):
        CropTemplate("t", width, height, POINTS)


@pytest.mark.parametrize("crop", [np.zeros((112, 96, 3), np.uint8), np.zeros((112, 112, 3), np.float32)])
def test_a_crop_that_does_not_fit_its_template_is_refused(crop: Any) -> None:
    with pytest.raises(InvalidArgument, match="arcface_112 crop must be"):
        AlignedFace(crop, Face(BOX, POINTS, 0.9), ARCFACE_112, np.eye(2, 3), 0.0, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["grids", "vectors"])
def test_templates_that_are_not_finite_are_refused_and_the_crop_is_named(part: str, value: float) -> None:
    grids, vectors = np.ones((3, 2, 2, 4), np.float32), np.ones((3, 8), np.float32)
    (grids if part == "grids" else vectors)[1, ..., 0] = value
    with pytest.raises(InvalidTemplate) as caught:
        Templates(grids, vectors, "m")
    assert caught.value.code == "invalid_template"
    assert caught.value.details == {"crops": ["1"]}


@pytest.mark.parametrize("part", ["grids", "vectors"])
def test_templates_without_direction_are_refused(part: str) -> None:
    grids, vectors = np.ones((3, 2, 2, 4), np.float32), np.ones((3, 8), np.float32)
    (grids if part == "grids" else vectors)[2] = 0
    with pytest.raises(InvalidTemplate) as caught:
        Templates(grids, vectors, "m")
    assert caught.value.details == {"crops": ["2"]}


def test_one_empty_cell_is_no_reason_to_refuse_a_template() -> None:
    grids = np.ones((1, 2, 2, 4), np.float32)
    grids[0, 0, 0] = 0
    assert len(Templates(grids, np.ones((1, 8), np.float32), "m")) == 1


@pytest.mark.parametrize(("grids", "vectors"), [((3, 2, 2, 4), (2, 8)), ((3, 2, 4), (3, 8)), ((3, 2, 2, 4), (3, 8, 1))])
def test_templates_of_unequal_batches_are_refused(grids: tuple[int, ...], vectors: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="want grids"):
        Templates(np.ones(grids, np.float32), np.ones(vectors, np.float32), "m")


def test_stacking_the_parts_gives_back_the_whole() -> None:
    whole = templates()
    again = stack(list(whole))
    assert len(again) == len(whole) == 3
    np.testing.assert_array_equal(again.grids, whole.grids)
    np.testing.assert_array_equal(again.vectors, whole.vectors)
    assert again.model == "m"


def test_templates_of_two_models_are_not_stacked() -> None:
    with pytest.raises(IncompatibleTemplates) as caught:
        stack([templates(model="b")[0], templates(model="a")[0], templates(model="b")[1]])
    assert caught.value.code == "incompatible_templates"
    assert caught.value.details == {"models": ["a", "b"]}


def test_nothing_cannot_be_stacked() -> None:
    with pytest.raises(IncompatibleTemplates):
        stack([])


def test_a_bad_template_is_found_when_stacked() -> None:
    good = templates()[0]
    with pytest.raises(InvalidTemplate):
        stack([good, Template(good.grid * np.float32(0), good.vector, "m")])


def test_a_comparison_by_hand() -> None:
    one = Comparison(np.array([[1.0, -0.5], [0.0, 0.25]]), np.array([[0.1, 0.2], [0.3, 0.4]]))
    np.testing.assert_allclose(one.contribution, [[0.1, -0.1], [0.0, 0.1]], atol=1e-15)
    assert one.score == pytest.approx(0.1, abs=1e-15)


@pytest.mark.parametrize(
    ("similarity", "attention"),
    [
        ([[0.0, 0.0]], [[0.5], [0.5]]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([[1.1, 0.0]], [[0.5, 0.5]]),
        ([[-1.1, 0.0]], [[0.5, 0.5]]),
        ([[math.nan, 0.0]], [[0.5, 0.5]]),
        ([[0.0, 0.0]], [[-0.1, 0.5]]),
        ([[0.0, 0.0]], [[0.6, 0.6]]),
        ([[0.0, 0.0]], [[math.nan, 0.5]]),
        (np.zeros((0, 0)), np.zeros((0, 0))),
    ],
)
def test_maps_that_are_no_comparison_are_refused(similarity: Any, attention: Any) -> None:
    with pytest.raises(InvalidArgument):
        Comparison(np.array(similarity), np.array(attention))


@pytest.mark.parametrize(
    ("score", "outcome"),
    [(0.55, "match"), (1.0, "match"), (0.5499, "inconclusive"), (0.45, "inconclusive"), (0.4499, "non_match")],
)
def test_a_score_inside_the_interval_of_the_threshold_is_inconclusive(score: float, outcome: str) -> None:
    assert THRESHOLD.outcome(score) == outcome


def test_a_score_that_is_no_number_has_no_outcome() -> None:
    with pytest.raises(InvalidArgument, match="nan"):
        THRESHOLD.outcome(math.nan)


@pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.6, 0.7), (0.5, 0.4, 0.45), (math.nan, 0.4, 0.6)])
def test_a_threshold_outside_its_interval_is_refused(value: float, low: float, high: float) -> None:
    with pytest.raises(InvalidArgument, match="must lie in its interval"):
        Threshold(value, low, high, 1e-3, 1e-4, 1e-2)


def test_a_decision_gives_reasons_exactly_when_it_is_inconclusive() -> None:
    assert Decision("inconclusive", (REASON,), 0.9, 1.0, THRESHOLD).reasons == (REASON,)
    for outcome, reasons in (("match", (REASON,)), ("non_match", (REASON,)), ("inconclusive", ())):
        with pytest.raises(InvalidArgument, match="exactly when it is inconclusive"):
            Decision(outcome, reasons, 0.9, 1.0, THRESHOLD)  # type: ignore[arg-type]


def test_inter_eye_distances_of_the_templates_by_hand() -> None:
    assert ARCFACE_112.inter_eye == pytest.approx(math.hypot(35.2372, 0.1949))
    assert DLIB_150.inter_eye == pytest.approx(math.hypot(54.78, 0.15))
