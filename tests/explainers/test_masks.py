"""Families of masks against their definitions, and the statistics against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from explainers.toys import SIDE

from xcos.errors import InvalidArgument
from xcos.explainers.corr_rise import ranks
from xcos.explainers.explanation import on_crop
from xcos.explainers.masking import Masks
from xcos.explainers.masks import (
    Boxes,
    Parts,
    SmoothGrids,
    Spots,
    cell_boxes,
    hidden_sum,
    kept_correlation,
    kept_sum,
    random_grids,
    random_squares,
)
from xcos.explainers.smoothing import smoothed
from xcos.types import Floats


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def all_of(masks: Masks) -> Floats:
    return masks.kept(0, len(masks)).astype(np.float32)


FAMILIES: dict[str, Masks] = {
    "squares": random_squares(SIDE, SIDE, masks=70, squares=3, side=9, generator=generator()),
    "cells": cell_boxes(SIDE, 30, 5, 7),
    "grids": random_grids(SIDE, SIDE, masks=70, cells=5, keep=0.5, generator=generator()),
    "spots": Spots(np.ones((SIDE, 20), np.float32), generator().uniform(0, 20, (70, 2)), 3.0, remove=True),
    "parts": Parts(generator().integers(0, 6, (SIDE, 20)), generator().random((70, 6)) < 0.5),
}


@pytest.mark.parametrize("masks", FAMILIES.values(), ids=FAMILIES)
def test_a_mask_is_the_same_alone_and_among_others_and_lies_between_hidden_and_kept(masks: Masks) -> None:
    everything = masks.kept(0, len(masks))
    assert len(everything) == len(masks)
    assert everything.min() >= 0
    assert everything.max() <= 1
    assert everything.dtype in (np.bool_, np.float32)
    for start, stop in ((0, 1), (3, 9), (len(masks) - 1, len(masks))):
        assert np.allclose(masks.kept(start, stop), everything[start:stop], atol=1e-6)


def test_squares_are_whole_and_anywhere() -> None:
    masks = all_of(random_squares(SIDE, 20, masks=2000, squares=1, side=6, generator=generator()))
    assert ((1 - masks).sum(axis=(1, 2)) == 36).all()
    hidden = (1 - masks).mean(axis=0)
    assert (hidden > 0).all()
    # A pixel in the middle is hidden by 36 of (32 − 5) · (20 − 5) places, a corner by one.
    assert hidden[16, 10] == pytest.approx(36 / (27 * 15), rel=0.2)
    assert hidden[0, 0] == pytest.approx(1 / (27 * 15), abs=0.005)


@pytest.mark.parametrize("side", [0, 21])
def test_squares_that_do_not_fit_are_refused(side: int) -> None:
    with pytest.raises(InvalidArgument, match="do not fit"):
        random_squares(SIDE, 20, masks=1, squares=1, side=side, generator=generator())


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (7, 7), (5, 3), (SIDE, 30)])
def test_cells_hidden_are_the_pixels_that_on_crop_gives_them(rows: int, cols: int) -> None:
    masks = all_of(cell_boxes(SIDE, 30, rows, cols))
    for index, mask in enumerate(masks):
        numbers = np.arange(rows * cols, dtype=float).reshape(rows, cols)
        assert ((mask == 0) == (on_crop(numbers, SIDE, 30) == index)).all()


def test_grids_are_enlarged_bilinearly_and_shifted() -> None:
    """A grid of 2 × 2 over 8 pixels has cells of 4, is enlarged to 12 and cut at the shift: by SciPy's own zoom."""
    ndimage = pytest.importorskip("scipy.ndimage")
    grid = np.array([[0.0, 1.0], [1.0, 1.0]])
    shift = np.array([[1, 3]])
    (mask,) = SmoothGrids(8, 8, grid[None].astype(np.float32), shift).kept(0, 1)
    enlarged = ndimage.zoom(grid, 6, order=1, mode="nearest", grid_mode=True)
    assert enlarged.shape == (12, 12)
    assert np.allclose(mask, enlarged[1:9, 3:11], atol=1e-6)


