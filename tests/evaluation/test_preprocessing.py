"""The ways in which crops are made and fed, against what is published and against sums done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lint_toy import card_for, write_network

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.embedders import OnnxEmbedder
from xcos.errors import InvalidCard
from xcos.evaluation.preprocessing import ASPECTS, PixelRange, alternatives, declared, templates_for
from xcos.types import CropTemplate
from xcos.weights import WeightCard

# The points of the 96 × 112 crop as SphereFace and, later, InsightFace publish them.
PUBLISHED_96 = np.array(
    [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
)
COLUMNS_96 = CropTemplate("columns", 96, 112, PUBLISHED_96)


def card(**changes: object) -> WeightCard:
    fields = {"template": ARCFACE_112, "color": "rgb", "mean": (1.0, 2.0, 3.0), "scale": 0.5, **changes}
    return WeightCard(name="any", sha256="0" * 64, licence="none", source="none", training_data="none", **fields)  # type: ignore[arg-type]


def named(templates: list[CropTemplate]) -> dict[str, CropTemplate]:
    return {each.name: each for each in templates}


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_card_comes_back_from_its_setting(color: str) -> None:
    given = card(color=color)
    assert declared(given).card(given) == given


def test_each_colour_keeps_its_mean_when_the_order_changes() -> None:
    given = card(mean=(10.0, 20.0, 30.0))
    (other,) = alternatives(declared(given), ["color"])
    changed = other.setting.card(given)
    assert (changed.color, changed.mean) == ("bgr", (30.0, 20.0, 10.0))


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_means_of_imagenet_are_those_of_red_green_and_blue_in_the_networks_order(color: str) -> None:
    given = card(color=color)
    means = [each.setting.card(given).mean for each in alternatives(declared(given), ["range"])]
    red, green, blue = 123.675, 116.28, 103.53
    assert ((red, green, blue) if color == "rgb" else (blue, green, red)) in means


def test_every_alternative_changes_one_aspect_and_leaves_the_others() -> None:
    start = declared(card())
    for each in alternatives(start):
        told = {aspect: each.setting.told(aspect) == start.told(aspect) for aspect in ASPECTS}
        assert told == {aspect: aspect != each.aspect for aspect in ASPECTS}


def test_the_declared_range_and_crop_are_no_alternatives_of_themselves() -> None:
    start = declared(card(mean=(127.5,) * 3, scale=0.0078125))
    assert [each.told for each in alternatives(start, ["range"])] == [
        "(x − 127.5) / 127.5",
        "x",
        "x / 255",
        "(x − (123.675, 116.28, 103.53)) / 57.63",
    ]
    assert not any(np.abs(each.points - ARCFACE_112.points).max() < 0.25 for each in templates_for(ARCFACE_112))


def test_eight_columns_aside_are_the_published_points_of_the_other_width() -> None:
    left = named(templates_for(ARCFACE_112))["arcface_112 in 112 × 112, 8 columns to the left"]
    np.testing.assert_allclose(left.points, PUBLISHED_96, atol=1e-9)
    right = named(templates_for(COLUMNS_96))["arcface_112 in 96 × 112, 8 columns to the right"]
    np.testing.assert_allclose(right.points, ARCFACE_112.points, atol=1e-9)


def test_fitted_to_the_height_of_96_columns_are_the_published_points() -> None:
    other = CropTemplate("other", 96, 112, PUBLISHED_96 + 5)
    fitted = named(templates_for(other))["arcface_112 in 96 × 112"]
    np.testing.assert_allclose(fitted.points, PUBLISHED_96, atol=1e-9)


def test_a_crop_twice_as_large_has_its_points_at_the_same_places_of_the_picture() -> None:
    fitted = named(templates_for(CropTemplate("other", 224, 224, ARCFACE_112.points)))["arcface_112 in 224 × 224"]
    # the middle of pixel k of 112 is that between pixels 2k and 2k + 1 of 224
    np.testing.assert_allclose(fitted.points, 2 * ARCFACE_112.points + 0.5, atol=1e-9)


def test_published_templates_of_the_networks_own_size_go_by_their_names() -> None:
    assert ARCFACE_112 in templates_for(CropTemplate("other", 112, 112, ARCFACE_112.points + 5))
    assert DLIB_150 in templates_for(CropTemplate("other", 150, 150, ARCFACE_112.points))


def test_tighter_and_looser_crops_show_the_face_five_per_cent_larger_and_smaller_about_the_middle() -> None:
    offered = named(templates_for(ARCFACE_112))
    for name, factor in (("tighter", 1.05), ("looser", 0.95)):
        points = offered[f"arcface_112, 5 % {name}"].points
        np.testing.assert_allclose(points - 55.5, factor * (ARCFACE_112.points - 55.5), atol=1e-9)


@pytest.mark.parametrize(
    ("mean", "scale", "told"),
    [
        ((0.0, 0.0, 0.0), 1.0, "x"),
        ((0.0, 0.0, 0.0), 1 / 255, "x / 255"),
        ((127.5, 127.5, 127.5), 1 / 128, "(x − 127.5) / 128"),
        ((127.5, 127.5, 127.5), 1.0, "(x − 127.5)"),
        ((1.0, 2.0, 3.0), 2.0, "(x − (1, 2, 3)) · 2"),
    ],
)
def test_a_range_in_words(mean: tuple[float, float, float], scale: float, told: str) -> None:
    assert str(PixelRange(mean, scale)) == told


def test_one_opened_network_is_fed_as_other_cards_say(tmp_path: Path) -> None:
    path = write_network(tmp_path / "toy.onnx")
    right, other = card_for(path), card_for(path, color="bgr", scale=0.005)
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    network = OnnxEmbedder(path, right)
    fed = network.with_card(other)
    opened = OnnxEmbedder(path, other)
    np.testing.assert_array_equal(fed.embed(crops).vectors, opened.embed(crops).vectors)
    assert (fed.model, fed.card) == (opened.model, other)
    assert network.model == OnnxEmbedder(path, right).model != fed.model
    np.testing.assert_array_equal(network.embed(crops).vectors, OnnxEmbedder(path, right).embed(crops).vectors)


def test_an_opened_network_takes_no_card_of_another_file_or_size(tmp_path: Path) -> None:
    path = write_network(tmp_path / "toy.onnx")
    network = OnnxEmbedder(path, card_for(path))
    for wrong in (card_for(path, sha256="1" * 64), card_for(path, template=COLUMNS_96)):
        with pytest.raises(InvalidCard, match="open the network anew"):
            network.with_card(wrong)
