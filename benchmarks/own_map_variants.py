"""Which map should xCos call its own? Variants of its cells' map by the measures that it must win, beside the floors.

    python benchmarks/own_map_variants.py lfw:FOLDER [--pairs-limit 80] [--out FOLDER] [--fill black]

Every variant is read off the comparison itself: two passes, nothing is masked. Printed is a Markdown table of deletion
and insertion (with ties kept as published, and shuffled), Patch-LFW and cell occlusion, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from xcos.catalog import build_explainer, default_verifier
from xcos.explainers.bench import run_bench
from xcos.explainers.bench_pairs import evenly, find_pairs, listed_pairs
from xcos.explainers.bench_report import interval_text
from xcos.explainers.bench_work import Work
from xcos.explainers.cells import cell_explanation, comparison_of
from xcos.explainers.explanation import Explainer, Explanation
from xcos.explainers.faithfulness import CellOcclusion, Deletion, Insertion, Measure, PatchLfw
from xcos.explainers.faithfulness.locality import measure_locality
from xcos.explainers.masking import PAIR_COST, open_pair
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import usable_cores
from xcos.types import AlignedFace, Comparison, Maps

BESIDE = ("random", "center", "uniform")
SPREAD = ("w s", "w (s - score)", "w (s - t)", "w (s - score / 2)", "1")
OTHERS = 6
"""Pairs on which it is measured what cells see."""
FIGURES = {"deletion": "accuracy area", "insertion": "accuracy area", "patch-lfw": "error area",
           "cell occlusion": "rank correlation"}  # fmt: skip


@cache
def threshold() -> float:
    """Of the shipped model."""
    return default_verifier().calibration.threshold(1e-3).value


VARIANTS: dict[str, Callable[[Comparison], Maps]] = {
    "w s": lambda c: c.contribution,
    "w (s - mean of s)": lambda c: c.attention * (c.similarity - c.similarity.mean()),
    "w (s - score)": lambda c: c.attention * (c.similarity - c.score),
    "w": lambda c: c.attention,
    "w (s - t)": lambda c: c.attention * (c.similarity - threshold()),
    "w (s - score / 2)": lambda c: c.attention * (c.similarity - c.score / 2),
    "1": lambda c: np.ones_like(c.attention),
}
"""``t`` is the calibration's threshold at a false match rate of 0.001, and 1 knows nothing of the pair. ``w`` is the
attention: for trust weighting the product of both photos' trust, over its sum. The third, over 1 − w,
is what the score loses when the cell is left out of the comparison."""


@dataclass(frozen=True)
class CellVariant:
    """A formula of the cells' similarity and attention, each cell on its own square."""

    matcher: GridMatcher
    name: str

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same map on both photos."""
        pair = open_pair(self.matcher, probe, reference)
        cells = VARIANTS[self.name](comparison_of(pair, self.matcher.comparator))
        return cell_explanation(self.name, pair, cells, cells)


@dataclass(frozen=True)
class SpreadVariant:
    """The same, each cell spread over a Gaussian of ``cells`` cells about its middle."""

    matcher: GridMatcher
    formula: str
    cells: float

    @property
    def name(self) -> str:
        """Formula and width."""
        return f"{self.formula}, spread {self.cells:g}"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same map on both photos; its pixels sum to what the cells sum to."""
        pair = open_pair(self.matcher, probe, reference)
        cells = VARIANTS[self.formula](comparison_of(pair, self.matcher.comparator))
        down, across = (
            _shares(count, size, self.cells) for count, size in zip(cells.shape, pair.probe.size, strict=True)
        )
        spread = down.T @ cells @ across
        return Explanation(self.name, spread, spread, pair.score, PAIR_COST, {"spread": self.cells})


@dataclass(frozen=True)
class SeenVariant:
    """The same, each cell spread over the squares that it truly sees, as measured on other pairs."""

    matcher: GridMatcher
    formula: str
    fields: Maps
    """Of :class:`~xcos.explainers.faithfulness.locality.Locality`."""

    @property
    def name(self) -> str:
        """Formula and what it is spread over."""
        return f"{self.formula}, spread as seen"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The same map on both photos; its squares sum to what the cells sum to."""
        pair = open_pair(self.matcher, probe, reference)
        cells = VARIANTS[self.formula](comparison_of(pair, self.matcher.comparator))
        squares = np.tensordot(cells.ravel(), self.fields, 1)
        return cell_explanation(self.name, pair, squares, squares)


def _shares(count: int, size: int, width: float) -> Maps:
    """``(count, size)``: how much of a cell goes to each pixel of a row; each cell's shares sum to 1."""
    middles = (np.arange(count) + 0.5) * size / count
    weights = np.exp(-(((np.arange(size) + 0.5 - middles[:, None]) / (width * size / count)) ** 2) / 2)
    shares: Maps = weights / weights.sum(axis=1, keepdims=True)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", help="as xcos bench explainers --pairs")
    parser.add_argument("--pairs-limit", type=int, default=80)
    parser.add_argument("--fresh", action="store_true", help="pairs that a run without it does not use")
    parser.add_argument("--only", nargs="*", help="these maps alone, by their names in the table")
    parser.add_argument("--out", type=Path, default=Path("own-map-variants"))
    parser.add_argument("--fill", default="black", choices=("black", "mean", "blur", "diffusion"))
    options = parser.parse_args()
    verifier = default_verifier(face="center")
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    listed = listed_pairs(options.pairs)
    chosen = evenly(listed, options.pairs_limit)
    rest = [pair for pair in listed if pair not in chosen]
    others = evenly(rest, OTHERS)
    if options.fresh:
        chosen = evenly([pair for pair in rest if pair not in others], options.pairs_limit)
    pairs = find_pairs(chosen, verifier.extractor).pairs
    seen = measure_locality(matcher.embedder, matcher.comparator, find_pairs(others, verifier.extractor).pairs)
    explainers: list[Explainer] = [
        *(CellVariant(matcher, name) for name in ("w s", "w (s - mean of s)", "w (s - score)", "w", "w (s - t)")),
        *(SpreadVariant(matcher, "w s", width) for width in (1.0, 2.0)),
        *(SeenVariant(matcher, formula, seen.fields) for formula in SPREAD),
        *(build_explainer(name, matcher) for name in BESIDE),
    ]
    explainers = [each for each in explainers if options.only is None or each.name in options.only]
    fill = options.fill
    measures: list[Measure] = [Deletion(fill=fill), Deletion(fill=fill, ties="shuffle"), Insertion(fill=fill),
                               Insertion(fill=fill, ties="shuffle"), PatchLfw(), CellOcclusion()]  # fmt: skip

    def announced(work: Work) -> None:
        print(f"{work.passes:,} passes, about {work.seconds / 60:.0f} min", file=sys.stderr)

    streams = usable_cores()
    result = run_bench(matcher, explainers, pairs, measures, options.out, streams=streams, on_start=announced)
    print(f"{result.pairs} pairs ({result.mated} mated), {result.people} people, accuracy {result.accuracy:.2%}\n")
    print("| map | " + " | ".join(result.measures) + f" |\n{'| --- ' * (1 + len(measures))}|")
    for explainer in explainers:
        cells = [interval_text(result.row(explainer.name, name, FIGURES[name.partition("(")[0]]).estimate)
                 for name in result.measures]  # fmt: skip
        print(f"| {explainer.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
