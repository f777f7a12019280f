"""Any face recognition model in ONNX, with a card that says how its crops are made."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xcos.alignment import require_crops
from xcos.compare import vectors_as_grids
from xcos.errors import InvalidCard, InvalidModel, WeightsMismatch, WeightsMissing
from xcos.onnx_runtime import CPU, open_session, parse_model
from xcos.types import Crops, Floats, Templates
from xcos.weights import WeightCard, verified_bytes

BLOCK = 8


class OnnxEmbedder:
    """Vectors of a user's network, and as grid its last feature map before the features lose their place.

    The map is the last tensor (n, channels, h, w) with more than one cell; it becomes an extra output. A network
    without one gives the 1 × 1 grid of its vector. ``grid`` and ``vector`` name tensors where these rules do
    not fit. Crop, colour order and scale come from the card; nothing is guessed. Models that keep weights
    in other files are refused.
    """

    def __init__(
        self,
        path: str | Path,
        card: WeightCard,
        *,
        grid: str = "",
        vector: str = "",
        providers: Sequence[str] = CPU,
    ) -> None:
        self.card = card
        network = open_network(path, card, grid=grid, vector=vector)
        self._input, self._block, self._vector, self._grid = network.input, network.block, network.vector, network.grid
        self.model = self._identity()
        try:
            self._session = open_session(network.content, providers)
        except Exception as error:  # onnxruntime raises many types for a broken model
            raise InvalidModel(f"{Path(path).name} cannot be run by ONNX Runtime: {error}") from error

    def with_card(self, card: WeightCard) -> OnnxEmbedder:
        """The same network, opened once, whose crops are cut and fed as another card says.

        :class:`InvalidCard` for a card of another file or of crops of another size.
        """
        mine, other = self.card.template, card.template
        if card.sha256 != self.card.sha256 or (mine.width, mine.height) != (other.width, other.height):
            raise InvalidCard(
                f"{self.card.name} was opened as the file {self.card.sha256[:12]} with crops of {mine.width} × "
                f"{mine.height}; the other card speaks of {card.sha256[:12]} with {other.width} × {other.height}: "
                "open the network anew"
            )
        fed = copy.copy(self)
        fed.card = card
        fed.model = fed._identity()
        return fed

    def _identity(self) -> str:
        """The card's hash is in it: the same file fed otherwise gives templates that must not be mixed."""
        card = self.card
        return f"{card.name}/{self._grid or 'vector'}+{self._vector}/{card.sha256[:12]}-{card.fingerprint}"

    def embed(self, crops: Crops) -> Templates:
        """Templates of (n, H, W, 3) RGB crops cut to the card's template."""
        require_crops(crops, self.card.template)
        starts = range(0, len(crops), self._block)
        blocks = [self._run(crops[start : start + self._block]) for start in starts]
        grids, vectors = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return Templates(grids, vectors, self.model)

    def _run(self, crops: Crops) -> tuple[Floats, Floats]:
        ordered = crops[..., ::-1] if self.card.color == "bgr" else crops
        pixels = (ordered.astype(np.float32) - np.array(self.card.mean, np.float32)) * np.float32(self.card.scale)
        names = [self._vector, self._grid] if self._grid else [self._vector]
        try:
            vectors, *maps = self._session.run(names, {self._input: pixels.transpose(0, 3, 1, 2)})
        except Exception as error:  # onnxruntime raises many types for a model that does not fit its input
            raise InvalidModel(f"the model {self.card.name} fails on its input: {error}") from error
        vectors = vectors.reshape(len(crops), -1).astype(np.float32)
        if not maps:
            return vectors_as_grids(vectors), vectors
        if maps[0].ndim != 4:
            shape = " × ".join(map(str, maps[0].shape))
            raise InvalidModel(
                f"a grid has the shape (n, channels, rows, cols), and the tensor '{self._grid}' has {shape}: name a "
                "feature map (--grid), or none to take the last one"
            )
        return np.ascontiguousarray(maps[0].transpose(0, 2, 3, 1), np.float32), vectors


@dataclass(frozen=True)
class OpenNetwork:
    """A user's network as it is run: its grid and its vector are outputs, its input has the card's shape."""

    content: bytes
    """The ONNX file; the same bytes whenever the same file is opened the same way, and the user's own where nothing had
    to be added."""
    input: str
    block: int
    """How many crops fit one call."""
    vector: str
    grid: str
    """Name of the tensor with the grid; empty where the network has none."""


