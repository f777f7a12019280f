"""The bench on twins of which one part was changed: which part, and how much of the probe makes it the twin?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.uncertainty import Estimate, mean_estimate
from xcos.explainers.bench import estimate_dict
from xcos.explainers.explanation import Explainer
from xcos.explainers.faithfulness.explained import OnceExplained
from xcos.explainers.faithfulness.inpainting_game import (
    ORACLES,
    Evidence,
    GameFigures,
    InpaintingGame,
    Played,
    game_figures,
    oracle_map,
)
from xcos.explainers.faithfulness.kept import Kept, key_of
from xcos.explainers.faithfulness.measure import Record
from xcos.explainers.faithfulness.part_ranking import PartRank, parts_of, rank_part
from xcos.explainers.faithfulness.scoring import Scorer, play_alone, play_or_recall
from xcos.explainers.faithfulness.triplets import Triplet, people_of
from xcos.explainers.matcher import Matcher
from xcos.types import Maps

Rule = Literal["published", "nearer", "all"]
"""Which triplets are played: those that the network tells apart, by distances and threshold, as ``published``; by the
``nearer`` side alone, without the threshold; or ``all``."""


@dataclass(frozen=True)
class PartFigures:
    """How one method ranked one part, over the triplets in which it was changed."""

    method: str
    part: str
    """``all`` for all of them."""
    first: Estimate
    """Share in which the changed part was first, ties divided."""
    chance: float
    place: Estimate
    """Mean place among the parts; 1 is best."""
    auc: Estimate
    pointing: Estimate
    overlap: Estimate


@dataclass(frozen=True, eq=False)
class TwinResult:
    """All methods on all triplets."""

    matcher: str
    evidence: Evidence
    rule: Rule
    threshold: float
    triplets: int
    played: int
    """Triplets that the rule let into the game; the ranking of parts has all."""
    parts: tuple[PartFigures, ...]
    games: Mapping[str, GameFigures]
    """Of each method, and of two oracles that know the answer; empty where no triplet was let in."""

    @property
    def methods(self) -> list[str]:
        """In the order in which they were given."""
        return list(dict.fromkeys(each.method for each in self.parts))

    @property
    def part_names(self) -> list[str]:
        """``all``, and each part."""
        return list(dict.fromkeys(each.part for each in self.parts))

    @property
    def game_parts(self) -> list[str]:
        """Of the game, in which left and right are one part."""
        return sorted({part for game in self.games.values() for part in game.parts})

    def ranking(self, method: str, part: str = "all") -> PartFigures:
        """One method's figures for one part."""
        for figures in self.parts:
            if (figures.method, figures.part) == (method, part):
                return figures
        raise InvalidArgument(f"there are no figures of {method!r} for the part {part!r}")

    def to_dict(self) -> dict[str, object]:
        """Everything as plain JSON values."""
        return {
            "matcher": self.matcher,
            "evidence": self.evidence,
            "rule": self.rule,
            "threshold": self.threshold,
            "triplets": self.triplets,
            "played": self.played,
            "parts": [_part_dict(each) for each in self.parts],
            "games": {method: _game_dict(game) for method, game in self.games.items()},
        }


def _part_dict(figures: PartFigures) -> dict[str, object]:
    return {name: estimate_dict(value) if isinstance(value, Estimate) else value
            for name, value in vars(figures).items()}  # fmt: skip


def _game_dict(game: GameFigures) -> dict[str, object]:
    rates = [estimate_dict(rate) for rate in game.rates]
    return {"rates": rates, "area": estimate_dict(game.area), "parts": game.parts}


