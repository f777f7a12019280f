"""Makes the shipped model from LFW's development-train people, and measures it on people it never saw.

    python benchmarks/train_xcos_dlib.py [--lfw FOLDER] [--work FOLDER] [--steps N] [--shares 0,0.25,0.75,1]

One command from photos to weights, calibration and figures. Of ``peopleDevTrain.txt`` a fifth, chosen by a hash of
the name, is kept apart for the calibration; the stage is fitted on the others. Everything is reported on
``pairsDevTest.txt``, other people, as it is and with one photo of each pair covered. Crops and features are kept in
``--work``; a second run uses them. ``--shares`` makes nothing, and reports what other stations on the way from the
published to the fitted weights would do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.stats import spearmanr

import lfw
from xcos.alignment import DLIB_150
from xcos.calibration import NonMatedScores, fit_calibration
from xcos.catalog import card_path, packaged_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.detectors import Mtcnn
from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import CARD, published_layers
from xcos.errors import InputRefused
from xcos.extractor import Extractor
from xcos.files import write_atomically
from xcos.images import read_image
from xcos.occluders import OCCLUDERS, Covered
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.training.stage_fit import StageSettings, StageStep, Views, between, fit_stage, published_stage
from xcos.types import Crops, Floats, Grids, Pixels
from xcos.verifier import VECTOR_COMPARATOR

NAME = "xcos-dlib-7x7"
VIEWS = 8
CALIBRATION_SHARE = 0.2
TESTED = ("mask", "sunglasses", "squares", "blob")
DRAWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("xcos-dlib-work"))
    parser.add_argument("--out", type=Path, default=Path("src/xcos/data/models") / NAME)
    parser.add_argument("--calibrations", type=Path, default=Path("src/xcos/data/calibrations"))
    parser.add_argument("--steps", type=int, default=StageSettings.steps)
    parser.add_argument("--shares", type=lambda text: [float(share) for share in text.split(",")], default=[])
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    options = parser.parse_args()
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the same weights on every machine with the same arithmetic
    people = train_people(options.lfw)
    fit_set = located(options.lfw, [p for p in people if not for_calibration(lfw.person(p))], options.work / "fit")
    views = all_views(fit_set, options.work / "fit")
    settings = StageSettings(steps=options.steps)
    if options.shares:
        return report_shares(views, settings, options)
    content = fitted(views, settings).weights().to_bytes()
    source = f"benchmarks/train_xcos_dlib.py, {options.date}; network: package face_recognition_models 0.3.0"
    data = f"{len(fit_set.photos)} photos of {len(set(views.labels.tolist()))} people of LFW's peopleDevTrain.txt"
    embedder = write_stage(options.out, content, source=source, data=data)
    calibrate(embedder, options, [p for p in people if for_calibration(lfw.person(p))])
    figures = report(embedder, options)
    sha256 = embedder.card.sha256
    note = {"date": options.date, "settings": asdict(settings), "sha256": sha256, "figures": figures}
    write_atomically(options.out / "figures.json", (json.dumps(note, indent=1) + "\n").encode())


def write_stage(folder: Path, content: bytes, *, source: str, data: str) -> DlibResNet:
    card = replace(
        CARD,
        name=NAME,
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0-1.0 (network), MIT (learned stage)",
        source=source,
        training_data=f"{CARD.training_data}; learned stage: {data}",
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "stage.npz", content)
    write_atomically(folder / "card.json", (json.dumps(card.to_dict(), indent=1) + "\n").encode())
    return DlibResNet(grid="trusted", stage_folder=folder)


def report_shares(views: Views, settings: StageSettings, options: argparse.Namespace) -> None:
    """Figures with other shares of the fitted weights; the coverage is the fitted one in all."""
    published = published_stage(views, published_layers(), settings.seed)
    whole = fitted(views, replace(settings, learned_share=1.0))
    for share in options.shares:
        content = between(published, deepcopy(whole), share).weights().to_bytes()
        print(f"\nshare of the fitted weights: {share:g}", flush=True)
        report(write_stage(options.work / f"share-{share:g}", content, source="a trial", data="as shipped"), options)


def train_people(folder: Path) -> list[str]:
    lines = (folder / "peopleDevTrain.txt").read_text("utf-8").splitlines()[1:]
    counted = [line.split("\t") for line in lines]
    return [lfw.photo(name, str(at)) for name, count in counted for at in range(1, int(count) + 1)]


def for_calibration(name: str) -> bool:
    """A fifth of the people, the same on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < CALIBRATION_SHARE * 2**32