def test_grids_keep_the_share_asked_for_everywhere() -> None:
    masks = all_of(random_grids(SIDE, SIDE, masks=4000, cells=7, keep=0.3, generator=generator()))
    assert np.abs(masks.mean(axis=0) - 0.3).max() < 0.04  # five standard errors


def test_spots_take_away_and_show_a_gaussian() -> None:
    centers = np.array([[10.0, 12.0]])
    rows, cols = np.mgrid[:SIDE, :SIDE]
    spot = np.exp(-((rows - 10) ** 2 + (cols - 12) ** 2) / (2 * 4.0**2))
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert np.allclose(Spots(1 - nothing, centers, 4.0, remove=True).kept(0, 1)[0], 1 - spot, atol=1e-6)
    assert np.allclose(Spots(nothing, centers, 4.0, remove=False).kept(0, 1)[0], spot, atol=1e-6)
    half = nothing + np.float32(0.5)
    assert np.allclose(Spots(half, centers, 4.0, remove=True).kept(0, 1)[0], 0.5 * (1 - spot), atol=1e-6)
    assert np.allclose(Spots(half, centers, 4.0, remove=False).kept(0, 1)[0], 0.5 + 0.5 * spot, atol=1e-6)


def test_parts_are_hidden_whole() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    shown = np.array([[True, False, True], [False, True, True]])
    expected = np.array([[[1, 1, 0], [1, 1, 0]], [[0, 0, 1], [1, 1, 1]]])
    assert (all_of(Parts(labels, shown)) == expected).all()


# Statistics


@pytest.mark.parametrize("masks", FAMILIES.values(), ids=FAMILIES)
def test_sums_are_those_of_the_whole_stack(masks: Masks) -> None:
    weights, stack = generator(1).normal(size=len(masks)), all_of(masks).astype(float)
    assert np.allclose(kept_sum(masks, weights), np.einsum("n,nhw->hw", weights, stack), atol=1e-6)
    assert np.allclose(hidden_sum(masks, weights), np.einsum("n,nhw->hw", weights, 1 - stack), atol=1e-6)


@pytest.mark.parametrize("masks", FAMILIES.values(), ids=FAMILIES)
def test_the_correlation_is_numpys_pixel_by_pixel(masks: Masks) -> None:
    values, stack = generator(1).normal(size=len(masks)) + 1000, all_of(masks).astype(float)
    found = kept_correlation(masks, values)
    assert np.abs(found).max() <= 1 + 1e-9
    for row, col in generator(2).integers(0, 20, (25, 2)):
        pixel = stack[:, row, col]
        expected = np.corrcoef(pixel, values)[0, 1] if pixel.std() > 1e-6 else 0.0
        assert found[row, col] == pytest.approx(expected, abs=1e-5)


def test_what_never_varies_correlates_with_nothing() -> None:
    masks = Boxes(8, 8, np.array([[[0, 0, 4, 4]], [[0, 0, 4, 4]], [[4, 4, 8, 8]]]))
    found = kept_correlation(masks, np.array([0.1, 0.2, 0.3]))
    assert (found[:4, 4:] == 0).all()  # never hidden
    assert (found[:4, :4] != 0).all()
    assert (kept_correlation(masks, np.full(3, 0.7)) == 0).all()  # 0.7 three times has a mean a bit off 0.7


def test_ranks_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = generator().integers(0, 20, 100) / 7
    assert (ranks(values) == stats.rankdata(values)).all()


def test_smoothing_is_scipys_inside_and_leaves_a_constant_alone() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    values = generator().normal(size=(40, 50))
    expected = ndimage.gaussian_filter(values, 2.0, radius=6)
    found = smoothed(values, 2.0, radius=6)
    assert np.allclose(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-12)
    assert np.allclose(smoothed(np.full((9, 7), 3.5), 2.0), 3.5)
