"""From photos and a network to a head, its calibration and its figures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import AngleEmbedder, FixedDetector, save_photo
from heads import CHANNELS, COLS, ROWS, WEIGHTINGS, grids, trained
from onnx import helper, numpy_helper
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from xcos.alignment import ARCFACE_112
from xcos.cli import main
from xcos.comparators import LearnedHead
from xcos.compare import NormWeighted, Uniform
from xcos.errors import InvalidArgument, InvalidModel
from xcos.evaluation.engines import LocalPool
from xcos.extractor import Extractor
from xcos.feature_store import rows_of
from xcos.models import read_model
from xcos.training import features as features_module
from xcos.training.export import export_head
from xcos.training.expose import expose
from xcos.training.features import Features, PersonPhoto, embed_people, list_photos
from xcos.training.fit import (
    FitSettings,
    Step,
    all_scores,
    fit_given_head,
    fit_head,
    fit_loss,
    settings_for,
)
from xcos.training.head import Concat, XcosHead
from xcos.training.measure import DRAWS, Pairs, learned_square, measure, plain_squares, vector_square
from xcos.training.people import MOST_PER_PERSON, PARTS, part_of, require_parts, split_people
from xcos.types import Templates
from xcos.weights import WeightCard

# Photos → features


def people_folder(home: Path, angles: dict[str, list[int]]) -> Path:
    for person, values in angles.items():
        (home / person).mkdir(parents=True, exist_ok=True)
        for number, angle in enumerate(values):
            save_photo(home / person / f"{number}.png", angle)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Five photos of three people; one shows no face."""
    return people_folder(tmp_path / "people", {"ann": [10, 12], "bob": [80, 255], "eve": [170]})


def embedded(home: Path, cache: Path, embedder: AngleEmbedder | None = None) -> tuple[Features, AngleEmbedder]:
    embedder = embedder or AngleEmbedder(twist=2.0)
    return embed_people(list_photos(home), Extractor(FixedDetector(), embedder, "center"), cache), embedder


def test_every_usable_photo_has_its_persons_label_its_grid_and_its_vector(home: Path, tmp_path: Path) -> None:
    made, _ = embedded(home, tmp_path / "cache")
    assert made.people == ("ann", "bob", "eve")
    assert made.labels.tolist() == [0, 0, 1, 2]
    angles = np.radians([10, 12, 80, 170])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(made.grids[np.arange(4)], np.tile(directions[:, None, None], (1, 2, 2, 1)), atol=1e-3)
    np.testing.assert_allclose(made.vectors, np.stack([np.cos(2 * angles), np.sin(2 * angles)], axis=1), atol=1e-6)
    assert [(each.photo, each.code) for each in made.left_out] == [("bob/1.png", "no_face")]


def test_a_second_run_embeds_nothing_and_gives_the_same(home: Path, tmp_path: Path) -> None:
    first, _ = embedded(home, tmp_path / "cache")
    known: list[int] = []
    again = AngleEmbedder(twist=2.0)
    extractor = Extractor(FixedDetector(), again, "center")
    second = embed_people(list_photos(home), extractor, tmp_path / "cache", on_known=known.append)
    assert (again.seen, known) == ([], [5])
    np.testing.assert_array_equal(second.grids[np.arange(4)], first.grids[np.arange(4)])
    np.testing.assert_array_equal(second.vectors, first.vectors)
    assert second.left_out == first.left_out


def test_new_photos_are_added_to_those_known(home: Path, tmp_path: Path) -> None:
    embedded(home, tmp_path / "cache")
    people_folder(home, {"eve": [170, 171], "abe": [40]})
    made, embedder = embedded(home, tmp_path / "cache")
    assert sorted(embedder.seen) == [40, 171]
    assert made.people == ("abe", "ann", "bob", "eve")
    np.testing.assert_allclose(made.grids[np.array([0, 5])][:, 0, 0, 0], np.cos(np.radians([40, 171])), atol=1e-3)


def test_a_photo_is_searched_for_a_face_once(home: Path, tmp_path: Path) -> None:
    detector = FixedDetector()
    embed_people(list_photos(home), Extractor(detector, AngleEmbedder(), "center"), tmp_path / "cache")
    assert sorted(detector.seen) == [10, 12, 80, 170, 255]


def test_a_renamed_photo_is_known_by_its_bytes(home: Path, tmp_path: Path) -> None:
    embedded(home, tmp_path / "cache")
    (home / "ann" / "0.png").rename(home / "ann" / "portrait.jpeg")
    assert embedded(home, tmp_path / "cache")[1].seen == []


