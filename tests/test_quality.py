from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from xcos.alignment import DLIB_150, align
from xcos.detectors import Mtcnn
from xcos.errors import InputRefused
from xcos.images import read_image
from xcos.quality import QualityLimits, measure_quality
from xcos.types import AlignedFace, Face, Photo, Pixels, Quality, Reals
from xcos.verifier import Verifier

Aligned = Callable[[str], AlignedFace]
Example = Callable[[str], Photo]
PEOPLE = range(6)
EVERYBODY = pytest.mark.parametrize("name", [f"{person}_front" for person in PEOPLE])


ANY_BOX = np.array([0.0, 0.0, 1.0, 1.0])


def quality_of(face: AlignedFace) -> Quality:
    """Quality where a second look finds the landmarks just where they were."""
    return measure_quality(face, again=[Face(ANY_BOX, face.landmarks, 1.0)])


def measured(pixels: Pixels, landmarks: Reals) -> Quality:
    photo = Photo(pixels, "0" * 64, "array")
    return quality_of(align(photo, Face(ANY_BOX, landmarks, 1.0), DLIB_150))


@pytest.fixture(scope="session")
def look(example: Example, aligned: Aligned) -> Callable[[str], tuple[Pixels, Reals]]:
    """Pixels and landmarks of an example photo, so that a change of the pixels moves no landmark."""
    return lambda name: (example(name).pixels, aligned(name).face.landmarks)


Look = Callable[[str], tuple[Pixels, Reals]]


def falls(values: list[float], by: float = 0.0) -> bool:
    return all(after < before - by for before, after in pairwise(values))


@EVERYBODY
def test_blur_lowers_sharpness_step_by_step(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    picture = Image.fromarray(pixels)
    blurred = [np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 3, 5)]
    assert falls([measured(photo, landmarks).sharpness for photo in blurred], by=0.001)


@EVERYBODY
def test_a_smaller_photo_lowers_eye_distance_and_sharpness(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    sizes = []
    for side in (300, 150, 75, 40):
        small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))
        sizes.append(measured(small, (landmarks + 0.5) * side / 300 - 0.5))
    assert [quality.inter_eye / sizes[0].inter_eye for quality in sizes] == pytest.approx([1, 1 / 2, 1 / 4, 40 / 300])
    assert falls([quality.sharpness for quality in sizes])


