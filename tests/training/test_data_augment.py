from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.stats import chisquare

from xcos.alignment import ARCFACE_112
from xcos.errors import InvalidArgument
from xcos.occluders import Covered
from xcos.training.config import AugmentationConfig
from xcos.training.data import augment
from xcos.training.data.augment import Augmentation, gray, jpeg_noise, low_resolution, mirror, misalign, photometric
from xcos.types import CropTemplate, Pixels

CHANCES = [field.name for field in fields(AugmentationConfig)]
OCCLUDERS = ("sunglasses", "face_mask", "squares", "blob")


class Highest(np.random.Generator):
    """Draws the upper end of every range."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:  # noqa: ARG002
        return np.full(size, high) if size else high


@pytest.fixture
def crop() -> Pixels:
    """A smooth picture with some noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((112, 112), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + rng.integers(-9, 10, (112, 112, 3)), 0, 255).astype(np.uint8)


def test_a_mirrored_crop_reads_from_right_to_left(crop: Pixels) -> None:
    for column in (0, 1, 111):
        np.testing.assert_array_equal(mirror(crop)[:, column], crop[:, 111 - column])
    np.testing.assert_array_equal(mirror(mirror(crop)), crop)


def test_low_resolution_averages_areas_and_enlarges_between_them(crop: Pixels) -> None:
    blocks = crop.reshape(56, 2, 56, 2, 3).mean(axis=(1, 3))
    pixels = torch.tensor(np.rint(blocks)).permute(2, 0, 1)[None]
    enlarged = torch.nn.functional.interpolate(pixels, size=(112, 112), mode="bilinear", align_corners=False)
    got = low_resolution(crop, np.random.default_rng(0), least=0.5, most=0.5)
    assert np.abs(got - enlarged[0].permute(1, 2, 0).numpy()).max() <= 2  # each of the two steps rounds twice


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_low_resolution_leaves_a_plain_crop_as_it_is(seed: int, level: int) -> None:
    plain = np.full((20, 30, 3), level, np.uint8)
    np.testing.assert_array_equal(low_resolution(plain, np.random.default_rng(seed)), plain)


def test_low_resolution_draws_sizes_over_its_whole_range(crop: Pixels) -> None:
    kept = [low_resolution(crop, np.random.default_rng(seed)).astype(float).std() for seed in range(50)]
    assert len(set(kept)) > 40
    np.testing.assert_array_equal(low_resolution(crop, np.random.default_rng(0), least=1), crop)


def test_a_whole_pixel_shift_moves_every_pixel_and_lets_black_in(crop: Pixels) -> None:
    got = misalign(crop, Highest(), scale=0, rotation=0, shift=8 / 112)
    np.testing.assert_array_equal(got[8:, 8:], crop[:-8, :-8])
    assert not got[:8].any()
    assert not got[:, :8].any()


def test_a_quarter_turn_is_a_quarter_turn(crop: Pixels) -> None:
    got = misalign(crop, Highest(), scale=0, rotation=np.pi / 2, shift=0)
    assert np.abs(got.astype(int) - np.rot90(crop, -1)).max() <= 1


def test_misalignment_is_the_stated_similarity_about_the_middle(crop: Pixels) -> None:
    scale, rotation, shift = 0.2, 0.3, 0.05
    got = misalign(crop, Highest(), scale=scale, rotation=rotation, shift=shift)
    # SciPy asks where each (row, column) comes from; its pixels' centres are whole numbers.
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]]) / (1 + scale)
    middle = np.full(2, 55.5)
    offset = middle - turn @ (middle + shift * 112)
    wanted = np.stack(
        [ndimage.affine_transform(crop[..., band].astype(float), turn, offset, order=1) for band in range(3)], axis=2
    )
    inside = ndimage.affine_transform(np.ones((112, 112)), turn, offset, order=1, cval=0) > 0.999
    assert inside.mean() > 0.7
    assert np.abs(got - wanted)[inside].max() <= 1.01


