"""How much a bench has to do, before it is done: its measures are rehearsed without the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xcos.explainers.bench_plays import Bench, Place, Task, missing_of
from xcos.explainers.explanation import Explanation
from xcos.explainers.faithfulness.measure import Case, Measure, digest, face_digest
from xcos.types import AlignedFace


@dataclass(frozen=True)
class Rehearsal:
    """What one measure asked for on one pair, by identity."""

    explained: frozenset[str]
    crops: frozenset[str]
    shared: frozenset[str]
    """Crops that every method asks for."""


@dataclass(frozen=True)
class Work:
    """What is left to do."""

    passes: int
    """Through the network, in all."""
    by_method: dict[str, int]
    seconds_a_pass: float
    """At the moment, on this machine."""

    @property
    def seconds(self) -> float:
        """For all of them."""
        return self.passes * self.seconds_a_pass


class Workload:
    """Passes that plays take, from a rehearsal of each measure by each method on one pair of each kind."""

    def __init__(self, bench: Bench, tasks: Sequence[Task]) -> None:
        self._mated = [case.pair.mated for case in bench.cases]
        samples = {case.pair.mated: case for case in reversed(bench.cases)}
        first = bench.cases[0].pair
        self._rehearsed: dict[tuple[str, str, bool], Rehearsal] = {}
        for task in tasks:
            shown = task.explained(first.probe, first.reference)
            for name, measure in bench.measures.items():
                for mated, case in samples.items():
                    self._rehearsed[task.name, name, mated] = rehearse(measure, case, shown, bench.threshold)
        self._first = tasks[0].name if tasks else ""

    def passes(self, task: Task, places: Sequence[Place]) -> int:
        """Of these plays; what all methods share is counted for the first of them."""
        by_pair: dict[int, list[Rehearsal]] = {}
        for name, at in places:
            by_pair.setdefault(at, []).append(self._rehearsed[task.name, name, self._mated[at]])
        total = 0
        for asked in by_pair.values():
            shared = frozenset().union(*(each.shared for each in asked))
            crops = frozenset().union(*(each.crops for each in asked)) - shared
            explained = frozenset().union(*(each.explained for each in asked))
            total += task.passes * len(explained) + len(crops) + (len(shared) if task.name == self._first else 0)
        return total


def rehearse(measure: Measure, case: Case, shown: Explanation, threshold: float) -> Rehearsal:
    """The measure with ``shown`` for every explanation and 0 for every score."""
    explained: set[str] = set()
    crops: set[str] = set()
    shared: set[str] = set()

    def explain(probe: AlignedFace, reference: AlignedFace) -> Explanation:
        explained.add(face_digest(probe) + face_digest(reference))
        return shown

    play = measure.play(case, explain, threshold)
    try:
        query = next(play)
        while True:
            asked = {digest(crop) for side in (query.probes, query.references) for crop in side}
            (shared if query.shared else crops).update(asked)
            query = play.send(np.zeros(max(len(query.probes), len(query.references))))
    except StopIteration:
        return Rehearsal(frozenset(explained), frozenset(crops), frozenset(shared))


def work_left(bench: Bench, tasks: Sequence[Task], workload: Workload) -> Work:
    """Of a bench that may have been stopped before."""
    pairs = range(len(bench.cases))
    by_method = {task.name: workload.passes(task, missing_of(task, bench.recalled(task), pairs)) for task in tasks}
    pace = bench.scorer.seconds_a_pass(bench.cases[0].pair.probe.crop) if any(by_method.values()) else 0.0
    return Work(sum(by_method.values()), by_method, pace)
