from __future__ import annotations

import io
import pickle
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xcos.errors import InputRefused, InvalidArgument
from xcos.training.data.folder import read_folder
from xcos.training.data.records import RecordFile, read_records, write_records

MAGIC = 0xCED7230A


def photo(level: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), level, np.uint8)).save(file, kind)
    return file.getvalue()


# The format as dmlc-core's recordio.h and mxnet's recordio.py describe it, assembled by hand.
def part(data: bytes, flag: int = 0, magic: int = MAGIC) -> bytes:
    return struct.pack("<II", magic, flag << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def one_label(label: float, content: bytes, number: int = 0) -> bytes:
    return struct.pack("<IfQQ", 0, label, number, 0) + content


def labels(values: list[float], content: bytes = b"") -> bytes:
    return struct.pack("<IfQQ", len(values), 0, 0, 0) + struct.pack(f"<{len(values)}f", *values) + content


def store(folder: Path, records: list[bytes], *, numbers: list[int] | None = None) -> Path:
    """Writes whole records and their index."""
    offsets = np.cumsum([0, *map(len, records)]).tolist()
    lines = [f"{number}\t{offset}\n" for number, offset in zip(numbers or range(len(records)), offsets, strict=False)]
    (folder / "train.rec").write_bytes(b"".join(records))
    (folder / "train.idx").write_text("".join(lines))
    return folder / "train.rec"


def insightface(people: list[list[bytes]], *, first_label: int = 0) -> list[bytes]:
    """Records of InsightFace's layout: header, photos, identities."""
    photos = [part(one_label(first_label + who, each)) for who, own in enumerate(people) for each in own]
    edges = np.cumsum([1, *map(len, people)]).tolist()
    ranges = [part(labels([start, stop])) for start, stop in pairwise(edges)]
    return [part(labels([len(photos) + 1, len(photos) + 1 + len(people)])), *photos, *ranges]


THREE = [[photo(10), photo(11)], [photo(20)], [photo(30), photo(31, "JPEG"), photo(32)]]


def test_insightfaces_layout_gives_its_photos_and_labels(tmp_path: Path) -> None:
    identities = read_records(store(tmp_path, insightface(THREE, first_label=7)))
    assert identities.names == ("7", "8", "9")
    assert identities.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert [int(identities.read(at)[0, 0, 0]) for at in range(6)] == [10, 11, 20, 30, 31, 32]
    assert [identities.encoded(at) for at in range(6)] == [each for own in THREE for each in own]
    assert identities.size == (4, 6)


def test_people_with_too_few_photos_are_left_out(tmp_path: Path) -> None:
    identities = read_records(store(tmp_path, insightface(THREE)), least=2)
    assert identities.names == ("0", "2")
    assert [int(identities.read(at)[0, 0, 0]) for at in range(5)] == [10, 11, 30, 31, 32]


def test_records_without_a_range_record_are_all_photos(tmp_path: Path) -> None:
    records = [part(one_label(label, photo(level))) for label, level in [(5, 1), (3, 2), (5, 3)]]
    identities = read_records(store(tmp_path, records, numbers=[2, 0, 9]))
    assert identities.names == ("3", "5")
    assert [int(identities.read(at)[0, 0, 0]) for at in range(3)] == [2, 1, 3]
    assert identities.labels.tolist() == [0, 1, 1]


def test_a_photos_first_label_is_its_person(tmp_path: Path) -> None:
    records = [part(labels([label, 0.5, 99], photo(level))) for label, level in [(0, 1), (1, 2)]]
    identities = read_records(store(tmp_path, records))
    assert identities.labels.tolist() == [0, 1]
    assert int(identities.read(1)[0, 0, 0]) == 2


def test_where_identity_records_leave_gaps_every_photos_own_label_counts(tmp_path: Path) -> None:
    records = insightface(THREE)
    records[-1] = part(labels([5, 7]))  # the third person's first photo belongs to no range
    identities = read_records(store(tmp_path, records))
    assert identities.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert int(identities.read(3)[0, 0, 0]) == 30


def test_a_photo_with_another_label_than_its_range_says_is_refused(tmp_path: Path) -> None:
    records = insightface(THREE)
    records[5] = part(one_label(1, photo(31)))
    identities = read_records(store(tmp_path, records))
    with pytest.raises(InvalidArgument, match=r"record 5 .* label 1 .* person 2"):
        identities.read(4)


@pytest.mark.parametrize("length", range(5))
def test_data_of_any_length_come_back_without_their_padding(tmp_path: Path, length: int) -> None:
    record = RecordFile(store(tmp_path, [part(one_label(3, b"abcd"[:length])), part(one_label(4, b"end"))])).read
    assert (record(0).labels, record(0).content) == ((3.0,), b"abcd"[:length])
    assert (record(1).labels, record(1).content) == ((4.0,), b"end")


def test_parts_are_joined_by_the_magic_number_that_stood_between_them(tmp_path: Path) -> None:
    head = one_label(1, b"")
    parts = part(head + b"aaaa", 1) + part(b"", 2) + part(b"bbbb", 2) + part(b"cc", 3)
    magic = struct.pack("<I", MAGIC)
    file = RecordFile(store(tmp_path, [parts, part(one_label(2, b"next"))]))
    assert file.read(0).content == b"aaaa" + magic + magic + b"bbbb" + magic + b"cc"
    assert file.read(1).content == b"next"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (part(b"x" * 30, magic=0x3ED7230A), "begins with 0a23d73e instead of the magic number 0a23d7ce"),
        (part(b"x" * 30, 3), r"has a part with the flag 3 where one of \(0, 1\) must stand"),
        (part(b"x" * 24, 1) + part(b"x", 1), r"has a part with the flag 1 where one of \(2, 3\)"),
        (part(b"x" * 24, 1), "needs a head of 8 bytes; the file ends at 32"),
        (part(b"x" * 20), "has 20 bytes, less than its header of 24"),
        (part(struct.pack("<IfQQ", 9, 0, 0, 0) + b"x" * 35), "has 59 bytes, less than the 9 labels it claims need"),
        (part(b"x" * 40)[:-4], "claims 40 bytes; the file ends at 44"),
        (part(one_label(0.5, photo(0))), r"has the labels \(0.5,\); 1 whole numbers must"),
        (part(one_label(-1, photo(0))), "has the labels"),
        (part(one_label(float("nan"), photo(0))), "has the labels"),
        (part(one_label(float("inf"), photo(0))), "has the labels"),
    ],
)
def test_a_broken_record_is_refused_with_its_number_and_place(tmp_path: Path, record: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument, match=f"record 0 of .*, at byte [0-9]+, {said}") as caught:
        read_records(store(tmp_path, [record]))
    assert caught.value.details["record"] == 0
    assert isinstance(caught.value.details["offset"], int)


