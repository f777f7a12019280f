from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import orthogonal_procrustes

from xcos.alignment import ARCFACE_112, DLIB_150, align, fit_similarity, require_crops
from xcos.errors import InvalidArgument, UnusableFace
from xcos.types import CropTemplate, Face, Photo, Pixels, Reals

FINITE = st.floats(-500, 500, allow_nan=False, width=32)
POINTS = arrays(np.float64, (5, 2), elements=FINITE)
WHOLE = np.array([0.0, 0.0, 100.0, 100.0])


def similarity(scale: float, degrees: float, x: float, y: float) -> Reals:
    turn = np.radians(degrees)
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, x], [s, c, y]])


def move(matrix: Reals, points: Reals) -> Reals:
    moved: Reals = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def face_for(to_crop: Reals, template: CropTemplate) -> Face:
    """A face whose landmarks ``to_crop`` takes exactly to the template's points."""
    landmarks = (template.points - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
    return Face(WHOLE, landmarks, 1.0)


def photo_of(pixels: Pixels) -> Photo:
    return Photo(pixels, "0" * 64, "array")


def least_squares(source: Reals, target: Reals) -> Reals:
    """The same fit as a linear system in (a, b, x, y) for  u = a·x − b·y + x₀,  v = b·x + a·y + y₀."""
    n = len(source)
    system = np.zeros((2 * n, 4))
    system[:n] = np.stack([source[:, 0], -source[:, 1], np.ones(n), np.zeros(n)], axis=1)
    system[n:] = np.stack([source[:, 1], source[:, 0], np.zeros(n), np.ones(n)], axis=1)
    a, b, x, y = np.linalg.lstsq(system, target.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


@given(POINTS, POINTS)
def test_the_fit_is_the_least_squares_similarity(source: Reals, target: Reals) -> None:
    assume(np.ptp(source, axis=0).max() > 1)
    expected = least_squares(source, target)
    assume(np.abs(expected[:, :2]).max() > 1e-3)
    np.testing.assert_allclose(fit_similarity(source, target), expected, rtol=1e-6, atol=1e-6)


@given(POINTS, st.floats(0.05, 20), st.floats(-180, 180), FINITE, FINITE)
def test_an_exact_similarity_is_recovered(source: Reals, scale: float, turn: float, x: float, y: float) -> None:
    assume(np.ptp(source, axis=0).max() > 1)
    matrix = similarity(scale, turn, x, y)
    np.testing.assert_allclose(fit_similarity(source, move(matrix, source)), matrix, rtol=1e-7, atol=1e-6)


def test_rotation_and_scale_are_those_of_procrustes_analysis() -> None:
    rng = np.random.default_rng(1)
    source = ARCFACE_112.points * 3 + rng.normal(0, 4, (5, 2))
    a, b = source - source.mean(axis=0), ARCFACE_112.points - ARCFACE_112.points.mean(axis=0)
    rotation, trace = orthogonal_procrustes(a, b)
    assert np.linalg.det(rotation) > 0
    expected = rotation.T * trace / (a**2).sum()
    np.testing.assert_allclose(fit_similarity(source, ARCFACE_112.points)[:, :2], expected, atol=1e-12)


def test_a_mirrored_face_is_not_fitted_by_a_reflection() -> None:
    mirrored = DLIB_150.points * (-1, 1)
    assert np.linalg.det(fit_similarity(mirrored, DLIB_150.points)[:, :2]) > 0


@pytest.mark.parametrize("spot", [(0.0, 0.0), (120.25, 40.5)])
def test_landmarks_on_one_point_are_refused(spot: tuple[float, float]) -> None:
    photo = photo_of(np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(UnusableFace, match="fall on one point"):
        align(photo, Face(WHOLE, np.tile(spot, (5, 1)), 1.0), DLIB_150)


def test_points_go_to_the_photo_and_back() -> None:
    to_crop = similarity(0.7, 25, -12, 31)
    face = align(photo_of(np.zeros((300, 300, 3), np.uint8)), face_for(to_crop, DLIB_150), DLIB_150)
    points = np.array([[0.0, 0.0], [149.0, 10.0], [75.5, 80.25]])
    np.testing.assert_allclose(move(to_crop, face.to_photo(points)), points, atol=1e-9)
    np.testing.assert_allclose(face.to_photo(face.landmarks), face.face.landmarks, atol=1e-9)
    np.testing.assert_allclose(face.landmarks, DLIB_150.points, atol=1e-9)


def test_the_residual_of_an_exact_similarity_is_zero() -> None:
    face = face_for(similarity(1.7, -40, 5, 9), ARCFACE_112)
    assert align(photo_of(np.zeros((50, 50, 3), np.uint8)), face, ARCFACE_112).residual < 1e-12


def test_the_residual_of_a_displaced_point_by_hand() -> None:
    # A square and its centre. The least-squares similarity of the square alone stays the identity when its
    # centre moves by (5, 0), except for the shift of the means by 1: the four corners are off by 1 px, the
    # centre by 4 px; root mean square √((4·1² + 4²) / 5) = 2, in eye distances of 40 px: 0.05.
    square = np.array([[0.0, 0.0], [40.0, 0.0], [20.0, 20.0], [0.0, 40.0], [40.0, 40.0]])
    target = CropTemplate("square", 41, 41, square + np.array([[0, 0], [0, 0], [5, 0], [0, 0], [0, 0]]))
    made = align(photo_of(np.zeros((41, 41, 3), np.uint8)), Face(WHOLE, square, 1.0), target)
    np.testing.assert_allclose(made.to_crop, [[1, 0, 1], [0, 1, 0]], atol=1e-12)
    assert made.residual == pytest.approx(0.05, abs=1e-12)


def test_the_identity_copies_the_pixels() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (150, 150, 3), np.uint8)
    made = align(photo_of(pixels), Face(WHOLE, DLIB_150.points, 1.0), DLIB_150)
    np.testing.assert_allclose(made.crop, pixels, atol=1)  # interpolation cuts off fractions
    assert made.outside == 0.0


def test_a_shift_by_whole_pixels_copies_the_pixels_and_blackens_the_rest() -> None:
    pixels = np.random.default_rng(3).integers(1, 256, (150, 150, 3), np.uint8)
    made = align(photo_of(pixels), Face(WHOLE, DLIB_150.points - (7, -4), 1.0), DLIB_150)
    expected = np.zeros_like(pixels)
    expected[:-4, 7:] = pixels[4:, :-7]
    np.testing.assert_allclose(made.crop, expected, atol=1)


def dot(side: int, center: tuple[float, float], sigma: float) -> Pixels:
    ys, xs = np.mgrid[0:side, 0:side]
    bell = np.exp(-((xs - center[0]) ** 2 + (ys - center[1]) ** 2) / (2 * sigma**2))
    return np.repeat((255 * bell).round().astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("turn", [0.0, 17.0, -130.0])
@pytest.mark.parametrize("scale", [3.0, 1.0, 0.7, 0.5, 0.3, 0.12, 0.07])
def test_a_dot_lands_where_the_matrix_says(scale: float, turn: float) -> None:
    side = max(60, int(150 / scale))
    center = (side * 0.47 + 0.3, side * 0.55 - 0.2)
    middle = move(similarity(scale, turn, 0, 0), np.array([center]))[0]
    to_crop = similarity(scale, turn, 75.4 - middle[0], 74.8 - middle[1])
    # 4 px wide in the crop, whatever the scale, so that its centroid is well sampled and well inside
    made = align(photo_of(dot(side, center, 4 / scale)), face_for(to_crop, DLIB_150), DLIB_150)
    gray = made.crop[..., 0].astype(float)
    ys, xs = np.mgrid[0:150, 0:150]
    centroid = np.array([(xs * gray).sum(), (ys * gray).sum()]) / gray.sum()
    np.testing.assert_allclose(centroid, (75.4, 74.8), atol=0.03)


@pytest.mark.parametrize(("scale", "turn"), [(1.3, 20.0), (0.8, -35.0), (0.4, 10.0), (0.21, 80.0)])
def test_a_linear_ramp_stays_linear(scale: float, turn: float) -> None:
    side = int(400 / scale)
    ys, xs = np.mgrid[0:side, 0:side]
    channels = [250 * xs / side, 250 * ys / side, 125 * (xs + ys) / side]
    pixels = np.stack(channels, axis=-1).round().astype(np.uint8)
    middle = move(similarity(scale, turn, 0, 0), np.array([[side / 2, side / 2]]))[0]
    to_crop = similarity(scale, turn, 75 - middle[0], 75 - middle[1])
    made = align(photo_of(pixels), face_for(to_crop, DLIB_150), DLIB_150)
    crop_points = np.stack(np.meshgrid(np.arange(150.0), np.arange(150.0)), axis=-1).reshape(-1, 2)
    x, y = made.to_photo(crop_points).T
    expected = np.stack([250 * x / side, 250 * y / side, 125 * (x + y) / side], axis=-1).reshape(150, 150, 3)
    assert np.abs(made.crop - expected).max() <= 1.5
    assert np.abs((made.crop - expected).mean(axis=(0, 1))).max() <= 0.6


def test_a_fine_checkerboard_becomes_grey_where_the_face_is_larger_than_the_crop() -> None:
    pixels = np.zeros((1200, 1200, 3), np.uint8)
    pixels[::2, ::2] = pixels[1::2, 1::2] = 255
    made = align(photo_of(pixels), face_for(similarity(1 / 8, 0, 0, 0), DLIB_150), DLIB_150)
    assert np.abs(made.crop[1:-1, 1:-1].astype(int) - 127).max() <= 2


@pytest.mark.parametrize(("shift", "share"), [((75.0, 0.0), 0.5), ((0.0, 75.0), 0.5), ((75.0, 75.0), 0.75)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_share_outside_the_photo_by_hand(shift: tuple[float, float], share: float, sign: int) -> None:
    white = photo_of(np.full((150, 150, 3), 255, np.uint8))
    made = align(white, Face(WHOLE, DLIB_150.points - sign * np.array(shift), 1.0), DLIB_150)
    assert made.outside == pytest.approx(share, abs=1e-12)
    assert (made.crop == 0).mean() == pytest.approx(share, abs=1e-12)


@given(st.floats(0.2, 3), st.floats(-180, 180), st.floats(-150, 150), st.floats(-150, 150))
def test_the_share_outside_is_the_black_share_of_a_white_photo(scale: float, turn: float, x: float, y: float) -> None:
    to_crop = similarity(scale, turn, x, y)
    made = align(photo_of(np.full((120, 120, 3), 255, np.uint8)), face_for(to_crop, DLIB_150), DLIB_150)
    assert made.outside == pytest.approx((made.crop[..., 0] < 128).mean(), abs=0.05)


def test_a_crop_wholly_beside_the_photo_is_black() -> None:
    white = photo_of(np.full((60, 60, 3), 255, np.uint8))
    made = align(white, face_for(similarity(1, 0, 1000, 1000), DLIB_150), DLIB_150)
    assert made.outside == 1.0
    assert not made.crop.any()


def test_the_photo_is_not_modified() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (200, 180, 3), np.uint8)
    before = pixels.copy()
    align(photo_of(pixels), face_for(similarity(0.4, 12, 30, 20), DLIB_150), DLIB_150)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("points", [ARCFACE_112.points - (8, 0)])
def test_the_arcface_points_are_the_published_ones_for_a_96_wide_crop(points: Reals) -> None:
    published = [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
    np.testing.assert_allclose(points, published, atol=1e-9)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((150, 150, 3), np.uint8),
        np.zeros((0, 150, 150, 3), np.uint8),
        np.zeros((2, 112, 112, 3), np.uint8),
        np.zeros((2, 3, 150, 150), np.uint8),
        np.zeros((2, 150, 150, 3), np.float32),
    ],
)
def test_what_is_no_batch_of_crops_is_refused(batch: Pixels) -> None:
    with pytest.raises(InvalidArgument, match="crops must be"):
        require_crops(batch, DLIB_150)
