from __future__ import annotations

import csv
import gc
import io
import itertools
import os
import random
import shutil
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import AngleEmbedder, FixedDetector, cosine, fake_verifier, save_photo

import xcos.extractor
import xcos.pairs
from xcos.catalog import DATA
from xcos.errors import InvalidArgument, InvalidPairList, InvalidTemplate, NoFace, UnsupportedFmr, UsageError
from xcos.extractor import Extractor, ReadyPhoto
from xcos.images import read_image
from xcos.pairs import COLUMNS, Pair, PairList, PairResult, read_pairs, score_pairs, write_scores
from xcos.types import Crops, Photo, Templates
from xcos.verifier import Verifier


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Reading


def test_a_list_by_hand(tmp_path: Path) -> None:
    found = read_pairs(write(tmp_path, "probe,reference,mated\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nc.jpg,d.jpg,\n"))
    assert found.pairs == [
        Pair("a.jpg", "b.jpg", True),
        Pair("a.jpg", "c.jpg", False),
        Pair("c.jpg", "d.jpg", None),
    ]
    assert (found.folder, found.has_mated, found.photos) == (tmp_path, True, 4)


@pytest.mark.parametrize(
    "content",
    [
        "probe,reference\na,b\nc,d\n",
        "probe,reference\na,b\nc,d",
        "probe,reference\r\na,b\r\nc,d\r\n",
        "\ufeffprobe,reference\na,b\nc,d\n",
        "Probe, Reference\na,b\n\n\nc,d\n\n",
        '"probe","reference"\n"a","b"\n"c","d"\n',
    ],
    ids=["plain", "no last line break", "CRLF", "BOM", "blank lines", "quoted"],
)
def test_one_list_in_many_spellings(tmp_path: Path, content: str) -> None:
    found = read_pairs(write(tmp_path, content))
    assert found.pairs == [Pair("a", "b", None), Pair("c", "d", None)]
    assert not found.has_mated


def test_quoted_names_may_hold_anything(tmp_path: Path) -> None:
    found = read_pairs(write(tmp_path, 'probe,reference\n"a,b ""c"".jpg","two\nlines.jpg"\nd,e\n'))
    assert found.pairs == [Pair('a,b "c".jpg', "two\nlines.jpg", None), Pair("d", "e", None)]


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("1", True), ("true", True), ("YES", True), ("0", False), ("False", False), (" no ", False), ("", None)],
)
def test_words_for_mated(tmp_path: Path, word: str, meaning: bool | None) -> None:
    assert read_pairs(write(tmp_path, f"probe,reference,mated\na,b,{word}\n")).pairs[0].mated is meaning


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,b\nc,d\n", 1),
        ("reference,probe\na,b\n", 1),
        ("probe,reference,mated,more\na,b,1,2\n", 1),
        ("probe;reference\na;b\n", 1),
        ("", 1),
        ("probe,reference\na,b\nc\n", 3),
        ("probe,reference\na,b,1\n", 2),
        ("probe,reference\n,b\n", 2),
        ("probe,reference\na,\n", 2),
        ("probe,reference,mated\na,b,1\nc,d\n", 3),
        ("probe,reference,mated\na,b,1\nc,d,2\n", 3),
        ("probe,reference,mated\na,b,maybe\n", 2),
        ('probe,reference\n"two\nlines",b\nc\n', 4),
        ('probe,reference\na,b\n"c,d\n', 3),
        ('probe,reference\na,b\n"c"d,e\n', 3),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(InvalidPairList, match=rf"line {line}\b") as caught:
        read_pairs(write(tmp_path, content))
    assert caught.value.code == "invalid_pair_list"
    assert caught.value.details == {"line": line}


@pytest.mark.parametrize(
    "content",
    ["probe,reference\n", "probe,reference\n\n\n", "probe,reference\na,b\0\n", "probe,reference\n".encode("utf-16")],
)
def test_what_holds_no_pairs_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(InvalidPairList) as caught:
        read_pairs(write(tmp_path, content))
    assert "pairs.csv" in caught.value.message


def test_a_list_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(InvalidPairList):
            read_pairs(path)


