from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import cosine, face, fake_verifier, photo

from xcos.errors import InvalidArgument
from xcos.types import Photo
from xcos.verification import Verification
from xcos.verifier import Verifier
from xcos.version import __version__

DOCUMENTED = Path(__file__).parent.parent / "docs" / "json.md"
KEYS: dict[str, set[str]] = {
    "": {
        "schema",
        "version",
        "decision",
        "reasons",
        "score",
        "threshold",
        "fmr",
        "llr",
        "second_opinion",
        "maps",
        "regions",
        "probe",
        "reference",
        "model",
        "detector",
        "comparator",
        "calibration",
        "caveats",
        "timings_ms",
    },
    "reasons": {"code", "side", "measured", "limit", "message"},
    "threshold": {"value", "low", "high"},
    "fmr": {"requested", "low", "high"},
    "second_opinion": {"score", "llr", "threshold", "decision"},
    "maps": {"similarity", "attention", "contribution", "regions"},
    "regions": {"name", "cells", "similarity", "attention", "contribution", "support"},
    "probe": {"name", "sha256", "format", "size", "faces_found", "box", "landmarks", "confidence", "quality"},
    "reference": {"name", "sha256", "format", "size", "faces_found", "box", "landmarks", "confidence", "quality"},
    "model": {
        "id",
        "name",
        "sha256",
        "template",
        "color",
        "mean",
        "scale",
        "licence",
        "source",
        "training_data",
    },
    "calibration": {"sha256", "dataset", "protocol", "n_mated", "n_non_mated", "n_subjects", "date", "detector"},
    "timings_ms": {"locate", "embed", "compare", "total"},
}
QUALITY = {
    "inter_eye",
    "second_look",
    "sharpness",
    "brightness",
    "contrast",
    "yaw",
    "pitch",
    "roll",
    "residual",
    "outside",
}
NINE = {
    "verified",
    "distance",
    "threshold",
    "confidence",
    "model",
    "detector_backend",
    "similarity_metric",
    "facial_areas",
    "time",
}
Example = Callable[[str], Photo]


@pytest.fixture(scope="module")
def real(verifier: Verifier, example: Example) -> Verification:
    """Two people alike to the network's vector only, so the result has a reason."""
    result = verifier.verify(example("1_front"), example("2_front"))
    assert result.decision.reasons
    return result


def by_hand(angle: int = 60, **options: Any) -> Verification:
    return fake_verifier(**options).verify(photo(10, "a.png"), photo(10 + angle, "b.png"))


def test_the_document_survives_json_unchanged(real: Verification) -> None:
    for result in (real, by_hand(), by_hand(second=True)):
        document = result.to_dict()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        deepface = result.to_dict(style="deepface")
        assert json.loads(json.dumps(deepface, allow_nan=False)) == deepface


def test_the_document_has_exactly_these_keys(real: Verification) -> None:
    document: dict[str, Any] = real.to_dict()
    assert set(document) == KEYS[""]
    for key, keys in KEYS.items():
        if key:
            value = document[key]
            for part in value if isinstance(value, list) else [value]:
                assert set(part) == keys, key
    assert set(document["probe"]["quality"]) == set(document["reference"]["quality"]) == QUALITY


@pytest.mark.skipif(not DOCUMENTED.is_file(), reason="docs/json.md is not beside the tests")
def test_every_key_is_documented() -> None:
    words = set(re.findall(r"[a-z0-9_]+", DOCUMENTED.read_text("utf-8")))
    assert set().union(*KEYS.values(), QUALITY, NINE) <= words


def test_the_document_by_hand() -> None:
    document: dict[str, Any] = by_hand(60, second=True).to_dict()
    assert document["schema"].startswith("xcos.verification/")
    assert document["version"] == __version__
    assert document["decision"] == "inconclusive"
    assert document["score"] == pytest.approx(cosine(60), abs=1e-6)
    assert document["llr"] == pytest.approx(0, abs=1e-5)
    assert document["threshold"] == pytest.approx({"value": 0.5625, "low": 0.5, "high": 0.625})
    assert document["fmr"] == pytest.approx({"requested": 0.001, "low": 0.0005, "high": 0.002})
    assert document["second_opinion"]["decision"] == "inconclusive"
    assert document["second_opinion"]["threshold"] == pytest.approx(0.5625)
    assert [reason["code"] for reason in document["reasons"]] == ["score_in_threshold_interval"]
    assert document["maps"]["attention"] == [[0.25, 0.25], [0.25, 0.25]]
    assert np.shape(document["maps"]["similarity"]) == np.shape(document["maps"]["regions"]) == (2, 2)
    assert np.sum(document["maps"]["contribution"]) == pytest.approx(document["score"], abs=1e-12)
    assert sum(region["contribution"] for region in document["regions"]) == pytest.approx(document["score"])
    probe, reference = document["probe"], document["reference"]
    assert (probe["name"], reference["name"]) == ("a.png", "b.png")
    assert (probe["sha256"], reference["sha256"]) == (f"{10:064d}", f"{70:064d}")
    assert (probe["size"], probe["format"], probe["faces_found"], probe["confidence"]) == ([64, 64], "array", 1, 0.9)
    assert probe["box"] == [8, 8, 56, 60]
    assert probe["landmarks"] == face().landmarks.tolist()
    assert probe["quality"]["inter_eye"] == 24
    assert document["model"]["id"] == "fake/grid/000000000000"
    assert document["model"]["template"]["name"] == "fake_64"
    assert (document["detector"], document["comparator"]) == ("fixed", "uniform")
    assert document["calibration"]["n_non_mated"] == 5000


