"""RISE and CorrRISE against closed forms, NumPy and SciPy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers.toys import SIDE, Counting, WeightedSum, hot, noise, per_pixel, white

from xcos.errors import InvalidArgument
from xcos.explainers.corr_rise import CorrRise, Family, Statistic
from xcos.explainers.masking import Fill, Masks
from xcos.explainers.masks import random_grids, random_squares
from xcos.explainers.rise import Rise
from xcos.types import Reals, Templates

FILLS_TRIED: tuple[Fill, Fill] = ("black", "mean")
SPOT = (slice(8, 14), slice(16, 22))


def correlation(a: Reals, b: Reals) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def stack_of(masks: Masks) -> Reals:
    return masks.kept(0, len(masks)).astype(np.float64)


def scores_of(matcher: WeightedSum, masks: Masks, seed: int, other: int) -> Reals:
    """Scores of masked copies of one noisy photo with another, over black, by NumPy alone."""
    crops = np.floor(stack_of(masks)[..., None] * noise(seed).crop + 0.5).astype(np.uint8)
    return matcher.score(matcher.encode(crops), matcher.encode(noise(other).crop[None]))


# RISE


def rise_masks(count: int, keep: float = 0.5) -> Masks:
    return random_grids(SIDE, SIDE, masks=count, cells=7, keep=keep, generator=np.random.default_rng(0))


def test_rise_is_the_mean_score_by_how_much_of_a_pixel_is_kept() -> None:
    matcher = WeightedSum(np.random.default_rng(0).normal(size=(4, 4)))
    stack, scores = stack_of(rise_masks(60)), scores_of(matcher, rise_masks(60), 1, 2)
    sampled = Rise(matcher, masks=60, fill="black").explain(noise(1), noise(2))
    expected = np.average(np.broadcast_to(scores[:, None, None], stack.shape), axis=0, weights=stack) - scores.mean()
    assert np.allclose(sampled.probe, expected, atol=1e-5)
    published = Rise(matcher, masks=60, fill="black", coverage="expected").explain(noise(1), noise(2))
    assert np.allclose(
        published.probe, (scores @ stack.reshape(60, -1)).reshape(SIDE, SIDE) / 30 - scores.mean(), atol=1e-5
    )


def test_rise_converges_to_the_effect_of_seeing_a_pixel() -> None:
    """For a weighted sum under masks m: E[s m(x)] / E[m(x)] − E[s] = Σ_y w(y) cov(m(x), m(y)) / p."""
    weights = hot(SPOT)
    many = stack_of(
        random_grids(SIDE, SIDE, masks=20000, cells=7, keep=0.5, generator=np.random.default_rng(99))
    ).reshape(20000, -1)
    spot = many @ weights.ravel()
    truth = ((spot - spot.mean()) @ (many - many.mean(axis=0)) / len(many) / 0.5).reshape(SIDE, SIDE)
    errors = []
    for count in (100, 1000, 5000):
        found = Rise(per_pixel(weights), masks=count, fill="black", seed=1).explain(white(), white())
        errors.append(float(np.abs(found.probe - truth).mean()))
    assert errors[0] > 2 * errors[1] > 2.5 * errors[2]
    assert errors[2] < 0.05 * truth.max()
    assert weights[np.unravel_index(found.probe.argmax(), found.probe.shape)] > 0


def test_seeing_a_pixel_that_does_not_matter_changes_nothing_with_sampled_coverage() -> None:
    """A score that is always the same: sampled coverage says 0; the published form shows the masks' own chance."""

    @dataclass(frozen=True, eq=False)
    class Constant(WeightedSum):
        def score(self, probes: Templates, references: Templates) -> Reals:
            return np.full(max(len(probes), len(references)), 0.9)

    quiet = Rise(Constant(np.ones((1, 1))), masks=100).explain(white(), white())
    assert np.abs(quiet.probe).max() < 1e-12
    loud = Rise(Constant(np.ones((1, 1))), masks=100, coverage="expected").explain(white(), white())
    assert np.abs(loud.probe).max() > 0.05


# CorrRISE


def squares(count: int, seed: int = 0, number: int = 3) -> Masks:
    return random_squares(
        SIDE, SIDE, masks=count, squares=number, side=round(30 / 112 * SIDE), generator=np.random.default_rng(seed)
    )


def grids(count: int, seed: int = 0) -> Masks:
    return random_grids(SIDE, SIDE, masks=count, cells=12, keep=0.9, generator=np.random.default_rng(seed))


@pytest.mark.parametrize("family", ["squares", "grids"])
@pytest.mark.parametrize("statistic", ["rank", "pearson"])
def test_corrrise_is_scipys_correlation_pixel_by_pixel(family: Family, statistic: Statistic) -> None:
    stats = pytest.importorskip("scipy.stats")
    matcher = WeightedSum(np.random.default_rng(0).normal(size=(4, 4)))
    masks = squares(80) if family == "squares" else grids(80)
    stack, scores = stack_of(masks), scores_of(matcher, masks, 1, 2)
    explainer = replace(CorrRise(matcher, masks=80), family=family, statistic=statistic)
    found = explainer.explain(noise(1), noise(2)).probe
    for row, col in np.random.default_rng(3).integers(0, SIDE, (40, 2)):
        pixel = stack[:, row, col]
        if pixel.std() < 1e-6:
            assert found[row, col] == 0
            continue
        if statistic == "pearson":
            expected = stats.pearsonr(pixel, scores).statistic
        elif family == "squares":
            expected = stats.spearmanr(pixel, scores).statistic
        else:
            expected = stats.pearsonr(pixel, stats.rankdata(scores)).statistic
        assert found[row, col] == pytest.approx(expected, abs=2e-3 if family == "grids" else 1e-5)


