"""Writes the score files beside it: generated, of nobody. ``python tests/evaluation/data/make_score_files.py``

The columns are score, mated, fold, probe, reference (numbers of people). Each has 400 pairs in ten contiguous folds
of 20 mated and 20 non-mated.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDS, EACH = 10, 20
Scores = NDArray[np.float64]


def cosines(random: np.random.Generator, mated: NDArray[np.bool_]) -> Scores:
    """Cosines of a good matcher, as many digits as a float32 has."""
    return np.where(mated, random.normal(0.55, 0.18, mated.size), random.normal(0.05, 0.13, mated.size)).clip(-1, 1)


def coarse(random: np.random.Generator, mated: NDArray[np.bool_]) -> Scores:
    """Cosines of two decimals: ties, some of them on the thresholds of the grid."""
    return (
        np.where(mated, random.normal(0.4, 0.25, mated.size), random.normal(0.1, 0.2, mated.size)).clip(-1, 1).round(2)
    )


def failing(random: np.random.Generator, mated: NDArray[np.bool_]) -> Scores:
    """As cosines, and one pair in twelve could not be compared."""
    return np.where(random.random(mated.size) < 1 / 12, -np.inf, cosines(random, mated))


def write(name: str, made: Callable[[np.random.Generator, NDArray[np.bool_]], Scores], people: int, seed: int) -> None:
    """One file of pairs of ``people`` at random."""
    random = np.random.default_rng(seed)
    mated = np.tile(np.repeat([True, False], EACH), FOLDS)
    fold = np.repeat(np.arange(FOLDS), 2 * EACH)
    probe = random.integers(0, people, mated.size)
    reference = np.where(mated, probe, (probe + random.integers(1, people, mated.size)) % people)
    rows = zip(made(random, mated), mated.astype(int), fold, probe, reference, strict=True)
    with Path(__file__).with_name(f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["score", "mated", "fold", "probe", "reference"])
        writer.writerows([f"{score:.9g}", *rest] for score, *rest in rows)


if __name__ == "__main__":
    write("cosines", cosines, people=500, seed=1)
    write("coarse", coarse, people=120, seed=2)
    write("failing", failing, people=300, seed=3)