@pytest.mark.parametrize("change", [{"model": "other"}, {"detector": "other"}])
def test_features_of_another_model_or_detector_are_not_taken(
    home: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    embedded(home, tmp_path / "cache")
    embedder = AngleEmbedder(twist=2.0, model=change.get("model", "fake/grid/000000000000"))
    detector = FixedDetector(name=change.get("detector", "fixed"))
    embed_people(list_photos(home), Extractor(detector, embedder, "center"), tmp_path / "cache")
    assert sorted(embedder.seen) == [10, 12, 80, 170]


@dataclasses.dataclass
class Stopping(AngleEmbedder):
    """Is stopped in its third block."""

    def embed(self, crops: Any) -> Templates:
        if len(self.seen) >= 4:
            raise KeyboardInterrupt
        return super().embed(crops)


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "PHOTOS_PER_SHARD", 2)
    monkeypatch.setattr(features_module, "LOCAL", LocalPool(streams=1))
    home = people_folder(tmp_path / "people", {"ann": [1, 2, 3, 4], "bob": [5, 6, 7]})
    stopping = Stopping(twist=2.0)
    with pytest.raises(KeyboardInterrupt):
        embedded(home, tmp_path / "cache", stopping)
    made, embedder = embedded(home, tmp_path / "cache")
    assert sorted([*stopping.seen, *embedder.seen]) == [1, 2, 3, 4, 5, 6, 7]
    assert len(embedder.seen) == 3
    np.testing.assert_allclose(made.grids[np.arange(7)][:, 1, 1, 1], np.sin(np.radians(range(1, 8))), atol=1e-3)


def test_lost_and_damaged_features_are_made_again(home: Path, tmp_path: Path) -> None:
    first, _ = embedded(home, tmp_path / "cache")
    (shard,) = (tmp_path / "cache").glob("*/*.features")
    content = shard.read_bytes()
    for spoiled in (None, content[:-64], content[:-1] + b"x", content[:100]):
        shard.unlink()
        if spoiled:
            shard.write_bytes(spoiled)
        made, embedder = embedded(home, tmp_path / "cache")
        assert sorted(embedder.seen) == [10, 12, 80, 170]
        np.testing.assert_array_equal(made.vectors, first.vectors)


def test_rows_that_are_lost_do_not_come_to_speak_of_other_photos(home: Path, tmp_path: Path) -> None:
    first, _ = embedded(home, tmp_path / "cache")
    next((tmp_path / "cache").glob("*/*.features")).unlink()
    (home / "ann" / "0.png").rename(tmp_path / "aside.png")
    embedded(home, tmp_path / "cache")
    (tmp_path / "aside.png").rename(home / "ann" / "0.png")
    made, embedder = embedded(home, tmp_path / "cache")
    assert embedder.seen == [10]
    np.testing.assert_array_equal(made.vectors, first.vectors)


def test_a_second_run_on_one_cache_is_refused_and_spoils_nothing(home: Path, tmp_path: Path) -> None:
    other = people_folder(tmp_path / "others", {"kim": [33, 34], "lee": [120]})
    refused: list[str] = []

    @dataclasses.dataclass
    class Meanwhile(AngleEmbedder):
        def embed(self, crops: Any) -> Templates:
            with pytest.raises(InvalidArgument, match="another run uses this cache") as caught:
                embedded(other, tmp_path / "cache")
            refused.append(caught.value.code)
            return super().embed(crops)

    embedded(home, tmp_path / "cache", Meanwhile(twist=2.0))
    assert set(refused) == {"invalid_argument"}
    made, embedder = embedded(other, tmp_path / "cache")  # the lock went with the first run
    assert sorted(embedder.seen) == [33, 34, 120]
    np.testing.assert_allclose(made.grids[np.arange(3)][:, 0, 0, 0], np.cos(np.radians([33, 34, 120])), atol=1e-3)


def test_a_cache_that_cannot_be_written_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InvalidArgument, match="cannot write the cache folder"):
        embedded(home, tmp_path / "cache")


def test_files_that_are_no_photos_are_counted_and_hidden_ones_passed_over(home: Path, tmp_path: Path) -> None:
    (home / "ann" / "notes.txt").write_text("her good side")
    (home / "ann" / ".hidden").write_text("")
    (home / ".git").mkdir()
    made, _ = embedded(home, tmp_path / "cache")
    assert ("ann/notes.txt", "unsupported_format") in [(each.photo, each.code) for each in made.left_out]
    assert len(made) == 4


