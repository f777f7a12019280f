"""Contributions where cells look: fields that are measured, kept and refused, and maps that keep the sum."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explainers.toys import TEMPLATE, noise
from hypothesis import given
from hypothesis import strategies as st

from xcos.catalog import build_explainer
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.cell_fields import CellFields, packaged_fields, read_fields, write_fields
from xcos.explainers.faithfulness.localisation import cell_means
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.seen import Seen
from xcos.testing import FAKE_CARD, FakeEmbedder

MATCHER = GridMatcher(FakeEmbedder(4, replace(FAKE_CARD, template=TEMPLATE)), TrustWeighted())


def some_fields(seed: int = 0, network: str = "fake") -> CellFields:
    shares = np.random.default_rng(seed).random((16, 4, 4))
    return CellFields(network, shares / shares.sum(axis=(1, 2), keepdims=True), "made up")


@given(st.integers(0, 1000), st.floats(-1, 1))
def test_the_squares_sum_to_score_less_threshold(seed: int, threshold: float) -> None:
    found = Seen(MATCHER, threshold, some_fields(seed)).explain(noise(seed), noise(seed + 1))
    assert cell_means(found.probe, 4, 4).sum() == pytest.approx(found.score - threshold, abs=1e-9)


def test_cells_that_see_only_their_own_square_are_the_centred_contributions() -> None:
    windows = CellFields("fake", np.eye(16).reshape(16, 4, 4), "made up")
    own = Seen(MATCHER, 0.5, windows).explain(noise(1), noise(2))
    centred = build_explainer("centered", MATCHER, {"threshold": "0.5"}).explain(noise(1), noise(2))
    assert own.probe == pytest.approx(centred.probe)


def test_fields_come_back_as_they_were_kept(tmp_path: Path) -> None:
    write_fields(tmp_path / "fields.json", some_fields())
    found = read_fields(tmp_path / "fields.json")
    assert found.shares == pytest.approx(some_fields().shares, abs=1e-5)
    assert found.shares.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-12)
    assert (found.network, found.origin) == ("fake", "made up")
    given = build_explainer("seen", MATCHER, {"threshold": "0.5", "fields": str(tmp_path / "fields.json")})
    assert given.explain(noise(1), noise(2)).settings["threshold"] == 0.5


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "xcos.cell-fields/2"}'])
def test_what_holds_no_fields_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(InvalidArgument, match=r"other.json holds no fields of cells; benchmarks/cell_fields.py"):
        read_fields(tmp_path / "other.json")
    with pytest.raises(InvalidArgument, match=r"nothing.json"):
        read_fields(tmp_path / "nothing.json")


def test_shares_that_are_none_are_refused() -> None:
    whole = some_fields().shares
    for shares in (whole[:9], whole[0], -whole, whole * 2, whole * np.nan):
        with pytest.raises(InvalidArgument, match=r"fields are|must sum to 1"):
            CellFields("fake", shares, "made up")


def test_fields_of_another_network_or_grid_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="the fields are of the cells of another"):
        Seen(MATCHER, 0.5, some_fields(network="another"))
    with pytest.raises(InvalidArgument, match="was not measured"):
        Seen(MATCHER, 0.5)
    small = CellFields("fake", np.eye(4).reshape(4, 2, 2), "made up")
    with pytest.raises(InvalidArgument, match="2 × 2 cells, the comparison has 4 × 4"):
        Seen(MATCHER, 0.5, small).explain(noise(1), noise(2))


def test_the_shipped_fields_are_of_the_shipped_network_and_centred_on_their_cells(dlib_trusted: DlibResNet) -> None:
    fields = packaged_fields(dlib_trusted.model)
    assert fields.shares.shape == (49, 7, 7)
    places = np.arange(7)
    down, across = fields.shares.sum(axis=2) @ places, fields.shares.sum(axis=1) @ places
    rows, cols = np.divmod(np.arange(49), 7)
    assert np.corrcoef(down, rows)[0, 1] > 0.8  # a cell sees most about its own place, drawn to the middle
    assert np.corrcoef(across, cols)[0, 1] > 0.8
    assert "lfw-view1-train" in fields.origin


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    write_fields(tmp_path / "fields.json", some_fields())
    document = json.loads((tmp_path / "fields.json").read_bytes())
    assert sorted(document) == ["network", "origin", "schema", "shares"]
