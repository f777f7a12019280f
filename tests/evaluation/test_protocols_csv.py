"""Tables of a user's own: pairs, and scores from elsewhere."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_sets import touch

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocols import read_scores
from xcos.evaluation.protocols.csv_files import read_csv

HEADER = "probe,reference,mated"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    touch(folder, [f"{name}.jpg" for name in "abcdef"])
    return path


def refusal(path: Path, line: int | None, *, scores: bool = False) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        (read_scores if scores else read_csv)(path)
    assert caught.value.details["path"] == str(path)
    assert caught.value.details["line"] == line
    return caught.value.message


# Pairs


def test_pairs_by_hand(tmp_path: Path) -> None:
    protocol = read_csv(table(tmp_path, f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nd.jpg,c.jpg,yes\n"))
    assert [photo.name for photo in protocol.samples.photos] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert [photo.source for photo in protocol.samples.photos] == [tmp_path / f"{name}.jpg" for name in "abcd"]
    assert protocol.probe.tolist() == [0, 0, 3]
    assert protocol.reference.tolist() == [1, 2, 2]
    assert protocol.mated.tolist() == [True, False, True]
    assert (protocol.folds, protocol.groups) == (1, {})
    assert not protocol.samples.subjects_known
    a, b, c, d = protocol.samples.subjects.tolist()
    assert a == b != c == d


def test_columns_in_any_order_and_all_others_as_labels(tmp_path: Path) -> None:
    text = "Light,mated, Reference ,fold,probe,Camera\nday,1,b.jpg,1,a.jpg,\nnight,0,c.jpg,2,a.jpg,phone\n"
    protocol = read_csv(table(tmp_path, text))
    assert {name: labels.tolist() for name, labels in protocol.groups.items()} == {
        "Light": ["day", "night"],
        "Camera": ["", "phone"],
    }
    assert protocol.fold.tolist() == [0, 1]
    assert protocol.probe.tolist() == [0, 0]
    assert protocol.reference.tolist() == [1, 2]


@pytest.mark.parametrize("start", [0, 1])
def test_folds_count_from_nought_or_one(tmp_path: Path, start: int) -> None:
    rows = [
        f"a.jpg,{name}.jpg,{int(name == 'b')},{fold + start}\n" for name, fold in zip("bcde", (1, 0, 2, 0), strict=True)
    ]
    protocol = read_csv(table(tmp_path, f"{HEADER},fold\n{''.join(rows)}"))
    assert protocol.fold.tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("folds", "line"),
    [
        (("2", "3", "2"), 2),
        (("0", "1", "3"), 4),
        (("1", "4", "2"), 3),
        (("0", "-1", "1"), 3),
        (("1", "", "1"), 3),
        (("1", "1", "1.5"), 4),
        (("1", "x", "1"), 3),
        (("9" * 20, "1", "1"), 2),
    ],
)
def test_folds_with_a_gap_or_no_numbers_are_refused_with_the_line(
    tmp_path: Path, folds: tuple[str, ...], line: int
) -> None:
    rows = [f"a.jpg,{name}.jpg,{int(name == 'b')},{fold}\n" for name, fold in zip("bcd", folds, strict=True)]
    refusal(table(tmp_path, f"{HEADER},fold\n{''.join(rows)}"), line)


def test_people_are_known_where_the_table_names_them(tmp_path: Path) -> None:
    rows = "a.jpg,b.jpg,1,Ann,Ann\na.jpg,c.jpg,0,Ann,Bob\nd.jpg,e.jpg,0,Cid,Bob\n"
    text = f"{HEADER},probe_subject,reference_subject\n{rows}"
    samples = read_csv(table(tmp_path, text)).samples
    assert samples.subjects_known
    assert samples.subjects.tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a.jpg,d.jpg,1,Ann,Bob", "mated, but names two people, Ann and Bob"),
        ("a.jpg,d.jpg,0,Ann,Ann", "non-mated, but has two photos of one person, Ann"),
        ("b.jpg,d.jpg,0,Bob,Cid", "b.jpg is of Bob here, of Ann in line 2"),
        ("a.jpg,d.jpg,0,Ann,", "reference_subject is empty"),
    ],
)
def test_people_that_contradict_the_table_are_refused(tmp_path: Path, row: str, told: str) -> None:
    text = f"{HEADER},probe_subject,reference_subject\na.jpg,b.jpg,1,Ann,Ann\na.jpg,c.jpg,0,Ann,Bob\n{row}\n"
    assert told in refusal(table(tmp_path, text), 4)


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\r\na.jpg,b.jpg,1\r\na.jpg,c.jpg,0\r\n",
        f"\ufeff{HEADER}\na.jpg,b.jpg,1\n\n\na.jpg,c.jpg,0",
        '"probe","reference","mated"\n"a.jpg","b.jpg","1"\n"a.jpg","c.jpg","0"\n',
        f"{HEADER.upper()}\n./a.jpg,b.jpg,true\na.jpg,./c.jpg, no \n",
    ],
    ids=["CRLF", "BOM and blank lines", "quoted", "upper case and two spellings"],
)
def test_one_table_in_many_spellings(tmp_path: Path, content: str) -> None:
    protocol = read_csv(table(tmp_path, content))
    assert [photo.name for photo in protocol.samples.photos] == ["a.jpg", "b.jpg", "c.jpg"]
    assert protocol.mated.tolist() == [True, False]
    assert protocol.sha256 == hashlib.sha256((tmp_path / "own.csv").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("a.jpg,b.jpg,1\n", 1),
        ("probe,reference\na.jpg,b.jpg\n", 1),
        ("probe;reference;mated\na.jpg;b.jpg;1\n", 1),
        (f"{HEADER},mated\na.jpg,b.jpg,1,1\n", 1),
        (f"{HEADER},x,x\na.jpg,b.jpg,1,1,2\n", 1),
        (f"{HEADER},\na.jpg,b.jpg,1,\n", 1),
        (f"{HEADER},probe_subject\na.jpg,b.jpg,1,Ann\n", 1),
        (f"{HEADER},score\na.jpg,b.jpg,1,0.5\n", 1),
        (f"{HEADER},error\na.jpg,b.jpg,1,\n", 1),
        (f"{HEADER}\n", 1),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0,1\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\n,c.jpg,0\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,,0\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,2\n", 3),
        (f'{HEADER}\na.jpg,b.jpg,1\n"a.jpg,c.jpg,0\n', 3),
        (f'{HEADER}\na.jpg,b.jpg,1\n"a"b.jpg,c.jpg,0\n', 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg\0,0\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nb.jpg,a.jpg,1\n", 4),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\n./a.jpg,c.jpg,0\n", 4),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nc.jpg,a.jpg,1\n", 4),
        (f"{HEADER}\na.jpg,b.jpg,1\nc.jpg,c.jpg,1\n", None),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nc.jpg,c.jpg,1\n", 4),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,none.jpg,0\n", 3),
        (f"{HEADER}\na.jpg,b.jpg,1\na.jpg,{'x' * 5000},0\n", 3),
    ],
)
def test_a_wrong_table_is_refused_with_the_line(tmp_path: Path, text: str, line: int | None) -> None:
    assert len(refusal(table(tmp_path, text), line)) < 6000


def test_repeated_pairs_stand_as_published_but_not_with_two_labels(tmp_path: Path) -> None:
    path = table(tmp_path, f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nb.jpg,a.jpg,1\nd.jpg,d.jpg,1\n")
    assert len(read_csv(path, as_published=True)) == 4
    path.write_text(f"{HEADER}\na.jpg,b.jpg,1\na.jpg,c.jpg,0\na.jpg,c.jpg,0\nb.jpg,a.jpg,0\n")
    with pytest.raises(InvalidProtocol, match=r"line 5: the pair of line 2 .* as mated and as non-mated"):
        read_csv(path, as_published=True)


def test_absolute_paths_and_paths_out_of_the_folder_are_the_users_own(tmp_path: Path) -> None:
    touch(tmp_path, ["there/a.jpg", "b.jpg", "c.jpg"])
    home = tmp_path / "lists"
    home.mkdir()
    path = table(home, f"{HEADER}\n{tmp_path}/there/a.jpg,../b.jpg,1\n../b.jpg,../c.jpg,0\n")
    assert [photo.source for photo in read_csv(path).samples.photos] == [
        tmp_path / "there/a.jpg",
        home / "../b.jpg",
        home / "../c.jpg",
    ]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = b"\xe9\xff.jpg"
    path = table(tmp_path, HEADER.encode() + b"\na.jpg," + name + b",1\na.jpg,c.jpg,0\n")
    missing = refusal(path, 2)
    missing.encode("utf-8")  # can be printed
    (tmp_path / os.fsdecode(name)).touch()
    assert read_csv(path).samples.photos[1].source == tmp_path / os.fsdecode(name)


# Scores


def test_scores_by_hand(tmp_path: Path) -> None:
    text = f"{HEADER},score,site\nx,y,1,0.75,A\nx,z,0,-1e-3,B\nv,w,1,+.5,A\n"
    found = read_scores(table(tmp_path, text))
    assert found.scores.scores.tolist() == [0.75, -0.001, 0.5]
    assert found.scores.mated.tolist() == [True, False, True]
    assert found.probe == ("x", "x", "v")
    assert found.reference == ("y", "z", "w")
    assert (len(found), found.subjects_known, found.fold.tolist()) == (3, False, [0, 0, 0])
    assert found.groups["site"].tolist() == ["A", "B", "A"]
    assert found.scores.probe_subject[0] == found.scores.reference_subject[0] != found.scores.reference_subject[1]
    assert found.scores.probe_subject[2] == found.scores.reference_subject[2]
    assert found.sha256 == hashlib.sha256((tmp_path / "own.csv").read_bytes()).hexdigest()


def test_people_and_folds_of_scores(tmp_path: Path) -> None:
    columns = f"{HEADER},score,fold,probe_subject,reference_subject"
    found = read_scores(table(tmp_path, f"{columns}\nx,y,1,1,2,Ann,Ann\nx,z,0,0,1,Ann,Bob\n"))
    assert found.subjects_known
    assert found.fold.tolist() == [1, 0]
    assert found.scores.probe_subject.tolist() == [0, 0]
    assert found.scores.reference_subject.tolist() == [0, 1]


def test_an_error_without_a_score_is_a_pair_that_failed(tmp_path: Path) -> None:
    text = f"{HEADER},score,error\nx,y,1,,no_face\nx,z,0,0.5,\nv,w,1,-inf,\nv,z,0,inf,\n"
    scores = read_scores(table(tmp_path, text)).scores
    assert scores.scores.tolist() == [-math.inf, 0.5, -math.inf, math.inf]
    assert scores.failed.tolist() == [True, False, True, False]


@pytest.mark.parametrize("score", ["", " ", "nan", "NaN", "-nan", "x", "1_0", "0x1", "1,5", "1e", "--1", "0.5.1", "１"])
def test_what_is_no_score_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    text = f'{HEADER},score,error\nx,y,1,1,\nx,z,0,"{score}",\n'
    refusal(table(tmp_path, text), 3, scores=True)
    refusal(table(tmp_path, text.replace(",error", "").replace(",\n", "\n")), 3, scores=True)


def test_a_score_and_an_error_in_one_row_are_refused(tmp_path: Path) -> None:
    text = f"{HEADER},score,error\nx,y,1,0.5,no_face\nx,z,0,1,\n"
    assert "a pair has one of them" in refusal(table(tmp_path, text), 2, scores=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{HEADER}\nx,y,1\n", 1),
        ("probe,reference,score\nx,y,1\n", 1),
        (f"{HEADER},score\n", 1),
        (f"{HEADER},score\nx,y,,1\n", 2),
        (f"{HEADER},score\nx,y,1,1\n", None),
        (f"{HEADER},score\nx,y,1,1\nx,z,0,1\ny,x,1,0\n", 4),
    ],
)
def test_a_wrong_table_of_scores_is_refused(tmp_path: Path, text: str, line: int | None) -> None:
    refusal(table(tmp_path, text), line, scores=True)


def test_what_verify_writes_can_be_read(tmp_path: Path) -> None:
    text = (
        "probe,reference,score,llr,decision,reasons,error,mated\n"
        "a.jpg,b.jpg,0.912345,4.2000,match,,,1\n"
        "a.jpg,c.jpg,,,,probe:no_face,no_face,0\n"
    )
    found = read_scores(table(tmp_path, text))
    assert found.scores.scores.tolist() == [0.912345, -math.inf]
    assert found.groups == {}


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.csv", None)
    assert "No such file" in refusal(tmp_path / "none.csv", None, scores=True)
    assert "directory" in refusal(tmp_path, None).lower()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_scores_that_python_wrote_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    rows = "".join(f"p{at},r{at},{at % 2},{value!r}\n" for at, value in enumerate([*values, 0.5, 0.5]))
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    path.write_text(f"{HEADER},score\n{rows}")
    assert np.array_equal(read_scores(path).scores.scores, [*values, 0.5, 0.5])
