"""Whether what the maps say would flip a decision really flips it, and which region explanations find an edited part.

    python benchmarks/what_flips.py [--lfw FOLDER] [--pairs 60] [--twins FOLDER]

Of evenly spread mated and non-mated pairs of LFW's ``pairsDevTest.txt``: how many cells the maps would hide, and what
the network says when the squares of these cells are hidden in the crops, by fill. Then, of rendered faces of which one
part was changed (``part_edits`` of the twins' folder), how often each region measure puts that part first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import lfw
from xcos.alignment import align
from xcos.catalog import default_verifier
from xcos.explainers.counterfactual import SIDES, CounterfactualAnswer, CounterfactualQuestion
from xcos.explainers.hiding import Fill
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.semantic import RegionMeasure, SemanticRegions, built_in
from xcos.extractor import Extractor, ReadyPhoto
from xcos.images import read_image
from xcos.types import AlignedFace

SYNTHETIC = lfw.DEFAULT_FOLDER.parent / "synthetic"
STEPS = 20
FILLS: tuple[Fill, ...] = ("mean", "black", "blur")
PARTS = ("eyes", "nose", "mouth", "jaw")
# Each puts the region first that speaks most against a match.
MEASURES: dict[str, Callable[[RegionMeasure], float]] = {
    "lowest similarity": lambda region: -(region.similarity or 0.0),
    "score rises most when hidden in both": lambda region: -region.both,
    "score rises most when hidden in the probe": lambda region: -region.probe,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--pairs", type=int, default=60, help="of each kind")
    parser.add_argument("--twins", type=Path, default=SYNTHETIC)
    options = parser.parse_args()
    verifier = default_verifier()
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    threshold = verifier.calibration.threshold(1e-3).value
    print(f"{matcher.name}, threshold {threshold:.4f} (FMR 0.1 %)")
    every = lfw.read_pairs(options.lfw / "pairsDevTest.txt")
    for mated in (True, False):
        pairs = [pair for pair in every if pair.mated == mated]
        pairs = pairs[:: max(1, len(pairs) // options.pairs)][: options.pairs]
        ready = lfw.prepare(
            Extractor(verifier.detector, verifier.embedder, face="center"), options.lfw, lfw.photos_of(pairs)
        )
        faces = {name: photo.sample.face for name, photo in ready.items() if isinstance(photo, ReadyPhoto)}
        usable = [(faces[p.probe], faces[p.reference]) for p in pairs if p.probe in faces and p.reference in faces]
        print(f"{len(usable)} {'mated' if mated else 'non-mated'} pairs")
        for fill in FILLS:
            question = CounterfactualQuestion(matcher, threshold, fill, STEPS)
            _report(fill, [question.ask(*pair) for pair in usable])
    _report_twins(SemanticRegions(matcher, built_in("medium")), options.twins)


def _report(fill: Fill, answers: list[CounterfactualAnswer]) -> None:
    found = [answer for answer in answers if answer.counterfactual.renormalised]
    if fill == FILLS[0]:
        margins = [answer.counterfactual.margin or 0 for answer in found]
        plain = [len(a.counterfactual.plain.cells) for a in answers if a.counterfactual.plain]
        print(f"  maps: {len(found)} of {len(answers)} can be flipped by leaving cells out, "
              f"{_middle(margins)} cells; {len(plain)} by cells that count 0, {_middle(plain)} cells")  # fmt: skip
    line = []
    for side in SIDES:
        scores = [getattr(answer.measured, side) for answer in found]
        flips = sum(answer.flips(score) for answer, score in zip(found, scores, strict=True))
        line.append(f"in {side} {flips} flip")
    told = [answer.counterfactual.renormalised.score for answer in found if answer.counterfactual.renormalised]
    off = [answer.measured.both - score for answer, score in zip(found, told, strict=True) if answer.measured]
    print(f"  network, {fill}: {', '.join(line)}; both less what the maps say {_middle(off)}")
    for side in SIDES:
        margins = [margin for answer in answers if (margin := answer.network_margin(side))]
        print(f"    within {STEPS} cells in {side}: {len(margins)} of {len(answers)} flip, {_middle(margins)} cells")


def _middle(values: list[float] | list[int]) -> str:
    if not values:
        return "none"
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"median {middle:.3g} [{low:.3g}, {high:.3g}]"


def _report_twins(regions: SemanticRegions, folder: Path) -> None:
    verifier = default_verifier()

    def face(path: Path) -> AlignedFace:
        photo = read_image(path)
        return align(photo, verifier.detector.detect(photo.pixels)[0], verifier.embedder.card.template)

    firsts = {(name, part): 0 for name in MEASURES for part in PARTS}
    people = range(6)
    for person in people:
        clear = face(folder / "variations" / f"{person}_front.png")
        for part in PARTS:
            measured = regions.measure(face(folder / "part_edits" / f"{person}_edit-{part}.png"), clear)
            for name, against in MEASURES.items():
                firsts[name, part] += max(measured.regions, key=against).name == part
    count = len(people)
    print(f"part-edited twins, {len(regions.regions.names)} regions: the edited one is first")
    for name in MEASURES:
        parts = ", ".join(f"{part} {firsts[name, part]}/{count}" for part in PARTS)
        total = sum(firsts[name, part] for part in PARTS)
        chance = count * len(PARTS) / len(regions.regions.names)
        print(f"  {name}: {total} of {count * len(PARTS)} ({parts}); chance {chance:.1f}")


if __name__ == "__main__":
    main()
