"""Outlines in the landmarks' frame: where they lie in a crop, that they divide it, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from explainers.cell_toys import POINTS, SIDE, toy_face
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.errors import InvalidArgument
from xcos.explainers.explanation import on_crop
from xcos.explainers.semantic.regions import (
    GRANULARITIES,
    SURROUNDINGS,
    Ellipse,
    FaceRegion,
    Granularity,
    Polygon,
    RegionSet,
    built_in,
    in_frame,
    read_regions,
)
from xcos.types import CropTemplate, Reals

BLANK = np.zeros((SIDE, SIDE, 3), np.uint8)
COUNTS: dict[Granularity, int] = {"coarse": 4, "medium": 8, "fine": 14}


def square(name: str, left: float, top: float, right: float, bottom: float) -> FaceRegion:
    return FaceRegion(name, (Polygon(np.array([[left, top], [right, top], [right, bottom], [left, bottom]])),))


def mirrored(shape: Polygon | Ellipse) -> Polygon | Ellipse:
    if isinstance(shape, Polygon):
        return Polygon(shape.corners * (-1, 1))
    return Ellipse((-shape.center[0], shape.center[1]), shape.radii)


@pytest.mark.parametrize("template", [DLIB_150, ARCFACE_112])
def test_the_frame_has_the_eyes_at_a_half_and_the_mouth_at_one(template: CropTemplate) -> None:
    placed = in_frame(template.points, template.points)
    np.testing.assert_allclose(placed[:2], [[-0.5, 0], [0.5, 0]], atol=1e-9)
    np.testing.assert_allclose(placed[3:].mean(axis=0), [0, 1], atol=1e-9)


def test_a_square_of_the_toy_face_is_the_pixels_counted_by_hand() -> None:
    """Eyes 20 px apart about (28, 20), mouth 20 px below: the frame's unit is 20 px both ways."""
    mask = RegionSet("one", (square("nose", -0.26, 0.24, 0.26, 0.76),)).masks(toy_face(BLANK))[0]
    rows, cols = np.nonzero(mask)
    assert (cols.min(), cols.max(), rows.min(), rows.max()) == (23, 33, 25, 35)
    assert mask.sum() == 11 * 11


def test_an_ellipse_has_its_area_and_its_rim() -> None:
    mask = RegionSet("one", (FaceRegion("nose", (Ellipse((0.0, 0.5), (0.5, 0.25)),)),)).masks(toy_face(BLANK))[0]
    assert mask.sum() == pytest.approx(math.pi * 10 * 5, rel=0.05)
    assert mask[30, 18]
    assert mask[30, 38]
    assert not mask[30, 17]
    assert mask[25, 28]
    assert not mask[24, 28]


