"""A user's network and photos → a model folder: head fitted, scores calibrated, figures measured on people apart."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.calibration import Calibration, fit_calibration
from xcos.comparators import LearnedHead
from xcos.embedders.onnx_model import OnnxEmbedder, OpenNetwork, open_network
from xcos.errors import InvalidArgument, InvalidModel
from xcos.feature_store import cache_folder
from xcos.files import is_within, write_atomically
from xcos.models import FaceModel, write_model
from xcos.training.export import export_head
from xcos.training.features import Features, PersonPhoto
from xcos.training.fit import FitSettings, Step, fit_head
from xcos.training.measure import Measured, Pairs, learned_square, measure, plain_squares, vector_square
from xcos.training.plug_report import PlugReport, report_json, report_text
from xcos.types import Floats
from xcos.verifier import VECTOR_COMPARATOR
from xcos.weights import WeightCard

PARTS = ("training", "calibration", "test")
SHARES = (0.4, 0.4, 0.2)
"""Of the people: a threshold asks for as many as a head does, figures for fewer."""
MOST_PER_PERSON = 10
MOST_PHOTOS = 3000
"""In calibration and test, where all pairs are compared."""


@dataclass(frozen=True, eq=False)
class Exposed:
    """A user's network as it goes into a model folder: its grid is an output, and its card speaks of that file."""

    network: OpenNetwork
    card: WeightCard
    original: str
    """SHA-256 of the user's file."""

    def embedder(self, folder: Path) -> OnnxEmbedder:
        """The network, kept in ``folder`` by its hash; written anew where what lies there is not it."""
        path = cache_folder(folder) / f"{self.card.sha256[:16]}.onnx"
        if not (path.is_file() and path.read_bytes() == self.network.content):
            write_atomically(path, self.network.content)
        return OnnxEmbedder(path, self.card, grid=self.network.grid, vector=self.network.vector)


def expose(path: str | Path, card: WeightCard, *, grid: str = "", vector: str = "") -> Exposed:
    """The network ready to be plugged into; :class:`InvalidModel` where it has no grid."""
    network = open_network(path, card, grid=grid, vector=vector)
    if not network.grid:
        raise InvalidModel(
            f"{Path(path).name} has no tensor (n, channels, rows, cols) with more than one cell before its features "
            "lose their place, so there is nothing to plug a head into; export the network with its last feature map, "
            "or name a tensor with --grid"
        )
    sha256 = hashlib.sha256(network.content).hexdigest()
    return Exposed(network, dataclasses.replace(card, sha256=sha256), card.sha256)


def part_of(person: str) -> str:
    """Which part of the work a person serves, by the hash of the name: adding people moves nobody."""
    place = int(hashlib.sha256(person.encode("utf-8", "surrogateescape")).hexdigest()[:12], 16) / 16**12
    return PARTS[int(np.searchsorted(np.cumsum(SHARES)[:-1], place, side="right"))]


def require_outside(data: str | Path, *folders: Path) -> None:
    """Raises where something would be written among the photos, and pass for a person at the next run."""
    for folder in folders:
        if is_within(folder, data):
            raise InvalidArgument(
                f"{folder} lies in the folder of photos {data} and would be taken for a person at the next run; give "
                "--out and --cache elsewhere",
                path=str(folder),
            )


def require_parts(photos: Sequence[PersonPhoto]) -> None:
    """Raises before any work unless each part has two people or more, and one of them two photos."""
    _require_parts(np.array([photo.person for photo in photos]))


def _require_parts(people: NDArray[np.str_]) -> None:
    names, counts = np.unique(people, return_counts=True)
    parts = np.array([part_of(str(name)) for name in names])
    found = {part: (int((parts == part).sum()), int(((parts == part) & (counts > 1)).sum())) for part in PARTS}
    if any(people < 2 or several < 1 for people, several in found.values()):
        told = "; ".join(f"{part} {people}, {several}" for part, (people, several) in found.items())
        raise InvalidArgument(
            "people are divided by the hash of their name, and every part needs two people or more, with two usable "
            f"photos or more of one of them at the least; there are (people, of these with several photos): {told}. "
            "Give photos of more people: a few hundred for a usable calibration",
            people=len(names),
        )


def split_people(features: Features) -> dict[str, Features]:
    """Features of each of ``PARTS``; those that are compared all with all with at most so many photos."""
    _require_parts(np.array(features.people)[features.labels])
    parts = np.array([part_of(person) for person in features.people])[features.labels]
    made = {part: features.take(np.flatnonzero(parts == part)) for part in PARTS}
    return {part: each if part == "training" else limited(each) for part, each in made.items()}


