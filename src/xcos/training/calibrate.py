"""A network with its head, and people who taught neither → a model folder: calibrated, with figures on people apart."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from xcos.calibration import Calibration, fit_calibration
from xcos.comparators import LearnedHead
from xcos.models import FaceModel, write_model
from xcos.training.expose import Exposed
from xcos.training.features import Features, LeftOut
from xcos.training.fit import FitSettings
from xcos.training.measure import Measured, Pairs, learned_square, measure, plain_squares, vector_square
from xcos.training.people import MOST_PER_PERSON, MOST_PHOTOS
from xcos.training.plug_report import PlugReport, report_json, report_text
from xcos.types import Floats
from xcos.verifier import VECTOR_COMPARATOR


@dataclass(frozen=True, eq=False)
class Occasion:
    """What a head is calibrated with, and for."""

    exposed: Exposed
    model: str
    """Identity of the embedder that gave the features."""
    detector: str
    dataset: str
    parts: Mapping[str, Features]
    """By the part of the work their people serve (:mod:`xcos.training.people`)."""
    left_out: tuple[LeftOut, ...]
    rates: Sequence[float]
    """False match rates to report."""
    seed: int
    date: str = dataclasses.field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    def calibration(self, comparator: str, square: Floats) -> Calibration:
        """Of the scores that ``comparator`` gives all pairs of the calibration people."""
        pairs = Pairs(self.parts["calibration"].labels)
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

    @cached_property
    def vector_calibration(self) -> Calibration | None:
        """Of the network's own vector; None where it has none."""
        if not self.exposed.own_vector:
            return None
        return self.calibration(VECTOR_COMPARATOR, vector_square(self.parts["calibration"]))

    @property
    def protocol(self) -> str:
        """Which pairs a calibration is fitted to."""
        fitted = "people apart from those the head was fitted to" if "training" in self.parts else "people"
        return (
            f"all pairs of {len(self.parts['calibration']):,} photos of {fitted}; at most {MOST_PER_PERSON} photos of "
            f"a person, {MOST_PHOTOS:,} in all"
        )


def calibrate(
    occasion: Occasion, head: bytes, out: Path, *, settings: FitSettings | None = None
) -> tuple[FaceModel, PlugReport]:
    """The model folder written to ``out``, and what was measured on the test people.

    ``settings`` are what ``head`` (``head.onnx``) was fitted with to the training people, None for one that was trained
    before: then none of the people may have been trained on, which is not checked. A network that gives no vector of
    its own has no second opinion.
    """
    learned = _opened(head)
    vector = occasion.vector_calibration  # where people are too few for any threshold, it says so here
    grid = occasion.calibration(learned.name, learned_square(occasion.parts["calibration"], learned))
    report = _report(occasion, learned, {"grid": grid, "vector": vector}, settings)
    network = occasion.exposed.network
    model = write_model(
        out,
        network=network.content,
        grid=network.grid,
        vector=network.vector,
        card=occasion.exposed.card,
        head=head,
        calibration=grid,
        vector_calibration=vector,
        notes={"REPORT.md": report_text(report), "report.json": report_json(report)},
    )
    return model, report


def _report(
    occasion: Occasion,
    head: LearnedHead,
    calibrations: Mapping[str, Calibration | None],
    settings: FitSettings | None,
) -> PlugReport:
    parts, test = occasion.parts, occasion.parts["test"]
    mated = Pairs(test.labels).mated
    return PlugReport(
        model=occasion.model,
        original=occasion.exposed.original,
        head=head.name,
        detector=occasion.detector,
        dataset=occasion.dataset,
        grid=occasion.exposed.grid_shape,
        settings=settings,
        photos={part: len(each) for part, each in parts.items()},
        people={part: len(each.people) for part, each in parts.items()},
        several={part: int((each.photos_per_person > 1).sum()) for part, each in parts.items()},
        left_out=occasion.left_out,
        measured=tuple(_measured(occasion, head)),
        pairs=(int(mated.sum()), int((~mated).sum())),
        least_fmr={name: each.least_fmr for name, each in calibrations.items() if each is not None},
        date=occasion.date,
    )


def _measured(occasion: Occasion, head: LearnedHead) -> list[Measured]:
    test = occasion.parts["test"]
    pairs, squares = Pairs(test.labels), plain_squares(test)
    own = None
    if occasion.exposed.own_vector:
        square = vector_square(test)
        own, squares = pairs.of(square), {VECTOR_COMPARATOR: square, **squares}
    squares[head.name] = learned_square(test, head)
    return [
        measure(name, pairs.of(square), own, pairs, occasion.rates, occasion.seed) for name, square in squares.items()
    ]


def _opened(content: bytes) -> LearnedHead:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "head.onnx")
        path.write_bytes(content)
        return LearnedHead(path)
