"""Batches for training: photos read and augmented in worker processes, the same whatever their number.

Everything random is drawn for (seed, epoch, photo), so an epoch can begin at any batch without reading what comes
before it. Every rank gets equally many batches of equal size; what does not fill a batch is left out, other photos
in each epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from xcos.errors import InvalidArgument, XcosError
from xcos.training.data.augment import Augmentation, Augmented
from xcos.training.data.identities import Identities
from xcos.training.data.pairs import draw_pairs
from xcos.training.data.seeds import Purpose, generator_for
from xcos.training.data.shards import Shards
from xcos.types import Pixels

T = TypeVar("T")


class CropBatch(NamedTuple):
    """Photos as a network takes them."""

    pixels: Tensor
    """``(n, 3, H, W)`` float32, normalised."""
    labels: Tensor
    """``(n,)`` int64: the person of each."""


class PairSide(NamedTuple):
    """One photo of each of n pairs."""

    pixels: Tensor
    """``(n, 3, H, W)`` float32, normalised."""
    labels: Tensor
    """``(n,)`` int64: the person of each."""
    clear: Tensor
    """``(n, 3, H, W)``: the same photos in the same place, before anything covered or spoilt them."""


class PairBatch(NamedTuple):
    """Pairs of photos."""

    probes: PairSide
    references: PairSide


@dataclass(frozen=True)
class Normalization:
    """How pixels enter a network: ``(pixel − mean) · scale`` per channel, in the network's own order of channels."""

    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: float = 1 / 127.5

    def __post_init__(self) -> None:
        if self.color not in ("rgb", "bgr") or len(self.mean) != 3 or self.scale == 0:
            raise InvalidArgument(
                f"color must be 'rgb' or 'bgr', mean three numbers and scale not 0, got {self.color!r}, {self.mean} "
                f"and {self.scale}"
            )

    def __call__(self, crops: Tensor) -> Tensor:
        """``(n, 3, H, W)`` float32 of ``(n, H, W, 3)`` uint8 RGB, on the same device."""
        ordered = crops if self.color == "rgb" else crops.flip(3)
        pixels = ordered.permute(0, 3, 1, 2).contiguous().float()  # moved as bytes, a quarter of the floats
        mean = torch.tensor(self.mean, dtype=torch.float32, device=crops.device)
        return pixels.sub_(mean[:, None, None]).mul_(self.scale)


@dataclass(frozen=True)
class Loading:
    """How photos become batches."""

    batch_size: int
    """Photos, or pairs, of one rank's batch."""
    normalization: Normalization = Normalization()
    augmentation: Augmentation | None = None
    """None: photos as they are."""
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    """Processes that train together; each passes its ``rank``."""
    workers: int = 0
    """Processes that read photos for this rank; 0 reads them in this one."""
    device: str = "cpu"
    """Where the batches go."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0 or not 0 <= self.rank < self.ranks:
            raise InvalidArgument(
                f"batch_size must be 1 or more, workers 0 or more and rank in 0 … ranks − 1, got {self.batch_size}, "
                f"{self.workers} and {self.rank} of {self.ranks}"
            )

    def batches(self, photos: int) -> int:
        """Batches of an epoch of so many photos, the same for each rank."""
        count = photos // (self.batch_size * self.ranks)
        if count == 0:
            raise InvalidArgument(
                f"{photos} photos fill no batch of {self.batch_size} for each of {self.ranks} ranks; lower batch_size"
            )
        return count


class _Raw(NamedTuple):
    """What workers send: photos as bytes, a quarter of what floats would be."""

    pixels: Tensor
    """``(n, H, W, 3)`` uint8 RGB."""
    labels: Tensor


class _RawSide(NamedTuple):
    photos: _Raw
    clear: Tensor
    """As the photos' pixels, and the same tensor where augmentation covered and spoilt none of them."""


_RawPairs = tuple[_RawSide, _RawSide]


def crop_batches(identities: Identities, loading: Loading, *, epoch: int, start: int = 0) -> Iterator[CropBatch]:
    """This rank's batches of one epoch, from batch ``start``: every photo once, in random order."""
    rows = _rows(len(identities), loading, epoch, start)
    reader = _Reading(_CropReader(identities, loading, epoch))
    return (_crop_batch(raw, loading) for raw in _read(reader, rows, loading))


def pair_batches(identities: Identities, loading: Loading, *, epoch: int, start: int = 0) -> Iterator[PairBatch]:
    """This rank's batches of one epoch, from batch ``start``: each photo's pair of :func:`draw_pairs`, shuffled."""
    rows = _rows(len(identities), loading, epoch, start)
    reader = _Reading(_PairReader(identities, loading, epoch))
    return (
        PairBatch(_pair_side(probes, loading), _pair_side(references, loading))
        for probes, references in _read(reader, rows, loading)
    )


def streamed_batches(shards: Shards, loading: Loading, *, epoch: int, buffer: int = 10_000) -> Iterator[CropBatch]:
    """This rank's :func:`streamed_count` batches of one epoch from shards, shuffled through ``buffer`` photos a worker.

    Which photos come in which batch depends on the number of workers; how each is augmented does not.
    """
    streamed_count(shards, loading, epoch=epoch)
    stream = _Stream(shards, loading, epoch, buffer)
    return (_crop_batch(raw, loading) for raw in _read(stream, None, loading))


def streamed_count(shards: Shards, loading: Loading, *, epoch: int) -> int:
    """Batches that each rank gets from shards in this epoch; each of its workers gives equally many."""
    readers = max(loading.workers, 1)
    photos = shards.quota(seed=loading.seed, epoch=epoch, parts=loading.ranks * readers)
    if photos < loading.batch_size:
        raise InvalidArgument(
            f"{photos} photos for each of {loading.ranks * readers} readers fill no batch of {loading.batch_size}; "
            "lower batch_size or workers"
        )
    return photos // loading.batch_size * readers


