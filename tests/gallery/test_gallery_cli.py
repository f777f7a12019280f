"""The commands as they are typed, with the packaged network on the rendered people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from xcos.catalog import DATA
from xcos.cli import main
from xcos.gallery.audit import check_audit

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("quick")
EXAMPLES = DATA / "examples"
PURPOSE = "show how a search explains itself"


def run(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: Capture, *words: object, code: int = 0) -> dict[str, Any]:
    found, out, err = run(capsys, *words, "--json")
    assert found == code, err
    document: dict[str, Any] = json.loads(out or err)
    return document


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Folders of four of the six people, two photos each; person 0's is called to one that shows nobody too."""
    for person in range(4):
        home = tmp_path / "people" / f"person {person}"
        home.mkdir(parents=True)
        for view in ("front", "smile"):
            shutil.copy(EXAMPLES / f"{person}_{view}.jpg", home)
    (tmp_path / "people" / "person 0" / "broken.jpg").write_bytes(b"no photo")
    return tmp_path / "people"


@pytest.fixture
def filled(people: Path, capsys: Capture) -> Path:
    gallery = people.parent / "g.db"
    assert run(capsys, "gallery", "create", gallery, "--purpose", PURPOSE, "--retention-days", 30)[0] == 0
    assert run(capsys, "enrol", people, "--gallery", gallery)[0] == 0
    return gallery


def test_a_person_is_enrolled_found_and_forgotten(filled: Path, people: Path, capsys: Capture) -> None:
    report = people.parent / "out.html"
    asked = ("identify", EXAMPLES / "0_yaw.jpg", "--gallery", filled, "--top", 3, "--purpose", PURPOSE)
    found = document(capsys, *asked, "--report", report)
    assert found["outcome"] == "candidates"
    assert [each["rank"] for each in found["candidates"]] == [1, 2, 3]
    assert found["candidates"][0]["subject"] == "person 0"
    assert found["searched"] == {"templates": 8, "subjects": 4, "method": "exact"}
    assert report.read_text().count("data:image/png") == 3
    erased = document(capsys, "gallery", "erase", filled, "person 0")
    assert [receipt["physical"] for receipt in erased["receipts"]] == ["done"]
    assert "person" not in json.dumps(erased)
    after = document(capsys, *asked, code=3)
    assert after["outcome"] == "unknown"
    assert after["reasons"][0]["code"] == "no_candidate_above_threshold"
    assert "person 0" not in [each["subject"] for each in after["candidates"]]
    assert b"person 0" not in filled.read_bytes()


def test_the_answer_in_words_says_threshold_origin_reason_and_warning(filled: Path, capsys: Capture) -> None:
    code, out, _ = run(capsys, "identify", EXAMPLES / "5_yaw.jpg", "--gallery", filled, "--purpose", PURPOSE)
    assert code == 3
    for words in ("unknown", "FPIR(N) ≈ 1 − (1 − FMR)^N", "LFW", "reason:", "1. person", "lead, not an identity"):
        assert words in out


def test_several_photos_of_one_person_are_one_probe(filled: Path, capsys: Capture) -> None:
    photos = (EXAMPLES / "1_light.jpg", EXAMPLES / "1_yaw.jpg")
    found = document(capsys, "identify", *photos, "--gallery", filled, "--purpose", PURPOSE)
    assert found["candidates"][0]["subject"] == "person 1"
    assert len(found["probes"]) == 2


