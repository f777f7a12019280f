"""FGGB: a gradient for every channel of the template, weighed by what the channel says of the pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xcos.explainers.explanation import Cost, Explanation
from xcos.gradients.maps import blurred, over_colors, require_sigma, to_map
from xcos.gradients.matcher import DifferentiableMatcher, gradient
from xcos.gradients.thresholds import require_threshold
from xcos.types import AlignedFace, Maps


@dataclass(frozen=True)
class Fggb:
    """``Σ_k G_k (c_k − t / D)``: where each channel looks, times what it adds beyond its share of the threshold.

    Lu, Xu, Ebrahimi, "Explainable Face Verification via Feature-Guided Gradient Backpropagation" (FG 2024,
    arXiv 2403.04549). ``c_k`` are the score's D terms; ``G_k`` is the absolute gradient of
    the unit vector's channel k, through the normalisation, mean over colours, divided by its length, so that every
    channel says where it looks equally loudly. For a grid scored by trust, whose channels are not one number, the terms
    take the channels' place. Two forward and 2 D backward passes.

    ``sigma`` blurs the map, in pixels, as the published re-implementation does (5, kernel 25); 0 leaves it.
    """

    matcher: DifferentiableMatcher
    threshold: float
    sigma: float = 5.0

    def __post_init__(self) -> None:
        require_threshold(self.threshold)
        require_sigma(self.sigma)

    @property
    def name(self) -> str:
        """``fggb``."""
        return "fggb"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Above 0 where a photo is looked at by channels that speak for a match."""
        pixels = [self.matcher.pixels(face) for face in (probe, reference)]
        one, other = (self.matcher.encode(each) for each in pixels)
        terms = self.matcher.scoring.terms(one, other).detach()
        score, asked = self.matcher.agreed(terms.sum(), probe, reference)
        says = terms - self.threshold / len(terms)
        return Explanation(
            method=self.name,
            probe=self._map(pixels[0], one, other, says),
            reference=self._map(pixels[1], other, one, says),
            score=score,
            cost=Cost(forward=2, backward=2 * len(terms)) + asked,
            settings={"threshold": self.threshold, "sigma": self.sigma},
        )

    def _map(self, pixels: Tensor, own: Tensor, partner: Tensor, says: Tensor) -> Maps:
        channels = self.matcher.scoring.channels(own, partner)
        total = torch.zeros(pixels.shape[2:], dtype=pixels.dtype, device=pixels.device)
        for channel, weight in zip(channels, says, strict=True):
            looks = over_colors(gradient(channel, pixels))
            length = torch.linalg.vector_norm(looks)
            if length > 0:
                total += weight * looks / length
        return blurred(to_map(total), self.sigma)
