"""Class centers, and the loss of vectors against them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from xcos.errors import InvalidArgument
from xcos.training.losses.class_shards import WHOLE, ClassShards
from xcos.training.losses.classification import ClassificationLoss
from xcos.training.losses.precision import full_precision
from xcos.training.losses.sampling import require_rate, sample_classes

INITIAL_DEVIATION = 0.01
"""Of the centers' components, as in InsightFace: they are normalised, but the smaller, the faster they turn."""


class Classifier(nn.Module):
    """Mean ``loss`` of vectors by their cosines with learned class centers; a training-time part only.

    With ``sample_rate`` below 1 each step meets that share of the centers: those of its labels and a fresh random
    draw of the others (Partial FC, see :func:`sample_classes`). Centers left out get a gradient of zero. ``generator``
    draws the first centers and then the samples; its state belongs in a checkpoint.
    """

    def __init__(
        self,
        vector_size: int,
        classes: int,
        loss: ClassificationLoss,
        *,
        sample_rate: float = 1.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        require_rate(sample_rate)
        self.classes = classes
        self.sample_rate = sample_rate
        self.generator = generator
        self.centers = nn.Parameter(first_centers(vector_size, classes, generator))
        """``(classes, vector_size)``, of any length."""
        self.loss = loss

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Scalar; ``vectors`` (n, vector_size) of any length, ``labels`` (n,) int64 in 0…classes − 1."""
        require_vectors(vectors, labels, self.centers)
        require_labels(labels, self.classes)
        centers: Tensor = self.centers
        if self.sample_rate < 1:
            chosen, labels = sample_classes(labels, self.classes, self.sample_rate, self.generator)
            centers = centers[chosen]
        return loss_against(self.loss, vectors, centers, labels)


def first_centers(vector_size: int, classes: int, generator: torch.Generator) -> Tensor:
    """``(classes, vector_size)``, normally distributed about 0."""
    if vector_size < 1 or classes < 1:
        raise InvalidArgument(f"vector_size and classes must be at least 1, got {vector_size} and {classes}")
    return INITIAL_DEVIATION * torch.randn(classes, vector_size, generator=generator, device=generator.device)


def loss_against(
    loss: ClassificationLoss, vectors: Tensor, centers: Tensor, labels: Tensor, shards: ClassShards = WHOLE
) -> Tensor:
    """``loss`` of vectors and centers of any length, in full precision even inside autocast."""
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, centers = full_precision(vectors), full_precision(centers)
        cosines = normalize(vectors) @ normalize(centers).T
        mean: Tensor = loss(cosines, labels, vectors.detach().norm(dim=1), shards)
        return mean


def require_vectors(vectors: Tensor, labels: Tensor, centers: Tensor) -> None:
    """Raises :class:`InvalidArgument` unless there are vectors of the centers' size with one int64 label each."""
    fits = vectors.ndim == 2 and len(vectors) > 0 and vectors.shape[1] == centers.shape[1]
    if not fits or labels.shape != vectors.shape[:1] or labels.dtype != torch.int64:
        raise InvalidArgument(
            f"want vectors (n, {centers.shape[1]}), n > 0, and labels (n,) int64, got {tuple(vectors.shape)} and "
            f"{tuple(labels.shape)} {labels.dtype}"
        )


def require_labels(labels: Tensor, classes: int) -> None:
    """Raises :class:`InvalidArgument` for a label outside 0…classes − 1."""
    least, most = (int(value) for value in labels.aminmax())
    if least < 0 or most >= classes:
        raise InvalidArgument(
            f"labels must lie in 0…{classes - 1}, got {least}…{most}; make the classifier with as many classes as the "
            "training set has people"
        )
