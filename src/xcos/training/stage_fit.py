"""Fits the learned stage of the shipped model to features of dlib's trunk that were computed once."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from torch.optim import swa_utils

from xcos.embedders.dlib_resnet import Layers
from xcos.embedders.trusted_stage import COVERED_INPUT
from xcos.training.all_pairs import (
    MatedBatches,
    boundary_loss,
    imitation_loss,
    mate_loss,
    trust_weighted_scores,
)
from xcos.training.networks.trusted_stage import MEAN_SHARE, TrustedStage
from xcos.types import Floats

CLEAR_VIEWS = 2
"""The first views of every photo show it as it is, and mirrored; the others are covered."""


@dataclass(frozen=True, eq=False)
class Views:
    """Several views of the same n photos, through dlib's trunk."""

    fourth: NDArray[np.float16]
    """(views, n, 7, 7, 256); the first two as they are and mirrored, the others with occluders."""
    covered: Floats
    """(views, n, 7, 7): share of each cell's square that is covered."""
    vectors: Floats
    """(n, 128): the published network's vector of the photo as it is."""
    labels: NDArray[np.int64]
    """(n,) people."""


@dataclass(frozen=True)
class StageSettings:
    """How the stage is fitted."""

    coverage_steps: int = 400
    steps: int = 1000
    people: int = 48
    """People with two photos in every batch."""
    others: int = 32
    """Photos of anyone beside them."""
    covered_share: float = 0.5
    rate: float = 3e-4
    scale: float = 20.0
    """Of scores in the identity losses."""
    boundary: float = 0.4
    """Score at which the logistic loss parts mated from non-mated: the centered cosine at the vector's threshold."""
    imitation: float = 5.0
    identity: float = 0.5
    coverage: float = 0.5
    average: float = 0.99
    """Of the running mean of the weights."""
    learned_share: float = 0.5
    """How far from the published weights to the fitted ones what is kept lies; the coverage is all fitted. Few people
    teach what millions taught better: between the two it is better than either (Wortsman et al. 2022)."""
    seed: int = 0


@dataclass(frozen=True)
class StageStep:
    """What one step measured."""

    number: int
    imitation: float
    logistic: float
    identity: float
    coverage: float


def fit_stage(
    views: Views, layers: Layers, settings: StageSettings, on_step: Callable[[StageStep], None] = lambda _: None
) -> TrustedStage:
    """The stage, fitted first to tell covered cells, then to tell people apart whatever is covered.

    Every batch is scored all against all, whatever each photo's view. The loss is the squared difference to the
    teacher's cosine of the photos as they are, a logistic loss at a fixed score, and the cross-entropy of each mate
    among all non-mates (Sohn 2016), mated and non-mated pairs weighing one half each; and the coverage's own.
    """
    random = np.random.default_rng(settings.seed)
    stage = published_stage(views, layers, settings.seed)
    centered = views.vectors - MEAN_SHARE * views.vectors.mean(axis=0)
    teacher = normalize(torch.from_numpy(centered), dim=1)
    published = deepcopy(stage)
    _fit_coverage(stage, views, settings, random)
    optimizer = torch.optim.AdamW(stage.parameters(), lr=settings.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps, pct_start=0.1)
    running_mean = swa_utils.get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
    kept = swa_utils.AveragedModel(stage, multi_avg_fn=running_mean)
    batches = MatedBatches(views.labels, people=settings.people, others=settings.others, random=random)
    for number in range(settings.steps):
        rows = batches.draw()
        chosen = _drawn_views(views, rows, settings.covered_share, random)
        staged = stage(_fourth(views, chosen, rows))
        labels = torch.from_numpy(views.labels[rows])
        scores = trust_weighted_scores(staged.features, staged.trust)
        parts = stage_losses(scores, teacher[rows] @ teacher[rows].T, labels, settings)
        coverage = binary_cross_entropy_with_logits(staged.covered, _covered(views, chosen, rows))
        loss = parts.total(settings) + settings.coverage * coverage
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        kept.update_parameters(stage)
        imitation, logistic, identity = (part.item() for part in parts)
        on_step(StageStep(number, imitation, logistic, identity, coverage.item()))
    averaged = kept.module
    assert isinstance(averaged, TrustedStage)
    return between(published, averaged, settings.learned_share).eval()


def published_stage(views: Views, layers: Layers, seed: int = 0) -> TrustedStage:
    """The stage before any fitting: the published weights, means of the views, coverage drawn from ``seed``."""
    mean_face = np.asarray(views.fourth[0, : min(2000, len(views.labels))], np.float32).mean(axis=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TrustedStage(layers, mean_face, views.vectors.mean(axis=0))


class StageLosses(NamedTuple):
    """What the scores of a batch are asked for."""

    imitation: Tensor
    """:func:`imitation_loss` of the teacher's cosines."""
    logistic: Tensor
    """:func:`boundary_loss` of the scaled distances from the boundary."""
    identity: Tensor
    """:func:`mate_loss` of the scaled scores."""

    def total(self, settings: StageSettings) -> Tensor:
        """The weighted sum, without the coverage's loss."""
        return settings.imitation * self.imitation + self.logistic + settings.identity * self.identity


def stage_losses(scores: Tensor, teacher: Tensor, labels: Tensor, settings: StageSettings) -> StageLosses:
    """Losses of ``(n, n)`` scores, where ``teacher`` (n, n) are the cosines wanted and ``labels`` (n,) the people.

    A photo with itself counts nowhere.
    """
    return StageLosses(
        imitation=imitation_loss(scores, teacher, labels),
        logistic=boundary_loss((scores - settings.boundary) * settings.scale, labels),
        identity=mate_loss(scores * settings.scale, labels),
    )


def between(published: TrustedStage, fitted: TrustedStage, share: float) -> TrustedStage:
    """``fitted`` with all parameters but the coverage's moved back towards ``published``."""
    with torch.no_grad():
        pairs = zip(published.named_parameters(), fitted.named_parameters(), strict=True)
        for (name, before), (_, after) in pairs:
            if not name.startswith("covered."):
                after.lerp_(before, 1 - share)
    return fitted


def _fit_coverage(stage: TrustedStage, views: Views, settings: StageSettings, random: np.random.Generator) -> None:
    """Cheap and quick alone: the features of the trunk show what is covered."""
    optimizer = torch.optim.AdamW(stage.covered.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=settings.coverage_steps)
    count, photos = views.fourth.shape[:2]
    for _ in range(settings.coverage_steps):
        rows, chosen = random.integers(0, photos, 192), random.integers(1, count, 192)
        logits = stage.covered(_fourth(views, chosen, rows) * COVERED_INPUT)[:, 0]
        loss = binary_cross_entropy_with_logits(logits, _covered(views, chosen, rows))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _drawn_views(views: Views, rows: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """A view of each of these photos: a covered one with this probability, else one of the clear ones."""
    covered = random.random(len(rows)) < share
    return np.where(
        covered,
        random.integers(CLEAR_VIEWS, len(views.fourth), len(rows)),
        random.integers(0, CLEAR_VIEWS, len(rows)),
    )


def _fourth(views: Views, chosen: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
    picked = np.stack([views.fourth[view, row] for view, row in zip(chosen, rows, strict=True)])
    return torch.from_numpy(picked.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def _covered(views: Views, chosen: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(views.covered[chosen, rows].astype(np.float32))
