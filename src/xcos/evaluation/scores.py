"""Scores of a protocol's pairs, with all that error rates and their uncertainty need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import freeze

FAILED = -np.inf
"""Score of a pair of which a sample could not be made: below every threshold, so it never matches."""


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """Scores of n pairs; higher is more alike, −∞ where a sample could not be made."""

    scores: NDArray[np.floating]
    """(n,) float32 or float64, no NaN; +∞ is a score like others."""
    mated: NDArray[np.bool_]
    """(n,)."""
    probe_subject: NDArray[np.integer]
    """(n,) number of the probe's person, from 0."""
    reference_subject: NDArray[np.integer]
    """(n,) from the same numbering."""

    def __post_init__(self) -> None:
        count = self.scores.shape
        shapes = {name: getattr(self, name).shape for name in ("mated", "probe_subject", "reference_subject")}
        if len(count) != 1 or any(shape != count for shape in shapes.values()):
            raise InvalidArgument(f"scores, mated and subjects must be (n,) each, got {count} and {shapes}")
        if np.isnan(self.scores).any():
            raise InvalidArgument(
                f"{int(np.isnan(self.scores).sum())} scores are NaN; give −inf for pairs that could not be compared"
            )
        freeze(
            self,
            scores=self.scores,
            mated=self.mated,
            probe_subject=self.probe_subject,
            reference_subject=self.reference_subject,
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(n,): pairs that could not be compared."""
        failed: NDArray[np.bool_] = self.scores == FAILED
        return failed
