"""xSSAB: gradients of the arguments for a match, and of those against it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xcos.explainers.explanation import Cost, Explanation
from xcos.gradients.maps import over_colors, to_map
from xcos.gradients.matcher import DifferentiableMatcher, gradient
from xcos.gradients.thresholds import require_threshold
from xcos.types import AlignedFace, Maps


@dataclass(frozen=True)
class Xssab:
    """Where the channels that speak for a match are sensitive, less where those that speak against it are.

    Huber, Luu, Terhörst, Damer, "Efficient Explainable Face Verification based on Similarity Score Argument
    Backpropagation" (WACV 2024): the score's D terms are arguments for a match where they reach their share
    t / D of the threshold, and against it elsewhere. The two partial scores, the other photo's template fixed, are led
    back to the pixels, through the normalisation; the map is the mean over colours of the one gradient's absolute value
    less that of the other. Two forward and four backward passes.
    """

    matcher: DifferentiableMatcher
    threshold: float

    def __post_init__(self) -> None:
        require_threshold(self.threshold)

    @property
    def name(self) -> str:
        """``xssab``."""
        return "xssab"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Above 0 where a photo speaks for a match; in score per unit of normalised pixel."""
        pixels = [self.matcher.pixels(face) for face in (probe, reference)]
        one, other = (self.matcher.encode(each) for each in pixels)
        terms = self.matcher.scoring.terms(one, other).detach()
        score, asked = self.matcher.agreed(terms.sum(), probe, reference)
        speaks_for = terms >= self.threshold / len(terms)
        return Explanation(
            method=self.name,
            probe=self._map(pixels[0], one, other, speaks_for),
            reference=self._map(pixels[1], other, one, speaks_for),
            score=score,
            cost=Cost(forward=2, backward=4) + asked,
            settings={"threshold": self.threshold},
        )

    def _map(self, pixels: Tensor, own: Tensor, partner: Tensor, speaks_for: Tensor) -> Maps:
        terms = self.matcher.scoring.terms(own, partner.detach())
        supporting = gradient((terms * speaks_for).sum(), pixels)
        opposing = gradient((terms * ~speaks_for).sum(), pixels)
        return to_map(over_colors(supporting) - over_colors(opposing))
