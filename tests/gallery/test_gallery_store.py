"""The embedded store: whole or not at all, one truth for all processes, and typed refusals."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gallery_toy import LAYOUT, PURPOSE, SHIPPED, enrolment, new_gallery, source, template
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xcos.errors import (
    AlreadyEnrolled,
    IncompatibleTemplates,
    InvalidArgument,
    InvalidGallery,
    InvalidTemplate,
    NoSuchSubject,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
)
from xcos.gallery import sqlite_store
from xcos.gallery.codec import codec_of
from xcos.gallery.gallery import Gallery
from xcos.gallery.records import SUBJECT_BYTES
from xcos.gallery.sqlite_store import SqliteStore
from xcos.gallery.store import Codec, Enrolment, GalleryCard, Layout, NewSubject, layout_of
from xcos.testing import FakeEmbedder
from xcos.types import Floats, Template


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.db"


def test_what_is_enrolled_is_there_after_opening_again(path: Path) -> None:
    with new_gallery(path, codec="half") as gallery:
        gallery.enrol("ann", [enrolment(1), enrolment(2)], tags={"site": "north"})
    with Gallery.open(path) as again:
        (subject,) = again.subjects()
        kept = again.templates("ann")
    assert subject.id == "ann"
    assert subject.tags == {"site": "north"}
    assert subject.expires - subject.created == 30 * 86_400
    assert [each.source for each in kept] == [source(1), source(2)]
    assert [each.quality for each in kept] == [2, 3]
    for each, seed in zip(kept, (1, 2), strict=True):
        assert (each.template.vector == template(seed).vector).all()
        assert (each.template.grid == template(seed).grid.astype(np.float16)).all()


grids = arrays(np.float32, (2, 2, 8), elements=st.floats(-1e4, 1e4, width=32))


@given(grid=grids)
def test_half_precision_keeps_each_number_to_its_half(grid: Floats) -> None:
    codec = codec_of("half", LAYOUT)
    content = np.frombuffer(codec.encode(grid), np.uint8)[None]
    assert (codec.decode(content)[0] == grid.astype(np.float16).astype(np.float32)).all()


@given(grid=grids)
def test_eight_bits_keep_each_number_to_a_step_of_its_cell(grid: Floats) -> None:
    codec = codec_of("int8", LAYOUT)
    content = codec.encode(grid)
    assert len(content) == codec.size == 32 + 2 * 4
    found = codec.decode(np.frombuffer(content, np.uint8)[None])[0]
    largest = np.abs(grid).max(axis=2, keepdims=True)
    # half a step, the scale's rounding to half precision over all steps, and what lies below half precision's least
    assert (np.abs(found - grid) <= largest * (0.5 / 127 + 2**-11) + 127 * 2.0**-24).all()


@pytest.mark.parametrize("codec", ["int8", "half"])
def test_a_number_the_codec_cannot_hold_is_refused(path: Path, codec: Codec) -> None:
    grid = np.ones(LAYOUT.grid, np.float32)
    grid[0, 0, 0] = 1e8
    with new_gallery(path, codec=codec) as gallery, pytest.raises(InvalidTemplate, match="too large"):
        gallery.enrol("ann", [Template(grid, np.ones(6, np.float32), LAYOUT.model)])


def test_templates_of_another_model_or_shape_are_refused_and_nothing_is_kept(path: Path) -> None:
    other = Template(template(1).grid, template(1).vector, "toy/2")
    with new_gallery(path) as gallery:
        with pytest.raises(IncompatibleTemplates, match="toy/2"):
            gallery.enrol("ann", [template(1), other])
        with pytest.raises(InvalidArgument, match="holds grids"):
            gallery.enrol("ann", [template(1), template(1, SHIPPED)])
        with pytest.raises(InvalidTemplate):
            gallery.enrol("ann", [template(1), Template(template(1).grid * math.nan, template(1).vector, "toy/1")])
        assert len(gallery) == 0
        assert gallery.subjects() == []


def test_many_subjects_are_enrolled_together_or_none_of_them(path: Path) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("bob", [template(1)])
        everybody = [NewSubject(name, (enrolment(at),)) for at, name in enumerate(("ann", "bob", "cat"))]
        with pytest.raises(AlreadyEnrolled, match="'bob'"):
            gallery.enrol_all(everybody)
        assert [each.id for each in gallery.subjects()] == ["bob"]
        assert len(gallery) == 1
        gallery.enrol_all([everybody[0], everybody[2]])  # memory is what it was before
        assert [each.id for each in gallery.subjects()] == ["ann", "bob", "cat"]
        assert gallery.check().problems == ()


def test_the_same_id_or_photo_twice_is_refused_unless_templates_are_added(path: Path) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [enrolment(1)], tags={"a": "b"})
        with pytest.raises(AlreadyEnrolled, match="add=True"):
            gallery.enrol("ann", [enrolment(2)])
        with pytest.raises(AlreadyEnrolled, match="photo with SHA-256"):
            gallery.enrol("ann", [enrolment(2), enrolment(1)], add=True)
        with pytest.raises(AlreadyEnrolled, match="photo with SHA-256"):
            gallery.enrol("cat", [enrolment(5), enrolment(5)])
        gallery.enrol("ann", [enrolment(2)], add=True)
        assert len(gallery) == 2
        assert gallery.subjects()[0].tags == {"a": "b"}


@pytest.mark.parametrize(
    ("subject", "more", "told"),
    [
        ("", {}, "needs an id"),
        ("  ", {}, "needs an id"),
        ("a" * SUBJECT_BYTES, {}, "shorten"),
        ("ann", {"tags": {"site": ""}}, "tags are"),
        ("ann", {"tags": {"site": 3}}, "tags are"),
        ("ann", {"expires": math.inf}, "seconds since 1970"),
    ],
)
def test_wrong_subjects_are_refused(path: Path, subject: str, more: dict[str, object], told: str) -> None:
    with new_gallery(path) as gallery, pytest.raises(InvalidArgument, match=told):
        gallery.enrol(subject, [template(1)], **more)  # type: ignore[arg-type]


def test_an_enrolment_of_nothing_or_with_an_impossible_quality_or_hash_is_refused(path: Path) -> None:
    with new_gallery(path) as gallery, pytest.raises(InvalidArgument, match="no templates"):
        gallery.enrol("ann", [])
    for quality in (0, -1, math.nan, math.inf):
        with pytest.raises(InvalidArgument, match="quality"):
            Enrolment(template(1), quality=quality)
    for wrong in ("abc", "G" * 64, "A" * 64):
        with pytest.raises(InvalidArgument, match="SHA-256"):
            Enrolment(template(1), source=wrong)


@pytest.mark.parametrize("name", ["Zoë", "名前", "a\nb", 'quote"d', "emoji 🙂", "\udcff not text"])
def test_any_text_is_an_id(path: Path, name: str) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol(name, [template(1)])
    with Gallery.open(path) as again:
        assert [each.id for each in again.subjects()] == [name]
        again.erase(name)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"purpose": " "}, "purpose"),
        ({"name": ""}, "name"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": math.nan}, "retention_days"),
        ({"retention_days": math.inf}, "retention_days"),
        ({"codec": "float"}, "codec"),
        ({"sketch_bits": 100}, "sketch_bits"),
    ],
)
def test_a_gallery_without_purpose_or_retention_cannot_be_made(fields: dict[str, object], told: str) -> None:
    right: dict[str, object] = {"name": "n", "purpose": "p", "retention_days": 1.0, "layout": LAYOUT}
    with pytest.raises(InvalidArgument, match=told):
        GalleryCard(**{**right, **fields})  # type: ignore[arg-type]


def test_a_file_that_is_there_is_never_overwritten(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="already"):
        new_gallery(path)
    assert path.read_bytes() == b"mine"
    assert list(path.parent.iterdir()) == [path]


def test_a_foreign_sqlite_file_is_refused_and_not_touched(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE gallery(card TEXT, secret BLOB)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(InvalidGallery, match="another program"):
        Gallery.open(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to look at" * 100])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidGallery):
        Gallery.open(path)
    assert path.read_bytes() == content


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for wrong in (tmp_path / "none.db", tmp_path):
        with pytest.raises(InvalidGallery, match="not there"):
            Gallery.open(wrong)


def test_a_gallery_of_a_newer_program_is_refused(path: Path) -> None:
    new_gallery(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InvalidGallery, match="update xcos"):
        Gallery.open(path)


def test_an_older_format_is_migrated_in_one_act(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [template(1)])
    steps = sqlite_store.STEPS
    monkeypatch.setattr(sqlite_store, "STEPS", (*steps, "CREATE TABLE more(x); CREATE TABLE gallery(y)"))
    with pytest.raises(StoreFailed, match="already exists"):
        Gallery.open(path)
    monkeypatch.setattr(sqlite_store, "STEPS", steps)
    with Gallery.open(path) as same:  # the step that failed left nothing
        assert len(same) == 1
    monkeypatch.setattr(sqlite_store, "STEPS", (*steps, "CREATE TABLE more(x)"))
    with Gallery.open(path) as migrated:
        assert len(migrated) == 1
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM more").fetchone() == (0,)
    db.close()


def damage(path: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(path) as db:
        db.execute(sql, values)
    db.close()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE template SET head = zeroblob(10) WHERE tid = 1", "not of"),
        ("DELETE FROM grid WHERE tid = 1", "no grid"),
        ("UPDATE grid SET record = zeroblob(length(record)) WHERE tid = 2", "digest"),
        ("UPDATE subject SET record = zeroblob(length(record)) WHERE sid = 1", "no subject"),
        ("UPDATE template SET head = zeroblob(length(head)) WHERE tid = 3", "is free, but its grid is not empty"),
        ("UPDATE subject SET record = CAST('{' || substr(record, 1, 511) AS BLOB) WHERE sid = 1", "cannot be read"),
    ],
)
def test_damage_is_found(path: Path, sql: str, told: str) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [template(1), template(2)])
        gallery.enrol("bob", [template(3)])
        assert gallery.check().problems == ()
        damage(path, sql)
        assert any(told in problem for problem in gallery.check().problems)


def test_a_flipped_bit_in_a_template_is_an_error_where_it_is_read(path: Path) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [template(1)])
        grid = codec_of("int8", LAYOUT).encode(template(1).grid)
        damage(path, "UPDATE grid SET record = ?", bytes([grid[0] ^ 1]) + grid[1:])
        with pytest.raises(StoreDamaged, match="template 1"):
            gallery.templates("ann")


def test_a_broken_database_is_a_typed_error(path: Path) -> None:
    with new_gallery(path, SHIPPED) as gallery:
        gallery.enrol_all(NewSubject(f"s{at}", (enrolment(at, SHIPPED),)) for at in range(20))
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreDamaged):
        Gallery.open(path)


def test_a_full_disk_is_a_typed_error_and_what_was_there_stays(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from gallery_toy import *
from xcos.errors import StoreFailed
from xcos.gallery.store import NewSubject
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
gallery = new_gallery(Path({str(tmp_path / "g.db")!r}), SHIPPED)
gallery.enrol("ann", [template(1, SHIPPED)])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    gallery.enrol_all(NewSubject(f"s{{at}}", (enrolment(at, SHIPPED),)) for at in range(600))
except StoreFailed as error:
    print(error.code)
print(len(gallery), [each.id for each in gallery.subjects()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["store_failed", "1 ['ann']"], done.stderr
    with Gallery.open(tmp_path / "g.db") as gallery:
        assert len(gallery) == 1
        assert gallery.check().problems == ()


def test_a_folder_that_cannot_be_written_is_a_typed_error(path: Path) -> None:
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [template(1)])
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from xcos.errors import StoreFailed, InvalidArgument
from xcos.gallery.gallery import Gallery
from gallery_toy import new_gallery
from pathlib import Path
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
for attempt in (lambda: Gallery.open({str(path)!r}), lambda: new_gallery(Path({str(path) + "2"!r}))):
    try:
        attempt()
        print("worked")
    except (StoreFailed, InvalidArgument) as error:
        print(error.code)
"""
    parents = [path.parent, *path.parent.parents]
    modes = [each.stat().st_mode for each in parents]
    try:
        for each in parents[:3]:
            each.chmod(0o755)
        path.parent.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        for each, mode in zip(parents[:3], modes, strict=False):
            each.chmod(mode)
    if "PermissionError" in done.stderr or "No module" in done.stderr:
        pytest.skip("another user cannot read this interpreter")
    assert done.stdout.split() == ["store_failed", "invalid_argument"], done.stderr


