"""The engine: every masked copy meets the other photo once, in order, whatever the threads do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from explainers.toys import SIDE, TEMPLATE, Counting, WeightedSum, face, noise, per_pixel, white

from xcos.alignment import DLIB_150
from xcos.errors import InvalidArgument
from xcos.explainers import masking
from xcos.explainers.hiding import FILLS, Fill, Kept, filled
from xcos.explainers.masking import BLOCK, join, open_pair
from xcos.explainers.masks import Boxes, cell_boxes
from xcos.types import AlignedFace, Crops, Face, Reals, Templates


def weights(seed: int = 0) -> Reals:
    return np.random.default_rng(seed).normal(size=(4, 4))


def test_hiding_a_cell_takes_its_weight_from_the_score() -> None:
    matcher = WeightedSum(weights())
    pair = open_pair(matcher, white(), white())
    assert pair.score == pytest.approx(weights().sum(), abs=1e-6)
    for side in pair.sides:
        scores = side.scores(cell_boxes(SIDE, SIDE, 4, 4), "black")
        assert np.allclose(pair.score - scores, weights().ravel(), atol=1e-6)


@dataclass(frozen=True, eq=False)
class Lopsided(WeightedSum):
    """Twice the probe's brightness less the reference's: the sides are told apart."""

    def score(self, probes: Templates, references: Templates) -> Reals:
        difference = 2 * probes.grids[..., 0].astype(float) - references.grids[..., 0]
        return np.asarray(difference.sum(axis=(1, 2)))


def test_the_masked_photo_stays_on_its_own_side_of_the_comparison() -> None:
    pair = open_pair(Lopsided(np.ones((1, 1))), white(), white())
    everything = Boxes(SIDE, SIDE, np.array([[[0, 0, SIDE, SIDE]]]))
    assert pair.score == pytest.approx(1)
    assert pair.probe.scores(everything, "black") == pytest.approx([-1])
    assert pair.reference.scores(everything, "black") == pytest.approx([2])


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3])
@pytest.mark.parametrize("cores", [1, 2, 7])
def test_copies_come_back_in_order_in_blocks_that_do_not_depend_on_the_cores(
    monkeypatch: pytest.MonkeyPatch, count: int, cores: int
) -> None:
    monkeypatch.setattr(masking, "usable_cores", lambda: cores)
    matcher = Counting(per_pixel(np.ones((SIDE, SIDE))))
    side = open_pair(matcher, white(), white()).probe
    matcher.calls.clear()
    boxes = np.array([[[0, 0, 1, 1 + index % SIDE]] for index in range(count)])
    scores = side.scores(Boxes(SIDE, SIDE, boxes), "black")
    assert np.allclose(SIDE**2 - scores, 1 + np.arange(count) % SIDE, atol=1e-3)
    assert sorted(matcher.calls) == sorted([BLOCK] * (count // BLOCK) + ([count % BLOCK] if count % BLOCK else []))


@dataclass(frozen=True, eq=False)
class Meeting(WeightedSum):
    """Lets nobody go on before two threads are inside."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def encode(self, crops: Crops) -> Templates:
        if len(crops) > 1:
            self.barrier.wait(timeout=20)
        return super().encode(crops)


def test_blocks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "usable_cores", lambda: 2)
    side = open_pair(Meeting(np.ones((1, 1))), white(), white()).probe
    assert len(side.scores(cell_boxes(SIDE, SIDE, 4, 4), "black")) == 16  # else: BrokenBarrierError


@dataclass(frozen=True)
class Asked:
    """Masks that keep all, and note which were asked for."""

    count: int
    asked: list[tuple[int, int]]

    def __len__(self) -> int:
        return self.count

    def kept(self, start: int, stop: int) -> Kept:
        self.asked.append((start, stop))
        return np.ones((stop - start, SIDE, SIDE), bool)


def test_no_more_masks_than_a_block_are_ever_made_at_once() -> None:
    masks = Asked(1000, [])
    open_pair(WeightedSum(np.ones((1, 1))), white(), white()).probe.scores(masks, "black")
    assert sorted(masks.asked) == [(start, start + BLOCK) for start in range(0, 1000, BLOCK)]


def test_an_error_in_a_thread_is_raised_to_the_caller() -> None:
    @dataclass(frozen=True, eq=False)
    class Broken(WeightedSum):
        def encode(self, crops: Crops) -> Templates:
            if len(crops) > 1:
                raise InvalidArgument("this network has had enough")
            return super().encode(crops)

    side = open_pair(Broken(np.ones((1, 1))), white(), white()).probe
    with pytest.raises(InvalidArgument, match="had enough"):
        side.scores(cell_boxes(SIDE, SIDE, 4, 4), "black")


# Fills and mixing


