from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import xcos
import xcos.pairs
from xcos.catalog import DATA
from xcos.cli import main
from xcos.detectors import mtcnn as mtcnn_module
from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import CARD
from xcos.errors import XcosError
from xcos.images import read_image
from xcos.types import Photo
from xcos.verifier import Verifier
from xcos.version import __version__

EXAMPLES = DATA / "examples"
Example = Callable[[str], Photo]
Capture = pytest.CaptureFixture[str]


def named(name: str) -> str:
    return str(EXAMPLES / f"{name}.jpg")


MATCH = (named("0_front"), named("0_smile"))
NON_MATCH = (named("0_front"), named("1_front"))
INCONCLUSIVE = (named("1_front"), named("2_front"))


@pytest.fixture
def crowd(tmp_path: Path, example: Example) -> str:
    """Three people in a row: 0, 1, and 2 much smaller."""
    small = np.full((300, 150, 3), 128, np.uint8)
    small[75:225] = np.asarray(Image.fromarray(example("2_front").pixels).resize((150, 150)))
    path = tmp_path / "crowd.png"
    Image.fromarray(np.hstack([example("0_front").pixels, example("1_front").pixels, small])).save(path)
    return str(path)


@pytest.fixture
def faceless(tmp_path: Path) -> str:
    path = tmp_path / "faceless.png"
    Image.new("RGB", (300, 300), (90, 120, 150)).save(path)
    return str(path)


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document_of(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return document


# Two photos


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("photos", "outcome", "code"),
    [(MATCH, "match", 0), (NON_MATCH, "non_match", 1), (INCONCLUSIVE, "inconclusive", 3)],
)
def test_the_exit_code_is_the_decision(
    capsys: Capture, verifier: Verifier, photos: tuple[str, str], outcome: str, code: int
) -> None:
    result = verifier.verify(*map(read_image, photos))
    for order in (photos, photos[::-1]):
        found, out, err = run(capsys, "verify", *order)
        assert (found, err) == (code, "")
        assert out.splitlines()[0] == outcome
        assert f"{result.score:.4f}" in out
        assert "liveness" in out
        for reason in result.decision.reasons:
            assert reason.code in out


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("photos", [MATCH, NON_MATCH, INCONCLUSIVE])
def test_the_json_is_the_librarys(capsys: Capture, verifier: Verifier, photos: tuple[str, str]) -> None:
    result = verifier.verify(*map(read_image, photos), fmr=0.01)
    for style, clock in (("xcos", "timings_ms"), ("deepface", "time")):
        words = ("verify", *photos, "--json", "--json-style", style, "--fmr", "0.01")
        found, out, err = run(capsys, *words)
        expected = result.to_dict(style="deepface" if style == "deepface" else "xcos")
        assert found == {"match": 0, "non_match": 1, "inconclusive": 3}[result.outcome]
        assert err == ""
        assert {**document_of(out), clock: None} == {**expected, clock: None}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("as_json", [False, True])
def test_picture_and_report_are_written(capsys: Capture, tmp_path: Path, as_json: bool) -> None:
    picture, report = tmp_path / "a.png", tmp_path / "a.html"
    words = ["verify", *MATCH, "--picture", str(picture), "--report", str(report), *(["--json"] if as_json else [])]
    code, out, _ = run(capsys, *words)
    assert code == 0
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
        assert opened.size == (2360, 1320)
    assert report.read_text("utf-8").startswith("<!doctype html>")
    if as_json:
        document_of(out)
    else:
        assert str(picture) in out
        assert str(report) in out


