"""What the shipped model's templates lose when each cell keeps fewer of its 128 numbers.

    python benchmarks/compact_dlib.py [--kept 16,32,40,48,64] [--lfw FOLDER] [--work FOLDER] [--write 32 FILE]

Directions are the principal components of each cell (`xcos.embedders.compact`) over the photos the stage was fitted on,
as they are and twice covered; everything is reported on ``pairsDevTest.txt``, other people. ``--write`` also writes the
basis with so many directions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lfw
from best_accuracy import Pairs, Scored
from dlib_faces import (
    BLOCK,
    TESTED,
    all_views,
    dev_test,
    embedded,
    for_calibration,
    located,
    train_people,
    trusted_views,
    views_folder,
)
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.embedders.compact import CellBasis, principal_directions, read_basis
from xcos.files import write_atomically
from xcos.types import Grids

KEPT = [16, 32, 40, 48, 64]
SHOWN = (0, 2, 4)
"""Views: as it is, and two of the covered ones."""
CONDITIONS: dict[str, tuple[str, ...]] = {
    "clear photos": ("",),
    "mask, sunglasses, squares": ("mask", "sunglasses", "squares"),
    **{kind: (kind,) for kind in TESTED},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kept", type=lambda text: [int(kept) for kept in text.split(",")], default=[16, 32, 40, 48, 64]
    )
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("xcos-dlib-work"))
    parser.add_argument("--write", nargs=2, metavar=("KEPT", "FILE"))
    options = parser.parse_args()
    photos = [photo for photo in train_people(options.lfw) if not for_calibration(lfw.person(photo))]
    faces = located(options.lfw, photos, options.work, "fit")
    views, _ = trusted_views(all_views(faces), views_folder(faces))
    test = dev_test(options.lfw, options.work)
    embedder = DlibResNet(grid="trusted")
    grids, _ = embedded(embedder, test.crops)
    references = grids[test.references]
    probes = {"": grids[test.probes]} | {kind: embedded(embedder, test.covered(kind)[0])[0] for kind in TESTED}
    pairs = Pairs.of(test.pairs)
    whole = {kind: pair_scores(each, references) for kind, each in probes.items()}
    print("| kept | " + " | ".join(CONDITIONS) + " | largest change of a score |\n|" + " --- |" * (len(CONDITIONS) + 2))
    print(
        "| 128 | "
        + " | ".join(f"{100 * scored(pairs, whole, kinds).best:.2f}" for kinds in CONDITIONS.values())
        + " | |"
    )
    every = principal_directions(batches(views), grids.shape[3])
    for kept in options.kept:
        basis = first_directions(every, kept)
        fewer = basis.compact(references)
        found = {kind: pair_scores(basis.compact(each), fewer) for kind, each in probes.items()}
        cells = []
        for kinds in CONDITIONS.values():
            own = scored(pairs, found, kinds)
            gain = own.ahead_of(scored(pairs, whole, kinds))
            cells.append(f"{100 * own.best:.2f}; {gain.points(sign=True)}")
        change = max(np.abs(found[kind] - whole[kind]).max() for kind in whole)
        print(f"| {kept} | " + " | ".join(cells) + f" | {change:.3f} |", flush=True)
    if options.write:
        write_atomically(Path(options.write[1]), first_directions(every, int(options.write[0])).to_bytes())


def first_directions(every: CellBasis, kept: int) -> CellBasis:
    """In half precision, as a file holds them."""
    return read_basis(CellBasis(np.ascontiguousarray(every.directions[..., :kept])).to_bytes())


def batches(views: NDArray[np.float16]) -> Iterator[Grids]:
    for view in SHOWN:
        for start in range(0, views.shape[1], BLOCK):
            yield np.asarray(views[view, start : start + BLOCK], np.float32)


def pair_scores(probes: Grids, references: Grids) -> NDArray[np.float64]:
    similarity, attention = TrustWeighted().maps(probes, references)
    scores: NDArray[np.float64] = (similarity * attention).sum(axis=(1, 2))
    return scores


def scored(pairs: Pairs, scores: dict[str, NDArray[np.float64]], kinds: tuple[str, ...]) -> Scored:
    return pairs.scored(*(scores[kind] for kind in kinds))


if __name__ == "__main__":
    main()
