"""What the report of an evaluation holds: every number of the page in its document, every figure by another way."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import AngleEmbedder, FixedDetector, calibration, face, pixels, save_photo
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import det_curve

from xcos.compare import Uniform
from xcos.errors import InvalidArgument
from xcos.evaluation.discards import OF_PHOTOS, VECTOR_LENGTH, discards, sample_qualities
from xcos.evaluation.embedding import FailedPhoto, embed_samples
from xcos.evaluation.evidence import Evidence, EvidenceSource
from xcos.evaluation.figures import FMRS, NESTED, WORST, against, figures_of
from xcos.evaluation.groups import MOST_GROUPS, group_figures
from xcos.evaluation.operating import common_rate
from xcos.evaluation.protocol import PhotoSource, Samples, SampleSource, VerificationProtocol, single
from xcos.evaluation.report import (
    FACES,
    LISTED,
    PICTURED,
    Evaluation,
    pictured_rows,
    report_html,
    report_markdown,
    write_evaluation,
)
from xcos.evaluation.run import Scored, score_pairs
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.evaluation.timings import PhotoTimes, with_kept_time
from xcos.evaluation.uncertainty import Differences, Estimates
from xcos.extractor import Extractor
from xcos.types import Comparison, Face

PEOPLE, FOLDS = 240, 4
NUMBER = re.compile(r"(?<![\w.])-?(?:\d[\d,]*\.?\d*|\.\d+)(?:e-?\d+)?(?![\w])")


def protocol_of(folds: int = FOLDS, labels: str = "light") -> VerificationProtocol:
    """Two photos of each person; each person with itself and with six others of its fold."""
    people = np.arange(PEOPLE)
    fold = people % folds
    other = np.concatenate([(people + folds * step) % PEOPLE for step in range(1, 7)])
    probe, reference = np.concatenate([2 * people, np.tile(2 * people, 6)]), np.concatenate([2 * people, 2 * other]) + 1
    photos = tuple(PhotoSource(f"p{number}.jpg", b"none") for number in range(2 * PEOPLE))
    samples = Samples(photos, tuple(map(single, range(2 * PEOPLE))), np.repeat(people, 2), True)
    mated = np.arange(7 * PEOPLE) < PEOPLE
    group = np.where(np.tile(people, 7) % 8 < 4, "day", "night")
    return VerificationProtocol(
        "toy", samples, probe, reference, mated, np.tile(fold, 7), "0" * 64, {labels: group.astype(np.str_)}
    )


def scored_of(
    protocol: VerificationProtocol, name: str, *, seed: int = 0, gap: float = 1.6, failing: int = 3
) -> Scored:
    """Normal scores; the photos numbered below ``failing`` have no template; sharpness foretells the mated scores."""
    drawn = np.random.default_rng(seed)
    scores = np.where(protocol.mated, gap, 0.0) + drawn.normal(0, 0.6, len(protocol))
    scores = np.tanh(scores / 3)
    failed = np.arange(len(protocol.samples)) < failing
    scores[failed[protocol.probe] | failed[protocol.reference]] = FAILED
    subjects = protocol.samples.subjects
    sharp = np.zeros(len(protocol.samples))
    sharp[protocol.probe[protocol.mated]] = scores[protocol.mated]
    sharp[protocol.reference[protocol.mated]] = scores[protocol.mated]
    return Scored(
        matcher=f"{name} · uniform",
        scores=ScoreSet(scores, protocol.mated, subjects[protocol.probe], subjects[protocol.reference]),
        failed=failed,
        failures=tuple(FailedPhoto(f"p{at}.jpg", "no_face", f"no face at {at}.25") for at in range(failing)),
        qualities={"sharpness": np.where(failed, -np.inf, sharp), "luck": np.where(failed, -np.inf, drawn.random(480))},
        calibration=calibration(),
        seconds=0.0123,
    )


def evaluation_of(*scored: Scored, protocol: VerificationProtocol, pictures: bool = True) -> Evaluation:
    estimates = [Estimates(each.scores, draws=100) for each in scored]
    fmr = common_rate(estimates, FMRS)
    figures = tuple(figures_of(protocol, each, of, fmr=fmr) for each, of in zip(scored, estimates, strict=True))
    drawn = np.random.default_rng(1)

    def evidence() -> Evidence:
        attention = drawn.random((3, 5))
        maps = Comparison(drawn.uniform(-1, 1, (3, 5)), attention / attention.sum() * 0.9)
        crops = drawn.integers(0, 256, (2, 40, 30, 3), np.uint8)
        return Evidence(crops[0], crops[1], maps)

    shown = tuple({row: evidence() for row in pictured_rows(each)} for each in figures)
    times = PhotoTimes("toy/1", (("reading", drawn.uniform(1, 9, 30)), ("the network's part", drawn.uniform(1, 9, 30))))
    return Evaluation(
        protocol=protocol,
        settings={"seed": "0"},
        scored=scored,
        figures=figures,
        against=tuple(
            against(scored[0], other, Differences(estimates[0], of))
            for other, of in zip(scored[1:], estimates[1:], strict=True)
        ),
        evidence=shown if pictures else (),
        photo_times=(times,),
    )


@pytest.fixture(scope="module")
def full() -> Evaluation:
    """Two matchers, folds, groups, failures, qualities, calibration, evidence and times."""
    protocol = protocol_of()
    two = (scored_of(protocol, "toy/1"), scored_of(protocol, "toy/2", seed=1, gap=1.3, failing=LISTED + 5))
    return evaluation_of(*two, protocol=protocol)


def values_of(document: Any) -> list[str]:
    """Every number of a document as the page may write it, those within sentences too."""
    if isinstance(document, dict):
        return [each for key, value in document.items() for each in (*values_of(key), *values_of(value))]
    if isinstance(document, list):
        return [each for value in document for each in values_of(value)]
    if isinstance(document, str):
        return NUMBER.findall(document)
    return [] if document is None or isinstance(document, bool) else [json.dumps(document)]


def numbers_of(texts: list[str]) -> set[float]:
    return {float(each.replace(",", "")) for text in texts for each in NUMBER.findall(text)}


def panels_cut(page: str) -> str:
    return re.sub(r'<div class="panel">.*?</div>', "", page, flags=re.S)


def words_of(page: str) -> str:
    """What is read on the page, but for evidence, which has a test of its own, and numbers along axes."""
    body = re.sub(r"<style>.*?</style>", "", panels_cut(page), flags=re.S)
    body = re.sub(r'<text[^>]*class="tick"[^>]*>[^<]*</text>', "", body)
    return re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'")


# Every number


def test_every_number_that_is_read_on_the_page_stands_in_the_document(full: Evaluation) -> None:
    document = json.loads(json.dumps(full.to_dict(), allow_nan=False))
    page = words_of(report_html(full, document))
    read, known = numbers_of([page]), {float(each.replace(",", "")) for each in values_of(document)}
    assert len(read) > 150
    assert read <= known, sorted(read - known)


def test_every_part_that_the_run_has_figures_for_is_on_the_page(full: Evaluation) -> None:
    page = words_of(report_html(full, full.to_dict()))
    for part in ("DET curve", "Thresholds", "Accuracy over folds", "Error versus discard", "Groups by light", "GARBE",
                 "Timings", "Photos without a template", "FAR, FRR", "GFAR, GFRR", "Least CLLR", "CLLR of its card",
                 "A less B", "Area under the ROC", "Failure to enrol", "How to read it", FACES):  # fmt: skip
        assert part in page, part


def test_every_cell_of_the_evidence_is_the_document_s(full: Evaluation) -> None:
    document = full.to_dict()
    page = report_html(full, document)
    figures = re.findall(r'<figure class="evidence">.*?</figure>', page, re.S)
    matchers: Any = document["matchers"]
    pairs = [
        pair
        for matcher in matchers
        for kind in ("false_matches", "false_non_matches")
        for pair in matcher[kind]
        if "evidence" in pair
    ]
    assert len(figures) == len(pairs) == 2 * 2 * PICTURED
    for drawn, pair in zip(figures, pairs, strict=True):
        assert pair["probe"] in drawn
        panels = re.findall(r'<div class="panel"><span>(\w+)</span>(.*?)</div>', drawn, re.S)
        assert [name for name, _ in panels] == ["Probe", "Reference", "Similarity", "Attention", "Contribution"]
        for name, panel in panels[2:]:
            cells = [float(text) for text in re.findall(r"<text[^>]*>([^<]+)</text>", panel)]
            told = np.ravel(pair["evidence"][name.lower()])
            np.testing.assert_allclose(cells, told, atol=0.0050001)
        corners = re.findall(r"M([\d.]+),([\d.]+)h[\d.]+l", panels[2][1])
        below = np.argwhere(np.array(pair["evidence"]["similarity"]) < pair["evidence"]["asked_of_cells"])
        places = [(round(float(y) / (208 / 3)), round(float(x) / (208 / 5))) for x, y in corners]
        assert places == [tuple(place) for place in below.tolist()]


def test_the_contributions_of_the_document_are_the_products_of_its_maps(full: Evaluation) -> None:
    matchers: Any = full.to_dict()["matchers"]
    for pair in matchers[0]["false_matches"][:PICTURED]:
        maps = pair["evidence"]
        products = np.array(maps["similarity"]) * np.array(maps["attention"])
        np.testing.assert_allclose(maps["contribution"], products, atol=2e-6)
        reaching = np.array(maps["similarity"]) >= maps["asked_of_cells"]
        assert maps["cells_reaching"] == reaching.sum()
        assert maps["weight_reaching"] == pytest.approx(np.array(maps["attention"])[reaching].sum() / 0.9, abs=1e-4)


def test_the_page_needs_nothing_from_outside_and_shows_faces_as_jpeg(full: Evaluation) -> None:
    page = report_html(full, full.to_dict())
    assert not re.search(r"<script|<link|src=|url\((?!#)|@import", page)
    links = re.findall(r'href="([^"]*)"', page)
    faces = [link for link in links if link.startswith("data:image/jpeg;base64,")]
    assert len(faces) == 2 * 2 * 2 * PICTURED
    assert all(link.startswith("#") for link in links if link not in faces)
    assert {link[1:] for link in links if link not in faces} <= set(re.findall(r'id="([^"]+)"', page))


def test_without_pictures_no_face_and_no_map_is_in_any_file(full: Evaluation, tmp_path: Path) -> None:
    bare = dataclasses.replace(full, evidence=())
    paths = write_evaluation(bare, tmp_path)
    for path in paths:
        content = path.read_bytes()
        assert b"<image" not in content
        assert b"similarity" not in content
    assert FACES not in (tmp_path / "report.html").read_text()
    names = (tmp_path / "report.html").read_text().count("p3.jpg")
    assert names == report_html(full, full.to_dict()).count("p3.jpg")


# The operating point


def test_the_operating_point_is_the_lowest_rate_that_the_sample_supports(full: Evaluation) -> None:
    found = full.figures[0]
    supported = [point for point in found.points if point.fnmr.supported]
    assert [point.fmr for point in supported] == [0.1]
    assert (found.operating.fmr, found.operating.threshold) == (0.1, supported[0].threshold)
    assert found.operating.fnmr == supported[0].fnmr
    scores = full.scored[0].scores
    at = scores.scores >= found.operating.threshold
    assert found.operating.measured.value == at[~scores.mated].mean()
    assert found.operating.fnmr.value == (~at[scores.mated]).mean()


def test_matchers_of_a_report_are_counted_at_one_rate_that_all_of_them_support() -> None:
    protocol = protocol_of()
    sound = scored_of(protocol, "sound", failing=0)
    other = ~protocol.mated
    certain = sound.scores.scores.copy()
    certain[other] = np.where(np.arange(other.sum()) < 40, certain[other], -5.0)  # 40 non-mated scores tell anything
    columns = ("mated", "probe_subject", "reference_subject")
    poor = ScoreSet(certain, *(getattr(sound.scores, name) for name in columns))
    estimates = [Estimates(each, draws=100) for each in (sound.scores, poor)]
    rates = [0.1, 0.05, 0.04, 0.02]
    alone = [common_rate([each], rates) for each in estimates]
    for each, rate in zip(estimates, alone, strict=True):
        supported = [at.supported for at in each.fnmr_at_fmrs(rates)]
        assert rate == min((at for at, ok in zip(rates, supported, strict=True) if ok), default=None)
    assert alone[0] != alone[1]
    assert common_rate(estimates, rates) == (None if None in alone else max(filter(None, alone)))


def test_without_a_supported_rate_it_is_that_of_the_equal_error_rate() -> None:
    protocol = protocol_of()
    scored = scored_of(protocol, "toy")
    few = protocol.probe < 2 * 24
    small = dataclasses.replace(
        protocol, **{name: getattr(protocol, name)[few] for name in ("probe", "reference", "mated", "fold")}, groups={}
    )
    columns = ("scores", "mated", "probe_subject", "reference_subject")
    scores = ScoreSet(*(getattr(scored.scores, name)[few] for name in columns))
    estimates = Estimates(scores, draws=100)
    fmr = common_rate([estimates], FMRS)
    found = figures_of(small, dataclasses.replace(scored, scores=scores), estimates, fmr=fmr)
    assert found.operating.fmr is found.discards_at.fmr is None
    assert found.operating.threshold == Estimates(scores).rates.eer.threshold
    assert "equal error rate" in found.operating.told


def test_rates_of_transactions_count_a_failure_once(full: Evaluation) -> None:
    found, scored = full.figures[0], full.scored[0]
    made = scored.scores.scores != FAILED
    at = scored.scores.scores >= found.operating.threshold
    fmr, fnmr = at[made & ~scored.scores.mated].mean(), (~at)[made & scored.scores.mated].mean()
    fta, fte = 3 / 480, 1 / 240  # of photos 0, 1 and 2, photo 1 is a reference
    rates = found.operating.transactions
    assert rates is not None
    assert (found.fta.value, found.fte.value) == (fta, fte)
    assert rates.far == pytest.approx(fmr * (1 - fta))
    assert rates.frr == pytest.approx(fta + fnmr * (1 - fta))
    assert rates.gfrr == pytest.approx(fte + (1 - fte) * rates.frr)
    assert rates.gfar == pytest.approx((1 - fte) * rates.far)


def test_a_table_of_scores_has_no_rates_of_failures_and_says_so() -> None:
    protocol = protocol_of()
    table = dataclasses.replace(scored_of(protocol, "table"), failed=None, qualities={}, calibration=None, seconds=None)
    evaluation = evaluation_of(table, protocol=protocol, pictures=False)
    found: Any = evaluation.to_dict()["matchers"]
    assert not found[0]["fta"]["supported"]
    assert found[0]["operating_point"]["transactions"] is None
    assert found[0]["ratios"] is None
    assert found[0]["failures"] == {}
    assert "nothing is known" in found[0]["error_versus_discard"]["reason"]
    assert "FAR, FRR" not in words_of(report_html(evaluation, evaluation.to_dict()))


# Hardest pairs


def test_the_hardest_pairs_are_those_of_sorting_and_say_whether_they_are_errors(full: Evaluation) -> None:
    scores, found = full.scored[0].scores, full.figures[0]
    highest = sorted(scores.scores[~scores.mated].tolist(), reverse=True)[:WORST]
    lowest = sorted(scores.scores[scores.mated & ~scores.failed].tolist())[:WORST]
    assert [pair.score for pair in found.false_matches] == highest
    assert [pair.score for pair in found.false_non_matches] == lowest
    for pair in found.false_matches:
        assert scores.scores[pair.row] == pair.score
        assert pair.wrong == (pair.score >= found.operating.threshold)
    assert [pair.wrong for pair in found.false_non_matches] == [score < found.operating.threshold for score in lowest]


# Accuracy over folds, CLLR


def test_accuracy_over_folds_stands_by_three_procedures(full: Evaluation) -> None:
    matchers: Any = full.to_dict()["matchers"]
    folds = matchers[0]["folds"]
    assert [each["procedure"] for each in folds][-1] == NESTED
    assert len(folds) == 3
    scores, fold = full.scored[0].scores, full.protocol.fold
    for procedure in folds:
        right = [
            np.mean((scores.scores > each["threshold"]["value"])[fold == at] == scores.mated[fold == at])
            for at, each in enumerate(procedure["folds"])
        ]
        assert [each["accuracy"]["value"] for each in procedure["folds"]] == pytest.approx(right)
        assert procedure["estimate"]["value"] == pytest.approx(np.mean(right))
        assert procedure["std"]["value"] == pytest.approx(np.std(right))
    grid = [each["threshold"]["value"] * 200 for each in folds[0]["folds"]]
    assert grid == pytest.approx(np.rint(grid).tolist(), abs=1e-6)


def test_scores_of_another_scale_have_no_accuracy_at_thresholds_of_cosines() -> None:
    protocol = protocol_of()
    scored = scored_of(protocol, "toy")
    scores = ScoreSet(100 * scored.scores.scores, *(
        getattr(scored.scores, name) for name in ("mated", "probe_subject", "reference_subject")
    ))  # fmt: skip
    found = figures_of(protocol, dataclasses.replace(scored, scores=scores), Estimates(scores, draws=100), fmr=0.1)
    assert [each.found is None for each in found.folds] == [True, False, False]
    assert "thresholds of -1 to" in found.folds[0].estimate.reason


def test_cllr_is_that_of_the_card_s_ratios_without_the_failures(full: Evaluation) -> None:
    scores, found = full.scored[0].scores, full.figures[0].ratios
    assert found is not None
    low, high = calibration().llr_bounds
    ratios = np.clip(10 * scores.scores - 5, low, high)
    mated, other = (ratios[kind & ~scores.failed] for kind in (scores.mated, ~scores.mated))
    cost = (np.log2(1 + np.exp(-mated)).mean() + np.log2(1 + np.exp(other)).mean()) / 2
    assert found.cost.value == pytest.approx(cost)
    assert found.least <= found.cost.value


# Error versus discard


def test_a_quality_that_foretells_the_errors_stands_first_and_its_rates_are_those_of_the_pairs_kept() -> None:
    protocol = protocol_of()
    scored = scored_of(protocol, "toy", gap=1.0)
    of = [
        {name: each[side] for name, each in scored.qualities.items()} for side in (protocol.probe, protocol.reference)
    ]
    found = discards(scored.scores, of[0], of[1], threshold=0.3)
    assert [each.measure for each in found.measures] == ["sharpness", "luck"]
    # a quality that knows every error leaves (f − s) / (1 − s) after a share s; of the area f · 0.2 of blind discarding
    f, shares = found.measures[0].fnmr[0][1].value, np.linspace(0, 0.2, 2001)
    known = float((np.maximum(f - shares, 0) / (1 - shares)).mean()) / f
    assert found.measures[0].area == pytest.approx(known, rel=0.02)
    assert found.measures[1].area > 0.95
    mated = scored.scores.mated
    quality = np.minimum(of[0]["luck"], of[1]["luck"])[mated]
    missed = scored.scores.scores[mated] < 0.3
    for share, fnmr in found.measures[1].fnmr:
        worst = np.argsort(quality, kind="stable")[: math.floor(share * mated.sum())]
        assert fnmr.value == pytest.approx(np.delete(missed, worst).mean())


def test_too_few_errors_say_nothing_of_qualities() -> None:
    protocol = protocol_of()
    scored = scored_of(protocol, "toy", gap=9.0, failing=0)
    of = {name: each[protocol.probe] for name, each in scored.qualities.items()}
    found = discards(scored.scores, of, of, threshold=-1.0)
    assert found.measures == ()
    assert "30 are needed" in found.reason


def photos_of(folder: Path, *angles: int) -> tuple[PhotoSource, ...]:
    for angle in angles:
        save_photo(folder / f"{angle}.png", angle)
    return tuple(PhotoSource(f"{angle}.png", folder / f"{angle}.png") for angle in angles)


class Surer(FixedDetector):
    """The surer, the larger the photo's angle."""

    def detect(self, pixels: Any) -> list[Face]:
        return [face(confidence=pixels[0, 0, 0] / 100)] if super().detect(pixels) else []


