from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fakes import fake_verifier, photo
from PIL import Image

from xcos.draw import evidence_picture
from xcos.report import decision_sentences, notebook_html, picture_png, region_sentence, report_html
from xcos.types import Photo
from xcos.verification import Verification
from xcos.verifier import Verifier

Example = Callable[[str], Photo]
VOID = {"meta", "img", "br", "hr", "link", "input"}
FETCHING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}
HOSTILE = "<script>alert('1')</script>&\"><img src=x>.jpg"
PAIRS = [("0_front", "0_smile"), ("0_front", "1_front"), ("1_front", "2_front"), ("4_light", "5_yaw")]


class Page(HTMLParser):
    """What a browser would make of a page; fails on a tag that is not closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "tags left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def results(verifier: Verifier, example: Example) -> list[Verification]:
    found = [verifier.verify(example(one), example(other)) for one, other in PAIRS]
    assert {result.outcome for result in found} == {"match", "non_match", "inconclusive"}
    return found


@pytest.fixture(scope="module")
def pages(results: list[Verification]) -> list[Page]:
    return [Page(report_html(result)) for result in results]


def number(cell: str) -> float:
    return float(cell.replace("−", "-").replace(",", "").removesuffix("%").strip())


# The page


def test_a_page_needs_nothing_from_outside(results: list[Verification], pages: list[Page]) -> None:
    for result, page in zip(results, pages, strict=True):
        fetched = [value for _, attributes in page.tags for key, value in attributes.items() if key in FETCHING]
        assert len(fetched) == 1
        assert str(fetched[0]).startswith("data:image/png;base64,")
        assert not {"script", "iframe", "link", "object", "embed"} & {tag for tag, _ in page.tags}
        assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
        html = report_html(result)
        assert not re.search(r"url\(|@import", html)


def test_the_picture_in_the_page_is_the_picture(results: list[Verification], pages: list[Page]) -> None:
    for result, page in zip(results, pages, strict=True):
        ((_, image),) = [tag for tag in page.tags if tag[0] == "img"]
        encoded = str(image["src"]).partition(",")[2]
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
            assert picture.format == "PNG"
            np.testing.assert_array_equal(np.asarray(picture), evidence_picture(result))
        assert len(str(image["alt"])) > 20


def test_the_page_is_utf_8_and_in_a_language(pages: list[Page]) -> None:
    tags = dict(reversed(pages[0].tags))
    assert tags["html"]["lang"] == "en"
    assert ("meta", {"charset": "utf-8"}) in pages[0].tags


def test_the_page_shows_its_decision(results: list[Verification], pages: list[Page]) -> None:
    for result, page in zip(results, pages, strict=True):
        text = " ".join(page.text)
        label = {"match": "MATCH", "non_match": "NON-MATCH", "inconclusive": "INCONCLUSIVE"}[result.outcome]
        assert re.search(rf"(?<![-\w]){label}\b", text)
        for reason in result.decision.reasons:
            assert reason.code in text
            assert reason.message in text


def test_the_table_of_parts_sums_to_the_score(results: list[Verification], pages: list[Page]) -> None:
    for result, page in zip(results, pages, strict=True):
        start = next(index for index, row in enumerate(page.rows) if row[0] == "Part")
        parts = page.rows[start + 1 : start + 1 + len(result.regions)]
        total = page.rows[start + 1 + len(result.regions)]
        assert number(total[4]) == round(result.score, 4)
        assert number(total[5]) == pytest.approx(result.score - result.decision.threshold.value, abs=5.1e-5)
        assert number(total[1]) == result.comparison.similarity.size
        for row, region in zip(parts, result.regions, strict=True):
            assert [number(cell) for cell in row[1:]] == [
                region.cells,
                round(region.similarity, 4),
                round(100 * region.attention, 1),
                round(region.contribution, 4),
                round(region.support, 4),
            ]
        for column in (4, 5):
            half_digit = 0.5e-4 * (len(parts) + 1)
            assert sum(number(row[column]) for row in parts) == pytest.approx(number(total[column]), abs=half_digit)


def test_the_page_names_the_photos_the_model_and_the_calibration(
    results: list[Verification], pages: list[Page]
) -> None:
    for result, page in zip(results, pages, strict=True):
        cells = [cell for row in page.rows for cell in row]
        for wanted in (
            result.probe.sha256,
            result.reference.sha256,
            result.card.sha256,
            result.calibration.sha256,
            result.probe.name,
            result.card.licence,
            result.calibration.origin.dataset,
            result.detector,
        ):
            assert wanted in cells, wanted


def test_the_page_says_what_was_not_checked(pages: list[Page]) -> None:
    assert "liveness" in " ".join(pages[0].text).lower()


def test_a_hostile_file_name_is_only_text() -> None:
    page = Page(report_html(fake_verifier().verify(photo(1, HOSTILE), photo(2, HOSTILE))))
    assert "script" not in {tag for tag, _ in page.tags}
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    assert [row for row in page.rows if HOSTILE in row] == [["File", HOSTILE, HOSTILE]]


def test_a_file_name_that_is_not_utf_8_can_be_reported(tmp_path: Path) -> None:
    result = fake_verifier().verify(photo(1, os.fsdecode(b"latin\xe9.jpg")), photo(2))
    result.save_report(tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text("utf-8"))
    (row,) = [row for row in page.rows if row[0] == "File"]
    assert row[1].startswith("latin")
    assert row[1].endswith(".jpg")


@pytest.mark.parametrize("angle", [0, 56, 90, 170])
def test_pages_of_every_outcome_and_of_one_without_a_second_opinion(angle: int) -> None:
    for second in (False, True):
        Page(report_html(fake_verifier(second=second).verify(photo(0), photo(angle))))


def test_saved_files_hold_the_report_and_the_picture(results: list[Verification], tmp_path: Path) -> None:
    result = results[0]
    result.save_report(tmp_path / "a.html")
    result.save_picture(str(tmp_path / "a.png"))
    assert (tmp_path / "a.html").read_bytes() == report_html(result).encode()
    assert (tmp_path / "a.png").read_bytes() == picture_png(result)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png"]


def test_one_result_always_gives_one_page(results: list[Verification]) -> None:
    assert report_html(results[0]) == report_html(results[0])


def test_the_notebook_form_is_one_image_with_the_decision_as_its_text(results: list[Verification]) -> None:
    for result in results:
        page = Page(notebook_html(result))
        ((tag, attributes),) = page.tags
        assert tag == "img"
        assert attributes["alt"] == " ".join(decision_sentences(result))


# Every number in a sentence was measured

NUMBER = re.compile(r"(?<![\w.])([-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(\s?%)?")


def quoted(sentence: str) -> Iterator[tuple[float, float]]:
    """Each number of a sentence, as a share if it is in percent, and half of its last digit."""
    for text, percent in NUMBER.findall(sentence):
        plain = text.replace(",", "").replace("−", "-")
        scale = 0.01 if percent else 1
        mantissa, _, exponent = plain.partition("e")
        digits = len(mantissa.partition(".")[2])
        yield float(plain) * scale, 0.5 * 10 ** (int(exponent or 0) - digits) * scale


def numbers_in(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers_in(each)
    elif isinstance(value, (int, float)):
        yield float(value)


def assert_measured(sentence: str, measured: set[float]) -> None:
    numbers = list(quoted(sentence))
    for value, half in numbers:
        assert any(abs(value - each) <= half * 1.000001 for each in measured), (value, sentence)


def test_numbers_are_found_in_a_sentence_by_hand() -> None:
    values, halves = zip(*quoted("Nose (1 cell): −0.25, 3.4% or 3.4 % of 5,919,755 (+6.97, 1e-05)."), strict=True)
    assert values == pytest.approx((1, -0.25, 0.034, 0.034, 5919755, 6.97, 1e-5))
    assert halves == pytest.approx((0.5, 0.005, 0.0005, 0.0005, 0.5, 0.005, 0.5e-5))


def all_results(results: list[Verification]) -> list[Verification]:
    by_hand = [fake_verifier(second=True).verify(photo(0), photo(angle)) for angle in (0, 30, 56, 90, 170)]
    return [*results, *by_hand]


def test_every_number_about_a_part_is_that_parts(results: list[Verification]) -> None:
    for result in all_results(results):
        for region in result.regions:
            sentence = region_sentence(region)
            assert len(list(quoted(sentence))) >= 4
            assert_measured(sentence, {*numbers_in(region.__dict__), abs(region.support)})


def test_every_number_about_the_decision_is_in_the_document(results: list[Verification]) -> None:
    for result in all_results(results):
        document = {key: value for key, value in result.to_dict().items() if key not in ("maps", "regions")}
        allowed = {
            *numbers_in(document),
            math.exp(abs(result.decision.llr)),  # a likelihood ratio of at least 1
            0.95,  # the level of the intervals
        }
        sentences = decision_sentences(result)
        assert sum(len(list(quoted(sentence))) for sentence in sentences) >= 6
        for sentence in sentences:
            assert_measured(sentence, allowed)
        second, text = result.second_opinion, " ".join(sentences)
        assert second is not None
        assert second.threshold is not None
        for value in (result.score, result.decision.threshold.value, second.score, second.threshold.value):
            assert f"{value:.4f}" in text


def test_a_small_rate_is_not_rounded_to_zero(results: list[Verification]) -> None:
    result = results[0]
    small = replace(result.decision.threshold, fmr=2e-5)
    text = " ".join(decision_sentences(replace(result, decision=replace(result.decision, threshold=small))))
    assert not re.search(r"(?<![\d.])0\.0+ ?%", text), text


def test_an_invented_number_would_be_found(results: list[Verification]) -> None:
    with pytest.raises(AssertionError):
        assert_measured("The score is 0.1234.", {results[0].score})
