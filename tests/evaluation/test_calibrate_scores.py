"""A card from a table of scores: fitted on some people, measured on others, nothing invented."""

from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from xcos.calibration import Calibration, NonMatedScores, fit_calibration
from xcos.errors import InvalidArgument, InvalidProtocol, UnsupportedFmr
from xcos.evaluation.calibrate_scores import ScoreCalibration, ScoredFor, calibrate_scores
from xcos.evaluation.protocols import read_scores

SCORED_FOR = ScoredFor("net/grid/0123456789ab", "norm", "gate photos, spring", "mtcnn")
DATE = "2026-11-24"


class Row(NamedTuple):
    probe: str
    reference: str
    mated: int
    score: str
    error: str
    probe_subject: str
    reference_subject: str


def crowd(people: int = 160, *, failures: float = 0.0, seed: int = 0) -> list[Row]:
    """Two mated scores of each person, N(0.7, 0.1), and one of each two people, N(0.1, 0.1)."""
    drawn = np.random.default_rng(seed)

    def told(mean: float) -> tuple[str, str]:
        score = f"{drawn.normal(mean, 0.1):.6f}"
        return ("", "no_face") if drawn.random() < failures else (score, "")

    rows = []
    for one in range(people):
        for number in (1, 2):
            rows.append(Row(f"p{one}/0", f"p{one}/{number}", 1, *told(0.7), f"p{one}", f"p{one}"))
        rows += [Row(f"p{one}/0", f"p{two}/0", 0, *told(0.1), f"p{one}", f"p{two}") for two in range(one)]
    return rows


def write(path: Path, rows: list[Row], *, people: bool = True) -> Path:
    width = 7 if people else 5
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(Row._fields[:width])
        table.writerows([row[:width] for row in rows])
    return path


def calibrated(path: Path, *fmrs: float, test_share: float = 0.3) -> ScoreCalibration:
    return calibrate_scores(read_scores(path), SCORED_FOR, fmrs=fmrs or (0.05,), date=DATE, test_share=test_share)


def same(one: Calibration, other: Calibration) -> None:
    """But for the last digits, which depend on the order of sums."""
    for name in ("rates", "thresholds", "bins", "mated", "non_mated"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    assert (one.slope, one.intercept) == pytest.approx((other.slope, other.intercept), rel=1e-6)
    assert (one.model, one.comparator) == (other.model, other.comparator)


def is_test(person: str, share: float = 0.3) -> bool:
    """Recomputed from what the docs say: the first 48 bits of the name's SHA-256, as a fraction."""
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:6], "big") / 2**48 < share


