"""LFW's development lists (View 1), read line by line; shared by the benchmarks beside this file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from xcos.errors import InputRefused
from xcos.extractor import Extractor, ReadyPhoto

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "lfw"


@dataclass(frozen=True)
class LfwPair:
    probe: str
    reference: str
    mated: bool


def photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def person(path: str) -> str:
    return path.split("/")[0]


def read_pairs(path: Path) -> list[LfwPair]:
    """Pairs of pairsDevTrain.txt or pairsDevTest.txt: ``name n1 n2`` or ``name1 n1 name2 n2``."""
    pairs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines()[1:], start=2):
        words = line.split("\t")
        if len(words) == 3:
            pairs.append(LfwPair(photo(words[0], words[1]), photo(words[0], words[2]), True))
        elif len(words) == 4:
            pairs.append(LfwPair(photo(words[0], words[1]), photo(words[2], words[3]), False))
        else:
            raise SystemExit(f"{path.name}, line {number}: three or four columns were expected, got {line!r}")
    return pairs


def photos_of(pairs: list[LfwPair]) -> list[str]:
    return sorted({path for pair in pairs for path in (pair.probe, pair.reference)})


def prepare(extractor: Extractor, folder: Path, photos: list[str]) -> dict[str, ReadyPhoto | InputRefused]:
    """Every photo read and embedded once, with a progress bar on stderr."""
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("photos", total=len(photos))
        ready = extractor.prepare([folder / "images" / p for p in photos], on_photo=lambda: progress.advance(task))
    return dict(zip(photos, ready, strict=True))


def best_accuracy(scores: np.ndarray, mated: np.ndarray) -> float:
    """Accuracy at the best threshold of these very pairs (what 'pairsDevTest' figures usually are)."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(np.where(mated[order], 1, -1))
    ends = np.append(scores[order][1:] != scores[order][:-1], True)
    return float((max(0, right[ends].max(initial=0)) + (~mated).sum()) / len(scores))


def drawn_pairs(first: np.ndarray, second: np.ndarray, draws: int) -> Iterator[np.ndarray]:
    """Rows of pairs, people drawn with replacement; a pair of persons ``first`` and ``second`` (numbers from 0) counts
    by the product of both's draws, a mated one by its person's."""
    random = np.random.default_rng(0)
    people = int(max(first.max(), second.max())) + 1
    rows = np.arange(len(first))
    for _ in range(draws):
        drawn = random.multinomial(people, np.full(people, 1 / people))
        yield np.repeat(rows, np.where(first == second, drawn[first], drawn[first] * drawn[second]))
