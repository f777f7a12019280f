"""The inpainting game and the ranking of parts, on twins of which one part is known to be another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from explainers import faithful_toys as toys
from PIL import Image

from xcos.alignment import DLIB_150
from xcos.detectors import WholeImage
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.bench_twins import TwinResult, run_twin_bench
from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.faithfulness import InpaintingGame, Triplet, read_rendered_twins, read_triplets
from xcos.explainers.faithfulness.inpainting_game import (
    SHARES,
    Played,
    at_level,
    game_figures,
    heaviest,
    oracle_map,
)
from xcos.explainers.faithfulness.part_ranking import parts_of, rank_part
from xcos.explainers.faithfulness.ranks import Mask
from xcos.explainers.faithfulness.scoring import Scorer, play_alone
from xcos.explainers.matcher import Matcher
from xcos.extractor import Extractor
from xcos.types import AlignedFace

FLAT = toys.weighted(np.ones((28, 28)))
PARTS = {"top": np.s_[:9], "middle": np.s_[9:18], "bottom": np.s_[18:]}


def twins(count: int = 3) -> list[Triplet]:
    """Each person once with each part replaced: white and black change places there."""
    found = []
    for pair in toys.people(count)[:count]:
        for part, rows in PARTS.items():
            changed = np.zeros((28, 28), bool)
            changed[rows] = True
            crop = np.where(changed[..., None], 255 - pair.probe.crop, pair.probe.crop)
            twin = toys.face(crop)
            found.append(Triplet(pair.people[0], part, pair.probe, twin, (pair.probe,), (twin,), changed))
    return found


@dataclass(frozen=True)
class Sees:
    """How alike the pixels are, or something that does not look at both photos."""

    matcher: Matcher
    name: str

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        a, b = toys.shades(probe.crop), toys.shades(reference.crop)
        shown = {"difference": -np.abs(a - b), "blind": np.outer(np.arange(28), np.ones(28)), "opposite": np.abs(a - b)}
        return Explanation(self.name, shown[self.name], shown[self.name], 0.0, Cost(2))


def test_the_heaviest_pixels_hold_at_most_the_share_of_the_mass_and_none_is_empty() -> None:
    values = np.array([[4.0, 3.0], [2.0, 1.0]])
    counts = heaviest(values, np.array([0.0, 0.39, 0.4, 0.7, 0.95, 1.0]), 0).sum(axis=(1, 2))
    assert counts.tolist() == [0, 0, 1, 2, 3, 4]
    assert heaviest(values, np.array([0.4]), 0)[0, 0, 0]
    with_nothing = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert (heaviest(with_nothing, SHARES, 0)[-1] == (with_nothing > 0)).all()
    assert not heaviest(np.zeros((3, 3)), SHARES, 0).any()


def test_ties_are_broken_by_noise_and_not_by_place() -> None:
    flat = np.ones((20, 20))
    one, other = (heaviest(flat, np.array([0.5]), seed)[0] for seed in (0, 1))
    assert one.sum() == other.sum() == 200
    assert (one != other).any()
    assert 60 < one[:10].sum() < 140


def test_the_rate_at_a_level_is_weighted_by_inverse_distance() -> None:
    alarms, rates = np.array([0.0, 0.008, 0.02, 0.5]), np.array([0.1, 0.2, 0.8, 1.0])
    assert at_level(alarms, rates, 0.008) == 0.2
    # distances 0.002 and 0.01: weights 500 and 100, nearest are 0.008 and 0 or 0.02 (both 0.01 away: the first)
    assert at_level(alarms, rates, 0.01) == pytest.approx((500 * 0.2 + 100 * 0.1) / 600)
    assert at_level(alarms, rates, 0.011) == pytest.approx((0.2 / 0.003 + 0.8 / 0.009) / (1 / 0.003 + 1 / 0.009))


def test_a_map_without_false_alarms_is_judged_by_its_end() -> None:
    assert at_level(np.zeros(3), np.array([0.0, 0.5, 1.0]), 0.01) == 1.0


def played(part: str, flips_at: float, alarms: float, person: str = "p") -> Played:
    """A game whose probe passes as its twin from a share on, with false alarms growing evenly."""
    triplet = replace(twins(1)[0], person=person, part=part)
    return Played(triplet, (flips_at <= SHARES).astype(float), alarms * SHARES * 100, 100, SHARES, 10)


def test_the_headline_is_a_mean_over_parts_and_left_and_right_are_one_part() -> None:
    """False alarms reach 1 % at a share of 0.1: the nose has passed by then, the eyes and the mouth have not."""
    games = [
        played("nose", 0.05, 0.1),
        played("left-eye", 0.5, 0.1),
        played("right-eye", 0.05, 0.1),
        played("mouth", 1, 0.1),
    ]
    found = game_figures(games, draws=20)
    assert found.parts["eye"][0] == pytest.approx(0.5)
    assert found.rates[0].value == pytest.approx((1 + 0.5 + 0) / 3)
    assert set(found.parts) == {"nose", "eye", "mouth"}
    # The curve ends at 10 % false alarms and stays there; it rises over one step of 0.1 % at each flip.
    nose = found.parts["nose"][2]
    assert nose == pytest.approx(1 - 0.005, abs=0.001)
    assert found.area.value == pytest.approx((nose + (nose + 1 - 0.05) / 2 + 1 - 0.1) / 3, abs=0.002)


def test_a_map_that_knows_the_changed_part_wins_the_game_and_a_map_of_the_rest_loses_it() -> None:
    game, triplet = InpaintingGame(), twins(1)[1]
    scorer = Scorer(toys.weighted(np.ones((28, 28))))
    true = play_alone(game.play(triplet, oracle_map("true part", triplet)), scorer)
    rest = play_alone(game.play(triplet, (~triplet.changed).astype(float)), scorer)
    assert true["as twin"][-1] == 1
    assert not true["false alarms"].any()
    assert true["hits"][-1] == triplet.changed.sum()
    assert not rest["as twin"].any()
    assert not rest["hits"].any()
    with pytest.raises(InvalidArgument, match="an oracle is one of"):
        oracle_map("guess", triplet)


def test_evidence_is_the_map_of_the_mates_less_that_of_the_twins() -> None:
    triplet = twins(1)[0]
    explain = Sees(FLAT, "difference").explain
    mate, twin, contrast = (InpaintingGame(kind).signed(triplet, explain) for kind in ("mate", "twin", "contrast"))
    assert contrast == pytest.approx(mate + twin)
    assert (twin[triplet.changed] > 0).all()
    assert not twin[~triplet.changed].any()
    assert (InpaintingGame("mate").saliency(triplet, Sees(FLAT, "blind").explain) >= 0).all()


def test_only_triplets_that_the_network_tells_apart_are_played_as_published() -> None:
    game, triplet = InpaintingGame(), twins(1)[0]
    sides = play_alone(game.sides(triplet), Scorer(toys.weighted(np.ones((28, 28)))))
    itself, other = sides["to mates"]
    assert sides["nearer"][0] == float(itself > sides["to twins"][0] and sides["to twins"][1] > other)
    assert game.decided(sides, (itself + other) / 2)
    assert not game.decided(sides, itself + 0.01)
    assert not game.decided(sides, other)  # the twin matches too


def test_a_map_that_does_not_look_at_the_twin_ranks_the_changed_part_first_exactly_by_chance() -> None:
    triplets = twins(2)
    places = parts_of(triplets)
    for values in (
        np.outer(np.arange(28), np.ones(28)),
        np.random.default_rng(0).normal(size=(28, 28)),
        np.ones((28, 28)),
    ):
        first = [rank_part(values, triplet, places[triplet.person]).first for triplet in triplets]
        assert np.mean(first) == pytest.approx(1 / 3)


def test_the_rank_of_a_part_is_counted_by_its_mean() -> None:
    triplet = twins(1)[1]
    evidence = np.zeros((28, 28))
    evidence[:9], evidence[9:18], evidence[18:] = 2, 1, 0
    found = rank_part(evidence, triplet, parts_of(twins(1))["0"])
    assert (found.place, found.first, found.parts) == (2, 0, 3)
    assert found.auc == pytest.approx(10 / 19)
    assert rank_part(triplet.changed.astype(float), triplet, parts_of(twins(1))["0"]).first == 1
    with pytest.raises(InvalidArgument, match="two parts or more"):
        rank_part(evidence, triplet, {"middle": triplet.changed})


def test_the_bench_on_twins_ranks_seeing_above_blind_above_opposite_and_goes_on_where_it_was(tmp_path: Path) -> None:
    triplets = twins(4)
    explainers = [Sees(FLAT, name) for name in ("difference", "blind", "opposite")]

    def run(matcher: toys.WeightedPixels) -> TwinResult:
        return run_twin_bench(
            matcher, explainers, triplets, tmp_path, threshold=0.3, evidence="twin", rule="all", draws=50
        )

    result = run(FLAT)
    first = {each.method: each.first.value for each in result.parts if each.part == "all"}
    assert first == pytest.approx({"difference": 1, "blind": 1 / 3, "opposite": 0})
    assert result.ranking("difference", "top").auc.value == 1
    assert result.ranking("blind").chance == pytest.approx(1 / 3)
    rates = {name: game.rates[0].value for name, game in result.games.items()}
    assert rates["true part"] >= rates["difference"] > rates["opposite"]
    assert set(rates) == {"difference", "blind", "opposite", "true part", "pixel change"}
    matcher = toys.weighted(np.ones((28, 28)))
    again = run(matcher)
    assert matcher.seen == []
    assert again.to_dict() == result.to_dict()


def test_a_triplet_needs_both_sides_and_a_change() -> None:
    triplet = twins(1)[0]
    with pytest.raises(InvalidArgument, match="photos of the person and of the twin"):
        replace(triplet, twins=())
    with pytest.raises(InvalidArgument, match="some of the probe's crop"):
        replace(triplet, changed=np.ones((28, 28), bool))


# --- reading ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One person with two parts: one with a mask and photos of the twin, one with neither."""
    random = np.random.default_rng(0)
    probe = random.integers(0, 256, (150, 150, 3), np.uint8)
    for part, rows in (("nose", np.s_[60:90]), ("mouth", np.s_[100:120])):
        home = tmp_path / "ann" / part
        home.mkdir(parents=True)
        twin = probe.copy()
        twin[rows] = 255 - twin[rows]
        Image.fromarray(probe).save(home / "probe.png")
        Image.fromarray(twin).save(home / "twin.png")
    mask = np.zeros((150, 150), np.uint8)
    mask[60:90] = 255
    Image.fromarray(mask).save(tmp_path / "ann" / "nose" / "mask.png")
    (tmp_path / "ann" / "nose" / "twins").mkdir()
    Image.fromarray(twin).save(tmp_path / "ann" / "nose" / "twins" / "0.png")
    (tmp_path / "ann" / "mates").mkdir()
    Image.fromarray(probe[:, ::-1].copy()).save(tmp_path / "ann" / "mates" / "0.png")
    return tmp_path


