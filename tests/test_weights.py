from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.errors import InvalidCard, WeightsMismatch, WeightsMissing
from xcos.weights import packaged_file, read_card, verified_bytes

FIELDS: dict[str, Any] = {
    "name": "net",
    "sha256": "AB" * 32,
    "template": "arcface_112",
    "color": "bgr",
    "mean": [1, 2.5, 3],
    "scale": 0.0078125,
    "licence": "MIT",
    "source": "somewhere",
    "training_data": "photos",
}


def write(folder: Path, content: object) -> Path:
    path = folder / "net.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_card_says_what_its_file_says(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, FIELDS))
    assert card.sha256 == "ab" * 32
    assert card.template is ARCFACE_112
    assert (card.name, card.color, card.mean, card.scale) == ("net", "bgr", (1.0, 2.5, 3.0), 0.0078125)
    assert (card.licence, card.source, card.training_data) == ("MIT", "somewhere", "photos")


def test_one_mean_serves_all_three_channels(tmp_path: Path) -> None:
    assert read_card(write(tmp_path, {**FIELDS, "mean": 127.5})).mean == (127.5, 127.5, 127.5)


def test_templates_go_by_name_or_by_their_points(tmp_path: Path) -> None:
    assert read_card(write(tmp_path, {**FIELDS, "template": "dlib_150"})).template is DLIB_150
    points = (ARCFACE_112.points - (8, 0)).tolist()
    narrow = {"name": "narrow", "width": 96, "height": 112, "points": points}
    template = read_card(write(tmp_path, {**FIELDS, "template": narrow})).template
    assert (template.name, template.width, template.height) == ("narrow", 96, 112)
    np.testing.assert_array_equal(template.points, points)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    with pytest.raises(InvalidCard, match=field) as caught:
        read_card(write(tmp_path, {key: value for key, value in FIELDS.items() if key != field}))
    assert caught.value.code == "invalid_card"
    assert caught.value.details == {"missing": [field], "unknown": []}


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCard, match="colour") as caught:
        read_card(write(tmp_path, {**FIELDS, "colour": "rgb"}))
    assert caught.value.details == {"missing": [], "unknown": ["colour"]}


SQUARE = {"name": "square", "width": 10, "height": 10, "points": ARCFACE_112.points.tolist()}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("sha256", None),
        ("licence", ["MIT"]),
        ("source", ""),
        ("training_data", 0),
        ("color", "RGB"),
        ("color", "gray"),
        ("color", None),
        ("mean", [1, 2]),
        ("mean", "127.5"),
        ("mean", None),
        ("mean", [1, 2, "dark"]),
        ("scale", "wide"),
        ("scale", None),
        ("scale", [1]),
        ("template", "arcface"),
        ("template", 112),
        ("template", {key: value for key, value in SQUARE.items() if key != "points"}),
        ("template", {**SQUARE, "points": SQUARE["points"][:4]}),
        ("template", {**SQUARE, "width": 0}),
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(InvalidCard, match=r"net\.json has a wrong value"):
        read_card(write(tmp_path, {**FIELDS, field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", "wide"),
        ("scale", None),
        ("scale", 0),
        ("scale", math.inf),
        ("scale", True),
        ("mean", [1, 2, None]),
        ("mean", [1, 2, math.nan]),
        ("mean", False),
        ("name", 3),
        ("color", "RGB"),
    ],
)
def test_the_field_with_the_wrong_value_is_named(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(InvalidCard, match=f"wrong value: {field}"):
        read_card(write(tmp_path, {**FIELDS, field: value}))


@pytest.mark.parametrize("content", ["[]", "3", '"card"', "", "{", '{"name": }'])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(content)
    with pytest.raises(InvalidCard, match=r"net\.json"):
        read_card(path)


def test_a_card_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidCard, match=r"net\.json"):
        read_card(path)


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCard, match="cannot read the weight card"):
        read_card(tmp_path / "nothing.json")


def test_bytes_of_the_stated_hash_are_given(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert verified_bytes(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == b"abc"


def test_bytes_of_another_hash_are_refused_and_both_hashes_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"abd")
    expected = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(WeightsMismatch) as caught:
        verified_bytes(path, expected)
    assert caught.value.code == "weights_mismatch"
    found = hashlib.sha256(b"abd").hexdigest()
    assert caught.value.details == {"file": "weights.bin", "found": found, "expected": expected}


@pytest.mark.parametrize("name", ["nothing.bin", "."])
def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsMissing) as caught:
        verified_bytes(tmp_path / name, "0" * 64)
    assert caught.value.code == "weights_missing"


@pytest.mark.parametrize(("package", "file"), [("no_such_package_of_weights", "a.bin"), ("mtcnn", "no_such_file.lz4")])
def test_a_package_without_the_file_says_how_to_install_it(package: str, file: str) -> None:
    with pytest.raises(WeightsMissing, match=f"pip install --force-reinstall {package}") as caught:
        packaged_file(package, "assets", file)
    assert caught.value.details == {"package": package, "file": f"assets/{file}"}


def test_a_packaged_file_is_found_without_running_the_package(tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "booby_trapped_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the code of the package ran')")
    (package / "net.bin").write_bytes(b"abc")
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged_file("booby_trapped_weights", "net.bin").read_bytes() == b"abc"
    assert "booby_trapped_weights" not in sys.modules
