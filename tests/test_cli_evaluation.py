"""``xcos lint-model`` and ``xcos calibrate`` as they are typed."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lint_toy import MiddleDetector, card_for, photo_name, write_card, write_network, write_photos

from xcos.calibration import read_calibration
from xcos.catalog import DETECTORS
from xcos.cli import main

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document_of(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return document


def error_of(text: str) -> str:
    code: str = document_of(text)["error"]["code"]
    return code


# lint-model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, its right card, a wrong one, and photos."""
    folder = tmp_path_factory.mktemp("toy")
    network = write_network(folder / "toy.onnx")
    write_card(folder / "right.json", card_for(network))
    write_card(folder / "wrong.json", card_for(network, color="bgr"))
    write_photos(folder / "photos", 50, faceless=[photo_name(7, 1)])
    return folder


@pytest.fixture
def lint(toy: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setitem(DETECTORS, "middle", lambda _: MiddleDetector())

    def linted(card: str, *words: str) -> tuple[int, str, str]:
        request = ["lint-model", str(toy / "toy.onnx"), "csv", str(toy / "photos" / "pairs.csv"), "--pairs", "50"]
        return run(capsys, *request, "--card", str(toy / card), "--detector", "middle", *words)

    return linted


Lint = Callable[..., tuple[int, str, str]]


def test_a_right_card_is_said_to_be_as_declared(lint: Lint) -> None:
    code, out, err = lint("right.json")
    assert code == 0
    assert out.splitlines()[-1].startswith("as declared: d′ ")
    for aspect in ("crop", "color", "range", "mirror"):
        assert re.search(rf"^{aspect}: +as declared, ", out, re.M)
    assert "wants" not in out
    assert "in the card" not in out
    assert err == "photos left out: 1 no_face\n"


def test_a_wrong_card_is_told_what_the_model_wants_what_that_gains_and_what_to_write(lint: Lint) -> None:
    code, out, _ = lint("wrong.json")
    assert code == 0
    (told,) = re.findall(
        r"^color: +this model wants RGB, not BGR; you gain (.*) of equal error rate, (.*) of d′$", out, re.M
    )
    for gain in told:
        value, low, high = (float(number) for number in re.findall(r"[+-]\d+\.\d+", gain))
        assert 0 < low < value < high
    assert 'in the card: {"color": "rgb"}' in out.splitlines()


def test_the_json_of_a_lint_has_the_figures_of_the_text(lint: Lint) -> None:
    _, text, _ = lint("wrong.json", "--only", "color")
    code, out, _ = lint("wrong.json", "--only", "color", "--json")
    document = document_of(out)
    assert code == 0
    assert document["corrections"] == {"color": "rgb"}
    (finding,) = document["findings"]
    gain = "{value:+.2f} [{low:+.2f}, {high:+.2f}] of d′".format(**finding["gain"])
    assert gain in text
    for side in ("declared", "wanted"):
        assert f"d′ {document['verified'][side]['separation']:.2f}, EER" in text
    assert document["refused"] == {"no_face": 1}


def test_every_alternative_has_a_line(lint: Lint) -> None:
    _, out, _ = lint("right.json")
    rows = [line for line in out.splitlines() if re.match(r"(crop|color|range|mirror)  ", line)]
    _, text, _ = lint("right.json", "--json")
    (trials,) = [each["trials"] for each in document_of(text)["rounds"]]
    assert len(rows) == len(trials)
    for row, trial in zip(rows, trials, strict=True):
        assert trial["alternative"] in row
        assert f"{trial['gain']['value']:+.2f}" in row


def test_a_network_that_cannot_be_judged_is_called_so(lint: Lint, toy: Path) -> None:
    write_card(toy / "hopeless.json", card_for(toy / "toy.onnx", color="bgr", mean=(0.0,) * 3, scale=1.0))
    code, out, _ = lint("hopeless.json", "--only", "color", "range")
    assert code == 0
    assert "nothing is concluded" in out
    assert "none of any photo is finite" in out


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"--pairs": "19"}, "invalid_argument"),
        ({"--pairs": "600.5"}, "invalid_argument"),
        ({"--detector": "best"}, "invalid_argument"),
        ({"--only": "smell"}, "invalid_argument"),
        ({"--card": "missing.json"}, "invalid_card"),
        ({"network": "missing.onnx"}, "invalid_model"),
        ({"network": "right.json"}, "invalid_model"),
        ({"protocol": "lfv"}, "invalid_argument"),
        ({"protocol": "tinyface"}, "invalid_protocol"),
        ({"data": "missing.csv"}, "invalid_protocol"),
        ({"--vector": "nothing"}, "invalid_model"),
    ],
)
def test_a_wrong_request_for_a_lint_is_refused_in_one_line(
    capsys: Capture, toy: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], code: str
) -> None:
    monkeypatch.chdir(toy)
    monkeypatch.setitem(DETECTORS, "middle", lambda _: MiddleDetector())
    given = {"network": "toy.onnx", "protocol": "csv", "data": "photos/pairs.csv"}
    given |= {"--card": "right.json", "--detector": "middle", **changes}
    words = [word for name, value in given.items() for word in ([name, value] if name.startswith("--") else [value])]
    status, out, err = run(capsys, "lint-model", *words, "--json")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert error_of(err) == code or (code, error_of(err)) == ("invalid_model", "invalid_card")


