"""Holds sentences to the numbers: a claim that is not in them, or a word that claims something unmeasured, is rejected.

The checker understands a small English on purpose. It does not have to understand every true sentence; it must
not let a false one pass. So a word it does not know is a reason to reject (*beard*, *because*, *not*, *half*, *about*),
and so is a clause whose region, quantity, photo or direction is not certain.

A sentence is taken apart at commas, semicolons, colons, *and*, *while*, *whereas*, *but*. Each clause must claim
something of one region, or of the score, the threshold or the decision. What a clause leaves out (region, quantity,
photo, direction) is that of the clause before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

from xcos.explainers.semantic.effects import RegionMeasure, SemanticMeasures
from xcos.explainers.semantic.words import (
    DIRECTIONS,
    MORE,
    NEUTRAL,
    ORDERS,
    QUANTITIES,
    SEPARATORS,
    SIDES,
    VOCABULARY,
    Direction,
    Order,
    Quantity,
    Side,
)

LEAST_DECIMALS = 2
"""A number quoted with fewer is too vague to be checked; percents may have none."""
LEADS_OF_CHANGES = frozenset({"by"})
LEADS_OF_AMOUNTS = frozenset({"is", "was", "are", "were", "of", *QUANTITIES})
LEADS = LEADS_OF_CHANGES | LEADS_OF_AMOUNTS | {""}
"""What may stand before a number, beside a region: after *to* or *from* it would be a score nobody measured."""
SIGNED = frozenset({"highest", "lowest"})
"""Of several values these mean the last one on the number line; *smallest* could mean the nearest to 0 as well."""
T = TypeVar("T")
ALL_SIDES: tuple[Side, ...] = ("probe", "reference", "both")


@dataclass(frozen=True)
class Verdict:
    """Whether a sentence is in the numbers, and what is not."""

    sentence: str
    accepted: bool
    reason: str = ""
    """Empty where it is accepted."""


def check_sentences(text: str, measured: SemanticMeasures) -> list[Verdict]:
    """One verdict per sentence of ``text``, in order; an empty list where there is none.

    Numbers must be the measured ones rounded to the decimals quoted (two at least; percents only of weights). *Most*,
    *largest* and their like must be true with nobody beside, *more than* of the two regions around it. Effects of
    hiding need a photo; where a direction or an order is claimed without one it must hold in the probe, the reference
    and both.
    """
    return [_verdict(sentence, measured) for sentence in re.split(r"(?<=[.!?])\s+", text.strip()) if sentence]


class _Rejected(Exception):
    """A sentence claims what was not measured."""


class _Word(NamedTuple):
    text: str
    region: str = ""
    """Name, where it is a region's."""
    number: str = ""
    percent: bool = False


@dataclass(frozen=True)
class _Claim:
    """What one clause says."""

    region: str = ""
    other: str = ""
    """The region after *than*."""
    quantity: Quantity | None = None
    side: Side | None = None
    direction: Direction | None = None
    neutral: bool = False
    number: _Word | None = None
    led_by: str = ""
    """The word before the number; empty where it begins the clause."""
    order: str = ""
    """The very word."""
    more: bool | None = None

    @property
    def complete(self) -> bool:
        return self.number is not None or bool(self.order) or self.more is not None or self.direction is not None


def _verdict(sentence: str, measured: SemanticMeasures) -> Verdict:
    try:
        _check(sentence, measured)
    except _Rejected as reason:
        return Verdict(sentence, False, str(reason))
    return Verdict(sentence, True)


def _check(sentence: str, measured: SemanticMeasures) -> None:
    before = _Claim()
    clauses = _clauses(_words(sentence, [region.name for region in measured.regions]))
    if not clauses:
        raise _Rejected("it says nothing")
    while clauses:
        clause = clauses.pop(0)
        if _of_the_score(clause, measured):
            continue
        claim = _claim(clause)
        if not claim.complete and clauses and not any(word.region for word in clauses[0]):
            clauses[0] = clause + clauses[0]  # "Hiding the eyes in both photos, the score falls by …"
            continue
        before = _completed(claim, before)
        _require_true(before, measured)