@dataclass(frozen=True)
class Located:
    photos: list[str]
    crops: Crops

    @property
    def people(self) -> NDArray[np.int64]:
        return np.unique([lfw.person(photo) for photo in self.photos], return_inverse=True)[1].astype(np.int64)


def located(folder: Path, photos: list[str], keep: Path) -> Located:
    """Aligned crops of the face nearest each photo's centre; photos without one are counted and left out."""
    names, crops = keep.with_suffix(".txt"), keep.with_suffix(".crops.npy")
    if not names.exists():
        extractor = Extractor(Mtcnn(), DlibResNet(), face="center")

        def cut(photo: str) -> Pixels | None:
            try:
                return extractor.locate(read_image(folder / "images" / photo)).face.crop
            except InputRefused:
                return None

        with ThreadPoolExecutor(2) as pool, Progress(disable=not sys.stderr.isatty()) as progress:
            found = list(progress.track(pool.map(cut, photos), total=len(photos), description="faces"))
        kept = [at for at, crop in enumerate(found) if crop is not None]
        np.save(crops, np.stack([crop for crop in found if crop is not None]))
        write_atomically(names, "\n".join(photos[at] for at in kept).encode())
        print(f"{keep.name}: {len(photos)} photos, failure to acquire {len(photos) - len(kept)}", flush=True)
    return Located(names.read_text("utf-8").splitlines(), np.load(crops, mmap_mode="r"))


def all_views(faces: Located, keep: Path) -> Views:
    """Every crop as it is, mirrored, and covered six times at random, through dlib's trunk."""
    shape = (VIEWS, len(faces.photos), 7, 7)
    paths = [keep.with_suffix(f".{name}.npy") for name in ("fourth", "covered", "vectors")]
    if not paths[2].exists():
        trunk = DlibResNet(grid="fourth")
        fourth = open_memmap(paths[0], "w+", np.float16, (*shape, 256))
        covered = open_memmap(paths[1], "w+", np.float32, shape)
        vectors = np.zeros((len(faces.photos), 128), np.float32)

        def block(job: tuple[int, int]) -> None:
            view, start = job
            rows = slice(start, min(start + 8, len(faces.photos)))
            drawn = [one_view(faces.crops[row], view, row) for row in range(rows.start, rows.stop)]
            templates = trunk.embed(np.stack([crop for crop, _ in drawn]))
            fourth[view, rows] = templates.grids
            covered[view, rows] = [cell_shares(hidden) for _, hidden in drawn]
            if view == 0:
                vectors[rows] = templates.vectors

        jobs = [(view, start) for view in range(VIEWS) for start in range(0, len(faces.photos), 8)]
        with ThreadPoolExecutor(2) as pool, Progress(disable=not sys.stderr.isatty()) as progress:
            for _ in progress.track(pool.map(block, jobs), total=len(jobs), description="views"):
                pass
        np.save(paths[2], vectors)
    return Views(np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"), np.load(paths[2]), faces.people)


def one_view(crop: Pixels, view: int, row: int) -> tuple[Pixels, Covered]:
    random = np.random.default_rng([7, row, view])
    crop = np.ascontiguousarray(crop[:, ::-1] if view == 1 or (view > 1 and random.random() < 0.5) else crop)
    if view < 2:
        return crop, np.zeros(crop.shape[:2], bool)
    return OCCLUDERS[list(OCCLUDERS)[random.integers(len(OCCLUDERS))]](crop, DLIB_150, random)


def cell_shares(covered: Covered) -> Floats:
    """(7, 7) share of each cell's square that is covered; pixels are cut into 7 × 7 parts so that cells are whole."""
    side = covered.shape[0]
    fine = np.repeat(np.repeat(covered, 7, axis=0), 7, axis=1)
    shares: Floats = fine.reshape(7, side, 7, side).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return shares


def fitted(views: Views, settings: StageSettings) -> TrustedStage:
    started = time.perf_counter()
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("steps", total=settings.steps)

        def on_step(step: StageStep) -> None:
            progress.advance(task)
            if (step.number + 1) % 100 == 0:
                print(
                    f"step {step.number + 1}: imitation {step.imitation:.4f}, logistic {step.logistic:.4f}, identity "
                    f"{step.identity:.4f}, coverage {step.coverage:.4f}, {time.perf_counter() - started:.0f} s",
                    flush=True,
                )

        stage = fit_stage(views, published_layers(), settings, on_step)
    print(f"fitted on {views.fourth.shape[1]} photos in {time.perf_counter() - started:.0f} s, one thread", flush=True)
    return stage


def embedded(embedder: DlibResNet, crops: Crops) -> tuple[Grids, Floats]:
    starts = range(0, len(crops), 8)
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda start: embedder.embed(np.asarray(crops[start : start + 8])), starts))
    return np.concatenate([part.grids for part in parts]), np.concatenate([part.vectors for part in parts])


