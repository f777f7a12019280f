"""What every reader of a list promises, whatever its form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from protocol_sets import LISTED, Made, edit

from xcos.errors import InvalidArgument, InvalidProtocol
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import OWNERS, READERS, VERIFICATION, read_protocol

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=sorted(LISTED))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(name: str, tmp_path: Path) -> Made:
    return LISTED[name](tmp_path)


def read(name: str, made: Made) -> VerificationProtocol:
    protocol = read_protocol(name, made.folder)
    assert isinstance(protocol, VerificationProtocol)
    return protocol


def refused(name: str, made: Made, said: str = ".") -> InvalidProtocol:
    """The error of reading, which writes nothing."""
    before = snapshot(made)
    with pytest.raises(InvalidProtocol, match=said) as caught:
        read_protocol(name, made.folder)
    assert snapshot(made) == before
    assert caught.value.code == "invalid_protocol"
    json.dumps(caught.value.to_dict())
    return caught.value


def snapshot(made: Made) -> dict[str, bytes]:
    root = made.folder if made.folder.is_dir() else made.folder.parent
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def same(one: VerificationProtocol, other: VerificationProtocol) -> bool:
    """But for the hash, which is of the bytes."""
    columns = ("probe", "reference", "mated", "fold")
    return all(np.array_equal(getattr(one, each), getattr(other, each)) for each in columns) and (
        [(photo.name, photo.source) for photo in one.samples.photos]
        == [(photo.name, photo.source) for photo in other.samples.photos]
    )


def test_a_whole_set_is_read_and_its_photos_lie_where_it_says(name: str, made: Made) -> None:
    protocol = read(name, made)
    assert protocol.name == name
    assert protocol.mated.any()
    assert not protocol.mated.all()
    sources = [photo.source for photo in protocol.samples.photos]
    assert all(isinstance(source, Path) and source.is_file() for source in sources)
    assert made.photo in sources or made.photo in {source.parent for source in sources if isinstance(source, Path)}


def test_a_byte_order_mark_and_windows_line_ends_change_nothing_but_the_hash(name: str, made: Made) -> None:
    plain = read(name, made)
    made.list.write_bytes(b"\xef\xbb\xbf" + made.list.read_bytes().replace(b"\n", b"\r\n"))
    windows = read(name, made)
    assert same(plain, windows)
    assert plain.sha256 != windows.sha256
    assert re.fullmatch("[0-9a-f]{64}", plain.sha256)


def test_blank_lines_at_the_end_and_a_missing_last_line_feed_change_nothing(name: str, made: Made) -> None:
    plain = read(name, made)
    content = made.list.read_bytes()
    for ending in (b"", b"\n\n\r\n\n"):
        made.list.write_bytes(content.rstrip(b"\n") + ending)
        assert same(read(name, made), plain)


@pytest.mark.parametrize("byte", [b"\0", b"\x1b", b"\x7f", b"\xff", b"\xed\xa0\x80", b"\r"])
def test_a_byte_that_is_no_text_is_refused_with_its_line(name: str, made: Made, byte: bytes) -> None:
    lines = made.list.read_bytes().split(b"\n")
    lines[1] = lines[1][:1] + byte + lines[1][1:]
    made.list.write_bytes(b"\n".join(lines))
    error = refused(name, made)
    assert error.details["path"] == str(made.list)
    assert (error.details["line"], "line 2" in error.message) == (2, True)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\r\n"], ids=["empty", "blank", "mark", "CRLF"])
def test_a_list_without_lines_is_refused(name: str, made: Made, content: bytes) -> None:
    made.list.write_bytes(content)
    assert refused(name, made).details["line"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(range(256)) * 4,
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        "probe,reference,mated\na.jpg,b.jpg,1\n".encode("utf-16"),
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n(S'touch ran'\ntR.",
    ],
    ids=["JPEG", "PNG", "UTF-16", "pickle"],
)
def test_a_file_of_another_kind_is_refused(
    name: str, made: Made, content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    made.list.write_bytes(content)
    assert refused(name, made).details["line"] in (1, 2, 3)
    assert not (tmp_path / "ran").exists()


def test_a_missing_list_is_told_where_its_owner_publishes_it(name: str, made: Made) -> None:
    made.list.unlink()
    if name == "grouped":
        return  # any group with a list is read, and three are left
    error = refused(name, made)
    assert error.details["line"] is None
    if name in OWNERS:
        assert OWNERS[name].page in error.message
        assert "terms" in error.message
        assert "nothing is downloaded" in error.message


def test_a_list_that_is_a_folder_is_refused(name: str, made: Made) -> None:
    made.list.unlink()
    made.list.mkdir()
    if name != "grouped":
        refused(name, made)


def test_a_missing_photo_is_refused_with_its_first_line_and_how_many_are_missing(name: str, made: Made) -> None:
    count = len(read(name, made).samples)
    for each in made.photo.iterdir() if made.photo.is_dir() else [made.photo]:
        each.unlink()
    error = refused(name, made, "1 of [0-9]+ (photos|videos) are missing")
    first = {"lfw": 2, "lfw-view1": 2, "ytf": 2, "csv": 2}.get(name, 1)
    assert error.details["missing"] == 1
    assert error.details["line"] == first
    if not name.startswith("ijb"):  # there a sample has several photos
        assert f"1 of {count} " in error.message


def test_all_missing_photos_are_counted(name: str, made: Made) -> None:
    photos = read(name, made).samples.photos
    for photo in photos:
        assert isinstance(photo.source, Path)
        photo.source.unlink()
    missing = refused(name, made).details["missing"]
    assert missing == (30 if name == "ytf" else len(photos))


def test_without_its_photos_a_set_is_the_same_where_nobody_will_look_at_them(name: str, made: Made) -> None:
    plain = read(name, made)
    for photo in plain.samples.photos:
        assert isinstance(photo.source, Path)
        photo.source.unlink()
    bare = read_protocol(name, made.folder, with_photos=False)
    assert isinstance(bare, VerificationProtocol)
    for column in ("probe", "reference", "mated", "fold"):
        assert np.array_equal(getattr(plain, column), getattr(bare, column))
    names, told = ([each.samples.name(at) for at in range(len(each.samples))] for each in (plain, bare))
    if name == "masked":  # its list does not say how the files end
        names = [each.replace(".png", ".jpg") for each in names]
    assert told == names
    assert np.array_equal(plain.samples.subjects, bare.samples.subjects)
    assert (plain.sha256, plain.samples.subjects_known) == (bare.sha256, bare.samples.subjects_known)


def only(name: str, made: Made, *, mated: bool) -> None:
    """Leaves pairs of one kind in the lists, where their form allows that."""
    if name.startswith("ijb"):
        lines = [line for line in made.list.read_text().splitlines() if line.endswith("1" if mated else "0")]
        made.list.write_text("\n".join(lines) + "\n")
    elif name in ("csv", "ytf"):
        text = made.list.read_text()
        one, other = ("0", "1") if mated else ("1", "0")
        made.list.write_text(re.sub(rf"{one}$", other, text, flags=re.M))
    elif name == "masked":
        fields = 3 if mated else 4
        made.list.write_text(
            "".join(f"{line}\n" for line in made.list.read_text().splitlines() if len(line.split()) == fields)
        )


@pytest.mark.parametrize("mated", [True, False])
@pytest.mark.parametrize("name", ["csv", "ijbb", "ijbc", "masked"], scope="function")
def test_a_list_of_one_kind_of_pair_only_is_refused(name: str, tmp_path: Path, mated: bool) -> None:
    made = LISTED[name](tmp_path)
    only(name, made, mated=mated)
    error = refused(name, made, f"there is no {'non-mated' if mated else 'mated'} pair")
    assert error.details["line"] is None


ESCAPES = {
    "calfw": (1, "{} 1"),
    "cplfw": (1, "{} 1"),
    "sllfw": (1, "{}"),
    "ytf": (2, "1, 1, {}, Ann_0/1, 1"),
}


@pytest.mark.parametrize(
    "path", ["../a_1.jpg", "/etc/passwd", "a/../../a_1.jpg", "C:/a_1.jpg", "a\\b_1.jpg", "//host/a_1.jpg"]
)
@pytest.mark.parametrize("name", ESCAPES, scope="function")
def test_a_path_that_leaves_the_set_is_refused_with_its_line(name: str, tmp_path: Path, path: str) -> None:
    made = LISTED[name](tmp_path)
    line, form = ESCAPES[name]
    edit(made.list, line, form.format(path))
    assert refused(name, made, "leads out of the set's folder").details["line"] == line


@pytest.mark.parametrize("person", ["..", "../..", "/etc", "C:", "\\\\host"])
@pytest.mark.parametrize("name", ["lfw", "masked", "rfw"], scope="function")
def test_a_person_cannot_be_a_path_out_of_the_set(name: str, tmp_path: Path, person: str) -> None:
    made = LISTED[name](tmp_path)
    line = 2 if name == "lfw" else 1
    edit(made.list, line, f"{person}\t1\t2")
    assert refused(name, made, "leads out of the set's folder").details["line"] == line


@pytest.mark.parametrize("name", ["lfw", "masked", "ytf"], scope="function")
def test_a_name_that_no_file_can_have_is_a_missing_photo(name: str, tmp_path: Path) -> None:
    made = LISTED[name](tmp_path)
    person = "x" * 300
    line = 1 if name == "masked" else 2
    edit(made.list, line, f"1, 1, {person}/0, {person}/1, 1" if name == "ytf" else f"{person}\t1\t2")
    assert refused(name, made, "are missing").details["line"] == line


def test_a_photo_behind_a_link_is_the_users_own_affair(tmp_path: Path) -> None:
    made = LISTED["lfw"](tmp_path / "set")
    elsewhere = tmp_path / "elsewhere.jpg"
    made.photo.rename(elsewhere)
    made.photo.symlink_to(elsewhere)
    assert len(read("lfw", made)) == 40


def test_reading_twice_gives_the_same_protocol(name: str, made: Made) -> None:
    one, other = read(name, made), read(name, made)
    assert same(one, other)
    assert one.sha256 == other.sha256


@pytest.mark.parametrize("given", [str, Path])
def test_paths_are_texts_or_paths(tmp_path: Path, given: Callable[[Path], str | Path]) -> None:
    assert read_protocol("lfw", given(LISTED["lfw"](tmp_path).folder)).name == "lfw"


def test_an_unknown_protocol_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"no protocol is named 'megaface'; there are agedb-30, bin, .*ytf"):
        read_protocol("megaface", tmp_path)


def test_every_published_set_names_its_owner() -> None:
    assert set(READERS) - set(OWNERS) == {"csv", "gallery", "grouped"}
    assert set(VERIFICATION) | {"gallery", "tinyface"} == set(READERS)
    for owner in OWNERS.values():
        assert owner.page.startswith("http")
        assert owner.page in owner.told
        assert owner.terms in owner.told


def test_the_document_lists_every_reader_with_its_owner() -> None:
    text = (ROOT / "docs" / "protocols.md").read_text("utf-8")
    rows = {
        reader: row
        for row in re.findall(r"^\| `.*\|$", text, re.M)
        for reader in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])
    }
    assert set(rows) == set(READERS)
    for reader, owner in OWNERS.items():
        assert owner.page in rows[reader], reader