@pytest.fixture(scope="module")
def whole() -> Extractor:
    return Extractor(WholeImage(DLIB_150), DlibResNet())


def test_triplets_are_read_from_folders_with_what_is_there(folder: Path, whole: Extractor) -> None:
    mouth, nose = read_triplets(folder, whole)
    assert (mouth.person, mouth.part, nose.part) == ("ann", "mouth", "nose")
    assert np.flatnonzero(nose.changed.any(axis=1)).tolist() == list(range(60, 90))
    assert set(np.flatnonzero(mouth.changed.any(axis=1))) <= set(range(99, 121))
    assert mouth.changed[105:115].mean() > 0.7
    assert len(mouth.mates) == 1
    assert (mouth.mates[0].crop != mouth.probe.crop).any()  # the person's own folder of mates
    assert mouth.twins[0] is mouth.twin
    assert (nose.twins[0].crop != nose.twin.crop).any()


def test_a_folder_that_is_no_folder_of_triplets_is_refused(tmp_path: Path, folder: Path, whole: Extractor) -> None:
    with pytest.raises(InvalidArgument, match="has no photos PERSON/PART"):
        read_triplets(tmp_path / "nothing", whole)
    with pytest.raises(InvalidArgument, match="part_edits"):
        read_rendered_twins(tmp_path, whole)
    (folder / "ann" / "nose" / "twin.png").unlink()
    with pytest.raises(InvalidArgument, match="one photo named twin, found 0"):
        read_triplets(folder, whole)


@pytest.mark.real_data
@pytest.mark.slow
def test_all_rendered_twins_are_read_and_their_parts_lie_where_faces_have_them(
    real_file: Callable[[str], Path], mtcnn: object
) -> None:
    extractor = Extractor(mtcnn, DlibResNet(), face="center")  # type: ignore[arg-type]
    triplets = read_rendered_twins(real_file("data/synthetic"), extractor)
    assert len(triplets) == 48
    heights = {
        part: np.mean([_middle(t.changed) for t in triplets if t.part == part])
        for part in ("eyes", "nose", "mouth", "jaw")
    }
    assert heights["eyes"] < heights["nose"] < heights["mouth"] < heights["jaw"]
    others = read_rendered_twins(real_file("data/synthetic"), extractor, mates="others")
    assert len(others) == 24
    assert all(len(t.mates) == 3 for t in others)


def _middle(mask: Mask) -> float:
    return float(np.nonzero(mask)[0].mean())
