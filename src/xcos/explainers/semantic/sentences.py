"""A pair's measures in sentences that quote only measured numbers, and another's wording of them, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xcos.errors import InvalidArgument
from xcos.explainers.semantic.check import Verdict, check_sentences
from xcos.explainers.semantic.effects import RegionMeasure, SemanticMeasures
from xcos.explainers.semantic.words import Side

Rephraser = Callable[[str], str]
"""One sentence in, its other wording out."""
SIDES: tuple[tuple[Side, str], ...] = (("probe", "the probe"), ("reference", "the reference"), ("both", "both photos"))


@dataclass(frozen=True)
class Told:
    """One sentence of an explanation and where it comes from."""

    sentence: str
    rephrased: bool
    """Whether it is the rephraser's; else it is the template's."""
    rejected: tuple[Verdict, ...] = ()
    """What the rephraser said instead that the numbers do not bear."""


def sentences(measured: SemanticMeasures) -> list[str]:
    """The template's sentences: the score, the regions that stand out, then two on each region."""
    return [*summary(measured), *(line for region in measured.regions for line in _lines(region))]


def summary(measured: SemanticMeasures) -> list[str]:
    """The first of :func:`sentences`: the score, and the regions that stand out."""
    return [_score(measured), *_leaders(measured)]


def rephrase(measured: SemanticMeasures, rephraser: Rephraser) -> list[Told]:
    """The template's sentences in other words, where every sentence of these passes :func:`check_sentences`.

    The rephraser is called once with each sentence. Where it gives none, or one that claims what was not measured, the
    template's sentence stays. What it raises is not caught.
    """
    return [_chosen(sentence, rephraser, measured) for sentence in sentences(measured)]


def _chosen(sentence: str, rephraser: Rephraser, measured: SemanticMeasures) -> Told:
    wording = rephraser(sentence)
    if not isinstance(wording, str):
        raise InvalidArgument(f"a rephraser must give text, got {type(wording).__name__}")
    verdicts = check_sentences(wording, measured)
    rejected = tuple(verdict for verdict in verdicts if not verdict.accepted)
    if rejected or not verdicts:
        return Told(sentence, False, rejected)
    return Told(wording.strip(), True)


def _score(measured: SemanticMeasures) -> str:
    score, threshold = measured.score, measured.threshold
    if threshold is None:
        return f"The score is {score:.4f}."
    side, outcome = ("above", "match") if score >= threshold else ("below", "non-match")
    margin = abs(score - threshold)
    return f"The score is {score:.4f}, {margin:.4f} {side} the threshold {threshold:.4f}: the decision is {outcome}."


def _leaders(measured: SemanticMeasures) -> list[str]:
    """Who is first; nobody is where two share the place."""
    told = []
    by_contribution = sorted(measured.regions, key=lambda region: region.contribution)
    if _alone([region.contribution for region in reversed(by_contribution)]):
        first = by_contribution[-1]
        told.append(f"The contribution of the {first.name} is the highest, {first.contribution:.4f}.")
    if _alone([region.contribution for region in by_contribution]):
        last = by_contribution[0]
        told.append(f"The contribution of the {last.name} is the lowest, {last.contribution:.4f}.")
    for sign, verb in ((1, "lowers"), (-1, "raises")):
        ranked = sorted(measured.regions, key=lambda region: -sign * region.both)
        effects = [sign * region.both for region in ranked]
        if effects[0] > 0 and _alone(effects):
            told.append(f"Hiding the {ranked[0].name} in both photos {verb} the score most, by {effects[0]:.4f}.")
    return told


def _alone(ranked: list[float]) -> bool:
    return len(ranked) > 1 and ranked[0] != ranked[1]


def _lines(region: RegionMeasure) -> list[str]:
    amounts = f"is {_plain(region.contribution)}, with weight {100 * region.weight:.1f} %"
    if region.similarity is not None:
        amounts += f" and similarity {_plain(region.similarity)}"
    in_probe, in_reference, in_both = (f"{_change(region.effect(side))} in {where}" for side, where in SIDES)
    return [
        f"The contribution of the {region.name} {amounts}.",
        f"Hiding the {region.name} {in_probe}, {in_reference}, and {in_both}.",
    ]


def region_table(measured: SemanticMeasures) -> list[list[str]]:
    """The numbers of all regions in rows of words, below a head: what the score loses, and what a region adds."""
    head = ["region hidden", "score change: probe", "reference", "both", "contribution", "weight", "similarity"]
    return [head, *(_row(region) for region in measured.regions)]


def _row(region: RegionMeasure) -> list[str]:
    changes = [f"{-region.effect(side):+.4f}" for side, _ in SIDES]
    similarity = "-" if region.similarity is None else _plain(region.similarity)
    return [region.name, *changes, _plain(region.contribution), f"{100 * region.weight:.1f} %", similarity]


def _change(effect: float) -> str:
    if effect == 0:
        return "changes the score by 0.0000"
    return f"{'lowers' if effect > 0 else 'raises'} the score by {abs(effect):.4f}"


def _plain(value: float) -> str:
    """Four decimals; no minus before nothing."""
    return f"{value:.4f}".replace("-0.0000", "0.0000")
