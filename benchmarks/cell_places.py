"""Where on the face each cell really looks: how far it lies from its nominal square.

    python benchmarks/cell_places.py [--lfw FOLDER] [--photos 24]

A grey patch the size of a cell slides over the aligned crops of LFW photos. For every place of the patch the cell
whose features turn most is noted: in a grid of windows it would be the cell under the patch. Printed are the
distance between the two, the slope of a line through their places (1 for windows, 0 for none), and the centroid of
each row's and column's influence.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import lfw
from xcos.detectors import Mtcnn
from xcos.embedders import DlibResNet
from xcos.extractor import Extractor, ReadyPhoto

STEP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--photos", type=int, default=24)
    options = parser.parse_args()
    names = lfw.photos_of(lfw.read_pairs(options.lfw / "pairsDevTrain.txt"))
    chosen = names[:: len(names) // options.photos][: options.photos]
    for grid in ("last", "fourth", "trusted"):
        embedder = DlibResNet(grid=grid)
        ready = lfw.prepare(Extractor(Mtcnn(), embedder, face="center"), options.lfw, chosen)
        crops = [photo.sample.face.crop for photo in ready.values() if isinstance(photo, ReadyPhoto)]
        patches, change = _influence(embedder, crops)
        _report(grid, patches, change)


def _influence(embedder: DlibResNet, crops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the patch (p, 2) as x, y, and how much each cell turns (photos, p, rows, cols): 1 − cosine."""
    side = crops[0].shape[0]
    width = side // embedder.embed(crops[0][None]).grids.shape[1]
    starts = range(0, side - width + 1, STEP)
    places = [(x, y) for y in starts for x in starts]
    change = []
    for crop in crops:
        hidden = np.repeat(crop[None], len(places), axis=0)
        for index, (x, y) in enumerate(places):
            hidden[index, y : y + width, x : x + width] = 128
        before, after = embedder.embed(crop[None]).grids.astype(float), embedder.embed(hidden).grids.astype(float)
        lengths = np.linalg.norm(before, axis=3) * np.linalg.norm(after, axis=3)
        change.append(1 - (before * after).sum(axis=3) / lengths)
    return np.array(places) + (width - 1) / 2, np.array(change)


def _report(grid: str, patches: np.ndarray, change: np.ndarray) -> None:
    photos, count, rows, cols = change.shape
    middles = (np.arange(rows) + 0.5) * 150 / rows
    row, col = np.unravel_index(change.reshape(photos, count, -1).argmax(axis=2), (rows, cols))
    found = np.stack([middles[col], middles[row]], axis=-1)  # (photos, p, 2)
    distance = np.linalg.norm(found - patches, axis=-1)
    x, y = (np.polyfit(np.tile(patches[:, axis], photos), found[..., axis].ravel(), 1)[0] for axis in (0, 1))
    print(f"{grid} grid {rows} × {cols}, {photos} photos, {count} places of a {150 // rows} px patch")
    print(f"  from the patch to the cell it turns most: median {np.median(distance):.0f} px "
          f"({np.median(distance) / (150 / rows):.1f} cells); slope across {x:.2f}, down {y:.2f}")  # fmt: skip
    weight = change.mean(axis=0)  # (p, rows, cols)
    for name, axis, sums in (("columns", 0, weight.sum(axis=1)), ("rows", 1, weight.sum(axis=2))):
        centroids = (sums * patches[:, axis, None]).sum(axis=0) / sums.sum(axis=0)
        nominal = ", ".join(f"{value:.0f}" for value in middles)
        print(f"  {name}: nominal centres {nominal}; centroids of influence "
              + ", ".join(f"{value:.0f}" for value in centroids))  # fmt: skip


if __name__ == "__main__":
    main()
