"""Measures on a matcher whose true importance is known: the true map is best, its inverse worst, chance between."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers import faithful_toys as toys

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.faithfulness import (
    CellOcclusion,
    Completeness,
    CompositeGame,
    Deletion,
    DissimilarDeletion,
    HidingGame,
    Infidelity,
    Insertion,
    Measure,
    OccluderLocalisation,
    PatchLfw,
    Selectivity,
    SensitivityMax,
    Stability,
    Symmetry,
)
from xcos.explainers.faithfulness.hiding_game import share_inside
from xcos.explainers.faithfulness.infidelity import unexplained
from xcos.explainers.faithfulness.measure import Case, FacePair, Query, name_of, options_of, with_strangers
from xcos.explainers.faithfulness.moved import mirrored, shifted, shifted_back
from xcos.explainers.faithfulness.scoring import Scorer, play_alone
from xcos.types import AlignedFace

MATCHER = toys.weighted(toys.skewed_weights())
PAIRS = toys.people(8)
EVERY: list[Measure] = [
    Deletion(), Insertion(), DissimilarDeletion(), PatchLfw(), CellOcclusion(), Infidelity(), HidingGame(step=10),
    CompositeGame(), OccluderLocalisation(), Completeness(), Symmetry(), Stability(), Selectivity(), SensitivityMax(),
]  # fmt: skip


def by(name: str) -> toys.ToyExplainer:
    return toys.ToyExplainer(MATCHER, name)


def figures(measure: Measure, name: str) -> dict[str, float]:
    return toys.figures(measure, by(name), MATCHER, PAIRS)


# (measure, figure, the map that is best by construction, and its inverse)
ORDERED = [
    (Deletion(), "accuracy area, mated", "true", "inverse"),
    (Deletion(), "score area, mated", "true", "inverse"),
    (Deletion(ties="shuffle"), "score area, mated", "true", "inverse"),
    (Deletion(both=True), "score area, mated", "true", "inverse"),
    (Insertion(), "accuracy area, mated", "true", "inverse"),
    (Insertion(), "score area, mated", "true", "inverse"),
    (CellOcclusion(), "rank correlation", "true", "inverse"),
    (Infidelity(), "infidelity", "true", "inverse"),
    (HidingGame(step=5), "gap", "true", "inverse"),
]


@pytest.mark.parametrize(("measure", "figure", "best", "worst"), ORDERED, ids=lambda value: str(value)[:40])
def test_the_true_map_is_best_its_inverse_worst_and_chance_between(
    measure: Measure, figure: str, best: str, worst: str
) -> None:
    better = {each.name: each.better for each in measure.figures}[figure]
    sign = 1 if better == "higher" else -1
    found = [sign * figures(measure, name)[figure] for name in (worst, "random", best)]
    assert found[0] <= found[1] < found[2]
    assert found[0] < found[2] - 0.1


@pytest.mark.parametrize("measure", EVERY, ids=name_of)
def test_every_measure_gives_each_figure_for_each_pair_and_says_its_options(measure: Measure) -> None:
    case = with_strangers(PAIRS)[0]
    values = toys.values_of(measure, by("true").explain, MATCHER, case, 0.3)
    assert set(values) == {figure.name for figure in measure.figures}
    assert all(np.isfinite(value) for name, value in values.items() if "non-mated" not in name or not case.pair.mated
               if not (isinstance(measure, DissimilarDeletion) or name == "FMR area"))  # fmt: skip
    assert options_of(measure).keys() <= vars(measure).keys()  # type: ignore[arg-type]


def test_a_measures_name_tells_options_that_are_not_the_default() -> None:
    assert name_of(Deletion()) == "deletion"
    assert name_of(Deletion(fill="blur", both=True)) == "deletion(fill=blur, both=True)"


# --- deletion and insertion ---


def flat_pair() -> tuple[toys.WeightedPixels, list[FacePair]]:
    """All pixels white and of equal weight: what is hidden is exactly what is lost; and a pair with score 0.25."""
    white, grey = toys.face(toys.gray(np.ones((28, 28)))), toys.face(toys.gray(np.full((28, 28), 0.5)))
    pairs = [FacePair("white", white, white, ("a", "a")), FacePair("grey", grey, grey, ("b", "c")),
             FacePair("third", grey, white, ("d", "a"))]  # fmt: skip
    return toys.weighted(np.ones((28, 28))), pairs


def test_deletion_of_a_flat_face_follows_the_closed_form() -> None:
    """The score after P % is 1 − P/100; at the threshold 0.55 the pair matches up to P = 40: area 0.45."""
    matcher, pairs = flat_pair()
    case = with_strangers(pairs)[0]
    explain = toys.ToyExplainer(matcher, "random").explain
    values = toys.values_of(Deletion(), explain, matcher, case, 0.55)
    assert values["score area, mated"] == pytest.approx(0.5, abs=0.002)
    assert values["accuracy area, mated"] == values["accuracy area"] == pytest.approx(0.45)
    assert np.isnan(values["accuracy area, non-mated"])
    inserted = toys.values_of(Insertion(), explain, matcher, case, 0.55)
    assert inserted["score area, mated"] == pytest.approx(0.5, abs=0.002)
    assert inserted["accuracy area"] == pytest.approx(0.45)  # right from P = 60 on


def test_insertion_and_deletion_with_no_order_keep_all_or_nothing_as_published_and_everything_alike_shuffled() -> None:
    matcher, pairs = flat_pair()
    case, explain = with_strangers(pairs)[0], toys.ToyExplainer(matcher, "constant").explain
    assert toys.values_of(Deletion(), explain, matcher, case, 0.55)["score area, mated"] == pytest.approx(1)
    assert toys.values_of(Insertion(), explain, matcher, case, 0.55)["score area, mated"] == pytest.approx(0)
    for measure in (Deletion(ties="shuffle"), Insertion(ties="shuffle")):
        shuffled = toys.values_of(measure, explain, matcher, case, 0.55)
        assert shuffled["score area, mated"] == pytest.approx(0.5, abs=0.002)


def test_deletion_by_the_inverse_map_is_insertion_by_the_map() -> None:
    """Both show the highest P %, one of them in the other order; but for the one pixel at each end."""
    deleted, inserted = figures(Deletion(), "inverse"), figures(Insertion(), "true")
    assert deleted["score area, mated"] == pytest.approx(inserted["score area, mated"], abs=3e-3)
    assert deleted["accuracy area, mated"] == pytest.approx(inserted["accuracy area, mated"], abs=0.02)


def test_polarity_turns_the_map_of_a_non_mated_pair_round_and_no_other() -> None:
    for case in with_strangers(PAIRS):
        turned = toys.values_of(Deletion(polarity="by truth"), by("true").explain, MATCHER, case, 0.3)
        plain = toys.values_of(Deletion(), by("true" if case.pair.mated else "inverse").explain, MATCHER, case, 0.3)
        assert turned == pytest.approx(plain, nan_ok=True)


def test_deletion_leaves_the_reference_alone_unless_both_are_asked_for() -> None:
    case = with_strangers(PAIRS)[0]
    for both in (False, True):
        play = Deletion(both=both).play(case, by("true").explain, 0.3)
        query = next(play)
        assert len(query.references) == (11 if both else 1)
        assert (query.references[0] == case.pair.reference.crop).all()
        play.close()


@pytest.mark.parametrize("step", [0, 3, 60])
def test_a_step_that_does_not_reach_the_end_is_refused(step: int) -> None:
    for measure in (Deletion, Insertion, DissimilarDeletion, HidingGame):
        with pytest.raises(InvalidArgument, match="step must divide 100"):
            measure(step=step)


def test_replacing_what_differs_most_raises_the_score_of_two_people_soonest() -> None:
    """Replacing a pixel by the partner's adds ``w b (b − a)``: the map ``w b (a − b)`` is the best order there is."""
    found = [figures(DissimilarDeletion(), name) for name in ("prior", "random", "gain")]
    assert found[0]["score rise"] < found[1]["score rise"] < found[2]["score rise"]
    assert found[1]["false match area"] < found[2]["false match area"]


