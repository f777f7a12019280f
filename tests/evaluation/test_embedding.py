"""Samples of a protocol embedded: each photo once, no failure lost, nothing recomputed, nothing damaged used."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_child import SHARD, listed
from fakes import POINTS, AngleEmbedder, FixedDetector, face, pixels, save_photo
from hypothesis import given
from hypothesis import strategies as st

from xcos.catalog import DATA, default_verifier
from xcos.errors import InvalidArgument, NoFace
from xcos.evaluation import embedding
from xcos.evaluation.embedding import (
    EmbeddedSamples,
    FailedPhoto,
    HashedSamples,
    embed_samples,
    hash_photos,
    photos_per_shard,
    shares,
)
from xcos.evaluation.engines import LocalPool
from xcos.evaluation.protocol import PhotoSource, Samples, SampleSource, single
from xcos.evaluation.work import MEASURES, QUALITIES, TIMES
from xcos.extractor import Extractor, ReadyPhoto
from xcos.types import Quality, Templates

NO_FACE = 255  # angle of the photo in which the detector finds none


def photo(folder: Path, angle: int, name: str = "", **more: Any) -> PhotoSource:
    path = folder / f"{name or angle}.png"
    save_photo(path, angle)
    return PhotoSource(path.stem, path, **more)


def singles(*photos: PhotoSource) -> Samples:
    return Samples(photos, tuple(map(single, range(len(photos)))), np.arange(len(photos)), True)


def samples(photos: tuple[PhotoSource, ...], *media: tuple[tuple[int, ...], ...]) -> Samples:
    return Samples(photos, tuple(map(SampleSource, media)), np.arange(len(media)), True)


@dataclasses.dataclass
class Run:
    """One call, and what it asked of detector and network."""

    made: EmbeddedSamples
    detected: list[int]
    embedded: list[int]
    known: list[int]
    told: int


def run(
    wanted: Samples | HashedSamples,
    cache: Path | None = None,
    *,
    embedder: AngleEmbedder | None = None,
    detector: FixedDetector | None = None,
    face: Any = "center",
    **options: Any,
) -> Run:
    embedder, detector = embedder or AngleEmbedder(twist=2.0), detector or FixedDetector()
    known: list[int] = []
    told: list[int] = []
    made = embed_samples(
        wanted,
        Extractor(detector, embedder, face),
        cache=cache,
        on_known=known.append,
        on_photo=lambda: told.append(1),
        **options,
    )
    return Run(made, sorted(detector.seen), sorted(embedder.seen), known, len(told))


def direction(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def grids(made: EmbeddedSamples) -> np.ndarray:
    return made.grids[np.arange(len(made.samples))]


# One photo


def test_every_sample_of_one_photo_has_that_photos_template_bit_for_bit(tmp_path: Path) -> None:
    photos = tuple(photo(tmp_path, angle) for angle in (10, 50, 170))
    ready = Extractor(FixedDetector(), AngleEmbedder(twist=2.0), "center").prepare(
        [tmp_path / f"{a}.png" for a in (10, 50, 170)]
    )
    made = run(singles(*photos)).made
    for at, each in enumerate(ready):
        assert isinstance(each, ReadyPhoto)
        np.testing.assert_array_equal(grids(made)[at], each.template.grid)
        np.testing.assert_array_equal(made.vectors[at], each.template.vector)
    assert made.model == AngleEmbedder.model
    assert made.present.all()
    assert made.failures == ()


def test_real_networks_give_the_templates_and_measures_of_the_extractor(example: Callable[[str], Any]) -> None:
    extractor = default_verifier().extractor
    names = [f"{person}_{view}" for person in range(5) for view in ("front", "yaw")]
    photos = tuple(PhotoSource(name, DATA / "examples" / f"{name}.jpg") for name in names)
    made = embed_samples(singles(*photos), extractor, second_look=True)
    located = [extractor.locate(example(name)) for name in names]
    wanted = [extractor.extract(located[start : start + 8]) for start in (0, 8)]
    np.testing.assert_array_equal(grids(made), np.concatenate([each.grids for each in wanted]))
    np.testing.assert_array_equal(made.vectors, np.concatenate([each.vectors for each in wanted]))
    for at, sample in enumerate(located):
        assert Quality(**{name: made.measures[name][at] for name in QUALITIES}) == sample.quality
        assert made.measures["faces_found"][at] == sample.faces_found
        assert made.measures["confidence"][at] == sample.face.face.confidence
        assert made.sha256[at] == sample.sha256
    for name in TIMES:
        assert (made.measures[name] > 0).all()


def test_a_photo_in_bytes_is_the_photo_in_its_file(tmp_path: Path) -> None:
    files = tuple(photo(tmp_path, angle) for angle in (10, 50))
    in_bytes = tuple(PhotoSource(each.name, Path(str(each.source)).read_bytes()) for each in files)
    one, other = run(singles(*files)).made, run(singles(*in_bytes)).made
    np.testing.assert_array_equal(grids(one), grids(other))
    assert one.sha256 == other.sha256


def test_photos_that_were_hashed_once_serve_any_number_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = singles(*(photo(tmp_path, angle) for angle in (10, 50)), PhotoSource("gone", tmp_path / "gone.png"))
    hashed = hash_photos(wanted)
    monkeypatch.setattr(embedding, "file_bytes", lambda _: pytest.fail("a photo was read again for its hash"))
    for twist in (2.0, 3.0):
        made = run(hashed, embedder=AngleEmbedder(twist=twist)).made
        assert made.samples is wanted
        assert made.present.tolist() == [True, True, False]


def test_the_second_look_is_taken_only_where_it_is_asked_for(tmp_path: Path) -> None:
    wanted = singles(photo(tmp_path, 10))
    without, once = run(wanted), run(wanted, second_look=True)
    assert len(without.detected) == 1
    assert len(once.detected) == 3
    assert set(once.made.measures) == set(MEASURES)
    assert set(MEASURES) - set(without.made.measures) == {"second_look"}


# Every photo once


def test_every_distinct_photo_is_read_and_embedded_once(tmp_path: Path) -> None:
    photos = (photo(tmp_path, 10), photo(tmp_path, 50), photo(tmp_path, 10, "copy of 10"))
    once = run(samples(photos, ((0,), (1,)), ((0, 1),), ((2,),), ((2,),), ((1,),)))
    assert (once.detected, once.embedded) == ([10, 50], [10, 50])
    assert (once.known, once.told) == ([1], 2)
    np.testing.assert_array_equal(once.made.vectors[2], once.made.vectors[3])
    assert once.made.sha256[0] == once.made.sha256[2]


def test_progress_is_told_once_for_each_photo_that_needs_work(tmp_path: Path) -> None:
    wanted = singles(*(photo(tmp_path, angle) for angle in (*range(1, 20), NO_FACE)))
    first, second = run(wanted, tmp_path / "cache"), run(wanted, tmp_path / "cache")
    assert (first.known, first.told) == ([0], 20)
    assert (second.known, second.told) == ([20], 0)


def test_shards_stay_few_however_many_photos_there_are() -> None:
    for count in (1, 64, 65, 7_701, 469_375, 10_000_000):
        size = photos_per_shard(count)
        assert size >= 64
        assert size % 8 == 0
        assert -(-count // size) <= 4096


# Failures


def test_a_photo_that_fails_is_counted_with_its_code_and_the_others_keep_their_places(tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes((tmp_path / photo(tmp_path, 10).name).with_suffix(".png").read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    photos = (
        photo(tmp_path, 20),
        PhotoSource("torn", torn),
        photo(tmp_path, NO_FACE, "nobody"),
        PhotoSource("gone", tmp_path / "gone.png"),
        PhotoSource("folder", tmp_path),
        PhotoSource("text", text),
        photo(tmp_path, 40),
    )
    made = run(singles(*photos)).made
    assert [(each.name, each.code) for each in made.failures] == [
        ("torn", "corrupt_image"),
        ("nobody", "no_face"),
        ("gone", "unreadable_source"),
        ("folder", "unreadable_source"),
        ("text", "unsupported_format"),
    ]
    assert "no face was found in the 64 × 64 photo" in made.failures[1].message
    assert made.present.tolist() == [True, False, False, False, False, False, True]
    np.testing.assert_allclose(made.vectors[[0, 6]], direction(40, 80), atol=1e-6)
    assert np.isnan(made.vectors[~made.present]).all()
    assert np.isnan(made.measures["sharpness"][1:6]).all()
    assert [bool(sha) for sha in made.sha256] == [True, True, True, False, False, True, True]


def test_a_pipe_does_not_stop_the_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    made = run(singles(photo(tmp_path, 10), PhotoSource("pipe", tmp_path / "pipe.png"))).made
    assert [(each.name, each.code) for each in made.failures] == [("pipe", "unreadable_source")]


def test_a_crop_without_a_template_does_not_cost_its_block_theirs(tmp_path: Path) -> None:
    class Blind(AngleEmbedder):
        def embed(self, crops: Any) -> Templates:
            made = super().embed(crops)
            scale = np.where(crops[:, 0, 0, 0] == 30, 0, 1).astype(np.float32)
            return Templates(made.grids * scale[:, None, None, None], made.vectors, made.model)

    made = run(singles(*(photo(tmp_path, angle) for angle in (10, 30, 50))), embedder=Blind()).made
    assert [(each.name, each.code) for each in made.failures] == [("30", "invalid_template")]
    np.testing.assert_allclose(made.vectors[[0, 2]], direction(10, 50), atol=1e-6)


def test_a_sample_fails_only_when_none_of_its_photos_is_usable(tmp_path: Path) -> None:
    photos = (photo(tmp_path, NO_FACE), photo(tmp_path, 20), PhotoSource("gone", tmp_path / "gone.png"))
    made = run(samples(photos, ((0, 1), (2,)), ((0,), (2,)), ((1,),))).made
    assert made.present.tolist() == [True, False, True]
    np.testing.assert_array_equal(made.vectors[0], made.vectors[2])  # one usable photo is left exactly as it is
    np.testing.assert_array_equal(grids(made)[0], grids(made)[2])
    assert [each.name for each in made.failures] == ["255", "gone"]


def test_photos_none_of_which_can_be_used_are_an_error_that_says_why(tmp_path: Path) -> None:
    wanted = singles(photo(tmp_path, NO_FACE), PhotoSource("gone", tmp_path / "gone.png"))
    with pytest.raises(InvalidArgument, match=r"none of 2 photos can be used \(1 no_face, 1 unreadable_source\)"):
        run(wanted)


def test_an_error_that_is_no_photos_stops_the_run_at_once(tmp_path: Path) -> None:
    class Broken(AngleEmbedder):
        def embed(self, crops: Any) -> Templates:
            self.seen += crops[:, 0, 0, 0].tolist()
            raise InvalidArgument("the network does not fit")

    embedder = Broken()
    wanted = singles(*(photo(tmp_path, angle) for angle in range(1, 250)))
    with pytest.raises(InvalidArgument, match="does not fit"):
        run(wanted, embedder=embedder, engine=LocalPool(1))
    assert len(embedder.seen) <= 16  # a second job may have begun; the third has not


def test_a_photo_that_changes_meanwhile_stops_the_run(tmp_path: Path) -> None:
    changing, other = photo(tmp_path, 10), photo(tmp_path, 20)

    class Meddler(FixedDetector):
        def detect(self, pixels: Any) -> list[Any]:
            save_photo(Path(str(other.source)), 30)
            return super().detect(pixels)

    with pytest.raises(InvalidArgument, match="20 was changed"):
        run(singles(changing, other), detector=Meddler(), engine=LocalPool(1))


def test_templates_of_absent_samples_are_not_given_out(tmp_path: Path) -> None:
    made = run(singles(photo(tmp_path, 10), photo(tmp_path, NO_FACE), photo(tmp_path, 30))).made
    with pytest.raises(InvalidArgument, match=r"samples \[1\] have no template"):
        made.templates(np.array([0, 1]))
    there = made.templates(np.array([2, 0, 2]))
    assert there.model == made.model
    np.testing.assert_allclose(there.vectors, direction(60, 20, 60), atol=1e-6)
    np.testing.assert_allclose(there.grids[:, 0, 0], direction(30, 10, 30), atol=1e-6)
    blocks = [(index.tolist(), len(templates)) for index, templates in made.blocks(1)]
    assert blocks == [([0], 1), ([2], 1)]


# Landmarks that the set's owner gives


def test_given_landmarks_are_used_and_no_detector_is_asked(tmp_path: Path) -> None:
    moved = FixedDetector(faces=[face(5.0)])
    by_detector = run(singles(photo(tmp_path, 10)), detector=moved).made
    silent = FixedDetector()
    given_ = run(singles(photo(tmp_path, 10, landmarks=POINTS + 5.0)), detector=silent, second_look=True)
    assert silent.seen == []
    np.testing.assert_array_equal(grids(given_.made), grids(by_detector))
    for name in ("inter_eye", "sharpness", "yaw", "residual", "outside"):
        assert given_.made.measures[name][0] == by_detector.measures[name][0]
    assert np.isnan(given_.made.measures["faces_found"][0])
    assert np.isnan(given_.made.measures["confidence"][0])
    assert np.isnan(given_.made.measures["second_look"][0])


def test_one_photo_with_other_landmarks_is_another_face(tmp_path: Path) -> None:
    file = photo(tmp_path, 10)
    at = [PhotoSource(str(shift), file.source, POINTS + shift) for shift in (0.0, 6.0)]
    once = run(singles(file, *at, PhotoSource("again", file.source, POINTS.copy())), tmp_path / "cache")
    assert len(once.embedded) == 3
    assert not np.array_equal(once.made.vectors[1], once.made.vectors[2])
    np.testing.assert_array_equal(once.made.vectors[1], once.made.vectors[3])


def test_landmarks_that_are_one_point_are_a_failure(tmp_path: Path) -> None:
    wanted = singles(photo(tmp_path, 10), photo(tmp_path, 20, landmarks=np.full((5, 2), 30.0)))
    assert [(each.name, each.code) for each in run(wanted).made.failures] == [("20", "unusable_face")]


# Several photos


def test_a_template_of_two_media_worked_out_by_hand(tmp_path: Path) -> None:
    photos = (photo(tmp_path, 0, weight=0.5), photo(tmp_path, 90, weight=1.0), photo(tmp_path, 180, weight=0.25))
    made = run(samples(photos, ((0, 1), (2,))), embedder=AngleEmbedder()).made
    # frames: (½·(1, 0) + 1·(0, 1)) / 2 = (¼, ½); medium 2: ¼·(−1, 0); sum (0, ½); of weights ¾ + ¼ = 1
    np.testing.assert_allclose(made.vectors[0], [0, 0.5], atol=1e-7)
    np.testing.assert_allclose(grids(made)[0], np.broadcast_to([0, 0.5], (2, 2, 2)), atol=1e-7)


@given(data=st.data())
def test_shares_give_the_direction_of_the_published_rule(data: st.DataObject) -> None:
    media = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=12)))
    weights = np.array(data.draw(st.lists(st.floats(1e-3, 10), min_size=len(media), max_size=len(media))))
    features = np.random.default_rng(len(media)).normal(size=(len(media), 5)) + 1
    # as the IJB evaluation does it: times the score, mean over a medium's frames, sum over media, normalise
    weighted = features * weights[:, None]
    by_media = [weighted[media == medium].mean(axis=0) for medium in sorted(set(media.tolist()))]
    published = np.sum(by_media, axis=0)
    mine = shares(weights, media) @ features
    np.testing.assert_allclose(mine / np.linalg.norm(mine), published / np.linalg.norm(published), atol=1e-9)
    assert shares(weights, media).sum() == pytest.approx(1)
    assert (shares(weights, media) > 0).all()


def test_copies_of_one_photo_have_its_template(tmp_path: Path) -> None:
    photos = tuple(photo(tmp_path, 33, f"copy {number}", weight=0.1 + number) for number in range(5))
    made = run(samples(photos, ((0,),), ((0, 1, 2), (3,), (4,)))).made
    np.testing.assert_allclose(made.vectors[1], made.vectors[0], rtol=3e-7)
    np.testing.assert_allclose(grids(made)[1], grids(made)[0], rtol=3e-7)


def test_many_photos_are_averaged_as_few_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tuple(photo(tmp_path, angle, weight=1 / (1 + angle)) for angle in range(0, 60, 4))
    wanted = samples(photos, (tuple(range(7)), tuple(range(7, 15))), ((3,),))
    whole = run(wanted, tmp_path / "cache").made
    monkeypatch.setattr(embedding, "GRIDS_AT_ONCE", 4)
    monkeypatch.setattr(embedding, "VECTORS_AT_ONCE", 1)
    parts = run(wanted, tmp_path / "cache").made
    np.testing.assert_array_equal(grids(parts), grids(whole))
    np.testing.assert_array_equal(parts.vectors, whole.vectors)


def test_features_that_cancel_are_a_failure_and_no_template(tmp_path: Path) -> None:
    photos = (photo(tmp_path, 0), photo(tmp_path, 180), photo(tmp_path, 90))
    made = run(samples(photos, ((0, 1),), ((0, 2),)), embedder=AngleEmbedder()).made
    assert made.present.tolist() == [False, True]
    assert [(each.name, each.code) for each in made.failures] == [("0, 180", "invalid_template")]
    assert np.isnan(made.vectors[0]).all()


# The cache


def test_a_second_run_asks_nothing_and_gives_the_same_bytes(tmp_path: Path) -> None:
    photos = tuple(photo(tmp_path, angle) for angle in (10, 50, NO_FACE, 90))
    wanted = samples(photos, ((0,),), ((0, 1), (3,)), ((2,),))
    first, second = run(wanted, tmp_path / "cache"), run(wanted, tmp_path / "cache")
    assert (second.detected, second.embedded) == ([], [])
    assert grids(second.made).tobytes() == grids(first.made).tobytes()
    assert second.made.vectors.tobytes() == first.made.vectors.tobytes()
    assert (
        second.made.failures
        == first.made.failures
        == (FailedPhoto("255", NoFace.code, first.made.failures[0].message),)
    )
    assert {name: each.tobytes() for name, each in second.made.measures.items()} == {
        name: each.tobytes() for name, each in first.made.measures.items()
    }


def test_a_photo_is_known_by_its_bytes_in_any_protocol(tmp_path: Path) -> None:
    run(singles(photo(tmp_path, 10), photo(tmp_path, 20)), tmp_path / "cache")
    (tmp_path / "20.png").rename(tmp_path / "portrait.jpeg")
    other = singles(photo(tmp_path, 5), PhotoSource("portrait", tmp_path / "portrait.jpeg"))
    once = run(other, tmp_path / "cache")
    assert once.embedded == [5]
    np.testing.assert_allclose(once.made.vectors, direction(10, 40), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"embedder": AngleEmbedder(twist=2.0, model="other")},
        {"detector": FixedDetector(name="other")},
        {"face": "only"},
        {"face": 0},
        {"mirror": True},
        {"second_look": True},
    ],
    ids=["model", "detector", "face", "index", "mirror", "second look"],
)
def test_features_made_otherwise_are_not_taken(tmp_path: Path, change: dict[str, Any]) -> None:
    wanted = singles(photo(tmp_path, 10), photo(tmp_path, NO_FACE))
    before = run(wanted, tmp_path / "cache").made
    once = run(wanted, tmp_path / "cache", **change)
    assert once.embedded[:1] == [10]
    again = run(wanted, tmp_path / "cache")  # and the first are still there
    assert again.embedded == []
    assert again.made.vectors.tobytes() == before.vectors.tobytes()


def test_a_photo_that_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    wanted = singles(photo(tmp_path, 10), PhotoSource("late", tmp_path / "late.png"))
    assert len(run(wanted, tmp_path / "cache").made.failures) == 1
    save_photo(tmp_path / "late.png", 20)
    assert run(wanted, tmp_path / "cache").made.failures == ()


def test_damaged_features_are_found_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PHOTOS_PER_SHARD", 2)
    wanted = singles(*(photo(tmp_path, angle) for angle in range(10, 18)))
    first = run(wanted, tmp_path / "cache").made
    rows, vectors = grids(first).tobytes(), first.vectors.tobytes()
    del first  # or its maps would be of the files that are cut now
    whole = sorted((tmp_path / "cache").glob("*/*.features"))
    content = [path.read_bytes() for path in whole]
    assert len(whole) == 4
    whole[0].write_bytes(content[0][:-5])
    whole[1].write_bytes(content[1][:200] + b"?" + content[1][201:])
    whole[2].write_bytes(b"")
    once = run(wanted, tmp_path / "cache")
    assert len(once.embedded) == 6
    assert once.made.vectors.tobytes() == vectors
    assert grids(once.made).tobytes() == rows


def test_a_second_run_at_the_same_time_is_refused_and_spoils_nothing(tmp_path: Path) -> None:
    wanted = singles(photo(tmp_path, 10))
    refused: list[str] = []

    class Meanwhile(AngleEmbedder):
        def embed(self, crops: Any) -> Templates:
            with pytest.raises(InvalidArgument, match="another run uses this cache") as caught:
                run(wanted, tmp_path / "cache")
            refused.append(caught.value.code)
            return super().embed(crops)

    run(wanted, tmp_path / "cache", embedder=Meanwhile(twist=2.0))
    assert refused == ["invalid_argument"]
    assert run(wanted, tmp_path / "cache").embedded == []


def test_the_cache_holds_no_pixels_and_no_other_files(tmp_path: Path) -> None:
    photos = (photo(tmp_path, 10), photo(tmp_path, 50), photo(tmp_path, NO_FACE))
    run(samples(photos, ((0, 1),), ((2,),)), tmp_path / "cache")
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept if path.suffix != ".features") == ["recipe.json", "run.lock"]
    content = b"".join(path.read_bytes() for path in kept)
    for source in photos:
        rows = pixels(int(source.name)).reshape(64, -1)
        pieces = [row[start : start + 16].tobytes() for row in rows for start in range(0, 192 - 16, 16)]
        assert not any(piece in content for piece in pieces)


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InvalidArgument, match="cannot write the cache folder"):
        run(singles(photo(tmp_path, 10)), tmp_path / "cache")


# Kills


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("photos")
    for angle in range(40):
        save_photo(folder / f"{angle:03}.png", angle if angle % 9 else NO_FACE)
    return folder, run(listed(folder))


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("network", 0),
        ("network", 1),
        ("network", 4),
        ("flush", 0),
        ("flush", 1),
        ("flush", 3),
        ("rename", 2),
        ("rename", 5),
    ],
)
def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes(
    uninterrupted: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    folder, whole = uninterrupted
    child = Path(__file__).parents[1] / "embedding_child.py"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    killed = subprocess.run(
        [sys.executable, str(child), str(folder), str(tmp_path / "cache"), where, str(number)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    finished = len(list(tmp_path.rglob("*.features")))
    monkeypatch.setattr(embedding, "PHOTOS_PER_SHARD", SHARD)
    rest = run(listed(folder), tmp_path / "cache")
    distinct = len(set(whole.made.sha256))
    assert len(rest.detected) == distinct - SHARD * finished  # failures too are looked at once
    assert rest.made.vectors.tobytes() == whole.made.vectors.tobytes()
    present = np.flatnonzero(whole.made.present)
    assert rest.made.grids[present].tobytes() == whole.made.grids[present].tobytes()
    assert rest.made.failures == whole.made.failures
    assert list(tmp_path.rglob("*.tmp")) == []