def test_a_sample_has_the_mean_quality_of_its_usable_photos_and_none_where_it_failed(tmp_path: Path) -> None:
    photos = photos_of(tmp_path, 10, 80, 255)
    media = [((0,),), ((1,),), ((0,), (1,), (2,)), ((2,),)]
    samples = Samples(photos, tuple(map(SampleSource, media)), np.arange(4), True)
    found = sample_qualities(embed_samples(samples, Extractor(Surer(), AngleEmbedder(), "center")))
    assert found["detector's confidence"].tolist() == pytest.approx([0.1, 0.8, 0.45, -np.inf])
    assert "sharpness" not in found, "all the same"
    # the mean of two directions 70° apart is shorter than they are
    assert found[VECTOR_LENGTH][:3].tolist() == pytest.approx([1, 1, math.cos(math.radians(35))], abs=1e-6)
    assert set(found) <= {*OF_PHOTOS, VECTOR_LENGTH}


# Groups


def test_groups_have_the_rates_of_their_pairs_at_the_one_threshold(full: Evaluation) -> None:
    (column,) = full.figures[0].groups
    scores, labels = full.scored[0].scores, full.protocol.groups["light"]
    assert column.rates is not None
    at = scores.scores >= full.figures[0].operating.threshold
    for each in column.rates.groups:
        mine = labels == each.group
        assert each.fmr.value == at[mine & ~scores.mated].mean()
        assert each.fnmr.value == (~at)[mine & scores.mated].mean()


