from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xcos.errors import InputRefused, InvalidArgument
from xcos.training.config import AugmentationConfig
from xcos.training.data.augment import Augmentation
from xcos.training.data.batches import (
    CropBatch,
    Loading,
    Normalization,
    PairBatch,
    crop_batches,
    pair_batches,
    streamed_batches,
    streamed_count,
)
from xcos.training.data.folder import read_folder
from xcos.training.data.identities import Identities, gather
from xcos.training.data.pairs import draw_pairs
from xcos.training.data.seeds import Purpose, generator_for
from xcos.training.data.shards import Shards, write_shards
from xcos.types import CropTemplate

TEMPLATE = CropTemplate("tiny", 8, 8, np.array([[2, 3], [6, 3], [4, 5], [3, 6], [5, 6]]))
HEAVY = Augmentation(TEMPLATE, AugmentationConfig(mirror=0.5, squares=0.5, photometric=0.5, misalign=0.5))
N = 26


@dataclass
class InMemory:
    """Photos as PNG files in memory that note which were read."""

    contents: list[bytes]
    read: list[int] = field(default_factory=list)

    def encoded(self, place: int) -> bytes:
        self.read.append(place)
        return self.contents[place]

    def name(self, place: int) -> str:
        return f"photo {place}"


@pytest.fixture
def photos() -> InMemory:
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(N):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")
        contents.append(file.getvalue())
    return InMemory(contents)


@pytest.fixture
def identities(photos: InMemory) -> Identities:
    labels = np.arange(N) % 7
    return gather(photos, labels, [f"p{label}" for label in range(7)], least=1, source="memory")


@pytest.fixture
def shards(identities: Identities, tmp_path: Path) -> Shards:
    return write_shards(identities, tmp_path / "shards", per_shard=3, generator=np.random.default_rng(0))


def same(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    return all(
        same(one, two) if isinstance(one, tuple) and isinstance(two, tuple) else torch.equal(one, two)  # type: ignore[arg-type]
        for one, two in zip(first, second, strict=True)
    )


def all_same(first: list[CropBatch] | list[PairBatch], second: list[CropBatch] | list[PairBatch]) -> bool:
    return len(first) == len(second) and all(same(one, two) for one, two in zip(first, second, strict=True))


def crops(identities: Identities, loading: Loading, epoch: int = 0, start: int = 0) -> list[CropBatch]:
    return list(crop_batches(identities, loading, epoch=epoch, start=start))


def pairs(identities: Identities, loading: Loading, epoch: int = 0, start: int = 0) -> list[PairBatch]:
    return list(pair_batches(identities, loading, epoch=epoch, start=start))


def rows(batches: list[CropBatch]) -> list[tuple[bytes, int]]:
    """Each photo of some batches, comparable."""
    return [(pixels.numpy().tobytes(), int(label)) for batch in batches for pixels, label in zip(*batch, strict=True)]


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_pixels_become_what_the_networks_card_says(color: str) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    mean, scale = (1.0, 2.0, 3.0), 0.25
    got = Normalization("bgr" if color == "bgr" else "rgb", mean, scale)(torch.from_numpy(raw))
    assert got.shape == (2, 3, 4, 5)
    assert got.dtype == torch.float32
    for channel, band in enumerate((0, 1, 2) if color == "rgb" else (2, 1, 0)):
        np.testing.assert_allclose(got[:, channel], (raw[..., band] - mean[channel]) * scale)


def test_the_default_takes_bytes_to_minus_one_to_one() -> None:
    levels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 1, 1, 3)
    np.testing.assert_allclose(Normalization()(levels)[:, 0, 0, 0], [-1, 1])