def run_twin_bench(
    matcher: Matcher,
    explainers: Sequence[Explainer],
    triplets: Sequence[Triplet],
    out: Path,
    *,
    threshold: float,
    evidence: Evidence = "contrast",
    rule: Rule = "published",
    draws: int = 1000,
    streams: int = 1,
) -> TwinResult:
    """The parts ranked and the inpainting game played by every explainer; what is done is kept in ``out/kept``.

    ``threshold`` is that of the matcher's decision, for the rule ``published``.
    """
    kept = Kept(out / "kept")
    scorer = Scorer(matcher, kept, streams)
    game = InpaintingGame(evidence)
    played = [at for at, triplet in enumerate(triplets) if _let_in(triplet, game, threshold, rule, scorer)]
    asked = {each.name: OnceExplained(each, matcher.name, kept) for each in explainers}
    parts: list[PartFigures] = []
    games: dict[str, GameFigures] = {}
    for name, explained in asked.items():
        evidences = [game.signed(triplet, explained) for triplet in triplets]
        parts += _part_figures(name, triplets, evidences)
        if played:
            cases = [(triplets[at], np.maximum(evidences[at], 0)) for at in played]
            identity = f"{explained.identity}\n{evidence}"
            games[name] = game_figures(_played(game, name, identity, cases, kept, scorer), draws=draws)
    for oracle in ORACLES if played else ():
        cases = [(triplets[at], oracle_map(oracle, triplets[at])) for at in played]
        identity = f"{matcher.name}\n{oracle}"
        games[oracle] = game_figures(_played(game, oracle, identity, cases, kept, scorer), draws=draws)
    return TwinResult(matcher.name, evidence, rule, threshold, len(triplets), len(played), tuple(parts), games)


def _let_in(triplet: Triplet, game: InpaintingGame, threshold: float, rule: Rule, scorer: Scorer) -> bool:
    if rule == "all":
        return True
    sides = play_alone(game.sides(triplet), scorer)
    return bool(sides["nearer"][0]) and (rule == "nearer" or game.decided(sides, threshold))


def _played(
    game: InpaintingGame, kind: str, identity: str, cases: Sequence[tuple[Triplet, Maps]], kept: Kept, scorer: Scorer
) -> list[Played]:
    records = play_or_recall(
        f"{kind}-inpainting",
        [key_of(identity, triplet.identity) for triplet, _ in cases],
        lambda at: game.play(*cases[at]),
        kept,
        scorer,
    )
    return [_as_played(triplet, record) for (triplet, _), record in zip(cases, records, strict=True)]


def _as_played(triplet: Triplet, record: Record) -> Played:
    inside = int(triplet.changed.sum())
    outside = triplet.changed.size - inside
    return Played(triplet, record["as twin"], record["false alarms"], outside, record["hits"], inside)


def _part_figures(method: str, triplets: Sequence[Triplet], evidences: Sequence[Maps]) -> list[PartFigures]:
    places = parts_of(triplets)
    ranks = [rank_part(evidence, triplet, places[triplet.person])
             for triplet, evidence in zip(triplets, evidences, strict=True)]  # fmt: skip
    people = people_of(triplets)
    parts = np.array([triplet.part for triplet in triplets])
    chosen = {"all": np.ones(len(parts), bool), **{part: parts == part for part in sorted(set(parts.tolist()))}}
    return [_figures(method, part, [ranks[at] for at in np.flatnonzero(mask)], people[mask])
            for part, mask in chosen.items()]  # fmt: skip


def _figures(method: str, part: str, ranks: list[PartRank], people: NDArray[np.intp]) -> PartFigures:
    def estimated(values: list[float]) -> Estimate:
        return mean_estimate(np.array(values), np.ones(len(values), bool), people, people)

    return PartFigures(
        method=method,
        part=part,
        first=estimated([rank.first for rank in ranks]),
        chance=float(np.mean([1 / rank.parts for rank in ranks])),
        place=estimated([rank.place for rank in ranks]),
        auc=estimated([rank.auc for rank in ranks]),
        pointing=estimated([rank.pointing for rank in ranks]),
        overlap=estimated([rank.overlap for rank in ranks]),
    )