def test_a_column_that_names_no_groups_says_why() -> None:
    protocol = protocol_of()
    scores = scored_of(protocol, "toy").scores
    columns = {
        "many": np.array([f"n{at % (MOST_GROUPS + 1)}" for at in range(len(protocol))]),
        "one": np.full(len(protocol), "all"),
    }
    many, one = group_figures(scores, columns, threshold=0.3)
    assert many.rates is None
    assert f"{MOST_GROUPS + 1} different labels" in many.reason
    assert one.rates is None
    assert "two or more groups" in one.reason


# Failures


def test_every_failure_stands_once_with_the_matchers_that_had_it_and_the_page_shows_the_first(full: Evaluation) -> None:
    document: Any = full.to_dict()
    assert [each["matchers"] for each in document["failures"]] == [["A", "B"]] * 3 + [["B"]] * (LISTED + 2)
    assert [each["failures"] for each in document["matchers"]] == [{"no_face": 3}, {"no_face": LISTED + 5}]
    page = report_html(full, document)
    assert f"no face at {LISTED - 1}.25" in page
    assert f"no face at {LISTED}.25" not in page
    assert "report.json" in page


# Times


def test_times_are_those_first_kept_and_damaged_ones_are_measured_anew(tmp_path: Path) -> None:
    protocol = protocol_of()
    scored = scored_of(protocol, "toy")
    assert with_kept_time(scored, protocol, tmp_path).seconds == 0.0123
    later = dataclasses.replace(scored, seconds=7.0)
    assert with_kept_time(later, protocol, tmp_path).seconds == 0.0123
    assert with_kept_time(dataclasses.replace(later, matcher="other"), protocol, tmp_path).seconds == 7.0
    for damage in (b"", b"[]", b'{"seconds": "x"}', b'{"seconds": NaN}'):
        (kept,) = [file for file in (tmp_path / "comparing").iterdir() if b"other" not in file.read_bytes()]
        kept.write_bytes(damage)
        assert with_kept_time(later, protocol, tmp_path).seconds == 7.0
        assert json.loads(kept.read_bytes())["seconds"] == 7.0


