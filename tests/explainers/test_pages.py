"""Every method has its page and its picture, and the index tells the truth about costs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xcos.alignment import DLIB_150
from xcos.catalog import EXPLAINERS, build_explainer
from xcos.compare import TrustWeighted
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.settings import settings_of
from xcos.testing import FakeEmbedder
from xcos.types import AlignedFace, Face

PAGES = Path(__file__).parents[2] / "docs" / "explainers"
FLOORS = ("random", "center", "edges", "uniform")


def page_of(name: str) -> str:
    return (PAGES / ("floors.md" if name in FLOORS else f"{name}.md")).read_text("utf-8")


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_page_says_what_it_answers_costs_when_it_lies_its_options_and_source(name: str) -> None:
    text = page_of(name)
    needed = ("**Cost.**", "lie", "**Options") if name in FLOORS else (
        "**What it answers.**", "**Cost.**", "**When it lies.**", "**Options.**", "**Source.**"
    )  # fmt: skip
    for part in needed:
        assert part in text, part
    assert f"({name}.png)" in text


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_picture_is_small(name: str) -> None:
    path = PAGES / f"{name}.png"
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert picture.size[0] == 1180


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_index_leads_to_the_page(name: str) -> None:
    index = (PAGES / "README.md").read_text("utf-8")
    assert name in index
    assert ("(floors.md)" if name in FLOORS else f"({name}.md)") in index


@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name not in ("own", "norm", "edges", "uniform")])
def test_the_page_names_every_option(name: str) -> None:
    matcher = GridMatcher(FakeEmbedder(7), TrustWeighted())
    explainer = build_explainer(name, matcher, {"threshold": "0.5"} if name == "centered" else {})
    text = page_of(name)
    for option in settings_of(explainer):
        assert f"`{option}`" in text, option


def face(seed: int) -> AlignedFace:
    crop = np.random.default_rng(seed).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    return AlignedFace(crop, Face(np.array([0.0, 0, 150, 150]), DLIB_150.points, 1.0), DLIB_150, np.eye(2, 3), 0.0, 0.0)


@pytest.mark.slow
def test_the_index_states_the_passes_of_the_defaults() -> None:
    matcher = GridMatcher(FakeEmbedder(7), TrustWeighted())
    rows = re.findall(
        r"^\| \[(.+?)\]\(.+?\) \| .+? \| (≤ )?([\d,]+) \|", (PAGES / "README.md").read_text("utf-8"), re.M
    )
    assert len(rows) == 12
    for names, bound, passes in rows:
        for name in names.split(", "):
            explainer = build_explainer(name, matcher, {"threshold": "0.5"} if name == "centered" else {})
            cost = explainer.explain(face(1), face(2)).cost.forward
            assert cost <= int(passes.replace(",", "")) if bound else cost == int(passes.replace(",", "")), name
