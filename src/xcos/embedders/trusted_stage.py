"""The learned stage of the shipped model as a part of dlib's graph, from one file of arrays."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xcos.errors import WeightsMismatch
from xcos.onnx_runtime import GraphWriter
from xcos.types import Floats

NEAR = 0.2
"""Share of a cell that is the mean of its 3 × 3 neighbourhood."""
GLOBAL = 0.25
"""Share of a cell that meets the summary of the whole face: one of the four quarters the published network adds up."""
FLOOR = 0.02
"""Least trust of a covered cell, where a clear one has 1: a face that is covered everywhere still has a score."""
COVERED_INPUT = 0.5
"""Scale of the fourth stage's features (0…4) into the coverage network."""


@dataclass(frozen=True, eq=False)
class StageWeights:
    """Weights of the stage; shapes as of its convolutions ``(out, in, rows, cols)``."""

    covered_kernels: list[Floats]
    """Three convolutions 256 → 64 → 32 → 1 that tell which cells are covered."""
    covered_biases: list[Floats]
    covered_slopes: list[Floats]
    """(64,), (32,): PReLU after the first two."""
    mean_face: Floats
    """(256, 7, 7): what a covered cell is replaced with."""
    windows: Floats
    """(256, 256, 3, 3): from each of four windows, cells two apart."""
    window_bias: Floats
    """(256, 2, 2)."""
    summary: Floats
    """(256, 256, 2, 2): the four windows to one summary of the face."""
    summary_bias: Floats
    """(256,)."""
    linear: Floats
    """(128, 256, 1, 1)."""
    place: Floats
    """(128, 7, 7): what is added in each place."""

    def to_bytes(self) -> bytes:
        """NumPy's ``.npz`` in half precision; no pickle, and the same bytes for the same weights."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {name: array.astype(np.float16) for name, array in self._arrays().items()}
        np.savez(file, **arrays)
        return file.getvalue()

    def _arrays(self) -> dict[str, Floats]:
        arrays: dict[str, Floats] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            named = {f"{field.name}.{at}": each for at, each in enumerate(value)} if isinstance(value, list) else {}
            arrays |= named or {field.name: value}
        return arrays


def read_stage(content: bytes) -> StageWeights:
    """Weights of an ``.npz`` file made by :meth:`StageWeights.to_bytes`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.float32) for name in file.files}
        listed = {
            field.name: (
                [arrays.pop(f"{field.name}.{at}") for at in range(_COUNTS[field.name])]
                if field.name in _COUNTS
                else arrays.pop(field.name)
            )
            for field in fields(StageWeights)
        }
    except (KeyError, ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise WeightsMismatch(f"the learned stage's file cannot be read: {error}; install the package again") from error
    return StageWeights(**listed)  # type: ignore[arg-type]


_COUNTS = {"covered_kernels": 3, "covered_biases": 3, "covered_slopes": 2}


def add_stage(graph: GraphWriter, fourth: str, stage: StageWeights) -> str:
    """Output (n, 128, 7, 7) of the stage on ``fourth`` (n, 256, 7, 7): features as long as they can be trusted."""
    weight, node = graph.weight, graph.node

    def constant(value: float) -> str:
        return weight(np.array(value, np.float32))

    def convolve(x: str, kernel: Floats, bias: Floats | None = None, **attributes: Any) -> str:
        inputs = [x, weight(kernel)] + ([weight(bias)] if bias is not None else [])
        return node("Conv", *inputs, **attributes)

    covered = node("Mul", fourth, constant(COVERED_INPUT))
    for at, (kernel, bias) in enumerate(zip(stage.covered_kernels, stage.covered_biases, strict=True)):
        covered = convolve(covered, kernel, bias, pads=[kernel.shape[2] // 2] * 4)
        if at < len(stage.covered_slopes):
            covered = node("PRelu", covered, weight(stage.covered_slopes[at][:, None, None]))
    visible = node("Sigmoid", node("Neg", covered))
    hidden = node("Sub", constant(1), visible)
    seen = node("Add", node("Mul", fourth, visible), node("Mul", weight(stage.mean_face), hidden))
    windows = node("Add", convolve(seen, stage.windows, strides=[2, 2], dilations=[2, 2]), weight(stage.window_bias))
    summary = convolve(node("Relu", windows), stage.summary, stage.summary_bias)
    near = node("AveragePool", seen, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=0)
    cell = node("Add", node("Mul", seen, constant(1 - NEAR)), node("Mul", near, constant(NEAR)))
    met = node("Relu", node("Add", cell, summary))
    mixed = node("Add", node("Mul", cell, constant(1 - GLOBAL)), node("Mul", met, constant(GLOBAL)))
    features = node("Add", convolve(mixed, stage.linear), weight(stage.place))
    trust = node("Add", node("Mul", visible, visible), constant(FLOOR))
    return node("Mul", features, trust)
