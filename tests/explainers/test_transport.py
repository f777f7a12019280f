"""Transport between cells: against the exact linear program, the published steps, and faces solved by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from explainers.toys import SIDE, TEMPLATE, cells_of, face, noise

from xcos.comparators.transport import Marginals, TransportWeighted
from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost
from xcos.explainers.matcher import GridMatcher, VectorMatcher
from xcos.explainers.transport import Move, Transport
from xcos.interfaces import Comparator
from xcos.testing import FAKE_CARD, FakeEmbedder
from xcos.types import AlignedFace, Comparison, Grids, Reals

ALL: tuple[Marginals, ...] = ("apc", "uniform", "cost")


def grids(seed: int, n: int = 3, rows: int = 3, cols: int = 3, mean: float = 0.5) -> Grids:
    return np.random.default_rng(seed).normal(mean, 1, (n, rows, cols, 8)).astype(np.float32)


def scores(comparator: Comparator, probes: Grids, references: Grids) -> Reals:
    similarity, attention = comparator.maps(probes, references)
    return np.asarray((similarity * attention).sum(axis=(1, 2)))


def unit(cells: Reals) -> Reals:
    return np.asarray(cells / np.linalg.norm(cells, axis=-1, keepdims=True))


def published(probe: Grids, reference: Grids, marginals: Marginals) -> tuple[Reals, Reals]:
    """Plan and cosines of one pair from probe to reference, step by step as the paper has it."""
    a, b = (unit(each.reshape(-1, each.shape[-1]).astype(float)) for each in (probe, reference))
    cosines = a @ b.T
    cost = 1 - cosines
    if marginals == "uniform":
        u, v = np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b))
    elif marginals == "cost":
        u, v = cost.sum(axis=1) / cost.sum(), cost.sum(axis=0) / cost.sum()
    else:
        centers = [unit(each.reshape(-1, each.shape[-1]).astype(float).mean(axis=0)) for each in (probe, reference)]
        u, v = np.maximum(a @ centers[1], 0), np.maximum(b @ centers[0], 0)
        u, v = u / u.sum(), v / v.sum()
    kernel = np.exp(-cost / 0.05)
    r, c = np.ones_like(u), np.ones_like(v)
    for _ in range(100):
        before = r
        r = u / (kernel @ c)
        c = v / (kernel.T @ r)
        if np.abs(r - before).mean() < 0.1:
            break
    return r[:, None] * kernel * c, cosines


@pytest.mark.parametrize("marginals", ALL)
def test_the_flow_is_the_mean_of_the_published_ones_there_and_back(marginals: Marginals) -> None:
    flow = TransportWeighted(marginals).flow(grids(0), grids(1))
    for index in range(3):
        there, cosines = published(grids(0)[index], grids(1)[index], marginals)
        back, _ = published(grids(1)[index], grids(0)[index], marginals)
        assert np.allclose(flow.plan[index], (there + back.T) / 2, atol=1e-9)
        assert np.allclose(flow.cosines[index], cosines, atol=1e-6)


def exact(comparator: TransportWeighted, probes: Grids, references: Grids) -> list[float]:
    """The greatest transport sum with the same marginals: SciPy's linear program, nothing regularised."""
    optimize = pytest.importorskip("scipy.optimize")
    best = []
    for one, other in zip(probes, references, strict=True):
        cosines = unit(one.reshape(-1, 8).astype(float)) @ unit(other.reshape(-1, 8).astype(float)).T
        leaving, arriving = comparator._marginals(one[None], other[None], cosines[None])
        p, q = cosines.shape
        rows = np.kron(np.eye(p), np.ones(q))
        cols = np.kron(np.ones(p), np.eye(q))
        solved = optimize.linprog(
            -cosines.ravel(), A_eq=np.vstack([rows, cols]), b_eq=np.concatenate([leaving[0], arriving[0]])
        )
        assert solved.success
        best.append(-float(solved.fun))
    return best


@pytest.mark.parametrize("marginals", ALL)
@pytest.mark.parametrize("epsilon", [0.05, 0.02, 0.01])
def test_run_to_its_end_the_sum_misses_the_exact_optimum_by_no_more_than_the_regularisation_allows(
    marginals: Marginals, epsilon: float
) -> None:
    """A regularised plan's cost exceeds the least by at most ε times the entropy of a plan: ε ln(9 · 9)."""
    patient = TransportWeighted(marginals, epsilon=epsilon, iterations=5000, stop=0)
    found = scores(patient, grids(0), grids(1))
    gaps = np.array(exact(patient, grids(0), grids(1))) - found
    assert gaps.min() > -1e-6
    assert gaps.max() < epsilon * math.log(81)