def test_copies_of_a_photo_are_not_compared_with_one_another(home: Path, tmp_path: Path) -> None:
    people_folder(home, {"ann": [10, 12, 12], "zoe": [80]})
    made, _ = embedded(home, tmp_path / "cache")
    told = {each.photo: each.code for each in made.left_out}
    assert told == {
        "ann/2.png": "duplicate_photo",
        "bob/0.png": "two_people",
        "bob/1.png": "no_face",
        "zoe/0.png": "two_people",
    }
    assert made.people == ("ann", "eve")


def test_large_features_are_kept_in_single_precision(home: Path, tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Large(AngleEmbedder):
        def embed(self, crops: Any) -> Templates:
            made = super().embed(crops)
            return Templates(made.grids * 1e6, made.vectors, made.model)

    made, _ = embedded(home, tmp_path / "cache", Large())
    np.testing.assert_allclose(made.grids[np.array([0])].max(), 1e6 * np.cos(np.radians(10)), rtol=1e-6)


@pytest.mark.parametrize("people", [{}, {"ann": [1, 2, 3]}])
def test_a_folder_without_two_people_is_refused(tmp_path: Path, people: dict[str, list[int]]) -> None:
    (tmp_path / "people").mkdir()
    with pytest.raises(InvalidArgument, match="one sub-folder a person"):
        list_photos(people_folder(tmp_path / "people", people))
    with pytest.raises(InvalidArgument, match="no folder"):
        list_photos(tmp_path / "nothing")


def test_photos_without_any_face_are_an_error_that_says_why(tmp_path: Path) -> None:
    home = people_folder(tmp_path / "people", {"ann": [255], "bob": [255, 255]})
    with pytest.raises(InvalidArgument, match=r"none of 3 photos can be used \(3 no_face.*whole-image"):
        embedded(home, tmp_path / "cache")


# Who serves for what


def test_people_keep_their_part_when_others_come() -> None:
    names = [f"person {number}" for number in range(4000)]
    parts = [part_of(name) for name in names]
    shares = [parts.count(part) / len(parts) for part in PARTS]
    np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=4 * 0.5 / 4000**0.5)
    # worked out by hand from sha256: the first 12 digits as a fraction of one
    for name in names[:20]:
        place = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 2**48
        assert part_of(name) == PARTS[(place >= 0.4) + (place >= 0.8)]


def made_features(per_person: list[int], seed: int = 0, shape: tuple[int, ...] = (2, 3, 4)) -> Features:
    """Features of people who differ, photos who differ less; vectors are their flattened grids."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(per_person)), per_person)
    centers = random.normal(size=(len(per_person), *shape))
    values = (centers[labels] + 0.7 * random.normal(size=(len(labels), *shape))).astype(np.float32)
    names = tuple(f"person {number:04}" for number in range(len(per_person)))
    return Features(rows_of(values), values.reshape(len(labels), -1), labels, names)


def test_nobody_is_in_two_parts_and_each_photo_keeps_its_features() -> None:
    everyone = made_features([1, 2, 3] * 20)
    parts = split_people(everyone)
    names = [name for part in PARTS for name in parts[part].people]
    assert sorted(names) == sorted(everyone.people)
    for part in PARTS:
        mine = parts[part]
        whose = np.array(mine.people)[mine.labels]
        assert {part_of(name) for name in mine.people} == {part}
        for at in range(len(mine)):
            same = mine.grids[np.array([at])].reshape(1, -1) == everyone.vectors
            (row,) = np.flatnonzero(same.all(axis=1))
            assert everyone.people[everyone.labels[row]] == whose[at]
            np.testing.assert_array_equal(mine.vectors[at], everyone.vectors[row])


def test_one_person_cannot_outweigh_the_others_where_all_pairs_count() -> None:
    everyone = made_features([2] * 60)
    many = next(at for at, name in enumerate(everyone.people) if part_of(name) == "test")
    counts = [2] * 60
    counts[many] = 50
    parts = split_people(made_features(counts))
    assert parts["test"].photos_per_person.max() == MOST_PER_PERSON
    assert set(parts["test"].people) == {name for name in everyone.people if part_of(name) == "test"}


@pytest.mark.parametrize("photos", [1, 2])
def test_too_few_people_or_one_photo_each_is_refused_before_any_work(photos: int) -> None:
    names = [f"p{number}" for number in range(60 if photos == 1 else 3)]
    with pytest.raises(InvalidArgument, match="training"):
        require_parts([PersonPhoto(name, Path(f"{at}.png")) for name in names for at in range(photos)])


# Fitting


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_all_scores_are_those_of_the_pairs(weighting: str) -> None:
    head = trained(weighting)
    batch = grids(3, 5)
    with torch.no_grad():
        square = all_scores(head, batch)
        for i in range(5):
            for j in range(5):
                expected = head(batch[i : i + 1], batch[j : j + 1]).score
                torch.testing.assert_close(square[i, j : j + 1], expected, atol=1e-6, rtol=1e-5)
    if weighting != "concat":
        torch.testing.assert_close(square, square.T, atol=1e-6, rtol=1e-5)


def test_the_loss_of_two_people_is_its_closed_form() -> None:
    scores = torch.tensor([[1.0, 0.5, 0.1, 0.0], [0.5, 1.0, 0.0, 0.0], [0.1, 0.0, 1.0, 0.7], [0.0, 0.0, 0.7, 1.0]])
    cosines = torch.tensor([[1.0, 0.8, 0.0, 0.0], [0.8, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.5, 1.0]])
    loss = fit_loss(scores, cosines, torch.tensor([0, 0, 1, 1]), FitSettings(scale=10.0, identity=0.25))
    # mated: 0.3² and 0.2², twice each; of eight other ordered pairs two differ, by 0.1
    imitation = ((0.09 + 0.04) / 2 + 2 * 0.01 / 8) / 2
    e = np.exp
    shares = [e(5) / (e(5) + e(1) + 1), e(5) / (e(5) + 2), e(7) / (e(7) + e(1) + 1), e(7) / (e(7) + 2)]
    assert loss.imitation.item() == pytest.approx(imitation, rel=1e-5)
    assert loss.identity.item() == pytest.approx(-np.log(shares).mean(), rel=1e-4)
    assert loss.whole.item() == pytest.approx(imitation - 0.25 * np.log(shares).mean(), rel=1e-5)


QUICK = FitSettings(channels=8, steps=120, people=12, others=12)


def noisy_features(people: int, seed: int) -> Features:
    """Half of a grid's channels speak of the person, half are strong noise; the vector knows only the person."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 3)
    persons = random.normal(size=(people, 2, 2, 6))[labels] + 0.2 * random.normal(size=(3 * people, 2, 2, 6))
    values = np.concatenate([persons, 2 * random.normal(size=persons.shape)], axis=3).astype(np.float32)
    names = tuple(f"person {number}" for number in range(people))
    vectors = persons.reshape(len(labels), -1).astype(np.float32)
    return Features(rows_of(values), vectors, labels, names)