def test_a_range_record_without_its_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"record 0 .* has the labels \(7.0,\); 2 whole numbers must stand there"):
        read_records(store(tmp_path, [part(labels([7])), part(one_label(0, photo(0)))]))


def test_a_truncated_file_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    path = store(tmp_path, insightface(THREE))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InvalidArgument, match=r"record 3 .* cannot begin there in a file of 200 bytes: truncated"):
        read_records(path)


def test_a_file_cut_within_its_last_record_is_noticed(tmp_path: Path) -> None:
    records = [part(one_label(label, photo(label))) for label in range(3)]
    path = store(tmp_path, records)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InvalidArgument, match=r"record 2 .* claims [0-9]+ bytes; the file ends at") as caught:
        read_records(path)
    assert caught.value.details["record"] == 2


@pytest.mark.parametrize("offset", [-4, 2, 10**6, 4_000_000_000_000])
def test_an_index_that_points_outside_is_refused(tmp_path: Path, offset: int) -> None:
    path = store(tmp_path, insightface(THREE))
    lines = path.with_suffix(".idx").read_text().splitlines()
    path.with_suffix(".idx").write_text("\n".join([*lines[:4], f"4\t{offset}", *lines[5:]]))
    with pytest.raises(InvalidArgument, match=f"record 4 .*, at byte {offset}, cannot begin there") as caught:
        read_records(path)
    assert (caught.value.details["record"], caught.value.details["offset"]) == (4, offset)