def _words(sentence: str, names: Iterable[str]) -> list[_Word]:
    """Words, numbers and marks; the names of regions as one word each, the longest that fits first."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(
        rf"(?P<region>\b(?:{known})\b(?!-))|(?P<number>[-+]?\d+(?:\.\d+)?(?![\w.,]*\d))(?P<percent>\s?%)?"
        r"|(?P<word>[a-z]+(?:-[a-z]+)*)|(?P<mark>[,;:])|(?P<end>[.!]$)|(?P<space>\s+)|(?P<other>.)",
        re.DOTALL,
    )
    words = []
    for found in pattern.finditer(sentence.lower().replace("\N{MINUS SIGN}", "-")):
        text = found.group().strip()
        if found["other"] is not None:
            raise _Rejected(f"'{found['other']}' is not understood")
        if found["region"]:
            words.append(_Word(text, region=found["region"]))
        elif found["number"]:
            words.append(_Word(text, number=found["number"], percent=bool(found["percent"])))
        elif found["word"] and text not in VOCABULARY:
            raise _Rejected(f"'{text}' claims something that was not measured")
        elif found["word"] or found["mark"]:
            words.append(_Word(text))
    return words


def _clauses(words: list[_Word]) -> list[list[_Word]]:
    clauses: list[list[_Word]] = [[]]
    for word in words:
        if word.text in SEPARATORS and not word.region:
            clauses.append([])
        else:
            clauses[-1].append(word)
    return [clause for clause in clauses if clause]


_N = r"(#[-+.\d]+)"
_THE_SCORE = re.compile(rf"(?:the )?score (?:is|was) {_N}")
_THE_THRESHOLD = re.compile(rf"(?:the )?threshold (?:is|was) {_N}")
_MARGIN = re.compile(rf"{_N} (above|below) (?:the )?threshold(?: of)?(?: {_N})?")
_RELATION = re.compile(rf"(?:the )?score (?:is|was) (above|below) (?:the )?threshold(?: of)?(?: {_N})?")
_DECISION = re.compile(r"(?:the decision|this|it) (?:is|was) (?:a )?(match|non-match)")


def _of_the_score(clause: list[_Word], measured: SemanticMeasures) -> bool:
    """Whether a clause is one of the few forms that speak of the whole pair; false ones are rejected here."""
    said = " ".join(f"#{word.number}" if word.number and not word.percent else word.text for word in clause)
    if found := _THE_SCORE.fullmatch(said):
        _require_number(found[1], measured.score, "the score")
        return True
    threshold = measured.threshold
    forms = (_THE_THRESHOLD, _MARGIN, _RELATION, _DECISION)
    found = next((match for form in forms if (match := form.fullmatch(said))), None)
    if found is None:
        return False
    if threshold is None:
        raise _Rejected("there is no threshold")
    above = measured.score >= threshold
    for text in found.groups():
        if text in ("above", "below") and (text == "above") != above:
            raise _Rejected(f"the score {measured.score:.4f} is not {text} the threshold {threshold:.4f}")
        if text in ("match", "non-match") and (text == "match") != above:
            raise _Rejected(f"the decision is not {text}")
    numbers = [text for text in found.groups() if text and text.startswith("#")]
    if found.re is _MARGIN:
        _require_number(numbers.pop(0), abs(measured.score - threshold), "the distance from the threshold")
    for number in numbers:
        _require_number(number, threshold, "the threshold")
    return True


def _require_number(text: str, value: float, what: str) -> None:
    if not _quotes(_Word(text, number=text.removeprefix("#")), value):
        raise _Rejected(f"{text.removeprefix('#')} is not {what}, {value:.4f}")


def _claim(clause: list[_Word]) -> _Claim:
    """What a clause says, each thing at most once."""
    texts = [word.text for word in clause if not word.region]
    for at, text in enumerate(texts):
        if text in ("threshold", "above", "below", "match", "non-match", "decision", "non"):
            raise _Rejected(f"'{text}' is not understood beside a region")
        if text in ("most", "least") and (texts[at + 1 : at + 2] == ["of"] or texts[at - 1 : at] == ["at"]):
            raise _Rejected(f"'{text}' is not understood beside 'of' or 'at'")
    if any(word.number and after.text == "of" for word, after in pairwise(clause)):
        raise _Rejected("a number of something could be a share of it, and no shares were measured")
    number = _one([word for word in clause if word.number], "numbers")
    before_number = clause[: clause.index(number)] if number else []
    led_by = before_number[-1] if before_number else _Word("")
    if not (led_by.region or led_by.text in LEADS):
        raise _Rejected(f"a number after '{led_by.text}' is not understood")
    regions = [word.region for word in clause if word.region]
    more = _one({MORE[text] for text in texts if text in MORE}, "comparisons")
    other = ""
    if more is not None or "than" in texts:
        other = _compared(clause, regions)
        regions = regions[:1]
    direction = _one({DIRECTIONS[text] for text in texts if text in DIRECTIONS}, "directions")
    neutral = any(text in NEUTRAL for text in texts)
    if neutral and direction:
        raise _Rejected("it claims two directions")
    return _Claim(
        region=_one(set(regions), "regions") or "",
        other=other,
        quantity=_one({QUANTITIES[text] for text in texts if text in QUANTITIES}, "quantities"),
        side=_one({SIDES[text] for text in texts if text in SIDES}, "photos"),
        direction=direction,
        neutral=neutral,
        number=number,
        led_by=led_by.text,
        order=_one([text for text in texts if text in ORDERS], "ranks") or "",
        more=more,
    )


def _one(found: Iterable[T], what: str) -> T | None:
    several = list(found)
    if len(several) > 1:
        raise _Rejected(f"a clause names several {what}")
    return several[0] if several else None


def _compared(clause: list[_Word], regions: list[str]) -> str:
    """The region after *than*, where exactly one stands on each side of *more … than*."""
    texts = [word.text for word in clause]
    if texts.count("than") != 1 or len(regions) != 2 or regions[0] == regions[1]:
        raise _Rejected("a comparison needs two regions, one on each side of 'than'")
    than = texts.index("than")
    places = [at for at, word in enumerate(clause) if word.region]
    mores = [at for at, word in enumerate(clause) if word.text in MORE and not word.region]
    if not (places[0] < than < places[1] and len(mores) == 1 and mores[0] < than):
        raise _Rejected("a comparison must read 'the … more than the …'")
    if any(word.number or word.text in ORDERS for word in clause):
        raise _Rejected("a comparison with a number or a rank is not understood")
    return regions[1]


def _completed(claim: _Claim, before: _Claim) -> _Claim:
    """With what it leaves out taken from the clause before."""
    if not claim.complete:
        raise _Rejected("a clause claims nothing, or regions are joined whose sum was not measured")
    same = claim.quantity in (None, before.quantity)
    inherits = same and claim.direction is None and not claim.neutral
    whole = replace(
        claim,
        region=claim.region or before.region,
        quantity=claim.quantity or before.quantity,
        side=claim.side or (before.side if same else None),
        direction=before.direction if inherits else claim.direction,
        neutral=before.neutral if inherits else claim.neutral,
    )
    if not whole.region:
        raise _Rejected("it is not said of which region")
    if whole.quantity is None:
        raise _Rejected("it is not said what was measured")
    if whole.quantity in ("weight", "similarity") and (whole.direction or whole.neutral or whole.side):
        raise _Rejected(f"a {whole.quantity} has no direction and belongs to both photos")
    if whole.led_by in (LEADS_OF_AMOUNTS if whole.quantity == "effect" else LEADS_OF_CHANGES):
        raise _Rejected("a score changes by a number, an amount is one")
    if whole.quantity == "contribution" and (whole.side or whole.neutral):
        raise _Rejected("a contribution belongs to both photos and changes nothing")
    return whole


def _require_true(claim: _Claim, measured: SemanticMeasures) -> None:
    if claim.quantity != "effect":
        _require_about(claim, measured, partial(_amount, quantity=claim.quantity))
        return
    if claim.number is not None and claim.side is None:
        raise _Rejected("it is not said in which photo the region is hidden")
    if claim.number is not None and not (claim.direction or claim.neutral):
        raise _Rejected("a number of an effect must say that the score changes")
    for side in (claim.side,) if claim.side else ALL_SIDES:
        _require_about(claim, measured, partial(_change, side=side))


def _change(region: RegionMeasure, side: Side) -> float:
    """Of the score when the region is hidden there."""
    return -region.effect(side)


def _amount(region: RegionMeasure, quantity: Quantity | None) -> float | None:
    if quantity == "similarity":
        return region.similarity
    return region.weight if quantity == "weight" else region.contribution


def _require_about(
    claim: _Claim, measured: SemanticMeasures, value_of: Callable[[RegionMeasure], float | None]
) -> None:
    """Every part of the claim against the values of all regions: changes of the score where one is hidden, or
    amounts."""
    values = {region.name: value for region in measured.regions if (value := value_of(region)) is not None}
    if claim.region not in values:
        raise _Rejected(f"of the {claim.region} there is no {claim.quantity}")
    value = values[claim.region]
    sign = {"up": 1, "down": -1, None: 0}[claim.direction]
    if sign and sign * value <= 0:
        raise _Rejected(f"the {claim.quantity} of the {claim.region} is {value:+.4f}: not {claim.direction}")
    if claim.number is not None and not _quotes(claim.number, sign * value if sign else value, claim.quantity):
        raise _Rejected(f"{claim.number.text} is not the {claim.quantity} of the {claim.region}, {value:.4f}")
    if claim.order:
        _require_first(claim, values, sign)
    if claim.more is not None:
        _require_more(claim, values, sign)


def _require_first(claim: _Claim, values: dict[str, float], sign: int) -> None:
    """The rank claimed is the region's alone."""
    order: Order = ORDERS[claim.order]
    oriented = {name: (sign or 1) * value for name, value in values.items()}
    readings = [oriented]
    if claim.quantity == "effect" and not sign:
        readings = [{name: abs(value) for name, value in values.items()}]
    elif order == "least" and claim.order not in SIGNED:
        readings.append({name: abs(value) for name, value in values.items()})
    if claim.quantity == "effect" and sign and order == "least":
        readings = [{name: value for name, value in oriented.items() if value > 0}]
    for reading in readings:
        own = reading[claim.region]
        others = [value for name, value in reading.items() if name != claim.region]
        if not others or not all(own > value if order == "most" else own < value for value in others):
            raise _Rejected(f"the {claim.region} is not alone {claim.order} in {claim.quantity}")


def _require_more(claim: _Claim, values: dict[str, float], sign: int) -> None:
    if claim.other not in values:
        raise _Rejected(f"of the {claim.other} there is no {claim.quantity}")
    own, other = values[claim.region], values[claim.other]
    if claim.quantity == "effect" and not sign:
        own, other = abs(own), abs(other)
    elif sign:
        own, other = sign * own, sign * other
        if other <= 0:
            raise _Rejected(f"the {claim.other} does not go {claim.direction}")
    if not (own > other if claim.more else own < other):
        raise _Rejected(f"the {claim.region} is not {'more' if claim.more else 'less'} than the {claim.other}")


def _quotes(word: _Word, value: float, quantity: Quantity | None = None) -> bool:
    """Whether a number is the value, rounded to its decimals."""
    decimals = len(word.number.partition(".")[2])
    if word.percent:
        return quantity == "weight" and float(word.number) == float(f"{100 * value:.{decimals}f}")
    return decimals >= LEAST_DECIMALS and float(word.number) == float(f"{value:.{decimals}f}")
