"""For every gradient explainer a network whose channels see places that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from explainers.known_truth import Known
from gradients.toys import HEIGHT, WIDTH, Dense, matcher_of, tiny_face
from torch import Tensor, nn

from xcos.explainers.explanation import Explainer
from xcos.gradients.ebp import ContrastiveEbp, Ebp
from xcos.gradients.fggb import Fggb
from xcos.gradients.grad_cam import GradCam
from xcos.gradients.matcher import DifferentiableMatcher
from xcos.gradients.subtree_ebp import SubtreeEbp
from xcos.gradients.xssab import Xssab
from xcos.types import AlignedFace, Reals

LEFT, RIGHT = slice(0, 2), slice(4, 6)  # columns
HIDDEN: Reals = np.array([[1.0, 0.0], [0.0, 1.0]])


def columns(*places: slice) -> Reals:
    """``(channels, inputs)``: each channel is the sum of all colours in its columns."""
    rows = np.zeros((len(places), 3, HEIGHT, WIDTH))
    for row, place in zip(rows, places, strict=True):
        row[:, :, place] = 1
    return rows.reshape(len(places), -1)


def faces() -> tuple[AlignedFace, AlignedFace]:
    """A photo bright on the left and less on the right, and one bright on the left alone."""
    probe, reference = (np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(2))
    probe[:, LEFT], probe[:, RIGHT] = 200, 100
    reference[:, LEFT] = 200
    return tiny_face(probe), tiny_face(reference)


def truth(*, right: float = 0.0) -> Reals:
    values = np.zeros((HEIGHT, WIDTH))
    values[:, LEFT], values[:, RIGHT] = 1, right
    return values


def dense() -> DifferentiableMatcher:
    """Two channels, the left columns and the right ones."""
    return matcher_of(Dense(columns(LEFT, RIGHT)))


def through_hidden() -> DifferentiableMatcher:
    """The same behind a layer of ReLUs, the right channel turned negative: the more of it, the less alike."""
    return matcher_of(Dense(columns(LEFT, RIGHT), HIDDEN * (1, -1)))


class Brightness(nn.Module):
    """A feature map of one channel for each side of the picture, and its mean over places as template."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Identity()
        self.sides = torch.zeros(1, 2, 1, WIDTH, dtype=torch.float64)
        self.sides[0, 0, 0, LEFT] = self.sides[0, 1, 0, RIGHT] = 1
        self.unit = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.map(self.unit * pixels.mean(dim=1, keepdim=True) * self.sides)
        return features.mean(dim=(2, 3))


def of(explainer: Explainer, *, left: float = 1.0, right: float = 0.0, within: float | None = None) -> Known:
    return Known(explainer, *faces(), left * truth(right=right / left), within)


A: Reals = np.array([2.0, 1.0]) / 5**0.5
"""The probe's unit vector in :func:`dense`; the reference's is (1, 0), so the terms are (A₀, 0)."""
LENGTH = 30 / 255 * np.hypot(200, 100)
"""Of the probe's template: 30 values in each side's columns."""
SLOPES = np.array([1 - A[0] ** 2, A[0] * A[1]]) / LENGTH
"""Absolute gradient of A₀ by a pixel's colour on the left and on the right, (δ - A₀ A_k) / length: 0.2 and 0.4."""
LOOKS = np.array([1, 2]) / 50**0.5
"""Both channels' gradients divided by their length: on the right twice of what they are on ten pixels of the left."""


KNOWN: dict[str, Callable[[], Known]] = {
    # The score rises with the left channel, which both have, and falls with the right one, which one has.
    "grad-cam": lambda: of(GradCam(matcher_of(Brightness(), map_layer="map"), signed=True), right=-1),
    # Terms of the unit vectors: the left one is nearly the score, the right one nearly 0, below its half of 0.5.
    "xssab": lambda: of(Xssab(dense(), 0.5), left=SLOPES[0], right=SLOPES[1], within=1e-9),
    "fggb": lambda: of(
        Fggb(dense(), 0.5, sigma=0), left=LOOKS[0] * (A[0] - 0.5), right=LOOKS[1] * (A[0] - 0.5), within=1e-9
    ),
    "ebp": lambda: of(Ebp(dense(), sigma=0)),
    "contrastive-ebp": lambda: of(ContrastiveEbp(through_hidden(), sigma=0)),
    "truncated-ebp": lambda: of(ContrastiveEbp(through_hidden(), truncate=0.2, sigma=0)),
    "subtree-ebp": lambda: of(SubtreeEbp(through_hidden(), sigma=0)),
}
