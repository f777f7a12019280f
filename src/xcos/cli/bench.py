"""``xcos bench explainers``: every method by every measure, on one's own pairs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xcos.catalog import build_explainer, build_verifier
from xcos.cli.progress import Bar, progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.bench import BenchResult, default_measures, run_bench, spread
from xcos.explainers.bench_pairs import FoundPairs, evenly, find_pairs, listed_pairs, photos_of
from xcos.explainers.bench_randomised import RandomisedResult, run_randomised
from xcos.explainers.bench_report import sentences, write_bench
from xcos.explainers.bench_twins import TwinResult, run_twin_bench
from xcos.explainers.bench_work import Work
from xcos.explainers.explanation import Explainer
from xcos.explainers.faithfulness.locality import measure_locality
from xcos.explainers.faithfulness.measure import FacePair, Measure, name_of
from xcos.explainers.faithfulness.triplets import read_rendered_twins, read_triplets
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import usable_cores
from xcos.verifier import Verifier

LOCALITY_PAIRS = 4
SAID_EVERY = 60.0  # seconds


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos bench``."""
    if min(options.pairs_limit, options.extra_limit, options.randomised) < 0 or (
        options.budget is not None and options.budget < 1
    ):
        raise InvalidArgument("--pairs-limit, --extra-limit and --randomised must be 0 or more, and --budget 1 or more")
    if options.randomised and options.model:
        raise InvalidArgument("--randomised shuffles the shipped network's weights; leave away --model")
    out = _made(Path(options.out))
    verifier = build_verifier(detector=options.detector, model=options.model, face=options.face)
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    explainers = _explainers(options, matcher)
    measures = _measures(options.measures, matcher)
    listed = evenly(listed_pairs(options.pairs), options.pairs_limit)
    with progress_bar("photos", len(photos_of(listed))) as bar, without_decoder_chatter():
        found = find_pairs(listed, verifier.extractor, on_photo=bar.advance)
    _report_refused(found)
    with progress_bar("passes", None) as bar:
        told = _Told(bar)
        result = run_bench(matcher, explainers, found.pairs, measures, out, budget=options.budget,
                           extra_pairs=options.extra_limit, streams=usable_cores(), on_start=told.start,
                           on_progress=told.advance)  # fmt: skip
    twins = _twins(options.twins, verifier, matcher, explainers, out)
    locality = measure_locality(matcher.embedder, matcher.comparator, found.pairs[:LOCALITY_PAIRS], samples=1)
    randomised = _randomised(options, explainers, found.pairs, out)
    files = write_bench(result, out, locality=locality, twins=twins, randomised=randomised)
    _print(result, files, options)
    return 0


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"cannot make the folder {folder}: {error.strerror}; give another --out") from error
    return folder


def _names(text: str, what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) != len(names):
        raise InvalidArgument(f"--{what} wants one or more different names, separated by commas, got {text!r}")
    return names


def _explainers(options: argparse.Namespace, matcher: GridMatcher) -> list[Explainer]:
    names = _names(options.methods, "methods")
    given: dict[str, dict[str, str]] = {name: {} for name in names}
    for text in options.option:
        place, equals, value = text.partition("=")
        method, dot, option = place.rpartition(".")
        if not (equals and dot and method and option):
            raise InvalidArgument(f"--option must be METHOD.NAME=VALUE, got {text!r}")
        if method not in given:
            raise InvalidArgument(f"--option {text} is for the method {method!r}, which is not among --methods")
        if option in given[method]:
            raise InvalidArgument(f"the option {place} is given twice")
        given[method][option] = value
    return [build_explainer(name, matcher, given[name]) for name in names]


class _Told:
    """Says how much there is to do, and from time to time how long it will take: without a bar a line now and then."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._passes = self._done = 0
        self._started = self._said = time.monotonic()

    def start(self, work: Work) -> None:
        """What is left to do."""
        for method, passes in work.by_method.items():
            print(f"{method}: {passes:,} passes", file=sys.stderr)
        print(
            f"{work.passes:,} passes in all, {1e3 * work.seconds_a_pass:.1f} ms each at the moment: about "
            f"{_span(work.seconds)}",
            file=sys.stderr,
            flush=True,
        )
        self._passes = work.passes
        self._started = self._said = time.monotonic()
        self._bar.resize(work.passes)

    def advance(self, passes: int) -> None:
        """So many more are done."""
        self._done += passes
        self._bar.advance(passes)
        now = time.monotonic()
        if not self._bar.drawn and self._done and now - self._said >= SAID_EVERY:
            left = (now - self._started) * (self._passes - self._done) / self._done
            print(f"{self._done / self._passes:.1%} done, about {_span(left)} left", file=sys.stderr, flush=True)
            self._said = now


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"


def _measures(text: str, matcher: GridMatcher) -> list[Measure]:
    template = matcher.template
    blank = np.full((1, template.height, template.width, 3), 127, np.uint8)
    rows, cols = matcher.encode(blank).grids.shape[1:3]
    every = default_measures(rows, cols)
    if not text:
        return every
    wanted = _names(text, "measures")
    known = {measure.title for measure in every} | {name_of(measure) for measure in every}
    unknown = sorted(set(wanted) - known)
    if unknown:
        titles = ", ".join(sorted({measure.title for measure in every}))
        raise InvalidArgument(f"measure {unknown[0]!r} is unknown; one of {titles}")
    return [measure for measure in every if measure.title in wanted or name_of(measure) in wanted]


def _twins(
    folder: str, verifier: Verifier, matcher: GridMatcher, explainers: list[Explainer], out: Path
) -> list[TwinResult]:
    if not folder:
        return []
    threshold = verifier.calibration.threshold(1e-3).value
    rendered = any((Path(folder) / name).is_dir() for name in ("part_edits", "part_swaps"))
    triplets = (read_rendered_twins if rendered else read_triplets)(Path(folder), verifier.extractor)
    return [run_twin_bench(matcher, explainers, triplets, out, threshold=threshold, rule="nearer")]


def _randomised(
    options: argparse.Namespace, explainers: list[Explainer], pairs: list[FacePair], out: Path
) -> RandomisedResult | None:
    if not options.randomised:
        return None
    chosen = spread(np.array([pair.mated for pair in pairs]), options.randomised)
    return run_randomised(_rebuilt, explainers, [pairs[at] for at in chosen], out)


def _rebuilt(alter: Callable[[bytes], bytes]) -> GridMatcher:
    """The shipped matcher with another network."""
    return GridMatcher(DlibResNet(grid="trusted", alter=alter), TrustWeighted())


def _report_refused(found: FoundPairs) -> None:
    for path, error in found.refused.items():
        print(f"left out: {path}: {error.message} ({error.code})", file=sys.stderr)
    if not found.pairs:
        raise InvalidArgument("no pair is left whose photos can be used")


def _print(result: BenchResult, files: list[Path], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"summary": sentences(result), "files": [str(path) for path in files]}))
        return
    (table,) = (path for path in files if path.suffix == ".md")
    print(table.read_text("utf-8"), end="")
    for path in files:
        print(f"wrote {path}")