def fitted(training: Features, settings: FitSettings, on_step: Callable[[Step], None] = lambda _: None) -> Any:
    return fit_head(training.grids, training.vectors, training.labels, settings, on_step)


@pytest.mark.parametrize("weighting", ["separable", "symmetric", "norm", "uniform"])
def test_a_fitted_head_finds_what_speaks_of_the_person_in_people_it_never_saw(weighting: Any) -> None:
    steps: list[Step] = []
    head = fitted(noisy_features(60, 0), dataclasses.replace(QUICK, weighting=weighting), steps.append)
    unseen = noisy_features(30, 1)
    with torch.no_grad():
        square = all_scores(head, torch.from_numpy(unseen.grids[np.arange(90)]).permute(0, 3, 1, 2)).numpy()
    pairs, own = Pairs(unseen.labels), vector_square(unseen)
    learned = measure("learned", pairs.of(square), pairs.of(own), pairs, [0.1])
    raw = measure("norm", pairs.of(plain_squares(unseen)["norm"]), pairs.of(own), pairs, [0.1])
    assert [step.number for step in steps] == list(range(QUICK.steps))
    assert np.mean([step.teacher for step in steps[-10:]]) < 0.7 * np.mean([step.teacher for step in steps[:10]])
    assert learned.accuracy.value > raw.accuracy.value + 0.05
    assert learned.spearman is not None
    assert raw.spearman is not None
    assert learned.spearman > raw.spearman


def test_a_head_with_the_papers_weighting_is_fitted_too() -> None:
    training, settings = noisy_features(20, 0), dataclasses.replace(QUICK, steps=60)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = XcosHead(12, Concat(8), channels=8)
    steps: list[Step] = []
    given = fit_given_head(head, training.grids, training.vectors, training.labels, settings, steps.append)
    assert given is head
    assert np.mean([step.teacher for step in steps[-10:]]) < 0.7 * np.mean([step.teacher for step in steps[:10]])


def test_the_identity_term_teaches_what_the_teacher_does_not_know() -> None:
    """To this teacher all are one person; told who is who as well, the head finds mates better."""
    blind = dataclasses.replace(noisy_features(20, 0), vectors=np.ones((60, 2), np.float32))
    last = []
    for weight in (0.0, 1.0):
        steps: list[Step] = []
        fitted(blind, dataclasses.replace(QUICK, steps=30, identity=weight), steps.append)
        last.append(np.mean([step.identity for step in steps[-5:]]))
    assert last[1] < 0.5 * last[0]