def calibrate(embedder: DlibResNet, options: argparse.Namespace, photos: list[str]) -> None:
    """The cards of the trust-weighted score and of the other weightings, on all pairs of the people kept apart.

    The vector is the published network's, which saw none of these people: its card is the one fitted on more of them.
    """
    faces = located(options.lfw, photos, options.work / "calibration")
    grids, _ = embedded(embedder, faces.crops)
    upper, right = np.triu_indices(len(grids), 1)
    same = faces.people[upper] == faces.people[right]
    cards = []
    for weighting in (TrustWeighted(), NormWeighted(), Uniform()):
        scores = weighting.score_all(grids, grids)[upper, right].astype(np.float64)
        card = fit_calibration(
            scores[same],
            NonMatedScores(scores[~same], faces.people[upper][~same], faces.people[right][~same]),
            model=embedder.model,
            comparator=weighting.name,
            dataset="LFW (deep-funneled), a fifth of the development-train people, none of them trained on",
            protocol="all pairs of their photos; face nearest the centre",
            date=options.date,
            detector="mtcnn",
        )
        cards.append(card)
    published = packaged_calibration(DlibResNet().model, VECTOR_COMPARATOR)
    for old in options.calibrations.glob(card_path(f"{NAME}/*", "*")):
        old.unlink()
    for card in (*cards, replace(published, model=embedder.model)):
        path = options.calibrations / card_path(card.model, card.comparator)
        write_atomically(path, (json.dumps(card.to_dict(), indent=1) + "\n").encode())
        print(card, flush=True)


def unit(values: Floats) -> Floats:
    unit_values: Floats = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return unit_values


