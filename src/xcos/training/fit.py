"""A head for a network that stays as it is, from features computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from xcos.errors import InvalidArgument
from xcos.training.all_pairs import MatedBatches, imitation_loss, mate_loss, trust_weighted_scores
from xcos.training.head import Concat, FaceMaps, Norm, Separable, Uniform, XcosHead, make_head
from xcos.types import Floats, Grids

WeightingName = Literal["separable", "symmetric", "norm", "uniform"]
"""Not the paper's own, whose score depends on the order of the photos."""


@dataclass(frozen=True)
class FitSettings:
    """How a head is fitted; the defaults were chosen on held-out people of one network (docs/plug.md)."""

    weighting: WeightingName = "separable"
    channels: int = 32
    steps: int = 1500
    people: int = 32
    """People with two photos in every batch."""
    others: int = 32
    """Photos of any people beside them."""
    rate: float = 2e-2
    """Greatest learning rate of AdamW, with one cycle."""
    decay: float = 1e-2
    scale: float = 24.0
    """Scores are multiplied by it in the identity loss."""
    identity: float = 0.01
    """Weight of the identity loss beside the teacher's."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.weighting not in get_args(WeightingName):
            raise InvalidArgument(
                f"weighting {self.weighting!r} is unknown; one of {', '.join(get_args(WeightingName))}"
            )
        for name, least in (("channels", 1), ("steps", 1), ("people", 1), ("others", 0)):
            if getattr(self, name) < least:
                raise InvalidArgument(f"{name} of a fit must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise InvalidArgument(f"the seed of a fit must lie in 0 … 2³¹ − 1, got {self.seed}")


def settings_for(weighting: WeightingName, *, channels: int, steps: int, seed: int) -> FitSettings:
    """The defaults; smaller batches for the weighting that runs a network on every pair of a batch."""
    people, others = (16, 8) if weighting == "symmetric" else (32, 32)
    return FitSettings(weighting, channels, steps, people, others, seed=seed)


class GridSource(Protocol):
    """An array of grids, or what reads its rows from a disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, rows, cols, channels)."""
        ...

    def __getitem__(self, index: NDArray[np.int64], /) -> Grids: ...


@dataclass(frozen=True)
class Step:
    """What a step of fitting measured, before it."""

    number: int
    teacher: float
    """Root of the mean squared difference of score and teacher's cosine, mated and non-mated weighing one half each."""
    identity: float


def fit_head(
    grids: GridSource,
    vectors: Floats,
    labels: NDArray[np.int64],
    settings: FitSettings,
    on_step: Callable[[Step], None] = lambda _: None,
) -> XcosHead:
    """The head, in evaluation mode, whose score comes near the cosine of ``vectors`` and tells people apart.

    ``grids`` (n, rows, cols, channels) and ``vectors`` (n, D) are of the same photos, ``labels`` (n,) of their people.
    In each batch all pairs are scored; the loss is :func:`fit_loss`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = make_head(settings.weighting, grids.shape[-1], channels=settings.channels)
    return fit_given_head(head, grids, vectors, labels, settings, on_step)


def fit_given_head(
    head: XcosHead,
    grids: GridSource,
    vectors: Floats,
    labels: NDArray[np.int64],
    settings: FitSettings,
    on_step: Callable[[Step], None] = lambda _: None,
) -> XcosHead:
    """As :func:`fit_head`, for a head made elsewhere, such as one with the paper's weighting; it is changed."""
    if not len(vectors) == len(labels) == grids.shape[0]:
        raise InvalidArgument(
            f"grids, vectors and labels must be of the same photos, got {grids.shape[0]}, {len(vectors)}, {len(labels)}"
        )
    with _one_thread():
        return _fit(head, grids, vectors, labels, settings, on_step)


def _fit(
    head: XcosHead,
    grids: GridSource,
    vectors: Floats,
    labels: NDArray[np.int64],
    settings: FitSettings,
    on_step: Callable[[Step], None],
) -> XcosHead:
    random = np.random.default_rng(settings.seed)
    teacher = normalize(torch.from_numpy(np.array(vectors, np.float32)), dim=1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps)
    batches = MatedBatches(labels, people=settings.people, others=settings.others, random=random)
    head.train()
    for number in range(settings.steps):
        rows = batches.draw()
        batch = torch.from_numpy(grids[rows]).permute(0, 3, 1, 2)
        scores = all_scores(head, batch)
        loss = fit_loss(scores, teacher[rows] @ teacher[rows].T, torch.from_numpy(labels[rows]), settings)
        optimizer.zero_grad()
        loss.whole.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        on_step(Step(number, loss.imitation.item() ** 0.5, loss.identity.item()))
    return head.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small: one thread is as fast, and the result does not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def all_scores(head: XcosHead, grids: Tensor) -> Tensor:
    """``(n, n)`` scores of n faces with one another, probes in rows; ``grids`` (n, grid_channels, h, w).

    Where the attention is a product of the two faces' terms, the score is a matrix product and no pair is formed.
    """
    features = head.project(grids)
    match head.weighting:
        case Separable() as separable:
            return trust_weighted_scores(features, separable.trust(grids))
        case Norm():
            whole = normalize(features.flatten(1), dim=1)
            return whole @ whole.T
        case Uniform():
            cells = normalize(features, dim=1).flatten(1)
            return (cells @ cells.T) / features[0, 0].numel()
    n = len(grids)
    ordered = isinstance(head.weighting, Concat)
    first, second = torch.ones(n, n).nonzero().T if ordered else torch.triu_indices(n, n, 0)
    # The other weightings read nothing of the grid but its projection.
    sides = [FaceMaps(features[at], features[at]) for at in (first, second)]
    scores = head.compare(*sides).score
    square = scores.new_zeros(n, n).index_put((first, second), scores)
    return square if ordered else square.index_put((second, first), scores)


class Loss(NamedTuple):
    """What is made small, and its two terms; all scalars."""

    whole: Tensor
    imitation: Tensor
    identity: Tensor


def fit_loss(scores: Tensor, cosines: Tensor, labels: Tensor, settings: FitSettings) -> Loss:
    """Loss of ``(n, n)`` scores beside the teacher's ``cosines``; ``labels`` (n,) are of the people.

    :func:`imitation_loss` plus ``settings.identity`` times the :func:`mate_loss` of ``settings.scale`` times the score.
    """
    imitation = imitation_loss(scores, cosines, labels)
    identity = mate_loss(scores * settings.scale, labels)
    return Loss(imitation + settings.identity * identity, imitation, identity)
