from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from xcos.errors import InvalidArgument
from xcos.files import is_within, lock, require_writable, write_atomically


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_content_is_written_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.html", b"one")
    write_atomically(str(tmp_path / "a.html"), b"two")
    assert (tmp_path / "a.html").read_bytes() == b"two"
    assert names(tmp_path) == ["a.html"]


def disk_full(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


class FullDisk(io.FileIO):
    def write(self, *_: object) -> NoReturn:
        disk_full()


@pytest.mark.parametrize("step", ["fdopen", "fsync", "chmod", "replace"])
def test_a_failure_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.html"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, step, FullDisk if step == "fdopen" else disk_full)
    with pytest.raises(InvalidArgument, match="No space left on device") as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert caught.value.details == {"path": str(path)}
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.html"]


def test_a_stop_by_the_user_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.html", b"new")
    assert names(tmp_path) == []


def test_a_reader_sees_the_old_content_until_the_new_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.html"
    write_atomically(path, b"old")
    seen: list[bytes] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(path.read_bytes())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_atomically(path, b"new")
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path: Path, umask: int) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 120 + ".html")  # 245 of 255 bytes
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


def places_that_cannot_be_written(folder: Path) -> list[Path]:
    (folder / "file").write_bytes(b"")
    return [folder / "missing" / "a.html", folder / "file" / "a.html", folder]


def test_a_place_that_cannot_be_written_is_told_before_and_while(tmp_path: Path) -> None:
    for path in places_that_cannot_be_written(tmp_path):
        for check in (require_writable, lambda path: write_atomically(path, b"x")):
            with pytest.raises(InvalidArgument) as caught:
                check(path)
            assert caught.value.details == {"path": str(path)}
    assert names(tmp_path) == ["file"]


def test_a_protected_folder_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable(tmp_path / "a.html")
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == tmp_path and mode & os.W_OK))
    with pytest.raises(InvalidArgument):
        require_writable(tmp_path / "a.html")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is protected from root")
def test_a_folder_without_write_permission_is_told_before_and_while(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        for check in (require_writable, lambda path: write_atomically(path, b"x")):
            with pytest.raises(InvalidArgument):
                check(tmp_path / "a.html")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_is_read_is_not_to_be_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"photo")
    require_writable(photo)
    require_writable(tmp_path / "b.jpg", inputs=[photo])
    for spelling in ("a.jpg", "./a.jpg", str(photo)):
        with pytest.raises(InvalidArgument):
            require_writable(spelling, inputs=["b.jpg", photo])


def test_asking_creates_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path / "a.html")
    require_writable("a.html")
    assert names(tmp_path) == []


def test_a_symbolic_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_refused_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidArgument, match="device or pipe"):
        write_atomically(pipe, b"new")
    with pytest.raises(InvalidArgument, match="device or pipe"):
        require_writable(pipe)
    assert pipe.is_fifo()


def test_a_protected_file_stays_protected(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o600)
    write_atomically(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_keeps_others_out_until_the_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "run.lock").open("w") as first, (tmp_path / "run.lock").open("w") as second:
        lock(first, "taken")
        with pytest.raises(InvalidArgument, match="taken"):
            lock(second, "taken")
        first.close()
        lock(second, "taken")


def test_what_lies_in_a_folder_is_known_before_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "people" / "ann").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "people")
    home = tmp_path / "people"
    assert all(is_within(path, home) for path in (home, home / "new", home / "ann" / "new" / "m", tmp_path / "link/m"))
    assert is_within(home / "new", tmp_path / "link")
    outside = (tmp_path, tmp_path / "people.cache", home / ".." / "m")
    assert not any(is_within(path, home) for path in outside)
    assert not is_within(home, tmp_path / "nothing")