@given(st.lists(st.tuples(st.integers(2, 53), st.integers(2, 53)), min_size=3, max_size=7, unique=True))
def test_polygons_are_those_that_pillow_draws_but_for_their_outline(corners: list[tuple[int, int]]) -> None:
    canvas, rim = Image.new("1", (SIDE, SIDE)), Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    ImageDraw.Draw(rim).line([*corners, corners[0]], fill=1, width=3)
    places = in_frame(POINTS, np.array(corners, np.float64))
    mask = RegionSet("one", (FaceRegion("nose", (Polygon(places),)),)).masks(toy_face(BLANK))[0]
    away = ~np.asarray(rim)
    # Pillow fills by the even-odd rule too, but joins where outlines cross
    assert ((mask != np.asarray(canvas)) & away).sum() <= 2


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_the_built_in_regions_divide_the_crop_and_mirror_each_other(granularity: Granularity) -> None:
    regions = built_in(granularity)
    assert len(regions.regions) == COUNTS[granularity]
    masks = regions.masks(toy_face(BLANK))
    np.testing.assert_array_equal(masks.sum(axis=0), 1)
    assert masks.any(axis=(1, 2)).all()
    by_name = {region.name: region for region in regions.regions}
    for name, region in by_name.items():
        other = by_name[name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")]
        outlines = {_key(shape) for shape in other.shapes}
        assert {_key(mirrored(shape)) for shape in region.shapes} == outlines, name


def _key(shape: Polygon | Ellipse) -> tuple[object, ...]:
    """Equal for outlines with the same corners, wherever they begin and whichever way they run."""
    if isinstance(shape, Ellipse):
        return (round(shape.center[0] + 0.0, 6) + 0.0, shape.center[1], *shape.radii)
    return tuple(sorted((round(float(x), 6) + 0.0, round(float(y), 6)) for x, y in shape.corners))


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_landmarks_lie_in_the_regions_that_have_their_names(granularity: Granularity) -> None:
    masks = dict(zip(built_in(granularity).names, built_in(granularity).masks(toy_face(BLANK)), strict=True))
    named = {
        "coarse": ["eyes", "eyes", "nose", "mouth", "mouth"],
        "medium": ["eyes", "eyes", "nose", "mouth", "mouth"],
        "fine": ["left eye", "right eye", "nose tip", "lower lip", "lower lip"],
    }
    for (x, y), name in zip(POINTS.astype(int), named[granularity], strict=True):
        assert masks[name][y, x], name


def test_regions_turn_with_the_landmarks() -> None:
    """A quarter turn of the face is a quarter turn of the masks."""
    middle = (SIDE - 1) / 2
    turned = (POINTS - middle) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + middle  # (x, y) → (−y, x)
    upright = built_in("fine").masks(toy_face(BLANK))
    leaning = built_in("fine").masks(toy_face(BLANK, turned))
    differ = np.rot90(upright, -1, axes=(1, 2)) != leaning
    assert differ.sum() < 0.01 * differ.size  # pixels whose centres lie on a border


def test_the_first_region_has_the_pixels_that_two_share_and_the_surroundings_the_rest() -> None:
    regions = RegionSet("two", (square("nose", -0.5, 0, 0.5, 1), square("eyes", -1, -0.5, 1, 0.5)))
    nose, eyes, rest = regions.masks(toy_face(BLANK))
    assert not (nose & eyes).any()
    assert nose.sum() == 20 * 20
    assert regions.names == ("nose", "eyes", SURROUNDINGS)
    np.testing.assert_array_equal(rest, ~(nose | eyes))


@pytest.mark.parametrize("shape", [(7, 7), (5, 3), (1, 1), (56, 56), (9, 11)])
def test_shares_of_a_cell_are_the_means_of_the_masks_over_its_pixels(shape: tuple[int, int]) -> None:
    face = toy_face(BLANK)
    shares, masks = built_in("fine").shares(face, shape), built_in("fine").masks(face)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    labels = on_crop(np.arange(shape[0] * shape[1]).reshape(shape).astype(float), SIDE, SIDE)
    for at, mask in enumerate(masks):
        expected = [mask[labels == cell].mean() for cell in range(shape[0] * shape[1])]
        np.testing.assert_allclose(shares[at].ravel(), expected)


def test_a_users_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\n[[region]]\nname = "left eye"\nellipses = [{ center = [-0.5, 0], radii = [0.3, 0.2] }]\n'
        '[[region]]\nname = "chin"\npolygons = [[[-0.4, 1.4], [0.4, 1.4], [0.0, 1.9]]]\n'
    )
    regions = read_regions(path)
    eye, chin = regions.regions
    assert regions.name == "mine"
    assert eye.shapes == (Ellipse((-0.5, 0.0), (0.3, 0.2)),)
    assert isinstance(chin.shapes[0], Polygon)
    np.testing.assert_array_equal(chin.shapes[0].corners, [[-0.4, 1.4], [0.4, 1.4], [0.0, 1.9]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = ", "cannot read"),
        ('name = "a"', "needs regions"),
        ("[[region]]\nname = 'eye'", "needs a name and"),
        ('name = "a"\ncolor = 1', "color"),
        ('name = "a"\nregion = 1', "needs a name and"),
        ('name = "a"\nregion = [1]', "region 1 needs a name"),
        ('name = "a"\n[[region]]\nname = "eye"', "no outline"),
        ('name = "a"\n[[region]]\nname = "eye"\ncircles = []', "circles"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = [[[0, 0], [1, 1]]]', "at least 3"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = [[[0, 0], [1, 1], [1]]]', r"\[across, down\]"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = [1]', "must be a list"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = 1', "eye"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = [[[0, 0], [1, true], [1, 1]]]', r"\[across, down\]"),
        ('name = "a"\n[[region]]\nname = "eye"\npolygons = [[[0, 0], [1, nan], [1, 1]]]', "at least 3"),
        ('name = "a"\n[[region]]\nname = "eye"\nellipses = [{ center = [0, 0] }]', "radii"),
        ('name = "a"\n[[region]]\nname = "eye"\nellipses = [{ center = [0, 0], radii = [0, 1] }]', "above 0"),
        ('name = "a"\n[[region]]\nname = "Left eye"\nellipses = [{ center = [0, 0], radii = [1, 1] }]', "lower-case"),
        (
            'name = "a"\n[[region]]\nname = "surroundings"\nellipses = [{ center = [0, 0], radii = [1, 1] }]',
            "otherwise",
        ),
        ('name = "a"\n[[region]]\nname = "the most"\nellipses = [{ center = [0, 0], radii = [1, 1] }]', "otherwise"),
        ('name = "a"' + 2 * '\n[[region]]\nname = "eye"\nellipses = [{ center = [0, 0], radii = [1, 1] }]', "own"),
    ],
)
def test_a_wrong_file_is_refused_and_says_where(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InvalidArgument, match=said):
        read_regions(path)


def test_a_missing_file_an_unknown_granularity_and_a_flat_face_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read"):
        read_regions(tmp_path / "none.toml")
    unknown: Granularity = "tiny"  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="granularity"):
        built_in(unknown)
    flat: Reals = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 0.0], [2.0, 0.0], [8.0, 0.0]])
    with pytest.raises(InvalidArgument, match="span no frame"):
        in_frame(flat, flat)
