"""Trained parts → ONNX, for inference without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.onnx_runtime import FLOAT, GraphWriter
from xcos.training.head.block import Block
from xcos.training.head.concat import Concat
from xcos.training.head.fixed import Fixed
from xcos.training.head.maps import EPSILON
from xcos.training.head.norm import Norm
from xcos.training.head.separable import FLOOR, Separable
from xcos.training.head.symmetric import Symmetric
from xcos.training.head.uniform import Uniform
from xcos.training.head.xcos_head import XcosHead

HEAD_SCHEMA = "1"


def export_head(head: XcosHead, rows: int, cols: int) -> bytes:
    """``head.onnx`` for grids of rows × cols cells: what is computed once per face, as inference stores it.

    Input ``grid`` (n, rows, cols, channels); outputs ``features`` (n, rows, cols, k), unit vectors per cell, and

    * separable: ``trust`` (n, rows, cols) > 0;
    * norm: ``lengths`` (n, rows, cols);
    * fixed: ``weights`` (rows, cols), the same for every face;
    * concat, symmetric: ``first`` and ``second`` (n, hidden, rows, cols), the first convolution of the pair on this
      face in either place, its bias in ``first``; and of the rest of the pair part ``kernel`` (hidden, 3, 3),
      ``bias`` (1,) and ``slopes`` (2,), the same for every face.

    Batch normalisation is folded into the convolutions with its running statistics, as in evaluation mode. The
    weighting's name stands in the metadata ``xcos.weighting``.
    """
    graph = _HeadGraph(rows, cols)
    features, lengths = graph.project(head)
    match head.weighting:
        case Uniform():
            name = "uniform"
        case Norm():
            name = "norm"
            graph.give("lengths", lengths)
        case Fixed(weights=weights):
            name = "fixed"
            if tuple(weights.shape) != (rows, cols):
                raise InvalidArgument(f"the head weighs {tuple(weights.shape)} cells, export asks for {(rows, cols)}")
            graph.give("weights", graph.weight(_array(weights)))
        case Separable() as separable:
            name = "separable"
            graph.give("trust", graph.trust(separable))
        case Concat() as concat:
            name = "concat"
            graph.concat(features, concat)
        case Symmetric(concat=concat):
            name = "symmetric"
            graph.concat(features, concat)
        case other:
            raise InvalidArgument(f"{type(other).__name__} has no form for inference; use a weighting of xcos.training")
    return graph.model(head.grid_channels, name)


class _HeadGraph:
    def __init__(self, rows: int, cols: int) -> None:
        self._graph = GraphWriter()
        self._cells = rows, cols
        self._outputs: list[str] = []

    def give(self, name: str, value: str) -> None:
        self._outputs.append(self._graph.node("Identity", value, output=name))

    def model(self, grid_channels: int, weighting: str) -> bytes:
        return self._graph.model(
            {"grid": ["n", *self._cells, grid_channels]},
            self._outputs,
            element=FLOAT,
            metadata={"xcos.schema": HEAD_SCHEMA, "xcos.weighting": weighting},
        )

    def project(self, head: XcosHead) -> tuple[str, str]:
        """Projected features (n, rows, cols, k) and their lengths (n, rows, cols); gives the unit vectors."""
        features = self._per_cell("grid", head.projection)
        axis = self._graph.weight(np.array([-1], np.int64))
        lengths = self._graph.node("ReduceL2", features, axis, keepdims=1)
        safe = self._graph.node("Max", lengths, self.weight(np.array(EPSILON)))
        self.give("features", self._graph.node("Div", features, safe))
        return features, self._graph.node("Squeeze", lengths, axis)

    def trust(self, separable: Separable) -> str:
        x = self._to_maps(self._per_cell("grid", separable.narrow))
        x = self._convolve(x, *_folded(separable.around))
        x = self._graph.node("PRelu", x, self.weight(_array(separable.around.activation.weight)[:, None, None]))
        x = self._convolve(x, _array(separable.last.weight), _array(separable.last.bias))
        logits = self._graph.node("Squeeze", x, self._graph.weight(np.array([1], np.int64)))
        if separable.ratio is None:
            return self._graph.node("Add", self._graph.node("Softplus", logits), self.weight(np.array(FLOOR)))
        reach = self.weight(np.array(np.log(separable.ratio) / 2))
        return self._graph.node("Exp", self._graph.node("Mul", self._graph.node("Tanh", logits), reach))

    def concat(self, features: str, concat: Concat) -> None:
        x = self._convolve(self._to_maps(features), *_folded(concat.face))
        x = self._graph.node("PRelu", x, self.weight(_array(concat.face.activation.weight)))
        kernel, bias = _folded(concat.joint)
        # The convolution of two maps one after the other is the sum of its halves' convolutions.
        half = kernel.shape[1] // 2
        self.give("first", self._convolve(x, kernel[:, :half], bias))
        self.give("second", self._convolve(x, kernel[:, half:], np.zeros_like(bias)))
        kernel, bias = _folded(concat.last)
        slopes = [_array(block.activation.weight) for block in (concat.joint, concat.last)]
        for name, values in (("kernel", kernel[0]), ("bias", bias), ("slopes", np.concatenate(slopes))):
            self.give(name, self.weight(values))

    def weight(self, values: NDArray[np.floating]) -> str:
        return self._graph.weight(np.asarray(values, np.float32))

    def _to_maps(self, x: str) -> str:
        return self._graph.node("Transpose", x, perm=[0, 3, 1, 2])

    def _convolve(self, x: str, kernel: NDArray[np.floating], bias: NDArray[np.floating]) -> str:
        pad = kernel.shape[2] // 2
        return self._graph.node("Conv", x, self.weight(kernel), self.weight(bias), pads=[pad] * 4)

    def _per_cell(self, x: str, block: Block) -> str:
        """A block with a 1 × 1 convolution, on channels that stand last."""
        kernel, bias = _folded(block)
        x = self._graph.node("MatMul", x, self.weight(kernel[:, :, 0, 0].T))
        x = self._graph.node("Add", x, self.weight(bias))
        return self._graph.node("PRelu", x, self.weight(_array(block.activation.weight)))


def _array(values: Tensor | None) -> NDArray[np.float64]:
    if values is None:
        raise InvalidArgument("a layer of the head has no bias or no running statistics; build it with XcosHead")
    made: NDArray[np.float64] = values.detach().cpu().double().numpy()
    return made


def _folded(block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel and bias of the convolution with the normalisation after it, in evaluation mode."""
    conv, norm = block.conv, block.norm
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    bias = (_array(conv.bias) - _array(norm.running_mean)) * scale + _array(norm.bias)
    return _array(conv.weight) * scale[:, None, None, None], bias