@pytest.mark.usefixtures("quick")
def test_a_face_is_chosen_by_its_index(capsys: Capture, crowd: str) -> None:
    boxes, confidences = [], []
    for index in range(3):
        code, out, _ = run(capsys, "verify", crowd, crowd, "--face", str(index), "--json")
        document = document_of(out)
        assert (code, document["probe"]["faces_found"]) == (0, 3)
        assert document["probe"]["box"] == document["reference"]["box"]
        boxes.append(document["probe"]["box"])
        confidences.append(document["probe"]["confidence"])
    assert confidences == sorted(confidences, reverse=True)
    lefts = sorted(box[0] for box in boxes)
    assert lefts[0] < 300 < lefts[1] < 600 < lefts[2], "each person once"
    code, _, err = run(capsys, "verify", crowd, crowd, "--face", "3", "--json")
    error = document_of(err)["error"]
    assert (code, error["code"], error["details"]) == (4, "no_such_face", {"asked": 3, "found": 3, "side": "probe"})


@pytest.mark.usefixtures("quick")
def test_a_face_may_be_chosen_for_one_photo_alone(capsys: Capture, crowd: str) -> None:
    outcomes = set()
    for index in range(3):
        for photos, option in (((crowd, MATCH[0]), "--probe-face"), ((MATCH[0], crowd), "--reference-face")):
            _, out, _ = run(capsys, "verify", *photos, option, str(index), "--json")
            outcomes.add((index, document_of(out)["decision"]))
    assert len(outcomes) == 3, "the side does not matter"
    assert [outcome for _, outcome in sorted(outcomes)].count("match") == 1, "one of the three is that person"


@pytest.mark.usefixtures("quick")
def test_the_face_in_the_middle_is_chosen(capsys: Capture, crowd: str) -> None:
    for person, outcome in (("1", "match"), ("0", "non_match")):
        _, out, _ = run(capsys, "verify", crowd, named(f"{person}_front"), "--face", "center", "--json")
        document = document_of(out)
        assert document["decision"] == outcome
        assert 300 < document["probe"]["box"][0] < document["probe"]["box"][2] < 600


@pytest.mark.usefixtures("quick")
def test_several_faces_are_an_error_unless_one_is_chosen(capsys: Capture, crowd: str) -> None:
    code, out, err = run(capsys, "verify", crowd, named("0_smile"), "--json")
    assert (code, out) == (4, "")
    assert document_of(err)["error"]["code"] == "multiple_faces"
    code, out, _ = run(capsys, "verify", crowd, named("0_smile"), "--face", "largest", "--json")
    document = document_of(out)  # two faces of one size: the rule cannot tell them apart
    assert (code, document["decision"]) == (3, "inconclusive")
    assert ("several_faces", "probe") in {(reason["code"], reason["side"]) for reason in document["reasons"]}


# Errors

