"""Effects and contributions of regions, on a matcher whose regions are known and on the shipped one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from explainers.cell_toys import CellColors, mosaic, toy_face
from explainers.test_semantic_regions import square

from xcos.catalog import default_verifier
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.errors import InvalidArgument
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.semantic import (
    RegionSet,
    SemanticRegions,
    built_in,
    check_sentences,
    region_table,
    rephrase,
    sentences,
    summary,
)
from xcos.explainers.semantic.effects import SemanticMeasures
from xcos.interfaces import Comparator
from xcos.types import AlignedFace, Comparison

# In the toy's frame 20 px are 1: this is the pixels 24…31 both ways, one cell of the 7 × 7 grid.
CELL = square("nose", -0.21, 0.19, 0.19, 0.59)
ONE = RegionSet("one", (CELL,))


def pair(seed: int = 0) -> tuple[AlignedFace, AlignedFace]:
    random = np.random.default_rng(seed)
    common = random.integers(40, 250, (7, 7, 3))
    other = np.where(random.random((7, 7, 1)) < 0.5, random.integers(40, 250, (7, 7, 3)), common)
    return toy_face(mosaic(common)), toy_face(mosaic(other))


def explainer(regions: RegionSet, comparator: Comparator | None = None) -> SemanticRegions:
    return SemanticRegions(GridMatcher(CellColors(), comparator or TrustWeighted()), regions, fill="black")


def test_hiding_one_cell_of_a_local_network_is_leaving_it_out() -> None:
    probe, reference = pair()
    assert ONE.masks(probe)[0].sum() == 64
    measured = explainer(ONE).measure(probe, reference)
    a, b = (CellColors().embed(face.crop[None]).grids.astype(np.float64) for face in (probe, reference))
    similarity, attention = TrustWeighted().maps(a, b)  # type: ignore[arg-type]
    comparison = Comparison(similarity[0], attention[0])
    kept = comparison.attention.copy()
    kept[3, 3] = 0
    without = (kept * comparison.similarity).sum() / kept.sum()
    nose = measured.by_name["nose"]
    for effect in (nose.probe, nose.reference, nose.both):
        assert effect == pytest.approx(comparison.score - without, abs=1e-6)
    assert nose.weight == pytest.approx(comparison.attention[3, 3], abs=1e-6)
    assert nose.contribution == pytest.approx(comparison.contribution[3, 3], abs=1e-6)
    assert nose.similarity == pytest.approx(comparison.similarity[3, 3], abs=1e-6)
    assert nose.area == pytest.approx(64 / 56**2)


@pytest.mark.parametrize("granularity", ["coarse", "medium", "fine"])
@pytest.mark.parametrize("comparator", [TrustWeighted(), NormWeighted(), Uniform()])
def test_contributions_of_all_regions_sum_to_the_score(granularity: str, comparator: Comparator) -> None:
    probe, reference = pair(1)
    moved = replace(reference, face=replace(reference.face, landmarks=reference.face.landmarks + np.array([3.0, -2.0])))
    measured = explainer(built_in(granularity), comparator).measure(probe, moved)  # type: ignore[arg-type]
    assert sum(region.contribution for region in measured.regions) == pytest.approx(measured.score, abs=1e-9)
    assert sum(region.area for region in measured.regions) == pytest.approx(1)


def test_swapping_the_photos_swaps_the_sides() -> None:
    probe, reference = pair(2)
    one, other = (explainer(built_in("fine")).measure(*faces) for faces in ((probe, reference), (reference, probe)))
    for mine, theirs in zip(one.regions, other.regions, strict=True):
        assert (mine.probe, mine.reference) == (theirs.reference, theirs.probe)
        assert mine.both == theirs.both
        assert mine.contribution == pytest.approx(theirs.contribution, abs=1e-15)


def test_the_map_is_the_effect_of_each_pixel_s_region_per_pixel() -> None:
    probe, reference = pair(3)
    told = explainer(ONE)
    explanation, measured = told.explain(probe, reference), told.measure(probe, reference)
    inside = ONE.masks(probe)[0]
    nose, rest = measured.regions
    np.testing.assert_allclose(explanation.probe[inside], nose.probe / 64)
    np.testing.assert_allclose(explanation.reference[~inside], rest.reference / (56**2 - 64))
    assert explanation.score == measured.score
    assert explanation.settings == {"regions": "one", "fill": "black"}
    assert explanation.method == told.name


def test_the_maps_of_what_was_measured_cost_nothing_more() -> None:
    probe, reference = pair(3)
    embedder = CellColors()
    told = SemanticRegions(GridMatcher(embedder, TrustWeighted()), ONE, fill="black")
    measured = told.measure(probe, reference)
    before = sum(embedder.seen)
    found = told.explanation_of(measured, probe, reference)
    assert sum(embedder.seen) == before
    np.testing.assert_array_equal(found.probe, told.explain(probe, reference).probe)
    assert found.cost == measured.cost


def test_the_table_and_the_plain_values_are_the_measures() -> None:
    measured = replace(explainer(built_in("coarse")).measure(*pair(6)), threshold=0.5)
    head, *rows = region_table(measured)
    assert [row[0] for row in rows] == list(built_in("coarse").names)
    assert all(len(row) == len(head) for row in rows)
    told = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert (told["threshold"], told["region_set"], told["fill"]) == (0.5, "coarse", "black")
    for row, region, values in zip(rows, measured.regions, told["regions"], strict=True):
        assert row[1] == f"{-region.probe:+.4f}", "a change of the score, below 0 where it falls"
        assert row[4] == f"{region.contribution:.4f}"
        assert (values["name"], values["both"], values["similarity"]) == (region.name, region.both, region.similarity)
    assert summary(measured) == sentences(measured)[: len(summary(measured))]
    assert len(sentences(measured)) == len(summary(measured)) + 2 * len(rows)


def test_every_pass_is_counted() -> None:
    embedder = CellColors()
    told = SemanticRegions(GridMatcher(embedder, TrustWeighted()), built_in("fine"))
    assert told.explain(*pair()).cost.forward == sum(embedder.seen) == 2 * (1 + 15)


def test_the_fill_changes_the_numbers_and_is_recorded() -> None:
    probe, reference = pair(4)
    one, other = (
        SemanticRegions(GridMatcher(CellColors(), TrustWeighted()), ONE, fill=fill).measure(probe, reference)
        for fill in ("mean", "grey")
    )
    assert (one.fill, other.fill) == ("mean", "grey")
    assert one.regions[0].probe != other.regions[0].probe


def test_a_region_that_lies_outside_the_crop_changes_nothing_and_is_told_so() -> None:
    outside = RegionSet("far", (square("chin", -1, 5, 1, 6),))
    measured = replace(explainer(outside), fill="mean").measure(*pair())
    chin = measured.regions[0]
    assert (chin.area, chin.weight, chin.contribution, chin.probe, chin.both) == (0, 0, 0, 0, 0)
    assert chin.similarity is None
    told = sentences(measured)
    assert "Hiding the chin changes the score by 0.0000 in the probe" in " ".join(told)
    assert all(verdict.accepted for line in told for verdict in check_sentences(line, measured))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="fill must be"):
        SemanticRegions(GridMatcher(CellColors(), TrustWeighted()), fill="pink")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="threshold"):
        SemanticRegions(GridMatcher(CellColors(), TrustWeighted()), threshold=float("nan"))


def measured_pair() -> SemanticMeasures:
    return replace(explainer(built_in("coarse")).measure(*pair(5)), threshold=0.9)


def test_a_rephraser_s_true_words_stand_and_its_false_ones_are_replaced() -> None:
    measured = measured_pair()
    template = sentences(measured)
    asked: list[str] = []

    def rephraser(sentence: str) -> str:
        asked.append(sentence)
        if sentence.startswith("Hiding the eyes"):
            return "He wears glasses."
        return sentence.replace("lowers the score", "reduces the score")

    told = rephrase(measured, rephraser)
    assert asked == template
    assert [each.sentence for each in told] == [
        line if line.startswith("Hiding the eyes") else line.replace("lowers the score", "reduces the score")
        for line in template
    ]
    for line, each in zip(template, told, strict=True):
        assert each.rephrased != line.startswith("Hiding the eyes")
        assert bool(each.rejected) == line.startswith("Hiding the eyes")


def test_one_false_sentence_among_several_replaces_them_all() -> None:
    measured = measured_pair()
    told = rephrase(measured, lambda sentence: f"{sentence} Hiding the nose in the probe lowers the score by 9.9999.")
    assert [each.sentence for each in told] == sentences(measured)
    assert all(len(each.rejected) == 1 for each in told)


def test_a_rephraser_that_says_nothing_or_no_text_changes_nothing() -> None:
    measured = measured_pair()
    assert [each.sentence for each in rephrase(measured, lambda _: " ")] == sentences(measured)
    with pytest.raises(InvalidArgument, match="must give text"):
        rephrase(measured, lambda _: None)  # type: ignore[arg-type,return-value]


@pytest.mark.slow
def test_on_the_shipped_network_the_words_pass_the_checker(aligned: Callable[[str], AlignedFace]) -> None:
    verifier = default_verifier()
    threshold = verifier.calibration.threshold(1e-3).value
    told = SemanticRegions(GridMatcher(verifier.embedder, verifier.comparator), built_in("fine"), threshold)
    measured = told.measure(aligned("1_front"), aligned("1_yaw"))
    assert sum(region.contribution for region in measured.regions) == pytest.approx(measured.score, abs=1e-6)
    assert len({region.probe for region in measured.regions}) == 15
    for line in sentences(measured):
        assert [verdict.reason for verdict in check_sentences(line, measured)] == [""]
