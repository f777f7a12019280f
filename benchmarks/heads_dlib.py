"""Every weighting of the xCos head on the same grid of dlib's network: accuracy, covered faces, attention, cost.

    python benchmarks/heads_dlib.py [--grid trusted|fourth] [--steps N] [--lfw FOLDER] [--work FOLDER]

Fitted on LFW's ``peopleDevTrain.txt`` without the people of the calibration, in the views that the shipped stage was
fitted on (half of a batch covered); reported on ``pairsDevTest.txt``, other people, as it is and with the probe of each
pair covered. ``trusted`` is the grid of the shipped model, 7 × 7 × 128, ``fourth`` the one below it, with 256 channels.
``uniform``, ``norm`` and ``trust`` weigh the grid as it is; the heads project it to 32 numbers per cell first.
``fixed`` is 'corr' of the xCos paper: the features of the uniform head, each cell weighed by the correlation of its
cosine with the published vector's over pairs of the fitted people. Prints Markdown: differences are to the first line,
the shipped model, whatever the grid.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

import lfw
from best_accuracy import Pairs
from dlib_faces import (
    TESTED,
    all_views,
    attention_over_area,
    dev_test,
    embedded,
    for_calibration,
    hash_of_code,
    hash_of_files,
    kept_folder,
    located,
    train_people,
    trusted_views,
    views_folder,
)
from xcos.comparators import LearnedHead
from xcos.compare import NormWeighted, TrustWeighted, Uniform, vectors_as_grids
from xcos.embedders import DlibResNet
from xcos.files import write_atomically
from xcos.interfaces import Comparator
from xcos.training import all_pairs, fit
from xcos.training import head as head_modules
from xcos.training.export import export_head
from xcos.training.fit import Step, fit_given_head, settings_for
from xcos.training.head import Concat, Fixed, XcosHead, correlation_weights, make_head
from xcos.training.stage_fit import CLEAR_VIEWS, Views
from xcos.types import Floats, Grids, Maps

TOGETHER = ("mask", "sunglasses", "squares")
LEARNED = ("uniform", "norm", "separable", "symmetric", "concat")
CHANNELS, SIDE = 32, 7
CORRELATED = 4000
"""Photos whose pairs the fixed weights are found on."""
TIMED_FACES, TIMED_ROUNDS = 1024, 5
BLOCK = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=["trusted", "fourth"], default="trusted")
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("xcos-dlib-work"))
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    embedder = DlibResNet(grid=options.grid)
    photos = [photo for photo in train_people(options.lfw) if not for_calibration(lfw.person(photo))]
    faces = located(options.lfw, photos, options.work, "fit")
    views = all_views(faces)
    folder = views_folder(faces)
    grids = views.fourth
    if options.grid == "trusted":
        grids, folder = trusted_views(views, folder)
    tested = Tested.of(embedder, options.lfw, options.work)
    shipped = tested if options.grid == "trusted" else Tested.of(DlibResNet(grid="trusted"), options.lfw, options.work)
    rows = [plain_row(TrustWeighted(), shipped, "shipped: trust")]
    rows += [plain_row(each, tested) for each in (NormWeighted(), Uniform())]
    print(f"fitting on {grids.shape[1]} photos of {views.labels.max() + 1} people, {options.steps} steps", flush=True)
    heads = kept_heads(grids, views, options.steps, folder)
    rows += [learned_row(name, LearnedHead(path), tested) for name, path in heads.items()]
    print_tables(rows, tested)


class DrawnViews:
    """Photos of which each reading shows one view: covered for half of them."""

    def __init__(self, grids: NDArray[np.float16]) -> None:
        self._grids, self._random = grids, np.random.default_rng(0)
        self.shape: tuple[int, ...] = grids.shape[1:]

    def __getitem__(self, index: NDArray[np.int64]) -> Grids:
        views = len(self._grids)
        covered = self._random.random(len(index)) < 0.5
        clear = self._random.integers(0, CLEAR_VIEWS, len(index))
        chosen = np.where(covered, self._random.integers(CLEAR_VIEWS, views, len(index)), clear)
        picked = np.stack([self._grids[view, row] for view, row in zip(chosen, index, strict=True)])
        return picked.astype(np.float32)


def kept_heads(grids: NDArray[np.float16], views: Views, steps: int, folder: Path) -> dict[str, Path]:
    """``head.onnx`` files by name; fitted where ``folder`` has none of the same features, settings and code."""
    recipe: dict[str, object] = {
        "steps": steps,
        "channels": CHANNELS,
        "learned": LEARNED,
        "correlated": CORRELATED,
        "code": hash_of_code(fit, all_pairs, DrawnViews, fit_one, with_fixed_weights),
        "head": hash_of_files(*sorted(Path(head_modules.__path__[0]).glob("*.py"))),
    }
    keep = kept_folder(folder, "heads", recipe)
    for name in LEARNED:
        if not (keep / f"{name}.onnx").exists():
            learned = fit_one(name, grids, views, steps)
            if name == "uniform":
                fixed = with_fixed_weights(learned, grids[0], views)
                write_atomically(keep / "fixed.onnx", export_head(fixed, SIDE, SIDE))
            write_atomically(keep / f"{name}.onnx", export_head(learned, SIDE, SIDE))
    return {name: keep / f"{name}.onnx" for name in ("uniform", "fixed", *LEARNED[1:])}


def fit_one(name: str, grids: NDArray[np.float16], views: Views, steps: int) -> XcosHead:
    weighting = "symmetric" if name == "concat" else name
    settings = settings_for(weighting, channels=CHANNELS, steps=steps, seed=0)  # type: ignore[arg-type]
    torch.manual_seed(0)
    made = (
        XcosHead(grids.shape[-1], Concat(CHANNELS), channels=CHANNELS)
        if name == "concat"
        else make_head(settings.weighting, grids.shape[-1], channels=CHANNELS)
    )
    done: list[Step] = []
    started = time.process_time()
    fit_given_head(made, DrawnViews(grids), views.vectors, views.labels, settings, done.append)
    missed, seconds = np.mean([step.teacher for step in done[-50:]]), time.process_time() - started
    print(f"{name}: fitted in {seconds:.0f} s of one core, off the teacher by {missed:.4f} in the end", flush=True)
    return made


@torch.inference_mode()
def with_fixed_weights(head: XcosHead, grids: NDArray[np.float16], views: Views) -> XcosHead:
    """The same features, weighed by each cell's correlation with the teacher: all mated pairs, and as many others."""
    labels = views.labels[:CORRELATED]
    first, second = np.triu_indices(len(labels), 1)
    mated = labels[first] == labels[second]
    others = np.random.default_rng(0).choice(np.flatnonzero(~mated), int(mated.sum()), replace=False)
    chosen = np.concatenate([np.flatnonzero(mated), others])
    first, second = first[chosen], second[chosen]
    maps = head.face(torch.from_numpy(np.array(grids[:CORRELATED], np.float32)).permute(0, 3, 1, 2))
    similarity = torch.cat(
        [
            head.compare(*(type(maps)(maps.grid[rows], maps.features[rows]) for rows in (a, b))).similarity
            for a, b in zip(np.array_split(first, 64), np.array_split(second, 64), strict=True)
        ]
    )
    unit = views.vectors / np.linalg.norm(views.vectors, axis=1, keepdims=True)
    teacher = torch.from_numpy(np.vecdot(unit[first], unit[second]))
    fixed = XcosHead(head.grid_channels, Fixed(correlation_weights(similarity, teacher)), channels=head.channels)
    fixed.projection = head.projection
    return fixed.eval()