def test_the_hash_of_the_findings_does_not_depend_on_the_times(full: Evaluation) -> None:
    slower = dataclasses.replace(full, scored=tuple(dataclasses.replace(each, seconds=9.0) for each in full.scored))
    one, other = full.to_dict(), slower.to_dict()
    assert one["timings"] != other["timings"]
    assert {**one, "timings": None} == {**other, "timings": None}
    changed = dataclasses.replace(full, settings={"seed": "1"}).to_dict()
    assert changed["findings_sha256"] != one["findings_sha256"]


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=30))
def test_photos_a_second_are_those_of_the_mean_time(milliseconds: list[float]) -> None:
    times: Any = PhotoTimes("m", (("a", np.array(milliseconds)), ("b", np.array(milliseconds)))).to_dict()
    assert times["photos_per_second_and_thread"] == pytest.approx(500 / np.mean(milliseconds), rel=0.006)
    assert [step["step"] for step in times["steps"]] == ["a", "b", "a photo in all"]
    own: Any = PhotoTimes("m", (("a", np.array(milliseconds)),)).to_dict()
    assert [step["step"] for step in own["steps"]] == ["a photo in all"]
    assert times["steps"][0]["median_ms"] == pytest.approx(np.median(milliseconds), rel=0.006)


# Evidence