def test_dissimilar_deletion_ends_at_the_score_of_a_photo_with_itself() -> None:
    case = next(case for case in with_strangers(PAIRS) if not case.pair.mated)
    record = play_alone(DissimilarDeletion(ties="shuffle").play(case, by("gain").explain, 0.3), Scorer(MATCHER))
    itself = toys.scores_of(MATCHER, [FacePair("", case.pair.reference, case.pair.reference, ("", ""))])[0]
    assert record["scores"][-1] == pytest.approx(itself, abs=2e-3)  # all but one pixel


# --- Patch-LFW ---


@dataclass
class KnowsPatches:
    """Low on a stranger's patches, high on the reference's own; or the other way round."""

    case: Case
    measure: PatchLfw
    sign: int = 1

    def __call__(self, _probe: AlignedFace, _reference: AlignedFace) -> Explanation:
        covered = self.measure.places(28, 28, self.case.seed).astype(float)
        values = self.sign * (-covered if self.case.pair.mated else covered)
        return Explanation("knows", values, values, 0.0, Cost(2))


def test_a_map_of_the_patches_themselves_is_perfect_and_its_inverse_hopeless() -> None:
    measure = PatchLfw(patches=6)
    for case in with_strangers(PAIRS):
        known = toys.values_of(measure, KnowsPatches(case, measure), MATCHER, case, 0.3)
        turned = toys.values_of(measure, KnowsPatches(case, measure, -1), MATCHER, case, 0.3)
        assert (known["patch AUC"], known["patch IoU"], known["pointing hit"]) == (1, 1, 1)
        assert (turned["patch AUC"], turned["pointing hit"]) == (0, 0)


