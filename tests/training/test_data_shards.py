from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xcos.errors import InputRefused, InvalidArgument, MissingPackage
from xcos.training.data.folder import read_folder
from xcos.training.data.identities import Identities
from xcos.training.data.shards import Shards, read_shards, write_shards

N = 23


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    """23 photos of 5 people, JPEG, PNG and BMP; a photo's level is ten times its number."""
    for number in range(N):
        path = tmp_path / "people" / f"p{number % 5}" / f"{number:02}.{('png', 'jpg', 'bmp')[number % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 10 * number, np.uint8)).save(path)
    return read_folder(tmp_path / "people")


@pytest.fixture
def shards(identities: Identities, tmp_path: Path) -> Shards:
    return write_shards(identities, tmp_path / "shards", per_shard=4, generator=np.random.default_rng(0))


def numbers(shards: Shards, seed: int = 0, epoch: int = 0, part: int = 0, parts: int = 1, buffer: int = 8) -> list[int]:
    return [each.number for each in shards.stream(seed=seed, epoch=epoch, part=part, parts=parts, buffer=buffer)]


def replace(shards: Shards, shard: int, members: dict[str, bytes]) -> None:
    """Writes another tar file in a shard's place."""
    with tarfile.open(shards.shard(shard), "w") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))


def png(level: int = 0, size: tuple[int, int] = (4, 6)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_an_epoch_gives_every_photo_once_with_its_person(identities: Identities, shards: Shards) -> None:
    photos = list(shards.stream(seed=0, epoch=0, buffer=5))
    assert sorted(photo.number for photo in photos) == list(range(N))
    for number, label, pixels in photos:
        np.testing.assert_array_equal(pixels, identities.read(number))
        assert label == identities.labels[number]
    assert shards.names == identities.names
    assert shards.size == (4, 6)
    assert len(shards) == N
    assert shards.counts == (4, 4, 4, 4, 4, 3)


def test_shards_are_plain_tar_files_of_image_and_class(identities: Identities, shards: Shards) -> None:
    seen = []
    for shard in range(6):
        with tarfile.open(shards.shard(shard)) as file:
            members = {name: file.extractfile(name) for name in file.getnames()}
        for name in members:
            number, kind = name.split(".")
            seen.append(int(number))
            assert kind in ("jpg", "png", "cls")
    assert sorted(seen) == sorted([*range(N), *range(N)])
    with tarfile.open(shards.shard(0)) as file:
        first = file.getnames()[0].split(".")[0]
        label = file.extractfile(f"{first}.cls")
        assert label is not None
        assert int(label.read()) == identities.labels[int(first)]


def test_jpeg_and_png_files_are_copied_and_others_become_png(identities: Identities, shards: Shards) -> None:
    stored = {}
    for shard in range(6):
        with tarfile.open(shards.shard(shard)) as file:
            for name in file.getnames():
                member = file.extractfile(name)
                assert member is not None
                stored[name] = member.read()
    kinds: Counter[bytes] = Counter()
    for index in range(N):
        original = identities.encoded(index)
        kind = "jpg" if original.startswith(b"\xff\xd8") else "png"
        kinds[original[:2]] += 1
        if original.startswith(b"BM"):
            np.testing.assert_array_equal(
                Image.open(io.BytesIO(stored[f"{index:09}.png"])), Image.open(io.BytesIO(original))
            )
        else:
            assert stored[f"{index:09}.{kind}"] == original
    assert len(kinds) == 3


def test_the_same_generator_writes_the_same_bytes(identities: Identities, shards: Shards, tmp_path: Path) -> None:
    again = write_shards(identities, tmp_path / "again", per_shard=4, generator=np.random.default_rng(0))
    for shard in range(6):
        assert again.shard(shard).read_bytes() == shards.shard(shard).read_bytes()


def names_of(shards: Shards, shard: int) -> list[str]:
    with tarfile.open(shards.shard(shard)) as file:
        return file.getnames()


def test_photos_are_shuffled_when_written(identities: Identities, shards: Shards) -> None:
    people = [identities.labels[[int(name.split(".")[0]) for name in names_of(shards, shard)]] for shard in range(6)]
    assert all(len(set(own.tolist())) > 1 for own in people)
    assert np.concatenate(people).tolist() != sorted(np.concatenate(people).tolist())


def test_the_order_belongs_to_seed_and_epoch(shards: Shards) -> None:
    assert numbers(shards) == numbers(read_shards(shards.folder))
    orders = {tuple(numbers(shards, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_each_epoch_deals_the_shards_anew(shards: Shards) -> None:
    dealt = {tuple(sorted(numbers(shards, epoch=epoch, part=0, parts=3))) for epoch in range(6)}
    assert len(dealt) > 1


def test_each_epoch_shuffles_within_a_shard_anew(identities: Identities, tmp_path: Path) -> None:
    one = write_shards(identities, tmp_path / "one", per_shard=N, generator=np.random.default_rng(0))
    assert len({tuple(numbers(one, epoch=epoch)) for epoch in range(6)}) == 6


def test_an_epoch_begins_without_those_before(shards: Shards) -> None:
    straight = [numbers(shards, epoch=epoch) for epoch in range(3)]
    assert numbers(read_shards(shards.folder), epoch=2) == straight[2]


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6])
def test_readers_get_equally_many_different_photos(shards: Shards, parts: int) -> None:
    for epoch in range(4):
        got = [numbers(shards, epoch=epoch, part=part, parts=parts) for part in range(parts)]
        quota = shards.quota(seed=0, epoch=epoch, parts=parts)
        assert [len(own) for own in got] == [quota] * parts
        together = [number for own in got for number in own]
        assert len(set(together)) == len(together)
        assert quota >= 4 * (6 // parts) - 1


def test_what_is_left_out_in_one_epoch_comes_in_others(shards: Shards) -> None:
    seen = {number for epoch in range(20) for part in range(4) for number in numbers(shards, 0, epoch, part, 4)}
    assert seen == set(range(N))


def test_the_buffer_mixes_within_its_reach(identities: Identities, tmp_path: Path) -> None:
    one = write_shards(identities, tmp_path / "one", per_shard=N, generator=np.random.default_rng(0))
    stored = [int(name.split(".")[0]) for name in names_of(one, 0) if name.endswith("cls")]
    assert numbers(one, buffer=1) == stored
    mixed = numbers(one, buffer=5)
    assert sorted(mixed) == sorted(stored)
    assert mixed != stored
    assert all(stored.index(number) - at < 5 for at, number in enumerate(mixed))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"0.pyd": b"x", "0.cls": b"0"}, r"has members \['cls', 'pyd'\]"),
        ({"0.pickle": b"x"}, r"has members \['pickle'\]"),
        ({"0.pth": b"x", "0.png": png(), "0.cls": b"0"}, r"has members \['cls', 'png', 'pth'\]"),
        ({"0.png": png(), "0.jpg": png(), "0.cls": b"0"}, "has members"),
        ({"0.png": png()}, r"has members \['png'\]"),
        ({"0.png": png(), "0.cls": b"5"}, r"has the label b'5'; it must be one of 0 … 4"),
        ({"0.png": png(), "0.cls": b"-1"}, "has the label"),
        ({"0.png": png(), "0.cls": b"1" * 5000}, "has the label"),
        ({"0.png": png(), "0.cls": b""}, "has the label"),
        ({"x.png": png(), "x.cls": b"0"}, "must have a number for a name"),
        ({"0.png": png(), "0.cls": b"0"}, "gave 1 photos and shards.json says 4"),
        ({f"{at}.{kind}": png() for at in range(5) for kind in ("png",)}, "has members"),
        ({}, "gave 0 photos and shards.json says 4"),
    ],
)
def test_a_shard_with_anything_else_in_it_is_refused(shards: Shards, members: dict[str, bytes], said: str) -> None:
    replace(shards, 2, members)
    with pytest.raises(InvalidArgument, match=said):
        numbers(shards)


