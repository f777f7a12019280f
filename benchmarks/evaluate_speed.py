"""What evaluating a protocol costs beside the detector and the network themselves, as a ratio taken in one run.

    python benchmarks/evaluate_speed.py [--photos 1000 | --photos 0] [--second-look] [--lfw FOLDER]

Whole: embed_samples() from LFW's files into a fresh cache (hashing, decoding, finding, cutting, measuring, embedding,
writing), and the scores of View 2's pairs among these photos. Floor: the detector on the same photos, decoded before,
and the network on their crops, cut before, in the same blocks on as many threads. Both a slice of photos at a time,
in turns, so that what else the machine does meets both alike; by the clock, which means something on idle cores only,
and in processor time of this process. 0 photos: all of View 2's.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import lfw
from xcos.catalog import default_verifier
from xcos.errors import InputRefused
from xcos.evaluation.embedding import EmbeddedSamples, embed_samples, photos_per_shard
from xcos.evaluation.protocol import PhotoSource, Samples, single
from xcos.extractor import BLOCK, Extractor, usable_cores
from xcos.images import read_image
from xcos.interfaces import Comparator
from xcos.types import Crops, Pixels, Reals

PAIRS_AT_ONCE = 512
SLICE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--second-look", action="store_true")
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    options = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}, Python "
          f"{platform.python_version()}, NumPy {np.__version__}")  # fmt: skip
    verifier = default_verifier(face="center")
    pairs = lfw.read_pairs(options.lfw / "pairs.txt")
    names = np.array(lfw.photos_of(pairs))
    names = np.sort(np.random.default_rng(0).permutation(names)[: options.photos or len(names)])
    number = {str(name): at for at, name in enumerate(names)}
    named = [(number[p.probe], number[p.reference]) for p in pairs if p.probe in number and p.reference in number]
    scored = np.array(named, np.int64).reshape(-1, 2)
    photos = tuple(PhotoSource(name, options.lfw / "images" / name) for name in number)
    floor, whole = Stopwatch(), Stopwatch()
    extractor = verifier.extractor
    with tempfile.TemporaryDirectory() as cache:
        for start in range(0, len(photos), SLICE):
            samples = _singles(photos[start : start + SLICE])
            decoded, crops = _decoded(samples, extractor)
            with floor:
                _floor(extractor, decoded, crops)
            with whole:
                embed_samples(samples, extractor, cache=cache, second_look=options.second_look)
            print(f"  {start + len(samples):5,} photos: {whole.clock:.1f} s against {floor.clock:.1f} s by the clock, "
                  f"{whole.processor:.1f} s against {floor.processor:.1f} s of processor time", flush=True)  # fmt: skip
        with whole:
            embedded = embed_samples(_singles(photos), extractor, cache=cache, second_look=options.second_look)
            _scores(embedded, verifier.comparator, scored)
    clock, processor = whole.clock / floor.clock, whole.processor / floor.processor
    print(f"  {len(embedded.failures)} failed; {len(scored):,} pairs compared")
    print(f"  {'met ' if clock <= 1.3 else 'MISS'} whole / (detection + network): {clock:.3f} (bar 1.3); "
          f"processor time {processor:.3f}")  # fmt: skip


def _singles(photos: tuple[PhotoSource, ...]) -> Samples:
    return Samples(photos, tuple(map(single, range(len(photos)))), np.arange(len(photos)), False)


class Stopwatch:
    """Seconds inside it so far: by the clock, and of processor time of all this process's threads together."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0

    def __enter__(self) -> None:
        self.clock -= time.perf_counter()
        self.processor -= time.process_time()

    def __exit__(self, *error: object) -> None:
        self.clock += time.perf_counter()
        self.processor += time.process_time()


def _decoded(samples: Samples, extractor: Extractor) -> tuple[list[Pixels], list[Crops]]:
    """Every photo's pixels, and the crops of each block of eight photos."""
    decoded, crops = [], []
    for start in range(0, len(samples.photos), BLOCK):
        block = []
        for photo in samples.photos[start : start + BLOCK]:
            read = read_image(photo.source)
            decoded.append(read.pixels)
            try:
                block.append(extractor.find(read).face.crop)
            except InputRefused:
                continue
        crops.append(np.stack(block))
    return decoded, crops


def _floor(extractor: Extractor, decoded: list[Pixels], crops: list[Crops]) -> None:
    """The detector and the network alone, shard by shard as LocalPool works."""
    blocks = photos_per_shard(len(decoded)) // BLOCK

    def shard(first: int) -> None:
        for at in range(first, min(first + blocks, len(crops))):
            for pixels in decoded[at * BLOCK : (at + 1) * BLOCK]:
                extractor.detector.detect(pixels)
            extractor.embedder.embed(crops[at])

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(shard, range(0, len(crops), blocks)))


def _scores(embedded: EmbeddedSamples, comparator: Comparator, pairs: np.ndarray) -> Reals:
    scores = np.full(len(pairs), -np.inf)
    there = np.flatnonzero(embedded.present[pairs].all(axis=1))
    for start in range(0, len(there), PAIRS_AT_ONCE):
        some = there[start : start + PAIRS_AT_ONCE]
        probes, references = (embedded.templates(pairs[some, side]).grids for side in (0, 1))
        similarity, attention = comparator.maps(probes, references)
        scores[some] = (similarity * attention).sum(axis=(1, 2))
    return scores


if __name__ == "__main__":
    main()
