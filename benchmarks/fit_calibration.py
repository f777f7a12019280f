"""Fits the calibration cards of the published network that ship with the package, and checks all on other people.

    python benchmarks/fit_calibration.py [--lfw FOLDER] [--out src/xcos/data/calibrations] [--date YYYY-MM-DD]
                                         [--check-only]

Fit: LFW pairsDevTrain.txt, its mated pairs and all non-mated cross pairs of the photos it names.
Check: pairsDevTest.txt and all cross pairs of its photos, other people. Prints Cllr, and the false match
rate that each threshold has on the other people beside the rate it promises. The cards of the learned model are
fitted where it is trained (train_xcos_dlib.py, on people it did not see) and only checked here.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import lfw
from xcos.calibration import Calibration, NonMatedScores, fit_calibration
from xcos.catalog import COMPARATORS, EMBEDDERS, OWN_COMPARATOR, card_path, find_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform, vectors_as_grids
from xcos.detectors import Mtcnn
from xcos.extractor import Extractor, ReadyPhoto
from xcos.files import write_atomically
from xcos.types import Templates, stack
from xcos.verifier import VECTOR_COMPARATOR

WEIGHTINGS = {each.name: each for each in (NormWeighted(), TrustWeighted(), Uniform())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=Path("src/xcos/data/calibrations"))
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    parser.add_argument("--check-only", action="store_true", help="fit nothing, check the cards that are there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    detector = Mtcnn()
    for name, make in EMBEDDERS.items():
        extractor = Extractor(detector, make(), face="center")
        test = _Scored(extractor, options.lfw, "pairsDevTest.txt")
        if name in OWN_COMPARATOR or options.check_only:
            for card in packaged_cards(extractor.embedder.model):
                _report(card, test.scores(card.comparator))
            continue
        train = _Scored(extractor, options.lfw, "pairsDevTrain.txt")
        for comparator in ("norm", "uniform", VECTOR_COMPARATOR):
            card = fit_calibration(
                *train.scores(comparator),
                model=extractor.embedder.model,
                comparator=comparator,
                dataset="LFW (deep-funneled), development people",
                protocol="pairsDevTrain.txt: its mated pairs, and all non-mated cross pairs of the photos it names; "
                "face nearest the centre",
                date=options.date,
                detector=detector.name,
            )
            write_atomically(
                options.out / card_path(card.model, comparator), (json.dumps(card.to_dict(), indent=1) + "\n").encode()
            )
            _report(card, test.scores(comparator))


def packaged_cards(model: str) -> list[Calibration]:
    found = (find_calibration(model, name) for name in (*COMPARATORS, VECTOR_COMPARATOR))
    return [card for card in found if card is not None]


class _Scored:
    """Photos of one list, embedded once, and their scores by any comparator."""

    def __init__(self, extractor: Extractor, folder: Path, name: str) -> None:
        self.pairs = lfw.read_pairs(folder / name)
        photos = lfw.photos_of(self.pairs)
        ready = lfw.prepare(extractor, folder, photos)
        usable = {path: each for path, each in ready.items() if isinstance(each, ReadyPhoto)}
        print(f"{name}: {len(photos)} photos, failure to acquire {len(photos) - len(usable)}")
        self.index = {path: at for at, path in enumerate(usable)}
        self.templates: Templates = stack([each.template for each in usable.values()])
        people = sorted({lfw.person(path) for path in usable})
        self.subjects = np.array([people.index(lfw.person(path)) for path in usable])

    def scores(self, comparator: str) -> tuple[np.ndarray, NonMatedScores]:
        """Scores of the listed mated pairs, and of all pairs of photos of different people."""
        if comparator == VECTOR_COMPARATOR:
            grids, weighting = vectors_as_grids(self.templates.vectors), WEIGHTINGS["uniform"]
        else:
            grids, weighting = self.templates.grids, WEIGHTINGS[comparator]
        listed = [
            (self.index[pair.probe], self.index[pair.reference])
            for pair in self.pairs
            if pair.mated and pair.probe in self.index and pair.reference in self.index
        ]
        first, second = np.array(listed).T
        similarity, attention = weighting.maps(grids[first], grids[second])
        mated = (similarity * attention).sum(axis=(1, 2))
        square = weighting.score_all(grids, grids)
        assert np.abs(square[first, second] - mated).max() < 1e-5
        upper, right = np.triu_indices(len(grids), 1)
        other = self.subjects[upper] != self.subjects[right]
        upper, right = upper[other], right[other]
        return mated, NonMatedScores(
            square[upper, right].astype(np.float64), self.subjects[upper], self.subjects[right]
        )


def _report(card: Calibration, test: tuple[np.ndarray, NonMatedScores]) -> None:
    mated, non_mated = test
    origin = card.origin
    print(f"\n{card.model} · {card.comparator}: {origin.n_mated} mated, {origin.n_non_mated:,} non-mated, "
          f"{origin.n_subjects} people; supported down to FMR {card.least_fmr:.1e}")  # fmt: skip
    llr_mated, llr_non = (
        np.array(card.slope * s + card.intercept).clip(*card.llr_bounds) for s in (mated, non_mated.scores)
    )
    cost = (np.logaddexp(0, -llr_mated).mean() + np.logaddexp(0, llr_non).mean()) / 2 / np.log(2)
    print(f"  on pairsDevTest people: Cllr {cost:.4f} ({len(mated)} mated, {len(non_mated.scores):,} non-mated)")
    for fmr in (1e-2, 1e-3, 1e-4):
        if card.supports(fmr):
            t = card.threshold(fmr)
            print(f"  FMR {fmr:g}: threshold {t.value:.4f} [{t.low:.4f}, {t.high:.4f}], FMR there [{t.fmr_low:.2e}, "
                  f"{t.fmr_high:.2e}]; on test people FMR {(non_mated.scores >= t.value).mean():.2e}, "
                  f"FNMR {(mated < t.value).mean():.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
