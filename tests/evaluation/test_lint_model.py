"""A card that is wrong in one thing is found out, in that thing; a right one is left alone."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lint_toy import BLUE, RED, MiddleDetector, card_for, photo_name, write_network, write_pairs, write_photos

from xcos.alignment import ARCFACE_112
from xcos.detectors import YuNet
from xcos.embedders import OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.evaluation.lint_bench import Bench, find_faces
from xcos.evaluation.lint_model import counts, lint_model
from xcos.evaluation.lint_pairs import choose_pairs
from xcos.evaluation.lint_report import Finding, LintReport
from xcos.evaluation.preprocessing import ASPECTS, Aspect, declared
from xcos.evaluation.protocol import PhotoSource, VerificationProtocol
from xcos.evaluation.protocols import read_protocol
from xcos.evaluation.protocols.csv_files import read_csv
from xcos.evaluation.uncertainty import Estimate
from xcos.types import CropTemplate, Face, Pixels
from xcos.weights import WeightCard

PEOPLE = 60
LEFT = CropTemplate("left", 112, 112, ARCFACE_112.points - (8, 0))
RAW: dict[str, Any] = {"mean": (0.0,) * 3, "scale": 1.0}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the equal error rates, which decide nothing and take most of the time."""
    monkeypatch.setattr("xcos.evaluation.lint_model.RATE_DRAWS", 100)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "toy.onnx")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("people"), PEOPLE)


def lint(network: Path, listed: Path, *, card: dict[str, Any] | None = None, **options: Any) -> LintReport:
    given = OnnxEmbedder(network, card_for(network, **(card or {})))
    return lint_model(given, read_csv(listed), MiddleDetector(), **{"pairs": PEOPLE, **options})


def of(report: LintReport, aspect: Aspect) -> Finding:
    (finding,) = (each for each in report.findings if each.aspect == aspect)
    return finding


def wrong_aspects(report: LintReport) -> set[Aspect]:
    return {finding.aspect for finding in report.findings if not finding.as_declared}


@pytest.mark.parametrize("seed", range(3))
def test_a_right_card_is_left_as_declared(network: Path, people: Path, seed: int) -> None:
    report = lint(network, people, seed=seed)
    assert report.as_declared
    assert report.works
    assert report.corrections == {}
    assert len(report.rounds) == 1
    assert (report.gain.low, report.gain.value, report.gain.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("aspect", "wrong", "corrected"),
    [
        ("color", {"color": "bgr"}, {"color": ["rgb"]}),
        ("range", RAW, {"mean": [[127.5] * 3], "scale": [1 / 127.5, 1 / 128]}),
        ("crop", {"template": LEFT}, {"template": ["arcface_112"]}),
    ],
)
def test_what_is_wrong_in_a_card_is_found_and_named(
    network: Path, people: Path, aspect: Aspect, wrong: dict[str, Any], corrected: dict[str, list[Any]]
) -> None:
    report = lint(network, people, card=wrong)
    assert wrong_aspects(report) == {aspect}
    assert report.corrections.keys() == corrected.keys()
    for name, value in report.corrections.items():
        assert value in corrected[name]
    finding = of(report, aspect)
    assert finding.gain is not None
    assert finding.eer_gain is not None
    assert finding.gain.low > 0
    assert finding.eer_gain.value > 0
    before, after = report.verified
    assert report.gain.value == pytest.approx(after.separation - before.separation)
    assert finding.gain.value == pytest.approx(report.gain.value)


def test_a_second_fault_that_the_first_one_hides_is_found_after_it(tmp_path: Path, network: Path) -> None:
    """Identity in blue; a crop aside costs nothing as long as red is looked at."""
    pairs = write_photos(tmp_path / "blue", PEOPLE, color=lambda _: BLUE)
    report = lint(network, pairs, card={"template": LEFT})
    assert wrong_aspects(report) == {"color", "crop"}
    assert report.corrections == {"color": "bgr", "template": "arcface_112"}
    first, *_ = report.rounds
    assert not any(trial.counts for trial in first.trials if trial.aspect == "crop")
    assert first.best is not None
    assert first.best.aspect == "color"


def test_two_faults_of_which_neither_can_be_mended_alone_are_no_verdict(network: Path, people: Path) -> None:
    report = lint(network, people, card={**RAW, "color": "bgr"})
    assert not report.works
    assert report.rounds[0].figures.unusable == report.choosing.photos