@pytest.mark.parametrize("marginals", ALL)
def test_as_published_the_sum_lies_near_the_exact_optimum(marginals: Marginals) -> None:
    quick = TransportWeighted(marginals)
    gaps = np.array(exact(quick, grids(0, 20), grids(1, 20))) - scores(quick, grids(0, 20), grids(1, 20))
    assert np.abs(gaps).max() < 0.05 * math.log(81)
    assert abs(gaps.mean()) < 0.06


def test_run_to_its_end_what_leaves_and_arrives_are_the_marginals() -> None:
    patient = TransportWeighted(iterations=5000, stop=0)
    flow = patient.flow(grids(0), grids(1))
    leaving, arriving = patient._marginals(grids(0), grids(1), flow.cosines)
    assert np.allclose(flow.plan.sum(axis=2), leaving, atol=1e-9)
    assert np.allclose(flow.plan.sum(axis=1), arriving, atol=1e-9)


@pytest.mark.parametrize("marginals", ALL)
def test_the_maps_are_those_of_a_comparison_and_add_up(marginals: Marginals) -> None:
    comparator = TransportWeighted(marginals)
    probes, references = grids(0, 5), grids(1, 5)
    before = probes.copy(), references.copy()
    similarity, attention = comparator.maps(probes, references)
    assert (before[0] == probes).all()
    assert (before[1] == references).all()
    flow = comparator.flow(probes, references)
    for index in range(5):
        comparison = Comparison(similarity[index], attention[index])  # checks ranges and the sum of attention
        assert comparison.score == pytest.approx(flow.contributions[index].sum(), abs=1e-12)
        assert comparison.attention.sum() == pytest.approx(1, abs=1e-9)
        alone = comparator.maps(probes[index : index + 1], references[index : index + 1])
        assert np.allclose(alone[0][0], similarity[index], atol=1e-12)
        assert np.allclose(alone[1][0], attention[index], atol=1e-12)


@pytest.mark.parametrize("marginals", ALL)
def test_the_score_does_not_depend_on_the_order_of_the_faces(marginals: Marginals) -> None:
    comparator = TransportWeighted(marginals)
    one, other = scores(comparator, grids(0, 20), grids(1, 20)), scores(comparator, grids(1, 20), grids(0, 20))
    assert np.allclose(one, other, atol=1e-12)
    flows = comparator.flow(grids(0), grids(1)), comparator.flow(grids(1), grids(0))
    assert np.allclose(flows[0].plan, flows[1].plan.transpose(0, 2, 1), atol=1e-12)


def test_many_pairs_are_compared_in_blocks_with_the_same_result() -> None:
    probes, references = grids(0, 130), grids(1, 130)
    whole = TransportWeighted().maps(probes, references)
    part = TransportWeighted().maps(probes[100:], references[100:])
    for one, other in zip(whole, part, strict=True):
        assert np.allclose(one[100:], other, atol=1e-12)


def orthogonal(order: list[int]) -> Grids:
    """(1, 2, 2, 4): four cells with features at right angles, in this order."""
    return np.eye(4, dtype=np.float32)[order].reshape(1, 2, 2, 4)


def test_cells_that_moved_are_found_where_they_went() -> None:
    """By hand: every cell has one like it elsewhere, so the transport sum is 1 though cell by cell nothing is alike."""
    comparator = TransportWeighted("uniform")
    similarity, attention = comparator.maps(orthogonal([0, 1, 2, 3]), orthogonal([3, 2, 1, 0]))
    assert np.allclose(similarity, 1, atol=1e-6)
    assert np.allclose(attention, 0.25, atol=1e-6)
    flow = comparator.flow(orthogonal([0, 1, 2, 3]), orthogonal([3, 2, 1, 0]))
    assert np.allclose(flow.plan[0], np.eye(4)[::-1] / 4, atol=1e-6)