@EVERYBODY
def test_brightness_follows_the_exposure(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    plain = measured(pixels, landmarks).brightness
    for factor in (0.25, 0.5):
        darker = (pixels * factor).round().astype(np.uint8)
        assert measured(darker, landmarks).brightness == pytest.approx(factor * plain, abs=0.01)
    lighter = (255 - (255 - pixels) * 0.5).round().astype(np.uint8)
    assert measured(lighter, landmarks).brightness == pytest.approx(0.5 + 0.5 * plain, abs=0.01)


@EVERYBODY
def test_contrast_follows_the_spread_of_grey(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    plain = measured(pixels, landmarks).contrast
    for factor in (0.1, 0.5):
        flatter = (128 + (pixels - 128.0) * factor).round().astype(np.uint8)
        assert measured(flatter, landmarks).contrast == pytest.approx(factor * plain, abs=0.005)


@pytest.mark.parametrize("gray", [0, 90, 255])
def test_a_uniform_photo_by_hand(gray: int) -> None:
    quality = measured(np.full((150, 150, 3), gray, np.uint8), DLIB_150.points)
    assert quality.brightness == pytest.approx(gray / 255, abs=0.003)
    assert quality.contrast == pytest.approx(0, abs=0.003)
    assert quality.sharpness == 0


@pytest.mark.parametrize(("color", "gray"), [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)])
def test_grey_weighs_the_colours_as_rec_601_does(color: tuple[int, int, int], gray: float) -> None:
    pixels = np.tile(np.array(color, np.uint8), (150, 150, 1))
    assert measured(pixels, DLIB_150.points).brightness == pytest.approx(gray, abs=0.003)


@pytest.mark.parametrize("person", PEOPLE)
def test_a_turned_head_has_more_yaw_than_a_frontal_one(aligned: Aligned, person: int) -> None:
    front, turned = (quality_of(aligned(f"{person}_{view}")) for view in ("front", "yaw"))
    assert abs(front.yaw) < 0.1
    assert abs(turned.yaw) > 0.4


@pytest.mark.parametrize("person", PEOPLE)
def test_a_mirrored_photo_turns_the_yaw_around(aligned: Aligned, person: int) -> None:
    face = aligned(f"{person}_yaw").face
    mirrored = (face.landmarks * (-1, 1) + (299, 0))[[1, 0, 2, 4, 3]]
    pixels = np.zeros((300, 300, 3), np.uint8)
    assert measured(pixels, mirrored).yaw == pytest.approx(-measured(pixels, face.landmarks).yaw, abs=1e-9)


def test_pose_by_hand() -> None:
    points = DLIB_150.points.copy()
    points[:] = [[50, 50], [90, 50], [70, 70], [55, 90], [85, 90]]
    usual = (79.13 - (46.00 + 46.15) / 2) / ((106.06 + 106.49) / 2 - (46.00 + 46.15) / 2)
    pixels = np.zeros((150, 150, 3), np.uint8)
    frontal = measured(pixels, points)
    assert (frontal.yaw, frontal.roll) == pytest.approx((0, 0), abs=1e-12)
    assert frontal.pitch == pytest.approx(0.5 - usual, abs=1e-4)  # the template's nose sits a hair off its eyes' line
    points[2] = [80, 60]  # half-way from the middle to the right eye, a quarter of the way to the mouth
    turned = measured(pixels, points)
    assert turned.yaw == pytest.approx(0.5)
    assert turned.pitch == pytest.approx(0.25 - usual, abs=1e-4)


def turned_by(points: Reals, degrees: float) -> Reals:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned: Reals = (points - 149.5) @ np.array([[c, s], [-s, c]]) + 149.5
    return turned


@EVERYBODY
def test_tilting_the_landmarks_changes_roll_by_that_angle_and_no_pose(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    upright = measured(pixels, landmarks)
    for degrees in (-120.0, -30.0, 10.0, 90.0):
        tilted = measured(pixels, turned_by(landmarks, degrees))
        assert tilted.roll - upright.roll == pytest.approx(degrees)
        assert (tilted.yaw, tilted.pitch) == pytest.approx((upright.yaw, upright.pitch))


@pytest.mark.parametrize("degrees", [-20.0, 15.0])
@EVERYBODY
def test_rotating_the_photo_changes_roll_by_that_angle(
    example: Example, aligned: Aligned, mtcnn: Mtcnn, name: str, degrees: float
) -> None:
    picture = Image.fromarray(example(name).pixels)
    clockwise = np.asarray(picture.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)))
    (face,) = mtcnn.detect(clockwise)
    upright = quality_of(aligned(name)).roll
    assert measured(clockwise, face.landmarks).roll - upright == pytest.approx(degrees, abs=4)


