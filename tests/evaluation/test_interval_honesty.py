"""Nominal 95 % intervals hold the truth 92 to 99 times of 100, in four worlds whose pairs share people."""

from __future__ import annotations

import pytest
from interval_coverage import LEAST, MOST, WORLDS, World, coverage


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_intervals_hold_the_truth_as_often_as_they_say(world: World) -> None:
    shares = coverage(world, rounds=600, resampled=100).shares()
    for name, share in shares.items():
        print(f"{world.name}: {name} {share:.1%}")
    plain = {name: share for name, share in shares.items() if "independent" in name}
    stated = {name: share for name, share in shares.items() if name not in plain}
    assert len(stated) >= 7
    # a share of 100 rounds is itself uncertain by 2.2 %, the benchmark's of 400 by 1.1 %
    for name, share in stated.items():
        slack = 0.0 if name in ("FMR", "FNMR", "accuracy over folds") else 0.022
        assert LEAST - slack <= share <= MOST + slack, name


@pytest.mark.slow
def test_intervals_that_take_pairs_for_independent_would_not() -> None:
    shares = coverage(WORLDS[0], rounds=300, resampled=0).shares()
    assert shares["FMR if pairs were independent"] < 0.7
