"""Stability: does the map follow when the photos are mirrored, or move by two pixels as a detector would move them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record, one, single
from xcos.explainers.faithfulness.moved import mirrored, shifted, shifted_back
from xcos.explainers.faithfulness.ranks import agreement


@dataclass(frozen=True)
class Stability:
    """Rank correlation of the probe's map with its map, moved back, in the mirrored pair and beside a shifted probe.

    Mirrored are both photos; shifted is the probe alone, once across and once down, and the mean is taken over what
    lies in both crops. A map that is the same for every photo is perfectly stable: read it with the selectivity.
    """

    pixels: int = 2
    most_pairs: int = 0

    title: ClassVar[str] = "stability"
    needs: ClassVar[tuple[Need, ...]] = ()
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (Figure("mirror", "higher"), Figure("shift", "higher"))

    def __post_init__(self) -> None:
        if self.pixels < 1 or self.most_pairs < 0:
            raise InvalidArgument(f"a shift is of 1 pixel or more, got {self.pixels} (pairs: {self.most_pairs})")

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The two correlations."""
        yield from ()  # nothing is scored
        pair, by = case.pair, self.pixels
        values = explain(pair.probe, pair.reference).probe
        turned = explain(mirrored(pair.probe), mirrored(pair.reference)).probe[:, ::-1]
        found = []
        for across, down in ((by, 0), (0, by)):
            moved = explain(shifted(pair.probe, across, down), pair.reference).probe
            found.append(agreement(shifted_back(moved, across, down), shifted_back(values, -across, -down)))
        return one(mirror=agreement(turned, values), shift=float(np.mean(found)))

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)
