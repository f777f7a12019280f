"""The bench: every explainer on the same matcher, the same pairs and the same measures, losers shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.uncertainty import Estimate, mean_estimate
from xcos.explainers.bench_plays import LIGHT, Bench, Played, Task, play_all
from xcos.explainers.bench_work import Work, Workload, work_left
from xcos.explainers.explanation import Explainer, Setting
from xcos.explainers.faithfulness.cell_occlusion import CellOcclusion
from xcos.explainers.faithfulness.completeness import Completeness
from xcos.explainers.faithfulness.deletion import Deletion
from xcos.explainers.faithfulness.dissimilar_deletion import DissimilarDeletion
from xcos.explainers.faithfulness.explained import OnceExplained
from xcos.explainers.faithfulness.hiding_game import CompositeGame, HidingGame
from xcos.explainers.faithfulness.infidelity import Infidelity
from xcos.explainers.faithfulness.insertion import Insertion
from xcos.explainers.faithfulness.kept import Kept
from xcos.explainers.faithfulness.localisation import OccluderLocalisation
from xcos.explainers.faithfulness.measure import (
    Better,
    FacePair,
    Figure,
    Measure,
    Query,
    name_of,
    options_of,
    with_strangers,
)
from xcos.explainers.faithfulness.patch_lfw import PatchLfw
from xcos.explainers.faithfulness.ranks import average_ranks
from xcos.explainers.faithfulness.scoring import Scorer
from xcos.explainers.faithfulness.selectivity import Selectivity
from xcos.explainers.faithfulness.sensitivity import SensitivityMax
from xcos.explainers.faithfulness.stability import Stability
from xcos.explainers.faithfulness.symmetry import Symmetry
from xcos.explainers.faithfulness.threshold import equal_error_threshold
from xcos.explainers.floors import FLOORS
from xcos.explainers.matcher import Matcher
from xcos.types import Maps, Pixels
from xcos.version import __version__

SHOWN = 4
LEAST_PAIRS = 10
"""With fewer an interval says little, and nobody beats anybody."""
Standing = Literal["beats all floors", "beaten by a floor", ""]
"""Beside the maps that know nothing; empty where intervals touch."""


def default_measures(rows: int = 7, cols: int = 7) -> list[Measure]:
    """All measures that play on pairs, for a grid of ``rows`` × ``cols`` cells; the hiding game in steps of 10 %."""
    return [
        Deletion(),
        Deletion(ties="shuffle"),
        Insertion(),
        Insertion(ties="shuffle"),
        DissimilarDeletion(),
        PatchLfw(),
        CellOcclusion(rows, cols),
        Infidelity(),
        HidingGame(step=10),
        CompositeGame(),
        OccluderLocalisation(),
        Completeness(rows, cols),
        Symmetry(most_pairs=40),
        Stability(most_pairs=40),
        Selectivity(most_pairs=40),
        SensitivityMax(),
    ]


@dataclass(frozen=True)
class Row:
    """One figure of one method."""

    method: str
    title: str
    """Of the measure, without options."""
    measure: str
    """With the options that differ from their defaults."""
    figure: str
    better: Better
    headline: bool
    estimate: Estimate


@dataclass(frozen=True)
class Method:
    """One explainer: what it was, what it cost, and where it came in."""

    name: str
    settings: Mapping[str, Setting]
    """Of its explanations."""
    forward: float
    """Mean passes for a pair."""
    backward: float
    seconds: float
    """Mean, on the machine that made the explanations."""
    rank: float
    """Mean of its ranks in the headline figures, every measure with one vote; 1 is best."""

    @property
    def passes(self) -> float:
        """Forward and backward together."""
        return self.forward + self.backward


@dataclass(frozen=True)
class LeftOut:
    """A method that needs more passes than the budget."""

    name: str
    passes: int


@dataclass(frozen=True, eq=False)
class Shown:
    """A pair for the picture: its crops and every method's maps."""

    name: str
    mated: bool
    score: float
    probe: Pixels
    reference: Pixels
    maps: Mapping[str, tuple[Maps, Maps]]