def test_a_shard_with_more_photos_than_the_index_says_is_refused(shards: Shards) -> None:
    members = {f"{at}.{kind}": content for at in range(5) for kind, content in (("png", png()), ("cls", b"0"))}
    replace(shards, 2, members)
    with pytest.raises(InvalidArgument, match="gave 5 photos"):
        numbers(shards)


class Loud:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the pickle ran')",)


def test_a_pickle_in_a_shard_is_not_run(shards: Shards) -> None:
    for kind in ("pyd", "pickle", "pkl", "pth", "cls", "png"):
        replace(shards, 2, {"0.cls": b"0", "0.png": png(1), f"0.{kind}": pickle.dumps(Loud())})
        with pytest.raises((InvalidArgument, InputRefused)):
            numbers(shards)


def test_a_shard_named_like_a_command_is_a_file(identities: Identities, tmp_path: Path) -> None:
    folder = tmp_path / "pipe:touch ran" / "x"
    written = write_shards(identities, folder, per_shard=N, generator=np.random.default_rng(0))
    assert len(numbers(written)) == N
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 100, 512, 1300, 3000])
def test_a_truncated_shard_is_refused(shards: Shards, kept: int) -> None:
    path = shards.shard(3)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises((InvalidArgument, InputRefused), match=r"000003\.tar"):
        numbers(shards)


