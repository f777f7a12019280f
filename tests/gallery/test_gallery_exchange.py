"""Export and import: the same people, or an error that names the line and nothing."""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_toy import LAYOUT, SHIPPED, enrolment, new_gallery, template

from xcos.errors import InvalidArgument, InvalidImport, XcosError
from xcos.gallery.gallery import Gallery
from xcos.gallery.store import Codec, Enrolment, Layout, NewSubject
from xcos.types import Template

Members = dict[str, bytes]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with new_gallery(tmp_path / "from.db") as gallery:
        for at in range(6):
            gallery.enrol(f"s{at}", [enrolment(10 * at), enrolment(10 * at + 1)], tags={"n": str(at)}, expires=2e9 + at)
        gallery.enrol("s0", [Enrolment(template(99))], add=True)
        gallery.erase("s3")
        assert gallery.export(tmp_path / "e.zip") == 11
    return tmp_path / "e.zip"


@pytest.mark.parametrize("codec", ["int8", "half"])
def test_what_was_exported_comes_back(exported: Path, tmp_path: Path, codec: Codec) -> None:
    with Gallery.open(tmp_path / "from.db") as old, new_gallery(tmp_path / "to.db", codec=codec) as new:
        assert new.import_from(exported) == 11
        assert new.subjects() == old.subjects()
        for subject in old.subjects():
            for one, other in zip(old.templates(subject.id), new.templates(subject.id), strict=True):
                assert (one.source, one.quality) == (other.source, other.quality)
                assert (one.template.vector == other.template.vector).all()
                step = np.abs(one.template.grid).max() * 2.0**-11
                assert np.abs(one.template.grid - other.template.grid).max() <= (0 if codec == "int8" else step)
        assert new.check().problems == ()


def test_an_export_of_nobody_comes_back_too(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "g.db") as gallery:
        assert gallery.export(tmp_path / "e.zip") == 0
        assert gallery.import_from(tmp_path / "e.zip") == 0


def test_only_its_owner_may_read_an_export(exported: Path) -> None:
    assert exported.stat().st_mode & 0o077 == 0


