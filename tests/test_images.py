from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from hostile import chunk, encoded, exif, face, gray_tiff, png, tiff_header
from xcos import images
from xcos.errors import (
    CorruptImage,
    ImageTooLarge,
    InputRefused,
    InvalidArgument,
    InvalidPixels,
    UnreadableSource,
    UnsupportedFormat,
)
from xcos.images import read_image

Bytes = NDArray[np.uint8]
KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}


def pixels_of(source: images.ImageSource, **options: Any) -> Bytes:
    return np.asarray(read_image(source, **options).pixels)


def one_row(*values: int | tuple[int, ...]) -> list[list[int]]:
    """What a picture of one row must become; a number stands for a gray."""
    return [[value] * 3 if isinstance(value, int) else list(value) for value in values]


def small_scene(height: int = 5, width: int = 7) -> Bytes:
    """Random pixels, so that no turn looks like another."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


# What must be done to a stored picture so that it stands upright, by the EXIF standard's own words on where row 0
# and column 0 lie. Written with NumPy, not PIL.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],  # column 0 at the right
    3: lambda a: a[::-1, ::-1],  # row 0 at the bottom, column 0 at the right
    4: lambda a: a[::-1],  # row 0 at the bottom
    5: lambda a: a.swapaxes(0, 1),  # row 0 at the left, column 0 at the top
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],  # row 0 at the right, column 0 at the top
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],  # row 0 at the right, column 0 at the bottom
    8: lambda a: a.swapaxes(0, 1)[::-1],  # row 0 at the left, column 0 at the bottom
}
# The turn that stores an upright picture so that the value above makes it upright again.
STORED = {value: {6: UPRIGHT[8], 8: UPRIGHT[6]}.get(value, turn) for value, turn in UPRIGHT.items()}


def turned_file(upright: Bytes, value: int, kind: str, **options: Any) -> bytes:
    stored = Image.fromarray(np.ascontiguousarray(STORED[value](upright)))
    return encoded(stored, kind, exif=exif(value), **options)


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_all_orientations_of_a_lossless_file_give_the_upright_pixels(kind: str, value: int) -> None:
    upright = small_scene()
    np.testing.assert_array_equal(pixels_of(turned_file(upright, value, kind, **LOSSLESS[kind])), upright)


@pytest.mark.parametrize("value", UPRIGHT)
def test_all_orientations_of_a_jpeg_give_nearly_the_upright_pixels(value: int) -> None:
    upright = np.asarray(face())
    read = pixels_of(turned_file(upright, value, "JPEG", quality=95, subsampling=0))
    assert read.shape == upright.shape
    difference = np.abs(read.astype(int) - upright)
    assert difference.mean() < 1.5
    assert difference.max() < 40


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_orientation_agrees_with_pillows_own_transposition(kind: str, value: int) -> None:
    content = turned_file(small_scene(24, 40), value, kind)
    with Image.open(io.BytesIO(content)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    np.testing.assert_array_equal(pixels_of(content), expected)


@pytest.mark.parametrize("value", UPRIGHT)
def test_a_compressed_tiff_is_turned_once(value: int) -> None:
    upright = small_scene()
    content = turned_file(upright, value, "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(pixels_of(content), upright)


@pytest.mark.parametrize("value", [0, 9, 90, 65535])
@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_an_invalid_orientation_means_upright(kind: str, value: int) -> None:
    scene = Image.fromarray(small_scene(24, 40))
    plain, odd = encoded(scene, kind), encoded(scene, kind, exif=exif(value))
    assert plain != odd
    np.testing.assert_array_equal(pixels_of(odd), pixels_of(plain))


@given(garbage=st.binary(max_size=60))
def test_broken_exif_data_leaves_a_photo_readable(garbage: bytes) -> None:
    scene = Image.fromarray(small_scene())
    photo = read_image(encoded(scene, "PNG", exif=b"Exif\0\0" + garbage))
    np.testing.assert_array_equal(np.sort(photo.pixels, axis=None), np.sort(small_scene(), axis=None))


def test_the_size_of_a_photo_is_that_of_the_upright_picture() -> None:
    assert read_image(turned_file(small_scene(5, 7), 6, "PNG")).size == (7, 5)


def test_one_bit_becomes_black_and_white() -> None:
    content = png(4, 1, b"\0\x50", bits=1, color=0)  # 0101
    assert pixels_of(content).tolist() == [one_row(0, 255, 0, 255)]


def test_gray_is_repeated_in_three_channels() -> None:
    content = png(3, 1, b"\0\0\x50\xff", color=0)
    assert pixels_of(content).tolist() == [one_row(0, 80, 255)]


# Alpha a over mid-gray: (value · a + 128 · (255 − a)) / 255, rounded. Of 0 at 128: 128 · 127 / 255 = 63.75.
# Of 255 at 128: (32,640 + 16,256) / 255 = 191.75. Of 200 at 51, a fifth: 40 + 102.4 = 142.4.
def test_gray_with_alpha_is_laid_over_mid_gray() -> None:
    content = png(5, 1, b"\0" + bytes([0, 128, 255, 128, 200, 51, 7, 0, 9, 255]), color=4)
    assert pixels_of(content).tolist() == [one_row(64, 192, 142, 128, 9)]


def test_color_with_alpha_is_laid_over_mid_gray() -> None:
    content = png(3, 1, b"\0" + bytes([0, 255, 200, 128, 0, 255, 200, 51, 1, 2, 3, 255]), color=6)
    fifth = (102, 153, 142)  # 102.4, 51 + 102.4 = 153.4, 142.4
    assert pixels_of(content).tolist() == [one_row((64, 192, 164), fifth, (1, 2, 3))]


def test_a_palette_becomes_its_colors() -> None:
    colors = chunk(b"PLTE", bytes([10, 20, 30, 0, 0, 0, 250, 240, 230]))
    content = png(3, 1, b"\0\2\0\1", color=3, before=colors)
    assert pixels_of(content).tolist() == [one_row((250, 240, 230), (10, 20, 30), (0, 0, 0))]


def test_a_palette_with_an_alpha_table_is_laid_over_mid_gray() -> None:
    colors = chunk(b"PLTE", bytes([0, 255, 200, 0, 255, 200, 9, 9, 9])) + chunk(b"tRNS", bytes([128, 0]))
    content = png(3, 1, b"\0\0\1\2", color=3, before=colors)
    assert pixels_of(content).tolist() == [one_row((64, 192, 164), 128, 9)]


def test_the_transparent_color_of_a_png_becomes_mid_gray() -> None:
    gray = png(3, 1, b"\0\1\2\3", color=0, before=chunk(b"tRNS", b"\0\2"))
    assert pixels_of(gray).tolist() == [one_row(1, 128, 3)]
    color = png(2, 1, b"\0\1\2\3\1\2\4", before=chunk(b"tRNS", b"\0\1\0\2\0\3"))
    assert pixels_of(color).tolist() == [one_row(128, (1, 2, 4))]


# value / 257, rounded: 65,535 / 257 = 255; 32,768 / 257 = 127.50; 128 / 257 = 0.498; 129 / 257 = 0.502
DEEP = [0, 128, 129, 257, 32_768, 65_535]
SHALLOW = one_row(0, 0, 1, 1, 128, 255)


def test_sixteen_bit_gray_is_scaled_and_not_clipped() -> None:
    assert pixels_of(png(6, 1, b"\0" + struct.pack(">6H", *DEEP), bits=16, color=0)).tolist() == [SHALLOW]
    tiff = gray_tiff(6, 1, struct.pack("<6H", *DEEP), t258=16, t279=12)
    assert pixels_of(tiff).tolist() == [SHALLOW]
    wide = gray_tiff(6, 1, struct.pack("<6i", *DEEP), t258=32, t279=24, t339=2)
    assert pixels_of(wide).tolist() == [SHALLOW]
    assert pixels_of(np.array([DEEP], np.uint16)).tolist() == [SHALLOW]
    for mode, kind in (("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4")):
        picture = Image.frombytes(mode, (6, 1), np.array(DEEP, kind).tobytes())
        assert pixels_of(picture).tolist() == [SHALLOW]


def test_sixteen_bit_color_is_scaled_within_one_step() -> None:
    values = np.random.default_rng(3).integers(0, 65_536, 3 * 500).astype(np.uint16)
    content = png(500, 1, b"\0" + values.astype(">u2").tobytes(), bits=16)
    assert np.abs(pixels_of(content).ravel() - values / 257).max() <= 1


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_sixteen_bits_are_divided_by_257_and_rounded(array: NDArray[np.uint16]) -> None:
    assert np.abs(pixels_of(array)[:, :, 0] - array / 257).max() <= 0.5


def test_every_eight_bit_value_survives_sixteen_bits() -> None:
    gray = np.arange(256, dtype=np.uint16)[None]
    assert pixels_of(gray * 257)[0, :, 0].tolist() == list(range(256))


def float_tiff(*values: float) -> bytes:
    pixels = struct.pack(f"<{len(values)}f", *values)
    return gray_tiff(len(values), 1, pixels, t258=32, t279=len(pixels), t339=3)


def test_floats_of_a_file_are_scaled_by_255() -> None:
    # 0.2 · 255 = 51; 0.501 · 255 = 127.755
    assert pixels_of(float_tiff(0, 0.2, 0.501, 1)).tolist() == [one_row(0, 51, 128, 255)]


@pytest.mark.parametrize("value", [1.001, -0.001, 255.0, float("nan"), float("inf"), float("-inf")])
def test_floats_of_a_file_beyond_one_are_refused(value: float) -> None:
    with pytest.raises(InvalidPixels, match="finite and in 0…1"):
        read_image(float_tiff(0.5, value))


@pytest.mark.parametrize("value", [-1, 65_536, 2**31 - 1])
def test_integers_of_a_file_beyond_16_bits_are_refused(value: int) -> None:
    with pytest.raises(InvalidPixels, match="0…65535"):
        read_image(gray_tiff(2, 1, struct.pack("<2i", 5, value), t258=32, t279=8, t339=2))


def test_cmyk_without_a_profile_is_the_plain_formula() -> None:
    # (255 − ink) · (255 − black) / 255: 155 · 205 / 255 = 124.6; 255 · 205 / 255 = 205; 55 · 205 / 255 = 44.2
    inks = [(100, 0, 200, 50), (0, 0, 0, 0), (0, 0, 0, 255)]
    tiff = encoded(Image.frombytes("CMYK", (3, 1), bytes(sum(inks, ()))), "TIFF")
    assert pixels_of(tiff).tolist() == [one_row((125, 205, 44), 255, 0)]


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    inks = np.asarray(face().convert("CMYK"))
    content = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=95, subsampling=0)
    assert np.abs(pixels_of(content).astype(int) - np.asarray(face())).mean() < 2


def test_a_ycck_jpeg_becomes_rgb_by_the_formula_and_the_inversion_of_adobe() -> None:
    # Adobe stores 255 − ink. As Y 100, Cb 118, Cr 158 these are 142, 82, 82 by the JFIF formula: the inks; no black.
    picture = Image.new("CMYK", (16, 16), (255 - 100, 255 - 118, 255 - 158, 0))
    content = encoded(picture, "JPEG", quality=100)
    transform = content.index(b"Adobe") + 11
    assert content[transform] == 0  # CMYK; 2 is YCCK
    ycck = content[:transform] + b"\2" + content[transform + 1 :]
    assert np.abs(pixels_of(ycck).astype(int) - [255 - 142, 255 - 82, 255 - 82]).max() <= 2


def test_ycbcr_becomes_rgb_by_the_jfif_formula() -> None:
    # R = Y + 1.402 (Cr − 128), G = Y − 0.344136 (Cb − 128) − 0.714136 (Cr − 128), B = Y + 1.772 (Cb − 128)
    tiff = encoded(Image.frombytes("YCbCr", (2, 1), bytes([100, 118, 158, 77, 128, 128])), "TIFF")
    expected = one_row((142, 82, 82), 77)  # 142.06; 100 + 3.44 − 21.42 = 82.02; 82.28
    assert np.abs(pixels_of(tiff)[0].astype(int) - expected).max() <= 1


def test_lab_becomes_srgb_by_the_cie_formula() -> None:
    lightness, a, b = 60, 40, -30
    fy = (lightness + 16) / 116
    cubes = np.array([fy + a / 500, fy, fy - b / 200]) ** 3
    xyz = cubes * [0.96422, 1.0, 0.82521]  # white of D50
    to_linear = [  # D50 to linear sRGB, with Bradford's adaptation (Lindbloom)
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.array(to_linear) @ xyz
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    stored = bytes([round(lightness * 255 / 100), a % 256, b % 256])
    tiff = encoded(Image.frombytes("LAB", (1, 1), stored), "TIFF")
    assert np.abs(pixels_of(tiff)[0, 0] - expected).max() <= 2


def test_neutral_lab_is_neutral_gray() -> None:
    picture = Image.frombytes("LAB", (3, 1), bytes([0, 0, 0, 137, 0, 0, 255, 0, 0]))
    row = pixels_of(picture)[0].astype(int)
    # L* 53.7 is 118 of 255: ((53.7 + 16) / 116)³ = 0.217 linear, 0.503 in sRGB
    assert np.abs(row - one_row(0, 128, 255)).max() <= 1


def test_premultiplied_alpha_is_divided_out_first() -> None:
    # 50 at alpha 128 stands for 100; over mid-gray (12,800 + 16,256) / 255 = 113.9
    assert np.abs(pixels_of(Image.frombytes("La", (1, 1), bytes([50, 128]))).astype(int) - 114).max() <= 1
    picture = Image.frombytes("RGBa", (1, 1), bytes([50, 0, 128, 128]))
    assert np.abs(pixels_of(picture)[0, 0].astype(int) - [114, 64, 192]).max() <= 1


def test_a_premultiplied_tiff_is_read_as_such() -> None:
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 2, 273: 0, 277: 4, 278: 1, 279: 4, 338: 1}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    content = tiff_header(tags, pixels=bytes([50, 0, 128, 128]))
    four_of_eight = content.replace(struct.pack("<HHII", 258, 4, 1, 8), struct.pack("<HHIHH", 258, 3, 1, 8, 8))
    with Image.open(io.BytesIO(four_of_eight)) as picture:
        picture.load()
        assert picture.mode in ("RGBA", "RGBa")
    assert np.abs(pixels_of(four_of_eight)[0, 0].astype(int) - [114, 64, 192]).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_a_picture_of_any_mode_shows_the_same_gray_face(mode: str) -> None:
    gray = face().convert("L")
    source = gray.convert(mode) if mode in ("1", "L", "LA", "P", "PA") else gray.convert("RGB").convert(mode)
    read = pixels_of(source).astype(float)
    expected = np.asarray(gray.convert("1").convert("RGB") if mode == "1" else gray.convert("RGB")).astype(float)
    assert np.abs(read - expected).max() <= 1


def primaries_profile(*columns: tuple[float, float, float], gamma: float = 2.2) -> bytes:
    """An ICC profile of version 2 written by hand: the D50 colors of red, green and blue, and one gamma.

    Without colors it is a profile of gray.
    """

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65_536))

    tags: dict[bytes, bytes] = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 7) + b"odd one" + bytes(79)}
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=bool(columns)):
        tags[name] = b"XYZ \0\0\0\0" + b"".join(map(fixed, column))
    for name in (b"rTRC", b"gTRC", b"bTRC") if columns else (b"kTRC",):
        tags[name] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    space = b"RGB " if columns else b"GRAY"
    header = struct.pack(">I4sI4s4s4s", offset + len(data), bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


# Red, green and blue of sRGB as D50 colors (Lindbloom), and those of Display P3 (its profile).
SRGB_RED, SRGB_GREEN, SRGB_BLUE = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)
P3 = (0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)
SWAPPED = primaries_profile(SRGB_BLUE, SRGB_GREEN, SRGB_RED)
DISPLAY_P3 = primaries_profile(*P3)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_profile_with_red_and_blue_swapped_swaps_red_and_blue(kind: str) -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    content = encoded(Image.fromarray(colors), kind, icc_profile=SWAPPED, **LOSSLESS[kind])
    assert np.abs(pixels_of(content).astype(int) - colors[:, :, ::-1]).max() <= 3


@pytest.mark.parametrize("profile", [SWAPPED, DISPLAY_P3], ids=["swapped", "p3"])
@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_a_profile_changes_pixels_the_way_littlecms_does(kind: str, profile: bytes) -> None:
    content = encoded(face(), kind, icc_profile=profile)
    with Image.open(io.BytesIO(content)) as picture:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"))
    assert expected is not None
    read = pixels_of(content)
    np.testing.assert_array_equal(read, np.asarray(expected))
    assert np.abs(read.astype(int) - pixels_of(encoded(face(), kind))).mean() > 1


def test_display_p3_widens_a_color_by_the_formula() -> None:
    stored = np.array([180, 120, 100])
    xyz = np.array(P3).T @ (stored / 255) ** 2.2
    linear = np.linalg.inv(np.array([SRGB_RED, SRGB_GREEN, SRGB_BLUE]).T) @ xyz
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    picture = Image.new("RGB", (1, 1), tuple(stored.tolist()))
    content = encoded(picture, "PNG", icc_profile=DISPLAY_P3)
    assert np.abs(pixels_of(content)[0, 0] - expected).max() <= 2


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(pixels_of(encoded(face(), "PNG", icc_profile=profile)), np.asarray(face()))


# A gray of 128 at gamma 1, which is linear light: 1.055 · (128 / 255) ^ (1 / 2.4) − 0.055 = 0.7370, 187.9 of 255.
# Alpha 51 of it over mid-gray: a fifth of 188 and four fifths of 128 are 140.
def test_a_gray_profile_is_used_with_and_without_alpha_and_at_sixteen_bits() -> None:
    linear = primaries_profile(gamma=1.0)
    plain = encoded(Image.new("L", (1, 1), 128), "PNG", icc_profile=linear)
    assert np.abs(pixels_of(plain).astype(int) - 188).max() <= 1
    clear = encoded(Image.new("LA", (2, 1), (128, 255)), "PNG", icc_profile=linear)
    assert np.abs(pixels_of(clear).astype(int) - 188).max() <= 1
    faint = encoded(Image.new("LA", (1, 1), (128, 51)), "PNG", icc_profile=linear)
    assert np.abs(pixels_of(faint).astype(int) - 140).max() <= 1
    deep = encoded(Image.fromarray(np.array([[128 * 257]], np.uint16)), "PNG", icc_profile=linear)
    assert np.abs(pixels_of(deep).astype(int) - 188).max() <= 1


@pytest.mark.parametrize("broken", [b"no profile", SWAPPED[:150], bytes(500)], ids=["text", "cut", "zeros"])
@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_a_broken_profile_is_ignored(kind: str, broken: bytes) -> None:
    np.testing.assert_array_equal(
        pixels_of(encoded(face(), kind, icc_profile=broken)), pixels_of(encoded(face(), kind))
    )


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_another_kind_of_pixels_is_ignored(mode: str) -> None:
    picture = face().convert(mode)
    with_profile = encoded(picture, "TIFF", icc_profile=SWAPPED)
    np.testing.assert_array_equal(pixels_of(with_profile), pixels_of(encoded(picture, "TIFF")))


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    first = Image.fromarray(small_scene())
    content = encoded(first, kind, save_all=True, append_images=[first.rotate(180)], **LOSSLESS[kind])
    with Image.open(io.BytesIO(content)) as picture:
        assert getattr(picture, "n_frames", 1) == 2
    np.testing.assert_array_equal(pixels_of(content), small_scene())


def test_of_a_stereo_photo_the_first_is_read_as_a_jpeg() -> None:
    content = encoded(face(), "MPO", save_all=True, append_images=[face().rotate(180)])
    photo = read_image(content)
    assert photo.format == "JPEG"
    assert np.abs(photo.pixels.astype(int) - np.asarray(face())).mean() < 5


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_a_color_array_is_taken_as_it_is(array: Bytes) -> None:
    kept = array.copy()
    photo = read_image(array)
    np.testing.assert_array_equal(photo.pixels, kept)
    np.testing.assert_array_equal(array, kept)
    assert not np.shares_memory(photo.pixels, array)
    assert photo.format == "array"


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([3, 4]))))
def test_bgr_is_rgb_read_backwards(array: Bytes) -> None:
    backwards = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    assert read_image(backwards, color="bgr").sha256 == read_image(array).sha256


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4))))
def test_an_array_with_alpha_follows_the_formula(array: Bytes) -> None:
    alpha = array[:, :, 3:].astype(float) / 255
    expected = array[:, :, :3] * alpha + 128 * (1 - alpha)
    assert np.abs(pixels_of(array) - expected).max() <= 0.501


def test_an_array_with_alpha_and_its_png_agree_for_every_value_and_alpha() -> None:
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    array = np.stack([value, 255 - value, value // 2, alpha], axis=2).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(array), pixels_of(encoded(Image.fromarray(array), "PNG")))


def test_sixteen_bit_arrays_are_scaled_in_every_shape() -> None:
    assert pixels_of(np.array([[[0, 32_768, 65_535]]], np.uint16)).tolist() == [[[0, 128, 255]]]
    with_alpha = np.array([[[0, 65_535, 51_400, 32_896]]], np.uint16)  # 257 times (0, 255, 200, 128)
    assert pixels_of(with_alpha).tolist() == [[[64, 192, 164]]]


def test_strides_do_not_matter() -> None:
    scene = small_scene(6, 8)
    for view in (scene[::-1], scene[:, ::-1], scene[::2, ::3], scene.swapaxes(0, 1), np.asfortranarray(scene)):
        assert not view.flags.c_contiguous
        photo = read_image(view)
        np.testing.assert_array_equal(photo.pixels, view)
        assert photo.pixels.flags.c_contiguous
        assert photo.sha256 == read_image(view.copy()).sha256


def test_subclasses_of_arrays_are_read_as_their_values() -> None:
    matrix: Any = np.ma.masked_array(small_scene()[:, :, 0], mask=False)
    assert pixels_of(matrix)[:, :, 1].tolist() == small_scene()[:, :, 0].tolist()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 64, 48), np.uint8), "channels last"),
        (np.zeros((1, 64, 48), np.uint8), "channels last"),
        (np.zeros((64, 48, 1), np.uint8), "got (64, 48, 1)"),
        (np.zeros((64, 48, 5), np.uint8), "got (64, 48, 5)"),
        (np.zeros((2, 64, 48, 3), np.uint8), "got (2, 64, 48, 3)"),
        (np.zeros(64, np.uint8), "got (64,)"),
        (np.zeros((), np.uint8), "got ()"),
        (np.zeros((0, 48, 3), np.uint8), "no pixels"),
        (np.zeros((64, 0, 3), np.uint8), "no pixels"),
        (np.zeros((0, 0), np.uint8), "no pixels"),
        (np.zeros((4, 4, 3), np.float32), "got float32"),
        (np.full((4, 4, 3), 0.5), "(x * 255).round()"),
        (np.full((4, 4, 3), np.nan), "got float64"),
        (np.full((4, 4), np.inf), "got float64"),
        (np.zeros((4, 4, 3), np.float16), "got float16"),
        (np.zeros((4, 4, 3), np.int64), "got int64"),
        (np.zeros((4, 4, 3), np.int8), "got int8"),
        (np.zeros((4, 4, 3), np.uint32), "got uint32"),
        (np.zeros((4, 4, 3), bool), "got bool"),
        (np.zeros((4, 4, 3), object), "got object"),
        (np.zeros((4, 4, 3), np.complex64), "got complex64"),
        (np.full((4, 4), "a"), "got <U1"),
        (np.zeros((4, 4), [("r", np.uint8), ("g", np.uint8)]), "must be uint8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_array_without_a_documented_meaning_is_refused(array: NDArray[Any], words: str) -> None:
    with pytest.raises(InvalidPixels) as caught:
        read_image(array)
    assert words in caught.value.message
    assert caught.value.code == "invalid_pixels"


@pytest.mark.parametrize("color", ["gbr", "RGB", "", None, 3])
def test_an_unknown_order_of_colors_is_an_error(color: Any) -> None:
    with pytest.raises(InvalidArgument, match="color must be 'rgb' or 'bgr'"):
        read_image(small_scene(), color=color)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_hand_over_a_file_gives_the_same_photo(kind: str, tmp_path: Path) -> None:
    content = encoded(face(), kind)
    path = tmp_path / "face.of.mine"
    path.write_bytes(content)
    expected = read_image(path)
    assert expected.format == kind
    assert expected.name == "face.of.mine"
    sources: list[images.ImageSource] = [
        str(path),
        content,
        bytearray(content),
        memoryview(content),
        io.BytesIO(content),
    ]
    with path.open("rb") as file, path.open("rb", buffering=0) as raw, os.scandir(tmp_path) as entries:
        for source in [*sources, file, raw, *entries]:
            photo = read_image(source)
            np.testing.assert_array_equal(photo.pixels, expected.pixels)
            assert (photo.sha256, photo.format) == (expected.sha256, kind)
    with Image.open(path) as picture:
        opened = read_image(picture)
    np.testing.assert_array_equal(opened.pixels, expected.pixels)
    assert opened.format == "picture"
    np.testing.assert_array_equal(pixels_of(expected.pixels), expected.pixels)


def test_a_path_may_hold_bytes(tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(encoded(face(), "PNG"))
    with os.scandir(os.fsencode(tmp_path)) as entries:
        (entry,) = entries
    source: Any = entry
    assert read_image(source).name == "face.png"


def test_the_color_order_speaks_of_arrays_only() -> None:
    content = encoded(face(), "PNG")
    np.testing.assert_array_equal(pixels_of(content, color="bgr"), pixels_of(content))


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for kind in KINDS:
        content = encoded(face(), kind) + b"trailing"
        (tmp_path / kind).write_bytes(content)
        assert read_image(tmp_path / kind).sha256 == hashlib.sha256(content).hexdigest()


def test_the_hash_of_an_array_knows_its_shape_and_its_pixels() -> None:
    black = np.zeros((4, 6, 3), np.uint8)
    changed = black.copy()
    changed[3, 5, 2] = 1
    hashes = {read_image(array).sha256 for array in (black, black.swapaxes(0, 1), black[:2], changed)}
    assert len(hashes) == 4
    assert read_image(black).sha256 == read_image(black[:, :, 0]).sha256 == read_image(Image.new("RGB", (6, 4))).sha256


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LAB", "I;16", "F"])
def test_a_picture_handed_over_is_not_changed(mode: str) -> None:
    picture = Image.new(mode, (4, 4), None) if mode != "RGBA" else Image.new(mode, (4, 4), (1, 2, 3, 128))
    picture.info |= {"icc_profile": SWAPPED, "exif": exif(6).tobytes()}
    before = picture.tobytes(), picture.mode, picture.size, dict(picture.info)
    read_image(picture)
    assert (picture.tobytes(), picture.mode, picture.size, picture.info) == before


def test_a_picture_is_turned_by_its_exif_data() -> None:
    with Image.open(io.BytesIO(turned_file(small_scene(), 6, "PNG"))) as picture:
        np.testing.assert_array_equal(pixels_of(picture), small_scene())
        assert picture.size == (5, 7)


def test_photos_are_read_only() -> None:
    for source in (encoded(face(), "PNG"), small_scene(), face()):
        photo = read_image(source)
        with pytest.raises(ValueError, match="read-only"):
            photo.pixels[0, 0, 0] = 1


def test_a_cut_or_closed_picture_is_refused() -> None:
    content = encoded(face(), "PNG")
    with Image.open(io.BytesIO(content[: len(content) // 2])) as cut, pytest.raises(CorruptImage):
        read_image(cut)
    closed = Image.open(io.BytesIO(content))
    closed.close()
    with pytest.raises(InputRefused):
        read_image(closed)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidPixels, match="no pixels: 0 × 5"):
        read_image(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("source", [None, 7, 0.5, object(), [[0, 1]], {"path": "a.jpg"}, Path])
def test_what_is_no_source_of_an_image_is_an_invalid_argument(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="cannot read an image from"):
        read_image(source)


def test_a_file_opened_as_text_is_an_invalid_argument(tmp_path: Path) -> None:
    text: Any = io.StringIO("not bytes")
    with pytest.raises(InvalidArgument, match="binary mode"):
        read_image(text)
    path = tmp_path / "face.jpg"
    path.write_bytes(encoded(face(), "JPEG"))
    for encoding in ("utf-8", "latin-1"):
        with path.open(encoding=encoding) as file:
            opened: Any = file
            with pytest.raises(InvalidArgument, match="binary mode"):
                read_image(opened)


def test_a_file_that_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    closed = io.BytesIO(b"abc")
    closed.close()
    with pytest.raises(InvalidArgument, match="closed"):
        read_image(closed)
    with (tmp_path / "new").open("wb") as file, pytest.raises(UnreadableSource, match="reading"):
        read_image(file)


@pytest.mark.parametrize("name", ["missing.jpg", "", "no\0name", "x" * 400])
def test_a_path_without_a_file_is_an_unreadable_source(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource) as caught:
        read_image(tmp_path / name)
    assert str(caught.value.details["path"]).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"GIF89a....", "GIF"),
        (b"%PDF-1.4", "PDF"),
        (b"%!PS-Adobe", "EPS"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC or another ISO media file"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"PK\x03\x04", "ZIP"),
        (b"", None),
        (b"hello", None),
    ],
)
def test_an_unsupported_format_is_named_where_it_is_known(content: bytes, found: str | None) -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        read_image(content)
    assert caught.value.details == {"found": found, "formats": KINDS}
    assert (found or ("empty" if not content else "not an image known here")) in caught.value.message


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("decoded before the size was checked")

    monkeypatch.setattr(images, "_upright_rgb", forbidden)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", forbidden)


@pytest.mark.usefixtures("no_decoding")
def test_size_is_refused_before_decoding() -> None:
    too_many, too_wide = png(8_000, 7_000, b""), png(20_001, 1, b"")
    beyond_pillow = png(60_000, 60_000, b"")
    for content in (too_many, too_wide, beyond_pillow):
        with pytest.raises(ImageTooLarge):
            read_image(content)
    with pytest.raises(ImageTooLarge) as caught:
        read_image(too_many)
    assert caught.value.details == {"width": 8_000, "height": 7_000, "max_pixels": 50_000_000}
    with pytest.raises(ImageTooLarge):
        read_image(Image.new("1", (20_001, 1)))


def test_a_large_array_is_refused_before_it_is_copied() -> None:
    endless = np.broadcast_to(np.zeros(3, np.uint8), (30_000, 30_000, 3))  # of three bytes
    with pytest.raises(ImageTooLarge):
        read_image(endless)


@given(width=st.integers(1, 12), height=st.integers(1, 12), limit=st.integers(1, 144))
def test_exactly_max_pixels_are_admitted(width: int, height: int, limit: int) -> None:
    picture = Image.new("RGB", (width, height))
    sources: list[images.ImageSource] = [encoded(picture, "BMP"), picture, np.asarray(picture)]
    for source in sources:
        if width * height <= limit:
            assert read_image(source, max_pixels=limit).size == (width, height)
        else:
            with pytest.raises(ImageTooLarge):
                read_image(source, max_pixels=limit)


def test_a_side_of_twenty_thousand_is_admitted() -> None:
    assert read_image(png(20_000, 1, bytes(2_501), bits=1, color=0)).size == (20_000, 1)


def test_the_bytes_of_a_file_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = encoded(face(), "PNG")
    (tmp_path / "face.png").write_bytes(content)
    monkeypatch.setattr(images, "MAX_BYTES", len(content))
    assert read_image(tmp_path / "face.png").size == (300, 300)
    monkeypatch.setattr(images, "MAX_BYTES", len(content) - 1)
    for source in (tmp_path / "face.png", io.BytesIO(content)):
        with pytest.raises(ImageTooLarge, match="more than"):
            read_image(source)


def test_a_stream_without_end_is_read_no_further_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= 1_001
            return bytes(size)

    monkeypatch.setattr(images, "MAX_BYTES", 1_000)
    stream: Any = Endless()
    with pytest.raises(ImageTooLarge):
        read_image(stream)


def test_reading_leaves_pillows_limit_and_the_warning_filters_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    read_image(png(9_500, 9_500, (b"\0" + bytes(1_188)) * 9_500, bits=1, color=0), max_pixels=100_000_000)
    after = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    assert after == before


class _Drop(io.RawIOBase):
    """A raw stream that gives at most seven bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._rest = self._rest[: min(7, len(buffer))], self._rest[min(7, len(buffer)) :]
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_stream_that_gives_less_than_asked_for_is_read_to_its_end() -> None:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 20, 30)).save(content, "PNG")
    with _Drop(content.getvalue()) as stream:
        assert read_image(stream).sha256 == read_image(content.getvalue()).sha256  # type: ignore[arg-type]
