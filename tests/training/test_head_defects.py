"""What goes wrong in the published head, one test each: it must not go wrong here."""

from __future__ import annotations

import pytest
import torch
from heads import COLS, ORDERLESS, ROWS, WEIGHTINGS, grids, trained
from scipy.special import softmax

from xcos.errors import InvalidArgument
from xcos.training.head import Concat, mirror_average

EVERY = pytest.mark.parametrize("weighting", WEIGHTINGS)


def test_the_softmax_temperature_is_one_and_not_an_ignored_option() -> None:
    head = trained("concat").double()
    assert isinstance(head.weighting, Concat)
    a, b = (head.face(grids(seed, 1).double()) for seed in (1, 2))
    logits = head.weighting.logits(head.weighting.face(a.features), head.weighting.face(b.features)).detach().numpy()
    attention = head.compare(a, b).attention.detach().numpy()
    assert abs(attention - softmax(logits)).max() < 1e-12
    assert abs(attention - softmax(logits / 2)).max() > 1e-3


@EVERY
def test_a_batch_of_one_keeps_its_shape_and_its_values(weighting: str) -> None:
    head = trained(weighting)
    many, one = head(grids(1), grids(2)), head(grids(1)[2:3], grids(2)[2:3])
    assert one.similarity.shape == one.attention.shape == (1, ROWS, COLS)
    assert one.score.shape == (1,)
    torch.testing.assert_close(one.score[0], many.score[2])
    assert head.id_vector(head.project(grids(1)[:1])).ndim == 2


@EVERY
def test_a_batch_of_one_can_be_trained_on(weighting: str) -> None:
    head = trained(weighting).train()
    head(grids(1, 1), grids(2, 1)).score.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in head.parameters() if p.grad is not None)


@pytest.mark.parametrize("weighting", ORDERLESS)
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_swapping_the_faces_changes_no_bit(weighting: str, training: bool) -> None:
    head = trained(weighting).train(training)
    there, back = head(grids(1), grids(2)), head(grids(2), grids(1))
    assert torch.equal(there.similarity, back.similarity)
    assert torch.equal(there.attention, back.attention)
    assert torch.equal(there.score, back.score)


@torch.no_grad()
def test_the_papers_own_attention_depends_on_the_order_of_the_faces() -> None:
    head = trained("concat")
    there, back = head(grids(1), grids(2)), head(grids(2), grids(1))
    assert torch.equal(there.similarity, back.similarity)
    assert float((there.score - back.score).abs().min()) > 1e-4


@EVERY
def test_a_second_call_finds_its_arguments_as_they_were(weighting: str) -> None:
    head, a, b = trained(weighting), grids(1), grids(2)
    kept = a.clone(), b.clone()
    first, second = head(a, b), head(a, b)
    assert torch.equal(a, kept[0])
    assert torch.equal(b, kept[1])
    assert torch.equal(first.score, second.score)


@EVERY
def test_the_statistics_of_evaluation_mode_do_not_drift(weighting: str) -> None:
    head = trained(weighting)
    before = {name: values.clone() for name, values in head.state_dict().items()}
    head(grids(1), grids(2))
    assert all(torch.equal(before[name], values) for name, values in head.state_dict().items())


def test_a_mirrored_photos_grid_is_mirrored_back_left_to_right_before_averaging() -> None:
    # One row of a face: eye, nose, other eye. Its mirror image shows the same row backwards.
    grid = torch.tensor([[1.0, 2.0, 5.0], [7.0, 8.0, 9.0]]).view(1, 1, 2, 3)
    of_mirror = torch.tensor([[5.0, 2.0, 1.0], [9.0, 8.0, 7.0]]).view(1, 1, 2, 3)
    assert torch.equal(mirror_average(grid, of_mirror), grid)
    assert torch.equal(mirror_average(grid, grid)[0, 0, 0], torch.tensor([3.0, 2.0, 3.0]))


@torch.no_grad()
def test_mirror_averaging_of_a_network_that_treats_places_alike_forgets_which_photo_was_mirrored() -> None:
    convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
    pixels = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    straight, mirrored = convolution(pixels), convolution(pixels.flip(-1))
    there, back = mirror_average(straight, mirrored), mirror_average(mirrored, straight)
    torch.testing.assert_close(there, back.flip(-1))
    assert float((there - (straight + mirrored) / 2).abs().max()) > 0.1
    assert float((there - (straight + mirrored.flip(-2)) / 2).abs().max()) > 0.1


def test_grids_that_do_not_belong_together_are_not_averaged() -> None:
    with pytest.raises(InvalidArgument, match="two equal"):
        mirror_average(grids(1), grids(1)[:, :, :3])
