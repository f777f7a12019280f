"""A ``head.onnx``: opened, checked before it is believed, and run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xcos.errors import InvalidModel
from xcos.onnx_runtime import FLOAT, open_session, parse_model
from xcos.types import Floats, Grids

SCHEMA = "1"
MOST_CELLS = 1024
# Products of two trusts, and their sums, stay far from the ends of single precision.
LEAST_TRUST, MOST_TRUST = 1e-9, 1e9
# Outputs beside ``features``: one value per face, and the same values for every face.
PER_FACE: dict[str, tuple[str, ...]] = {
    "uniform": (),
    "fixed": (),
    "norm": ("lengths",),
    "separable": ("trust",),
    "concat": ("first", "second"),
    "symmetric": ("first", "second"),
}
CONSTANT: dict[str, tuple[str, ...]] = {
    "fixed": ("weights",),
    "concat": ("kernel", "bias", "slopes"),
    "symmetric": ("kernel", "bias", "slopes"),
}


class HeadFile:
    """The graph of a head; everything it says and gives is checked, or :class:`InvalidModel` is raised."""

    def __init__(self, path: Path, providers: Sequence[str]) -> None:
        self.file = path.name
        content = _read(path)
        network = parse_model(content, self.file)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.weighting = _weighting(network, self.file)
        self.grid = _grid_shape(network, self.file)
        _require_outputs(network, {"features", *PER_FACE[self.weighting], *self._constant}, self.file)
        try:
            self._session = open_session(content, providers)
        except Exception as error:  # onnxruntime raises many types for a broken model
            raise InvalidModel(f"{self.file} cannot be run by ONNX Runtime: {error}") from error

    @property
    def _constant(self) -> tuple[str, ...]:
        return CONSTANT.get(self.weighting, ())

    def constants(self, grids: Grids) -> list[Floats]:
        """What the weighting needs once, read by a run on any ``grids``."""
        return self._run(self._constant, grids) if self._constant else []

    def per_face(self, grids: Grids) -> tuple[Floats, list[Floats]]:
        """Features (n, rows, cols, k), and what the weighting needs of each face."""
        names = PER_FACE[self.weighting]
        features, *parts = self._run(("features", *names), grids)
        n, (rows, cols, _) = len(grids), self.grid
        if features.ndim != 4 or features.shape[:3] != (n, rows, cols) or not features.shape[3]:
            raise self.wrong("features", features, f"({n}, {rows}, {cols}, k)")
        if features.size and np.vecdot(features, features).max() > 1 + 1e-4:
            raise self.wrong("features", features, "a unit vector in each cell")
        for name, part in zip(names, parts, strict=True):
            self._require_per_face(name, part, n)
        return features, parts

    def _require_per_face(self, name: str, part: Floats, n: int) -> None:
        rows, cols, _ = self.grid
        if name in ("first", "second"):
            if part.ndim != 4 or (part.shape[0], *part.shape[2:]) != (n, rows, cols):
                raise self.wrong(name, part, f"({n}, hidden, {rows}, {cols})")
            return
        if part.shape != (n, rows, cols):
            raise self.wrong(name, part, str((n, rows, cols)))
        if name == "trust" and part.size and not LEAST_TRUST <= part.min() <= part.max() <= MOST_TRUST:
            raise self.wrong(name, part, f"{LEAST_TRUST:g}…{MOST_TRUST:g}")
        if name == "lengths" and not bool((part >= 0).all() and (part > 0).any(axis=(1, 2)).all()):
            raise self.wrong(name, part, "≥ 0, with one above 0 in every face")

    def _run(self, names: Sequence[str], grids: Grids) -> list[Floats]:
        try:
            outputs = self._session.run(list(names), {"grid": np.ascontiguousarray(grids)})
        except Exception as error:  # onnxruntime raises many types for a model that does not fit its input
            raise InvalidModel(f"{self.file} fails on its input: {error}") from error
        for name, output in zip(names, outputs, strict=True):
            if not isinstance(output, np.ndarray) or output.dtype != np.float32 or not np.isfinite(output).all():
                raise InvalidModel(f"output '{name}' of {self.file} must be finite float32 numbers; export it again")
        return list(outputs)

    def wrong(self, name: str, found: Floats, wanted: str) -> InvalidModel:
        """The error for an output that is not what it must be."""
        values = f", values {found.min():.3g} to {found.max():.3g}" if found.size else ""
        return InvalidModel(
            f"output '{name}' of {self.file} must be {wanted}, got shape {found.shape}{values}; "
            "export the head with xcos"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"cannot read {path.name}: {error.strerror}; give the path of a head.onnx") from error


def _weighting(network: Any, file: str) -> str:
    notes = {str(entry.key): str(entry.value) for entry in network.metadata_props}
    schema, name = notes.get("xcos.schema", ""), notes.get("xcos.weighting", "")
    if schema != SCHEMA or name not in PER_FACE:
        raise InvalidModel(
            f"{file} is no xCos head of schema {SCHEMA}: its metadata say schema {schema!r} and weighting {name!r}, "
            f"one of {', '.join(PER_FACE)} was expected; export it with xcos"
        )
    return name


def _grid_shape(network: Any, file: str) -> tuple[int, int, int]:
    """(rows, cols, channels) of the one input, ``grid``."""
    given = {tensor.name for tensor in network.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in network.graph.input if value.name not in given}
    shapes = {name: [dim.dim_value for dim in kind.shape.dim] for name, kind in inputs.items()}
    shape = shapes.get("grid", [])
    fits = list(inputs) == ["grid"] and inputs["grid"].elem_type == FLOAT and len(shape) == 4 and shape[0] == 0
    if not fits or min(shape[1:]) < 1 or shape[1] * shape[2] > MOST_CELLS:
        raise InvalidModel(
            f"{file} wants inputs {shapes}; a head has one, float32 'grid' (n, rows, cols, channels) with n free and "
            f"at most {MOST_CELLS} cells"
        )
    return shape[1], shape[2], shape[3]


def _require_outputs(network: Any, wanted: set[str], file: str) -> None:
    outputs = {value.name for value in network.graph.output}
    if outputs != wanted:
        raise InvalidModel(f"{file} has outputs {sorted(outputs)}; its weighting needs {sorted(wanted)}")