def test_random_misalignments_stay_within_their_bounds_and_use_them() -> None:
    # Where three dots go tells scale, angle and shift.
    dots = np.array([30 + 40j, 80 + 45j, 50 + 85j])
    seen = []
    for seed in range(200):
        moved = []
        for dot in dots:
            picture = np.zeros((112, 112, 3), np.uint8)
            picture[int(dot.imag) - 2 : int(dot.imag) + 3, int(dot.real) - 2 : int(dot.real) + 3] = 255
            column, row = np.flip(ndimage.center_of_mass(misalign(picture, np.random.default_rng(seed))[..., 0]))
            moved.append(column + 1j * row)
        centered, to = dots - dots.mean(), np.array(moved) - np.mean(moved)
        growth = (np.conj(centered) * to).sum() / (np.abs(centered) ** 2).sum()
        middle = 55.5 + 55.5j
        shift = np.mean(moved) - growth * (dots.mean() - middle) - middle
        assert np.abs(to - growth * centered).max() < 0.3
        seen.append((np.abs(growth) - 1, np.angle(growth), shift.real / 112, shift.imag / 112))
    reach = np.abs(np.array(seen)).max(axis=0)
    np.testing.assert_array_less(reach, np.array([0.1, 0.1, 0.05, 0.05]) * 1.05)
    np.testing.assert_array_less(np.array([0.1, 0.1, 0.05, 0.05]) * 0.9, reach)


def test_no_misalignment_is_no_change(crop: Pixels) -> None:
    np.testing.assert_array_equal(misalign(crop, np.random.default_rng(0), scale=0, rotation=0, shift=0), crop)


def test_photometric_change_by_hand() -> None:
    # Gain 1.5: 40, 60, 80 become 60, 90, 120. Their mean gray is 90; spread 1.2 about it: 54, 90, 126.
    row = np.repeat(np.array([40, 60, 80], np.uint8)[None, :, None], 3, axis=2)
    got = photometric(row, Highest(), brightness=0.5, contrast=0.2)
    assert got[0, :, 0].tolist() == [54, 90, 126]
    np.testing.assert_array_equal(photometric(row, np.random.default_rng(0), brightness=0, contrast=0), row)


def test_photometric_change_stops_at_black_and_white() -> None:
    row = np.repeat(np.array([0, 250], np.uint8)[None, :, None], 3, axis=2)
    assert photometric(row, Highest(), brightness=0.5, contrast=0.9)[0, :, 0].tolist() == [0, 255]


def test_gray_is_what_pillow_calls_gray(crop: Pixels) -> None:
    wanted = np.asarray(Image.fromarray(crop).convert("L")).astype(int)
    for band in range(3):
        assert np.abs(gray(crop)[..., band] - wanted).max() <= 1


def test_jpeg_noise_is_that_of_a_file_and_grows_as_quality_falls(crop: Pixels) -> None:
    def error(quality: int) -> float:
        changed = jpeg_noise(crop, np.random.default_rng(0), worst=quality, best=quality)
        return float(((changed.astype(float) - crop) ** 2).mean())

    assert error(10) > error(50) > error(95) > 0
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=70)
    np.testing.assert_array_equal(
        jpeg_noise(crop, np.random.default_rng(0), worst=70, best=70), np.asarray(Image.open(file))
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda crop, rng: low_resolution(crop, rng, least=0),
        lambda crop, rng: low_resolution(crop, rng, least=0.9, most=0.5),
        lambda crop, rng: low_resolution(crop, rng, most=1.5),
        lambda crop, rng: misalign(crop, rng, scale=1),
        lambda crop, rng: misalign(crop, rng, shift=-0.1),
        lambda crop, rng: misalign(crop, rng, rotation=4),
        lambda crop, rng: photometric(crop, rng, brightness=1),
        lambda crop, rng: photometric(crop, rng, contrast=-0.1),
        lambda crop, rng: jpeg_noise(crop, rng, worst=0),
        lambda crop, rng: jpeg_noise(crop, rng, worst=50, best=40),
    ],
)
def test_bounds_that_cannot_be_are_refused(crop: Pixels, change: Any) -> None:
    with pytest.raises(InvalidArgument, match="must"):
        change(crop, np.random.default_rng(0))


def only(**chances: float) -> Augmentation:
    """These changes and no other."""
    return Augmentation(ARCFACE_112, AugmentationConfig(**(dict.fromkeys(CHANCES, 0.0) | chances)))


def test_the_default_is_the_papers_mirror_and_nothing_else(crop: Pixels) -> None:
    augmentation, generator = Augmentation(ARCFACE_112), np.random.default_rng(0)
    mirrored = 0
    for _ in range(400):
        got, clear = augmentation.apply(crop, generator)
        mirrored += int(np.array_equal(got, mirror(crop)))
        assert np.array_equal(got, crop) or np.array_equal(got, mirror(crop))
        assert clear is got
    assert chisquare([mirrored, 400 - mirrored]).pvalue > 1e-3


