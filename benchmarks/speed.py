"""What the main job costs, as ratios taken in one run.

    python benchmarks/speed.py [import] [first] [warm] [size] [explain] [batch] [--lfw FOLDER]

Sections (all but batch by default): import time against NumPy's; a first verification in a fresh process; a warm
one of two 1-megapixel JPEGs and the share of our own Python in it; a 12-megapixel photo against a 1-megapixel one;
one explanation from cached features against the published attention module (needs torch; without it against the
0.27 ms that was recorded for it); a batch of LFW's 6,000 pairs against detection and embedding of its photos.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from PIL import Image

import lfw
from xcos.catalog import DATA, default_verifier
from xcos.compare import NormWeighted
from xcos.images import read_image
from xcos.pairs import read_pairs, write_scores
from xcos.types import Comparison

EXAMPLES = DATA / "examples"
P = ParamSpec("P")
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    options = parser.parse_args()
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, NumPy {np.__version__}")  # fmt: skip
    for name in options.sections or [name for name in SECTIONS if name != "batch"]:
        SECTIONS[name](options)


def bar(name: str, value: float, limit: float, unit: str = "") -> None:
    print(f"  {'met ' if value <= limit else 'MISS'} {name}: {value:.3g}{unit} (bar {limit:g}{unit})")


def median_time(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def imports(_: argparse.Namespace) -> None:
    print("import")

    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    bare = median_time(run("pass"), 15)
    numpy_s = median_time(run("import numpy"), 15)
    xcos_s = median_time(run("import xcos"), 15)
    used = median_time(run("import xcos; xcos.read_image, xcos.Verifier"), 15)
    print(f"  whole processes: python {bare:.3f} s, import numpy {numpy_s:.3f} s, import xcos {xcos_s:.3f} s, "
          f"and touching read_image and Verifier {used:.3f} s")  # fmt: skip
    bar("import xcos / import numpy", xcos_s / numpy_s, 1.3)


def first(_: argparse.Namespace) -> None:
    print("first verification in a fresh process")
    photos = [str(EXAMPLES / f"{name}.jpg") for name in ("0_front", "0_smile")]
    with tempfile.TemporaryDirectory() as folder:
        extra = ["--picture", f"{folder}/p.png", "--report", f"{folder}/r.html"]
        plain = [sys.executable, "-m", "xcos", "verify", *photos]
        bar("score only, wall", median_time(_silent(plain), 9), 1.3, " s")
        bar("with picture and report, wall", median_time(_silent([*plain, *extra]), 9), 2.2, " s")
    bar("largest resident set of them", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 250, " MB")


def _silent(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def megapixel_photos(folder: Path, width: int, height: int) -> list[Path]:
    """Example faces in a scene of width × height, as JPEG."""
    paths = []
    for name in ("0_front", "0_smile"):
        with Image.open(EXAMPLES / f"{name}.jpg") as example:
            face = example.resize((height, height), Image.Resampling.BICUBIC)
        scene = Image.new("RGB", (width, height), (120, 90, 70))
        scene.paste(face, ((width - height) // 2, 0))
        paths.append(folder / f"{name}_{width}.jpg")
        scene.save(paths[-1], quality=90)
    return paths


class _Clock:
    """Seconds spent inside the calls it wraps."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def around(self, name: str, work: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            started = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started

        return timed


def warm(_: argparse.Namespace) -> None:
    print("warm verification of two 1-megapixel JPEGs (1184 × 864), photo after photo on one core")
    clock = _Clock()
    verifier = default_verifier()
    timed = default_verifier()
    read = clock.around("decode", read_image)
    timed.detector.detect = clock.around("detector", timed.detector.detect)  # type: ignore[method-assign]
    timed.embedder.embed = clock.around("backbone", timed.embedder.embed)  # type: ignore[method-assign]
    totals, shares, parts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = megapixel_photos(Path(folder), 1184, 864)
        for round_ in range(60):
            clock.spent.clear()
            started = time.perf_counter()
            samples = [timed.locate(read(path)) for path in paths]
            one, other = (timed.extract([sample])[0] for sample in samples)
            timed.decide(timed.compare(one, other), timed.second_opinion(one, other), *samples)
            total = time.perf_counter() - started
            if round_ >= 10:
                totals.append(total)
                shares.append((total - sum(clock.spent.values())) / total)
                parts.append([1e3 * seconds for seconds in clock.spent.values()])
        photos = read_image(paths[0]), read_image(paths[1])
        side_by_side = median_time(lambda: verifier.verify(*photos), 20)
    middle = np.median(parts, axis=0)
    named = ", ".join(f"{name} {ms:.1f} ms" for name, ms in zip(clock.spent, middle, strict=True))
    print(f"  {1e3 * statistics.median(totals):.1f} ms: {named}")
    print(f"  verify() of the decoded photos, side by side on the cores there are: {1e3 * side_by_side:.1f} ms")
    bar("share of our own Python", statistics.median(shares), 0.05)


