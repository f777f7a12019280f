"""The training loop, and all that a training holds from one step to the next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from xcos.errors import InvalidConfig, InvalidModel
from xcos.training.config import TrainConfig
from xcos.training.data.batches import CropBatch, PairBatch
from xcos.training.learners import Learner
from xcos.training.losses.classifier import Classifier
from xcos.training.losses.sharded import ShardedClassifier
from xcos.training.misfit import below, load_fitting
from xcos.training.objectives import Losses, Objective
from xcos.training.optimizers import Trained

RANDOM = ("random.cpu", "random.classes", "random.cuda")
ADVICE = "go on with the configuration it was written with"


class Position(NamedTuple):
    """How far a training is."""

    step: int = 0
    """Steps done."""
    epoch: int = 0
    """Epoch and batch within it that come next."""
    batch: int = 0


class Report(NamedTuple):
    """What a training says of its last steps."""

    step: int
    epoch: float
    """Epochs done, with a fraction."""
    losses: dict[str, float]
    """Means over the steps since the last report."""
    rates: tuple[float, ...]
    """Learning rates now: of the networks, and of a learned attention."""
    images_per_second: float
    seconds_left: float


class Feed(Protocol):
    """Batches of each epoch, the same ones at every call."""

    def count(self, epoch: int) -> int:
        """Batches in this epoch."""
        ...

    def batches(self, epoch: int, start: int) -> Iterator[CropBatch | PairBatch]:
        """Those of this epoch, from batch ``start``."""
        ...


@dataclass(frozen=True, eq=False)
class Job:
    """A training, built."""

    config: TrainConfig
    learner: Learner
    classifier: Classifier | ShardedClassifier
    objective: Objective
    optimizers: tuple[Trained, ...]
    """Of the learner: SGD and, for a learned attention, Adam."""
    center_optimizer: Trained
    """Of the class centers."""
    feed: Feed
    device: torch.device

    @property
    def all_optimizers(self) -> tuple[Trained, ...]:
        """Of everything that is trained."""
        return (*self.optimizers, self.center_optimizer)


def train(
    job: Job, start: Position, *, on_report: Callable[[Report], None], on_checkpoint: Callable[[Position], None]
) -> Position:
    """Trains from ``start`` to the end of the schedule, where it then is.

    ``on_checkpoint`` is called every ``run.checkpoint_every`` steps and after the last.
    """
    schedule, run = job.config.schedule, job.config.run
    meter = _Meter(job)
    position = start
    job.learner.train()
    job.classifier.train()
    for epoch in range(start.epoch, schedule.epochs):
        count = job.feed.count(epoch)
        first = start.batch if epoch == start.epoch else 0
        for number, batch in enumerate(job.feed.batches(epoch, first), first):
            for trained in job.all_optimizers:
                trained.set_time(schedule, epoch + number / count)
            losses = job.objective.losses(batch)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            if job.config.optimizer.clip is not None:
                nn.utils.clip_grad_norm_(job.learner.parameters(), job.config.optimizer.clip)
            for trained in job.all_optimizers:
                trained.optimizer.step()
                trained.optimizer.zero_grad(set_to_none=True)
            position = _after(position.step + 1, epoch, number, count)
            last = position.epoch == schedule.epochs
            meter.add(losses)
            if position.step % run.report_every == 0 or last:
                on_report(meter.report(position))
            if position.step % run.checkpoint_every == 0 or last:
                on_checkpoint(position)
                job.learner.train()  # measuring took it into evaluation mode
    return position


def _after(step: int, epoch: int, batch: int, count: int) -> Position:
    return Position(step, epoch, batch + 1) if batch + 1 < count else Position(step, epoch + 1, 0)


class _Meter:
    """Means of losses, and the speed, since the last report."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._counts = [job.feed.count(epoch) for epoch in range(job.config.schedule.epochs)]
        self._clear()

    def _clear(self) -> None:
        self._since = time.perf_counter()
        self._steps = 0
        self._sums: Losses = {}

    def add(self, losses: Losses) -> None:
        """One more step."""
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()

    def report(self, position: Position) -> Report:
        """Of the steps added since the last one; raises where the loss is no number any more."""
        means = {name: float(value) / self._steps for name, value in self._sums.items()}
        seconds = (time.perf_counter() - self._since) / self._steps
        config = self._job.config
        if not all(math.isfinite(value) for value in means.values()):
            raise InvalidConfig(
                f"the loss is {means} after step {position.step} and training cannot go on; lower optimizer.rate, set "
                "optimizer.clip or schedule.warm_up, and start anew in another folder, with weights from a checkpoint "
                "of this one if you like",
                step=position.step,
            )
        self._clear()
        fraction = position.batch / self._counts[min(position.epoch, len(self._counts) - 1)]
        return Report(
            step=position.step,
            epoch=position.epoch + fraction,
            losses=means,
            rates=tuple(trained.optimizer.param_groups[0]["lr"] for trained in self._job.optimizers),
            images_per_second=config.run.batch * (2 if config.head else 1) / seconds,
            seconds_left=seconds * (sum(self._counts) - position.step),
        )


