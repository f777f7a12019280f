"""A face and its mirror image put together: what stands at the left stays at the left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xcos.alignment import DLIB_150
from xcos.embedders import DlibResNet
from xcos.errors import InvalidTemplate
from xcos.evaluation.mirror import Mirrored, mirror_average
from xcos.testing import FakeEmbedder, check_embedder
from xcos.types import Crops, Templates
from xcos.weights import WeightCard


class Lopsided:
    """An embedder that treats left and right differently in every cell and number."""

    card: WeightCard = FakeEmbedder().card
    model = "lopsided"

    def embed(self, crops: Crops) -> Templates:
        cells = crops.reshape(len(crops), 3, 50, 5, 30, 3).mean(axis=(2, 4)).astype(np.float32)  # (n, 3, 5, 3)
        uneven = np.arange(1, 3 * 5 * 3 + 1, dtype=np.float32).reshape(3, 5, 3)
        grids = cells * uneven + np.float32(1)
        return Templates(grids, (grids * uneven).sum(axis=(1, 2)), self.model)


@given(crops=arrays(np.uint8, (2, 150, 150, 3), elements=st.integers(0, 255), fill=st.integers(0, 255)))
def test_mirroring_the_photo_mirrors_the_template_to_the_last_bit(crops: Crops) -> None:
    embedder = Mirrored(Lopsided())
    seen, mirrored = embedder.embed(crops), embedder.embed(np.ascontiguousarray(crops[:, :, ::-1]))
    np.testing.assert_array_equal(mirrored.grids, seen.grids[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.vectors, seen.vectors)


def test_the_packaged_network_mirrors_to_the_last_bit(dlib_fourth: DlibResNet, crops: Crops) -> None:
    embedder = Mirrored(dlib_fourth)
    seen, mirrored = embedder.embed(crops[:3]), embedder.embed(np.ascontiguousarray(crops[:3, :, ::-1]))
    np.testing.assert_array_equal(mirrored.grids, seen.grids[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.vectors, seen.vectors)


def test_the_packaged_network_keeps_the_contract_with_a_mirror_too(dlib_last: DlibResNet, crops: Crops) -> None:
    check_embedder(Mirrored(dlib_last), crops)


def test_a_feature_at_the_left_stays_at_the_left() -> None:
    crop = np.zeros((1, DLIB_150.height, DLIB_150.width, 3), np.uint8)
    crop[0, :75, :75] = (10, 20, 30)  # upper left only
    made = Mirrored(FakeEmbedder()).embed(crop)
    # the fake's cells are mean colours plus one; its mirror image shows the same in the upper right, mirrored back
    assert made.grids[0].tolist() == [[[11, 21, 31], [1, 1, 1]], [[1, 1, 1], [1, 1, 1]]]


def test_vectors_are_added_and_grids_averaged() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3)).astype(np.uint8)
    plain, turned = Lopsided().embed(crop), Lopsided().embed(np.ascontiguousarray(crop[:, :, ::-1]))
    made = Mirrored(Lopsided()).embed(crop)
    np.testing.assert_allclose(made.vectors, plain.vectors.astype(np.float64) + turned.vectors, rtol=1e-6)
    np.testing.assert_allclose(made.grids[:, :, 0], (plain.grids[:, :, 0] + turned.grids[:, :, 4]) / 2.0, rtol=1e-6)


def test_the_average_is_that_of_the_training() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed: pip install 'xcos[train]'")
    from xcos.training.head import maps

    one, other = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    channels_first = [torch.from_numpy(each).permute(0, 3, 1, 2) for each in (one, other)]
    wanted = maps.mirror_average(*channels_first).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(mirror_average(one, other), wanted)


def test_the_model_is_another_one_and_the_card_is_not() -> None:
    embedder = Mirrored(Lopsided())
    assert embedder.model == "lopsided+mirror"
    assert embedder.embed(np.ones((1, 150, 150, 3), np.uint8)).model == embedder.model
    assert embedder.card is Lopsided.card


def test_a_vector_and_its_opposite_leave_no_template() -> None:
    class Odd(Lopsided):
        def embed(self, crops: Crops) -> Templates:
            sign = np.where(crops[:, 0, 0, 0] > crops[:, 0, -1, 0], 1, -1).astype(np.float32)
            grids = np.ones((len(crops), 1, 1, 1), np.float32)
            return Templates(grids, sign[:, None] * np.array([[1, 2]], np.float32), self.model)

    crop = np.zeros((1, 150, 150, 3), np.uint8)
    crop[0, 0, 0] = 9
    with pytest.raises(InvalidTemplate, match="no usable template"):
        Mirrored(Odd()).embed(crop)