def test_restoring_the_patches_first_rights_the_decisions_before_random_pixels_do() -> None:
    measure = PatchLfw()
    threshold = toys.threshold_of(MATCHER, PAIRS)
    found = {sign: [toys.values_of(measure, KnowsPatches(case, measure, sign), MATCHER, case, threshold)
                    for case in with_strangers(PAIRS)] for sign in (1, -1)}  # fmt: skip
    best, worst = (np.mean([value["error area"] for value in found[sign]]) for sign in (1, -1))
    assert best < worst
    assert np.mean([value["gain over random"] for value in found[1]]) > 0
    assert np.mean([value["gain over random"] for value in found[-1]]) < 0


def test_patches_are_as_many_as_asked_as_large_a_part_of_the_face_and_the_same_for_the_same_pair() -> None:
    one = PatchLfw(patches=1).places(112, 112, 5)
    assert one.sum() == 16 * 16
    assert PatchLfw(patches=1).places(150, 150, 5).sum() == 21 * 21
    assert PatchLfw(patches=1, side=4).places(28, 28, 5).sum() == 16
    assert (PatchLfw().places(112, 112, 5) == PatchLfw().places(112, 112, 5)).all()
    assert (PatchLfw().places(112, 112, 5) != PatchLfw().places(112, 112, 6)).any()
    assert (PatchLfw().places(112, 112, 5) != PatchLfw(seed=4).places(112, 112, 5)).any()


def test_patch_lfw_restores_the_lowest_of_a_pair_told_apart_and_the_highest_of_one_told_alike() -> None:
    case = with_strangers(PAIRS)[0]
    for threshold, first in ((np.inf, 0), (-np.inf, 783)):  # decided to be different, the same
        values = np.arange(784.0).reshape(28, 28)
        shown = Explanation("x", values, values, 0.0, Cost(2))
        play = PatchLfw().play(case, lambda *_faces, shown=shown: shown, threshold)
        patched = next(play).probes[0]
        restored = play.send(np.array([0.5])).probes[0]  # X = 5 %
        chosen = np.argsort(np.abs(np.arange(784) - first))[:39]
        expected = patched.reshape(784, 3).copy()
        expected[chosen] = case.pair.probe.crop.reshape(784, 3)[chosen]
        assert (restored.reshape(784, 3) == expected).all()
        play.close()


