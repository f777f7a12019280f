"""Every photo of a protocol embedded once, its failures counted, and the templates of its samples."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xcos.errors import InputRefused, InvalidArgument, InvalidTemplate
from xcos.evaluation.engines import LOCAL, Engine
from xcos.evaluation.protocol import Numbers, PhotoSource, Samples, SampleSource, Truths
from xcos.evaluation.work import Job, KeyedPhoto, recipe_of, with_mirror
from xcos.extractor import BLOCK, Extractor, usable_cores
from xcos.feature_store import FeatureStore, Place, Recipe, Refused, Shard, StoredRows, opened_store
from xcos.images import file_bytes
from xcos.types import Floats, Reals, Templates, freeze

PHOTOS_PER_SHARD = 64  # eight blocks: what a kill may cost a thread
MOST_SHARDS = 4096  # of one protocol; each is a mapped file, and systems bound those at about 65,000
HASHED_AT_ONCE = 64  # photos, by one thread
GRIDS_AT_ONCE = 64  # in memory, of one sample's photos
VECTORS_AT_ONCE = 4096
CANCELLED = 1e-6  # what is left of features, at most, where only rounding is: a few units of single precision


@dataclass(frozen=True)
class FailedPhoto:
    """A photo that gave no template: a failure to acquire."""

    name: str
    """As in the protocol."""
    code: str
    """Stable code of the error (:mod:`xcos.errors`)."""
    message: str


@dataclass(frozen=True, eq=False)
class EmbeddedSamples:
    """Templates of a protocol's samples, and what is known of its photos. Grids stay on the disk.

    A sample of one usable photo has that photo's template, bit for bit. One of several has the means that
    :func:`shares` weighs. A sample of which no photo is usable has none: it is not ``present``.
    """

    samples: Samples
    model: str
    """Identity of what embedded them; with mirror averaging it ends in ``+mirror``."""
    grids: StoredRows
    """(samples, rows, cols, channels); rows of samples that are not present mean nothing."""
    vectors: Floats
    """(samples, D), NaN where a sample is not present."""
    present: Truths
    """(samples,): whether the sample has a template."""
    sha256: tuple[str, ...]
    """Of each photo's bytes; empty where they cannot be read."""
    measures: Mapping[str, Reals]
    """(photos,) each, by the names of :data:`xcos.evaluation.work.MEASURES`; NaN where a photo failed, and, of faces
    and confidence, where landmarks were given so that no detector was asked. ``second_look`` only where it was asked
    for."""
    failures: tuple[FailedPhoto, ...]
    """Photos without a template, in the protocol's order; after them samples whose photos' features cancel."""

    def __post_init__(self) -> None:
        count = len(self.samples)
        if not len(self.grids) == len(self.vectors) == len(self.present) == count:
            raise InvalidArgument(f"want grids, vectors and a truth for each of {count} samples")
        freeze(self, vectors=self.vectors, present=self.present)

    def templates(self, index: Numbers) -> Templates:
        """Templates of these samples, read from the disk; :class:`InvalidArgument` if one of them has none."""
        index = np.asarray(index, np.int64)
        if not self.present[index].all():
            absent = index[~self.present[index]][:8].tolist()
            raise InvalidArgument(f"samples {absent} have no template; leave out those that are not present")
        return Templates(self.grids[index], np.asarray(self.vectors[index]), self.model)

    def blocks(self, size: int = 1024) -> Iterator[tuple[Numbers, Templates]]:
        """Numbers and templates of all samples that are present, ``size`` at a time, in order."""
        there = np.flatnonzero(self.present)
        for start in range(0, len(there), size):
            index = there[start : start + size]
            yield index, self.templates(index)


@dataclass(frozen=True, eq=False)
class HashedSamples:
    """A protocol's samples whose photos were read once for their hashes, for any number of models."""

    samples: Samples
    photos: tuple[KeyedPhoto | InputRefused, ...]
    """In the order of the samples' photos; the error of one that cannot be read."""


def hash_photos(samples: Samples) -> HashedSamples:
    """The samples with the hash of every photo's bytes; several threads read."""
    photos = samples.photos
    parts = [photos[start : start + HASHED_AT_ONCE] for start in range(0, len(photos), HASHED_AT_ONCE)]
    with ThreadPoolExecutor(usable_cores(), "xcos") as pool:
        hashed = pool.map(lambda part: [_identified(photo) for photo in part], parts)
        return HashedSamples(samples, tuple(each for part in hashed for each in part))


