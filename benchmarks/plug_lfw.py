"""``xcos plug`` on three networks: what comes out on LFW's development test, and how long each phase took.

    python benchmarks/plug_lfw.py [--models FOLDER] [--lfw FOLDER] [--data FOLDER] [--only ms1m casia dlib]
                                  [--channels 32] [--weighting separable] [--cache FOLDER]

Plugs on --data (default: the 9,525 photos of LFW's peopleDevTrain.txt, one folder a person), then scores the 1,000
pairs of pairsDevTest.txt, whose people are others. Accuracy is that at the best threshold of these very pairs, with the
95 % interval of a bootstrap over people; Spearman is the rank correlation of all their scores with the cosines of the
network's own vectors, its teacher, with the interval of the same draws. ``dlib`` is the packaged network as ONNX, its
fourth stage as grid. With --cache features are kept, and the time to make them is that of this run alone.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

import lfw
from xcos.alignment import ARCFACE_112
from xcos.catalog import build_detector
from xcos.cli.progress import progress_bar
from xcos.compare import NormWeighted
from xcos.embedders.dlib_resnet import CARD as DLIB_CARD
from xcos.evaluation.embedding import embed_samples
from xcos.evaluation.protocols.lfw import read_lfw_view1
from xcos.evaluation.run import score_pairs
from xcos.extractor import Extractor, usable_cores
from xcos.models import FaceModel
from xcos.training.build import build_network
from xcos.training.calibrate import Occasion
from xcos.training.config import DlibConfig
from xcos.training.export_network import export_network
from xcos.training.expose import expose
from xcos.training.features import embed_people, list_photos
from xcos.training.fit import FitSettings, Step, settings_for
from xcos.training.people import split_people
from xcos.training.plug import plug
from xcos.types import CropTemplate
from xcos.weights import WeightCard

ARCFACE_96 = CropTemplate("arcface_96x112", 96, 112, ARCFACE_112.points - (8, 0))
RATES = [1e-2, 1e-3]
DRAWS = 1000


@dataclass(frozen=True)
class Subject:
    """A network to plug into."""

    title: str
    file: Path
    card: WeightCard
    grid: str = ""
    vector: str = ""


@dataclass
class Clock:
    """Seconds of each phase: by the clock, and of processor time of all this process's threads together."""

    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    started: tuple[float, float] = field(default_factory=lambda: now())

    def ends(self, phase: str) -> None:
        """What was done since the phase before."""
        before, self.started = self.started, now()
        self.seconds[phase] = (self.started[0] - before[0], self.started[1] - before[1])

    def lines(self) -> list[str]:
        """A table."""
        whole = tuple(map(sum, zip(*self.seconds.values(), strict=True)))
        rows = {**self.seconds, "all": whole}
        return ["| phase | seconds | of processor time |", "| --- | --- | --- |"] + [
            f"| {phase} | {clock:,.0f} | {processor:,.0f} |" for phase, (clock, processor) in rows.items()
        ]


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=lfw.DEFAULT_FOLDER.parents[1] / "models")
    parser.add_argument("--lfw", type=Path, default=lfw.DEFAULT_FOLDER)
    parser.add_argument("--data", type=Path, help="one sub-folder of photos a person")
    parser.add_argument("--only", nargs="+", choices=("ms1m", "casia", "dlib"), default=("ms1m", "casia", "dlib"))
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--weighting", default="separable")
    parser.add_argument("--channels", type=int, default=FitSettings.channels)
    parser.add_argument("--steps", type=int, default=FitSettings.steps)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, {options.detector}", flush=True)
    settings = settings_for(options.weighting, channels=options.channels, steps=options.steps, seed=0)
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        people = options.data or development_people(options.lfw, work / "people")
        cache = options.cache or work / "cache"
        for name in options.only:
            subject = MAKERS[name](options.models, work)
            report(subject, people, options.lfw, cache, work / f"plugged-{name}", settings, options.detector)


def development_people(folder: Path, home: Path) -> Path:
    """A folder of links to the photos of the people of peopleDevTrain.txt."""
    home.mkdir()
    for line in (folder / "peopleDevTrain.txt").read_text("utf-8").splitlines()[1:]:
        name = line.split("\t")[0]
        (home / name).symlink_to((folder / "images" / name).resolve())
    return home


def ms1m(models: Path, _: Path) -> Subject:
    file = models / "mobilefacenet_y1.onnx"
    card = WeightCard(
        name="mobilefacenet-ms1m",
        sha256=sha256(file),
        template=ARCFACE_112,
        color="rgb",
        mean=(0.0, 0.0, 0.0),
        scale=1.0,
        licence="non-commercial research",
        source="InsightFace y1",
        training_data="MS1M",
    )
    return Subject("MobileFaceNet, MS1M", file, card)