def test_the_arrays_are_numpys(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        vectors = np.load(io.BytesIO(archive.read("vectors.npy")), allow_pickle=False)
        grids = np.load(io.BytesIO(archive.read("grids.npy")), allow_pickle=False)
    assert (vectors[0] == template(0).vector).all()
    assert grids.shape == (11, 32 + 8)


def changed(path: Path, change: Callable[[Members], None], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    other = path.with_name("changed.zip")
    with zipfile.ZipFile(other, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return other


def line(name: str, number: int, new: bytes | Callable[[dict[str, Any]], object]) -> Callable[[Members], None]:
    """Replaces one line, or changes its fields."""

    def change(members: Members) -> None:
        lines = members[name].split(b"\n")
        if isinstance(new, bytes):
            lines[number - 1] = new
        else:
            fields = json.loads(lines[number - 1])
            new(fields)
            lines[number - 1] = json.dumps(fields).encode()
        members[name] = b"\n".join(lines)

    return change


def put(name: str, content: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: content})


def array(values: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)  # type: ignore[arg-type]
    return file.getvalue()


def without(members: Members) -> None:
    del members["grids.npy"]


WRONG: dict[str, tuple[Callable[[Members], None], str]] = {
    "no JSON": (line("templates.jsonl", 7, b"{"), r"templates.jsonl, line 7: it is no line of JSON"),
    "a list": (line("templates.jsonl", 3, b"[]"), "line 3: it is no whole JSON object"),
    "quality": (line("templates.jsonl", 4, lambda f: f.update(quality=-1)), "line 4: want subject, quality"),
    "quality text": (line("templates.jsonl", 4, lambda f: f.update(quality="x")), "line 4: want subject, quality"),
    "NaN quality": (line("templates.jsonl", 4, lambda f: f.update(quality=math.nan)), "line 4: want subject, quality"),
    "hash": (line("templates.jsonl", 5, lambda f: f.update(source="zz")), "line 5: want subject, quality"),
    "no hash": (line("templates.jsonl", 5, lambda f: f.pop("source")), "line 5: want subject, quality"),
    "owner": (line("templates.jsonl", 6, lambda f: f.update(subject="s0")), "line 6: subject .* expected"),
    "subject": (line("subjects.jsonl", 2, lambda f: f.pop("id")), "subjects.jsonl, line 2: want id"),
    "no id": (line("subjects.jsonl", 2, lambda f: f.update(id="")), "subjects.jsonl, line 2: want id"),
    "tags": (line("subjects.jsonl", 2, lambda f: f.update(tags=[1])), "subjects.jsonl, line 2: want id"),
    "expires": (line("subjects.jsonl", 2, lambda f: f.update(expires="x")), "subjects.jsonl, line 2: want id"),
    "twice": (
        line("subjects.jsonl", 2, lambda f: f.update(id="s0")),
        "line 2: subject 's0' stands here for the second",
    ),
    "count": (line("subjects.jsonl", 1, lambda f: f.update(templates=99)), "line 1: templates must count"),
    "count text": (line("subjects.jsonl", 1, lambda f: f.update(templates="3")), "line 1: templates must count"),
    "missing": (put("templates.jsonl", b""), "line 1: it is missing"),
    "more": (lambda m: m.update({"templates.jsonl": m["templates.jsonl"] + b"{}\n"}), "line 12: there are more lines"),
    "long": (line("templates.jsonl", 2, b'{"a": "' + b"x" * 10**6 + b'"}'), "line 2"),
    "member": (put("../evil", b""), "must hold"),
    "gone": (without, "must hold"),
    "pickle": (put("vectors.npy", array(np.array([{}], object))), "vectors.npy"),
    "no array": (put("grids.npy", pickle.dumps([1])), "grids.npy: it is no NumPy array"),
    "shape": (put("vectors.npy", array(np.zeros((10, 6), np.float32))), r"want \(11, 6\)"),
    "kind": (put("vectors.npy", array(np.zeros((11, 6)))), "of float64"),
    "cut": (lambda m: m.update({"grids.npy": m["grids.npy"][:-8]}), "cut short"),
    "not finite": (
        put("vectors.npy", array(np.full((11, 6), np.nan, np.float32))),
        "templates.jsonl, line 1: its template",
    ),
    "card": (put("gallery.json", b"{}"), "gallery.json: it cannot be read"),
    "schema": (put("gallery.json", b'{"schema": "x"}'), "schema 'x'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_thing_wrong_is_named_and_nothing_is_imported(exported: Path, tmp_path: Path, name: str) -> None:
    change, told = WRONG[name]
    wrong = changed(exported, change)
    with new_gallery(tmp_path / "to.db") as gallery:
        gallery.enrol("who was here", [template(5)])
        with pytest.raises(InvalidImport, match=told):
            gallery.import_from(wrong)
        assert [each.id for each in gallery.subjects()] == ["who was here"]
        assert len(gallery) == 1
        gallery.import_from(exported)  # and the right one still can be


def test_compressed_or_damaged_or_other_files_are_refused(exported: Path, tmp_path: Path) -> None:
    content = bytearray(exported.read_bytes())
    content[content.index(template(0).vector.tobytes())] ^= 1
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content)
    text = tmp_path / "text.zip"
    text.write_text("not a zip")
    with new_gallery(tmp_path / "to.db") as gallery:
        for wrong in (changed(exported, lambda _: None, zipfile.ZIP_DEFLATED), damaged, text):
            with pytest.raises(InvalidImport):
                gallery.import_from(wrong)
        with pytest.raises(InvalidArgument):
            gallery.import_from(tmp_path / "missing.zip")
        assert len(gallery) == 0


def test_people_who_are_here_and_other_models_are_refused(exported: Path, tmp_path: Path) -> None:
    with new_gallery(tmp_path / "to.db") as gallery:
        gallery.enrol("s4", [template(1)])
        with pytest.raises(XcosError, match="'s4'"):
            gallery.import_from(exported)
        assert len(gallery) == 1
    for layout in (Layout("other/1", LAYOUT.grid, LAYOUT.vector), SHIPPED):
        with new_gallery(tmp_path / f"{layout.model[:3]}.db", layout) as other, pytest.raises(XcosError):
            other.import_from(exported)


@pytest.mark.endurance
def test_a_million_rows_with_one_bad_line_import_nothing(tmp_path: Path) -> None:
    layout = Layout("toy/1", (1, 1, 2), 2)
    rows = 1_000_000
    grids = np.zeros((rows, 4), np.uint8)
    grids[:, :2], grids[:, 2:] = 100, np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
    card = {"name": "n", "purpose": "p", "retention_days": 1.0, "codec": "int8", "sketch_bits": 64, "created": 0.0}
    card["layout"] = {"model": "toy/1", "grid": [1, 1, 2], "vector": 2}
    document = {"schema": "xcos.gallery/1", "card": card, "subjects": rows, "templates": rows}
    subjects = "".join(
        f'{{"id": "s{at}", "created": 1.0, "expires": 2e9, "tags": {{}}, "templates": 1}}\n' for at in range(rows)
    )
    lines = [f'{{"subject": "s{at}", "quality": 1.0, "source": ""}}\n' for at in range(rows)]
    for name, bad in (("bad.zip", 987_654), ("good.zip", 0)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("gallery.json", json.dumps(document))
            archive.writestr("subjects.jsonl", subjects)
            some = lines if not bad else [*lines[: bad - 1], "{oops\n", *lines[bad:]]
            archive.writestr("templates.jsonl", "".join(some))
            archive.writestr("vectors.npy", array(np.ones((rows, 2), np.float32)))
            archive.writestr("grids.npy", array(grids))
    with new_gallery(tmp_path / "g.db", layout) as gallery:
        gallery.enrol("here", [Template(np.ones((1, 1, 2), np.float32), np.ones(2, np.float32), "toy/1")])
        before = (tmp_path / "g.db").stat().st_size
        with pytest.raises(InvalidImport, match=r"line 987654: it is no line of JSON; nothing was imported"):
            gallery.import_from(tmp_path / "bad.zip")
        assert len(gallery) == 1
        assert (tmp_path / "g.db").stat().st_size == before
        assert gallery.import_from(tmp_path / "good.zip") == rows
        assert len(gallery) == rows + 1


def test_an_import_of_a_gallery_made_while_others_enrol_is_one_moment(exported: Path, tmp_path: Path) -> None:
    with new_gallery(tmp_path / "to.db") as gallery, Gallery.open(tmp_path / "to.db") as other:
        seen: list[int] = []
        gallery.import_from(exported, on_subject=lambda: seen.append(len(other.subjects())))
        assert set(seen) == {0}
        assert len(other.subjects()) == 5
        other.enrol_all([NewSubject("later", (enrolment(500),))])
        assert len(gallery.subjects()) == 6