def embed_samples(
    samples: Samples | HashedSamples,
    extractor: Extractor,
    *,
    cache: str | Path | None = None,
    mirror: bool = False,
    second_look: bool = False,
    engine: Engine = LOCAL,
    on_photo: Callable[[], None] = lambda: None,
    on_known: Callable[[int], None] = lambda _: None,
) -> EmbeddedSamples:
    """Templates of all samples; every distinct photo is read and embedded once.

    A photo that cannot be used is a failure with its code, never an exception and never dropped. One whose landmarks
    are known is cut by them, and no detector is asked.

    ``cache`` is a folder that keeps features (:mod:`xcos.feature_store`; templates are personal data, pixels are not
    kept): a run that was stopped goes on, a second one embeds nothing. It knows photos by their bytes, for one model,
    detector, choice of face, mirror and second look; this process reads each photo once for its hash (not again where
    :func:`hash_photos` did), and whoever embeds it once more. Without a cache, all features stay in memory.

    ``mirror`` averages with mirror images (:class:`xcos.evaluation.mirror.Mirrored`). ``second_look`` also measures
    how far the landmarks move when they are looked for again, which is the detector's work twice more. ``on_known``
    is told once how many of the photos need no work; ``on_photo`` is called for each of the others, by the engine's
    threads.
    """
    extractor = with_mirror(extractor) if mirror else extractor
    recipe = recipe_of(extractor, second_look=second_look)

    def run(jobs: Sequence[Job]) -> Iterator[Shard]:
        return engine.run(jobs, extractor, on_photo)

    return embed_by(run, samples, recipe, cache=cache, mirror=mirror, on_known=on_known)


def embed_by(
    run: Callable[[Sequence[Job]], Iterator[Shard]],
    samples: Samples | HashedSamples,
    recipe: Recipe,
    *,
    cache: str | Path | None,
    mirror: bool = False,
    on_known: Callable[[int], None] = lambda _: None,
) -> EmbeddedSamples:
    """As :func:`embed_samples`; ``run`` makes the shards of jobs whose features are those of the ``recipe``."""
    hashed = samples if isinstance(samples, HashedSamples) else hash_photos(samples)
    distinct = {each.key: each for each in hashed.photos if isinstance(each, KeyedPhoto)}
    with opened_store(cache, recipe, set(distinct)) as store:
        jobs = _jobs(list(distinct.values()), store, recipe, mirror)
        on_known(len(hashed.photos) - sum(len(job.photos) for job in jobs))
        for shard in run(jobs) if jobs else ():
            store.add(shard)
        return _collected(hashed, store, recipe)


def _identified(photo: PhotoSource) -> KeyedPhoto | InputRefused:
    try:
        content = photo.source if isinstance(photo.source, bytes) else file_bytes(photo.source)
    except InputRefused as error:
        return error
    sha256 = hashlib.sha256(content).hexdigest()
    points = b"" if photo.landmarks is None else np.ascontiguousarray(photo.landmarks, "<f8").tobytes()
    given = f"-{hashlib.sha256(points).hexdigest()[:16]}" if points else ""
    return KeyedPhoto(sha256 + given, sha256, photo)


def _jobs(photos: Sequence[KeyedPhoto], store: FeatureStore, recipe: Recipe, mirror: bool) -> list[Job]:
    """What is still to do. The list is cut where it would be cut if nothing were known: a run that goes on puts the
    same photos through the network together as one that was never stopped."""
    size = photos_per_shard(len(photos))
    parts = (photos[start : start + size] for start in range(0, len(photos), size))
    unknown = (tuple(each for each in part if each.key not in store.known) for part in parts)
    return [Job(part, recipe, mirror, store.folder) for part in unknown if part]


