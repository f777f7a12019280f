"""What a search says: thresholds at the gallery's size, likelihoods, unknown people and why, and difference maps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import MODEL as FAKE_MODEL
from fakes import AngleEmbedder, FixedDetector, calibration, cosine, fake_verifier, photo
from gallery_toy import PURPOSE
from scipy import stats

from xcos.calibration import Calibration, Origin
from xcos.compare import Uniform
from xcos.errors import IncompatibleTemplates, InvalidArgument, NoFace, PurposeMismatch, UnsupportedFmr
from xcos.gallery.candidates import difference_map, judge, search_threshold
from xcos.gallery.gallery import Gallery
from xcos.gallery.identifier import Identifier, enrolment_quality
from xcos.gallery.report import answer_sentences, picture_of, search_html, write_search
from xcos.gallery.search import Found, Hit
from xcos.gallery.store import Enrolment, Layout
from xcos.quality import QualityLimits
from xcos.types import Comparison, Reason
from xcos.verifier import Verifier

LAYOUT = Layout(FAKE_MODEL, (2, 2, 2), 2)


def wide() -> Calibration:
    """A threshold of 1 − rate at every rate from 10 % to 1e-6, known exactly; llr 10 s − 5."""
    rates = 10.0 ** np.arange(-1, -6.1, -1)
    return Calibration(
        model=FAKE_MODEL,
        comparator="uniform",
        origin=Origin("made-up people", "all pairs", 10_000, 10**8, 20_000, "2026-01-02", "fixed"),
        slope=10.0,
        intercept=-5.0,
        rates=rates,
        thresholds=np.stack([1 - rates] * 3 + [rates / 2, rates * 2], axis=1),
        bins=np.linspace(-1, 1, 3),
        mated=np.array([0.1, 0.9]),
        non_mated=np.array([0.9, 0.1]),
    )


def hit(score: float, subject: str = "ann") -> Hit:
    similarity = np.array([[score, score], [score, score]])
    return Hit(subject, "", 1.0, Comparison(similarity, np.full((2, 2), 0.25)))


def found(*scores: float, templates: int = 100, subjects: int = 50) -> Found:
    hits = tuple(hit(score, f"s{at}") for at, score in enumerate(scores))
    return Found(hits, templates, subjects, "exact")


@pytest.mark.parametrize(("fpir", "count"), [(0.01, 1), (0.1, 10), (0.01, 100), (0.05, 5000)])
def test_the_false_match_rate_asked_for_gives_the_false_positive_rate_wanted(fpir: float, count: int) -> None:
    threshold = search_threshold(wide(), fpir, count)
    assert stats.binom.sf(0, count, threshold.threshold.fmr) == pytest.approx(fpir, rel=1e-9)
    assert threshold.threshold.fmr * count >= fpir  # the union bound is never smaller
    assert "independent" in threshold.model
    assert threshold.calibration == wide().sha256
    assert "made-up people" in threshold.origin


def test_simulated_searches_of_independent_comparisons_have_the_rate_that_was_asked_for() -> None:
    random = np.random.default_rng(0)
    count, fpir = 200, 0.05
    threshold = search_threshold(wide(), fpir, count).threshold.value
    # non-mated scores whose FMR at T is 1 − T, as the calibration says at powers of ten
    fmr = search_threshold(wide(), fpir, count).threshold.fmr
    best = random.random((20_000, count)).max(axis=1)
    share = float((best >= 1 - fmr).mean())
    assert share == pytest.approx(fpir, abs=5 * math.sqrt(fpir * (1 - fpir) / 20_000))
    assert 0.99 < threshold < 1


def test_a_rate_that_the_calibration_cannot_bear_at_this_size_has_no_threshold() -> None:
    with pytest.raises(UnsupportedFmr):
        search_threshold(wide(), 0.01, 10**6)
    answer = judge(found(0.99, templates=10**6), wide(), fpir=0.01)
    assert answer.outcome == "unknown"
    assert answer.threshold is None
    assert [reason.code for reason in answer.reasons] == ["unsupported_fpir"]
    assert "1,000,000 templates" in answer.reasons[0].message
    assert answer.candidates[0].outcome is None
    assert answer.candidates[0].llr == pytest.approx(4.9)
    for fpir in (0, 1, math.nan):
        with pytest.raises(InvalidArgument, match="fpir"):
            search_threshold(wide(), fpir, 10)
    with pytest.raises(InvalidArgument, match="one template"):
        search_threshold(wide(), 0.01, 0)


def test_the_likelihood_ratio_among_many_is_that_of_the_best_of_many() -> None:
    """f₁ F₀^(N−1) against the density of the maximum of N, N f₀ F₀^(N−1), of two normal distributions."""
    mated, other, count, score = stats.norm(0.7, 0.1), stats.norm(0.1, 0.15), 50, 0.55
    alone = math.log(mated.pdf(score) / other.pdf(score))
    with_mate = mated.pdf(score) * other.cdf(score) ** (count - 1)
    without = (other.cdf(score + 1e-6) ** count - other.cdf(score - 1e-6) ** count) / 2e-6
    assert alone - math.log(count) == pytest.approx(math.log(with_mate / without), abs=1e-4)
    answer = judge(found(0.55, subjects=count), wide(), fpir=0.01)
    assert answer.candidates[0].llr == pytest.approx(0.5)
    assert answer.candidates[0].llr_in_gallery == pytest.approx(0.5 - math.log(50))


def test_somebody_is_named_only_at_the_threshold_and_without_doubts() -> None:
    named = judge(found(0.99999, 0.2), wide(), fpir=0.01)
    assert (named.outcome, named.reasons) == ("candidates", ())
    assert [each.outcome for each in named.candidates] == ["match", "non_match"]
    assert [each.rank for each in named.candidates] == [1, 2]
    below = judge(found(0.9), wide(), fpir=0.01)
    assert [reason.code for reason in below.reasons] == ["no_candidate_above_threshold"]
    doubt = Reason("too_dark", "probe", 0.1, 0.2, "probe: too dark")
    doubted = judge(found(0.99999), wide(), fpir=0.01, doubts=(doubt,))
    assert (doubted.outcome, doubted.reasons) == ("unknown", (doubt,))
    inside = judge(found(0.55, templates=10), calibration(), fpir=0.05)
    assert [reason.code for reason in inside.reasons] == ["score_in_threshold_interval"]


def test_a_search_without_calibration_or_gallery_says_so() -> None:
    bare = judge(found(0.9), None, fpir=0.01)
    assert [reason.code for reason in bare.reasons] == ["no_calibration"]
    assert (bare.candidates[0].llr, bare.candidates[0].llr_in_gallery) == (None, None)
    empty = judge(found(templates=0, subjects=0), wide(), fpir=0.01)
    assert [reason.code for reason in empty.reasons] == ["nobody_to_compare_with"]
    assert empty.candidates == ()


def test_a_difference_map_adds_up_to_the_difference_of_the_scores() -> None:
    random = np.random.default_rng(0)

    def some(subject: str) -> Hit:
        attention = random.random((3, 4))
        return Hit(subject, "", 1.0, Comparison(random.uniform(-1, 1, (3, 4)), attention / attention.sum()))

    one, other = judge(Found((some("a"), some("b")), 2, 2, "exact"), None, fpir=0.01).candidates
    difference = difference_map(one, other)
    assert difference.sum() == pytest.approx(one.score - other.score, abs=1e-12)
    assert (difference == one.comparison.contribution - other.comparison.contribution).all()
    assert (difference_map(other, one) == -difference).all()


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """People at 0°, 60° and 120°."""
    made = Gallery.create(tmp_path / "g.db", LAYOUT, name="angles", purpose=PURPOSE, retention_days=1, codec="half")
    for angle in (0, 60, 120):
        (template,) = fake_verifier().extract([fake_verifier().locate(photo(angle))])
        made.enrol(f"at {angle}", [Enrolment(template)])
    return made


def test_a_photo_finds_the_people_in_the_order_of_their_angles(gallery: Gallery) -> None:
    search = Identifier(gallery, fake_verifier()).identify([photo(10)], purpose=PURPOSE, fpir=0.05)
    answer = search.identification
    assert answer.outcome == "candidates"
    assert [each.subject for each in answer.candidates] == ["at 0", "at 60", "at 120"]
    scores = [each.score for each in answer.candidates]
    assert scores == pytest.approx([cosine(10), cosine(50), cosine(110)], abs=1e-3)  # half precision
    assert answer.candidates[0].llr == pytest.approx(fake_verifier().calibration.llr(scores[0]))
    document = json.loads(json.dumps(answer.to_dict()))
    assert document["candidates"][0]["subject"] == "at 0"
    assert np.sum(document["candidates"][0]["maps"]["contribution"]) == pytest.approx(scores[0])


def test_a_candidates_comparison_is_the_verifiers(gallery: Gallery) -> None:
    verifier = fake_verifier()
    (probe,) = verifier.extract([verifier.locate(photo(25))])
    search = Identifier(gallery, verifier).identify([photo(25)], purpose=PURPOSE, fpir=0.05)
    for candidate in search.identification.candidates:
        (kept,) = gallery.templates(candidate.subject)
        comparison = verifier.compare(probe, kept.template)
        assert (comparison.similarity == candidate.comparison.similarity).all()
        assert (comparison.attention == candidate.comparison.attention).all()


def test_several_photos_are_searched_as_one_person(gallery: Gallery) -> None:
    identifier = Identifier(gallery, fake_verifier())
    for fusing in ("mean", "quality"):
        search = identifier.identify([photo(40), photo(80)], purpose=PURPOSE, fusing=fusing, fpir=0.05)
        best = search.identification.candidates[0]
        assert best.subject == "at 60"
        assert best.score == pytest.approx(1.0, abs=1e-3)
        assert len(search.samples) == 2


def test_an_unknown_person_is_unknown_with_the_reason(gallery: Gallery) -> None:
    answer = Identifier(gallery, fake_verifier()).identify([photo(190)], purpose=PURPOSE, fpir=0.05).identification
    assert answer.outcome == "unknown"
    assert answer.reasons[0].code == "no_candidate_above_threshold"
    assert len(answer.candidates) == 3
    assert "unknown" in " ".join(answer_sentences(answer))


def test_searches_are_refused_before_any_photo_is_looked_at(gallery: Gallery) -> None:
    detector = FixedDetector()
    identifier = Identifier(gallery, fake_verifier(detector=detector))
    with pytest.raises(PurposeMismatch):
        identifier.identify([photo(1)], purpose="another")
    with pytest.raises(InvalidArgument, match="one photo"):
        identifier.identify([], purpose=PURPOSE)
    assert detector.seen == []
    with pytest.raises(NoFace) as caught:
        identifier.identify([photo(255)], purpose=PURPOSE)
    assert caught.value.details["side"] == "probe"


def test_a_verifier_of_another_model_cannot_search(gallery: Gallery) -> None:
    other = fake_verifier()
    embedder = AngleEmbedder(model="other/grid/0")
    wrong = Verifier(other.detector, embedder, Uniform(), calibration(model="other/grid/0"))
    with pytest.raises(IncompatibleTemplates, match="other/grid/0"):
        Identifier(gallery, wrong)


def test_each_broken_quality_limit_halves_a_photos_weight() -> None:
    sample = fake_verifier().locate(photo(1))
    limits = QualityLimits()
    count = len(limits.reasons(sample.quality, "reference"))
    assert enrolment_quality(sample) == 0.5**count
    worse = replace(sample, quality=replace(sample.quality, sharpness=0.0, brightness=0.0))
    assert enrolment_quality(worse) == 0.5 ** len(limits.reasons(worse.quality, "reference")) < 1


def test_the_report_shows_every_candidate_and_reason_and_nothing_from_outside(gallery: Gallery, tmp_path: Path) -> None:
    search = Identifier(gallery, fake_verifier()).identify([photo(190, "<b>.png")], purpose=PURPOSE, fpir=0.05)
    page = search_html(search, gallery.card)
    for words in ("at 0", "at 60", "at 120", PURPOSE, "no_candidate_above_threshold", "&lt;b&gt;.png", "lead"):
        assert words in page
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page
    assert "<b>.png" not in page
    write_search(search, gallery.card, tmp_path / "out.html")
    assert (tmp_path / "out.html").stat().st_size > 1000


def test_a_candidates_picture_is_drawn_with_and_without_a_threshold_or_a_next_one(gallery: Gallery) -> None:
    search = Identifier(gallery, fake_verifier()).identify([photo(10)], purpose=PURPOSE, fpir=0.05)
    first, last = (picture_of(search.samples[0], search.identification, rank, scale=1.0) for rank in (1, 3))
    assert first.shape == last.shape == (370, 1180, 3)
    assert (first[:, 960:] != last[:, 960:]).any()  # the last one is ahead of nobody
    bare = Identifier(gallery, fake_verifier()).identify([photo(10)], purpose=PURPOSE, fpir=1e-5)
    assert bare.identification.threshold is None
    assert picture_of(bare.samples[0], bare.identification, 1, scale=1.0).shape == (370, 1180, 3)