# calibrate

NAMES = ("--model", "net/grid/0123456789ab", "--comparator", "norm", "--detector", "mtcnn", "--dataset", "gate, spring")


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    drawn = np.random.default_rng(0)
    lines = ["probe,reference,mated,score,error,probe_subject,reference_subject"]
    for one in range(150):
        lines.append(f"p{one}/0,p{one}/1,1,{drawn.normal(0.7, 0.1):.5f},,p{one},p{one}")
        lines += [f"p{one}/0,p{two}/0,0,{drawn.normal(0.1, 0.1):.5f},,p{one},p{two}" for two in range(one)]
    lines[3] = "p1/0,p0/0,0,,no_face,p1,p0"
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_card_is_written_that_can_be_read_and_says_where_it_comes_from(capsys: Capture, scores: Path) -> None:
    out = scores.with_name("card.json")
    code, told, err = run(capsys, "calibrate", str(scores), *NAMES, "--fmr", "0.05", "--out", str(out))
    assert (code, err) == (0, "")
    card = read_calibration(out)
    assert (card.model, card.comparator) == ("net/grid/0123456789ab", "norm")
    assert (card.origin.detector, card.origin.dataset) == ("mtcnn", "gate, spring")
    assert card.origin.date == date.today().isoformat()
    assert f"threshold {card.threshold(0.05).value:.4f} " in told
    assert f"fitted on {card.origin.n_mated:,} mated" in told
    assert f"wrote {out}" in told


def test_the_json_of_a_calibration_has_the_figures_of_the_card(capsys: Capture, scores: Path) -> None:
    out = scores.with_name("card.json")
    words = ("--fmr", "0.05", "0.02", "--date", "2026-11-24", "--test-share", "0.4", "--out", str(out), "--json")
    code, told, _ = run(capsys, "calibrate", str(scores), *NAMES, *words)
    document, card = document_of(told), read_calibration(out)
    assert code == 0
    assert document["card"]["sha256"] == card.sha256
    assert document["origin"]["date"] == card.origin.date == "2026-11-24"
    # the card's rates are written with eight digits
    wanted = [card.threshold(rate).value for rate in (0.05, 0.02)]
    assert [each["threshold"]["value"] for each in document["measured"]] == pytest.approx(wanted, rel=1e-6)
    assert document["fitted"]["people"] + document["tested"]["people"] == 150
    counted = [document[part][kind] for part in ("fitted", "tested") for kind in ("mated", "non_mated")]
    assert sum(counted) + document["across"] == len(scores.read_text().splitlines()) - 1
    for each in document["measured"]:
        assert each["fmr"]["low"] <= each["fmr"]["value"] <= each["fmr"]["high"]


