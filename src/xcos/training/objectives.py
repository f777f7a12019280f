"""Losses of a batch: L_id of a network alone, or a · L_id + b · L_cos of a head with its teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from xcos.training.data.batches import CropBatch, PairBatch
from xcos.training.losses.teacher_cosine import TeacherCosine

Losses = dict[str, Tensor]
"""``loss``, which is minimised, and its parts; scalars."""


class Objective(Protocol):
    """What the loop minimises."""

    def losses(self, batch: CropBatch | PairBatch) -> Losses:
        """Of one batch."""
        ...


@dataclass(frozen=True)
class Precision:
    """Of the networks' arithmetic; what comes out is float32 and so are the losses."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    channels_last: bool = False

    def run(self, network: nn.Module, pixels: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs in float32."""
        if self.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            outputs: tuple[Tensor, ...] = network(pixels)
        return tuple(output.float() for output in outputs)

    def autocast(self) -> torch.autocast:
        """Within it networks compute as they should."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16)


@dataclass(frozen=True, eq=False)
class IdentityObjective:
    """Classification of a network's vectors."""

    model: nn.Module
    """A :class:`~xcos.training.learners.NetworkLearner`, or what distributes it."""
    classifier: nn.Module
    precision: Precision

    def losses(self, batch: CropBatch | PairBatch) -> Losses:
        """``loss``."""
        assert isinstance(batch, CropBatch)
        vectors, _ = self.precision.run(self.model, batch.pixels)
        return {"loss": self.classifier(vectors, batch.labels)}


@dataclass(frozen=True, eq=False)
class XcosObjective:
    """``identity_weight · L_id + cosine_weight · L_cos`` of both faces of every pair (Lin et al. 2021).

    The teacher's cosine is that of the photos before anything covered or spoilt them: the head learns what it would
    have said of the whole face, not what it says of an occluder.
    """

    model: nn.Module
    """A :class:`~xcos.training.learners.HeadLearner`, or what distributes it."""
    classifier: nn.Module
    teacher: TeacherCosine
    identity_weight: float
    cosine_weight: float
    precision: Precision

    def losses(self, batch: CropBatch | PairBatch) -> Losses:
        """``loss``, ``identity`` and ``cosine``, the latter two before they are weighted."""
        assert isinstance(batch, PairBatch)
        probes, references = batch.probes, batch.references
        vectors, scores = self.precision.run(self.model, torch.cat([probes.pixels, references.pixels]))
        identity = self.classifier(vectors, torch.cat([probes.labels, references.labels]))
        with self.precision.autocast():
            cosine = self.teacher(scores, probes.clear, references.clear)
        return {
            "loss": self.identity_weight * identity + self.cosine_weight * cosine,
            "identity": identity,
            "cosine": cosine,
        }