@dataclass(frozen=True, eq=False)
class Tested:
    """Grids and vectors of the test's pairs, as they are and covered."""

    pairs: Pairs
    references: Grids
    probes: dict[str, Grids]
    """By occluder; "" without."""
    hidden: dict[str, Floats]
    """(n, 7, 7) covered shares of each occluder's cells."""
    vector: dict[str, NDArray[np.float64]]
    """Scores of the published vector by occluder."""
    photos: Grids

    @staticmethod
    def of(embedder: DlibResNet, folder: Path, work: Path) -> Tested:
        test = dev_test(folder, work)
        grids, vectors = embedded(embedder, test.crops)
        probes, of_probes, hidden = {"": grids[test.probes]}, {"": vectors[test.probes]}, {}
        for kind in TESTED:
            crops, hidden[kind] = test.covered(kind)
            probes[kind], of_probes[kind] = embedded(embedder, crops)
        others = vectors_as_grids(vectors[test.references])
        cosines = {kind: Uniform().maps(vectors_as_grids(each), others)[0][:, 0, 0] for kind, each in of_probes.items()}
        return Tested(Pairs.of(test.pairs), grids[test.references], probes, hidden, cosines, grids)


@dataclass(frozen=True, eq=False)
class Row:
    """One weighting's scores by occluder, and what its attention does."""

    name: str
    scores: dict[str, NDArray[np.float64]]
    over_area: dict[str, float]
    swap: float
    """Largest change of a score when the photos change places."""
    rate: float
    """Pairs a second of one thread, all pairs of encoded faces."""


