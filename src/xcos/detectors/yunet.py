"""YuNet (Wu, Peng, Yu 2023) from an ONNX file of the user's, as libfacedetection.train exports it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xcos.detectors.boxes import keep_best
from xcos.errors import InvalidModel
from xcos.onnx_runtime import CPU, open_session
from xcos.types import Face, Floats, Pixels, Reals

STRIDES = (8, 16, 32)
KINDS = ("cls", "obj", "bbox", "kps")
OVERLAP = 0.3  # as published


class YuNet:
    """Boxes and five landmarks in one pass.

    The photo is reduced to at most ``max_side`` pixels a side (or to the input a fixed-size export asks
    for), so the cost does not grow with it. Faces below ``confidence`` are not reported.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_side: int = 640,
        confidence: float = 0.7,
        providers: Sequence[str] = CPU,
    ) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InvalidModel(
                f"cannot read the detector file {path}: {error.strerror}; give a YuNet ONNX file"
            ) from error
        self.name = f"yunet/{hashlib.sha256(content).hexdigest()[:12]}"
        self.max_side = max_side
        self.confidence = confidence
        try:
            self._session = open_session(content, providers)
        except Exception as error:  # onnxruntime raises many types for a broken model
            raise InvalidModel(f"{Path(path).name} is not an ONNX model that can be run: {error}") from error
        outputs = {output.name for output in self._session.get_outputs()}
        wanted = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]
        missing = sorted(set(wanted) - outputs)
        inputs = self._session.get_inputs()
        if missing or len(inputs) != 1:
            raise InvalidModel(
                f"{Path(path).name} is not a YuNet export: outputs {missing} are missing; use an ONNX file of "
                "libfacedetection.train",
                missing=missing,
            )
        self._outputs = wanted
        self._input = inputs[0].name
        height, width = inputs[0].shape[2:]
        self._fixed = (width, height) if isinstance(width, int) and isinstance(height, int) else None

    def detect(self, pixels: Pixels) -> list[Face]:
        """Faces, most confident first."""
        canvas, scale = self._canvas(pixels)
        blob = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)  # BGR, 0…255
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, {self._input: blob}), strict=True))
        parts = [self._decode(outputs, stride, canvas.shape[1] // stride) for stride in STRIDES]
        boxes, points, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return [
            Face(boxes[index] / scale, points[index] / scale, min(1.0, float(scores[index])))
            for index in keep_best(boxes, scores, OVERLAP)
        ]

    def _canvas(self, pixels: Pixels) -> tuple[Pixels, float]:
        """The photo in the upper left of a black picture the network accepts, and its scale in there."""
        from PIL import Image as pil

        height, width = pixels.shape[:2]
        limit = min(self._fixed) if self._fixed else self.max_side
        scale = min(1.0, limit / max(width, height))
        if scale < 1:
            picture = pil.fromarray(np.ascontiguousarray(pixels))
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            pixels = np.asarray(picture.resize(size, pil.Resampling.BILINEAR, reducing_gap=2.0))
        across, down = self._fixed or (_multiple(pixels.shape[1]), _multiple(pixels.shape[0]))
        canvas = np.zeros((down, across, 3), np.uint8)
        canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
        return canvas, scale

    def _decode(self, outputs: dict[str, Floats], stride: int, cols: int) -> tuple[Reals, Reals, Reals]:
        """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,) of one stride's cells, in canvas pixels."""
        cls, obj, bbox, kps = (outputs[f"{kind}_{stride}"][0].astype(np.float64) for kind in KINDS)
        scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        likely = np.flatnonzero(scores >= self.confidence)
        cell = np.stack([likely % cols, likely // cols], axis=1)
        middle = (cell + bbox[likely, :2]) * stride
        half = np.exp(bbox[likely, 2:]) * stride / 2
        points = (kps[likely].reshape(-1, 5, 2) + cell[:, None]) * stride
        return np.concatenate([middle - half, middle + half], axis=1), points, scores[likely]


def _multiple(side: int) -> int:
    return -(-side // 32) * 32
