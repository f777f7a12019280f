"""Weighted subtree EBP: excitation backprop from the units inside a network that tell the mate from the non-mate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, zeros_like

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.gradients.ebp import SIGMA, rival_of
from xcos.gradients.excitation import Run, excited_run, flow, ordinary_run
from xcos.gradients.maps import blurred, on_pixels, require_sigma, shares, summed_over_channels
from xcos.gradients.matcher import DifferentiableMatcher
from xcos.types import AlignedFace, Maps, Reals


@dataclass(frozen=True)
class _Unit:
    """The unit of one layer that tells most."""

    layer: int
    place: int
    """Flat index."""
    value: float
    """Gradient of the score with the mate, times what the score with the rival loses."""


@dataclass(frozen=True, eq=False)
class SubtreeEbp:
    """Maps of the units that raise the score and lower a rival's, one of each layer, weighed by how much they do.

    Williford, May, Byrne, "Explainable Face Recognition" (ECCV 2020). (1) Gradients of the score with the other photo
    and of that with the rival, at the ReLUs' outputs. (2) In each layer the active unit with the largest
    ``[g_mate ≥ 0] · (−g_rival)``. (3) EBP from that unit alone. (4) The ``layers`` largest values are kept, scaled to
    0…1 from the smallest of them to the largest, and weigh their units' maps, each divided by its maximum. (5) Their
    sum, blurred and scaled to sum 1.

    The rival is as in :class:`xcos.gradients.ebp.ContrastiveEbp`; of the dual the gradient is that of the score turned
    round. Six forward passes, and backward one (two with a ``non_mate``) and one more for each kept layer, per photo.
    """

    matcher: DifferentiableMatcher
    non_mate: Reals | None = None
    layers: int = 32
    sigma: float = SIGMA

    def __post_init__(self) -> None:
        require_sigma(self.sigma)
        if self.layers < 1:
            raise InvalidArgument(f"layers must be 1 or more, got {self.layers}")

    @property
    def name(self) -> str:
        """``subtree-ebp``."""
        return "subtree-ebp"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps ≥ 0 that sum to 1, or are all 0 where no unit tells the two apart."""
        one, other = (ordinary_run(self.matcher, self.matcher.pixels(face)) for face in (probe, reference))
        value = self.matcher.score(one.template.detach(), other.template.detach())
        score, asked = self.matcher.agreed(value, probe, reference)
        maps: list[Maps] = []
        backward = 0
        for face, own, partner in ((probe, one, other), (reference, other, one)):
            units = self._units(own, partner.template.detach())
            maps.append(self._map(face, units))
            backward += len(units) + (1 if self.non_mate is None else 2)
        settings: dict[str, Setting] = {
            "rival": "dual" if self.non_mate is None else "non-mate",
            "layers": self.layers,
            "sigma": self.sigma,
        }
        return Explanation(self.name, maps[0], maps[1], score, Cost(6, backward) + asked, settings)

    def _units(self, own: Run, partner: Tensor) -> list[_Unit]:
        """The telling units of the layers kept, the largest value first."""
        mate = _gradients(self.matcher.score(own.template, partner), own.activations)
        if self.non_mate is None:
            rival = [-each for each in mate]
        else:
            weights = rival_of(partner, self.non_mate)
            rival = _gradients(self.matcher.score(own.template, weights), own.activations)
        units = []
        for layer, (active, up, against) in enumerate(zip(own.activations, mate, rival, strict=True)):
            values = (active > 0) * (up >= 0) * -against
            place = int(values.argmax())
            units.append(_Unit(layer, place, float(values.flatten()[place])))
        telling = sorted((unit for unit in units if unit.value > 0), key=lambda unit: -unit.value)
        return telling[: self.layers]

    def _map(self, face: AlignedFace, units: list[_Unit]) -> Maps:
        run = excited_run(self.matcher, self.matcher.pixels(face))
        total = torch.zeros(run.first.shape[2:], dtype=run.first.dtype, device=run.first.device)
        for unit, weight in zip(units, _weights(units), strict=True):
            at = run.activations[unit.layer]
            alone = zeros_like(at).flatten()
            alone[unit.place] = 1
            found = summed_over_channels(flow(alone.reshape(at.shape), at, run.first))
            largest = found.max()
            total += weight * found / largest if largest > 0 else 0 * found
        return shares(blurred(on_pixels(total, face), self.sigma))


def _weights(units: list[_Unit]) -> list[float]:
    """Values from 0 for the smallest to 1 for the largest; 1 where all are the same."""
    values = np.array([unit.value for unit in units])
    if not len(values) or values.min() == values.max():
        return [1.0] * len(values)
    scaled: list[float] = ((values - values.min()) / (values.max() - values.min())).tolist()
    return scaled


def _gradients(score: Tensor, of: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(score, of, retain_graph=True, allow_unused=True)
    return [zeros_like(at) if each is None else each for at, each in zip(of, found, strict=True)]
