from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from hostile import ANY, SEED, HostileFile, encoded, face, make_hostile_files, png
from xcos.catalog import DATA
from xcos.cli import main
from xcos.errors import InputRefused
from xcos.images import read_image
from xcos.types import Photo
from xcos.verification import Verification
from xcos.verifier import Verifier

EXAMPLES = DATA / "examples"
SLOWEST = 5.0
MOST_MEMORY = 1 << 30
KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer(source: Path | bytes) -> str | None:
    """The code of the refusal; ``None`` for a photo. Any other exception goes through and fails the test."""
    try:
        photo = read_image(source)
    except InputRefused as error:
        return error.code
    assert isinstance(photo, Photo)
    return None


@pytest.fixture(scope="module")
def hostile_files(tmp_path_factory: pytest.TempPathFactory) -> list[HostileFile]:
    return make_hostile_files(tmp_path_factory.mktemp("hostile"))


def test_every_hostile_file_is_read_or_refused_as_documented_in_time_and_memory(
    hostile_files: list[HostileFile],
) -> None:
    before, wrong = peak_memory(), []
    for file in hostile_files:
        began = time.perf_counter()
        try:
            code = answer(file.path)
        except Exception as error:
            wrong.append(f"{file.path.name!r} ({file.note}): untyped {error!r}")
            continue
        seconds = time.perf_counter() - began
        if not file.allows(code):
            wanted = sorted(file.expected) + ["decoded"] * file.allows(None)
            wrong.append(f"{file.path.name!r} ({file.note}): {code or 'decoded'}, wanted {wanted}")
        if seconds > SLOWEST:
            wrong.append(f"{file.path.name!r} ({file.note}): took {seconds:.1f} s")
    assert not wrong, f"{len(wrong)} of {len(hostile_files)}:\n" + "\n".join(wrong)
    assert peak_memory() - before < MOST_MEMORY


def test_the_hostile_files_cover_every_code_and_are_many(hostile_files: list[HostileFile]) -> None:
    assert len(hostile_files) >= 400
    assert set().union(*(file.expected for file in hostile_files)) == {*ANY, "unreadable_source"}
    assert sum(not file.expected for file in hostile_files) >= 100


def test_the_hostile_files_are_the_same_every_time(hostile_files: list[HostileFile], tmp_path: Path) -> None:
    again = make_hostile_files(tmp_path)
    assert [file.path.name for file in again] == [file.path.name for file in hostile_files]
    pairs = [
        (one.path, two.path)
        for one, two in zip(hostile_files, again, strict=True)
        if "unreadable_source" not in one.expected and one.path.stat().st_size < 10_000_000
    ]
    assert len(pairs) > 300
    assert [one.name for one, two in pairs if one.read_bytes() != two.read_bytes()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutant_of_a_good_file_gets_an_untyped_answer(kind: str) -> None:
    dice, content = random.Random(f"{SEED} {kind}"), encoded(face().resize((48, 48)), kind)
    codes: set[str | None] = set()
    for _ in range(300):
        mutant = bytearray(content)
        for _ in range(dice.randint(1, 8)):
            mutant[dice.randrange(len(mutant) if dice.random() < 0.5 else 200)] = dice.randrange(256)
        if dice.random() < 0.3:
            del mutant[dice.randrange(len(mutant)) :]
        codes.add(answer(bytes(mutant)))
    assert codes <= {None, *ANY}
    assert {None, "corrupt_image"} <= codes


def test_the_largest_admitted_pictures_stay_within_the_memory_bound() -> None:
    before = peak_memory()
    row = b"\0" + bytes(2 * 7_000)
    deep_gray = png(7_000, 7_000, row * 7_000, bits=16, color=0)
    with_alpha = encoded(Image.new("RGBA", (7_000, 7_000), (10, 20, 30, 128)), "PNG", compress_level=1)
    for content in (deep_gray, with_alpha):
        began = time.perf_counter()
        assert answer(content) is None
        assert time.perf_counter() - began < SLOWEST
    assert peak_memory() - before < MOST_MEMORY


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_refusals_leave_no_file_open(hostile_files: list[HostileFile]) -> None:
    special = [file for file in hostile_files if "unreadable_source" in file.expected]
    assert len(special) >= 10
    before = len(list(Path("/proc/self/fd").iterdir()))
    for file in special * 3:
        assert answer(file.path) == "unreadable_source"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_command_line_gives_the_librarys_answer_to_every_hostile_file_and_writes_nothing_for_a_refusal(
    hostile_files: list[HostileFile],
    verifier: Verifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = EXAMPLES / "0_front.jpg"
    reference = read_image(good)
    report, picture = tmp_path / "report.html", tmp_path / "picture.png"
    monkeypatch.setattr("xcos.cli.verify.build_verifier", lambda **_: verifier)
    monkeypatch.setattr(Verification, "save_picture", lambda _, path: Path(path).write_bytes(b"drawn"))
    monkeypatch.setattr(Verification, "save_report", lambda _, path: Path(path).write_bytes(b"written"))
    wrong, refused = [], 0
    for file in hostile_files:
        expected: str | None
        try:
            expected = verifier.verify(read_image(file.path), reference).outcome
        except InputRefused as error:
            expected = error.code
        began = time.perf_counter()
        outputs = ["--report", str(report), "--picture", str(picture)]
        exit_code = main(["verify", str(file.path), str(good), "--json", *outputs])
        seconds = time.perf_counter() - began
        told = capsys.readouterr()
        if exit_code in (0, 1, 3):
            seen = json.loads(told.out)["decision"]
            report.unlink()
            picture.unlink()
        else:
            refused += 1
            lines = told.err.splitlines()
            seen = json.loads(lines[-1])["error"]["code"]
            if exit_code != 4 or told.out or len(lines) != 1:
                wrong.append(f"{file.path.name!r} ({file.note}): exit {exit_code}, out {told.out!r}, err {told.err!r}")
        if seen != expected or seconds > SLOWEST or list(tmp_path.iterdir()):
            wrong.append(f"{file.path.name!r} ({file.note}): {seen}, library {expected}, {seconds:.1f} s")
    assert not wrong, f"{len(wrong)} of {len(hostile_files)}:\n" + "\n".join(wrong)
    assert refused >= 100