def photos_per_shard(photos: int) -> int:
    """So many, in whole blocks, that a protocol's shards stay few enough to be mapped all at once."""
    few = photos <= MOST_SHARDS * PHOTOS_PER_SHARD
    return PHOTOS_PER_SHARD if few else -(-photos // (MOST_SHARDS * BLOCK)) * BLOCK


def _collected(hashed: HashedSamples, store: FeatureStore, recipe: Recipe) -> EmbeddedSamples:
    samples, keyed = hashed.samples, hashed.photos
    found = [_result(each, store) for each in keyed]
    failures = [
        FailedPhoto(photo.name, result.code, result.message)
        for photo, result in zip(samples.photos, found, strict=True)
        if isinstance(result, Refused)
    ]
    usable = np.array([isinstance(each, Place) for each in found])
    if not usable.any():
        codes = ", ".join(f"{count} {code}" for code, count in Counter(each.code for each in failures).most_common())
        raise InvalidArgument(
            f"none of {len(found)} photos can be used ({codes}), such as {failures[0].name}: {failures[0].message}",
            photos=len(found),
        )
    first = next(each for each in found if isinstance(each, Place))
    places = [each if isinstance(each, Place) else first for each in found]
    grids, vectors = store.rows("grids", places), store.rows("vectors", places)
    templates = _sample_templates(samples, usable, grids, vectors, store.folder)
    measures = np.array([store.shards[place.shard].measures[place.row] for place in places])
    measures[~usable] = np.nan
    return EmbeddedSamples(
        samples=samples,
        model=recipe.model,
        grids=templates.grids,
        vectors=templates.vectors,
        present=templates.present,
        sha256=tuple(each.sha256 if isinstance(each, KeyedPhoto) else "" for each in keyed),
        measures=dict(zip(recipe.measures, measures.T.copy(), strict=True)),
        failures=(*failures, *templates.failures),
    )


def _result(keyed: KeyedPhoto | InputRefused, store: FeatureStore) -> Place | Refused:
    return Refused(keyed.code, keyed.message) if isinstance(keyed, InputRefused) else store.known[keyed.key]


def shares(weights: Reals, media: Numbers) -> Reals:
    """(n,) by how much each of a sample's photos counts; they sum to 1.

    The published rule for templates of many media (IJB-B and IJB-C): each photo's features times its weight, averaged
    over the photos of a medium, the media added, all before any normalisation, so that a long feature counts more.
    Divided by the sum of its factors, as here, it is a weighted mean: the direction is the same, and grids keep the
    scale of one photo's, which comparators that weigh by length rely on.
    """
    _, medium, count = np.unique(media, return_inverse=True, return_counts=True)
    factors = weights / count[medium]
    normalised: Reals = factors / factors.sum()
    return normalised


class _SampleTemplates(NamedTuple):
    grids: StoredRows
    vectors: Floats
    present: Truths
    failures: list[FailedPhoto]


def _sample_templates(
    samples: Samples, usable: Truths, grids: StoredRows, vectors: StoredRows, folder: Path | None
) -> _SampleTemplates:
    """Templates of samples from those of photos; what is computed goes into files beside the photos' features."""
    mine = [[number for number in source.photos if usable[number]] for source in samples.sources]
    present = np.array([bool(numbers) for numbers in mine])
    one = np.array([numbers[0] if numbers else 0 for numbers in mine])
    several = [at for at, numbers in enumerate(mine) if len(numbers) > 1]
    of_samples = _scratch((len(samples), *vectors.shape[1:]), folder)
    for start in range(0, len(samples), VECTORS_AT_ONCE):
        of_samples[start : start + VECTORS_AT_ONCE] = vectors[one[start : start + VECTORS_AT_ONCE]]
    pooled = _scratch((len(several), *grids.shape[1:]), folder)
    places, failures = grids.places[one], []
    for row, at in enumerate(several):
        numbers, weights = _shares_of(samples, samples.sources[at], usable)
        grid, vector = _mean(grids.take(numbers), weights), _mean(vectors.take(numbers), weights)
        places[at] = (len(grids.arrays), row)
        if grid is None or vector is None:
            present[at] = False
            failures.append(_cancelled([samples.photos[number].name for number in numbers]))
        else:
            pooled[row], of_samples[at] = grid, vector
    of_samples[~present] = np.nan
    return _SampleTemplates(StoredRows((*grids.arrays, pooled), places, grids.shape), of_samples, present, failures)


def _cancelled(names: list[str]) -> FailedPhoto:
    message = f"the features of a sample's {len(names)} photos cancel one another; nothing is left to compare"
    return FailedPhoto(", ".join(names[:4]), InvalidTemplate.code, message)


def _shares_of(samples: Samples, source: SampleSource, usable: Truths) -> tuple[Numbers, Reals]:
    """Numbers of a sample's usable photos, and how much each counts."""
    pairs = [(medium, number) for medium, numbers in enumerate(source.media) for number in numbers if usable[number]]
    media, numbers = np.array(pairs, np.int64).T
    weights = np.array([samples.photos[number].weight for number in numbers])
    return numbers, shares(weights, media)


def _mean(rows: StoredRows, weights: Reals) -> Floats | None:
    """Weighted mean of rows, summed in double precision in their order; None where they cancel one another."""
    total, largest = np.zeros(rows.shape[1:]), 0.0
    for start in range(0, len(rows), GRIDS_AT_ONCE):
        some = np.arange(start, min(start + GRIDS_AT_ONCE, len(rows)))
        for weight, row in zip(weights[some], rows[some], strict=True):
            total += weight * row
            largest = max(largest, float(np.abs(row).max()))
    cancelled = not np.abs(total).max() > CANCELLED * largest
    return None if cancelled else total.astype(np.float32)


def _scratch(shape: tuple[int, ...], folder: Path | None) -> Floats:
    """An array to be filled; where there is a cache, in a file there without a name, which ends with the array."""
    if folder is None or 0 in shape:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, "w+", shape=shape)