def test_changes_come_in_the_documented_order(crop: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def recording(name: str) -> Any:
        original = getattr(augment, name)

        def change(*given: Any) -> Any:
            called.append(name)
            return original(*given)

        return change

    for name in ("mirror", "sunglasses", "photometric", "gray", "low_resolution", "jpeg_noise", "_misalign_both"):
        monkeypatch.setattr(augment, name, recording(name))
    chances = dict.fromkeys(CHANCES, 1.0) | {"face_mask": 0.0, "squares": 0.0, "blob": 0.0}
    only(**chances).apply(crop, np.random.default_rng(0))
    wanted = ["mirror", "sunglasses", "photometric", "gray", "low_resolution", "jpeg_noise", "_misalign_both"]
    assert called == wanted


@pytest.mark.parametrize("name", CHANCES)
def test_each_change_alone_changes_the_crop_and_not_the_one_given(crop: Pixels, name: str) -> None:
    kept = crop.copy()
    got, clear = only(**{name: 1.0}).apply(crop, np.random.default_rng(1))
    assert (got != crop).any()
    assert got.shape == crop.shape
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(clear, got if name in ("mirror", "misalign") else kept)
    np.testing.assert_array_equal(crop, kept)


@pytest.mark.parametrize("name", OCCLUDERS)
@pytest.mark.parametrize("moved", [0.0, 1.0], ids=["in its place", "misaligned"])
def test_the_clear_crop_is_what_the_same_draws_give_where_nothing_covers_it(
    crop: Pixels, monkeypatch: pytest.MonkeyPatch, name: str, moved: float
) -> None:
    augmentation = only(mirror=0.5, misalign=moved, **{name: 1.0})
    covered = [augmentation.apply(crop, np.random.default_rng(seed)) for seed in range(12)]
    occluder = getattr(augment, name)

    def invisible(crop: Pixels, template: CropTemplate, generator: np.random.Generator) -> tuple[Pixels, Covered]:
        return crop, occluder(crop, template, generator)[1]

    monkeypatch.setattr(augment, name, invisible)
    bare = [augmentation.apply(crop, np.random.default_rng(seed)) for seed in range(12)]
    for (got, clear), (shown, also_clear) in zip(covered, bare, strict=True):
        np.testing.assert_array_equal(clear, shown)
        assert also_clear is shown
        assert (got != clear).any(axis=2).mean() > 0.05


def test_light_and_camera_spoil_the_crop_and_leave_the_clear_one(crop: Pixels) -> None:
    spoilt = only(photometric=1, gray=1, low_resolution=1, jpeg_noise=1)
    got, clear = spoilt.apply(crop, np.random.default_rng(0))
    np.testing.assert_array_equal(clear, crop)
    assert (got != crop).any()


def test_at_most_one_occluder_is_drawn_as_often_as_asked(crop: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def noting(name: str) -> Any:
        def occluder(crop: Pixels, template: CropTemplate, _: np.random.Generator) -> tuple[Pixels, Covered]:
            assert template is ARCFACE_112
            drawn.append(name)
            return crop, np.ones(crop.shape[:2], bool)

        return occluder

    shares = {"sunglasses": 0.1, "face_mask": 0.2, "squares": 0.15, "blob": 0.25}
    for name in shares:
        monkeypatch.setattr(augment, name, noting(name))
    augmentation, generator = only(**shares), np.random.default_rng(3)
    for _ in range(2000):
        augmentation.apply(crop, generator)
    seen = [*(drawn.count(name) for name in shares), 2000 - len(drawn)]
    assert chisquare(seen, [2000 * share for share in (*shares.values(), 0.3)]).pvalue > 1e-3


def test_the_same_generator_gives_the_same_crop(crop: Pixels) -> None:
    augmentation = only(**dict.fromkeys(CHANCES, 0.25))
    for seed in range(20):
        first, second = (augmentation.apply(crop, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_probabilities_that_cannot_be_are_refused() -> None:
    for chances in ({"mirror": 1.1}, {"blob": -0.1}, {"gray": float("nan")}, {"squares": 0.6, "face_mask": 0.6}):
        with pytest.raises(InvalidArgument, match="must be a probability"):
            AugmentationConfig(**chances)
    AugmentationConfig(sunglasses=0.7, face_mask=0.2, squares=0.1)  # whose sum in floats is a little above 1


def test_a_crop_of_another_template_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="crops must be"):
        Augmentation(ARCFACE_112).apply(np.zeros((150, 150, 3), np.uint8), np.random.default_rng(0))
