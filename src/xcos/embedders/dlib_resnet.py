"""dlib's face recognition ResNet, rebuilt as an ONNX graph that also gives dense local grids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from xcos.alignment import DLIB_150, require_crops
from xcos.embedders.trusted_stage import StageWeights, add_stage, read_stage
from xcos.errors import InvalidArgument, WeightsMismatch
from xcos.onnx_runtime import CPU, GraphWriter, open_session
from xcos.types import Crops, Floats, Templates
from xcos.weights import WeightCard, packaged_file, read_card, verified_bytes

CARD = WeightCard(
    name="dlib_face_recognition_resnet_model_v1",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    template=DLIB_150,
    color="rgb",
    mean=(122.782, 117.001, 104.298),
    scale=1 / 256,
    licence="CC0-1.0",
    source="package face_recognition_models 0.3.0; published by Davis King, dlib.net, 2017",
    training_data="about 3 million photos of 7,485 people (FaceScrub, VGG, and others scraped), as dlib.net states",
)
BLOCK = 8  # larger blocks leave the cache and are slower
SHIPPED = Path(__file__).parents[1] / "data" / "models" / "xcos-dlib-7x7"
Grid = Literal["last", "fourth", "trusted"]


class DlibResNet:
    """128-d vectors of the published network, and a dense grid of its local features beside them.

    ``grid="last"`` gives 5 × 5 × 128: the last stage and the final linear layer at every place; the mean of
    its four corners *is* the vector. ``grid="fourth"`` gives 7 × 7 × 256: the features of the fourth stage,
    one stage before; its even places are the network's own 4 × 4 map. ``grid="trusted"`` gives 7 × 7 × 128: a
    learned stage on those, whose features are as long as each cell can be trusted (docs/models/xcos-dlib-7x7.md);
    ``stage_folder`` holds its ``stage.npz`` and ``card.json``, None being the packaged one; the other grids have none.

    The published weights and the vector are the same in all three; strides are replaced by dilations, which
    computes the places between. ``alter`` changes the ONNX network before it is run, for tests that need a broken one:
    the model's name tells, so that its templates and calibrations are never taken for the published ones.
    """

    def __init__(
        self,
        *,
        grid: Grid = "last",
        stage_folder: Path | None = None,
        providers: Sequence[str] = CPU,
        alter: Callable[[bytes], bytes] | None = None,
    ) -> None:
        if grid not in ("last", "fourth", "trusted"):
            raise InvalidArgument(f"grid must be 'last', 'fourth' or 'trusted', got {grid!r}")
        if stage_folder is not None and grid != "trusted":
            raise InvalidArgument(
                f"the grid {grid!r} has no learned stage, got {stage_folder}; ask for grid='trusted' or leave it out"
            )
        layers = published_layers()
        self.card = CARD
        learned = None
        if grid == "trusted":
            folder = stage_folder or SHIPPED
            self.card = read_card(folder / "card.json")
            learned = read_stage(verified_bytes(folder / "stage.npz", self.card.sha256))
        self.model = model_name(grid, self.card)
        content = _graph(layers, grid, learned)
        if alter is not None and (altered := alter(content)) != content:
            content = altered
            self.model += f"/altered-{hashlib.sha256(content).hexdigest()[:12]}"
        self._session = open_session(content, providers)

    @property
    def providers(self) -> list[str]:
        """Where ONNX Runtime really runs the network, first choice first."""
        applied: list[str] = self._session.get_providers()
        return applied

    def embed(self, crops: Crops) -> Templates:
        """Templates of (n, 150, 150, 3) RGB crops."""
        require_crops(crops, self.card.template)
        blocks = [
            self._session.run(["grid", "vector"], {"pixels": crops[start : start + BLOCK]})
            for start in range(0, len(crops), BLOCK)
        ]
        grids, vectors = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return Templates(grids.transpose(0, 2, 3, 1), vectors, self.model)


def model_name(grid: Grid, card: WeightCard = CARD) -> str:
    """The model of templates with this grid; ``card`` is that of the learned stage where there is one."""
    if grid == "trusted":
        return f"{card.name}/{CARD.sha256[:12]}-{card.sha256[:12]}"
    return f"{CARD.name}/{grid}/{CARD.sha256[:12]}"


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with the affine layer after it folded in."""

    kernel: Floats
    """(filters, channels, rows, cols)."""
    bias: Floats


@dataclass(frozen=True, eq=False)
class Layers:
    """The network's parameters in forward order."""

    convolutions: list[Convolution]
    """1 + 2 · 14: the first, then two of each residual block."""
    linear: Floats
    """(256, 128)."""


def published_layers() -> Layers:
    """Parameters of the published network, from the package that carries them, after its hash was checked."""
    path = packaged_file("face_recognition_models", "models", "dlib_face_recognition_resnet_model_v1.dat")
    return read_layers(verified_bytes(path, CARD.sha256))


