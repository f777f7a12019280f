"""LFW and the sets whose lists have its form: RFW and other groups, masked faces."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from protocol_sets import RACES, Made, edit, grouped, lfw, lfw_lines, lfw_names, lfw_view1, masked, touch, write

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols.grouped import read_grouped, read_rfw
from xcos.evaluation.protocols.lfw import read_lfw, read_lfw_view1
from xcos.evaluation.protocols.masked import read_masked


def named(protocol: VerificationProtocol) -> list[tuple[str, str, bool, int]]:
    """Pairs with the names of their photos."""
    names = [photo.name for photo in protocol.samples.photos]
    columns = (protocol.probe, protocol.reference, protocol.mated, protocol.fold)
    return [
        (names[probe], names[reference], mated, fold)
        for probe, reference, mated, fold in zip(*(column.tolist() for column in columns), strict=True)
    ]


def refusal(reader: Callable[[Path], VerificationProtocol], made: Made, line: int | None) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        reader(made.folder)
    assert caught.value.details["path"] == str(made.list)
    assert caught.value.details["line"] == line
    if line is not None:
        assert f"{made.list.name}, line {line}: " in caught.value.message
    return caught.value.message


# LFW


def test_the_first_fold_of_view_2_by_hand(tmp_path: Path) -> None:
    protocol = read_lfw(lfw(tmp_path).folder)
    assert named(protocol)[:4] == [
        ("Ann_0/Ann_0_0001.jpg", "Ann_0/Ann_0_0002.jpg", True, 0),
        ("Ann_0/Ann_0_0003.jpg", "Ann_0/Ann_0_0001.jpg", True, 0),
        ("Ann_0/Ann_0_0001.jpg", "Bob_0/Bob_0_0001.jpg", False, 0),
        ("Bob_0/Bob_0_0002.jpg", "Ann_0/Ann_0_0003.jpg", False, 0),
    ]
    assert (len(protocol), protocol.folds) == (40, 10)
    assert protocol.fold.tolist() == [fold for fold in range(10) for _ in range(4)]


def test_people_are_known_by_name(tmp_path: Path) -> None:
    samples = read_lfw(lfw(tmp_path).folder).samples
    assert samples.subjects_known
    people = {photo.name: subject for photo, subject in zip(samples.photos, samples.subjects.tolist(), strict=True)}
    assert len(people) == 50
    assert len(set(people.values())) == 20
    assert len({people[name] for name in lfw_names("Ann_3", 3)}) == 1


def test_the_hash_is_what_sha256sum_prints(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    assert read_lfw(made.folder).sha256 == hashlib.sha256(made.list.read_bytes()).hexdigest()


def test_photos_lie_in_the_folder_images_or_beside_the_list(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    before = read_lfw(made.folder)
    for person in (made.folder / "images").iterdir():
        person.rename(made.folder / person.name)
    (made.folder / "images").rmdir()
    after = read_lfw(made.folder)
    assert named(after) == named(before)
    assert after.samples.photos[0].source == made.folder / "Ann_0/Ann_0_0001.jpg"


@pytest.mark.parametrize("line", ["Ann_0 1 2", "Ann_0\t1 2", " Ann_0\t1\t2 ", "Ann_0\t01\t0002"])
def test_fields_are_parted_by_tabs_or_spaces(tmp_path: Path, line: str) -> None:
    made = lfw(tmp_path)
    before = read_lfw(made.folder)
    edit(made.list, 2, line)
    assert named(read_lfw(made.folder)) == named(before)


@pytest.mark.parametrize("header", ["9\t2", "10\t3", "10\t1", "20\t2", "40", "1\t2", "999999999\t999999999"])
def test_a_header_that_promises_another_number_is_refused(tmp_path: Path, header: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, 1, header)
    assert "the header promises" in refusal(read_lfw, made, 1)


@pytest.mark.parametrize("line", [2, 4, 41])
def test_a_missing_line_is_told_by_the_header(tmp_path: Path, line: int) -> None:
    made = lfw(tmp_path)
    edit(made.list, line, None)
    assert "the list has 39" in refusal(read_lfw, made, 1)


@pytest.mark.parametrize("header", ["5\t4", "20\t1", "20"])
def test_a_wrong_number_of_folds_is_told_by_the_line_of_the_other_kind(tmp_path: Path, header: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, 1, header)
    first = 3 if header == "20\t1" else 4  # the second mated line, or the first non-mated one
    assert "fold 1 has" in refusal(read_lfw, made, first)


@pytest.mark.parametrize("header", ["0\t2", "10\t0", "0"])
def test_a_header_of_nothing_is_refused(tmp_path: Path, header: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, 1, header)
    assert "whole number from 1" in refusal(read_lfw, made, 1)


@pytest.mark.parametrize("header", ["Ann_0\t1\t2", "10\t2\t3", "ten\t2", "10 -2", "१०\t2"])
def test_a_list_without_its_header_is_refused(tmp_path: Path, header: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, 1, header)
    assert "a header of one or two numbers" in refusal(read_lfw, made, 1)


@pytest.mark.parametrize(
    "line",
    [
        "Ann_0",
        "Ann_0\t1",
        "Ann_0\t1\t2\t3\t4",
        "Ann_0\tx\t2",
        "Ann_0\t0\t2",
        "Ann_0\t1\t-2",
        "Ann_0\t1\t2.0",
        "Ann_0\t1\t²",
        "Ann Lee\t1\t2",
        "Ann_0\t1\t" + "9" * 5000,
        "Ann_0\t1\t" + "x" * 5000,
    ],
)
def test_a_line_of_another_form_is_refused_in_few_words(tmp_path: Path, line: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, 2, line)
    assert len(refusal(read_lfw, made, 2)) < 400


def test_a_mated_line_of_two_people_is_refused(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    edit(made.list, 3, "Ann_0\t1\tBob_0\t2")
    assert "is a non-mated pair" in refusal(read_lfw, made, 3)


def test_a_non_mated_line_of_one_person_is_refused(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    edit(made.list, 4, "Ann_0\t1\tAnn_0\t2")
    assert "non-mated, but has two photos of one person, Ann_0" in refusal(read_lfw, made, 4)


def test_a_photo_with_itself_is_refused(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    edit(made.list, 6, "Ann_1\t2\t2")
    assert "a pair of one photo with itself" in refusal(read_lfw, made, 6)


@pytest.mark.parametrize(("line", "new"), [(3, "Ann_0\t1\t2"), (3, "Ann_0\t2\t1"), (5, "Bob_0\t1\tAnn_0\t1")])
def test_a_repeated_pair_in_either_order_is_refused_and_the_first_named(tmp_path: Path, line: int, new: str) -> None:
    made = lfw(tmp_path)
    edit(made.list, line, new)
    first = 2 if line == 3 else 4
    assert f"the pair of line {first} stands here again: twice (1 such pairs)" in refusal(read_lfw, made, line)


def test_repeated_pairs_and_pairs_of_one_photo_stand_as_published(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    edit(made.list, 3, "Ann_0\t2\t1")
    edit(made.list, 6, "Ann_1\t2\t2")
    protocol = read_lfw(made.folder, as_published=True)
    assert len(protocol) == 40
    assert named(protocol)[1] == ("Ann_0/Ann_0_0002.jpg", "Ann_0/Ann_0_0001.jpg", True, 0)


def test_unknown_people_and_photos_are_told_apart(tmp_path: Path) -> None:
    made = lfw(tmp_path)
    edit(made.list, 2, "Ann_0\t1\t9")
    edit(made.list, 7, "Zoe\t1\t2")
    message = refusal(read_lfw, made, 2)
    assert "no photo Ann_0/Ann_0_0009.jpg" in message
    assert "3 of 52 photos are missing" in message  # Ann_0's second is named by no line any more
    assert "there is no folder" not in message
    edit(made.list, 2, "Ann_0\t1\t2")
    assert "(there is no folder Zoe)" in refusal(read_lfw, made, 7)


def test_view_1_by_hand(tmp_path: Path) -> None:
    protocol = read_lfw_view1(lfw_view1(tmp_path).folder)
    assert (protocol.name, len(protocol), protocol.folds) == ("lfw-view1", 6, 1)
    assert protocol.mated.tolist() == [True] * 3 + [False] * 3
    assert named(protocol)[5] == ("Bob_2/Bob_2_0001.jpg", "Bob_3/Bob_3_0001.jpg", False, 0)


def test_view_1_has_two_parts(tmp_path: Path) -> None:
    made = lfw_view1(tmp_path)
    with pytest.raises(InvalidProtocol, match="pairsDevTrain"):
        read_lfw_view1(made.folder, part="train")
    made.list.rename(made.folder / "pairsDevTrain.txt")
    assert read_lfw_view1(made.folder, part="train").name == "lfw-view1-train"


def by_hand(path: Path, header: int) -> list[tuple[str, str, bool]]:
    """The pairs of a list of LFW, read as its readme says."""
    found = []
    for line in path.read_text("ascii").splitlines()[header:]:
        match line.split("\t"):
            case [name, one, other]:
                found.append((f"{name}/{name}_{one:0>4}.jpg", f"{name}/{name}_{other:0>4}.jpg", True))
            case [name, one, second, other]:
                found.append((f"{name}/{name}_{one:0>4}.jpg", f"{second}/{second}_{other:0>4}.jpg", False))
    return found


@pytest.mark.real_data
def test_view_2_of_lfw_has_the_published_size(real_file: Callable[[str], Path]) -> None:
    folder = real_file("data/lfw")
    protocol = read_lfw(folder)
    assert (len(protocol), protocol.folds) == (6000, 10)
    for fold in range(10):
        assert Counter(protocol.mated[protocol.fold == fold].tolist()) == {True: 300, False: 300}
    expected = by_hand(folder / "pairs.txt", 1)
    assert [pair[:3] for pair in named(protocol)] == expected
    photos = {name for pair in expected for name in pair[:2]}
    assert len(protocol.samples) == len(photos) == 7701
    assert int(protocol.samples.subjects.max()) + 1 == len({name.split("/")[0] for name in photos})
    subjects = protocol.samples.subjects
    assert np.array_equal(subjects[protocol.probe] == subjects[protocol.reference], protocol.mated)


@pytest.mark.real_data
@pytest.mark.parametrize(("part", "pairs", "photos"), [("test", 1000, 1549), ("train", 2200, 3443)])
def test_view_1_of_lfw_has_the_published_size(
    real_file: Callable[[str], Path], part: str, pairs: int, photos: int
) -> None:
    folder = real_file("data/lfw")
    protocol = read_lfw_view1(folder, part=part)
    assert (len(protocol), int(protocol.mated.sum()), protocol.folds) == (pairs, pairs // 2, 1)
    assert len(protocol.samples) == photos
    assert [pair[:3] for pair in named(protocol)] == by_hand(folder / f"pairsDev{part.title()}.txt", 1)


# Groups


def test_every_pair_of_rfw_has_its_group_and_its_fold_within_it(tmp_path: Path) -> None:
    protocol = read_rfw(grouped(tmp_path).folder)
    assert (len(protocol), protocol.folds) == (160, 10)
    assert protocol.groups["ethnicity"].tolist() == [race for race in RACES for _ in range(40)]
    assert protocol.fold.tolist() == [fold for _ in RACES for fold in range(10) for _ in range(4)]
    assert named(protocol)[40] == ("Asian/Ann_0/Ann_0_0001.jpg", "Asian/Ann_0/Ann_0_0002.jpg", True, 0)


def test_people_of_one_name_in_two_groups_are_two(tmp_path: Path) -> None:
    samples = read_rfw(grouped(tmp_path).folder).samples
    assert samples.subjects_known
    assert len(set(samples.subjects.tolist())) == 4 * 20


def test_folds_are_the_same_where_all_mated_lines_stand_first(tmp_path: Path) -> None:
    made = grouped(tmp_path)
    fold_of = {pair[:2]: pair[3] for pair in named(read_rfw(made.folder))}
    for race in RACES:
        lines = sorted(lfw_lines(), key=lambda line: line.count("\t"))
        write(tmp_path / "txts" / race / f"{race}_pairs.txt", lines)
    moved = read_rfw(made.folder)
    assert moved.mated.tolist() == ([True] * 20 + [False] * 20) * 4
    assert {pair[:2]: pair[3] for pair in named(moved)} == fold_of


@pytest.mark.parametrize("home", ["test", "images/test"])
def test_the_owners_folders_around_the_set_are_found(tmp_path: Path, home: str) -> None:
    grouped(tmp_path / home)
    assert len(read_rfw(tmp_path)) == 160


def test_rfw_needs_its_four_groups_and_others_read_what_is_there(tmp_path: Path) -> None:
    grouped(tmp_path, ["North", "African"])
    with pytest.raises(InvalidProtocol, match="Asian_pairs"):
        read_rfw(tmp_path)
    protocol = read_grouped(tmp_path)
    assert protocol.name == "grouped"
    assert list(dict.fromkeys(protocol.groups["ethnicity"].tolist())) == ["African", "North"]


def test_a_folder_without_group_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProtocol, match="has no list txts/GROUP"):
        read_grouped(tmp_path)


@pytest.mark.parametrize("kind", [3, 4])
def test_a_group_that_cannot_be_ten_folds_is_refused(tmp_path: Path, kind: int) -> None:
    made = grouped(tmp_path)
    lines = lfw_lines()
    lines.remove(next(line for line in lines if len(line.split()) == kind))
    write(made.list, lines)
    told = "19 mated" if kind == 3 else "19 non-mated"
    assert f"{told} pairs cannot be 10 folds" in refusal(read_rfw, made, None)
    write(made.list, [line for line in lines if len(line.split()) != kind])
    assert "0 " in refusal(read_rfw, made, None)


def test_a_pair_is_named_in_its_own_list(tmp_path: Path) -> None:
    made = grouped(tmp_path)
    indian = tmp_path / "txts/Indian/Indian_pairs.txt"
    edit(indian, 2, "Ann_0\t1\t2")
    with pytest.raises(
        InvalidProtocol, match=r"Indian_pairs\.txt, line 2: the pair of line 1 stands here again"
    ) as caught:
        read_rfw(made.folder)
    assert caught.value.details == {"path": str(indian), "line": 2}


def test_the_hash_of_several_lists_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    made = grouped(tmp_path)
    hashes = ""
    for race in RACES:
        content = (tmp_path / "txts" / race / f"{race}_pairs.txt").read_bytes()
        hashes += f"{hashlib.sha256(content).hexdigest()}  {race}_pairs.txt\n"
    assert read_rfw(made.folder).sha256 == hashlib.sha256(hashes.encode()).hexdigest()


# Masked faces


def test_a_masked_list_without_header_has_no_folds(tmp_path: Path) -> None:
    protocol = read_masked(masked(tmp_path).folder)
    assert (protocol.name, len(protocol), protocol.folds) == ("masked", 40, 1)
    assert named(protocol)[2] == ("Ann_0/Ann_0_0001.png", "Bob_0/Bob_0_0001.png", False, 0)
    assert protocol.samples.subjects_known


def test_a_masked_list_with_lfws_header_has_its_folds(tmp_path: Path) -> None:
    protocol = read_masked(lfw(tmp_path).folder)
    assert protocol.folds == 10
    assert named(protocol) == named(read_lfw(tmp_path))


def test_endings_may_differ_from_photo_to_photo_but_not_for_one(tmp_path: Path) -> None:
    made = masked(tmp_path)
    made.photo.rename(made.photo.with_suffix(".jpeg"))
    assert named(read_masked(made.folder))[0][0] == "Ann_0/Ann_0_0001.jpeg"
    touch(made.folder, ["Ann_0/Ann_0_0002.jpg"])
    assert "are both there" in refusal(read_masked, made, 1)


def test_a_wrong_header_is_no_pair(tmp_path: Path) -> None:
    made = masked(tmp_path)
    edit(made.list, 1, "10 7")
    assert "the header promises" in refusal(read_masked, made, 1)