def casia(models: Path, _: Path) -> Subject:
    file = models / "mobilefacenet_casia.onnx"
    card = WeightCard(
        name="mobilefacenet-casia",
        sha256=sha256(file),
        template=ARCFACE_96,
        color="rgb",
        mean=(127.5, 127.5, 127.5),
        scale=1 / 128,
        licence="non-commercial research",
        source="MobileFaceNet",
        training_data="CASIA-WebFace",
    )
    return Subject("MobileFaceNet, CASIA-WebFace", file, card)


def dlib(_: Path, work: Path) -> Subject:
    network, _hashes = build_network(DlibConfig(grid="fourth"))
    file = work / "dlib.onnx"
    file.write_bytes(export_network(network, network.input_side))
    return Subject("dlib's ResNet", file, replace(DLIB_CARD, sha256=sha256(file)), "grid", "vector")


MAKERS = {"ms1m": ms1m, "casia": casia, "dlib": dlib}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def report(
    subject: Subject, people: Path, folder: Path, cache: Path, out: Path, settings: FitSettings, detector: str
) -> None:
    """Plugs, scores the test pairs, prints."""
    exposed = expose(subject.file, subject.card, grid=subject.grid, vector=subject.vector)
    embedder = exposed.embedder(cache)
    finder = build_detector(detector, exposed.card.template)
    photos = list_photos(people)
    clock = Clock()
    with progress_bar("photos", len(photos)) as bar:
        features = embed_people(photos, Extractor(finder, embedder, "center"), cache, on_photo=bar.advance)
    clock.ends("find, cut, embed")

    def on_step(step: Step) -> None:
        if step.number in (0, settings.steps - 1):
            clock.ends("fit the head" if step.number else "calibrate the vector")

    occasion = Occasion(
        exposed=exposed,
        model=embedder.model,
        detector=finder.name,
        dataset=people.name,
        parts=split_people(features),
        left_out=features.left_out,
        rates=RATES,
        seed=settings.seed,
    )
    model, told = plug(occasion, out, settings, on_step=on_step)
    clock.ends("calibrate the grid, measure, write")
    grid = " × ".join(map(str, told.grid))
    of = len({each.person for each in photos})
    print(f"\n{subject.title}, grid {grid}: {len(photos):,} photos of {of:,} people, "
          f"{len(features.left_out):,} left out")  # fmt: skip
    print(f"people: {told.people}; supported from FMR {told.least_fmr['grid']:.2g} (grid), "
          f"{told.least_fmr['vector']:.2g} (vector)")  # fmt: skip
    print("\n".join(clock.lines()))
    for line in test_lines(model, folder, Extractor(finder, model.embedder, "center")):
        print(line)
    print("plug's own figures, on its test people:")
    for each in told.measured:
        print(f"  {each.comparator:60} accuracy {shown(each.accuracy.value, each.accuracy.low, each.accuracy.high)}  "
              f"Spearman {each.spearman:.3f}", flush=True)  # fmt: skip


def test_lines(model: FaceModel, folder: Path, extractor: Extractor) -> list[str]:
    """A table of the pairs of pairsDevTest.txt."""
    protocol = read_lfw_view1(folder)
    embedded = embed_samples(protocol.samples, extractor)
    own = score_pairs(protocol, embedded, None).scores
    lines = [f"failure to acquire: {len(embedded.failures)}", "| | accuracy | Spearman |", "| --- | --- | --- |"]
    comparators = {"its own vector": None, "raw grid, norm": NormWeighted(), "**head**": model.comparator}
    for name, comparator in comparators.items():
        scores = score_pairs(protocol, embedded, comparator).scores.scores
        draws = [
            (lfw.best_accuracy(scores[rows], own.mated[rows]), correlation(scores[rows], own.scores[rows]))
            for rows in lfw.drawn_pairs(own.probe_subject, own.reference_subject, DRAWS)
        ]
        (low, rank_low), (high, rank_high) = np.quantile(draws, [0.025, 0.975], axis=0)
        accuracy, rank = lfw.best_accuracy(scores, own.mated), correlation(scores, own.scores)
        lines.append(f"| {name} | {shown(accuracy, low, high)} | {rank:.3f} [{rank_low:.3f}, {rank_high:.3f}] |")
    return lines


def correlation(scores: NDArray[np.floating], own: NDArray[np.floating]) -> float:
    """Spearman's, over the pairs of which both samples have a template."""
    usable = np.isfinite(scores)
    return float(spearmanr(scores[usable], own[usable]).statistic)


def shown(value: float, low: float, high: float) -> str:
    return f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


if __name__ == "__main__":
    main()