# --- the others ---


def test_cell_occlusion_is_one_for_the_true_map_minus_one_inverted_and_nothing_for_a_constant() -> None:
    assert figures(CellOcclusion(), "true")["rank correlation"] == pytest.approx(1)
    assert figures(CellOcclusion(), "inverse")["rank correlation"] == pytest.approx(-1)
    assert figures(CellOcclusion(), "constant")["rank correlation"] == 0


def test_cell_occlusion_measures_the_drop_when_each_cell_of_each_photo_is_hidden() -> None:
    case = with_strangers(PAIRS)[0]
    on_probe, on_reference = play_alone(CellOcclusion().effects(case), Scorer(MATCHER))
    a, b = toys.shades(case.pair.probe.crop), toys.shades(case.pair.reference.crop)
    expected = (MATCHER.w * a * b / MATCHER.w.sum()).reshape(7, 4, 7, 4).sum(axis=(1, 3))
    assert on_probe == pytest.approx(expected, abs=1e-6)
    assert on_reference == pytest.approx(expected, abs=1e-6)


def test_infidelity_is_zero_for_the_true_map_at_any_scale_and_one_for_its_inverse() -> None:
    assert figures(Infidelity(), "true")["infidelity"] == pytest.approx(0, abs=1e-9)
    assert figures(Infidelity(), "inverse")["infidelity"] == 1
    sums, drops = np.array([1.0, 2.0, 0.0]), np.array([2.0, 4.0, 3.0])
    assert unexplained(sums, drops) == pytest.approx(9 / 29)  # the best factor is 2; what is left is the last drop
    assert unexplained(10 * sums, drops) == pytest.approx(9 / 29)
    assert unexplained(np.zeros(3), drops) == 1
    assert unexplained(np.zeros(3), np.zeros(3)) == 0


def test_completeness_is_zero_for_cells_that_sum_to_the_score_and_the_distance_otherwise() -> None:
    assert figures(Completeness(28, 28), "true")["distance from the score"] == pytest.approx(0, abs=1e-9)
    scores = toys.scores_of(MATCHER, PAIRS)
    assert figures(Completeness(28, 28), "inverse")["distance from the score"] == pytest.approx(2 * scores.mean())


def test_the_hiding_game_of_the_inverse_is_the_game_turned_round_and_of_a_constant_is_no_game() -> None:
    straight, turned = figures(HidingGame(step=10), "true"), figures(HidingGame(step=10), "inverse")
    assert straight["gap"] == pytest.approx(-turned["gap"], abs=1e-3)
    assert straight["top hidden"] == pytest.approx(turned["bottom hidden"], abs=1e-3)
    assert abs(figures(HidingGame(step=10), "constant")["gap"]) < 0.02
    assert straight["gap"] > 0.2


def test_the_composite_games_share_is_one_inside_zero_outside_and_a_half_by_chance() -> None:
    inside = np.zeros((20, 20), bool)
    inside[:, :10] = True
    assert share_inside(inside.astype(float), inside, 0) == 1
    assert share_inside(1.0 - inside, inside, 0) == 0
    assert share_inside(np.zeros((20, 20)), inside, 0) == pytest.approx(0.5, abs=0.1)


def test_the_true_map_finds_the_mated_half_of_a_composite_face() -> None:
    flat = toys.weighted(np.ones((28, 28)))
    methods = [toys.ToyExplainer(flat, name) for name in ("true", "prior")]
    true, prior = (toys.figures(CompositeGame(), method, flat, PAIRS) for method in methods)
    assert true["share in the mated half"] > 0.6
    assert prior["share in the mated half"] == pytest.approx(0.5, abs=0.03)


def test_the_true_map_is_lowest_under_an_occluder_and_a_prior_is_not() -> None:
    flat = toys.weighted(np.ones((28, 28)))
    lenses = OccluderLocalisation(occluder="sunglasses")  # the darkest of them
    methods = [toys.ToyExplainer(flat, name) for name in ("true", "random")]
    true, chance = (toys.figures(lenses, method, flat, PAIRS)["AUC"] for method in methods)
    assert true > chance + 0.05
    with pytest.raises(InvalidArgument, match="occluder must be one of"):
        OccluderLocalisation(occluder="hat")


