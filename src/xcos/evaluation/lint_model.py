"""Whether a network's card says how it wants to be fed: every alternative is measured, and what is better is named.

One aspect is changed at a time: crop, channel order, range of values, mirror averaging. What gains most is taken over
and the others are tried again from there, since a network that is fed badly in one way hides what else is wrong, until
nothing gains. What was chosen is then taken back, one change at a time, on pairs of *other* people: a change stands
only if it is missed there.

The figure that decides is the separation d′ (:mod:`xcos.evaluation.separation`); equal error rate and AUC are measured
beside it. A gain counts (:func:`counts`) if its 95 % interval excludes 0 and it is material: at least 5 % of the
separation, and at least 0.1.

A network that tells people apart neither as declared nor after any one change
(:attr:`~xcos.evaluation.lint_report.LintReport.works`) may be fed wrongly in two ways of which neither helps alone:
then nothing is concluded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xcos.embedders import OnnxEmbedder
from xcos.errors import InputRefused
from xcos.evaluation.lint_bench import Bench, FoundPhoto, find_faces
from xcos.evaluation.lint_pairs import Halves, LintPairs, choose_pairs
from xcos.evaluation.lint_report import Figures, Finding, LintReport, PairCount, Round, Trial, VectorCheck
from xcos.evaluation.preprocessing import ASPECTS, Alternative, Aspect, Setting, alternatives, declared
from xcos.evaluation.protocol import Truths, VerificationProtocol
from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.separation import Separations
from xcos.evaluation.uncertainty import Differences, Estimate, Estimates
from xcos.interfaces import Detector
from xcos.types import FaceChoice, Reals

MATERIAL_SHARE = 0.05
"""Of the separation. On two published networks (docs/lint-model.md) wrong settings cost 7 % and more; what is a matter
of taste, such as mirror averaging or a crop 5 % tighter, is worth 2 % or less."""
MATERIAL = 0.1
RATE_DRAWS = 200
"""For the equal error rates, which decide nothing."""
PAIRS_AT_ONCE = 4096
NORMALISED = 1e-3
"""Vectors whose lengths spread by less than this share of their mean all have one length."""


def counts(gain: Estimate, separation: float) -> bool:
    """Whether a gain of separation over ``separation`` is more than chance, and material."""
    return gain.low > 0 and gain.value >= max(MATERIAL, MATERIAL_SHARE * separation)


def lint_model(
    network: OnnxEmbedder,
    protocol: VerificationProtocol,
    detector: Detector,
    *,
    face: FaceChoice = "center",
    pairs: int = 600,
    seed: int = 0,
    aspects: Sequence[Aspect] = ASPECTS,
    on_more: Callable[[int], None] = lambda _: None,
    on_done: Callable[[int], None] = lambda _: None,
) -> LintReport:
    """What the network's card should say of the ``aspects``, measured on some of a protocol's pairs.

    ``pairs`` and ``seed`` are those of :func:`xcos.evaluation.lint_pairs.choose_pairs`. Faces are looked for once per
    photo, and nothing goes through the network twice. Work is counted in photos and crops: ``on_more`` is told of work
    that has turned out to be needed, ``on_done`` of work that is done, by several threads.

    Raises :class:`~xcos.errors.InvalidArgument` where too few people have usable photos.
    """
    halves = choose_pairs(protocol, pairs, seed)
    photos = np.union1d(halves.choosing.photos, halves.verifying.photos)
    on_more(len(photos))
    found = find_faces({each: protocol.samples.photos[each] for each in photos.tolist()}, detector, face, on_done)
    refused = {number: each for number, each in found.items() if isinstance(each, InputRefused)}
    halves = halves.without(np.array([*refused], np.int64))
    faces = {number: each for number, each in found.items() if isinstance(each, FoundPhoto)}
    bench = Bench(network, faces, on_more=on_more, on_done=on_done)
    start = declared(network.card)
    rounds = _rounds(bench, halves.choosing, start, aspects, seed)
    verdict = _verdict(bench, halves, start, rounds, seed)
    return LintReport(
        card=network.card,
        protocol=protocol.name,
        detector=detector.name,
        seed=seed,
        people_known=protocol.samples.subjects_known,
        choosing=_count(halves.choosing),
        verifying=_count(halves.verifying),
        refused=dict(Counter(each.code for each in refused.values()).most_common()),
        rounds=tuple(rounds),
        findings=tuple(_finding(aspect, start, rounds, verdict) for aspect in ASPECTS if aspect in aspects),
        wanted=verdict.wanted,
        verified=verdict.figures,
        gain=verdict.gain,
        eer_gain=verdict.eer_gain,
        vectors=_vector_check(bench, halves.choosing, replace(verdict.wanted, mirror=False), seed),
    )


def _count(pairs: LintPairs) -> PairCount:
    mated = int(pairs.mated.sum())
    return PairCount(mated, len(pairs.mated) - mated, pairs.people, len(pairs.photos))


# Scores


class _Scored(NamedTuple):
    scores: Reals
    """(n,) cosines."""
    unusable: int


def _scored(bench: Bench, pairs: LintPairs, setting: Setting) -> _Scored:
    photos = pairs.photos
    vectors = np.sum([bench.vectors(feed, photos) for feed in setting.feeds], axis=0)
    return _compared(pairs, _directions(vectors), _dot)


def _directions(vectors: Reals) -> Reals:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, np.nan))


def _compared(pairs: LintPairs, vectors: Reals, alike: Callable[[Reals, Reals], Reals]) -> _Scored:
    """Scores by ``alike``; a pair without vectors is as unlike as the least like one."""
    photos = pairs.photos
    usable: Truths = np.isfinite(vectors.sum(axis=1))
    probe, reference = np.searchsorted(photos, pairs.probe), np.searchsorted(photos, pairs.reference)
    parts = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(probe), PAIRS_AT_ONCE)]
    scores = np.concatenate([alike(vectors[probe[part]], vectors[reference[part]]) for part in parts])
    there = usable[probe] & usable[reference]
    scores[~there] = scores[there].min(initial=0.0)
    return _Scored(scores, int((~usable).sum()))


def _dot(one: Reals, other: Reals) -> Reals:
    products: Reals = np.einsum("nd,nd->n", one, other)
    return products


def _nearness(one: Reals, other: Reals) -> Reals:
    """Squared distances, turned round: of vectors of one length a linear function of the cosine, with its d′."""
    return -_dot(one - other, one - other)


@dataclass(frozen=True, eq=False)
class _Contest:
    """Settings on the same pairs, each against the first."""

    pairs: LintPairs
    scored: tuple[_Scored, ...]
    seed: int

    @cached_property
    def separations(self) -> Separations:
        scores = np.stack([each.scores for each in self.scored], axis=1)
        return Separations(scores, self.pairs.mated, self.pairs.first, self.pairs.second, seed=self.seed)

    def figures(self, at: int) -> Figures:
        rates = self._estimates(at).rates
        return Figures(float(self.separations.values[at]), rates.eer.rate, rates.auc, self.scored[at].unusable)

    def eer_gain(self, at: int, over: int = 0) -> Estimate:
        """By how much the equal error rate of one is lower."""
        return Differences(self._first if over == 0 else self._estimates(over), self._estimates(at)).eer()

    @cached_property
    def _first(self) -> Estimates:
        return self._estimates(0)

    def _estimates(self, at: int) -> Estimates:
        """Not kept, since their draws are large; of the greatest strength, which is the cautious one."""
        scores = ScoreSet(self.scored[at].scores, self.pairs.mated, self.pairs.first, self.pairs.second)
        return Estimates(scores, seed=self.seed, draws=RATE_DRAWS, strength=1.0)


def _contest(bench: Bench, pairs: LintPairs, settings: Sequence[Setting], seed: int) -> _Contest:
    bench.prepare((feed for setting in settings for feed in setting.feeds), pairs.photos)
    return _Contest(pairs, tuple(_scored(bench, pairs, setting) for setting in settings), seed)


# Choosing


def _rounds(bench: Bench, pairs: LintPairs, start: Setting, aspects: Sequence[Aspect], seed: int) -> list[Round]:
    """Rounds from the declared setting until nothing gains, each aspect being changed once at most."""
    rounds: list[Round] = []
    setting, open_aspects = start, [*aspects]
    while open_aspects:
        rounds.append(_round(bench, pairs, setting, alternatives(setting, open_aspects), seed))
        best = rounds[-1].best
        if best is None:
            break
        setting = best.setting
        open_aspects.remove(best.aspect)
    return rounds


def _round(bench: Bench, pairs: LintPairs, base: Setting, others: Sequence[Alternative], seed: int) -> Round:
    contest = _contest(bench, pairs, [base, *(each.setting for each in others)], seed)
    figures = contest.figures(0)
    trials = []
    for at, each in enumerate(others, start=1):
        gain = contest.separations.gain(at, 0)
        trials.append(
            Trial(
                aspect=each.aspect,
                told=each.told,
                setting=each.setting,
                figures=contest.figures(at),
                gain=gain,
                eer_gain=contest.eer_gain(at),
                counts=counts(gain, figures.separation),
            )
        )
    return Round(base, figures, tuple(trials))


# Verifying


@dataclass(frozen=True)
class _Missed:
    """What is lost on other people without one change."""

    gain: Estimate
    eer_gain: Estimate
    confirmed: bool


@dataclass(frozen=True)
class _Verdict:
    missed: dict[Aspect, _Missed]
    wanted: Setting
    figures: tuple[Figures, Figures]
    gain: Estimate
    eer_gain: Estimate
    alike: dict[Aspect, tuple[str, ...]]


def _verdict(bench: Bench, halves: Halves, start: Setting, rounds: Sequence[Round], seed: int) -> _Verdict:
    """The chosen changes on people who had no part in the choice: each is taken back alone."""
    changes = [each.best for each in rounds if each.best is not None]
    chosen = changes[-1].setting if changes else start
    back = [chosen.changed(change.aspect, start) for change in changes]
    contest = _contest(bench, halves.verifying, [chosen, *back], seed)
    missed = {}
    for at, change in enumerate(changes, start=1):
        gain = contest.separations.gain(0, at)
        confirmed = counts(gain, float(contest.separations.values[at]))
        missed[change.aspect] = _Missed(gain, contest.eer_gain(0, at), confirmed)
    wanted = chosen
    for aspect, each in missed.items():
        if not each.confirmed:
            wanted = wanted.changed(aspect, start)
    final = _contest(bench, halves.verifying, [start, wanted], seed)
    return _Verdict(
        missed=missed,
        wanted=wanted,
        figures=(final.figures(0), final.figures(1)),
        gain=final.separations.gain(1, 0),
        eer_gain=final.eer_gain(1),
        alike={change.aspect: _alike(bench, halves.choosing, change, rounds, seed) for change in changes},
    )


def _alike(bench: Bench, pairs: LintPairs, change: Trial, rounds: Sequence[Round], seed: int) -> tuple[str, ...]:
    """Other alternatives of the aspect whose separation is as good as the chosen one's, as far as the pairs tell."""
    (of_change,) = (each for each in rounds if each.best is change)
    others = [each for each in of_change.trials if each.aspect == change.aspect and each is not change]
    contest = _contest(bench, pairs, [change.setting, *(each.setting for each in others)], seed)
    return tuple(
        each.told
        for at, each in enumerate(others, start=1)
        if not counts(contest.separations.gain(0, at), each.figures.separation)
    )


