"""Folders of features know what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dlib_faces import attention_over_area, cell_shares, hash_of_code, hash_of_files, hash_of_photos, kept_folder


def test_what_is_made_from_something_else_has_another_folder(tmp_path: Path) -> None:
    first = kept_folder(tmp_path, "views", {"network": "a", "views": 8})
    assert kept_folder(tmp_path, "views", {"views": 8, "network": "a"}) == first
    assert kept_folder(tmp_path, "views", {"network": "b", "views": 8}) != first
    assert json.loads((first / "recipe.json").read_text()) == {"network": "a", "views": 8}


def test_photos_are_known_by_their_names_their_bytes_and_their_order(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / name).write_bytes(name.encode())
    hashes = {hash_of_photos(tmp_path, photos) for photos in (["a"], ["a", "b"], ["b", "a"])}
    (tmp_path / "images" / "b").write_bytes(b"changed")
    hashes.add(hash_of_photos(tmp_path, ["a", "b"]))
    assert len(hashes) == 4


def test_code_is_known_by_its_source(tmp_path: Path) -> None:
    assert hash_of_code(cell_shares) != hash_of_code(kept_folder)
    (tmp_path / "one").write_text("x")
    (tmp_path / "two").write_text("y")
    assert hash_of_files(tmp_path / "one") != hash_of_files(tmp_path / "two")


def test_a_covered_half_covers_half_of_the_cells_of_the_middle_column() -> None:
    covered = np.zeros((150, 150), bool)
    covered[:, :75] = True
    np.testing.assert_allclose(cell_shares(covered), np.tile([1, 1, 1, 0.5, 0, 0, 0], (7, 1)), atol=1e-6)


def test_attention_that_does_not_care_lies_on_covered_cells_by_their_area() -> None:
    hidden = np.zeros((2, 7, 7), np.float32)
    hidden[0, 0], hidden[1, :2] = 1, 0.5
    uniform = np.full((2, 7, 7), 1 / 49)
    assert attention_over_area(uniform, hidden) == pytest.approx(1)
    elsewhere = np.zeros((2, 7, 7))
    elsewhere[:, 6, 6] = 1
    assert attention_over_area(elsewhere, hidden) == 0
