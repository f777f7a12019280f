"""How often ``xcos lint-model`` finds what is wrong, and how often it sees a fault where there is none.

    python benchmarks/lint_power.py MODEL.onnx RIGHT_CARD.json [--detector yunet:FILE.onnx] [--lfw FOLDER]

LFW View 1 test, divided into people to choose on and people to verify on by 20 seeds, for several numbers of pairs.
False alarms: the right card is declared, an alternative is chosen, and it is confirmed. Found: the alternative is
declared, the right card gains, and that is confirmed. Seeds share photos, so this says how much the choice of people
matters, not how much the choice of data set.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import lfw
from xcos.catalog import build_detector
from xcos.embedders import OnnxEmbedder
from xcos.evaluation.lint_bench import Bench, FoundPhoto, find_faces
from xcos.evaluation.lint_model import counts
from xcos.evaluation.lint_pairs import MOST_PAIRS, LintPairs, choose_pairs
from xcos.evaluation.preprocessing import Setting, alternatives, declared
from xcos.evaluation.protocols import VERIFICATION
from xcos.evaluation.separation import Separations
from xcos.types import Reals
from xcos.weights import read_card

SEEDS, DRAWS = 20, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100, 200, 400, 600])
    options = parser.parse_args()
    network = OnnxEmbedder(options.network, read_card(options.card))
    protocol = VERIFICATION["lfw-view1"](options.lfw)
    start = declared(network.card)
    others = alternatives(start)
    settings = [start, *(each.setting for each in others)]
    all_pairs = choose_pairs(protocol, MOST_PAIRS, 0)
    photos = np.union1d(all_pairs.choosing.photos, all_pairs.verifying.photos)
    sources = {each: protocol.samples.photos[each] for each in photos.tolist()}
    found = find_faces(sources, build_detector(options.detector, network.card.template), "center")
    faces = {number: each for number, each in found.items() if isinstance(each, FoundPhoto)}
    refused = np.array([number for number in found if number not in faces], np.int64)
    bench = Bench(network, faces)
    directions = _directions(bench, settings, np.array([*faces], np.int64))
    print(f"{network.card.name}: {len(faces):,} photos, {len(refused)} without a face; {SEEDS} seeds")
    for pairs in options.pairs:
        alarms = confirmed = 0
        seen = np.zeros((len(others), 2), np.int64)
        for seed in range(SEEDS):
            halves = choose_pairs(protocol, pairs, seed).without(refused)
            choosing, verifying = (_separations(each, directions, seed) for each in (halves.choosing, halves.verifying))
            gains = {at: choosing.gain(at, 0) for at in range(1, len(settings))}
            won = [at for at, gain in gains.items() if counts(gain, float(choosing.values[0]))]
            if won:
                best = max(won, key=lambda at: gains[at].value)
                alarms += 1
                confirmed += counts(verifying.gain(best, 0), float(verifying.values[0]))
            for at in range(1, len(settings)):
                missed = [counts(half.gain(0, at), float(half.values[at])) for half in (choosing, verifying)]
                seen[at - 1] += (missed[0], all(missed))
        print(f"\n{pairs} pairs: false alarms {alarms} of {SEEDS}, confirmed {confirmed}")
        for each, (chosen, stood) in zip(others, seen, strict=True):
            print(f"  {each.aspect:6} {each.told:52} found {chosen:2}, confirmed {stood:2}")


def _directions(bench: Bench, settings: Sequence[Setting], photos: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Reals:
    """(settings, photos up to the last number, D) unit vectors."""
    bench.prepare([feed for setting in settings for feed in setting.feeds], photos)
    vectors = [np.sum([bench.vectors(feed, photos) for feed in setting.feeds], axis=0) for setting in settings]
    placed = np.zeros((len(settings), int(photos.max()) + 1, vectors[0].shape[1]))
    placed[:, photos] = np.nan_to_num([each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors])
    return placed


def _separations(pairs: LintPairs, directions: Reals, seed: int) -> Separations:
    scores = np.stack([np.einsum("nd,nd->n", each[pairs.probe], each[pairs.reference]) for each in directions], axis=1)
    return Separations(scores, pairs.mated, pairs.first, pairs.second, seed=seed, draws=DRAWS)


if __name__ == "__main__":
    main()