def test_a_map_that_follows_the_photo_is_stable_under_mirror_and_shift_and_one_that_stays_is_not() -> None:
    assert figures(Stability(), "own photo") == pytest.approx({"mirror": 1, "shift": 1})
    assert figures(Stability(), "random")["mirror"] == pytest.approx(0, abs=0.1)
    assert figures(Stability(), "prior")["mirror"] < 0.2  # its weights are not symmetric
    assert figures(Stability(), "constant") == {"mirror": 1, "shift": 1}


def test_a_mirrored_face_keeps_its_left_eye_on_the_left_and_a_shifted_one_moves_with_its_pixels() -> None:
    face = PAIRS[0].probe
    turned, moved = mirrored(face), shifted(face, 2, 3)
    assert (mirrored(turned).crop == face.crop).all()
    assert mirrored(turned).landmarks == pytest.approx(face.landmarks)
    assert turned.landmarks[0, 0] < turned.landmarks[1, 0]
    assert turned.landmarks[0] == pytest.approx([27 - face.landmarks[1, 0], face.landmarks[1, 1]])
    assert moved.landmarks == pytest.approx(face.landmarks + np.array([2, 3]))
    assert (moved.crop[3:, 2:] == face.crop[:-3, :-2]).all()
    grey = toys.shades(moved.crop)
    assert (shifted_back(grey, 2, 3) == toys.shades(face.crop)[:-3, :-2]).all()


def test_swapping_is_seen_by_the_symmetry_of_maps_that_depend_on_the_order() -> None:
    assert figures(Symmetry(), "true") == {"score difference": 0, "maps agree": 1}

    def first_counts(probe: AlignedFace, reference: AlignedFace) -> Explanation:
        shown = by("true").explain(probe, reference)
        return replace(shown, probe=toys.shades(probe.crop), reference=-toys.shades(reference.crop))

    assert toys.figures(Symmetry(), first_counts, MATCHER, PAIRS)["maps agree"] == pytest.approx(-1)


def test_selectivity_tells_a_prior_from_a_map_of_the_pair() -> None:
    assert figures(Selectivity(), "prior")["correlation"] == 1
    assert figures(Selectivity(), "own photo")["correlation"] == 1
    assert figures(Selectivity(), "true")["correlation"] < 0.9
    assert figures(Selectivity(), "random")["correlation"] == pytest.approx(0, abs=0.1)


def test_sensitivity_is_zero_for_a_constant_and_bounded_by_the_noise_for_a_map_that_is_the_photo() -> None:
    assert figures(SensitivityMax(samples=2), "constant")["sensitivity-max"] == 0
    pair = PAIRS[0]
    grey = toys.shades(pair.probe.crop)
    most = 5 / 255 * np.sqrt(grey.size) / np.linalg.norm(grey)  # every pixel moved by the whole radius
    found = toys.values_of(SensitivityMax(samples=4), by("own photo").explain, MATCHER, Case(pair, pair.probe), 0.3)
    assert 0.4 * most < found["sensitivity-max"] <= most
    assert figures(SensitivityMax(samples=2), "random")["sensitivity-max"] > 1


def test_a_stranger_is_in_neither_photo_and_is_missed_where_there_is_none() -> None:
    cases = with_strangers(PAIRS)
    crops = {id(pair.probe): pair.people[0] for pair in PAIRS} | {id(pair.reference): pair.people[1] for pair in PAIRS}
    assert all(crops[id(case.stranger)] not in case.pair.people for case in cases)
    with pytest.raises(InvalidArgument, match="third person"):
        with_strangers(PAIRS[:1])


def test_a_query_of_unequal_sides_is_refused() -> None:
    crops = np.zeros((3, 28, 28, 3), np.uint8)
    Query(crops, crops[:1])
    with pytest.raises(InvalidArgument, match="as many probes as references"):
        Query(crops, crops[:2])
