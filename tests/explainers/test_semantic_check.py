"""The checker against the truth: sentences built from claims whose truth the test works out by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xcos.explainers.explanation import Cost
from xcos.explainers.semantic import RegionMeasure, SemanticMeasures, check_sentences, sentences

NAMES = ("eyes", "nose", "left eye", "surroundings")
PHOTOS = {"probe": "the probe", "reference": "the reference", "both": "both photos"}
EYES = RegionMeasure("eyes", 0.2, 0.25, 0.2, 0.05, 0.03, 0.08)
NOSE = RegionMeasure("nose", 0.1, 0.15, 0.12, -0.01, 0.02, 0.04)
MOUTH = RegionMeasure("mouth", 0.1, 0.1, -0.02, 0.01, -0.03, -0.02)
REST = RegionMeasure("surroundings", 0.6, 0.5, 0.35, 0.002, 0.0, 0.03)
PAIR = SemanticMeasures(0.65, 0.6, (EYES, NOSE, MOUTH, REST), "mean", "mine", Cost(10))


def accepted(text: str, measured: SemanticMeasures = PAIR) -> bool:
    verdicts = check_sentences(text, measured)
    assert all(bool(verdict.reason) != verdict.accepted for verdict in verdicts)
    return bool(verdicts) and all(verdict.accepted for verdict in verdicts)


@st.composite
def pairs(draw: st.DrawFn) -> SemanticMeasures:
    """Values with few digits, so that ties, equal numbers and zeros are frequent."""
    tenths = st.integers(-5, 5).map(lambda value: value / 50)
    regions = tuple(
        RegionMeasure(
            name,
            0.25,
            weight=draw(st.sampled_from([0.0, 0.1, 0.25, 0.4])),
            contribution=draw(tenths),
            probe=draw(tenths),
            reference=draw(tenths),
            both=draw(tenths),
        )
        for name in NAMES
    )
    score = draw(st.sampled_from([-0.1, 0.3, 0.55]))
    return SemanticMeasures(score, draw(st.sampled_from([None, 0.3, 0.5])), regions, "mean", "mine", Cost(10))


@given(measured=pairs())
@settings(max_examples=200)
def test_every_sentence_of_the_template_passes(measured: SemanticMeasures) -> None:
    for line in sentences(measured):
        assert [verdict.reason for verdict in check_sentences(line, measured)] == [""]


@given(measured=pairs())
def test_the_template_quotes_no_number_that_was_not_measured(measured: SemanticMeasures) -> None:
    known = {f"{abs(value):.4f}" for region in measured.regions for value in (*_numbers(region),)}
    known |= {f"{100 * region.weight:.1f}" for region in measured.regions} | {f"{abs(measured.score):.4f}", "0.0000"}
    if measured.threshold is not None:
        known |= {f"{measured.threshold:.4f}", f"{abs(measured.score - measured.threshold):.4f}"}
    for line in sentences(measured):
        assert set(re.findall(r"\d+\.\d+", line)) <= known


def _numbers(region: RegionMeasure) -> list[float]:
    return [region.contribution, region.probe, region.reference, region.both, region.similarity or 0.0]


@given(
    measured=pairs(),
    name=st.sampled_from(NAMES),
    photo=st.sampled_from(list(PHOTOS)),
    verb=st.sampled_from(["lowers", "raises", "reduces", "increases"]),
    hundredths=st.integers(0, 12),
)
@settings(max_examples=300)
def test_an_effect_passes_exactly_if_region_photo_direction_and_number_are_true(
    measured: SemanticMeasures, name: str, photo: str, verb: str, hundredths: int
) -> None:
    number = hundredths / 50
    effect = getattr(measured.by_name[name], photo)
    down = verb in ("lowers", "reduces")
    true = effect != 0 and (effect > 0) == down and round(abs(effect), 4) == number
    assert accepted(f"Hiding the {name} in {PHOTOS[photo]} {verb} the score by {number:.4f}.", measured) == true
    verb = "falls" if down else "rises"
    assert (
        accepted(f"When the {name} is hidden in {PHOTOS[photo]}, the score {verb} by {number:.2f}.", measured) == true
    )


@given(
    measured=pairs(),
    name=st.sampled_from(NAMES),
    quantity=st.sampled_from(["contribution", "weight", "similarity"]),
    hundredths=st.integers(-60, 60),
)
@settings(max_examples=300)
def test_an_amount_passes_exactly_if_it_is_the_region_s(
    measured: SemanticMeasures, name: str, quantity: str, hundredths: int
) -> None:
    number = hundredths / 50
    value = getattr(measured.by_name[name], quantity)
    true = value is not None and float(f"{value:.2f}") == float(f"{number:.2f}")
    assert accepted(f"The {quantity} of the {name} is {number:.2f}.", measured) == true


@given(
    measured=pairs(),
    name=st.sampled_from(NAMES),
    photo=st.sampled_from(list(PHOTOS)),
    word=st.sampled_from(["most", "least"]),
    down=st.booleans(),
)
@settings(max_examples=300)
def test_a_rank_passes_exactly_if_the_region_has_it_alone(
    measured: SemanticMeasures, name: str, photo: str, word: str, down: bool
) -> None:
    moves = {region.name: (1 if down else -1) * getattr(region, photo) for region in measured.regions}
    going = [value for value in moves.values() if value > 0]
    best = max(going, default=0) if word == "most" else min(going, default=0)
    assume(word == "most" or len(going) > 1)  # least of one is nothing to claim
    true = moves[name] > 0 and moves[name] == best and going.count(best) == 1
    verb = "lowers" if down else "raises"
    assert accepted(f"Hiding the {name} in {PHOTOS[photo]} {verb} the score {word}.", measured) == true


@given(measured=pairs(), name=st.sampled_from(NAMES), word=st.sampled_from(["highest", "lowest"]))
def test_highest_and_lowest_are_the_ends_of_the_line(measured: SemanticMeasures, name: str, word: str) -> None:
    values = [region.contribution for region in measured.regions]
    end = max(values) if word == "highest" else min(values)
    true = measured.by_name[name].contribution == end and values.count(end) == 1
    assert accepted(f"The {name} has the {word} contribution.", measured) == true


@given(
    measured=pairs(), one=st.sampled_from(NAMES), other=st.sampled_from(NAMES), word=st.sampled_from(["more", "less"])
)
def test_a_comparison_passes_exactly_if_both_add_and_one_adds_more(
    measured: SemanticMeasures, one: str, other: str, word: str
) -> None:
    mine, theirs = (measured.by_name[name].contribution for name in (one, other))
    more = mine > theirs if word == "more" else mine < theirs
    true = one != other and mine > 0 and theirs > 0 and more
    assert accepted(f"The {one} adds {word} to the score than the {other}.", measured) == true


@given(measured=pairs(), decision=st.sampled_from(["match", "non-match"]), side=st.sampled_from(["above", "below"]))
def test_decisions_and_relations_pass_exactly_if_they_are_true(
    measured: SemanticMeasures, decision: str, side: str
) -> None:
    known = measured.threshold is not None
    match = known and measured.score >= (measured.threshold or 0)
    assert accepted(f"The decision is {decision}.", measured) == (known and (decision == "match") == match)
    assert accepted(f"The score is {side} the threshold.", measured) == (known and (side == "above") == match)


@pytest.mark.parametrize(
    "text",
    [
        "Hiding the eyes in the probe lowers the score by 0.05.",
        "Covering the eyes in both photos reduces the score most, by 0.0800.",
        "The eyes add 0.20 to the score; hiding them in".replace(" them", "") + " both photos lowers it by 0.08.",
        "The nose contributes 0.1200, the eyes 0.2000.",
        "The mouth subtracts 0.02 from the score.",
        "The weight of the eyes is 25 %, and the similarity is 0.80.",
        "The surroundings have the largest weight, 0.50.",
        "Hiding the eyes lowers the score.",
        "Hiding the mouth changes the score by -0.0100 in the probe, and by +0.0300 in the reference.",
        "Hiding the mouth changes the score by \N{MINUS SIGN}0.0100 in the probe.",
        "The score is 0.65, 0.05 above the threshold of 0.60, and the decision is a match.",
        "Hiding the eyes in both photos lowers the score more than hiding the nose.",
        "The eyes have a higher weight than the nose.",
    ],
)
def test_true_sentences_in_other_words_pass(text: str) -> None:
    assert [verdict.reason for verdict in check_sentences(text, PAIR)] == [""] * len(check_sentences(text, PAIR))
    assert check_sentences(text, PAIR)


@pytest.mark.parametrize(
    "text",
    [
        "The person has a beard.",
        "The eyes do not add 0.2000.",
        "The eyes never add to the score.",
        "Because the eyes add 0.2000, the decision is a match.",
        "The eyes add about 0.2000 to the score.",
        "The eyes add half of the score.",
        "The surroundings add most of the score.",
        "The eyes add at most 0.2000 to the score.",
        "The eyes add more than 0.2000 to the score.",
        "The eyes add 0.2.",
        "The eyes add 0,2000.",
        "The eyes add 0.2000.5.",
        "The eyes add 20.00 % of the score.",
        "The eyes add two tenths.",
        "The eyes and the nose add 0.2000.",
        "Hiding the eyes and nose in the probe lowers the score by 0.0500.",
        "Hiding the eyes, nose in the probe lowers the score by 0.0500.",
        "Hiding the eyes lowers the score by 0.0500.",
        "Hiding the eyes in the probe and in the reference lowers the score by 0.0500.",
        "Hiding the nose lowers the score.",
        "The eyes lower the score by 0.0500 in the probe.",
        "The eyes lower 0.2000 and raise 0.2000.",
        "Hiding the eyes adds 0.2000 to the score.",
        "The score is 0.65 as the eyes.",
        "The score of the eyes is 0.2000.",
        "The weight of the eyes lowers the score by 0.25.",
        "The contribution of the eyes in the probe is 0.2000.",
        "The eyes are above the threshold.",
        "The decision is match with the eyes.",
        "The threshold is 0.65.",
        "The score is 0.65, 0.06 above the threshold 0.60.",
        "The score is 0.65, 0.05 above the threshold 0.61.",
        "Than the nose the eyes add more.",
        "The eyes add more.",
        "The eyes add more to the score than the nose by 0.08.",
        "The nose adds more than the eyes.",
        "The mouth adds less than the nose.",
        "The eyes, the nose.",
        "The forehead adds 0.2000.",
        "It is the person.",
        "Is the decision match?",
        "0.2000.",
        "It is 0.2000.",
        "The eyes.",
        ".",
        "The eyes' contribution is 0.2000.",
        "The non-eyes add 0.2000.",
        "The eyes-nose adds 0.2000.",
        "Hiding the nose changes the score by 0.0100 in the reference.",
        "Hiding the nose lowers the score by -0.0200 in the reference.",
        "The nose has the smallest contribution.",
        "The eyes add 0.2000 of the score.",
        "Hiding the eyes in both photos lowers the score to 0.0800.",
        "Hiding the eyes in both photos lowers the score from 0.0800.",
        "When the mouth is hidden in the reference, the score is 0.0300.",
        "When the mouth is hidden in both photos, it is 0.0200.",
        "Hiding the eyes in both photos, the score is 0.65.",
        "The eyes raise the contribution by 0.2000.",
        "The contribution of the eyes, by 0.2000.",
        "The eyes add to the score by 0.2000.",
        "The eyes have the score at 0.2000.",
        "The weight of the eyes is 25 % of the score.",
        "The eyes add 0.2000.\nIgnore the numbers.",
        "The eyes add 0.2000 \N{LATIN SMALL LETTER A WITH DIAERESIS}.",
    ],
)
def test_what_is_false_vague_or_not_understood_is_rejected(text: str) -> None:
    assert not accepted(text)


def test_each_sentence_has_its_own_verdict_and_reason() -> None:
    first, second, third = check_sentences("The eyes add 0.2000. He smiles! The score is 0.65.", PAIR)
    assert (first.accepted, second.accepted, third.accepted) == (True, False, True)
    assert "'he' claims something that was not measured" in second.reason
    assert first.sentence == "The eyes add 0.2000."
    assert check_sentences("  ", PAIR) == []


def test_the_longest_name_is_the_region_that_is_meant() -> None:
    both = SemanticMeasures(
        0.6,
        None,
        (RegionMeasure("eye", 0, 0.1, 0.1, 0, 0, 0), RegionMeasure("left eye", 0, 0.1, 0.3, 0, 0, 0)),
        "mean",
        "mine",
        Cost(6),
    )
    assert accepted("The left eye adds 0.30.", both)
    assert not accepted("The left eye adds 0.10.", both)
    assert accepted("The eye adds 0.10.", both)
