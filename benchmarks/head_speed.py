"""What pairs cost on one core, beside the published module in the same process.

    python benchmarks/head_speed.py [--faces 1024] [--rounds 9]

Grids of 7 × 7 × 512 with random values, heads with random parameters; and trust weighting as the shipped model has
it, on grids of 7 × 7 × 128 and compact ones of 7 × 7 × 32. Per weighting: largest difference to the trained module (or
to the maps) in double precision, faces encoded, all pairs and 6,000 listed pairs scored from encodings (7,701 faces in
the order of a list such as LFW's: a mated pair are neighbours, half of the pairs are not mated). Processor time of one
thread, best of the rounds, since a shared machine only ever adds to it; beside all pairs the plain matrix product of
their shape, in turns with them. The published module gets projected features and scores pairs one a call or 64 a call.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch

from xcos.comparators import EncodedFaces, LearnedHead
from xcos.compare import TrustedFaces, TrustWeighted
from xcos.training.export import export_head
from xcos.training.head import Concat, Norm, Separable, Symmetric, Uniform, Weighting, XcosHead

Faces = TypeVar("Faces")
SIDE, CHANNELS = 7, 512
LISTED, LISTED_FACES = 6000, 7701
CHECKED = 512
WEIGHTINGS: dict[str, Callable[[], Weighting]] = {
    "uniform": Uniform,
    "norm": Norm,
    "separable": lambda: Separable(CHANNELS),
    "symmetric": Symmetric,
    "concat": Concat,
}
BARS = {
    "separable": 20e6,
    "trust, 32 a cell": 20e6,
    "trust, 128 a cell": 20e6,
    "symmetric": 400e3,
}  # all pairs a second
LISTED_BAR, EXACT_BAR = 20e-3, 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, load {os.getloadavg()[0]:.1f}, NumPy {np.__version__}, torch {torch.__version__}, "
          f"matrix product {_matrix_rate(options.rounds) / 1e9:.0f} GFLOP/s")  # fmt: skip
    one, many = (_published_rate(batch, options.rounds) for batch in (1, 64))
    print(f"published module in torch: {one:,.0f} pairs/s one a call, {many:,.0f} pairs/s 64 a call")
    for name in WEIGHTINGS:
        _report(name, *_learned(name), (one, many), options.faces, options.rounds)
    for channels in (128, 32):
        _report(f"trust, {channels} a cell", *_trusted(channels), (one, many), options.faces, options.rounds)


@dataclass(frozen=True)
class _Speed(Generic[Faces]):
    """What is timed: encoding of 256 faces, and scores of some encoded ones."""

    encode: Callable[[], object]
    crowd: Callable[[int], Faces]
    score_all: Callable[[Faces, Faces], object]
    score_pairs: Callable[[Faces, Faces, np.ndarray], object]
    width: int
    """Numbers of a face that meet in the product of all pairs."""
    stored: int


def _learned(name: str) -> tuple[_Speed[EncodedFaces], float]:
    head, learned = _head_and_export(name)
    grids = np.random.default_rng(0).normal(size=(256, SIDE, SIDE, CHANNELS)).astype(np.float32)
    some = learned.encode(grids)
    speed = _Speed(
        lambda: learned.encode(grids),
        lambda count: _repeated(some, count),
        learned.score_all,
        learned.score_pairs,
        some.features[0].size,
        (some.features.size + some.cues.size) // len(some),
    )
    return speed, _difference(head, learned)


def _trusted(channels: int) -> tuple[_Speed[TrustedFaces], float]:
    random = np.random.default_rng(0)
    shape = (256, SIDE, SIDE, channels)
    grids = (random.normal(size=shape) * random.gamma(1, 1, (*shape[:3], 1))).astype(np.float32)
    weighting = TrustWeighted()
    some = weighting.encode(grids)
    half = len(grids) // 2
    similarity, attention = weighting.maps(grids[:half], grids[half:])
    expected = (similarity * attention).sum(axis=(1, 2))
    listed = np.stack([np.arange(half), np.arange(half)], axis=1)
    found = weighting.score_pairs(some[:half], some[half:], listed), weighting.score_all_of(some[:half], some[half:])
    difference = max(np.abs(found[0] - expected).max(), np.abs(np.diag(found[1]) - expected).max())
    speed = _Speed(
        lambda: weighting.encode(grids),
        lambda count: some[np.arange(count) % len(some)],
        weighting.score_all_of,
        weighting.score_pairs,
        some.features.shape[1],
        some.features.shape[1] + some.trust.shape[1],
    )
    return speed, float(difference)


def _report(
    name: str, speed: _Speed[Faces], difference: float, published: tuple[float, float], faces: int, rounds: int
) -> None:
    one, many = published
    encoding = 256 / _best(rounds, speed.encode)[0]
    # Two crowds in memory of their own: the product of an array with itself costs half.
    sides = speed.crowd(faces), speed.crowd(faces)
    plain = [np.random.default_rng(side).normal(size=(faces, speed.width)).astype(np.float32) for side in (0, 1)]
    of_all, of_product = _best(rounds, lambda: speed.score_all(*sides), lambda: plain[0] @ plain[1].T)
    rate = faces**2 / of_all
    people, pairs = speed.crowd(LISTED_FACES), _listed()
    listed = _best(rounds, lambda: speed.score_pairs(people, people, pairs))[0]
    print(f"{name}: {speed.stored:,} numbers a face, {encoding:,.0f} faces/s encoded")
    print(f"  all pairs {rate / 1e6:.2f} M/s{_bar(rate >= BARS[name], BARS[name]) if name in BARS else ''}, "
          f"{of_product / of_all:.0%} of the plain product's rate, "
          f"{rate / one:,.0f} x the published one a call, {rate / many:,.0f} x 64 a call")  # fmt: skip
    listed_bar = _bar(listed <= LISTED_BAR, LISTED_BAR) if name in BARS else ""
    print(f"  {LISTED:,} listed pairs {listed * 1e3:.1f} ms{listed_bar}, "
          f"{LISTED / listed / one:,.0f} x the published one a call")  # fmt: skip
    print(f"  largest difference to the module {difference:.1e}{_bar(difference <= EXACT_BAR, EXACT_BAR)}", flush=True)


def _bar(met: bool, limit: float) -> str:
    return f" ({'met' if met else 'MISS'}, bar {limit:g})"


def _head(name: str) -> XcosHead:
    """Random parameters, and statistics of random grids."""
    torch.manual_seed(0)
    head = XcosHead(CHANNELS, WEIGHTINGS[name]())
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for _ in range(50):
            head.train()(*torch.randn(2, 16, CHANNELS, SIDE, SIDE))
    return head.eval()


def _head_and_export(name: str) -> tuple[XcosHead, LearnedHead]:
    head = _head(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.onnx"
        path.write_bytes(export_head(head, SIDE, SIDE))
        return head, LearnedHead(path)


@torch.inference_mode()
def _difference(head: XcosHead, learned: LearnedHead) -> float:
    """Of all pairs' and listed pairs' scores to the module in double precision."""
    a, b = torch.randn(2, CHECKED, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    expected = head.double()(a.double(), b.double()).score.numpy()
    head.float()
    probes, references = (learned.encode(side.permute(0, 2, 3, 1).contiguous().numpy()) for side in (a, b))
    both = np.repeat(np.arange(CHECKED)[:, None], 2, axis=1)
    found = np.diag(learned.score_all(probes, references)), learned.score_pairs(probes, references, both)
    return float(max(np.abs(scores - expected).max() for scores in found))


def _repeated(faces: EncodedFaces, count: int) -> EncodedFaces:
    """As many faces as asked for, each in memory of its own."""
    return faces[np.arange(count) % len(faces)]


def _listed() -> np.ndarray:
    random, half = np.random.default_rng(2), LISTED // 2
    mated = np.arange(LISTED).reshape(half, 2)
    non_mated = np.stack([np.sort(random.integers(0, LISTED_FACES, half)), random.integers(0, LISTED_FACES, half)], 1)
    return np.concatenate([mated, non_mated])


@torch.inference_mode()
def _published_rate(batch: int, rounds: int) -> float:
    head = _head("concat")
    probe, reference = (head.face(side) for side in torch.randn(2, batch, CHANNELS, SIDE, SIDE))
    calls = 640 // batch

    def score() -> None:
        for _ in range(calls):
            head.compare(probe, reference).score  # noqa: B018

    return calls * batch / _best(rounds, score)[0]


def _matrix_rate(rounds: int) -> float:
    """Multiplications and additions a second of this NumPy's matrix product."""
    square = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    return 2 * 1024**3 / _best(rounds, lambda: square @ square)[0]


def _best(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Least processor time of each, in turns."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            started = time.process_time()
            work()
            taken.append(time.process_time() - started)
    return [min(taken) for taken in times]


if __name__ == "__main__":
    main()
