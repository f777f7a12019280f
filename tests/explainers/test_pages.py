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
from xcos.embedders import DlibResNet
from xcos.explainers.listed import load
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.settings import settings_of
from xcos.testing import FakeEmbedder
from xcos.types import AlignedFace, Face

PAGES = Path(__file__).parents[2] / "docs" / "explainers"
FLOORS = ("random", "center", "edges", "uniform")
SHARED = {**dict.fromkeys(FLOORS, "floors.md"), "contrastive-ebp": "ebp.md", "truncated-ebp": "ebp.md"}
"""Methods that share a page."""
NO_OPTIONS = ("own", "norm", "edges", "uniform")


def page_of(name: str) -> str:
    return (PAGES / SHARED.get(name, f"{name}.md")).read_text("utf-8")


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_page_says_what_it_answers_costs_when_it_lies_its_options_and_source(name: str) -> None:
    text = page_of(name)
    needed = ("Cost", "When it lies", "Options") if name in FLOORS else (
        "What it answers", "Cost", "When it lies", "Options", "Source"
    )  # fmt: skip
    for part in needed:
        assert re.search(rf"^(## {part}$|\*\*{part}(\.|\b))", text, re.M), part
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
    assert f"({SHARED.get(name, f'{name}.md')})" in index


@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name not in NO_OPTIONS])
def test_the_page_names_every_option(name: str, dlib_trusted: DlibResNet) -> None:
    explainer = build_explainer(name, GridMatcher(dlib_trusted, TrustWeighted()))
    text = page_of(name)
    for option in (*settings_of(explainer), *EXPLAINERS[name].readers):
        assert f"`{option}`" in text, option


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_page_names_its_source_as_the_code_does(name: str) -> None:
    """First authors and years that stand in the class's docstring stand on the page."""
    text, doc = page_of(name), str(load(EXPLAINERS[name].path).__doc__)
    for paper in re.findall(r'"([A-Z][^"]{15,}?)[."?]', " ".join(doc.split())):
        assert paper in " ".join(text.split()), paper


def face(seed: int) -> AlignedFace:
    crop = np.random.default_rng(seed).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    return AlignedFace(crop, Face(np.array([0.0, 0, 150, 150]), DLIB_150.points, 1.0), DLIB_150, np.eye(2, 3), 0.0, 0.0)


@pytest.mark.slow
def test_the_index_states_the_passes_of_the_defaults(dlib_trusted: DlibResNet) -> None:
    index = (PAGES / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(.+?)\]\(.+?\) \| .+? \| (≤ )?([\d,]+)(?: \+ (≤ )?(\d+))? \|", index, re.M)
    told = {name: row[1:] for row in rows for name in row[0].split(", ")}
    assert set(told) == set(EXPLAINERS)
    fake, packaged = (GridMatcher(embedder, TrustWeighted()) for embedder in (FakeEmbedder(7), dlib_trusted))
    for name, (at_most, forward, back_at_most, backward) in told.items():
        listed = EXPLAINERS[name]
        matcher = packaged if listed.needs == "gradients" or "fields" in listed.readers else fake
        options = {"threshold": "0.5"} if listed.threshold else {}
        cost = build_explainer(name, matcher, options).explain(face(1), face(2)).cost
        for passes, stated, bound in ((cost.forward, forward, at_most), (cost.backward, backward or "0", back_at_most)):
            limit = int(stated.replace(",", ""))
            assert passes <= limit if bound else passes == limit, (name, passes)
