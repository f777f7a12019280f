"""The two things done with ONNX: write a graph whose weights come from arrays, and open it for inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = ("CPUExecutionProvider",)
OPSET = 19  # first with dilated AveragePool


class GraphWriter:
    """Collects nodes and weights, names them, and serialises the model."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy = helper, numpy_helper
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, values: NDArray[np.generic]) -> str:
        """Name of a constant with these values."""
        name = f"w{len(self._weights)}"
        self._weights.append(self._numpy.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Name of the output of a new operator node."""
        name = output or f"x{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def pixels(self, name: str, mean: Sequence[float], scale: float) -> str:
        """(n, 3, h, w) float of the input ``name``, (n, h, w, 3) uint8: ``(pixel − mean) · scale``."""
        x = self.node("Cast", name, to=1)
        x = self.node("Sub", x, self.weight(np.array(mean, np.float32)))
        x = self.node("Mul", x, self.weight(np.array(scale, np.float32)))
        return self.node("Transpose", x, perm=[0, 3, 1, 2])

    def model(self, inputs: dict[str, list[str | int]], outputs: Sequence[str]) -> bytes:
        """The serialised model; inputs are uint8, outputs float."""
        made = self._helper
        graph = made.make_graph(
            self._nodes,
            "xcos",
            [made.make_tensor_value_info(name, 2, shape) for name, shape in inputs.items()],
            [made.make_tensor_value_info(name, 1, None) for name in outputs],
            self._weights,
        )
        model = made.make_model(graph, opset_imports=[made.make_opsetid("", OPSET)], ir_version=9)
        content: bytes = model.SerializeToString()
        return content


def open_session(model: bytes, providers: Sequence[str] = CPU) -> InferenceSession:
    """A session of one thread: photos run side by side, so that a result never depends on the core count."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # An arena that never shrinks keeps the largest photo's buffers for ever.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(model, options, providers=list(providers))