def shared_state(job: Job) -> dict[str, Tensor]:
    """What is equal on all ranks: the learner's weights and their optimizers."""
    return {**job.learner.state_dict(), **_remembered(job.optimizers)}


def own_state(job: Job) -> dict[str, Tensor]:
    """What each rank has for itself: class centers with their optimizer, and random generators."""
    random = {"cpu": torch.get_rng_state(), "classes": job.classifier.generator.get_state()}
    if job.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state()
    return {
        **{f"classifier.{name}": value for name, value in job.classifier.state_dict().items()},
        **_remembered((job.center_optimizer,)),
        **{f"random.{name}": value for name, value in random.items()},
    }


def load_state(job: Job, state: dict[str, Tensor]) -> None:
    """Takes back what :func:`shared_state` and :func:`own_state` gave; everything must be there and fit."""
    _require_known(job, state)
    load_learner(job.learner, state)
    load_fitting(
        job.classifier,
        below(state, "classifier."),
        refusal="the checkpoint's classifier does not fit this training",
        advice=ADVICE,
    )
    remembered = below(state, "optimizer.")
    for trained in job.all_optimizers:
        own = set(trained.names)
        trained.load({name: value for name, value in remembered.items() if name.rpartition("/")[0] in own})
    torch.set_rng_state(state["random.cpu"])
    job.classifier.generator.set_state(state["random.classes"])
    if job.device.type == "cuda" and "random.cuda" in state:  # absent where it was trained on the CPU before
        torch.cuda.set_rng_state(state["random.cuda"])


def load_learner(learner: Learner, state: dict[str, Tensor]) -> None:
    """Takes back the learner's part of :func:`shared_state`."""
    learned = {name: value for name, value in state.items() if name.startswith(("network.", "head."))}
    load_fitting(learner, learned, refusal="the checkpoint does not fit this training", advice=ADVICE)


def _require_known(job: Job, state: dict[str, Tensor]) -> None:
    """Raises for a tensor that nothing here takes back, and for a random generator that is missing."""
    trained = {name for each in job.all_optimizers for name in each.names}
    for name in state:
        part, _, rest = name.partition(".")
        owner = rest.rpartition("/")[0]
        remembered = part == "optimizer" and owner in trained
        if not (remembered or part in ("network", "head", "classifier") or name in RANDOM):
            raise InvalidModel(f"the checkpoint does not fit this training: it has {name}, which nothing here takes")
    missing = {"random.cpu", "random.classes"} - state.keys()
    if missing:
        raise InvalidModel(f"the checkpoint does not fit this training: it lacks {min(missing)}")


def _remembered(optimizers: tuple[Trained, ...]) -> dict[str, Tensor]:
    return {f"optimizer.{name}": value for each in optimizers for name, value in each.state().items()}