def test_mirror_averaging_is_found_to_help_where_photos_are_mirrored_by_chance(tmp_path: Path, network: Path) -> None:
    drawn = np.random.default_rng(0)
    flipped = {(person, number): bool(drawn.integers(2)) for person in range(PEOPLE) for number in range(2)}
    pairs = write_photos(tmp_path / "mirrored", PEOPLE, mirrored=lambda person, number: flipped[person, number])
    report = lint(network, pairs)
    assert wrong_aspects(report) == {"mirror"}
    assert report.wanted.mirror
    assert report.corrections == {}, "cards do not speak of mirror images"


def test_what_helps_only_the_people_it_was_chosen_on_is_not_recommended(tmp_path: Path, network: Path) -> None:
    """The halves depend on the list alone, so photos can be made for them: blue for one half, red for the other."""
    folder = tmp_path / "halves"
    folder.mkdir()
    listed = write_pairs(folder / "pairs.csv", PEOPLE)
    for person, number in itertools.product(range(PEOPLE), range(2)):
        (folder / photo_name(person, number)).touch()
    made = read_csv(listed)
    names = [photo.name for photo in made.samples.photos]
    choosing = {names[photo].partition("_")[0] for photo in choose_pairs(made, PEOPLE, 0).choosing.photos.tolist()}
    pairs = write_photos(folder, PEOPLE, color=lambda person: BLUE if f"p{person:03}" in choosing else RED)
    report = lint(network, pairs, seed=0)
    finding = of(report, "color")
    assert report.as_declared
    assert report.corrections == {}
    assert finding.chosen_gain is not None
    assert finding.gain is not None
    assert finding.chosen_gain.low > 1
    assert finding.gain.high < -1
    assert (finding.wanted, finding.confirmed) == (finding.declared, False)


def test_alternatives_that_do_as_well_as_the_one_named_are_named_too(network: Path, people: Path) -> None:
    finding = of(lint(network, people, card=RAW), "range")
    assert {finding.wanted, *finding.alike} == {"(x − 127.5) / 127.5", "(x − 127.5) / 128"}


def test_only_what_is_asked_for_is_tried(network: Path, people: Path) -> None:
    report = lint(network, people, aspects=("color", "mirror"))
    assert {trial.aspect for trial in report.rounds[0].trials} == {"color", "mirror"}
    assert [finding.aspect for finding in report.findings] == ["color", "mirror"]


def test_without_knowledge_of_people_listed_pairs_do_too(tmp_path: Path, network: Path) -> None:
    pairs = write_photos(tmp_path / "linked", 2 * PEOPLE, known=False)
    report = lint(network, pairs, card={"color": "bgr"}, pairs=2 * PEOPLE)
    assert not report.people_known
    assert wrong_aspects(report) == {"color"}
    assert report.choosing.non_mated <= PEOPLE


def test_the_same_seed_gives_the_same_report(network: Path, people: Path) -> None:
    one, two = (lint(network, people, aspects=("color",)).to_dict() for _ in range(2))
    assert json.dumps(one) == json.dumps(two)


def test_separation_and_rates_are_those_of_the_cosines_by_hand(network: Path, people: Path) -> None:
    report = lint(network, people, aspects=("color",))
    pairs = choose_pairs(read_csv(people), PEOPLE, 0).choosing
    made = read_csv(people)
    ring = np.zeros((7, 7), bool)
    ring[[0, -1], :] = ring[:, [0, -1]] = True
    from PIL import Image

    features = {}
    for photo in pairs.photos.tolist():
        source = made.samples.photos[photo].source
        assert isinstance(source, Path)
        blocks = np.asarray(Image.open(source))[16:-16:16, 16:-16:16, 0].astype(float)
        values = np.maximum(0, -(blocks - 127.5) / 127.5)[ring]
        features[photo] = values / np.linalg.norm(values)
    scores = np.array([features[a] @ features[b] for a, b in zip(pairs.probe, pairs.reference, strict=True)])
    mated, other = scores[pairs.mated], scores[~pairs.mated]
    expected = (mated.mean() - other.mean()) / math.sqrt((mated.var() + other.var()) / 2)
    assert report.rounds[0].figures.separation == pytest.approx(expected, rel=1e-3)
    auc = (mated[:, None] > other).mean() + (mated[:, None] == other).mean() / 2
    assert report.rounds[0].figures.auc == pytest.approx(auc, abs=1e-3)