def test_the_same_seed_gives_the_same_head_and_touches_no_global_state() -> None:
    training, short = noisy_features(20, 0), dataclasses.replace(QUICK, steps=3)
    before = torch.random.get_rng_state()
    one, two = (export_head(fitted(training, short), 2, 2) for _ in range(2))
    assert one == two
    assert (torch.random.get_rng_state() == before).all()
    assert export_head(fitted(training, dataclasses.replace(short, seed=1)), 2, 2) != one


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0]])
def test_labels_that_cannot_teach_who_is_who_are_refused(labels: list[int]) -> None:
    values = np.ones((4, 2, 2, 3), np.float32)
    with pytest.raises(InvalidArgument, match="cannot teach"):
        fit_head(values, np.ones((4, 2), np.float32), np.array(labels), QUICK)


def test_features_of_different_photos_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="same photos"):
        fit_head(np.ones((4, 2, 2, 3), np.float32), np.ones((5, 2), np.float32), np.zeros(4, np.int64), QUICK)


@pytest.mark.parametrize("wrong", [{"weighting": "best"}, {"steps": 0}, {"others": -1}, {"seed": -1}, {"seed": 2**31}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        FitSettings(**wrong)


def test_weightings_that_look_at_every_pair_get_smaller_batches() -> None:
    cheap, dear = (settings_for(name, channels=3, steps=5, seed=7) for name in ("separable", "symmetric"))
    assert (dear.weighting, dear.channels, dear.steps, dear.seed) == ("symmetric", 3, 5, 7)
    assert 2 * dear.people + dear.others < 2 * cheap.people + cheap.others


# Measuring


def test_squares_are_the_scores_of_the_comparators(tmp_path: Path) -> None:
    made = made_features([2, 1, 3], shape=(ROWS, COLS, CHANNELS))
    (tmp_path / "head.onnx").write_bytes(export_head(trained("separable"), ROWS, COLS))
    head = LearnedHead(tmp_path / "head.onnx")
    values = made.grids[np.arange(6)]
    first, second = (index.ravel() for index in np.indices((6, 6)))
    for comparator, square in (
        (Uniform(), plain_squares(made)["uniform"]),
        (NormWeighted(), plain_squares(made)["norm"]),
        (head, learned_square(made, head)),
    ):
        similarity, attention = comparator.maps(values[first], values[second])
        np.testing.assert_allclose(square.ravel(), (similarity * attention).sum(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(vector_square(made), 1 - cdist(made.vectors, made.vectors, "cosine"), atol=1e-5)


def scored(people: int = 25, seed: int = 0) -> tuple[Pairs, Any, Any]:
    """Pairs of three photos a person, with scores and the network's own scores."""
    random = np.random.default_rng(seed)
    pairs = Pairs(np.repeat(np.arange(people), 3))
    scores = (random.normal(size=pairs.mated.shape) + 2 * pairs.mated).astype(np.float32)
    return pairs, scores, (scores + random.normal(size=scores.shape)).astype(np.float32)


def test_figures_are_those_of_every_threshold_tried() -> None:
    pairs, scores, own = scored()
    mated, others = scores[pairs.mated].astype(np.float64), scores[~pairs.mated].astype(np.float64)
    thresholds = [*np.unique(scores).astype(np.float64), np.inf]
    fnmr = np.array([(mated < t).mean() for t in thresholds])
    fmr = np.array([(others >= t).mean() for t in thresholds])
    made = measure("m", scores, own, pairs, [0.1, 0.01, 1e-4])
    assert made.accuracy.value == pytest.approx(1 - (fnmr + fmr).min() / 2)
    nearest = np.argmin(np.maximum(fnmr, fmr))
    assert made.eer.value == pytest.approx((fnmr + fmr)[nearest] / 2)
    assert made.fnmr[0.1].value == pytest.approx(fnmr[fmr <= 0.1].min())
    assert made.fnmr[0.01].value == pytest.approx(fnmr[fmr <= 0.01].min())
    assert 1e-4 not in made.fnmr, "2,700 non-mated pairs cannot show it"
    for figure in (made.accuracy, made.eer, *made.fnmr.values()):
        assert figure.low <= figure.value <= figure.high


def test_intervals_are_percentiles_of_photos_of_people_drawn_anew() -> None:
    """The same draws with every pair really repeated: a person drawn twice has two sets of mated pairs."""
    pairs, scores, own = scored(people=8)
    made = measure("m", scores, own, pairs, [0.2], seed=4)
    random, drawn = np.random.default_rng(4), []
    for _ in range(DRAWS):
        times = random.multinomial(8, [1 / 8] * 8)
        mated = np.repeat(scores[pairs.mated], times[pairs.first[pairs.mated]])
        others = ~pairs.mated
        other = np.repeat(scores[others], times[pairs.first[others]] * times[pairs.second[others]])
        thresholds = [*np.unique(scores), np.inf]
        fnmr = np.array([(mated < t).mean() for t in thresholds])
        fmr = np.array([(other >= t).mean() for t in thresholds])
        drawn.append([1 - (fnmr + fmr).min() / 2, fnmr[fmr <= 0.2].min()])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([made.accuracy.low, made.fnmr[0.2].low], low, atol=1e-9)
    np.testing.assert_allclose([made.accuracy.high, made.fnmr[0.2].high], high, atol=1e-9)


def test_scores_that_part_all_pairs_make_no_error() -> None:
    pairs, _, own = scored()
    made = measure("m", pairs.mated.astype(np.float32), own, pairs, [0.1])
    assert (made.accuracy.value, made.accuracy.low, made.eer.high, made.fnmr[0.1].value) == (1, 1, 0, 0)


def test_more_people_make_narrower_intervals_that_cover_the_truth() -> None:
    """Scores are normal, mated ones two deviations higher, so the equal error rate is Φ(−1) = 0.1587."""
    few, many = (measure("m", *scored(people, 5)[1:], scored(people, 5)[0], [0.1]).eer for people in (12, 90))
    assert many.high - many.low < few.high - few.low
    assert few.low < 0.1587 < few.high
    assert many.low < 0.1587 < many.high


def test_the_rank_correlation_is_that_of_scipy() -> None:
    pairs = Pairs(np.array([0, 0, 0, 0, 1, 1]))  # seven mated pairs, eight others: seven of them are drawn
    random = np.random.default_rng(0)
    scores = np.round(random.normal(size=15), 1).astype(np.float32)
    own = np.round(random.normal(size=15), 1).astype(np.float32)
    made = measure("m", scores, own, pairs, [0.1]).spearman
    others = np.flatnonzero(~pairs.mated)
    possible = []
    for left in others:
        kept = np.setdiff1d(np.arange(15), [left])
        possible.append(spearmanr(scores[kept], own[kept]).statistic)
    assert min(abs(made - each) for each in possible) < 1e-12


# The whole


def user_network(path: Path, *, cells: int = 7) -> Path:
    """A convolution of 112 / cells pixels a side and its mean over the cells."""
    side = 112 // cells
    kernel = np.random.default_rng(0).normal(size=(16, 3, side, side)).astype(np.float32) / side
    flat = helper.make_node("ReduceMean", ["grid"], ["embedding"], axes=[2, 3], keepdims=0)
    nodes = [helper.make_node("Conv", ["data", "kernel"], ["grid"], strides=[side, side]), flat]
    inputs = [helper.make_tensor_value_info("data", 1, ["n", 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("embedding", 1, ["n", 16])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def write_card(path: Path, network: Path) -> Path:
    words = dict.fromkeys(("name", "licence", "source", "training_data"), "made up")
    fields = {**words, "sha256": hashlib.sha256(network.read_bytes()).hexdigest()}
    fields |= {"template": ARCFACE_112.name, "color": "rgb"}
    lines = [f'{key} = "{value}"' for key, value in fields.items()]
    path.write_text("\n".join([*lines, "mean = 127.5", "scale = 0.0078125"]))
    return path


def test_a_network_without_a_map_has_nothing_to_plug_into(tmp_path: Path) -> None:
    network = user_network(tmp_path / "flat.onnx", cells=1)
    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    card = WeightCard("flat", sha256, ARCFACE_112, "rgb", (127.5,) * 3, 0.0078125, "MIT", "here", "none")
    with pytest.raises(InvalidModel, match="nothing to plug a head into"):
        expose(network, card)


def test_what_is_exposed_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    network = user_network(tmp_path / "user.onnx")
    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    card = WeightCard("tiny", sha256, ARCFACE_112, "rgb", (127.5,) * 3, 0.0078125, "MIT", "here", "none")
    one, two = expose(network, card), expose(network, card)
    assert one.card == two.card
    assert one.original == sha256
    assert one.card.sha256 == hashlib.sha256(one.network.content).hexdigest()


def test_a_network_in_the_cache_that_is_not_the_exposed_one_is_written_anew(tmp_path: Path) -> None:
    network = user_network(tmp_path / "user.onnx")
    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    card = WeightCard("tiny", sha256, ARCFACE_112, "rgb", (127.5,) * 3, 0.0078125, "MIT", "here", "none")
    exposed = expose(network, card)
    made = exposed.embedder(tmp_path / "cache").model
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-7])
    assert exposed.embedder(tmp_path / "cache").model == made
    assert kept.read_bytes() == exposed.network.content
    with pytest.raises(InvalidArgument, match="cannot write the cache folder"):
        exposed.embedder(network)


@pytest.mark.parametrize(
    "options", [("people/m", ""), ("people/ann/m", ""), ("link/m", ""), ("m", "people/cache"), ("m", "people")]
)
def test_nothing_is_written_among_the_photos(
    tmp_path: Path, options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    card = write_card(tmp_path / "card.toml", user_network(tmp_path / "user.onnx"))
    home = people_folder(tmp_path / "people", {"ann": [1, 2], "bob": [3]})
    (tmp_path / "link").symlink_to(home)
    before = sorted(home.rglob("*"))
    out, cache = options
    words = [
        "plug",
        str(tmp_path / "user.onnx"),
        "--card",
        str(card),
        "--data",
        str(home),
        "--out",
        str(tmp_path / out),
    ]
    assert main([*words, *(["--cache", str(tmp_path / cache)] if cache else []), "--json"]) == 2
    message = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["message"]
    assert "lies in the folder of photos" in message
    assert sorted(home.rglob("*")) == before


MISTAKES = {
    "the card of another network": (["--card", "other.toml"], "SHA-256"),
    "no card": (["--card", ""], "--card CARD is needed"),
    "a card that is not there": (["--card", "nothing.toml"], "No such file"),
    "the network for a card": (["--card", "user.onnx"], "is no text"),
    "a card without a key": (["--card", "short.toml"], r"lacks \['color'\]"),
    "a card that was not filled in": (["--card", "blank.toml"], "64 hexadecimal digits"),
    "a file that is no network": (["text.onnx", "--card", "text.toml"], "is not an ONNX model"),
    "no folder of photos": (["--data", "nothing"], "nothing is no folder"),
    "photos without people": (["--data", "loose"], "0 sub-folders, with files of 0 people, and 2 files"),
    "folders of folders": (["--data", "nested"], "1 sub-folders, with files of 0 people"),
    "one person": (["--data", "alone"], "files of 1 people"),
    "few people": (["--data", "people"], "photos of more people"),
    "an output that is there": (["--out", "full"], "not empty"),
    "an output in no folder": (["--out", "no/m"], "missing or protected"),
    "an output that is a file": (["--out", "text.onnx"], "is a file"),
    "a cache in the output": (["--cache", "m/cache"], "lies in"),
    "a cache that is the output": (["--cache", "m"], "lies in"),
    "a rate of 0": (["--fmr", "0"], "between 0 and 1"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "no steps": (["--steps", "0"], "--steps must be at least 1"),
    "no channels": (["--channels", "0"], "--channels must be at least 1"),
    "a vector for a grid": (["--grid", "embedding"], "'embedding' has 1 × 16: name a feature map"),
    "a grid that is not there": (["--grid", "gird"], "no tensor 'gird' .* last maps grid 16 × 7 × 7"),
    "a grid for a vector": (["--vector", "grid"], "both grid and embedding"),
    "an unknown detector": (["--detector", "retina"], "'retina' is unknown"),
    "a folder that is no training": (["people", "--card", ""], "not the folder of a training"),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network with its card, folders of photos and other files, among them none that will do."""
    network = user_network(tmp_path / "user.onnx")
    card = write_card(tmp_path / "card.toml", network).read_text()
    (tmp_path / "text.onnx").write_text("a picture of a network")
    write_card(tmp_path / "text.toml", tmp_path / "text.onnx")
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    (tmp_path / "other.toml").write_text(card.replace(digest, 64 * "0"))
    (tmp_path / "blank.toml").write_text(card.replace(digest, "as sha256sum prints it"))
    (tmp_path / "short.toml").write_text(card.replace('color = "rgb"\n', ""))
    home = people_folder(tmp_path / "people", {"ann": [1, 2], "bob": [3]})
    people_folder(tmp_path / "alone", {"ann": [1, 2, 3]})
    people_folder(tmp_path, {"loose": [1, 2]})
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "images").symlink_to(home)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_request_that_cannot_be_met_is_refused_before_any_work(
    desk: Path, mistake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if mistake != "few people":
        monkeypatch.setattr("xcos.training.people.require_parts", lambda *_, **__: None)
    before = sorted(desk.rglob("*"))
    given, told = MISTAKES[mistake]
    network = [] if not given[0].startswith("--") else ["user.onnx"]
    words = ["plug", *network, "--card", "card.toml", "--data", "people", "--out", "m", *given]
    assert main([*words, "--json"]) == 2
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert re.search(told, error["message"]), error["message"]
    assert sorted(desk.rglob("*")) == before


def test_where_the_first_photos_are_all_unusable_the_others_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "PHOTOS_PER_SHARD", 2)
    monkeypatch.setattr(features_module, "TRIED", 4)
    monkeypatch.setattr(features_module, "LOCAL", LocalPool(streams=1))
    random = np.random.default_rng(0)
    for person in ("ann", "bob"):
        (tmp_path / "people" / person).mkdir(parents=True)
        for number in range(10):
            noise = random.integers(0, 256, (64, 64, 3), np.uint8)
            noise[0, 0] = 255
            Image.fromarray(noise).save(tmp_path / "people" / person / f"{number}.png")
    detector = FixedDetector()
    with pytest.raises(InvalidArgument, match="none of 4 photos can be used"):
        embed_people(
            list_photos(tmp_path / "people"), Extractor(detector, AngleEmbedder(), "center"), tmp_path / "cache"
        )
    assert 4 <= len(detector.seen) <= 6


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two noisy crops each of 400 people made of random patches, one file that is no photo, a network and its card."""
    folder = tmp_path_factory.mktemp("crowd")
    write_card(folder / "card.toml", user_network(folder / "user.onnx"))
    random = np.random.default_rng(0)
    for person in range(400):
        (folder / "people" / f"p{person:03}").mkdir(parents=True)
        base = random.integers(60, 196, (7, 7, 3)).repeat(16, axis=0).repeat(16, axis=1)
        for number in range(2):
            noisy = (base + random.integers(-40, 40, base.shape)).astype(np.uint8)
            Image.fromarray(noisy).save(folder / "people" / f"p{person:03}" / f"{number}.png", compress_level=1)
    (folder / "people" / "p000" / "notes.txt").write_text("no photo")
    return folder


def plugged(crowd: Path, out: Path) -> int:
    words = [str(crowd / "user.onnx"), "--card", str(crowd / "card.toml"), "--data", str(crowd / "people")]
    settings = ["--detector", "whole-image", "--cache", str(crowd / "cache"), "--steps", "60", "--fmr", "0.1"]
    return main(["plug", *words, "--out", str(out), *settings, "--json"])


@pytest.mark.slow
def test_a_network_and_a_folder_of_people_become_a_model_that_verifies(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plugged(crowd, tmp_path / "one") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "one" / "report.json").read_text())
    assert sum(shown["people"].values()) == 400
    assert sum(shown["photos"].values()) == 800
    assert [(each["photo"], each["code"]) for each in shown["left_out"]] == [("p000/notes.txt", "unsupported_format")]
    assert [each["comparator"].split("/")[0] for each in shown["measured"]] == [
        "vector",
        "uniform",
        "norm",
        "xcos-separable",
    ]
    assert shown["measured"][-1]["accuracy"]["value"] > 0.9
    report = (tmp_path / "one" / "REPORT.md").read_text()
    assert "p000/notes.txt" in report
    model = read_model(tmp_path / "one")
    assert model.calibration.supports(0.1)
    assert model.vector_calibration is not None
    tested = [path for path in sorted((crowd / "people").iterdir()) if part_of(path.name) == "test"]
    pair = [str(tested[0] / "0.png"), str(tested[0] / "1.png")]
    asked = ["--model", str(tmp_path / "one"), "--detector", "whole-image", "--fmr", "0.1", "--json"]
    assert main(["verify", *pair, *asked]) in (0, 3)
    mated = json.loads(capsys.readouterr().out)["score"]
    assert main(["verify", pair[0], str(tested[1] / "0.png"), *asked]) in (1, 3)
    assert mated > json.loads(capsys.readouterr().out)["score"]
    # the same request again: from the cache, to the same bits
    (crowd / "user.onnx").touch()
    assert plugged(crowd, tmp_path / "two") == 0
    for name in ("model.onnx", "head.onnx", "calibration.json", "vector_calibration.json", "card.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_too_few_people_for_any_threshold_are_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = user_network(tmp_path / "user.onnx")
    card = write_card(tmp_path / "card.toml", network)
    random = np.random.default_rng(0)
    for person in range(24):
        (tmp_path / "people" / f"p{person:02}").mkdir(parents=True)
        for number in range(2):
            crop = random.integers(0, 256, (112, 112, 3), np.uint8)
            Image.fromarray(crop).save(tmp_path / "people" / f"p{person:02}" / f"{number}.png", compress_level=1)
    words = ["plug", str(network), "--card", str(card), "--data", str(tmp_path / "people"), "--detector", "whole-image"]
    assert main([*words, "--out", str(tmp_path / "m"), "--json"]) == 2
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert "use more people" in error["message"]
    assert not (tmp_path / "m").exists()