def test_every_search_is_logged_and_names_nobody(filled: Path, capsys: Capture) -> None:
    asked = ("identify", EXAMPLES / "0_yaw.jpg", "--gallery", filled, "--purpose", PURPOSE, "--operator", "anna")
    found = document(capsys, *asked)
    log = filled.with_name("g.db.audit.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["action"] for line in lines] == ["create", "enrol", "identify"]
    line = lines[-1]
    assert (line["operator"], line["purpose"], line["gallery"]) == ("anna", PURPOSE, "g")
    assert line["inputs"] == found["probes"]
    assert len(line["candidates"]) == len(found["candidates"]) == 4
    assert line["candidates"][0][1] == pytest.approx(found["candidates"][0]["score"], abs=1e-6)
    assert "person 0" not in log.read_text()
    token = line["candidates"][0][0]
    erased = document(capsys, "gallery", "erase", filled, "person 0")
    assert erased["receipts"][0]["token"] == token
    assert check_audit(log)[2] == []
    content = log.read_text()
    log.write_text(content.replace("anna", "otto"))
    checked = document(capsys, "gallery", "check", filled, code=5)
    assert any("audit log" in problem for problem in checked["problems"])


def test_a_search_for_another_purpose_is_refused_and_not_logged(filled: Path, capsys: Capture) -> None:
    before = filled.with_name("g.db.audit.jsonl").read_text()
    refused = document(capsys, "identify", EXAMPLES / "0_yaw.jpg", "--gallery", filled, "--purpose", "other", code=2)
    assert refused["error"]["code"] == "purpose_mismatch"
    code, _, err = run(capsys, "identify", EXAMPLES / "0_yaw.jpg", "--gallery", filled)
    assert code == 2
    assert "--purpose" in err
    assert filled.with_name("g.db.audit.jsonl").read_text() == before


def test_without_its_log_a_search_tells_nothing(filled: Path, capsys: Capture) -> None:
    log = filled.with_name("g.db.audit.jsonl")
    log.unlink()
    log.mkdir()
    code, out, err = run(capsys, "identify", EXAMPLES / "0_yaw.jpg", "--gallery", filled, "--purpose", PURPOSE)
    assert (code, out) == (5, "")
    assert "audit log" in err


def test_enrolling_again_adds_nothing_and_tells_what_is_wrong(filled: Path, people: Path, capsys: Capture) -> None:
    again = document(capsys, "enrol", people, "--gallery", filled)
    assert (again["enrolled"], again["known"], again["subjects"]) == (0, 8, 4)
    assert again["failed"] == {"unsupported_format": 1}
    assert again["failures"][0]["path"].endswith("broken.jpg")
    assert again["failure_to_enrol"] == []
    assert again["labels"]["strangers"] == []
    code, out, _ = run(capsys, "enrol", people, "--gallery", filled)
    assert code == 0
    assert "9 photos of 4 people: 0 enrolled, 8 known before, 1 failed" in out


def test_a_photo_in_the_wrong_folder_is_told(people: Path, capsys: Capture) -> None:
    shutil.copy(EXAMPLES / "5_light.jpg", people / "person 2")
    gallery = people.parent / "g.db"
    document(capsys, "gallery", "create", gallery, "--purpose", PURPOSE, "--retention-days", 30)
    labels = document(capsys, "enrol", people, "--gallery", gallery)["labels"]
    assert [each["subject"] for each in labels["strangers"]] == ["person 2"]


def test_a_gallery_is_described_listed_exported_and_imported(filled: Path, capsys: Capture) -> None:
    info = document(capsys, "gallery", "info", filled)
    assert (info["purpose"], info["subjects"], info["templates"], info["expired"]) == (PURPOSE, 4, 8, 0)
    assert [each["id"] for each in document(capsys, "gallery", "list", filled)["subjects"]] == [
        f"person {at}" for at in range(4)
    ]
    assert document(capsys, "gallery", "list", filled, "--where", "a=b")["subjects"] == []
    file, other = filled.with_name("e.zip"), filled.with_name("other.db")
    assert document(capsys, "gallery", "export", filled, file)["templates"] == 8
    document(capsys, "gallery", "create", other, "--purpose", PURPOSE, "--retention-days", 1, "--codec", "half")
    assert document(capsys, "gallery", "import", other, file)["templates"] == 8
    refused = document(capsys, "gallery", "import", other, file, code=2)
    assert refused["error"]["code"] == "already_enrolled"
    assert document(capsys, "gallery", "check", other)["problems"] == []
    assert document(capsys, "gallery", "expire", other)["receipts"] == []
    for words in (("info",), ("list",), ("check",), ("expire",)):
        code, out, _ = run(capsys, "gallery", *words, other)
        assert code == 0
        assert out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("gallery", "create", "{gallery}", "--purpose", "p", "--retention-days", "1"), 2, "invalid_argument"),
        (("gallery", "create", "new.db", "--purpose", "p"), 2, "invalid_argument"),
        (("gallery", "create", "new.db", "--retention-days", "1"), 2, "invalid_argument"),
        (("gallery", "create", "new.db", "--purpose", "p", "--retention-days", "0"), 2, "invalid_argument"),
        (("gallery", "info", "missing.db"), 2, "invalid_gallery"),
        (("gallery", "erase", "{gallery}", "nobody"), 2, "no_such_subject"),
        (("gallery", "export", "{gallery}", "{gallery}"), 2, "invalid_argument"),
        (("gallery", "import", "{gallery}", "missing.zip"), 2, "invalid_argument"),
        (("gallery", "list", "{gallery}", "--where", "x"), 2, "invalid_argument"),
        (("enrol", "missing", "--gallery", "{gallery}"), 2, "invalid_argument"),
        (("enrol", "people", "--gallery", "{gallery}", "--embedder", "dlib"), 2, "invalid_argument"),
        (("identify", "missing.jpg", "--gallery", "{gallery}", "--purpose", PURPOSE), 4, "unreadable_source"),
        (
            (
                "identify",
                str(EXAMPLES / "0_yaw.jpg"),
                "--gallery",
                "{gallery}",
                "--purpose",
                PURPOSE,
                "--embedder",
                "dlib",
            ),
            2,
            "incompatible_templates",
        ),
        (
            (
                "identify",
                str(EXAMPLES / "0_yaw.jpg"),
                "--gallery",
                "{gallery}",
                "--purpose",
                PURPOSE,
                "--report",
                "a.txt",
            ),
            2,
            "invalid_argument",
        ),
    ],
)
def test_wrong_requests_have_the_codes_of_the_library(
    filled: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, error: str
) -> None:
    monkeypatch.chdir(filled.parent)
    told = document(capsys, *(word.format(gallery=filled) if "{" in word else word for word in words), code=code)
    assert told["error"]["code"] == error
    assert not Path("new.db").exists()
