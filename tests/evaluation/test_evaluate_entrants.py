"""Whatever ``xcos evaluate`` takes for a matcher, on photos and scores whose figures are known by hand."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from evaluated import Capture, document, evaluate, refused, rows_of
from fakes import save_photo
from lint_toy import card_for, write_card, write_network, write_photos
from protocol_sets import LISTED, lfw, write

from xcos.evaluation.protocols import read_scores
from xcos.evaluation.search_report import SCHEMA

ANGLES = {"a0": 0, "a1": 20, "b0": 90, "b1": 95, "c0": 180, "c1": 220}
"""Photos of three people; 255 has no face."""
OWN = """
import numpy as np

class Angle:
    model = "angle"
    seen = "seen.txt"

    def extract(self, photo):
        with open(self.seen, "a") as file:
            file.write("x")
        assert photo.dtype == np.uint8 and photo.shape == (64, 64, 3)
        angle = np.radians(int(photo[0, 0, 0]))
        return None if photo[0, 0, 0] == 255 else [np.cos(angle), np.sin(angle)]

    def compare(self, probes, references):
        return (probes * references).sum(axis=1)

def made():
    return Angle()

ready = Angle()
"""
Angles = dict[str, int]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose modules nobody else sees."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "shop"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def pairs_of(folder: Path, angles: Angles) -> list[tuple[str, str, bool]]:
    for name, angle in angles.items():
        save_photo(folder / f"{name}.png", angle)
    pairs = [(f"{a}.png", f"{b}.png", a[0] == b[0]) for a, b in combinations(angles, 2)]
    write(folder / "pairs.csv", ["probe,reference,mated", *(f"{a},{b},{int(mated)}" for a, b, mated in pairs)])
    return pairs


# Code of one's own


@pytest.mark.parametrize("name", ["mine:Angle", "mine:made", "mine:ready"])
def test_a_class_a_function_or_an_object_of_ones_own_is_a_matcher(desk: Path, name: str) -> None:
    pairs = pairs_of(desk, ANGLES)
    assert evaluate("csv", "pairs.csv", "--model", name) == 0
    table = read_scores(desk / "out" / "scores.csv")
    wanted = [math.cos(math.radians(ANGLES[a[:2]] - ANGLES[b[:2]])) for a, b, _ in pairs]
    assert table.scores.scores.tolist() == pytest.approx(wanted, abs=1e-6)
    assert [each["matcher"] for each in document()["matchers"]] == ["angle"]
    assert document()["settings"] == {"seed": "0"}


def test_a_photo_that_gives_no_template_is_counted_with_its_reason(desk: Path) -> None:
    refusing = (
        'from xcos.errors import UnusableFace\n        if photo[0, 0, 0] == 7:\n            raise UnusableFace("odd")'
    )
    (desk / "mine.py").write_text(OWN.replace("assert photo.dtype", refusing + "\n        assert photo.dtype"))
    pairs = pairs_of(desk, {**ANGLES, "c1": 255, "b1": 7})
    assert evaluate("csv", "pairs.csv", "--model", "mine:Angle") == 0
    failures = {each["name"]: each["code"] for each in document()["failures"]}
    assert failures == {"b1.png": "unusable_face", "c1.png": "no_face"}
    assert document()["matchers"][0]["fta"]["errors"] == 2
    failed = read_scores(desk / "out" / "scores.csv").scores.failed
    assert failed.tolist() == [bool({a, b} & set(failures)) for a, b, _ in pairs]


def test_templates_are_kept_until_the_code_or_the_name_changes(desk: Path) -> None:
    pairs_of(desk, ANGLES)
    seen = desk / "seen.txt"
    for times, code in ((6, OWN), (6, OWN), (12, OWN + "# other weights\n"), (18, OWN.replace('"angle"', '"other"'))):
        (desk / "mine.py").write_text(code)
        sys.modules.pop("mine", None)
        assert evaluate("csv", "pairs.csv", "--model", "mine:Angle") == 0
        assert seen.stat().st_size == times


def test_an_embedder_of_ones_own_gets_aligned_crops_and_two_matchers_are_compared(desk: Path) -> None:
    pairs = pairs_of(desk, ANGLES)
    (desk / "shop.py").write_text("from fakes import AngleEmbedder\n")
    words = ("--model", "shop:AngleEmbedder", "--detector", "whole-image", "--against", "mine:Angle")
    assert evaluate("csv", "pairs.csv", *words) == 0
    names = [each["matcher"] for each in document()["matchers"]]
    assert names == ["fake/grid/000000000000 · norm", "fake/grid/000000000000 · vector", "angle"]
    assert [each["other"] for each in document()["against"]] == names[1:]
    by_crops, by_photos = (read_scores(desk / "out" / f"scores{at}.csv").scores.scores for at in ("", "-3"))
    assert by_crops.tolist() == pytest.approx(by_photos.tolist(), abs=1e-6)
    assert len(by_crops) == len(pairs)


@pytest.mark.parametrize(
    ("name", "code", "wanted", "said"),
    [
        ("nowhere:Angle", "", "invalid_argument", "no module is named nowhere"),
        ("mine.deeper:Angle", "", "invalid_argument", "no module is named mine.deeper"),
        ("mine:Angel", "", "invalid_argument", "mine has no Angel; it has Angle, made"),
        ("mine:", "", "invalid_argument", "package.module:Name"),
        ("mine:A-1", "", "invalid_argument", "package.module:Name"),
        ("mine:Angle", "1 / 0", "invalid_model", "importing mine fails: ZeroDivisionError.*mine.py, line 1"),
        ("mine:Angle", "def Angle():\n raise OSError('no weights')", "invalid_model", "OSError: no weights"),
        ("mine:Angle", "class Angle:\n  model = 'a'", "invalid_model", "a Angle without extract, compare"),
        ("mine:Angle", "def Angle():\n  return 3", "invalid_model", "a int without model, extract, compare"),
        ("mine:Angle", OWN.replace('"angle"', "3"), "invalid_model", "model must be a line of text"),
    ],
)
def test_code_that_is_no_matcher_is_refused_in_one_line(
    desk: Path, capsys: Capture, name: str, code: str, wanted: str, said: str
) -> None:
    pairs_of(desk, ANGLES)
    if code:
        (desk / "mine.py").write_text(code)
    error = refused(capsys, "csv", "pairs.csv", "--model", name)
    assert error["code"] == wanted
    assert re.search(said, error["message"]), error["message"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[np.cos(angle), np.sin(angle)]", "[[1.0]]", r"extract must give \(D,\) numbers, got \(1, 1\) for a0.png"),
        ("[np.cos(angle), np.sin(angle)]", "'face'", "extract must give"),
        ("[np.cos(angle), np.sin(angle)]", "[1.0] * (1 + photo[0, 0, 0])", "extract gave 21 numbers for a1.png, and 1"),
        (
            "[np.cos(angle), np.sin(angle)]",
            "photo.nothing",
            "extract of a0.png fails: AttributeError.*mine.py, line 13",
        ),
        ("(probes * references).sum(axis=1)", "1.0", r"got shape \(\)"),
        ("(probes * references).sum(axis=1)", "probes[:, 0] / 0", "not finite"),
        ("(probes * references).sum(axis=1)", "probes.nothing", "compare fails: AttributeError"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_code_that_answers_wrongly_ends_the_run_and_no_report_is_written(
    desk: Path, capsys: Capture, old: str, new: str, said: str
) -> None:
    pairs_of(desk, ANGLES)
    (desk / "mine.py").write_text(OWN.replace(old, new))
    assert evaluate("csv", "pairs.csv", "--model", "mine:Angle") == 2
    assert re.search(said, message := capsys.readouterr().err), message
    assert not (desk / "out").exists()


def test_what_the_code_needs_and_is_not_installed_is_told(desk: Path, capsys: Capture) -> None:
    pairs_of(desk, ANGLES)
    (desk / "mine.py").write_text("import no_such_package_at_all\n")
    assert evaluate("csv", "pairs.csv", "--model", "mine:Angle") == 5
    assert "pip install no_such_package_at_all" in capsys.readouterr().err


def test_numbers_that_are_no_template_are_failures(desk: Path) -> None:
    pairs_of(desk, ANGLES)
    changed = OWN.replace("[np.cos(angle), np.sin(angle)]", "[photo[0, 0, 0] - 20.0, float('nan') if angle > 3 else 0]")
    (desk / "mine.py").write_text(changed)
    assert evaluate("csv", "pairs.csv", "--model", "mine:Angle") == 0
    assert [(each["name"], each["code"]) for each in document()["failures"]] == [
        (f"{name}.png", "invalid_template") for name in ("a1", "c0", "c1")
    ]


@pytest.mark.parametrize("name", ["mine:Angle", "dlib"])
def test_who_is_evaluated_is_told_and_what_ones_own_code_says_is_seen(desk: Path, name: str) -> None:
    pairs_of(desk, ANGLES)
    (desk / "mine.py").write_text(
        OWN.replace("with open", "import sys; print('here', file=sys.stderr)\n        with open")
    )
    words = ["evaluate", "csv", "pairs.csv", "--model", name, "--out", "out"]
    words += ["--detector", "whole-image"] if name == "dlib" else []
    done = subprocess.run([sys.executable, "-m", "xcos", *words], capture_output=True, text=True, check=True)
    first, *rest = done.stderr.splitlines()
    assert first.startswith("6 photos: " + ("angle, your own code" if name == "mine:Angle" else "dlib"))
    assert rest == (["here"] * 6 if name == "mine:Angle" else [])


# An ONNX file and its card


def test_an_onnx_file_is_evaluated_with_its_card_wherever_that_lies(desk: Path) -> None:
    network = write_network(desk / "toy.onnx")
    write_card(desk / "toy.json", card_for(network))
    write_card(desk / "elsewhere.json", card_for(network))
    write_photos(desk, 6)
    given = ("csv", "pairs.csv", "--detector", "whole-image", "--face", "0")
    assert evaluate(*given, "--model", "toy.onnx", out="beside") == 0
    assert evaluate(*given, "--model", "onnx:toy.onnx", out="named") == 0
    (desk / "toy.json").unlink()
    words = ("--card", "elsewhere.json", "--against", "toy.onnx", "--against-card", "elsewhere.json")
    assert evaluate(*given, "--model", "toy.onnx", *words, out="card") == 0
    scores = [Path(out, "scores.csv").read_bytes() for out in ("beside", "named", "card")]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--model", "toy.onnx"), "invalid_card"),
        (("--model", "missing.onnx", "--card", "other.json"), "invalid_model"),
        (("--model", "dlib", "--card", "other.json"), "invalid_argument"),
        (("--card", "other.json"), "invalid_argument"),
        (("--model", "no-such-model"), "invalid_argument"),
        (("--model", "no/such/folder"), "invalid_argument"),
        (("--against-card", "other.json"), "invalid_argument"),
        (("--model", "dlib", "--scores", "scores.csv"), "invalid_argument"),
        (("--scores", "scores.csv", "--mirror"), "invalid_argument"),
        (("--model", "mine:Angle", "--detector", "mtcnn"), "invalid_argument"),
        (("--scores", "missing.csv"), "invalid_protocol"),
        (("--model", "mine:Angle", "--seed", "-1"), "invalid_argument"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(
    desk: Path, capsys: Capture, words: tuple[str, ...], code: str
) -> None:
    pairs_of(desk, ANGLES)
    write_card(desk / "other.json", card_for(write_network(desk / "toy.onnx")))
    assert refused(capsys, "csv", "pairs.csv", *words)["code"] == code


# Scores from elsewhere


def lfw_scores(folder: Path) -> tuple[list[list[str]], list[bool]]:
    """The tiny LFW without its photos; a row with a score for each pair, and which are mated."""
    made = lfw(folder / "lfw")
    for photo in (made.folder / "images").rglob("*.jpg"):
        photo.unlink()
    rows, mated = [], []
    for fold in range(10):
        ann, bob = f"Ann_{fold}/Ann_{fold}_000{{}}.jpg", f"Bob_{fold}/Bob_{fold}_000{{}}.jpg"
        rows += [[ann.format(1), ann.format(2)], [ann.format(3), ann.format(1)]]
        rows += [[ann.format(1), bob.format(1)], [bob.format(2), ann.format(3)]]
        mated += [True, True, False, False]
    drawn = np.random.default_rng(1).normal(size=len(rows)) + 2 * np.array(mated)
    return [[*row, repr(score)] for row, score in zip(rows, drawn.tolist(), strict=True)], mated


def table(path: Path, rows: Iterable[Iterable[str]], header: str = "probe,reference,score") -> None:
    write(path, [header, *(",".join(row) for row in rows)])


def test_scores_from_elsewhere_need_no_photo_and_stand_in_any_order(desk: Path) -> None:
    rows, mated = lfw_scores(desk)
    turned = [[b, a, score, "night"] for a, b, score in reversed(rows)]
    table(desk / "theirs.csv", turned, "Reference ,probe,SCORE,light")
    assert evaluate("lfw", "lfw", "--scores", "theirs.csv") == 0
    written = read_scores(desk / "out" / "scores.csv")
    assert written.scores.scores.tolist() == [float(row[2]) for row in rows]
    assert written.scores.mated.tolist() == mated
    found = document()["matchers"][0]
    scores = np.array([float(row[2]) for row in rows])
    right = max(int(((scores >= edge) == mated).sum()) for edge in scores)
    assert found["best_accuracy"] == right / 40
    assert "does not say which sample failed" in found["fta"]["text"]
    assert not (desk / "out.cache").exists()


def test_what_evaluate_wrote_is_read_back_to_the_same_figures_by_either_side(desk: Path) -> None:
    rows, _ = lfw_scores(desk)
    table(desk / "theirs.csv", [[*rows[0][:2], "", "no face"], *([*row, ""] for row in rows[1:])],
          "probe,reference,score,error")  # fmt: skip
    assert evaluate("lfw", "lfw", "--scores", "theirs.csv", "--against", "scores:theirs.csv", out="one") == 0
    assert evaluate("lfw", "lfw", "--scores", "one/scores.csv", out="two") == 0
    assert Path("one/scores.csv").read_bytes() == Path("two/scores.csv").read_bytes()
    one, two = (document(out)["matchers"][0] for out in ("one", "two"))
    assert {**one, "matcher": ""} == {**two, "matcher": ""}
    (failure,) = document("one")["failures"]
    assert (failure["name"], failure["message"]) == ("1 pairs", "no face, first in line 2 of theirs.csv")
    assert document("one")["against"][0]["eer"]["value"] in (0, None)


def test_a_pair_that_failed_is_an_error_at_every_threshold_and_counted(desk: Path) -> None:
    rows, mated = lfw_scores(desk)
    told = [[a, b, "", "too dark"] if kind else [a, b, "0.5", ""] for (a, b, _), kind in zip(rows, mated, strict=True)]
    table(desk / "theirs.csv", told, "probe,reference,score,error")
    assert evaluate("lfw", "lfw", "--scores", "theirs.csv") == 0
    assert document()["matchers"][0]["best_accuracy"] == 0.5
    accuracy = document()["matchers"][0]["folds"][1]["estimate"]
    assert (accuracy["value"], accuracy["errors"], accuracy["method"]) == (0.5, 20, "rule of three")
    assert accuracy["low"] == pytest.approx(0.5 - 3 / 10)  # ten people in mated pairs
    assert document()["failures"][0]["name"] == "20 pairs"


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (lambda rows: rows.pop(6), None, "no row for Ann_1/Ann_1_0001.jpg and Bob_1/Bob_1_0001.jpg, pair 7 of lfw; 1"),
        (lambda rows: rows.append(rows[4]), 42, "stand here once more than in lfw"),
        (lambda rows: rows.insert(0, [rows[9][1], rows[9][0], "0.1"]), 12, "stand here once more than in lfw"),
        (lambda rows: rows[3].__setitem__(0, "Cid/Cid_0001.jpg"), 5, "lfw has no 'Cid/Cid_0001.jpg'"),
        (lambda rows: rows[3].__setitem__(0, "Bob_9/Bob_9_0001.jpg"), 5, "is no pair of lfw"),
        (lambda rows: rows[2].__setitem__(2, "nan"), 4, "not NaN"),
        (lambda rows: rows[2].__setitem__(2, ""), 4, "for a pair that failed say error"),
        (lambda rows: rows[2].__setitem__(2, "high"), 4, "must be a number"),
        (lambda rows: rows[2].append("more"), 4, "3 columns were expected"),
        (lambda rows: rows.clear(), None, "40 of 40 pairs are missing"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(
    desk: Path, capsys: Capture, change: Callable[[list[list[str]]], object], line: int | None, said: str
) -> None:
    rows, _ = lfw_scores(desk)
    change(rows)
    table(desk / "theirs.csv", rows)
    error = refused(capsys, "lfw", "lfw", "--scores", "theirs.csv")
    assert (error["code"], error["details"]["line"]) == ("invalid_protocol", line)
    assert said in error["message"]
    assert error["details"]["path"] == "theirs.csv"


@pytest.mark.parametrize(
    ("header", "first", "line"),
    [
        ("probe,reference", "", 1),
        ("probe,reference,score,score", "", 1),
        ("probe,reference,score,mated", ",0", 2),
        ("probe,reference,score,mated", ",maybe", 2),
        ("probe,reference,score,error", ",dark", 2),
    ],
)
def test_columns_that_contradict_the_protocol_or_one_another_are_refused(
    desk: Path, capsys: Capture, header: str, first: str, line: int
) -> None:
    rows, mated = lfw_scores(desk)
    rest = [f",{int(kind)}" if "mated" in header else "," for kind in mated]
    write(
        desk / "theirs.csv", [header, *(",".join(row) + (first if not at else rest[at]) for at, row in enumerate(rows))]
    )
    error = refused(capsys, "lfw", "lfw", "--scores", "theirs.csv")
    assert (error["code"], error["details"]["line"]) == ("invalid_protocol", line)


def test_a_pair_that_stands_twice_as_published_has_two_rows(desk: Path) -> None:
    pairs = ["a,b,1", "a,c,0", "b,a,1"]
    write(desk / "pairs.csv", ["probe,reference,mated", *pairs])
    table(desk / "theirs.csv", [["a", "c", "0.1"], ["b", "a", "0.7"], ["a", "b", "0.8"]])
    assert evaluate("csv", "pairs.csv", "--scores", "theirs.csv", "--as-published") == 0
    assert [row["score"] for row in rows_of("out/scores.csv")] == ["0.8", "0.1", "0.7"]


def test_a_table_may_be_the_protocol_of_its_own_scores(desk: Path, capsys: Capture) -> None:
    write(desk / "own.csv", ["probe,reference,mated,score,light", "a,b,1,0.9,day", "a,c,0,0.2,day", "b,c,0,0.3,night"])
    assert evaluate("csv", "own.csv", "--scores", "own.csv") == 0
    assert document()["matchers"][0]["best_accuracy"] == 1
    error = refused(capsys, "csv", "own.csv", "--scores", "own.csv", "--against", "dlib")
    assert "this is a table of scores" in error["message"]


def test_videos_and_templates_go_by_their_owners_names(desk: Path) -> None:
    LISTED["ytf"](desk / "ytf")
    videos = [f"Ann_{fold}/{a},{who}_{fold}/{b}" for fold in range(10) for a, who, b in ((0, "Ann", 1), (1, "Bob", 3))]
    write(desk / "ytf.csv", ["probe,reference,score", *(f"{each},{at}" for at, each in enumerate(videos))])
    LISTED["ijbc"](desk / "ijbc")
    templates = ["10,20,0.5", "10,30,0.1", "20,30,0.2", "30,7,0.6", "10,7,0.3"]
    write(desk / "ijbc.csv", ["probe,reference,score", *templates])
    for photo in desk.rglob("*.jpg"):
        photo.unlink()
    for name in ("ytf", "ijbc"):
        assert evaluate(name, name, "--scores", f"{name}.csv", out=f"{name}-out") == 0
        assert [row["score"] for row in rows_of(f"{name}-out/scores.csv")]
    assert [row["score"] for row in rows_of("ijbc-out/scores.csv")] == [row.split(",")[2] for row in templates]


# Searches

TABLE = """
import numpy as np