WRONG_REQUESTS: dict[str, tuple[list[str], str]] = {
    "one photo": (["verify", MATCH[0]], "invalid_argument"),
    "no photo": (["verify"], "invalid_argument"),
    "three photos": (["verify", *MATCH, MATCH[0]], "invalid_argument"),
    "no command": ([], "invalid_argument"),
    "unknown command": (["identify"], "invalid_argument"),
    "unknown option": (["verify", *MATCH, "--fast"], "invalid_argument"),
    "fmr no number": (["verify", *MATCH, "--fmr", "low"], "invalid_argument"),
    "fmr of one": (["verify", *MATCH, "--fmr", "1"], "invalid_argument"),
    "fmr below zero": (["verify", *MATCH, "--fmr", "-1"], "invalid_argument"),
    "fmr not a number": (["verify", *MATCH, "--fmr", "nan"], "invalid_argument"),
    "fmr infinite": (["verify", *MATCH, "--fmr", "inf"], "invalid_argument"),
    "fmr too small": (["verify", *MATCH, "--fmr", "1e-9"], "unsupported_fmr"),
    "face no rule": (["verify", *MATCH, "--face", "best"], "invalid_argument"),
    "face below zero": (["verify", *MATCH, "--face", "-1"], "invalid_argument"),
    "style": (["verify", *MATCH, "--json-style", "yaml"], "invalid_argument"),
    "detector": (["verify", *MATCH, "--detector", "best"], "invalid_argument"),
    "embedder": (["verify", *MATCH, "--embedder", "best"], "invalid_argument"),
    "comparator": (["verify", *MATCH, "--comparator", "best"], "invalid_argument"),
    "calibration": (["verify", *MATCH, "--calibration", "missing.json"], "invalid_card"),
    "weights": (["verify", *MATCH, "--embedder", "onnx:missing.onnx:missing.json"], "invalid_card"),
    "out without pairs": (["verify", *MATCH, "--out", "a.csv"], "invalid_argument"),
    "pairs without out": (["verify", "--pairs", "a.csv"], "invalid_argument"),
    "pairs with photos": (["verify", *MATCH, "--pairs", "a.csv", "--out", "b.csv"], "invalid_argument"),
    "pairs with a report": (["verify", "--pairs", "a.csv", "--out", "b.csv", "--report", "a.html"], "invalid_argument"),
    "pairs missing": (["verify", "--pairs", "missing.csv", "--out", "b.csv"], "invalid_pair_list"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("words", "expected"), WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
def test_a_wrong_request_is_answered_in_one_line(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("xcos: ")
    assert len(err.splitlines()) == 1
    code, out, err = run(capsys, *words, "--json")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    error = document_of(err)["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_refused_photo_has_the_librarys_code_and_message(
    capsys: Capture, tmp_path: Path, verifier: Verifier, faceless: str, crowd: str
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(Path(MATCH[0]).read_bytes()[:3000])
    refused = {
        str(tmp_path / "missing.jpg"): "unreadable_source",
        str(tmp_path): "unreadable_source",
        str(tmp_path / "text.jpg"): "unsupported_format",
        str(tmp_path / "cut.jpg"): "corrupt_image",
        faceless: "no_face",
        crowd: "multiple_faces",
    }
    for path, expected in refused.items():
        with pytest.raises(XcosError) as caught:
            verifier.verify(read_image(path), read_image(MATCH[0]))
        assert caught.value.code == expected
        for photos in ((path, MATCH[0]), (MATCH[0], path)):
            code, out, err = run(capsys, "verify", *photos, "--json")
            assert (code, out) == (4, "")
            error, library = document_of(err)["error"], caught.value
            side = "probe" if photos[0] == path else "reference"
            assert (error["code"], error["details"]["side"]) == (expected, side)
            assert error["message"] == f"{side}: {library.message.removeprefix('probe: ')}"
            code, out, err = run(capsys, "verify", *photos)
            assert (code, out) == (4, "")
            assert err == f"xcos: {error['message']}\n"


@pytest.mark.usefixtures("no_work", "quick")
@pytest.mark.parametrize("option", ["--picture", "--report", "--out"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    capsys: Capture, tmp_path: Path, option: str
) -> None:
    (tmp_path / "pairs.csv").write_text(f"probe,reference\n{MATCH[0]},{MATCH[1]}\n")
    photos = ["--pairs", str(tmp_path / "pairs.csv")] if option == "--out" else MATCH
    for path in (tmp_path / "missing" / "a", tmp_path, tmp_path / "pairs.csv" / "a"):
        code, out, err = run(capsys, "verify", *photos, option, str(path), "--json")
        assert (code, out) == (2, "")
        assert document_of(err)["error"]["code"] == "invalid_argument"
        assert str(path) in document_of(err)["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


@pytest.mark.usefixtures("quick")
def test_an_output_that_would_take_the_place_of_an_input_is_refused(capsys: Capture, tmp_path: Path) -> None:
    photo, pairs = tmp_path / "a.jpg", tmp_path / "pairs.csv"
    shutil.copy(MATCH[0], photo)
    pairs.write_text("probe,reference\na.jpg,a.jpg\n")
    before = photo.read_bytes(), pairs.read_bytes()
    for words in (
        [str(photo), MATCH[1], "--report", str(photo)],
        [MATCH[1], str(photo), "--picture", str(photo)],
        ["--pairs", str(pairs), "--out", str(pairs)],
    ):
        code, _, err = run(capsys, "verify", *words, "--json")
        assert (photo.read_bytes(), pairs.read_bytes()) == before, words
        assert code == 2
        assert document_of(err)["error"]["code"] == "invalid_argument"


@pytest.mark.usefixtures("quick")
def test_a_fault_of_the_program_is_told_as_such(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Verifier, "verify", fail)
    code, out, err = run(capsys, "verify", *MATCH, "--json")
    assert (code, out) == (5, "")
    assert document_of(err)["error"]["code"] == "internal_error"
    code, out, err = run(capsys, "verify", *MATCH)
    assert (code, out) == (5, "")
    assert "boom" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    with pytest.raises(RuntimeError, match="boom"):
        main(["verify", *MATCH, "--debug"])


@pytest.mark.usefixtures("quick")
def test_a_stop_by_the_user_is_no_fault(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Verifier, "verify", stop)
    code, out, err = run(capsys, "verify", *MATCH, "--json")
    assert (code, out) == (130, "")
    assert document_of(err)["error"]["code"] == "interrupted"


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["demo", "--help"], ["doctor", "--help"]])
def test_help_names_the_exit_codes(capsys: Capture, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for code in range(6):
        assert f"{code} " in out


def test_the_version_is_the_packages(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"xcos {__version__}\n"


# Pairs


@pytest.fixture
def pairs(tmp_path: Path, faceless: str) -> Path:
    for name in ("0_front", "0_smile", "1_front", "1_smile"):
        shutil.copy(named(name), tmp_path)
    path = tmp_path / "pairs.csv"
    path.write_text(
        "probe,reference,mated\n0_front.jpg,0_smile.jpg,1\n1_front.jpg,1_smile.jpg,1\n0_front.jpg,1_front.jpg,0\n"
        f"{faceless},0_front.jpg,0\n"
    )
    return path


@pytest.mark.usefixtures("quick")
def test_a_list_of_pairs_gives_a_file_of_scores(
    capsys: Capture, verifier: Verifier, tmp_path: Path, pairs: Path
) -> None:
    out_file = tmp_path / "scores.csv"
    code, out, err = run(capsys, "verify", "--pairs", str(pairs), "--out", str(out_file), "--json")
    assert (code, err) == (0, "")
    summary = document_of(out)
    assert (summary["pairs"], summary["resumed"], summary["out"]) == (4, 0, str(out_file))
    assert sorted(summary["counts"].values()) == [1, 1, 2]
    with out_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["decision"] for row in rows] == ["match", "match", "non_match", ""]
    assert [row["error"] for row in rows] == ["", "", "", "no_face"]
    assert [row["mated"] for row in rows] == ["1", "1", "0", "0"]
    for row in rows[:3]:
        alone = verifier.verify(*(read_image(tmp_path / row[side]) for side in ("probe", "reference")))
        assert float(row["score"]) == pytest.approx(alone.score, abs=1.5e-6)


@pytest.mark.usefixtures("quick")
def test_pairs_in_words_for_people(capsys: Capture, tmp_path: Path, pairs: Path) -> None:
    code, out, err = run(capsys, "verify", "--pairs", str(pairs), "--out", str(tmp_path / "scores.csv"))
    assert (code, err) == (0, "")
    for word in ("non_match", "no_face", "4", "scores.csv"):
        assert word in out


@pytest.mark.usefixtures("quick")
def test_a_stopped_list_goes_on(capsys: Capture, tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xcos.pairs.CHUNK", 2)
    out_file = tmp_path / "scores.csv"
    words = ("verify", "--pairs", str(pairs), "--out", str(out_file), "--json")
    with monkeypatch.context() as stopping:
        judge, chunks = xcos.pairs._judge, iter((True, False))

        def judge_one_chunk(*arguments: Any) -> Any:
            if not next(chunks):
                raise KeyboardInterrupt
            return judge(*arguments)

        stopping.setattr(xcos.pairs, "_judge", judge_one_chunk)
        assert run(capsys, *words)[0] == 130
    assert not out_file.exists()
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert document_of(out)["resumed"] == 2
    assert sum(document_of(out)["counts"].values()) == 4, "the counts are those of the whole list"
    assert len(out_file.read_text().splitlines()) == 5


@pytest.mark.usefixtures("no_work", "quick")
@pytest.mark.parametrize("fmr", ["1e-9", "0", "nan"])
def test_a_rate_that_cannot_be_had_is_refused_before_any_photo_is_read(
    capsys: Capture, tmp_path: Path, pairs: Path, fmr: str
) -> None:
    code, _, err = run(
        capsys, "verify", "--pairs", str(pairs), "--out", str(tmp_path / "s.csv"), "--fmr", fmr, "--json"
    )
    assert code == 2
    assert document_of(err)["error"]["code"] in ("unsupported_fmr", "invalid_argument")


# Demo and doctor


@pytest.mark.usefixtures("quick")
def test_the_demo_writes_what_it_says(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "demo", "--out", "new/folder", "--json")
    assert (code, err) == (0, "")
    comparisons = document_of(out)["comparisons"]
    assert {row["decision"] for row in comparisons} == {"match", "non_match", "inconclusive"}
    for row in comparisons:
        report = Path(row["report"])
        assert report.read_text("utf-8").startswith("<!doctype html>")
        with Image.open(report.with_suffix(".png")) as picture:
            assert picture.format == "PNG"
        assert bool(row["reasons"]) == (row["decision"] == "inconclusive")
    assert len(list(Path("new/folder").iterdir())) == 2 * len(comparisons)
    code, out, _ = run(capsys, "demo", "--out", "new/folder")
    assert code == 0
    for row in comparisons:
        assert f"{row['score']:.4f}" in out
        assert row["report"] in out


@pytest.mark.usefixtures("quick")
def test_a_demo_without_a_place_is_refused(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "demo", "--out", str(tmp_path / "file" / "folder"), "--json")
    assert code == 2
    assert document_of(err)["error"]["code"] == "invalid_argument"


@pytest.mark.usefixtures("quick")
def test_a_whole_installation_is_well(capsys: Capture) -> None:
    code, out, err = run(capsys, "doctor", "--json")
    assert (code, err) == (0, "")
    document = document_of(out)
    assert document["ok"] is True
    assert all(set(finding) == {"what", "seen", "fix"} for finding in document["findings"])
    assert {finding["fix"] for finding in document["findings"]} == {""}
    everything = json.dumps(document)
    for word in (__version__, "CPUExecutionProvider", *mtcnn_module.WEIGHTS, CARD.name, "stage.npz"):
        assert word in everything
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert len(out.splitlines()) == len(document["findings"]) + 1


def test_altered_weights_are_found_and_the_remedy_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mtcnn_module.WEIGHTS, "rnet", "0" * 64)
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 5
    document = document_of(out)
    assert document["ok"] is False
    broken = {finding["what"]: finding for finding in document["findings"] if finding["fix"]}
    (weights,) = [finding for what, finding in broken.items() if "rnet" in what]
    assert weights["seen"] == "weights_mismatch"
    assert "install" in weights["fix"]
    assert "self-test" in broken
    code, out, _ = run(capsys, "doctor")
    assert code == 5
    assert "fix: " in out
    code, _, err = run(capsys, "verify", *MATCH, "--json")
    assert code == 5
    assert document_of(err)["error"]["code"] == "weights_mismatch"


@pytest.mark.usefixtures("quick")
def test_wrong_numbers_are_found_by_the_self_test(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = DlibResNet.embed

    def drift(self: DlibResNet, crops: Any) -> Any:
        return embed(self, crops // 2)

    monkeypatch.setattr(DlibResNet, "embed", drift)
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 5
    (broken,) = [finding for finding in document_of(out)["findings"] if finding["fix"]]
    assert broken["what"] == "self-test"


@pytest.mark.usefixtures("quick")
def test_a_doctor_does_not_die_of_the_disease(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Verifier, "verify", fail)
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 5
    assert any("boom" in finding["seen"] and finding["fix"] for finding in document_of(out)["findings"])


# As a program of its own


def xcos_process(*words: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "xcos", *words],
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("words", "code", "first"),
    [
        (["verify", *MATCH], 0, b"match\n"),
        (["verify", *NON_MATCH], 1, b"non_match\n"),
        (["verify", *INCONCLUSIVE], 3, b"inconclusive\n"),
    ],
)
def test_the_program_by_itself(words: list[str], code: int, first: bytes) -> None:
    done = xcos_process(*words)
    assert (done.returncode, done.stderr) == (code, b"")
    assert done.stdout.startswith(first)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["verify", MATCH[0]], 2, "invalid_argument"),
        (["verify", MATCH[0], "missing.jpg"], 4, "unreadable_source"),
    ],
)
def test_the_program_by_itself_refuses(words: list[str], code: int, error: str) -> None:
    plain, as_json = xcos_process(*words), xcos_process(*words, "--json")
    assert (plain.returncode, as_json.returncode, plain.stdout, as_json.stdout) == (code, code, b"", b"")
    assert len(plain.stderr.splitlines()) == len(as_json.stderr.splitlines()) == 1
    assert document_of(as_json.stderr.decode())["error"]["code"] == error


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
@pytest.mark.parametrize("words", [["verify", *MATCH, "--json"], ["doctor"]])
def test_a_reader_that_goes_away_gets_no_traceback(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "xcos", *words], stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(writer)
    assert process.stderr == b""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_paths_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    photo, report, missing = (folder + b"/" + name for name in (b"phot\xe9.jpg", b"r\xe9port.html", b"miss\xe9.jpg"))
    shutil.copy(os.fsencode(MATCH[0]), photo)
    done = xcos_process(b"verify", photo, MATCH[1], b"--report", report, PYTHONIOENCODING="utf-8:strict")
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(os.fsdecode(report)).read_text("utf-8").startswith("<!doctype html>")
    done = xcos_process(b"verify", photo, MATCH[1], b"--json")
    assert done.returncode == 0
    name = document_of(done.stdout.decode())["probe"]["name"]
    assert name.startswith("phot")
    assert name.endswith(".jpg")
    done = xcos_process(b"verify", missing, MATCH[1], PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_without_unicode_is_no_obstacle() -> None:
    done = xcos_process("doctor", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


@pytest.mark.usefixtures("no_work", "quick")
def test_outputs_never_overwrite_what_is_read_and_options_are_never_ignored(capsys: Capture, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    shutil.copy(MATCH[0], photo)
    (tmp_path / "list.csv").write_text(f"probe,reference\nphoto.png,{MATCH[0]}\n")
    pairs = ("--pairs", str(tmp_path / "list.csv"))
    for words in (
        (*pairs, "--out", str(photo)),
        (*pairs, "--out", str(tmp_path / "list.csv")),
        (*pairs, "--out", str(tmp_path / "s.csv"), "--probe-face", "0"),
        (*pairs, "--out", str(tmp_path / "s.csv"), "--json-style", "deepface"),
        (str(photo), MATCH[1], "--picture", str(photo)),
        (str(photo), MATCH[1], "--picture", str(tmp_path / "p.jpg")),
        (str(photo), MATCH[1], "--report", str(tmp_path / "r.png")),
        (str(photo), MATCH[1], "--json-style", "deepface"),
    ):
        code, _, err = run(capsys, "verify", *words)
        assert code == 2, words
        assert err.count("\n") == 1
    assert photo.read_bytes() == Path(MATCH[0]).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "photo.png"]


def test_another_detector_than_the_calibrations_is_said(capsys: Capture, tmp_path: Path) -> None:
    for name in ("0_front", "0_smile"):
        with Image.open(named(name)) as picture:
            picture.crop((75, 60, 225, 210)).save(tmp_path / f"{name}.png")
    photos = (str(tmp_path / "0_front.png"), str(tmp_path / "0_smile.png"))
    _, out, _ = run(capsys, "verify", *photos, "--detector", "whole-image", "--json")
    caveats = document_of(out)["caveats"]
    assert len(caveats) == 2
    assert "whole_image" in caveats[0]
    _, out, _ = run(capsys, "verify", *photos, "--detector", "whole-image")
    assert all(caveat in out for caveat in caveats)
