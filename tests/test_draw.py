from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from fakes import fake_verifier, photo
from PIL import ImageDraw

from xcos.draw import evidence_picture
from xcos.types import Comparison, Decision, Maps, Photo, Reason
from xcos.verification import Verification
from xcos.verifier import Verifier

Example = Callable[[str], Photo]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Words:
    """One text as it was drawn, with the colour that was there before."""

    text: str
    box: tuple[float, float, float, float]
    color: Color
    ground: Color
    anchor: str


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """All that Pillow is asked to write, in order."""
    found: list[Words] = []
    text = ImageDraw.ImageDraw.text

    def spy(self: ImageDraw.ImageDraw, xy: Any, words: str, *, fill: Color, font: Any, anchor: str) -> None:
        box = self.textbbox(xy, words, font=font, anchor=anchor)
        left, top, right, bottom = box
        ground: Any = self._image.getpixel((round((left + right) / 2), round((top + bottom) / 2)))
        found.append(Words(words, (left, top, right, bottom), fill, ground, anchor))
        text(self, xy, words, fill=fill, font=font, anchor=anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return found


@pytest.fixture(scope="module")
def by_hand() -> Verification:
    return fake_verifier(second=True).verify(photo(10), photo(50))


@pytest.fixture(scope="module")
def real(verifier: Verifier, example: Example) -> Verification:
    return verifier.verify(example("1_front"), example("2_front"))


def with_maps(result: Verification, similarity: Maps, attention: Maps | None = None) -> Verification:
    weights = np.full(similarity.shape, 1 / similarity.size) if attention is None else attention
    comparison = Comparison(similarity, weights)
    return replace(result, comparison=comparison, decision=replace(result.decision, score=comparison.score))


def with_reasons(result: Verification, count: int) -> Verification:
    long = " and again because the face is far too small, dark, blurred and turned aside for anyone to tell"
    reasons = tuple(
        Reason("blurred", "probe", 0.01, 0.1, f"probe: doubt number {index}{long * 2}") for index in range(count)
    )
    old = result.decision
    return replace(result, decision=Decision("inconclusive", reasons, old.score, old.llr, old.threshold))


# Sizes and determinism


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
def test_the_picture_grows_with_the_scale(by_hand: Verification, scale: float) -> None:
    picture = evidence_picture(by_hand, scale=scale)
    assert picture.dtype == np.uint8
    height, width, channels = picture.shape
    unit_height, unit_width, _ = evidence_picture(by_hand, scale=1.0).shape
    assert (width, height, channels) == (round(unit_width * scale), round(unit_height * scale), 3)
    assert unit_width == 1180


def test_one_result_always_gives_one_picture(real: Verification, verifier: Verifier, example: Example) -> None:
    picture = evidence_picture(real)
    np.testing.assert_array_equal(picture, evidence_picture(real))
    np.testing.assert_array_equal(picture, evidence_picture(verifier.verify(example("1_front"), example("2_front"))))
    np.testing.assert_array_equal(picture, real.picture())


def test_another_result_gives_another_picture(by_hand: Verification) -> None:
    similarity = by_hand.comparison.similarity.copy()
    similarity[0, 0] -= 0.3
    assert (evidence_picture(by_hand) != evidence_picture(with_maps(by_hand, similarity))).any()


# What stands in it


def test_the_numbers_of_the_decision_stand_in_the_picture(real: Verification, drawn: list[Words]) -> None:
    evidence_picture(real)
    everything = " ".join(words.text for words in drawn)
    assert "INCONCLUSIVE" in everything
    for value in (real.score, real.decision.threshold.value):
        assert f"{value:.4f}" in everything
    assert any(words.text.startswith(f"{real.decision.threshold.value:.2f} ") for words in drawn), "on the colour bar"
    assert f"{real.decision.threshold.fmr:g}" in everything
    assert f"{real.decision.llr:+.2f}" in everything
    assert real.decision.reasons[0].message[:40] in everything
    assert real.model in everything


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12])
def test_the_lack_of_a_liveness_check_is_said_however_many_doubts_there_are(
    real: Verification, drawn: list[Words], count: int
) -> None:
    result = (
        with_reasons(real, count)
        if count
        else replace(real, decision=replace(real.decision, outcome="non_match", reasons=()))
    )
    evidence_picture(result)
    (liveness,) = [words for words in drawn if "liveness" in words.text]
    for other in drawn:
        assert other is liveness or not overlap(liveness, other), other.text
    assert contrast(liveness.color, liveness.ground) >= 4.5
    if count > 2:
        assert any(str(count - 2) in words.text and "doubt" in words.text for words in drawn), "the rest is counted"


