"""The picture of an explanation: its words fit, its signs can be told without colour."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from explainers.toys import SIDE, noise, white
from PIL import ImageDraw

from xcos.explainers.about import METHODS
from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.explainers.picture import PANEL, TOP, explanation_picture
from xcos.explainers.transport import CellFlow
from xcos.types import Pixels, Reals


@dataclass(frozen=True)
class Words:
    text: str
    box: tuple[float, float, float, float]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """All that Pillow is asked to write, in order."""
    found: list[Words] = []
    text = ImageDraw.ImageDraw.text

    def spy(self: ImageDraw.ImageDraw, xy: Any, words: str, *, fill: Any, font: Any, anchor: str) -> None:
        found.append(Words(words, self.textbbox(xy, words, font=font, anchor=anchor)))
        text(self, xy, words, fill=fill, font=font, anchor=anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return found


def explanation(probe: Reals, reference: Reals | None = None, method: str = "corrrise") -> Explanation:
    other = probe if reference is None else reference
    settings: dict[str, Setting] = {
        "masks": 1000,
        "family": "squares",
        "side": 0.26785714285714285,
        "fill": "black",
        "seed": 0,
    }
    return Explanation(method, probe, other, 0.71234567, Cost(2002, 4), settings)


def halves() -> Reals:
    """Left for, right against."""
    values = np.zeros((SIDE, SIDE))
    values[:, : SIDE // 2 - 2], values[:, SIDE // 2 + 2 :] = 1, -1
    return values


def picture(found: Explanation, **options: Any) -> Pixels:
    return explanation_picture(found, white(), noise(0), matcher="some network/abc · trust", **options)


def panel(pixels: Pixels, index: int = 0) -> Reals:
    """Gray values of one of the four panels at scale 2."""
    left, top, size = round(2 * (28 + index * 286)), round(2 * TOP), round(2 * PANEL)
    return np.asarray(pixels[top : top + size, left : left + size].astype(float) @ [0.299, 0.587, 0.114])


def test_score_cost_method_settings_and_caveat_stand_in_it(drawn: list[Words]) -> None:
    picture(explanation(halves()))
    everything = " ".join(words.text for words in drawn)
    for said in ("CorrRISE", "method corrrise", "score 0.7123", "2,002 passes forward", "4 backward", "side 0.268"):
        assert said in everything
    assert METHODS["corrrise"].caveat in everything
    assert "some network/abc" in everything
    assert "?" not in everything, "a character that cannot be drawn"


SHAPES = {
    "both signs": halves(),
    "none below zero": np.abs(halves()) + 0.5,
    "nothing": np.zeros((SIDE, SIDE)),
    "uniform": np.ones((SIDE, SIDE)),
    "nearly uniform": np.ones((SIDE, SIDE)) - 1e-3 * np.eye(SIDE),
    "all against": -np.ones((SIDE, SIDE)),
    "tiny": 1e-9 * halves(),
    "huge": 1e9 * halves(),
}


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("method", ["norm", "dise", "somebody's method"])
def test_no_words_leave_the_picture_or_cover_others(values: Reals, method: str, drawn: list[Words]) -> None:
    found = replace(explanation(values, method=method), settings={f"option_{n}": "value" * 3 for n in range(12)})
    height, width, _ = picture(found).shape
    for words in drawn:
        left, top, right, bottom = words.box
        assert left >= 0, words
        assert top >= 0, words
        assert right <= width, words
        assert bottom <= height, words
    for one, other in itertools.combinations(drawn, 2):
        across = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
        down = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
        assert across <= 1 or down <= 1, (one.text, other.text)


@pytest.mark.parametrize("values", [halves(), np.abs(halves())], ids=["both signs", "none below zero"])
def test_sentences_and_a_table_stand_below_the_maps_and_cover_nothing(values: Reals, drawn: list[Words]) -> None:
    sentences = ["Hiding the left cheek in both photos lowers the score most, by 0.0325." * 3, "Short."]
    table = [["region hidden", *(f"head {n}" for n in range(6))]] + [
        [f"region {n}", *["-0.1234"] * 6] for n in range(15)
    ]
    pixels = picture(explanation(values), sentences=sentences, table=table)
    written = [words.text for words in drawn]
    assert "Short." in written
    assert written.count("-0.1234") == 90
    assert max(words.box[3] for words in drawn) <= pixels.shape[0]
    for one, other in itertools.combinations(drawn, 2):
        across = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
        down = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
        assert across <= 1 or down <= 1, (one.text, other.text)


def test_hidden_crops_stand_in_the_middle_and_are_called_so(drawn: list[Words]) -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels = picture(explanation(halves()), hidden=(black, black))
    assert {"Probe, cells hidden", "Reference, cells hidden"} <= {words.text for words in drawn}
    assert panel(pixels, 1).max() == panel(pixels, 2).max() == 0
    assert panel(pixels, 0).max() > 100, "the map lies over the untouched crop"


def test_what_goes_up_and_down_by_the_pixel_is_drawn_smoothed_and_said_so(drawn: list[Words]) -> None:
    """One lonely pixel: it is as high as its share of a Gaussian, and the scale tells that."""
    values = np.zeros((100, 100))
    values[50, 50] = 1
    picture(explanation(values))
    assert any("drawn smoothed by 1% of the side" in words.text for words in drawn)
    peak = 1 / np.exp(-(np.arange(-4.0, 5) ** 2) / 2).sum() ** 2  # sigma is one pixel
    assert any(words.text == f"for one person {peak:+.3g}" for words in drawn)


def test_against_is_hatched_and_for_is_not_even_in_gray() -> None:
    """Inside of each half, away from outlines: light diagonals make gray values vary, plain colour does not."""
    gray = panel(picture(explanation(halves())))
    size = len(gray)
    inside = slice(size // 6, size // 3), slice(size // 6, size // 3)
    right = slice(size // 6, size // 3), slice(2 * size // 3, 5 * size // 6)
    assert gray[inside].std() < 1
    assert gray[right].std() > 10


def test_outlines_stand_at_half_of_the_largest_value_solid_for_and_dashed_against() -> None:
    gray = panel(picture(explanation(halves())))
    rows = slice(len(gray) // 6, 5 * len(gray) // 6)
    middle = len(gray) // 2
    reach = round(len(gray) * 3 / SIDE)
    dark = gray[rows] < 40  # ink
    solid, dashed = dark[:, middle - reach : middle], dark[:, middle : middle + reach]
    assert solid.any(axis=1).all()
    assert dashed.sum() == pytest.approx(solid.sum() / 2, rel=0.15)


def test_a_map_of_zeros_shows_the_gray_crop_alone() -> None:
    gray = panel(picture(explanation(np.zeros((SIDE, SIDE)))))
    assert (gray > 254).all()


def test_the_crops_stand_beside_their_maps_unchanged() -> None:
    pixels = picture(explanation(halves()))
    assert (panel(pixels, 1) > 254).all()  # the probe is white
    reference = panel(pixels, 2)
    assert reference.std() > 5  # noise


def test_both_maps_share_one_scale() -> None:
    """The reference's map is half as strong: its colour is half of the probe's."""
    pixels = picture(explanation(np.ones((SIDE, SIDE)), np.full((SIDE, SIDE), 0.5)))
    weak = explanation_picture(
        explanation(np.ones((SIDE, SIDE)), np.full((SIDE, SIDE), 0.5)), white(), white(), matcher="m"
    )
    strong, half = panel(weak, 0).mean(), panel(weak, 3).mean()
    assert 255 - half == pytest.approx((255 - strong) / 2, abs=1)
    assert pixels.shape == weak.shape


def test_the_same_explanation_gives_the_same_picture_and_another_another() -> None:
    one = picture(explanation(halves()))
    assert (one == picture(explanation(halves()))).all()
    assert (one != picture(explanation(-halves()))).any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_it_grows_with_the_scale(scale: float) -> None:
    assert picture(explanation(halves()), scale=scale).shape[1] == round(1180 * scale)


def test_a_flow_is_drawn_between_the_crops_and_said_what_it_is(drawn: list[Words]) -> None:
    plan = np.zeros((2, 2, 2, 2))
    plan[0, 0, 0, 0], plan[0, 1, 1, 0] = 0.75, 0.25
    flow = CellFlow(plan, np.ones_like(plan))
    pixels = picture(explanation(halves(), method="transport"), flow=flow)
    assert any("75% of the mass stays in place" in words.text for words in drawn)
    without = picture(explanation(halves(), method="transport"))
    changed = (pixels[: round(2 * (TOP + PANEL))] != without[: round(2 * (TOP + PANEL))]).any(axis=2)
    assert changed[:, : (2 * 314)].sum() == 0  # the explained probe stays as it is
    assert changed.any()