@EVERYBODY
def test_cutting_into_the_face_raises_the_share_outside(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    cut = [measured(pixels[:, start:], landmarks - (start, 0)).outside for start in (0, 100, 130, 160, 190)]
    assert cut[0] == 0
    assert falls([-share for share in cut])


@EVERYBODY
def test_landmarks_moved_apart_raise_the_residual(look: Look, name: str) -> None:
    pixels, landmarks = look(name)
    shift = np.array([[0, 0], [0, 0], [12.0, 9.0], [0, 0], [0, 0]])
    assert falls([-measured(pixels, landmarks + shift * step).residual for step in (0, 1, 2, 4)])


def test_size_and_position_in_the_photo_are_no_quality_of_their_own(look: Look) -> None:
    pixels, landmarks = look("0_front")
    padded = np.zeros((500, 600, 3), np.uint8)
    padded[100:400, 200:500] = pixels
    moved, plain = measured(padded, landmarks + np.array([200, 100])), measured(pixels, landmarks)
    assert dataclasses.astuple(moved) == pytest.approx(dataclasses.astuple(plain), abs=0.01)


def test_landmarks_on_one_line_count_as_turned_all_the_way() -> None:
    line = np.array([[10.0, 10.0], [30.0, 10.0], [20.0, 10.0], [10.0, 10.0], [50.0, 10.0]])
    assert measured(np.zeros((60, 60, 3), np.uint8), line).yaw == 1


LIMITS = QualityLimits()
FINE = Quality(
    inter_eye=60,
    sharpness=0.3,
    brightness=0.5,
    contrast=0.2,
    yaw=0,
    pitch=0,
    roll=0,
    residual=0.03,
    outside=0,
    second_look=0.02,
)


def test_a_fine_photo_breaks_no_limit() -> None:
    assert LIMITS.reasons(FINE, "probe") == []


@pytest.mark.parametrize(
    ("field", "value", "code", "limit"),
    [
        ("inter_eye", LIMITS.inter_eye - 0.1, "face_too_small", LIMITS.inter_eye),
        ("sharpness", LIMITS.sharpness - 0.01, "blurred", LIMITS.sharpness),
        ("brightness", LIMITS.darkest - 0.01, "badly_exposed", LIMITS.darkest),
        ("brightness", LIMITS.brightest + 0.01, "badly_exposed", LIMITS.brightest),
        ("contrast", LIMITS.contrast - 0.001, "badly_exposed", LIMITS.contrast),
        ("yaw", LIMITS.yaw + 0.01, "far_from_frontal", LIMITS.yaw),
        ("yaw", -LIMITS.yaw - 0.01, "far_from_frontal", LIMITS.yaw),
        ("pitch", LIMITS.pitch + 0.01, "far_from_frontal", LIMITS.pitch),
        ("pitch", -LIMITS.pitch - 0.01, "far_from_frontal", LIMITS.pitch),
        ("roll", LIMITS.roll + 1, "far_from_frontal", LIMITS.roll),
        ("roll", -LIMITS.roll - 1, "far_from_frontal", LIMITS.roll),
        ("residual", LIMITS.residual + 0.01, "alignment_residual", LIMITS.residual),
        ("outside", LIMITS.outside + 0.01, "cut_off", LIMITS.outside),
        ("second_look", LIMITS.second_look + 0.01, "uncertain_face", LIMITS.second_look),
    ],
)
@pytest.mark.parametrize("side", ["probe", "reference"])
def test_each_limit_has_its_reason(field: str, value: float, code: str, limit: float, side: Any) -> None:
    broken: dict[str, Any] = {field: value}
    (reason,) = LIMITS.reasons(dataclasses.replace(FINE, **broken), side)
    assert (reason.code, reason.side, reason.limit) == (code, side, limit)
    assert reason.measured == pytest.approx(value if field == "brightness" else abs(value))
    assert reason.message.startswith(f"{side}: ")
    kept: dict[str, Any] = {field: np.sign(value) * limit}
    assert LIMITS.reasons(dataclasses.replace(FINE, **kept), side) == []


def test_several_broken_limits_give_several_reasons() -> None:
    poor = dataclasses.replace(FINE, inter_eye=3, sharpness=0, outside=0.9)
    assert [reason.code for reason in LIMITS.reasons(poor, "probe")] == ["face_too_small", "blurred", "cut_off"]


@pytest.mark.parametrize("person", PEOPLE)
def test_frontal_examples_give_no_reason_for_doubt(aligned: Aligned, person: int) -> None:
    assert LIMITS.reasons(quality_of(aligned(f"{person}_front")), "probe") == []


def test_a_second_look_measures_how_far_the_nearest_face_moved(aligned: Aligned) -> None:
    face = aligned("0_front")
    eye = face.template.inter_eye

    def moved(by: float) -> Face:
        return Face(ANY_BOX, face.landmarks + np.array([0.6 * by * eye, 0.8 * by * eye]), 1.0)

    assert measure_quality(face, again=[moved(0.9), moved(0.3), moved(0.5)]).second_look == pytest.approx(0.3)
    assert measure_quality(face, again=[moved(7)]).second_look == 1
    assert measure_quality(face, again=[]).second_look == 1


def test_faces_found_upside_down_are_doubted(example: Example, verifier: Verifier) -> None:
    doubted = 0
    for name, degrees in product([f"{person}_front" for person in PEOPLE], (100, 120, 150, 180, 210, 240)):
        turned = Image.fromarray(example(name).pixels).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))
        try:
            sample = verifier.locate(read_image(turned))
        except InputRefused:
            continue
        assert verifier.doubts(sample, "probe"), (name, degrees)
        doubted += 1
    assert doubted >= 3