def test_a_pixel_that_alone_decides_correlates_fully_and_no_other_does_more() -> None:
    weights = hot((slice(15, 16), slice(15, 16)))
    found = CorrRise(per_pixel(weights), masks=2000, statistic="pearson").explain(white(), white())
    assert found.probe[15, 15] == pytest.approx(1, abs=1e-6)
    assert found.probe.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(found.probe[:4, :4]).max() < 0.2


@pytest.mark.parametrize("family", ["squares", "grids"])
@pytest.mark.parametrize("statistic", ["rank", "pearson"])
def test_the_sign_says_for_or_against(family: Family, statistic: Statistic) -> None:
    against = (slice(22, 28), slice(4, 10))
    matcher = per_pixel(hot(SPOT, against, weights=(1, -1)))
    explainer = replace(CorrRise(matcher, masks=1500), family=family, statistic=statistic)
    found = explainer.explain(white(), white())
    for values in (found.probe, found.reference):
        assert values[SPOT].mean() > 0.25
        assert values[against].mean() < -0.25
        assert abs(values[22:28, 22:28].mean()) < 0.12


@pytest.mark.parametrize("family", ["squares", "grids"])
def test_more_masks_come_nearer_to_the_limit(family: Family) -> None:
    matcher = WeightedSum(np.random.default_rng(5).normal(size=(4, 4)))

    def found(count: int, seed: int) -> Reals:
        explainer = replace(CorrRise(matcher, masks=count, seed=seed), family=family)
        return explainer.explain(white(), white()).probe

    limit = found(8000, 7)
    nearness = [correlation(found(count, 1), limit) for count in (50, 400, 3000)]
    assert nearness[0] < nearness[1] < nearness[2]
    assert nearness[2] > 0.95


def test_ranks_ignore_how_far_an_outlier_lies() -> None:
    @dataclass(frozen=True, eq=False)
    class Bent(WeightedSum):
        """Any rising function of the score leaves ranks alone."""

        def score(self, probes: Templates, references: Templates) -> Reals:
            return np.asarray(np.exp(8 * super().score(probes, references)))

    weights = np.random.default_rng(0).normal(size=(4, 4))
    straight, bent = (CorrRise(kind(weights), masks=200).explain(noise(1), noise(2)) for kind in (WeightedSum, Bent))
    assert np.allclose(straight.probe, bent.probe, atol=1e-9)
    plain, warped = (
        CorrRise(kind(weights), masks=200, statistic="pearson").explain(noise(1), noise(2))
        for kind in (WeightedSum, Bent)
    )
    assert np.abs(plain.probe - warped.probe).max() > 0.05


@pytest.mark.parametrize("kind", [Rise, CorrRise])
def test_seed_and_masks_decide_and_cost_is_counted(kind: type[Rise] | type[CorrRise]) -> None:
    matcher = Counting(WeightedSum(np.random.default_rng(0).normal(size=(4, 4))))
    one = kind(matcher, masks=37, seed=3).explain(noise(1), noise(2))
    assert one.cost.forward == matcher.passes == 2 + 2 * 37
    assert one.settings["seed"] == 3
    assert one.settings["masks"] == 37
    same, other = (kind(matcher, masks=37, seed=seed).explain(noise(1), noise(2)) for seed in (3, 4))
    assert (one.probe == same.probe).all()
    assert (one.reference == same.reference).all()
    assert (one.probe != other.probe).any()


def test_what_hides_is_recorded_and_matters() -> None:
    matcher = WeightedSum(np.random.default_rng(0).normal(size=(4, 4)))
    black, mean = (CorrRise(matcher, masks=50, fill=fill).explain(noise(1), noise(2)) for fill in FILLS_TRIED)
    assert (black.settings["fill"], mean.settings["fill"]) == FILLS_TRIED
    assert (black.probe != mean.probe).any()


def test_the_options_of_the_other_family_are_not_recorded() -> None:
    squares = CorrRise(WeightedSum(np.ones((1, 1))), masks=10).explain(noise(1), noise(2)).settings
    assert squares["squares"] == 3
    assert squares["side_pixels"] == 9
    assert not {"cells", "keep"} & set(squares)
    grids = CorrRise(WeightedSum(np.ones((1, 1))), masks=10, family="grids").explain(noise(1), noise(2)).settings
    assert grids["cells"] == 12
    assert grids["keep"] == 0.9
    assert not {"squares", "side", "side_pixels"} & set(grids)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"masks": 1}, "at least 2 masks"),
        ({"seed": -1}, "seed"),
        ({"keep": 1.0}, "between 0 and 1"),
        ({"cells": 1}, "2 × 2 cells"),
        ({"fill": "red"}, "fill must be one of"),
    ],
)
@pytest.mark.parametrize("kind", [Rise, CorrRise])
def test_impossible_options_are_refused_when_they_are_given(
    kind: type[Rise] | type[CorrRise], wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        replace(kind(WeightedSum(np.ones((1, 1)))), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"family": "dots"}, "family"),
        ({"statistic": "kendall"}, "statistic"),
        ({"squares": 0}, "one square"),
        ({"side": 1.5}, "share"),
    ],
)
def test_impossible_options_of_corrrise_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        replace(CorrRise(WeightedSum(np.ones((1, 1)))), **wrong)  # type: ignore[arg-type]