def test_an_epoch_gives_every_photo_once_with_its_person(identities: Identities) -> None:
    batches = crops(identities, Loading(batch_size=13))
    assert [batch.pixels.shape for batch in batches] == [(13, 3, 8, 8)] * 2
    assert all(batch.labels.dtype == torch.int64 for batch in batches)
    wanted = []
    for index in range(N):
        pixels = ((identities.read(index).astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
        wanted.append((np.round(pixels * 127.5 + 127.5).tobytes(), int(identities.labels[index])))
    got = [(np.round(p.numpy() * 127.5 + 127.5).tobytes(), int(k)) for b in batches for p, k in zip(*b, strict=True)]
    assert sorted(got) == sorted(wanted)
    assert got != wanted


def test_what_fills_no_batch_is_left_out_and_comes_in_another_epoch(identities: Identities) -> None:
    loading = Loading(batch_size=8)
    assert loading.batches(N) == 3
    seen = set()
    for epoch in range(12):
        batches = crops(identities, loading, epoch)
        assert [len(batch.labels) for batch in batches] == [8] * 3
        seen |= {row[0] for row in rows(batches)}
    assert len(seen) == N


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(identities: Identities, workers: int) -> None:
    loading = Loading(batch_size=4, augmentation=HEAVY, seed=3)
    assert all_same(crops(identities, loading), crops(identities, replace(loading, workers=workers)))
    assert all_same(pairs(identities, loading), pairs(identities, replace(loading, workers=workers)))


def test_a_photos_augmentation_belongs_to_seed_and_epoch_not_to_its_batch(identities: Identities) -> None:
    small, large = Loading(batch_size=1, augmentation=HEAVY), Loading(batch_size=N, augmentation=HEAVY)
    assert sorted(rows(crops(identities, small))) == sorted(rows(crops(identities, large)))
    for other in (
        rows(crops(identities, small, epoch=1)),
        rows(crops(identities, replace(small, seed=1))),
    ):
        assert len(set(other) & set(rows(crops(identities, small)))) < N / 2


def test_an_augmented_photo_is_what_the_augmentation_gives(identities: Identities) -> None:
    batches = crops(identities, Loading(batch_size=N, augmentation=HEAVY, seed=5), epoch=2)
    got = {pixels for pixels, _ in rows(batches)}
    for index in range(N):
        generator = generator_for(Purpose.AUGMENTATION, seed=5, epoch=2, at=(index, 0))
        crop = HEAVY.apply(identities.read(index), generator).crop
        assert Normalization()(torch.from_numpy(crop[None].copy()))[0].numpy().tobytes() in got


@pytest.mark.parametrize("start", [0, 1, 4, 6])
def test_an_epoch_goes_on_at_any_batch_without_reading_what_came_before(
    identities: Identities, photos: InMemory, start: int
) -> None:
    loading = Loading(batch_size=4, augmentation=HEAVY)
    for batches, per_row in ((crops, 1), (pairs, 2)):
        whole = batches(identities, loading, 3)
        photos.read.clear()
        assert all_same(whole[start:], batches(identities, loading, 3, start))
        assert len(photos.read) == (6 - start) * 4 * per_row


def test_batches_wait_to_be_asked_for(identities: Identities, photos: InMemory) -> None:
    photos.read.clear()
    batches = crop_batches(identities, Loading(batch_size=4), epoch=0)
    next(batches)
    assert len(photos.read) == 4


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_batches_one_alone_would_see(identities: Identities, ranks: int) -> None:
    alone = crops(identities, Loading(batch_size=4 * ranks, augmentation=HEAVY))
    each = [
        crops(identities, Loading(batch_size=4, augmentation=HEAVY, rank=rank, ranks=ranks)) for rank in range(ranks)
    ]
    for number, batch in enumerate(alone):
        assert rows([batch]) == rows([own[number] for own in each])
    assert {len(own) for own in each} == {N // (4 * ranks)}


def test_pairs_are_those_of_the_papers_rule(identities: Identities) -> None:
    drawn = draw_pairs(identities.labels, generator_for(Purpose.PAIRS, seed=2, epoch=1))
    contents = {identities.read(index).tobytes(): index for index in range(N)}

    def index_of(pixels: torch.Tensor) -> int:
        crop = (pixels * 127.5 + 127.5).round().to(torch.uint8).permute(1, 2, 0)
        return contents[crop.numpy().tobytes()]

    got = []
    for probes, references in pairs(identities, Loading(batch_size=13, seed=2), epoch=1):
        for row in range(13):
            first, second = index_of(probes.pixels[row]), index_of(references.pixels[row])
            assert identities.labels[first] == probes.labels[row]
            assert identities.labels[second] == references.labels[row]
            got.append((first, second))
    assert sorted(got) == sorted(zip(drawn.first.tolist(), drawn.second.tolist(), strict=True))
    assert got != sorted(got)


def test_the_two_photos_of_a_pair_are_augmented_independently(identities: Identities) -> None:
    # Photos of one content: what still differs between the sides is augmentation.
    photos = identities.photos
    assert isinstance(photos, InMemory)
    photos.contents[:] = [photos.contents[0]] * N
    (batch,) = pairs(identities, Loading(batch_size=N, augmentation=HEAVY))
    differ = (batch.probes.pixels != batch.references.pixels).flatten(1).any(dim=1)
    assert differ.float().mean() > 0.7


@pytest.mark.parametrize("workers", [0, 1])
def test_pairs_come_with_the_photos_before_anything_covered_them(identities: Identities, workers: int) -> None:
    # A mirror is drawn before an occluder, so the same seed mirrors the same photos with and without one.
    loading = Loading(batch_size=N, augmentation=Augmentation(TEMPLATE), seed=1, workers=workers)
    occluders = AugmentationConfig(mirror=0.5, sunglasses=0.2, face_mask=0.2, squares=0.3, blob=0.3)
    (bare,) = pairs(identities, loading)
    (covered,) = pairs(identities, replace(loading, augmentation=Augmentation(TEMPLATE, occluders)))
    for one, other in zip(bare, covered, strict=True):
        assert one.clear is one.pixels  # not sent twice where nothing hides
        assert torch.equal(other.clear, one.pixels)
        assert (other.pixels != one.pixels).flatten(1).any(dim=1).float().mean() > 0.9
        assert torch.equal(one.labels, other.labels)


def test_reading_batches_draws_nothing_from_torchs_global_generator(identities: Identities) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    crops(identities, Loading(batch_size=4, augmentation=HEAVY))
    pairs(identities, Loading(batch_size=4, augmentation=HEAVY, workers=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_photo_stops_the_epoch_with_its_name(identities: Identities, photos: InMemory, workers: int) -> None:
    photos.contents[9] = b"broken"
    for batches in (crops, pairs):
        with pytest.raises(InputRefused, match=r"^photo 9: this is not an image") as caught:
            batches(identities, Loading(batch_size=N, workers=workers))
        assert caught.value.code == "unsupported_format"
        assert caught.value.details["side"] == "photo 9"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_shard_stops_the_epoch_with_its_name(shards: Shards, workers: int) -> None:
    shards.shard(2).write_bytes(b"broken")
    with pytest.raises(InvalidArgument, match=r"^cannot read the shard .*000002\.tar") as caught:
        list(streamed_batches(shards, Loading(batch_size=2, workers=workers), epoch=0))
    assert caught.value.details["path"] == str(shards.shard(2))


def test_arguments_that_cannot_be_are_refused(identities: Identities) -> None:
    for wrong in ({"batch_size": 0}, {"workers": -1}, {"rank": 2, "ranks": 2}, {"rank": -1}, {"ranks": 0}):
        with pytest.raises(InvalidArgument, match="batch_size must be 1 or more"):
            Loading(**({"batch_size": 4} | wrong))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="26 photos fill no batch of 27"):
        crop_batches(identities, Loading(batch_size=27), epoch=0)
    for start in (-1, 7):
        with pytest.raises(InvalidArgument, match=f"epoch of 6 batches cannot start at batch {start}"):
            pair_batches(identities, Loading(batch_size=4), epoch=0, start=start)
    for seed in (-1, 2**32):
        with pytest.raises(InvalidArgument, match="seed, epoch"):
            crop_batches(identities, Loading(batch_size=4, seed=seed), epoch=0)
    for normalization in ({"color": "gray"}, {"scale": 0}, {"mean": (1, 2)}):
        with pytest.raises(InvalidArgument, match="color must be"):
            Normalization(**normalization)


@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (2, 1), (0, 2), (2, 2)])
def test_streams_give_every_rank_equally_many_batches_of_different_photos(
    shards: Shards, workers: int, ranks: int
) -> None:
    seen: list[tuple[bytes, int]] = []
    for rank in range(ranks):
        loading = Loading(batch_size=2, seed=1, rank=rank, ranks=ranks, workers=workers)
        batches = list(streamed_batches(shards, loading, epoch=0, buffer=4))
        assert len(batches) == streamed_count(shards, loading, epoch=0)
        assert {len(batch.labels) for batch in batches} == {2}
        seen += rows(batches)
    assert len(set(seen)) == len(seen) >= 16


def test_a_streamed_photo_is_augmented_alike_whatever_the_workers(shards: Shards, identities: Identities) -> None:
    loading = Loading(batch_size=2, augmentation=HEAVY, seed=4)
    stored = set(rows(crops(identities, Loading(batch_size=1, augmentation=HEAVY, seed=4), epoch=5)))
    for workers in (0, 2):
        streamed = rows(list(streamed_batches(shards, replace(loading, workers=workers), epoch=5, buffer=4)))
        assert len(streamed) >= 20
        assert set(streamed) <= stored


def test_streams_of_one_seed_and_epoch_are_alike(shards: Shards) -> None:
    loading = Loading(batch_size=2, augmentation=HEAVY, workers=2)
    first, again, other = (list(streamed_batches(shards, loading, epoch=epoch, buffer=4)) for epoch in (0, 0, 1))
    assert all_same(first, again)
    assert not all_same(first, other)


def test_a_stream_too_short_for_a_batch_is_refused(shards: Shards) -> None:
    with pytest.raises(InvalidArgument, match="fill no batch of 27; lower batch_size"):
        streamed_batches(shards, Loading(batch_size=27), epoch=0)


def test_folders_feed_batches(tmp_path: Path) -> None:
    for person, number in itertools.product("ab", range(3)):
        (tmp_path / person).mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / person / f"{number}.png")
    (batch,) = crops(read_folder(tmp_path), Loading(batch_size=6, workers=1))
    assert sorted(batch.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_generators_of_different_places_are_independent() -> None:
    places = [
        (purpose, seed, epoch, at)
        for purpose in Purpose
        for seed in (0, 1)
        for epoch in (0, 1)
        for at in ((1, 0), (0, 1), (1, 1))
    ]
    drawn = {generator_for(purpose, seed=seed, epoch=epoch, at=at).bytes(16) for purpose, seed, epoch, at in places}
    assert len(drawn) == len(places)