def overlap(one: Words, other: Words) -> bool:
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    return width > 1 and height > 1


@pytest.mark.parametrize("threshold", [0.02, 0.5625, 0.9])
@pytest.mark.parametrize("score", [-1.0, -0.2, 0.3, 0.55, 0.5626, 0.6, 0.8, 1.0])
def test_no_text_leaves_the_picture_or_covers_another(
    by_hand: Verification, drawn: list[Words], score: float, threshold: float
) -> None:
    result = with_reasons(with_maps(by_hand, np.full((5, 5), score)), 5)
    around = replace(result.decision.threshold, value=threshold, low=threshold - 0.01, high=threshold + 0.01)
    result = replace(result, decision=replace(result.decision, threshold=around))
    height, width, _ = evidence_picture(result).shape
    for words in drawn:
        left, top, right, bottom = words.box
        assert left >= 0, words.text
        assert top >= 0, words.text
        assert right <= width, words.text
        assert bottom <= height, words.text
    for one, other in itertools.combinations(drawn, 2):
        assert not overlap(one, other), (one.text, other.text)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (7, 7), (3, 9), (9, 3), (2, 1), (1, 6), (20, 4), (4, 20), (28, 28)])
def test_grids_of_every_shape_are_drawn(by_hand: Verification, drawn: list[Words], shape: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    result = with_maps(
        by_hand, random.uniform(-1, 1, shape), random.dirichlet(np.ones(shape[0] * shape[1])).reshape(shape)
    )
    evidence_picture(result)
    for one, other in itertools.combinations(drawn, 2):
        assert not overlap(one, other), (one.text, other.text)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_maps_without_any_difference_are_drawn(by_hand: Verification, value: float) -> None:
    flat = np.full((5, 5), value)
    evidence_picture(with_maps(by_hand, flat))
    evidence_picture(with_maps(by_hand, flat, np.zeros((5, 5))))


# Colours


def luminance(color: Color) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [value / 255 for value in color]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio, WCAG 2.2: 1 … 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_the_contrast_formula_by_hand() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)  # a known borderline gray


def test_the_numbers_in_all_cells_can_be_read(by_hand: Verification, drawn: list[Words]) -> None:
    """Level AA of WCAG 2.2, 4.5 : 1, all over the three colour maps."""
    similarity = np.linspace(-1, 1, 49).reshape(7, 7)
    for weights in (np.arange(1, 50.0), np.arange(49, 0, -1.0)):
        evidence_picture(with_maps(by_hand, similarity, (weights / weights.sum()).reshape(7, 7)), scale=1.0)
        evidence_picture(with_maps(by_hand, abs(similarity), (weights / weights.sum()).reshape(7, 7)), scale=1.0)
    cells = [words for words in drawn if words.anchor == "mm" and words.text.strip("-−+.0123456789") == ""]
    assert len(cells) == 4 * 3 * 49
    worst = min(cells, key=lambda words: contrast(words.color, words.ground))
    assert contrast(worst.color, worst.ground) >= 4.5, worst


def similarity_ground(drawn: list[Words], text: str) -> Color:
    """Colour of the similarity map's only cell that shows ``text``."""
    (cell,) = {words.ground for words in drawn if words.text == text and words.anchor == "mm"}
    return cell


def test_the_threshold_is_white_and_the_sides_differ_in_hue(by_hand: Verification, drawn: list[Words]) -> None:
    threshold = by_hand.decision.threshold.value
    similarity = np.array([[threshold, threshold + 0.3], [threshold - 0.3, 1.0]])
    evidence_picture(with_maps(by_hand, similarity, np.array([[0.1, 0.2], [0.3, 0.4]])))
    at, above, below = (similarity_ground(drawn, f"{value:.2f}"[1:]) for value in similarity.ravel()[:3])
    assert min(at) > 235
    assert max(at) - min(at) < 12
    assert above[2] > above[0] + 20, "purple: more blue than red"
    assert below[0] > below[2] + 20, "orange: more red than blue"
    assert luminance(above) < luminance(at) > luminance(below)


def test_shades_differ_down_to_the_least_similarity(by_hand: Verification, drawn: list[Words]) -> None:
    similarity = np.array([[-1.0, -0.4], [0.15, 0.4]])
    evidence_picture(with_maps(by_hand, similarity, np.array([[0.11, 0.22], [0.33, 0.34]])))
    shades = [luminance(similarity_ground(drawn, text)) for text in ("-1.00", "-.40", ".15", ".40")]
    assert shades == sorted(shades)
    assert len(set(shades)) == 4