def read_layers(content: bytes) -> Layers:
    """Parameters in dlib's own serialisation of the network.

    Layers stand in forward order behind ASCII tags. An integer is a control byte (low nibble: bytes that
    follow; bit 7: sign) and little-endian bytes; a tensor is the integer 2, four dimensions and float32.
    """
    reader = _Reader(content)
    convolutions: list[Convolution] = []
    while reader.skip_to(b"con_4"):
        parameters = reader.tensor()
        filters, rows, cols = reader.integer(), reader.integer(), reader.integer()
        kernel, bias = np.split(parameters, [parameters.size - filters])
        if not reader.skip_to(b"affine_"):
            break
        scales, offsets = np.split(reader.tensor(), 2)
        kernel = kernel.reshape(filters, -1, rows, cols) * scales[:, None, None, None]
        convolutions.append(Convolution(kernel, bias * scales + offsets))
    if len(convolutions) != 29 or not reader.skip_to(b"fc_2"):
        raise WeightsMismatch(
            f"the dlib weight file holds {len(convolutions)} convolutions where 29 and a linear layer were expected"
        )
    outputs, inputs = reader.integer(), reader.integer()
    return Layers(convolutions, reader.tensor().reshape(inputs, outputs))


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def skip_to(self, tag: bytes) -> bool:
        """Moves behind the next ``tag``, unless there is none."""
        found = self._content.find(tag, self._at)
        if found < 0:
            return False
        self._at = found + len(tag)
        return True

    def integer(self) -> int:
        control = self._content[self._at]
        count = control & 0x0F
        value = int.from_bytes(self._content[self._at + 1 : self._at + 1 + count], "little")
        self._at += 1 + count
        return -value if control & 0x80 else value

    def tensor(self) -> Floats:
        version = self.integer()
        if version != 2:
            raise WeightsMismatch(f"a dlib tensor has version {version}, 2 was expected")
        size = int(np.prod([self.integer() for _ in range(4)]))
        values = np.frombuffer(self._content, "<f4", size, self._at)
        self._at += 4 * size
        return values


# Residual blocks per stage; the first block of each stage but the first halves the map.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
DENSE_FROM = 3  # from the fourth stage on, strides become dilations


def _graph(layers: Layers, grid: Grid, learned: StageWeights | None) -> bytes:
    net = _Net(layers)
    x = net.graph.pixels("pixels", CARD.mean, CARD.scale)
    x = net.convolve(x, stride=2, relu=True)
    x = net.graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])  # (n, 32, 35, 35)
    fourth = x
    for stage, (_, blocks) in enumerate(STAGES):
        for block in range(blocks):
            dilation = 2 ** max(0, stage - DENSE_FROM)
            halving = block == 0 and stage > 0
            x = net.block(x, stage, dilation, halving=halving)
        if stage == DENSE_FROM:
            fourth = x  # (n, 256, 7, 7)
    local = net.linear_per_cell(x)  # (n, 128, 5, 5)
    net.corners_mean(local, output="vector")
    if learned is not None:
        fourth = add_stage(net.graph, fourth, learned)
    net.graph.node("Identity", local if grid == "last" else fourth, output="grid")
    return net.graph.model({"pixels": ["n", 150, 150, 3]}, ["grid", "vector"])


class _Net:
    def __init__(self, layers: Layers) -> None:
        self.graph = GraphWriter()
        self._convolutions = iter(layers.convolutions)
        self._linear = layers.linear

    def convolve(self, x: str, *, stride: int = 1, dilation: int = 1, pad: int = 0, relu: bool = False) -> str:
        layer = next(self._convolutions)
        self.filters = len(layer.kernel)
        x = self.graph.node(
            "Conv",
            x,
            self.graph.weight(layer.kernel),
            self.graph.weight(layer.bias),
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            pads=[pad] * 4,
        )
        return self.graph.node("Relu", x) if relu else x

    def block(self, x: str, stage: int, dilation: int, *, halving: bool) -> str:
        """Two convolutions and their shortcut; dilation is that of the stage's own map.

        A halving block has no padding in its first convolution and averages 2 × 2 in its shortcut; where the two
        differ in size or channels dlib fills the smaller one with zeros at the right, bottom and last channels.
        In the dense stages the halving is left to the next one: stride 1 here, twice the dilation after it.
        """
        dense = stage >= DENSE_FROM
        if not halving:
            dilation *= 2 if dense else 1
            y = self.convolve(x, dilation=dilation, pad=dilation, relu=True)
            y = self.convolve(y, dilation=dilation, pad=dilation)
            return self.graph.node("Relu", self.graph.node("Add", y, x))
        stride, after = (1, 2 * dilation) if dense else (2, 1)
        y = self.convolve(x, stride=stride, dilation=dilation, relu=True)
        y = self.convolve(y, dilation=after, pad=after)
        short = self.graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[stride] * 2, dilations=[dilation] * 2)
        side, smaller, channels = _HALVED[stage]
        y = self._fill(y, side - smaller, 0)
        short = self._fill(short, 0, self.filters - channels)
        return self.graph.node("Relu", self.graph.node("Add", y, short))

    def _fill(self, x: str, cells: int, channels: int) -> str:
        if not cells and not channels:
            return x
        pads = np.array([0, 0, 0, 0, 0, channels, cells, cells], np.int64)
        return self.graph.node("Pad", x, self.graph.weight(pads))

    def linear_per_cell(self, x: str) -> str:
        kernel = np.ascontiguousarray(self._linear.T)[:, :, None, None]
        return self.graph.node("Conv", x, self.graph.weight(kernel))

    def corners_mean(self, x: str, output: str) -> str:
        """Mean of the cells the published network has at this stage: 0 and 4 of 0…4, both ways."""
        picked = self.graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], dilations=[4, 4])
        return self.graph.node("Flatten", picked, output=output)


# Per halving stage: side of the shortcut's map, side of the convolutions' map, channels of the shortcut.
_HALVED = {1: (17, 17, 32), 2: (8, 8, 64), 3: (7, 6, 128), 4: (5, 3, 256)}
