"""The head's formulas, held against closed forms recomputed here in NumPy and SciPy."""

from __future__ import annotations

import inspect
from typing import get_args

import numpy as np
import pytest
import torch
from heads import CHANNELS, COLS, FEATURES, ROWS, WEIGHTINGS, grids, trained
from numpy.typing import NDArray
from scipy.signal import correlate
from scipy.spatial.distance import cosine
from scipy.special import softmax
from scipy.stats import pearsonr
from torch import Tensor, nn

from xcos.errors import InvalidArgument
from xcos.training.config import HeadWeighting
from xcos.training.head import (
    Concat,
    Fixed,
    PairMaps,
    Separable,
    Symmetric,
    Uniform,
    Weighting,
    XcosHead,
    correlation_weights,
    make_head,
)
from xcos.training.head.block import Block

Reals = NDArray[np.float64]
EVERY = pytest.mark.parametrize("weighting", WEIGHTINGS)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def array(values: Tensor | None) -> Reals:
    assert values is not None
    made: Reals = values.detach().double().numpy()
    return made


def block_by_hand(block: Block, maps: Reals) -> Reals:
    """Convolution, normalisation with running statistics, PReLU, of one face (channels, h, w)."""
    kernel, bias, norm = array(block.conv.weight), array(block.conv.bias), block.norm
    pad = kernel.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    x = np.concatenate([correlate(padded, filters, mode="valid") for filters in kernel]) + bias[:, None, None]
    x = (x - array(norm.running_mean)[:, None, None]) / np.sqrt(array(norm.running_var)[:, None, None] + norm.eps)
    x = x * array(norm.weight)[:, None, None] + array(norm.bias)[:, None, None]
    slope = np.broadcast_to(array(block.activation.weight), len(x))[:, None, None]
    made: Reals = np.where(x > 0, x, slope * x)
    return made


def published_logits(concat: Concat, a: Reals, b: Reals) -> Reals:
    joint = np.concatenate([block_by_hand(concat.face, a), block_by_hand(concat.face, b)])
    logits: Reals = block_by_hand(concat.last, block_by_hand(concat.joint, joint))[0]
    return logits


def test_the_papers_head_has_the_papers_number_of_parameters() -> None:
    attention = Concat(32)
    assert count(attention.face) == 4657
    assert count(attention.joint) + count(attention.last) == 4805
    assert count(XcosHead(512, attention)) == 25974
    assert count(XcosHead(512, Symmetric(32))) == 25974


@pytest.mark.parametrize("name", get_args(HeadWeighting))
def test_a_head_is_made_by_the_name_of_its_weighting(name: HeadWeighting) -> None:
    head = make_head(name, CHANNELS, channels=FEATURES, detach_similarity=True)
    assert type(head.weighting).__name__.lower() == name
    assert (head.grid_channels, head.channels, head.detach_similarity) == (CHANNELS, FEATURES, True)
    assert head(grids(1), grids(2)).score.shape == (6,)


def test_an_unknown_weighting_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match=r"'median' is unknown; one of separable, symmetric"):
        make_head("median", CHANNELS, channels=FEATURES)  # type: ignore[arg-type]


def test_the_projection_is_a_biased_convolution_normalised_with_a_slope_per_channel() -> None:
    head = trained("uniform")
    assert count(head.projection) == CHANNELS * FEATURES + FEATURES + 2 * FEATURES + FEATURES
    expected = [block_by_hand(head.projection, grid) for grid in array(grids(1))]
    np.testing.assert_allclose(array(head.project(grids(1))), expected, atol=1e-5)


def test_similarity_is_the_cosine_of_the_same_cell_in_both_faces() -> None:
    head, a, b = trained("uniform"), grids(1), grids(2)
    x, y = array(head.project(a)), array(head.project(b))
    expected = [
        [[1 - cosine(x[n, :, i, j], y[n, :, i, j]) for j in range(COLS)] for i in range(ROWS)] for n in range(len(a))
    ]
    np.testing.assert_allclose(array(head(a, b).similarity), expected, atol=1e-5)


