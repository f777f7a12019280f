from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from protocol_sets import cfp_ff, cfp_fp, edit, write

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocols.cfp import read_cfp_ff, read_cfp_fp


def refusal(folder: Path, path: Path, line: int | None) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        read_cfp_fp(folder)
    assert (caught.value.details["path"], caught.value.details["line"]) == (str(path), line)
    return caught.value.message


def split(folder: Path, fold: int, kind: str) -> Path:
    return folder / "Protocol/Split/FP" / f"{fold:02d}" / f"{kind}.txt"


def test_frontal_against_profile_by_hand(tmp_path: Path) -> None:
    protocol = read_cfp_fp(cfp_fp(tmp_path).folder)
    names = [photo.name for photo in protocol.samples.photos]
    pairs = [(names[one], names[two]) for one, two in zip(protocol.probe, protocol.reference, strict=True)]
    images = "Data/Images"
    # Fold 2 pairs the photos 5 and 6 of person 3 with 7 and 8 of person 4.
    assert pairs[4:8] == [
        (f"{images}/003/frontal/01.jpg", f"{images}/003/profile/02.jpg"),
        (f"{images}/004/frontal/01.jpg", f"{images}/004/profile/02.jpg"),
        (f"{images}/003/frontal/01.jpg", f"{images}/004/profile/01.jpg"),
        (f"{images}/004/frontal/02.jpg", f"{images}/003/profile/01.jpg"),
    ]
    assert protocol.mated.tolist() == [True, True, False, False] * 10
    assert protocol.fold.tolist() == [fold for fold in range(10) for _ in range(4)]
    assert protocol.samples.photos[0].source == tmp_path / names[0]


def test_frontal_against_frontal_takes_both_photos_of_one_list(tmp_path: Path) -> None:
    protocol = read_cfp_ff(cfp_ff(tmp_path).folder)
    assert (protocol.name, len(protocol)) == ("cfp-ff", 40)
    assert all("/frontal/" in photo.name for photo in protocol.samples.photos)


def test_people_are_known_by_their_folders(tmp_path: Path) -> None:
    samples = read_cfp_fp(cfp_fp(tmp_path).folder).samples
    assert samples.subjects_known
    people = {
        photo.name.split("/")[2]: subject for photo, subject in zip(samples.photos, samples.subjects, strict=True)
    }
    assert len(people) == len(set(people.values())) == 20


def test_the_hash_covers_all_lists(tmp_path: Path) -> None:
    made = cfp_fp(tmp_path)
    protocol = tmp_path / "Protocol"
    files = [protocol / "Pair_list_F.txt", protocol / "Pair_list_P.txt"]
    files += [split(tmp_path, fold, kind) for fold in range(1, 11) for kind in ("same", "diff")]
    names = ["Pair_list_F.txt", "Pair_list_P.txt", *(f"{file.parent.name}/{file.name}" for file in files[2:])]
    told = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n" for file, name in zip(files, names, strict=True)
    )
    assert read_cfp_fp(made.folder).sha256 == hashlib.sha256(told.encode()).hexdigest()


def test_a_missing_or_further_fold_is_refused(tmp_path: Path) -> None:
    cfp_fp(tmp_path)
    folds = tmp_path / "Protocol/Split/FP"
    (folds / "10").rename(folds / "11")
    assert "the folders 01 to 10" in refusal(tmp_path, folds, None)
    (folds / "11").rename(folds / "10")
    write(folds / "11/same.txt", ["1,2"])
    assert "08, 09, 10, 11" in refusal(tmp_path, folds, None)


@pytest.mark.parametrize(("fold", "kind"), [(1, "diff"), (7, "same")])
def test_folds_of_unequal_size_are_refused(tmp_path: Path, fold: int, kind: str) -> None:
    cfp_fp(tmp_path)
    edit(split(tmp_path, fold, kind), 2, None)
    assert "1 pairs, but 2 in the first list" in refusal(tmp_path, split(tmp_path, fold, kind), 1)


@pytest.mark.parametrize("line", ["1", "1,2,3", "1;2", "0,1", "x,1", "41,1", "1,41", "1,"])
def test_a_pair_that_is_no_two_photos_of_the_lists_is_refused(tmp_path: Path, line: str) -> None:
    cfp_fp(tmp_path)
    edit(split(tmp_path, 3, "diff"), 2, line)
    refusal(tmp_path, split(tmp_path, 3, "diff"), 2)


def test_a_pair_of_the_wrong_list_is_refused(tmp_path: Path) -> None:
    cfp_fp(tmp_path)
    edit(split(tmp_path, 3, "same"), 1, "9,12")
    assert "mated, but names two people, 005 and 006" in refusal(tmp_path, split(tmp_path, 3, "same"), 1)
    edit(split(tmp_path, 3, "same"), 1, "9,10")
    edit(split(tmp_path, 3, "diff"), 1, "9,9")
    assert "non-mated, but has two photos of one person, 005" in refusal(tmp_path, split(tmp_path, 3, "diff"), 1)


def test_a_pair_that_stands_twice_is_refused(tmp_path: Path) -> None:
    cfp_fp(tmp_path)
    edit(split(tmp_path, 3, "same"), 2, "9,10")
    assert "the pair of line 1 stands here again" in refusal(tmp_path, split(tmp_path, 3, "same"), 2)
    assert len(read_cfp_fp(tmp_path, as_published=True)) == 40


@pytest.mark.parametrize(
    ("line", "new"),
    [
        (2, "3 ../Data/Images/001/frontal/02.jpg"),
        (2, "1 ../Data/Images/001/frontal/02.jpg"),
        (2, "2"),
        (2, "2 ../02.jpg"),
        (2, "2 ../../Data/Images/001/frontal/02.jpg"),
        (2, "2 /Data/Images/001/frontal/02.jpg"),
        (2, "two ../Data/Images/001/frontal/02.jpg"),
    ],
)
def test_a_numbered_list_with_a_wrong_line_is_refused(tmp_path: Path, line: int, new: str) -> None:
    cfp_fp(tmp_path)
    numbered = tmp_path / "Protocol/Pair_list_P.txt"
    edit(numbered, line, new)
    refusal(tmp_path, numbered, line)
