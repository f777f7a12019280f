"""What an explanation costs against the plain passes it is made of, as ratios taken in one run.

    python benchmarks/explainers_speed.py [--masks 1000] [--rounds 3] [--all]

Rounds of: as many plain forward passes of the embedded model as there are masks for the two photos of a pair, from
crops that are ready in memory, in blocks of eight on all cores; and CorrRISE of the pair, with its masks made, laid
over the photos, scored and correlated. Printed is the median of the rounds' ratios for both mask families, of wall time
and of processor time. With --all one explanation of each method follows, with the passes it took.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xcos.catalog import DATA, EXPLAINERS, build_explainer, default_verifier
from xcos.explainers.corr_rise import CorrRise, Family
from xcos.explainers.masking import BLOCK
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import usable_cores
from xcos.images import read_image
from xcos.types import AlignedFace

BAR = 1.15
FAMILIES: tuple[Family, ...] = ("squares", "grids")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="one explanation of every method as well")
    options = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}, Python "
          f"{platform.python_version()}, NumPy {np.__version__}")  # fmt: skip
    verifier = default_verifier()
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    probe, reference = (
        verifier.locate(read_image(DATA / "examples" / f"{name}.jpg")).face for name in ("0_front", "0_smile")
    )
    print(f"{matcher.name}, {options.masks:,} masks, {options.rounds} rounds")
    _ratios(matcher, probe, reference, options.masks, options.rounds)
    if options.all:
        _all_methods(matcher, probe, reference)


def _ratios(matcher: GridMatcher, probe: AlignedFace, reference: AlignedFace, masks: int, rounds: int) -> None:
    crops = [face.crop[None] for face in (probe, reference)]
    sizes = [min(BLOCK, masks - start) for start in range(0, masks, BLOCK)]
    blocks = [crop.repeat(size, axis=0) for crop in crops for size in sizes]

    def plain() -> None:
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(matcher.encode, blocks))

    plain()
    for family in FAMILIES:
        explainer = CorrRise(matcher, masks=masks, family=family)
        times = [(_Timed(plain), _Timed(lambda: explainer.explain(probe, reference))) for _ in range(rounds)]  # noqa: B023
        wall = statistics.median(ours.wall / base.wall for base, ours in times)
        processor = statistics.median(ours.processor / base.processor for base, ours in times)
        base, ours = (statistics.median(each[index].wall for each in times) for index in (0, 1))
        print(f"  {family}: {base:.2f} s of plain passes, {ours:.2f} s for the pair; processor time x {processor:.3f}")
        print(f"  {'met ' if wall <= BAR else 'MISS'} CorrRISE ({family}) / plain passes: {wall:.3f} (bar {BAR})")


class _Timed:
    """Seconds that some work took."""

    def __init__(self, work: Callable[[], object]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        self.wall, self.processor = time.perf_counter() - wall, time.process_time() - processor


def _all_methods(matcher: GridMatcher, probe: AlignedFace, reference: AlignedFace) -> None:
    one = _Timed(lambda: [matcher.encode(probe.crop[None].repeat(BLOCK, axis=0)) for _ in range(8)]).processor / 64
    print(f"one explanation of both photos each; a pass costs {1e3 * one:.1f} ms of one processor")
    for name in EXPLAINERS:
        explainer = build_explainer(name, matcher)
        started = time.perf_counter()
        cost = explainer.explain(probe, reference).cost
        seconds = time.perf_counter() - started
        print(f"  {name:15} {cost.forward:6,} passes forward, {cost.backward:3} backward {seconds:8.2f} s")


if __name__ == "__main__":
    main()
