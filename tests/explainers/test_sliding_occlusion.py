"""x-face against its published counts, a plain loop, and toys."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from explainers.toys import SIDE, Counting, WeightedSum, cells_of, face, noise, white

from xcos.errors import InvalidArgument
from xcos.explainers.sliding_occlusion import SlidingOcclusion, sliding_patches
from xcos.types import AlignedFace, Reals

Comparing = Literal["all", "clean", "same"]
ALL: tuple[Comparing, ...] = ("all", "clean", "same")
SIZES, STRIDE = (2, 4, 8), 1  # 7, 14, 28 and 5 of 112 pixels on the toy's 32


def test_patches_are_as_many_as_published() -> None:
    assert [len(sliding_patches(112, 112, side, 5)) for side in (7, 14, 28)] == [441, 400, 289]


def by_loops(matcher: WeightedSum, probe: AlignedFace, reference: AlignedFace, comparing: Comparing) -> Reals:
    """The probe's map, from the description alone; the blur is SciPy's, at the border by its weights inside."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def hidden(photo: AlignedFace, top: int, left: int, side: int) -> AlignedFace:
        crop = photo.crop.copy()
        crop[top : top + side, left : left + side] = 0
        return face(crop)

    def score(a: AlignedFace, b: AlignedFace) -> float:
        return float(matcher.score(matcher.encode(a.crop[None]), matcher.encode(b.crop[None]))[0])

    maps = []
    for side in SIZES:
        places = [(top, left) for top in range(0, SIDE - side, STRIDE) for left in range(0, SIDE - side, STRIDE)]
        total = np.zeros((SIDE, SIDE))
        others = [hidden(reference, *place, side) for place in places]
        for place, other in zip(places, others, strict=True):
            mine = hidden(probe, *place, side)
            partners = {"all": others, "clean": [reference], "same": [other]}[comparing]
            fall = score(probe, reference) - float(np.mean([score(mine, each) for each in partners]))
            total[place[0] : place[0] + side, place[1] : place[1] + side] += fall / side**2 / len(places)
        inside = ndimage.gaussian_filter(np.ones((SIDE, SIDE)), STRIDE, radius=1, mode="constant")
        maps.append(ndimage.gaussian_filter(total, STRIDE, radius=1, mode="constant") / inside)
    mean = np.mean(maps, axis=0)
    return np.asarray(mean / np.abs(mean).max())


@pytest.mark.parametrize("comparing", ["clean", "same"])
def test_the_map_is_that_of_a_plain_loop(comparing: Comparing) -> None:
    matcher = WeightedSum(np.random.default_rng(0).normal(size=(4, 4)))
    found = SlidingOcclusion(matcher, comparing).explain(noise(1), noise(2))
    assert np.allclose(found.probe, by_loops(matcher, noise(1), noise(2), comparing), atol=1e-5)


def test_all_with_all_is_an_average_over_the_other_photos_occlusions() -> None:
    """With a white reference in which patch j takes c_j of the score: s_ij = Σ w a_i b_j, which is linear in b."""
    matcher = WeightedSum(np.random.default_rng(0).normal(size=(2, 2)))
    found = SlidingOcclusion(matcher, "all").explain(noise(1), noise(2))
    total = np.zeros((SIDE, SIDE))
    ndimage = pytest.importorskip("scipy.ndimage")
    for side in SIZES:
        patches = sliding_patches(SIDE, SIDE, side, STRIDE)
        kept = patches.kept(0, len(patches))
        probes = matcher.encode(np.where(kept[..., None], noise(1).crop, 0).astype(np.uint8)).grids[..., 0]
        mean_reference = matcher.encode(np.where(kept[..., None], noise(2).crop, 0).astype(np.uint8)).grids[..., 0]
        scores = (probes.astype(float) * mean_reference.astype(float).mean(axis=0) * matcher.weights).sum(axis=(1, 2))
        patch_map = np.tensordot(found.score - scores, 1 - kept.astype(float), 1) / side**2 / len(patches)
        inside = ndimage.gaussian_filter(np.ones((SIDE, SIDE)), STRIDE, radius=1, mode="constant")
        total += ndimage.gaussian_filter(patch_map, STRIDE, radius=1, mode="constant") / inside
    assert np.allclose(found.probe, total / np.abs(total).max(), atol=1e-5)


@pytest.mark.parametrize("comparing", ALL)
def test_what_matters_stands_out_with_its_sign(comparing: Comparing) -> None:
    weights = np.zeros((8, 8))
    weights[1, 2], weights[5, 5] = 1, -0.5
    found = SlidingOcclusion(WeightedSum(weights), comparing).explain(white(), white())
    assert found.probe.max() == pytest.approx(1)
    assert cells_of(found.probe, 8, 8).argmax() == 8 * 1 + 2
    if comparing != "all":  # with all others occluded too, everything lies a little above 0
        assert cells_of(found.probe, 8, 8).argmin() == 8 * 5 + 5
        assert found.probe[0, -1] == pytest.approx(0, abs=1e-9)


def test_the_same_place_in_both_photos_gives_both_one_map() -> None:
    found = SlidingOcclusion(WeightedSum(np.ones((4, 4))), "same").explain(noise(1), noise(2))
    assert (found.probe == found.reference).all()


@pytest.mark.parametrize("comparing", ALL)
def test_every_patch_costs_one_pass_for_each_photo(comparing: Comparing) -> None:
    matcher = Counting(WeightedSum(np.ones((1, 1))))
    found = SlidingOcclusion(matcher, comparing).explain(noise(1), noise(2))
    assert found.cost.forward == matcher.passes == 2 + 2 * sum((SIDE - side) ** 2 for side in SIZES)
    assert found.settings == {"comparing": comparing, "fill": "black", "stride": 5 / 112, "patches": "2,4,8",
                              "stride_pixels": 1}  # fmt: skip


def test_a_matcher_that_does_not_look_has_an_empty_map() -> None:
    found = SlidingOcclusion(WeightedSum(np.zeros((1, 1)))).explain(noise(1), noise(2))
    assert (found.probe == 0).all()


def test_an_unknown_way_of_comparing_is_refused() -> None:
    wrong: Comparing = "method 1"  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="all, clean, same"):
        SlidingOcclusion(WeightedSum(np.ones((1, 1))), wrong)
