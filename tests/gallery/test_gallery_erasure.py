"""Forgetting, byte by byte: what was erased stands nowhere in any of the store's files."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gallery_toy import PURPOSE, SHIPPED, Needles, enrolment, files_of, new_gallery, source, template

from xcos.errors import AlreadyEnrolled, NoSuchSubject
from xcos.gallery.codec import codec_of
from xcos.gallery.gallery import Gallery
from xcos.gallery.sketch import Sketcher
from xcos.gallery.store import Codec, Layout


def traces(gallery: Gallery, subject: str) -> Needles:
    """All that is stored of a subject: id, tag, hashes, vectors, signs and grids."""
    needles = Needles()
    card = gallery.card
    codec, sketcher = codec_of(card.codec, card.layout), Sketcher(card.layout.features, card.sketch_bits)
    (about,) = [each for each in gallery.subjects() if each.id == subject]
    needles.add(about.id.encode())
    needles.add(about.tags["note"].encode())
    for each in gallery.templates(subject):
        grid = codec.encode(each.template.grid)
        needles.add(each.template.vector.tobytes())
        needles.add(bytes.fromhex(each.source))
        needles.add(grid)
        needles.add(sketcher.sketch(each.template.grid[None])[0].tobytes())
    return needles


def enrolled(gallery: Gallery, number: int, layout: Layout) -> str:
    random = np.random.default_rng(number)
    name = random.bytes(24).hex()
    photos = [enrolment(10 * number + at, layout) for at in range(1 + number % 3)]
    gallery.enrol(name, photos, tags={"note": random.bytes(24).hex()})
    return name


def erase_and_scan(path: Path, codec: Codec, erasures: int, layout: Layout = SHIPPED) -> None:
    random = np.random.default_rng(5)
    gallery = new_gallery(path, layout, codec=codec)
    gallery.enrol("who stays", [template(10**6, layout)], tags={"note": "somebody who is never erased"})
    there = [enrolled(gallery, number, layout) for number in range(24)]
    erased = Needles()
    for number in range(erasures):
        name = there.pop(int(random.integers(len(there))))
        mine = traces(gallery, name)
        gallery.settle()
        if number % 25 == 0:  # positive control: the scan finds what is there
            # all but the pieces that a page's end cuts in two
            assert mine.found_in(*files_of(path)) > 0.99 * len(mine) > 100
        (receipt,) = gallery.erase(name)
        assert receipt.physical == "done"
        erased.add_all(mine)
        assert mine.found_in(*files_of(path)) == 0, f"after erasure {number + 1}"
        assert number % 50 or erased.found_in(*files_of(path)) == 0, f"after erasure {number + 1}"
        there.append(enrolled(gallery, 100 + number, layout))
        if number % 50 == 0:
            there += [enrolled(gallery, 10_000 + 3 * number + at, layout) for at in range(3)]
    assert traces(gallery, "who stays").found_in(*files_of(path)) > 0
    assert gallery.check().problems == ()
    gallery.close()
    assert erased.found_in(*files_of(path)) == 0


@pytest.mark.parametrize("codec", ["int8", "half"])
def test_no_byte_of_the_erased_is_left_in_any_file(tmp_path: Path, codec: Codec) -> None:
    erase_and_scan(tmp_path / "g.db", codec, 20)


@pytest.mark.endurance
@pytest.mark.parametrize("codec", ["int8", "half"])
def test_no_byte_is_left_after_each_of_a_thousand_erasures(tmp_path: Path, codec: Codec) -> None:
    erase_and_scan(tmp_path / "g.db", codec, 1000)


def test_records_of_an_odd_size_leave_nothing_either(tmp_path: Path) -> None:
    # Templates' heads and grids run over into pages of their own.
    erase_and_scan(tmp_path / "g.db", "half", 6, Layout("toy/1", (5, 3, 333), 2500))


def test_the_scan_finds_what_sqlite_leaves_when_rows_are_deleted(tmp_path: Path) -> None:
    """Control of the method: with secure_delete, deleted rows of ordinary tables do leave pieces behind."""
    db = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    for pragma in ("page_size = 8192", "journal_mode = MEMORY", "synchronous = OFF"):
        db.execute(f"PRAGMA {pragma}")
    assert db.execute("PRAGMA secure_delete = ON").fetchone() == (1,)
    db.execute("CREATE TABLE template(id TEXT PRIMARY KEY, source BLOB UNIQUE, head BLOB)")
    random, gone = np.random.default_rng(0), Needles()
    rows: list[tuple[str, bytes, bytes]] = []

    def insert() -> None:
        rows.append((random.bytes(16).hex(), random.bytes(32), random.bytes(640)))
        db.execute("INSERT INTO template VALUES (?, ?, ?)", rows[-1])

    for _ in range(1500):
        insert()
    for number in range(1000):
        name, source, head = rows.pop(int(random.integers(len(rows))))
        db.execute("DELETE FROM template WHERE id = ?", (name,))
        for record in (name.encode(), source, head):
            gone.add(record)
        if number % 3 == 0:
            insert()
    db.close()
    assert gone.found_in(tmp_path / "plain.db") > 0


def test_an_open_reader_keeps_bytes_pending_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    gallery = new_gallery(path, SHIPPED)
    name = enrolled(gallery, 1, SHIPPED)
    mine = traces(gallery, name)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM template").fetchone() == (2,)
    started = time.monotonic()
    (receipt,) = gallery.erase(name, patience=0.3)
    assert 0.3 <= time.monotonic() - started < 30
    assert (receipt.physical, receipt.residue) == ("pending", "write-ahead log")
    assert gallery.subjects() == []  # logically it is done
    assert mine.found_in(*files_of(path)) > 0  # and the receipt is right that it is not, physically
    (still,) = gallery.settle(patience=0)
    assert still.physical == "pending"
    reader.execute("COMMIT")
    (done,) = gallery.settle(patience=0)
    assert (done.number, done.physical, done.residue) == (receipt.number, "done", "")
    assert done.checked > receipt.checked
    assert mine.found_in(*files_of(path)) == 0
    assert gallery.settle() == []
    reader.close()
    gallery.close()


def test_a_reader_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    gallery = new_gallery(path)
    gallery.enrol("ann", [template(1)])
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM template").fetchone()
    ending = threading.Timer(0.3, lambda: reader.execute("COMMIT"))
    ending.start()
    (receipt,) = gallery.erase("ann", patience=60)
    ending.join()
    assert receipt.physical == "done"
    reader.close()
    gallery.close()


def test_a_receipt_says_nothing_about_the_person_and_can_be_checked_by_who_knows_the_id(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery, new_gallery(tmp_path / "h.db") as other:
        for each in (gallery, other):
            each.enrol("Ann Example", [enrolment(1)], tags={"note": "secret"})
        (receipt,) = gallery.erase("Ann Example")
        text = json.dumps(asdict(receipt))
        assert not any(word in text for word in ("Ann", "Example", "secret", source(1)[:16]))
        assert receipt.token == gallery.token("Ann Example") != gallery.token("Ann")
        assert receipt.token != other.token("Ann Example")  # galleries do not share their secrets
        assert receipt.templates == 1
        assert gallery.receipts() == [receipt]


def test_erasing_somebody_who_is_not_there_erases_nobody(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery:
        gallery.enrol("ann", [template(1)])
        with pytest.raises(NoSuchSubject, match="'bob'"):
            gallery.erase("ann", "bob")
        assert [each.id for each in gallery.subjects()] == ["ann"]
        assert gallery.receipts() == []
        (receipt,) = gallery.erase("ann", "ann")
        assert receipt.number == 1
        with pytest.raises(NoSuchSubject):
            gallery.erase("ann")


def test_who_has_expired_is_not_found_and_then_erased(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db", retention_days=1) as gallery:
        now = time.time()
        gallery.enrol("short", [template(1)], expires=now + 100)
        gallery.enrol("usual", [template(2)])
        for moment, left in ((now, ["short", "usual"]), (now + 200, ["usual"]), (now + 86_500, [])):
            (found,) = gallery.search([template(1)], purpose=PURPOSE, comparator=None, now=moment)
            assert sorted(hit.subject for hit in found.hits) == left
            assert found.subjects == len(left)
        (receipt,) = gallery.expire(now=now + 200)
        assert receipt.token == gallery.token("short")
        assert [each.id for each in gallery.subjects()] == ["usual"]
        assert gallery.expire(now=now + 200) == []
        gallery.enrol("late", [template(3)], expires=now - 1)
        with pytest.raises(AlreadyEnrolled, match="expired"):
            gallery.enrol("late", [template(4)], add=True)
        assert len(gallery.expire()) == 1


def test_a_pending_receipt_is_settled_by_another_process_too(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with new_gallery(path) as gallery:
        gallery.enrol("ann", [template(1)])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM template").fetchone()
        (receipt,) = gallery.erase("ann", patience=0)
        assert receipt.physical == "pending"
        reader.close()
    with Gallery.open(path) as again:
        (done,) = again.settle()
        assert done.physical == "done"
        assert again.receipts() == [done]
