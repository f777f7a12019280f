"""The learned stage: the published network taken apart, the same in torch and in the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xcos.alignment import DLIB_150
from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import CARD, Layers, published_layers
from xcos.embedders.trusted_stage import FLOOR, GLOBAL, NEAR, StageWeights, add_stage, read_stage
from xcos.errors import WeightsMismatch
from xcos.occluders import sunglasses
from xcos.onnx_runtime import GraphWriter, open_session
from xcos.training.all_pairs import trust_weighted_scores
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.training.stage_fit import StageSettings, StageStep, Views, _drawn_views, fit_stage, stage_losses
from xcos.types import AlignedFace


@pytest.fixture(scope="module")
def layers() -> Layers:
    return published_layers()


def fresh(layers: Layers, seed: int = 0) -> TrustedStage:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    mean_face, mean_vector = random.uniform(0, 1, (7, 7, 256)), random.normal(0, 0.05, 128)
    return TrustedStage(layers, mean_face.astype(np.float32), mean_vector.astype(np.float32)).eval()


def set_coverage(stage: TrustedStage, logit: float) -> None:
    """Every cell is covered (far above 0) or visible (far below), whatever it shows."""
    last = stage.covered[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(logit)


def some_fourth(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 2, (count, 256, 7, 7)).astype(np.float32)


def graph_of(weights: StageWeights) -> bytes:
    graph = GraphWriter()
    x = graph.node("Cast", "fourth", to=1)
    graph.node("Identity", add_stage(graph, x, weights), output="grid")
    return graph.model({"fourth": ["n", 256, 7, 7]}, ["grid"])


def test_unlearned_and_uncovered_it_adds_up_to_the_published_vector(
    layers: Layers, aligned: Callable[[str], AlignedFace]
) -> None:
    """Mean of the published network's four quarters, one of them corrected: recomputed from the stage's own parts."""
    crop = aligned("0_front").crop[None]
    fourth = torch.from_numpy(DlibResNet(grid="fourth").embed(crop).grids.transpose(0, 3, 1, 2).copy())
    stage = fresh(layers)
    with torch.no_grad():
        summary = stage.summary(torch.relu(stage.windows(fourth) + stage.window_bias))[:, :, 0, 0]
        quarters = [fourth[:, :, i : i + 3 : 2, j : j + 3 : 2].mean(dim=(2, 3)) for i in (0, 4) for j in (0, 4)]
        pooled = (torch.relu(quarters[0] + summary) + quarters[1] + quarters[2] + quarters[3]) / 4
        vector = pooled @ torch.tensor(layers.linear)
    assert np.abs(vector.numpy() - DlibResNet().embed(crop).vectors).max() < 1e-5


def test_an_uncovered_cell_is_its_own_features_its_neighbours_and_the_summary(layers: Layers) -> None:
    stage = fresh(layers)
    set_coverage(stage, -40.0)  # everything visible
    with torch.no_grad():
        fourth = torch.from_numpy(some_fourth(1))
        staged = stage(fourth)
        summary = stage.summary(torch.relu(stage.windows(fourth) + stage.window_bias))[0, :, 0, 0]
    x = fourth[0].numpy().astype(np.float64)
    cell = (1 - NEAR) * x[:, 0, 0] + NEAR * x[:, :2, :2].mean(axis=(1, 2))  # a corner has three neighbours
    mixed = (1 - GLOBAL) * cell + GLOBAL * np.maximum(cell + summary.numpy(), 0)
    expected = layers.linear.T @ mixed + stage.place[:, 0, 0].detach().numpy()
    assert np.allclose(staged.features[0, :, 0, 0].numpy(), expected, atol=1e-4)
    assert np.allclose(staged.trust[0, 0, 0].item(), np.linalg.norm(expected) * (1 + FLOOR), rtol=1e-5)


def test_a_covered_cell_is_the_mean_face_and_counts_for_little(layers: Layers) -> None:
    stage = fresh(layers)
    set_coverage(stage, 40.0)  # everything covered
    with torch.no_grad():
        one, other = (stage(torch.from_numpy(some_fourth(2))[at : at + 1]) for at in (0, 1))
    assert torch.equal(one.features, other.features)
    assert torch.allclose(one.trust, one.features.norm(dim=1) * FLOOR, rtol=1e-5)


def test_the_graph_gives_the_stage_s_numbers_and_its_lengths_are_the_trust(layers: Layers) -> None:
    weights = fresh(layers).weights()
    session = open_session(graph_of(weights))
    # the graph's input is uint8; whole numbers are exact in both
    fourth = np.random.default_rng(2).integers(0, 4, (3, 256, 7, 7), np.uint8)
    grid = session.run(["grid"], {"fourth": fourth})[0]
    stage = rounded(fresh(layers), weights)
    with torch.no_grad():
        staged = stage(torch.from_numpy(fourth.astype(np.float32)))
    unit = staged.features / staged.features.norm(dim=1, keepdim=True)
    assert np.abs(grid - (unit * staged.trust[:, None]).numpy()).max() < 1e-5 * np.abs(grid).max()
    assert np.allclose(np.linalg.norm(grid, axis=1), staged.trust.numpy(), rtol=1e-4)


def rounded(stage: TrustedStage, weights: StageWeights) -> TrustedStage:
    """The stage with its parameters in half precision, as they are shipped."""
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.copy_(parameter.half().float())
    assert np.array_equal(stage.windows.weight.detach().numpy(), weights.windows)
    return stage


def test_the_file_gives_the_same_weights_back_and_the_same_bytes_again(layers: Layers) -> None:
    weights = fresh(layers).weights()
    content = weights.to_bytes()
    again = read_stage(content)
    assert np.array_equal(again.windows, weights.windows)
    assert all(np.array_equal(a, b) for a, b in zip(again.covered_kernels, weights.covered_kernels, strict=True))
    assert again.to_bytes() == content


def test_a_stage_that_loads_the_weights_of_another_computes_what_it_does(layers: Layers) -> None:
    weights = fresh(layers, seed=1).weights()
    other = fresh(layers, seed=2)
    other.load(weights)
    wanted, fourth = rounded(fresh(layers, seed=1), weights), torch.from_numpy(some_fourth())
    with torch.no_grad():
        for mine, theirs in zip(other(fourth), wanted(fourth), strict=True):
            assert torch.equal(mine, theirs)
    assert other.weights().to_bytes() == weights.to_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04N."])
def test_what_is_no_stage_file_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsMismatch, match="learned stage"):
        read_stage(content)


def test_the_losses_are_their_formulas() -> None:
    """Four photos of two people, every pair written out."""
    scores = np.array([[1, 0.6, 0.3, 0.2], [0.6, 1, 0.1, 0.5], [0.3, 0.1, 1, 0.7], [0.2, 0.5, 0.7, 1]])
    wanted = scores + np.array([[9, 0.1, 0, 0.2], [0.1, 9, 0, 0], [0, 0, 9, -0.3], [0.2, 0, -0.3, 9]])
    settings = StageSettings(scale=5.0, boundary=0.4)
    labels = torch.tensor([0, 0, 1, 1])
    losses = stage_losses(torch.from_numpy(scores), torch.from_numpy(wanted), labels, settings)
    mated, other = [0.6, 0.6, 0.7, 0.7], [0.3, 0.2, 0.1, 0.5] * 2
    assert losses.imitation.item() == pytest.approx((0.01 * 2 + 0.09 * 2) / 4 / 2 + 0.04 * 2 / 8 / 2)
    log1p = [np.mean(np.log1p(np.exp(x))) for x in (-5 * (np.array(mated) - 0.4), 5 * (np.array(other) - 0.4))]
    assert losses.logistic.item() == pytest.approx(sum(log1p) / 2)
    rows = [(0.6, 0.3, 0.2), (0.6, 0.1, 0.5), (0.7, 0.3, 0.1), (0.7, 0.2, 0.5)]
    shares = [np.exp(5 * own) / np.exp(5 * np.array([own, *rest])).sum() for own, *rest in rows]
    assert losses.identity.item() == pytest.approx(-np.mean(np.log(shares)))
    total = settings.imitation * losses.imitation + losses.logistic + settings.identity * losses.identity
    assert losses.total(settings).item() == pytest.approx(total.item())


def test_the_teacher_is_the_vector_less_most_of_its_mean(layers: Layers) -> None:
    """The first step's losses, recomputed from the batch it drew: every photo of two people is in it."""
    views = toy_views(people=2, photos=2)
    settings = StageSettings(coverage_steps=1, steps=1, people=2, others=0, covered_share=0.0)
    steps: list[StageStep] = []
    fit_stage(replace(views, fourth=views.fourth[[0, 0, 2, 3]]), layers, settings, steps.append)
    centered = views.vectors - 0.7 * views.vectors.mean(axis=0)
    centered = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    wanted = torch.from_numpy(centered @ centered.T)
    unlearned = replace(settings, learned_share=0.0)  # but for one small step of the coverage
    start = fit_stage(replace(views, fourth=views.fourth[[0, 0, 2, 3]]), layers, unlearned)
    with torch.no_grad():
        staged = start(torch.from_numpy(views.fourth[0].astype(np.float32)).permute(0, 3, 1, 2))
    expected = stage_losses(
        trust_weighted_scores(staged.features, staged.trust), wanted, torch.from_numpy(views.labels), settings
    )
    assert steps[0].imitation == pytest.approx(expected.imitation.item(), rel=5e-3)
    assert steps[0].logistic == pytest.approx(expected.logistic.item(), rel=5e-3)
    assert steps[0].identity == pytest.approx(expected.identity.item(), rel=5e-3)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_views_are_covered_with_the_probability_asked_for_and_each_kind_evenly(share: float) -> None:
    rows = np.zeros(4000, np.int64)
    chosen = _drawn_views(toy_views(), rows, share, np.random.default_rng(0))
    wanted = np.array([(1 - share) / 2, (1 - share) / 2, share / 2, share / 2]) * len(rows)
    np.testing.assert_allclose(np.bincount(chosen, minlength=4), wanted, atol=4 * np.sqrt(len(rows) / 4))


