"""A network whose right preprocessing is known by construction, and photos for it.

A photo of 144 × 144 has its face in the middle 112 × 112, at the points of ``arcface_112``. Who it is stands in one
colour of the ring of 16 × 16 blocks along the face's edge; everything else is noise. The network sees only that ring
in the first channel of its input, only what is below 0, and it takes for 0 what is below −1: so it wants that colour
first, and values of −1…1. Beside the face there is noise too, which a crop that lies aside takes for the ring.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from xcos.alignment import ARCFACE_112
from xcos.types import Face, Pixels
from xcos.weights import WeightCard

MARGIN, BLOCK, BLOCKS = 16, 16, 7
SIDE = MARGIN * 2 + BLOCK * BLOCKS
RED, BLUE = 0, 2
NOISE = 25
"""Of a photo's blocks about its person's."""


@dataclass
class MiddleDetector:
    """Finds the face in the middle, and none in a photo whose first pixel is black; counts its calls."""

    name: str = "middle"
    calls: list[int] = field(default_factory=list)

    def detect(self, pixels: Pixels) -> list[Face]:
        self.calls.append(1)
        box = np.array([MARGIN, MARGIN, SIDE - MARGIN, SIDE - MARGIN], np.float64)
        return [Face(box, ARCFACE_112.points + MARGIN, 0.9)] if pixels[0, 0].any() else []


def write_network(path: Path, *, normalised: bool = False, constant: float = 0.0) -> Path:
    """The network; ``constant`` is added to all that comes out, ``normalised`` makes vectors of length 1 of it."""
    kernel = np.zeros((1, 3, BLOCK, BLOCK), np.float32)
    kernel[0, 0] = 1 / BLOCK**2
    weights = {
        "kernel": kernel,
        "ring": ring().astype(np.float32),
        "edge": np.array(-1.01, np.float32),
        "steep": np.array(100, np.float32),
        "constant": np.array(constant, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["mean"], strides=[BLOCK, BLOCK]),
        helper.make_node("Neg", ["mean"], ["negative"]),
        helper.make_node("Relu", ["negative"], ["dark"]),
        helper.make_node("Add", ["dark", "edge"], ["over"]),
        helper.make_node("Relu", ["over"], ["beyond"]),
        helper.make_node("Mul", ["beyond", "steep"], ["penalty"]),
        helper.make_node("Sub", ["dark", "penalty"], ["tent"]),
        helper.make_node("Relu", ["tent"], ["features"]),
        helper.make_node("Mul", ["features", "ring"], ["grid"]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("Add", ["flat", "constant"], ["long"]),
        helper.make_node("LpNormalization" if normalised else "Identity", ["long"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", BLOCKS**2])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def ring() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(7, 7): the blocks that show who it is."""
    edge = np.ones((BLOCKS, BLOCKS), np.bool_)
    edge[1:-1, 1:-1] = False
    return edge


def card_for(network: Path, **changes: Any) -> WeightCard:
    """The right card of the network, but for ``changes``."""
    fields: dict[str, Any] = {
        "name": "toy",
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
        "template": ARCFACE_112,
        "color": "rgb",
        "mean": (127.5, 127.5, 127.5),
        "scale": 1 / 127.5,
        **dict.fromkeys(("licence", "source", "training_data"), "made up"),
    }
    return WeightCard(**{**fields, **changes})


def write_card(path: Path, card: WeightCard) -> Path:
    path.write_text(json.dumps(card.to_dict()))
    return path


def write_photos(
    folder: Path,
    people: int,
    *,
    color: Callable[[int], int] = lambda _: RED,
    mirrored: Callable[[int, int], bool] = lambda *_: False,
    faceless: Sequence[str] = (),
    known: bool = True,
    seed: int = 0,
) -> Path:
    """Two photos of each person, and the list ``pairs.csv`` of all mated and as many non-mated pairs.

    ``color`` is the channel that shows person p, ``mirrored`` whether photo n of p is a mirror image.
    """
    drawn = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for person in range(people):
        values = drawn.integers(0, 256, (BLOCKS, BLOCKS))
        for number in range(2):
            name = photo_name(person, number)
            pixels = _photo(values, color(person), drawn)
            pixels = pixels[:, ::-1] if mirrored(person, number) else pixels
            pixels[0, 0] = 0 if name in faceless else 255
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name)
    return write_pairs(folder / "pairs.csv", people, known=known)


def photo_name(person: int, number: int) -> str:
    return f"p{person:03}_{number}.png"


def write_pairs(path: Path, people: int, *, known: bool = True) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["probe", "reference", "mated", *["probe_subject", "reference_subject"] * known])
        for person in range(people):
            for step in (0, 1, 2):
                other = (person + step) % people
                row: list[object] = [photo_name(person, 0), photo_name(other, 1), int(not step)]
                table.writerow([*row, *[f"p{person}", f"p{other}"] * known])
    return path


def _photo(person: np.ndarray[Any, Any], color: int, drawn: np.random.Generator) -> Pixels:
    blocks = drawn.integers(0, 256, (SIDE // BLOCK, SIDE // BLOCK, 3))
    face = blocks[1:-1, 1:-1, color]
    face[ring()] = np.clip(person + drawn.normal(0, NOISE, person.shape), 0, 255).astype(int)[ring()]
    return blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1).astype(np.uint8)
