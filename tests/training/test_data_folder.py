from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xcos.errors import CorruptImage, InvalidArgument, InvalidPixels, UnreadableSource, UnsupportedFormat
from xcos.training.data.folder import read_folder, read_lfw_people, read_list
from xcos.training.data.identities import Identities

LFW = Path(__file__).resolve().parents[3] / "shared" / "data" / "lfw"


def write(path: Path, level: int, *, size: tuple[int, int] = (4, 6)) -> None:
    """A photo of one gray level; size is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for level, name in enumerate(["zoe/b.png", "zoe/a.png", "ann/2.png", "ann/10.png", "bob/x.PNG"]):
        write(tmp_path / name, level)
    return tmp_path


def levels(identities: Identities) -> list[tuple[str, int]]:
    """Name and gray level of each photo."""
    return [
        (identities.names[label], int(identities.read(at)[0, 0, 0]))
        for at, label in enumerate(identities.labels.tolist())
    ]


def test_people_and_photos_come_in_the_order_of_their_names(people: Path) -> None:
    identities = read_folder(people)
    assert identities.names == ("ann", "bob", "zoe")
    assert identities.labels.tolist() == [0, 0, 1, 2, 2]
    assert identities.labels.dtype == np.int64
    assert levels(identities) == [("ann", 3), ("ann", 2), ("bob", 4), ("zoe", 1), ("zoe", 0)]
    assert len(identities) == 5


def test_a_photo_is_read_as_rgb_of_the_size_of_all(people: Path) -> None:
    identities = read_folder(people)
    pixels = identities.read(0)
    assert identities.size == (4, 6)
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8


def test_people_with_too_few_photos_are_left_out_and_the_others_numbered_anew(people: Path) -> None:
    identities = read_folder(people, least=2)
    assert identities.names == ("ann", "zoe")
    assert identities.labels.tolist() == [0, 0, 1, 1]
    assert levels(identities) == [("ann", 3), ("ann", 2), ("zoe", 1), ("zoe", 0)]


def test_hidden_files_and_folders_are_ignored(people: Path) -> None:
    (people / ".cache").mkdir()
    (people / ".DS_Store").write_bytes(b"x")
    (people / "ann" / ".thumbnail").write_bytes(b"x")
    assert len(read_folder(people)) == 5


def test_identities_go_to_another_process(people: Path) -> None:
    identities = pickle.loads(pickle.dumps(read_folder(people)))
    assert levels(identities) == levels(read_folder(people))


def remove(root: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(root / name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "ann" / "notes.txt").write_text("x"), r"notes\.txt is no image file"),
        (lambda root: (root / "ann" / "more.png").mkdir(), r"more\.png is no image file"),
        (lambda root: (root / "photos.txt").write_text("x"), r"photos\.txt lies beside"),
        (lambda root: (root / "eve").mkdir(), "eve holds no photo"),
        (lambda root: remove(root, "ann", "zoe"), "1 photos of 1 people"),
        (lambda root: remove(root, "ann", "zoe", "bob"), "0 photos of 0 people"),
        (shutil.rmtree, "cannot read the folder .*No such file"),
    ],
    ids=["no image", "folder within", "file beside", "empty person", "one person", "nobody", "absent"],
)
def test_a_folder_that_is_no_folder_of_people_is_refused(
    people: Path, change: Callable[[Path], None], said: str
) -> None:
    change(people)
    with pytest.raises(InvalidArgument, match=said):
        read_folder(people)


def test_too_few_people_with_enough_photos_are_refused_saying_what_there_is(people: Path) -> None:
    with pytest.raises(InvalidArgument, match="5 photos of 3 people, 0 of them with at least 3"):
        read_folder(people, least=3)
    with pytest.raises(InvalidArgument, match="1 or more, got 0"):
        read_folder(people, least=0)


def test_errors_of_reading_name_the_photo(people: Path) -> None:
    identities = read_folder(people)
    write(people / "ann" / "2.png", 0, size=(6, 4))
    with pytest.raises(InvalidPixels, match=r"ann/2\.png has 4 × 6 pixels and the others 6 × 4"):
        identities.read(1)
    (people / "bob" / "x.PNG").write_text("hello")
    with pytest.raises(UnsupportedFormat, match=r"bob/x\.PNG"):
        identities.read(2)
    whole = (people / "zoe" / "a.png").read_bytes()
    (people / "zoe" / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptImage, match=r"zoe/a\.png"):
        identities.read(3)
    (people / "zoe" / "b.png").unlink()
    with pytest.raises(UnreadableSource, match=r"zoe/b\.png"):
        identities.read(4)


def test_a_list_names_the_person_of_each_photo(people: Path) -> None:
    (people / "photos.txt").write_text("Zoë Z.\tzoe/b.png\nann\tann/2.png\n\nZoë Z.\tbob/x.PNG\r\n", "utf-8")
    identities = read_list(people / "photos.txt")
    assert levels(identities) == [("Zoë Z.", 0), ("Zoë Z.", 4), ("ann", 2)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("ann\tann/2.png\nbob x\n", "line 2 .* must be person<TAB>relative path, got 'bob x'"),
        ("ann\t\n", "line 1"),
        ("\tann/2.png\n", "line 1"),
        ("ann\t/ann/2.png\n", "line 1"),
        ("ann\tann/2.png\nbob\tann/2.png\n", r"lists ann/2\.png twice"),
        ("ann\tann/3.png\nbob\tbob/x.PNG\n", r"ann/3\.png is no image file"),
        ("ann\tann/2.png\nann\tann/10.png\n", "2 photos of 1 people"),
        ("", "0 photos of 0 people"),
        ("\udcff", "cannot read the list"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(people: Path, lines: str, said: str) -> None:
    (people / "photos.txt").write_bytes(lines.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArgument, match=said):
        read_list(people / "photos.txt")


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    for name in ("A_B_0001", "A_B_0002", "A_B_0003", "C_0001"):
        write(tmp_path / "images" / name[:-5] / f"{name}.png", len(name))
    return tmp_path


def test_an_lfw_list_takes_the_first_photos_of_each_person(lfw: Path) -> None:
    (lfw / "people.txt").write_text("2\nC\t1\nA_B\t2\n")
    identities = read_lfw_people(lfw / "images", lfw / "people.txt")
    assert identities.names == ("A_B", "C")
    assert identities.labels.tolist() == [0, 0, 1]


def test_absent_photos_of_an_lfw_list_are_allowed_only_by_number(lfw: Path) -> None:
    (lfw / "people.txt").write_text("3\nC\t3\nA_B\t2\nNobody\t1\n")
    with pytest.raises(InvalidArgument, match=r"lacks 3 photos .* C_0002; at most missing=2"):
        read_lfw_people(lfw / "images", lfw / "people.txt", missing=2)
    assert len(read_lfw_people(lfw / "images", lfw / "people.txt", missing=3)) == 3


@pytest.mark.parametrize("lines", ["2\nC\t1\n", "1\nC\t1\nA_B\t2\n", "C\t1\n", "1\nC\t1\tx\n", "2\nC\t1\nC\t1\n", ""])
def test_a_list_that_is_not_lfws_is_refused(lfw: Path, lines: str) -> None:
    (lfw / "people.txt").write_text(lines)
    with pytest.raises(InvalidArgument, match="number of people"):
        read_lfw_people(lfw / "images", lfw / "people.txt")


@pytest.mark.real_data
def test_lfws_training_split_has_its_published_size() -> None:
    if not LFW.is_dir():
        pytest.skip("real data absent: ../shared/data/lfw does not lie beside the repository")
    identities = read_lfw_people(LFW / "images", LFW / "peopleDevTrain.txt")
    assert (len(identities), len(identities.names)) == (9525, 4038)
    with pytest.raises(InvalidArgument, match="ten folds"):
        read_lfw_people(LFW / "images", LFW / "people.txt")


def test_identities_number_people_from_zero_without_gaps(people: Path) -> None:
    photos = read_folder(people).photos
    places = np.arange(2)
    for labels, names in (([0, 2], ("a", "b")), ([0, 0], ("a",)), ([0, 1], ("a", "b", "c")), ([-1, 0], ("a", "b"))):
        with pytest.raises(InvalidArgument, match="labels must be 0 … people − 1"):
            Identities(np.array(labels, np.int64), names, photos, places, (4, 6))
    with pytest.raises(InvalidArgument, match=r"\(n,\) int64"):
        Identities(np.zeros((2, 1), np.int64), ("a", "b"), photos, places, (4, 6))
