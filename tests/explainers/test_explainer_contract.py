"""Every explainer of the catalogue keeps the shared contract and counts its cost; the contract notices who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from explainers.toys import SIDE, TEMPLATE, Counting, WeightedSum, noise

from xcos.catalog import EXPLAINERS, build_explainer
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.centered import Centered
from xcos.explainers.corr_rise import CorrRise
from xcos.explainers.explanation import Cost, Explainer, Explanation
from xcos.explainers.matcher import GridMatcher, Matcher, VectorMatcher
from xcos.explainers.own_maps import OwnMaps
from xcos.explainers.semantic import SemanticRegions
from xcos.testing import FAKE_CARD, ContractBroken, FakeEmbedder, check_explainer
from xcos.types import AlignedFace, Crops, CropTemplate, Face, Maps, Templates
from xcos.weights import WeightCard

CARD = replace(FAKE_CARD, template=TEMPLATE)
ADDITIVE = ("own", "norm", "centered", "seen", "transport")
WITHOUT_PASSES = (*ADDITIVE, "random", "center", "edges", "uniform", "counterfactual")  # no cells of noise flip
SCORES, CELLS = (
    [name for name, listed in EXPLAINERS.items() if listed.needs == needs] for needs in ("scores", "cells")
)
BLACK_BOX = [*SCORES, *CELLS]


@dataclass(frozen=True)
class CountingEmbedder:
    """Mean colours of 7 × 7 cells under the shipped model's name, so that its packaged threshold is found."""

    model: str
    card: WeightCard = CARD
    calls: list[int] = field(default_factory=list)
    cells: int = 7

    def embed(self, crops: Crops) -> Templates:
        self.calls.append(len(crops))
        return FakeEmbedder(self.cells, self.card, self.model).embed(crops)


@pytest.fixture
def embedder(dlib_trusted: DlibResNet) -> CountingEmbedder:
    return CountingEmbedder(dlib_trusted.model)


@pytest.mark.parametrize("name", BLACK_BOX)
def test_explainers_keep_the_contract_and_count_every_pass(name: str, embedder: CountingEmbedder) -> None:
    explainer = build_explainer(name, GridMatcher(embedder, TrustWeighted()))
    assert explainer.name == name
    cost = explainer.explain(noise(1), noise(2)).cost
    assert cost == Cost(sum(embedder.calls))
    assert (cost == Cost(2)) == (name in WITHOUT_PASSES)
    check_explainer(explainer, noise(1), noise(2))


@pytest.mark.parametrize("name", SCORES)
def test_methods_that_need_only_scores_work_on_any_matcher(name: str, embedder: CountingEmbedder) -> None:
    for matcher in (VectorMatcher(embedder), WeightedSum(np.ones((4, 4)))):
        assert build_explainer(name, matcher).explain(noise(1), noise(2)).method == name


@pytest.mark.parametrize("name", CELLS)
def test_methods_that_show_cells_refuse_a_matcher_without(name: str, embedder: CountingEmbedder) -> None:
    for matcher in (VectorMatcher(embedder), WeightedSum(np.ones((4, 4)))):
        with pytest.raises(InvalidArgument, match=rf"method {name} .* has none; use .* corrrise"):
            build_explainer(name, matcher)


@pytest.mark.parametrize("name", [*CELLS, "norm", "transport"])
def test_methods_that_show_cells_refuse_a_grid_of_one(name: str, embedder: CountingEmbedder) -> None:
    """As that of a network without a feature map is: its map would be one colour, whatever the photos."""
    explainer = build_explainer(name, GridMatcher(replace(embedder, cells=1), TrustWeighted()))
    with pytest.raises(InvalidArgument, match=rf"method {name} .* one cell, the whole face; use .* corrrise"):
        explainer.explain(noise(1), noise(2))


WIDE = CropTemplate("toy_wide", 40, SIDE, TEMPLATE.points)


def wide(seed: int) -> AlignedFace:
    """A crop wider than high."""
    crop = np.random.default_rng(seed).integers(1, 256, (SIDE, 40, 3)).astype(np.uint8)
    whole = Face(np.array([0.0, 0.0, 40, SIDE]), WIDE.points, 1.0)
    return AlignedFace(crop, whole, WIDE, np.eye(2, 3), 0.0, 0.0)


@pytest.mark.parametrize("name", BLACK_BOX)
def test_crops_need_not_be_square(name: str, embedder: CountingEmbedder) -> None:
    card = replace(CARD, template=WIDE)
    matcher = GridMatcher(replace(embedder, card=card), TrustWeighted())
    found = build_explainer(name, matcher).explain(wide(1), wide(2))
    assert found.probe.shape == found.reference.shape == (SIDE, 40)


# Names and options


def test_options_are_read_from_texts_as_what_they_are(embedder: CountingEmbedder) -> None:
    matcher = GridMatcher(embedder, TrustWeighted())
    options = {"masks": "12", "seed": "4", "family": "grids", "keep": "0.8"}
    expected = CorrRise(matcher, masks=12, seed=4, family="grids", keep=0.8)
    assert build_explainer("corrrise", matcher, options) == expected
    assert build_explainer("lime", matcher, {"halves": "False"}) != build_explainer("lime", matcher)
    assert build_explainer("own", matcher) == OwnMaps(matcher)