def test_fills_are_what_they_are_called() -> None:
    crop = noise(0).crop
    assert (filled(crop, "black") == 0).all()
    assert (filled(crop, "grey") == 128).all()
    assert (filled(crop, "mean") == np.rint(crop.mean(axis=(0, 1)))).all()


def test_the_blur_is_a_gaussian_of_four_hundredths_of_the_side_inside_the_crop() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    crop = noise(0).crop
    expected = ndimage.gaussian_filter(crop.astype(float), (0.04 * SIDE, 0.04 * SIDE, 0), truncate=5)
    inner = slice(6, -6)  # the borders are continued in another way there
    assert np.abs(filled(crop, "blur")[inner, inner] - expected[inner, inner]).max() < 0.6


def test_an_unknown_fill_is_refused() -> None:
    wrong: Fill = "green"  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="black, grey, mean, blur"):
        filled(white().crop, wrong)


@dataclass(frozen=True)
class Fixed:
    masks: Kept

    def __len__(self) -> int:
        return len(self.masks)

    def kept(self, start: int, stop: int) -> Kept:
        return self.masks[start:stop]


@dataclass(frozen=True, eq=False)
class Noting(WeightedSum):
    """Keeps the crops it was given."""

    seen: list[Crops] = field(default_factory=list)

    def encode(self, crops: Crops) -> Templates:
        self.seen.append(crops.copy())
        return super().encode(crops)


@pytest.mark.parametrize("fill", FILLS)
def test_copies_mix_the_photo_and_the_fill_by_the_mask_to_the_nearest_value(fill: Fill) -> None:
    matcher, photo = Noting(np.ones((1, 1))), noise(1)
    side = open_pair(matcher, photo, white()).probe
    matcher.seen.clear()
    kept = np.random.default_rng(2).random((5, SIDE, SIDE)).astype(np.float32)
    side.scores(Fixed(kept), fill)
    shown = filled(photo.crop, fill).astype(float)
    expected = kept[..., None] * photo.crop.astype(float) + (1 - kept[..., None]) * shown
    assert np.abs(matcher.seen[0] - expected).max() <= 0.5 + 1e-3
    matcher.seen.clear()
    side.scores(Fixed(kept > 0.5), fill)
    assert (matcher.seen[0] == np.where((kept > 0.5)[..., None], photo.crop, shown)).all()


def test_a_mask_that_keeps_all_or_nothing_gives_the_photo_or_the_fill_exactly() -> None:
    matcher, photo = Noting(np.ones((1, 1))), noise(1)
    side = open_pair(matcher, photo, white()).probe
    matcher.seen.clear()
    side.scores(Fixed(np.stack([np.ones((SIDE, SIDE)), np.zeros((SIDE, SIDE))]).astype(np.float32)), "blur")
    assert (matcher.seen[0][0] == photo.crop).all()
    assert (matcher.seen[0][1] == filled(photo.crop, "blur")).all()


# Pairs


def test_a_face_cut_for_another_network_is_refused_before_any_pass() -> None:
    matcher = Counting(WeightedSum(np.ones((1, 1))))
    whole = Face(np.array([0.0, 0.0, 150, 150]), DLIB_150.points, 1.0)
    other = AlignedFace(np.zeros((150, 150, 3), np.uint8), whole, DLIB_150, np.eye(2, 3), 0.0, 0.0)
    for pair, side in (((other, white()), "probe"), ((white(), other), "reference")):
        with pytest.raises(InvalidArgument, match=rf"the {side} was cut to dlib_150 .* takes toy_32"):
            open_pair(matcher, *pair)
    assert matcher.passes == 0


def test_a_pair_costs_two_passes_of_one_photo_each_and_keeps_both_templates() -> None:
    matcher = Counting(WeightedSum(weights()))
    pair = open_pair(matcher, noise(0), noise(1))
    assert matcher.calls == [1, 1]
    for template, photo in zip(pair.templates, (noise(0), noise(1)), strict=True):
        assert (template.grids == matcher.encode(photo.crop[None]).grids).all()


def test_joined_templates_are_the_blocks_in_order() -> None:
    matcher = WeightedSum(weights())
    crops = np.stack([noise(seed).crop for seed in range(5)])
    joined = join([matcher.encode(crops[:2]), matcher.encode(crops[2:])])
    assert (joined.grids == matcher.encode(crops).grids).all()
    assert joined.model == matcher.name


def test_the_toy_scores_by_hand() -> None:
    """Two of four cells of the probe black, all of the reference white."""
    matcher = WeightedSum(np.array([[1.0, 2.0], [4.0, 8.0]]))
    crop = white().crop.copy()
    crop[:, : SIDE // 2] = 0
    assert open_pair(matcher, face(crop), white()).score == pytest.approx(10)
    assert replace(matcher, name="other").name == "other"
    assert matcher.template is TEMPLATE
