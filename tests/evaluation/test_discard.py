from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from xcos.errors import InvalidArgument
from xcos.evaluation.discard import error_versus_discard


def test_a_curve_by_hand() -> None:
    # qualities of the pairs: 1, 2, 2, 5, 9; missed: the first, third and last
    curve = error_versus_discard(
        np.array([0.1, 0.9, 0.2, 0.8, 0.3]),
        np.array([1.0, 2, 7, 5, 9]),
        np.array([4.0, 3, 2, 6, 9]),
        threshold=0.5,
    )
    assert curve.discarded.tolist() == pytest.approx([0, 0.2, 0.6, 0.8])
    assert curve.fnmr.tolist() == pytest.approx([3 / 5, 2 / 4, 1 / 2, 1])
    assert [curve.at(share) for share in (0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.99)] == pytest.approx(
        [0.6, 0.6, 0.5, 0.5, 0.5, 0.5, 1]
    )
    assert curve.area(0.2) == pytest.approx(0.2 * 0.6)
    assert curve.area(0.7) == pytest.approx(0.2 * 0.6 + 0.4 * 0.5 + 0.1 * 0.5)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0, 0.99))
def test_at_any_share_the_rate_is_that_of_the_pairs_kept(seed: int, count: int, share: float) -> None:
    random = np.random.default_rng(seed)
    mated, one, other = random.normal(size=count), random.integers(0, 5, count), random.integers(0, 5, count)
    quality = np.minimum(one, other)
    allowed = [q for q in np.unique(quality) if (quality < q).sum() <= share * count + 1e-9]
    kept = mated[quality >= max(allowed)]
    curve = error_versus_discard(mated, one.astype(float), other.astype(float), threshold=0.0)
    assert curve.at(share) == pytest.approx((kept < 0).mean(), abs=1e-12)
    assert curve.least_quality(share) == max(allowed)


def test_the_area_is_the_integral_of_the_steps() -> None:
    random = np.random.default_rng(0)
    mated, quality = random.normal(size=60), random.normal(size=60)
    curve = error_versus_discard(mated, quality, quality, threshold=0.3)
    steps = curve.discarded[curve.discarded < 0.2].tolist()
    expected, _ = quad(lambda x: curve.at(min(x, 0.999)), 0, 0.2, points=steps, limit=200)
    assert curve.area() == pytest.approx(expected, abs=1e-9)


def test_a_quality_that_knows_the_errors_discards_them_first_and_one_that_is_wrong_last() -> None:
    missed = np.arange(100) < 10
    scores = np.where(missed, 0.0, 1.0)
    known, wrong = (error_versus_discard(scores, q, q, threshold=0.5) for q in (scores, -scores))
    assert (known.at(0.05), known.at(0.1)) == (0.1, 0)
    assert wrong.at(0.2) == 0.1
    assert known.area() < wrong.area()


def test_pairs_with_a_sample_that_could_not_be_made_go_first() -> None:
    curve = error_versus_discard(
        np.array([-math.inf, 0.9]), np.array([-math.inf, 0.0]), np.array([5.0, 0.0]), threshold=-math.inf
    )
    assert (curve.at(0), curve.at(0.5)) == (0.5, 0)


@pytest.mark.parametrize(
    ("mated", "one", "other"),
    [([], [], []), ([1.0], [1.0, 2.0], [1.0]), ([1.0], [math.nan], [1.0]), ([math.nan], [1.0], [1.0])],
)
def test_what_cannot_be_measured_is_refused(mated: Any, one: Any, other: Any) -> None:
    with pytest.raises(InvalidArgument):
        error_versus_discard(np.array(mated), np.array(one), np.array(other), threshold=0.5)


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_shares_that_cannot_be_discarded_are_refused(share: float) -> None:
    curve = error_versus_discard(np.ones(2), np.ones(2), np.ones(2), threshold=0.5)
    with pytest.raises(InvalidArgument):
        curve.at(share)
    with pytest.raises(InvalidArgument):
        curve.area(share)
