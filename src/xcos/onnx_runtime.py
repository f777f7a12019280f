"""What is done with ONNX: write a graph whose weights come from arrays, check a foreign file, open it for inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidModel

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = ("CPUExecutionProvider",)
OPSET = 19  # first with dilated AveragePool
FLOAT, UINT8 = 1, 2  # element types as ONNX numbers them


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

    def model(
        self,
        inputs: dict[str, list[str | int]],
        outputs: Sequence[str],
        *,
        element: int = UINT8,
        metadata: dict[str, str] | None = None,
    ) -> bytes:
        """The serialised model; inputs have the type ``element``, outputs are float."""
        made = self._helper
        graph = made.make_graph(
            self._nodes,
            "xcos",
            [made.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()],
            [made.make_tensor_value_info(name, FLOAT, None) for name in outputs],
            self._weights,
        )
        model = made.make_model(graph, opset_imports=[made.make_opsetid("", OPSET)], ir_version=9)
        made.set_model_props(model, metadata or {})
        content: bytes = model.SerializeToString()
        return content


def parse_model(content: bytes, name: str) -> Any:
    """The ``onnx.ModelProto`` in a file's content, refused unless it is a model that keeps all weights inside."""
    import onnx

    try:
        network = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own type, without importing protobuf here
        raise InvalidModel(f"{name} is not an ONNX model; export the network to ONNX") from error
    if _reads_files(network):
        raise InvalidModel(f"{name} keeps weights in other files, which are never read; export it as one file")
    if not network.graph.node:
        raise InvalidModel(f"{name} is not an ONNX model; export the network to ONNX")
    return network


def _reads_files(message: Any) -> bool:
    """Whether any tensor, wherever it stands (branches, functions, sparse parts), keeps its values in another file."""
    import onnx
    from google.protobuf.message import Message

    if isinstance(message, onnx.TensorProto):
        return bool(message.data_location == onnx.TensorProto.EXTERNAL)
    parts = (value for field, value in message.ListFields() if field.message_type is not None)
    return any(_reads_files(each) for part in parts for each in ([part] if isinstance(part, Message) else part))


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
