"""The inpainting game: replace what a map ranks highest by the twin's pixels until the probe is the twin."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from xcos.errors import InvalidArgument
from xcos.evaluation.uncertainty import Estimate, drawn_estimate
from xcos.explainers.faithfulness.measure import Explain, Play, Query, Record
from xcos.explainers.faithfulness.ranks import Mask
from xcos.explainers.faithfulness.triplets import Triplet, difference, people_of
from xcos.types import AlignedFace, Crops, Maps, Reals

Evidence = Literal["mate", "twin", "contrast"]
"""Which map is played, each as evidence that the probe is the person and not the twin. ``mate``: of probe and mates;
``twin``: the negated map of probe and twins; ``contrast``: their sum."""
ORACLES = ("true part", "pixel change")
NOISE = 1e-9
FALSE_ALARMS = (0.01, 0.05)
SHARES: Reals = np.arange(0, 101) / 100


@dataclass(frozen=True, eq=False)
class Played:
    """One triplet after the game: a number for each share of the mass, 0, 1 … 100 %."""

    triplet: Triplet
    as_twin: Reals
    """1 where the probe with that much replaced is nearer to the twin's photos than to the person's."""
    false_alarms: Reals
    """Pixels replaced outside the changed part …"""
    outside: int
    """… of so many."""
    hits: Reals
    """Pixels replaced inside the changed part …"""
    inside: int
    """… of so many."""


@dataclass(frozen=True)
class InpaintingGame:
    """Williford, May, Byrne (ECCV 2020), for any matcher and any map.

    The map's positive part is normalised to sum 1, noise of 1e-9 breaks ties where it is not 0, and for p = 0 … 100 %
    the highest pixels that together hold p % of the mass are replaced by the twin's. The mean score with a side's
    photos says which side is nearer.
    """

    evidence: Evidence = "contrast"

    def saliency(self, triplet: Triplet, explain: Explain) -> Maps:
        """``(H, W)`` ≥ 0: the map that is played, a mean over the photos compared with."""
        evidence = self.signed(triplet, explain)
        return np.maximum(evidence, 0)

    def signed(self, triplet: Triplet, explain: Explain) -> Maps:
        """The same before its negative part is cut off."""
        if self.evidence == "mate":
            return _mean_map(triplet.probe, triplet.mates, explain)
        twin = _mean_map(triplet.probe, triplet.twins, explain)
        return _mean_map(triplet.probe, triplet.mates, explain) - twin if self.evidence == "contrast" else -twin

    def play(self, triplet: Triplet, saliency: Maps) -> Play:
        """``as twin``, ``false alarms`` and ``hits`` at each share."""
        replaced = heaviest(saliency, SHARES, triplet.seed)
        probes = np.where(replaced[..., None], triplet.twin.crop, triplet.probe.crop)
        to_twins = yield from mean_scores(probes, _crops(triplet.twins))
        to_mates = yield from mean_scores(probes, _crops(triplet.mates))
        return {
            "as twin": (to_twins > to_mates).astype(np.float64),
            "false alarms": (replaced & ~triplet.changed).sum(axis=(1, 2)).astype(np.float64),
            "hits": (replaced & triplet.changed).sum(axis=(1, 2)).astype(np.float64),
        }

    def sides(self, triplet: Triplet) -> Play:
        """Mean scores ``to mates`` and ``to twins`` of probe and twin, and whether each is ``nearer`` its own.

        Only what the network itself tells apart can be explained.
        """
        both = np.stack([triplet.probe.crop, triplet.twin.crop])
        to_mates = yield from mean_scores(both, _crops(triplet.mates))
        to_twins = yield from mean_scores(both, _crops(triplet.twins))
        nearer = to_mates[0] > to_twins[0] and to_twins[1] > to_mates[1]
        return {"to mates": to_mates, "to twins": to_twins, "nearer": np.array([float(nearer)])}

    def decided(self, sides: Record, threshold: float) -> bool:
        """Whether the probe matches its mates at ``threshold`` and its twin does not, as the published rule wants."""
        probe, twin = sides["to mates"]
        return bool(probe >= threshold > twin)


def _mean_map(probe: AlignedFace, references: Sequence[AlignedFace], explain: Explain) -> Maps:
    mean: Maps = np.mean([explain(probe, each).probe for each in references], axis=0)
    return mean


def mean_scores(probes: Crops, references: Crops) -> Generator[Query, Reals, Reals]:
    """``(n,)`` mean scores of each probe with all references."""
    total = np.zeros(len(probes))
    for reference in references:
        total += yield Query(probes, reference[None])
    return total / len(references)


def heaviest(saliency: Maps, shares: Reals, seed: int) -> Mask:
    """``(k, H, W)``: the highest pixels that together hold at most each share of the mass; none of value 0."""
    total = float(saliency.sum())
    chosen = np.zeros((len(shares), saliency.size), bool)
    if total > 0:
        flat = saliency.ravel() / total
        noise = NOISE * np.random.default_rng(seed).random(flat.size)
        order = np.argsort(-np.where(flat > 0, flat + noise, 0), kind="stable")
        held = np.cumsum(flat[order])
        counts = np.searchsorted(held, shares + 1e-9, side="right")
        counts = np.minimum(counts, int((flat > 0).sum()))
        for row, count in zip(chosen, counts, strict=True):
            row[order[:count]] = True
    return chosen.reshape(len(shares), *saliency.shape)


def oracle_map(oracle: str, triplet: Triplet) -> Maps:
    """A map that knows the answer: the ``true part``, or the ``pixel change``, how far each pixel moved."""
    if oracle == "true part":
        return triplet.changed.astype(np.float64)
    if oracle == "pixel change":
        return difference(triplet.probe, triplet.twin)
    raise InvalidArgument(f"an oracle is one of {', '.join(ORACLES)}, got {oracle!r}")


@dataclass(frozen=True)
class GameFigures:
    """Rate at which the probe passes as its twin at few false alarms: the higher, the better the map was."""

    rates: tuple[Estimate, ...]
    """At 1 % and 5 % false alarms."""
    area: Estimate
    """Mean rate over all false alarms from 0 to 100 %: what coarse maps can be told apart by, of which a single cell
    beside the part is more than 1 %."""
    parts: dict[str, tuple[float, ...]]
    """The same and the mean for each part alone, without intervals."""
    triplets: int


def game_figures(played: Sequence[Played], *, draws: int = 1000, seed: int = 0) -> GameFigures:
    """The headline figures with 95 % intervals over people.

    The rate is the mean over triplets within a part, then over parts; false alarms are all replaced pixels outside over
    all pixels outside. The rate at 1 % is interpolated between the two nearest shares by inverse distance.
    """
    if not played:
        raise InvalidArgument("no triplet was played; check the rules for those that may be")
    people = people_of([each.triplet for each in played])
    levels = [drawn_estimate(partial(_rate, played, level), people, draws=draws, seed=seed) for level in FALSE_ALARMS]
    area = drawn_estimate(partial(_area, played), people, draws=draws, seed=seed)
    parts = {}
    for part in sorted({each.triplet.merged_part for each in played}):
        own = [each for each in played if each.triplet.merged_part == part]
        alike = np.ones(len(own))
        parts[part] = (*(_rate(own, level, alike) for level in FALSE_ALARMS), _area(own, alike))
    return GameFigures(tuple(levels), area, parts, len(played))


def _rate(played: Sequence[Played], level: float, weight: Reals) -> float:
    return at_level(*_curve(played, weight), level) if weight.any() else float("nan")


def _area(played: Sequence[Played], weight: Reals) -> float:
    """Mean rate over false alarms; beyond the last point of the curve nothing is left to replace, so it stays."""
    if not weight.any():
        return float("nan")
    alarms, rates = _distinct(*_curve(played, weight))
    places = np.linspace(0, 1, 1001)
    return float(np.trapezoid(np.interp(places, alarms, rates), places))


def _curve(played: Sequence[Played], weight: Reals) -> tuple[Reals, Reals]:
    """False alarms and rate for each share of the mass."""
    alarms = weight @ np.array([each.false_alarms for each in played])
    outside = weight @ np.array([each.outside for each in played])
    parts = np.array([each.triplet.merged_part for each in played])
    curves = np.array([each.as_twin for each in played])
    rates = [np.average(curves[parts == part], axis=0, weights=weight[parts == part])
             for part in np.unique(parts) if weight[parts == part].any()]  # fmt: skip
    return alarms / outside, np.mean(rates, axis=0)


def _distinct(alarms: Reals, rates: Reals) -> tuple[Reals, Reals]:
    """The curve with one point for each false-alarm rate: of several shares the largest counts.

    Else a map without any false alarm would be judged by its beginning.
    """
    distinct, first = np.unique(alarms[::-1], return_index=True)
    return distinct, rates[::-1][first]


def at_level(alarms: Reals, rates: Reals, level: float) -> float:
    """The rate at a false-alarm rate, from the two points nearest to it, weighted by inverse distance."""
    distinct, rates = _distinct(alarms, rates)
    distance = np.abs(distinct - level)
    nearest = np.argsort(distance, kind="stable")[:2]
    if distance[nearest[0]] == 0:
        return float(rates[nearest[0]])
    return float(np.average(rates[nearest], weights=1 / distance[nearest]))


def _crops(faces: Sequence[AlignedFace]) -> Crops:
    return np.stack([face.crop for face in faces])