def test_a_cell_without_features_has_cosine_zero_and_a_finite_gradient() -> None:
    head = trained("uniform")
    nn.init.zeros_(head.projection.conv.weight)
    norm = head.projection.norm
    for values in (head.projection.conv.bias, norm.bias, norm.running_mean):
        nn.init.zeros_(values)  # type: ignore[arg-type]  # none of them is None here
    maps = head(grids(1), grids(2))
    assert (maps.similarity == 0).all()
    maps.score.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in head.parameters() if p.grad is not None)


@EVERY
def test_the_score_is_the_sum_over_cells_of_similarity_times_attention(weighting: str) -> None:
    maps = trained(weighting)(grids(1), grids(2))
    similarity, attention = array(maps.similarity), array(maps.attention)
    np.testing.assert_allclose(array(maps.score), np.einsum("nij,nij->n", similarity, attention), atol=1e-6)


@EVERY
def test_maps_are_in_range_and_attention_sums_to_at_most_one(weighting: str) -> None:
    with torch.no_grad():
        maps = trained(weighting)(grids(1), grids(2))
    assert maps.similarity.shape == maps.attention.shape == (6, ROWS, COLS)
    assert float(maps.similarity.abs().max()) <= 1 + 1e-6
    assert float(maps.attention.min()) >= 0
    totals = maps.attention.sum(dim=(1, 2))
    assert float(totals.max()) <= 1 + 1e-6
    if weighting != "norm":
        torch.testing.assert_close(totals, torch.ones(6))


def test_uniform_scores_are_the_mean_of_the_cosines() -> None:
    maps = trained("uniform")(grids(1), grids(2))
    torch.testing.assert_close(maps.score, maps.similarity.mean(dim=(1, 2)))


def test_norm_scores_are_the_cosine_of_the_vectors_that_the_id_loss_trains() -> None:
    head, a, b = trained("norm"), grids(1), grids(2)
    x, y = (array(head.project(side)).reshape(6, -1) for side in (a, b))
    expected = [1 - cosine(u, v) for u, v in zip(x, y, strict=True)]
    np.testing.assert_allclose(array(head(a, b).score), expected, atol=1e-6)
    vectors = [array(head.id_vector(head.project(side))) for side in (a, b)]
    np.testing.assert_allclose(np.vecdot(*vectors), expected, atol=1e-6)


def test_the_id_vector_is_the_features_channel_first_at_length_one() -> None:
    projected = torch.zeros(1, 2, 1, 2)
    projected[0, :, 0, :] = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    torch.testing.assert_close(XcosHead.id_vector(projected), torch.tensor([[0.2, 0.4, 0.4, 0.8]]))


def test_the_learned_attention_is_the_papers_network_recomputed_by_hand() -> None:
    head, a, b = trained("concat"), grids(1, 2), grids(2, 2)
    assert isinstance(head.weighting, Concat)
    for n in range(2):
        x, y = (array(head.project(side))[n] for side in (a, b))
        expected = softmax(published_logits(head.weighting, x, y))
        np.testing.assert_allclose(array(head(a, b).attention)[n], expected, atol=1e-6)


def test_the_symmetric_attention_is_the_softmax_of_the_mean_of_both_orders() -> None:
    head, a, b = trained("symmetric"), grids(1, 1), grids(2, 1)
    assert isinstance(head.weighting, Symmetric)
    concat = head.weighting.concat
    x, y = (array(head.project(side))[0] for side in (a, b))
    expected = softmax((published_logits(concat, x, y) + published_logits(concat, y, x)) / 2)
    np.testing.assert_allclose(array(head(a, b).attention)[0], expected, atol=1e-6)


