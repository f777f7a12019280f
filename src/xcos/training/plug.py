"""A network and people → the head fitted to some of them, calibrated and measured on the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xcos.models import FaceModel
from xcos.training.calibrate import Occasion, calibrate
from xcos.training.export import export_head
from xcos.training.fit import FitSettings, Step, fit_head
from xcos.training.plug_report import PlugReport


def plug(
    occasion: Occasion, out: Path, settings: FitSettings, *, on_step: Callable[[Step], None] = lambda _: None
) -> tuple[FaceModel, PlugReport]:
    """The model folder written to ``out``, and what was measured.

    The head is fitted to the training people, both calibrations to the calibration people, and every figure is of
    the test people.
    """
    _ = occasion.vector_calibration  # where people are too few for any threshold, it says so before the fit
    training = occasion.parts["training"]
    head = fit_head(training.grids, training.vectors, training.labels, settings, on_step)
    rows, cols, _ = occasion.exposed.grid_shape
    return calibrate(occasion, export_head(head, rows, cols), out, settings=settings)