def _finding(aspect: Aspect, start: Setting, rounds: Sequence[Round], verdict: _Verdict) -> Finding:
    change = next((each.best for each in rounds if each.best is not None and each.best.aspect == aspect), None)
    said = start.told(aspect)
    if change is None:
        return Finding(aspect, said, said, None, None, None, confirmed=False, alike=_not_told_apart(aspect, rounds))
    missed = verdict.missed[aspect]
    return Finding(
        aspect=aspect,
        declared=said,
        wanted=change.told if missed.confirmed else said,
        chosen_gain=change.gain,
        gain=missed.gain,
        eer_gain=missed.eer_gain,
        confirmed=missed.confirmed,
        alike=verdict.alike[aspect] if missed.confirmed else (change.told,),
    )


def _not_told_apart(aspect: Aspect, rounds: Sequence[Round]) -> tuple[str, ...]:
    """Alternatives that the last round does not find worse."""
    return tuple(trial.told for trial in rounds[-1].trials if trial.aspect == aspect and trial.gain.high >= 0)


# Vectors


def _vector_check(bench: Bench, pairs: LintPairs, setting: Setting, seed: int) -> VectorCheck:
    seen, mirrored = (bench.vectors(feed, pairs.photos) for feed in replace(setting, mirror=True).feeds)
    usable = np.isfinite(seen.sum(axis=1))
    lengths = np.linalg.norm(seen, axis=1)[usable]
    length = float(lengths.mean()) if len(lengths) else 0.0
    spread = float(lengths.std()) / length if len(lengths) else 0.0
    cosines = _scored(bench, pairs, setting)
    found = _Contest(
        pairs, (cosines, _compared(pairs, seen, _dot), _compared(pairs, seen, _nearness)), seed
    ).separations
    mirror = _dot(_directions(seen), _directions(mirrored))
    mirror = mirror[np.isfinite(mirror)]
    return VectorCheck(
        dimensions=seen.shape[1] if len(lengths) else 0,
        unusable=int((~usable).sum()),
        length=length,
        length_spread=spread,
        normalised=spread < NORMALISED,
        mated_cosine=float(np.median(cosines.scores[pairs.mated])),
        non_mated_cosine=float(np.median(cosines.scores[~pairs.mated])),
        mirror_cosine=float(np.median(mirror)) if len(mirror) else 0.0,
        dot_gain=found.gain(1, 0),
        euclid_gain=found.gain(2, 0),
        better=tuple(
            name
            for at, name in enumerate(("dot product", "Euclidean distance"), start=1)
            if counts(found.gain(at, 0), float(found.values[0]))
        ),
    )