def test_a_separable_pair_weighs_a_cell_by_the_product_of_both_faces_trust() -> None:
    head, a, b = trained("separable"), grids(1), grids(2)
    assert isinstance(head.weighting, Separable)
    u, v = array(head.weighting.trust(a)), array(head.weighting.trust(b))
    expected = u * v / (u * v).sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(array(head(a, b).attention), expected, atol=1e-6)


def test_a_separable_head_starts_at_uniform_attention() -> None:
    attention = XcosHead(CHANNELS, Separable(CHANNELS))(grids(1), grids(2)).attention
    torch.testing.assert_close(attention, torch.full_like(attention, 1 / (ROWS * COLS)))


@pytest.mark.parametrize("ratio", [2.0, 16.0])
@torch.no_grad()
def test_bounded_trust_cannot_collapse_onto_one_cell(ratio: float) -> None:
    separable = Separable(CHANNELS, 4, ratio=ratio).eval()
    head = XcosHead(CHANNELS, separable).eval()
    for parameter in separable.parameters():
        nn.init.normal_(parameter, std=50, generator=torch.Generator().manual_seed(0))
    trust = separable.trust(grids(1, 50)).flatten(1)
    assert float((trust.amax(dim=1) / trust.amin(dim=1)).max()) <= ratio * (1 + 1e-5)
    attention = head(grids(1, 50), grids(1, 50)).attention
    cells = ROWS * COLS
    assert float(attention.max()) <= ratio**2 / (ratio**2 + cells - 1) + 1e-6
    assert float(attention.min()) >= 1 / (1 + (cells - 1) * ratio**2) - 1e-6


@torch.no_grad()
def test_trust_without_bound_can_collapse_onto_one_cell() -> None:
    separable = Separable(CHANNELS, 4, ratio=None).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in separable.parameters():
        nn.init.normal_(parameter, std=20, generator=generator)
    face = separable.trust(grids(1, 50)).flatten(1)
    assert float((face.amax(dim=1) / face.amin(dim=1)).max()) > 1e4
    assert float(face.min()) > 0