def size(_: argparse.Namespace) -> None:
    print("detection in a 12-megapixel photo against a 1-megapixel one of the same scene")
    detector = default_verifier().detector
    with tempfile.TemporaryDirectory() as folder:
        small, large = (read_image(megapixel_photos(Path(folder), *wh)[0]) for wh in ((1184, 888), (4000, 3000)))
    pairs = [
        (median_time(lambda: detector.detect(small.pixels), 5), median_time(lambda: detector.detect(large.pixels), 5))
        for _ in range(5)
    ]
    times = [statistics.median(column) for column in zip(*pairs, strict=True)]
    print(
        f"  {1e3 * times[0]:.1f} ms and {1e3 * times[1]:.1f} ms: ratio {times[1] / times[0]:.2f} for 11.4 × the pixels"
    )


def explain(_: argparse.Namespace) -> None:
    print("one explanation (similarity, attention, contribution, score) from cached features")
    random = np.random.default_rng(0)
    a, b = (random.normal(1, 1, (1, 5, 5, 128)).astype(np.float32) for _ in range(2))
    weighting = NormWeighted()

    def ours() -> object:
        similarity, attention = weighting.maps(a, b)
        comparison = Comparison(similarity[0], attention[0])
        return comparison.contribution, comparison.score

    published = _published_head()
    pairs = [(median_time(ours, 200), median_time(published, 200)) if published else (median_time(ours, 200), 0.27e-3)
             for _ in range(9)]  # fmt: skip
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    origin = (
        "the published module's layers in torch, one pair a call" if published else "0.27 ms recorded; no torch here"
    )
    print(f"  {1e6 * mine:.1f} µs against {1e6 * theirs:.1f} µs ({origin})")
    bar("ratio", mine / theirs, 0.1)


def _published_head() -> Callable[[], object] | None:
    """The published attention and local cosines with random weights, in evaluation mode, one thread."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.manual_seed(0)

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.PReLU())

    shared, fused, last = block(32, 16).eval(), block(32, 16).eval(), block(16, 1).eval()
    one, other = torch.randn(1, 32, 7, 7), torch.randn(1, 32, 7, 7)

    def run() -> object:
        with torch.no_grad():
            logits = last(fused(torch.cat([shared(one), shared(other)], dim=1)))
            attention = torch.softmax(logits.flatten(1), dim=1).view(1, 7, 7)
            similarity = torch.cosine_similarity(
                nn.functional.normalize(one, dim=1), nn.functional.normalize(other, dim=1), dim=1
            )
            return (similarity * attention).sum(dim=(1, 2))

    return run


def batch(options: argparse.Namespace) -> None:
    print("LFW's 6,000 pairs (View 2) through the pair list, against detection and embedding of their photos")
    verifier = default_verifier(face="center")
    rows = lfw.read_pairs(options.lfw / "pairs.txt")
    names = lfw.photos_of(rows)
    paths = [options.lfw / "images" / name for name in names]
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "pairs.csv")
        with listing.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["probe", "reference", "mated"])
            for row in rows:
                writer.writerow(
                    [*(options.lfw / "images" / side for side in (row.probe, row.reference)), int(row.mated)]
                )
        reads: list[int] = []
        started = time.perf_counter()
        write_scores(verifier, read_pairs(listing), Path(folder, "scores.csv"), on_photo=lambda: reads.append(1))
        whole = time.perf_counter() - started
        started = time.perf_counter()
        verifier.extractor.prepare(paths)
        floor = time.perf_counter() - started
    print(f"  {len(rows):,} pairs, {len(names):,} distinct photos, {len(reads):,} photos read; {whole:.1f} s against "
          f"{floor:.1f} s")  # fmt: skip
    bar("photos read / distinct photos", len(reads) / len(names), 1.0)
    bar("whole / (read + detection + embedding)", whole / floor, 1.1)


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "import": imports,
    "first": first,
    "warm": warm,
    "size": size,
    "explain": explain,
    "batch": batch,
}

if __name__ == "__main__":
    main()
