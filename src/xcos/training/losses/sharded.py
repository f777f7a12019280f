"""Class centers split over the ranks, for more classes than one device can hold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xcos.errors import InvalidArgument
from xcos.training.distributed import Ranks
from xcos.training.losses.class_shards import ClassShards
from xcos.training.losses.classification import ClassificationLoss
from xcos.training.losses.classifier import first_centers, loss_against, require_labels, require_vectors
from xcos.training.losses.precision import full_precision
from xcos.training.losses.sampling import require_rate, sample_classes


class ShardedClassifier(nn.Module):
    """Like :class:`Classifier` over the vectors of all ranks, each of which holds its own part of the centers.

    Every rank calls it with its own batch, all of one size, and gets the loss over all batches and classes. Wrap the
    network in ``DistributedDataParallel`` but not this: gradients of the centers are complete as they are, those of
    the vectors are multiplied by the number of ranks so that the network's average comes out as the gradient of
    this loss. Each rank saves its own ``state_dict()``.

    With ``sample_rate`` below 1 every rank samples its own part. The ranks may be given equally seeded generators; each
    makes its own ``generator`` of it, whose state belongs in a checkpoint.
    """

    def __init__(
        self,
        vector_size: int,
        classes: int,
        loss: ClassificationLoss,
        *,
        ranks: Ranks,
        sample_rate: float = 1.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        require_rate(sample_rate)
        self.classes = classes
        self.part = part_of(classes, ranks)
        """The classes whose centers are here."""
        self.sample_rate = sample_rate
        self.generator = _own_generator(generator, ranks.rank)
        self.centers = nn.Parameter(first_centers(vector_size, len(self.part), self.generator))
        """``(len(part), vector_size)``, of any length."""
        self.loss = loss
        self._shards = ClassShards(ranks.rank, ranks.size)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Scalar, equal on all ranks; ``vectors`` (n, vector_size) and ``labels`` (n,) of this rank's batch."""
        require_vectors(vectors, labels, self.centers)
        self._shards.require_equal_batches(vectors)
        vectors, labels = self._shards.gather(full_precision(vectors)), self._shards.gather(labels)
        require_labels(labels, self.classes)
        here = (labels >= self.part.start) & (labels < self.part.stop)
        labels = torch.where(here, labels - self.part.start, -1)
        centers: Tensor = self.centers
        if self.sample_rate < 1:
            chosen, labels = sample_classes(labels, len(self.part), self.sample_rate, self.generator)
            centers = centers[chosen]
        return loss_against(self.loss, vectors, centers, labels, self._shards)


def part_of(classes: int, ranks: Ranks) -> range:
    """This rank's share of ``classes``: consecutive, one more on the first ranks where they do not divide evenly."""
    if classes < ranks.size:
        raise InvalidArgument(f"{classes} classes cannot be split over {ranks.size} ranks; start at most {classes}")
    each, rest = divmod(classes, ranks.size)
    start = ranks.rank * each + min(ranks.rank, rest)
    return range(start, start + each + (ranks.rank < rest))


def _own_generator(generator: torch.Generator, rank: int) -> torch.Generator:
    """A generator that differs from rank to rank; equal ones would give classes of different ranks equal centers."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    return torch.Generator(generator.device).manual_seed(seed + rank)