def test_correlation_weights_are_pearsons_r_of_each_cell_over_their_sum() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.uniform(-0.2, 0.9, 40)
    similarity = teacher[:, None, None] + rng.normal(0, [[0.05, 0.2, 0.4], [0.1, 0.3, 0.6]], (40, 2, 3))
    found = correlation_weights(torch.tensor(similarity), torch.tensor(teacher))
    expected = np.array([[pearsonr(similarity[:, i, j], teacher).statistic for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(array(found), expected / expected.sum(), atol=1e-7)
    assert abs(float(found.sum()) - 1) < 1e-6
    attention = Fixed(found)(*[XcosHead(4, Uniform(), channels=4).face(torch.ones(2, 4, 2, 3))] * 2)
    assert (attention == found).all()


@pytest.mark.parametrize("spoilt", ["constant cell", "cell against the teacher", "constant teacher"])
def test_cells_without_a_correlation_are_refused(spoilt: str) -> None:
    teacher = torch.linspace(0, 1, 10)
    similarity = teacher[:, None, None].expand(10, 2, 2).clone()
    if spoilt == "constant cell":
        similarity[:, 0, 1] = 0.3
    elif spoilt == "cell against the teacher":
        similarity[:, 0, 1] *= -1
    else:
        teacher = torch.full((10,), 0.5)
    with pytest.raises(InvalidArgument, match="cells do not vary with the teacher"):
        correlation_weights(similarity, teacher)


@pytest.mark.parametrize(
    ("similarity", "teacher"), [((10, 2, 2), (9,)), ((10, 4), (10,)), ((1, 2, 2), (1,)), ((10, 2, 2), (10, 1))]
)
def test_correlations_need_a_teachers_score_for_every_pair(
    similarity: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidArgument, match="want similarity"):
        correlation_weights(torch.zeros(similarity), torch.zeros(teacher))


@pytest.mark.parametrize(
    "weights", [torch.tensor([[0.5, 0.6]]), torch.tensor([[1.5, -0.5]]), torch.ones(4) / 4, torch.tensor([[torch.nan]])]
)
def test_fixed_weights_that_are_no_attention_are_refused(weights: Tensor) -> None:
    with pytest.raises(InvalidArgument, match="weights must be"):
        Fixed(weights)


def test_fixed_weights_of_another_grid_are_refused() -> None:
    head = XcosHead(CHANNELS, Fixed(torch.full((7, 7), 1 / 49)))
    with pytest.raises(InvalidArgument, match=r"\[7, 7\] cells cannot weigh grids of \[5, 4\]"):
        head(grids(1), grids(2))


@pytest.mark.parametrize("ratio", [1.0, 0.0, -4.0, 1e7, float("nan")])
def test_a_ratio_that_is_no_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(InvalidArgument, match="ratio must lie above 1"):
        Separable(CHANNELS, ratio=ratio)


def test_a_grid_of_another_network_is_refused() -> None:
    head = trained("uniform")
    with pytest.raises(InvalidArgument, match=r"must be \(n, 12, h, w\), got \(6, 3, 5, 4\)"):
        head(grids(1)[:, :3], grids(2)[:, :3])
    with pytest.raises(InvalidArgument, match="equal shapes"):
        head(grids(1), grids(2)[:3])


@EVERY
def test_gradients_agree_with_finite_differences(weighting: str) -> None:
    head = trained(weighting).double()
    a, b = (grids(seed, 1).double().requires_grad_() for seed in (1, 2))
    assert torch.autograd.gradcheck(lambda x, y: head(x, y).score, (a, b), atol=1e-6, fast_mode=True)


@EVERY
def test_every_parameter_of_a_head_can_change_the_score(weighting: str) -> None:
    head = trained(weighting)
    head(grids(1), grids(2)).score.square().sum().backward()
    idle = [name for name, p in head.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    assert idle == []


def score_gradient(head: XcosHead) -> tuple[PairMaps, Tensor]:
    grid = grids(1).requires_grad_()
    maps = head(grid, grids(2))
    (gradient,) = torch.autograd.grad(maps.score.sum(), grid, allow_unused=True, materialize_grads=True)
    return maps, gradient


def test_detached_similarity_leaves_the_network_the_gradient_of_the_attention_alone() -> None:
    head = trained("concat")
    maps, whole = score_gradient(head)
    head.detach_similarity = True
    same, through_attention = score_gradient(head)
    torch.testing.assert_close(same.score, maps.score)
    grid = grids(1).requires_grad_()
    fixed = maps.similarity.detach()
    (expected,) = torch.autograd.grad((head(grid, grids(2)).attention * fixed).sum(), grid)
    torch.testing.assert_close(through_attention, expected)
    assert float((whole - through_attention).abs().max()) > 1e-3


def test_detached_similarity_with_weights_that_learn_nothing_leaves_no_gradient() -> None:
    face = XcosHead(CHANNELS, trained("norm").weighting, channels=FEATURES)
    uniform = XcosHead(CHANNELS, Uniform(), channels=FEATURES, detach_similarity=True)
    assert float(score_gradient(face)[1].abs().max()) > 0
    assert not uniform(grids(1), grids(2)).score.requires_grad


def test_no_option_of_the_head_is_dead() -> None:
    # The published model takes a soft-max temperature and a switch, and ignores both.
    assert list(inspect.signature(Concat).parameters) == ["channels", "hidden"]
    assert list(inspect.signature(Symmetric).parameters) == ["channels", "hidden"]
    options = ["grid_channels", "weighting", "channels", "detach_similarity"]
    assert list(inspect.signature(XcosHead).parameters) == options
    assert count(Concat(8, 4)) < count(Concat(8, 5)) < count(Concat(9, 5))
    assert count(Separable(8, 4)) < count(Separable(8, 5)) < count(Separable(9, 5))


def test_the_weighting_interface_itself_weighs_nothing() -> None:
    with pytest.raises(NotImplementedError):
        XcosHead(CHANNELS, Weighting())(grids(1), grids(2))