def test_the_hash_is_of_the_files_bytes(tmp_path: Path) -> None:
    first = read_pairs(write(tmp_path, "probe,reference\na,b\n")).sha256
    assert read_pairs(write(tmp_path, "probe,reference\r\na,b\r\n")).sha256 != first
    assert read_pairs(write(tmp_path, "probe,reference\na,b\n")).sha256 == first


# Scoring, by hand: the score of two photos is the cosine between their angles


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photos read, in whatever order."""
    seen: list[str] = []

    def spy(path: Path) -> Photo:
        seen.append(path.name)
        return read_image(path)

    monkeypatch.setattr(xcos.extractor, "read_image", spy)
    return seen


def make_list(folder: Path, rows: Sequence[tuple[str, ...]], angles: dict[str, int]) -> PairList:
    for name, angle in angles.items():
        save_photo(folder / name, angle)
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(("probe", "reference", "mated")[: len(rows[0])])
    writer.writerows(rows)
    path = folder / "pairs.csv"
    path.write_text(file.getvalue(), "utf-8", newline="")
    return read_pairs(path)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file, strict=True))


def all_results(chunks: Iterator[list[PairResult]]) -> list[PairResult]:
    return [result for chunk in chunks for result in chunk]


ANGLES = {"a.png": 0, "b.png": 40, "c.png": 55, "d.png": 90}


def test_the_output_by_hand(tmp_path: Path) -> None:
    rows = [("a.png", "b.png", "1"), ("a.png", "c.png", ""), ("d.png", "a.png", "0"), ("none.png", "a.png", "0")]
    write_scores(fake_verifier(), make_list(tmp_path, rows, ANGLES), tmp_path / "out.csv")
    header, ab, ac, da, missing = rows_of(tmp_path / "out.csv")
    assert (
        header
        == [*COLUMNS, "mated"]
        == [
            "probe",
            "reference",
            "score",
            "llr",
            "decision",
            "reasons",
            "error",
            "mated",
        ]
    )
    # 10 · cos 40° − 5 = 2.6604; 10 · cos 55° − 5 = 0.7358; cos 90° gives −5, and −ln 101 is the least
    assert ab == ["a.png", "b.png", "0.766044", "2.6604", "match", "", "", "1"]
    assert ac[:6] == ["a.png", "c.png", "0.573576", "0.7358", "inconclusive", "comparison:score_in_threshold_interval"]
    assert ac[6:] == ["", ""]
    assert [da[:2], da[3:]] == [["d.png", "a.png"], ["-4.6151", "non_match", "", "", "0"]]
    assert float(da[2]) == pytest.approx(0, abs=1e-6)
    assert missing == ["none.png", "a.png", "", "", "", "probe:unreadable_source", "unreadable_source", "0"]


def test_a_list_without_truth_gives_a_file_without_it(tmp_path: Path) -> None:
    write_scores(fake_verifier(), make_list(tmp_path, [("a.png", "b.png")], ANGLES), tmp_path / "out.csv")
    assert [len(row) for row in rows_of(tmp_path / "out.csv")] == [7, 7]


@pytest.mark.parametrize("chunk", [1, 3, 7, 512])
def test_each_photo_is_read_found_and_embedded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str], chunk: int
) -> None:
    monkeypatch.setattr(xcos.pairs, "CHUNK", chunk)
    angles = {f"{angle}.png": angle for angle in range(0, 100, 5)}
    pairs = make_list(tmp_path, list(itertools.product(angles, angles)), angles)
    detector, embedder = FixedDetector(), AngleEmbedder()
    steps: list[None] = []
    results = all_results(
        score_pairs(fake_verifier(detector=detector, embedder=embedder), pairs, on_photo=lambda: steps.append(None))
    )
    assert [result.pair for result in results] == pairs.pairs
    assert Counter(reads) == dict.fromkeys(angles, 1)
    assert Counter(embedder.seen) == dict.fromkeys(angles.values(), 1)
    assert len(detector.seen) == 3 * 20, "each photo, its crop, and its crop upside down"
    assert len(steps) == pairs.photos == 20
    for result in results:
        assert result.decision is not None
        apart = angles[result.pair.probe] - angles[result.pair.reference]
        assert result.decision.score == pytest.approx(cosine(apart), abs=1e-6)


def test_a_photo_that_cannot_be_used_costs_only_its_own_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xcos.pairs, "CHUNK", 3)
    angles = {**ANGLES, "faceless.png": 255}
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    save_photo(tmp_path / "whole.png", 0)
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    bad = {
        "faceless.png": "no_face",
        "text.png": "unsupported_format",
        "folder.png": "unreadable_source",
        "cut.png": "corrupt_image",
        "missing.png": "unreadable_source",
    }
    rows = list(itertools.permutations([*ANGLES, *bad], 2))
    results = all_results(score_pairs(fake_verifier(), make_list(tmp_path, rows, angles)))
    assert [(result.pair.probe, result.pair.reference) for result in results] == rows
    for result in results:
        codes = [bad[name] for name in (result.pair.probe, result.pair.reference) if name in bad]
        assert (result.decision is None) == bool(codes)
        assert (result.error.code if result.error else None) == (codes[0] if codes else None)


class EmptyForSome(AngleEmbedder):
    """A network that gives nothing but zeros for the angle 90."""

    def embed(self, crops: Crops) -> Templates:
        whole = super().embed(crops)
        usable = (crops[:, 0, 0, 0] != 90).astype(np.float32)
        return Templates(whole.grids * usable[:, None, None, None], whole.vectors, whole.model)


def test_a_photo_without_a_usable_template_costs_only_its_own_pairs(tmp_path: Path) -> None:
    rows = list(itertools.combinations(ANGLES, 2))
    verifier = fake_verifier(embedder=EmptyForSome())
    results = all_results(score_pairs(verifier, make_list(tmp_path, rows, ANGLES)))
    assert [result.pair.reference == "d.png" for result in results] == [
        isinstance(result.error, InvalidTemplate) for result in results
    ]


def test_doubts_about_either_photo_stand_in_the_row(tmp_path: Path) -> None:
    verifier = fake_verifier()
    strict = replace(verifier, limits=replace(verifier.limits, inter_eye=25.0))  # the fake's eyes are 24 px apart
    write_scores(strict, make_list(tmp_path, [("a.png", "c.png")], ANGLES), tmp_path / "out.csv")
    assert rows_of(tmp_path / "out.csv")[1][4:] == [
        "inconclusive",
        "probe:face_too_small reference:face_too_small comparison:score_in_threshold_interval",
        "",
    ]


def test_an_impossible_rate_is_refused_before_any_photo_is_read(tmp_path: Path, reads: list[str]) -> None:
    pairs = make_list(tmp_path, [("a.png", "b.png")], ANGLES)
    with pytest.raises(UnsupportedFmr):
        next(score_pairs(fake_verifier(), pairs, fmr=1e-5))
    with pytest.raises(UnsupportedFmr):
        write_scores(fake_verifier(), pairs, tmp_path / "out.csv", fmr=1e-5)
    assert reads == []
    assert not (tmp_path / "out.csv").exists()


ODD_NAMES = [
    b"caf\xc3\xa9.png",
    b"latin\xe9.png",
    b'quo"te.png',
    b"comma,.png",
    b"two\nlines.png",
    b"return\r.png",
    b" blank .png",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow these names")
def test_names_reach_the_output_byte_for_byte(tmp_path: Path) -> None:
    for angle, name in enumerate(ODD_NAMES):
        save_photo(os.fsencode(tmp_path) + b"/" + name, angle)
    quoted = [b'"' + name.replace(b'"', b'""') + b'"' for name in ODD_NAMES]
    lines = [b"probe,reference", *(one + b"," + other for one, other in itertools.pairwise(quoted))]
    write_scores(fake_verifier(), read_pairs(write(tmp_path, b"\n".join(lines))), tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")[1:]
    assert [tuple(os.fsencode(name) for name in row[:2]) for row in rows] == list(itertools.pairwise(ODD_NAMES))
    assert {row[4] for row in rows} == {"match"}


@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow these names")
def test_a_folder_whose_name_is_not_utf_8_can_be_worked_in(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin\xe9"))
    folder.mkdir()
    write_scores(fake_verifier(), make_list(folder, [("a.png", "b.png")], ANGLES), folder / "out.csv")
    assert len(rows_of(folder / "out.csv")) == 2


def test_relative_paths_start_from_the_lists_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "elsewhere").mkdir()
    pairs = make_list(tmp_path / "lists", [("a.png", str(tmp_path / "far.png"))], {"a.png": 0})
    save_photo(tmp_path / "far.png", 0)
    monkeypatch.chdir(tmp_path / "elsewhere")
    (result,) = all_results(score_pairs(fake_verifier(), pairs))
    assert result.decision is not None
    assert result.decision.score == pytest.approx(1)


def test_photos_are_let_go_after_their_last_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xcos.pairs, "CHUNK", 2)
    angles = {f"{angle:02}.png": angle for angle in range(41)}
    chain = list(itertools.pairwise(angles))
    pairs = make_list(tmp_path, [*chain[:-1], ("00.png", "40.png")], angles)  # the first photo is needed to the end
    alive: dict[str, weakref.ref[ReadyPhoto]] = {}
    prepare = Extractor.prepare

    def spy(self: Extractor, paths: Sequence[Path], *, on_photo: Callable[[], None]) -> list[object]:
        ready = prepare(self, paths, on_photo=on_photo)
        alive.update(
            {
                path.name: weakref.ref(photo)
                for path, photo in zip(paths, ready, strict=True)
                if isinstance(photo, ReadyPhoto)
            }
        )
        return list(ready)

    monkeypatch.setattr(Extractor, "prepare", spy)
    for index, chunk in enumerate(score_pairs(fake_verifier(), pairs)):
        gc.collect()
        held = sorted(name for name, photo in alive.items() if photo() is not None)
        named = {name for result in chunk for name in (result.pair.probe, result.pair.reference)}
        assert held == sorted(named | {"00.png"}), f"chunk {index}"
    assert len(alive) == len(angles)


# Resuming


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PairList:
    """20 pairs in 5 chunks; names hold what makes lines hard to count."""
    monkeypatch.setattr(xcos.pairs, "CHUNK", 4)
    names = ["two\nlines.png", 'quo"te.png', *(f"{index:02}.png" for index in range(2, 20))]
    rows = [(one, other, "") for one, other in zip(names, [*names[1:], "missing.png"], strict=True)]
    return make_list(tmp_path, rows, {name: 4 * index for index, name in enumerate(names)})


@pytest.fixture
def whole(tmp_path: Path, many: PairList) -> bytes:
    """The output of a run that nothing disturbed."""
    write_scores(fake_verifier(), many, tmp_path / "whole.csv")
    return (tmp_path / "whole.csv").read_bytes()


def interrupted(pairs: PairList, out: Path, after: int, fmr: float = 1e-3) -> Path:
    """A run that is stopped after some chunks; gives what it left."""
    chunks = itertools.count(1)

    def stop(_: list[PairResult]) -> None:
        if next(chunks) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scores(fake_verifier(), pairs, out, fmr=fmr, on_results=stop)
    assert not out.exists()
    (partial,) = out.parent.glob(f"{out.name}.*.partial")
    return partial


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, many: PairList, whole: bytes, reads: list[str], after: int
) -> None:
    out = tmp_path / "out.csv"
    interrupted(many, out, after)
    reads.clear()
    resumed: list[int] = []
    write_scores(fake_verifier(), many, out, on_resume=resumed.append)
    assert resumed == [4 * after]
    assert out.read_bytes() == whole
    needed = {name for pair in many.pairs[4 * after :] for name in (pair.probe, pair.reference)}
    assert Counter(reads) == Counter(needed)
    assert list(tmp_path.glob("*.partial")) == []


def test_a_line_cut_anywhere_is_done_again(tmp_path: Path, many: PairList, whole: bytes) -> None:
    out = tmp_path / "out.csv"
    partial = interrupted(many, out, 4)
    content = partial.read_bytes()
    assert whole.startswith(content)
    lines = content.splitlines(keepends=True)
    reader = csv.reader(line.decode() for line in lines)
    row_ends = [sum(map(len, lines[: reader.line_num])) for _ in reader]
    assert row_ends[-1] == len(content)
    for end in [*range(0, len(content), 17), row_ends[0], row_ends[3] - 1, row_ends[3], len(content)]:
        partial.write_bytes(content[:end])
        resumed: list[int] = []
        write_scores(fake_verifier(), many, out, on_resume=resumed.append)
        assert out.read_bytes() == whole, f"cut at {end}"
        pairs_whole = sum(row_end <= end for row_end in row_ends) - 1  # the first row is the header
        assert resumed == ([pairs_whole] if pairs_whole > 0 else [])
        out.unlink()


def test_a_finished_run_starts_anew(tmp_path: Path, many: PairList, whole: bytes, reads: list[str]) -> None:
    out = tmp_path / "out.csv"
    for _ in range(2):
        reads.clear()
        write_scores(fake_verifier(), many, out, on_resume=lambda _: pytest.fail("there is nothing to resume"))
        assert len(reads) == many.photos
        assert out.read_bytes() == whole


def test_an_old_output_stays_until_the_new_one_is_whole(tmp_path: Path, many: PairList, whole: bytes) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    chunks = itertools.count(1)

    def look(_: list[PairResult]) -> None:
        next(chunks)
        assert out.read_text() == "old"

    write_scores(fake_verifier(), many, out, on_results=look)
    assert next(chunks) == 6
    assert out.read_bytes() == whole


def resumed_by(verifier: Verifier, pairs: PairList, out: Path, fmr: float = 1e-3) -> list[int]:
    resumed: list[int] = []
    write_scores(verifier, pairs, out, fmr=fmr, on_resume=resumed.append)
    assert len(rows_of(out)) == 21
    return resumed


def test_progress_is_not_used_at_another_rate_or_for_another_list(tmp_path: Path, many: PairList) -> None:
    out = tmp_path / "out.csv"
    interrupted(many, out, 2)
    assert resumed_by(fake_verifier(), many, out, fmr=1e-2) == []
    assert resumed_by(fake_verifier(), replace(many, sha256="0" * 64), out) == []
    assert resumed_by(fake_verifier(), many, out) == [8]


OTHER_VERIFIERS: dict[str, Callable[[Verifier], Verifier]] = {
    "model": lambda verifier: replace(
        verifier, embedder=AngleEmbedder(model="other"), calibration=replace(verifier.calibration, model="other")
    ),
    "calibration": lambda verifier: replace(verifier, calibration=replace(verifier.calibration, slope=11.0)),
    "second opinion": lambda _: fake_verifier(second=True),
    "limits": lambda verifier: replace(verifier, limits=replace(verifier.limits, roll=1.0)),
    "face": lambda verifier: replace(verifier, face="largest"),
    "detector": lambda verifier: replace(verifier, detector=FixedDetector(name="other")),
}


@pytest.mark.parametrize("change", OTHER_VERIFIERS.values(), ids=OTHER_VERIFIERS)
def test_progress_is_not_used_by_another_verifier(
    tmp_path: Path, many: PairList, change: Callable[[Verifier], Verifier]
) -> None:
    out = tmp_path / "out.csv"
    interrupted(many, out, 2)
    assert resumed_by(change(fake_verifier()), many, out) == []
    assert resumed_by(fake_verifier(), many, out) == [8]


def test_a_disk_that_is_full_keeps_what_was_done(
    tmp_path: Path, many: PairList, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    calls = itertools.count(1)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidArgument, match="No space left on device"):
        write_scores(fake_verifier(), many, out)
    assert not out.exists()
    resumed: list[int] = []
    write_scores(fake_verifier(), many, out, on_resume=resumed.append)
    assert resumed[0] >= 8
    assert out.read_bytes() == whole


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, many: PairList) -> None:
    with pytest.raises(InvalidArgument):
        write_scores(fake_verifier(), many, tmp_path / "missing" / "out.csv")


# With the packaged networks


@pytest.fixture(scope="module")
def real_list(tmp_path_factory: pytest.TempPathFactory) -> PairList:
    """60 pairs of 15 example photos."""
    folder = tmp_path_factory.mktemp("examples")
    names = sorted(path.name for path in (DATA / "examples").glob("*.jpg"))[:15]
    for name in names:
        shutil.copy(DATA / "examples" / name, folder)
    rows = random.Random(5).sample(list(itertools.permutations(names, 2)), 60)
    return make_list(folder, rows, {})


def test_scores_and_decisions_are_those_of_single_comparisons(
    verifier: Verifier, real_list: PairList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcos.pairs, "CHUNK", 25)
    results = all_results(score_pairs(verifier, real_list))
    outcomes = Counter[str]()
    for result in results:
        alone = verifier.verify(
            *(read_image(real_list.folder / name) for name in (result.pair.probe, result.pair.reference))
        )
        assert result.decision is not None
        assert result.decision.score == pytest.approx(alone.score, abs=1e-6)
        assert result.decision.llr == pytest.approx(alone.decision.llr, abs=1e-3)
        assert result.decision.outcome == alone.outcome
        assert [(reason.code, reason.side) for reason in result.decision.reasons] == [
            (reason.code, reason.side) for reason in alone.decision.reasons
        ]
        outcomes[alone.outcome] += 1
    assert min(outcomes["match"], outcomes["non_match"]) >= 5


def test_reading_in_threads_leaves_the_warning_filters_alone(real_list: PairList) -> None:
    paths = [real_list.folder / pair.probe for pair in real_list.pairs] * 2
    before = list(warnings.filters)
    finds_nothing = fake_verifier(detector=FixedDetector(faces=[]))
    for _ in range(5):
        ready = finds_nothing.extractor.prepare(paths, streams=4)
        assert {type(photo) for photo in ready} == {NoFace}
        assert warnings.filters == before


def test_the_number_of_threads_changes_nothing(verifier: Verifier, real_list: PairList) -> None:
    paths = [real_list.folder / name for name in sorted({pair.probe for pair in real_list.pairs})]
    runs = [verifier.extractor.prepare(paths, streams=streams) for streams in (1, 3)]
    for one, other in zip(*runs, strict=True):
        assert isinstance(one, ReadyPhoto)
        assert isinstance(other, ReadyPhoto)
        np.testing.assert_array_equal(one.template.grid, other.template.grid)
        np.testing.assert_array_equal(one.template.vector, other.template.vector)


def test_a_stopped_run_gives_the_same_bytes(
    verifier: Verifier, real_list: PairList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcos.pairs, "CHUNK", 20)
    write_scores(verifier, real_list, tmp_path / "whole.csv")

    def stop(_: list[PairResult]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scores(verifier, real_list, tmp_path / "out.csv", on_results=stop)
    resumed: list[int] = []
    write_scores(verifier, real_list, tmp_path / "out.csv", on_resume=resumed.append)
    assert resumed == [20]
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


# Two runs at once, and requests that cannot be


def test_a_second_run_of_the_same_list_is_refused_while_the_first_works(tmp_path: Path) -> None:
    many = make_list(tmp_path, [("a.png", "b.png")] * 3, ANGLES)
    out = tmp_path / "out.csv"
    refused: list[str] = []

    def again(_: object) -> None:
        with pytest.raises(InvalidArgument, match="another run") as caught:
            write_scores(fake_verifier(), many, out)
        refused.append(caught.value.code)

    write_scores(fake_verifier(), many, out, on_results=again)
    assert refused == ["invalid_argument"]
    assert len(rows_of(out)) == 4


def test_a_rate_that_cannot_be_had_leaves_no_file(tmp_path: Path) -> None:
    pairs = make_list(tmp_path, [("a.png", "b.png")], ANGLES)
    before = set(tmp_path.iterdir())
    with pytest.raises(UsageError):
        write_scores(fake_verifier(), pairs, tmp_path / "out.csv", fmr=1e-9)
    assert set(tmp_path.iterdir()) == before
