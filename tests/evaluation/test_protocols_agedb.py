"""AgeDB-30: its list is a MATLAB file, written here by scipy in the form that its published readers take apart."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from protocol_sets import touch
from scipy.io import savemat

from xcos.errors import InvalidProtocol, MissingPackage
from xcos.evaluation.protocols.agedb import LIST, read_agedb_30


class Pair(NamedTuple):
    probe: str
    reference: str
    label: int


Fold = Callable[[int], list[Pair]]


def pairs(fold: int) -> list[Pair]:
    ann, bob = f"{fold}_Ann_20_f", f"{90 + fold}_Bob_51_m"
    return [Pair(ann, f"{fold}_Ann_50_f", 1), Pair(ann, bob, -1)]


def structure(*fields: object) -> NDArray[np.generic]:
    made = np.empty((1, 1), [(f"field{at}", object) for at in range(len(fields))])
    made[0, 0] = fields
    return made


def splits(fold: Fold = pairs, folds: int = 10) -> NDArray[np.generic]:
    cells = np.empty((folds, 1), object)
    for at in range(folds):
        names = np.empty((2, len(fold(at))), object)
        for column, pair in enumerate(fold(at)):
            names[0, column] = structure(pair.probe, 20.0)
            names[1, column] = structure(pair.reference, 50.0)
        cells[at, 0] = structure(names, np.array([[pair.label for pair in fold(at)]], np.int16))
    return cells


def make(folder: Path, fold: Fold = pairs, folds: int = 10) -> Path:
    home = folder / "AgeDB_FINAL_protocol"
    home.mkdir(parents=True, exist_ok=True)
    savemat(home / LIST, {"splits": splits(fold, folds)})
    touch(folder / "03_Protocol_Images", [f"{name}.jpg" for at in range(10) for pair in pairs(at) for name in pair[:2]])
    return home / LIST


def refusal(folder: Path) -> InvalidProtocol:
    with pytest.raises(InvalidProtocol) as caught:
        read_agedb_30(folder)
    return caught.value


def test_a_set_by_hand(tmp_path: Path) -> None:
    path = make(tmp_path)
    protocol = read_agedb_30(tmp_path)
    names = [photo.name for photo in protocol.samples.photos]
    assert names[:3] == ["0_Ann_20_f.jpg", "0_Ann_50_f.jpg", "90_Bob_51_m.jpg"]
    assert protocol.mated.tolist() == [True, False] * 10
    assert protocol.fold.tolist() == [fold for fold in range(10) for _ in range(2)]
    assert (protocol.probe[3], protocol.reference[3]) == (3, 5)
    assert protocol.samples.subjects_known
    assert len(set(protocol.samples.subjects.tolist())) == 20
    assert protocol.samples.photos[0].source == tmp_path / "03_Protocol_Images" / names[0]
    assert protocol.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_list_is_taken_apart_as_faces_zoos_reader_does(tmp_path: Path) -> None:
    from scipy.io import loadmat

    split = loadmat(make(tmp_path))["splits"][4][0][0][0]
    assert str(split[0][0][1][0][0][0][0]) == "4_Ann_20_f"
    assert split[1][0].tolist() == [1, -1]


def test_the_list_may_lie_beside_the_photos(tmp_path: Path) -> None:
    path = make(tmp_path)
    path.rename(tmp_path / LIST)
    path.parent.rmdir()
    assert len(read_agedb_30(tmp_path)) == 20


@pytest.mark.parametrize("label", [0, 2])
def test_a_label_out_of_range_is_refused_with_the_pair(tmp_path: Path, label: int) -> None:
    make(tmp_path, lambda fold: pairs(fold) if fold != 2 else [pairs(2)[0], pairs(2)[1]._replace(label=label)])
    error = refusal(tmp_path)
    assert (error.details["pair"], error.details["line"]) == (6, None)
    assert f"label {label}" in error.message


def test_names_that_contradict_the_label_are_refused(tmp_path: Path) -> None:
    make(tmp_path, lambda fold: [pairs(fold)[0], pairs(fold)[1]._replace(label=1)])
    assert "mated, but names two people, 0 and 90" in refusal(tmp_path).message


@pytest.mark.parametrize("folds", [1, 9, 11])
def test_a_wrong_number_of_folds_is_refused(tmp_path: Path, folds: int) -> None:
    make(tmp_path, folds=folds)
    assert f"({folds}, 1)" in refusal(tmp_path).message


@pytest.mark.parametrize("name", ["../0_Ann", "/etc/0_Ann", "a\\b"])
def test_a_name_that_leaves_the_set_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, lambda fold: [pairs(fold)[0]._replace(probe=name), *pairs(fold)[1:]])
    error = refusal(tmp_path)
    assert "leads out of the set's folder" in error.message
    assert error.details["pair"] == 1


def test_a_missing_photo_is_refused_with_its_pair(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "03_Protocol_Images/91_Bob_51_m.jpg").unlink()
    error = refusal(tmp_path)
    assert (error.details["pair"], error.details["missing"]) == (4, 1)


def test_a_pair_that_stands_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path, lambda fold: [*pairs(fold), pairs(fold)[1]])
    assert "pair 3: the pair of pair 2 stands here again: twice (10 such pairs)" in refusal(tmp_path).message


@pytest.mark.parametrize(
    "content",
    [b"", b"MATLAB 5.0 MAT-file", b"\xff\xd8\xff" * 200, b"\0" * 500, b"\x89HDF\r\n\x1a\n" + b"\0" * 200],
    ids=["empty", "header", "JPEG", "zeros", "HDF5"],
)
def test_what_is_no_matlab_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = make(tmp_path)
    path.write_bytes(content)
    assert refusal(tmp_path).details == {"path": str(path), "line": None}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = make(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((10, 1)),
        np.array([["text"]] * 10, object),
        np.full((10, 1), None, object),
        np.array([[structure(1.0, 2.0)]] * 10, object).reshape(10, 1),
    ],
    ids=["numbers", "texts", "empty", "other structures"],
)
def test_a_matlab_file_of_other_things_is_refused(tmp_path: Path, value: NDArray[np.generic]) -> None:
    path = make(tmp_path)
    filled = np.empty((10, 1), object)
    for at in range(10):
        filled[at, 0] = value[at, 0] if value[at, 0] is not None else np.zeros((0, 0))
    savemat(path, {"splits": filled if value.dtype == object else value})
    refusal(tmp_path)
    savemat(path, {"other": value if value.dtype != object else 1})
    assert "no MATLAB file with 'splits'" in refusal(tmp_path).message


def test_without_scipy_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingPackage, match="pip install scipy"):
        read_agedb_30(tmp_path)


def test_a_missing_list_is_told_where_its_owner_publishes_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidProtocol, match=r"ibug\.doc\.ic\.ac\.uk"):
        read_agedb_30(tmp_path)