def test_a_second_writer_waits_and_is_then_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "WAIT", 0.1)
    with new_gallery(path) as gallery:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="try again"):
            gallery.enrol("ann", [template(1)])
        other.execute("ROLLBACK")
        other.close()
        gallery.enrol("ann", [template(1)])
        assert len(gallery) == 1


def test_two_open_galleries_see_each_other_at_once(path: Path) -> None:
    with new_gallery(path) as one, Gallery.open(path) as two:
        one.enrol("ann", [template(1)])
        assert [each.id for each in two.subjects()] == ["ann"]
        two.enrol("bob", [template(2), template(3)])
        one.enrol("cat", [template(4)])
        two.erase("ann")
        one.enrol("dan", [template(5)])  # takes ann's place
        assert [each.id for each in one.subjects()] == [each.id for each in two.subjects()] == ["bob", "cat", "dan"]
        assert (two.templates("dan")[0].template.vector == template(5).vector).all()
        with pytest.raises(AlreadyEnrolled):
            two.enrol("dan", [template(6)])
        with pytest.raises(NoSuchSubject):
            one.templates("ann")


def test_who_is_far_behind_the_log_of_changes_reads_all_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "MOST_CHANGES", 4)
    with new_gallery(path) as one, Gallery.open(path) as two:
        for at in range(10):
            one.enrol(f"s{at}", [template(at)])
        one.erase("s3")
        assert [each.id for each in two.subjects()] == [f"s{at}" for at in range(10) if at != 3]
        assert len(two) == 9


