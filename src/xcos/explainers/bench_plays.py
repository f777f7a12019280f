"""What the bench plays: every measure of every method on its pairs, a few pairs at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.explainers.explanation import Cost
from xcos.explainers.faithfulness.explained import OnceExplained
from xcos.explainers.faithfulness.kept import Kept, key_of
from xcos.explainers.faithfulness.measure import Case, Measure, Play, Record, options_of
from xcos.explainers.faithfulness.scoring import Scorer, play_together

TOGETHER = 8
"""Pairs whose crops are in memory at once: some 25 MB for each."""
LIGHT = 16
"""Passes up to which an explanation runs on one thread, so that several are made side by side."""
Place = tuple[str, int]
"""Name of a measure, and number of a pair."""


@dataclass(frozen=True)
class Price:
    """What the explanation of one pair cost."""

    forward: float
    backward: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Task:
    """One method, and the pairs on which each measure plays it."""

    explained: OnceExplained
    cost: Cost
    """Of the first pair's explanation."""
    pairs: dict[str, NDArray[np.intp]]
    """By the measure's name."""

    @property
    def name(self) -> str:
        """Of the method."""
        return self.explained.explainer.name

    @property
    def passes(self) -> int:
        """Through the network, both ways, for one explanation."""
        return self.cost.forward + self.cost.backward


@dataclass(frozen=True, eq=False)
class Bench:
    """All that a record depends on, and where records are kept."""

    measures: dict[str, Measure]
    """By their names."""
    cases: Sequence[Case]
    threshold: float
    kept: Kept
    scorer: Scorer

    def recalled(self, task: Task) -> dict[Place, Record]:
        """The records that are there."""
        found = {
            (name, int(at)): self.kept.record(self._kind(task, name), self._key(task, name, at))
            for name, pairs in task.pairs.items()
            for at in pairs
        }
        return {place: record for place, record in found.items() if record is not None}

    def play(self, task: Task, missing: Sequence[Place]) -> Iterator[tuple[Place, Record]]:
        """Records of these places; each is kept at once.

        What the measures of one pair ask alike is embedded once, and its explanation is made once.
        """
        by_pair: dict[int, list[tuple[Place, Play]]] = {}
        for name, at in missing:
            play = self.measures[name].play(self.cases[at], task.explained, self.threshold)
            by_pair.setdefault(at, []).append(((name, at), play))
        threads = self.scorer.streams if task.passes <= LIGHT else 1
        for (name, at), record in play_together(list(by_pair.values()), self.scorer, threads=threads):
            self.kept.keep_record(self._kind(task, name), self._key(task, name, at), record)
            yield (name, at), record

    def price(self, task: Task, at: int) -> Price:
        """What the method's explanation of a pair cost when it was made."""
        pair = self.cases[at].pair
        key = key_of(task.explained.identity, self.cases[at].identity)
        kind = f"{task.name}-cost"
        found = self.kept.record(kind, key)
        if found is None:
            made = task.explained.timed(pair.probe, pair.reference)
            cost = made.explanation.cost
            found = {"cost": np.array([cost.forward, cost.backward, made.seconds], np.float64)}
            self.kept.keep_record(kind, key, found)
        return Price(*found["cost"].tolist())

    def _kind(self, task: Task, name: str) -> str:
        return f"{task.name}-{self.measures[name].title}"

    def _key(self, task: Task, name: str, at: int) -> str:
        measure, case = self.measures[name], self.cases[at]
        options = {key: value for key, value in options_of(measure).items() if key != "most_pairs"}  # type: ignore[arg-type]
        needed = {"stranger": case.stranger_identity, "threshold": repr(self.threshold)}
        return key_of(
            task.explained.identity,
            measure.title,
            repr(sorted(options.items())),
            case.identity,
            *(needed[need] for need in measure.needs),
        )


@dataclass(frozen=True, eq=False)
class Played:
    """All records and costs of one method."""

    task: Task
    records: dict[Place, Record]
    prices: list[Price]


def play_all(bench: Bench, tasks: Sequence[Task], on_played: Callable[[Task, Sequence[Place]], None]) -> list[Played]:
    """Every method on every pair; some pairs by all methods before the next ones, as methods ask much alike.

    ``on_played`` is told what was played, as it is.
    """
    played = [Played(task, bench.recalled(task), []) for task in tasks]
    for start in range(0, len(bench.cases), TOGETHER):
        pairs = range(start, min(start + TOGETHER, len(bench.cases)))
        for each in played:
            missing = missing_of(each.task, each.records, pairs)
            each.records.update(bench.play(each.task, missing))
            each.prices.extend(bench.price(each.task, at) for at in pairs)
            on_played(each.task, missing)
    return played


def missing_of(task: Task, records: dict[Place, Record], pairs: Sequence[int]) -> list[Place]:
    """What of these pairs has no record yet, pair by pair."""
    wanted = {name: set(chosen.tolist()) for name, chosen in task.pairs.items()}
    return [(name, at) for at in pairs for name, chosen in wanted.items() if at in chosen and (name, at) not in records]
