"""Where errors rise when one photo of a mated pair gets worse: the origin of QualityLimits.

    python benchmarks/quality_limits.py [--lfw FOLDER] [--as-they-are]

LFW pairsDevTest.txt, its 500 mated pairs. One photo of each is degraded step by step; printed are the median of the
measure and the false non-match rate at FMR 1e-3 (a face not found counts as one). Then the same pairs as they
are, by the larger yaw, pitch and residual of the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

import lfw
from xcos.catalog import default_verifier
from xcos.errors import InputRefused
from xcos.extractor import ReadyPhoto
from xcos.images import read_image
from xcos.verifier import Verifier

Degrade = Callable[[Image.Image], Image.Image]


def smaller(factor: float) -> Degrade:
    return lambda p: p.resize((round(p.width * factor), round(p.height * factor)), Image.Resampling.LANCZOS)


def blurred(sigma: float) -> Degrade:
    return lambda p: p.filter(ImageFilter.GaussianBlur(sigma))


def brighter(factor: float) -> Degrade:
    return lambda p: ImageEnhance.Brightness(p).enhance(factor)


def flatter(factor: float) -> Degrade:
    return lambda p: ImageEnhance.Contrast(p).enhance(factor)


STEPS: dict[str, list[tuple[str, Degrade]]] = {
    "inter_eye": [(f"× {f}", smaller(f)) for f in (1.0, 0.6, 0.45, 0.35, 0.3, 0.25, 0.2)],
    "sharpness": [(f"σ {s} px", blurred(s)) for s in (0, 1, 2, 3, 4, 5)],
    "brightness": [(f"× {f}", brighter(f)) for f in (0.4, 0.2, 0.1, 1.8, 3, 5)],
    "contrast": [(f"× {f}", flatter(f)) for f in (0.5, 0.25, 0.12, 0.06)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--as-they-are", action="store_true", help="only the pairs as they are, nothing degraded")
    options = parser.parse_args()
    pairs = [pair for pair in lfw.read_pairs(options.lfw / "pairsDevTest.txt") if pair.mated]
    verifier = default_verifier(face="center")
    photos = lfw.prepare(verifier.extractor, options.lfw, lfw.photos_of(pairs))
    references = [photos[pair.reference] for pair in pairs]
    print(f"{len(pairs)} mated pairs of pairsDevTest.txt; false non-match rate at FMR 1e-3")
    for measure, steps in () if options.as_they_are else STEPS.items():
        for label, degrade in steps:
            probes = _degraded(verifier, [options.lfw / "images" / pair.probe for pair in pairs], degrade)
            found = [getattr(p.sample.quality, measure) for p in probes if isinstance(p, ReadyPhoto)]
            scores = _scores(verifier, probes, references)
            middle, low = np.quantile(found or [np.nan], [0.5, 0.05])
            print(
                f"{measure:12}{label:>8}: median {middle:7.3f}   5 % {low:7.3f}   not found "
                f"{len(pairs) - len(found):3d}   FNMR {_fnmr(verifier, scores):.3f}"
            )
    probes = [photos[pair.probe] for pair in pairs]
    scores = _scores(verifier, probes, references)
    for measure, edges in (
        ("yaw", (0, 0.2, 0.4, 0.6, 0.8, 1.01)),
        ("pitch", (0, 0.1, 0.2, 0.3, 1)),
        ("residual", (0, 0.05, 0.1, 0.15, 0.2, 1)),
        ("second_look", (0, 0.05, 0.1, 0.25, 1.01)),
        ("sharpness", (0, 0.06, 0.08, 0.1, 0.12, 1)),
    ):
        worst = min if measure == "sharpness" else max
        sides = zip(probes, references, strict=True)
        values = np.array([worst(_measure(a, measure), _measure(b, measure)) for a, b in sides])
        for low, high in pairwise(edges):
            inside = (values >= low) & (values < high)
            if inside.any():
                rate = _fnmr(verifier, scores[inside])
                print(f"{measure:12}{low:4.2f}–{high:4.2f}: {inside.sum():3d} pairs   FNMR {rate:.3f}")


def _degraded(verifier: Verifier, paths: list[Path], degrade: Degrade) -> list[ReadyPhoto | InputRefused]:
    def prepare(path: Path) -> ReadyPhoto | InputRefused:
        with Image.open(path) as picture:
            worse = degrade(picture.convert("RGB"))
        try:
            sample = verifier.locate(read_image(worse))
        except InputRefused as error:
            return error
        return ReadyPhoto(sample, verifier.extract([sample])[0])

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(prepare, paths))


def _scores(
    verifier: Verifier, probes: list[ReadyPhoto | InputRefused], references: list[ReadyPhoto | InputRefused]
) -> np.ndarray:
    """Scores; a failed extraction scores below every threshold."""
    return np.array(
        [
            verifier.compare(a.template, b.template).score
            if isinstance(a, ReadyPhoto) and isinstance(b, ReadyPhoto)
            else -1.0
            for a, b in zip(probes, references, strict=True)
        ]
    )


def _fnmr(verifier: Verifier, scores: np.ndarray) -> float:
    return float((scores < verifier.calibration.threshold(1e-3).value).mean())


def _measure(photo: ReadyPhoto | InputRefused, name: str) -> float:
    return abs(float(getattr(photo.sample.quality, name))) if isinstance(photo, ReadyPhoto) else float("nan")


if __name__ == "__main__":
    main()
