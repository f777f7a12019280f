"""Excitation backprop on a pair: which pixels win the channels that both photos share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, from_numpy, zeros_like
from torch.nn.functional import relu

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.gradients.excitation import Run, excited_run, flow
from xcos.gradients.maps import blurred, on_pixels, require_sigma, shares, summed_over_channels
from xcos.gradients.matcher import DifferentiableMatcher
from xcos.types import AlignedFace, Maps, Reals

SIGMA = 2.0
"""Pixels of blur; the radius of the authors' code."""
ROUNDING = 1e-5
"""Share of the largest probability below which a difference of two maps is none: scaled to sum 1, it would be a map."""


@dataclass(frozen=True)
class Ebp:
    """Probability that a pixel wins the other photo's template.

    Williford, May, Byrne, "Explainable Face Recognition" (ECCV 2020), after Zhang, Lin, Brandt, Shen, Sclaroff,
    "Top-down Neural Attention by Excitation Backprop" (ECCV 2016).

    A linear layer whose weights are the other photo's template stands behind the network; the probability of its output
    is led back (:mod:`xcos.gradients.excitation`) to the matcher's first layer, summed over channels, enlarged, blurred
    by ``sigma`` pixels and scaled to sum 1. Both templates count only where they are positive. Four forward passes (two
    for each photo: by all weights and by the positive ones) and two backward.
    """

    matcher: DifferentiableMatcher
    sigma: float = SIGMA

    def __post_init__(self) -> None:
        require_sigma(self.sigma)

    @property
    def name(self) -> str:
        """``ebp``."""
        return "ebp"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps ≥ 0 that sum to 1, or are all 0 where the two share no positive channel."""
        pair = ExcitedPair.of(self.matcher, probe, reference)
        maps = [
            shares(blurred(on_pixels(won(run, partner.template), face), self.sigma))
            for run, partner, face in ((pair.probe, pair.reference, probe), (pair.reference, pair.probe, reference))
        ]
        return Explanation(self.name, maps[0], maps[1], pair.score, pair.cost + Cost(0, 2), {"sigma": self.sigma})


@dataclass(frozen=True, eq=False)
class ContrastiveEbp:
    """What wins the other photo's template more than it wins its rival: ``relu(EBP − EBP of the rival)``.

    Each is scaled to sum 1 first. The rival is ``non_mate``, the template of somebody else (or the mean of many),
    flattened as the network gives it; where it is None, the dual of Zhang et al., the other photo's template turned
    negative, which asks for what does not speak against the match as well.

    ``truncate`` leaves out the places of smallest probability that together hold this share of the first; 0.2 is the
    truncated contrastive EBP of Williford, May, Byrne, "Explainable Face Recognition" (ECCV 2020). Four forward and
    four backward passes.
    """

    matcher: DifferentiableMatcher
    non_mate: Reals | None = None
    truncate: float = 0.0
    sigma: float = SIGMA

    def __post_init__(self) -> None:
        require_sigma(self.sigma)
        if not 0 <= self.truncate < 1:
            raise InvalidArgument(f"truncate must be a share from 0 to below 1, got {self.truncate}")

    @property
    def name(self) -> str:
        """``contrastive-ebp``, or ``truncated-ebp``."""
        return "truncated-ebp" if self.truncate else "contrastive-ebp"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps ≥ 0 that sum to 1, or are all 0 where nothing wins more than the rival."""
        pair = ExcitedPair.of(self.matcher, probe, reference)
        settings: dict[str, Setting] = {
            "rival": "dual" if self.non_mate is None else "non-mate",
            "truncate": self.truncate,
            "sigma": self.sigma,
        }
        sides = ((pair.probe, pair.reference, probe), (pair.reference, pair.probe, reference))
        one, other = (self._map(run, partner, face) for run, partner, face in sides)
        return Explanation(self.name, one, other, pair.score, pair.cost + Cost(0, 4), settings)

    def _map(self, run: Run, partner: Run, face: AlignedFace) -> Maps:
        rival = rival_of(partner.template, self.non_mate)
        mate, against = (_scaled(won(run, weights)) for weights in (partner.template, rival))
        difference = relu(mate - against) * beyond(mate, self.truncate)
        difference = difference * (difference > ROUNDING * mate.max())
        return shares(blurred(on_pixels(difference, face), self.sigma))


@dataclass(frozen=True, eq=False)
class ExcitedPair:
    """Excited runs of both photos, their score, and what these cost."""

    probe: Run
    reference: Run
    score: float
    cost: Cost

    @staticmethod
    def of(matcher: DifferentiableMatcher, probe: AlignedFace, reference: AlignedFace) -> ExcitedPair:
        """Counts as four forward passes, and those of asking the matcher that is stood for."""
        one, other = (excited_run(matcher, matcher.pixels(face)) for face in (probe, reference))
        value = matcher.score(one.template.detach(), other.template.detach())
        score, asked = matcher.agreed(value, probe, reference)
        return ExcitedPair(one, other, score, Cost(4) + asked)


def won(run: Run, weights: Tensor) -> Tensor:
    """``(rows, cols)`` at the first layer: the probability of the output of a linear layer with these weights."""
    excitation = relu(run.template.detach()) * relu(weights.detach())
    total = excitation.sum()
    probability = excitation / total if total > 0 else zeros_like(excitation)
    return summed_over_channels(flow(probability, run.template, run.first))


def rival_of(template: Tensor, non_mate: Reals | None) -> Tensor:
    """The non-mate's template in the shape of the other photo's, or the dual of that."""
    if non_mate is None:
        return -template.detach()
    if non_mate.size != template.numel() or not np.isfinite(non_mate).all():
        raise InvalidArgument(f"a non-mate's template has {template.numel()} finite numbers, got {non_mate.shape}")
    return from_numpy(np.asarray(non_mate, np.float64)).to(template).reshape(template.shape)


def beyond(values: Tensor, share: float) -> Tensor:
    """1 where a value ranks above those, smallest first, that together hold ``share`` of the total; 0 elsewhere."""
    flat = values.flatten()
    order = flat.argsort(stable=True)
    above = flat[order].cumsum(0) > share * flat.sum()
    kept = zeros_like(flat)
    kept[order] = above.to(flat)
    return kept.reshape(values.shape) if share > 0 else zeros_like(values) + 1


def _scaled(values: Tensor) -> Tensor:
    total = values.sum()
    return values / total if total > 0 else values
