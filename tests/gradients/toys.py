"""Networks whose gradients and excitations can be written down, on crops of 6 × 5 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xcos.gradients.matcher import CosineScoring, DifferentiableMatcher, Scoring
from xcos.types import AlignedFace, CropTemplate, Face, Pixels, Reals
from xcos.weights import WeightCard

WIDTH, HEIGHT = 6, 5
POINTS: Reals = np.array([[1.0, 1.0], [4.0, 1.0], [2.5, 2.0], [1.5, 4.0], [3.5, 4.0]])
TINY = CropTemplate("tiny", WIDTH, HEIGHT, POINTS)
CARD = WeightCard("tiny", "0" * 64, TINY, "rgb", (0.0, 0.0, 0.0), 1 / 255, "CC0-1.0", "made up", "none")


def tiny_face(crop: Pixels) -> AlignedFace:
    return AlignedFace(crop, Face(np.array([0.0, 0.0, 5.0, 4.0]), POINTS, 0.9), TINY, np.eye(2, 3), 0.0, 0.0)


def random_pair(seed: int = 0) -> tuple[AlignedFace, AlignedFace]:
    random = np.random.default_rng(seed)
    one, other = (tiny_face(random.integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)) for _ in range(2))
    return one, other


def values_of(face: AlignedFace) -> Reals:
    """``(3 · H · W,)``: what a toy network sees, colour by colour."""
    values: Reals = (face.crop.astype(np.float64) / 255).transpose(2, 0, 1).ravel()
    return values


class Dense(nn.Module):
    """Linear layers without bias, with ReLUs between them, over all pixels; in double precision."""

    def __init__(self, *weights: Reals) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for weight in weights:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
            layer.weight = nn.Parameter(torch.from_numpy(weight))
            self.layers.append(layer)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.flatten(1)
        for at, layer in enumerate(self.layers):
            x = layer(torch.relu(x)) if at else layer(x)
        return x


def matcher_of(network: nn.Module, *, scoring: Scoring | None = None, map_layer: str = "") -> DifferentiableMatcher:
    return DifferentiableMatcher("toy", network.eval(), CARD, scoring or CosineScoring(), map_layer, "")


def random_weights(seed: int, *sizes: int) -> list[Reals]:
    random = np.random.default_rng(seed)
    pairs = zip(sizes[1:], sizes, strict=False)
    return [random.normal(size=(outputs, inputs)) for outputs, inputs in pairs]


INPUTS = 3 * HEIGHT * WIDTH


@dataclass
class Passes:
    """Counted while a network runs."""

    forward: int = 0
    backward: int = 0


@contextmanager
def counted(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[Passes]:
    """Forward runs of the network, and calls for gradients that are not made inside another one."""
    passes, depth, real = Passes(), [0], torch.autograd.grad

    def grad(*args: Any, **kwargs: Any) -> Any:
        passes.backward += depth[0] == 0
        depth[0] += 1
        try:
            return real(*args, **kwargs)
        finally:
            depth[0] -= 1

    def ran(*_: Any) -> None:
        passes.forward += 1

    handle = network.register_forward_hook(ran)
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", grad)
        yield passes
    handle.remove()


def unit(vector: Reals) -> Reals:
    scaled: Reals = vector / np.linalg.norm(vector)
    return scaled


def through_normalisation(weight: Reals, x: Reals) -> Reals:
    """``(D, inputs)``: Jacobian of ``W x / |W x|``, ``(I − a aᵀ) W / |W x|``."""
    v = weight @ x
    a = unit(v)
    jacobian: Reals = (np.eye(len(a)) - np.outer(a, a)) @ weight / np.linalg.norm(v)
    return jacobian


def over_colors(gradient: Reals) -> Reals:
    """``(H, W)``: mean of absolute values over the colours."""
    mean: Reals = np.abs(gradient.reshape(3, HEIGHT, WIDTH)).mean(axis=0)
    return mean


Explain = Callable[[AlignedFace, AlignedFace], object]
