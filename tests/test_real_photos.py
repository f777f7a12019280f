"""The default verifier on photos of real people it was not calibrated on (LFW's development test)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xcos.catalog import default_verifier
from xcos.errors import InputRefused
from xcos.extractor import ReadyPhoto
from xcos.pairs import PairResult, read_pairs, score_pairs

LFW = Path(__file__).resolve().parents[2] / "shared" / "data" / "lfw"
EACH = 100

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (LFW / "pairsDevTest.txt").is_file(),
        reason="real data absent: ../shared/data/lfw does not lie beside the repository",
    ),
]


def path(name: str, number: str) -> str:
    return str(LFW / "images" / name / f"{name}_{int(number):04d}.jpg")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[PairResult]:
    """Decisions on the first mated and the first non-mated pairs of the list, through a pair list."""
    lines = [line.split("\t") for line in (LFW / "pairsDevTest.txt").read_text("utf-8").splitlines()[1:]]
    mated = [f"{path(name, one)},{path(name, other)},1" for name, one, other in (w for w in lines if len(w) == 3)]
    others = [f"{path(a, one)},{path(b, other)},0" for a, one, b, other in (w for w in lines if len(w) == 4)]
    listing = tmp_path_factory.mktemp("lfw") / "pairs.csv"
    listing.write_text("\n".join(["probe,reference,mated", *mated[:EACH], *others[:EACH]]) + "\n")
    verifier = default_verifier(face="center")
    return [result for chunk in score_pairs(verifier, read_pairs(listing), fmr=1e-2) for result in chunk]


def test_a_face_is_found_in_every_photo(results: list[PairResult]) -> None:
    assert len(results) == 2 * EACH
    assert [result.error for result in results if result.error] == []


def test_error_rates_are_those_the_calibration_promises(results: list[PairResult]) -> None:
    decisions = [(result.pair.mated, result.decision) for result in results if result.decision]
    scores = {kind: np.array([d.score for mated, d in decisions if mated is kind]) for kind in (True, False)}
    threshold = decisions[0][1].threshold.value
    # 1 % and 2.6 % were measured on all pairs of these people; 5 and 10 of 100 are beyond four deviations.
    assert (scores[False] >= threshold).sum() <= 5
    assert (scores[True] < threshold).sum() <= 10


def test_conclusive_decisions_are_right_but_for_few(results: list[PairResult]) -> None:
    conclusive = [r for r in results if r.decision and r.decision.outcome != "inconclusive"]
    wrong = [r for r in conclusive if r.decision and (r.decision.outcome == "match") != r.pair.mated]
    assert len(conclusive) >= 170
    assert len(wrong) <= 6


def test_llr_separates_the_two_kinds(results: list[PairResult]) -> None:
    llr = {kind: [r.decision.llr for r in results if r.decision and r.pair.mated is kind] for kind in (True, False)}
    assert np.median(llr[True]) > 3
    assert np.median(llr[False]) < -3


def test_a_photo_of_several_people_is_refused_unless_one_is_chosen() -> None:
    crowd = sorted((LFW / "images").glob("George_W_Bush/*.jpg"))[:40]
    verifier = default_verifier()
    strict, central = (default.extractor.prepare(crowd) for default in (verifier, default_verifier(face="center")))
    refused = [answer for answer in strict if isinstance(answer, InputRefused)]
    assert refused
    assert {answer.code for answer in refused} == {"multiple_faces"}
    assert all(isinstance(answer, ReadyPhoto) for answer in central)
