"""What ranks that each hold a part of the classes have to tell one another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from xcos.errors import InvalidArgument


@dataclass(frozen=True)
class ClassShards:
    """This rank's place among those that share the classes; with ``count`` 1 nothing is sent and nothing changes.

    Every rank computes the same loss L of all classes and all vectors. The backward pass then gives each class center
    ∂L/∂center on the rank that holds it, a shared parameter ∂L/∂parameter on every rank, and the vectors of a rank
    ``count`` · ∂L/∂vector, because ``DistributedDataParallel`` divides by ``count`` when it averages.
    (Forward and backward of the sums are g and f of Shoeybi et al. 2019, Megatron-LM, section 3.)
    """

    rank: int = 0
    count: int = 1

    def sum(self, part: Tensor) -> Tensor:
        """Sum over the ranks, of the same shape on each; the gradient goes to every rank's part as it is."""
        if self.count == 1:
            return part
        total: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
        return total

    def max(self, part: Tensor) -> Tensor:
        """Largest over the ranks, element by element, without gradient."""
        largest = part.detach()
        if self.count > 1:
            largest = largest.clone()
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest

    def shared(self, parameter: Tensor) -> Tensor:
        """A parameter that every rank holds alike, for use on a part of the classes; its gradients are summed."""
        if self.count == 1:
            return parameter
        same: Tensor = _Shared.apply(parameter)  # type: ignore[no-untyped-call]
        return same

    def gather(self, part: Tensor) -> Tensor:
        """``(count · n, …)`` of every rank's ``(n, …)``, in order of rank."""
        if self.count == 1:
            return part
        gathered: Tensor = _Gather.apply(part, self)  # type: ignore[no-untyped-call]
        return gathered

    def require_equal_batches(self, part: Tensor) -> None:
        """Raises on every rank alike unless all bring as many vectors; otherwise gathering would wait for ever."""
        sizes = self.gather(torch.tensor([len(part)], device=part.device)).tolist()
        if len(set(sizes)) > 1:
            raise InvalidArgument(
                f"all ranks must bring batches of one size, got {sizes}; drop the last, smaller batch"
            )


WHOLE = ClassShards()
"""All classes in one place."""


class _Sum(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor) -> Tensor:  # noqa: ARG004  # as Function
        total = part.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:  # noqa: ARG004  # as Function
        return gradients[0]


class _Shared(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, parameter: Tensor) -> Tensor:  # noqa: ARG004  # as Function
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:  # noqa: ARG004  # as Function
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _Gather(Function):
    shards: ClassShards

    @staticmethod
    def forward(ctx: _Gather, part: Tensor, shards: ClassShards) -> Tensor:
        ctx.shards = shards
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(shards.count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: _Gather, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return ctx.shards.count * total.chunk(ctx.shards.count)[ctx.shards.rank], None
