from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_sets import edit, ijb, ijbb, touch, write

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocols import ijb as module
from xcos.evaluation.protocols.ijb import read_ijbb, read_ijbc


@pytest.fixture(params=[1, 2, 7, 1 << 24])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read together; what comes out must not depend on them."""
    size = int(request.param)
    monkeypatch.setattr(module, "BLOCK", size)
    return size


def refusal(folder: Path, path: Path, line: int | None) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        read_ijbc(folder)
    assert (caught.value.details["path"], caught.value.details["line"]) == (str(path), line)
    return caught.value.message


def lists(folder: Path) -> tuple[Path, Path, Path]:
    """Faces, points, pairs."""
    meta = folder / "meta"
    return tuple(meta / f"ijbc_{name}.txt" for name in ("face_tid_mid", "name_5pts_score", "template_pair_label"))  # type: ignore[return-value]


@pytest.mark.usefixtures("block")
def test_a_set_by_hand(tmp_path: Path) -> None:
    protocol = read_ijbc(ijb(tmp_path).folder)
    samples = protocol.samples
    assert [photo.name for photo in samples.photos] == [f"{at}.jpg" for at in range(1, 7)]
    # Samples are the templates 7, 10, 20 and 30.
    assert [source.media for source in samples.sources] == [((5,),), ((0,), (2, 4)), ((1,),), ((3,),)]
    assert protocol.probe.tolist() == [1, 1, 2, 3, 1]
    assert protocol.reference.tolist() == [2, 3, 3, 0, 0]
    assert protocol.mated.tolist() == [True, False, False, True, False]
    assert protocol.folds == 1
    assert samples.photos[2].source == tmp_path / "loose_crop/3.jpg"


def test_landmarks_and_weights_come_with_the_photos(tmp_path: Path) -> None:
    photo = read_ijbc(ijb(tmp_path).folder).samples.photos[2]
    assert photo.landmarks is not None
    assert photo.landmarks.tolist() == [[3.0, 3.25], [3.5, 3.75], [4.0, 4.25], [4.5, 4.75], [5.0, 5.25]]
    assert photo.weight == 0.3


def test_people_are_linked_by_mated_pairs(tmp_path: Path) -> None:
    samples = read_ijbc(ijb(tmp_path).folder).samples
    seven, ten, twenty, thirty = samples.subjects.tolist()
    assert not samples.subjects_known
    assert ten == twenty != thirty == seven


def test_people_are_linked_by_a_photo_in_two_templates(tmp_path: Path) -> None:
    ijb(tmp_path)
    faces, points, _ = lists(tmp_path)
    write(faces, [*faces.read_text().splitlines(), "1.jpg 30 1"])
    write(points, [*points.read_text().splitlines(), points.read_text().splitlines()[0]])
    samples = read_ijbc(tmp_path).samples
    assert len(samples.photos) == 6
    assert samples.sources[3].photos == (3, 0)
    assert len(set(samples.subjects.tolist())) == 1


def test_ijb_b_has_its_own_names(tmp_path: Path) -> None:
    made = ijbb(tmp_path)
    assert (read_ijbb(made.folder).name, len(read_ijbb(made.folder))) == ("ijbb", 5)
    with pytest.raises(InvalidProtocol, match="ijbc_face_tid_mid"):
        read_ijbc(made.folder)


def test_the_hash_covers_the_three_lists(tmp_path: Path) -> None:
    ijb(tmp_path)
    told = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in lists(tmp_path))
    assert read_ijbc(tmp_path).sha256 == hashlib.sha256(told.encode()).hexdigest()


def test_many_pairs_are_those_that_numpy_reads(tmp_path: Path, block: int) -> None:
    random = np.random.default_rng(0)
    templates = np.unique(np.concatenate([10 ** np.arange(7), random.integers(0, 10**7, 600)]))
    count = len(templates)
    write(tmp_path / "meta/ijbc_face_tid_mid.txt", [f"{at}.jpg {template} 1" for at, template in enumerate(templates)])
    point = " ".join(["1"] * 11)
    write(tmp_path / "meta/ijbc_name_5pts_score.txt", [f"{at}.jpg {point}" for at in range(count)])
    touch(tmp_path / "loose_crop", [f"{at}.jpg" for at in range(count)])
    chosen = random.choice(count * (count - 1) // 2, 50_000 if block > 7 else 300, replace=False)
    upper = np.triu_indices(count, 1)
    first, second = templates[upper[0][chosen]], templates[upper[1][chosen]]
    label = random.integers(0, 2, len(chosen))
    path = write(
        tmp_path / "meta/ijbc_template_pair_label.txt",
        [f"{one} {two} {mated}" for one, two, mated in zip(first, second, label, strict=True)],
    )
    expected = np.loadtxt(path, np.int64)
    protocol = read_ijbc(tmp_path)
    assert np.array_equal(templates[protocol.probe], expected[:, 0])
    assert np.array_equal(templates[protocol.reference], expected[:, 1])
    assert np.array_equal(protocol.mated, expected[:, 2] == 1)


WRONG = [
    "10 20",
    "10 20 1 1",
    "10 20 2",
    "10 20 10",
    "10 20 x",
    "10 20 -1",
    "a 20 1",
    "10 b 1",
    "-1 20 1",
    "1.0 20 1",
    "10  20 1",
    " 10 20 1",
    "10 20 1 ",
    "10,20,1",
    "10 20 1\r",
    "12345678 20 1",
    "10 99 1",
    "99 20 0",
    "9999999 20 0",
    "",
    "   ",
    "10 20 1\x00",
    "10 20 \u0661",
]


@pytest.mark.parametrize("line", WRONG)
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.usefixtures("block")
def test_a_wrong_pair_is_refused_with_its_line(tmp_path: Path, line: str, at: int) -> None:
    ijb(tmp_path)
    path = lists(tmp_path)[2]
    edit(path, at, line if line != "10 20 1\r" else "10 20 1\r\r")
    refusal(tmp_path, path, at)


@pytest.mark.usefixtures("block")
def test_tabs_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    ijb(tmp_path)
    path = lists(tmp_path)[2]
    before = read_ijbc(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b" ", b"\t").replace(b"\n", b"\r\n") + b"\r\n\n\r\n")
    after = read_ijbc(tmp_path)
    assert after.probe.tolist() == before.probe.tolist()
    assert after.mated.tolist() == before.mated.tolist()


LINE = st.sampled_from(["10 20 1", "10 30 0", "20\t30 0", "30 7 1", "", "10 20", "7 7 3", "10 20 1\r", "\r"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(LINE, min_size=1, max_size=8), size=st.integers(1, 40), end=st.sampled_from(["", "\n", "\n\n"]))
def test_blocks_never_change_what_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: list[str], size: int, end: str
) -> None:
    ijb(tmp_path)
    path = lists(tmp_path)[2]
    path.write_bytes(("\n".join(chosen) + end).encode())
    results = []
    for bytes_together in (size, 1 << 24):
        monkeypatch.setattr(module, "BLOCK", bytes_together)
        try:
            protocol = read_ijbc(tmp_path, as_published=True)
            results.append(str((protocol.probe.tolist(), protocol.reference.tolist(), protocol.sha256)))
        except InvalidProtocol as error:
            results.append(error.message)
    assert results[0] == results[1]


@pytest.mark.parametrize("as_published", [False, True])
def test_a_repeated_pair_is_refused_unless_as_published(tmp_path: Path, as_published: bool) -> None:
    ijb(tmp_path)
    path = lists(tmp_path)[2]
    edit(path, 5, "30 10 0")
    if as_published:
        assert len(read_ijbc(tmp_path, as_published=True)) == 5
    else:
        assert "the pair of line 2 stands here again: twice" in refusal(tmp_path, path, 5)


def test_a_pair_of_two_kinds_is_refused_even_as_published(tmp_path: Path) -> None:
    ijb(tmp_path)
    edit(lists(tmp_path)[2], 5, "20 10 0")
    with pytest.raises(InvalidProtocol, match=r"line 5: the pair of line 1 .* as mated and as non-mated"):
        read_ijbc(tmp_path, as_published=True)


def test_a_template_with_itself_is_refused(tmp_path: Path) -> None:
    ijb(tmp_path)
    path = lists(tmp_path)[2]
    edit(path, 4, "30 30 1")
    assert "itself" in refusal(tmp_path, path, 4)


@pytest.mark.parametrize(
    "line", ["3.jpg 10", "3.jpg 10 2 1", "3.jpg x 2", "3.jpg 10 -2", "3.jpg 12345678 2", "../3.jpg 10 2", "/3.jpg 10 2"]
)
def test_a_wrong_face_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    ijb(tmp_path)
    faces, points, _ = lists(tmp_path)
    edit(faces, 3, line)
    edit(points, 3, f"{line.split()[0]} 1 2 3 4 5 6 7 8 9 10 0.5")
    refusal(tmp_path, faces, 3)


@pytest.mark.parametrize(
    "line",
    [
        "3.jpg 1 2 3 4 5 6 7 8 9 10",
        "3.jpg 1 2 3 4 5 6 7 8 9 10 0.5 1",
        "3.jpg 1 2 3 4 5 6 7 8 9 ten 0.5",
        "3.jpg 1 2 3 4 5 6 7 8 9 nan 0.5",
        "3.jpg 1 2 3 4 5 6 7 8 9 inf 0.5",
        "3.jpg 1 2 3 4 5 6 7 8 9 10 0",
        "3.jpg 1 2 3 4 5 6 7 8 9 10 -0.5",
        "3.jpg 1 2 3 4 5 6 7 8 9 10 nan",
        "4.jpg 1 2 3 4 5 6 7 8 9 10 0.5",
    ],
)
def test_wrong_landmarks_are_refused_with_their_line(tmp_path: Path, line: str) -> None:
    ijb(tmp_path)
    points = lists(tmp_path)[1]
    edit(points, 3, line)
    refusal(tmp_path, points, 3)


def test_lists_of_different_length_are_refused(tmp_path: Path) -> None:
    ijb(tmp_path)
    points = lists(tmp_path)[1]
    edit(points, 6, None)
    assert "5 photos, but 6 in ijbc_face_tid_mid.txt" in refusal(tmp_path, points, 5)


def test_a_photo_with_two_sets_of_landmarks_is_refused(tmp_path: Path) -> None:
    ijb(tmp_path)
    faces, points, _ = lists(tmp_path)
    edit(faces, 3, "1.jpg 10 2")
    edit(points, 3, "1.jpg 1 2 3 4 5 6 7 8 9 10 0.5")
    assert "other landmarks" in refusal(tmp_path, points, 3)