def test_evidence_is_the_crops_and_the_maps_of_which_the_score_is_the_sum(tmp_path: Path) -> None:
    samples = Samples(
        photos_of(tmp_path, 255, 10, 50), tuple(map(SampleSource, [((0, 1),), ((2,),)])), np.arange(2), True
    )
    protocol = VerificationProtocol(
        "toy", samples, np.array([0]), np.array([1]), np.array([False]), np.zeros(1, int), "0" * 64
    )
    extractor = Extractor(FixedDetector(), AngleEmbedder(), "center")
    embedded = embed_samples(samples, extractor)
    found = EvidenceSource(embedded, Uniform(), extractor).of(protocol, [0])[0]
    np.testing.assert_array_equal(found.probe, pixels(10), "the first photo of the sample has no face")
    np.testing.assert_array_equal(found.reference, pixels(50))
    assert found.comparison is not None
    assert found.comparison.score == pytest.approx(score_pairs(protocol, embedded, Uniform()).scores.scores[0])
    save_photo(tmp_path / "50.png", 51)
    with pytest.raises(InvalidArgument, match="was changed"):
        EvidenceSource(embedded, Uniform(), extractor).of(protocol, [0])


def test_a_model_without_a_grid_is_shown_by_its_faces_alone(full: Evaluation) -> None:
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    bare = tuple({row: Evidence(crops[0], crops[1], None) for row in of} for of in full.evidence)
    evaluation = dataclasses.replace(full, evidence=bare)
    page = report_html(evaluation, evaluation.to_dict())
    assert page.count("<image") == 2 * 2 * 2 * PICTURED
    assert "Similarity" not in page


