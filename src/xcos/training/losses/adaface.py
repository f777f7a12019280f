"""Softmax with a margin that looks at the quality of each photo."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import ClassificationLoss, margin_softmax, require_scale_and_margin

EPSILON = 1e-3
"""Angles stay this far from 0 and π, cosines from ±1, and a deviation is this much larger, as in the authors' code."""
SHORTEST, LONGEST = 1e-3, 100.0


class AdaFace(ClassificationLoss):
    """Cross-entropy where a vector's own class has ``s (cos(θ_y + g_angle) − g_add)`` (Kim et al. 2022, AdaFace).

    ``g_angle = −m ẑ``, ``g_add = m ẑ + m`` and ``ẑ = clip(h (z − μ) / σ, −1, 1)`` (arXiv 2204.00964, section 3.3),
    where the length z of the vector before normalisation stands for the quality of its photo; h is ``concentration``.
    A short vector (ẑ = −1) gets ArcFace's margin, a middling one CosFace's, and a long one a margin that emphasises
    hard photos. No gradient flows through z.

    μ and σ follow mean and standard deviation of the lengths, clipped to 0.001…100, of all ranks' batches:
    ``μ ← α mean + (1 − α) μ``, in training mode only. They start at 20 and 100, and α is ``t_alpha``, as in the
    authors' code. The vectors must come with their own lengths: all of length 1, they all get CosFace's margin.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, scale: float = 64.0, margin: float = 0.4, *, concentration: float = 0.333, t_alpha: float = 0.01
    ) -> None:
        super().__init__()
        require_scale_and_margin(scale, margin, most=math.pi / 2)
        if not concentration > 0 or not 0 < t_alpha <= 1:
            raise InvalidArgument(
                f"concentration must be positive and t_alpha above 0 and at most 1, got {concentration} and {t_alpha}"
            )
        self.scale = scale
        self.margin = margin
        self.concentration = concentration
        self.t_alpha = t_alpha
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def forward(self, cosines: Tensor, labels: Tensor, lengths: Tensor, shards: ClassShards = WHOLE) -> Tensor:
        """Mean loss; as :class:`ClassificationLoss`."""
        quality = self._quality(lengths.detach())

        def with_margin(cosine: Tensor) -> Tensor:
            angle = cosine.clamp(-1 + EPSILON, 1 - EPSILON).acos() - self.margin * quality
            return angle.clamp(EPSILON, math.pi - EPSILON).cos() - self.margin * (quality + 1)

        return margin_softmax(cosines, labels, with_margin, self.scale, shards)

    def _quality(self, lengths: Tensor) -> Tensor:
        """``(n,)``, −1…1: ẑ."""
        lengths = lengths.clamp(SHORTEST, LONGEST)
        if self.training:
            self.mean.lerp_(lengths.mean().to(self.mean), self.t_alpha)
            if len(lengths) > 1:  # one length has no deviation
                self.deviation.lerp_(lengths.std().to(self.deviation), self.t_alpha)
        scaled = (lengths - self.mean) / (self.deviation + EPSILON) * self.concentration
        return scaled.clamp(-1, 1)
