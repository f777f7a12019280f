"""Accuracy of the whole path on LFW's development test, from the 250 × 250 photos.

    python benchmarks/lfw_accuracy.py [--lfw FOLDER]

pairsDevTest.txt: 500 mated and 500 non-mated pairs of people that the calibration never saw. A photo in which no
face is found scores below every threshold and is counted. Accuracy is that at the best threshold of these very
pairs, as such figures usually are, with the 95 % interval of a subject bootstrap; then what the shipped
thresholds decide.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import lfw
from xcos.catalog import COMPARATORS, DEFAULT_EMBEDDER, EMBEDDERS, default_verifier
from xcos.compare import vectors_as_grids
from xcos.detectors import Mtcnn
from xcos.extractor import Extractor, ReadyPhoto
from xcos.types import stack

BOOTSTRAPS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    options = parser.parse_args()
    pairs = lfw.read_pairs(options.lfw / "pairsDevTest.txt")
    photos = lfw.photos_of(pairs)
    detector = Mtcnn()
    found: dict[str, ReadyPhoto] = {}
    for name in sorted(EMBEDDERS, key=lambda name: name == DEFAULT_EMBEDDER):  # the default's are left for _decisions
        ready = lfw.prepare(Extractor(detector, EMBEDDERS[name](), face="center"), options.lfw, photos)
        found = {photo: each for photo, each in ready.items() if isinstance(each, ReadyPhoto)}
        shape = "×".join(map(str, next(iter(found.values())).template.grid.shape))
        for comparator in COMPARATORS:
            _report(f"{name} {shape}, {comparator}", *_scored(pairs, found, comparator))
    _report("backbone's vector 128", *_scored(pairs, found, "vector"))
    missed = len(photos) - len(found)
    print(f"pairsDevTest: {len(pairs)} pairs, {len(photos)} photos")
    print(f"failure to acquire: {missed} ({missed / len(photos):.2%}; bar 0.20 %)")
    several = sum(photo.sample.faces_found > 1 for photo in found.values())
    print(f"photos with several faces: {several} ({several / len(photos):.1%})")
    _decisions(pairs, found)


def _scored(
    pairs: list[lfw.LfwPair], found: dict[str, ReadyPhoto], comparator: str
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    usable = [index for index, pair in enumerate(pairs) if pair.probe in found and pair.reference in found]
    sides = [[found[getattr(pairs[index], side)].template for index in usable] for side in ("probe", "reference")]
    probes, references = (stack(side) for side in sides)
    if comparator == "vector":
        maps = COMPARATORS["uniform"]().maps(vectors_as_grids(probes.vectors), vectors_as_grids(references.vectors))
    else:
        maps = COMPARATORS[comparator]().maps(probes.grids, references.grids)
    scores = np.full(len(pairs), -1.0)
    scores[usable] = (maps[0] * maps[1]).sum(axis=(1, 2))
    people = [(lfw.person(pair.probe), lfw.person(pair.reference)) for pair in pairs]
    return scores, np.array([pair.mated for pair in pairs]), people


def _report(title: str, scores: np.ndarray, mated: np.ndarray, people: list[tuple[str, str]]) -> None:
    accuracy = lfw.best_accuracy(scores, mated)
    low, high = _bootstrap(scores, mated, people)
    threshold = np.quantile(scores[~mated], 0.99, method="higher")
    print(f"{title:38} best accuracy {accuracy:.2%} [{low:.2%}, {high:.2%}]   "
          f"FNMR at FMR 1e-2 {(scores[mated] < threshold).mean():.1%}")  # fmt: skip


def _bootstrap(scores: np.ndarray, mated: np.ndarray, people: list[tuple[str, str]]) -> tuple[float, float]:
    """95 % interval of the best accuracy, people drawn with replacement (a pair counts by the product)."""
    names = sorted({name for pair in people for name in pair})
    index = {name: at for at, name in enumerate(names)}
    first, second = np.array([[index[a], index[b]] for a, b in people]).T
    values = [lfw.best_accuracy(scores[rows], mated[rows]) for rows in lfw.drawn_pairs(first, second, BOOTSTRAPS)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _decisions(pairs: list[lfw.LfwPair], found: dict[str, ReadyPhoto]) -> None:
    """What the default verifier decides on these pairs at its shipped thresholds."""
    verifier = default_verifier(face="center")
    for fmr in (1e-2, 1e-3, 3e-4):
        counts: Counter[tuple[bool, str]] = Counter()
        reasons: Counter[str] = Counter()
        for pair in pairs:
            if pair.probe not in found or pair.reference not in found:
                counts[pair.mated, "failure to acquire"] += 1
                continue
            a, b = found[pair.probe], found[pair.reference]
            second = verifier.second_opinion(a.template, b.template, fmr=fmr)
            decision = verifier.decide(verifier.compare(a.template, b.template), second, a.sample, b.sample, fmr=fmr)
            counts[pair.mated, decision.outcome] += 1
            reasons.update({reason.code for reason in decision.reasons})
        kinds = {True: "mated", False: "non-mated"}
        cells = (f"{kinds[mated]} {outcome} {number}" for (mated, outcome), number in sorted(counts.items()))
        print(f"default decision at FMR {fmr:g}: {'; '.join(cells)}")
        print("   reasons: " + ", ".join(f"{code} {number}" for code, number in reasons.most_common()))


if __name__ == "__main__":
    main()