# Charts and summary


def test_the_page_shows_the_det_curve_of_the_scores(full: Evaluation) -> None:
    # Two labels of each axis say where rates lie; every point drawn is one of scikit-learn's curve, from end to end.
    page = report_html(full, full.to_dict())
    chart = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)[0]
    across, up = (
        {label: float(at) for at, label in re.findall(pattern, chart)}
        for pattern in (
            r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle" class="tick">(1e-1|1)<',
            r'<text x="[\d.]+" y="([\d.]+)" text-anchor="end" class="tick">(1e-1|1)<',
        )
    )
    curves = re.findall(r'<polyline points="([^"]+)" class="(c\d)"', chart)
    assert len(curves) == len(full.scored)
    for (drawn, color), scored in zip(curves, full.scored, strict=True):
        assert re.search(rf"\.{color} {{ stroke: var", page)
        found = np.array([[float(number) for number in point.split(",")] for point in drawn.split()])
        scores = np.maximum(scored.scores.scores, -9.0)  # of failures, which match at no threshold
        fmr, fnmr, thresholds = det_curve(scored.scores.mated, scores)
        rates = np.stack([fmr, fnmr])[:, thresholds > -9]
        rates = np.append(rates, [[0.0], [1.0]], axis=1)  # where none match, which scikit-learn leaves out
        least = 0.5 / np.array([(~scored.scores.mated).sum(), scored.scores.mated.sum()])
        wanted = np.log10(np.maximum(rates, least[:, None])).T
        for axis, (labels, shift) in enumerate(((across, 0.0), (up, 4.0))):
            one = labels["1"] - shift
            found[:, axis] = (found[:, axis] - one) / (labels["1"] - labels["1e-1"])
        distances = np.abs(found[:, None] - wanted[None]).max(axis=2)
        assert distances.min(axis=1).max() < 2e-3  # a tenth of a pixel
        assert len(found) > 20
        np.testing.assert_allclose(found.min(axis=0), wanted.min(axis=0), atol=2e-3)
        np.testing.assert_allclose(found.max(axis=0), wanted.max(axis=0), atol=2e-3)


def test_a_chart_drops_no_matcher_and_needs_no_colour() -> None:
    protocol = protocol_of(folds=2)
    scored = [scored_of(protocol, f"toy/{at}", seed=at) for at in range(7)]
    estimates = [Estimates(each.scores, draws=100) for each in scored]
    figures = [figures_of(protocol, each, of, fmr=0.1) for each, of in zip(scored, estimates, strict=True)]
    from xcos.evaluation.charts import DASHES, MARKS, det_chart

    chart = det_chart(figures, 1440, 240)
    lines = re.findall(r'<polyline[^>]*stroke-dasharray="([^"]*)"', chart)
    assert lines == [*DASHES, DASHES[0]]
    assert len(set(DASHES)) == len(DASHES)
    assert chart.count(" mark") == len(figures)
    assert len({(DASHES[at % 6], MARKS[at % 4]) for at in range(12)}) == 12


def test_the_summary_is_a_table_whose_rows_have_the_header_s_cells(full: Evaluation) -> None:
    lines = report_markdown(full.figures, full.against).splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "A less B" in lines[-1]
    assert len(lines[2]) < 300