def parts(rows: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows whose people are all for the calibration, all for the test, and of both."""
    sides = [(is_test(row.probe_subject), is_test(row.reference_subject)) for row in rows]
    return tuple(
        [row for row, side in zip(rows, sides, strict=True) if side in wanted]
        for wanted in ([(False, False)], [(True, True)], [(True, False), (False, True)])
    )  # type: ignore[return-value]


def test_the_card_is_that_of_the_calibration_peoples_pairs_alone(tmp_path: Path) -> None:
    rows = crowd()
    fitted, _, across = parts(rows)
    made = calibrated(write(tmp_path / "scores.csv", rows))
    people = sorted({row.probe_subject for row in fitted} | {row.reference_subject for row in fitted})
    others = [row for row in fitted if not row.mated]
    card = fit_calibration(
        np.array([float(row.score) for row in fitted if row.mated]),
        NonMatedScores(
            np.array([float(row.score) for row in others]),
            np.array([people.index(row.probe_subject) for row in others]),
            np.array([people.index(row.reference_subject) for row in others]),
        ),
        model=SCORED_FOR.model,
        comparator=SCORED_FOR.comparator,
        dataset=SCORED_FOR.dataset,
        protocol=made.card.origin.protocol,
        date=DATE,
        detector=SCORED_FOR.detector,
    )
    same(made.card, card)
    assert (made.fitted.people, made.across) == (len(people), len(across))


def test_rates_are_counted_on_pairs_of_test_people_with_failures_in_the_denominators(tmp_path: Path) -> None:
    rows = crowd(failures=0.05)
    _, tested, _ = parts(rows)
    made = calibrated(write(tmp_path / "scores.csv", rows), 0.05, 0.02)
    for each in made.measured:
        matches = [row.score != "" and float(row.score) >= each.threshold.value for row in tested]
        others = [match for match, row in zip(matches, tested, strict=True) if not row.mated]
        mates = [match for match, row in zip(matches, tested, strict=True) if row.mated]
        assert (each.fmr.errors, each.fmr.trials) == (sum(others), len(others))
        assert (each.fnmr.errors, each.fnmr.trials) == (len(mates) - sum(mates), len(mates))
    failed = [row for row in tested if not row.score]
    assert made.tested.failed_mated == sum(row.mated for row in failed) > 0
    assert made.tested.failed_non_mated == sum(not row.mated for row in failed) > 0
    assert (made.tested.mated, made.tested.non_mated) == (len(mates), len(others))


def test_pairs_that_failed_are_left_out_of_the_card_and_it_says_so(tmp_path: Path) -> None:
    rows = crowd(failures=0.05)
    fitted, _, _ = parts(rows)
    made = calibrated(write(tmp_path / "scores.csv", rows))
    failed = sum(not row.score for row in fitted)
    assert made.fitted.failed_mated + made.fitted.failed_non_mated == failed
    assert made.card.origin.n_mated + made.card.origin.n_non_mated == len(fitted) - failed
    assert f"{failed} of them that could not be compared left out" in made.card.origin.protocol


def test_the_threshold_at_a_rate_is_the_quantile_of_the_distribution_the_scores_were_drawn_from(tmp_path: Path) -> None:
    made = calibrated(write(tmp_path / "scores.csv", crowd(300)), 0.01)
    (at,) = made.measured
    truth = float(stats.norm(0.1, 0.1).isf(0.01))
    assert at.threshold.low <= truth <= at.threshold.high
    assert at.fmr.low <= float(stats.norm(0.1, 0.1).sf(at.threshold.value)) <= at.fmr.high


@pytest.mark.parametrize("people", [True, False])
def test_another_order_of_the_rows_moves_nobody(tmp_path: Path, people: bool) -> None:
    rows = crowd()
    first = calibrated(write(tmp_path / "one.csv", rows, people=people))
    random.Random(1).shuffle(rows)
    second = calibrated(write(tmp_path / "two.csv", rows, people=people))
    same(first.card, second.card)
    assert (first.fitted, first.tested, first.across) == (second.fitted, second.tested, second.across)


def test_more_people_move_nobody_from_test_to_calibration(tmp_path: Path) -> None:
    few, many = crowd(120), crowd(160)
    fitted = [parts(rows)[0] for rows in (few, many)]
    assert {row[:2] for row in fitted[0]} <= {row[:2] for row in fitted[1]}
    for rows, wanted in ((few, fitted[0]), (many, fitted[1])):
        made = calibrated(write(tmp_path / "scores.csv", rows))
        assert made.fitted.mated + made.fitted.non_mated == len(wanted)


def test_where_people_are_not_named_the_card_says_that_they_may_be_too_many(tmp_path: Path) -> None:
    known = calibrated(write(tmp_path / "known.csv", crowd()))
    linked = calibrated(write(tmp_path / "linked.csv", crowd(), people=False))
    assert (known.people_known, linked.people_known) == (True, False)
    assert "who is who is not known" not in known.card.origin.protocol
    assert "people may be too many and intervals too narrow" in linked.card.origin.protocol
    assert linked.fitted.people + linked.tested.people == 160


def test_a_person_that_links_make_is_known_by_the_first_of_its_samples(tmp_path: Path) -> None:
    rows = crowd()
    made = calibrated(write(tmp_path / "scores.csv", rows, people=False))
    first = {f"p{number}/0" for number in range(160)}
    assert made.tested.people == sum(map(is_test, first))


def test_a_rate_beyond_the_calibration_peoples_pairs_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.csv", crowd())
    with pytest.raises(UnsupportedFmr, match="support"):
        calibrated(path, 0.05, 1e-5)


def test_a_non_mated_pair_of_people_that_mated_pairs_link_is_named(tmp_path: Path) -> None:
    rows = [*crowd(), Row("p7/1", "p7/2", 0, "0.1", "", "", "")]
    with pytest.raises(InvalidArgument, match="p7/1 and p7/2 are a non-mated pair, but mated pairs link them"):
        calibrated(write(tmp_path / "scores.csv", rows, people=False))


def test_a_score_of_plus_infinity_is_refused(tmp_path: Path) -> None:
    rows = crowd()
    rows[0] = rows[0]._replace(score="inf")
    with pytest.raises(InvalidArgument, match=r"1 scores are \+∞"):
        calibrated(write(tmp_path / "scores.csv", rows))


def test_minus_infinity_counts_as_a_failure(tmp_path: Path) -> None:
    rows = crowd(failures=0.05)
    one = calibrated(write(tmp_path / "one.csv", rows))
    told = [row._replace(score=row.score or "-inf", error="") for row in rows]
    two = calibrated(write(tmp_path / "two.csv", told))
    assert (one.fitted, one.tested, one.measured) == (two.fitted, two.tested, two.measured)


@pytest.mark.parametrize(("share", "part"), [(1e-9, "test"), (1 - 1e-9, "calibration")])
def test_a_part_without_pairs_is_refused(tmp_path: Path, share: float, part: str) -> None:
    with pytest.raises(InvalidArgument, match=f"the {part} part has 0 mated and 0 non-mated pairs"):
        calibrated(write(tmp_path / "scores.csv", crowd()), test_share=share)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        calibrated(write(tmp_path / "scores.csv", crowd(40)), test_share=share)


def test_scores_that_are_distances_are_refused(tmp_path: Path) -> None:
    rows = [row._replace(score=f"{-float(row.score)}") for row in crowd()]
    with pytest.raises(InvalidArgument, match="turn distances round"):
        calibrated(write(tmp_path / "scores.csv", rows))


def test_a_table_whose_people_contradict_its_pairs_is_refused_with_the_line(tmp_path: Path) -> None:
    rows = crowd(40)
    rows[3] = rows[3]._replace(reference_subject="p0")
    with pytest.raises(InvalidProtocol, match="line 5"):
        calibrated(write(tmp_path / "scores.csv", rows))