def test_pooled_likeness_weighs_by_hand() -> None:
    """Cosines with the other face's mean (1, 0) are 1, 1, 1, 0: the odd cell moves nothing, the others a third each."""
    one = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32).reshape(1, 2, 2, 2)
    other = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32).reshape(1, 2, 2, 2)
    _, attention = TransportWeighted("apc", iterations=1000, stop=0).maps(one, other)
    assert np.allclose(attention.ravel(), [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)


def test_faces_that_are_opposites_move_nothing() -> None:
    similarity, attention = TransportWeighted("apc").maps(
        np.ones((1, 2, 2, 4), np.float32), -np.ones((1, 2, 2, 4), np.float32)
    )
    assert (similarity * attention).sum() == 0


def test_a_cell_without_features_is_alike_to_nothing_and_harms_nothing() -> None:
    probes = grids(0)
    probes[:, 0, 0] = 0
    similarity, attention = TransportWeighted().maps(probes, grids(1))
    assert np.isfinite(similarity).all()
    assert (attention[:, 0, 0] == 0).all()


def test_grids_of_other_sizes_can_be_moved_between() -> None:
    flow = TransportWeighted("uniform").flow(grids(0, rows=2, cols=3), grids(1, rows=4, cols=4))
    assert flow.plan.shape == (3, 6, 16)
    assert np.allclose(flow.plan.sum(axis=(1, 2)), 1)


def test_names_tell_settings_apart_and_impossible_ones_are_refused() -> None:
    assert TransportWeighted().name == "transport-apc"
    assert TransportWeighted("uniform", epsilon=0.1).name == "transport-uniform-0.1-100-0.1"
    wrong: Marginals = "other"  # type: ignore[assignment]
    for broken in ({"marginals": wrong}, {"epsilon": 0.0}, {"iterations": 0}, {"stop": -1.0}):
        with pytest.raises(InvalidArgument):
            replace(TransportWeighted(), **broken)
    with pytest.raises(InvalidArgument, match="n pairs of grids"):
        TransportWeighted().maps(grids(0, 2), grids(1, 3))


# The explainer


def embedder() -> FakeEmbedder:
    return FakeEmbedder(4, replace(FAKE_CARD, template=TEMPLATE))


def test_the_cells_of_either_map_sum_to_the_transport_sum() -> None:
    matcher = GridMatcher(embedder(), TransportWeighted())
    found = Transport(matcher).explain(noise(0), noise(1))
    assert cells_of(found.probe, 4, 4).sum() == pytest.approx(found.score, abs=1e-12)
    assert cells_of(found.reference, 4, 4).sum() == pytest.approx(found.score, abs=1e-12)
    similarity, attention = matcher.comparator.maps(
        *(embedder().embed(noise(seed).crop[None]).grids for seed in (0, 1))
    )
    assert np.allclose(cells_of(found.probe, 4, 4), (similarity * attention)[0], atol=1e-12)
    assert found.cost == Cost(2)
    expected = {"rows": 4, "cols": 4, "marginals": "apc", "epsilon": 0.05, "iterations": 100, "stop": 0.1}
    assert found.settings == expected


def test_the_score_told_is_the_matchers_own() -> None:
    matcher = VectorMatcher(embedder())
    found = Transport(matcher).explain(noise(0), noise(1))
    one, other = (matcher.encode(noise(seed).crop[None]) for seed in (0, 1))
    assert found.score == pytest.approx(float(matcher.score(one, other)[0]))


def coloured(order: list[int]) -> AlignedFace:
    """A crop of 2 × 2 cells in black, red, green and blue, in this order."""
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    return face(colours[order].reshape(2, 2, 3).repeat(SIDE // 2, axis=0).repeat(SIDE // 2, axis=1))


def test_the_flow_says_where_each_cell_went() -> None:
    explainer = Transport(VectorMatcher(FakeEmbedder(2, replace(FAKE_CARD, template=TEMPLATE))), "uniform")
    flow = explainer.flow(coloured([0, 1, 2, 3]), coloured([0, 3, 1, 2]))
    moves = flow.strongest(4)
    assert {(move.source, move.target) for move in moves} == {
        ((0, 0), (0, 0)),
        ((0, 1), (1, 0)),
        ((1, 0), (1, 1)),
        ((1, 1), (0, 1)),
    }
    assert all(isinstance(move, Move) for move in moves)
    assert moves[0].mass * moves[0].cosine >= moves[-1].mass * moves[-1].cosine
    assert flow.plan.sum() == pytest.approx(1)
    assert flow.staying == pytest.approx(0.25, abs=0.01)
    assert {move.source for move in flow.strongest(3, leaving=True)} == {(0, 1), (1, 0), (1, 1)}
    assert all(move.source != move.target for move in flow.strongest(100, leaving=True))
    assert len(flow.strongest(100)) == 16
