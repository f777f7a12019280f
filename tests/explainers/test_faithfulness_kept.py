"""Batches, and results that are kept: nothing is computed twice, and nothing damaged is believed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from explainers import faithful_toys as toys

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.explainers.faithfulness.explained import OnceExplained, fingerprint
from xcos.explainers.faithfulness.kept import Kept, KeptExplanation, file_name, in_single_precision, key_of
from xcos.explainers.faithfulness.measure import Play, Query, face_digest
from xcos.explainers.faithfulness.moved import shifted
from xcos.explainers.faithfulness.scoring import Scorer, play_alone, play_or_recall, play_together
from xcos.explainers.matcher import Matcher


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 3), np.uint8)


MATCHER = toys.weighted(toys.skewed_weights())


def fresh() -> toys.WeightedPixels:
    return toys.weighted(toys.skewed_weights())


def test_queries_scored_together_have_the_scores_of_each_alone() -> None:
    queries = [Query(crops(5), crops(1, 1)), Query(crops(1, 2), crops(4, 3)), Query(crops(3, 4), crops(3, 5))]
    together = Scorer(fresh()).scores(queries)
    for query, found in zip(queries, together, strict=True):
        expected = MATCHER.score(MATCHER.encode(query.probes), MATCHER.encode(query.references))
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_crop_goes_through_the_network_once_however_often_it_is_asked_for(streams: int) -> None:
    matcher = fresh()
    scorer = Scorer(matcher, streams=streams)
    scorer.scores([Query(crops(5), crops(1, 1)), Query(crops(5), crops(1, 1))])
    scorer.scores([Query(crops(5), crops(2, 1)[:1])])
    assert sum(matcher.seen) == 6


def test_shared_scores_are_kept_and_others_are_not(tmp_path: Path) -> None:
    query = Query(crops(5), crops(1, 1), shared=True)
    first = Scorer(fresh(), Kept(tmp_path)).scores([query])[0]
    matcher = fresh()
    again = Scorer(matcher, Kept(tmp_path)).scores([query, Query(crops(2, 7), crops(1, 1))])[0]
    assert (first == again).all()
    assert sum(matcher.seen) == 3


def asking(times: int) -> Play:
    total = 0.0
    for at in range(times):
        total += float((yield Query(crops(2, at), crops(1, 9))).sum())
    return {"total": np.array([total])}


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_plays_of_different_lengths_end_with_the_records_they_have_alone(threads: int) -> None:
    plays = [[(0, asking(0)), (3, asking(3))], [], [(1, asking(1))], [(2, asking(2))]]
    together = dict(play_together(plays, Scorer(fresh()), threads=threads))
    assert set(together) == {0, 1, 2, 3}
    for times, record in together.items():
        assert record["total"] == pytest.approx(play_alone(asking(times), Scorer(fresh()))["total"])


def test_the_queries_of_many_plays_are_embedded_in_one_batch() -> None:
    matcher = fresh()
    list(play_together([[(at, asking(1))] for at in range(20)], Scorer(matcher)))
    assert len(matcher.seen) == 1


def test_what_is_kept_is_not_played_again_and_what_was_stopped_goes_on(tmp_path: Path) -> None:
    kept, played = Kept(tmp_path), []

    def play(at: int) -> Play:
        played.append(at)
        if at == 3:
            raise KeyboardInterrupt
        return asking(at)

    keys = [f"key{at}" for at in range(4)]
    with pytest.raises(KeyboardInterrupt):
        play_or_recall("toy", keys, play, kept, Scorer(fresh()))
    first = play_or_recall("toy", keys[:3], lambda at: asking(at), kept, Scorer(fresh()))
    played.clear()
    again = play_or_recall("toy", keys[:3], play, kept, Scorer(fresh()))
    assert played == []
    assert [record["total"] for record in first] == [record["total"] for record in again]


def test_a_record_comes_back_bit_for_bit_nan_and_empty_ones_too(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    record = {"a b": np.array([0.1, math.nan, 1e-300]), "c": np.array([])}
    kept.keep_record("kind of thing", "key", record)
    found = kept.record("kind of thing", "key")
    assert found is not None
    assert found["a b"].tobytes() == record["a b"].tobytes()
    assert found["c"].size == 0
    kept.keep_record("k", "empty", {})
    assert kept.record("k", "empty") == {}
    assert kept.record("k", "other") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "kind-of-thing"]


def explanation() -> Explanation:
    one, other = np.random.default_rng(0).normal(size=(2, 9, 8))
    settings: dict[str, Setting] = {"masks": 7, "share": 0.5, "fill": "black", "both": True}
    return Explanation("toy", one, other, 0.625, Cost(12, 3), settings)


def test_an_explanation_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    made = KeptExplanation(in_single_precision(explanation()), 1.5)
    Kept(tmp_path).keep_explanation("maps", "key", made)
    found = Kept(tmp_path).explanation("maps", "key")
    assert found is not None
    assert found.seconds == 1.5
    assert (found.explanation.probe == made.explanation.probe).all()
    assert (found.explanation.reference == made.explanation.reference).all()
    assert found.explanation.settings == made.explanation.settings
    assert (found.explanation.score, found.explanation.cost) == (0.625, Cost(12, 3))


@pytest.mark.parametrize("kind", ["record", "explanation"])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, kind: str) -> None:
    """Cut short anywhere, or with a byte changed: what is read is nothing, or what was kept."""
    kept = Kept(tmp_path)
    if kind == "record":
        kept.keep_record("k", "key", {"scores": np.array([0.25, 0.5, 0.75])})
    else:
        kept.keep_explanation("k", "key", KeptExplanation(in_single_precision(explanation()), 1.0))
    (path,) = (tmp_path / "k").iterdir()
    whole = path.read_bytes()
    random, unnoticed = np.random.default_rng(0), 0
    for _ in range(300):
        at = int(random.integers(len(whole)))
        damaged = whole[:at] if random.random() < 0.3 else whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        path.write_bytes(damaged)
        found = kept.record("k", "key") if kind == "record" else kept.explanation("k", "key")
        if isinstance(found, KeptExplanation):
            assert (found.explanation.probe == in_single_precision(explanation()).probe).all()
            assert found.explanation.score == 0.625
            unnoticed += 1
        elif found is not None:
            assert found["scores"].tolist() == [0.25, 0.5, 0.75]
    assert unnoticed < 60  # bytes of the archive's own bookkeeping that nobody reads


def test_no_pickle_is_read_from_a_kept_file(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    np.savez(tmp_path / "k" / "key.npz", about=np.array([object()]), probe=np.ones((2, 2)), reference=np.ones((2, 2)))
    assert Kept(tmp_path).explanation("k", "key") is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot make the folder"):
        Kept(tmp_path / "file").keep_record("k", "key", {})


def test_names_of_files_are_plain() -> None:
    assert file_name("deletion(fill=blur, both=True)") == "deletion-fill-blur-both-True"
    assert file_name("../..") == "unnamed"
    assert key_of("a", "bc") != key_of("ab", "c")


def test_an_explanation_is_made_once_and_again_for_other_pixels_landmarks_or_options(tmp_path: Path) -> None:
    pair = toys.people(2)[0]
    kept = Kept(tmp_path)
    explainer = toys.ToyExplainer(MATCHER, "true")
    ask = OnceExplained(explainer, MATCHER.name, kept)
    first, second = ask(pair.probe, pair.reference), ask(pair.probe, pair.reference)
    assert len(explainer.asked) == 1
    assert (first.probe == second.probe).all()
    ask(pair.reference, pair.probe)
    ask(shifted(pair.probe, 1, 0), pair.reference)
    assert len(explainer.asked) == 3
    OnceExplained(explainer, "another matcher", kept)(pair.probe, pair.reference)
    assert len(explainer.asked) == 4
    other = toys.ToyExplainer(MATCHER, "true", passes=9)
    assert OnceExplained(other, MATCHER.name, kept)(pair.probe, pair.reference).cost == Cost(9)


def test_a_pair_is_known_by_its_pixels_and_landmarks() -> None:
    face = toys.people(2)[0].probe
    blank = toys.face(np.zeros((28, 28, 3), np.uint8))
    assert face_digest(blank) != face_digest(shifted(blank, 2, 0))  # the same black crop with other landmarks
    assert face_digest(face) == face_digest(toys.face(face.crop.copy()))


def test_an_explainer_whose_maps_do_not_fit_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Small:
        matcher: Matcher
        name: str = "small"

        def explain(self, _probe: object, _reference: object) -> Explanation:
            return Explanation("small", np.ones((3, 3)), np.ones((3, 3)), 0.0, Cost(0))

    pair = toys.people(2)[0]
    with pytest.raises(InvalidArgument, match="must give maps"):
        OnceExplained(Small(MATCHER), "toy", Kept(tmp_path))(pair.probe, pair.reference)


def test_options_have_an_identity_that_does_not_depend_on_the_process() -> None:
    @dataclass(frozen=True)
    class Part:
        size: int = 3

    @dataclass(frozen=True)
    class Options:
        matcher: Matcher = field(default_factory=fresh)
        masks: int = 10
        part: Part = Part()
        noise: tuple[float, ...] = (0.5, 1.0)
        places: np.ndarray = field(default_factory=lambda: np.arange(3))
        choose: object = max
        nothing: object = None

    told = fingerprint(Options())
    assert "matcher=WeightedPixels weighted pixels, masks=10, part=Part(size=3), noise=(0.5, 1.0)" in told
    assert "0x" not in told
    assert told == fingerprint(Options())
    assert told != fingerprint(Options(places=np.arange(4)))
    with pytest.raises(InvalidArgument, match="must be a dataclass"):
        fingerprint(object())
    with pytest.raises(InvalidArgument, match="needs an identity"):
        fingerprint(Options(nothing=object()))
