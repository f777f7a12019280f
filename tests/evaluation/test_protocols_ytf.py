from __future__ import annotations

from pathlib import Path

import pytest
from protocol_sets import edit, ytf

from xcos.errors import InvalidProtocol
from xcos.evaluation.protocols.ytf import read_ytf, read_ytf_corrected


def refusal(folder: Path, line: int | None) -> str:
    with pytest.raises(InvalidProtocol) as caught:
        read_ytf(folder)
    assert caught.value.details["line"] == line
    return caught.value.message


def test_a_sample_is_a_video_whose_frames_are_one_medium_in_their_order(tmp_path: Path) -> None:
    protocol = read_ytf(ytf(tmp_path).folder)
    samples = protocol.samples
    assert (len(protocol), len(samples), len(samples.photos)) == (20, 30, 10 + 30 * 2)
    (first,) = samples.sources[0].media
    names = [samples.photos[photo].name for photo in first]
    assert names == [f"Ann_0/0/0.{frame}.jpg" for frame in range(1, 13)]  # not 1, 10, 11, 12, 2
    assert all(len(source.media) == 1 for source in samples.sources)
    assert samples.photos[0].source == tmp_path / "frame_images_DB" / names[0]
    assert sorted(photo for source in samples.sources for photo in source.photos) == list(range(70))


def test_pairs_and_folds_by_hand(tmp_path: Path) -> None:
    protocol = read_ytf(ytf(tmp_path).folder)
    assert protocol.mated.tolist() == [True, False] * 10
    assert protocol.fold.tolist() == [fold for fold in range(10) for _ in range(2)]
    assert protocol.probe[:4].tolist() == [0, 1, 3, 4]
    assert protocol.reference[:4].tolist() == [1, 2, 4, 5]
    assert protocol.samples.subjects[:4].tolist() == [0, 0, 1, 2]
    assert protocol.samples.subjects_known


def test_the_aligned_frames_are_preferred(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    (made.folder / "frame_images_DB").rename(made.folder / "aligned_images_DB")
    (made.folder / "frame_images_DB").mkdir()
    source = read_ytf(made.folder).samples.photos[0].source
    assert isinstance(source, Path)
    assert source.parent == tmp_path / "aligned_images_DB/Ann_0/0"


def test_a_header_may_be_missing(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    edit(made.list, 1, None)
    assert len(read_ytf(made.folder)) == 20


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    made.list.write_text(made.list.read_text().splitlines()[0] + "\n")
    assert "no pair below the header" in refusal(tmp_path, 1)


def test_corrected_labels_stand_in_the_last_column_and_may_contradict_names(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    lines = made.list.read_text().splitlines()
    lines = [lines[0], *(f"{line}, {line[-1]}" for line in lines[1:])]
    lines[1] = lines[1][:-1] + "0"  # two videos of one name that do not show one person
    (made.folder / "splits_corrected.txt").write_text("\n".join(lines))
    protocol = read_ytf_corrected(made.folder)
    assert (protocol.name, protocol.mated[0], protocol.samples.subjects_known) == ("ytf-corrected", False, False)
    assert read_ytf(made.folder).mated[0]
    (made.folder / "splits_corrected.txt").write_text("\n".join(lines).replace(", 1, 0", ", 1, 1"))
    assert read_ytf_corrected(made.folder).samples.subjects_known


def test_names_that_contradict_the_label_are_refused_in_the_original_list(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    edit(made.list, 3, "1, 2, Ann_0/1, Bob_0/3, 1")
    assert "mated, but names two people, Ann_0 and Bob_0" in refusal(tmp_path, 3)


@pytest.mark.parametrize(
    "line",
    [
        "1, 1, Ann_0/0, Ann_0/1",
        "1, 1, Ann_0/0, Ann_0/1, 1, 1, 1",
        "1, 1, Ann_0/0, Ann_0/1, 2",
        "1, 1, Ann_0/0, Ann_0/1, yes",
        "x, 1, Ann_0/0, Ann_0/1, 1",
        "0, 1, Ann_0/0, Ann_0/1, 1",
        "1, x, Ann_0/0, Ann_0/1, 1",
        "1, 1, Ann_0, Ann_0/1, 1",
        "1, 1, , Ann_0/1, 1",
        "1 1 Ann_0/0 Ann_0/1 1",
    ],
)
def test_a_line_of_another_form_is_refused(tmp_path: Path, line: str) -> None:
    made = ytf(tmp_path)
    edit(made.list, 2, line)
    refusal(tmp_path, 2)


@pytest.mark.parametrize("split", [2, 11])
def test_splits_that_are_not_ten_of_equal_size_are_refused(tmp_path: Path, split: int) -> None:
    made = ytf(tmp_path)
    edit(made.list, 2, f"{split}, 1, Ann_0/0, Ann_0/1, 1")
    assert "10 splits of equal size" in refusal(tmp_path, None)


def test_a_video_without_frames_is_missing(tmp_path: Path) -> None:
    made = ytf(tmp_path)
    for frame in (tmp_path / "frame_images_DB/Ann_3/1").iterdir():
        frame.rename(frame.with_suffix(".txt"))
    assert "no frames of Ann_3/1" in refusal(tmp_path, 8)
    assert made.photo.is_dir()
