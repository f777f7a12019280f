"""What the bench of explainers asks beyond pairs: twins with one part changed, locality, occluders, weights, sanity.

    python benchmarks/explainer_checks.py [--methods own,random,center] [--data FOLDER] [--out FOLDER] [--only twins]

On the shipped model. ``--data`` holds ``synthetic`` (rendered twins) and ``lfw``; what is done is kept in ``--out``, so
that a run that was stopped goes on. Printed are Markdown tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from xcos.catalog import build_explainer, default_verifier
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.explainers.bench_pairs import evenly, find_pairs, listed_pairs
from xcos.explainers.bench_report import twin_markdown
from xcos.explainers.bench_twins import Rule, run_twin_bench
from xcos.explainers.explanation import Explainer
from xcos.explainers.faithfulness.inpainting_game import Evidence
from xcos.explainers.faithfulness.localisation import occluder_weight
from xcos.explainers.faithfulness.locality import measure_locality
from xcos.explainers.faithfulness.measure import Explain, FacePair, with_strangers
from xcos.explainers.faithfulness.randomisation import cascade
from xcos.explainers.faithfulness.sanity import sanity_checks
from xcos.explainers.faithfulness.triplets import read_rendered_twins
from xcos.explainers.matcher import GridMatcher, Matcher
from xcos.occluders import OCCLUDERS
from xcos.verifier import Verifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PARTS = ("twins", "locality", "occluders", "weights", "sanity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="own,center")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("explainer-checks"))
    parser.add_argument("--pairs", type=int, default=24, help="of LFW, for all but the twins")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    verifier = default_verifier(face="center")
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    methods = options.methods.split(",")
    explainers = [build_explainer(name, matcher) for name in methods]
    if "twins" in options.only:
        _twins(verifier, matcher, explainers, options.data / "synthetic", options.out)
    if set(options.only) == {"twins"}:
        return
    pairs = find_pairs(evenly(listed_pairs(f"lfw:{options.data / 'lfw'}"), options.pairs), verifier.extractor).pairs
    if "locality" in options.only:
        found = measure_locality(matcher.embedder, matcher.comparator, pairs[:: max(1, len(pairs) // 8)])
        print(
            f"locality on {found.pairs} pairs: leak {found.leak:.3f}, energy inside {found.inside:.1%} (area 2.0 %)\n"
        )
    if "occluders" in options.only:
        _occluders(matcher, pairs)
    if "weights" in options.only:
        _weights(methods, pairs[:: max(1, len(pairs) // 6)])
    if "sanity" in options.only:
        _sanity(matcher, explainers, pairs[:: max(1, len(pairs) // 6)])


def _twins(verifier: Verifier, matcher: GridMatcher, explainers: Sequence[Explainer], folder: Path, out: Path) -> None:
    threshold = verifier.calibration.threshold(1e-3).value
    own = read_rendered_twins(folder, verifier.extractor)
    others = read_rendered_twins(folder, verifier.extractor, mates="others")
    edits, swaps = [t for t in own if len(t.person) < 3], [t for t in own if len(t.person) == 3]
    runs: list[tuple[str, list, Evidence, Rule]] = [  # type: ignore[type-arg]
        ("strong edits, compared with themselves", edits, "contrast", "nearer"),
        ("moderate swaps, compared with themselves", swaps, "contrast", "nearer"),
        ("strong edits, compared with themselves, the twin's map alone", edits, "twin", "nearer"),
        ("strong edits, compared with other photos, nearer alone", others, "contrast", "nearer"),
        ("strong edits, compared with other photos, as published", others, "contrast", "published"),
    ]
    for title, triplets, evidence, rule in runs:
        result = run_twin_bench(matcher, explainers, triplets, out, threshold=threshold, evidence=evidence, rule=rule)
        print(f"### {title}\n\n{twin_markdown(result)}\n", flush=True)


def _occluders(matcher: GridMatcher, pairs: list[FacePair]) -> None:
    cases = with_strangers(pairs)
    weights = (occluder_weight(matcher.embedder, matcher.comparator, cases, occluder=name) for name in OCCLUDERS)
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(OCCLUDERS, weights, strict=True))
    print(f"attention on covered cells over their area, {len(cases)} pairs: {told}\n")


def _weights(methods: Sequence[str], pairs: list[FacePair]) -> None:
    def rebuild(alter: Callable[[bytes], bytes]) -> Matcher:
        return GridMatcher(DlibResNet(grid="trusted", alter=alter), TrustWeighted())

    print(f"| method | layers shuffled | signed | absolute | SSIM | HOG |\n{'| --- ' * 6}|")
    for name in methods:
        for separately in (False, True):
            steps = cascade(rebuild, partial(_explain_of, name), pairs, separately=separately)
            for step in steps:
                which = f"only {step.layers[0]}" if separately else f"top {len(step.layers)}"
                like = step.likeness
                numbers = " | ".join(f"{value:.2f}" for value in (like.signed, like.absolute, like.ssim, like.hog))
                print(f"| {name} | {which} | {numbers} |", flush=True)
    print()


def _explain_of(name: str, matcher: Matcher) -> Explain:
    return build_explainer(name, matcher).explain


def _sanity(matcher: GridMatcher, explainers: Sequence[Explainer], pairs: list[FacePair]) -> None:
    for explainer in explainers:
        print(f"{explainer.name}:")
        for check in sanity_checks(matcher, explainer, pairs):
            print(f"  {check}", flush=True)


if __name__ == "__main__":
    main()