@dataclass(frozen=True, eq=False)
class BenchResult:
    """All methods by all measures."""

    matcher: str
    pairs: int
    mated: int
    people: int
    threshold: float
    """Of equal error rates on the clean pairs; what deletion, insertion and Patch-LFW decide by."""
    accuracy: float
    """There, of the clean pairs."""
    budget: int | None
    """Most passes for one explanation; None: any number."""
    extra_pairs: int
    """Most pairs that a method of many passes explains again, changed; 0: as many as the others."""
    methods: tuple[Method, ...]
    """Best mean rank first."""
    left_out: tuple[LeftOut, ...]
    measures: Mapping[str, Mapping[str, Setting]]
    """Name of each measure and all of its options."""
    rows: tuple[Row, ...]
    shown: tuple[Shown, ...]

    def row(self, method: str, measure: str, figure: str) -> Row:
        """One cell of the table."""
        for row in self.rows:
            if (row.method, row.measure, row.figure) == (method, measure, figure):
                return row
        raise InvalidArgument(f"the bench has no figure {figure!r} of {measure!r} for the method {method!r}")

    def beats(self, winner: str, loser: str, measure: str, figure: str) -> bool:
        """Whether one method is better than another and their intervals do not touch; never on a handful of pairs."""
        one, other = (self.row(method, measure, figure) for method in (winner, loser))
        if one.better == "neither" or min(one.estimate.trials, other.estimate.trials) < LEAST_PAIRS:
            return False
        higher, lower = (one, other) if one.better == "higher" else (other, one)
        return higher.estimate.above(lower.estimate)

    def standing(self, method: str, measure: str, figure: str) -> Standing:
        """Whether a method beats all other floors that are there, or is beaten by one."""
        others = [each.name for each in self.methods if each.name in FLOORS and each.name != method]
        if others and all(self.beats(method, other, measure, figure) for other in others):
            return "beats all floors"
        if any(self.beats(other, method, measure, figure) for other in others):
            return "beaten by a floor"
        return ""

    @property
    def headlines(self) -> list[tuple[str, str, Better]]:
        """Measure, figure and direction of what the ranking counts."""
        seen = {(row.measure, row.figure, row.better): None for row in self.rows if row.headline}
        return list(seen)

    def to_dict(self) -> dict[str, object]:
        """Everything but the pictures, as plain JSON values; what applies to no pair is null."""
        return {
            "version": __version__,
            "matcher": self.matcher,
            "pairs": {"all": self.pairs, "mated": self.mated, "people": self.people},
            "clean": {"threshold": self.threshold, "accuracy": self.accuracy},
            "budget": self.budget,
            "extra_pairs": self.extra_pairs,
            "intervals": "95 %, variance over shared people",
            "methods": [{**vars(method), "settings": dict(method.settings)} for method in self.methods],
            "left_out": [vars(each) for each in self.left_out],
            "measures": {name: dict(options) for name, options in self.measures.items()},
            "figures": [
                {**_row_dict(row), "standing": self.standing(row.method, row.measure, row.figure)} for row in self.rows
            ],
        }


def estimate_dict(estimate: Estimate) -> dict[str, float | int | None]:
    """As plain JSON values; null where the figure applies to no pair (or triplet)."""
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**{name: end if estimate.supported else None for name, end in ends.items()}, "pairs": estimate.trials}


def _row_dict(row: Row) -> dict[str, object]:
    about = {"method": row.method, "measure": row.measure, "figure": row.figure, "better": row.better}
    return {**about, "headline": row.headline, **estimate_dict(row.estimate)}


def run_bench(
    matcher: Matcher,
    explainers: Sequence[Explainer],
    pairs: Sequence[FacePair],
    measures: Sequence[Measure],
    out: Path,
    *,
    budget: int | None = None,
    extra_pairs: int = 0,
    streams: int = 1,
    on_start: Callable[[Work], None] = lambda _work: None,
    on_progress: Callable[[int], None] = lambda _passes: None,
) -> BenchResult:
    """Every explainer by every measure; what is done is kept in ``out/kept`` and never done again.

    ``budget`` is the most passes, forward and backward together, that the explanation of one pair may take: methods
    that need more on the first pair are left out, and named. Methods of more than :data:`LIGHT` passes play those
    measures that explain a pair again, changed, on at most ``extra_pairs`` pairs (0: as many as the others).
    ``streams`` threads embed side by side, for matchers that allow it.

    ``on_start`` is told what is to be done, ``on_progress`` how many of its passes were done since the last time. The
    same folder may serve other lists of pairs and methods later: a result is found again by matcher, method, options
    and the pixels of its photos, and by this package's version, not by its code: for changed code take a new folder.
    """
    _require_names([explainer.name for explainer in explainers], [name_of(measure) for measure in measures])
    kept = Kept(out / "kept")
    scorer = Scorer(matcher, kept, streams)
    mated = np.array([pair.mated for pair in pairs])
    clean = scorer.scores([Query(pair.probe.crop[None], pair.reference.crop[None], shared=True) for pair in pairs])
    scores = np.array([each[0] for each in clean])
    threshold = equal_error_threshold(scores, mated)
    bench = Bench({name_of(measure): measure for measure in measures}, with_strangers(pairs), threshold, kept, scorer)
    all_tasks = [_task(OnceExplained(each, matcher.name, kept), measures, pairs[0], mated, extra_pairs)
                 for each in explainers]  # fmt: skip
    left_out = [LeftOut(task.name, task.passes) for task in all_tasks if budget is not None and task.passes > budget]
    tasks = [task for task in all_tasks if task.name not in {left.name for left in left_out}]
    workload = Workload(bench, tasks)
    on_start(work_left(bench, tasks, workload))
    played = play_all(bench, tasks, lambda task, places: on_progress(workload.passes(task, places)))
    people = _numbered(pairs)
    rows = [row for each in played for name, measure in bench.measures.items()
            for row in _rows(measure, name, each, mated, threshold, people)]  # fmt: skip
    return BenchResult(
        matcher=matcher.name,
        pairs=len(pairs),
        mated=int(mated.sum()),
        people=len({person for pair in pairs for person in pair.people}),
        threshold=threshold,
        accuracy=float(((scores >= threshold) == mated).mean()),
        budget=budget,
        extra_pairs=extra_pairs,
        methods=_methods(played, pairs[0], rows),
        left_out=tuple(left_out),
        measures={name: options_of(measure) for name, measure in bench.measures.items()},  # type: ignore[arg-type]
        rows=tuple(rows),
        shown=tuple(_shown(pairs[at], float(scores[at]), tasks) for at in spread(mated, min(SHOWN, len(pairs)))),
    )