def test_without_a_second_opinion_the_key_is_null() -> None:
    assert by_hand().to_dict()["second_opinion"] is None


@pytest.mark.parametrize(
    ("angle", "outcome", "verified"), [(30, "match", True), (60, "inconclusive", False), (90, "non_match", False)]
)
def test_the_nine_keys_of_deepface_by_hand(angle: int, outcome: str, verified: bool) -> None:
    result = by_hand(angle)
    assert result.outcome == outcome
    document: dict[str, Any] = result.to_dict(style="deepface")
    assert set(document) == NINE
    assert document["verified"] is verified
    assert document["distance"] == pytest.approx(1 - cosine(angle), abs=1e-6)
    assert document["threshold"] == pytest.approx(1 - 0.5625)
    # Even odds and a log-likelihood ratio of 10 s − 5, at most ln 21 and at least −ln 101
    llr = min(max(10 * cosine(angle) - 5, -np.log(101)), np.log(21))
    assert document["confidence"] == pytest.approx(100 / (1 + np.exp(-llr)), abs=1e-3)
    assert document["model"] == "fake/grid/000000000000"
    assert document["detector_backend"] == "fixed"
    assert "cosine" in document["similarity_metric"]
    assert "uniform" in document["similarity_metric"]
    assert document["time"] == pytest.approx(result.timings.total / 1000)
    assert set(document["facial_areas"]) == {"img1", "img2"}


def test_deepface_names_the_eyes_from_the_persons_own_view() -> None:
    document: dict[str, Any] = by_hand().to_dict(style="deepface")
    assert document["facial_areas"]["img1"] == {
        "x": 8,
        "y": 8,
        "w": 48,
        "h": 52,
        "right_eye": [20, 24],
        "left_eye": [44, 24],
    }


def test_deepface_verifies_only_within_its_own_threshold(verifier: Verifier, example: Example) -> None:
    for one, other in (("0_front", "0_smile"), ("0_front", "1_front"), ("1_front", "2_front")):
        result = verifier.verify(example(one), example(other))
        document: dict[str, Any] = result.to_dict(style="deepface")
        assert document["verified"] == (result.outcome == "match")
        if document["verified"]:
            assert document["distance"] <= document["threshold"]
        assert (document["confidence"] > 50) == (result.decision.llr > 0)
        areas = document["facial_areas"]
        assert areas["img1"]["left_eye"][0] > areas["img1"]["right_eye"][0]


def test_another_style_is_refused() -> None:
    style: Any = "yaml"
    with pytest.raises(InvalidArgument, match="yaml"):
        by_hand().to_dict(style=style)


@pytest.mark.parametrize(("angle", "outcome"), [(30, "match"), (60, "inconclusive"), (90, "non_match")])
def test_the_representation_says_the_decision_and_its_numbers(angle: int, outcome: str) -> None:
    result = by_hand(angle)
    shown = repr(result)
    assert shown.startswith(f"Verification({outcome}")
    for number in (f"{result.score:.4f}", "0.5625", "0.001", f"{result.decision.llr:+.2f}"):
        assert number in shown
    assert ("score_in_threshold_interval" in shown) == (outcome == "inconclusive")
    assert "\n" not in shown


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))


def test_a_notebook_shows_the_picture_and_reads_the_decision(real: Verification) -> None:
    parser = Images()
    parser.feed(real._repr_html_())
    (image,) = parser.images
    source, words = image["src"], image["alt"]
    assert source is not None
    assert source.startswith("data:image/png;base64,iVBORw0KGgo")  # a PNG file's first bytes
    assert words is not None
    assert f"{real.score:.4f}" in words