def test_a_photo_of_another_size_is_refused_by_name(shards: Shards) -> None:
    replace(shards, 2, {"7.png": png(0, (6, 6)), "7.cls": b"0"} | good(3))
    with pytest.raises(InputRefused, match=r"7 of .*000002\.tar has 6 × 6 pixels and the others 6 × 4"):
        numbers(shards)


def good(count: int) -> dict[str, bytes]:
    return {f"{at}.{kind}": content for at in range(count) for kind, content in (("png", png()), ("cls", b"0"))}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"size": [4]},
        {"size": "ab"},
        {"names": ["one"]},
        {"counts": []},
        {"counts": [4, 0]},
        {"counts": None},
        {"size": [0, 6]},
    ],
)
def test_an_index_that_is_none_is_refused(shards: Shards, change: dict[str, object]) -> None:
    path = shards.folder / "shards.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidArgument, match=r"cannot read .*shards\.json"):
        read_shards(shards.folder)


def test_a_folder_without_its_index_or_a_shard_is_refused(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"shards\.json .*give the folder that write_shards wrote"):
        read_shards(tmp_path)
    shards.shard(4).unlink()
    with pytest.raises(InvalidArgument, match=r"lacks the shard 000004\.tar"):
        read_shards(shards.folder)


def test_more_readers_than_shards_are_refused(shards: Shards) -> None:
    with pytest.raises(InvalidArgument, match="7 readers cannot share 6 shards; write more"):
        shards.stream(seed=0, epoch=0, part=0, parts=7)
    with pytest.raises(InvalidArgument, match="buffer"):
        shards.stream(seed=0, epoch=0, buffer=0)
    for part in (-1, 2):
        with pytest.raises(InvalidArgument, match="part must lie in"):
            shards.stream(seed=0, epoch=0, part=part, parts=2)


def test_writing_needs_a_new_folder_and_stops_at_a_broken_photo(identities: Identities, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(InvalidArgument, match="not empty"):
        write_shards(identities, tmp_path, per_shard=4, generator=generator)
    with pytest.raises(InvalidArgument, match="per_shard"):
        write_shards(identities, tmp_path / "new", per_shard=0, generator=generator)
    (tmp_path / "people" / "p0" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputRefused, match=r"p0/00\.png"):
        write_shards(identities, tmp_path / "new", per_shard=4, generator=generator)
    with pytest.raises(InvalidArgument, match="to the end"):
        read_shards(tmp_path / "new")


def test_without_the_package_the_message_names_the_extra(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(MissingPackage, match=r"pip install 'xcos\[train\]'"):
        numbers(shards)
