"""The whole of ``xcos evaluate`` on rendered faces, and its files read back."""

from __future__ import annotations

import json
import re
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from xcos.catalog import DATA
from xcos.cli import main
from xcos.evaluation.error_rates import ErrorRates
from xcos.evaluation.protocols import read_scores

VIEWS = ("front", "smile", "yaw", "light")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pairs of six rendered people, one photo of which shows no face: two runs, and one with another cache."""
    home = tmp_path_factory.mktemp("evaluate")
    names = [f"{person}_{view}" for person in range(6) for view in VIEWS]
    for name in names:
        shutil.copy(DATA / "examples" / f"{name}.jpg", home / f"{name}.jpg")
    from PIL import Image

    Image.new("RGB", (120, 120), (90, 90, 90)).save(home / "5_light.jpg")
    rows = [f"{a}.jpg,{b}.jpg,{int(a[0] == b[0])},{a[0]},{b[0]}" for a, b in combinations(names, 2)]
    header = "probe,reference,mated,probe_subject,reference_subject"
    (home / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    for out, cache, more in (("one", "cache", []), ("two", "cache", []), ("apart", "other", ["--no-pictures"])):
        words = ["evaluate", "csv", str(home / "pairs.csv"), "--out", str(home / out), "--cache", str(home / cache)]
        assert main([*words, "--against", "dlib", *more]) == 0
    return home


def test_a_second_run_gives_the_same_bytes(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "one").iterdir())
    assert names == ["report.html", "report.json", "report.md", "scores-2.csv", "scores-3.csv", "scores.csv"]
    for name in names:
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_with_another_cache_all_but_the_times_is_the_same(folder: Path) -> None:
    one, apart = (json.loads((folder / out / "report.json").read_text()) for out in ("one", "apart"))
    assert len(one["timings"]["models"]) == len(apart["timings"]["models"]) == 2
    assert [each["photos"] for each in one["timings"]["models"]] == [23, 23]
    for document in (one, apart):
        for changing in ("timings", "findings_sha256", "caveats"):
            document.pop(changing)
        for matcher in document["matchers"]:
            for pair in (*matcher["false_matches"], *matcher["false_non_matches"]):
                pair.pop("evidence", None)
    assert one == apart


def test_the_evidence_of_the_hardest_pairs_sums_to_their_scores(folder: Path) -> None:
    document = json.loads((folder / "one" / "report.json").read_text())
    shown = [
        [pair for kind in ("false_matches", "false_non_matches") for pair in matcher[kind] if "evidence" in pair]
        for matcher in document["matchers"]
    ]
    assert [len(pairs) for pairs in shown] == [10, 0, 10], "a vector has no grid to show"
    for pair in (*shown[0], *shown[2]):
        assert np.sum(pair["evidence"]["contribution"]) == pytest.approx(pair["score"], abs=1e-4)
    assert (folder / "one" / "report.html").read_text().count("data:image/jpeg;base64,") == 40
    assert "data:image" not in (folder / "apart" / "report.html").read_text()


def test_the_table_of_scores_reads_back_to_the_rates_of_the_report(folder: Path) -> None:
    table = read_scores(folder / "one" / "scores.csv")
    document = json.loads((folder / "one" / "report.json").read_text())
    rates = ErrorRates.of(table.scores)
    assert rates.auc == document["matchers"][0]["auc"]["value"] or document["matchers"][0]["auc"]["value"] is None
    assert rates.best_accuracy.accuracy == document["matchers"][0]["best_accuracy"]
    assert len(table) == document["protocol"]["pairs"] == 276


def test_a_photo_without_a_face_is_counted_and_its_pairs_never_match(folder: Path) -> None:
    document = json.loads((folder / "one" / "report.json").read_text())
    assert [(each["name"], each["code"]) for each in document["failures"]] == [("5_light.jpg", "no_face")]
    assert document["matchers"][0]["fta"]["errors"] == 1
    table = read_scores(folder / "one" / "scores.csv")
    assert int(table.scores.failed.sum()) == 23
    assert int((table.scores.failed & table.scores.mated).sum()) == 3


def test_the_scores_are_those_of_comparing_two_photos(folder: Path) -> None:
    import xcos

    verifier = xcos.default_verifier(face="center")
    table = read_scores(folder / "one" / "scores.csv")
    for row in (0, 40, 150):
        photos = (xcos.read_image(folder / name) for name in (table.probe[row], table.reference[row]))
        assert table.scores.scores[row] == pytest.approx(verifier.verify(*photos).score, abs=1e-5)


def test_so_few_people_support_no_threshold_and_the_page_says_so(folder: Path) -> None:
    page = (folder / "one" / "report.html").read_text()
    document = json.loads((folder / "one" / "report.json").read_text())
    assert all(point["threshold"] is None for point in document["matchers"][0]["points"])
    assert "unsupported" in page
    assert not re.search(r"<script|<link|url\((?!#)|src=|href=\"(?!#|data:image/jpeg)", page), "nothing from outside"


def test_every_number_of_the_page_s_tables_stands_in_the_document(folder: Path) -> None:
    page = (folder / "one" / "report.html").read_text()
    text = (folder / "one" / "report.json").read_text()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    numbers = {number for cell in cells for number in re.findall(r"\d+\.\d+", cell)}
    assert numbers
    assert not {number for number in numbers if number not in text}


def test_a_protocol_of_searches_and_a_file_for_a_folder_are_refused(folder: Path) -> None:
    assert main(["evaluate", "nothing", str(folder), "--out", str(folder / "three")]) == 2
    assert main(["evaluate", "csv", str(folder / "pairs.csv"), "--out", str(folder / "pairs.csv")]) == 2


@pytest.mark.real_data
@pytest.mark.slow
def test_lfw_s_development_test_as_the_accuracy_benchmark_has_it(real_file: object, tmp_path: Path) -> None:
    assert callable(real_file)
    lfw = real_file("data/lfw/pairsDevTest.txt").parent
    assert main(["evaluate", "lfw-view1", str(lfw), "--out", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["protocol"]["pairs"] == 1000
    assert document["matchers"][0]["best_accuracy"] == pytest.approx(0.988, abs=0.003)
    assert document["matchers"][1]["best_accuracy"] == pytest.approx(0.990, abs=0.002)
    assert np.isfinite(document["matchers"][0]["eer"]["value"])