def test_the_threshold_of_centred_contributions_is_the_packaged_one_or_the_one_given(
    embedder: CountingEmbedder,
) -> None:
    matcher = GridMatcher(embedder, TrustWeighted())
    packaged = build_explainer("centered", matcher)
    assert isinstance(packaged, Centered)
    assert 0.5 < packaged.threshold < 1
    assert build_explainer("centered", matcher, {"threshold": "0.25"}) == Centered(matcher, 0.25)
    unknown = GridMatcher(replace(embedder, model="somebody else's"), TrustWeighted())
    assert build_explainer("centered", unknown, {"threshold": "0.25"}) == Centered(unknown, 0.25)
    for name in ("centered", "seen", "counterfactual"):
        with pytest.raises(InvalidArgument, match="no packaged calibration"):
            build_explainer(name, unknown)


def test_regions_are_named_or_read_and_decide_nothing_without_a_threshold(
    embedder: CountingEmbedder, tmp_path: Path
) -> None:
    matcher = GridMatcher(embedder, TrustWeighted())
    own = tmp_path / "mine.toml"
    own.write_text(
        'name = "mine"\n[[region]]\nname = "nose"\nellipses = [{ center = [0.0, 0.5], radii = [0.3, 0.3] }]\n'
    )
    for given, name in (({}, "medium"), ({"regions": "fine"}, "fine"), ({"regions": str(own)}, "mine")):
        explainer = build_explainer("semantic", matcher, given)
        assert isinstance(explainer, SemanticRegions)
        assert explainer.regions.name == name
        assert explainer.threshold == pytest.approx(0.6656, abs=0.01)
    unknown = build_explainer("semantic", GridMatcher(replace(embedder, model="somebody else's"), TrustWeighted()))
    assert isinstance(unknown, SemanticRegions)
    assert unknown.threshold is None


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nothing", {}, "method 'nothing' is unknown; one of cell-occlusion"),
        ("corrise", {}, "'corrise' is unknown; did you mean corrrise or rise"),
        ("Grad_CAM", {}, "did you mean grad-cam\\?"),
        ("semantic", {"regions": "coarser"}, "cannot read the regions coarser"),
        ("semantic", {"granularity": "fine"}, "has no option granularity; it has threshold, fill, regions"),
        ("counterfactual", {"steps": "-1"}, "steps must be 0 or more"),
        ("counterfactual", {"threshold": "nan"}, "finite"),
        ("corrrise", {"mask": "3"}, "has no option mask; it has masks, family"),
        ("own", {"seed": "3"}, "method own has no option seed; it has none"),
        ("rise", {"masks": "many"}, "masks must be a whole number, got 'many'"),
        ("rise", {"keep": "half"}, "keep must be a number"),
        ("lime", {"halves": "1"}, "halves must be true or false"),
        ("rise", {"name": "mine"}, "has no option name"),
        ("rise", {"fill": "green"}, "fill must be one of black, grey, mean, blur"),
        ("centered", {"threshold": "high"}, "threshold must be a number"),
    ],
)
def test_what_cannot_be_built_is_refused(
    name: str, options: dict[str, str], said: str, embedder: CountingEmbedder
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        build_explainer(name, GridMatcher(embedder, TrustWeighted()), options)


# The contract notices


@dataclass(frozen=True, eq=False)
class Made:
    """An explainer with one fault, made by changing a sound explanation."""

    fault: Callable[[Explanation, AlignedFace], Explanation]
    matcher: Matcher = field(default_factory=lambda: WeightedSum(np.ones((4, 4))))
    masks: int = 8
    seed: int = 0
    name: str = "made"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        sound = CorrRise(self.matcher, masks=self.masks, seed=self.seed, name=self.name).explain(probe, reference)
        return self.fault(sound, probe)


COUNT = iter(range(1000))


def _other(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, method="another")


def _small(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, probe=found.probe[:8, :8])


def _free(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, cost=Cost(0))


def _silent(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, settings={"masks": 8})


def _lying(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, settings={**found.settings, "seed": 7})


def _drifting(found: Explanation, _: AlignedFace) -> Explanation:
    return replace(found, probe=found.probe + next(COUNT), reference=found.reference)


def _exchanged(found: Explanation, probe: AlignedFace) -> Explanation:
    """Maps of swapped photos, for one of the two orders."""
    first = int(probe.crop[0, 0, 0]) == int(noise(1).crop[0, 0, 0])
    return replace(found, probe=found.reference, reference=found.probe) if first else found


def _ordered(found: Explanation, probe: AlignedFace) -> Explanation:
    return replace(found, score=found.score + float(probe.crop[0, 0, 0]))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_other, "says another"),
        (_small, r"map is \(8, 8\)"),
        (_free, "no pass"),
        (_silent, "option seed"),
        (_lying, "seed 7, it is 0"),
        (_drifting, "second time"),
        (_exchanged, "does not swap their maps"),
        (_ordered, "changes the score"),
    ],
)
def test_a_faulty_explainer_is_noticed(fault: Callable[[Explanation, AlignedFace], Explanation], said: str) -> None:
    explainer: Explainer = Made(fault)
    with pytest.raises(ContractBroken, match=said):
        check_explainer(explainer, noise(1), noise(2))


def test_a_sound_one_is_not() -> None:
    check_explainer(Made(lambda found, _: found), noise(1), noise(2))


@dataclass(frozen=True, eq=False)
class Writing:
    """Covers the crop it was given instead of a copy."""

    matcher: Matcher
    name: str = "writing"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        base = probe.crop.base
        assert isinstance(base, np.ndarray)
        base[0, 0] = 255 - base[0, 0]
        maps: list[Maps] = [np.ones(face.crop.shape[:2]) for face in (probe, reference)]
        return Explanation(self.name, maps[0], maps[1], 0.5, Cost(2))


def test_an_explainer_that_writes_into_a_crop_is_noticed() -> None:
    with pytest.raises(ContractBroken, match="changed its crops"):
        check_explainer(Writing(Counting(WeightedSum(np.ones((1, 1))))), noise(1), noise(2))