@pytest.mark.parametrize(
    "index", ["", "0 0\n", "0\t0\t1\n", "0\tx\n", "0\t0\n1\n", "0\t0\n0\t4\n", "0\t1.5\n", "\xe9\t0\n"]
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: str) -> None:
    path = store(tmp_path, insightface(THREE))
    path.with_suffix(".idx").write_bytes(index.encode("latin-1"))
    with pytest.raises(InvalidArgument, match=r"train\.idx"):
        read_records(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    path = store(tmp_path, insightface(THREE))
    path.unlink()
    with pytest.raises(InvalidArgument, match=r"train\.rec: No such file"):
        read_records(path)
    path.with_suffix(".idx").unlink()
    with pytest.raises(InvalidArgument, match=r"train\.idx: .*No such file"):
        read_records(path)


def test_an_identity_record_that_the_index_lacks_is_named(tmp_path: Path) -> None:
    path = store(tmp_path, insightface(THREE))
    lines = path.with_suffix(".idx").read_text().splitlines()
    path.with_suffix(".idx").write_text("\n".join(lines[:-1]))
    with pytest.raises(InvalidArgument, match="does not name 9"):
        read_records(path)


def test_a_record_that_holds_no_image_is_refused_when_read(tmp_path: Path) -> None:
    identities = read_records(store(tmp_path, insightface([[photo(1)], [b"no image"]])))
    with pytest.raises(InputRefused, match=r"record 2 of .*train\.rec"):
        identities.read(1)


def folder_of_people(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("c/1.png", "a/1.png", "a/2.jpg", "b/1.png", "b/2.png", "b/3.png"):
        path = folder / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).save(path)
    return folder / "people"


def test_what_is_written_is_read_again_byte_for_byte(tmp_path: Path) -> None:
    identities = read_folder(folder_of_people(tmp_path))
    write_records(identities, tmp_path / "new.rec")
    again = read_records(tmp_path / "new.rec")
    assert again.labels.tolist() == identities.labels.tolist()
    assert again.names == ("0", "1", "2")
    assert [again.encoded(at) for at in range(6)] == [identities.encoded(at) for at in range(6)]


def test_a_written_file_is_what_the_format_says(tmp_path: Path) -> None:
    identities = read_folder(folder_of_people(tmp_path))
    write_records(identities, tmp_path / "new.rec")
    contents = [identities.encoded(at) for at in range(6)]
    numbered = [part(one_label(label, contents[at], at + 1)) for at, label in enumerate([0, 0, 1, 1, 1, 2])]
    ranges = [(0, (7, 10)), *zip((7, 8, 9), ((1, 3), (3, 6), (6, 7)), strict=True)]
    heads = {
        number: part(struct.pack("<IfQQ", 2, 0, number, 0) + struct.pack("<2f", *bounds)) for number, bounds in ranges
    }
    records = [heads[0], *numbered, heads[7], heads[8], heads[9]]
    assert (tmp_path / "new.rec").read_bytes() == b"".join(records)
    offsets = np.cumsum([0, *map(len, records)])[:-1]
    wanted = "".join(f"{number}\t{offset}\n" for number, offset in enumerate(offsets))
    assert (tmp_path / "new.idx").read_text() == wanted


def test_data_with_the_magic_number_are_written_in_parts(tmp_path: Path) -> None:
    # Behind a PNG's end any bytes may stand: here the magic number, at a multiple of 4 bytes and at another place.
    magic, plain = struct.pack("<I", MAGIC), photo(1)
    aligned = plain + b"\0" * (-len(plain) % 4) + magic + b"abc" + magic
    for name, content in (("a/1.png", aligned), ("b/1.png", plain)):
        (tmp_path / "people" / name).parent.mkdir(parents=True)
        (tmp_path / "people" / name).write_bytes(content)
    write_records(read_folder(tmp_path / "people"), tmp_path / "new.rec")
    assert read_records(tmp_path / "new.rec").encoded(0) == aligned
    written = (tmp_path / "new.rec").read_bytes()
    head = one_label(0, b"", 1)
    cut = aligned.index(magic)
    assert part(head + aligned[:cut], 1) + part(aligned[cut + 4 :], 3) in written


def test_writing_replaces_nothing_and_copies_no_broken_photo(tmp_path: Path) -> None:
    people = folder_of_people(tmp_path)
    identities = read_folder(people)
    (tmp_path / "old.idx").write_text("")
    for name in ("old.rec", "new.bin"):
        with pytest.raises(InvalidArgument, match=r"must end in \.rec and be new"):
            write_records(identities, tmp_path / name)
    (people / "c" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputRefused, match=r"c/1\.png"):
        write_records(identities, tmp_path / "new.rec")
    assert not (tmp_path / "new.idx").exists()


def test_records_go_to_another_process(tmp_path: Path) -> None:
    identities = read_records(store(tmp_path, insightface(THREE)))
    first = identities.read(0)
    content = pickle.dumps(identities)
    assert len(content) < 5000
    np.testing.assert_array_equal(pickle.loads(content).read(0), first)