def _task(
    explained: OnceExplained, measures: Sequence[Measure], first: FacePair, mated: NDArray[np.bool_], extra_pairs: int
) -> Task:
    cost = explained(first.probe, first.reference).cost
    heavy = cost.forward + cost.backward > LIGHT

    def most(measure: Measure) -> int:
        limits = [measure.most_pairs, extra_pairs if heavy and measure.explains_again else 0]
        return min((limit for limit in limits if limit), default=0)

    return Task(explained, cost, {name_of(measure): spread(mated, most(measure)) for measure in measures})


def _require_names(methods: list[str], measures: list[str]) -> None:
    for what, names in (("methods", methods), ("measures", measures)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            raise InvalidArgument(f"want {what} of different names, got {', '.join(twice) or 'none'} twice")


def spread(mated: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Numbers of at most ``most`` pairs (0: all), as many of each kind as there are, evenly spread over the list."""
    if not most or most >= len(mated):
        return np.arange(len(mated))
    kinds = [np.flatnonzero(mated), np.flatnonzero(~mated)]
    half = min(len(kinds[0]), max(most - len(kinds[1]), most // 2))
    wanted = half, min(len(kinds[1]), most - half)
    chosen = [kind[(np.arange(count) * len(kind)) // max(count, 1)] for kind, count in zip(kinds, wanted, strict=True)]
    return np.sort(np.concatenate(chosen))


People = tuple[NDArray[np.intp], NDArray[np.intp]]
"""``(n,)`` numbers of the people of the probes and of the references."""


def _numbered(pairs: Sequence[FacePair]) -> People:
    names = [person for pair in pairs for person in pair.people]
    _, numbers = np.unique(names, return_inverse=True)
    return numbers[::2], numbers[1::2]


def _rows(
    measure: Measure, name: str, played: Played, mated: NDArray[np.bool_], threshold: float, people: People
) -> list[Row]:
    chosen = played.task.pairs[name]
    values = [measure.values(played.records[name, int(at)], bool(mated[at]), threshold) for at in chosen]

    def row(figure: Figure) -> Row:
        column = np.array([value[figure.name] for value in values])
        estimate = mean_estimate(column, mated[chosen], *(side[chosen] for side in people))
        return Row(played.task.name, measure.title, name, figure.name, figure.better, figure.headline, estimate)

    return [row(figure) for figure in measure.figures]


def _methods(played: list[Played], first: FacePair, rows: list[Row]) -> tuple[Method, ...]:
    ranks = _mean_ranks(rows)
    methods = []
    for each in played:
        forward, backward, seconds = np.mean([astuple(price) for price in each.prices], axis=0).tolist()
        settings = each.task.explained(first.probe, first.reference).settings
        methods.append(Method(each.task.name, settings, forward, backward, seconds, ranks.get(each.task.name, 1.0)))
    return tuple(sorted(methods, key=lambda method: method.rank))


def _mean_ranks(rows: list[Row]) -> dict[str, float]:
    """Each method's mean over measures of its mean rank in their headline figures: every measure has one vote.

    Equal values share their ranks, and a missing one is last.
    """
    ranks: dict[str, dict[str, list[float]]] = {}
    for measure, figure in dict.fromkeys((row.measure, row.figure) for row in rows if row.headline):
        column = [row for row in rows if (row.measure, row.figure) == (measure, figure)]
        sign = -1 if column[0].better == "higher" else 1
        worth = np.array([sign * row.estimate.value for row in column])
        for row, rank in zip(column, average_ranks(np.nan_to_num(worth, nan=np.inf)), strict=True):
            ranks.setdefault(row.method, {}).setdefault(row.title, []).append(float(rank))
    return {method: float(np.mean([np.mean(each) for each in votes.values()])) for method, votes in ranks.items()}


def _shown(pair: FacePair, score: float, tasks: list[Task]) -> Shown:
    maps = {task.name: task.explained(pair.probe, pair.reference) for task in tasks}
    return Shown(pair.name, pair.mated, score, pair.probe.crop, pair.reference.crop,
                 {name: (shown.probe, shown.reference) for name, shown in maps.items()})  # fmt: skip