def test_a_rate_that_is_not_supported_leaves_the_old_card_as_it_was(capsys: Capture, scores: Path) -> None:
    out = scores.with_name("card.json")
    out.write_text("old")
    code, told, err = run(capsys, "calibrate", str(scores), *NAMES, "--fmr", "1e-7", "--out", str(out), "--json")
    assert (code, told, error_of(err)) == (2, "", "unsupported_fmr")
    assert out.read_text() == "old"
    assert sorted(path.name for path in scores.parent.iterdir()) == ["card.json", "scores.csv"]


def test_the_table_is_never_overwritten(capsys: Capture, scores: Path) -> None:
    before = scores.read_bytes()
    code, _, err = run(capsys, "calibrate", str(scores), *NAMES, "--fmr", "0.05", "--out", str(scores), "--json")
    assert (code, error_of(err)) == (2, "invalid_argument")
    assert scores.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--fmr", "2"), "invalid_argument"),
        (("--fmr", "nan"), "invalid_argument"),
        (("--test-share", "0"), "invalid_argument"),
        (("--test-share", "1"), "invalid_argument"),
        (("--date", "yesterday"), "invalid_argument"),
        (("--model", ""), "invalid_argument"),
        (("--dataset", " "), "invalid_argument"),
        (("--detector", ""), "invalid_argument"),
        (("--out", "missing/card.json"), "invalid_argument"),
    ],
)
def test_a_wrong_request_for_a_card_writes_nothing(
    capsys: Capture, scores: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], code: str
) -> None:
    monkeypatch.chdir(scores.parent)
    given = ("--fmr", "0.05", "--out", "card.json", *words, "--json")
    status, out, err = run(capsys, "calibrate", "scores.csv", *NAMES, *given)
    assert (status, out, error_of(err)) == (2, "", code)
    assert [path.name for path in scores.parent.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("probe,reference,mated\na,b,1\n", "score"),
        ("probe,reference,mated,score\na,b,1,high\n", "line 2"),
        ("probe,reference,mated,score\na,b,1,0.5\na,b,1,0.5\nc,d,0,0.1\n", "line 3"),
        ("", "probe"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(capsys: Capture, scores: Path, content: str, said: str) -> None:
    scores.write_text(content)
    code, _, err = run(capsys, "calibrate", str(scores), *NAMES, "--out", str(scores.with_name("card.json")))
    assert code == 2
    assert said in err
    assert [path.name for path in scores.parent.iterdir()] == ["scores.csv"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals on this system")
def test_whoever_waits_at_a_terminal_sees_how_far_the_table_is_read(scores: Path) -> None:
    rows = scores.read_text().splitlines()
    words = ["calibrate", str(scores), *NAMES, "--fmr", "0.05", "--out", str(scores.with_name("card.json"))]
    ours, theirs = os.openpty()
    done = subprocess.run([sys.executable, "-m", "xcos", *words], stderr=theirs, stdout=subprocess.PIPE, check=True)
    os.close(theirs)
    told = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert re.search(rf"rows .*10000/{len(rows) - 1}", told), told
    assert b"threshold" in done.stdout


def test_names_of_the_model_are_those_a_verifier_asks_for(capsys: Capture, scores: Path) -> None:
    out = scores.with_name("card.json")
    assert run(capsys, "calibrate", str(scores), *NAMES, "--fmr", "0.05", "--out", str(out))[0] == 0
    assert math.isfinite(read_calibration(out).llr(0.5))
    photo = str(Path(__file__).parents[1] / "src" / "xcos" / "data" / "examples" / "0_front.jpg")
    code, _, err = run(capsys, "verify", photo, photo, "--calibration", str(out), "--json")
    assert (code, error_of(err)) == (2, "invalid_card")
