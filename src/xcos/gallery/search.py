"""Who in a gallery is most like some probes: ranked exactly, or exactly among a shortlist.

A subject's score is that of its best template. Every comparison that comes back was made in double precision by the
comparator itself: the maps are the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.compare import Uniform, vectors_as_grids
from xcos.errors import InvalidArgument, StoreBusy
from xcos.gallery.ranking import Score, lengths_of, rounding, score_of
from xcos.gallery.sketch import Sketcher, differences
from xcos.gallery.store import Numbers, Reading, StoreChanged, source_of
from xcos.interfaces import Comparator
from xcos.intervals import wilson
from xcos.types import Comparison, Floats, Grids, Template, stack

Method = Literal["exact", "shortlist"]
STREAMED = 1024  # grids in memory where not all are held
MAPPED = 256  # pairs whose maps are made at once
TRIES = 5
NO_SCORE = -np.inf
AT_ONCE = 32  # probes whose scores with all templates are in memory

Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Effort:
    """How far a search goes. Up to ``exact_up_to`` templates all grids are held in memory and ranked exactly; above,
    the ``shortlist`` templates whose sketches are nearest are. ``always_exact`` reads all grids then."""

    exact_up_to: int = 100_000
    shortlist: int = 1000
    always_exact: bool = False

    def __post_init__(self) -> None:
        if self.exact_up_to < 0 or self.shortlist < 1:
            raise InvalidArgument(f"exact_up_to must be 0 or more and shortlist 1 or more, got {self}")


@dataclass(frozen=True, eq=False)
class Hit:
    """A subject's best template, compared."""

    subject: str
    source: str
    """SHA-256 of the photo the template came from; empty if nobody knows."""
    quality: float
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class Found:
    """What one search found, most alike first, and how much it looked at."""

    hits: tuple[Hit, ...]
    templates: int
    subjects: int
    method: Method


def search(
    store: Reading,
    sketcher: Sketcher,
    probes: Sequence[Template],
    comparator: Comparator | None,
    *,
    top: int,
    where: Mapping[str, str],
    now: float,
    effort: Effort,
) -> list[Found]:
    """What each probe finds: the ``top`` subjects, of those whose tags are all of ``where`` and that have not expired.

    ``comparator`` None compares the networks' own vectors by their cosine. Ties go by the subject's id.
    """
    if top < 1:
        raise InvalidArgument(f"top counts candidates from 1, got {top}")
    if not probes:
        return []
    for _ in range(TRIES):
        store.refresh()
        try:
            return _Search(store, sketcher, probes, comparator, top, _allowed(store, where, now), effort).found()
        except StoreChanged:
            continue
    raise StoreBusy("other processes changed the gallery faster than it could be searched; try again")