def toy_views(people: int = 8, photos: int = 3) -> Views:
    """People whose fourth stage is their own pattern with noise; the upper rows are 'covered' by a constant."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(people), photos)
    own = random.uniform(0, 1, (people, 7, 7, 256))
    clear = own[labels] + random.normal(0, 0.1, (len(labels), 7, 7, 256))
    hidden = clear.copy()
    hidden[:, :3] = 3.0
    covered = np.zeros((4, len(labels), 7, 7), np.float32)
    covered[2:, :, :3] = 1
    vectors = (own[labels].reshape(len(labels), -1) @ random.normal(0, 0.01, (7 * 7 * 256, 128))).astype(np.float32)
    fourth = np.stack([clear, clear, hidden, hidden]).clip(0).astype(np.float16)
    return Views(fourth, covered, vectors, labels.astype(np.int64))


def test_fitting_finds_covered_cells_lowers_the_losses_and_is_repeatable(layers: Layers) -> None:
    views = toy_views()
    settings = StageSettings(coverage_steps=60, steps=12, people=6, others=2)
    steps: list[StageStep] = []
    stage = fit_stage(views, layers, settings, steps.append)
    assert [step.number for step in steps] == list(range(12))
    assert np.mean([step.identity for step in steps[-3:]]) < np.mean([step.identity for step in steps[:3]])
    with torch.no_grad():
        staged = stage(torch.from_numpy(views.fourth[2].astype(np.float32)).permute(0, 3, 1, 2))
    assert (staged.covered[:, :3] > 0).float().mean() > 0.9
    assert (staged.covered[:, 4:] < 0).float().mean() > 0.9
    again = fit_stage(views, layers, settings)
    assert again.weights().to_bytes() == stage.weights().to_bytes()


def test_what_is_kept_lies_between_the_published_and_the_fitted_weights(layers: Layers) -> None:
    """A share of 0 keeps the published network and the fitted coverage; shares in between lie on the line."""
    views = toy_views()
    none, half, whole = (
        fit_stage(views, layers, StageSettings(coverage_steps=5, steps=3, people=6, others=2, learned_share=share))
        for share in (0.0, 0.5, 1.0)
    )
    kernel = torch.tensor(layers.convolutions[-2].kernel)
    assert torch.equal(none.windows.weight, kernel)
    assert not torch.equal(whole.windows.weight, kernel)
    assert torch.allclose(half.windows.weight, (kernel + whole.windows.weight) / 2, atol=1e-7)
    for one, other in zip(none.covered.parameters(), whole.covered.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_shipped_stage_trusts_covered_eyes_less(aligned: Callable[[str], AlignedFace]) -> None:
    embedder = DlibResNet(grid="trusted")
    covered_crop, covered = sunglasses(aligned("0_front").crop, DLIB_150, np.random.default_rng(0))
    clear, hidden = (
        np.linalg.norm(embedder.embed(crop[None]).grids[0], axis=2) for crop in (aligned("0_front").crop, covered_crop)
    )
    eyes = np.zeros((7, 7), bool)
    for x, y in DLIB_150.points[:2]:
        eyes[int(y / 150 * 7), int(x / 150 * 7)] = True
    assert covered.any()
    assert ((hidden / hidden.sum())[eyes] < 0.5 * (clear / clear.sum())[eyes]).all()


def test_the_shipped_stage_leaves_the_vector_alone(aligned: Callable[[str], AlignedFace]) -> None:
    trusted, last = DlibResNet(grid="trusted"), DlibResNet()
    assert np.array_equal(
        trusted.embed(aligned("0_front").crop[None]).vectors, last.embed(aligned("0_front").crop[None]).vectors
    )
    assert trusted.model != last.model
    assert CARD.sha256[:12] in trusted.model