def test_records_are_used_again_and_the_file_does_not_grow(path: Path) -> None:
    with new_gallery(path, SHIPPED) as gallery:
        for at in range(9):
            gallery.enrol(f"s{at}", [template(at, SHIPPED)])
        gallery.erase("s8")
        size = path.stat().st_size
        for at in range(8, 40):
            gallery.erase(f"s{at - 8}")
            gallery.enrol(f"s{at}", [template(at, SHIPPED)])
        gallery.erase("s32")
        assert path.stat().st_size <= size + 8192 * 2  # the logs of changes and erasures
        assert gallery.check().problems == ()


WRITER = """
import sys, time
sys.path[:0] = {path!r}
from gallery_toy import *
gallery = Gallery.open({db!r})
print("ready", flush=True)
for at in range(40):
    sys.stdin.readline()
    gallery.enrol(f"s{{at}}", [template(at)])
    print(time.time(), flush=True)
"""


def test_a_search_in_another_process_misses_nothing_that_was_acknowledged(path: Path) -> None:
    with new_gallery(path) as gallery:
        code = WRITER.format(path=sys.path, db=str(path))
        writer = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for at in range(40):
            writer.stdin.write("next\n")
            writer.stdin.flush()
            acknowledged = float(writer.stdout.readline())
            (found,) = gallery.search([template(at)], purpose=PURPOSE, comparator=None, top=1)
            assert found.hits[0].subject == f"s{at}"
            assert found.templates == at + 1
            assert time.time() - acknowledged < 60
        assert writer.wait() == 0
        writer.stdin.close()
        writer.stdout.close()


def test_a_layout_is_found_by_embedding() -> None:
    assert layout_of(FakeEmbedder()) == Layout("fake/mean-colour", (2, 2, 3), 3)
    for wrong in (("", (1, 1, 1), 1), ("m", (0, 1, 1), 1), ("m", (1, 1, 1), 0)):
        with pytest.raises(InvalidArgument):
            Layout(*wrong)


def test_a_store_can_be_made_with_a_date(path: Path) -> None:
    store = SqliteStore.create(path, GalleryCard("n", "p", 2.5, LAYOUT, created=7.0))
    assert store.card == GalleryCard("n", "p", 2.5, LAYOUT, created=7.0)
    assert store.capabilities.durability == "fsync"
    store.close()