class _Search:
    def __init__(
        self,
        store: Reading,
        sketcher: Sketcher,
        probes: Sequence[Template],
        comparator: Comparator | None,
        top: int,
        allowed: Truths,
        effort: Effort,
        own: Numbers | None = None,
    ) -> None:
        self.store, self.sketcher, self.top, self.effort = store, sketcher, top, effort
        batch = stack(list(probes))
        self.by_vector = comparator is None
        self.comparator: Comparator = Uniform() if comparator is None else comparator
        self.probe_grids = batch.grids
        self.probes: Grids = vectors_as_grids(batch.vectors) if self.by_vector else batch.grids
        self.score = score_of(self.comparator)
        self.columns, self.version = store.templates, store.templates.changes
        self.allowed, self.own = allowed, own

    def found(self) -> list[Found]:
        places = np.flatnonzero(self.allowed)
        subjects = len(np.unique(self.columns["sid"][places]))
        exact = self.score is not None and (
            self.by_vector or self.effort.always_exact or len(self.columns) <= self.effort.exact_up_to
        )
        exact = exact or len(places) <= self.effort.shortlist
        method: Method = "exact" if exact else "shortlist"
        return [Found(tuple(each), len(places), subjects, method) for each in self.ranked(exact)]

    def ranked(self, exact: bool) -> list[list[Hit]]:
        """Of all probes."""
        numbers = range(len(self.probes))
        return self._exact() if exact else [self._shortlisted(number) for number in numbers]

    def _exact(self) -> list[list[Hit]]:
        places = np.flatnonzero(self.allowed)
        if not len(places):
            return [[] for _ in self.probes]
        if self.score is None:
            return [self._hits(number, places) for number in range(len(self.probes))]
        ranked = self._all_scores(self.score)
        for number, column in enumerate(ranked.T):
            column[~self._allowed_to(number)] = NO_SCORE
        return [self._hits(number, self._listable(column)) for number, column in enumerate(ranked.T)]

    def _allowed_to(self, number: int) -> Truths:
        """(n,): templates that this probe may be compared with; its own one, where it came from here, is not."""
        if self.own is None:
            return self.allowed
        allowed = self.allowed.copy()
        allowed[self.own[number]] = False
        return allowed

    def _all_scores(self, score: Score) -> Floats:
        """``(n, p)``."""
        columns = self.columns
        if self.by_vector:
            vectors = vectors_as_grids(columns["vector"])
            return score(self.probes, vectors, lengths_of(vectors))
        if len(columns) <= self.effort.exact_up_to:
            self.store.hold_grids()
            self._require_unchanged()
            return score(self.probes, columns["grid"], columns["length"])
        found = np.empty((len(columns), len(self.probes)), np.float32)
        tids = columns["tid"]
        order = np.argsort(tids)
        for numbers, grids in self.store.all_grids(STREAMED):
            self._require_unchanged()
            places = order[np.searchsorted(tids, numbers, sorter=order)]
            found[places] = score(self.probes, grids, lengths_of(grids))
        return found

    def _require_unchanged(self) -> None:
        if self.store.templates is not self.columns or self.columns.changes != self.version:
            raise StoreChanged

    def _listable(self, ranked: Floats) -> Numbers:
        """Places of all templates that may be the best one of a subject in the list, whatever rounding did."""
        sids = self.columns["sid"]
        count = min(len(ranked), 4 * self.top)
        while True:
            best = np.argpartition(-ranked, count - 1)[:count] if count < len(ranked) else np.arange(len(ranked))
            best = best[np.argsort(-ranked[best], kind="stable")]
            _, firsts = np.unique(sids[best], return_index=True)
            if len(firsts) >= self.top or count == len(ranked):
                break
            count = min(len(ranked), 4 * count)
        last = np.sort(firsts)[: self.top][-1]
        _, _, _, channels = self.probes.shape
        bound = 2 * rounding(self.probes.shape[1] * self.probes.shape[2], channels)
        floor = max(float(ranked[best[last]]) - bound, float(np.finfo(np.float32).min))
        return np.flatnonzero(ranked >= floor)

    def _shortlisted(self, number: int) -> list[Hit]:
        columns = self.columns
        far = differences(columns["sketch"], self.sketcher.sketch(self.probe_grids[number : number + 1])[0])
        allowed = self._allowed_to(number)
        far[~allowed] = np.iinfo(far.dtype).max
        count = min(self.effort.shortlist, len(far))
        places = np.argpartition(far, count - 1)[:count]
        places = places[allowed[places]]
        if self.score is None:
            return self._hits(number, places)
        ranked = np.full(len(columns), NO_SCORE, np.float32)
        grids = self.store.grids(places)
        ranked[places] = self.score(self.probes[number : number + 1], grids, lengths_of(grids))[:, 0]
        return self._hits(number, self._listable(ranked))

    def _hits(self, number: int, places: Numbers) -> list[Hit]:
        """The subjects of these templates, compared in double precision, in order."""
        columns = self.columns
        best: dict[str, Hit] = {}
        for start in range(0, len(places), MAPPED):
            some = places[start : start + MAPPED]
            grids = vectors_as_grids(columns["vector"][some]) if self.by_vector else self.store.grids(some)
            probe = np.broadcast_to(self.probes[number], grids.shape)
            for place, similarity, attention in zip(some, *self.comparator.maps(probe, grids), strict=True):
                hit = self._hit(int(place), Comparison(similarity, attention))
                known = best.get(hit.subject)
                if known is None or hit.comparison.score > known.comparison.score:
                    best[hit.subject] = hit
        ordered = sorted(best.values(), key=lambda hit: (-hit.comparison.score, hit.subject))
        return ordered[: self.top]

    def _hit(self, place: int, comparison: Comparison) -> Hit:
        columns = self.columns
        return Hit(
            subject=self.store.subjects[int(columns["sid"][place])].id,
            source=source_of(columns["source"][place]),
            quality=float(columns["quality"][place]),
            comparison=comparison,
        )


def _allowed(store: Reading, where: Mapping[str, str], now: float) -> Truths:
    """(n,): whether the template's subject has these tags and has not expired."""
    columns = store.templates
    allowed: Truths = columns["expires"] > now
    if where:
        wanted = where.items()
        sids = [sid for sid, subject in store.subjects.items() if wanted <= dict(subject.tags).items()]
        allowed = allowed & np.isin(columns["sid"], sids)
    return allowed


@dataclass(frozen=True)
class Recall:
    """What a shortlist misses, measured with templates of the gallery as probes, each without itself."""

    searches: int
    templates: int
    shortlist: int
    top: int
    first: float
    """Share of searches whose first candidate is that of exact ranking."""
    first_low: float
    """Wilson's 95 % interval, as if searches did not depend on one another."""
    first_high: float
    listed: float
    """Share of the ``top`` candidates of exact ranking that are listed."""


def measure_recall(
    store: Reading,
    sketcher: Sketcher,
    comparator: Comparator,
    *,
    shortlist: int,
    searches: int,
    top: int,
    seed: int,
    effort: Effort,
) -> Recall:
    """Recall of the shortlist for ``searches`` of the gallery's templates, chosen by chance, against exact ranking."""
    if score_of(comparator) is None:
        raise InvalidArgument(
            f"{comparator.name} ranks no gallery exactly, so there is nothing to hold a shortlist against"
        )
    store.refresh()
    templates = len(store.templates)
    if templates < 2 or searches < 1:
        raise InvalidArgument(f"recall needs two templates and one search or more, got {templates} and {searches}")
    chosen = np.random.default_rng(seed).permutation(templates)[:searches]
    everybody = np.ones(templates, bool)
    exact, short = Effort(effort.exact_up_to, 1, always_exact=True), Effort(0, shortlist)
    same, listed, possible = 0, 0, 0
    for start in range(0, len(chosen), AT_ONCE):
        own = chosen[start : start + AT_ONCE]
        vectors = store.templates["vector"][own]
        probes = [Template(grid, vector, "") for grid, vector in zip(store.grids(own), vectors, strict=True)]
        truth, found = (
            _Search(store, sketcher, probes, comparator, top, everybody, each, own).ranked(each is exact)
            for each in (exact, short)
        )
        for right, some in zip(truth, found, strict=True):
            names = [hit.subject for hit in right]
            mine = [hit.subject for hit in some]
            same += names[:1] == mine[:1]
            listed += len(set(names) & set(mine))
            possible += len(names)
    low, high = wilson(same / len(chosen), len(chosen))
    return Recall(len(chosen), templates, shortlist, top, same / len(chosen), low, high, listed / possible)