def open_network(path: str | Path, card: WeightCard, *, grid: str = "", vector: str = "") -> OpenNetwork:
    """The network in an ONNX file, checked against its card; ``grid`` and ``vector`` as in :class:`OnnxEmbedder`."""
    path = Path(path)
    content = _own_bytes(path, card)
    network = parse_model(content, path.name)
    before = network.SerializeToString(deterministic=True)
    name, block = _check_input(network, card, path.name)
    vector = vector or _only_vector(network, path.name)
    maps = _maps(network)
    grid = grid or next(reversed(maps), "")
    if vector in maps and vector != grid:
        raise InvalidModel(
            f"the tensor '{vector}' of {path.name} is a feature map, which is no embedding; name (n, numbers) with "
            "--vector, in Python vector='NAME'"
        )
    for tensor in filter(None, (vector, grid)):
        _expose(network, tensor, maps)
    after = network.SerializeToString(deterministic=True)
    return OpenNetwork(content if after == before else after, name, block, vector, grid)


def _own_bytes(path: Path, card: WeightCard) -> bytes:
    """The user's file; that it is missing or not the card's is a matter of the request, not of the installation."""
    try:
        return verified_bytes(path, card.sha256)
    except WeightsMissing as error:
        raise InvalidModel(f"{error.message}; give the path of an ONNX file") from error
    except WeightsMismatch as error:
        raise InvalidModel(
            f"{path.name} is not the file its card speaks of: SHA-256 {error.details['found']}, the card says "
            f"{card.sha256}; correct the card if the file is the right one",
            **error.details,
        ) from error


def _dims(value: Any) -> list[int]:
    """Shape with 0 for what is not known."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _check_input(network: Any, card: WeightCard, name: str) -> tuple[str, int]:
    """Name of the input and how many crops fit one call; the shape must be what the card says."""
    given = {tensor.name for tensor in network.graph.initializer}
    inputs = [value for value in network.graph.input if value.name not in given]
    wanted = [3, card.template.height, card.template.width]
    shape = _dims(inputs[0]) if len(inputs) == 1 else []
    fits = len(shape) == 4 and all(got in (0, want) for got, want in zip(shape[1:], wanted, strict=True))
    if not fits or shape[0] > 1:
        raise InvalidModel(
            f"{name} wants inputs {[_dims(value) for value in inputs]}; the card's template {card.template.name} "
            f"gives (n, {', '.join(map(str, wanted))}) with n free or 1: correct the card or export again"
        )
    for dim, want in zip(inputs[0].type.tensor_type.shape.dim[1:], wanted, strict=True):
        dim.dim_value = want
    return inputs[0].name, shape[0] or BLOCK


def _only_vector(network: Any, name: str) -> str:
    outputs = [value.name for value in network.graph.output]
    if len(outputs) != 1:
        raise InvalidModel(
            f"{name} has the outputs {', '.join(outputs) or 'none'}; say which is the embedding: --vector NAME, in "
            "Python vector='NAME'"
        )
    return str(outputs[0])


def _maps(network: Any) -> dict[str, list[int]]:
    """Shape, 0 for what is not known, of each tensor with a place for each feature, in the order of the nodes."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(network)
    shapes = {value.name: _dims(value) for value in (*inferred.graph.value_info, *inferred.graph.output)}
    outputs = (output for node in network.graph.node for output in node.output)
    found = {output: shapes[output] for output in outputs if output in shapes}
    return {name: shape for name, shape in found.items() if len(shape) == 4 and shape[2] * shape[3] > 1}


def _expose(network: Any, tensor: str, maps: Mapping[str, list[int]]) -> None:
    import onnx

    if tensor not in {output for node in network.graph.node for output in node.output}:
        last = ", ".join(f"{name} {' × '.join(map(str, shape[1:]))}" for name, shape in list(maps.items())[-5:])
        raise InvalidModel(
            f"the model computes no tensor '{tensor}' to take the grid or the vector from; its outputs are "
            f"{', '.join(value.name for value in network.graph.output)}, and its last maps {last or 'none'}"
        )
    if tensor not in {value.name for value in network.graph.output}:
        network.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