class _Reading(Dataset[T | XcosError]):
    """A batch's indices → the batch, or the error that came instead: raised in a worker it would lose its details."""

    def __init__(self, read: Callable[[NDArray[np.int64]], T]) -> None:
        self._read = read

    def __getitem__(self, rows: NDArray[np.int64]) -> T | XcosError:
        try:
            return self._read(rows)
        except XcosError as error:
            return error


class _CropReader:
    def __init__(self, identities: Identities, loading: Loading, epoch: int) -> None:
        self._identities, self._loading, self._epoch = identities, loading, epoch

    def __call__(self, photos: NDArray[np.int64]) -> _Raw:
        changed = self.augmented(photos, [(photo, 0) for photo in photos.tolist()])
        return _stacked(changed, self._identities.labels[photos])

    def augmented(self, photos: NDArray[np.int64], places: list[tuple[int, int]]) -> list[Augmented]:
        """Photos augmented by the generators of these places."""
        crops = (self._identities.read(photo) for photo in photos.tolist())
        return [_augmented(*each, self._loading, self._epoch) for each in zip(crops, places, strict=True)]


class _PairReader:
    def __init__(self, identities: Identities, loading: Loading, epoch: int) -> None:
        self._labels, self._crops = identities.labels, _CropReader(identities, loading, epoch)
        self._pairs = draw_pairs(self._labels, generator_for(Purpose.PAIRS, seed=loading.seed, epoch=epoch))

    def __call__(self, rows: NDArray[np.int64]) -> _RawPairs:
        return self._side(self._pairs.first[rows], rows, 0), self._side(self._pairs.second[rows], rows, 1)

    def _side(self, photos: NDArray[np.int64], rows: NDArray[np.int64], side: int) -> _RawSide:
        changed = self._crops.augmented(photos, [(row, side) for row in rows.tolist()])
        raw = _stacked(changed, self._labels[photos])
        untouched = all(each.clear is each.crop for each in changed)
        return _RawSide(raw, raw.pixels if untouched else _tensor([each.clear for each in changed]))


class _Stream(IterableDataset[_Raw | XcosError]):
    def __init__(self, shards: Shards, loading: Loading, epoch: int, buffer: int) -> None:
        self._shards, self._loading, self._epoch, self._buffer = shards, loading, epoch, buffer

    def __iter__(self) -> Iterator[_Raw | XcosError]:
        try:
            yield from self._batches()
        except XcosError as error:
            yield error

    def _batches(self) -> Iterator[_Raw]:
        worker, loading = get_worker_info(), self._loading
        here, readers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        photos = self._shards.stream(
            seed=loading.seed,
            epoch=self._epoch,
            part=loading.rank * readers + here,
            parts=loading.ranks * readers,
            buffer=self._buffer,
        )
        while len(batch := list(islice(photos, loading.batch_size))) == loading.batch_size:
            changed = [_augmented(photo.pixels, (photo.number, 0), loading, self._epoch) for photo in batch]
            yield _stacked(changed, np.array([photo.label for photo in batch], np.int64))


def _augmented(crop: Pixels, place: tuple[int, int], loading: Loading, epoch: int) -> Augmented:
    if loading.augmentation is None:
        return Augmented(crop, crop)
    generator = generator_for(Purpose.AUGMENTATION, seed=loading.seed, epoch=epoch, at=place)
    return loading.augmentation.apply(crop, generator)


def _stacked(changed: list[Augmented], labels: NDArray[np.int64]) -> _Raw:
    return _Raw(_tensor([each.crop for each in changed]), torch.from_numpy(labels))


def _tensor(crops: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(crops))


def _rows(photos: int, loading: Loading, epoch: int, start: int) -> list[NDArray[np.int64]]:
    """Indices of this rank's batches, from batch ``start``; together the ranks' make consecutive parts of one order."""
    count = loading.batches(photos)
    if not 0 <= start <= count:
        raise InvalidArgument(f"an epoch of {count} batches cannot start at batch {start}")
    order = generator_for(Purpose.ORDER, seed=loading.seed, epoch=epoch).permutation(photos)
    used = order[: count * loading.ranks * loading.batch_size]
    return list(used.reshape(count, loading.ranks, loading.batch_size)[start:, loading.rank])


def _read(dataset: Dataset[T | XcosError], rows: list[NDArray[np.int64]] | None, loading: Loading) -> Iterator[T]:
    """The batches of these rows; of a stream, all it gives."""
    loader = DataLoader(
        dataset,
        sampler=rows,
        batch_size=None,  # a row is a batch, and the data set makes it
        collate_fn=_as_it_is,
        num_workers=loading.workers,
        pin_memory=torch.device(loading.device).type == "cuda",
        generator=torch.Generator(),  # without its own it would draw from torch's global one
    )
    for batch in loader:
        if isinstance(batch, XcosError):
            raise batch
        yield batch


def _as_it_is(batch: T) -> T:
    return batch


def _crop_batch(raw: _Raw, loading: Loading) -> CropBatch:
    return CropBatch(_network_pixels(raw.pixels, loading), raw.labels.to(loading.device, non_blocking=True))


def _pair_side(raw: _RawSide, loading: Loading) -> PairSide:
    pixels, labels = _crop_batch(raw.photos, loading)
    return PairSide(pixels, labels, pixels if raw.clear is raw.photos.pixels else _network_pixels(raw.clear, loading))


def _network_pixels(crops: Tensor, loading: Loading) -> Tensor:
    return loading.normalization(crops.to(loading.device, non_blocking=True))