class Table:
    model = "table"
    scores = np.load("scores.npy")

    def extract(self, photo):
        number = int(photo[0, 0, 0]) + 256 * int(photo[0, 0, 1])
        return None if number == 9999 else [number + 1]

    def compare(self, probes, references):
        return self.scores[probes[:, 0].astype(int) - 1, references[:, 0].astype(int) - 1]
"""


def photo_of(path: Path, number: int) -> None:
    from PIL import Image

    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[0, 0, :2] = number % 256, number // 256
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_searches_by_hand_in_a_gallery_of_ones_own(desk: Path) -> None:
    """Two samples of Ann, one of Bob and Cid in the gallery; Ann, Cid and a stranger are looked for."""
    (desk / "mine.py").write_text(TABLE)
    people = ["Ann", "Ann", "Bob", "Cid", "Ann", "Cid", "Dan"]
    rows = [f"{'gallery' if at < 4 else 'Probe'},{who},photos/{at}.png" for at, who in enumerate(people)]
    write(desk / "set.csv", ["role,subject,photo", *reversed(rows)])
    for at in range(7):
        photo_of(desk / "photos" / f"{at}.png", at)
    scores = np.zeros((7, 7))
    scores[4, :4] = 0.2, 0.9, 0.5, 0.1  # Ann's better sample is the first
    scores[5, :4] = 0.8, 0.1, 0.3, 0.7  # Cid comes after Ann
    scores[6, :4] = 0.4, 0.6, 0.1, 0.2
    np.save(desk / "scores.npy", scores)
    assert evaluate("gallery", "set.csv", "--model", "mine:Table") == 0
    found = document()
    assert found["schema"] == SCHEMA
    protocol = found["protocol"]
    assert (protocol["searches"], protocol["mated"], protocol["non_mated"]) == (3, 2, 1)
    assert (protocol["gallery_people"], protocol["gallery_samples"]) == (3, 4)
    assert {each["rank"]: each["hit_rate"]["value"] for each in found["matchers"][0]["ranks"]} == {1: 0.5, 2: 1.0}
    found_by_probe = [(row["probe"], row["mated"], row["rank"]) for row in rows_of("out/searches.csv")]
    assert sorted(found_by_probe) == [("photos/4.png", "1", "1"), ("photos/5.png", "1", "2"), ("photos/6.png", "0", "")]
    assert sorted(float(row["score"]) for row in rows_of("out/searches.csv")) == pytest.approx([0.6, 0.7, 0.9])
    assert all("10 of each are needed" in point["fnir"]["text"] for point in found["matchers"][0]["points"])
    page = (desk / "out" / "report.html").read_text()
    assert found["matchers"][0]["ranks"][0]["hit_rate"]["text"] in page
    assert "rank 1" in (desk / "out" / "report.md").read_text()


@pytest.fixture
def crowd(desk: Path) -> tuple[np.ndarray, list[int], list[int]]:
    """20 people in the gallery, 60 searches of them and 400 of as many strangers, with scores drawn at random."""
    (desk / "mine.py").write_text(TABLE)
    (desk / "shop.py").write_text(TABLE.replace("scores.npy", "worse.npy").replace('"table"', '"worse"'))
    random = np.random.default_rng(5)
    probes = [*(at % 20 for at in range(60)), *range(100, 500)]
    scores = random.normal(size=(480, 480))
    for row, who in enumerate(probes[:60], start=20):
        scores[row, who] += 2.5
    np.save(desk / "scores.npy", scores)
    np.save(desk / "worse.npy", scores + np.where(np.arange(480) < 20, random.normal(size=(480, 480)), 0))
    people = [*range(20), *probes]
    rows = [f"{'gallery' if at < 20 else 'probe'},{who},p/{at}.png" for at, who in enumerate(people)]
    write(desk / "set.csv", ["role,subject,photo", *rows])
    for at in range(480):
        photo_of(desk / "p" / f"{at}.png", at)
    return scores[20:, :20].astype(np.float32), probes[:60], probes[60:]


def test_rates_of_many_searches_are_those_of_counting_each(crowd: tuple[np.ndarray, list[int], list[int]]) -> None:
    scores, mates, _ = crowd
    assert evaluate("gallery", "set.csv", "--model", "mine:Table", "--against", "shop:Table") == 0
    found = document()["matchers"][0]
    mate = np.array([row[who] for row, who in zip(scores, mates, strict=False)])
    ranks = [1 + sum(np.delete(row, who) >= row[who]) for row, who in zip(scores, mates, strict=False)]
    for point in found["ranks"]:
        rate = point["hit_rate"]
        assert rate["value"] == pytest.approx(np.mean([rank <= point["rank"] for rank in ranks]))
        assert rate["low"] <= rate["value"] <= rate["high"]
    top = scores[60:].max(axis=1)
    for point in found["points"]:
        positives = int(point["fpir"] * 400 + 1e-9)
        if positives < 30:
            assert point["threshold"] is None
            assert "independent false positives" in point["fnir"]["text"]
            continue
        threshold = point["threshold"]
        assert (top >= threshold).sum() == positives == point["measured_fpir"]["errors"]
        assert point["fnir"]["value"] == pytest.approx((mate < threshold).mean())
        assert point["fnir"]["low"] < point["fnir"]["value"] < point["fnir"]["high"]
    (difference,) = document()["against"]
    worse = document()["matchers"][1]["ranks"][0]["hit_rate"]["value"]
    first = difference["hit_rates"][0]["difference"]
    assert first["value"] == pytest.approx(found["ranks"][0]["hit_rate"]["value"] - worse)
    assert first["low"] < first["value"] < first["high"]


def test_tinyface_is_searched_and_a_photo_without_a_face_finds_nobody(desk: Path) -> None:
    (desk / "mine.py").write_text(TABLE)
    names = ["Probe/7_1", "Probe/12_1", "Probe/7_10", "Gallery_Match/12_9", "Gallery_Match/7_3", "Gallery_Distractor/x"]
    for at, name in enumerate(names):
        path = desk / "tiny" / "Testing_Set" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo_of(path, 9999 if name == "Probe/7_10" else at)
    scores = np.zeros((6, 6))
    scores[0, 3:] = 0.1, 0.9, 0.5
    scores[1, 3:] = 0.4, 0.1, 0.6
    np.save(desk / "scores.npy", scores)
    assert evaluate("tinyface", "tiny", "--model", "mine:Table") == 0
    found = document()
    assert [each["code"] for each in found["failures"]] == ["no_face"]
    assert found["matchers"][0]["fta"]["errors"] == 1
    ranks = {each["rank"]: each["hit_rate"]["value"] for each in found["matchers"][0]["ranks"]}
    assert ranks == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3)}
    assert "there are no non-mated searches" in found["matchers"][0]["points"][0]["fnir"]["text"]
    failed = next(row for row in rows_of("out/searches.csv") if row["error"])
    assert (failed["probe"], failed["rank"], failed["error"]) == ("Probe/7_10.png", "", "failure_to_acquire")


def test_a_second_run_of_searches_gives_the_same_bytes(
    desk: Path, crowd: tuple[np.ndarray, list[int], list[int]]
) -> None:
    assert crowd
    for out in ("one", "two"):
        assert evaluate("gallery", "set.csv", "--model", "mine:Table", "--cache", "cache", out=out) == 0
    for path in sorted((desk / "one").iterdir()):
        assert path.read_bytes() == (desk / "two" / path.name).read_bytes()


def test_grids_are_searched_as_pairs_are_compared(desk: Path) -> None:
    """With the matcher's grid and with its vector; closed form: the cosine of the difference of two angles."""
    (desk / "shop.py").write_text("from fakes import AngleEmbedder\n\ndef made():\n    return AngleEmbedder(twist=2)\n")
    for name, angle in {**ANGLES, "d0": 30}.items():
        save_photo(desk / f"{name}.png", angle)
    rows = [f"{'gallery' if name[1] == '0' else 'probe'},{name[0]},{name}.png" for name in ANGLES]
    write(desk / "set.csv", ["role,subject,photo", *rows, "probe,d,d0.png"])
    assert evaluate("gallery", "set.csv", "--model", "shop:made", "--detector", "whole-image") == 0
    for twist, path in ((1, "out/searches.csv"), (2, "out/searches-2.csv")):
        found = {row["probe"][:2]: float(row["score"]) for row in rows_of(path)}
        for probe, mate in (("a1", "a0"), ("b1", "b0"), ("c1", "c0")):
            wanted = math.cos(math.radians(twist * (ANGLES[probe] - ANGLES[mate])))
            assert found[probe] == pytest.approx(wanted, abs=1e-6)
        best = max(math.cos(math.radians(twist * (30 - angle))) for angle in (0, 90, 180))
        assert found["d0"] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (["role,subject"], 1, "no column photo"),
        (["role,subject,photo,photo"], 1, "each its own"),
        (["role,subject,photo", "gallery,A,a0.png"], None, "no row has the role probe"),
        (["role,subject,photo", "probe,A,a0.png"], None, "no row has the role gallery"),
        (["role,subject,photo", "gallery,A,a0.png", "target,A,a1.png"], 3, "gallery or probe, got 'target'"),
        (["role,subject,photo", "gallery,,a0.png", "probe,A,a1.png"], 2, "must both be named"),
        (["role,subject,photo", "gallery,A,a0.png", "probe,A,a0.png"], 3, "stands in line 2 already"),
        (["role,subject,photo", "gallery,A,a0.png", "probe,B,a0.png"], 3, "a0.png is of B here, of A in line 2"),
        (["role,subject,photo", "gallery,A,a0.png", "probe,A,z.png"], 3, "1 of 2 photos are missing"),
        (["role,subject,photo", "gallery,A,a0.png,x", "probe,A,z.png"], 2, "3 columns were expected"),
    ],
)
def test_a_wrong_gallery_is_refused_with_its_line(
    desk: Path, capsys: Capture, lines: list[str], line: int | None, said: str
) -> None:
    pairs_of(desk, ANGLES)
    write(desk / "set.csv", lines)
    error = refused(capsys, "gallery", "set.csv", "--model", "mine:Angle")
    assert (error["code"], error["details"]["line"]) == ("invalid_protocol", line)
    assert said in error["message"]


def test_scores_of_pairs_are_no_searches(desk: Path, capsys: Capture) -> None:
    pairs_of(desk, ANGLES)
    write(desk / "set.csv", ["role,subject,photo", "gallery,A,a0.png", "probe,A,a1.png"])
    table(desk / "theirs.csv", [["a0.png", "a1.png", "0.5"]])
    assert "a table of scores is of pairs" in refused(capsys, "gallery", "set.csv", "--scores", "theirs.csv")["message"]
