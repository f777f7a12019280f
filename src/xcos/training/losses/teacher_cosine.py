"""The score shall agree with a trained network's plain cosine."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from xcos.errors import InvalidArgument
from xcos.training.losses.precision import full_precision
from xcos.training.networks.features import Features

Distance = Literal["squared", "absolute"]


class TeacherCosine(nn.Module):
    """L_cos of the xCos paper (Lin et al. 2021): mean of ``(score − cos(f_A, f_B))²`` or ``|score − cos(f_A, f_B)|``.

    f is the vector of the ``teacher``, a network that returns :class:`Features`. What the authors published uses the
    square; checkpoints of theirs are named after the absolute value.

    The teacher is copied and the copy kept out of the module's children, so that nothing can train it: it stays in
    evaluation mode whatever mode a parent is put into, is neither in ``parameters()`` nor in ``state_dict()``, and does
    not share weights with a student made from the same network. As a child of the model it would be put into training
    mode with it; dropout and drifting batch statistics would then make the target noise. It moves with the module from
    device to device.
    """

    def __init__(self, teacher: nn.Module, *, distance: Distance = "squared") -> None:
        super().__init__()
        if distance not in get_args(Distance):
            raise InvalidArgument(f"distance must be one of {', '.join(get_args(Distance))}, got {distance!r}")
        self.distance = distance
        self._teacher = (copy.deepcopy(teacher).requires_grad_(False).eval(),)  # a tuple, so that it is no child

    def forward(self, scores: Tensor, probes: Tensor, references: Tensor) -> Tensor:
        """Mean loss, a scalar: ``scores`` (n,) of n pairs, and the pairs' pixels as the teacher wants them."""
        if scores.shape != (len(probes),):
            raise InvalidArgument(f"scores must be ({len(probes)},), one of each pair, got {tuple(scores.shape)}")
        difference = scores - self.cosines(probes, references)
        return (difference.square() if self.distance == "squared" else difference.abs()).mean()

    @torch.no_grad()
    def cosines(self, probes: Tensor, references: Tensor) -> Tensor:
        """``(n,)``, −1…1: the teacher's cosines of n pairs of pixels."""
        if probes.shape != references.shape:
            raise InvalidArgument(
                f"the two sides must have equal shapes, got {tuple(probes.shape)} and {tuple(references.shape)}"
            )
        features: Features = self._teacher[0](torch.cat([probes, references]))
        a, b = full_precision(features.vector).chunk(2)
        return cosine_similarity(a, b)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._teacher[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