def limited(features: Features) -> Features:
    """At most ``MOST_PER_PERSON`` photos of a person, and ``MOST_PHOTOS`` in all, by whole people."""
    order = np.argsort(features.labels, kind="stable")
    labels = features.labels[order]
    nth = np.arange(len(order)) - np.searchsorted(labels, labels)
    kept = order[nth < MOST_PER_PERSON]
    most = features.labels[kept[min(len(kept), MOST_PHOTOS) - 1]]
    if len(kept) > MOST_PHOTOS:
        kept = kept[features.labels[kept] < most]
    return features.take(kept)


def plug(
    exposed: Exposed,
    embedder: OnnxEmbedder,
    features: Features,
    out: Path,
    *,
    settings: FitSettings,
    rates: Sequence[float],
    detector: str,
    dataset: str,
    on_step: Callable[[Step], None] = lambda _: None,
) -> tuple[FaceModel, PlugReport]:
    """The model folder written to ``out``, and what was measured.

    The head is fitted to the training people, both calibrations to the calibration people, and every figure is of
    the test people.
    """
    parts = split_people(features)
    origin = Origin(embedder.model, detector, dataset, protocol(parts["calibration"]))
    pairs, square = Pairs(parts["calibration"].labels), vector_square(parts["calibration"])
    by_vector = origin.calibration(VECTOR_COMPARATOR, pairs, square)  # where people are too few, it says so here
    training = parts["training"]
    head = fit_head(training.grids, training.vectors, training.labels, settings, on_step)
    _, rows, cols, _ = features.grids.shape
    content = export_head(head, rows, cols)
    learned = _opened(content)
    by_grid = origin.calibration(learned.name, pairs, learned_square(parts["calibration"], learned))
    report = PlugReport(
        model=embedder.model,
        original=exposed.original,
        head=learned.name,
        detector=detector,
        dataset=dataset,
        grid=features.grids.shape[1:],
        settings=settings,
        photos={part: len(each) for part, each in parts.items()},
        people={part: len(each.people) for part, each in parts.items()},
        several={part: int((each.photos_per_person > 1).sum()) for part, each in parts.items()},
        left_out=features.left_out,
        measured=tuple(_measured(parts["test"], learned, rates, settings.seed)),
        pairs=_pair_counts(parts["test"]),
        least_fmr={"grid": by_grid.least_fmr, "vector": by_vector.least_fmr},
        date=origin.date,
    )
    model = write_model(
        out,
        network=exposed.network.content,
        grid=exposed.network.grid,
        vector=exposed.network.vector,
        card=exposed.card,
        head=content,
        calibration=by_grid,
        vector_calibration=by_vector,
        notes={"REPORT.md": report_text(report), "report.json": report_json(report)},
    )
    return model, report


def _opened(content: bytes) -> LearnedHead:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "head.onnx")
        path.write_bytes(content)
        return LearnedHead(path)


def _measured(features: Features, head: LearnedHead, rates: Sequence[float], seed: int) -> list[Measured]:
    pairs, own = Pairs(features.labels), vector_square(features)
    squares: dict[str, Floats] = {VECTOR_COMPARATOR: own, **plain_squares(features)}
    squares[head.name] = learned_square(features, head)
    return [measure(name, pairs.of(square), pairs.of(own), pairs, rates, seed) for name, square in squares.items()]


def _pair_counts(features: Features) -> tuple[int, int]:
    mated = Pairs(features.labels).mated
    return int(mated.sum()), int((~mated).sum())


def protocol(features: Features) -> str:
    """Which pairs a calibration is fitted to."""
    return (
        f"all pairs of {len(features):,} photos of people apart from those the head was fitted to; at most "
        f"{MOST_PER_PERSON} photos of a person, {MOST_PHOTOS:,} in all"
    )


@dataclass(frozen=True)
class Origin:
    """What a calibration is of."""

    model: str
    detector: str
    dataset: str
    protocol: str
    date: str = dataclasses.field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    def calibration(self, comparator: str, pairs: Pairs, square: Floats) -> Calibration:
        """Of the scores that ``comparator`` gives all pairs."""
        return fit_calibration(
            pairs.mated_scores(square),
            pairs.non_mated_scores(square),
            model=self.model,
            comparator=comparator,
            dataset=self.dataset,
            protocol=self.protocol,
            date=self.date,
            detector=self.detector,
        )