# Work


def test_faces_are_looked_for_once_and_progress_ends_where_it_said(network: Path, people: Path) -> None:
    detector, more, done = MiddleDetector(), list[int](), list[int]()
    given = OnnxEmbedder(network, card_for(network, color="bgr"))
    report = lint_model(given, read_csv(people), detector, pairs=PEOPLE, on_more=more.append, on_done=done.append)
    assert len(report.rounds) == 2
    assert len(detector.calls) == report.choosing.photos + report.verifying.photos == 2 * PEOPLE
    assert sum(more) == sum(done)


def test_nothing_goes_through_the_network_twice(network: Path, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = read_csv(people)
    photos = np.arange(20)
    faces = find_faces({number: made.samples.photos[number] for number in range(20)}, MiddleDetector(), "center")
    found = {number: each for number, each in faces.items() if not isinstance(each, Exception)}
    bench = Bench(OnnxEmbedder(network, card_for(network)), found)
    feed = declared(card_for(network)).feeds[0]
    first = bench.vectors(feed, photos)
    monkeypatch.setattr(OnnxEmbedder, "embed", lambda *_: pytest.fail("embedded again"))
    np.testing.assert_array_equal(bench.vectors(replace(feed), photos), first)


def test_landmarks_of_the_sets_owner_are_used_and_no_detector_is_asked(people: Path) -> None:
    made = read_csv(people)
    points = ARCFACE_112.points + 3
    source = PhotoSource("known", made.samples.photos[0].source, points)
    detector = MiddleDetector()
    found = find_faces({0: source, 1: made.samples.photos[1]}, detector, "center")
    assert len(detector.calls) == 1
    assert not isinstance(found[0], Exception)
    np.testing.assert_array_equal(found[0].face.landmarks, points)


def test_photos_without_a_face_are_left_out_and_counted(tmp_path: Path, network: Path) -> None:
    pairs = write_photos(tmp_path / "faceless", PEOPLE, faceless=[photo_name(3, 0), photo_name(4, 1)])
    report = lint(network, pairs, aspects=("color",))
    assert report.refused == {"no_face": 2}
    assert report.choosing.mated + report.verifying.mated == PEOPLE - 2


def test_too_few_usable_faces_are_refused(tmp_path: Path, network: Path) -> None:
    faceless = [photo_name(person, 0) for person in range(45)]
    pairs = write_photos(tmp_path / "faceless", PEOPLE, faceless=faceless)
    with pytest.raises(InvalidArgument, match="more people"):
        lint(network, pairs)


# Vectors


def test_vectors_of_one_length_are_recognised_and_give_one_order(tmp_path: Path, people: Path) -> None:
    path = write_network(tmp_path / "normalised.onnx", normalised=True)
    vectors = lint(path, people, aspects=("color",)).vectors
    assert vectors.normalised
    assert vectors.length == pytest.approx(1, abs=1e-6)
    for gain in (vectors.dot_gain, vectors.euclid_gain):
        assert gain.value == pytest.approx(0, abs=1e-4)
    assert vectors.better == ()


def test_lengths_that_tell_nothing_are_no_better_than_directions(network: Path, people: Path) -> None:
    vectors = lint(network, people, aspects=("color",)).vectors
    assert not vectors.normalised
    assert vectors.dot_gain.high < 0
    assert "dot product" not in vectors.better
    assert (vectors.dimensions, vectors.unusable) == (49, 0)


def test_vectors_that_hardly_depend_on_the_photo_are_called_so(tmp_path: Path, people: Path) -> None:
    path = write_network(tmp_path / "constant.onnx", constant=100.0)
    assert lint(path, people, aspects=("color",)).vectors.constant
    assert not lint(write_network(tmp_path / "toy.onnx"), people, aspects=("color",)).vectors.constant


def test_photos_without_a_finite_vector_are_counted_and_score_lowest(network: Path, people: Path) -> None:
    report = lint(network, people, card=RAW, aspects=("color",))
    assert report.rounds[0].figures.unusable == report.choosing.photos
    assert report.rounds[0].figures.separation == 0
    assert report.rounds[0].figures.auc == 0.5
    assert (report.vectors.dimensions, report.vectors.unusable) == (0, report.choosing.photos)


# The rule


@pytest.mark.parametrize(
    ("value", "low", "separation", "expected"),
    [
        (0.3, 0.1, 5.0, True),
        (0.3, -0.1, 5.0, False),  # may be chance
        (0.3, 0.0, 5.0, False),
        (0.2, 0.1, 5.0, False),  # less than 5 %
        (0.25, 0.1, 5.0, True),
        (0.09, 0.05, 0.2, False),  # less than 0.1
        (0.11, 0.05, 0.2, True),
        (0.11, 0.05, -3.0, True),
    ],
)
def test_a_gain_counts_if_it_is_more_than_chance_and_material(
    value: float, low: float, separation: float, expected: bool
) -> None:
    assert counts(Estimate(value, low, 2 * value - low, 100, "any"), separation) == expected


def test_the_report_is_plain_json_and_says_what_the_values_say(network: Path, people: Path) -> None:
    report = lint(network, people, card={"color": "bgr"})
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["corrections"] == {"color": "rgb"}
    assert (document["as_declared"], document["works"], document["mirror"]) == (False, True, False)
    assert [each["aspect"] for each in document["findings"]] == list(ASPECTS)
    assert document["verified"]["gain"]["value"] == report.gain.value
    assert len(document["rounds"]) == len(report.rounds)
    for shown, round in zip(document["rounds"], report.rounds, strict=True):
        assert [each["alternative"] for each in shown["trials"]] == [trial.told for trial in round.trials]
        assert [each["gain"]["value"] for each in shown["trials"]] == [trial.gain.value for trial in round.trials]


# Real networks


class KeptFaces:
    """A detector that remembers, so that a photo is looked at once for all lints of a test."""

    def __init__(self, detector: YuNet) -> None:
        self._detector = detector
        self.name = detector.name
        self._known: dict[bytes, list[Face]] = {}

    def detect(self, pixels: Pixels) -> list[Face]:
        key = hashlib.sha256(pixels.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._detector.detect(pixels)
        return self._known[key]


RealLint = Callable[..., LintReport]
COLUMNS_96 = CropTemplate("arcface_96", 96, 112, ARCFACE_112.points - (8, 0))
FED: dict[str, dict[str, Any]] = {
    "y1": RAW,
    "casia": {"template": COLUMNS_96, "mean": (127.5,) * 3, "scale": 1 / 128},
}


@pytest.fixture(scope="module")
def real_lint(real_file: Callable[[str], Path]) -> RealLint:
    detector = KeptFaces(YuNet(real_file("models/yunet/yunet_n_dynamic.onnx")))
    protocol = read_protocol("lfw-view1", real_file("data/lfw"))
    assert isinstance(protocol, VerificationProtocol)

    def run(name: str, wrong: dict[str, Any], aspects: Sequence[Aspect], pairs: int) -> LintReport:
        path = real_file(f"models/mobilefacenet_{name}.onnx")
        card: WeightCard = card_for(path, **{**FED[name], **wrong})
        return lint_model(OnnxEmbedder(path, card), protocol, detector, aspects=aspects, pairs=pairs)

    return run


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["y1", "casia"])
def test_the_right_card_of_a_real_network_is_left_as_declared(real_lint: RealLint, name: str) -> None:
    report = real_lint(name, {}, ASPECTS, 40)
    assert report.as_declared
    assert report.works
    assert report.vectors.mirror_matches
    assert report.vectors.better == ()


@pytest.mark.slow
@pytest.mark.real_data
def test_exchanged_colours_of_a_real_network_are_found(real_lint: RealLint) -> None:
    report = real_lint("casia", {"color": "bgr"}, ["color"], 200)
    assert report.corrections == {"color": "rgb"}
    assert report.gain.low > 0


@pytest.mark.slow
@pytest.mark.real_data
def test_a_wrong_range_of_a_real_network_is_found(real_lint: RealLint) -> None:
    report = real_lint("y1", {"mean": (127.5,) * 3, "scale": 1 / 128}, ["range"], 40)
    assert report.corrections == {"mean": [0.0] * 3, "scale": 1.0}
    assert report.eer_gain.low > 0


@pytest.mark.slow
@pytest.mark.real_data
def test_a_wrong_crop_of_a_real_network_is_found(real_lint: RealLint) -> None:
    low = CropTemplate("low", 96, 112, COLUMNS_96.points + np.array([0, 12]))
    report = real_lint("casia", {"template": low}, ["crop"], 40)
    assert wrong_aspects(report) == {"crop"}
    np.testing.assert_allclose(report.wanted.template.points, COLUMNS_96.points, atol=1e-6)
