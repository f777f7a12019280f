"""MTCNN (Zhang, Zhang, Li, Qiao 2016) in ONNX Runtime, with the weights of the ``mtcnn`` package."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xcos.detectors.boxes import keep_best
from xcos.errors import InvalidArgument
from xcos.onnx_runtime import CPU, GraphWriter, open_session
from xcos.types import Face, Floats, Pixels, Reals
from xcos.weights import packaged_file, verified_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# SHA-256 of the files in mtcnn 1.0.0 (MIT). They are pickles: nothing but these very bytes is ever loaded.
WEIGHTS = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
CELL, STRIDE = 12, 2  # P-Net sees 12 × 12 pixels, every second pixel
PYRAMID_STEP = 0.709  # 1 / √2: the area halves from level to level
THRESHOLDS = (0.6, 0.7, 0.7)
MOST_PROPOSALS = 300


class Mtcnn:
    """Boxes and five landmarks in three stages: propose over a pyramid, refine, refine with landmarks.

    Faces from ``min_face`` pixels are found. The pyramid's first level has at most ``max_level`` pixels a
    side, so a photo of any size costs about the same; in large photos the smallest face found grows to
    12 / ``max_level`` of the longer side (3 % by default).
    """

    def __init__(self, *, min_face: int = 40, max_level: int = 400, providers: Sequence[str] = CPU) -> None:
        if min_face < CELL or max_level < CELL:
            raise InvalidArgument(f"min_face and max_level must be at least {CELL} pixels, got {min_face}, {max_level}")
        # Other settings find other points: they are another detector for calibrations and unfinished runs.
        self.name = "mtcnn" if (min_face, max_level) == (40, 400) else f"mtcnn/{min_face}/{max_level}"
        self.min_face = min_face
        self.max_level = max_level
        self._propose = open_session(_proposal_graph(_load("pnet")), providers)
        self._refine = open_session(_refinement_graph(_load("rnet"), 24), providers)
        self._finish = open_session(_refinement_graph(_load("onet"), 48), providers)

    def detect(self, pixels: Pixels) -> list[Face]:
        """Faces, most confident first."""
        photo = _Pyramid(pixels)
        boxes = self._proposals(photo)
        if len(boxes):
            boxes = self._refined(photo, boxes)
        return self._finished(photo, boxes) if len(boxes) else []

    def _proposals(self, photo: _Pyramid) -> Reals:
        found: list[tuple[Reals, Reals]] = []
        longest, shortest = max(photo.size), min(photo.size)
        scale = min(CELL / self.min_face, self.max_level / longest)
        while shortest * scale >= CELL:
            level = photo.level(scale)
            chances, shifts = self._propose.run(None, {"pixels": level[None]})
            boxes, scores = _cells_to_boxes(chances[0, 0], shifts[0])
            boxes /= (level.shape[1] / photo.size[0], level.shape[0] / photo.size[1]) * 2
            kept = keep_best(boxes, scores, 0.5)[:MOST_PROPOSALS]
            found.append((boxes[kept], scores[kept]))
            scale *= PYRAMID_STEP
        if not found:
            return np.zeros((0, 4))
        boxes, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        return _square(boxes[keep_best(boxes, scores, 0.7)[:MOST_PROPOSALS]])

    def _refined(self, photo: _Pyramid, boxes: Reals) -> Reals:
        chances, shifts = self._refine.run(None, {"pixels": photo.patches(boxes, 24)})
        likely = chances[:, 0] > THRESHOLDS[1]
        moved, scores = _shift(boxes[likely], shifts[likely]), chances[likely, 0].astype(np.float64)
        return _square(moved[keep_best(moved, scores, 0.7)])

    def _finished(self, photo: _Pyramid, boxes: Reals) -> list[Face]:
        chances, shifts, points = self._finish.run(None, {"pixels": photo.patches(boxes, 48)})
        likely = chances[:, 0] > THRESHOLDS[2]
        boxes, scores = boxes[likely], chances[likely, 0].astype(np.float64)
        moved = _shift(boxes, shifts[likely])
        # x1…x5, y1…y5 in shares of the box that O-Net looked at
        shares = points[likely].astype(np.float64).reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = boxes[:, None, :2] + shares * (boxes[:, None, 2:] - boxes[:, None, :2]) - 0.5
        kept = keep_best(moved, scores, 0.7, over="smaller")
        return [
            Face(moved[index], landmarks[index], min(1.0, float(scores[index])))
            for index in kept
            if (moved[index, 2:] > moved[index, :2]).all()
        ]


class _Pyramid:
    """A photo at the sizes asked for; every reduction starts from the smallest one that is large enough."""

    def __init__(self, pixels: Pixels) -> None:
        from PIL import Image as pil

        self._pil = pil
        self.size = (pixels.shape[1], pixels.shape[0])
        # More than 1,600 pixels a side help no stage (the smallest faces found are then 48 pixels wide). Every
        # start-th pixel is enough to start from, as all that is looked at is averaged further down.
        start = -(-max(self.size) // 1600)
        picture = pil.fromarray(_every(pixels, start))
        self._halves: list[tuple[int, Picture]] = [(start, picture)]

    def level(self, scale: float) -> Pixels:
        size = tuple(max(CELL, round(side * scale)) for side in self.size)
        _, picture = self._at_least(scale)
        return np.asarray(picture.resize(size, self._pil.Resampling.BILINEAR))

    def patches(self, boxes: Reals, side: int) -> Pixels:
        """(n, side, side, 3) squares of the photo; what lies outside it is black."""
        return np.stack([self._patch(box, side) for box in boxes])

    def _patch(self, box: Reals, side: int) -> Pixels:
        factor, picture = self._at_least(side / (box[2] - box[0]))
        extent = tuple((box / factor).tolist())
        cut = picture.transform((side, side), self._pil.Transform.EXTENT, extent, self._pil.Resampling.BILINEAR)
        return np.asarray(cut)

    def _at_least(self, scale: float) -> tuple[int, Picture]:
        """The smallest halving of the photo that is still ``scale`` or larger."""
        while self._halves[-1][0] * 2 <= 1 / scale:
            factor, picture = self._halves[-1]
            self._halves.append((factor * 2, picture.reduce(2)))
        return next(
            (half for half in reversed(self._halves) if half[0] <= max(1 / scale, self._halves[0][0])),
            self._halves[0],
        )


def _every(pixels: Pixels, step: int) -> Pixels:
    """Every ``step``-th pixel each way; whole pixels are moved, which is faster than channels."""
    whole = np.ascontiguousarray(pixels).view("V3")
    return np.ascontiguousarray(whole[step // 2 :: step, step // 2 :: step]).view(np.uint8)


def _cells_to_boxes(chances: Floats, shifts: Floats) -> tuple[Reals, Reals]:
    """Boxes in level pixels of the cells that look like a face: (h, w) and (4, h, w) → (n, 4), (n,)."""
    rows, cols = np.nonzero(chances > THRESHOLDS[0])
    corner = np.stack([cols, rows], axis=1) * float(STRIDE)
    boxes = np.concatenate([corner, corner + CELL], axis=1)
    boxes += shifts[:, rows, cols].T.astype(np.float64) * CELL
    return boxes, chances[rows, cols].astype(np.float64)


def _shift(boxes: Reals, shifts: Floats) -> Reals:
    sides = boxes[:, 2:] - boxes[:, :2]
    moved: Reals = boxes + shifts.astype(np.float64) * np.concatenate([sides, sides], axis=1)
    return moved


def _square(boxes: Reals) -> Reals:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half: Reals = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True), 1.0) / 2
    squares: Reals = np.concatenate([middle - half, middle + half], axis=1)
    return squares


def _load(net: str) -> list[Floats]:
    """Arrays of one network in Keras order: kernel, bias, PReLU slopes, …, heads."""
    import joblib

    content = verified_bytes(packaged_file("mtcnn", "assets", "weights", f"{net}.lz4"), WEIGHTS[net])
    arrays: list[Floats] = joblib.load(io.BytesIO(content))
    return arrays


class _Layers:
    """Reads a Keras weight list from front to back into graph nodes."""

    def __init__(self, arrays: list[Floats]) -> None:
        self.graph, self._arrays = GraphWriter(), iter(arrays)

    def first(self, pixels: str) -> str:
        """The first convolution on raw pixels: the published ``(x − 127.5) / 128`` is folded into it."""
        kernel, bias = next(self._arrays).astype(np.float64) / 128, next(self._arrays)
        shifted = bias - 127.5 * kernel.sum(axis=(0, 1, 2))
        x = self.graph.node("Cast", self.graph.node("Transpose", pixels, perm=[0, 3, 1, 2]), to=1)
        return self._convolution(x, kernel.astype(np.float32), shifted.astype(np.float32))

    def convolve(self, x: str, output: str = "") -> str:
        return self._convolution(x, next(self._arrays), next(self._arrays), output)

    def _convolution(self, x: str, kernel: Floats, bias: Floats, output: str = "") -> str:
        filters = self.graph.weight(kernel.transpose(3, 2, 0, 1))  # from (kh, kw, in, out)
        return self.graph.node("Conv", x, filters, self.graph.weight(bias), output=output)

    def dense(self, x: str, output: str = "") -> str:
        kernel, bias = next(self._arrays), next(self._arrays)  # (in, out), (out,)
        return self.graph.node("Gemm", x, self.graph.weight(kernel), self.graph.weight(bias), output=output)

    def face_chance(self, x: str, output: str) -> str:
        """Probability of the second of two classes: softmax of two logits is the sigmoid of their difference."""
        kernel, bias = next(self._arrays), next(self._arrays)
        kernel, bias = kernel[..., 1:] - kernel[..., :1], bias[1:] - bias[:1]
        if kernel.ndim == 4:
            logit = self._convolution(x, kernel, bias)
        else:
            logit = self.graph.node("Gemm", x, self.graph.weight(kernel), self.graph.weight(bias))
        return self.graph.node("Sigmoid", logit, output=output)

    def prelu(self, x: str) -> str:
        """``a·x + (1 − a)·relu(x)``: in ONNX Runtime on a CPU a third faster than its PRelu operator."""
        slopes = next(self._arrays)  # (1, 1, channels) after a convolution, (units,) after a dense layer
        slopes = slopes.reshape((-1, 1, 1) if slopes.ndim == 3 else (-1,))
        linear = self.graph.node("Mul", x, self.graph.weight(slopes))
        above = self.graph.node("Mul", self.graph.node("Relu", x), self.graph.weight(1 - slopes))
        return self.graph.node("Add", linear, above)

    def pool(self, x: str, size: int, pad: str) -> str:
        return self.graph.node("MaxPool", x, kernel_shape=[size, size], strides=[2, 2], auto_pad=pad)


def _proposal_graph(arrays: list[Floats]) -> bytes:
    """(n, h, w, 3) uint8 → chances (n, 1, h', w') and shifts (n, 4, h', w'), one cell every second pixel."""
    net = _Layers(arrays)
    x = net.pool(net.prelu(net.first("pixels")), 2, "SAME_UPPER")
    x = net.prelu(net.convolve(x))
    x = net.prelu(net.convolve(x))
    shifts = net.convolve(x, output="shifts")
    chances = net.face_chance(x, output="chances")
    return net.graph.model({"pixels": ["n", "h", "w", 3]}, [chances, shifts])


def _refinement_graph(arrays: list[Floats], side: int) -> bytes:
    """R-Net (24 px) or O-Net (48 px, one more convolution, and landmarks): chances (n, 1), shifts (n, 4), points."""
    net = _Layers(arrays)
    x = net.pool(net.prelu(net.first("pixels")), 3, "SAME_UPPER")
    x = net.pool(net.prelu(net.convolve(x)), 3, "VALID")
    x = net.prelu(net.convolve(x))
    if side == 48:
        x = net.pool(x, 2, "SAME_UPPER")
        x = net.prelu(net.convolve(x))
    # The dense layers were trained on columns first: (n, channels, h, w) → (n, w, h, channels).
    x = net.graph.node("Flatten", net.graph.node("Transpose", x, perm=[0, 3, 2, 1]))
    x = net.prelu(net.dense(x))
    shifts = net.dense(x, output="shifts")
    points = [net.dense(x, output="points")] if side == 48 else []
    chances = net.face_chance(x, output="chances")
    return net.graph.model({"pixels": ["n", side, side, 3]}, [chances, shifts, *points])