def plain_row(weighting: TrustWeighted | NormWeighted | Uniform, tested: Tested, name: str = "") -> Row:
    one, other = (crowd(tested) for _ in range(2))
    return row(name or weighting.name, weighting, tested, lambda: weighting.score_all(one, other))


def learned_row(name: str, learned: LearnedHead, tested: Tested) -> Row:
    one, other = (learned.encode(crowd(tested)) for _ in range(2))
    return row(f"head, {name}", learned, tested, lambda: learned.score_all(one, other))


def crowd(tested: Tested) -> Grids:
    """In memory of its own: the product of an array with itself would cost half."""
    return np.resize(tested.photos, (TIMED_FACES, *tested.photos.shape[1:]))


def row(name: str, comparator: Comparator, tested: Tested, all_pairs: Callable[[], object]) -> Row:
    maps: dict[str, tuple[Maps, Maps]] = {
        kind: comparator.maps(probes, tested.references) for kind, probes in tested.probes.items()
    }
    scores = {kind: (similarity * attention).sum(axis=(1, 2)) for kind, (similarity, attention) in maps.items()}
    similarity, attention = comparator.maps(tested.references, tested.probes[""])
    swapped = (similarity * attention).sum(axis=(1, 2))
    over_area = {kind: attention_over_area(maps[kind][1], tested.hidden[kind]) for kind in TESTED}
    seconds = []
    for _ in range(TIMED_ROUNDS):
        started = time.process_time()
        all_pairs()
        seconds.append(time.process_time() - started)
    rate = TIMED_FACES**2 / min(seconds)
    return Row(name, scores, over_area, float(np.abs(swapped - scores[""]).max()), rate)


def print_tables(rows: list[Row], tested: Tested) -> None:
    vector = Row("the network's vector", tested.vector, {}, 0.0, float("nan"))
    first = rows[0]
    columns: dict[str, tuple[str, ...]] = {"clear photos": ("",), ", ".join(TOGETHER): TOGETHER}
    columns |= {kind: (kind,) for kind in TESTED}
    print("\n| weighting | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 1))
    for each in (*rows, vector):
        cells = []
        for kinds in columns.values():
            own, shipped = (tested.pairs.scored(*(r.scores[kind] for kind in kinds)) for r in (each, first))
            gain = "" if each is first else f"; {own.ahead_of(shipped).points(sign=True)}"
            cells.append((own.accuracy.points() if each is first else f"{100 * own.best:.2f}") + gain)
        print(f"| {each.name} | " + " | ".join(cells) + " |", flush=True)
    titles = " | ".join(f"attention / area, {kind}" for kind in TESTED)
    print(f"\n| weighting | {titles} | Spearman with the vector | change by swapping | M pairs/s |\n|" + " --- |" * 8)
    for each in rows:
        rho = float(spearmanr(each.scores[""], tested.vector[""]).statistic)
        ratios = " | ".join(f"{each.over_area[kind]:.3f}" for kind in TESTED)
        swap = "0" if each.swap == 0 else f"{each.swap:.1e}"
        print(f"| {each.name} | {ratios} | {rho:.3f} | {swap} | {each.rate / 1e6:.2f} |", flush=True)


if __name__ == "__main__":
    main()