def report(embedder: DlibResNet, options: argparse.Namespace) -> dict[str, object]:
    """Figures on pairsDevTest: as it is, and with the probe of every pair covered."""
    pairs = lfw.read_pairs(options.lfw / "pairsDevTest.txt")
    faces = located(options.lfw, lfw.photos_of(pairs), options.work / "test")
    index = {photo: at for at, photo in enumerate(faces.photos)}
    usable = [pair for pair in pairs if pair.probe in index and pair.reference in index]
    probes = np.array([index[pair.probe] for pair in usable])
    references = np.array([index[pair.reference] for pair in usable])
    tested = _Tested(np.array([pair.mated for pair in usable]), np.array([lfw.person(pair.probe) for pair in usable]))
    grids, vectors = embedded(embedder, faces.crops)
    figures: dict[str, object] = {}
    clean = scores_of(grids[probes], vectors[probes], grids[references], vectors[references])
    figures["clear"] = tested.table({name: [scores] for name, scores in clean.items()})
    print_table("pairsDevTest", figures["clear"])
    rho = float(spearmanr(clean["learned"], clean["vector"]).statistic)
    figures["spearman"] = rho
    print(f"Spearman correlation of learned and vector: {rho:.4f}")
    covered_scores: dict[str, list[NDArray[np.float64]]] = {}
    for number, kind in enumerate(TESTED):
        drawn = [
            OCCLUDERS[kind](np.asarray(faces.crops[row]), DLIB_150, np.random.default_rng([99, number, at]))
            for at, row in enumerate(probes)
        ]
        hidden = np.stack([cell_shares(covered) for _, covered in drawn])
        grid, vector = embedded(embedder, np.stack([crop for crop, _ in drawn]))
        scores = scores_of(grid, vector, grids[references], vectors[references])
        attention = TrustWeighted().maps(grid, grids[references])[1]
        mostly = hidden >= 0.5
        ratio = float((attention * mostly).sum() / mostly.mean(axis=(1, 2)).sum())
        table = tested.table({name: [each] for name, each in scores.items()})
        figures[kind] = {"table": table, "attention_over_area": ratio, "cells_covered": float(mostly.mean())}
        print_table(kind, table)
        print(f"  attention on cells at least half covered over their share of the grid: {ratio:.3f}", flush=True)
        if kind != "blob":
            for name, each in scores.items():
                covered_scores.setdefault(name, []).append(each)
    figures["covered"] = tested.table(covered_scores)
    print_table("mask, sunglasses and squares together", figures["covered"])
    return figures


def scores_of(grid: Grids, vector: Floats, others: Grids, other_vectors: Floats) -> dict[str, NDArray[np.float64]]:
    """Scores of the same pairs by the vector and by the grid's weightings."""
    scores = {"vector": np.vecdot(unit(vector), unit(other_vectors)).astype(np.float64)}
    for name, comparator in (("learned", TrustWeighted()), ("norm", NormWeighted()), ("uniform", Uniform())):
        similarity, attention = comparator.maps(grid, others)
        scores[name] = (similarity * attention).sum(axis=(1, 2))
    return scores


@dataclass(frozen=True)
class _Tested:
    mated: NDArray[np.bool_]
    people: NDArray[np.str_]

    def table(self, scores: dict[str, list[NDArray[np.float64]]]) -> dict[str, dict[str, float]]:
        """Accuracy at the best threshold of all lists together, with a bootstrap over probes' people (95 %)."""
        count = len(next(iter(scores.values())))
        names, at = np.unique(self.people, return_inverse=True)
        random = np.random.default_rng(0)
        rows_of = [np.flatnonzero(at == person) for person in range(len(names))]
        draws = [np.concatenate([rows_of[p] for p in random.integers(0, len(names), len(names))]) for _ in range(DRAWS)]
        table = {}
        for name, lists in scores.items():
            accuracy = lfw.best_accuracy(np.concatenate(lists), np.tile(self.mated, count))
            drawn = [
                lfw.best_accuracy(np.concatenate([each[rows] for each in lists]), np.tile(self.mated[rows], count))
                for rows in draws
            ]
            low, high = np.percentile(drawn, [2.5, 97.5])
            table[name] = {"accuracy": accuracy, "low": float(low), "high": float(high)}
        return table


def print_table(title: str, table: object) -> None:
    assert isinstance(table, dict)
    cells = [
        f"{name} {100 * v['accuracy']:.2f} [{100 * v['low']:.2f}, {100 * v['high']:.2f}]" for name, v in table.items()
    ]
    print(f"{title}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
