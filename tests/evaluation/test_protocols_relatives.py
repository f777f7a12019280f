"""CALFW, CPLFW and SLLFW: lists of two lines for a pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from protocol_sets import Made, calfw, cplfw, edit, sllfw

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols.relatives import read_calfw, read_cplfw, read_sllfw

Reader = Callable[[Path], VerificationProtocol]
LABELLED = [(read_calfw, calfw), (read_cplfw, cplfw)]


def refusal(reader: Reader, made: Made, line: int | None) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        reader(made.folder)
    assert (caught.value.details["path"], caught.value.details["line"]) == (str(made.list), line)
    return caught.value.message


@pytest.mark.parametrize(("reader", "make"), LABELLED)
def test_a_set_by_hand(tmp_path: Path, reader: Reader, make: Callable[[Path], Made]) -> None:
    protocol = reader(make(tmp_path).folder)
    names = [photo.name for photo in protocol.samples.photos]
    assert (len(protocol), protocol.folds) == (20, 10)
    assert protocol.mated.tolist() == [True] * 10 + [False] * 10
    assert (names[protocol.probe[2]], names[protocol.reference[2]]) == ("Ann_3_1.jpg", "Ann_3_2.jpg")
    assert (names[protocol.probe[12]], names[protocol.reference[12]]) == ("Ann_3_2.jpg", "Bob_3_1.jpg")
    assert protocol.fold.tolist() == [*range(10), *range(10)]
    assert protocol.samples.photos[0].source == tmp_path / "aligned images" / "Ann_1_1.jpg"


@pytest.mark.parametrize(("reader", "make"), LABELLED)
def test_people_are_known_by_the_photos_names(tmp_path: Path, reader: Reader, make: Callable[[Path], Made]) -> None:
    samples = reader(make(tmp_path).folder).samples
    people = {photo.name: subject for photo, subject in zip(samples.photos, samples.subjects.tolist(), strict=True)}
    assert samples.subjects_known
    assert people["Ann_1_1.jpg"] == people["Ann_1_2.jpg"] != people["Ann_10_1.jpg"]
    assert len(set(people.values())) == 20


@pytest.mark.parametrize("folder", ["images", "images&landmarks/images", "."])
def test_photos_are_found_where_the_owner_puts_them(tmp_path: Path, folder: str) -> None:
    made = calfw(tmp_path)
    home = tmp_path / folder
    home.mkdir(parents=True, exist_ok=True)
    for photo in list(made.photo.parent.iterdir()):
        photo.rename(home / photo.name)
    made.photo.parent.rmdir()
    assert read_calfw(tmp_path).samples.photos[0].source == home / "Ann_1_1.jpg"


def test_the_label_of_a_mated_pair_is_its_fold_wherever_it_stands(tmp_path: Path) -> None:
    made = calfw(tmp_path)
    for line, label in ((1, 10), (2, 10), (19, 1), (20, 1)):
        photo = made.list.read_text().splitlines()[line - 1].split()[0]
        edit(made.list, line, f"{photo} {label}")
    assert read_calfw(tmp_path).fold.tolist() == [9, *range(1, 9), 0, *range(10)]


@pytest.mark.parametrize("label", ["11", "-1", "x", "1.0", "", "99999999999999999999"])
def test_a_label_out_of_range_is_refused(tmp_path: Path, label: str) -> None:
    made = calfw(tmp_path)
    edit(made.list, 3, f"Ann_2_1.jpg {label}")
    refusal(read_calfw, made, 3)


def test_two_labels_in_one_pair_are_refused(tmp_path: Path) -> None:
    made = calfw(tmp_path)
    edit(made.list, 2, "Ann_1_2.jpg 2")
    assert "label 2, but the other photo of the pair has 1" in refusal(read_calfw, made, 2)


@pytest.mark.parametrize(("reader", "make"), LABELLED)
def test_half_a_pair_is_refused(tmp_path: Path, reader: Reader, make: Callable[[Path], Made]) -> None:
    made = make(tmp_path)
    edit(made.list, 40, None)
    assert "the second is missing" in refusal(reader, made, 39)


@pytest.mark.parametrize(("reader", "make"), LABELLED)
def test_names_that_contradict_the_label_are_refused(
    tmp_path: Path, reader: Reader, make: Callable[[Path], Made]
) -> None:
    made = make(tmp_path)
    text = made.list.read_text()
    edit(made.list, 2, "Bob_1_1.jpg 1")
    assert "mated, but names two people, Ann_1 and Bob_1" in refusal(reader, made, 2)
    made.list.write_text(text)
    edit(made.list, 22, "Ann_1_1.jpg 0")
    assert "non-mated, but has two photos of one person, Ann_1" in refusal(reader, made, 22)


@pytest.mark.parametrize(("reader", "make"), LABELLED)
def test_a_pair_that_stands_twice_is_refused(tmp_path: Path, reader: Reader, make: Callable[[Path], Made]) -> None:
    made = make(tmp_path)
    label = made.list.read_text().splitlines()[2].split()[1]
    edit(made.list, 3, f"Ann_1_2.jpg {label}")
    edit(made.list, 4, f"Ann_1_1.jpg {label}")
    assert "the pair of line 2 stands here again" in refusal(reader, made, 4)


def test_folds_that_are_missing_or_uneven_are_refused(tmp_path: Path) -> None:
    made = calfw(tmp_path)
    edit(made.list, 19, "Ann_10_1.jpg 9")
    edit(made.list, 20, "Ann_10_2.jpg 9")
    assert "mated pairs by label: 1: 1, 2: 1" in refusal(read_calfw, made, None)


@pytest.mark.parametrize(("reader", "make"), LABELLED)
@pytest.mark.parametrize(("line", "told"), [(1, "9 mated"), (21, "9 non-mated")])
def test_a_number_of_pairs_that_is_no_ten_folds_is_refused(
    tmp_path: Path, reader: Reader, make: Callable[[Path], Made], line: int, told: str
) -> None:
    made = make(tmp_path)
    edit(made.list, line, None)
    edit(made.list, line, None)
    assert f"{told} pairs cannot be 10 folds" in refusal(reader, made, None)


# SLLFW


def test_sllfw_by_hand(tmp_path: Path) -> None:
    protocol = read_sllfw(sllfw(tmp_path).folder)
    names = [photo.name for photo in protocol.samples.photos]
    assert protocol.mated.tolist() == [True, False] * 10
    assert protocol.fold.tolist() == [fold for fold in range(10) for _ in range(2)]
    assert names[protocol.reference[1]] == "Bob_0/Bob_0_0001.jpg"
    assert protocol.samples.subjects_known
    assert len(set(protocol.samples.subjects.tolist())) == 20


@pytest.mark.parametrize(("line", "new"), [(2, "Bob_0/Bob_0_0001.jpg"), (4, "Ann_0/Ann_0_0003.jpg")])
def test_a_pair_of_the_wrong_kind_in_its_fold_is_refused(tmp_path: Path, line: int, new: str) -> None:
    made = sllfw(tmp_path)
    edit(made.list, line, new)
    assert "mated, but" in refusal(read_sllfw, made, line)


def test_a_number_of_lines_that_is_no_ten_folds_is_refused(tmp_path: Path) -> None:
    made = sllfw(tmp_path)
    edit(made.list, 40, None)
    assert "39 lines cannot be 10 folds" in refusal(read_sllfw, made, None)


@pytest.mark.parametrize("line", ["Ann_0_0001.jpg", "Ann_0/Ann_0_0001.jpg 1"])
def test_a_line_that_is_no_path_of_a_person_is_refused(tmp_path: Path, line: str) -> None:
    made = sllfw(tmp_path)
    edit(made.list, 1, line)
    assert "'Name/Name_0001.jpg' was expected" in refusal(read_sllfw, made, 1)
