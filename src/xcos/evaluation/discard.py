"""Does a quality score foretell errors? Errors that are left after the worst pairs are discarded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Reals, freeze


@dataclass(frozen=True, eq=False)
class DiscardCurve:
    """Error-versus-discard characteristic (EDC, ISO/IEC 29794-1, clause 11): steps by rising share of discards."""

    discarded: Reals
    """(k,) share of mated pairs that are discarded; the first is 0. Pairs of equal quality go together."""
    fnmr: Reals
    """(k,) false non-match rate of those kept, up to the next share."""
    quality: Reals
    """(k,) least quality of those kept."""

    def __post_init__(self) -> None:
        freeze(self, discarded=self.discarded, fnmr=self.fnmr, quality=self.quality)

    def at(self, share: float) -> float:
        """FNMR with as many discarded as can be without exceeding ``share``."""
        return float(self.fnmr[self._step(share)])

    def least_quality(self, share: float) -> float:
        """Pairs of at least this quality are those that :meth:`at` keeps."""
        return float(self.quality[self._step(share)])

    def _step(self, share: float) -> int:
        if not 0 <= share < 1:
            raise InvalidArgument(f"a share of discarded pairs is at least 0 and below 1, got {share}")
        return int(np.searchsorted(self.discarded, share * (1 + 1e-12), side="right")) - 1

    def area(self, most: float = 0.2) -> float:
        """Partial area under the steps from 0 to ``most``; 20 % is the customary limit."""
        if not 0 < most < 1:
            raise InvalidArgument(f"the area's limit is a share above 0 and below 1, got {most}")
        ends = np.minimum(np.append(self.discarded[1:], 1.0), most)
        return float((np.maximum(ends - self.discarded, 0) * self.fnmr).sum())


def error_versus_discard(
    mated: NDArray[np.floating], probe_quality: Reals, reference_quality: Reals, *, threshold: float
) -> DiscardCurve:
    """FNMR of (n,) mated scores at a fixed ``threshold``, after discarding pairs of the lowest quality.

    A pair's quality is the lower one of its samples'; a sample that could not be made has quality −∞. The threshold
    was fixed before discarding, so what changes is which pairs are asked.
    """
    if not mated.shape == np.shape(probe_quality) == np.shape(reference_quality) or mated.ndim != 1 or not mated.size:
        raise InvalidArgument(
            f"want a score and two qualities for each of one or more mated pairs, got {mated.shape}, "
            f"{np.shape(probe_quality)} and {np.shape(reference_quality)}"
        )
    quality = np.minimum(probe_quality, reference_quality)
    if np.isnan(quality).any() or np.isnan(mated).any():
        raise InvalidArgument("scores and qualities must be numbers; give −inf for samples that could not be made")
    missed = (mated < threshold) | (mated == -np.inf)
    levels, level = np.unique(quality, return_inverse=True)
    pairs, errors = np.bincount(level), np.bincount(level, missed)
    # from each quality upwards
    kept, wrong = np.cumsum(pairs[::-1])[::-1], np.cumsum(errors[::-1])[::-1]
    return DiscardCurve(1 - kept / len(mated), wrong / kept, levels)
