"""Grids in fewer numbers."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import AngleEmbedder
from sklearn.decomposition import TruncatedSVD

from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.embedders.compact import CellBasis, CompactEmbedder, principal_directions, read_basis, shipped_compact
from xcos.errors import InvalidArgument, WeightsMismatch
from xcos.testing import check_embedder
from xcos.types import Crops, Grids


def flat_grids(seed: int, n: int = 60) -> Grids:
    """Six channels, of which each cell uses a plane of its own."""
    random = np.random.default_rng(seed)
    planes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 2, 6, 2)))[0]
    return (planes @ random.normal(size=(n, 3, 2, 2, 1)))[..., 0].astype(np.float32)


def test_what_lies_in_a_plane_loses_nothing_in_two_numbers() -> None:
    basis = principal_directions([flat_grids(1), flat_grids(2)], 2)
    a, b = flat_grids(3), flat_grids(4)
    for full, compact in zip(
        TrustWeighted().maps(a, b), TrustWeighted().maps(basis.compact(a), basis.compact(b)), strict=True
    ):
        np.testing.assert_allclose(compact, full, atol=1e-5)


def test_directions_are_those_of_an_uncentered_decomposition_of_each_cell() -> None:
    """scikit-learn's truncated SVD of unit vectors, each times the root of its length."""
    random = np.random.default_rng(5)
    grids = (random.normal(size=(200, 2, 1, 5)) * [3, 1, 0.5, 2, 0.1] + [0, 1, 0, 0, 0]).astype(np.float32)
    basis = principal_directions(np.split(grids, 4), 3)
    for row in range(2):
        cells = grids[:, row, 0].astype(np.float64)
        weighted = cells / np.sqrt(np.linalg.norm(cells, axis=1, keepdims=True))
        expected = TruncatedSVD(3, algorithm="arpack", random_state=0).fit(weighted).components_
        alike = np.abs(np.vecdot(basis.directions[row, 0].T, expected))
        np.testing.assert_allclose(alike, 1, atol=1e-5)


def test_compact_cells_are_as_long_as_before_so_that_attention_stays() -> None:
    random = np.random.default_rng(6)
    a, b = random.normal(size=(2, 8, 3, 2, 6)).astype(np.float32)
    a[0, 1, 1] = 0
    basis = principal_directions([a, b], 3)
    np.testing.assert_allclose(
        np.linalg.norm(basis.compact(a), axis=3), np.linalg.norm(a, axis=3), rtol=1e-5, atol=1e-7
    )
    full, compact = (TrustWeighted().maps(*sides)[1] for sides in ((a, b), (basis.compact(a), basis.compact(b))))
    np.testing.assert_allclose(compact, full, atol=1e-6)


def test_a_cell_that_has_nothing_in_the_kept_directions_becomes_zero() -> None:
    basis = CellBasis(np.array([[[[1], [0]]]], np.float32))
    np.testing.assert_array_equal(basis.compact(np.array([[[[0, 2]]], [[[3, 4]]]], np.float32)), [[[[0]]], [[[5]]]])


def test_the_file_gives_the_same_basis_to_half_precision() -> None:
    basis = principal_directions([flat_grids(7)], 2)
    again = read_basis(basis.to_bytes())
    np.testing.assert_allclose(again.directions, basis.directions, atol=5e-4)
    assert again.to_bytes() == basis.to_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04N."])
def test_what_is_no_file_of_directions_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsMismatch, match="directions"):
        read_basis(content)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 0)])
def test_directions_that_cannot_be_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="kept"):
        CellBasis(np.ones(shape, np.float32))


def test_grids_of_another_shape_are_refused() -> None:
    basis = principal_directions([flat_grids(8)], 2)
    with pytest.raises(InvalidArgument, match="grids must be"):
        basis.compact(np.ones((4, 3, 2, 7), np.float32))
    with pytest.raises(InvalidArgument, match="no batch"):
        principal_directions([], 2)


def test_compact_templates_never_pass_for_full_ones() -> None:
    embedder = AngleEmbedder()
    crops = np.random.default_rng(9).integers(0, 256, (3, *_crop(embedder)), np.uint8)
    full = embedder.embed(crops)
    bases = [principal_directions([full.grids], kept) for kept in (1, 2)]
    one, two = (CompactEmbedder(embedder, basis).embed(crops) for basis in bases)
    assert len({full.model, one.model, two.model}) == 3
    assert one.grids.shape == (*full.grids.shape[:3], 1)
    np.testing.assert_array_equal(one.vectors, full.vectors)


def test_the_shipped_basis_changes_scores_little_and_the_models_name(crops: Crops) -> None:
    compact, full = shipped_compact(), DlibResNet(grid="trusted")
    check_embedder(compact, crops[:3])
    assert compact.model.startswith(f"{full.model}/compact-32-")
    few, whole = compact.embed(crops), full.embed(crops)
    weighting = TrustWeighted()
    change = weighting.score_all(few.grids, few.grids) - weighting.score_all(whole.grids, whole.grids)
    assert 0 < np.abs(change).max() < 0.1


def _crop(embedder: AngleEmbedder) -> tuple[int, int, int]:
    template = embedder.card.template
    return template.height, template.width, 3
