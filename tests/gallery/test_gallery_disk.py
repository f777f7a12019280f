"""Disks that fail at any call, and power that goes at any call."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gallery_toy import LAYOUT, Needles, enrolment, files_of, new_gallery, source

from xcos.errors import AlreadyEnrolled, InvalidArgument, XcosError
from xcos.gallery import sqlite_store
from xcos.gallery.gallery import Gallery
from xcos.gallery.sqlite_store import SqliteStore
from xcos.gallery.store import GalleryCard, NewSubject

pytest.importorskip("apsw")
from gallery_disk import Disk  # it needs apsw

State = dict[str, set[str]]
CARD = GalleryCard("toy", "p", 1.0, LAYOUT)


def state(gallery: Gallery) -> State:
    """Which photos of whom are there."""
    found: State = {subject.id: set() for subject in gallery.subjects()}
    for photo, subjects in gallery.sources().items():
        for subject in subjects:
            found[subject].add(photo)
    return found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a gallery of three people and an export of two others."""
    folder = tmp_path_factory.mktemp("before")
    with new_gallery(folder / "other.db") as other:
        other.enrol_all(NewSubject(f"imported {at}", (enrolment(100 + at),)) for at in range(12))
        other.export(folder / "export.zip")
    (folder / "other.db").unlink()
    with new_gallery(folder / "g.db") as gallery:
        gallery.enrol_all(NewSubject(f"s{at}", (enrolment(at), enrolment(50 + at))) for at in range(3))
    return folder


def migrated(folder: Path, disk: Disk) -> None:
    SqliteStore(folder / "g.db", connect=disk.connect).close()


Act = Callable[[Gallery, Path], object]
ACTS: dict[str, Act] = {
    "enrol": lambda gallery, _: gallery.enrol("new", [enrolment(7), enrolment(8)]),
    "add": lambda gallery, _: gallery.enrol("s1", [enrolment(9)], add=True),
    "erase": lambda gallery, _: gallery.erase("s1", patience=0),
    "import": lambda gallery, folder: gallery.import_from(folder / "export.zip"),
    "export": lambda gallery, folder: gallery.export(folder / "again.zip"),
}
AFTER: dict[str, Callable[[State], State]] = {
    "enrol": lambda old: {**old, "new": {source(7), source(8)}},
    "add": lambda old: {**old, "s1": old["s1"] | {source(9)}},
    "erase": lambda old: {name: photos for name, photos in old.items() if name != "s1"},
    "import": lambda old: {**old, **{f"imported {at}": {source(100 + at)} for at in range(12)}},
    "export": lambda old: old,
}


@pytest.mark.parametrize("act", ACTS)
def test_each_call_to_the_disk_may_fail_and_the_old_state_is_there_or_the_new_one(
    before: Path, tmp_path: Path, act: str
) -> None:
    for nth in range(1, 201):
        folder = tmp_path / str(nth)
        shutil.copytree(before, folder)
        disk = Disk(f"failing-{act}-{nth}")
        gallery = Gallery(SqliteStore(folder / "g.db", connect=disk.connect))
        old = state(gallery)
        disk.fail_at, disk.failing, first = disk.calls + nth, 1, disk.calls
        try:
            ACTS[act](gallery, folder)
            told = ""
        except XcosError as error:
            told = error.code
        reached, disk.failing = disk.calls - first >= nth, 0
        assert told in ("", "store_failed", "store_damaged")
        new = AFTER[act](old)
        assert state(gallery) == (old if told else new), f"call {nth} of {act}, still open"
        with contextlib.suppress(XcosError):
            gallery.close()
        with Gallery.open(folder / "g.db") as again:
            assert state(again) == (old if told else new), f"call {nth} of {act}"
            assert again.check().problems == ()
        assert not list(folder.glob("*.tmp"))
        assert (folder / "again.zip").exists() == (act == "export" and not told)
        shutil.rmtree(folder)
        if not reached:
            break
    assert nth > 1, "the disk was not used"


