"""Lists that are wrong, through the command: one typed line that names the place, nothing written, no code run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluated import Capture, document, evaluate, refused
from fakes import save_photo
from protocol_sets import LISTED, binned, edit, write

SCORED = ("--model", "dlib", "--detector", "whole-image")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pairs(desk: Path) -> Path:
    """A list of three pairs, with their photos."""
    for name, angle in zip("abcd", (0, 20, 90, 100), strict=True):
        save_photo(desk / f"{name}.png", angle)
    return write(desk / "pairs.csv", ["probe,reference,mated", "a.png,b.png,1", "a.png,c.png,0", "c.png,d.png,1"])


def test_a_byte_order_mark_and_windows_line_ends_change_no_score(pairs: Path) -> None:
    assert evaluate("csv", "pairs.csv", *SCORED, out="plain") == 0
    pairs.write_bytes(b"\xef\xbb\xbf" + pairs.read_bytes().replace(b"\n", b"\r\n"))
    assert evaluate("csv", "pairs.csv", *SCORED, out="windows") == 0
    assert Path("plain/scores.csv").read_bytes() == Path("windows/scores.csv").read_bytes()
    assert document("plain")["protocol"]["sha256"] != document("windows")["protocol"]["sha256"]
    table = pairs.with_name("scores.csv")
    table.write_bytes(b"\xef\xbb\xbfprobe,reference,score\r\na.png,b.png,1\r\na.png,c.png,0\r\nc.png,d.png,1\r\n")
    assert evaluate("csv", "pairs.csv", "--scores", "scores.csv", out="elsewhere") == 0


@pytest.mark.parametrize(
    ("line", "new", "named", "said"),
    [
        (3, "a.png,z.png,0", 3, "no photo z.png in .; 1 of 5 photos are missing"),
        (4, "b.png,a.png,1", 4, "the pair of line 2 stands here again: twice"),
        (4, "b.png,a.png,0", 4, "the pair of line 2 stands here again: as mated and as non-mated"),
        (4, "a.png,a.png,1", 4, "a pair of one photo with itself"),
        (3, "a.png,c.png,1", None, "there is no non-mated pair"),
        (3, "a.png,c.png", 3, "3 columns were expected"),
        (3, "a.png,c.png,perhaps", 3, "mated must be 1 or 0"),
        (3, '"a.png,c.png,0', 4, "unexpected end of data"),
        (2, "a.png,\0b.png,1", 2, "NUL"),
        (1, "probe,reference", 1, "no column mated"),
        (1, "probe,reference,mated,score", 1, "a column score"),
    ],
)
def test_a_wrong_list_of_ones_own_is_refused_with_its_line(
    pairs: Path, capsys: Capture, line: int, new: str, named: int | None, said: str
) -> None:
    edit(pairs, line, new)
    error = refused(capsys, "csv", "pairs.csv", *SCORED)
    assert (error["code"], error["details"]["path"], error["details"]["line"]) == (
        "invalid_protocol",
        "pairs.csv",
        named,
    )
    assert said in error["message"]


def test_a_list_without_a_mated_pair_and_an_empty_one_are_refused(pairs: Path, capsys: Capture) -> None:
    pairs.write_text(pairs.read_text().replace(",1\n", ",0\n"))
    assert "there is no mated pair" in refused(capsys, "csv", "pairs.csv", *SCORED)["message"]
    pairs.write_text("")
    assert refused(capsys, "csv", "pairs.csv", *SCORED)["details"]["line"] == 1


@pytest.mark.parametrize(
    ("name", "spoil", "line", "said"),
    [
        ("lfw", lambda made: edit(made.list, 1, "9\t2"), 1, "the header promises 9 × (2 + 2) pairs"),
        ("lfw", lambda made: edit(made.list, 41, None), 1, "the list has 39"),
        ("lfw", lambda made: edit(made.list, 2, "Ann_0\t1\tBob_0\t1"), 2, "line 1 of it is a non-mated pair"),
        ("lfw", lambda made: edit(made.list, 3, "Ann_0\t2\t1"), 3, "the pair of line 2 stands here again"),
        ("lfw", lambda made: made.photo.unlink(), 2, "1 of 50 photos are missing"),
        ("calfw", lambda made: edit(made.list, 1, "Ann_1_1.jpg 11"), 1, "label 11"),
        ("ytf", lambda made: edit(made.list, 21, None), None, "10 splits of equal size"),
        ("cfp-ff", lambda made: edit(made.list, 2, None), 2, "2 pairs, but 1 in the first list"),
        ("ijbc", lambda made: edit(made.list, 2, "10 99 0"), 2, "template 99 has no photo"),
        ("rfw", lambda made: edit(made.list, 1, None), None, "cannot be 10 folds of equal size"),
    ],
)
def test_a_wrong_list_of_an_owner_is_refused_with_its_line(
    desk: Path, capsys: Capture, name: str, spoil: Callable[[object], object], line: int | None, said: str
) -> None:
    spoil(LISTED[name](desk / "set"))
    error = refused(capsys, name, "set", *SCORED)
    assert (error["code"], error["details"]["line"]) == ("invalid_protocol", line)
    assert said in error["message"]


@pytest.mark.parametrize(("folds", "line"), [("1,2,4", 4), ("2,3,2", 2), ("0,1,x", 4)])
def test_folds_with_a_gap_are_refused_with_the_line(pairs: Path, capsys: Capture, folds: str, line: int) -> None:
    lines = pairs.read_text().splitlines()
    write(
        pairs, [f"{lines[0]},fold", *(f"{row},{fold}" for row, fold in zip(lines[1:], folds.split(","), strict=True))]
    )
    assert refused(capsys, "csv", "pairs.csv", *SCORED)["details"]["line"] == line


class Runs:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["bin", "lfw", "cfp-fp", "agedb-30", "calfw", "vgg2-fp"])
@pytest.mark.parametrize("where", ["labels", "image", "all"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(
    desk: Path, capsys: Capture, name: str, where: str
) -> None:
    images, mated = binned(desk / "set.bin")
    content = {"labels": (images, Runs()), "image": ([*images[:-1], Runs()], mated), "all": Runs()}[where]
    (desk / "set.bin").write_bytes(pickle.dumps(content))
    error = refused(capsys, name, "set.bin", *SCORED)
    assert (error["code"], error["details"]["path"]) == ("invalid_protocol", "set.bin")
    assert isinstance(error["details"]["offset"], int)
    assert not (desk / "ran").exists()
    pickle.loads((desk / "set.bin").read_bytes())
    assert (desk / "ran").exists(), "the file does run code where it is loaded"


def test_a_pickle_in_the_place_of_a_table_of_scores_runs_nothing(pairs: Path, capsys: Capture) -> None:
    pairs.with_name("scores.csv").write_bytes(pickle.dumps(Runs()))
    assert refused(capsys, "csv", "pairs.csv", "--scores", "scores.csv")["code"] == "invalid_protocol"
    assert not Path("ran").exists()
