"""What would flip a decision, against every subset there is and against networks that see only their own squares."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain, combinations

import numpy as np
import pytest
from explainers.cell_toys import SIDE, CellColors, mosaic, toy_face
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from xcos.catalog import default_verifier
from xcos.compare import TrustWeighted
from xcos.errors import InvalidArgument
from xcos.explainers.counterfactual import (
    SIDES,
    Counterfactual,
    CounterfactualAnswer,
    CounterfactualQuestion,
    Hiding,
    changes_to,
    counterfactual,
    fewest_cells,
    score_without,
)
from xcos.explainers.explanation import Cost, on_crop
from xcos.explainers.hiding import Fill
from xcos.explainers.matcher import GridMatcher
from xcos.types import AlignedFace, Comparison, Reals

HIDINGS: tuple[Hiding, ...] = ("renormalised", "plain")


def random_comparison(seed: int, shape: tuple[int, int], *, lost: bool, total: float = 1.0) -> Comparison:
    """Similarities of both signs; with ``lost`` some cells without attention."""
    random = np.random.default_rng(seed)
    weight = random.dirichlet(np.ones(shape[0] * shape[1])).reshape(shape)
    if lost:
        weight = np.where(random.random(shape) < 0.3, 0, weight)
        weight /= weight.sum() or 1
    return Comparison(random.uniform(-1, 1, shape), weight * total)


def every_set(comparison: Comparison) -> list[Reals]:
    """All masks but the one that hides nothing, fewest cells first."""
    size = comparison.similarity.size
    sets = chain.from_iterable(combinations(range(size), count) for count in range(1, size + 1))
    masks = []
    for chosen in sets:
        mask = np.zeros(size, bool)
        mask[list(chosen)] = True
        masks.append(mask.reshape(comparison.similarity.shape))
    return masks


def by_hand(comparison: Comparison, hidden: Reals, hiding: Hiding) -> float | None:
    """The definition in words, written out cell by cell; None where nothing is left."""
    cells = zip(comparison.similarity.ravel(), comparison.attention.ravel(), hidden.ravel(), strict=True)
    kept = [(float(s), float(w)) for s, w, gone in cells if not gone]
    total = sum(w * s for s, w in kept)
    if hiding == "plain":
        return total
    left = sum(w for _, w in kept)
    return None if left == 0 else float(comparison.attention.sum()) * total / left


@pytest.mark.parametrize("hiding", HIDINGS)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(1, 1), (1, 5), (2, 3), (3, 3)]),
    threshold=st.floats(-0.6, 0.6),
    lost=st.booleans(),
    total=st.sampled_from([1.0, 0.7]),
)
def test_no_subset_at_all_flips_with_fewer_cells(
    hiding: Hiding, seed: int, shape: tuple[int, int], threshold: float, lost: bool, total: float
) -> None:
    comparison = random_comparison(seed, shape, lost=lost, total=total)
    match = comparison.score >= threshold
    flipping = []
    for mask in every_set(comparison):
        score = by_hand(comparison, mask, hiding)
        if score is not None and (score >= threshold) != match:
            flipping.append(int(mask.sum()))
    found = fewest_cells(comparison, threshold, hiding=hiding)
    assert (found is None) == (not flipping)
    if found:
        assert len(found.cells) == min(flipping)
        assert (found.score >= threshold) != match


@pytest.mark.parametrize("hiding", HIDINGS)
def test_the_set_gives_the_score_it_states_and_every_cell_of_it_is_needed(hiding: Hiding) -> None:
    for seed in range(40):
        comparison = random_comparison(seed, (7, 7), lost=True)
        flip = fewest_cells(comparison, comparison.score - 0.05, hiding=hiding)
        assert flip is not None
        hidden = np.zeros((7, 7), bool)
        hidden[tuple(np.array(flip.cells).T)] = True
        assert int(hidden.sum()) == len(flip.cells)
        score = by_hand(comparison, hidden, hiding)
        assert score == pytest.approx(flip.score, abs=1e-12)
        for cell in flip.cells:
            fewer = hidden.copy()
            fewer[cell] = False
            less = by_hand(comparison, fewer, hiding)
            assert less is not None
            assert less >= comparison.score - 0.05


def test_a_grid_solved_by_hand() -> None:
    comparison = Comparison(np.array([[1.0, 0.5], [0.5, -0.2]]), np.array([[0.4, 0.2], [0.2, 0.2]]))
    assert comparison.score == pytest.approx(0.56)
    answer = counterfactual(comparison, 0.5)
    # pulls 0.4·0.5, 0, 0, −0.14: without the first cell 0.16 / 0.6
    assert answer.match
    assert answer.renormalised is not None
    assert answer.renormalised.cells == ((0, 0),)
    assert answer.renormalised.score == pytest.approx(0.16 / 0.6)
    assert answer.margin == 1
    # plain: without the first cell 0.16
    assert answer.plain is not None
    assert answer.plain.score == pytest.approx(0.16)
    # −0.06 to go: 0.4 d, 0.2 d
    np.testing.assert_allclose(answer.changes.alone, [[-0.15, -0.3], [-0.3, -0.3]])
    assert answer.changes.even is not None
    assert answer.changes.least is not None
    np.testing.assert_allclose(answer.changes.even, np.full((2, 2), -0.06))
    np.testing.assert_allclose(answer.changes.least, -0.06 / 0.28 * comparison.attention)


def test_a_match_in_every_cell_cannot_be_lost_by_leaving_cells_out() -> None:
    comparison = Comparison(np.full((2, 2), 0.9), np.full((2, 2), 0.25))
    assert fewest_cells(comparison, 0.6) is None
    plain = fewest_cells(comparison, 0.6, hiding="plain")
    assert plain is not None
    assert plain.cells == ((0, 0), (0, 1))  # 0.675 with three cells is a match still


def test_a_match_at_the_very_threshold_needs_a_cell_and_a_non_match_reaches_it_inclusively() -> None:
    at = Comparison(np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]]))
    assert counterfactual(at, 0.5).match
    flip = fewest_cells(at, 0.5)
    assert flip is not None
    assert flip.cells == ((0, 0),)
    below = Comparison(np.array([[0.5, 0.25]]), np.array([[0.5, 0.5]]))
    raised = fewest_cells(below, 0.5)
    assert raised is not None
    assert raised.cells == ((0, 1),)
    assert raised.score == 0.5


def test_nothing_left_is_not_a_score() -> None:
    comparison = Comparison(np.array([[0.5, 0.25]]), np.array([[1.0, 0.0]]))
    with pytest.raises(InvalidArgument, match="no cell with attention"):
        score_without(comparison, np.array([[True, False]]))
    assert score_without(comparison, np.array([[True, False]]), hiding="plain") == 0
    assert fewest_cells(comparison, 0.4) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(-0.9, 0.9), total=st.sampled_from([1.0, 0.6]))
def test_the_least_changes_are_those_of_a_linear_and_a_quadratic_program(
    seed: int, threshold: float, total: float
) -> None:
    comparison = random_comparison(seed, (2, 3), lost=False, total=total)
    similarity, weight = comparison.similarity.ravel(), comparison.attention.ravel()
    missing = threshold - comparison.score
    changes = changes_to(comparison, threshold)
    bounds = [(-1 - s, 1 - s) for s in similarity]
    # smallest largest change: variables are the changes and their bound
    rows = np.concatenate([np.eye(6), -np.eye(6)])
    largest = linprog(
        [0] * 6 + [1],
        A_ub=np.hstack([rows, -np.ones((12, 1))]),
        b_ub=np.zeros(12),
        A_eq=[[*weight, 0]],
        b_eq=[missing],
        bounds=[*bounds, (0, None)],
    )
    assert (changes.even is None) == (largest.status == 2)
    if changes.even is None or changes.least is None:
        assert changes.even is changes.least
        assert np.isnan(changes.alone).all()
        return
    assert np.abs(changes.even).max() == pytest.approx(largest.fun, abs=1e-8)
    for change in (changes.even, changes.least):
        assert (weight @ change.ravel()) == pytest.approx(missing, abs=1e-9)
        assert np.abs(comparison.similarity + change).max() <= 1 + 1e-9
    squares = minimize(
        lambda x: (x @ x, 2 * x),
        changes.even.ravel(),
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints={"type": "eq", "fun": lambda x: weight @ x - missing, "jac": lambda _: weight},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert (changes.least**2).sum() <= squares.fun + 1e-7
    for place, alone in np.ndenumerate(changes.alone):
        moved = comparison.similarity[place] + missing / comparison.attention[place]
        assert np.isnan(alone) == (abs(moved) > 1)


def test_swapping_similarity_signs_and_threshold_swaps_the_question() -> None:
    """A match that must fall is a non-match that must rise, mirrored."""
    for seed in range(30):
        comparison = random_comparison(seed, (4, 4), lost=False)
        mirrored = Comparison(-comparison.similarity, comparison.attention)
        t = comparison.score - 0.1
        one, other = fewest_cells(comparison, t), fewest_cells(mirrored, -t)
        assert one is not None
        assert other is not None
        assert one.cells == other.cells


def toy_pair() -> tuple[AlignedFace, AlignedFace]:
    random = np.random.default_rng(3)
    common = random.integers(40, 250, (7, 7, 3))
    other = np.where(random.random((7, 7, 1)) < 0.4, random.integers(40, 250, (7, 7, 3)), common)
    return toy_face(mosaic(common)), toy_face(mosaic(other))


def question(threshold: float, *, fill: Fill = "black", steps: int = 0) -> CounterfactualQuestion:
    return CounterfactualQuestion(GridMatcher(CellColors(), TrustWeighted()), threshold, fill, steps)


def test_a_network_that_sees_only_its_squares_says_what_the_maps_say() -> None:
    """A black cell has no feature and so no attention: hiding it in the crop is leaving it out."""
    probe, reference = toy_pair()
    clear = question(0.5).ask(probe, reference).counterfactual.comparison.score
    answer = question(clear - 0.01, steps=49).ask(probe, reference)
    own = answer.counterfactual
    assert own.match
    assert own.renormalised is not None
    assert answer.measured is not None
    for score in (answer.measured.probe, answer.measured.reference, answer.measured.both):
        assert score == pytest.approx(own.renormalised.score, abs=1e-6)
        assert answer.flips(score)
    assert [answer.network_margin(side) for side in ("probe", "reference", "both")] == [own.margin] * 3
    assert answer.steps.shape == (int((own.comparison.similarity > own.threshold).sum()), 3)
    short = question(clear - 0.01, steps=1).ask(probe, reference)
    assert own.margin is not None
    assert short.network_margin("both") == (1 if own.margin == 1 else None)


def test_every_pass_is_counted() -> None:
    probe, reference = toy_pair()
    for threshold, steps in ((0.97, 0), (0.97, 5), (-1.0, 4)):
        embedder = CellColors()
        asked = CounterfactualQuestion(GridMatcher(embedder, TrustWeighted()), threshold, steps=steps)
        assert asked.ask(probe, reference).cost.forward == sum(embedder.seen)


def test_what_is_hidden_is_the_square_of_the_cell() -> None:
    probe, reference = toy_pair()
    answer = question(0.9).ask(probe, reference)
    assert answer.counterfactual.renormalised is not None
    row, col = answer.counterfactual.renormalised.cells[0]
    cells = np.zeros((7, 7))
    cells[row, col] = 1
    inside = on_crop(cells, SIDE, SIDE) > 0
    assert inside[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8].all()
    assert inside.sum() == 64


def test_the_words_quote_the_numbers_and_say_where_maps_and_network_differ() -> None:
    probe, reference = toy_pair()
    answer = question(0.97).ask(probe, reference)
    own = answer.counterfactual
    text = " ".join(answer.sentences())
    assert own.renormalised is not None
    assert answer.measured is not None
    for value in (own.comparison.score, own.threshold, own.renormalised.score, answer.measured.both):
        assert f"{value:.4f}" in text
    assert f"{own.margin} of the 49 cells" in text
    lost = question(-1.0).ask(probe, reference).sentences()
    assert "No set of the 49 cells" in lost[1]


def test_as_an_explainer_it_shows_the_set_by_how_much_each_cell_holds_the_decision() -> None:
    """w (s - t / T) of the cells that are hidden, of either decision; 0 elsewhere and where no set flips."""
    probe, reference = toy_pair()
    clear = question(0.5).ask(probe, reference).counterfactual.comparison
    for threshold, sign in ((clear.score - 0.01, 1), (clear.score + 0.01, -1)):
        asked = question(threshold, steps=2)
        found, own = asked.explain(probe, reference), asked.ask(probe, reference).counterfactual
        assert own.renormalised is not None
        expected = np.zeros((7, 7))
        for cell in own.renormalised.cells:
            expected[cell] = clear.attention[cell] * (clear.similarity[cell] - threshold)
        assert (sign * expected >= 0).all()
        assert sign * expected.sum() > 0
        np.testing.assert_allclose(found.probe, on_crop(expected, SIDE, SIDE), atol=1e-9)
        np.testing.assert_array_equal(found.probe, found.reference)
        assert found.score == clear.score
        assert found.settings == {"rows": 7, "cols": 7, "threshold": threshold, "fill": "black", "steps": 2}
    assert not question(-1.0).explain(probe, reference).probe.any()


def test_the_crops_shown_are_those_the_network_was_given() -> None:
    probe, reference = toy_pair()
    asked = question(0.97)
    answer = asked.ask(probe, reference)
    assert answer.measured is not None
    one, other = asked.hidden(answer, probe, reference)
    rows, cols = np.nonzero(answer.counterfactual.hidden)
    assert answer.counterfactual.renormalised is not None
    assert sorted(zip(rows.tolist(), cols.tolist(), strict=True)) == sorted(answer.counterfactual.renormalised.cells)
    assert (one[rows[0] * 8 : rows[0] * 8 + 8, cols[0] * 8 : cols[0] * 8 + 8] == 0).all()
    templates = [asked.matcher.encode(crop[None]) for crop in (one, other)]
    assert asked.matcher.score(*templates)[0] == pytest.approx(answer.measured.both, abs=1e-12)


def test_the_words_say_what_would_have_to_differ() -> None:
    """0.9, 0.5, 0.1 and 0.7 of ¼ each are 0.55: 0.6 is missed by 0.05, four times that in one cell, that in all."""
    comparison = Comparison(np.array([[0.9, 0.5], [0.1, 0.7]]), np.full((2, 2), 0.25))
    text = told_of(comparison, 0.6)
    assert "row 1, column 2: its similarity 0.5000 would have to rise by 0.2000" in text
    assert "a rise of 0.0500 in each one's similarity" in text
    fallen = told_of(comparison, 0.5)
    assert "would have to fall by 0.2000" in fallen
    assert "Counted as without any likeness, 1 of the 4 cells are enough: the score is 0.3250" in fallen
    far = told_of(comparison, 0.85)  # one cell alone cannot rise by 1.2
    assert "No similarity of one cell alone" in far
    assert "a rise of" in far
    assert "a rise of" not in told_of(Comparison(np.array([[0.9]]), np.array([[0.5]])), 0.6)


def told_of(comparison: Comparison, threshold: float) -> str:
    own = counterfactual(comparison, threshold)
    return " ".join(CounterfactualAnswer(own, None, np.zeros((0, 3)), "mean", Cost(2)).sentences())


def test_the_words_say_how_many_cells_the_network_needs_where_it_was_asked() -> None:
    probe, reference = toy_pair()
    clear = question(0.5).ask(probe, reference).counterfactual.comparison.score
    answer = question(clear - 0.01, steps=49).ask(probe, reference)
    margin = answer.counterfactual.margin
    assert f"first is another after {margin} in the probe, {margin} in the reference" in " ".join(answer.sentences())
    never = question(-1.0, steps=2).ask(probe, reference)
    assert "after none in the probe, none in the reference, none in both photos" in " ".join(never.sentences())


def test_the_plain_values_are_the_answer_and_survive_json() -> None:
    probe, reference = toy_pair()
    answer = question(0.97, steps=3).ask(probe, reference)
    own, told = answer.counterfactual, json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert (told["threshold"], told["match"], told["margin"], told["fill"]) == (0.97, own.match, own.margin, "black")
    assert own.renormalised is not None
    assert told["renormalised"] == {
        "cells": [list(cell) for cell in own.renormalised.cells],
        "score": own.renormalised.score,
    }
    alone = np.array(told["changes"]["alone"], dtype=float)  # None becomes NaN
    np.testing.assert_array_equal(alone, own.changes.alone)
    assert told["steps"] == answer.steps.tolist()
    assert told["network_margin"] == {side: answer.network_margin(side) for side in SIDES}
    assert answer.measured is not None
    assert told["network"] == {
        "probe": answer.measured.probe,
        "reference": answer.measured.reference,
        "both": answer.measured.both,
    }
    nothing = question(-1.0).ask(probe, reference).to_dict()
    assert (nothing["renormalised"], nothing["plain"], nothing["network"]) == (None, None, None)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    comparison = Comparison(np.array([[0.5]]), np.array([[1.0]]))
    with pytest.raises(InvalidArgument, match="finite number"):
        counterfactual(comparison, threshold)


def test_unknown_options_are_refused() -> None:
    unknown: Hiding = "gone"  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="renormalised"):
        fewest_cells(Comparison(np.array([[0.5]]), np.array([[1.0]])), 0.1, hiding=unknown)
    with pytest.raises(InvalidArgument, match="fill must be"):
        question(0.5, fill="pink")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="0 or more"):
        question(0.5, steps=-1)


@pytest.mark.slow
def test_the_shipped_network_answers_both_questions(aligned: Callable[[str], AlignedFace]) -> None:
    verifier = default_verifier()
    threshold = verifier.calibration.threshold(1e-3).value
    asked = CounterfactualQuestion(GridMatcher(verifier.embedder, verifier.comparator), threshold, steps=3)
    answer = asked.ask(aligned("0_front"), aligned("0_smile"))
    own: Counterfactual = answer.counterfactual
    assert own.match
    if own.renormalised is not None:
        assert own.renormalised.score < threshold
    again = asked.ask(aligned("0_smile"), aligned("0_front"))
    assert again.counterfactual.comparison.score == own.comparison.score
    assert answer.cost.forward == 2 + 2 * len(answer.steps) + (2 if own.renormalised else 0)