def test_an_export_that_cannot_be_written_leaves_the_old_file(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.zip").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Gallery.open(before / "g.db") as gallery:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InvalidArgument, match="No space"):
            gallery.export(tmp_path / "old.zip")
    assert (tmp_path / "old.zip").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_each_call_of_a_migration_may_fail_and_the_old_format_is_there_or_the_new_one(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (*sqlite_store.STEPS, "CREATE TABLE more(x); CREATE TABLE other(x)")
    for nth in range(1, 201):
        folder = tmp_path / str(nth)
        shutil.copytree(before, folder)
        disk = Disk(f"migrating-{nth}")
        disk.fail_at, disk.failing = nth, 1
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_store, "STEPS", steps)
            with contextlib.suppress(XcosError):
                migrated(folder, disk)
        reached, disk.failing = disk.calls >= nth, 0
        monkeypatch.setattr(sqlite_store, "STEPS", steps)
        with Gallery.open(folder / "g.db") as again:
            assert len(again) == 6
            assert again.check().problems == ()
        monkeypatch.undo()
        shutil.rmtree(folder)
        if not reached:
            break
    assert nth > 3


def one_life(folder: Path, number: int, random: np.random.Generator) -> int:
    """Acts on a gallery until the power goes at a random call; what was acknowledged must be there afterwards."""
    path = folder / "g.db"
    disk = Disk(f"cut-{number}")
    with Gallery.open(path) as gallery:
        certain = state(gallery)
    disk.cut_at = int(random.integers(1, 260))
    unsure: list[State] = []
    acknowledged, told = 0, ""
    try:
        gallery = Gallery(SqliteStore(path, connect=disk.connect))
        for at in range(900):
            key = 1000 * number + at
            names = [name for name in certain if certain[name]]
            act = str(random.choice(["enrol", "add", "erase"])) if len(names) > 2 else "enrol"
            name = f"n{key}" if act == "enrol" else str(random.choice(names))
            new = {**certain, name: certain.get(name, set()) | {source(key)}}
            if act == "erase":
                new = {other: photos for other, photos in certain.items() if other != name}
            unsure = [new]
            if act == "erase":
                gallery.erase(name, patience=0)
            else:
                gallery.enrol(name, [enrolment(key)], add=act == "add")
            certain, unsure = new, []
            acknowledged += 1
    except XcosError as error:
        told = f"{error.code}: {error.message}"
    assert disk.dead, f"the power did not go: {told}"
    disk.end()
    disk.lose_unsynced(random)
    path.with_name("g.db-shm").unlink(missing_ok=True)
    with Gallery.open(path) as gallery:
        assert state(gallery) in [certain, *unsure], f"life {number}"
        assert gallery.check().problems == ()
    return acknowledged


def live(folder: Path, lives: int) -> None:
    new_gallery(folder / "g.db").close()
    random = np.random.default_rng(1)
    acknowledged = sum(one_life(folder, number, random) for number in range(lives))
    assert acknowledged > lives
    print(f"{lives} power cuts, {acknowledged} acknowledged acts")


def test_a_hundred_power_cuts_lose_nothing_acknowledged(tmp_path: Path) -> None:
    live(tmp_path, 100)


@pytest.mark.endurance
def test_a_thousand_power_cuts_lose_nothing_acknowledged(tmp_path: Path) -> None:
    live(tmp_path, 1000)


def test_the_disk_does_lose_what_was_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of the method: without waiting for the disk, acknowledged acts are lost."""
    opened = sqlite_store._opened

    def careless(path: Path, connect: sqlite_store.Connect) -> sqlite_store.Connection:
        db = opened(path, connect)
        db.execute("PRAGMA synchronous = OFF")
        return db

    monkeypatch.setattr(sqlite_store, "_opened", careless)
    new_gallery(tmp_path / "g.db").close()
    random = np.random.default_rng(2)
    with pytest.raises(AssertionError):
        sum(one_life(tmp_path, number, random) for number in range(200))


def test_what_was_not_imported_is_not_left_in_the_files(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "other.db") as other:
        other.enrol_all(NewSubject(f"imported {at}", (enrolment(at),)) for at in range(3000))
        other.export(tmp_path / "export.zip")
        traces = Needles()
        for at in range(0, 2999, 100):
            traces.add(enrolment(at).template.vector.tobytes())
            traces.add(bytes.fromhex(source(at)))
    with new_gallery(tmp_path / "g.db") as gallery:
        gallery.enrol("imported 2999", [enrolment(1)])
        with pytest.raises(AlreadyEnrolled):
            gallery.import_from(tmp_path / "export.zip")
        assert traces.found_in(*files_of(tmp_path / "g.db")) == 0
        assert traces.found_in(tmp_path / "export.zip") >= 30  # its vectors
