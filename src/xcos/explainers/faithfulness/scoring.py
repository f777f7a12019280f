"""Scores of many measures' queries at once: large batches, each crop embedded once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from xcos.explainers.faithfulness.kept import Kept, key_of
from xcos.explainers.faithfulness.measure import Play, Query, Record, digest
from xcos.explainers.matcher import Matcher
from xcos.types import Crops, Pixels, Reals, Template, Templates, stack

Name = TypeVar("Name")
Result = TypeVar("Result")
TOGETHER = 16
"""Plays whose crops are in memory at once."""
TIMED = 16
"""Crops for each thread, when the time of a pass is taken."""
SHARED = "shared"
"""Kind of what is kept for all methods."""
REMEMBERED = 2048
"""Templates that are kept for later batches: those of whole photos are asked for again and again."""


@dataclass(frozen=True)
class Scorer:
    """Scores queries by one matcher, the queries that all methods share from the folder of kept results."""

    matcher: Matcher
    kept: Kept | None = None
    """Where the scores of shared queries stay; None: nowhere."""
    streams: int = 1
    """Threads that embed side by side; more than 1 only for a matcher that allows it."""
    _templates: OrderedDict[str, Template] = field(default_factory=OrderedDict, repr=False)

    def scores(self, queries: Sequence[Query]) -> list[Reals]:
        """``(n,)`` for each query."""
        if self.kept is None:
            return self._score(queries)
        keys = [self._key(query) if query.shared else "" for query in queries]
        found = [self.kept.record(SHARED, key) if key else None for key in keys]
        fresh = iter(self._score([query for query, record in zip(queries, found, strict=True) if record is None]))
        results = []
        for key, record in zip(keys, found, strict=True):
            scores = next(fresh) if record is None else record["scores"]
            if record is None and key:
                self.kept.keep_record(SHARED, key, {"scores": scores})
            results.append(scores)
        return results

    def _key(self, query: Query) -> str:
        return key_of(self.matcher.name, digest(query.probes), digest(query.references))

    def _score(self, queries: Sequence[Query]) -> list[Reals]:
        sides = [(_names(query.probes), _names(query.references)) for query in queries]
        crops = {name: crop for query, (probes, references) in zip(queries, sides, strict=True)
                 for names, side in ((probes, query.probes), (references, query.references))
                 for name, crop in zip(names, side, strict=True)}  # fmt: skip
        templates = self._embedded(crops)
        return [
            np.asarray(self.matcher.score(*(_together(names, templates) for names in pair)), np.float64)
            for pair in sides
        ]

    def _embedded(self, crops: dict[str, np.ndarray]) -> dict[str, Template]:
        """A template for each crop by its name; those of earlier batches are remembered."""
        known = {name: self._templates[name] for name in crops if name in self._templates}
        new = [name for name in crops if name not in known]
        if new:
            made = self._encode(np.stack([crops[name] for name in new]))
            known.update(zip(new, made, strict=True))
        for name in crops:
            self._templates[name] = known[name]
            self._templates.move_to_end(name)
        while len(self._templates) > REMEMBERED:
            self._templates.popitem(last=False)
        return known

    def seconds_a_pass(self, crop: Pixels) -> float:
        """How long one crop of many takes at the moment."""
        crops = np.repeat(crop[None], TIMED * self.streams, axis=0)
        self._encode(crops[: self.streams])
        start = time.perf_counter()
        self._encode(crops)
        return (time.perf_counter() - start) / len(crops)

    def _encode(self, crops: Crops) -> list[Template]:
        if self.streams == 1:
            return _copies(self.matcher.encode(crops))
        parts = np.array_split(crops, min(self.streams, len(crops)))
        with ThreadPoolExecutor(self.streams) as pool:
            return [template for part in pool.map(self.matcher.encode, parts) for template in _copies(part)]


def play_together(
    groups: Sequence[Sequence[tuple[Name, Play]]], scorer: Scorer, *, threads: int = 1
) -> Iterator[tuple[Name, Record]]:
    """Each play's record as soon as it is done; what all of them ask at a time is scored as one.

    ``threads`` groups work side by side, the plays of a group one after another.
    """
    rests: list[list[tuple[Name, Play, Reals | None]]] = [[(*play, None) for play in group] for group in groups]
    with ThreadPoolExecutor(threads) as pool:
        while any(rests):
            asked: list[list[tuple[Name, Play, Query]]] = []
            for moved in pool.map(_all_advanced, rests):
                asked.append([(name, play, answer) for name, play, answer in moved if isinstance(answer, Query)])
                yield from ((name, answer) for name, _, answer in moved if not isinstance(answer, Query))
            scores = iter(scorer.scores([query for group in asked for _, _, query in group]))
            rests = [[(name, play, next(scores)) for name, play, _ in group] for group in asked]


def play_or_recall(
    kind: str, keys: Sequence[str], play_of: Callable[[int], Play], kept: Kept, scorer: Scorer
) -> list[Record]:
    """The record under each key: what is kept is not played again, what is played is kept at once."""
    found = {at: record for at, key in enumerate(keys) if (record := kept.record(kind, key)) is not None}
    missing = [at for at in range(len(keys)) if at not in found]
    for start in range(0, len(missing), TOGETHER):
        groups = [[(at, play_of(at))] for at in missing[start : start + TOGETHER]]
        for at, record in play_together(groups, scorer):
            kept.keep_record(kind, keys[at], record)
            found[at] = record
    return [found[at] for at in range(len(keys))]


def play_alone(play: Generator[Query, Reals, Result], scorer: Scorer) -> Result:
    """What one play returns."""
    try:
        query = next(play)
        while True:
            (scores,) = scorer.scores([query])
            query = play.send(scores)
    except StopIteration as end:
        result: Result = end.value
        return result


def _all_advanced(rests: Sequence[tuple[Name, Play, Reals | None]]) -> list[tuple[Name, Play, Query | Record]]:
    """Each play's next query or, if the answer was the last it needed, its record."""
    return [(name, play, _advanced(play, answer)) for name, play, answer in rests]


def _advanced(play: Play, answer: Reals | None) -> Query | Record:
    try:
        return next(play) if answer is None else play.send(answer)
    except StopIteration as end:
        record: Record = end.value
        return record


def _names(crops: Crops) -> list[str]:
    return [digest(crop) for crop in crops]


def _together(names: list[str], templates: dict[str, Template]) -> Templates:
    return stack([templates[name] for name in names])


def _copies(batch: Templates) -> list[Template]:
    """Templates that do not hold on to the batch they were made in."""
    return [Template(each.grid.copy(), each.vector.copy(), each.model) for each in batch]
